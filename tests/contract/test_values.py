"""Numbers, dates, tags and texts of the world: what is sent, what comes back, and the sentence that says how to write it."""

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.builders import a_claim, a_question, a_source, an_entity, an_id
from tests.support.served import Served, refused

NAMED = {"type": "platform", "name": "Parler"}
TITLED = {"type": "article", "title": "An article"}
ASKED = {"about": ["parler"], "text": "How many?", "answer_type": "quantity"}
CLAIMED = {"source": "paper", "question": "q-time", "statement": "Parler went offline."}
JSON = {"Content-Type": "application/json"}


def _source(**said: Any) -> tuple[str, dict[str, Any]]:
    return "sources", {**TITLED, **said}


def _entity(**said: Any) -> tuple[str, dict[str, Any]]:
    return "entities", {**NAMED, **said}


def _question(**said: Any) -> tuple[str, dict[str, Any]]:
    return "questions", {**ASKED, **said}


def _claim(**said: Any) -> tuple[str, dict[str, Any]]:
    return "claims", {**CLAIMED, "answer": {"type": "time", "edtf": "2021-01-11"}, **said}


def _time(edtf: str) -> tuple[str, dict[str, Any]]:
    return _claim(answer={"type": "time", "edtf": edtf})


def _amount(**said: Any) -> tuple[str, dict[str, Any]]:
    return _claim(question="q-quantity", answer={"type": "quantity", "amount": "1", "unit": "users", **said})


# What the document forbids: what is sent, the field, and what the sentence holds.
FORBIDDEN: list[tuple[tuple[str, dict[str, Any]], str, str]] = [
    # Texts
    (_entity(name="\u200b"), "/name", "something to see"),
    (_entity(name=" "), "/name", "something to see"),
    (_entity(name="\u00a0\u3000\ufeff"), "/name", "something to see"),
    (_entity(name="a\u202eb"), "/name", "no bidirectional override"),
    (_entity(name="a\u202db"), "/name", "no bidirectional override"),
    (_entity(name="a\tb"), "/name", "no control character"),
    (_entity(names={"fr": "a\nb"}), "/names/fr", "no control character"),
    (_entity(note="a\x07b"), "/note", "no control character"),
    (_entity(reason="\u2060"), "/reason", "something to see"),
    (_source(title="Two\nlines"), "/title", "no control character"),
    (_source(title="a\x85b"), "/title", "no control character"),
    (_source(title="a\u2028b"), "/title", "no control character"),
    (_source(authors=["\u3164"]), "/authors/0", "something to see"),
    (_question(unit="users", text="\u2800"), "/text", "something to see"),
    (_claim(statement="\x1b[31mred"), "/statement", "no control character"),
    (_claim(question="q-text", answer={"type": "text", "text": "\u00ad"}), "/answer/text", "something to see"),
    # Language tags
    (_source(language="fr_FR"), "/language", "with - between its parts"),
    (_source(language="p"), "/language", "a language tag"),
    (_source(language="i-elvish"), "/language", "a language tag"),
    (_entity(names={"pt_BR": "Parler"}), "/names", "a language tag"),
    # Addresses
    (_source(url="https://["), "/url", "a host"),
    (_source(url="https://@"), "/url", "no user name or password"),
    (_source(url="https://a@b@c"), "/url", "no user name or password"),
    (_source(url="https://user:secret@example.org"), "/url", "no user name or password"),
    (_source(url="https://..."), "/url", "a host"),
    (_source(url="https://example.org:65536"), "/url", "a port from 0 to 65535"),
    (_source(archived_url="https://exa%00mple.org"), "/archived_url", "no % in the host"),
    (_source(url="https://bücher.example"), "/url", "punycode"),
    (_source(url="https://example.org/bücher"), "/url", "percent-encode"),
    (_source(url="https://example.org/a b"), "/url", "percent-encode"),
    (_entity(same_as=["https://example.org", "https:///a"]), "/same_as/1", "a host"),
    # Dates in records
    (_source(published="2021-01-11T08:00:00.5Z"), "/published", "no fraction of a second"),
    (_source(published="2021-01-11T08:00:60Z"), "/published", "no second 60"),
    (_source(published="2021-01-11t08:00z"), "/published", "capital T and Z"),
    (_source(published="2021-01-11 08:00Z"), "/published", "T between"),
    (_source(published="2021-01-11T08:00+0100"), "/published", "zone as ±hh:mm"),
    (_source(published="2021-01-11T08:00 CET"), "/published", "zone as ±hh:mm"),
    (_source(published="2021-01-11T08:00+15:00"), "/published", "zone as ±hh:mm"),
    (_source(published="2021-02-30"), "/published", "that there are"),
    (_source(published="2021-1-5"), "/published", "two digits"),
    (_source(published="11.01.2021"), "/published", "year, month, day"),
    (_source(published="20210111"), "/published", "hyphens"),
    (_source(published="2021-22"), "/published", "no seasons"),
    (_source(published="2021-01-1X"), "/published", "no X"),
    (_source(published="2021%"), "/published", "not %"),
    (_source(published="summer 2020"), "/published", "a date: 2021"),
    (_source(captures=[{"sha256": "0" * 64, "bytes": 1, "completeness": "full", "captured_at": "2021-01-11"}]),
     "/captures/0/captured_at", "a time of day and a zone"),
    (_source(captures=[{"sha256": "0" * 64, "bytes": 1, "completeness": "full", "captured_at": "2021-01-11T08:00:00.1234567Z"}]),
     "/captures/0/captured_at", "at most six digits"),
    (_source(captures=[{"sha256": "0" * 64, "bytes": 1, "completeness": "full", "captured_at": "2021-01-11T08:00:00+23:59"}]),
     "/captures/0/captured_at", "zone as ±hh:mm"),
    (_time("2021-01-11T08"), "/answer/edtf", "minutes too"),
    (_time("2021-01-11T24:00"), "/answer/edtf", "midnight as T00:00"),
    # Numbers and units
    (_amount(amount="1e6"), "/answer/amount", "exponent"),
    (_amount(amount="88,2"), "/answer/amount", "a point"),
    (_amount(amount="007"), "/answer/amount", "zeros in front"),
    (_amount(unit="%"), "/answer/unit", "write percent"),
    (_amount(unit=" users"), "/answer/unit", "no blank at either end"),
    (_question(unit="%"), "/unit", "write percent"),
    (_question(unit="users %"), "/unit", "write percent"),
    (_question(unit="€"), "/unit", "write EUR"),
    (_question(unit="$"), "/unit", "write USD"),
    (_question(unit="£"), "/unit", "write GBP"),
    (_question(unit="°C"), "/unit", "write celsius"),
    (_question(unit="℃"), "/unit", "write celsius"),
    (_question(unit="m²"), "/unit", "m2"),
    (_question(unit="m³"), "/unit", "m3"),
    (_question(unit="users "), "/unit", "no blank at either end"),
    (_question(unit="\tusers"), "/unit", "no blank at either end"),
    (_question(unit="utilisateurs inscrits é"), "/unit", "what is counted"),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "pointer", "sentence"), FORBIDDEN, ids=lambda each: ascii(each)[:60])
