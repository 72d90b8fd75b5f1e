"""How long an event loop is held up: a heart that beats in it notes by how much each beat comes late."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

BEAT = 0.001


@dataclass
class Heart:
    """In seconds: the longest that a beat came late."""

    longest: float = field(default=0.0)

    async def beat(self) -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(BEAT)
            now = time.perf_counter()
            self.longest, before = max(self.longest, now - before - BEAT), now


@asynccontextmanager
async def heartbeat() -> AsyncIterator[Heart]:
    heart = Heart()
    beating = asyncio.create_task(heart.beat())
    # It beats before and after what is to be measured.
    await asyncio.sleep(3 * BEAT)
    heart.longest = 0.0
    try:
        yield heart
        await asyncio.sleep(3 * BEAT)
    finally:
        beating.cancel()


async def longest_stall(work: Callable[[], Awaitable[Any]], times: int = 3) -> float:
    """Give the longest stall while some work is done, the best of a few times: others use the machine too."""
    found = []
    for _ in range(times):
        async with heartbeat() as heart:
            await work()
        found.append(heart.longest)
    return min(found)


async def ask(app: Any, path: str, **headers: str) -> int:
    """Send a request to an ASGI application, in this loop; give the status."""
    target, _, query = path.partition("?")
    asked = [(b"host", b"localhost"), *((name.lower().encode(), value.encode()) for name, value in headers.items())]
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": target, "raw_path": target.encode(), "query_string": query.encode(), "root_path": "", "headers": asked,
        "client": ("127.0.0.1", 50000), "server": ("localhost", 80), "state": {},
    }  # fmt: skip
    status = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    await app(scope, receive, send)
    return int(status[0])
