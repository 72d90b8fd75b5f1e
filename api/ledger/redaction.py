"""Redaction in the database: what is removed, what still names or holds it, and that no trace stays in the files.

The event goes through the writer like any other; what it covers is deleted, and the projections derived anew, in the
same transaction. Purging comes after the commit.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec

from api.domain.command import Redact
from api.domain.errors import NotPurged, NotRedactable, StillNamed
from api.domain.event import Redacts
from api.domain.record import Record, State
from api.domain.redaction import Mark, holds, judge, looking_for, names
from api.ledger.database import DRIVER_ERRORS, Access, Database, bytes_within
from api.ledger.present import Present
from api.ledger.projection import NAMES
from api.ledger.reads import Reads
from api.ledger.rebuild import derive
from api.ledger.upkeep import erase_traces

REDACTED_FROM = ("payload", *NAMES)
_MOST_LISTED = 100
_CHUNK = 2000
_COVERED = (
    "SELECT v.revision, p.position FROM revision v JOIN payload p ON p.position = v.position"
    " WHERE v.first_position = ? AND v.revision BETWEEN ? AND ? ORDER BY v.revision"
)
_SURVIVING = (
    "SELECT e.position, e.kind, e.revision, p.payload FROM event e JOIN payload p ON p.position = e.position"
    " WHERE e.position > ? AND NOT (e.record = ? AND e.revision BETWEEN ? AND ?)"
)
_DELETE = (
    "DELETE FROM payload WHERE position IN (SELECT v.position FROM revision v WHERE v.revision BETWEEN ? AND ?"
    " AND v.first_position = (SELECT r.first_position FROM record r WHERE r.kind = ? AND r.id = ?))"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A payload, by the record and revision that it is the state of."""

    kind: str
    id: str
    revision: int
    position: int


@dataclass(frozen=True, slots=True)
class Lines:
    """Some payloads, the first of them, and how many there are."""

    items: list[Line]
    count: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What a redaction would remove, which surviving payloads name the id, and which hold the text asked for."""

    removes: Lines
    named_by: Lines
    holding: Lines
    redacts: Redacts
    position: int


def cover(access: Access, target: Record | None, command: Redact) -> Redacts:
    """Give what a command covers. Raises the Conflict that refuses it; what is held back must be written out before."""
    redacts = judge(command, target)
    if target is None or not access.rows(f"{_COVERED} LIMIT 1", (target.first_position, redacts.first, redacts.last)):
        raise NotRedactable("all that this would remove was redacted before", "/id")
    if command.erase_id:
        named = _listed(_naming(access, command, redacts))
        if named.count:
            raise StillNamed([(each.kind, each.id, each.revision) for each in named.items], named.count)
    return redacts


def remove(access: Access, command: Redact, redacts: Redacts) -> None:
    """Delete what the newest event covers and derive the projections anew, in the transaction that is under way.

    All of them, not those alone that are touched: so they are a rebuild's by construction, agreement at every `as_of`
    included. It costs what `ledger rebuild` costs, and keeps other writers waiting for as long; readers go on.
    """
    access.run(_DELETE, (redacts.first, redacts.last, command.target_kind, command.target))
    derive(access)


def mark_at(access: Reads, position: int) -> Mark:
    """Name the redaction that removed what the event at a position said."""
    [(item,)] = access.rows("SELECT item FROM feed WHERE position = ?", (position,))
    return Mark(**msgspec.json.decode(item)["redacted"])


def first_gone(access: Reads, first: int, last: int) -> Mark | None:
    """Name the redaction that removed the first payload to be missing between two positions, if one is."""
    sql = (
        "SELECT e.position FROM event e LEFT JOIN payload p ON p.position = e.position"
        " WHERE e.position BETWEEN ? AND ? AND p.position IS NULL ORDER BY e.position LIMIT 1"
    )
    row = access.row(sql, (first, last))
    return mark_at(access, row[0]) if row else None


def preview(access: Reads, command: Redact, contains: str | None) -> Preview:
    """Say what a redaction would do, without doing any of it. Raises the Conflict that refuses it, but for StillNamed."""
    [(position,)] = access.rows("SELECT position FROM head")
    target = Present(access, lambda: None, 0).find(command.target_kind, command.target)
    redacts = judge(command, target)
    first = target.first_position if target else 0
    rows = access.rows(_COVERED, (first, redacts.first, redacts.last))
    if not rows:
        raise NotRedactable("all that this would remove was redacted before", "/id")
    removes = [Line(command.target_kind, command.target, *row) for row in rows]
    named = _listed(_naming(access, command, redacts))
    asked = looking_for(contains, command.target if command.erase_id else None)
    holding = _listed(_holding(access, redacts, asked)) if asked else Lines([], 0)
    return Preview(Lines(removes[:_MOST_LISTED], len(removes)), named, holding, redacts, position)


def _naming(access: Reads, command: Redact, redacts: Redacts) -> Iterator[Line]:
    """Give the payloads that would survive and name the target in a field for it."""
    wanted = (command.target_kind, command.target)
    within = f" AND {bytes_within(access)}"
    for line, said in _surviving(access, redacts, within, (f'"{command.target}"'.encode(),)):
        if wanted in names(line.kind, said["state"]):
            yield line


def _holding(access: Reads, redacts: Redacts, asked: Sequence[Callable[[str], bool]]) -> Iterator[Line]:
    """Give the payloads that would survive and hold a text that is looked for anywhere."""
    for line, said in _surviving(access, redacts):
        if holds(said, asked):
            yield line


def _surviving(
    access: Reads, redacts: Redacts, within: str = "", values: Sequence[bytes] = ()
) -> Iterator[tuple[Line, State]]:
    """Give every payload but those in the range, chunk by chunk."""
    position = 0
    while True:
        sql = f"{_SURVIVING}{within} ORDER BY e.position LIMIT {_CHUNK}"
        rows = access.rows(sql, (position, redacts.record, redacts.first, redacts.last, *values))
        for position, kind, revision, payload in rows:
            said: dict[str, Any] = msgspec.json.decode(payload)
            yield Line(kind, said["state"]["id"], revision, position), said
        if len(rows) < _CHUNK:
            return


def _listed(found: Iterator[Line]) -> Lines:
    first: list[Line] = []
    count = 0
    for line in found:
        count += 1
        if count <= _MOST_LISTED:
            first.append(line)
    return Lines(first, count)


def is_purged(access: Reads) -> bool:
    """Say whether nothing that was ever redacted may still be in the database's files."""
    row = access.row("SELECT purged FROM head")
    return row is None or bool(row[0] >= _last(access))


def purge(database: Database) -> None:
    """Make sure that nothing redacted is left in the database's own files. Raises NotPurged; it may be tried again."""
    try:
        with closing(database.connect()) as access:
            last = _last(access)
            erase_traces(access, REDACTED_FROM)
        # By another connection: erasing may not wait for long, and this may.
        with closing(database.connect()) as access, access.transaction():
            access.run("UPDATE head SET purged = ? WHERE purged < ?", (last, last))
    except DRIVER_ERRORS as error:
        raise NotPurged("the database did not answer") from error


def finish(database: Database) -> str:
    """Purge for a process that redacted and was killed before it could. Says what is in the way, if anything."""
    if is_purged(database.access()):
        return ""
    try:
        purge(database)
    except NotPurged as refusal:
        return refusal.sentence()
    return ""


def _last(access: Reads) -> int:
    """Give the position of the last redaction, 0 where there is none."""
    row = access.row("SELECT max(first_position) FROM record WHERE kind = 'redaction'")
    return int(row[0] or 0) if row else 0
