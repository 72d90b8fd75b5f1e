"""Lists of records as the ledger stood at a position: pages, the timeline, how often which values occur, and grounds."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa

from api.domain.dates.asof import AsOf, Standpoint
from api.domain.records.record import REDACTED
from api.ledger.reading.composed import (
    BESIDE,
    Composed,
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
from api.ledger.reading.selection import PARENTS, SPANS, Selection, fields_of, narrowed
from api.ledger.reading.standpoint import PAGE, Page, fixed, locate
from api.ledger.storage.reads import Reads, Row
from api.ledger.storage.tables import FOREVER, RecordRow, Term

_END_OF_TIME = FOREVER - 1
MOST_VALUES = 100
# Ids in one statement.
_AT_ONCE = 500


def select(access: Reads, chosen: Selection) -> tuple[Page, list[str]]:
    """Give a page of representations, and the ids shown. Raises NotYet past the head."""
    asked = chosen.asked
    at = locate(access, asked) if asked.moment is not None else None
    # What holds at the end of time holds now; the rows tell which position that is, and spare a statement.
    position = at.position if at else _END_OF_TIME if asked.position is None else asked.position
    rows, is_cut = _page(access, chosen, position)
    if at is None and rows:
        head, redaction = rows[0][3:]
        at = fixed(asked.position, head, redaction)
    elif at is None:
        at = locate(access, asked)
        if asked.position is None:
            # Before the page is known to be empty at the position it names, something may have been recorded.
            rows, is_cut = _page(access, chosen, at.position)
    shown = rows[: chosen.limit]
    is_more = is_cut or len(rows) > chosen.limit
    return Page([bytes(row[0]) for row in shown], [str(row[1]) for row in shown], is_more, at), [
        row[2] for row in shown
    ]


def _page(access: Reads, chosen: Selection, position: int) -> tuple[list[Row], bool]:
    """Read one row more than a page shows: document, key, id, head, last redaction.

    Says also whether rows were left out because those before came to as many bytes as a page may have.
    """
    records = narrowed(access, chosen, position)
    after = {} if chosen.cursor is None else {"after": int(chosen.cursor)}
    query = records.query(access, _in_order, chosen.order, bool(after), limit=chosen.limit + 1, **after)
    return access.rows_within(*query, PAGE)


def _in_order(walk: Walk, order: str, is_resumed: bool) -> Query:
    column = revision.c.position if "revised" in order else walk.column
    shown = sa.select(revision.c.document.label("said"), column, record.c.id, *BESIDE)
    is_downward = order.startswith("-")
    if is_resumed:
        shown = shown.where(column < given("after") if is_downward else column > given("after"))
    # A sum has no index: PostgreSQL would rather look for each revision of the ledger, in order, among all that is walked.
    key = column if column is walk.column else column + 0
    return shown.select_from(walk.tables).order_by(key.desc() if is_downward else key).limit(given("limit"))


def timeline(access: Reads, chosen: Selection) -> Page:
    """Give live claims in the order of (earliest start, first position)."""
    at = locate(access, chosen.asked)
    claims, after = narrowed(access, chosen, at.position, SPANS), {}
    if chosen.cursor is not None:
        starts, _, first = chosen.cursor.partition(".")
        after = {"starts": int(starts), "first": int(first)}
    query = claims.query(access, _in_time, bool(after), limit=chosen.limit + 1, **after)
    rows, is_cut = access.rows_within(*query, PAGE)
    shown = rows[: chosen.limit]
    keys = [f"{starts}.{first}" for _, starts, first in shown]
    return Page([bytes(row[0]) for row in shown], keys, is_cut or len(rows) > chosen.limit, at)


def _in_time(walk: Walk, is_resumed: bool) -> Query:
    order = span.c.starts, span.c.first_position
    shown = sa.select(revision.c.document.label("said"), *order).select_from(walk.tables)
    if is_resumed:
        shown = shown.where(sa.tuple_(*order) > sa.tuple_(given("starts"), given("first")))
    return shown.order_by(*order).limit(given("limit"))


Documents = dict[str, bytes]
Facets = dict[str, list[dict[str, str | int]]]


def facets(access: Reads, chosen: Selection, at: Standpoint, fields: Sequence[str]) -> Facets:
    """Count, for each field, the values that the selected records hold there; the most frequent, MOST_VALUES at most."""
    return {name: _facet(_counts(access, chosen, at, name, MOST_VALUES)) for name in fields}


def facets_of(access: Reads, kind: str, ids: Sequence[str], at: Standpoint, fields: Sequence[str]) -> Facets:
    """Count the values that some records hold, however many records those are: a statement looks at a part of them."""
    counted: dict[str, Counter[str]] = {name: Counter() for name in fields}
    for start in range(0, len(ids), _AT_ONCE):
        some = Selection(kind=kind, asked=AsOf(position=at.position), ids=ids[start : start + _AT_ONCE])
        for name, counts in counted.items():
            counts.update(dict(_counts(access, some, at, name, FOREVER)))
    return {name: _facet(sorted(counts.items(), key=_often)[:MOST_VALUES]) for name, counts in counted.items()}


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
    else:
        query = records.query(access, _by_term, counted=fields_of(chosen.kind, name), limit=most)
    return [(row[0], row[1]) for row in access.rows(*query)]


def _by_status(walk: Walk) -> Query:
    return _counted(walk.tables, revision.c.status)


def _by_parent(walk: Walk, name: str) -> Query:
    parent = rows_of(RecordRow, "c")
    return _counted(walk.tables.join(parent, parent.c.first_position == record.c[name]), parent.c.id)


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


class Grounds(msgspec.Struct):
    """What a claim stands on."""

    source: str
    question: str


_GROUNDS = msgspec.json.Decoder(Grounds)


def with_grounds(
    access: Reads, page: Page, kinds: Sequence[str], most: int = PAGE
) -> tuple[Page, dict[str, Documents]]:
    """Give a page of claims with the sources, or questions, that they stand on: of the claims, no more than fit with those."""
    grounds = [msgspec.structs.asdict(_GROUNDS.decode(item)) for item in page.items]
    named = [[(kind, ids[kind]) for kind in kinds] for ids in grounds]
    sizes = _sizes(access, dict.fromkeys(name for names in named for name in names), page.at)
    seen, size, count = dict[tuple[str, str], None](), 0, 0
    for item, names in zip(page.items, named, strict=True):
        size += len(item) + sum(sizes.get(name, 0) for name in names if name not in seen)
        if count and size > most:
            break
        seen |= dict.fromkeys(names)
        count += 1
    return page.first(count), {
        kind: documents(access, kind, [public_id for each, public_id in seen if each == kind], page.at)
        for kind in kinds
    }


_IS_SHOWN = sa.and_(
    revision.c.status != REDACTED, record.c.kind == given("kind"), record.c.id.in_(given("ids", is_list=True))
)
_SIZES = Composed(
    sa.select(record.c.id, sa.func.length(revision.c.document)).select_from(at_position(record)).where(_IS_SHOWN)
)
_DOCUMENTS = Composed(sa.select(record.c.id, revision.c.document).select_from(at_position(record)).where(_IS_SHOWN))


def _sizes(access: Reads, names: Iterable[tuple[str, str]], at: Standpoint) -> dict[tuple[str, str], int]:
    asked: dict[str, list[str]] = {}
    for kind, public_id in names:
        asked.setdefault(kind, []).append(public_id)
    return {
        (kind, row[0]): row[1]
        for kind, ids in asked.items()
        for row in access.rows(*_SIZES(access, position=at.position, kind=kind, ids=ids))
    }


def documents(access: Reads, kind: str, ids: Sequence[str], at: Standpoint) -> Documents:
    """Give the representations of some records as of a position, by id and in the order of ids."""
    if not ids:
        return {}
    wanted = sorted(set(ids))
    found: dict[str, bytes] = dict(access.rows(*_DOCUMENTS(access, position=at.position, kind=kind, ids=wanted)))
    return {public_id: bytes(found[public_id]) for public_id in wanted if public_id in found}


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
