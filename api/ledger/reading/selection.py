"""Which records a list shows: what may be chosen, and the conditions that this becomes.

A list walks records in their order and seeks each one's revision, so that dead revisions cost nothing. Filters are
terms that hold between positions; the most telling one leads the walk. One with several values is led by the records
that hold any of them, which are gathered and sorted first.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from api.domain.dates.asof import NOW, AsOf
from api.domain.dates.edtf import OPEN_END, OPEN_START, Bounds, Extent
from api.domain.records.kinds import CLAIM, KINDS
from api.domain.records.record import ASSERTED, REDACTED, RETRACTED
from api.domain.words import Sought
from api.ledger.projecting.findable import LAST_START
from api.ledger.reading.composed import (
    POSITION,
    Condition,
    Gathered,
    Led,
    Narrowing,
    Place,
    Walk,
    at_position,
    exists,
    given,
    held,
    record,
    revision,
    rows_of,
    span,
    term,
)
from api.ledger.storage.reads import Reads, Value
from api.ledger.storage.tables import AgreementRow, RecordRow, RevisionRow, Search, Span, Term

# What a claim stands on is never revised: a column of its record. Every other filter is a term.
PARENTS = CLAIM.stands_on


@dataclass(frozen=True, slots=True)
class Window:
    """A range of dates: from when, until when. A filter on what is stated: what states no date is left out."""

    earliest: int = OPEN_START
    latest: int = OPEN_END


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which records, as of when, in which order.

    `terms` are (field, value) pairs, `parent_terms` the same of the source or question that a claim stands on: of those
    that name one field any must hold, and so must each field. `agreement` are states, of which any will do.
    `is_undated` leaves those of an order by dates of which nobody knows since when their source is published.
    """

    kind: str
    asked: AsOf = NOW
    terms: Sequence[tuple[str, str]] = ()
    parent_terms: Sequence[tuple[str, str, str]] = ()
    ids: Sequence[str] = ()
    words: Sequence[Sought] = ()
    is_live: bool | None = None
    agreement: Sequence[str] = ()
    is_undated: bool = False
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
        """Whether the walk may pass over many records for each one that it shows, or gathers them first."""
        clocks = self.published or self.valid or self.published_by or self.valid_at
        is_gathered = len(self.terms) > 1 or any(len(fields_of(self.kind, name)) > 1 for name, _ in self.terms)
        is_gathered |= len(self.agreement) > 1 or (self.kind == CLAIM.name and self.is_by_date) or self.is_by_claims
        return bool(self.words or self.parent_terms or clocks or self.is_live is not None or is_gathered)

    @property
    def is_downward(self) -> bool:
        """Whether what comes last in the order is shown first."""
        return self.order.startswith("-")

    @property
    def is_by_date(self) -> bool:
        """Whether the order is that of when sources were published."""
        return "published" in self.order

    @property
    def is_by_agreement(self) -> bool:
        """Whether the order is that of the states of agreement."""
        return "agreement" in self.order

    @property
    def is_by_claims(self) -> bool:
        """Whether the order is that of how many live claims questions have."""
        return "claims" in self.order


Fits = Callable[[Place], Condition]
_KIND = given("kind")
# Terms and spans that a condition looks for, under other names than those that lead a walk.
_TERM, _SPAN = rows_of(Term, "h"), rows_of(Span, "p")
_IS_RECORDED = record.c.first_position <= POSITION
_RECORDS = Walk(at_position(record), record.c.first_position, _IS_RECORDED)
# Revisions in their order, those in force alone: nothing is sorted.
_REVISIONS = Walk(
    Led(revision, record),
    revision.c.position,
    sa.and_(
        revision.c.kind == _KIND,
        revision.c.position <= POSITION,
        revision.c.until > POSITION,
        record.c.first_position == revision.c.first_position,
    ),
)
# Records that hold a term, in the order of their first positions. Named by the leading table's column, the order is the
# walk's own, and nothing is sorted.
_HOLDERS = Walk(
    at_position(Led(term, record)),
    term.c.first_position,
    sa.and_(
        term.c.field == given("field"),
        term.c.value == given("value"),
        held(term),
        record.c.first_position == term.c.first_position,
        _IS_RECORDED,
    ),
)
_either = (
    sa.select(term.c.first_position)
    .distinct()
    .where(term.c.field.in_(given("fields", is_list=True)), term.c.value.in_(given("values", is_list=True)), held(term))
    .subquery("t")
)
_HOLDERS_OF_EITHER = Walk(
    at_position(Led(_either, record)),
    _either.c.first_position,
    sa.and_(record.c.first_position == _either.c.first_position, _IS_RECORDED),
)
# Claims in the order of when their answers hold.
SPANS = Walk(
    at_position(Led(span, record)),
    span.c.starts,
    sa.and_(span.c.field == "claim", span.c.first_position == record.c.first_position, held(span), _IS_RECORDED),
)


