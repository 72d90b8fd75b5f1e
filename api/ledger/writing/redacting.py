"""Redaction in the database: what is removed, what still names or holds it, and that no trace stays in the files.

The event goes through the writer like any other; what it covers is deleted, and the projections derived anew, in the
same transaction. Purging comes after the commit.
"""

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec

from api.domain.errors import NotPurged, NotRedactable, StillNamed, Unavailable, UnknownRevision
from api.domain.log.event import Redacts, decode_own
from api.domain.records.command import Redact
from api.domain.records.kinds import KIND_NAMES, NAMED_IN
from api.domain.records.record import REDACTED, Record, State
from api.domain.records.redaction import REDACTION, Mark, holds, judge, looking_for, may_hold, needles, texts_in
from api.ledger.projecting.findable import FIELDS
from api.ledger.projecting.known_records import stored_record
from api.ledger.projecting.pending import NAMES
from api.ledger.projecting.refolding import refold, touched_by
from api.ledger.reading.soundness import unredacted_at
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS
from api.ledger.storage.reads import Reads, Row, Value
from api.ledger.storage.upkeep import TURN, Traces

REDACTED_FROM = ("payload", *NAMES)
_MOST_LISTED = 100
# What is shorter than this, or but a date or a number, tells of nobody.
_LEAST = 6
_TELLS_NOTHING = re.compile(r"[0-9TZ:.+/?~\[\]-]*")
_BEGINNING = re.compile(r"https?://(www\.)?")
_CHUNK = 2000
_COVERED = (
    "SELECT v.revision, p.position FROM revision v JOIN payload p ON p.position = v.position"
    " WHERE v.first_position = ? AND v.revision BETWEEN ? AND ? ORDER BY v.revision"
)
_SURVIVING = (
    "SELECT e.position, e.kind, e.revision, p.payload FROM event e JOIN payload p ON p.position = e.position"
    " WHERE e.position > ? AND NOT (e.record = ? AND e.revision BETWEEN ? AND ?)"
)
_KEPT = "SELECT p.payload FROM revision v JOIN payload p ON p.position = v.position WHERE v.first_position = ?"
# Whether a text is an id, or something that others are found by.
_IS_SAID = (
    f"SELECT 1 WHERE EXISTS (SELECT 1 FROM record WHERE kind IN {(*KIND_NAMES, REDACTION)} AND id = ?)"
    f" OR EXISTS (SELECT 1 FROM term WHERE field IN {FIELDS} AND value = ?)"
)
_NAMER = "SELECT v.position, r.kind, r.id, v.revision FROM"
_ITSELF = f"{_NAMER} revision v JOIN record r ON r.first_position = v.first_position WHERE v.first_position = ?"
_BY_TERM = (
    f"{_NAMER} term t JOIN record r ON r.first_position = t.first_position JOIN revision v"
    " ON v.first_position = t.first_position AND v.position >= t.since AND v.position < t.until"
    " WHERE t.field = ? AND t.value = ?"
)
_BY_PARENT = f"{_NAMER} record r JOIN revision v ON v.first_position = r.first_position WHERE r.{{}} = ?"
_REDACTIONS = (
    "SELECT r.position, r.id, v.document FROM record r JOIN revision v ON v.position = r.position"
    f" WHERE r.kind = '{REDACTION}'"
)
_BETWEEN = "SELECT 1 FROM record WHERE kind = 'redaction' AND first_position > ? AND first_position < ?"
# One purge at a time: each sees to it that those before are done.
_PURGING = threading.Lock()
_REMOVED = (
    "SELECT v.position, p.salt, p.payload FROM revision v JOIN payload p ON p.position = v.position"
    " WHERE v.first_position = ? AND v.revision BETWEEN ? AND ?"
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
class Left:
    """Which surviving payloads name the id, and which hold a text that was asked for."""

    named_by: Lines
    holding: Lines


@dataclass(frozen=True, slots=True)
class Preview:
    """What a redaction would remove, and what it would leave."""

    removes: Lines
    left: Left
    redacts: Redacts
    position: int


def cover(access: Access, target: Record | None, command: Redact) -> Redacts:
    """Give what a command covers. Raises the Conflict that refuses it; what is pending must be written out before."""
    redacts = judge(command, target)
    if target is None or not access.rows(f"{_COVERED} LIMIT 1", (target.first_position, redacts.first, redacts.last)):
        raise NotRedactable("all that this would remove was redacted before", "/id")
    if command.erase_id:
        named = _naming(access, target, redacts)
        if named.count:
            raise StillNamed([(each.kind, each.id, each.revision) for each in named.items], named.count)
    return redacts


def remove(access: Access, command: Redact, redacts: Redacts, target: Record) -> Traces:
    """Delete what the newest event covers, and fold in anew what that touches, in the transaction that is under way.

    Returns by what it is known that something of it is left (`purge`).
    """
    rows = access.rows(_REMOVED, (target.first_position, redacts.first, redacts.last))
    touched = touched_by(access, target, [msgspec.json.decode(said)["state"] for *_, said in rows])
    access.delete("payload", "position", [(position,) for position, *_ in rows])
    changed = refold(access, touched, command.target_kind)
    texts = _texts_gone(access, target, rows, is_erased=command.erase_id)
    return Traces(texts, tuple(bytes(salt) for _, salt, _ in rows), ("payload", *changed))


def _texts_gone(access: Access, target: Record, removed: Sequence[Row], *, is_erased: bool) -> tuple[str, ...]:
    """Tell what was said in payloads, given by position, salt and what they said, and is said no more."""
    kept = access.rows(_KEPT, (target.first_position,))
    gone, still = (set(_texts(said for *_, said in rows)) for rows in (removed, kept))
    texts = {text for text in gone - still if not access.rows(_IS_SAID, (text, text))}
    return (*sorted(texts), *([target.id] if is_erased else []))


def _texts(payloads: Iterable[bytes]) -> Iterator[str]:
    """Give the texts of payloads that could tell of somebody, addresses without what all addresses begin with."""
    for said in payloads:
        for text in texts_in(msgspec.json.decode(said)):
            told = _BEGINNING.sub("", text)
            if len(told) >= _LEAST and not _TELLS_NOTHING.fullmatch(told):
                yield told


def mark_at(access: Reads, position: int) -> Mark:
    """Name the redaction that removed what the event at a position said. Raises LogDamaged where none did."""
    row = access.row("SELECT item FROM feed WHERE position = ?", (position,))
    mark = msgspec.json.decode(row[0])["redacted"] if row else None
    if mark is None:
        raise unredacted_at(position)
    return Mark(**mark)


def first_gone(access: Reads, first: int, last: int) -> Mark | None:
    """Name the redaction that removed the first payload to be missing between two positions, if one is."""
    sql = (
        "SELECT e.position FROM event e LEFT JOIN payload p ON p.position = e.position"
        " WHERE e.position BETWEEN ? AND ? AND p.position IS NULL ORDER BY e.position LIMIT 1"
    )
    row = access.row(sql, (first, last))
    return mark_at(access, row[0]) if row else None


def preview(access: Reads, command: Redact, texts: Sequence[str]) -> Preview:
    """Say what a redaction would do, without doing any of it. Raises the Conflict that refuses it, but for StillNamed."""
    [(position,)] = access.rows("SELECT position FROM head")
    target = stored_record(access, command.target_kind, command.target)
    redacts = judge(command, target)
    rows = access.rows(_COVERED, (target.first_position, redacts.first, redacts.last)) if target else []
    if target is None or not rows:
        raise NotRedactable("all that this would remove was redacted before", "/id")
    removes = [Line(command.target_kind, command.target, *row) for row in rows]
    left = Left(_naming(access, target, redacts), _holding(access, command, redacts, texts))
    return Preview(Lines(removes[:_MOST_LISTED], len(removes)), left, redacts, position)


def left_by(access: Reads, command: Redact, position: int, texts: Sequence[str]) -> Left:
    """Say what the redaction at a position left of what names its target, or holds a text or the id that was erased."""
    row = access.row("SELECT entry FROM event WHERE position = ?", (position,))
    redacts = decode_own(bytes(row[0])).redacts if row else None
    if redacts is None:
        raise UnknownRevision(0)
    target = None if command.erase_id else stored_record(access, command.target_kind, command.target)
    named = _naming(access, target, redacts) if target else Lines([], 0)
    return Left(named, _holding(access, command, redacts, texts))


def _naming(access: Reads, target: Record, redacts: Redacts) -> Lines:
    """Give the payloads that would survive and name the target in a field for it; an index leads to each."""
    survives = f"v.status <> '{REDACTED}' AND NOT (v.first_position = ? AND v.revision BETWEEN ? AND ?)"
    ways: list[tuple[str, tuple[Value, ...]]] = [(_ITSELF, (target.first_position,))]
    ways += [(_BY_TERM, (field, target.id)) for field in NAMED_IN.get(target.kind, ())]
    if target.kind in ("source", "question"):
        ways.append((_BY_PARENT.format(target.kind), (target.first_position,)))
    found = {
        row
        for sql, values in ways
        for row in access.rows(f"{sql} AND {survives}", (*values, target.first_position, redacts.first, redacts.last))
    }
    found |= set(_redactions_naming(access, target))
    lines = [Line(kind, one, revision, position) for position, kind, one, revision in sorted(found)]
    return Lines(lines[:_MOST_LISTED], len(lines))


def _redactions_naming(access: Reads, target: Record) -> Iterator[Row]:
    """Give the earlier redactions that kept the target's id: those of the same record."""
    for position, one, document in access.rows(_REDACTIONS):
        shown = msgspec.json.decode(document)["target"]
        if (shown["kind"], shown["id"]) == (target.kind, target.id):
            yield position, REDACTION, one, 1


def _holding(access: Reads, command: Redact, redacts: Redacts, texts: Sequence[str]) -> Lines:
    """Give the payloads that would survive and hold one of the texts anywhere, or the id that is to be erased."""
    erased = command.target if command.erase_id else None
    asked = looking_for(texts, erased)
    if not asked:
        return Lines([], 0)
    return _listed(line for line, said in _surviving(access, redacts, needles(texts, erased)) if holds(said, asked))


def _surviving(access: Reads, redacts: Redacts, wanted: Sequence[bytes]) -> Iterator[tuple[Line, State]]:
    """Give every payload that may hold what is wanted, but those in the range, chunk by chunk."""
    position = 0
    while True:
        sql = f"{_SURVIVING} ORDER BY e.position LIMIT {_CHUNK}"
        rows = access.rows(sql, (position, redacts.record, redacts.first, redacts.last))
        for position, kind, revision, payload in rows:
            if may_hold(bytes(payload), wanted):
                said: dict[str, Any] = msgspec.json.decode(payload)
                yield Line(kind, said["state"]["id"], revision, position), said
        if len(rows) < _CHUNK:
            return


def _listed(found: Iterable[Line]) -> Lines:
    first: list[Line] = []
    count = 0
    for line in found:
        count += 1
        if count <= _MOST_LISTED:
            first.append(line)
    return Lines(first, count)


def is_purged(access: Reads) -> bool:
    """Say whether nothing that was ever redacted may still be in the database's files."""
    return _purged(access) >= _last(access)


def purge(database: Database, position: int | None = None, traces: Traces | None = None, *, turn: float = TURN) -> None:
    """Make sure that nothing redacted is left in the database's own files. Raises NotPurged; it may be tried again.

    Given the redaction at a position, and the traces to look for, where those are known, no more is looked for than those,
    if all redactions before it have been seen to. Waits `turn` seconds for other nodes that are at it.
    """
    try:
        with _PURGING, closing(database.connect()) as access, access.upkeep.alone(turn):
            done, last = _purged(access), _last(access)
            if position is not None and position <= done:
                return
            is_next = traces is not None and access.row(_BETWEEN, (done, position)) is None
            known = traces if is_next else None
            access.upkeep.erase_traces(known.tables if known else REDACTED_FROM, known)
            _note_purged(database, position if is_next and position is not None else last)
    except NotPurged:
        raise
    except Unavailable as refusal:
        raise NotPurged(refusal.reason) from refusal
    except DRIVER_ERRORS as error:
        raise NotPurged("the database did not answer") from error


def _note_purged(database: Database, position: int) -> None:
    # By another connection: erasing may not wait for long, and this may.
    with closing(database.connect()) as access, access.transaction():
        access.run("UPDATE head SET purged = ? WHERE purged < ?", (position, position))


def finish(database: Database) -> str:
    """Purge for a process that redacted and was killed before it could. Says what is in the way, if anything."""
    if is_purged(database.access()) and not database.access().upkeep.is_any_left():
        return ""
    try:
        purge(database, turn=0)
    except NotPurged as refusal:
        return refusal.sentence()
    return ""


def _purged(access: Reads) -> int:
    """Give the position up to which nothing that was redacted is left; of a ledger that has not begun nothing ever was."""
    row = access.row("SELECT purged FROM head")
    return int(row[0]) if row else 0


def _last(access: Reads) -> int:
    """Give the position of the last redaction, 0 where there is none."""
    row = access.row("SELECT max(first_position) FROM record WHERE kind = 'redaction'")
    return int(row[0] or 0) if row else 0
