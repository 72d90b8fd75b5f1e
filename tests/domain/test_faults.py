"""What is said of a body that the contract forbids: all of it at once, where, and what is wanted there."""

import json
import re
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import Struct

from api.domain import addresses, languages, text
from api.domain.dates import asof, edtf
from api.domain.errors import BadBody, Fault
from api.domain.records.answer import DECIMAL_PATTERN
from api.domain.records.faults import FORMS, MOST, faults
from api.domain.records.operation import ACTIONS, NEW, OPERATIONS, decode_body, decoder
from api.domain.records.question import KNOWN_UNIT_PATTERN, UNIT_PATTERN
from api.domain.records.redaction import NewRedaction

SECRET = "s3cret-value"
CLAIM = {"source": "s", "question": "q", "statement": "x", "answer": {"type": "boolean", "value": True}}
ENTITY = {"type": "platform", "name": "Parler"}
SOURCE = {"type": "article", "title": "An article"}
QUESTION = {"about": ["parler"], "text": "When?", "answer_type": "time"}
COPY = {"sha256": "0" * 64, "bytes": 1, "completeness": "full"}
TYPES = "one of app-store, company, court, government, group, occurrence, other, person, platform, publisher"
LANGUAGE = "a language tag (BCP 47), as fr, pt-BR or zh-Hant-TW"
ID = "small letters a to z, digits and hyphens, a letter or digit first"


def told(body: Any, wanted: type[Struct]) -> list[str]:
    with pytest.raises(BadBody) as refused:
        decode_body(json.dumps(body).encode(), wanted)
    assert SECRET not in str(refused.value)
    return [f"{place}: {rule}" for place, rule in refused.value.faults]