def _dated(source: sa.ColumnElement[int | None], *more: sa.ColumnElement[int]) -> tuple[Walk, Walk]:
    """Walk records by when their source was published: in that order, and where the records lead to their sources.

    Every source has a span at every position, and one that states no date the last.
    """
    keys = span.c.starts, span.c.first_position, *more
    is_dated = sa.and_(span.c.field == "source", span.c.first_position == source, held(span), _IS_RECORDED)
    in_order = Walk(at_position(Led(span, record)), span.c.starts, is_dated, keys)
    return in_order, Walk(at_position(Led(record, span)), record.c.first_position, is_dated, keys)


_SOURCES_BY_DATE, _SOURCES_SOUGHT_BY_DATE = _dated(record.c.first_position)
# A term that few claims hold leads to them, and they are sorted.
_CLAIMS_HELD_BY_DATE = Walk(
    at_position(Led(Led(term, record), span)),
    record.c.first_position,
    sa.and_(
        term.c.field == given("field"),
        term.c.value == given("value"),
        held(term),
        record.c.first_position == term.c.first_position,
        span.c.field == "source",
        span.c.first_position == record.c.source,
        held(span),
        _IS_RECORDED,
    ),
    (span.c.starts, span.c.first_position, record.c.first_position),
)
_CLAIMS_BY_DATE, _CLAIMS_SOUGHT_BY_DATE = _dated(record.c.source, record.c.first_position)
_BY_DATE = {
    ("source", False): _SOURCES_BY_DATE,
    ("source", True): _SOURCES_SOUGHT_BY_DATE,
    ("claim", False): _CLAIMS_BY_DATE,
    ("claim", True): _CLAIMS_SOUGHT_BY_DATE,
}
# Said of both columns of the index, it is a place in it.
_IS_UNDATED = sa.tuple_(span.c.starts, span.c.first_position) > sa.tuple_(sa.literal(LAST_START), sa.literal(-1))


_of_kind, _made, _states_of = rows_of(RecordRow, "f"), rows_of(Search, "w"), rows_of(AgreementRow, "g")
_IS_OF_KIND = record.c.kind == _KIND
_first_of_kind = sa.select(sa.func.min(_of_kind.c.first_position)).where(_of_kind.c.kind == _KIND)
_IS_NOT_BEFORE_ITS_KIND = record.c.first_position >= _first_of_kind.scalar_subquery()
_IS_ONE_OF = record.c.id.in_(given("ids", is_list=True))
_IS_THERE, _IS_ASSERTED = revision.c.status != REDACTED, revision.c.status == ASSERTED
_IS_IN_STATE = exists(
    _states_of.c.question == record.c.first_position,
    _states_of.c.state.in_(given("states", is_list=True)),
    held(_states_of),
)
# Questions in one state of agreement, in the order of their first positions.
_IN_STATE = Walk(
    at_position(Led(_states_of, record)),
    _states_of.c.question,
    sa.and_(
        _states_of.c.state == given("state"),
        held(_states_of),
        record.c.first_position == _states_of.c.question,
        _IS_RECORDED,
    ),
)


def _status_of(parent: str) -> sa.ColumnElement[str]:
    those = rows_of(RevisionRow, "s")
    earlier = those.c.first_position == record.c[parent], those.c.position <= POSITION
    return sa.select(those.c.status).where(*earlier).order_by(those.c.position.desc()).limit(1).scalar_subquery()


_IS_LIVE = sa.and_(_IS_ASSERTED, _status_of("source") == ASSERTED, _status_of("question") == ASSERTED)
_IS_NOT_LIVE = sa.not_(_IS_LIVE)


