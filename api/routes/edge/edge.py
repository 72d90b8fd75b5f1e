"""The outermost ASGI layer: what is beyond all bounds, the access log, the last-resort 500.

It wraps the whole Litestar app, so it also sees what no handler is reached for. It knows nothing of records or the
ledger. Build it after `configure_logging`: whether the access log is written is asked once.
"""

import logging
from itertools import chain
from time import perf_counter

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from api.routes.edge.exchange import Exchange, Readers, without_keys
from api.routes.edge.metrics import Metrics
from api.routes.edge.problems import HttpError
from api.routes.edge.reply import Reply, refuse

# A request beyond these is refused before anything else is asked of it. Beyond its own limits the server answers itself.
MOST_FIELDS = 64
MOST_FIELD_BYTES = 64 * 1024
MOST_ADDRESS_BYTES = 16 * 1024
_ANY = Reply(204, [(b"allow", b"GET, HEAD, OPTIONS, POST")])
_LONGEST_PATH = _LONGEST_LOGGED = 512


class Edge:
    """Everything that is right about every response, whichever handler made it.

    The request id is left in `scope["request_id"]`; whoever counts the request against the caller's rate leaves an
    Allowance in `scope["allowance"]`.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._app = app
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
        if len(exchange.path) > _LONGEST_PATH:
            # Nothing has so long a name, and the framework remembers at what it looked, whole.
            await _refuse(exchange, "not-found", "Nothing is at this path.")
        elif b"%2f" in (exchange.scope.get("raw_path") or b"").lower():
            # A slash within a name (RFC 3986 section 2.2); no name here has one, whatever the framework reads.
            await _refuse(exchange, "not-found", "Nothing is at this path.")
        elif exchange.method == "OPTIONS" and exchange.path == "*":
            # The server as a whole (RFC 9110 section 9.3.7).
            await _ANY(exchange.scope, exchange.receive, exchange.send)
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
                path=without_keys(exchange.path)[:_LONGEST_LOGGED],
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


async def _refuse(exchange: Exchange, slug: str, detail: str) -> None:
    """Send a problem document (RFC 9457)."""
    await refuse(HttpError(slug, detail))(exchange.scope, exchange.receive, exchange.send)
