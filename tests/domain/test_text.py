"""Canonical JSON is RFC 8785, and patterns mean the same in Python and ECMA-262."""

import json
import re
import time
import unicodedata
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from api.domain import addresses, errors, languages, text
from api.domain.members import repeated_name
from api.domain.records.question import UNIT_PATTERN

STRINGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
KEYS = st.text(st.characters(max_codepoint=0x7F, exclude_characters="\x00"))
SCALARS = st.none() | st.booleans() | st.integers(-text.MAX_INTEGER, text.MAX_INTEGER) | STRINGS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=30)

ALL_PATTERNS = {
    "id": text.ID_PATTERN,
    "uuid": text.UUID_PATTERN,
    "uuid4": text.UUID4_PATTERN,
    "sha256": text.SHA256_PATTERN,
    "text": text.TEXT_PATTERN,
    "line": text.LINE_PATTERN,
    "prose": text.PROSE_PATTERN,
    "url": addresses.URL_PATTERN,
    "language": languages.LANGUAGE_PATTERN,
    "range": languages.RANGE_PATTERN,
    "unit": UNIT_PATTERN,
}
CLOSED = {name: pattern for name, pattern in ALL_PATTERNS.items() if name not in ("text", "prose")}


class Body(msgspec.Struct, forbid_unknown_fields=True):
    id: text.Id | None = None
    reason: text.Reason | None = None
    note: text.Note | None = None
    sha256: text.Sha256Hex | None = None


def accepts(**fields: str) -> bool:
    try:
        msgspec.convert(fields, Body)
    except msgspec.ValidationError:
        return False
    return True


def slow_depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(slow_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(slow_depth, value), default=0)
    return 0


# Canonical form


@given(VALUES)
def test_canonical_form_is_rfc_8785_and_sorted_compact_json(value: text.Json) -> None:
    text.check_canonical(value)
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert text.canonical(value) == rfc8785.dumps(value) == plain  # type: ignore[arg-type]
    assert text.read_json(plain) == value


def test_every_escape_is_rfc_8785_s() -> None:
    awkward = "".join(map(chr, range(1, 0xA1))) + "\u2028\u2029\ufeff\uffff\U0001f600\U0010ffff"
    assert text.canonical(awkward) == rfc8785.dumps(awkward)
    assert text.canonical('\b\t\n\v\f\r\x1f\x7f"\\/') == b'"\\b\\t\\n\\u000b\\f\\r\\u001f\x7f\\"\\\\/"'


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ("a\x00", ""),
        ("\ud800", ""),
        ({"a": ["x", "\udfff"]}, "/a/1"),
        ({"a": {"b/c~d": "\x00"}}, "/a/b~1c~0d"),
        ({"a": {"é": 1}}, "/a"),
        ({"a": {"\x00": 1}}, "/a"),
        ([2**53], "/0"),
        ([0, -(2**53)], "/1"),
        ({"a": 1.0}, "/a"),
        ({"a": float("nan")}, "/a"),
    ],
)
def test_what_has_no_canonical_form_is_refused_by_place_and_not_repeated(value: Any, pointer: str) -> None:
    with pytest.raises(errors.BadText) as caught:
        text.check_canonical(value, "/body")
    assert caught.value.pointer == f"/body{pointer}"
    assert "\x00" not in str(caught.value)


@pytest.mark.parametrize(
    "raw", [b"", b"nan", b"NaN", b"[1,]", b"1 2", b'"\\ud800"', b'"\xff"', b'"\xed\xa0\x80"', b"\xef\xbb\xbf1"]
)
def test_what_is_not_json_in_utf_8_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        text.read_json(raw)


@pytest.mark.parametrize("raw", [b'"\\u0000"', b"1.5", b"1e3", b"9007199254740992", b'{"\xc3\xa9":1}'])
def test_json_outside_the_ledger_s_rules_is_refused(raw: bytes) -> None:
    with pytest.raises(errors.BadText):
        text.read_json(raw)


def test_json_too_deep_to_parse_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="deeply"):
        text.read_json(b"[" * 60_000)


def test_of_a_repeated_key_the_last_counts() -> None:
    assert text.read_json(b'{"a":1,"a":2}') == {"a": 2}


# Names that stand twice


REPEATED = {
    b'{"a": 1, "a": 1}': "/a",
    b'{"a": 1, "b": {"c": [0, {"d": 1, "d": 2}]}}': "/b/c/1/d",
    b'[{"a": 1}, {"a": 1, "a": 2}]': "/1/a",
    rb'{"a": 1, "\u0061": 2}': "/a",
    b'{"a/b": 1, "a/b": 2}': "/a~1b",
    b'{"a~": 1, "a~": 2}': "/a~0",
    b'{"": 1, "": 2}': "/",
    b'{"a": {"b": 1, "b": 2}, "a": 3}': "/a/b",
    '{"é": 1, "\\u00e9": 2}'.encode(): "/é",
}
ONCE = [
    b"{}",
    b"[]",
    b"1",
    b'"a"',
    b'{"a": {"a": {"a": 1}}}',
    b'[{"a": 1}, {"a": 1}]',
    b'{"a": 1, "A": 2}',
    '{"é": 1, "e\u0301": 2}'.encode(),
]


