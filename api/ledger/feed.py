"""The log as readers follow it: events in order of position, what changed between two positions, and counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from api.domain.asof import NOW, AsOf, Standpoint
from api.domain.errors import NotYet
from api.domain.record import KINDS
from api.ledger.reads import Reads, Row, Value
from api.ledger.tables import FOREVER
from api.ledger.views import LAST_REDACTION, Page, stand, stand_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """Which events, after which position. `parents` are (source | question, id) of the claims wanted."""

    after: int = 0
    limit: int = 50
    kind: str | None = None
    type: str | None = None
    id: str | None = None
    actor: str | None = None
    parents: Sequence[tuple[str, str]] = ()
    with_state: bool = True

    @property
    def is_narrowed(self) -> bool:
        return any((self.kind, self.type, self.id, self.actor, self.parents))


_ITEM = (
    f"SELECT f.item, f.position, (SELECT position FROM head), {LAST_REDACTION} FROM feed f{{}}"
    " WHERE f.position > ? AND f.position <= ?"
)
_WITH_RECORD = (
    # Of an erased record there is neither revision nor record.
    " JOIN event e ON e.position = f.position LEFT JOIN revision v ON v.position = f.position"
    " LEFT JOIN record r ON r.first_position = v.first_position"
)


def follow(access: Reads, wanted: Following) -> Page:
    """Give the events after a position. `last` is where to go on: the last one looked at, never skipping any."""
    # Positions have no gaps, so an unfiltered page ends where its count says.
    end = FOREVER if wanted.is_narrowed else wanted.after + wanted.limit
    rows = _events(access, wanted, end)
    at = stand_at(None, *rows[0][2:]) if rows else stand(access)
    if wanted.after > at.head:
        raise NotYet(at.head)
    if not rows:
        # Before the page is known to be empty up to the head, something may have been recorded.
        rows = _events(access, wanted, min(end, at.position))
    items = [bytes(row[0]) if wanted.with_state else _without_state(row[0]) for row in rows]
    last = rows[-1][1] if len(rows) == wanted.limit else at.position
    return Page(items, str(last), at)


def _events(access: Reads, wanted: Following, end: int) -> list[Row]:
    """Read a page up to `end`: (item, position), and the head and last redaction with each."""
    conditions, values = _conditions(wanted)
    item = _ITEM.format(_WITH_RECORD if wanted.is_narrowed else "")
    sql = f"{item}{conditions} ORDER BY f.position LIMIT ?"
    return access.rows(sql, (wanted.after, end, *values, wanted.limit))


def _conditions(wanted: Following) -> tuple[str, list[Value]]:
    sql, values = "", list[Value]()
    for column, value in (
        ("e.kind", wanted.kind),
        ("e.type", wanted.type),
        ("r.id", wanted.id),
        ("e.actor", wanted.actor),
    ):
        if value is not None:
            sql += f" AND {column} = ?"
            values.append(value)
    for kind, public_id in wanted.parents:
        sql += f" AND r.{kind} = (SELECT x.first_position FROM record x WHERE x.kind = ? AND x.id = ?)"
        values += [kind, public_id]
    return sql, values


def _without_state(item: bytes) -> bytes:
    told = msgspec.json.decode(item)
    del told["state"]
    return msgspec.json.encode(told)


@dataclass(frozen=True, slots=True)
class ExactEvent:
    """One event to the byte: what was hashed, and what its digest commits to, which is None once redacted."""

    position: int
    entry: str
    payload: str | None
    salt: str | None
    leaf_hash: str
    at: Standpoint


_EXACT = (
    "SELECT e.position, e.entry, p.payload, p.salt, e.leaf_hash FROM event e"
    " LEFT JOIN payload p ON p.position = e.position WHERE e.position > ? AND e.position <= ? ORDER BY e.position"
)


def event(access: Reads, position: int) -> ExactEvent:
    """Give one event as it is in the log. Raises NotYet past the head."""
    at = stand(access)
    row = access.row(_EXACT, (position - 1, position)) if position <= at.head else None
    if row is None:
        raise NotYet(at.head)
    return _exact(row, at)


def exact(access: Reads, after: int, limit: int) -> Page:
    """Give the events after a position as they are in the log, rendered. Raises NotYet for a position past the head."""
    at = stand(access)
    if after > at.head:
        raise NotYet(at.head)
    end = min(at.position, after + limit)
    items = [spelt(_exact(row, at)) for row in access.rows(_EXACT, (after, end))]
    return Page(items, str(end), at)


def spelt(event: ExactEvent) -> bytes:
    """Render an event to the byte as JSON."""
    return msgspec.json.encode(
        {
            "position": event.position,
            "entry": event.entry,
            "payload": event.payload,
            "salt": event.salt,
            "leaf_hash": event.leaf_hash,
        }
    )


def _exact(row: Row, at: Standpoint) -> ExactEvent:
    position, entry, payload, salt, leaf = row
    # Salt and payload go together.
    said = None if payload is None else bytes(payload).decode()
    return ExactEvent(
        position, bytes(entry).decode(), said, None if said is None else bytes(salt).hex(), bytes(leaf).hex(), at
    )


_CHANGED = (
    "SELECT r.kind, r.id, v.revision, v.position, v.status, b.revision, b.status FROM revision v"
    " JOIN record r ON r.first_position = v.first_position"
    " LEFT JOIN revision b ON b.position ="
    " (SELECT max(x.position) FROM revision x WHERE x.first_position = v.first_position AND x.position <= ?)"
    " WHERE v.position > ? AND v.position <= ? AND v.until > ? AND v.kind NOT IN ('ledger', 'redaction')"
    " AND v.status <> 'redacted' ORDER BY v.position LIMIT ?"
)
_TURNED = (
    "SELECT r.id, g.since, g.state, b.state FROM agreement g JOIN record r ON r.first_position = g.question"
    " LEFT JOIN agreement b ON b.question = g.question AND b.since <= ? AND b.until > ?"
    " WHERE g.since > ? AND g.since <= ? AND g.until > ? ORDER BY g.since, r.first_position"
)


@dataclass(frozen=True, slots=True)
class Changes:
    """What the ledger came to believe between two positions: a page of records, and of questions whose state turned."""

    records: list[dict[str, object]]
    agreement: list[dict[str, object]]
    old: Standpoint
    new: Standpoint
    last: str | None


def changes(access: Reads, *, old: AsOf, new: AsOf = NOW, cursor: int | None, limit: int) -> Changes:
    """Compare two moments: `old` exclusive, `new` inclusive. Each record stands once, at its last event between them."""
    before, after = stand(access, old), stand(access, new)
    start = max(before.position, cursor or 0)
    values = (before.position, start, after.position, after.position, limit + 1)
    rows = access.rows(_CHANGED, values)
    shown = rows[:limit]
    last = str(shown[-1][3]) if len(rows) > limit else None
    end = shown[-1][3] if last is not None else after.position
    values = (before.position, before.position, start, end, after.position)
    turned = [_turned(row) for row in access.rows(_TURNED, values) if row[2] != row[3]]
    return Changes([_changed(row) for row in shown], turned, before, after, last)


def _changed(row: Row) -> dict[str, object]:
    kind, public_id, revision, position, status, old_revision, old_status = row
    change = "revised"
    if old_revision is None:
        change = "recorded"
    elif old_status == "redacted":
        change = "retracted" if status == "retracted" else "revised"
    elif status != old_status:
        change = "retracted" if status == "retracted" else "restored"
    return {
        "kind": kind,
        "id": public_id,
        "change": change,
        "status": status,
        "from_revision": old_revision,
        "to_revision": revision,
        "position": position,
    }


def _turned(row: Row) -> dict[str, object]:
    return {"question": row[0], "from": row[3], "to": row[2], "position": row[1]}


_COUNTED = (
    "SELECT t.field, t.value, count(*) FROM term t WHERE t.since <= ? AND t.until > ? AND t.field IN"
    " ('entity.status', 'source.status', 'question.status', 'claim.status', 'claim.stance', 'claim.relation',"
    " 'source.type', 'source.language', 'question.answer_type') GROUP BY t.field, t.value ORDER BY t.field, t.value"
)


def stats(access: Reads, asked: AsOf = NOW) -> tuple[dict[str, object], Standpoint]:
    """Count what the ledger holds at a position."""
    at = stand(access, asked)
    counts: dict[str, dict[str, int]] = {}
    for name, value, count in access.rows(_COUNTED, (at.position, at.position)):
        counts.setdefault(name, {})[value] = count
    sql = "SELECT state, count(*) FROM agreement WHERE since <= ? AND until > ? GROUP BY state ORDER BY state"
    states: dict[str, int] = dict(access.rows(sql, (at.position, at.position)))
    sql = "SELECT type, count(*) FROM event WHERE position <= ? GROUP BY type ORDER BY type"
    types: dict[str, int] = dict(access.rows(sql, (at.position,)))
    sql = "SELECT kind, count(*) FROM record WHERE first_position <= ? GROUP BY kind"
    recorded: dict[str, int] = dict(access.rows(sql, (at.position,)))
    kinds = {kind: _statuses(recorded.get(kind, 0), counts.get(f"{kind}.status", {})) for kind in KINDS}
    others = {
        name: counts.get(name, {})
        for name in ("claim.stance", "claim.relation", "source.type", "source.language", "question.answer_type")
    }
    return {"events": at.position, "by_type": types, "records": kinds, "agreement": states, "values": others}, at


def _statuses(recorded: int, others: dict[str, int]) -> dict[str, int]:
    """Count what is asserted, which the terms leave unsaid, and what is retracted; what is redacted is not counted."""
    counts = {"asserted": recorded - sum(others.values()), "retracted": others.get("retracted", 0)}
    return {status: count for status, count in counts.items() if count}
