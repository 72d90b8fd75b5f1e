"""A connection on which anything may be written, as no client library would."""

import contextlib
import json
import select
import socket
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
# What is not answered at all within so many seconds is called silence.
PATIENCE = 120.0


class Wire:
    """One TCP connection, and what comes back on it."""

    def __init__(self, port: int, *, window: int | None = None) -> None:
        self._socket = socket.socket()
        if window is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self._socket.settimeout(PATIENCE)
        self._socket.connect((HOST, port))
        self._came = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, *pieces: bytes) -> bool:
        """Write, and say whether all was taken. Stops where an answer comes before all is written."""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                for start in range(0, len(piece), 65536):
                    if self._is_answered(0):
                        return False
                    self._socket.sendall(piece[start : start + 65536])
            return True
        return False

    def send_all(self, data: bytes) -> None:
        """Write everything, whatever comes back meanwhile."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)

    def trickle(self, pieces: Iterable[bytes], pace: float) -> None:
        """Write a piece each `pace` seconds until all are written or an answer comes."""
        for piece in pieces:
            if not self.send(piece) or self._is_answered(pace):
                return

    def _is_answered(self, seconds: float) -> bool:
        # Unlike select, poll takes any number of connections.
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))

    def answer(self) -> str:
        """Read the next answer whole and give its status, with the problem's type where there is one; else `closed`."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            while b"\r\n\r\n" not in self._came:
                if not self._read():
                    return "closed"
            return self._status()
        return "closed" if self._is_over() else "silence"

    def _read(self) -> bool:
        came = self._socket.recv(1 << 20)
        self._came += came
        return bool(came)

    def _is_over(self) -> bool:
        with contextlib.suppress(ConnectionError, TimeoutError):
            return self._is_answered(0) and not self._socket.recv(1)
        return True

    def _status(self) -> str:
        head, _, rest = self._came.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        length = int(fields.get(b"content-length", b"0"))
        body, status = bytearray(rest), first.split(b" ")[1].decode()
        while len(body) < length:
            came = self._socket.recv(1 << 20)
            if not came:
                return f"{status} cut short"
            body += came
        self._came = bytes(body[length:])
        if fields.get(b"content-type") != b"application/problem+json":
            return status
        return status + " " + json.loads(body[:length])["type"].removeprefix("/problems/")

    def is_closed_within(self, seconds: float) -> bool:
        """Say whether the server ends the connection in time, whatever else it sends before."""
        until = time.monotonic() + seconds
        with contextlib.suppress(ConnectionError):
            while (left := until - time.monotonic()) > 0:
                self._socket.settimeout(left)
                try:
                    if not self._socket.recv(1 << 20):
                        return True
                except TimeoutError:
                    return False
            return False
        return True


def head(method: str, target: str, *fields: tuple[str, str]) -> bytes:
    """Write the head of a request."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: ledger.test",
        *(f"{name}: {value}" for name, value in fields),
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1")


def chunk(piece: bytes) -> bytes:
    """Write a piece of a body without a length (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)
