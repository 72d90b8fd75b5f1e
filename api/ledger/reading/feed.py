"""The log as readers follow it: events in order of position, as they are shown and to the byte."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from api.domain.dates.asof import Standpoint
from api.domain.errors import NotYet
from api.ledger.reading.composed import (
    BESIDE,
    Condition,
    Narrowing,
    Place,
    Query,
    Walk,
    given,
    record,
    revision,
    rows_of,
)
from api.ledger.reading.selection import stands_on
from api.ledger.reading.soundness import check_gapless, check_gone, check_payload, checked_entry
from api.ledger.reading.standpoint import PAGE, fixed, locate
from api.ledger.storage.reads import Reads, Row
from api.ledger.storage.tables import FOREVER, Event, FeedRow


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


_feed, _event = rows_of(FeedRow, "f"), rows_of(Event, "e")
_IS_BETWEEN = sa.and_(_feed.c.position > given("after"), _feed.c.position <= given("end"))
_ALL = Walk(_feed, _feed.c.position, _IS_BETWEEN)
# Outer joins, for an erased record has neither a revision nor a row of its own any more.
_WITH_RECORDS = Walk(
    _feed.join(_event, _event.c.position == _feed.c.position)
    .outerjoin(revision, revision.c.position == _feed.c.position)
    .outerjoin(record, record.c.first_position == revision.c.first_position),
    _feed.c.position,
    _IS_BETWEEN,
)


def follow(access: Reads, wanted: Following) -> Stretch:
    """Give the events after a position. `last` is where to go on, never skipping any."""
    # Positions have no gaps, so an unfiltered page ends where its count says.
    end = FOREVER if wanted.is_narrowed else wanted.after + wanted.limit
    rows, is_cut = _events(access, wanted, end)
    at = fixed(None, *rows[0][2:]) if rows else locate(access)
    if wanted.after > at.head:
        raise NotYet(at.head)
    if not rows:
        # Before the page is known to be empty up to the head, something may have been recorded.
        rows, is_cut = _events(access, wanted, min(end, at.position))
    if not wanted.is_narrowed:
        check_gapless([row[1] for row in rows], wanted.after, rows[-1][1] if is_cut else min(end, at.position))
    items = [row[0] for row in rows] if wanted.with_state else [_without_state(row[0]) for row in rows]
    last = rows[-1][1] if is_cut or len(rows) == wanted.limit else at.position
    return Stretch(items, last, at)


def _events(access: Reads, wanted: Following, end: int) -> tuple[list[Row], bool]:
    """Read a page up to `end`: item, position, head, last redaction.

    Says also whether rows were left out because those before came to as many bytes as a page may have.
    """
    events = Narrowing(_WITH_RECORDS if wanted.is_narrowed else _ALL, after=wanted.after, end=end)
    for column, value in (
        (_event.c.kind, wanted.kind),
        (_event.c.type, wanted.type),
        (record.c.id, wanted.id),
        (_event.c.actor, wanted.actor),
    ):
        if value is not None:
            events.where_own(_equals, column, value=value)
    for kind, public_id in wanted.parents:
        events.where_own(stands_on, kind, id=public_id)
    return access.rows_within(*events.query(access, _items, limit=wanted.limit), PAGE)


def _equals(own: Place, column: sa.ColumnElement[str]) -> Condition:
    return column == own("value")


def _items(walk: Walk) -> Query:
    shown = sa.select(_feed.c.item.label("said"), walk.column, *BESIDE).select_from(walk.tables)
    return shown.order_by(walk.column).limit(given("limit"))


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
    at = locate(access)
    if not 0 < position <= at.head:
        raise NotYet(at.head)
    return _exact(access, position - 1, position, at)[0][0]


def exact(access: Reads, after: int, limit: int) -> Stretch:
    """Give the events after a position as they are in the log, rendered. Raises NotYet for a position past the head."""
    at = locate(access)
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
