"""Turns of the event loop: how much of what is ready is done in one, before the loop looks for what else has come.

Without a bound a hundred requests that came at once would be done one after the other, and who came next would wait for
all of them.
"""

import asyncio
from time import perf_counter

# Seconds after which nothing more is begun in a turn.
_LONG = 0.005
# So many look in each turn whether there is room; those behind them sleep, and cost nothing.
_LOOKING = 32


class Turns:
    """Lets requests wait for a turn with room for them, in the order in which they came. For one event loop."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._front = asyncio.Semaphore(_LOOKING)

    async def wait(self) -> None:
        """Go on at once in a turn that has just begun, else in a later one."""
        async with self._front:
            while self._began is not None and perf_counter() - self._began > _LONG:  # noqa: ASYNC110 - nobody tells when
                await asyncio.sleep(0)
        if self._began is None:
            self._began = perf_counter()
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._began = None
