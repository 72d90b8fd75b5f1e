"""The log as readers follow it: events in order of position, as they are shown and to the byte.

A redaction passes every filter that it passes itself, or that one of the events passes that it covers: whoever follows a
part of the log learns what has to go from what he holds. Its own `kind` is redaction and its `type` redacted, and it has an
`id` and an `actor` of its own; beside those it passes

- `kind`: the kind of its target;
- `type` and `actor`: the type and the actor of any event that it covers;
- `id`: the id of its target, unless the redaction erased that: then nobody knows it;
- `source` and `question`: those of its target, if that is a claim. What a claim that is redacted as a whole stood on is
  gone with it, so such a redaction passes any `source` and any `question`;
- `file`: any.

With several filters each is passed by itself: `type=redacted&kind=claim` are the redactions of claims. One of several values
of a filter is enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from api.domain.dates.asof import Standpoint
from api.domain.errors import NotYet
from api.domain.records.kinds import CLAIM
from api.domain.records.redaction import REDACTION
from api.ledger.reading.composed import (
    BESIDE,
    Condition,
    Led,
    Narrowing,
    Place,
    Query,
    Walk,
    exists,
    given,
    record,
    revision,
    rows_of,
)
from api.ledger.reading.soundness import check_gapless, check_gone, check_payload, checked_entry
from api.ledger.reading.standpoint import PAGE, fixed, locate
from api.ledger.storage.reads import Reads, Row
from api.ledger.storage.tables import FOREVER, Event, FeedRow, Imported, RecordRow, Term


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the log: rendered items with their positions, and the position up to which nothing was left out."""

    items: Sequence[bytes]
    positions: Sequence[int]
    last: int
    at: Standpoint

    @property
    def is_more(self) -> bool:
        """Whether the log went on behind this part, when it was read."""
        return self.last < self.at.position


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """Which events, after which position and up to which: those that hold one of the values of each filter that has any.

    `parents` are (source | question, ids) of the claims wanted.
    """

    after: int = 0
    end: int = FOREVER
    limit: int = 50
    kinds: Sequence[str] = ()
    types: Sequence[str] = ()
    ids: Sequence[str] = ()
    actors: Sequence[str] = ()
    parents: Sequence[tuple[str, Sequence[str]]] = ()
    files: Sequence[str] = ()
    with_state: bool = True

    @property
    def is_narrowed(self) -> bool:
        return any((self.kinds, self.types, self.ids, self.actors, self.parents, self.files))


_feed, _event, _imported = rows_of(FeedRow, "f"), rows_of(Event, "e"), rows_of(Imported, "i")
# Files share no positions: those of a page begin with the last that begins before it.
_FILES = (
    "SELECT first, last, file FROM imported WHERE first <= ? AND first >="
    " COALESCE((SELECT max(b.first) FROM imported b WHERE b.first <= ?), 0) ORDER BY first"
)
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


# Redactions that pass a filter, in order: each has its terms from its own position on, for ever.
_passed, _also, _named, _claim = rows_of(Term, "t"), rows_of(Term, "h"), rows_of(Term, "n"), rows_of(RecordRow, "c")
_REDACTIONS = Walk(
    Led(_passed, _feed),
    _passed.c.first_position,
    sa.and_(
        _passed.c.field == given("field"),
        _passed.c.value == given("value"),
        _passed.c.first_position > given("after"),
        _passed.c.first_position <= given("end"),
        _feed.c.position == _passed.c.first_position,
    ),
)


def follow(access: Reads, wanted: Following) -> Stretch:
    """Give the events after a position. `last` is where to go on, never skipping any. Raises NotYet past the head."""
    at, rows, last = (_chosen if wanted.is_narrowed else _every)(access, wanted)
    items = [row[0] if wanted.with_state else _without_state(row[0]) for row in rows]
    positions = [row[1] for row in rows]
    return Stretch(_with_files(access, items, positions), positions, last, at)


def _every(access: Reads, wanted: Following) -> tuple[Standpoint, list[Row], int]:
    """Give all events: positions have no gaps, so a page ends where its count says."""
    end = min(wanted.after + wanted.limit, wanted.end)
    rows, is_cut = _events(access, wanted, end=end, limit=wanted.limit)
    at = fixed(None, *rows[0][2:]) if rows else locate(access)
    if wanted.after > at.head:
        raise NotYet(at.head)
    end = min(end, at.position)
    if not rows:
        # Before the page is known to be empty up to the head, something may have been recorded.
        rows, is_cut = _events(access, wanted, end=end, limit=wanted.limit)
    last = rows[-1][1] if is_cut else end
    check_gapless([row[1] for row in rows], wanted.after, last)
    return at, rows, last


def _chosen(access: Reads, wanted: Following) -> tuple[Standpoint, list[Row], int]:
    """Give the events that pass the filters, and the redactions of such, up to one position: that of the head."""
    at = locate(access)
    if wanted.after > at.head:
        raise NotYet(at.head)
    end = min(at.position, wanted.end)
    # One more than a page holds tells whether anything follows.
    own = _events(access, wanted, end=end, limit=wanted.limit + 1)
    redactions = _redactions(access, wanted, end=end, limit=wanted.limit + 1)
    rows, is_more = _in_order([own, redactions], wanted.limit)
    return at, rows, rows[-1][1] if is_more else end


# Rows of the feed, and whether more were left out because these came to as many bytes as a page may have.
_Rows = tuple[list[Row], bool]


