"""Whether the log that is stored is the log that was written, as far as its own rows tell: end, entries, payloads, tree.

What does not hold is raised as LogDamaged. It names a position and repeats nothing that is stored. Nothing here remembers.
The ledger's own record (its name, its keys, the formats of its log) is read here, since it is looked at as it is read.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from api.domain.errors import LogDamaged, Misconfigured, Unavailable
from api.domain.log import event
from api.domain.log.event import Entry
from api.domain.log.merkle import Frontier, node_hash
from api.domain.records.record import LEDGER, State
from api.ledger.reading import proofs
from api.ledger.storage.reads import Reads, Row, stored_bytes

# Events are looked at so many at a time: those below one node of this level.
_HEIGHT = 8
BLOCK = 1 << _HEIGHT
_LOOKED_AT_FIRST = 4096
_END = (
    "SELECT h.position, h.recorded_at, h.frontier, h.is_signed, (SELECT max(position) FROM event),"
    " e.recorded_at, e.entry, e.leaf_hash FROM head h LEFT JOIN event e ON e.position = h.position"
)
_EVENTS = (
    "SELECT e.position, e.entry, e.leaf_hash, e.type, e.kind, e.record, e.revision, e.recorded_at, e.actor,"
    " p.salt, p.payload FROM event e LEFT JOIN payload p ON p.position = e.position"
    " WHERE e.position > ? AND e.position <= ? ORDER BY e.position"
)
_ENTRIES = "SELECT entry FROM event"
_REDACTIONS = (
    "SELECT e.entry FROM record r JOIN event e ON e.position = r.first_position"
    " WHERE r.kind = 'redaction' ORDER BY r.first_position"
)
_OWN = (
    "SELECT e.position, e.entry, e.leaf_hash, p.salt, p.payload FROM record r JOIN event e ON e.position = r.position"
    " LEFT JOIN payload p ON p.position = r.position WHERE r.kind = ? AND r.id = ?"
)


class _Mark(msgspec.Struct):
    position: int


class _Item(msgspec.Struct):
    redacted: _Mark | None = None


_REDACTED_ITEM = msgspec.json.Decoder(_Item)


@dataclass(frozen=True, slots=True)
class End:
    """Where the log ends, the root hash of all of it, and whether a checkpoint was ever published."""

    size: int
    root: bytes
    is_signed: bool


def look(access: Reads) -> End:
    """Look at what a node stands on: triggers, the log's end, and its last 4,096 events. Raises LogDamaged."""
    check_protection(access)
    end = check_end(access)
    for number in range(max(0, end.size - _LOOKED_AT_FIRST) // BLOCK, -(-end.size // BLOCK)):
        check_block(access, number, end.size)
    return end


def check_protection(access: Reads) -> None:
    """Raise LogDamaged unless every trigger that protects the log stands."""
    if missing := access.protection().missing:
        raise LogDamaged(f"the log is not protected: no trigger {', '.join(missing)} as it was made")


def check_end(access: Reads) -> End:
    """Hold the head against the last event and the tree that is stored. Raises LogDamaged."""
    row = access.row(_END)
    if row is None:
        raise Unavailable("the database holds no ledger yet")
    size, recorded_at, kept, is_signed, last, moment, entry, leaf = row
    if last != size:
        raise LogDamaged(f"the head is at position {size}, and the log ends at {last or 0}")
    if moment != recorded_at or event.leaf_hash(stored_bytes(entry)) != stored_bytes(leaf):
        raise LogDamaged(f"position {size}: the last event is not the one that the head was moved to")
    try:
        frontier = Frontier.from_bytes(stored_bytes(kept))
    except ValueError as error:
        raise LogDamaged("the head holds no tree") from error
    root = frontier.root()
    if frontier.size != size or proofs.root(access, size) != root:
        raise LogDamaged("the tree that is stored is not the one that was appended to")
    return End(size, root, bool(is_signed))


def check_block(access: Reads, number: int, size: int) -> None:
    """Look at the events of a block, counted from 0, up to `size`, and at the tree over them. Raises LogDamaged."""
    start, end = number * BLOCK, min(size, (number + 1) * BLOCK)
    rows = access.rows(_EVENTS, (start, end))
    check_gapless([row[0] for row in rows], start, end)
    entries = [checked_entry(row[0], row[1], row[2], row[3:9]) for row in rows]
    _check_payloads(access, entries, rows)
    _check_nodes(access, number, [stored_bytes(row[2]) for row in rows])


def check_gapless(positions: Sequence[int], after: int, end: int) -> None:
    """Raise LogDamaged unless these are all the positions after one up to another."""
    due = range(after + 1, after + len(positions) + 1)
    if list(positions) != list(due):
        raise missing_at(next(place for place, position in zip(due, positions, strict=True) if place != position))
    if after + len(positions) < end:
        raise missing_at(after + len(positions) + 1)


def missing_at(position: int) -> LogDamaged:
    """Say that an event is missing."""
    return LogDamaged(f"position {position}: no event is there")


def checked_entry(position: int, raw: object, leaf: object, columns: Sequence[object] | None = None) -> Entry:
    """Read an entry that must be this position's, and lead to this leaf; its copies in columns, too. Raises LogDamaged."""
    told = stored_bytes(raw)
    if event.leaf_hash(told) != stored_bytes(leaf):
        raise LogDamaged(f"position {position}: the leaf is not that of the entry")
    try:
        entry = event.decode_own(told)
        moment = event.unstamp(entry.recorded_at)
    except ValueError as error:
        raise LogDamaged(f"position {position}: the entry cannot be read") from error
    copied = (entry.type, entry.kind, entry.record, entry.revision, moment, entry.actor)
    if entry.position != position or (columns is not None and tuple(columns) != copied):
        raise LogDamaged(f"position {position}: the entry is not that of this row")
    return entry


def check_payload(entry: Entry, salt: object, payload: object) -> None:
    """Raise LogDamaged unless salt and payload are what the entry commits to."""
    if event.payload_digest(stored_bytes(salt), stored_bytes(payload)) != entry.payload_digest:
        raise LogDamaged(f"position {entry.position}: the payload is not what the entry commits to")


def ledger_state(access: Reads) -> State:
    """Give the latest state of the ledger's own record. Raises LogDamaged, for it is never redacted, or Misconfigured."""
    row = access.row(_OWN, (LEDGER, LEDGER))
    if row is None:
        raise Misconfigured("LEDGER_DATABASE_URL", "the database holds no ledger")
    position, entry, leaf, salt, payload = row
    check_payload(checked_entry(position, entry, leaf), salt, payload)
    state: State = msgspec.json.decode(payload)["state"]
    return state


def begun(access: Reads) -> str:
    """Say when the log's first event was recorded."""
    [(recorded_at,)] = access.rows("SELECT recorded_at FROM event WHERE position = 1")
    return event.stamp(recorded_at)


def check_gone(access: Reads, entries: Sequence[Entry]) -> None:
    """Raise LogDamaged unless a later redaction covers each of these events, whose payloads are missing."""
    if not entries:
        return
    claimed = _claimed(access, entries)
    named = {entry.position: entry for entry in _read(access, *_at(_ENTRIES, claimed.values()))} if claimed else {}
    left = [entry for entry in entries if not _covers(named.get(claimed.get(entry.position, 0)), entry)]
    # The feed is derived and may be wrong: where it names no redaction that covers the event, all redactions are read.
    every = list(_read(access, _REDACTIONS)) if left else []
    for entry in left:
        if not any(_covers(each, entry) for each in every):
            raise unredacted_at(entry.position)


def unredacted_at(position: int) -> LogDamaged:
    """Say that a payload is missing without a redaction."""
    return LogDamaged(f"position {position}: the payload is missing, and no redaction covers it")


def _claimed(access: Reads, entries: Sequence[Entry]) -> dict[int, int]:
    """Give the position of the redaction that the feed shows for each event, where it shows one."""
    items = access.rows(*_at("SELECT position, item FROM feed", [entry.position for entry in entries]))
    marks = {position: _mark_in(item) for position, item in items}
    return {position: mark.position for position, mark in marks.items() if mark is not None}


def _mark_in(item: object) -> "_Mark | None":
    """Read what an item of the feed says of a redaction: nothing, where it cannot be read, for what is derived proves nothing."""
    try:
        return _REDACTED_ITEM.decode(stored_bytes(item)).redacted
    except ValueError:
        return None


def _at(sql: str, positions: Iterable[int]) -> tuple[str, tuple[int, ...]]:
    """Narrow a query to some positions, of which there is one at least."""
    places = tuple(set(positions))
    return f"{sql} WHERE position IN ({', '.join('?' * len(places))})", places


def _read(access: Reads, sql: str, positions: Sequence[int] = ()) -> Iterator[Entry]:
    for (raw,) in access.rows(sql, positions):
        try:
            yield event.decode_own(stored_bytes(raw))
        except ValueError as error:
            raise LogDamaged("the entry of a redaction cannot be read") from error


def _check_payloads(access: Reads, entries: Sequence[Entry], rows: Sequence[Row]) -> None:
    gone = []
    for entry, (*_, salt, payload) in zip(entries, rows, strict=True):
        if salt is None and payload is None:
            gone.append(entry)
        else:
            check_payload(entry, salt, payload)
    check_gone(access, gone)


def _covers(redaction: Entry | None, entry: Entry) -> bool:
    target = redaction.redacts if redaction is not None else None
    if redaction is None or target is None or redaction.position < entry.position:
        return False
    return target.record == entry.record and target.first <= entry.revision <= target.last


def _check_nodes(access: Reads, number: int, leaves: Sequence[bytes]) -> None:
    """Hold the nodes over a block, and those that are complete with it, to what lies below them (RFC 6962 section 2.1)."""
    _, nodes = Frontier().append(leaves)
    for level in range(1, _HEIGHT + 1):
        wanted = [node for each, _, node in nodes if each == level]
        start = number << _HEIGHT - level
        if _stored(access, level, start, start + len(wanted)) != wanted:
            raise LogDamaged(f"a node of level {level} over position {number * BLOCK + 1} or later is not the leaves'")
    level = _HEIGHT
    while len(leaves) == BLOCK and number & 1:
        below, above = (
            _stored(access, level, number - 1, number + 1),
            _stored(access, level + 1, number >> 1, (number >> 1) + 1),
        )
        if len(below) != 2 or above != [node_hash(*below)]:  # noqa: PLR2004 - left and right
            raise LogDamaged(f"node {number >> 1} of level {level + 1} is not the hash of those below it")
        level, number = level + 1, number >> 1


def _stored(access: Reads, level: int, first: int, end: int) -> list[bytes]:
    sql = "SELECT hash FROM node WHERE level = ? AND number >= ? AND number < ? ORDER BY number"
    return [stored_bytes(row[0]) for row in access.rows(sql, (level, first, end))]
