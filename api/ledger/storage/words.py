"""The index of words: under each position since which a record is made of some, the words. Each database has its own way.

What a word is, `domain.text` says; who looks for words, the room `reading`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence


class Words(ABC):
    """The index of words of one database, through one connection."""

    @abstractmethod
    def insert(self, rows: Sequence[tuple[int, str]]) -> None:
        """Index words, given with spaces between them, under the position since which a record is made of them."""

    @abstractmethod
    def take_out(self, rows: Sequence[tuple[int, str]]) -> None:
        """Take words out again, given as they were indexed."""

    @abstractmethod
    def clear(self) -> None:
        """Take all words out."""

    @abstractmethod
    def stored(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Give the words, in order, under each position since which a record is made of them."""

    @abstractmethod
    def entries(self) -> Iterator[tuple[str, int]] | None:
        """Give (word, position) as the index has them, in its own order; None where the words stand in a table."""