# What is sent, as a new record of a kind, and all that is said of it.
TOLD: list[tuple[str, Any, list[str]]] = [
    ("entity", {}, ["/type: is required", "/name: is required"]),
    ("entity", [], [": an object"]),
    ("entity", None, [": an object"]),
    ("entity", SECRET, [": an object"]),
    ("entity", {**ENTITY, "type": SECRET}, [f"/type: {TYPES}"]),
    ("entity", {**ENTITY, "type": 5}, [f"/type: {TYPES}"]),
    ("entity", {"type": None, "name": None}, [f"/type: {TYPES}", "/name: a text of 1 to 500 characters"]),
    ("entity", {**ENTITY, "name": ""}, ["/name: a text of 1 to 500 characters"]),
    ("entity", {**ENTITY, "name": "x" * 501}, ["/name: a text of 1 to 500 characters"]),
    ("entity", {**ENTITY, "name": 5}, ["/name: a text of 1 to 500 characters, in quotes"]),
    ("entity", {**ENTITY, "name": 5.5}, ["/name: a text of 1 to 500 characters, in quotes"]),
    ("entity", {**ENTITY, "note": ["x"]}, ["/note: a text of at most 10000 characters, or null"]),
    ("entity", {**ENTITY, "note": 5}, ["/note: a text of at most 10000 characters, in quotes, or null"]),
    ("entity", {**ENTITY, "id": "UPPER"}, [f"/id: {ID}"]),
    ("entity", {**ENTITY, "part_of": "Not An Id"}, [f"/part_of: {ID}"]),
    ("entity", {**ENTITY, "nam": 1, "position": 5, "status": SECRET}, [
        f"/{name}: unknown field; here there are type, name, names, part_of, same_as, note, id, reason"
        for name in ("nam", "position", "status")]),
    ("entity", {**ENTITY, f" {SECRET}": 1, "x": 2}, [
        ": unknown field; here there are type, name, names, part_of, same_as, note, id, reason"]),
    ("entity", {**ENTITY, "names": ["Parler"]}, ["/names: an object of at most 100 members"]),
    ("entity", {**ENTITY, "names": {f"not {SECRET}": "x", "fr": 5, "en": "y"}}, [
        f"/names: each name in it: {LANGUAGE}", "/names/fr: a text of 1 to 500 characters, in quotes"]),
    ("entity", {**ENTITY, "same_as": "https://x.example"}, [
        "/same_as: a list of at most 50 items, in [ ] also where there is one"]),
    ("source", {**SOURCE, "derives_from": ["a"] * 51}, ["/derives_from: a list of at most 50 items"]),
    ("source", {**SOURCE, "derives_from": ["a", 5, "B"]}, [
        "/derives_from/1: a text of 1 to 100 characters, in quotes", f"/derives_from/2: {ID}"]),
    ("source", {**SOURCE, "captures": [{**COPY, "bytes": -1}, COPY, {**COPY, "bytes": 1.5, "sha256": "00"}, {}]}, [
        "/captures/0/bytes: a whole number from 0 to 9007199254740991",
        "/captures/2/sha256: 64 digits of 0 to 9 and a to f",
        "/captures/2/bytes: a whole number from 0 to 9007199254740991",
        *(f"/captures/3/{name}: is required" for name in ("sha256", "bytes", "completeness"))]),
    ("source", {**SOURCE, "captures": [{**COPY, "bytes": "5"}]}, [
        "/captures/0/bytes: a whole number from 0 to 9007199254740991, without quotes"]),
    ("source", {**SOURCE, "captures": [{**COPY, "bytes": 10**30}]}, [
        "/captures/0/bytes: a whole number from 0 to 9007199254740991"]),
    ("question", {**QUESTION, "about": []}, ["/about: a list of 1 to 50 items"]),
    ("question", {**QUESTION, "varies": "yes"}, ["/varies: true or false, without quotes"]),
    ("question", {**QUESTION, "varies": 1}, ["/varies: true or false"]),
    ("claim", {**CLAIM, "answer": {}}, [
        "/answer/type: is required: one of time, entity, boolean, text, entities, quantity"]),
    ("claim", {**CLAIM, "answer": {"type": SECRET}}, ["/answer/type: one of time, entity, boolean, text, entities, quantity"]),
    ("claim", {**CLAIM, "answer": "2021"}, ["/answer: an object"]),
    ("claim", {**CLAIM, "answer": {"type": "boolean"}, "stance": SECRET}, [
        "/answer/value: is required", "/stance: one of alleges, asserts, denies, doubts, predicts, reports-hearsay"]),
    ("claim", {**CLAIM, "answer": {"type": "quantity", "amount": 15, "unit": "users"}}, [
        "/answer/amount: a text of at most 40 characters, in quotes, or null"]),
    ("claim", {**CLAIM, "locator": {"paragraph": 0, "sha256": "0" * 64}}, [
        "/locator/paragraph: a whole number from 1 to 1000000"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "said"), TOLD)
def test_all_that_is_wrong_is_told_at_once_in_sentences_that_help(kind: str, body: Any, said: list[str]) -> None:
    assert told(body, NEW[kind]) == said


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("claim", {"action": SECRET}, ["/action: one of revise, retract, restore, link, unlink"]),
        ("entity", {}, ["/action: is required: one of revise, retract, restore"]),
        ("entity", {"action": "revise", "changes": {"name": 5, "nam": 1}}, [
            "/reason: is required", "/changes/name: a text of 1 to 500 characters, in quotes",
            "/changes/nam: unknown field; here there are id, type, name, names, part_of, same_as, note"]),
        ("entity", {"action": "restore", "reason": "x", "revision": 0}, [
            "/revision: a whole number from 1 to 2147483647"]),
    ],
)  # fmt: skip
def test_an_action_is_told_all_that_is_wrong_with_it(kind: str, body: Any, said: list[str]) -> None:
    assert told(body, ACTIONS[kind]) == said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"contains": 5}, ["a text of 1 to 500 characters or a list of 1 to 20 items, in quotes, or null"]),
        ({"contains": []}, ["a list of 1 to 20 items"]),
        ({"contains": ""}, ["a text of 1 to 500 characters"]),
    ],
)
def test_where_several_types_may_stand_all_are_told(body: Any, said: list[str]) -> None:
    whole = {"kind": "entity", "id": "x", "basis": "error", "reason": "Wrong", **body}
    assert told(whole, NewRedaction) == [f"/contains: {each}" for each in said]


def test_whole_numbers_may_be_written_with_a_fraction_of_zero_beside_what_is_wrong() -> None:
    locator = {"paragraph": 3.0, "sha256": "0" * 64}
    read = decode_body(json.dumps({**CLAIM, "locator": locator}).encode(), NEW["claim"])
    assert msgspec.to_builtins(read)["locator"]["paragraph"] == 3
    assert told({**CLAIM, "locator": locator, "stance": 1, "source": None}, NEW["claim"]) == [
        "/source: a text of 1 to 100 characters",
        "/stance: one of alleges, asserts, denies, doubts, predicts, reports-hearsay",
    ]


def test_where_no_fault_is_found_one_is_told_nevertheless() -> None:
    assert faults(ENTITY, NEW["entity"]) == [Fault("", "not of the form that the contract gives")]


