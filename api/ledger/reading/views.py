"""What readers see of one record: now, at a position, its history, and what lies between two revisions.

Every view fixes its position first and filters every statement by it. Documents were rendered when they were written.
"""

from dataclasses import dataclass

import jsonpatch
import msgspec

from api.domain.dates.asof import NOW, AsOf, Standpoint
from api.domain.errors import LogDamaged, NotYet, Redacted, UnknownRecord, UnknownRevision
from api.domain.records.record import REDACTED, State, changed_fields
from api.domain.records.upcasting import upcast
from api.ledger.reading.standpoint import HEAD, LAST_REDACTION, LINKS, PAGE, Page, in_force, locate, reached_by
from api.ledger.storage.reads import Reads
from api.ledger.storage.tables import FOREVER


@dataclass(frozen=True, slots=True)
class View:
    """One revision of one record, rendered, and where the reader stands."""

    document: bytes
    position: int
    revision: int
    revised_at: int
    at: Standpoint


_FOUND = "v.document, v.position, v.revision, v.recorded_at, h.position, v.status FROM head h"
_CURRENT = f"SELECT {_FOUND} JOIN record r ON r.kind = ? AND r.id = ? JOIN revision v ON v.position = r.position"
_AS_OF = (
    f"SELECT {_FOUND} LEFT JOIN record r ON r.kind = ? AND r.id = ? LEFT JOIN revision v ON v.position = {in_force()}"
)
_NUMBERED = (
    f"SELECT {_FOUND} JOIN record r ON r.kind = ? AND r.id = ?"
    " JOIN revision v ON v.first_position = r.first_position AND v.revision = ?"
)
_KNOWN = (
    "SELECT r.first_position, r.revision, v.status, v.document FROM record r JOIN revision v ON v.position = r.position"
    " WHERE r.kind = ? AND r.id = ? AND r.first_position <= ?"
)


def current(access: Reads, kind: str, public_id: str) -> View:
    """Give the record as it stands. Raises UnknownRecord, or Redacted."""
    row = access.row(_CURRENT, (kind, public_id))
    if row is None:
        raise UnknownRecord(kind)
    document, position, revision, revised_at, head, status = row
    _refuse_redacted(status, document)
    return View(document, position, revision, revised_at, Standpoint(head, head, is_pinned=False))


def as_of(access: Reads, kind: str, public_id: str, asked: AsOf) -> View:
    """Give the record as the ledger had it. Raises UnknownRecord where it had none, Redacted, NotYet past the head."""
    at = locate(access, asked) if asked.position is None else None
    row = access.row(_AS_OF, (kind, public_id, at.position if at else asked.position))
    head = row[4] if row else 0
    if at is None:
        if asked.position is None or asked.position > head:
            raise NotYet(head)
        at = Standpoint(asked.position, head, is_pinned=True)
    if row is None or row[0] is None:
        raise UnknownRecord(kind)
    _refuse_redacted(row[5], row[0])
    return View(row[0], row[1], row[2], row[3], at)


def view_at(access: Reads, kind: str, public_id: str, at: Standpoint) -> View:
    """Give the record at a standpoint fixed before. Raises UnknownRecord, or Redacted."""
    row = access.row(_AS_OF, (kind, public_id, at.position))
    if row is None or row[0] is None:
        raise UnknownRecord(kind)
    _refuse_redacted(row[5], row[0])
    return View(row[0], row[1], row[2], row[3], at)


def numbered(access: Reads, kind: str, public_id: str, revision: int) -> View:
    """Give one past version. Raises UnknownRecord, UnknownRevision or Redacted."""
    row = access.row(_NUMBERED, (kind, public_id, revision))
    if row is None:
        _, revisions = _know(access, kind, public_id, locate(access))
        raise UnknownRevision(revisions)
    document, position, number, revised_at, head, status = row
    _refuse_redacted(status, document)
    return View(document, position, number, revised_at, Standpoint(head, head, is_pinned=True))


def written(access: Reads, position: int) -> View:
    """Give the revision that the event at a position made."""
    sql = "SELECT document, position, revision, recorded_at, status FROM revision WHERE position = ?"
    row = access.row(sql, (position,))
    if row is None:
        raise UnknownRevision(0)
    _refuse_redacted(row[4], row[0])
    at = locate(access)
    return View(row[0], row[1], row[2], row[3], at)


def _refuse_redacted(status: str, document: bytes) -> None:
    """Raise Redacted for a revision of which the mark of its redaction is all that is left."""
    if status == REDACTED:
        raise Redacted(**msgspec.json.decode(document))


