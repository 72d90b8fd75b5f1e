"""Who waits for what: turns of the event loop, and lines of reads that take long.

A turn says for how long requests that are ready are begun before the event loop sees what else has come: without a bound
a hundred that came at once would be done one after the other, and who came next would wait for all of them. It begins
with an iteration of the loop, and may last for several short ones.

Those who follow the log live hold a connection for as long as they like, so they are counted.

In a line, a few of each caller's reads are done at a time: who asks for many at once waits for himself, and nobody else
does. A client that left is not noticed, so what it asked for is read all the same; it stands in that client's own line.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import perf_counter

from api.domain.errors import Unavailable

# Seconds that a turn lasts.
_LONG = 0.005
# So many ask, in each iteration, whether a turn has begun; those behind them sleep, and cost nothing.
_ASKING = 32
# Of one caller, reads that wait for the database, and reads that compute: those take turns with each other.
_READING, _COMPUTING = 8, 2
# Of one caller, such reads that are under way or wait.
_MOST_WAITING = 250


class Turns:
    """Lets requests wait for a turn with room for them, in the order in which they came. For one event loop."""

    def __init__(self) -> None:
        self._ends, self._is_next_due = 0.0, False
        self._front = asyncio.Semaphore(_ASKING)

    async def wait(self) -> None:
        """Go on at once while a turn lasts, else in the next, which begins when the loop has come round."""
        if perf_counter() < self._ends and not self._front.locked():
            return
        async with self._front:
            while perf_counter() >= self._ends:
                if not self._is_next_due:
                    self._is_next_due = True
                    asyncio.get_running_loop().call_soon(self._begin)
                await asyncio.sleep(0)

    def _begin(self) -> None:
        self._ends, self._is_next_due = perf_counter() + _LONG, False


class Lines:
    """The lines of those who wait. For one event loop."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, bool], _Line] = {}

    @asynccontextmanager
    async def place(self, caller: str, *, computes: bool) -> AsyncIterator[None]:
        """Wait for a place, and have it. Raises Unavailable where too many of this caller's reads wait already."""
        line = self._lines.get((caller, computes))
        if line is None:
            line = self._lines[caller, computes] = _Line(_COMPUTING if computes else _READING)
        if line.length >= _MOST_WAITING:
            raise Unavailable(
                "too many of your reads that take long are waiting; ask again when some of them were answered"
            )
        line.length += 1
        try:
            async with line.places:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[caller, computes]


class _Line:
    """How many are in a line, and places for those at its front."""

    __slots__ = ("length", "places")

    def __init__(self, places: int) -> None:
        self.length = 0
        self.places = asyncio.Semaphore(places)


class Followers:
    """How many follow the log live, of whom one caller has half at most. For one event loop."""

    def __init__(self, most: int) -> None:
        self._most, self._callers = most, Counter[str]()

    @contextmanager
    def place(self, caller: str) -> Iterator[None]:
        """Have a place among them. Raises Unavailable where there is none, or none more for this caller."""
        if self._callers.total() >= self._most or self._callers[caller] >= (self._most + 1) // 2:
            raise Unavailable("as many follow the log live here as may; ask again soon, or read it in pages")
        self._callers[caller] += 1
        try:
            yield
        finally:
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]