def test_what_the_document_forbids_is_a_422_that_says_how_to_write_it(
    ground: Served, sent: tuple[str, dict[str, Any]], pointer: str, sentence: str
) -> None:
    kind, body = sent
    with ground.unchanged():
        problem = refused(ground.post(f"/v1/{kind}", body), 422, "bad-body", pointer=pointer)
    assert sentence in problem["errors"][0]["rule"]


# What it allows and a rule refuses: what is sent, the type, the field, and what the sentence holds.
REFUSED: list[tuple[tuple[str, dict[str, Any]], str, str, str]] = [
    (_entity(names={"pt": "Parler", "PT": "Parlér"}), "not-applicable", "/names/PT", "the same language twice"),
    (_source(url="https://[:::]"), "bad-url", "/url", "the host is neither"),
    (_source(url="https://999.999.999.999"), "bad-url", "/url", "the host is neither"),
    (_source(url="https://127.1"), "bad-url", "/url", "write four numbers"),
    (_source(url="https://xn--a"), "bad-url", "/url", "punycode"),
    (_entity(same_as=["https://" + "a." * 127 + "aa"]), "bad-url", "/same_as/0", "at most 253"),
    (_source(published="9999-12-31T23:59:59-12:00"), "interval-reversed", "/published", "0001 to 9999"),
    (_time("9999-12-31T23:59:59-12:00"), "interval-reversed", "/answer/edtf", "0001 to 9999"),
    (_time("0001-01-01T00:00+14:00"), "interval-reversed", "/answer/edtf", "0001 to 9999"),
    (_amount(unit="users "), "answer-does-not-fit", "/answer", "quantity in users"),
]


