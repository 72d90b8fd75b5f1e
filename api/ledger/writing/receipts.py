"""Idempotency: which request was answered by which positions, so that whoever repeats it gets the same answer.

A receipt is pending as its events are, and is written with them, under the head's lock: one that was written before could
name positions that another node then took.
"""

from collections.abc import Callable
from dataclasses import replace

from api.domain import errors
from api.ledger.reading import removal
from api.ledger.storage import clock
from api.ledger.storage.access import Access
from api.ledger.storage.reads import Reads
from api.ledger.writing.unit import NewRevision, Note, Outcome

_FOR_EVER = 2**62
_COLUMNS = "key_digest, request_digest, first, last, expires_at"
_KEPT = "SELECT request_digest, first, last, expires_at FROM receipt WHERE key_digest = ?"
_ITEMS = (
    "SELECT r.kind, r.id, v.revision, v.position FROM revision v JOIN record r ON r.first_position = v.first_position"
    " WHERE v.position BETWEEN ? AND ? ORDER BY v.position"
)
# No digest is as short.
_PROBED = b"probe"


class Receipts:
    """The receipts in the database, and over them those that are pending, by the digests of their keys."""

    def __init__(self, access: Access, clock: Callable[[], int]) -> None:
        self._access, self._clock = access, clock
        self._pending: dict[bytes, tuple[Note, Outcome, int]] = {}

    def answered(self, note: Note) -> Outcome | None:
        """Give what an earlier request under the same key did; None where there was none.

        Raises IdempotencyKeyReused where that was another request, and Redacted where of what it did something is gone.
        """
        pending = self._pending.get(note.key_digest)
        if pending is not None:
            _check_same(note, pending[0].request_digest)
            return replace(pending[1], is_replay=True)
        return answered(self._access, note, now=self._clock)

    def keep(self, note: Note, outcome: Outcome) -> None:
        """Remember what a request did, from its events' commit on."""
        expires_at = _FOR_EVER if note.life is None else self._clock() + note.life
        self._pending[note.key_digest] = note, Outcome(outcome.items, outcome.position), expires_at

    def write_out(self) -> None:
        """Write what is pending, and take out what has expired. For whoever holds the head's lock."""
        if not self._pending:
            return
        keys = list(self._pending)
        sql = f"DELETE FROM receipt WHERE expires_at <= ? OR key_digest IN ({', '.join('?' * len(keys))})"
        self._access.run(sql, (self._clock(), *keys))
        rows = [
            (key, note.request_digest, outcome.items[0].position, outcome.position, expires_at)
            for key, (note, outcome, expires_at) in self._pending.items()
        ]
        self._access.insert("receipt", _COLUMNS, rows)
        self._note_files()
        self._pending.clear()

    def _note_files(self) -> None:
        """Keep for good which file the events came in."""
        noted = [(note.file, outcome) for note, outcome, _ in self._pending.values() if note.file is not None]
        if noted:
            rows = [(outcome.items[0].position, outcome.position, file) for file, outcome in noted]
            self._access.insert("imported", "first, last, file", rows)

    def forget(self) -> None:
        """Drop what is pending: the events are gone, or will be made anew."""
        self._pending.clear()

    def probe(self) -> None:
        """Write a row and take it back: SQLite writes no row that stays the same. For whoever holds the head's lock."""
        self._access.run(f"INSERT INTO receipt ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", (_PROBED, _PROBED, 0, 0, 0))
        self._access.run("DELETE FROM receipt WHERE key_digest = ?", (_PROBED,))


def answered(access: Reads, note: Note, *, now: Callable[[], int] = clock.now) -> Outcome | None:
    """Give what an earlier request under the same key wrote, as `Receipts.answered` does of what is committed."""
    found = access.row(_KEPT, (note.key_digest,))
    if found is None or found[3] <= now():
        return None
    _check_same(note, bytes(found[0]))
    first, last = found[1], found[2]
    mark = removal.first_gone(access, first, last)
    if mark is not None:
        raise errors.Redacted(mark.position, mark.basis)
    return Outcome(tuple(NewRevision(*row) for row in access.rows(_ITEMS, (first, last))), last, is_replay=True)


def _check_same(note: Note, request_digest: bytes) -> None:
    if request_digest not in (note.request_digest, note.bytes_digest):
        raise errors.IdempotencyKeyReused