def test_no_more_than_twenty_faults_are_told() -> None:
    assert MOST == 20
    assert len(told({f"x{number}": 1 for number in range(1000)}, NEW["claim"])) == MOST
    assert len(told({**SOURCE, "authors": [5] * 100}, NEW["source"])) == MOST
    assert len(told({**ENTITY, "names": {f"x {number}": 1 for number in range(100)}}, NEW["entity"])) == MOST


def test_the_sentence_of_all_names_the_first_fault_and_where_others_are() -> None:
    with pytest.raises(BadBody) as refused:
        decode_body(b'{"name": 5, "note": 6, "part_of": 7, "same_as": 8}', NEW["entity"])
    assert str(refused.value) == "/type: is required; and more, at /name, /part_of, /same_as"


# How each form of text is written: what is sent in its place, and the whole sentence that tells of it.
A_DATE = (
    "a date: 2021, 2021-01, 2021-01-11 or 2021-01-11T08:00Z, with ? or ~ after it where it is uncertain; an interval 2020/2021; "
    "one moment of several [2021-01-10..2021-01-11]"
)
A_TIME = "an RFC 3339 time: 2021-01-11T08:00:00Z"
A_UNIT = (
    "what is counted, in up to 50 ASCII letters, digits, blanks and / . _ -, or an ISO code: users, EUR, accounts/day"
)
A_NUMBER = "a decimal number in digits, as -12 or 3.50: no exponent, no plus, no zeros in front"
WITH_HYPHENS = "a language tag (BCP 47) with - between its parts, not _, as in pt-BR"
ZONE = "zone as ±hh:mm, or Z"
NO_ZONE = "a zone too: Z or ±hh:mm"
SECONDS = "seconds too: 2021-01-11T08:00:00Z"
OVERRIDE = "no bidirectional override (U+202D, U+202E)"
ONE_LINE = "one line with no control character: no end of line, no tab"

