"""Lists of records as the ledger stood at a position: filters, search, order, facets, and the timeline.

A list walks records in their order and seeks each one's revision, so that dead revisions cost nothing. Filters are
terms that hold between positions; the most telling one leads the walk.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from api.domain.dates.asof import NOW, AsOf, Standpoint
from api.domain.dates.edtf import OPEN_END, OPEN_START, Bounds, Extent
from api.domain.records.kinds import CLAIM, KINDS
from api.ledger.reading.views import LAST_REDACTION, PAGE, Page, stand, stand_at
from api.ledger.storage.reads import Reads, Row, Value
from api.ledger.storage.tables import FOREVER

_END_OF_TIME = FOREVER - 1
Clause = tuple[str, list[Value]]
Documents = dict[str, bytes]

# What a claim stands on is never revised: a column of its record. Every other filter is a term.
_PARENTS = CLAIM.stands_on
_ASSERTED = ("status", "asserted")
MOST_VALUES = 100
# Ids in one statement.
_AT_ONCE = 500
REVISION = "(SELECT max(x.position) FROM revision x WHERE x.first_position = r.first_position AND x.position <= ?)"


@dataclass(frozen=True, slots=True)
class Window:
    """A range of dates: from when, until when. A filter on what is stated: what states no date is left out."""

    earliest: int = OPEN_START
    latest: int = OPEN_END


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which records, as of when, in which order. `terms` are (field, value) pairs that must all hold."""

    kind: str
    asked: AsOf = NOW
    terms: Sequence[tuple[str, str]] = ()
    parent_terms: Sequence[tuple[str, str, str]] = ()
    ids: Sequence[str] = ()
    words: Sequence[str] = ()
    is_live: bool | None = None
    agreement: str | None = None
    published: Sequence[Window] = ()
    published_by: Bounds | None = None
    valid: Sequence[Window] = ()
    valid_at: Extent | None = None
    is_certain: bool = False
    order: str = "recorded"
    limit: int = 50
    cursor: str | None = None

    @property
    def is_slow(self) -> bool:
        """Whether the walk may pass over many records for each one that it shows."""
        clocks = self.published or self.valid or self.published_by or self.valid_at
        is_gathered = len(self.terms) > 1 or any(len(_fields(self.kind, name)) > 1 for name, _ in self.terms)
        return bool(self.words or self.parent_terms or clocks or self.is_live is not None or is_gathered)


@dataclass(slots=True)
class _Query:
    """SQL under construction. No text of a client's ever becomes part of it: values are parameters."""

    tables: list[str] = field(default_factory=list)
    table_values: list[Value] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    walked: str = "r.first_position"
    # Whether what is walked comes in another order than is asked for.
    is_sorted: bool = False

    def join(self, sql: str, *values: Value) -> None:
        self.tables.append(sql)
        self.table_values += values

    def where(self, sql: str, *values: Value) -> None:
        self.conditions.append(sql)
        self.values += values

    def sql(self, columns: str, rest: str) -> str:
        return f"SELECT {columns} FROM {' '.join(self.tables)} WHERE {' AND '.join(self.conditions)} {rest}"


def select(access: Reads, chosen: Selection) -> tuple[Page, list[str]]:
    """Give a page of representations, and the ids shown. Raises NotYet past the head."""
    asked = chosen.asked
    at = stand(access, asked) if asked.moment is not None else None
    # What holds at the end of time holds now; the rows tell which position that is, and spare a statement.
    position = at.position if at else _END_OF_TIME if asked.position is None else asked.position
    rows, is_cut = _page(access, chosen, position)
    if at is None and rows:
        head, redaction = rows[0][3:]
        at = stand_at(asked.position, head, redaction)
    elif at is None:
        at = stand(access, asked)
        if asked.position is None:
            # Before the page is known to be empty at the position it names, something may have been recorded.
            rows, is_cut = _page(access, chosen, at.position)
    shown = rows[: chosen.limit]
    is_more = is_cut or len(rows) > chosen.limit
    return Page([bytes(row[0]) for row in shown], [str(row[1]) for row in shown], is_more, at), [
        row[2] for row in shown
    ]


