"""What is stored, row by row and in order, for whoever checks it; and a scratch copy to derive the projections in anew.

Everything streams, so a check takes the same memory whatever the length of the log. Nothing here judges.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from api.domain.dates.edtf import OPEN_START
from api.domain.errors import Unavailable
from api.ledger.projecting import rebuild
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.storage.reads import Row, Value, stored_bytes
from api.ledger.storage.sqlite.upkeep import make_scratch
from api.ledger.storage.sqlite.words import SqliteWords
from api.ledger.storage.tables import PROJECTIONS
from api.settings import Settings

_LOG = (
    "SELECT e.position, e.entry, e.leaf_hash, e.type, e.kind, e.record, e.revision, e.recorded_at, e.actor,"
    " p.salt, p.payload FROM event e LEFT JOIN payload p ON p.position = e.position ORDER BY e.position"
)
_MISNUMBERED = (
    "SELECT position, revision, kind, before, kind_before FROM (SELECT position, revision, kind,"
    " lag(revision, 1, 0) OVER (PARTITION BY record ORDER BY position) AS before,"
    " lag(kind) OVER (PARTITION BY record ORDER BY position) AS kind_before FROM event) AS numbered"
    " WHERE revision <> before + 1 OR kind <> kind_before ORDER BY position"
)
_HELD = (
    "SELECT e.position, e.record, e.revision, p.position IS NOT NULL FROM event e"
    " LEFT JOIN payload p ON p.position = e.position ORDER BY e.position"
)
_EVENT_COLUMNS = "position, entry, leaf_hash, type, kind, record, revision, recorded_at, actor"
_COPIED_AT_ONCE = 500
# Few, because a check is to take little memory; the scratch copy is near.
_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class Columns:
    """The copies of an entry's fields that queries use."""

    type: str
    kind: str
    record: str
    revision: int
    recorded_at: int
    actor: str | None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as somebody keeps it. Salt and payload are None where they are gone; a server has no columns to show."""

    position: int
    entry: bytes
    leaf_hash: bytes
    salt: bytes | None
    payload: bytes | None
    columns: Columns | None = None


@dataclass(frozen=True, slots=True)
class StoredHead:
    """The row that says where the log ends; there is one, or `rows` of them."""

    position: int
    recorded_at: int
    frontier: bytes
    rules: int
    projected: int
    purged: int = 0
    is_signed: bool = False
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Table:
    """A projection: its columns, and those that name a row, whole numbers first."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    order: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KnownRecord:
    """A record as the log has it: where it begins, where its latest revision is, and that one's number."""

    kind: str
    id: str
    first_position: int
    position: int
    revision: int


_HEAD = "SELECT position, recorded_at, frontier, rules, projected, purged, is_signed FROM head ORDER BY one"
# The migration that let the head note of which version the projections are.
_NOTES_PROJECTED = "SELECT version_num FROM alembic_version WHERE version_num >= '0004'"


def head(access: Access) -> StoredHead:
    """Give the head, also of a database that was not migrated since. Raises Unavailable where no ledger has begun."""
    rows = access.rows(_HEAD if access.row(_NOTES_PROJECTED) else _HEAD.replace("projected", "0"))
    if not rows:
        raise Unavailable("the database holds no ledger yet")
    position, recorded_at, frontier, rules, projected, purged, is_signed = rows[0]
    return StoredHead(
        position, recorded_at, stored_bytes(frontier), rules, projected, purged, bool(is_signed), len(rows)
    )


def events(access: Access) -> Iterator[StoredEvent]:
    """Give every event with what it says, in order of position."""
    for position, entry, leaf, *columns, salt, payload in access.stream(_LOG):
        is_gone = salt is None and payload is None
        said = (None, None) if is_gone else (stored_bytes(salt), stored_bytes(payload))
        yield StoredEvent(position, stored_bytes(entry), stored_bytes(leaf), said[0], said[1], Columns(*columns))


def nodes(access: Access, level: int, first: int, end: int) -> dict[int, bytes]:
    """Give the stored nodes of a level from number `first` up to `end`."""
    sql = "SELECT number, hash FROM node WHERE level = ? AND number >= ? AND number < ?"
    return {number: stored_bytes(value) for number, value in access.rows(sql, (level, first, end))}


def nodes_beyond(access: Access, level: int, end: int) -> Iterator[tuple[int, int]]:
    """Name the nodes that a tree without node `end` of a level cannot have."""
    for number, *_ in access.stream(
        "SELECT number FROM node WHERE level = ? AND (number >= ? OR number < 0)", (level, end)
    ):
        yield level, number


def nodes_outside(access: Access, top: int) -> Iterator[tuple[int, int]]:
    """Name the nodes of levels that are none, or are above the top of the tree."""
    yield from (
        (row[0], row[1]) for row in access.stream("SELECT level, number FROM node WHERE level < 1 OR level > ?", (top,))
    )


def stray_payloads(access: Access) -> Iterator[int]:
    """Give the positions at which something is said and no event stands."""
    sql = "SELECT p.position FROM payload p WHERE NOT EXISTS (SELECT 1 FROM event e WHERE e.position = p.position)"
    yield from (row[0] for row in access.stream(f"{sql} ORDER BY p.position"))


def tables() -> list[Table]:
    """Describe the projections, but for the words, whose table each database makes its own way."""
    return [_describe(table.__table__) for table in PROJECTIONS]  # type: ignore[attr-defined]


