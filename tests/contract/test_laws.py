"""The laws that fuzzing holds answers to can be broken: each is fed an answer that breaks it, and one that does not."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
import schemathesis
from schemathesis import Case, Response

from tests.fuzz import laws
from tests.fuzz.reach import Answer, Reach, promised, read, share, shown, write

ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads((ROOT / "openapi/openapi.json").read_text(encoding="utf-8"))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
Law = Callable[[object, Response, Case], None]


def answered(url: str, body: object, *, status: int = 200, **headers: str) -> Response:
    return Response(
        status_code=status,
        headers={name.replace("_", "-"): [value] for name, value in headers.items()},
        content=json.dumps(body).encode(),
        request=requests.Request("GET", urljoin("http://ledger.invalid", url)).prepare(),
        elapsed=0.0,
        verify=True,
    )


def a_case(operation: str, **parts: Any) -> Case:
    return SCHEMA.find_operation_by_id(operation).Case(**parts)


def _feed(*positions: int) -> dict[str, object]:
    return {"items": [{"position": position} for position in positions]}


def _batch(*positions: int, position: int) -> dict[str, object]:
    return {**_feed(*positions), "position": position}


@pytest.mark.parametrize(
    ("operation", "response"),
    [
        ("listEvents", answered("/v1/events?after=2", _feed(3, 4, 5))),
        ("listEvents", answered("/v1/events?after=2", _feed())),
        ("listEvents", answered("/v1/events?after=2&kind=claim", _feed(4, 9))),
        ("appendBatch", answered("/v1/batch", _batch(7, 8, position=8), status=201)),
    ],
)
def test_positions_without_gaps_are_right(operation: str, response: Response) -> None:
    laws.positions_are_gapless(None, response, a_case(operation))


@pytest.mark.parametrize(
    ("operation", "response"),
    [
        ("listEvents", answered("/v1/events", _feed(1, 3))),
        ("listEvents", answered("/v1/events?after=2", _feed(4))),
        ("listEvents", answered("/v1/events?after=2&state=false", _feed(3, 3))),
        ("listEvents", answered("/v1/events?after=4&kind=claim", _feed(9, 4))),
        ("listEvents", answered("/v1/events?after=4&kind=claim", _feed(3, 9))),
        ("appendBatch", answered("/v1/batch", _batch(7, 9, position=9), status=201)),
        ("revertBatch", answered("/v1/batch/7/revert", _batch(7, 8, position=9), status=201)),
    ],
)
def test_a_gap_is_told(operation: str, response: Response) -> None:
    with pytest.raises(AssertionError):
        laws.positions_are_gapless(None, response, a_case(operation))


ONE = {"position": 5}


@pytest.mark.parametrize(
    ("operation", "response"),
    [
        ("getClaim", answered("/v1/claims/c", ONE, etag='"5"')),
        ("getClaim", answered("/v1/claims/c", ONE, etag='"5.v2-gz"')),
        ("getClaim", answered("/v1/claims/c?include=source", ONE, etag='W/"anything"')),
        ("recordClaim", answered("/v1/claims", ONE, status=201, etag='"5"', ledger_position="5")),
        ("listClaims", answered("/v1/claims", ONE, etag='W/"anything"')),
    ],
)
def test_a_tag_that_is_the_position_is_right(operation: str, response: Response) -> None:
    laws.tags_are_positions(None, response, a_case(operation))


@pytest.mark.parametrize(
    ("operation", "response"),
    [
        ("getClaim", answered("/v1/claims/c", ONE, etag='"6"')),
        ("getClaim", answered("/v1/claims/c", ONE, etag='W/"5"')),
        ("getEntityRevision", answered("/v1/entities/e/revisions/1", ONE, etag='"50"')),
        ("recordClaim", answered("/v1/claims", ONE, status=201, etag='"4"', ledger_position="5")),
        ("reviseClaim", answered("/v1/claims/c/revisions", ONE, status=201, etag='"5"', ledger_position="6")),
    ],
)
def test_a_tag_that_is_not_the_position_is_told(operation: str, response: Response) -> None:
    with pytest.raises(AssertionError):
        laws.tags_are_positions(None, response, a_case(operation))


@contextmanager
def a_ledger(*shown: tuple[str, int, object]) -> Iterator[str]:
    """Serve answers that never change, by how the path begins; whatever else is asked for is gone."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = (each for each in shown if self.path.startswith(each[0]))
            _, status, body = next(found, ("", 410, {}))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


REDACTIONS = ("/v1/redactions", 200, {"items": [{"id": "r"}]})