def _in_order(parts: Sequence[_Rows], limit: int) -> _Rows:
    """Put rows in one order, as many as a page holds. Of what follows a part that was cut short nothing is known."""
    known = min([rows[-1][1] for rows, is_cut in parts if is_cut], default=FOREVER)
    found = {row[1]: row for rows, _ in parts for row in rows if row[1] <= known}
    taken, size = list[Row](), 0
    for position in sorted(found):
        size += len(found[position][0])
        if taken and (size > PAGE or len(taken) == limit):
            return taken, True
        taken.append(found[position])
    return taken, known < FOREVER


def _events(access: Reads, wanted: Following, *, end: int, limit: int) -> _Rows:
    """Read events up to `end` that pass the filters themselves: item, position, head, last redaction."""
    events = Narrowing(_WITH_RECORDS if wanted.is_narrowed else _ALL, after=wanted.after, end=end)
    for column, values in (
        (_event.c.kind, wanted.kinds),
        (_event.c.type, wanted.types),
        (record.c.id, wanted.ids),
        (_event.c.actor, wanted.actors),
    ):
        if values:
            events.where_own(_is_one_of, column, values=values)
    if wanted.files:
        events.where_own(_came_in_one_of, files=wanted.files)
    for kind, ids in wanted.parents:
        events.where_own(_stands_on_one_of, kind, ids=ids)
    return access.rows_within(*events.query(access, _items, limit=limit), PAGE)


def _is_one_of(own: Place, column: sa.ColumnElement[str]) -> Condition:
    return column.in_(own("values", is_list=True))


def _came_in_one_of(own: Place) -> Condition:
    """Say that an event came in one of these files; nothing before the first of them is looked at, and nothing after the last."""
    held = _imported.c.file.in_(own("files", is_list=True))
    begin = sa.select(sa.func.min(_imported.c.first)).where(held).scalar_subquery()
    end = sa.select(sa.func.max(_imported.c.last)).where(held).scalar_subquery()
    between = exists(_imported.c.first <= _feed.c.position, _imported.c.last >= _feed.c.position, held)
    return sa.and_(_feed.c.position >= begin, _feed.c.position <= end, between)


def _stands_on_one_of(own: Place, parent: str) -> Condition:
    return record.c[parent].in_(_those(own, parent))


def _those(own: Place, kind: str) -> sa.Select[tuple[int]]:
    """Find sources or questions by their ids."""
    those = rows_of(RecordRow, "y")
    return sa.select(those.c.first_position).where(those.c.kind == kind, those.c.id.in_(own("ids", is_list=True)))


def _redactions(access: Reads, wanted: Following, *, end: int, limit: int) -> _Rows:
    """Read redactions up to `end` that pass the filters, by themselves or by what they cover, as `_events` does events.

    The filter that the fewest pass leads the walk, if it has one value, and what every redaction passes is not asked.
    """
    filters = [("id", wanted.ids), ("actor", wanted.actors), ("type", wanted.types), ("kind", wanted.kinds)]
    passed = [(name, values) for name, values in filters if values and _ITS_OWN.get(name) not in values]
    if wanted.parents:
        passed.append(("kind", (CLAIM.name,)))
    leading = next((each for each in passed if len(each[1]) == 1), ("kind", (REDACTION,)))
    found = Narrowing(_REDACTIONS, after=wanted.after, end=end, field=_field(leading[0]), value=leading[1][0])
    for name, values in passed:
        if (name, values) != leading:
            found.where_own(_passes, field=_field(name), values=values)
    for kind, ids in wanted.parents:
        found.where_own(_may_stand_on, kind, ids=ids)
    return access.rows_within(*found.query(access, _items, limit=limit), PAGE)


_ITS_OWN = {"kind": REDACTION, "type": "redacted"}


def _field(name: str) -> str:
    return f"{REDACTION}.{name}"


def _passes(own: Place) -> Condition:
    """Say that a redaction passes a further filter."""
    return exists(
        _also.c.field == own("field"),
        _also.c.value.in_(own("values", is_list=True)),
        _also.c.first_position == _passed.c.first_position,
    )


def _may_stand_on(own: Place, parent: str) -> Condition:
    """Say that the claim which a redaction covers is not known to stand on a source, or answer a question, but these."""
    others = (
        sa.select(sa.literal(1))
        .select_from(Led(_named, _claim))
        .where(
            _named.c.first_position == _passed.c.first_position,
            _named.c.field == _field("id"),
            _claim.c.kind == CLAIM.name,
            _claim.c.id == _named.c.value,
            # It is null of a claim that is redacted as a whole: then nothing is known of it.
            _claim.c[parent].is_not(None),
            _claim.c[parent].not_in(_those(own, parent)),
        )
    )
    return sa.not_(sa.exists(others))


def _items(walk: Walk) -> Query:
    shown = sa.select(_feed.c.item.label("said"), walk.column, *BESIDE).select_from(walk.tables)
    return shown.order_by(walk.column).limit(given("limit"))


_NO_FILE = b',"file":null}'


def _with_files(access: Reads, items: Sequence[bytes], positions: Sequence[int]) -> list[bytes]:
    """Add to each item the file that it came in: that is not derived from the log, and so no part of what is."""
    files = access.rows(_FILES, (positions[-1], positions[0])) if positions else []
    ends = iter([(first, last, b',"file":%b}' % msgspec.json.encode(file)) for first, last, file in files])
    first, last, end = next(ends, (FOREVER, FOREVER, _NO_FILE))
    shown = []
    for item, position in zip(items, positions, strict=True):
        while position > last:
            first, last, end = next(ends, (FOREVER, FOREVER, _NO_FILE))
        shown.append(item[:-1] + (end if position >= first else _NO_FILE))
    return shown


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
    positions = [each.position for each in found[: len(items)]]
    return Stretch(items, positions, end if is_whole else positions[-1], at)


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
