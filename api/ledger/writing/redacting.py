"""Redaction in the database: what is removed, and that no trace of it stays in the files.

The event goes through the writer like any other; what it covers is deleted, and the projections derived anew, in the
same transaction. Purging comes after the commit.
"""

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

import msgspec

from api.domain.errors import NotPurged, NotRedactable, StillNamed, Unavailable
from api.domain.log.event import Redacts
from api.domain.records.command import Redact
from api.domain.records.kinds import KIND_NAMES
from api.domain.records.record import Record
from api.domain.records.redaction import REDACTION, judge, texts_in
from api.ledger.projecting.findable import FIELDS
from api.ledger.projecting.pending import NAMES
from api.ledger.projecting.refolding import refold, touched_by
from api.ledger.reading.removal import covered, naming
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS
from api.ledger.storage.reads import Reads, Row
from api.ledger.storage.upkeep import TURN, Traces

REDACTED_FROM = ("payload", *NAMES)
# What is shorter than this, or but a date or a number, tells of nobody.
_LEAST = 6
_TELLS_NOTHING = re.compile(r"[0-9TZ:.+/?~\[\]-]*")
_BEGINNING = re.compile(r"https?://(www\.)?")
_KEPT = "SELECT p.payload FROM revision v JOIN payload p ON p.position = v.position WHERE v.first_position = ?"
# Whether a text is an id, or something that others are found by.
_IS_SAID = (
    f"SELECT 1 WHERE EXISTS (SELECT 1 FROM record WHERE kind IN {(*KIND_NAMES, REDACTION)} AND id = ?)"
    f" OR EXISTS (SELECT 1 FROM term WHERE field IN {FIELDS} AND value = ?)"
)
_BETWEEN = "SELECT 1 FROM record WHERE kind = 'redaction' AND first_position > ? AND first_position < ?"
# One purge at a time: each sees to it that those before are done.
_PURGING = threading.Lock()
# Type and actor of each event that a redaction covers, also of those that an earlier one covers.
_COVERED = (
    "SELECT DISTINCT e.type, e.actor FROM revision v JOIN event e ON e.position = v.position"
    " WHERE v.first_position = ? AND v.revision BETWEEN ? AND ?"
)
_REMOVED = (
    "SELECT v.position, p.salt, p.payload FROM revision v JOIN payload p ON p.position = v.position"
    " WHERE v.first_position = ? AND v.revision BETWEEN ? AND ?"
)


def cover(access: Access, target: Record | None, command: Redact) -> tuple[Redacts, list[tuple[str, str | None]]]:
    """Give what a command covers, and of which types and by whom those events are.

    Raises the Conflict that refuses it; what is pending must be written out before.
    """
    redacts = judge(command, target)
    if target is None or not covered(access, target, redacts):
        raise NotRedactable("all that this would remove was redacted before", "/id")
    if command.erase_id:
        named = naming(access, target, redacts)
        if named.count:
            raise StillNamed([(each.kind, each.id, each.revision) for each in named.items], named.count)
    events = access.rows(_COVERED, (target.first_position, redacts.first, redacts.last))
    return redacts, [(row[0], row[1]) for row in events]


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
