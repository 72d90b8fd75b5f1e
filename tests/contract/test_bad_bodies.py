"""Bodies that the published document forbids: each a 422 that names the field and never repeats what it held."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from api.domain.errors import BadBody
from api.domain.records import operation
from api.domain.records.operation import ACTIONS, NEW, OPERATIONS, decode_body
from tests.support.builders import an_id
from tests.support.served import Served, refused

SECRET = "s3cret-value"
JSON = {"Content-Type": "application/json"}


def _claim(question: str = "q-time", **body: Any) -> dict[str, Any]:
    said = {"source": "paper", "question": question, "statement": "Parler went offline."}
    return {**said, "answer": {"type": "time", "edtf": "2021-01-11"}, **body}


def _quantity(**answer: Any) -> dict[str, Any]:
    return _claim("q-quantity", answer={"type": "quantity", "unit": "users", **answer})


NAMED = {"type": "platform", "name": "Parler"}
TITLED = {"type": "article", "title": "An article"}
# Bodies that the document forbids: each a path, a body, and the pointer that is named.
BAD_BODIES: list[tuple[str, Any, str]] = [
    ("entities", [], ""),
    ("entities", {"name": "x"}, "/type"),
    ("entities", {**NAMED, "type": SECRET}, "/type"),
    ("entities", {**NAMED, "name": ""}, "/name"),
    ("entities", {**NAMED, "name": 5}, "/name"),
    ("entities", {**NAMED, "name": None}, "/name"),
    ("entities", {**NAMED, "name": "\x00" + SECRET}, "/name"),
    ("entities", {**NAMED, "name": "x" * 501}, "/name"),
    ("entities", {**NAMED, "names": {"not a language": SECRET}}, "/names"),
    ("entities", {**NAMED, "same_as": ["https://x", f"ftp://{SECRET}"]}, "/same_as/1"),
    ("entities", {**NAMED, "same_as": ["javascript:alert(1)"]}, "/same_as/0"),
    ("entities", {**NAMED, "part_of": "Not An Id"}, "/part_of"),
    ("entities", {**NAMED, "id": "UPPER"}, "/id"),
    ("entities", {**NAMED, "id": "a" * 101}, "/id"),
    ("entities", {**NAMED, "status": "retracted"}, "/status"),
    ("entities", {**NAMED, "links": []}, "/links"),
    ("entities", {**NAMED, "position": 5}, "/position"),
    ("entities", {**NAMED, "reason": ""}, "/reason"),
    ("sources", {**TITLED, "published": "2021-02-30"}, "/published"),
    ("sources", {**TITLED, "published": "2021-01-11T25:00"}, "/published"),
    ("sources", {**TITLED, "published": "summer 2020"}, "/published"),
    ("sources", {**TITLED, "captures": [{"sha256": "00", "bytes": 1, "completeness": "full"}]}, "/captures/0/sha256"),
    (
        "sources",
        {**TITLED, "captures": [{"sha256": "0" * 64, "bytes": -1, "completeness": "full"}]},
        "/captures/0/bytes",
    ),
    (
        "sources",
        {**TITLED, "captures": [{"sha256": "0" * 64, "bytes": 2**53, "completeness": "full"}]},
        "/captures/0/bytes",
    ),
    (
        "sources",
        {**TITLED, "captures": [{"sha256": "0" * 64, "bytes": 1.5, "completeness": "full"}]},
        "/captures/0/bytes",
    ),
    ("sources", {**TITLED, "derives_from": "paper"}, "/derives_from"),
    ("questions", {"about": [], "text": "When?", "answer_type": "time"}, "/about"),
    ("questions", {"about": ["parler"], "text": "When?", "answer_type": SECRET}, "/answer_type"),
    ("questions", {"about": ["parler"], "text": "When?", "answer_type": "time", "varies": "yes"}, "/varies"),
    ("claims", _claim(answer={"type": SECRET}), "/answer/type"),
    ("claims", _claim(answer={}), "/answer/type"),
    ("claims", _claim(answer={"type": "time", "edtf": "2021-04-31"}), "/answer/edtf"),
    ("claims", _claim(answer={"type": "time", "edtf": "1900-02-29"}), "/answer/edtf"),
    ("claims", _claim(answer={"type": "time", "edtf": "2021-21"}), "/answer/edtf"),
    ("claims", _claim(answer={"type": "time", "edtf": "2021-01-1X"}), "/answer/edtf"),
    ("claims", _claim(answer={"type": "time", "edtf": "2021-01-11", "bounds": None}), "/answer/bounds"),
    ("claims", _quantity(amount=15), "/answer/amount"),
    ("claims", _quantity(amount=1.5), "/answer/amount"),
    ("claims", _quantity(amount="1e6"), "/answer/amount"),
    ("claims", _quantity(amount="007"), "/answer/amount"),
    ("claims", _quantity(amount="9" * 41), "/answer/amount"),
    ("claims", _claim(answer={"type": "entities", "entities": []}), "/answer/entities"),
    ("claims", _claim(stance="shouts"), "/stance"),
    ("claims", _claim(links=[]), "/links"),
    ("claims", _claim(locator={"paragraph": 0, "sha256": "0" * 64}), "/locator/paragraph"),
    ("claims", _claim(locator={"paragraph": 1.5, "sha256": "0" * 64}), "/locator/paragraph"),
    ("claims", _claim(locator={"paragraph": 2**70, "sha256": "0" * 64}), "/locator/paragraph"),
]


@pytest.mark.parametrize(("kind", "body", "pointer"), BAD_BODIES)
def test_a_body_outside_the_document_is_a_422_that_names_the_field(
    ground: Served, kind: str, body: Any, pointer: str
) -> None:
    with ground.unchanged():
        problem = refused(ground.post(f"/v1/{kind}", body), 422, "bad-body")
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
    assert SECRET not in str(problem)
    assert len(problem["detail"]) < 300, "a rule is for people to read"


RAW = {
    "nothing": b"",
    "white space": b" \n",
    "half an object": b'{"type": "other"',
    "two texts": b'{"type": "other", "name": "x"} {}',
    "not JSON": b"type=other&name=x",
    "two byte order marks": b'\xef\xbb\xbf\xef\xbb\xbf{"type": "other", "name": "x"}',
    "a byte order mark alone": b"\xef\xbb\xbf",
    "Latin-1": '{"type": "other", "name": "é"}'.encode("latin-1"),
    "UTF-16": '{"type": "other", "name": "x"}'.encode("utf-16"),
    "a lone surrogate": b'{"type": "other", "name": "\\ud800"}',
    "a lone low surrogate": b'{"type": "other", "name": "\\udc00x"}',
    "a surrogate in UTF-8": b'{"type": "other", "name": "\xed\xa0\x80"}',
    "U+0000": b'{"type": "other", "name": "\\u0000"}',
    "a raw control character": b'{"type": "other", "name": "\x01"}',
    "NaN": b'{"type": "other", "name": NaN}',
    "a huge exponent": b'{"type": "other", "name": 1e999}',
    "a huge integer": b'{"type": "other", "name": ' + b"9" * 5000 + b"}",
    "null": b"null",
    "a string": b'"other"',
    "a trailing comma": b'{"type": "other", "name": "x",}',
    "a comment": b'{"type": "other", "name": "x" /* */}',
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
def test_what_is_not_the_json_expected_is_a_422(ground: Served, raw: bytes) -> None:
    with ground.unchanged():
        refused(ground.client.post("/v1/entities", content=raw, headers=JSON), 422, "bad-body")


NO_JSON = "not one JSON text in UTF-8"


@pytest.mark.parametrize(
    ("path", "raw", "rule"),
    [
        ("entities", b'{"type": "other", "name": "x",}', f"{NO_JSON}: look at byte 30, counted from 0"),
        ("entities", b"{'type': 'other'}", f"{NO_JSON}: look at byte 1, counted from 0"),
        ("entities", b'{"type": "other"', NO_JSON),
        ("batch", b'[{"op": "record",}]', f"{NO_JSON}: look at byte 17, counted from 0"),
    ],
)
def test_where_a_text_stops_being_json_is_told(ground: Served, path: str, raw: bytes, rule: str) -> None:
    problem = refused(ground.client.post(f"/v1/{path}", content=raw, headers=JSON), 422, "bad-body", pointer="")
    assert problem["errors"][0]["rule"] == rule


TAKEN = {
    "a byte order mark": (b'\xef\xbb\xbf{"type": "other", "name": "x"}', "application/json"),
    "a byte order mark before something wrong": (b'\xef\xbb\xbf{"type": "other"}', "application/json"),
    "utf8": (b'{"type": "other", "name": "x"}', "application/json; charset=utf8"),
    "a charset in quotes": (b'{"type": "other", "name": "x"}', 'application/json; charset="UTF-8"'),
    "another parameter": (b'{"type": "other", "name": "x"}', "application/json; version=1"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_json_is_taken_as_clients_send_it(ground: Served, name: str) -> None:
    raw, content_type = TAKEN[name]
    response = ground.client.post("/v1/entities", content=raw, headers={"Content-Type": content_type})
    if "wrong" in name:
        refused(response, 422, "bad-body", pointer="/name")
    else:
        assert response.status_code == 201, response.text


def test_all_that_is_wrong_with_a_body_is_told_at_once(ground: Served) -> None:
    body = _claim(source="Not An Id", stance="shouts", answer={"type": "time", "edtf": 2021}, s3cret=SECRET)
    problem = refused(ground.post("/v1/claims", body), 422, "bad-body")
    assert [fault["pointer"] for fault in problem["errors"]] == ["/source", "/answer/edtf", "/stance", "/s3cret"]
    assert all(fault["rule"] for fault in problem["errors"])
    assert problem["detail"].endswith("; and more, at /answer/edtf, /stance, /s3cret")
    assert SECRET not in str(problem)


def test_all_that_is_wrong_with_an_operation_of_a_batch_is_told_at_once(ground: Served) -> None:
    good = {"op": "record", "kind": "entity", "body": NAMED}
    bad = {"op": "record", "kind": "entity", "body": {"type": SECRET}, "id": 5}
    problem = refused(ground.post("/v1/batch", [good, bad, bad]), 422, "bad-body")
    assert problem["operation"] == 1
    assert [fault["pointer"] for fault in problem["errors"]] == ["/body/type", "/body/name", "/id"]


def test_an_id_chosen_by_the_client_may_be_as_long_as_the_document_says(ground: Served) -> None:
    for public_id in ("0", "a" * 100, "a-", "null", an_id("x")):
        response = ground.post("/v1/entities", {**NAMED, "id": public_id})
        assert response.status_code == 201
        assert ground.get(response.headers["location"]).json()["id"] == public_id


_PATHS = st.sampled_from(
    ["/v1/entities", "/v1/sources", "/v1/questions", "/v1/claims", "/v1/batch", "/v1/claims/said/revisions"]
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["parler", "paper", "q-time", "time", "2021", "record", "claim"])
)
_NAMES = st.sampled_from(
    [
        "type",
        "name",
        "id",
        "source",
        "question",
        "statement",
        "answer",
        "edtf",
        "action",
        "reason",
        "op",
        "kind",
        "body",
        "changes",
    ]
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES | st.text(), inner, max_size=6),
    max_leaves=12,
)
_FUZZ = hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_FUZZ
@given(path=_PATHS, body=_JSON | st.binary(max_size=60))
def test_no_body_makes_a_500(ground: Served, path: str, body: Any) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = ground.client.post(path, content=raw, headers={**JSON, "If-Match": "*"})
    assert response.status_code < 500, (path, raw)


def test_what_bodies_may_hold_is_worked_out_before_the_first_is_read() -> None:
    """Two threads that meet in msgspec's working it out bring the process down."""
    known = set(operation._DECODERS)
    for wanted in (*NEW.values(), *ACTIONS.values(), *OPERATIONS.values()):
        with pytest.raises(BadBody):
            decode_body(b"{}", wanted)
    assert set(operation._DECODERS) == known
