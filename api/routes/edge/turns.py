"""Turns: for how long requests that are ready are begun, before the event loop sees what else has come.

Without a bound a hundred requests that came at once would be done one after the other, and who came next would wait for
all of them. A turn begins with an iteration of the loop, and may last for several short ones.
"""

import asyncio
from time import perf_counter

# Seconds that a turn lasts.
_LONG = 0.005
# So many ask, in each iteration, whether a turn has begun; those behind them sleep, and cost nothing.
_ASKING = 32


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
