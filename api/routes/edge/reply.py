"""What goes out: replies, and refusals of the edge's own as problem documents. Nothing of the ledger is known here."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from email.utils import formatdate
from functools import lru_cache

from litestar import Response, route
from litestar.exceptions import MethodNotAllowedException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from api.domain.errors import Unavailable
from api.routes.edge import problems
from api.routes.edge.exchange import NotTaken
from api.routes.edge.problems import HttpError

NO_STORE = b"no-store"
VARY_TIMEGATE = (b"vary", b"Accept-Datetime, Accept, Accept-Encoding")

Headers = list[tuple[bytes, bytes]]
Encode = Callable[[bytes], Awaitable[bytes]]


class Reply:
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
                await refuse(HttpError("unavailable", error.reason, (("Retry-After", "1"),)))(scope, receive, send)
                return
        # A 204 must not have a Content-Length (RFC 9110 section 8.6), and that of a 304 would be another's.
        if self.status not in (204, 304):
            headers = [*headers, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def as_response(self) -> Response[bytes]:
        """Give it as the framework wants it where no handler of ours is reached."""
        headers = {name.decode(): value.decode() for name, value in self.headers}
        return Response(self.body, status_code=self.status, headers=headers)


class Streamed:
    """A response that goes on: a plain ASGI application. `begin` was made before its head goes out, `rest` follows.

    It ends when the client leaves, and `rest` is closed then. A fault on the way breaks the connection off.
    """

    __slots__ = ("_begin", "_headers", "_rest")

    def __init__(self, headers: Headers, begin: bytes, rest: AsyncGenerator[bytes]) -> None:
        self._headers, self._begin, self._rest = headers, begin, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        async with aclosing(self._rest) as rest, _while_wanted(receive):
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            begin, self._begin = self._begin, b""
            await _send_piece(send, begin)
            del begin
            async for piece in rest:
                await _send_piece(send, piece)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def _while_wanted(receive: Receive) -> AsyncIterator[None]:
    """End what is within when the client leaves, or takes nothing more."""
    stay = asyncio.timeout(None)
    try:
        async with stay:
            leaving = asyncio.ensure_future(_leaving(receive))
            leaving.add_done_callback(lambda _: _end(stay))
            try:
                yield
            finally:
                leaving.cancel()
    except NotTaken:
        pass
    except TimeoutError:
        if not stay.expired():
            raise


async def _send_piece(send: Send, piece: bytes) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _leaving(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _end(stay: asyncio.Timeout) -> None:
    # Where it has ended by itself there is nothing to end.
    with suppress(RuntimeError):
        stay.reschedule(0)


def refuse(error: HttpError) -> Reply:
    """Answer with a problem document of the edge's own."""
    return problem(error.kind.status, problems.render(error.kind, error.detail), list(error.headers))


def problem(status: int, body: bytes, headers: list[tuple[str, str]]) -> Reply:
    """Answer with a problem document (RFC 9457); nobody is to keep it."""
    sent: Headers = [(b"content-type", problems.MEDIA_TYPE.encode()), (b"cache-control", NO_STORE)]
    sent += [(name.lower().encode(), value.encode()) for name, value in headers]
    return Reply(status, sent, body)


def options_of(handlers: Iterable[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """Make routes that say which methods a path has; register them first.

    Those that the framework makes name the methods of a path's first handler alone, and never HEAD.
    """
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    return [_options_route(path, found) for path, found in methods.items()]


def _options_route(path: str, methods: set[str]) -> HTTPRouteHandler:
    described = Reply(204, [(b"allow", _listed(methods).encode())])

    async def describe() -> ASGIApp:
        return described

    return route(path, http_method=["OPTIONS"], include_in_schema=False)(describe)


def method_not_allowed(error: MethodNotAllowedException) -> Response[bytes]:
    """Refuse a method that the path does not have; the framework knows which it has (RFC 9110 section 15.5.6)."""
    allowed = _listed({*(error.headers or {})["allow"].split(", ")})
    detail = (
        "this path does not have the method; Allow lists those it has. A record is changed by POST to its revisions"
    )
    return refuse(HttpError("method-not-allowed", detail, (("Allow", allowed),))).as_response()


def _listed(methods: set[str]) -> str:
    """List methods; HEAD is answered wherever GET is."""
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


@lru_cache(maxsize=16_384)
def http_date(us: int) -> str:
    """Write a time as HTTP does, whole seconds (RFC 9110 section 5.6.7)."""
    return formatdate(us // 1_000_000, usegmt=True)
