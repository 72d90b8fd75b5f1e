"""How a request is read and an answer is sent, the same for every operation: judged in the contract's order, once.

405, 429, 413, 415, 406, 401, 403, 400, then the body, 422; what comes after is the ledger's to say.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache, partial
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from api.domain.dates.asof import NOW, AsOf, Standpoint, read_as_of
from api.domain.errors import Absent, BadParameter, LedgerError, LogDamaged, Redacted, Stale, Unavailable
from api.domain.records.operation import decode_body, decoder
from api.ledger.keeping.watch import Watch
from api.ledger.reading import views
from api.ledger.signing.checkpoints import Checkpoints
from api.ledger.storage.database import Database
from api.ledger.storage.faults import behind, described
from api.ledger.writing.keys import KEY_PATTERN, Caller
from api.ledger.writing.ledger import Ledger
from api.routes.contract.params import NoQuery, Path
from api.routes.contract.shapes import GoneMark
from api.routes.edge import problems
from api.routes.edge.bodies import JSON, NDJSON, Bodies, Room, check_depth, check_head
from api.routes.edge.keyring import Keyring
from api.routes.edge.limits import RateLimits, is_host, scheme_of
from api.routes.edge.lines import Lines
from api.routes.edge.negotiation import Encoders, accepts, choose_encoding, is_known, mark
from api.routes.edge.problems import Refused
from api.routes.edge.query import convert, read_header, read_query, repeatable, replace_in_query
from api.routes.edge.turns import Turns
from api.settings import Settings

NO_CACHE = b"no-cache"
PINNED = b"public, max-age=3600"
NO_STORE = b"no-store"
_VARY = (b"vary", b"Accept, Accept-Encoding")
_VARY_TIMEGATE = (b"vary", b"Accept-Datetime, Accept, Accept-Encoding")
_KEY = re.compile(KEY_PATTERN)
_log = logging.getLogger("ledger")

Headers = list[tuple[bytes, bytes]]
Encode = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Rooms:
    """What handlers reach: made once by `app`, never global."""

    settings: Settings
    database: Database
    ledger: Ledger
    checkpoints: Checkpoints
    watch: Watch
    keyring: Keyring
    limits: RateLimits
    bodies: Bodies
    encoders: Encoders
    turns: Turns
    lines: Lines
    origin: str

    def close(self) -> None:
        """Close what was opened here, and wait for what is under way in threads."""
        self.bodies.close()
        self.encoders.close()
        self.database.close()

    async def check_ready(self) -> None:
        """Raise what keeps this node from serving all that it is for: damage, a log that was not signed, a full disk."""
        self.checkpoints.check_ready()
        if not self.settings.read_only:
            await self.ledger.check_writable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One operation as it is published and enforced: the OpenAPI document and the checks both come from here."""

    id: str
    summary: str
    tag: str
    returns: str
    description: str = ""
    query: type[msgspec.Struct] = NoQuery
    headers: tuple[str, ...] = ()
    body: Any = None
    media_types: tuple[str, ...] = ()
    offers: tuple[str, ...] = (JSON,)
    scope: str | None = None
    status: int = 200
    answer_headers: tuple[str, ...] = ()
    absent: bool = False
    gone: bool = False
    conflicts: bool = False
    always_open: bool = False

    def __post_init__(self) -> None:
        """Get ready to read what the contract allows, before there are threads."""
        for wanted in (Path, self.query, self.body):
            decoder(wanted)


