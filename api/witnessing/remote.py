"""Another service, spoken to over HTTP with patience and memory that have an end. Redirects are not followed."""

import http.client
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from api import __version__
from api.settings import check_url

LARGEST_ANSWER = 256 * 1024
# Seconds that a read may take, and a whole answer's body.
_TIMEOUT, _DEADLINE = 10.0, 30.0
_CHUNK = 64 * 1024
_STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)

Connection = http.client.HTTPConnection


class Unreachable(Exception):
    """No answer came, or none that HTTP allows; the sentence names no address."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; the media type is without its parameters."""

    status: int
    media_type: str
    body: bytes

    def text(self) -> str:
        """Read the body as UTF-8; ValueError where it is none."""
        return self.body.decode("utf-8")


class Remote:
    """One service under a URL prefix, over a connection that is kept. Use from one thread; `abort` from any.

    Raises ValueError for a URL that can be no prefix.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(check_url(url))
        self._prefix = self._parts.path.rstrip("/")
        self._connection: Connection | None = None

    def get(self, path: str) -> Reply:
        """Ask for a path below the prefix. Raises Unreachable."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: bytes) -> Reply:
        """Send bytes to a path below the prefix; may send them twice. Raises Unreachable."""
        return self._ask("POST", path, body)

    def abort(self) -> None:
        """Break off what is under way; it raises Unreachable."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            # Closing alone would leave a thread that is reading where it is.
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _ask(self, method: str, path: str, body: bytes | None) -> Reply:
        is_kept = self._connection is not None
        try:
            try:
                return self._exchange(method, path, body)
            except _STALE:
                # A kept connection may have been closed meanwhile; a fresh one was not.
                if not is_kept:
                    raise
                self._forget()
                return self._exchange(method, path, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._forget()
            raise Unreachable(f"no answer: {type(error).__name__}") from error

    def _exchange(self, method: str, path: str, body: bytes | None) -> Reply:
        if self._connection is None:
            self._connection = self._connect()
        headers = {"User-Agent": f"deplatforming-ledger/{__version__}", "Accept-Encoding": "identity"}
        self._connection.request(method, f"{self._prefix}/{path}", body, headers)
        response = self._connection.getresponse()
        media_type = response.headers.get_content_type()
        return Reply(response.status, media_type, _read(response))

    def _connect(self) -> Connection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=ssl.create_default_context())

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _read(response: http.client.HTTPResponse) -> bytes:
    until, chunks, size = time.monotonic() + _DEADLINE, list[bytes](), 0
    while chunk := response.read1(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST_ANSWER:
            raise http.client.HTTPException("the answer is too long")
        if time.monotonic() > until:
            raise TimeoutError("the answer takes too long")
    if response.length:
        raise http.client.IncompleteRead(b"".join(chunks))
    # Read to its end, it frees the connection for the next request.
    response.close()
    return b"".join(chunks)