def _know(access: Reads, kind: str, public_id: str, at: Standpoint) -> tuple[int, int]:
    """Give where a record begins and how many revisions it has. Raises UnknownRecord, or Redacted if all of it is."""
    row = access.row(_KNOWN, (kind, public_id, at.position))
    if row is None:
        raise UnknownRecord(kind)
    # The latest revision is redacted only together with all the others.
    _refuse_redacted(row[2], row[3])
    return row[0], row[1]


# The record is a scalar, and the newest revision is sought: what is not shown of a long history is not walked either.
_FIRST = "(SELECT r.first_position FROM record r WHERE r.kind = ? AND r.id = ?)"
_HISTORY = (
    f"SELECT v.summary AS said, v.revision, {HEAD}, {LAST_REDACTION}, v.status FROM revision v"
    f" WHERE v.first_position = {_FIRST} AND v.revision <"
    f" (SELECT CASE WHEN x.revision < ? THEN x.revision + 1 ELSE ? END FROM revision x WHERE x.first_position = {_FIRST}"
    " AND x.position <= COALESCE(?, (SELECT position FROM head)) ORDER BY x.position DESC LIMIT 1)"
    " ORDER BY v.revision DESC LIMIT ?"
)


def history(access: Reads, kind: str, public_id: str, *, asked: AsOf, cursor: int | None, limit: int) -> Page:
    """Give the lines of a record's history, newest first; of a redacted revision what the log still tells."""
    at = None if asked == NOW else locate(access, asked)
    key, before = (kind, public_id), FOREVER if cursor is None else cursor
    rows, is_cut = access.rows_within(
        _HISTORY, (*key, before, before, *key, at.position if at else None, limit + 1), PAGE
    )
    if not rows or rows[0][4] == REDACTED:
        # The record may be unknown, or gone: whether it is, and its history, are read again, both at one position.
        at = at or locate(access)
        _know(access, kind, public_id, at)
        rows, is_cut = access.rows_within(_HISTORY, (*key, before, before, *key, at.position, limit + 1), PAGE)
    elif at is None:
        at = Standpoint(rows[0][2], rows[0][2], is_pinned=False, redaction=rows[0][3])
    shown = rows[:limit]
    return Page([bytes(row[0]) for row in shown], [str(row[1]) for row in shown], is_cut or len(rows) > limit, at)


_IS_THERE = f"status <> '{REDACTED}'"


def moments(access: Reads, kind: str, public_id: str) -> tuple[list[tuple[int, int]], Standpoint]:
    """Give number and time of every revision that is still there, oldest first: what a TimeMap lists."""
    at = locate(access)
    first, _ = _know(access, kind, public_id, at)
    sql = f"SELECT revision, recorded_at FROM revision WHERE first_position = ? AND position <= ? AND {_IS_THERE} ORDER BY revision"
    return [(row[0], row[1]) for row in access.rows(sql, (first, at.position))], at


def revision_at(access: Reads, kind: str, public_id: str, moment: int) -> tuple[int, list[tuple[int, int]], Standpoint]:
    """Give the number of the revision in force at a time, of the first one before it (RFC 7089 section 4.5.3).

    Raises Redacted where that one was redacted; of those that were, none is named. With it come number and time of the first, the one before, itself, the one after and the last, those there are, in order.
    """
    at = locate(access)
    first, _ = _know(access, kind, public_id, at)
    columns = "SELECT revision, recorded_at, status, document FROM revision WHERE first_position = ?"
    then = f"{columns} AND position <= ? ORDER BY position DESC LIMIT 1"
    chosen = access.row(then, (first, reached_by(access, moment)))
    if chosen is not None:
        _refuse_redacted(chosen[2], chosen[3])
    among, upward, downward = (
        f"{columns} AND {_IS_THERE}",
        "ORDER BY revision LIMIT 1",
        "ORDER BY revision DESC LIMIT 1",
    )
    oldest = access.row(f"{among} {upward}", (first,))
    if oldest is None:
        raise UnknownRecord(kind)
    number = (chosen or oldest)[0]
    beside = [
        oldest,
        access.row(f"{among} AND revision < ? {downward}", (first, number)),
        chosen,
        access.row(f"{among} AND revision > ? {upward}", (first, number)),
        access.row(f"{among} {downward}", (first,)),
    ]
    return number, sorted({(row[0], row[1]) for row in beside if row is not None}), at


