"""The witness's own small service: c2sp.org/tlog-witness over HTTP, and what it has seen as JSON.

Its paths and statuses are the protocol's; it has no database, no keys of callers and no OpenAPI document.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import structlog
from litestar import Litestar, Response, get, post
from litestar.exceptions import HTTPException, InternalServerException, MethodNotAllowedException, NotFoundException
from litestar.params import FromPath
from litestar.types import ASGIApp

from api.domain.errors import Misconfigured, Unavailable
from api.logs import configure_logging
from api.routes.edge.edge import Edge
from api.routes.edge.exchange import PATIENCE, PlainRequest
from api.routes.edge.metrics import Metrics
from api.routes.edge.reply import Reply, method_not_allowed, options_of
from api.settings import check_url, load
from api.witnessing import witness as judge
from api.witnessing.follower import Follower
from api.witnessing.witness import Log, Witness, WrongSize

LARGEST_BODY = 256 * 1024
SIZE = b"text/x.tlog.size"
TEXT = b"text/plain; charset=utf-8"
_JSON = b"application/json"
_NOTHING = b"there is nothing at this address\n"
_STATUS: Mapping[type[judge.NotCosigned], int] = {
    judge.NotReadable: 400,
    judge.Untrusted: 403,
    judge.UnknownLog: 404,
    judge.Inconsistent: 422,
}


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
    handlers = [add_checkpoint, get_report, get_checkpoint, get_metrics]
    app = Litestar(
        [*options_of(handlers), *handlers],
        lifespan=[_following],
        exception_handlers={HTTPException: _refuse, Exception: _on_crash},
        openapi_config=None,
        request_max_body_size=None,
        logging_config=None,
    )
    app.state.witness, app.state.followers, app.state.metrics = witness, followers, metrics
    return Edge(app, metrics, structlog.get_logger())


@asynccontextmanager
async def _following(app: Litestar) -> AsyncIterator[None]:
    followers: Sequence[Follower] = app.state.followers
    try:
        for follower in followers:
            follower.start()
        yield
    finally:
        for follower in followers:
            await asyncio.to_thread(follower.stop)


@post("/add-checkpoint")
async def add_checkpoint(request: PlainRequest) -> ASGIApp:
    """Cosign a checkpoint, or say by the protocol's statuses why not."""
    try:
        async with asyncio.timeout(PATIENCE):
            body = await _read(request)
    except TimeoutError:
        return _reply(408, TEXT, b"the body was not whole within %d s\n" % PATIENCE)
    return await _guarded(partial(_add, request.app.state.witness, body))


async def _read(request: PlainRequest) -> bytes | None:
    """Read a whole body, or give None once it is too large. A caller that goes away midway has sent what it has sent."""
    body = bytearray()
    with suppress(InternalServerException):
        async for piece in request.stream():
            body += piece
            if len(body) > LARGEST_BODY:
                return None
    return bytes(body)


def _add(witness: Witness, body: bytes | None) -> Reply:
    if body is None:
        return _reply(413, TEXT, f"a body here holds at most {LARGEST_BODY} bytes\n".encode())
    try:
        return _reply(200, TEXT, f"{witness.add(body)}\n".encode())
    except WrongSize as wrong:
        return _reply(409, SIZE, b"%d\n" % wrong.size)
    except judge.NotCosigned as refusal:
        return _reply(_STATUS[type(refusal)], TEXT, f"{refusal}\n".encode())


@get("/{origin_hash:str}/checkpoint")
async def get_checkpoint(request: PlainRequest, origin_hash: FromPath[str]) -> ASGIApp:
    """Show what was cosigned last of a log, which is named by the SHA-256 of its origin."""
    return await _guarded(partial(_checkpoint, request.app.state.witness, origin_hash))


def _checkpoint(witness: Witness, origin_hash: str) -> Reply:
    log = witness.named(origin_hash)
    note = log.memory.note() if log else None
    return _reply(404, TEXT, _NOTHING) if note is None else _reply(200, TEXT, note.encode())


@get("/")
async def get_report(request: PlainRequest) -> ASGIApp:
    """Show which logs are watched, and how far each was seen."""
    return await _guarded(partial(_report, request.app.state.witness, request.app.state.followers))


def _report(witness: Witness, followers: Sequence[Follower]) -> Reply:
    logs = [_describe(witness, log) for log in witness.logs]
    report = {
        "status": "fork" if any(log["fork"] for log in logs) else "watching",
        "name": witness.name,
        "vkey": witness.vkey,
        "logs": logs,
        "following": [{"url": follower.url, "trouble": follower.trouble} for follower in followers],
    }
    return _reply(200, _JSON, msgspec.json.encode(report))


def _describe(witness: Witness, log: Log) -> dict[str, object]:
    recorded = witness.recorded(log)
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


@get("/metrics")
async def get_metrics(request: PlainRequest) -> ASGIApp:
    """Show what a scraper sees."""
    return await _guarded(partial(_metrics, request.app.state.metrics))


def _metrics(metrics: Metrics) -> Reply:
    body, media_type = metrics.render()
    return _reply(200, media_type.encode(), body)


async def _guarded(work: Callable[[], Reply]) -> Reply:
    """Do in a thread what waits for files, and may for a lock.

    Answers 503 where the state folder fails, or was changed by another hand.
    """
    try:
        return await asyncio.to_thread(work)
    except (Unavailable, OSError, ValueError, msgspec.MsgspecError):
        structlog.get_logger().exception("what is remembered cannot be read or kept")
        return _reply(503, TEXT, b"what is remembered cannot be read or kept\n")


def _reply(status: int, media_type: bytes, body: bytes) -> Reply:
    caching = b"no-cache" if status < 400 else b"no-store"
    return Reply(status, [(b"content-type", media_type), (b"cache-control", caching)], body)


def _refuse(_request: PlainRequest, error: HTTPException) -> Response[bytes]:
    """Give the framework's own refusals; what it raises of faults is one, and raised again."""
    if isinstance(error, MethodNotAllowedException):
        return method_not_allowed(error)
    if error.status_code >= 500:
        raise error
    detail = _NOTHING if isinstance(error, NotFoundException) else f"{error.detail}\n".encode()
    return _reply(error.status_code, TEXT, detail).as_response()


def _on_crash(_request: PlainRequest, error: Exception) -> Response[bytes]:
    """Hand a fault to the edge, which logs it and answers for it."""
    raise error
