"""What the ledger came to believe between two moments: records that changed, and questions whose state turned."""

from dataclasses import dataclass

from api.domain.dates.asof import NOW, AsOf, Standpoint
from api.ledger.reading.standpoint import in_force, locate
from api.ledger.storage.reads import Reads, Row
from api.ledger.storage.tables import FOREVER

_CHANGED = (
    "SELECT r.kind, r.id, v.revision, v.position, v.status, b.revision, b.status FROM revision v"
    " JOIN record r ON r.first_position = v.first_position"
    f" LEFT JOIN revision b ON b.position = {in_force('v')}"
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


def between(access: Reads, *, old: AsOf, new: AsOf = NOW, cursor: str | None, limit: int) -> Changes:
    """Compare two moments: `old` exclusive, `new` inclusive. Each record stands once, at its last event between them."""
    before, after = locate(access, old), locate(access, new)
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