_STATE = (
    "SELECT payload FROM payload WHERE position ="
    " (SELECT v.position FROM revision v WHERE v.first_position = ? AND v.revision = ? AND v.position <= ?)"
)


def difference(access: Reads, kind: str, public_id: str, *, old: int, new: int) -> tuple[bytes, Standpoint]:
    """Give the RFC 6902 patch from one revision's state to another's."""
    at = locate(access)
    first, revisions = _know(access, kind, public_id, at)
    states = [_state(access, kind, first, revision, revisions, at) for revision in (old, new)]
    return msgspec.json.encode(jsonpatch.make_patch(states[0], states[1]).patch), at


def _state(access: Reads, kind: str, first: int, revision: int, revisions: int, at: Standpoint) -> State:
    row = access.row(_STATE, (first, revision, at.position))
    if row is None:
        sql = "SELECT status, document FROM revision WHERE first_position = ? AND revision = ? AND position <= ?"
        for status, document in access.rows(sql, (first, revision, at.position)):
            _refuse_redacted(status, document)
            raise LogDamaged("the payload of a revision is missing, and no redaction covers it")
        raise UnknownRevision(revisions)
    return upcast(kind, msgspec.json.decode(row[0])["state"])


# Bytes of lines that a problem document holds.
_MISSED = 256 << 10


def since(access: Reads, kind: str, public_id: str, position: int | None) -> tuple[bytes, list[bytes], list[str]]:
    """Give what a writer with a stale revision missed: the record now, the lines in between, the fields that differ.

    At most 100 lines, newest first; without a position that the record really had, all that it has.
    """
    now = current(access, kind, public_id)
    first, revisions = _know(access, kind, public_id, now.at)
    sql = "SELECT summary AS said FROM revision WHERE first_position = ? AND position > ? AND position <= ? ORDER BY position DESC LIMIT 100"
    rows, _ = access.rows_within(sql, (first, position or 0, now.position), _MISSED)
    lines = [bytes(row[0]) for row in rows]
    # Of a revision that was redacted since, nobody may learn what it said.
    sql = f"SELECT revision FROM revision WHERE first_position = ? AND position = ? AND {_IS_THERE}"
    held = access.row(sql, (first, position or 0))
    before = _state(access, kind, first, held[0], revisions, now.at) if held else None
    after = _state(access, kind, first, now.revision, revisions, now.at)
    return bytes(now.document), lines, changed_fields(before, after)


_INCOMING = (
    f"SELECT p.payload AS said, r.id, r.first_position FROM {LINKS} JOIN payload p ON p.position = {in_force()}"
    " WHERE t.value = ? AND t.first_position > ? ORDER BY t.first_position LIMIT ?"
)
_GONE = (
    f"SELECT r.id, v.document FROM record r JOIN revision v ON v.position = {in_force()}"
    f" WHERE r.kind = 'claim' AND v.status = '{REDACTED}' AND r.id IN ({{}})"
)


@dataclass(frozen=True, slots=True)
class Links:
    """The links that a claim makes, each with what removed its target, and a page of those that others make to it.

    `last` is where the last of those others begins, if more follow.
    """

    outgoing: list[State]
    incoming: list[State]
    last: str | None
    at: Standpoint


def links(access: Reads, public_id: str, asked: AsOf, *, cursor: int = 0, limit: int = 100) -> Links:
    """Give the links of a claim both ways: its own, and those of the claims that begin after the cursor."""
    at = locate(access, asked)
    document = as_of(access, "claim", public_id, AsOf(position=at.position)).document
    values = (at.position, at.position, at.position, public_id, cursor, limit + 1)
    rows, is_cut = access.rows_within(_INCOMING, values, PAGE - len(document))
    incoming = []
    for payload, source, _ in rows[:limit]:
        made = msgspec.json.decode(payload)["state"]["links"]
        incoming += [{**link, "claim": source, "redacted": None} for link in made if link["claim"] == public_id]
    last = str(rows[:limit][-1][2]) if is_cut or len(rows) > limit else None
    return Links(_outgoing(access, document, at), incoming, last, at)


def _outgoing(access: Reads, document: bytes, at: Standpoint) -> list[State]:
    made: list[State] = msgspec.json.decode(document)["links"]
    targets = sorted({link["claim"] for link in made})
    gone = access.rows(_GONE.format(", ".join("?" * len(targets))), (at.position, *targets)) if targets else []
    marks = {row[0]: msgspec.json.decode(row[1]) for row in gone}
    return [{**link, "redacted": marks.get(link["claim"])} for link in made]
