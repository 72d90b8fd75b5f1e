"""A thread that SQLite writes in, while the one that knows what to write prepares more of it."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")

# Seconds after which a thread that keeps the interpreter is asked for it. A statement takes a few times as long.
_TURN = 0.0001


class Aside:
    """Does one thing after another. Once one has failed none is done: the transaction they were meant for may be over."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._last: Future[Any] | None = None

    def do(self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Have something done after all else. Gives what waits for its result, or raises what it or one before raised."""
        before = self._last

        def in_turn() -> Result:
            if before is not None:
                before.result()
            return work()

        last = self._last = self._thread.submit(in_turn)
        return last.result

    def wait(self) -> None:
        """Wait until all is done. Raises what the first that failed raised."""
        if self._last is not None:
            self._last.result()

    def stop(self) -> None:
        """Let what has begun end, and begin nothing more."""
        self._thread.shutdown(cancel_futures=True)


@contextmanager
def working_aside() -> Iterator[Aside]:
    """Let this process's threads hand the interpreter to each other more often while one works aside."""
    aside, usual = Aside(), sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        yield aside
    finally:
        sys.setswitchinterval(usual)
        aside.stop()