def _live_claims() -> sa.ColumnElement[int]:
    """Count the live claims on a question: an index tells all of them, and terms the few that are live no more."""
    claims, lapsed = rows_of(RecordRow, "c"), rows_of(Term, "l")
    taken, withdrawn = rows_of(RecordRow, "k"), rows_of(Term, "u")
    of_themselves = sa.select(lapsed.c.first_position).where(lapsed.c.field == "claim.status", held(lapsed))
    is_taken = taken.c.source == withdrawn.c.first_position
    with_sources = sa.select(taken.c.first_position).select_from(Led(withdrawn, taken))
    with_sources = with_sources.where(withdrawn.c.field == "source.status", held(withdrawn), is_taken)
    found = sa.select(sa.func.count(claims.c.first_position)).where(
        claims.c.question == record.c.first_position,
        claims.c.first_position <= POSITION,
        claims.c.first_position.not_in(sa.union_all(of_themselves, with_sources)),
    )
    return sa.case((_IS_ASSERTED, found.correlate(record).scalar_subquery()), else_=0)


LIVE_CLAIMS = _live_claims()


def narrowed(access: Reads, chosen: Selection, position: int, walk: Walk | None = None) -> Narrowing:
    """Say which records are chosen, as of a position: on a walk that is given, or on the one that passes the fewest."""
    wanted = _grouped(chosen.terms)
    statuses = wanted.pop("status", [])
    parents = {name: wanted.pop(name) for name in PARENTS if chosen.kind == CLAIM.name and name in wanted}
    if statuses == [RETRACTED]:
        wanted["status"] = statuses
    terms = sorted(wanted.items(), key=lambda each: KINDS[chosen.kind].leads(each[0]))
    is_sought = bool(parents or chosen.ids)
    led = _Led(walk, {}, terms, chosen.agreement) if walk is not None else _lead(chosen, terms, is_sought=is_sought)
    found = Narrowing(led.walk, position=position, kind=chosen.kind, **led.values)
    found.where(_IS_ASSERTED if statuses == [ASSERTED] else _IS_THERE)
    for name, ids in parents.items():
        if len(ids) == 1:
            found.where_own(stands_on, name, id=ids[0])
        else:
            found.where_own(_stands_on_either, name, ids=ids)
    if not parents and found.walk is not _CLAIMS_BY_DATE:
        # A source or a question has claims alone; the kind would only mislead the choice of an index.
        found.where(_IS_OF_KIND)
    if found.walk in (_RECORDS, SPANS) and not is_sought and chosen.cursor is None:
        # The walk begins where the kind does, and not at the ledger's first record; a cursor is further on already.
        found.where(_IS_NOT_BEFORE_ITS_KIND)
    _narrow_by_terms(found, chosen, led.terms)
    _narrow_by_state(found, chosen, led.states)
    _narrow_by_choice(access, found, chosen, is_led=is_sought)
    _narrow_by_clocks(found, chosen)
    return found


class _Led(NamedTuple):
    """A walk with the values that it takes, and the terms and states of agreement that are still to be asked for."""

    walk: Walk
    values: dict[str, Value | Sequence[Value]]
    terms: Sequence[tuple[str, Sequence[str]]]
    states: Sequence[str]


def _lead(chosen: Selection, terms: Sequence[tuple[str, Sequence[str]]], *, is_sought: bool) -> _Led:
    """Choose what leads to the records: the order, where it has an index of its own, or the term that tells most."""
    states = chosen.agreement
    if chosen.is_by_date:
        return _lead_by_date(chosen, terms, is_sought=is_sought)
    if is_sought:
        return _Led(_RECORDS, {}, terms, states)
    if "revised" in chosen.order:
        return _Led(_REVISIONS, {}, terms, states)
    if terms:
        (name, values), *others = terms
        return _Led(*_to_holders(fields_of(chosen.kind, name), values), others, states)
    if len(states) == 1:
        return _Led(_IN_STATE, {"state": states[0]}, terms, ())
    return _Led(_RECORDS, {}, terms, states)


