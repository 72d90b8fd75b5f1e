"""Those who follow the log live: each holds a connection for as long as it likes, so they are counted."""

from collections.abc import Iterator
from contextlib import contextmanager

from api.routes.edge.problems import HttpError

_RETRY_SECONDS = "5"


class Followers:
    """How many follow the log live. For one event loop."""

    def __init__(self, most: int) -> None:
        self.count, self._most = 0, most

    @contextmanager
    def place(self) -> Iterator[None]:
        """Have a place among them. Raises HttpError where there is none."""
        if self.count >= self._most:
            said = f"{self._most} follow the log here already; ask again soon, or read it in pages"
            raise HttpError("unavailable", said, (("Retry-After", _RETRY_SECONDS),))
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
