"""The writer's memory of records: what is committed, and what its own transaction has folded in.

It holds from one transaction to the next, as long as nobody else wrote in between. To ask it changes nothing but what is
remembered.
"""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from api.domain.records.record import Record, State, buried_state
from api.domain.records.upcasting import upcast
from api.ledger.projecting.overlay import Overlay
from api.ledger.storage.reads import Reads, Row
from api.ledger.storage.tables import FOREVER

_AT_ONCE = 500
_RECORD = (
    "SELECT r.kind, r.record, r.id, r.revision, r.position, v.recorded_at, r.first_position, f.recorded_at, f.actor,"
    " p.payload FROM {} JOIN event v ON v.position = r.position JOIN event f ON f.position = r.first_position"
    " LEFT JOIN payload p ON p.position = r.position WHERE "
)
_ONE_RECORD = _RECORD.format("record r") + "r.kind = ? AND r.id = ?"
# One by one: given a list, a planner that has no statistics yet would walk all records of the kind.
_RECORDS = (
    f"WITH wanted (id) AS (VALUES {{}}) {_RECORD.format('wanted CROSS JOIN record r')}"
    "r.first_position = (SELECT x.first_position FROM record x WHERE x.kind = ? AND x.id = wanted.id)"
)
_STATE_AT = "SELECT p.payload FROM revision v JOIN payload p ON p.position = v.position WHERE v.first_position = ? AND v.revision = ?"
_NAMING = (
    # CROSS JOIN is for SQLite, which would begin with all records.
    "SELECT r.id FROM term t CROSS JOIN record r WHERE r.first_position = t.first_position AND t.field = ?"
    f" AND t.until = {FOREVER} AND t.value IN ("
)


def stored_record(access: Reads, kind: str, public_id: str) -> Record | None:
    """Read a record as the database has it."""
    row = access.row(_ONE_RECORD, (kind, public_id))
    return _record(row) if row else None


class KnownRecords:
    """Records as they stand: what is pending goes before what is stored, however much of either is remembered."""

    def __init__(self, access: Reads, pending: Overlay, most_remembered: int) -> None:
        self._access, self._pending, self._most_remembered = access, pending, most_remembered
        # None for those that do not exist.
        self._records: dict[tuple[str, str], Record | None] = {}

    def find(self, kind: str, public_id: str) -> Record | None:
        key = (kind, public_id)
        if key not in self._records:
            pending = self._pending.find(kind, public_id)
            self._records[key] = pending or stored_record(self._access, kind, public_id)
        return self._records[key]

    def put(self, record: Record) -> None:
        """Let a record stand as it now is."""
        self._records[record.kind, record.id] = record

    def read(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Read records together, in fewer statements than to find each takes."""
        asked: dict[str, list[str]] = {}
        for kind, public_id in {name for name in wanted if name not in self._records}:
            if self._pending.find(kind, public_id) is None:
                asked.setdefault(kind, []).append(public_id)
        for kind, ids in asked.items():
            self._records.update(dict.fromkeys((kind, public_id) for public_id in ids))
            for found in map(_record, self._rows_of(kind, ids)):
                self._records[kind, found.id] = found

    def _rows_of(self, kind: str, ids: Sequence[str]) -> Iterator[Row]:
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            yield from self._access.rows(_RECORDS.format(", ".join(["(?)"] * len(some))), (*some, kind))

    def state_at(self, record: Record, revision: int) -> State | None:
        """Give the state of an earlier revision; None where there was none, or it was redacted."""
        if revision == record.revision:
            return record.state
        pending = self._pending.state_at(record, revision)
        if pending is not None:
            return pending
        row = self._access.row(_STATE_AT, (record.first_position, revision))
        return upcast(record.kind, msgspec.json.decode(row[0])["state"]) if row else None

    def naming(self, kind: str, field: str, ids: AbstractSet[str]) -> set[str]:
        """Give the ids of records that now name one of these in a field."""
        rows = self._access.rows_in(_NAMING, list(ids), f"{kind}.{field}")
        return self._pending.naming(kind, field, ids, (row[0] for row in rows))

    def forget(self) -> None:
        self._records.clear()

    def forget_claims(self, ids: Iterable[str]) -> None:
        """Forget claims that nobody may ask for soon; what their questions need of them is kept there."""
        for public_id in ids:
            self._records.pop(("claim", public_id), None)

    def forget_if_many(self) -> None:
        if len(self._records) > self._most_remembered:
            self._records.clear()


def _record(row: Row) -> Record:
    kind, record, public_id, revision, position, revised_at, first_position, recorded_at, recorded_by, payload = row
    return Record(
        kind=kind,
        record=record,
        id=public_id,
        revision=revision,
        position=position,
        revised_at=revised_at,
        first_position=first_position,
        recorded_at=recorded_at,
        recorded_by=recorded_by,
        state=upcast(kind, msgspec.json.decode(payload)["state"]) if payload is not None else buried_state(public_id),
    )
