"""Every operation of the document, asked for once as it should be: its status, headers and body are those published."""

from collections.abc import Callable
from typing import Any

import httpx
import jsonschema
import pytest

from openapi import lint
from tests.support.builders import a_claim, an_entity, an_id, link, retract, revise
from tests.support.served import Served

Ask = Callable[[Served], httpx.Response]


def _get(path: str, **headers: str) -> Ask:
    return lambda served: served.get(path, **headers)


def _post(path: str, body: object, **headers: str) -> Ask:
    return lambda served: served.post(path, body, **headers)


def _gone(path: str = "", **headers: str) -> Ask:
    def ask(served: Served) -> httpx.Response:
        claim = an_id("c")
        served.append(a_claim(claim, source="paper", question="q-time"))
        served.post("/v1/redactions", {"kind": "claim", "id": claim, "basis": "error", "reason": "X"})
        return served.get(f"/v1/claims/{claim}{path}", **headers)

    return ask


def _with_actor(served: Served) -> httpx.Response:
    return served.get(f"/v1/actors/{served.get('/v1/claims/said').json()['recorded_by']}")


def _with_redaction(served: Served) -> httpx.Response:
    person = an_id("e")
    served.append(an_entity(person))
    return served.post("/v1/redactions", {"kind": "entity", "id": person, "basis": "safety", "reason": "Asked for"})


def _reverting(*more: Any, query: str = "", **headers: str) -> Ask:
    """Revert a batch of one entity, after other operations on it."""

    def ask(served: Served) -> httpx.Response:
        entity = an_id("e")
        first = served.append(an_entity(entity))
        if more:
            served.append(*(operation(entity) for operation in more))
        return served.post(f"/v1/batch/{first}/revert{query}", {"reason": "By mistake"}, **headers)

    return ask


def _replayed(path: str, body: Any, **headers: str) -> Ask:
    def ask(served: Served) -> httpx.Response:
        key = an_id("key")
        first = served.post(path, body, Idempotency_Key=key, **headers)
        again = served.post(path, body, Idempotency_Key=key, **headers)
        assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
        return again

    return ask


def _redacted_since(served: Served) -> httpx.Response:
    """Repeat a revert of which something is gone."""
    entity, key = an_id("e"), an_id("key")
    first = served.append(an_entity(entity))
    body = {"reason": "By mistake"}
    served.post(f"/v1/batch/{first}/revert", body, Idempotency_Key=key)
    served.post("/v1/redactions", {"kind": "entity", "id": entity, "basis": "error", "reason": "X"})
    return served.post(f"/v1/batch/{first}/revert", body, Idempotency_Key=key)


