"""Reading another ledger over HTTP: one origin, and an end to every answer, in bytes, in seconds and in tries."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

import httpx

from api.domain.errors import Unavailable

Result = TypeVar("Result")
_OK = 200
_BUSY = (429, 503)
_TRIES = 6
_LONGEST_PAUSE = 60.0
_TIMEOUT = 30.0
_AT_ONCE = 4


class Site:
    """A served ledger, asked over a few connections. Use it from one thread, where no event loop runs.

    Every read raises Unavailable for whatever is no answer to it. No redirect is followed, so it never leaves the origin
    that it was given. Raises Unavailable for what is not the address of one.
    """

    def __init__(
        self,
        url: str,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        deadline: float = 120.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`deadline` is how many seconds one answer may take, however steadily it comes."""
        self._pause, self._deadline = pause, deadline
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            base_url=_base(url),
            transport=transport,
            follow_redirects=False,
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=_AT_ONCE),
            headers={"Accept": "application/json, */*;q=0.5", "Accept-Encoding": "gzip"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What is still under way is cancelled.
        with self._runner:
            self._runner.run(self._client.aclose())

    def get(self, path: str, *, most: int) -> bytes:
        """Read at most `most` bytes from a path of this server."""
        status, body = self.ask(path, most=most)
        if status != _OK:
            raise Unavailable(f"{path} answered {status}")
        return body

    def ask(self, path: str, *, most: int) -> tuple[int, bytes]:
        """Give status and body, waiting and trying again while the server is busy or does not answer."""
        return self.wait(self._ask(path, most))

    def ask_soon(self, path: str, *, most: int) -> Awaitable[tuple[int, bytes]]:
        """Ask for what is to be waited for later; it comes while anything else is waited for."""
        return self._runner.get_loop().create_task(self._ask(path, most))

    def wait(self, awaited: Awaitable[Result]) -> Result:
        """Wait here, where the answers come in."""
        return self._runner.run(_given(awaited))

    def rest(self, seconds: float) -> None:
        """Wait before all is asked anew."""
        self.wait(self._pause(seconds))

    async def _ask(self, path: str, most: int) -> tuple[int, bytes]:
        for turn in range(_TRIES):
            pause = min(2.0**turn / 2, _LONGEST_PAUSE)
            try:
                async with asyncio.timeout(self._deadline):
                    status, body, wanted = await self._once(path, most)
            except (httpx.HTTPError, TimeoutError) as error:
                if turn == _TRIES - 1:
                    raise Unavailable(f"{path} cannot be read: {type(error).__name__}") from error
            else:
                if status not in _BUSY or turn == _TRIES - 1:
                    return status, body
                pause = min(max(pause, wanted), _LONGEST_PAUSE)
            await self._pause(pause)
        raise AssertionError

    async def _once(self, path: str, most: int) -> tuple[int, bytes, float]:
        async with self._client.stream("GET", path) as answer:
            chunks, size = list[bytes](), 0
            async for chunk in answer.aiter_bytes():
                size += len(chunk)
                if size > most:
                    raise Unavailable(f"{path} answered with more than {most} bytes")
                chunks.append(chunk)
            after = answer.headers.get("retry-after", "")
            wanted = float(after) if after.isascii() and after.isdigit() else 0.0
            return answer.status_code, b"".join(chunks), wanted


async def _given(awaited: Awaitable[Result]) -> Result:
    return await awaited


def _base(url: str) -> httpx.URL:
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Unavailable("this is not a URL") from error
    if base.scheme not in ("http", "https") or not base.host or base.query or base.fragment:
        raise Unavailable("give the address of a ledger: http(s)://host[:port][/path]")
    return base
