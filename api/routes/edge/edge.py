"""The outermost ASGI layer: what is beyond all bounds, methods, OPTIONS and CORS, the access log, the last-resort 500.

It wraps the whole Litestar app, so it also sees what no handler is reached for. It knows nothing of records or the
ledger. Build it after `configure_logging`: whether the access log is written is asked once.
"""

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from http import HTTPStatus
from itertools import chain
from time import perf_counter
from typing import TypeVar

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send
from litestar.utils import normalize_path
from structlog.typing import FilteringBoundLogger

from api.routes.edge.exchange import Exchange, Readers, without_keys
from api.routes.edge.limits import RawHeaders
from api.routes.edge.metrics import Metrics
from api.routes.edge.problems import EDGE, render

# A request beyond these is refused before anything else is asked of it. Beyond its own limits the server answers itself.
MOST_FIELDS = 64
MOST_FIELD_BYTES = 64 * 1024
MOST_ADDRESS_BYTES = 16 * 1024
Allowed = Callable[[str], frozenset[str] | None]
_Found = TypeVar("_Found")

_ALLOWED_HEADERS = b"Authorization, Accept, Accept-Datetime, If-None-Match, Idempotency-Key, X-Request-Id"
_PREFLIGHT: RawHeaders = (
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", _ALLOWED_HEADERS),
    (b"access-control-max-age", b"86400"),
)
_PROBLEM: RawHeaders = ((b"content-type", b"application/problem+json"), (b"cache-control", b"no-store"))
_ALL_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST"})
_CACHED_PATHS = 4096
_MAX_PATH = 512


class Edge:
    """Everything that is right about every response, whichever handler made it.

    `allowed` gives the methods of a path, None where it is unknown. The request id is left in `scope["request_id"]`;
    whoever counts the request against the caller's rate leaves an Allowance in `scope["allowance"]`.
    """

    def __init__(self, app: ASGIApp, allowed: Allowed, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._app = app
        self._allowed = allowed
        self._metrics = metrics
        self._log = log
        self._readers = Readers()
        self._writes_access_log = log.is_enabled_for(logging.INFO)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, self._readers)
        try:
            await self._judge(exchange)
        except Exception as crash:  # noqa: BLE001  the last resort; nothing outside would answer
            await self._fail(exchange, crash)
        finally:
            self._account(exchange)

    async def _judge(self, exchange: Exchange) -> None:
        beyond = _beyond(exchange)
        if beyond is not None:
            await _refuse(exchange, *beyond)
            return
        methods = self._allowed(exchange.path)
        if b"%2f" in (exchange.scope.get("raw_path") or b"").lower():
            # A slash within a name (RFC 3986 section 2.2); no name here has one, whatever the framework reads.
            await _refuse(exchange, "not-found", "Nothing is at this path.")
        elif exchange.method == "OPTIONS":
            await _answer_options(exchange, methods)
        elif methods is not None and exchange.method not in methods:
            await _refuse_method(exchange, methods)
        else:
            await self._app(exchange.scope, exchange.receive, exchange.send)

    async def _fail(self, exchange: Exchange, crash: Exception) -> None:
        self._log.error("unhandled", request_id=exchange.request_id, exc_info=crash)
        if exchange.is_started:
            # The head is out: breaking the connection is the one way left to say that the body is not whole.
            message = f"response broken off, see request {exchange.request_id}"
            raise ConnectionAbortedError(message) from None
        await _refuse(exchange, "internal-server-error", "The request failed; the fault is logged.")

    def _account(self, exchange: Exchange) -> None:
        seconds = perf_counter() - exchange.began
        route = exchange.scope.get("path_template")
        self._metrics.observe(method=exchange.method, route=route, status=exchange.status, seconds=seconds)
        if self._writes_access_log:
            self._log.info(
                "request",
                method=exchange.method,
                path=without_keys(exchange.path)[:_MAX_PATH],
                status=exchange.status,
                ms=round(seconds * 1000, 3),
                bytes=exchange.sent,
                request_id=exchange.request_id,
            )


def _beyond(exchange: Exchange) -> tuple[str, str] | None:
    """Say in which problem type, and why, a request is more than anybody needs; None for all others."""
    scope, headers = exchange.scope, list(exchange.scope["headers"])
    if len(headers) > MOST_FIELDS:
        return "headers-too-large", f"A request here has at most {MOST_FIELDS} header fields."
    if sum(map(len, chain.from_iterable(headers))) > MOST_FIELD_BYTES:
        return "headers-too-large", f"The header fields of a request here hold at most {MOST_FIELD_BYTES} bytes."
    if len(scope.get("raw_path") or b"") + len(scope.get("query_string", b"")) > MOST_ADDRESS_BYTES:
        return "address-too-long", f"An address here holds at most {MOST_ADDRESS_BYTES} bytes, its query included."
    if b"transfer-encoding" in exchange.fields:
        codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
        if codings != [b"chunked"]:
            return "not-implemented", "The one transfer coding that is read here is chunked."
    return None