class Answer:
    """A response, ready to be sent: a plain ASGI application. Its body is encoded on the way, if it is to be."""

    __slots__ = ("_encode", "body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes = b"", encode: Encode | None = None) -> None:
        self.status, self.headers, self.body, self._encode = status, headers, body, encode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, body = self.headers, self.body
        if self._encode is not None:
            try:
                body = self.body = await self._encode(body)
            except Unavailable as error:
                await refuse(Refused("unavailable", error.reason, (("Retry-After", "1"),)))(scope, receive, send)
                return
        if self.status != 304:
            headers = [*headers, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


@dataclass(slots=True)
class Asked:
    """A request that the contract allows, read."""

    request: Request[Any, Any, Any]
    rooms: Rooms
    contract: Contract
    caller: Caller | None
    path: Path
    query: Any
    headers: Mapping[str, str]
    raw: bytes = b""
    body: Any = None

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.path.id or ""

    @property
    def as_of(self) -> AsOf:
        """Where on the ledger's clock the reader wants to stand."""
        text = self.query.as_of
        return NOW if text is None else read_as_of(text)

    async def read(
        self, view: Callable[..., Any], *given: object, slow: bool = False, computes: bool = False, **named: object
    ) -> Any:
        """Read in a turn of the event loop that has not been long; what takes long, in a line of the caller's own."""
        await self.rooms.turns.wait()
        line = partial(self._place, computes=computes)
        return await self.rooms.database.read(view, *given, slow=slow, computes=computes, line=line, **named)

    def _place(self, *, computes: bool) -> AbstractAsyncContextManager[None]:
        """Give a place among this caller's reads that take long."""
        caller = self.rooms.limits.caller_of(self.request.scope, self.caller.key if self.caller else None)
        return self.rooms.lines.place(caller, computes=computes)


Handler = Callable[[Asked], Awaitable[Answer]]


def operation(
    decorator: Callable[..., HTTPRouteHandler], path: str, contract: Contract
) -> Callable[[Handler], HTTPRouteHandler]:
    """Make a Litestar handler of a function from what was asked to an answer, held to its contract."""

    def decorate(handler: Handler) -> HTTPRouteHandler:
        async def answer(request: Request[Any, Any, Any]) -> ASGIApp:
            try:
                asked = await _judge(request, contract)
                if not contract.media_types:
                    return await handler(asked)
                with asked.rooms.bodies.room() as room:
                    await _take_body(asked, room)
                    return await handler(asked)
            except Refused as refusal:
                refused = refuse(refusal)
            except LedgerError as error:
                refused = await explain(request.app.state.rooms, error)
            if "Accept-Datetime" in contract.headers:
                refused.headers.append(_VARY_TIMEGATE)
            return refused

        answer.__doc__ = contract.description or contract.summary
        return decorator(path, operation_id=contract.id, opt={"contract": contract}, name=contract.id)(answer)

    return decorate


async def _judge(request: Request[Any, Any, Any], contract: Contract) -> Asked:
    scope, rooms = request.scope, request.app.state.rooms
    headers = _headers(scope)
    presented = headers.get("authorization")
    if contract.always_open:
        # Whether the process runs is told whatever became of the database, and so whoever asks.
        presented = None
    caller = await rooms.keyring.recognise(_key_in(presented)) if presented is not None else None
    _limit(rooms, scope, caller)
    if contract.media_types:
        check_head(headers, contract.media_types, _most(contract, rooms.settings))
    _check_accept(contract, headers.get("accept"))
    _authorise(rooms, contract, presented, caller)
    _check_host(scope, headers)
    path = convert(request.path_params, Path, "path")
    wanted = contract.query
    query = read_query(scope["query_string"], wanted, repeatable(wanted))
    for name in contract.headers:
        given = headers.get(name.lower())
        # Where the query says when, the header does not count.
        if given is not None and (name != "Accept-Datetime" or query.as_of is None):
            read_header(name, given)
    return Asked(request, rooms, contract, caller, path, query, headers)


async def _take_body(asked: Asked, room: Room) -> None:
    """Read the body, of a caller who may send one."""
    bodies, contract, settings = asked.rooms.bodies, asked.contract, asked.rooms.settings
    asked.raw = await bodies.read(asked.request, _most(contract, settings), room)
    if contract.body is not None:
        asked.body = await bodies.work(len(asked.raw), _decode, asked.raw, contract.body, settings.max_depth)


def _most(contract: Contract, settings: Settings) -> int:
    return settings.max_batch if NDJSON in contract.media_types else settings.max_body


def _decode(raw: bytes, wanted: Any, deepest: int) -> Any:
    check_depth(raw, deepest)
    return decode_body(raw, wanted)


_PLAIN = Contract(id="plain", tag="service", summary="A page or a file that no contract describes", returns="")


async def admit(request: Request[Any, Any, Any]) -> Response[bytes] | None:
    """Judge who asks for a page or a file, by the rules of every read; None lets the request through."""
    rooms, presented = request.app.state.rooms, request.headers.get("authorization")
    try:
        caller = await rooms.keyring.recognise(_key_in(presented)) if presented is not None else None
        _limit(rooms, request.scope, caller)
        _authorise(rooms, _PLAIN, presented, caller)
    except Refused as refusal:
        return _plainly(refuse(refusal))
    except LedgerError as error:
        return _plainly(await explain(rooms, error))
    return None


def not_found(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Refuse a request for what is not there; it counts like any other, though nobody asks whose key it bears."""
    try:
        _limit(request.app.state.rooms, request.scope, None)
    except Refused as refusal:
        return _plainly(refuse(refusal))
    return _plainly(refuse(Refused("not-found", "there is nothing at this address")))


def bad_host() -> Response[bytes]:
    """Refuse a Host that the framework cannot read."""
    bad = BadParameter("header", "Host", "not a host")
    kind = problems.kind_of(bad)
    body = problems.render(kind, bad.sentence(), errors=problems.faults(bad))
    return _plainly(_problem(kind.status, body, []))


def _plainly(answer: Answer) -> Response[bytes]:
    """Give a refusal as the framework wants it where no handler is reached."""
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    media_type = headers.pop("content-type")
    return Response(answer.body, status_code=answer.status, media_type=media_type, headers=headers)


def _headers(scope: Scope) -> dict[str, str]:
    """Read the header fields; lines of one name are one list (RFC 9110 section 5.3)."""
    found: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in found:
            repeated.setdefault(name, [found[name]]).append(value)
        else:
            found[name] = value
    for name, values in repeated.items():
        found[name] = ", ".join(values)
    return found


def _check_host(scope: Scope, headers: Mapping[str, str]) -> None:
    """Refuse a request that names no host, several, or what is none (RFC 9112 section 3.2)."""
    # Where there is none, granian gives an empty one.
    host = headers.get("host", "")
    if is_host(host) or (not host and scope["http_version"] != "1.1"):
        return
    raise BadParameter("header", "Host", "exactly one is needed, of the form host or host:port")


def _key_in(presented: str) -> str | None:
    scheme, _, rest = presented.partition(" ")
    key = rest.lstrip(" ")
    return key if scheme.lower() == "bearer" and _KEY.match(key) else None


def _limit(rooms: Rooms, scope: Scope, caller: Caller | None) -> None:
    """Count a request against the caller's rate. What is left of it goes out with the answer, whatever that is."""
    allowance = rooms.limits.check(scope, caller.key if caller else None)
    if allowance is None:
        return
    scope["allowance"] = allowance  # type: ignore[typeddict-unknown-key]
    if allowance.is_exceeded:
        raise Refused("too-many-requests", f"try again in {allowance.retry_after} s")


def _check_accept(contract: Contract, accept: str | None) -> None:
    if accept is None or accept == "*/*":
        return
    if not any(accepts(accept, offered) for offered in contract.offers):
        raise Refused("not-acceptable", "offered: " + ", ".join(contract.offers))


def _authorise(rooms: Rooms, contract: Contract, presented: str | None, caller: Caller | None) -> None:
    challenge = ("WWW-Authenticate", 'Bearer realm="ledger"')
    if presented is not None and caller is None:
        wrong = (("WWW-Authenticate", 'Bearer realm="ledger", error="invalid_token"'),)
        raise Refused("unauthorized", "this key is not known, or was revoked", wrong)
    is_closed = contract.scope is not None or not (rooms.settings.public_read or contract.always_open)
    if caller is None and is_closed:
        raise Refused("unauthorized", "send a key: Authorization: Bearer <key>", (challenge,))
    if caller is not None and contract.scope is not None and contract.scope not in caller.scopes:
        raise Refused("forbidden", f"the key lacks the scope {contract.scope}")


def refuse(refusal: Refused) -> Answer:
    """Answer with a problem document of the edge's own."""
    body = problems.render(refusal.kind, refusal.detail)
    return _problem(refusal.kind.status, body, list(refusal.headers))


async def explain(rooms: Rooms, error: LedgerError) -> Answer:
    """Answer with the problem document of one of the ledger's errors. Of damage that a reader met the node takes note.

    To some of them what a reader needs is looked up and added: where that fails, the answer is that failure.
    """
    try:
        added, headers = await _added(rooms, error)
    except LedgerError as failure:
        error, added, headers = failure, {}, []
    if isinstance(error, LogDamaged):
        rooms.watch.note(error)
    kind = problems.kind_of(error)
    more = {"errors": problems.faults(error), "operation": error.operation, **problems.particulars(error), **added}
    if kind.status == 503:
        _log.warning("unavailable: %s", error if behind(error) is None else f"{error} ({described(error)})")
        headers.append(("Retry-After", "1"))
    return _problem(kind.status, problems.render(kind, error.sentence(), **more), headers)


async def _added(rooms: Rooms, error: LedgerError) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Look up members and headers that tell of an error what is in the database. Raises another of the ledger's errors."""
    if isinstance(error, Stale):
        missed = await _missed(rooms, error)
        return missed, [("ETag", f'"{missed["current"]["position"]}"')] if missed else []
    if isinstance(error, Redacted):
        gone = await _removed_by(rooms.database, error)
        return {"redacted": gone}, [("Link", f'</v1/redactions/{gone.id}>; rel="describedby"')] if gone.id else []
    return {}, []


async def _removed_by(database: Database, error: Redacted) -> GoneMark:
    """Tell of the redaction that removed what was asked for as much as is public."""
    told = msgspec.json.decode((await database.read(views.written, error.position)).document)
    return GoneMark(**{name: told[name] for name in GoneMark.__struct_fields__})


async def _missed(rooms: Rooms, error: Stale) -> dict[str, Any]:
    """Show what a stale writer missed, unless the record is one that the refused batch itself would have made."""
    base = await _base(rooms.database, error)
    with suppress(Absent, Redacted):
        # `current` shows the record as it is read now, which another writer may have moved on once more.
        document, lines, names = await rooms.database.read(views.since, error.kind, error.id, base)
        revisions = [msgspec.json.decode(line) for line in lines]
        return {"current": msgspec.json.decode(document), "revisions": revisions, "fields": names}
    return {}


async def _base(database: Database, error: Stale) -> int | None:
    """Find the position of the revision that a stale writer looked at; None where the record never had it."""
    with suppress(Absent, Redacted):
        if error.expected_revision is not None:
            return int((await database.read(views.numbered, error.kind, error.id, error.expected_revision)).position)
        if error.expected is not None:
            view = await database.read(views.as_of, error.kind, error.id, AsOf(position=error.expected))
            return error.expected if view.position == error.expected else None
    return None


def _problem(status: int, body: bytes, headers: list[tuple[str, str]]) -> Answer:
    sent: Headers = [(b"content-type", problems.MEDIA_TYPE.encode()), (b"cache-control", NO_STORE)]
    sent += [(name.lower().encode(), value.encode()) for name, value in headers]
    return Answer(status, sent, body)


def send(
    asked: Asked,
    body: bytes,
    *,
    at: Standpoint | None = None,
    etag: str | None = None,
    media_type: str = JSON,
    is_pinned: bool | None = None,
    headers: Headers | None = None,
    status: int = 200,
) -> Answer:
    """Answer with a body; 304 where the client holds it already (RFC 9110 section 13.1.2). Compressed if it is worth it."""
    sent: Headers = [_VARY_TIMEGATE if _is_timegate(asked) else _VARY]
    pinned = at.is_pinned if at is not None and is_pinned is None else is_pinned
    caching = NO_STORE if status >= 201 else PINNED if pinned else NO_CACHE
    sent.append((b"cache-control", for_whom(asked.rooms.settings, caching)))
    if at is not None:
        sent.append((b"ledger-position", str(at.position).encode()))
    if headers:
        sent += headers
    encoding = choose_encoding(asked.headers.get("accept-encoding"), len(body))
    if etag is not None:
        sent.append((b"etag", mark(etag, encoding).encode()))
        known = asked.headers.get("if-none-match")
        if known is not None and status == 200 and is_known(etag, known):
            return Answer(304, sent)
    sent.append((b"content-type", media_type.encode()))
    return encoded(asked.rooms, Answer(status, sent, body), encoding)


def encoded(rooms: Rooms, answer: Answer, encoding: str | None) -> Answer:
    """Have an answer's body encoded when it is sent, if it is to be."""
    if encoding is None:
        return answer
    headers = [*answer.headers, (b"content-encoding", encoding.encode())]
    return Answer(answer.status, headers, answer.body, partial(rooms.encoders.encode, encoding=encoding))


def for_whom(settings: Settings, caching: bytes) -> bytes:
    """Keep from shared caches what not everybody may read (RFC 9111 section 3.5)."""
    return caching if settings.public_read else caching.replace(b"public", b"private")


def _is_timegate(asked: Asked) -> bool:
    """Say whether this address is negotiated on datetime: a memento's must not say so (RFC 7089 section 4.1.1)."""
    return "Accept-Datetime" in asked.contract.headers and asked.query.as_of is None


def with_query(asked: Asked, **replaced: object) -> str:
    """Write the request's own address again, relative to the server, with some of its parameters replaced."""
    raw = asked.request.scope["query_string"].decode("ascii")
    return f"{asked.request.scope['path']}?{replace_in_query(raw, replaced)}"


def in_full(asked: Asked, path: str) -> str:
    """Spell an address of ours in full, as it is public or else as the client reached it.

    Readers of Memento links resolve no relative ones. Where the client names no host, as in HTTP/1.0, it stays relative.
    """
    settings = asked.rooms.settings
    if settings.public_url is not None:
        return settings.public_url + path
    host = asked.headers.get("host", "")
    return f"{scheme_of(asked.request.scope, settings.trusted_proxies)}://{host}{path}" if host else path


@lru_cache(maxsize=16_384)
def http_date(us: int) -> str:
    """Write a time as HTTP does, whole seconds (RFC 9110 section 5.6.7)."""
    return formatdate(us // 1_000_000, usegmt=True)
