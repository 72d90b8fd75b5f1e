"""What a view needs of a database, whatever carries its queries there: rows."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

Value = int | str | bytes | bool | None
# What a driver gives; each statement knows its own columns.
Row = tuple[Any, ...]


class Reads(ABC):
    """Queries to one database, in SQL, with `?` for parameters."""

    is_sqlite: bool

    @abstractmethod
    def rows(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Give all rows of a query."""

    def row(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        """Give the first row, if there is one."""
        rows = self.rows(sql, parameters)
        return rows[0] if rows else None