LONG_AGO = {"Accept-Datetime": "Mon, 11 Jan 2021 08:00:00 GMT"}
RETRACT = {"action": "retract", "reason": "Not in the source"}
REVISED = {
    "Entity": "entities/e-covered",
    "Source": "sources/s-covered",
    "Question": "questions/q-covered",
    "Claim": "claims/c-covered",
}
READ = {
    "Entity": "entities/amazon",
    "Source": "sources/reprint",
    "Question": "questions/q-time",
    "Claim": "claims/said",
}
ASKED: dict[str, Ask] = {
    "getService": _get("/"),
    "getLive": _get("/health/live"),
    "getReady": _get("/health/ready"),
    "getProblemType": _get("/problems/stale"),
    "listActors": _get("/v1/actors"),
    "getActor": _with_actor,
    "appendBatch": lambda served: served.post("/v1/batch", [an_entity(), an_entity()]),
    "revertBatch": _reverting(),
    "listEntities": _get("/v1/entities?facets=type,status&limit=2"),
    "listSources": _get("/v1/sources?published_by=2021"),
    "listQuestions": _get("/v1/questions?agreement=open&valid_at=2021&fields=text"),
    "listClaims": _get("/v1/claims?include=source&live=true"),
    "listClaimLinks": _get("/v1/claims/said/links"),
    "recordEntity": _post("/v1/entities", {"id": "e-covered", "type": "other", "name": "X"}),
    "recordSource": _post("/v1/sources", {"id": "s-covered", "type": "wire", "title": "X"}),
    "recordQuestion": _post("/v1/questions", {"id": "q-covered", "about": ["parler"], "text": "When?", "answer_type": "time"}),
    "recordClaim": _post("/v1/claims", {"id": "c-covered", "source": "paper", "question": "q-time", "statement": "X", "answer": {"type": "time", "edtf": "2021"}}),
    "getQuestionAnswers": _get("/v1/questions/q-time/answers?include=source"),
    "listEntityStatements": _get("/v1/entities/amazon/statements"),
    "listSourceStatements": _get("/v1/sources/paper/statements?include=source,entities"),
    "listQuestionConflicts": _get("/v1/questions/q-time/conflicts"),
    "getTimeline": _get("/v1/timeline?include=source"),
    "search": _get("/v1/search?q=parler+offline&kind=question&kind=claim"),
    "listEvents": _get("/v1/events?limit=5"),
    "getEvent": _get("/v1/events/2"),
    "diffLedger": _get("/v1/diff?from=0"),
    "getStats": _get("/v1/stats?as_of=3"),
    "redact": _with_redaction,
    "listRedactions": _get("/v1/redactions?limit=1"),
    "getRedaction": lambda served: served.get(_with_redaction(served).headers["location"]),
    "proveEvent": _get("/v1/events/2/proof"),
    "proveConsistency": _get("/v1/proofs/consistency?from=1&to=3"),
    **{f"prove{kind}Revision": _get(f"/v1/{path}/revisions/1/proof") for kind, path in READ.items()},
    **{f"get{kind}": _get(f"/v1/{path}") for kind, path in READ.items()},
    **{f"diff{kind}": _get(f"/v1/{path}/diff?from=1&to=1") for kind, path in READ.items()},
    **{f"list{kind}Revisions": _get(f"/v1/{path}/revisions?limit=1") for kind, path in READ.items()},
    **{f"get{kind}Revision": _get(f"/v1/{path}/revisions/1") for kind, path in READ.items()},
    **{f"get{kind}TimeMap": _get(f"/v1/{path}/timemap", Accept="application/json") for kind, path in READ.items()},
    **{f"revise{kind}": _post(f"/v1/{path}/revisions", RETRACT, If_Match="*") for kind, path in REVISED.items()},
}  # fmt: skip
# Requests whose refusals the document must announce, whatever else it announces.
REFUSED: dict[str, list[tuple[int, Ask]]] = {
    "getClaim": [
        (302, lambda served: served.client.get("/v1/claims/said", headers=LONG_AGO, follow_redirects=False)),
        (304, _get("/v1/claims/said", If_None_Match="*")),
        (400, _get("/v1/claims/said?as_of=x")),
        (401, _get("/v1/claims/said", Authorization="Bearer x")),
        (404, _get("/v1/claims/nobody")),
        (406, _get("/v1/claims/said", Accept="image/png")),
        (410, _gone()),
    ],
    "listClaimRevisions": [(410, _gone("/revisions"))],
    "getClaimRevision": [(410, _gone("/revisions/1"))],
    "getClaimTimeMap": [(410, _gone("/timemap"))],
    "diffClaim": [(410, _gone("/diff?from=1&to=1"))],
    "listClaimLinks": [(410, _gone("/links"))],
    "listClaims": [(304, _get("/v1/claims", If_None_Match="*")), (404, _get("/v1/claims?as_of=99999")), (409, _get("/v1/claims?q=..."))],
    "listEntityStatements": [
        (404, _get("/v1/entities/nobody/statements")),
        (409, _get("/v1/entities/amazon/statements?valid_at=2021/2020")),
        (410, lambda served: served.get(f"/v1/entities/{_with_redaction(served).json()['target']['id']}/statements")),
    ],
    "listQuestions": [(409, _get("/v1/questions?valid_at=2021"))],
    "listEvents": [(404, _get("/v1/events?after=99999"))],
    "proveEvent": [(404, _get("/v1/events/2/proof?size=99999")), (409, _get("/v1/events/3/proof?size=2"))],
    "proveConsistency": [(404, _get("/v1/proofs/consistency?from=1&to=99999")), (409, _get("/v1/proofs/consistency?from=3&to=2"))],
    "redact": [
        (200, _post("/v1/redactions?dry_run=true", {"kind": "claim", "id": "said", "basis": "error", "reason": "X"})),
        (403, lambda served: served.post("/v1/redactions", {}, Authorization=f"Bearer {served.make_key('write')}")),
        (409, _post("/v1/redactions", {"kind": "ledger", "id": "ledger", "basis": "error", "reason": "X"})),
        (422, _post("/v1/redactions", {"kind": "claim", "id": "said", "reason": "X"})),
    ],
    "getRedaction": [(404, _get("/v1/redactions/nothing"))],
    "diffLedger": [(404, _get("/v1/diff?from=99999")), (409, _get("/v1/diff?from=2&to=1"))],
    "recordClaim": [
        (200, _post("/v1/claims?dry_run=true", {"source": "paper", "question": "q-time", "statement": "X", "answer": {"type": "time", "edtf": "2021"}})),
        (201, _replayed("/v1/claims", {"source": "paper", "question": "q-time", "statement": "X", "answer": {"type": "time", "edtf": "2021"}})),
        (401, _post("/v1/claims", {}, Authorization="Bearer x")),
        (409, _post("/v1/claims", {"source": "nobody", "question": "q-time", "statement": "X", "answer": {"type": "time", "edtf": "2021"}})),
        (413, lambda served: served.post("/v1/claims", "x" * served.settings.max_body)),
        (415, _post("/v1/claims", {}, Content_Type="text/plain")),
        (422, _post("/v1/claims", {})),
    ],
    "reviseClaim": [
        (200, _post("/v1/claims/said/revisions?dry_run=true", RETRACT, If_Match="*")),
        (404, _post("/v1/claims/nobody/revisions", RETRACT, If_Match="*")),
        (409, _post("/v1/claims/unsaid/revisions", RETRACT, If_Match="*")),
        (412, _post("/v1/claims/said/revisions", RETRACT, If_Match='"1"')),
        (428, _post("/v1/claims/said/revisions", RETRACT)),
    ],
    "appendBatch": [
        (200, _post("/v1/batch?dry_run=true", [an_entity()])),
        (400, _post("/v1/batch?dry_run=x", [])),
        (404, _post("/v1/batch", [retract("claim", "nobody", expect=1)])),
        (409, _post("/v1/batch", [retract("claim", "said")])),
        (412, _post("/v1/batch", [revise("claim", "said", expect=9, note="x")])),
        (413, lambda served: served.post("/v1/batch", "x" * served.settings.max_batch)),
        (415, _post("/v1/batch", [], Content_Type="text/plain")),
        (422, _post("/v1/batch", [])),
        (201, _replayed("/v1/batch", [an_entity()])),
    ],
    "revertBatch": [
        (200, _reverting(query="?dry_run=true")),
        (201, _reverting(Idempotency_Key="covered")),
        (400, _post("/v1/batch/0/revert", {"reason": "X"})),
        (401, _reverting(Authorization="Bearer x")),
        (403, lambda served: served.post("/v1/batch/2/revert", {"reason": "X"}, Authorization=f"Bearer {served.make_key('redact')}")),
        (404, _post("/v1/batch/1/revert", {"reason": "X"})),
        (404, _post("/v1/batch/99999/revert", {"reason": "X"})),
        (406, _reverting(Accept="image/png")),
        (409, _reverting(lambda entity: revise("entity", entity, expect=1, name="Two"))),
        (410, _redacted_since),
        (413, lambda served: served.post("/v1/batch/2/revert", "x" * served.settings.max_body)),
        (415, _reverting(Content_Type="text/plain")),
        (422, _post("/v1/batch/2/revert", {})),
    ],
    **{
        f"record{kind}": [(200, _post(f"/v1/{plural}?dry_run=true", body)), (201, _replayed(f"/v1/{plural}", body))]
        for kind, plural, body in (
            ("Entity", "entities", {"type": "other", "name": "X"}),
            ("Source", "sources", {"type": "wire", "title": "X"}),
            ("Question", "questions", {"about": ["parler"], "text": "When?", "answer_type": "time"}),
        )
    },
    **{
        f"revise{kind}": [(200, _post(f"/v1/{path}/revisions?dry_run=true", RETRACT, If_Match="*"))]
        for kind, path in READ.items()
        if kind != "Claim"
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def document(ground: Served) -> dict[str, Any]:
    """The document as it is served, with something of everything in the ledger behind it."""
    linked = an_id("c")
    ground.append(a_claim(linked, source="paper", question="q-time"), link(linked, "corrects", "said"))
    document: dict[str, Any] = ground.get("/openapi.json").json()
    return document


def _described(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["operationId"]: each for _, each in lint.operations(document)}


def _hold_to(document: dict[str, Any], operation: str, response: httpx.Response) -> None:
    """Hold an answer to what the document says of its status: media type, body and headers."""
    described = _described(document)[operation]["responses"]
    assert str(response.status_code) in described, f"{operation} answers {response.status_code} without saying so"
    published = described[str(response.status_code)]
    assert "x-request-id" in response.headers
    assert "cache-control" in response.headers
    for name, header in published.get("headers", {}).items():
        assert name in response.headers or not header.get("required"), name
        if name in response.headers and "pattern" in header["schema"]:
            jsonschema.validate(response.headers[name], header["schema"])
    if not response.content:
        return
    media = published["content"][response.headers["content-type"].partition(";")[0]]
    schema = {**media["schema"], "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(response.json())


def test_every_operation_is_asked_for_here(document: dict[str, Any]) -> None:
    assert set(ASKED) == set(_described(document))


@pytest.mark.parametrize("operation", ASKED)
def test_every_operation_answers_as_the_document_says(ground: Served, document: dict[str, Any], operation: str) -> None:
    response = ASKED[operation](ground)
    assert response.is_success, response.text
    _hold_to(document, operation, response)


@pytest.mark.parametrize("operation", REFUSED)
def test_every_refusal_is_announced(ground: Served, document: dict[str, Any], operation: str) -> None:
    for status, ask in REFUSED[operation]:
        response = ask(ground)
        assert response.status_code == status, response.text
        _hold_to(document, operation, response)


def test_headers_that_answers_carry_are_announced(ground: Served, document: dict[str, Any]) -> None:
    standard = {
        "content-type",
        "content-length",
        "cache-control",
        "vary",
        "content-encoding",
        "x-request-id",
        "x-content-type-options",
    }
    for operation, ask in ASKED.items():
        if operation.startswith(("record", "revise")):
            continue
        response = ask(ground)
        announced = {
            name.lower()
            for name in _described(document)[operation]["responses"][
                "200" if response.status_code == 200 else "201"
            ].get("headers", {})
        }
        extra = {name for name in response.headers if not name.startswith("access-control-")} - announced - standard
        assert not extra, (operation, extra)
