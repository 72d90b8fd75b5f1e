"""Requests as no client library sends them: torn, stalled, without a host, with a slash in disguise."""

import asyncio
import json
from typing import Any

import pytest
from litestar.types import ASGIApp

from api.routes.edge import bodies, exchange
from tests.support.served import Served

Headers = list[tuple[bytes, bytes]]
HOST = (b"host", b"ledger.test")
JSON = (b"content-type", b"application/json")
CHUNKED = (b"transfer-encoding", b"chunked")


def ask(
    app: ASGIApp, path: str, *parts: dict[str, Any], method: str = "POST", headers: Headers | None = None
) -> tuple[int, dict[bytes, bytes], dict[str, Any]]:
    """Send parts of a body as they are, then nothing more. Gives the status, the headers and the document."""
    waiting = iter(parts)
    sent: list[Any] = []

    async def receive() -> Any:
        for part in waiting:
            return part
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path.replace("%2F", "/"),
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [HOST, JSON, CHUNKED] if headers is None else headers,
        "client": ("127.0.0.1", 4321),
        "server": ("127.0.0.1", 8000),
    }
    asyncio.run(app(scope, receive, send))
    start, *rest = sent
    body = b"".join(message["body"] for message in rest)
    return start["status"], dict(start["headers"]), json.loads(body) if body else {}


def _piece(body: bytes) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": True}


def _sent_by(served: Served, *more: tuple[bytes, bytes]) -> Headers:
    return [HOST, JSON, (b"authorization", f"Bearer {served.key}".encode()), *(more or (CHUNKED,))]


def test_a_body_that_breaks_off_is_the_clients_fault(served: Served) -> None:
    with served.unchanged():
        parts = _piece(b'{"ty'), {"type": "http.disconnect"}
        status, _, problem = ask(served.client.app, "/v1/entities", *parts, headers=_sent_by(served))
    assert (status, problem["type"]) == (422, "/problems/bad-body")
    assert problem["detail"] == "body: ends before it is whole"


def test_a_body_that_stalls_is_not_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", 0.05)
    with served.unchanged():
        status, headers, problem = ask(served.client.app, "/v1/batch", _piece(b"["), headers=_sent_by(served))
    assert (status, problem["type"]) == (408, "/problems/request-timeout")
    assert headers[b"connection"] == b"close", "what is left of the body would be read as a request"


@pytest.mark.parametrize("length", [CHUNKED, (b"content-length", b"9")])
@pytest.mark.parametrize(
    ("path", "status", "headers"),
    [
        ("/v1/entities", 401, [HOST, JSON]),
        ("/v1/entities", 401, [HOST, JSON, (b"authorization", b"Bearer wrong")]),
        ("/v1/entities", 415, [HOST]),
        ("/v1/entities", 406, [HOST, JSON, (b"accept", b"image/png")]),
        ("/v1/stats", 405, [HOST, JSON]),
        ("/nothing", 404, [HOST, JSON]),
        ("/v1/entities", 431, [HOST, JSON, *[(b"x", b"y")] * 64]),
    ],
)
def test_a_refusal_waits_for_no_body_and_ends_the_connection(
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    status: int,
    headers: Headers,
    length: tuple[bytes, bytes],
) -> None:
    monkeypatch.setattr(exchange, "_LINGER", 0.01)
    answer = ask(served.client.app, path, headers=[*headers, length])
    assert answer[0] == status
    assert answer[1][b"connection"] == b"close"


def test_a_body_already_whole_leaves_the_connection_open(served: Served) -> None:
    whole = {"type": "http.request", "body": b"{}", "more_body": False}
    status, headers, _ = ask(
        served.client.app, "/v1/entities", whole, headers=_sent_by(served, (b"content-length", b"2"))
    )
    assert status == 422
    assert b"connection" not in headers


@pytest.mark.parametrize("hosts", [[], [(b"host", b"")], [HOST, (b"host", b"other.test")]])
def test_a_request_names_one_host(served: Served, hosts: Headers) -> None:
    status, _, problem = ask(served.client.app, "/v1/stats", method="GET", headers=hosts)
    assert (status, problem["type"]) == (400, "/problems/bad-parameter")
    assert problem["errors"][0]["parameter"] == "Host"


def test_a_slash_in_disguise_leads_nowhere(served: Served) -> None:
    for path in ("/v1%2Fentities", "/v1/entities/parler%2Frevisions"):
        assert ask(served.client.app, path, method="GET")[0] == 404


def test_the_server_as_a_whole_says_what_it_takes(served: Served) -> None:
    status, headers, _ = ask(served.client.app, "*", method="OPTIONS")
    assert (status, headers[b"allow"]) == (204, b"GET, HEAD, OPTIONS, POST")
