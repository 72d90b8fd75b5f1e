"""What a view needs of a database, whatever carries its queries there: rows, and how much of them it may take at once."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, ClassVar

from sqlalchemy.engine import Dialect

from api.ledger.storage.protection import Protection

Value = int | str | bytes | bool | None
# What a driver gives; each statement knows its own columns.
Row = tuple[Any, ...]

# What a view may take in the event loop: a row is a step, and so are 512 bytes of a document. Some milliseconds in all.
BRIEF = 2_000
_BYTES_A_STEP = 512
# Bytes up to which a document is read without asking for its length first: a page of such documents is a few MiB at most.
_SHORT = 8 << 10
_LISTED_AT_ONCE = 500
# Sums up lengths row by row, in the order of the subquery, which a window without an order of its own keeps. It gives the rows
# that fit and the one after them, by which the caller learns that there is more.
_MEASURED = (
    "SELECT * FROM (SELECT q.*, count(*) OVER w AS number, sum(COALESCE(length(q.said), 0)) OVER w - COALESCE(length(q.said), 0)"
    " AS before FROM ({}) q WINDOW w AS (ROWS UNBOUNDED PRECEDING)) m WHERE m.number <= 2 OR m.before <= ?"
)


class TakesLong(Exception):
    """A view turns out to take longer than the event loop may be held up."""


def stored_bytes(value: object) -> bytes:
    """Give stored bytes; what is no bytes at all can only be damage, and equals nothing: SQLite keeps any type anywhere."""
    return bytes(value) if isinstance(value, bytes | memoryview) else b""


class Reads(ABC):
    """Queries to one database, in SQL, with `?` for parameters."""

    # How SQLAlchemy spells for this database what it composes.
    dialect: ClassVar[Dialect]
    # Steps that are left to the view that reads; None where it may take its time.
    steps_left: int | None = None

    @abstractmethod
    def rows(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Give all rows of a query. Raises TakesLong where they are more than the view may take here."""

    def row(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        """Give the first row, if there is one."""
        rows = self.rows(sql, parameters)
        return rows[0] if rows else None

    def rows_in(self, sql: str, values: Sequence[Value], *first: Value) -> Iterator[Row]:
        """Give the rows of a query that ends in an open list, for as many values at once as a statement takes.

        `first` are the parameters before the list.
        """
        for start in range(0, len(values), _LISTED_AT_ONCE):
            some = values[start : start + _LISTED_AT_ONCE]
            yield from self.rows(f"{sql}{', '.join('?' * len(some))})", (*first, *some))

    def rows_within(self, sql: str, parameters: Sequence[Value], most: int) -> tuple[list[Row], bool]:
        """Give rows until their first column, named `said`, comes to `most` bytes: one at least. Says whether more follow.

        What is beyond is not read. Raises TakesLong.
        """
        rows, is_more, size = _fitting(self._measured(sql, parameters, most), most)
        self.spend(size // _BYTES_A_STEP)
        return rows, is_more

    def _measured(self, sql: str, parameters: Sequence[Value], most: int) -> Iterable[Row]:
        """Give the rows that fit, and the one after them."""
        # A query that measures costs twice one that does not, so it is asked only where a document is long.
        rows = self.rows(_short(sql), parameters)
        if None not in map(itemgetter(0), rows):
            return rows
        return [row[:-2] for row in self.rows(_MEASURED.format(sql), (*parameters, most))]

    @abstractmethod
    def matching_words(self, words: Sequence[Sequence[str]]) -> tuple[str, str]:
        """Give a query for the keys of `search_index` whose rows hold a token of each word, and its one parameter."""

    @abstractmethod
    def protection(self) -> Protection:
        """Look at the triggers by which the database refuses changes to history."""

    @abstractmethod
    def is_standby(self) -> bool:
        """Say whether this is a server that repeats what another one writes, and takes no writes itself."""

    @abstractmethod
    def seconds_behind(self) -> float | None:
        """Say how many seconds ago a standby showed what its primary did; None for any other, or before it showed anything."""

    def spend(self, steps: int) -> None:
        """Take steps from those that are left, before they are gone. Raises TakesLong where they are not."""
        if self.steps_left is not None:
            self.steps_left -= steps
            if self.steps_left < 0:
                raise TakesLong


@lru_cache(maxsize=1_000)
def _short(sql: str) -> str:
    """Let a statement leave out what is long where it is `said`."""
    said, rest = sql.removeprefix("SELECT ").split(" AS said", 1)
    return f"SELECT CASE WHEN length({said}) <= {_SHORT} THEN {said} END AS said{rest}"


def _fitting(rows: Iterable[Row], most: int) -> tuple[list[Row], bool, int]:
    if isinstance(rows, list) and (size := sum(map(len, filter(None, map(itemgetter(0), rows))))) <= most:
        return rows, False, size
    taken, size = list[Row](), 0
    for row in rows:
        length = len(row[0] or b"")
        if taken and size + length > most:
            return taken, True, size
        taken.append(row)
        size += length
    return taken, False, size
