"""The log as readers follow it: events in order of position, what changed between two positions, and counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import msgspec

from api.domain.dates.asof import NOW, AsOf, Standpoint
from api.domain.errors import NotYet
from api.domain.records.kinds import KINDS
from api.ledger.reading.lists import MOST_VALUES
from api.ledger.reading.soundness import check_gapless, check_gone, check_payload, checked_entry
from api.ledger.reading.views import LAST_REDACTION, PAGE, stand, stand_at
from api.ledger.storage.reads import Reads, Row, Value
from api.ledger.storage.tables import FOREVER


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the log: rendered items, and the position up to which nothing was left out."""

    items: list[bytes]
    last: int
    at: Standpoint


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
    f"SELECT f.item AS said, f.position, (SELECT position FROM head), {LAST_REDACTION} FROM feed f{{}}"
    " WHERE f.position > ? AND f.position <= ?"
)
_WITH_RECORD = (
    # Of an erased record there is neither revision nor record.
    " JOIN event e ON e.position = f.position LEFT JOIN revision v ON v.position = f.position"
    " LEFT JOIN record r ON r.first_position = v.first_position"
)


def follow(access: Reads, wanted: Following) -> Stretch:
    """Give the events after a position. `last` is where to go on, never skipping any."""
    # Positions have no gaps, so an unfiltered page ends where its count says.
    end = FOREVER if wanted.is_narrowed else wanted.after + wanted.limit
    rows, is_cut = _events(access, wanted, end)
    at = stand_at(None, *rows[0][2:]) if rows else stand(access)
    if wanted.after > at.head:
        raise NotYet(at.head)
    if not rows:
        # Before the page is known to be empty up to the head, something may have been recorded.
        rows, is_cut = _events(access, wanted, min(end, at.position))
    if not wanted.is_narrowed:
        check_gapless([row[1] for row in rows], wanted.after, rows[-1][1] if is_cut else min(end, at.position))
    items = [bytes(row[0]) if wanted.with_state else _without_state(row[0]) for row in rows]
    last = rows[-1][1] if is_cut or len(rows) == wanted.limit else at.position
    return Stretch(items, last, at)


def _events(access: Reads, wanted: Following, end: int) -> tuple[list[Row], bool]:
    """Read a page up to `end`: (item, position), and the head and last redaction with each; and whether it ended before."""
    conditions, values = _conditions(wanted)
    item = _ITEM.format(_WITH_RECORD if wanted.is_narrowed else "")
    sql = f"{item}{conditions} ORDER BY f.position LIMIT ?"
    return access.rows_within(sql, (wanted.after, end, *values, wanted.limit), PAGE)


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
    "SELECT p.payload AS said, e.position, e.entry, p.salt, e.leaf_hash FROM event e"
    " LEFT JOIN payload p ON p.position = e.position WHERE e.position > ? AND e.position <= ? ORDER BY e.position"
)


def event(access: Reads, position: int) -> ExactEvent:
    """Give one event as it is in the log. Raises NotYet past the head, and LogDamaged where it is not what was written."""
    at = stand(access)
    if not 0 < position <= at.head:
        raise NotYet(at.head)
    return _exact(access, position - 1, position, at)[0][0]


def exact(access: Reads, after: int, limit: int) -> Stretch:
    """Give the events after a position as they are in the log, rendered. Raises NotYet for a position past the head."""
    at = stand(access)
    if after > at.head:
        raise NotYet(at.head)
    end = min(at.position, after + limit)
    found, is_cut = _exact(access, after, end, at)
    items, size = list[bytes](), 0
    for item in map(spelt, found):
        # In a JSON string, a payload may take twice its bytes.
        if items and size + len(item) > PAGE:
            break
        items.append(item)
        size += len(item)
    is_whole = not is_cut and len(items) == len(found)
    return Stretch(items, end if is_whole else found[len(items) - 1].position, at)


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


