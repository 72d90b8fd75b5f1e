"""Lists of records as the ledger stood at a position: pages, the timeline, and how often which values occur."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import get_args

import sqlalchemy as sa

from api.domain.agreement.agreement import StateOfAgreement
from api.domain.dates.asof import AsOf, Standpoint
from api.ledger.projecting.findable import LAST_START
from api.ledger.reading.composed import (
    BESIDE,
    Composed,
    Condition,
    Narrowing,
    Query,
    Walk,
    at_position,
    given,
    held,
    record,
    revision,
    rows_of,
    span,
)
from api.ledger.reading.selection import LIVE_CLAIMS, PARENTS, SPANS, Selection, fields_of, narrowed
from api.ledger.reading.standpoint import PAGE, Page, fixed, locate
from api.ledger.storage.reads import Reads, Row, Value
from api.ledger.storage.tables import FOREVER, AgreementRow, RecordRow, Term

# In the order in which a list shows them.
STATES: tuple[str, ...] = get_args(StateOfAgreement)
_END_OF_TIME = FOREVER - 1
MOST_VALUES = 100
# Ids in one statement.
_AT_ONCE = 500


def select(access: Reads, chosen: Selection) -> tuple[Page, list[str]]:
    """Give a page of representations, and the ids shown. Raises NotYet past the head."""
    asked = chosen.asked
    # What is read in parts is read at one position.
    at = locate(access, asked) if asked.moment is not None or _is_divided(chosen) else None
    # What holds at the end of time holds now; the rows tell which position that is, and spare a statement.
    position = at.position if at else _END_OF_TIME if asked.position is None else asked.position
    rows, is_cut = _page(access, chosen, position)
    if at is None and rows:
        head, redaction = rows[0][2:4]
        at = fixed(asked.position, head, redaction)
    elif at is None:
        at = locate(access, asked)
        if asked.position is None:
            # Before the page is known to be empty at the position it names, something may have been recorded.
            rows, is_cut = _page(access, chosen, at.position)
    shown = rows[: chosen.limit]
    keys = [".".join(map(str, row[4:])) for row in shown]
    page = Page([bytes(row[0]) for row in shown], keys, is_cut or len(rows) > chosen.limit, at)
    return page, [row[1] for row in shown]


def _page(access: Reads, chosen: Selection, position: int) -> tuple[list[Row], bool]:
    """Read one row more than a page shows: document, id, head, last redaction, and the keys of the order.

    Says also whether rows were left out because those before came to as many bytes as a page may have.
    """
    rows, size = list[Row](), 0
    for part, leading in _parts(chosen):
        some = replace(part, limit=chosen.limit - len(rows))
        found, is_cut = _walked(access, some, position, PAGE - size)
        if rows and found and size + len(found[0][0]) > PAGE:
            return rows, True
        rows += [(*row[:4], *leading, *row[4:]) for row in found] if leading else found
        size += sum([len(row[0]) for row in found])
        if is_cut or len(rows) > chosen.limit:
            return rows, is_cut
    return rows, False


def _is_divided(chosen: Selection) -> bool:
    return chosen.is_by_agreement or (chosen.is_by_date and chosen.is_downward)


def _parts(chosen: Selection) -> Iterator[tuple[Selection, tuple[str, ...]]]:
    """Divide a list into parts that are read one after another, each with what stands before its keys.

    Questions in one state of agreement follow those in another. Sources of which no date is known come last, the other
    way round too.
    """
    if chosen.is_by_agreement:
        order = "-recorded" if chosen.is_downward else "recorded"
        for state, cursor in states_from(chosen):
            yield replace(chosen, agreement=(state,), order=order, cursor=cursor), (state,)
    elif _is_divided(chosen):
        is_begun = (chosen.cursor or "").startswith(f"{LAST_START}.")
        if not is_begun:
            yield chosen, ()
        yield replace(chosen, is_undated=True, cursor=chosen.cursor if is_begun else None), ()
    else:
        yield chosen, ()


def states_from(chosen: Selection) -> Iterator[tuple[str, str | None]]:
    """Name the states of agreement that a list still has to show, in its order, and after which question to begin each."""
    states = STATES[::-1] if chosen.is_downward else STATES
    begun, _, last = (chosen.cursor or "").rpartition(".")
    for state in states[states.index(begun) if begun in states else 0 :]:
        if not chosen.agreement or state in chosen.agreement:
            yield state, last if state == begun else None


def _walked(access: Reads, chosen: Selection, position: int, most: int) -> tuple[list[Row], bool]:
    records = narrowed(access, chosen, position)
    if chosen.is_by_claims:
        return access.rows_within(*_by_claims(access, chosen, records), most)
    after = _after(chosen, records.walk)
    query = records.query(access, _in_order, chosen.order, bool(after), limit=chosen.limit + 1, **after)
    return access.rows_within(*query, most)


def _after(chosen: Selection, walk: Walk) -> dict[str, int]:
    """Read a cursor as the keys of an order: the last of those it holds, and for those it lacks what comes before all.

    An order by dates begins after what comes before all: with no place in its index to begin at, SQLite would rather take
    another, and sort.
    """
    if chosen.cursor is None and not walk.keys:
        return {}
    count, first = len(_keys(walk, chosen.order)), FOREVER if chosen.is_downward else -FOREVER
    given_keys = [int(key) for key in chosen.cursor.split(".")[-count:]] if chosen.cursor is not None else []
    keys = [first] * (count - len(given_keys)) + given_keys
    if _is_divided(chosen) and not chosen.is_undated:
        keys = min(keys, [LAST_START] + [-1] * (count - 1))
    return {f"after_{place}": key for place, key in enumerate(keys)}


def _keys(walk: Walk, order: str) -> tuple[sa.ColumnElement[int], ...]:
    return (revision.c.position,) if "revised" in order else walk.keys or (walk.column,)


def _in_order(walk: Walk, order: str, is_resumed: bool) -> Query:
    keys, is_downward = _keys(walk, order), order.startswith("-")
    shown = sa.select(revision.c.document.label("said"), record.c.id, *BESIDE, *keys)
    if is_resumed:
        shown = shown.where(*_beyond(keys, is_downward=is_downward))
    # A sum has no index: PostgreSQL would rather look for each revision of the ledger, in order, among all that is walked.
    ordered = keys if keys[0] is walk.column else [key + 0 for key in keys]
    ways = [key.desc() if is_downward else key for key in ordered]
    return shown.select_from(walk.tables).order_by(*ways).limit(given("limit"))


def _beyond(keys: Sequence[sa.ColumnElement[int]], *, is_downward: bool) -> list[Condition]:
    """Say that keys come after those given. The first two of three are columns of one index, which leads to the place."""
    places = [given(f"after_{place}") for place in range(len(keys))]
    if len(keys) == 1:
        return [keys[0] < places[0] if is_downward else keys[0] > places[0]]
    own, those = sa.tuple_(*keys), sa.tuple_(*places)
    leading, there = sa.tuple_(*keys[:2]), sa.tuple_(*places[:2])
    return [leading <= there, own < those] if is_downward else [leading >= there, own > those]


def _by_claims(access: Reads, chosen: Selection, records: Narrowing) -> tuple[str, list[Value]]:
    is_downward, last = chosen.is_downward, last_counted(chosen)
    after = {} if last is None else {"after_count": -last[0] if is_downward else last[0], "after_place": last[1]}
    return records.query(access, _in_number, is_downward, bool(after), limit=chosen.limit + 1, **after)


def last_counted(chosen: Selection) -> tuple[int, int] | None:
    """Read a cursor as the live claims and the first position of the question before; None where it does not count."""
    count, _, place = (chosen.cursor or "").rpartition(".")
    return (int(count), int(place)) if count.isdecimal() else None


def _in_number(walk: Walk, is_downward: bool, is_resumed: bool) -> Query:
    """Order questions by their live claims. Those that have as many stand in the order of recording either way."""
    place, count = record.c.first_position, -LIVE_CLAIMS if is_downward else LIVE_CLAIMS
    shown = sa.select(revision.c.document.label("said"), record.c.id, *BESIDE, LIVE_CLAIMS.label("count"), place)
    if is_resumed:
        shown = shown.where(sa.tuple_(count, place) > sa.tuple_(given("after_count"), given("after_place")))
    shown = shown.select_from(walk.tables).order_by(sa.desc("count") if is_downward else sa.asc("count"), place)
    return shown.limit(given("limit"))


def timeline(access: Reads, chosen: Selection) -> Page:
    """Give live claims in the order of (earliest start, first position)."""
    at = locate(access, chosen.asked)
    claims = narrowed(access, chosen, at.position, SPANS)
    # From the beginning, too, there is a place to begin at, as above.
    starts, _, first = (chosen.cursor or f"{-FOREVER}.0").partition(".")
    query = claims.query(access, _in_time, starts=int(starts), first=int(first), limit=chosen.limit + 1)
    rows, is_cut = access.rows_within(*query, PAGE)
    shown = rows[: chosen.limit]
    keys = [f"{starts}.{first}" for _, starts, first in shown]
    return Page([bytes(row[0]) for row in shown], keys, is_cut or len(rows) > chosen.limit, at)


def _in_time(walk: Walk) -> Query:
    order = span.c.starts, span.c.first_position
    shown = sa.select(revision.c.document.label("said"), *order).select_from(walk.tables)
    shown = shown.where(sa.tuple_(*order) > sa.tuple_(given("starts"), given("first")))
    return shown.order_by(*order).limit(given("limit"))


Facets = dict[str, list[dict[str, str | int]]]


def facets(access: Reads, chosen: Selection, at: Standpoint, fields: Sequence[str]) -> Facets:
    """Count, for each field, the values that the selected records hold there; the most frequent, MOST_VALUES at most."""
    chosen = replace(chosen, order="recorded", cursor=None)
    return {name: _facet(_counts(access, chosen, at, name, MOST_VALUES)) for name in fields}


def facets_of(access: Reads, kind: str, ids: Sequence[str], at: Standpoint, fields: Sequence[str]) -> Facets:
    """Count the values that some records hold, however many records those are: a statement looks at a part of them."""
    counted: dict[str, Counter[str]] = {name: Counter() for name in fields}
    for start in range(0, len(ids), _AT_ONCE):
        some = Selection(kind=kind, asked=AsOf(position=at.position), ids=ids[start : start + _AT_ONCE])
        for name, counts in counted.items():
            counts.update(dict(_counts(access, some, at, name, FOREVER)))
    return {name: _facet(sorted(counts.items(), key=_often)[:MOST_VALUES]) for name, counts in counted.items()}


def facet_of(values: Iterable[str]) -> list[dict[str, str | int]]:
    """Count values that are known."""
    return _facet(sorted(Counter(values).items(), key=_often)[:MOST_VALUES])


def _often(counted: tuple[str, int]) -> tuple[int, str]:
    return -counted[1], counted[0]


def _facet(counts: Iterable[tuple[str, int]]) -> list[dict[str, str | int]]:
    return [{"value": value, "count": count} for value, count in counts]


def _counts(access: Reads, chosen: Selection, at: Standpoint, name: str, most: int) -> list[tuple[str, int]]:
    records = narrowed(access, chosen, at.position)
    if name == "status":
        query = records.query(access, _by_status, limit=most)
    elif chosen.kind == "claim" and name in PARENTS:
        query = records.query(access, _by_parent, name, limit=most)
    elif name == "agreement":
        query = records.query(access, _by_state, limit=most)
    else:
        query = records.query(access, _by_term, counted=fields_of(chosen.kind, name), limit=most)
    return [(row[0], row[1]) for row in access.rows(*query)]


def _by_status(walk: Walk) -> Query:
    return _counted(walk.tables, revision.c.status)


def _by_parent(walk: Walk, name: str) -> Query:
    parent = rows_of(RecordRow, "c")
    return _counted(walk.tables.join(parent, parent.c.first_position == record.c[name]), parent.c.id)


def _by_state(walk: Walk) -> Query:
    states = rows_of(AgreementRow, "c")
    is_in = sa.and_(states.c.question == record.c.first_position, held(states))
    return _counted(walk.tables.join(states, is_in), states.c.state)


def _by_term(walk: Walk) -> Query:
    terms = rows_of(Term, "c")
    is_held = sa.and_(
        terms.c.first_position == record.c.first_position,
        terms.c.field.in_(given("counted", is_list=True)),
        held(terms),
    )
    return _counted(walk.tables.join(terms, is_held), terms.c.value)


def _counted(tables: sa.FromClause, value: sa.ColumnElement[str]) -> Query:
    """Count the records that have each value, the most frequent first."""
    count = sa.func.count(record.c.first_position.distinct())
    found = sa.select(value, count).select_from(tables).group_by(value)
    return found.order_by(count.desc(), value).limit(given("limit"))


_AT_PLACES = Composed(
    sa.select(revision.c.document.label("said"))
    .select_from(at_position(record))
    .where(record.c.first_position.in_(given("places", is_list=True)))
    .order_by(record.c.first_position)
)


def documents_at(access: Reads, places: Sequence[int], at: Standpoint, most: int) -> list[bytes]:
    """Give the representations of the records that begin at some positions, in order: as many as fit, one at least."""
    if not places:
        return []
    rows, _ = access.rows_within(*_AT_PLACES(access, position=at.position, places=places), most)
    return [bytes(row[0]) for row in rows]
