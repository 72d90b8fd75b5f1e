"""Threads for what the event loop does not wait for."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from api.domain.errors import Unavailable

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Threads(ThreadPoolExecutor):
    """A pool that tells who comes when it is closed, or when the system has no thread to spare, what a client can be told."""

    def submit(self, work: Callable[Given, Result], /, *given: Given.args, **named: Given.kwargs) -> Future[Result]:
        """Raise Unavailable where there is no thread for it."""
        try:
            return super().submit(work, *given, **named)
        except RuntimeError as error:
            raise Unavailable("the ledger is stopping, or has no thread to spare") from error
