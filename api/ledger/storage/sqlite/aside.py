"""A thread that SQLite writes in, while the one that knows what to write prepares more of it."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class Aside:
    """Does one thing after another. Once one has failed none is done: the transaction they were meant for may be over.

    One thread gives it work. The connection belongs to the thread here until `wait`, or what waits for the last result,
    has returned.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._wait: Callable[[], object] = lambda: None

    def do(self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Have something done after all else. Gives what waits for its result, or raises what it or one before raised."""
        before = self._wait

        def in_turn() -> Result:
            before()
            return work()

        future: Future[Result] = self._thread.submit(in_turn)
        self._wait = future.result
        return future.result

    def wait(self) -> None:
        """Wait until all is done. Raises what the first that failed raised."""
        self._wait()

    def stop(self) -> None:
        """Let what has begun end, and begin nothing more."""
        self._thread.shutdown(cancel_futures=True)
