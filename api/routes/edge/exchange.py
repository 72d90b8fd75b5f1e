"""One request and its answer, as they pass the outermost layer: what every answer bears, and bodies kept moving.

A client that reads or sends nothing more is let go here, so that what is held for it is not held for long.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from time import perf_counter

from litestar import Request
from litestar.datastructures import State
from litestar.types import HTTPScope, Message, Receive, ReceiveMessage, Scope, Send
from uuid_utils import uuid7

from api.routes.edge.limits import Allowance, RawHeaders

# A request as the framework reads it, of which the ledger uses no user and no session.
PlainRequest = Request[object, object, State]
# Seconds until the next piece of a request must have come, or of an answer been taken, before a client is let go.
PATIENCE = 20
# Bytes of large answers that a process holds for those who read them.
MOST_WAITING = 64 * 1024 * 1024
# An answer up to here is handed to the server whole; a larger one in pieces, so that the server holds only a few.
_WHOLE = 192 * 1024
_PIECE = 16 * 1024
# Seconds in which the rest of a body that nobody wants is still read.
_LINGER = 2
_EXPOSED_HEADERS = (
    b"ETag, Link, Location, Ledger-Position, Memento-Datetime, Content-Location, Retry-After, RateLimit, "
    b"RateLimit-Policy, X-Request-Id, Vary, WWW-Authenticate, Last-Modified, Idempotency-Replayed"
)
# CORS is ours, and not the framework's: CORSConfig answers OPTIONS for paths that are not there, gives no Allow and writes
# over Vary. Every origin may read, and write with a key: a browser sends none by itself, as it would a cookie.
_COMMON: RawHeaders = (
    (b"x-content-type-options", b"nosniff"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED_HEADERS),
)
# By name, as an asterisk stands for all but Authorization (Fetch standard, CORS-preflight fetch).
_PREFLIGHT: RawHeaders = (
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, Accept, Accept-Datetime, If-Match, If-None-Match, Idempotency-Key, X-Request-Id, "
        # What clients for scripts add by themselves, to get past caches or to follow a request.
        b"Cache-Control, Last-Event-ID, Pragma, traceparent, tracestate",
    ),
    (b"access-control-max-age", b"86400"),
)
_CLOSE = (b"connection", b"close")
_REQUEST_ID = re.compile("[A-Za-z0-9._-]{1,64}")
# A key that somebody put where an id belongs, or sent as a request's id, is told by its id alone.
_KEY, _HIDDEN = re.compile(r"(dl_[a-z0-9]{12})_[A-Za-z0-9_-]+"), r"\1_..."
_ABANDONED = 499


class NotTaken(Exception):
    """Nobody takes more of an answer that comes in pieces: its head alone was asked for, or it was broken off."""


class Exchange:
    """One request, what has come of its body, and what has gone out in answer."""

    __slots__ = (
        "_is_unread", "_readers", "_receive", "_send", "began", "fields", "is_broken_off",
        "is_started", "method", "path", "receive", "request_id", "scope", "sent", "status",
    )  # fmt: skip

    def __init__(self, scope: HTTPScope, receive: Receive, send: Send, readers: "Readers") -> None:
        self.began = perf_counter()
        self.method: str = scope["method"]
        self.path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        # Of a field with several lines, one of them.
        self.fields = fields = dict(scope["headers"])
        self.request_id = _request_id(fields.get(b"x-request-id"))
        # The server reads its own scope's method to frame the answer, so only a copy may say GET.
        self.scope: Scope = {**scope, "method": "GET"} if self.method == "HEAD" else scope
        self.scope["request_id"] = self.request_id  # type: ignore[typeddict-unknown-key]
        self.status = _ABANDONED
        self.sent = 0
        self.is_started = self.is_broken_off = False
        self._is_unread = fields.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in fields
        self._receive, self._send, self._readers = receive, send, readers
        # Where no body comes there is nothing to watch.
        self.receive: Receive = self._watched if self._is_unread else receive

    async def _watched(self) -> ReceiveMessage:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._is_unread = False
        return message

    async def send(self, message: Message) -> None:
        """Pass on what the app sends, with the headers every response has; after HEAD, without the body."""
        if message["type"] == "http.response.start":
            await self._start(message["status"], message.get("headers", ()))
        elif message["type"] != "http.response.body":
            await self._send(message)
        elif self.method != "HEAD" and not self.is_broken_off:
            await self._send_body(message.get("body", b""), is_last=not message.get("more_body", False))
        elif message.get("more_body", False):
            raise NotTaken

    async def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.is_started = True
        merged = [*headers, *_COMMON, (b"x-request-id", self.request_id.encode())]
        if status == HTTPStatus.NO_CONTENT and b"access-control-request-method" in self.fields:
            merged += [(b"access-control-allow-methods", value) for name, value in merged if name == b"allow"]
            merged += _PREFLIGHT
        allowance: Allowance | None = self.scope.get("allowance")  # type: ignore[assignment]
        if allowance is not None:
            merged += allowance.raw_headers
        if self._is_unread:
            # What is left of the body would be read as the next request.
            merged.append(_CLOSE)
        await self._send({"type": "http.response.start", "status": status, "headers": merged})
        if self.method == "HEAD":
            # Done at once, whatever the app streams: its Content-Length stands, its body goes nowhere.
            await self._send_body(b"", is_last=True)

    async def _send_body(self, body: bytes, *, is_last: bool) -> None:
        self.sent += len(body)
        if is_last and len(body) <= _WHOLE and not self._is_unread:
            await self._send({"type": "http.response.body", "body": body, "more_body": False})
            return
        try:
            await self._readers.hand_over(body, self._send)
        except TimeoutError:
            # Without its last piece nobody takes it for whole.
            self.is_broken_off, self.status = True, _ABANDONED
            return
        if is_last:
            await self._linger()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _linger(self) -> None:
        """Read and forget what still comes of the body.

        If the connection ended first, the answer under way could be lost to the client (RFC 9112 section 9.6). Not
        where the client waits for leave to send it, or was waited for already.
        """
        if b"expect" in self.fields or self.status == HTTPStatus.REQUEST_TIMEOUT:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                while self._is_unread:
                    await self.receive()


class Readers:
    """Those to whom large answers go out. For one event loop.

    An answer that is not taken is broken off: after PATIENCE, or where all together hold more than MOST_WAITING bytes,
    that one first which has waited longest.
    """

    def __init__(self) -> None:
        # In the order in which they last moved on.
        self._waiting: OrderedDict[asyncio.Timeout, int] = OrderedDict()
        self._held = 0

    async def hand_over(self, body: bytes, send: Send) -> None:
        """Send a body in pieces; more is to follow. Raises TimeoutError where it is broken off."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE) as patience:
            with self._holding(patience, len(body)):
                for start in range(0, max(len(body), 1), _PIECE):
                    piece = body[start : start + _PIECE]
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    if patience not in self._waiting:
                        raise TimeoutError
                    patience.reschedule(loop.time() + PATIENCE)
                    self._waiting.move_to_end(patience)

    @contextmanager
    def _holding(self, patience: asyncio.Timeout, size: int) -> Iterator[None]:
        self._waiting[patience] = size
        self._held += size
        try:
            while self._held > MOST_WAITING and len(self._waiting) > 1:
                slowest, its_size = self._waiting.popitem(last=False)
                self._held -= its_size
                # One whose time is up by itself, and who has not noticed yet, needs no word of ours.
                with suppress(RuntimeError):
                    slowest.reschedule(0)
            yield
        finally:
            self._held -= self._waiting.pop(patience, 0)


def without_keys(text: str) -> str:
    """Hide the secrets of keys that stand in a text: a log may show it."""
    return _KEY.sub(_HIDDEN, text)


def _request_id(given: bytes | None) -> str:
    text = given.decode("latin-1") if given else ""
    return text if text and _REQUEST_ID.fullmatch(text) and not _KEY.search(text) else uuid7().hex
