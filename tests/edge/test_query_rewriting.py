"""A query is read as the standard library reads it, and with parameters replaced it is what that writes."""

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.routes.edge.query import MOST_PAIRS, read_pairs, replace_in_query

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


@given(_PAIRS.map(urlencode) | st.text("ab=&%2+.~ c;", max_size=12))
def test_a_query_is_taken_apart_as_the_standard_library_does(raw):
    try:
        expected = parse_qsl(raw, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        with pytest.raises(UnicodeDecodeError):
            read_pairs(raw)
    else:
        assert read_pairs(raw) == expected


@pytest.mark.parametrize("pair", ["a=b", "a=%20"])
def test_only_so_many_pairs_are_read(pair):
    assert len(read_pairs("&".join([pair] * MOST_PAIRS))) == MOST_PAIRS
    with pytest.raises(ValueError, match="fields"):
        read_pairs("&".join([pair] * (MOST_PAIRS + 1)))