def _lead_by_date(chosen: Selection, terms: Sequence[tuple[str, Sequence[str]]], *, is_sought: bool) -> _Led:
    """Go by the dates of sources, but to what one speaker says by that: few do, of all that there are."""
    if terms and terms[0][0] == "speaker" and len(terms[0][1]) == 1 and not is_sought:
        values: dict[str, Value | Sequence[Value]] = {"field": "claim.speaker", "value": terms[0][1][0]}
        return _Led(_CLAIMS_HELD_BY_DATE, values, terms[1:], chosen.agreement)
    return _Led(_BY_DATE[chosen.kind, is_sought], {}, terms, chosen.agreement)


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Gather the values that are given for each name, each once."""
    found: dict[str, dict[str, None]] = {}
    for name, value in pairs:
        found.setdefault(name, {})[value] = None
    return {name: list(values) for name, values in found.items()}


def fields_of(kind: str, name: str) -> tuple[str, ...]:
    """Name the terms' fields that a filter looks into."""
    return KINDS[kind].looked_into(name)


def _to_holders(fields: Sequence[str], values: Sequence[str]) -> tuple[Walk, dict[str, Value | Sequence[Value]]]:
    """Let a term lead to the records that hold it."""
    if len(fields) == len(values) == 1:
        return _HOLDERS, {"field": fields[0], "value": values[0]}
    return _HOLDERS_OF_EITHER, {"fields": fields, "values": values}


def stands_on(own: Place, name: str) -> Condition:
    """Say that a claim stands on a source, or answers a question, of an id."""
    parent = rows_of(RecordRow, "y")
    found = sa.select(parent.c.first_position).where(parent.c.kind == name, parent.c.id == own("id"))
    return record.c[name] == found.scalar_subquery()


def _stands_on_either(own: Place, name: str) -> Condition:
    """Say the same of several ids: their claims are gathered, and sorted."""
    parent = rows_of(RecordRow, "y")
    ids = own("ids", is_list=True)
    return record.c[name].in_(sa.select(parent.c.first_position).where(parent.c.kind == name, parent.c.id.in_(ids)))


def _narrow_by_terms(found: Narrowing, chosen: Selection, terms: Sequence[tuple[str, Sequence[str]]]) -> None:
    for name, values in terms:
        found.where_own(_holds, "first_position", fields=fields_of(chosen.kind, name), values=values)
    for parent in PARENTS:
        own = _grouped((name, value) for each, name, value in chosen.parent_terms if each == parent)
        for name, values in own.items():
            found.where_own(_holds, parent, fields=[f"{parent}.{name}"], values=values)


def _holds(own: Place, owner: str) -> Condition:
    """Say that the record, or one that it stands on, holds a term."""
    return exists(
        _TERM.c.field.in_(own("fields", is_list=True)),
        _TERM.c.value.in_(own("values", is_list=True)),
        _TERM.c.first_position == record.c[owner],
        held(_TERM),
    )


def _narrow_by_state(found: Narrowing, chosen: Selection, states: Sequence[str]) -> None:
    if states:
        found.where(_IS_IN_STATE, states=states)
    if chosen.is_undated:
        found.where(_IS_UNDATED)


# Where so few records were ever made of the words that are sought, these lead to what is chosen.
_FEW = 2_500
_NUMBER = "SELECT count(*) FROM (SELECT 1 FROM ({}) f LIMIT ?) n"


def _narrow_by_choice(access: Reads, found: Narrowing, chosen: Selection, *, is_led: bool) -> None:
    if chosen.ids:
        found.where(_IS_ONE_OF, ids=chosen.ids)
    if chosen.words:
        matching, words = access.matching_words(chosen.words)
        if not is_led and access.row(_NUMBER.format(matching), (words, _FEW + 1)) != (_FEW + 1,):
            found.where_own(_was_made_of, matching, words=words)
        found.where_own(_is_made_of, matching, words=words)
    if chosen.is_live is not None:
        found.where(_IS_LIVE if chosen.is_live else _IS_NOT_LIVE)


def _was_made_of(own: Place, matching: str) -> Condition:
    """Say that the record was made of the words at some time: where few ever were, these lead to it."""
    ever, made, first = _ever(own, matching).subquery("f"), rows_of(RevisionRow, "w"), rows_of(RecordRow, "b")
    # Most are so since their first event, which their own row tells: rows of revisions are long.
    begun = sa.select(first.c.first_position).where(first.c.first_position == ever.c.since).scalar_subquery()
    revised = sa.select(made.c.first_position).where(made.c.position == ever.c.since).scalar_subquery()
    return Gathered(record.c.first_position, sa.select(sa.func.coalesce(begun, revised)).select_from(ever))


