"""Reading another ledger over HTTP: one origin, bounded answers, patience with a busy server."""

import time
from collections.abc import Callable

import httpx

from api.domain.errors import Unavailable

_OK = 200
_BUSY = (429, 503)
_TRIES = 6
_LONGEST_PAUSE = 60.0
_TIMEOUT = 30.0


def client_of(url: str) -> httpx.Client:
    """Make a client for one server. It follows no redirect, so it never leaves the origin that it was given.

    Raises Unavailable for what is not the address of one.
    """
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Unavailable("this is not a URL") from error
    if base.scheme not in ("http", "https") or not base.host or base.query or base.fragment:
        raise Unavailable("give the address of a ledger: http(s)://host[:port][/path]")
    return httpx.Client(base_url=base, follow_redirects=False, timeout=_TIMEOUT, headers={"Accept-Encoding": "gzip"})


class Site:
    """A served ledger. Every read raises Unavailable for whatever is no answer to it."""

    def __init__(self, client: httpx.Client, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client, self._sleep = client, sleep

    def get(self, path: str, *, most: int) -> bytes:
        """Read at most `most` bytes from a path of this server."""
        status, body = self.ask(path, most=most)
        if status != _OK:
            raise Unavailable(f"{path} answered {status}")
        return body

    def ask(self, path: str, *, most: int) -> tuple[int, bytes]:
        """Give status and body, waiting and trying again while the server is busy or does not answer."""
        for turn in range(_TRIES):
            pause = min(2.0**turn / 2, _LONGEST_PAUSE)
            try:
                status, body, wanted = self._once(path, most)
            except httpx.HTTPError as error:
                if turn == _TRIES - 1:
                    raise Unavailable(f"{path} cannot be read: {type(error).__name__}") from error
            else:
                if status not in _BUSY or turn == _TRIES - 1:
                    return status, body
                pause = min(max(pause, wanted), _LONGEST_PAUSE)
            self._sleep(pause)
        raise AssertionError

    def _once(self, path: str, most: int) -> tuple[int, bytes, float]:
        with self._client.stream("GET", path) as answer:
            chunks, size = list[bytes](), 0
            for chunk in answer.iter_bytes():
                size += len(chunk)
                if size > most:
                    raise Unavailable(f"{path} answered with more than {most} bytes")
                chunks.append(chunk)
            after = answer.headers.get("retry-after", "")
            return answer.status_code, b"".join(chunks), float(after) if after.isdigit() else 0.0
