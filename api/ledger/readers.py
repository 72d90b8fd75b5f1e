"""Threads that read for requests, so that the event loop never waits for a database.

What is asked in one turn of the loop goes to a thread together: to wake a thread, and the loop again, costs more than
most reads.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

Result = TypeVar("Result")
_TOGETHER = 16


@dataclass(slots=True)
class _Reading:
    work: Callable[[], Any]
    future: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None


class Readers:
    """So many threads at most."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="reader")
        self._waiting: dict[asyncio.AbstractEventLoop, list[_Reading]] = {}

    async def alone(self, work: Callable[[], Result]) -> Result:
        """Do what may take long; nobody else waits for it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def among_others(self, work: Callable[[], Result]) -> Result:
        """Do what is soon done, before or after what others ask at the same time."""
        loop = asyncio.get_running_loop()
        reading = _Reading(work, loop.create_future())
        waiting = self._waiting.setdefault(loop, [])
        waiting.append(reading)
        if len(waiting) == 1:
            loop.call_soon(self._hand_out, loop)
        result: Result = await reading.future
        return result

    def _hand_out(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting = self._waiting.pop(loop)
        for start in range(0, len(waiting), _TOGETHER):
            self._threads.submit(_read, loop, waiting[start : start + _TOGETHER])

    def close(self) -> None:
        self._threads.shutdown()


def _read(loop: asyncio.AbstractEventLoop, bunch: Sequence[_Reading]) -> None:
    """Read, in a thread, and wake the loop once. Whoever gave up meanwhile is not read for."""
    for reading in bunch:
        if reading.future.cancelled():
            continue
        try:
            reading.result = reading.work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to who asked
            reading.error = error
    # A loop that is closed has nobody left to tell.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_tell, bunch)


def _tell(bunch: Sequence[_Reading]) -> None:
    for reading in bunch:
        if reading.future.done():
            continue
        if reading.error is not None:
            reading.future.set_exception(reading.error)
        else:
            reading.future.set_result(reading.result)
