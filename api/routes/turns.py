"""Turns of the event loop: how much of what is ready is done in one, before the loop looks for what else has come.

Without a bound a hundred requests that came at once would be done one after the other, and who came next would wait for
all of them.
"""

import asyncio
from time import perf_counter

# Seconds after which nothing more is begun before the loop has looked.
_LONG = 0.005
# So many look in each turn whether there is room; those behind them sleep, and cost nothing.
_LOOKING = 32


class Turns:
    """Lets requests wait for a turn with room for them, in the order in which they came. For one event loop."""

    def __init__(self) -> None:
        self._ends, self._is_next_due = 0.0, False
        self._front = asyncio.Semaphore(_LOOKING)

    async def wait(self) -> None:
        """Go on at once where a turn began a short time ago, else in the next."""
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