def _page(access: Reads, chosen: Selection, position: int) -> tuple[list[Row], bool]:
    """Read one more than a page shows: (document, what orders it, id), and the head and last redaction with each.

    Fewer, where those would be too many bytes; whether that is so, stands beside them.
    """
    query = _narrowed(access, chosen, position)
    column, direction = ("v.position" if "revised" in chosen.order else query.walked), "ASC"
    comparison = ">"
    if chosen.order.startswith("-"):
        direction, comparison = "DESC", "<"
    if chosen.cursor is not None:
        query.where(f"{column} {comparison} ?", int(chosen.cursor))
    columns = f"v.document AS said, {column}, r.id, (SELECT position FROM head), {LAST_REDACTION}"
    # A sum has no index: PostgreSQL would rather look for each revision of the ledger, in order, among all that is walked.
    ordered = f"{column} + 0" if query.is_sorted else column
    sql = query.sql(columns, f"ORDER BY {ordered} {direction} LIMIT ?")
    return access.rows_within(sql, (*query.table_values, *query.values, chosen.limit + 1), PAGE)


def timeline(access: Reads, chosen: Selection) -> Page:
    """Give live claims in the order of (earliest start, first position)."""
    at = stand(access, chosen.asked)
    query = _narrowed(access, chosen, at.position, leading="span o CROSS JOIN record r")
    query.where(
        "o.field = 'claim' AND o.first_position = r.first_position AND o.since <= ? AND o.until > ?",
        at.position,
        at.position,
    )
    if chosen.cursor is not None:
        starts, _, first = chosen.cursor.partition(".")
        query.where("(o.starts, o.first_position) > (?, ?)", int(starts), int(first))
    sql = query.sql("v.document AS said, o.starts, o.first_position", "ORDER BY o.starts, o.first_position LIMIT ?")
    rows, is_cut = access.rows_within(sql, (*query.table_values, *query.values, chosen.limit + 1), PAGE)
    shown = rows[: chosen.limit]
    keys = [f"{starts}.{first}" for _, starts, first in shown]
    return Page([bytes(row[0]) for row in shown], keys, is_cut or len(rows) > chosen.limit, at)


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
    query = _narrowed(access, chosen, at.position)
    if name == "status":
        value = "v.status"
    elif chosen.kind == "claim" and name in _PARENTS:
        value = "c.id"
        query.join(f"JOIN record c ON c.first_position = r.{name}")
    else:
        value = "c.value"
        fields = _fields(chosen.kind, name)
        query.join(
            f"JOIN term c ON c.first_position = r.first_position AND c.field IN ({_marks(fields)}) AND c.since <= ? AND c.until > ?",
            *fields, at.position, at.position,
        )  # fmt: skip
    count = "count(DISTINCT r.first_position)"
    sql = query.sql(f"{value}, {count}", f"GROUP BY {value} ORDER BY {count} DESC, {value} LIMIT ?")
    rows = access.rows(sql, (*query.table_values, *query.values, most))
    return [(row[0], row[1]) for row in rows]


class Grounds(msgspec.Struct):
    """What a claim stands on."""

    source: str
    question: str


_GROUNDS = msgspec.json.Decoder(Grounds)


def with_grounds(
    access: Reads, page: Page, kinds: Sequence[str], most: int = PAGE
) -> tuple[Page, dict[str, Documents]]:
    """Give a page of claims with the sources, or questions, that they stand on: of the claims, no more than fit with those."""
    named = [[(kind, getattr(grounds, kind)) for kind in kinds] for grounds in map(_GROUNDS.decode, page.items)]
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


def _sizes(access: Reads, names: Iterable[tuple[str, str]], at: Standpoint) -> dict[tuple[str, str], int]:
    asked: dict[str, list[str]] = {}
    for kind, public_id in names:
        asked.setdefault(kind, []).append(public_id)
    return {
        (kind, row[0]): row[1]
        for kind, ids in asked.items()
        for row in access.rows(f"SELECT r.id, length(v.document) {_SHOWN} ({_marks(ids)})", (at.position, kind, *ids))
    }


_SHOWN = (
    f"FROM record r JOIN revision v ON v.position = {REVISION} AND v.status <> 'redacted' WHERE r.kind = ? AND r.id IN"
)


def documents(access: Reads, kind: str, ids: Sequence[str], at: Standpoint) -> Documents:
    """Give the representations of some records as of a position, by id."""
    if not ids:
        return {}
    wanted = sorted(set(ids))
    sql = f"SELECT r.id, v.document {_SHOWN} ({_marks(wanted)})"
    return {row[0]: bytes(row[1]) for row in access.rows(sql, (at.position, kind, *wanted))}