def _exact(access: Reads, after: int, end: int, at: Standpoint) -> tuple[list[ExactEvent], bool]:
    """Read events to the byte, as many as fit on a page, and whether more follow.

    Raises LogDamaged where one is missing, or does not say what its leaf commits to.
    """
    rows, is_cut = access.rows_within(_EXACT, (after, end), PAGE)
    check_gapless([row[1] for row in rows], after, rows[-1][1] if is_cut else end)
    gone = []
    for payload, position, entry, salt, leaf in rows:
        told = checked_entry(position, entry, leaf)
        if payload is None:
            gone.append(told)
        else:
            check_payload(told, salt, payload)
    check_gone(access, gone)
    return [_exact_event(row, at) for row in rows], is_cut


def _exact_event(row: Row, at: Standpoint) -> ExactEvent:
    payload, position, entry, salt, leaf = row
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
    "SELECT r.id, g.since, g.state, b.state, g.question FROM agreement g JOIN record r ON r.first_position = g.question"
    " LEFT JOIN agreement b ON b.question = g.question AND b.since <= ? AND b.until > ?"
    " WHERE g.since >= ? AND (g.since > ? OR g.question > ?) AND g.since <= ? AND g.until > ?"
    " AND (b.state IS NULL OR b.state <> g.state) ORDER BY g.since, g.question LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Changes:
    """What the ledger came to believe between two positions: a page of records, and of questions whose state turned.

    `last` is the position to go on after; where one event turned more questions than fit, also the last of those.
    """

    records: list[dict[str, object]]
    agreement: list[dict[str, object]]
    old: Standpoint
    new: Standpoint
    last: str | None


def changes(access: Reads, *, old: AsOf, new: AsOf = NOW, cursor: str | None, limit: int) -> Changes:
    """Compare two moments: `old` exclusive, `new` inclusive. Each record stands once, at its last event between them."""
    before, after = stand(access, old), stand(access, new)
    reached, _, question = (cursor or "0").partition(".")
    start = max(before.position, int(reached))
    # Without a question, all that the event at the start did is over.
    turned_after = int(question) if question and start == int(reached) else FOREVER
    values = (before.position, before.position, start, start, turned_after, after.position, after.position, limit + 1)
    turned = access.rows(_TURNED, values)
    records = access.rows(_CHANGED, (before.position, start, after.position, after.position, limit + 1))
    ends = [(row[3], FOREVER) for row in records[limit - 1 : limit] if len(records) > limit]
    ends += [(row[1], row[4]) for row in turned[limit - 1 : limit] if len(turned) > limit]
    end = min(ends, default=None)
    if end is not None:
        records, turned = (
            [row for row in records if row[3] <= end[0]],
            [row for row in turned if (row[1], row[4]) <= end],
        )
    last = None if end is None else f"{end[0]}" if end[1] == FOREVER else f"{end[0]}.{end[1]}"
    return Changes([_changed(row) for row in records], [_turned(row) for row in turned], before, after, last)


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
    " 'source.type', 'source.language', 'question.answer_type') GROUP BY t.field, t.value ORDER BY count(*) DESC, t.value"
)


def stats(access: Reads, asked: AsOf = NOW) -> tuple[dict[str, object], Standpoint]:
    """Count what the ledger holds at a position; of the values of a field the most frequent, MOST_VALUES at most."""
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
        name: dict(islice(counts.get(name, {}).items(), MOST_VALUES))
        for name in ("claim.stance", "claim.relation", "source.type", "source.language", "question.answer_type")
    }
    return {"events": at.position, "by_type": types, "records": kinds, "agreement": states, "values": others}, at


def _statuses(recorded: int, others: dict[str, int]) -> dict[str, int]:
    """Count what is asserted, which the terms leave unsaid, and what is retracted; what is redacted is not counted."""
    counts = {"asserted": recorded - sum(others.values()), "retracted": others.get("retracted", 0)}
    return {status: count for status, count in counts.items() if count}