@pytest.mark.parametrize(("now", "holds"), [({"name": "X"}, True), ({"name": "Y"}, False)])
def test_a_pinned_answer_that_changes_is_told_after_the_next_write(now: object, holds: bool) -> None:
    law = laws.PinnedAnswersStay()
    with a_ledger(REDACTIONS, ("/v1/claims/c", 200, now)) as address:
        law.after_response(None, answered(f"{address}/v1/claims/c?as_of=5", {"name": "X"}), a_case("getClaim"))
        write = answered("/v1/entities", ONE, status=201)
        with _expecting(holds):
            law.after_response(None, write, a_case("recordEntity"))


@pytest.mark.parametrize(("now", "holds"), [({"name": "X"}, True), ({"name": "Y"}, False)])
def test_a_pinned_answer_that_changes_is_told_when_the_run_ends(now: object, holds: bool) -> None:
    law = laws.PinnedAnswersStay()
    with a_ledger(REDACTIONS, ("/v1/claims/c", 200, now)) as address:
        law.after_response(
            None, answered(f"{address}/v1/claims/c/revisions/1", {"name": "X"}), a_case("getClaimRevision")
        )
        with _expecting(holds):
            law.after_run(None)


def test_a_redaction_may_change_a_pinned_answer() -> None:
    law = laws.PinnedAnswersStay()
    with a_ledger(REDACTIONS, ("/v1/claims/c", 410, {})) as address:
        law.after_response(None, answered(f"{address}/v1/claims/c?as_of=5", {"name": "X"}), a_case("getClaim"))
        law.after_response(None, answered("/v1/redactions", {}, status=201), a_case("redact"))
        law.after_run(None)


GONE = {"kind": "claim", "id": "c", "basis": "error", "reason": "X"}
LISTED_NOWHERE = ("/v1/claims?", 200, {"items": []})


@pytest.mark.parametrize(
    ("shown", "holds"),
    [
        ((LISTED_NOWHERE,), True),
        ((LISTED_NOWHERE, ("/v1/claims/c/timemap", 200, {})), False),
        ((LISTED_NOWHERE, ("/v1/claims/c/links", 404, {})), False),
        ((("/v1/claims?", 200, {"items": [ONE]}),), False),
    ],
)
def test_a_redacted_record_that_answers_is_told(shown: tuple[tuple[str, int, object], ...], holds: bool) -> None:
    law = laws.TheRedactedIsGone()
    with a_ledger(*shown) as address, _expecting(holds):
        law.after_response(None, answered(f"{address}/v1/redactions", {}, status=201), a_case("redact", body=GONE))


def test_a_redacted_record_that_answers_later_is_told() -> None:
    law = laws.TheRedactedIsGone()
    with a_ledger(LISTED_NOWHERE) as address:
        law.after_response(None, answered(f"{address}/v1/redactions", {}, status=201), a_case("redact", body=GONE))
    later = a_case("getClaim", path_parameters={"id": "c"})
    law.after_response(None, answered("/v1/claims/c", {}, status=410), later)
    law.after_response(None, answered("/v1/entities/c", {}), a_case("getEntity", path_parameters={"id": "c"}))
    with pytest.raises(AssertionError):
        law.after_response(None, answered("/v1/claims/c", {}), later)


@contextmanager
def _expecting(holds: bool) -> Iterator[None]:
    if holds:
        yield
        return
    with pytest.raises(AssertionError):
        yield


def test_what_is_promised_counts_what_the_server_says_once() -> None:
    found = promised(DOCUMENT)
    assert {each.status for each in found.answers if each.operation == "any operation"} == {"408", "429", "503"}
    assert Answer("GET /v1/claims/{id}", "410") in found.answers
    assert "GET /v1/claims -> [200] getClaim -> GET /v1/claims/{id}" in found.links


def test_what_was_not_reached_is_named(tmp_path: Path) -> None:
    asked = Reach(frozenset({Answer("GET /", "200"), Answer.of("GET /", "503")}), frozenset({"one", "two"}))
    reached = Reach(frozenset({Answer.of("GET /v1/claims", "503"), Answer("GET /", "404")}), frozenset({"two"}))
    write(tmp_path / "reached.json", reached)
    assert read(tmp_path / "reached.json") == reached
    assert share(asked.answers, reached.answers) == 0.5
    lines = list(shown(asked, reached))
    assert lines == [
        "documented answers: 1 of 2 reached, 50.0%", "documented links: 1 of 2 reached, 50.0%",
        "  never answered: GET /: 200", "  never followed: one",
    ]  # fmt: skip