def documents_at(access: Reads, places: Sequence[int], at: Standpoint, most: int) -> list[bytes]:
    """Give the representations of the records that begin at some positions, in order: as many as fit, one at least."""
    if not places:
        return []
    sql = f"SELECT v.document AS said FROM record r JOIN revision v ON v.position = {REVISION} WHERE r.first_position IN ({_marks(places)})"
    rows, _ = access.rows_within(f"{sql} ORDER BY r.first_position", (at.position, *places), most)
    return [bytes(row[0]) for row in rows]


def _narrowed(access: Reads, chosen: Selection, position: int, leading: str | None = None) -> _Query:
    query = _Query()
    parents = [term for term in chosen.terms if chosen.kind == "claim" and term[0] in _PARENTS]
    terms = sorted(
        (term for term in chosen.terms if term not in (*parents, _ASSERTED)),
        key=lambda term: KINDS[chosen.kind].leads(term[0]),
    )
    by_revision = leading is None and "revised" in chosen.order and not parents and not chosen.ids
    query.is_sorted = "revised" in chosen.order and not by_revision
    if leading is not None:
        query.join(leading)
    elif by_revision:
        # Revisions in their order, those in force alone: nothing is sorted.
        query.join("revision v CROSS JOIN record r")
        query.where("v.kind = ? AND v.position <= ? AND v.until > ? AND r.first_position = v.first_position",
                    chosen.kind, position, position)  # fmt: skip
    elif parents:
        query.join("record r")
    elif terms and not chosen.ids:
        _lead_by_term(query, chosen.kind, *terms.pop(0), position)
    else:
        query.join("record r")
    if not by_revision:
        query.join(f"JOIN revision v ON v.position = {REVISION}", position)
        query.where("r.first_position <= ?", position)
    query.where("v.status = 'asserted'" if _ASSERTED in chosen.terms else "v.status <> 'redacted'")
    for name, value in parents:
        query.where(f"r.{name} = (SELECT y.first_position FROM record y WHERE y.kind = '{name}' AND y.id = ?)", value)
    if not parents:
        # A source or a question has claims alone; the kind would only mislead the choice of an index.
        query.where("r.kind = ?", chosen.kind)
    if not (parents or by_revision or chosen.ids) and query.walked == "r.first_position" and chosen.cursor is None:
        # The walk begins where the kind does, and not at the ledger's first record; a cursor is further on already.
        query.where("r.first_position >= (SELECT min(f.first_position) FROM record f WHERE f.kind = ?)", chosen.kind)
    _narrow_by_terms(query, chosen, terms, position)
    _narrow_by_choice(access, query, chosen, position)
    _narrow_by_clocks(query, chosen, position)
    return query


def _lead_by_term(query: _Query, kind: str, name: str, value: str, position: int) -> None:
    """Walk the records that hold a term, in the order of their first positions."""
    fields = _fields(kind, name)
    held = "t.value = ? AND t.since <= ? AND t.until > ?"
    # Named by the leading table's column, the order is the walk's own, and nothing is sorted.
    query.walked = "t.first_position"
    # CROSS JOIN keeps SQLite from choosing another table to lead; to PostgreSQL it is an inner join.
    if len(fields) == 1:
        query.join("term t CROSS JOIN record r")
        query.where(f"t.field = ? AND {held}", *fields, value, position, position)
    else:
        either = f"SELECT DISTINCT t.first_position FROM term t WHERE t.field IN ({_marks(fields)}) AND {held}"
        query.join(f"({either}) t CROSS JOIN record r", *fields, value, position, position)
    query.where("r.first_position = t.first_position")


def _fields(kind: str, name: str) -> tuple[str, ...]:
    """Name the terms' fields that a filter looks into."""
    return KINDS[kind].looked_into(name)


def _marks(values: Sequence[Value]) -> str:
    return ", ".join("?" * len(values))


_HAS_TERM = "EXISTS (SELECT 1 FROM term h WHERE h.field IN ({}) AND h.value = ? AND h.first_position = {} AND h.since <= ? AND h.until > ?)"
_PARENT_STATUS = "(SELECT s.status FROM revision s WHERE s.first_position = r.{} AND s.position <= ? ORDER BY s.position DESC LIMIT 1)"