@pytest.mark.parametrize("raw", REPEATED)
def test_a_name_that_stands_twice_in_one_object_is_pointed_to(raw: bytes) -> None:
    assert repeated_name(raw) == REPEATED[raw]


@pytest.mark.parametrize("raw", ONCE)
def test_a_name_may_stand_in_several_objects(raw: bytes) -> None:
    assert repeated_name(raw) is None


@given(VALUES)
def test_what_python_writes_repeats_no_name(value: text.Json) -> None:
    assert repeated_name(json.dumps(value, ensure_ascii=False).encode()) is None


# Depth


@given(VALUES)
def test_depth_is_counted_outside_strings(value: text.Json) -> None:
    assert text.measure(text.canonical(value), deepest=1000).depth == slow_depth(value)


@given(VALUES, st.integers(0, 40))
def test_a_text_is_measured_alike_wherever_it_is_cut(value: text.Json, filler: int) -> None:
    # Slices end somewhere within the value, in a string or an escape too.
    raw = text.canonical(["\\" * (filler + text._SLICE // 2 - 20), value])
    assert text.measure(raw, deepest=1000) == (1 + slow_depth(value), 2)


@pytest.mark.parametrize("before", range(6))
def test_no_escape_is_cut_in_two(before: int) -> None:
    raw = b'["' + b"a" * (text._SLICE - 2 - before) + rb"\\\\" + b'",[[]]]'
    assert text.measure(raw, deepest=1000) == (3, 2)


@pytest.mark.parametrize(
    ("raw", "members"),
    [
        (b"[1]", 1),
        (b"[[1,2],[3,4]]", 2),
        (rb'["a,b","\",",{"c":1,"d":[5,6]}]', 3),
        (b"[" + b"0," * 9999 + b"0]", 10_000),
        (b"[" + b"0," * 40_000 + b"0]", 40_001),
    ],
)
def test_members_are_those_of_the_outermost_array(raw: bytes, members: int) -> None:
    assert text.measure(raw, deepest=32).members == members


def test_nothing_is_measured_beyond_a_limit() -> None:
    assert 33 <= text.measure(b"[" * 10_000_000, deepest=32).depth < 100_000
    assert 5001 <= text.measure(b"[" + b"0," * 5_000_000, deepest=32, longest=5000).members < 100_000


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"1", 0),
        (b"[]", 1),
        (b'{"a":[[],[[]]]}', 4),
        (b'"[[["', 0),
        (rb'["\"[[[\\","]"]', 1),
        (rb'["\\\\",["\\\""]]', 2),
        (b"[" * 100_000, 100_000),
        (b"[" * 100_000 + b"]" * 100_000, 100_000),
        (b'["[[[[', 1),
        (b"[[[[]]]]]]]]]]]", 4),
        (b"", 0),
    ],
)
def test_depth_of_awkward_texts(raw: bytes, expected: int) -> None:
    assert text.measure(raw, deepest=200_000).depth == expected


# Patterns


@pytest.mark.parametrize(("name", "pattern"), CLOSED.items())
def test_closed_patterns_refuse_a_final_newline_in_python(name: str, pattern: str) -> None:
    good = {
        "id": "abc",
        "uuid": "0b0e7c52-3b0f-4c3e-9d56-0d3d6b0a1c11",
        "uuid4": "0b0e7c52-3b0f-4c3e-9d56-0d3d6b0a1c11",
        "sha256": "ab" * 32,
        "url": "https://example.org",
        "language": "fr",
        "range": "zh-min",
        "line": "A line",
        "unit": "users",
    }[name]
    assert re.search(pattern, good)
    assert not re.search(pattern, good + "\n")
    published = jsonschema_rs.validator_for({"pattern": text.ecma(pattern)})
    assert published.is_valid(good)
    assert not published.is_valid(good + "\n")


@pytest.mark.parametrize("pattern", ALL_PATTERNS.values(), ids=ALL_PATTERNS)
def test_the_published_spelling_is_ecma_s(pattern: str) -> None:
    published = text.ecma(pattern)
    assert published.startswith("^")
    assert published.endswith("$")
    assert not re.search(r"\\[AZz]|\(\?[^:]", published)
    assert text.ecma(published) == published


