"""The witness's own small service: c2sp.org/tlog-witness over HTTP, and what it has seen as JSON.

Its paths and statuses are the protocol's; it has no database, no keys of callers and no OpenAPI document.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from api.domain.errors import Misconfigured, Unavailable
from api.logs import configure_logging
from api.routes.edge.edge import Edge
from api.routes.edge.exchange import PATIENCE
from api.routes.edge.metrics import NO_ROUTE, Metrics
from api.settings import check_url, load
from api.witnessing import witness as judge
from api.witnessing.follower import Follower
from api.witnessing.witness import Log, Witness, WrongSize

LARGEST_BODY = 256 * 1024
SIZE = b"text/x.tlog.size"
TEXT = b"text/plain; charset=utf-8"
_JSON = b"application/json"
_STATUS: Mapping[type[judge.Refused], int] = {
    judge.Malformed: 400,
    judge.Untrusted: 403,
    judge.UnknownLog: 404,
    judge.Inconsistent: 422,
}
_CHECKPOINT = re.compile("/([0-9a-f]{64})/checkpoint")
_READ = frozenset({"GET", "HEAD", "OPTIONS"})
_ADD = frozenset({"POST", "OPTIONS"})

Answer = tuple[int, bytes, bytes]


@dataclass(frozen=True, slots=True)
class Options:
    """How a witness is run: files, the logs it trusts by their keys, and the ledgers it looks at by itself."""

    key: Path
    name: str | None
    logs: tuple[str, ...]
    follow: tuple[str, ...]
    every: float
    state: Path


def serve(options: Options) -> ASGIApp:
    """Make the application in the process that serves it."""
    configure_logging(load())
    witness = prepare(options)
    return build(witness, [Follower(witness, url, options.every) for url in options.follow])


def prepare(options: Options) -> Witness:
    """Make or read the key and look at what is remembered. Raises Misconfigured or Unavailable."""
    try:
        for url in options.follow:
            check_url(url)
    except ValueError as error:
        raise Misconfigured("--follow", str(error)) from error
    return Witness(judge.open_key(options.key, options.name), options.logs, options.state)


def build(witness: Witness, followers: Sequence[Follower] = ()) -> ASGIApp:
    """Make the application, with the edge around it that every service of ours has."""
    metrics = Metrics()
    metrics.observe_ledger(lambda: {"witness_forks": sum(log.memory.fork() is not None for log in witness.logs)})
    return Edge(_Service(witness, followers, metrics), _methods, metrics, structlog.get_logger())


class _Service:
    """Reads requests and writes answers; all judgement is the witness's."""

    def __init__(self, witness: Witness, followers: Sequence[Follower], metrics: Metrics) -> None:
        self._witness, self._followers, self._metrics = witness, followers, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._live(receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        scope["path_template"] = _template(path) or NO_ROUTE
        if path == "/add-checkpoint":
            try:
                async with asyncio.timeout(PATIENCE):
                    work = partial(self._add, await _read(receive))
            except TimeoutError:
                await _send(send, 408, TEXT, b"the body was not whole within %d s\n" % PATIENCE)
                return
        else:
            work = partial(self._show, path)
        # Both wait for files, the first for a lock too.
        await _send(send, *await asyncio.to_thread(_guarded, work))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        for follower in self._followers:
            follower.start()
        await send({"type": "lifespan.startup.complete"})  # type: ignore[typeddict-item]
        await receive()
        for follower in self._followers:
            await asyncio.to_thread(follower.stop)
        await send({"type": "lifespan.shutdown.complete"})  # type: ignore[typeddict-item]

    def _add(self, body: bytes | None) -> Answer:
        if body is None:
            return 413, TEXT, f"a body here holds at most {LARGEST_BODY} bytes\n".encode()
        try:
            return 200, TEXT, f"{self._witness.add(body)}\n".encode()
        except WrongSize as wrong:
            return 409, SIZE, b"%d\n" % wrong.size
        except judge.Refused as refusal:
            return _STATUS[type(refusal)], TEXT, f"{refusal}\n".encode()

    def _show(self, path: str) -> Answer:
        named = _CHECKPOINT.fullmatch(path)
        log = self._witness.named(named[1]) if named else None
        note = log.memory.note() if log else None
        if note is not None:
            return 200, TEXT, note.encode()
        if path == "/":
            return 200, _JSON, msgspec.json.encode(self._report())
        if path == "/metrics":
            body, media_type = self._metrics.render()
            return 200, media_type.encode(), body
        return 404, TEXT, b"there is nothing at this address\n"

    def _report(self) -> dict[str, object]:
        logs = list(map(self._describe, self._witness.logs))
        return {
            "status": "fork" if any(log["fork"] for log in logs) else "watching",
            "name": self._witness.name,
            "vkey": self._witness.vkey,
            "logs": logs,
            "following": [{"url": follower.url, "trouble": follower.trouble} for follower in self._followers],
        }

    def _describe(self, log: Log) -> dict[str, object]:
        recorded = self._witness.recorded(log)
        return {
            "origin": log.origin,
            "vkeys": log.vkeys,
            "checkpoint": f"/{log.memory.name}/checkpoint",
            "size": recorded.checkpoint.size if recorded else None,
            "root": recorded.checkpoint.root.hex() if recorded else None,
            "cosigned_at": recorded.time if recorded else None,
            "fork": log.memory.fork(),
            "doubt": log.memory.doubt(),
        }


def _guarded(work: Callable[[], Answer]) -> Answer:
    """Answer 503 where the state folder fails, or was changed by another hand."""
    try:
        return work()
    except (Unavailable, OSError, ValueError, msgspec.MsgspecError):
        structlog.get_logger().exception("what is remembered cannot be read or kept")
        return 503, TEXT, b"what is remembered cannot be read or kept\n"


def _methods(path: str) -> frozenset[str] | None:
    template = _template(path)
    if template is None:
        return None
    return _ADD if template == "/add-checkpoint" else _READ


def _template(path: str) -> str | None:
    if path in ("/", "/metrics", "/add-checkpoint"):
        return path
    return "/{origin hash}/checkpoint" if _CHECKPOINT.fullmatch(path) else None


async def _read(receive: Receive) -> bytes | None:
    """Read a whole body, or give None once it is too large. A caller that goes away midway has sent what it has sent."""
    chunks, size = list[bytes](), 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(chunks)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _send(send: Send, status: int, media_type: bytes, body: bytes) -> None:
    headers = [
        (b"content-type", media_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-cache" if status < 400 else b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
