"""The status rule: which of 400, 422, 409 and 404 a fault is, in which order faults are judged, and that none is a 500."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.types import ASGIApp, Receive, Scope, Send

from tests.support.builders import a_claim, a_source, an_entity, an_id, link, retract
from tests.support.served import DATABASES, Served, migrated, refused, serve

JSON = {"Content-Type": "application/json"}
NAMED = {"type": "platform", "name": "Parler"}


class _Elsewhere:
    """Lets a request say from which address it comes, as the socket would."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = next(
            (value.decode() for name, value in scope.get("headers", ()) if name == b"x-address"), "192.0.2.1"
        )
        await self._app({**scope, "client": (address, 40000)}, receive, send)  # type: ignore[arg-type]


@pytest.fixture(params=DATABASES)
def limited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that an anonymous address may ask once a minute."""
    folder = tmp_path_factory.mktemp("limited")
    with migrated(request, request.param, folder, rate_limit="1,1000") as settings, serve(settings) as service:
        service.client.app = _Elsewhere(service.client.app)  # type: ignore[assignment]
        yield service


def test_faults_are_judged_in_the_published_order(limited: Served) -> None:
    limited.append(an_entity("parler"), an_entity("amazon"))
    limited.post("/v1/entities", {"type": "platform", "name": "Gab"}, Idempotency_Key="used-before")
    limited.client.get("/v1/stats", headers={"Authorization": "Basic x"})
    no_change = json.dumps({"action": "revise", "reason": "None", "changes": {"name": "Parler"}}).encode()
    request: dict[str, Any] = {
        "method": "PUT",
        "url": "/v1/entities/nobody/revisions?surprise=1",
        "content": b"{" * 300_000,
        "headers": {
            "Content-Type": "text/plain",
            "Accept": "image/png",
            "Authorization": "Bearer wrong",
            "Idempotency-Key": "used-before",
        },
    }
    headers = request["headers"]
    narrow, right = f"Bearer {limited.make_key('redact')}", f"Bearer {limited.key}"
    peeled: list[tuple[int, str, Any]] = [
        (405, "method-not-allowed", lambda: request.update(method="POST")),
        (429, "too-many-requests", lambda: headers.update({"X-Address": "198.51.100.7"})),
        (413, "too-large", lambda: (request.update(content=b"{"), headers.update({"X-Address": "198.51.100.8"}))),
        (415, "unsupported-media-type", lambda: headers.update({**JSON, "X-Address": "198.51.100.9"})),
        (406, "not-acceptable", lambda: headers.update({"Accept": "application/json", "X-Address": "198.51.100.10"})),
        (401, "unauthorized", lambda: headers.update({"Authorization": narrow})),
        (403, "forbidden", lambda: headers.update({"Authorization": right})),
        # Only now is the body looked at, which has no length told beforehand.
        (400, "bad-parameter", lambda: request.update(url="/v1/entities/nobody/revisions", content=b"[" * 33)),
        (413, "too-large", lambda: request.update(content=b"{")),
        (422, "bad-body", lambda: (request.update(content=no_change), headers.update({"If-Match": '"1"'}))),
        (409, "idempotency-key-reused", lambda: headers.pop("Idempotency-Key")),
        (404, "unknown-record", lambda: (request.update(url="/v1/entities/parler/revisions"), headers.pop("If-Match"))),
        (428, "precondition-required", lambda: headers.update({"If-Match": '"1"'})),
        (412, "stale", lambda: headers.update({"If-Match": "*"})),
        (409, "no-change", lambda: request.update(content=no_change.replace(b"Parler", b"Parler LLC"))),
    ]
    before = limited.head()
    for status, slug, peel in peeled:
        refused(limited.client.request(**request), status, slug)
        peel()
    assert limited.head() == before
    assert limited.client.request(**request).status_code == 201
    assert limited.head() == before + 1


def test_every_answer_that_counts_says_what_is_left(limited: Served) -> None:
    del limited.client.headers["Authorization"]
    counted = {
        "/v1/stats": 200,
        "/v1/entities/nobody": 404,
        "/v1/entities?surprise=1": 400,
        "/nothing/here": 404,
        "/openapi.json": 200,
        "/tlog/checkpoint": 200,
    }
    for number, (path, status) in enumerate(counted.items()):
        address = {"X_Address": f"203.0.113.{number}"}
        first, second = limited.get(path, **address), limited.get(path, **address)
        assert first.status_code == status
        assert first.headers["ratelimit"].startswith('"anonymous";r=0;')
        refused(second, 429, "too-many-requests")
        assert 1 <= int(second.headers["retry-after"]) <= 60


CONTENT_TYPES = ["", "text/plain", "application/xml", "application/json; charset=latin-1", "application/json; charset=utf-16",
                 "application/x-ndjson", "application/x-www-form-urlencoded", "application/jsonx", "garbage"]  # fmt: skip


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_other_types_and_charsets_are_a_415(ground: Served, content_type: str) -> None:
    with ground.unchanged():
        response = ground.client.post(
            "/v1/entities", content=json.dumps(NAMED).encode(), headers={"Content-Type": content_type}
        )
        refused(response, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "APPLICATION/JSON", "application/json; charset=UTF-8", 'application/json;charset="utf-8"'],
)
def test_json_may_be_spelt_as_the_standards_allow(ground: Served, content_type: str) -> None:
    response = ground.client.post(
        "/v1/entities", content=json.dumps(NAMED).encode(), headers={"Content-Type": content_type}
    )
    assert response.status_code == 201


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip", "nonsense"])
def test_encoded_bodies_are_a_415(ground: Served, encoding: str) -> None:
    with ground.unchanged():
        headers = {**JSON, "Content-Encoding": encoding}
        refused(ground.client.post("/v1/entities", json=NAMED, headers=headers), 415, "unsupported-media-type")


def test_a_body_too_large_is_a_413_whether_its_length_is_told_or_not(ground: Served) -> None:
    most = ground.settings.max_body
    large = json.dumps({**NAMED, "note": "x" * most}).encode()
    with ground.unchanged():
        for path in ("/v1/entities", "/v1/entities/parler/revisions"):
            answer = ground.client.post(path, content=large, headers=JSON)
            refused(answer, 413, "too-large")
            assert answer.headers["connection"] == "close", "what is left of the body would be read as a request"
            chunks = iter([large[:1000], large[1000:]])
            refused(ground.client.post(path, content=chunks, headers=JSON), 413, "too-large")


def test_a_body_of_exactly_the_most_is_read(ground: Served) -> None:
    raw = json.dumps({**NAMED, "note": "x"}).encode()
    padded = raw + b" " * (ground.settings.max_body - len(raw))
    assert ground.client.post("/v1/entities", content=padded, headers=JSON).status_code == 201
    refused(ground.client.post("/v1/entities", content=padded + b" ", headers=JSON), 413, "too-large")


def test_deep_json_is_a_413(ground: Served) -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        for depth in (33, 10_000):
            raw = opening * depth + b"1" + closing * depth
            refused(ground.client.post("/v1/entities", content=raw, headers=JSON), 413, "too-large")
        raw = opening * 32 + b"1" + closing * 32
        refused(ground.client.post("/v1/entities", content=raw, headers=JSON), 422, "bad-body")
    flat = json.dumps({**NAMED, "name": "[" * 100 + '\\"{'}).encode()
    assert ground.client.post("/v1/entities", content=flat, headers=JSON).status_code == 201


def _claim(question: str = "q-time", **body: Any) -> dict[str, Any]:
    said = {"source": "paper", "question": question, "statement": "Parler went offline."}
    return {**said, "answer": {"type": "time", "edtf": "2021-01-11"}, **body}


def _quantity(**answer: Any) -> dict[str, Any]:
    return _claim("q-quantity", answer={"type": "quantity", "unit": "users", **answer})


TITLED = {"type": "article", "title": "An article"}
ASKED = {"about": ["parler"], "text": "When?", "answer_type": "time"}
UUID = "01234567-89ab-7def-8123-456789abcdef"
# What the document allows and the ledger's state, or a rule between fields, refuses: path, body, type, pointer.
REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("entities", {**NAMED, "part_of": "s3cret-value"}, "unknown-entity", "/part_of"),
    ("entities", {**NAMED, "id": UUID}, "id-form", "/id"),
    ("entities", {**NAMED, "id": "parler"}, "id-taken", "/id"),
    ("sources", {**TITLED, "publisher": "s3cret-value"}, "unknown-entity", "/publisher"),
    ("sources", {**TITLED, "part_of": "s3cret-value"}, "unknown-source", "/part_of"),
    ("sources", {**TITLED, "derives_from": ["paper", "s3cret-value"]}, "unknown-source", "/derives_from/1"),
    ("sources", {**TITLED, "derives_from": ["paper", "paper"]}, "not-applicable", "/derives_from/1"),
    ("sources", {**TITLED, "published": "2021-02/2021-01"}, "interval-reversed", "/published"),
    ("sources", {**TITLED, "published": "2021-02", "modified": "2020"}, "interval-reversed", "/modified"),
    ("questions", {**ASKED, "about": ["s3cret-value"]}, "unknown-entity", "/about/0"),
    ("questions", {**ASKED, "about": ["parler", "parler"]}, "not-applicable", "/about/1"),
    ("questions", {**ASKED, "unit": "users"}, "not-applicable", "/unit"),
    ("questions", {**ASKED, "answer_type": "quantity"}, "not-applicable", "/unit"),
    ("claims", _claim("s3cret-value"), "unknown-question", "/question"),
    ("claims", _claim(source="s3cret-value"), "unknown-source", "/source"),
    ("claims", _claim(source="withdrawn"), "status-refused", "/source"),
    ("claims", _claim("q-retracted"), "status-refused", "/question"),
    ("claims", _claim("q-boolean"), "answer-does-not-fit", "/answer"),
    ("claims", _claim(answer={"type": "boolean", "value": True}), "answer-does-not-fit", "/answer"),
    ("claims", _quantity(amount="5", unit="s3cret value"), "answer-does-not-fit", "/answer"),
    ("claims", _quantity(), "bad-answer", "/answer"),
    ("claims", _quantity(low="5", high="4.9"), "bad-answer", "/answer/low"),
    ("claims", _quantity(amount="5", low="5.1"), "bad-answer", "/answer/amount"),
    ("claims", _quantity(amount="5", high="-5"), "bad-answer", "/answer/amount"),
    ("claims", _claim(answer={"type": "time", "edtf": "2021-01-12/2021-01-11"}), "interval-reversed", "/answer/edtf"),
    ("claims", _claim(answer={"type": "time", "edtf": "[2021..2020]"}), "interval-reversed", "/answer/edtf"),
    ("claims", _claim(valid="2021-01"), "not-applicable", "/valid"),
    (
        "claims",
        _claim("q-boolean", answer={"type": "boolean", "value": True}, valid="2021/2020"),
        "interval-reversed",
        "/valid",
    ),
    (
        "claims",
        _claim("q-entity", answer={"type": "entity", "entity": "s3cret-value"}),
        "unknown-entity",
        "/answer/entity",
    ),
    (
        "claims",
        _claim("q-entities", answer={"type": "entities", "entities": ["aws", "aws"]}),
        "bad-answer",
        "/answer/entities/1",
    ),
    (
        "claims",
        _claim("q-entities", answer={"type": "entities", "entities": ["s3cret-value"]}),
        "unknown-entity",
        "/answer/entities/0",
    ),
    ("claims", _claim(speaker="s3cret-value"), "unknown-entity", "/speaker"),
    ("claims", _claim(via=["paper", "s3cret-value"]), "unknown-source", "/via/1"),
]
REVISED: list[tuple[str, dict[str, Any], str, str]] = [
    ("entities/amazon", {"part_of": "aws"}, "cycle", "/changes/part_of"),
    ("entities/amazon", {"part_of": "amazon"}, "cycle", "/changes/part_of"),
    ("entities/amazon", {"part_of": "s3cret-value"}, "unknown-entity", "/changes/part_of"),
    ("entities/amazon", {"id": "s3cret-value"}, "field-fixed", "/changes/id"),
    ("entities/amazon", {"name": "Parler"}, "no-change", ""),
    ("entities/amazon", {}, "no-change", ""),
    ("sources/paper", {"derives_from": ["reprint"]}, "cycle", "/changes/derives_from"),
    ("sources/paper", {"derives_from": ["paper"]}, "cycle", "/changes/derives_from"),
    ("sources/paper", {"part_of": "paper"}, "cycle", "/changes/part_of"),
    ("sources/paper", {"published": "2021-06/2021-05"}, "interval-reversed", "/changes/published"),
    ("sources/withdrawn", {"title": "Another"}, "status-refused", ""),
    ("questions/q-time", {"answer_type": "boolean"}, "field-fixed", "/changes/answer_type"),
    ("questions/q-time", {"varies": True}, "field-fixed", "/changes/varies"),
    ("questions/q-text", {"unit": "users"}, "not-applicable", "/changes/unit"),
    ("claims/said", {"source": "reprint"}, "field-fixed", "/changes/source"),
    ("claims/said", {"question": "q-text"}, "field-fixed", "/changes/question"),
    ("claims/said", {"answer": {"type": "text", "text": "s3cret-value"}}, "answer-does-not-fit", "/changes/answer"),
    ("claims/said", {"valid": "2021"}, "not-applicable", "/changes/valid"),
]
LINKED: list[tuple[dict[str, Any], str, str]] = [
    ({"action": "link", "relation": "repeats", "claim": "said"}, "link-refused", "/claim"),
    ({"action": "link", "relation": "repeats", "claim": "unsaid"}, "link-refused", "/claim"),
    ({"action": "link", "relation": "repeats", "claim": "s3cret-value"}, "unknown-claim", "/claim"),
    ({"action": "link", "relation": "repeats", "claim": "linked"}, "link-refused", "/claim"),
    ({"action": "unlink", "relation": "repeats", "claim": "unsaid"}, "link-refused", "/claim"),
    ({"action": "unlink", "relation": "corrects", "claim": "linked"}, "link-refused", "/claim"),
    ({"action": "restore"}, "status-refused", ""),
    ({"action": "restore", "revision": 2147483647}, "status-refused", "/revision"),
    ({"action": "restore", "revision": 2}, "no-change", ""),
]


def _refused_by_a_rule(response: Any, slug: str, pointer: str) -> None:
    problem = refused(response, 409, slug, **({"pointer": pointer} if pointer else {}))
    assert "s3cret" not in str(problem)


@pytest.mark.parametrize(("kind", "body", "slug", "pointer"), REFUSED)
def test_what_a_rule_or_the_ledgers_state_refuses_is_a_409(
    ground: Served, kind: str, body: dict[str, Any], slug: str, pointer: str
) -> None:
    with ground.unchanged():
        _refused_by_a_rule(ground.post(f"/v1/{kind}", body), slug, pointer)


@pytest.mark.parametrize(("path", "changes", "slug", "pointer"), REVISED)
def test_a_revision_that_a_rule_refuses_is_a_409(
    ground: Served, path: str, changes: dict[str, Any], slug: str, pointer: str
) -> None:
    action = {"action": "revise", "reason": "Read again", "changes": changes}
    with ground.unchanged():
        _refused_by_a_rule(ground.post(f"/v1/{path}/revisions", action, If_Match="*"), slug, pointer)


@pytest.mark.parametrize(("action", "slug", "pointer"), LINKED)
def test_a_link_or_a_restoration_that_makes_no_sense_is_a_409(
    ground: Served, action: dict[str, Any], slug: str, pointer: str
) -> None:
    if ground.get("/v1/claims/linked").status_code == 404:
        ground.append(a_claim("linked", source="paper", question="q-time"), link("said", "repeats", "linked", expect=1))
    with ground.unchanged():
        _refused_by_a_rule(
            ground.post("/v1/claims/said/revisions", {"reason": "Same words", **action}, If_Match="*"), slug, pointer
        )


def test_old_claims_on_a_retracted_source_may_still_be_revised(ground: Served) -> None:
    source, claim = an_id("s"), an_id("c")
    ground.append(a_source(source), a_claim(claim, source=source, question="q-time"), retract("source", source))
    action = {"action": "revise", "reason": "Read again", "changes": {"note": "Still of interest"}}
    assert ground.post(f"/v1/claims/{claim}/revisions", action, If_Match="*").status_code == 201


def test_an_address_without_a_record_or_revision_is_a_404(ground: Served) -> None:
    beyond = ground.head() + 1
    for path, slug in {
        "/v1/claims/nobody": "unknown-record",
        "/v1/claims/parler": "unknown-record",
        "/v1/claims/said?as_of=0": "unknown-record",
        "/v1/claims/said?as_of=1": "unknown-record",
        "/v1/claims/said?as_of=1970-01-01T00:00:00Z": "unknown-record",
        f"/v1/claims/said?as_of={beyond}": "not-yet",
        "/v1/claims/said?as_of=9999-01-01T00:00:00Z": "not-yet",
        "/v1/claims/said/revisions/99": "unknown-revision",
        "/v1/claims/said/diff?from=1&to=99": "unknown-revision",
        f"/v1/claims?as_of={beyond}": "not-yet",
        f"/v1/events/{beyond}": "not-yet",
        f"/v1/events?after={beyond}": "not-yet",
        f"/v1/diff?from={beyond}": "not-yet",
        f"/v1/diff?from=0&to={beyond}": "not-yet",
        f"/v1/stats?as_of={beyond}": "not-yet",
        f"/v1/timeline?as_of={beyond}": "not-yet",
        f"/v1/questions/q-time/answers?as_of={beyond}": "not-yet",
    }.items():
        refused(ground.get(path), 404, slug)


def test_parameters_that_do_not_go_together_are_a_409(ground: Served) -> None:
    for path in (
        "/v1/questions?published_by=2021",
        "/v1/questions?valid_at=2021",
        "/v1/claims?q=...",
        "/v1/diff?from=5&to=4",
    ):
        problem = refused(ground.get(path), 409, "interval-reversed" if "diff" in path else "not-applicable")
        assert problem["errors"], "the parameter is named"
