"""What a redaction would remove, what survives that names or holds it, and which redaction removed what is missing.

Here all of it is only looked at; `writing.redacting` removes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from api.domain.errors import NotRedactable, UnknownRevision
from api.domain.log.event import Redacts, decode_own
from api.domain.records.command import Redact
from api.domain.records.kinds import NAMED_IN
from api.domain.records.record import REDACTED, Record
from api.domain.records.redaction import REDACTION, Mark, holds, judge, looking_for, may_hold, needles
from api.domain.text import Json
from api.ledger.projecting.known_records import stored_record
from api.ledger.reading.composed import Composed, given, record, revision, term
from api.ledger.reading.selection import PARENTS
from api.ledger.reading.soundness import unredacted_at
from api.ledger.storage.reads import Reads, Row

_MOST_LISTED = 100
_CHUNK = 2000
_COVERED = (
    "SELECT v.revision, p.position FROM revision v JOIN payload p ON p.position = v.position"
    " WHERE v.first_position = ? AND v.revision BETWEEN ? AND ? ORDER BY v.revision"
)
_SURVIVING = (
    "SELECT e.position, e.kind, e.revision, p.payload FROM event e JOIN payload p ON p.position = e.position"
    " WHERE e.position > ? AND NOT (e.record = ? AND e.revision BETWEEN ? AND ?)"
    f" ORDER BY e.position LIMIT {_CHUNK}"
)
_IS_COVERED = sa.and_(
    revision.c.first_position == given("target"), revision.c.revision.between(given("first"), given("last"))
)
_revisions = revision.join(record, record.c.first_position == revision.c.first_position)
_naming = sa.select(revision.c.position, record.c.kind, record.c.id, revision.c.revision).where(
    revision.c.status != REDACTED, sa.not_(_IS_COVERED)
)
_ITSELF = Composed(_naming.select_from(_revisions).where(revision.c.first_position == given("target")))
_is_naming = sa.and_(
    term.c.first_position == revision.c.first_position,
    revision.c.position >= term.c.since,
    revision.c.position < term.c.until,
)
_BY_TERM = Composed(
    _naming.select_from(_revisions.join(term, _is_naming)).where(
        term.c.field == given("field"), term.c.value == given("id")
    )
)
_BY_PARENT = {
    kind: Composed(_naming.select_from(_revisions).where(record.c[kind] == given("target"))) for kind in PARENTS
}
_REDACTIONS = (
    "SELECT r.position, r.id, v.document FROM record r JOIN revision v ON v.position = r.position"
    f" WHERE r.kind = '{REDACTION}'"
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
    rows = covered(access, target, redacts) if target else []
    if target is None or not rows:
        raise NotRedactable("all that this would remove was redacted before", "/id")
    removes = [Line(command.target_kind, command.target, *row) for row in rows]
    left = Left(naming(access, target, redacts), _holding(access, command, redacts, texts))
    return Preview(Lines(removes[:_MOST_LISTED], len(removes)), left, redacts, position)


def left_by(access: Reads, command: Redact, position: int, texts: Sequence[str]) -> Left:
    """Say what the redaction at a position left of what names its target, or holds a text or the id that was erased."""
    row = access.row("SELECT entry FROM event WHERE position = ?", (position,))
    redacts = decode_own(bytes(row[0])).redacts if row else None
    if redacts is None:
        raise UnknownRevision(0)
    target = None if command.erase_id else stored_record(access, command.target_kind, command.target)
    named = naming(access, target, redacts) if target else Lines([], 0)
    return Left(named, _holding(access, command, redacts, texts))


def covered(access: Reads, target: Record, redacts: Redacts) -> list[Row]:
    """Give number and position of each revision in a range that is still there, in order."""
    return access.rows(_COVERED, (target.first_position, redacts.first, redacts.last))


def naming(access: Reads, target: Record, redacts: Redacts) -> Lines:
    """Give the payloads that would survive and name the target in a field for it; an index leads to each."""
    gone = {"target": target.first_position, "first": redacts.first, "last": redacts.last}
    queries = [_ITSELF(access, **gone)]
    queries += [_BY_TERM(access, field=field, id=target.id, **gone) for field in NAMED_IN.get(target.kind, ())]
    if target.kind in _BY_PARENT:
        queries.append(_BY_PARENT[target.kind](access, **gone))
    found = {row for query in queries for row in access.rows(*query)}
    found |= set(_redactions_naming(access, target))
    lines = [Line(kind, one, number, position) for position, kind, one, number in sorted(found)]
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


def _surviving(access: Reads, redacts: Redacts, wanted: Sequence[bytes]) -> Iterator[tuple[Line, Json]]:
    """Give every payload that may hold what is wanted, but those in the range, chunk by chunk."""
    position = 0
    while True:
        rows = access.rows(_SURVIVING, (position, redacts.record, redacts.first, redacts.last))
        for position, kind, number, stored in rows:
            if may_hold(bytes(stored), wanted):
                said = msgspec.json.decode(stored)
                yield Line(kind, said["state"]["id"], number, position), said
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
