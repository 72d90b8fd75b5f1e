"""A query with parameters replaced is what the standard library writes, whichever way it was written before."""

from urllib.parse import parse_qsl, urlencode

from hypothesis import given
from hypothesis import strategies as st

from api.routes.reading import replace_in_query

_NAMES = st.sampled_from(["as_of", "cursor", "limit", "q", "x"])
_PAIRS = st.lists(
    st.tuples(_NAMES, st.text(max_size=5) | st.from_regex("[a-z0-9.~_-]{0,5}", fullmatch=True)), max_size=4
)
_REPLACED = st.dictionaries(_NAMES, st.integers() | st.text(max_size=5), min_size=1)


def _expected(raw, replaced):
    kept = [(name, value) for name, value in parse_qsl(raw, keep_blank_values=True) if name not in replaced]
    return urlencode([*kept, *replaced.items()])


@given(_PAIRS.map(urlencode), _REPLACED)
def test_a_query_of_any_values_is_rewritten_as_urlencode_would(raw, replaced):
    assert replace_in_query(raw, replaced) == _expected(raw, replaced)


@given(st.text("ab=&%2+.~ c", max_size=12), _REPLACED)
def test_a_query_that_nobody_encoded_is_too(raw, replaced):
    assert replace_in_query(raw, replaced) == _expected(raw, replaced)