@pytest.mark.parametrize(("sent", "slug", "pointer", "sentence"), REFUSED, ids=lambda each: ascii(each)[:60])
def test_what_a_rule_refuses_is_a_409_that_says_what_is_wanted(
    ground: Served, sent: tuple[str, dict[str, Any]], slug: str, pointer: str, sentence: str
) -> None:
    kind, body = sent
    with ground.unchanged():
        problem = refused(ground.post(f"/v1/{kind}", body), 409, slug, pointer=pointer)
    assert sentence in problem["errors"][0]["rule"]


TAKEN: list[tuple[str, dict[str, Any]]] = [
    _entity(name="👩\u200d💻"),
    _entity(name="\u2067שלום\u2069"),
    _entity(name="\u0301"),
    _entity(note="Two\nlines\tand\r\na half"),
    _entity(note=""),
    _entity(names={"i-klingon": "Parler", "zh-min-nan": "Parler", "x-ours": "Parler", "EN-gb-OED": "Parler"}),
    _source(language="i-klingon"),
    _source(language="SGN-be-fr"),
    _source(url="HTTPS://Example.com"),
    _source(url="https://example.org:65535/?q=a[]#b"),
    _source(url="https://[2001:DB8::1]:8080/"),
    _source(url="https://example.org./"),
    _source(url="http://192.0.2.1/%C3%A9"),
    _source(published="9999-12-31"),
    _source(captures=[{"sha256": "0" * 64, "bytes": 1, "completeness": "full", "captured_at": "2021-01-11T08:00:00.123456+14:00"}]),
    _question(unit="accounts/day"),
    _question(unit="m2"),
    _question(unit="active users"),
    _question(unit="U.S. dollars of 2021"),
    _amount(amount="1" * 40),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body"), TAKEN, ids=lambda each: ascii(each)[:60])
def test_what_is_taken_is_kept_as_it_came(ground: Served, kind: str, body: dict[str, Any]) -> None:
    response = ground.post(f"/v1/{kind}", body)
    assert response.status_code == 201, response.text
    shown = ground.get(response.headers["location"]).json()
    assert {name: shown[name] for name in body if name not in ("answer", "captures")} == {
        name: value for name, value in body.items() if name not in ("answer", "captures")
    }


def _asked(ground: Served, path: str, **query: str) -> httpx.Response:
    return ground.get(path + "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items()))


TIMES = [
    "2021-01-11T08:00:00Z",
    "2021-01-11t08:00:00z",
    "2021-01-11 08:00:00Z",
    "2021-01-11T08:00:00.1234567890123456789Z",
    "2021-01-11T08:00:00" + "." + "9" * 300 + "z",
    "2021-01-11T08:00:00+23:59",
    "2021-01-11T08:00:00-23:59",
    "2021-01-11T08:00:00-00:00",
    "2016-12-31T23:59:60Z",
    "2016-12-31T23:59:60.5-08:00",
    "0000-01-01T00:00:00Z",
    "0000-02-29T00:00:00+23:59",
]
CLOCKS = [
    ("/v1/claims", "as_of"),
    ("/v1/claims", "published_by"),
    ("/v1/claims", "valid_at"),
    ("/v1/claims", "valid_from"),
    ("/v1/claims", "valid_until"),
    ("/v1/sources", "published_from"),
    ("/v1/sources", "published_until"),
    ("/v1/timeline", "as_of"),
    ("/v1/stats", "as_of"),
    ("/v1/diff", "from"),
    ("/v1/questions/q-time/answers", "valid_at"),
]


@pytest.mark.parametrize(("path", "name"), CLOCKS)
def test_every_time_of_rfc_3339_is_taken_at_every_clock(ground: Served, path: str, name: str) -> None:
    for time in TIMES:
        response = _asked(ground, path, **{name: time})
        assert response.status_code == 200, (time, response.text)


def test_the_same_time_however_it_is_written_finds_the_same(ground: Served) -> None:
    recorded = ground.get("/v1/claims/said").json()["recorded_at"]
    written = [
        recorded,
        recorded.lower(),
        recorded.replace("T", " "),
        recorded.replace("Z", "999Z"),
        recorded.replace("Z", "+00:00"),
    ]
    found = {_asked(ground, "/v1/claims", as_of=each).json()["position"] for each in written}
    assert len(found) == 1


# What is asked for, the parameter, and what the sentence holds.
BAD_TIMES: list[tuple[str, str, str, str]] = [
    ("/v1/claims", "as_of", "2021-01-11T12:00:00 01:00", "write + as %2B"),
    ("/v1/claims", "published_by", "2021-01-11T12:00:00.5 01:00", "write + as %2B"),
    ("/v1/claims", "valid_at", "2021-01-11T12:00 01:00", "write + as %2B"),
    ("/v1/claims", "as_of", "2021-01-11", "a time of day and a zone too"),
    ("/v1/claims", "as_of", "2021-01-11T12:00:00", "a zone too"),
    ("/v1/claims", "as_of", "2021-01-11T12:00Z", "seconds too"),
    ("/v1/claims", "as_of", "2021-02-30T12:00:00Z", "that there are"),
    ("/v1/claims", "as_of", "2021-01-11T12:00:00+0100", "zone as ±hh:mm"),
    ("/v1/claims", "as_of", "2021-01-11T12:00:00,5Z", "a point before the fraction"),
    ("/v1/claims", "as_of", "2021-01-11T24:00:00Z", "midnight as T00:00"),
    ("/v1/claims", "as_of", "yesterday", "a position, or an RFC 3339 time"),
    ("/v1/claims", "as_of", "-1", "a position, or an RFC 3339 time"),
    ("/v1/claims", "published_by", "2021-13", "that there are"),
    ("/v1/claims", "published_by", "spring", "an RFC 3339 time: 2021-01-11T08:00:00Z, or a date"),
    ("/v1/claims", "published_by", "2021-02-29", "that there are"),
    ("/v1/claims", "valid_at", "2021-XX", "no X"),
    ("/v1/diff", "from", "2021-01-11", "a time of day and a zone too"),
    ("/v1/sources", "language", "fr_FR", "with - between its parts"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "name", "value", "sentence"), BAD_TIMES)
def test_what_is_no_time_is_a_400_that_says_how_to_write_it(
    ground: Served, path: str, name: str, value: str, sentence: str
) -> None:
    problem = refused(_asked(ground, path, **{name: value}), 400, "bad-parameter", parameter=name)
    assert sentence in problem["errors"][0]["rule"]


@pytest.fixture(scope="module")
def tagged(served: Served) -> dict[str, str]:
    """Sources by the tag that they state, with a claim in each."""
    served.append(an_entity("nation"), a_question("tongue", about="nation"))
    tags = {an_id("tagged"): tag for tag in ("pt", "pt-BR", "PT-pt", "ptx", "zh-Hant-TW", "i-klingon", "en-GB-oed")}
    for public_id, tag in tags.items():
        served.append(a_source(public_id, language=tag, publisher="nation"))
        served.append(a_claim(f"{public_id}-claim", source=public_id, question="tongue"))
    return tags


RANGES = {
    "pt": {"pt", "pt-BR", "PT-pt"},
    "PT": {"pt", "pt-BR", "PT-pt"},
    "pt-br": {"pt-BR"},
    "PT-PT": {"PT-pt"},
    "p": set(),
    "ptx": {"ptx"},
    "pt-B": set(),
    "zh": {"zh-Hant-TW"},
    "zh-hant": {"zh-Hant-TW"},
    "zh-TW": set(),
    "i": {"i-klingon"},
    "I-KLINGON": {"i-klingon"},
    "en-gb": {"en-GB-oed"},
}


@pytest.mark.parametrize("wanted", RANGES)
def test_a_language_finds_what_begins_with_it_by_whole_subtags_now_and_as_of(
    served: Served, tagged: dict[str, str], wanted: str
) -> None:
    expected = {public_id for public_id, tag in tagged.items() if tag in RANGES[wanted]}
    for when in ("", f"&as_of={served.head()}"):
        sources = served.get(f"/v1/sources?publisher=nation&language={wanted}{when}").json()["items"]
        claims = served.get(f"/v1/claims?question=tongue&language={wanted}{when}").json()["items"]
        times = served.get(f"/v1/timeline?question=tongue&language={wanted}{when}").json()["items"]
        assert {each["id"] for each in sources} == expected
        assert {each["source"] for each in claims} == {each["source"] for each in times} == expected


def test_of_several_languages_any_will_do(served: Served, tagged: dict[str, str]) -> None:
    for kind, name in (("sources", "id"), ("claims", "source")):
        items = served.get(f"/v1/{kind}?language=PT-br&language=zh&language=p").json()["items"]
        assert {tagged[each[name]] for each in items} == {"pt-BR", "zh-Hant-TW"}


def test_before_it_was_stated_a_language_finds_nothing(served: Served, tagged: dict[str, str]) -> None:
    first = served.get(f"/v1/sources/{next(iter(tagged))}").json()["first_position"]
    assert served.get(f"/v1/sources?language=pt&as_of={first - 1}").json()["items"] == []
    assert len(served.get(f"/v1/sources?language=pt&as_of={first}").json()["items"]) == 1


def test_facets_count_what_each_language_finds_in_its_usual_case(served: Served, tagged: dict[str, str]) -> None:
    facets = served.get("/v1/sources?publisher=nation&facets=language&limit=1").json()["facets"]["language"]
    counts = {each["value"]: each["count"] for each in facets}
    assert counts == {"pt": 3, "en": 1, "en-GB": 1, "en-GB-oed": 1, "i": 1, "i-klingon": 1, "pt-BR": 1, "pt-PT": 1, "ptx": 1,
                      "zh": 1, "zh-Hant": 1, "zh-Hant-TW": 1}  # fmt: skip
    assert served.get(f"/v1/sources?id={next(reversed(tagged))}").json()["items"][0]["language"] == "en-GB-oed"


REPEATED = [
    ("/v1/entities", b'{"type": "other", "name": "A", "name": "B"}', "/name"),
    ("/v1/entities", rb'{"type": "other", "name": "A", "n\u0061me": "B"}', "/name"),
    ("/v1/entities", b'{"type": "other", "name": "A", "names": {"fr": "A", "fr": "B"}}', "/names/fr"),
    ("/v1/entities", b'{"type": "other", "name": "A", "note": "%b", "name": "B"}' % (b"x" * 9000), "/name"),
    ("/v1/entities", b'{"type": "other", "name": "A", "note": "\xef\xbb\xbf", "note": null}', "/note"),
    (
        "/v1/claims",
        b'{"source": "paper", "question": "q-time", "statement": "A.", "answer": {"type": "time", "edtf": "2021", "edtf": "2022"}}',
        "/answer/edtf",
    ),
    (
        "/v1/claims/said/revisions",
        b'{"action": "revise", "reason": "A", "changes": {"note": "A", "note": "B"}}',
        "/changes/note",
    ),
    ("/v1/claims/said/revisions", b'{"action": "retract", "reason": "A", "action": "retract"}', "/action"),
    (
        "/v1/redactions",
        b'{"kind": "claim", "id": "said", "basis": "error", "basis": "safety", "reason": "A"}',
        "/basis",
    ),
]


@pytest.mark.parametrize(("path", "raw", "pointer"), REPEATED)
def test_a_name_that_stands_twice_in_one_object_is_refused(ground: Served, path: str, raw: bytes, pointer: str) -> None:
    with ground.unchanged():
        response = ground.client.post(path, content=raw, headers={**JSON, "If-Match": "*"})
        problem = refused(response, 422, "bad-body", pointer=pointer)
    assert "twice in one object" in problem["errors"][0]["rule"]


@pytest.mark.parametrize("media_type", ["application/json", "application/x-ndjson"])
@pytest.mark.parametrize("count", [3, 300])
def test_a_batch_is_held_to_that_too_and_names_the_operation(ground: Served, media_type: str, count: int) -> None:
    sound = [json.dumps({"op": "record", "kind": "entity", "id": an_id("e"), "body": NAMED}) for _ in range(count)]
    torn = '{"op": "record", "kind": "entity", "body": {"type": "other", "name": "A", "name": "B"}}'
    lines = [*sound, torn]
    raw = "\n".join(lines) if "nd" in media_type else f"[{','.join(lines)}]"
    with ground.unchanged():
        response = ground.client.post("/v1/batch", content=raw.encode(), headers={"Content-Type": media_type})
        problem = refused(response, 422, "bad-body", pointer="/body/name")
    assert problem["operation"] == count


def test_shared_numbers_keep_every_digit(ground: Served) -> None:
    question, amount = an_id("q"), "12345678901234567890123456789012345678.9"
    ground.append(a_question(question, about="parler", answer_type="quantity", unit="users"))
    for _ in range(2):
        ground.append(
            a_claim(source="paper", question=question, answer={"type": "quantity", "amount": amount, "unit": "users"})
        )
    shared = ground.get(f"/v1/questions/{question}/answers").json()["groups"][0]["shared"]
    assert shared == {"type": "quantity", "low": amount, "high": amount}
