"""What a check found wrong: one line each, told as it is found, and counted."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference from what must hold, and the position at which it shows, if it has one. Of what is stored it repeats ids alone."""

    what: str
    position: int | None = None

    def __str__(self) -> str:
        said = self.what if self.position is None else f"position {self.position}: {self.what}"
        # What others wrote, an id above all, must not command the terminal.
        return "".join(letter if letter.isprintable() else "?" for letter in said)


class Findings:
    """Hands each finding on and keeps none: a log may be wrong in a million places."""

    def __init__(self, tell: Callable[[Finding], None]) -> None:
        self._tell = tell
        self.count = 0

    def add(self, what: str, position: int | None = None) -> None:
        self.count += 1
        self._tell(Finding(what, position))
