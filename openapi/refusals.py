"""Make a freshly seeded ledger refuse, once for each status that the document tells of, and keep what it answers.

`api/assets/refusals.json` holds the problem documents by status; `python -m openapi.capture` writes them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from litestar import Litestar
from litestar.testing import TestClient

from api.app import build, wrap
from api.ledger.storage.database import Database
from api.ledger.writing import keys
from api.routes.edge.metrics import Metrics
from api.settings import Settings

REFUSALS = Path(__file__).parent.parent / "api" / "assets" / "refusals.json"
Client = TestClient[Litestar]
Refuse = Callable[[Client], httpx.Response]

_REVISIONS = "/v1/entities/vkontakte/revisions"
_RETRACT = {"action": "retract", "reason": "It is not in the source."}
_CLAIM = {
    "source": "nobody-read-this",
    "question": "parler-offline-when",
    "statement": "Parler went offline.",
    "answer": {"type": "time", "edtf": "2021-01-11"},
}
_PERSON = {"id": "example-redacted-person", "type": "person", "name": "A made-up person"}


def refusals(client: Client, settings: Settings) -> dict[str, Any]:
    """Give a problem document for each status, of a ledger with these settings that the client may write to."""
    given = {status: refuse(client) for status, refuse in _REFUSED.items()}
    key = {"Authorization": client.headers["Authorization"]}
    with _another(settings, rate_limit="1", body_deadline=1) as strict:
        given[408] = strict.blocking_portal.call(_send_half, strict.app, key)
        given[429] = strict.blocking_portal.call(_ask_again, strict.app)
    with _another(settings, read_only=True) as copy:
        given[503] = copy.post("/v1/entities", json=_PERSON, headers=key)
    narrow = {"Authorization": f"Bearer {_key(settings, 'redact')}"}
    given[403] = client.post("/v1/entities", json=_PERSON, headers=narrow)
    for status, answer in given.items():
        if answer.status_code != status:
            message = f"{status}: {answer.status_code} {answer.text}"
            raise ValueError(message)
    return {str(status): given[status].json() for status in sorted(given)}


def _get(path: str, **headers: str) -> Refuse:
    return lambda client: client.get(path, headers=headers)


def _post(path: str, body: object, **headers: str) -> Refuse:
    return lambda client: client.post(
        path, json=body, headers={name.replace("_", "-"): headers[name] for name in headers}
    )


def _redacted(client: Client) -> httpx.Response:
    """Ask for what was redacted just now."""
    client.post("/v1/entities", json=_PERSON).raise_for_status()
    asked = {"kind": "entity", "id": _PERSON["id"], "basis": "data-protection", "reason": "A made-up request."}
    client.post("/v1/redactions", json=asked).raise_for_status()
    return client.get(f"/v1/entities/{_PERSON['id']}")


_REFUSED: Mapping[int, Refuse] = {
    400: _get("/v1/claims?limit=1000"),
    401: _get("/v1/claims", Authorization="Bearer dl_unknown"),
    404: _get("/v1/claims/nobody-said-this"),
    406: _get("/v1/claims", Accept="image/png"),
    409: _post("/v1/claims", _CLAIM),
    410: _redacted,
    412: _post(_REVISIONS, _RETRACT, If_Match='"805"'),
    413: lambda client: client.post("/v1/claims", content=b" " * 300_000, headers={"Content-Type": "application/json"}),
    414: _get(f"/v1/claims?q={'x' * 20_000}"),
    415: lambda client: client.post(
        "/v1/claims", content=b"source: none", headers={"Content-Type": "application/yaml"}
    ),
    422: _post("/v1/entities", {"type": "person"}),
    428: _post(_REVISIONS, _RETRACT),
    431: lambda client: client.get("/v1/claims", headers={f"X-Header-{number}": "x" for number in range(100)}),
    501: _post("/v1/claims", _CLAIM, Transfer_Encoding="gzip"),
}


@contextmanager
def _another(settings: Settings, **other: object) -> Iterator[Client]:
    """Serve the same ledger with other settings."""
    app = build(settings.model_copy(update=other), Metrics())
    with TestClient(app) as client:
        client.app = wrap(app)
        yield client


async def _send_half(app: Any, key: Mapping[str, str]) -> httpx.Response:  # noqa: ANN401 - whatever answers
    """Send the beginning of a body, and no more within the time that there is."""

    async def begun() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(3)

    async with _elsewhere(app) as client:
        return await client.post("/v1/entities", content=begun(), headers={**key, "Content-Type": "application/json"})


async def _ask_again(app: Any) -> httpx.Response:  # noqa: ANN401 - whatever answers
    async with _elsewhere(app) as client:
        await client.get("/v1/stats")
        return await client.get("/v1/stats")


def _elsewhere(app: Any) -> httpx.AsyncClient:  # noqa: ANN401 - whatever answers
    """Give a client at another address than the ledger's own."""
    transport = httpx.ASGITransport(app=app, client=("203.0.113.7", 40_000))
    return httpx.AsyncClient(transport=transport, base_url="http://ledger.invalid")


def _key(settings: Settings, scope: str) -> str:
    database = Database(settings)
    key = keys.create(database.access(), "narrow", (scope,), None)
    database.close()
    return key
