"""Reads that take long, a few of each caller's at a time: who asks for many at once waits for himself, and nobody else does.

A client that left is not noticed, so what it asked for is read all the same; it stands in that client's own line.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.domain.errors import Unavailable

# Of one caller, reads that wait for the database, and reads that compute: those take turns with each other.
_READING, _COMPUTING = 8, 2
# Of one caller, such reads that are under way or wait.
_MOST = 250


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
        if line.length >= _MOST:
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