ALIKE_IN_DATES_AND_TIMES = {
    "2021-01-11T08:00:00,5Z": "a point before the fraction, not a comma",
    "2021-01-11T24:00:00Z": "midnight as T00:00 of the day that begins",
    "11.01.2021": "year, month, day: 2021-01-11",
    "1/1/2021": "year, month, day: 2021-01-11",
    "20210111T080000Z": "hyphens and colons: 2021-01-11T08:00:00Z",
    "2021-1-5": "two digits for month and day: 2021-01-05",
    "2021-01-5": "two digits for month and day: 2021-01-05",
    "2021-01-11T08": "minutes too: T08:00",
    "2021-01-11T08:00:00+0100": ZONE,
    "2021-01-11T08:00:00.5 Z": ZONE,
    "2021-01-11T08:00:00 CET": ZONE,
}
IN_RECORDS = {
    **ALIKE_IN_DATES_AND_TIMES,
    "2021-01-11T08:00:60Z": "no second 60: seconds from 00 to 59",
    "2021-01-11t08:00:00Z": "capital T and Z",
    "2021-01-11T08:00:00z": "capital T and Z",
    "2021-01-11 08:00:00Z": "T between day and time of day",
    "2021-01-11T08:00:00+15:00": "zone as ±hh:mm, up to 14:00 either way, or Z",
    "2021-01-11T08:00:00-20:00": "zone as ±hh:mm, up to 14:00 either way, or Z",
}
DATES = {
    "2021-21": "no seasons and quarters: the months, as 2021-03/2021-05",
    "2021-33": "no seasons and quarters: the months, as 2021-03/2021-05",
    "2021-01-1X": "no X for a digit: the first and the last that it may be, as [2021-01-10..2021-01-19]",
    "202u": "no X for a digit: the first and the last that it may be, as [2021-01-10..2021-01-19]",
    "2021-*": "no X for a digit: the first and the last that it may be, as [2021-01-10..2021-01-19]",
    "2021%": "~ or ? after a date, not %",
    "2021?~": "~ or ? after a date, not both",
    "0000-01-01": "years from 0001 to 9999",
    "-0044": "years from 0001 to 9999",
    "Y17000": "years from 0001 to 9999",
    "2021-13": "a month, a day and an hour that there are",
    "2021-02-30": "a month, a day and an hour that there are",
    "2021-01-11T25:00Z": "a month, a day and an hour that there are",
    "summer 2020": A_DATE,
}
TIMES = {
    "2021-01": "a time of day and a zone too: 2021-01-11T08:00:00Z",
    "2021-01-11": "a time of day and a zone too: 2021-01-11T08:00:00Z",
    "2021-01-11T08:00Z": SECONDS,
    "2021-01-11T08:00:00": NO_ZONE,
    "2021-01-11T08:00:00.1234567": NO_ZONE,
    "2021-02-30T08:00:00Z": "a day, an hour and a zone (Z or ±hh:mm) that there are",
}
AT_A_CLOCK = {
    **ALIKE_IN_DATES_AND_TIMES,
    "2021-01-11T12:00:00 01:00": "write + as %2B",
    "2021-01-11T12:00:00.5 01:00": "write + as %2B",
}
A_LINE = {
    "Two\nlines": ONE_LINE,
    "a\x85b": ONE_LINE,
    "a\u2028b": ONE_LINE,
    "a\u202db": OVERRIDE,
    "a\u202eb": OVERRIDE,
    " \u200b": "something to see, not blanks alone",
}
UNITS = {
    "%": "write percent", "‰": "write per-mille", "€": "write EUR", "$": "write USD", "£": "write GBP", "¥": "write JPY",
    "₽": "write RUB", "₹": "write INR", "°C": "write celsius", "℃": "write celsius", "°F": "write fahrenheit",
    "℉": "write fahrenheit", "°": "write degrees", "m²": "write 2 for ², as in m2", "m³": "write 3 for ³, as in m3",
    "\xb5s": "write u for micro, as in us", "\u03bcs": "write u for micro, as in us", "Ω": "write ohm",
    " users": "no blank at either end", "users\t": "no blank at either end", "x" * 51: A_UNIT, "comptes é": A_UNIT,
}  # fmt: skip
FORMS_TOLD: dict[str, dict[str, str]] = {
    text.ID_PATTERN: {"Parler": "small letters a to z, digits and hyphens, a letter or digit first"},
    text.SHA256_PATTERN: {"AB" * 32: "64 digits of 0 to 9 and a to f"},
    text.TEXT_PATTERN: {"\0": "text without U+0000"},
    text.LINE_PATTERN: A_LINE,
    text.PROSE_PATTERN: {"a\u202eb": OVERRIDE, "a\x07b": "no control character but tabs and ends of lines"},
    languages.LANGUAGE_PATTERN: {"fr_FR": WITH_HYPHENS, "i-elvish": LANGUAGE},
    languages.RANGE_PATTERN: {"fr_FR": WITH_HYPHENS, "*": LANGUAGE},
    edtf.PATTERN: IN_RECORDS | {"2021-01-11T08:00:00.5Z": "no fraction of a second"} | DATES,
    edtf.INSTANT_PATTERN: IN_RECORDS
    | TIMES
    | {"2021-01-11T08:00:00.1234567Z": "at most six digits after the second", "noon": A_TIME},
    edtf.CLOCK_PATTERN: AT_A_CLOCK | DATES | {"summer 2020": f"{A_TIME}, or {A_DATE}"},
    asof.AS_OF_PATTERN: AT_A_CLOCK
    | TIMES
    | {"yesterday": f"a position, or {A_TIME}", "-1": f"a position, or {A_TIME}"},
    asof.POSITION_PATTERN: {"-1": "a position: a whole number from 0"},
    DECIMAL_PATTERN: {
        "88,2": "a point before the fraction, and nothing between thousands",
        **dict.fromkeys(("1e6", "007", "+1"), A_NUMBER),
    },
    UNIT_PATTERN: UNITS,
    KNOWN_UNIT_PATTERN: {name: said for name, said in UNITS.items() if name != "%"},
}


@pytest.mark.parametrize(
    ("pattern", "sent", "sentence"),
    [(pattern, sent, sentence) for pattern, told in FORMS_TOLD.items() for sent, sentence in told.items()],
    ids=lambda each: ascii(each)[:30],
)
def test_what_is_not_of_a_form_is_told_how_to_write_it(pattern: str, sent: str, sentence: str) -> None:
    assert not re.search(pattern, sent)
    told = FORMS[pattern]
    assert (told(sent) if callable(told) else told) == sentence


def test_every_form_has_its_sentences_here_or_with_the_addresses() -> None:
    assert FORMS_TOLD.keys() | {addresses.URL_PATTERN} == FORMS.keys()