def _describe(table: sa.Table) -> Table:
    key = tuple(column.name for column in table.primary_key.columns)
    whole = tuple(column.name for column in table.primary_key.columns if isinstance(column.type, sa.Integer))
    return Table(str(table.name), tuple(column.name for column in table.columns), key, whole)


def rows(access: Access, table: Table) -> Iterator[Row]:
    """Give a projection's rows in order of the whole numbers in their key: text is ordered differently by each database."""
    for row in access.stream(f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {', '.join(table.order)}"):
        yield tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)


def words(access: Access) -> Iterator[Row]:
    """Give the words under which records are found, in order of the positions since which they hold."""
    yield from access.words.stored()


class Scratch:
    """A ledger in a temporary file: the log is copied into it, and its projections are made there by a rebuild."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ledger-verify-")
        settings = Settings(
            database_url=f"sqlite:///{Path(self._folder.name) / 'scratch.db'}",
            signing_key=Path(self._folder.name) / "none",
            public_read=True,
            read_only=False,
            rate_limit="off",
            reader_threads=1,
        )
        # For whoever answers from it: by the log alone, however this machine's own ledger is set up.
        self.settings = settings.model_copy(update={"read_only": True})
        self._database = Database(settings)
        self._database.migrate()
        self.access = self._database.connect()
        make_scratch(self.access)
        self._events: list[tuple[Value, ...]] = []
        self._payloads: list[tuple[Value, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.access.close()
        self._database.close()
        self._folder.cleanup()

    def copy(self, event: StoredEvent, columns: Columns) -> None:
        """Take an event in, with the columns that its entry calls for. Positions and times must increase."""
        said = (columns.type, columns.kind, columns.record, columns.revision, columns.recorded_at, columns.actor)
        self._events.append((event.position, event.entry, event.leaf_hash, *said))
        if event.payload is not None:
            self._payloads.append((event.position, event.salt, event.payload))
        if len(self._events) >= _COPIED_AT_ONCE:
            self.flush()

    def keep_nodes(self, nodes: Sequence[tuple[int, int, bytes]]) -> None:
        """Take nodes of the tree in: level, number, hash. Leaves stand with their events."""
        with self.access.transaction():
            self.access.insert("node", "level, number, hash", [node for node in nodes if node[0]])

    def nodes(self, level: int, first: int, end: int) -> dict[int, bytes]:
        """Give nodes of a level from number `first` up to `end`."""
        return nodes(self.access, level, first, end)

    def flush(self) -> None:
        with self.access.transaction():
            self.access.insert("event", _EVENT_COLUMNS, self._events)
            self.access.insert("payload", "position, salt, payload", self._payloads)
        self._events.clear()
        self._payloads.clear()

    def misnumbered(self) -> Iterator[tuple[int, int, int, bool]]:
        """Give the events whose revision does not follow the one before: position, revision, the one before, same kind."""
        for position, revision, kind, before, kind_before in self.access.stream(_MISNUMBERED):
            yield position, revision, before, kind_before in (None, kind)

    def held(self) -> Iterator[tuple[int, str, int, bool]]:
        """Give every event's position, record and revision, and whether its payload is there."""
        for position, record, revision, is_held in self.access.stream(_HELD):
            yield position, record, revision, bool(is_held)

    def entries_of(self, kind: str) -> Iterator[bytes]:
        """Give the entries of all events of a kind, in order."""
        yield from (
            bytes(row[0])
            for row in self.access.stream("SELECT entry FROM event WHERE kind = ? ORDER BY position", (kind,))
        )

    def records(self) -> Iterator[KnownRecord]:
        """Give every record but the ledger's own, in the order of recording; of one whose id was erased nothing is known."""
        sql = "SELECT kind, id, first_position, position, revision FROM record WHERE kind <> 'ledger' ORDER BY first_position"
        for row in self.access.stream(sql):
            yield KnownRecord(*row)

    def record_before(self, position: int, kinds: Sequence[str]) -> KnownRecord | None:
        """Give the last record of these kinds that was first recorded by a position."""
        row = self.access.row(
            "SELECT kind, id, first_position, position, revision FROM record"
            f" WHERE kind IN ({', '.join('?' * len(kinds))}) AND first_position <= ? ORDER BY first_position DESC LIMIT 1",
            (*kinds, position),
        )
        return KnownRecord(*row) if row is not None else None

    def moments(self) -> Iterator[int]:
        """Give the times at which answers begin to hold, and at which sources were published, where a start is stated."""
        stated = f"SELECT start_earliest FROM span WHERE start_earliest > {OPEN_START}"
        yield from (row[0] for row in self.access.stream(stated))

    def terms(self) -> Iterator[tuple[str, str]]:
        """Give every value by which records are, or were, found, as (kind.field, value)."""
        yield from self.access.stream("SELECT DISTINCT field, value FROM term ORDER BY field, value")

    def words(self) -> Iterator[tuple[str, frozenset[str]]]:
        """Give every word by which records are, or were, found, with their kinds."""
        yield from SqliteWords(self.access).with_kinds()

    def derive(self, head: StoredHead, progress: Callable[[int], None]) -> None:
        """Make the projections from the copied log, by the same rebuild that a live ledger has."""
        row = (head.position, head.recorded_at, head.frontier, True, head.rules)
        sql = "INSERT INTO head (one, position, recorded_at, frontier, is_seeded, rules) VALUES (1, ?, ?, ?, ?, ?)"
        self.access.run(sql, row)
        rebuild.rebuild(self.access, progress, most_remembered=_REMEMBERED)