def _is_made_of(own: Place, matching: str) -> Condition:
    """Say that the record is made of the words that `matching` looks up: since which position tells which words."""
    earlier = _made.c.first_position == record.c.first_position, _made.c.since <= POSITION
    newest = sa.select(sa.func.max(_made.c.since)).where(*earlier).scalar_subquery()
    return newest.in_(_ever(own, matching))


def _ever(own: Place, matching: str) -> sa.TextualSelect:
    """Select since when records were made of the words, whether they still are or not."""
    words = own("words")
    return sa.text(matching.replace("?", f":{words.key}")).bindparams(words).columns(_made.c.since)


def _narrow_by_clocks(found: Narrowing, chosen: Selection) -> None:
    source = "source" if chosen.kind == "claim" else "first_position"
    for window in chosen.published:
        found.where_own(_states, "source", source, _is_stated_in, earliest=window.earliest, latest=window.latest)
    for window in chosen.valid:
        found.where_own(_states, "claim", "first_position", _overlaps, earliest=window.earliest, latest=window.latest)
    states = _states if chosen.is_certain else _may_state
    if chosen.published_by is not None:
        fits, values = _published_by(chosen.published_by, is_certain=chosen.is_certain)
        found.where_own(states, "source", source, fits, **values)
    if chosen.valid_at is not None:
        fits, values = _valid_at(chosen.valid_at, is_certain=chosen.is_certain)
        found.where_own(states, "claim", "first_position", fits, **values)


def _states(own: Place, clock: str, owner: str, fits: Fits) -> Condition:
    """Say that the record, or the source that it stands on, states a span that fits."""
    return exists(*_stated(clock, owner), fits(own))


def _may_state(own: Place, clock: str, owner: str, fits: Fits) -> Condition:
    """Say the same, or that no span is stated: what is not known is possible, and never certain."""
    return sa.or_(_states(own, clock, owner, fits), sa.not_(exists(*_stated(clock, owner))))


def _stated(clock: str, owner: str) -> tuple[Condition, ...]:
    return _SPAN.c.field == clock, _SPAN.c.first_position == record.c[owner], held(_SPAN)


def _overlaps(own: Place) -> Condition:
    return sa.and_(_starts_before(own), sa.or_(_SPAN.c.end_latest.is_(None), _SPAN.c.end_latest > own("earliest")))


def _is_stated_in(own: Place) -> Condition:
    """Say that it overlaps, of a moment: the span of a source that states no date is none."""
    return sa.and_(_SPAN.c.is_moment, _overlaps(own))


def _starts_before(own: Place) -> Condition:
    return sa.or_(_SPAN.c.start_earliest.is_(None), _SPAN.c.start_earliest < own("latest"))


def _ends_by(own: Place) -> Condition:
    return _SPAN.c.end_latest <= own("latest")


def _encloses(own: Place) -> Condition:
    """Say that a span encloses a time at its narrowest, or that all of a moment lies within it."""
    is_span = sa.and_(_SPAN.c.start_latest <= own("earliest"), _SPAN.c.end_earliest >= own("latest"))
    is_within = sa.and_(_SPAN.c.start_earliest >= own("earliest"), _SPAN.c.end_latest <= own("latest"))
    return sa.or_(sa.and_(sa.not_(_SPAN.c.is_moment), is_span), sa.and_(_SPAN.c.is_moment, is_within))


def _never(_: Place) -> Condition:
    return sa.false()


def _published_by(deadline: Bounds, *, is_certain: bool) -> tuple[Fits, dict[str, int]]:
    if is_certain:
        return _ends_by, {"latest": OPEN_START if deadline.earliest is None else deadline.earliest}
    return _starts_before, {"latest": OPEN_END if deadline.latest is None else deadline.latest}


def _valid_at(at: Extent, *, is_certain: bool) -> tuple[Fits, dict[str, int]]:
    earliest = OPEN_START if at.start.earliest is None else at.start.earliest
    latest = OPEN_END if at.end.latest is None else at.end.latest
    if not is_certain:
        return _overlaps, {"earliest": earliest, "latest": latest}
    if at.start.earliest is None or at.end.latest is None:
        # Nothing is certain of a time that is not known.
        return _never, {}
    return _encloses, {"earliest": earliest, "latest": latest}