# Bodies of 256 KiB, or what one operation of a batch may hold, that are full of faults in every way.
_SIZE = 256 * 1024
FULL: dict[str, Any] = {
    "unknown fields": {f"{number:x}": 0 for number in range(_SIZE // 9)},
    "unknown fields of other names": {f" {number:x}": 0 for number in range(_SIZE // 10)},
    "a list too long of what it may hold": {**SOURCE, "derives_from": ["a"] * (_SIZE // 5)},
    "a list too long of what it may not hold": {**SOURCE, "derives_from": [{}] * (_SIZE // 4)},
    "a map too large": {**ENTITY, "names": {f"x-{number:x}": 0 for number in range(_SIZE // 12)}},
    "a text too long with a pattern": {**SOURCE, "url": "https://" + "%" * _SIZE},
    "a note too long": {**SOURCE, "note": "x" * _SIZE},
    "a long text that is no date": {**SOURCE, "published": "2021-01-11/" * (_SIZE // 11)},
    "nests of lists": {**SOURCE, "note": [[[[[[[0] * 9] * 9] * 9] * 9] * 9]]},
    "fractions of zero": {**CLAIM, "locator": {"paragraph": 1.0, "sha256": [1.0] * (_SIZE // 5)}},
    "long names": {"x" * (_SIZE // 2): 0, "y" * (_SIZE // 2): 0},
    "captures in which all is wrong": {**SOURCE, "captures": [dict.fromkeys("abcdefgh", 0)] * 5000},
    "urls that nearly are some": {**ENTITY, "same_as": ["https://x.example/" + "%2" * 990] * 120},
}


@pytest.mark.parametrize("name", FULL)
def test_to_tell_what_is_wrong_costs_no_more_than_to_read_it(name: str) -> None:
    raw = json.dumps(FULL[name]).encode()
    wanted = NEW["claim" if "source" in FULL[name] else "source" if "title" in FULL[name] else "entity"]
    spent, read = min(_seconds(raw, wanted) for _ in range(3)), min(_seconds_to_read(raw) for _ in range(3))
    assert spent < 0.02 + 10 * read, f"{spent * 1000:.1f} ms, and {read * 1000:.1f} ms to read it"


def _seconds(raw: bytes, wanted: type[Struct]) -> float:
    began = time.process_time()
    with pytest.raises(BadBody):
        decode_body(raw, wanted)
    return time.process_time() - began


def _seconds_to_read(raw: bytes) -> float:
    began = time.process_time()
    msgspec.json.decode(raw)
    return time.process_time() - began


_ALL = [*NEW.values(), *ACTIONS.values(), *OPERATIONS.values(), NewRedaction]
_NAMES = st.sampled_from(
    sorted({name for each in NEW.values() for name in each.__struct_fields__} | {"action", "changes", "edtf", "value"})
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["parler", "time", "2021", "revise", "platform", "boolean", "1.5", "en", "asserts", "x" * 3000])
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES | st.text(max_size=3), inner, max_size=8),
    max_leaves=20,
)


@hypothesis_settings(max_examples=300, deadline=None)
@given(wanted=st.sampled_from(_ALL), body=st.dictionaries(_NAMES | st.just("type"), _JSON, max_size=12) | _JSON)
def test_where_the_decoder_refuses_faults_are_told_and_its_own_is_one_of_them(wanted: type[Struct], body: Any) -> None:
    raw = json.dumps(body).encode()
    try:
        decoder(wanted).decode(raw)
    except msgspec.ValidationError as error:
        first = str(error)
    else:
        return
    found = _faults(raw, wanted)
    assert not found or found[0].rule != "not of the form that the contract gives"
    assert not found or len(found) == MOST or any(each.place.startswith(_place(first)) for each in found), (
        first,
        found,
    )


def _faults(raw: bytes, wanted: type[Struct]) -> Sequence[Fault]:
    try:
        decode_body(raw, wanted)
    except BadBody as refused:
        return refused.faults
    return ()


def _place(said: str) -> str:
    """Turn a place as msgspec spells it into a JSON Pointer, as far as it does: what a map holds has no place of its own."""
    rule, _, path = said.partition(" - at `")
    path = path.rstrip("`").removeprefix("key` in `").removeprefix("$")
    steps = [step for step in path.replace("[", ".").replace("]", "").split(".") if step]
    blamed = re.fullmatch(r"Object (?:missing required|contains unknown) field `([A-Za-z0-9_-]{1,64})`", rule)
    return "".join(f"/{step}" for step in [*steps, *([blamed[1]] if blamed else [])])