@given(st.data(), st.sampled_from(list(ALL_PATTERNS.values())))
def test_both_spellings_accept_the_same(data: st.DataObject, pattern: str) -> None:
    published = jsonschema_rs.validator_for({"pattern": text.ecma(pattern)})
    drawn = data.draw(st.from_regex(pattern) | st.from_regex(text.ecma(pattern)) | STRINGS)
    assert published.is_valid(drawn) is (re.search(pattern, drawn) is not None)


@given(st.from_regex(text.ID_PATTERN))
def test_ids_can_be_drawn_from_their_pattern(public_id: str) -> None:
    assert accepts(id=public_id)


@pytest.mark.parametrize("bad", ["", "-a", "A", "a_b", "a" * 101, "é", "a\n", "a b"])
def test_ids_outside_the_pattern_are_refused(bad: str) -> None:
    assert not accepts(id=bad)


def test_a_uuid_has_the_form_of_a_minted_id() -> None:
    assert text.is_uuid_form("018f6b1e-7c1a-7d3e-8a2b-0123456789ab")
    assert not text.is_uuid_form("018f6b1e-7c1a-7d3e-8a2b-0123456789ab\n")
    assert not text.is_uuid_form("018f6b1e7c1a7d3e8a2b0123456789ab")
    assert not text.is_uuid_form("parler-users")


SEEN = [
    "a",
    "7",
    "Parler",
    " a ",
    "\u200bВ",
    "𝕏",
    "👩\u200d💻",
    "عربي",
    "\u0301",
    "—",
    "\u2067שלום\u2069",
    "\u200eab\u200f",
    "\ufffc",
    "\ue000",
]
UNSEEN = [
    *"\u0020\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b\u180f\u2000\u200b\u200d\u200f\u202a\u202c\u202f",
    *"\u205f\u2060\u2066\u206f\u2800\u3000\u3164\ufe00\ufe0f\ufeff\uffa0\ufff0\ufffb",
]
UNWANTED = [*map(chr, (*range(0x20), *range(0x7F, 0xA0))), "\u2028", "\u2029", "\u202d", "\u202e"]


@pytest.mark.parametrize("seen", SEEN)
def test_a_line_holds_something_to_see(seen: str) -> None:
    assert accepts(reason=seen)


@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
def test_a_line_of_nothing_to_see_is_refused(unseen: str) -> None:
    assert not accepts(reason=unseen)
    assert not accepts(reason=unseen * 7 + " ")
    assert accepts(reason=f"{unseen}a{unseen}")


@pytest.mark.parametrize("unwanted", UNWANTED, ids=ascii)
def test_a_line_holds_no_control_character_no_end_of_line_and_no_override(unwanted: str) -> None:
    for line in (unwanted, f"{unwanted}a", f"a{unwanted}", f"a{unwanted}b"):
        assert not accepts(reason=line)


def test_what_shows_nothing_is_told_by_the_categories_of_unicode() -> None:
    """Each of the Basic Multilingual Plane: control (Cc) and separators (Z) by category, the rest as it is listed."""
    listed = {
        0x34F,
        0x115F,
        0x1160,
        0x17B4,
        0x17B5,
        0x180B,
        0x180C,
        0x180D,
        0x180F,
        0x2800,
        0x3164,
        *range(0xFE00, 0xFE10),
        0xFFA0,
    }
    shown_though_formats = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2}
    to_come = {0x2065, *range(0xFFF0, 0xFFF9)}
    for code in (*range(0xD800), *range(0xE000, 0x10000)):
        category = unicodedata.category(chr(code))
        is_unseen = category in ("Cc", "Zs", "Zl", "Zp") or (category == "Cf" and code not in shown_though_formats)
        assert accepts(reason=chr(code)) is not (is_unseen or code in listed or code in to_come), hex(code)


def test_a_long_line_is_judged_in_one_pass() -> None:
    began = time.process_time()
    for line in ("a" * 200_000 + "\n", "\u200b" * 200_000, "\u200ba" * 100_000 + "\x00"):
        assert not re.search(text.LINE_PATTERN, line)
    assert time.process_time() - began < 2, "every place was tried again for every other"


def test_prose_may_have_tabs_and_ends_of_lines_and_may_be_empty() -> None:
    assert accepts(note="")
    assert accepts(note="a\tb\r\nc\n\u2028\U0001f600\n")
    for unwanted in UNWANTED:
        assert accepts(note=f"a{unwanted}") is (unwanted in "\t\n\r\u2028\u2029")


def test_texts_keep_their_limits() -> None:
    assert not accepts(reason="")
    assert accepts(reason="\U0001f600" * 2000)
    assert not accepts(reason="a" * 2001)
    assert not accepts(note="a" * 10_001)


def test_lone_surrogates_never_come_through_the_decoder() -> None:
    for raw in (rb'{"note":"\ud800"}', rb'{"note":"\udc00x"}', b'{"note":"\xed\xa0\x80"}'):
        with pytest.raises(ValueError, match=r".+"):
            msgspec.json.decode(raw, type=Body)