async def _answer_options(exchange: Exchange, methods: frozenset[str] | None) -> None:
    if exchange.path == "*":
        # The server as a whole (RFC 9110 section 9.3.7).
        methods = _ALL_METHODS
    if methods is None:
        await _refuse(exchange, "not-found", "Nothing is at this path.")
        return
    asked = next((v for n, v in exchange.scope["headers"] if n == b"access-control-request-method"), b"")
    extra = _PREFLIGHT if asked in {b"GET", b"HEAD"} else ()
    await _answer(exchange, HTTPStatus.NO_CONTENT, (_allow(methods), *extra), b"")


async def _refuse_method(exchange: Exchange, methods: frozenset[str]) -> None:
    detail = "This path does not have the method; Allow lists those it has."
    await _refuse(exchange, "method-not-allowed", detail, (_allow(methods),))


async def _refuse(exchange: Exchange, slug: str, detail: str, headers: RawHeaders = ()) -> None:
    """Send a problem document (RFC 9457)."""
    kind = EDGE[slug]
    await _answer(exchange, kind.status, (*_PROBLEM, *headers), render(kind, detail))


async def _answer(exchange: Exchange, status: int, headers: RawHeaders, body: bytes) -> None:
    # RFC 9110 section 8.6: a 204 has no Content-Length.
    length = () if status == HTTPStatus.NO_CONTENT else ((b"content-length", b"%d" % len(body)),)
    await exchange.send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await exchange.send({"type": "http.response.body", "body": body, "more_body": False})


def _allow(methods: frozenset[str]) -> tuple[bytes, bytes]:
    return b"allow", ", ".join(sorted(methods)).encode()


class _Node:
    """A segment of the parametrised paths. `rest` says that what follows is part of the last parameter."""

    __slots__ = ("children", "methods", "parameter", "rest")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.rest = False
        self.methods: frozenset[str] = frozenset()


def methods_of(app: Litestar) -> Allowed:
    """Answer, for any path, which methods its handlers have: GET brings HEAD, and OPTIONS is always there.

    Walks paths as Litestar's router does (plain paths first, then segment by segment, names before parameters), so
    the two never disagree about what exists. A path of ASGI handlers counts as unknown: they judge for themselves.
    """
    plain: dict[str, frozenset[str]] = {}
    root = _Node()
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        if route.path_parameters:
            node = _grow(root, route)
            node.methods |= _completed(route.methods)
        else:
            plain[route.path] = plain.get(route.path, frozenset()) | _completed(route.methods)

    def find(path: str) -> frozenset[str] | None:
        normal = normalize_path(path)
        return plain.get(normal) or _walk(root, normal)

    return _remembering(find)


def remember_routes(app: Litestar) -> None:
    """Let Litestar's router remember what is at as many paths as the edge does, and at no long ones."""
    app.asgi_router.handle_routing = _remembering(app.asgi_router.handle_routing.__wrapped__)  # type: ignore[assignment]


def _remembering(find: Callable[..., _Found]) -> Callable[..., _Found]:
    cached = lru_cache(maxsize=_CACHED_PATHS)(find)

    def look_up(path: str, **more: str | None) -> _Found:
        # Long paths are nobody's: looked up, but not remembered, so the cache stays within a few megabytes.
        return cached(path, **more) if len(path) <= _MAX_PATH else find(path, **more)

    return look_up


def _completed(methods: Iterable[str]) -> frozenset[str]:
    given = {str(method) for method in methods}
    return frozenset(given | {"OPTIONS"} | ({"HEAD"} if "GET" in given else set()))


def _grow(root: _Node, route: HTTPRoute) -> _Node:
    node = root
    for part in route.path_components:
        if isinstance(part, str):
            node = node.children.setdefault(part, _Node())
            continue
        node.parameter = node = node.parameter or _Node()
        node.rest = part.full.endswith(":path")
    return node


def _walk(root: _Node, path: str) -> frozenset[str] | None:
    node = root
    for segment in path.split("/")[1:]:
        child = node.children.get(segment) or node.parameter
        if child is None:
            return None
        node = child
        if node.rest:
            break
    return node.methods or None