def _narrow_by_terms(query: _Query, chosen: Selection, terms: Sequence[tuple[str, str]], position: int) -> None:
    for name, value in terms:
        fields = _fields(chosen.kind, name)
        query.where(_HAS_TERM.format(_marks(fields), "r.first_position"), *fields, value, position, position)
    for parent, name, value in chosen.parent_terms:
        query.where(_HAS_TERM.format("?", f"r.{parent}"), f"{parent}.{name}", value, position, position)


def _narrow_by_choice(access: Reads, query: _Query, chosen: Selection, position: int) -> None:
    if chosen.ids:
        query.where(f"r.id IN ({_marks(chosen.ids)})", *chosen.ids)
    if chosen.words:
        matching, value = access.matching_words(chosen.words)
        query.where(
            f"(SELECT max(w.since) FROM search w WHERE w.first_position = r.first_position AND w.since <= ?) IN ({matching})",
            position, value,
        )  # fmt: skip
    if chosen.is_live is not None:
        live = f"(v.status = 'asserted' AND {_PARENT_STATUS.format('source')} = 'asserted' AND {_PARENT_STATUS.format('question')} = 'asserted')"
        query.where(live if chosen.is_live else f"NOT {live}", position, position)
    if chosen.agreement is not None:
        sql = "EXISTS (SELECT 1 FROM agreement g WHERE g.question = r.first_position AND g.state = ? AND g.since <= ? AND g.until > ?)"
        query.where(sql, chosen.agreement, position, position)


def _narrow_by_clocks(query: _Query, chosen: Selection, position: int) -> None:
    source = "r.source" if chosen.kind == "claim" else "r.first_position"
    for window in chosen.published:
        _where_span(query, "source", source, *_overlaps(window), position=position, takes_unknown=False)
    for window in chosen.valid:
        _where_span(query, "claim", "r.first_position", *_overlaps(window), position=position, takes_unknown=False)
    if chosen.published_by is not None:
        condition = _published_by(chosen.published_by, is_certain=chosen.is_certain)
        _where_span(query, "source", source, *condition, position=position, takes_unknown=not chosen.is_certain)
    if chosen.valid_at is not None:
        condition = _valid_at(chosen.valid_at, is_certain=chosen.is_certain)
        _where_span(
            query, "claim", "r.first_position", *condition, position=position, takes_unknown=not chosen.is_certain
        )


def _where_span(
    query: _Query, name: str, owner: str, condition: str, values: list[Value], *, position: int, takes_unknown: bool
) -> None:
    """Require the span of a record to fit; one that states nothing is unknown: possible, and never certain."""
    held = (
        f"SELECT 1 FROM span p WHERE p.field = '{name}' AND p.first_position = {owner} AND p.since <= ? AND p.until > ?"
    )
    fits = f"EXISTS ({held} AND {condition})"
    positions: list[Value] = [position, position]
    if takes_unknown:
        query.where(f"({fits} OR NOT EXISTS ({held}))", *positions, *values, *positions)
    else:
        query.where(fits, *positions, *values)


def _overlaps(window: Window) -> Clause:
    sql = "(p.start_earliest IS NULL OR p.start_earliest < ?) AND (p.end_latest IS NULL OR p.end_latest > ?)"
    return sql, [window.latest, window.earliest]


def _published_by(deadline: Bounds, *, is_certain: bool) -> Clause:
    if is_certain:
        return "p.end_latest <= ?", [OPEN_START if deadline.earliest is None else deadline.earliest]
    return "(p.start_earliest IS NULL OR p.start_earliest < ?)", [
        OPEN_END if deadline.latest is None else deadline.latest
    ]


def _valid_at(at: Extent, *, is_certain: bool) -> Clause:
    earliest = OPEN_START if at.start.earliest is None else at.start.earliest
    latest = OPEN_END if at.end.latest is None else at.end.latest
    if not is_certain:
        return _overlaps(Window(earliest, latest))
    if at.start.earliest is None or at.end.latest is None:
        # Nothing is certain of a time that is not known.
        return "FALSE", []
    sql = (
        "((NOT p.is_moment AND p.start_latest <= ? AND p.end_earliest >= ?)"
        " OR (p.is_moment AND p.start_earliest >= ? AND p.end_latest <= ?))"
    )
    return sql, [earliest, latest, earliest, latest]
