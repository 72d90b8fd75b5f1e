"""Rows on their way into the projections: plain data that the projector fills and writes out, and that reads look at.

Nothing here reads a database, or writes to one.
"""

from collections.abc import Sequence

from api.ledger.projecting.overlay import Overlay
from api.ledger.storage.reads import Value
from api.ledger.storage.tables import FOREVER, PROJECTIONS

COLUMNS = {
    "record": "first_position, kind, id, record, position, revision, source, question",
    "revision": "position, first_position, kind, revision, until, status, recorded_at, document, summary",
    "feed": "position, item",
    "term": "field, value, first_position, since, until",
    "span": "field, first_position, since, until, starts, is_moment, start_earliest, start_latest, end_earliest, end_latest",
    "search": "first_position, since",
    "agreement": "question, since, until, state",
}
NAMES = (*(str(table.__tablename__) for table in PROJECTIONS), "search_index")
_IS_OPEN = f"until = {FOREVER}"
# For each table the columns that an event changes in a row that stands there, those that name the row, and what else
# must hold of it.
ENDING = {
    "record": ("position, revision", "first_position", "TRUE"),
    "revision": ("until", "position", _IS_OPEN),
    "term": ("until", "field, value, first_position", _IS_OPEN),
    "span": ("until", "field, first_position", _IS_OPEN),
    "agreement": ("until", "question", _IS_OPEN),
}
# Where in a row what changes begins.
_CHANGES = {"record": 4, "revision": 4, "term": 4, "span": 3, "agreement": 2}
Key = tuple[Value, ...]


class Pending:
    """What was folded in since rows were last written out: new rows, changes to rows that stand, words; and the records.

    An event may end what an earlier one began: a new row is changed in place, so that no row is ever written twice.
    """

    def __init__(self) -> None:
        self.overlay = Overlay()
        self.rows: dict[str, list[list[Value]]] = {}
        self.changed: dict[str, dict[Key, Key]] = {}
        self.words: list[tuple[int, str]] = []
        # The new rows that hold until an event ends them, by what names them.
        self._open: dict[str, dict[Key, list[Value]]] = {}
        self.clear()

    @property
    def events(self) -> int:
        """How many events' rows are held: each has one row in the feed."""
        return len(self.rows["feed"])

    def clear(self) -> None:
        """Hold nothing. Lists are made anew: what was written out may still be on its way to the database."""
        self.overlay.clear()
        self.rows = {table: [] for table in COLUMNS}
        self.changed = {table: {} for table in ENDING}
        self._open = {table: {} for table in ENDING}
        self.words = []

    def add(self, table: str, key: Key, row: list[Value]) -> None:
        """Add a row that a later event may change, under what names it."""
        self._open[table][key] = row
        self.rows[table].append(row)

    def change(self, table: str, key: Key, new: Key) -> None:
        """Change what moves on in a row: in place if it is here, else where it stands."""
        row = self._open[table].get(key)
        if row is None:
            self.changed[table][key] = new
        else:
            row[_CHANGES[table] : _CHANGES[table] + len(new)] = new

    def end(self, table: str, key: Key, position: int) -> None:
        """Let what holds under a key hold until a position."""
        self.change(table, key, (position,))
        self._open[table].pop(key, None)

    def updates(self, table: str) -> list[Sequence[Value]]:
        """Give the changes to rows that stand in a table: the new values, and what names the row."""
        return [new + key for key, new in self.changed[table].items()]
