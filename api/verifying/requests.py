"""What a served ledger is asked, to be held to what the log itself answers: every record, list and question it leads to.

All is asked as of one position where the address takes one, and as most readers ask, without, too. Nothing here judges.
"""

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Generic, TypeVar, get_args
from urllib.parse import quote, urlencode

from api.domain.agreement.agreement import StateOfAgreement
from api.domain.dates.edtf import instant
from api.domain.log.event import LOGGED_KINDS, TYPES
from api.domain.records.kinds import CLAIM, KIND_NAMES, KINDS, SOURCE, Kind
from api.ledger.reading.inspection import KnownRecord, Scratch

Each = TypeVar("Each")
Named = Mapping[str, object]
NONE: Named = MappingProxyType({})

# How many past positions are drawn, and how many records and questions at each of them.
ROUNDS, _RECORDS, _QUESTIONS = 20, 5, 3
# How often the clocks of sources and of the world are tried, and in so many times once on all questions together.
_CLOCKS, _SELDOM = 40, 20
_PAGE, _SMALL_PAGE = 500, 50
# Groups of claims whose members are all asked for.
_GROUPS = 2
# A server must not foresee what is drawn.
_CHANCE = random.SystemRandom()
_ORDERS = ("-recorded", "revised", "-revised")
_OWN_ORDERS: Mapping[str, tuple[str, ...]] = {
    "source": ("published", "-published"),
    "claim": ("published", "-published"),
    "question": ("agreement", "-agreement", "claims", "-claims"),
}
_STATES: tuple[str, ...] = get_args(StateOfAgreement)


def _lists_narrowed() -> Mapping[str, list[tuple[Kind, str]]]:
    """Give, for each field that a record is found by, the lists that its values narrow, and by which parameter."""
    found: dict[str, list[tuple[Kind, str]]] = {}
    for kind in KINDS.values():
        for each in kind.filters:
            for field in kind.looked_into(each.name):
                found.setdefault(field, []).append((kind, each.name))
    return found


_NARROWED = _lists_narrowed()


class Shape(Enum):
    """How an answer may lawfully differ from the log's, because the server has gone on."""

    PINNED = auto()
    """Not at all: it is of one position, for ever."""
    CURRENT = auto()
    """It is of a later position altogether, and says so."""
    MOMENTS = auto()
    """It lists later revisions as well."""
    EVENTS = auto()
    """It lists later events as well, and names another position."""


@dataclass(frozen=True, slots=True)
class Request:
    """An address to ask, with the pages after it if it `is_whole`; of the feed up to the event `until`.

    `position` is that of the event it tells of, if of one.
    """

    path: str
    shape: Shape = Shape.PINNED
    position: int | None = None
    until: int | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """Requests of one sort, and how much there is to ask about: `requests` gives None where one of it is done."""

    name: str
    count: int
    requests: Iterator[Request | None]


def sections(scratch: Scratch, size: int, sample: int | None) -> Iterator[Section]:
    """Give all that is asked. With a `sample`, so many records, filters, words and past positions at most."""
    asking = _Asking(scratch, size, sample)
    yield asking.section("lists compared", KINDS.values(), asking.lists)
    yield asking.section("pages of the feed compared", range(0, size, _PAGE), asking.page)
    yield asking.drawn("events compared", lambda: range(1, size + 1), asking.event)
    yield asking.section("proofs of consistency compared", range(asking.at_most(ROUNDS)), asking.consistency)
    yield asking.section("ways to follow compared", _ways_to_follow(), asking.followed)
    yield asking.drawn("records compared", scratch.records, asking.record)
    yield asking.drawn("filters compared", lambda: _filters(scratch), asking.filtered)
    yield asking.drawn("words compared", scratch.words, asking.found)
    yield asking.section("other clocks compared", range(asking.at_most(_CLOCKS)), asking.other_clocks)
    yield asking.section("past positions compared", range(asking.at_most(ROUNDS)), asking.past)


@dataclass(frozen=True, slots=True)
class Choice(Generic[Each]):
    """Some of the things that can be given again and again, drawn at random: their number, and themselves, in order."""

    count: int
    items: Iterator[Each]


def draw(source: Callable[[], Iterable[Each]], most: int | None) -> Choice[Each]:
    """Draw `most` at random, or all where there are no more: in the same memory however many there are."""
    count = sum(1 for _ in source())
    if most is None or count <= most:
        return Choice(count, iter(source()))
    chosen = frozenset(_CHANCE.sample(range(count), most))
    return Choice(most, (each for number, each in enumerate(source()) if number in chosen))


class _Asking:
    """Makes requests about a log whose copy is derived, as of its end."""

    def __init__(self, scratch: Scratch, size: int, sample: int | None) -> None:
        self._scratch, self._size, self._sample = scratch, size, sample
        # Enough for every draw below.
        self._words = [token[1:] for token, _ in draw(scratch.words, 4 * ROUNDS).items] or ["parler"]
        self._moments = [instant(moment) for moment in draw(scratch.moments, 4 * ROUNDS).items] or [
            "2021-01-11T00:00:00Z"
        ]

    def at_most(self, count: int) -> int:
        return min(count, self._size if self._sample is None else self._sample)

    def section(self, name: str, things: Collection[Each], ask: Callable[[Each], Iterator[Request]]) -> Section:
        return Section(name, len(things), _each_asked(things, ask))

    def drawn(
        self, name: str, source: Callable[[], Iterable[Each]], ask: Callable[[Each], Iterator[Request]]
    ) -> Section:
        choice = draw(source, self._sample)
        return Section(name, choice.count, _each_asked(choice.items, ask))

    def lists(self, kind: Kind) -> Iterator[Request]:
        """Ask for a kind's list in full, in every order, narrowed by what no term tells, and counted."""
        path = kind.path
        yield self._pinned(path, limit=_PAGE)
        yield Request(path, Shape.CURRENT)
        for order in (*_ORDERS, *_OWN_ORDERS.get(kind.name, ())):
            yield self._pinned(path, order=order, limit=_PAGE, fields="status")
        yield self._at(self._size, path, facets=",".join(kind.facets), limit=1)
        yield self._pinned(path, status="asserted", limit=_PAGE, fields="status")
        yield from self._lists_of_its_own(kind.name, path)

    def _lists_of_its_own(self, kind: str, path: str) -> Iterator[Request]:
        if kind == "claim":
            for live in ("true", "false"):
                yield self._pinned(path, live=live, limit=_PAGE, fields="status")
            yield self._at(self._size, path, include="source,entities", limit=_SMALL_PAGE)
        elif kind == "question":
            for state in _STATES:
                yield self._pinned(path, agreement=state, limit=_PAGE)
                yield Request(_path(path, agreement=state), Shape.CURRENT)
            yield self._at(self._size, path, include="agreement,entities", limit=_SMALL_PAGE)
        elif kind == "entity":
            # What is not of one kind is asked with the first.
            for other in ("/v1/redactions", "/v1/timeline"):
                yield self._pinned(other, limit=_PAGE)
                yield Request(other, Shape.CURRENT)
            yield Request(_path("/v1/diff", {"from": 0}, to=self._size, limit=_PAGE))
            yield self._pinned("/v1/stats")
            yield Request("/v1/stats", Shape.CURRENT)

    def page(self, after: int) -> Iterator[Request]:
        """Ask for a page of the feed, up to the end of the log that is looked at."""
        yield feed_page(after, min(after + _PAGE, self._size))

    def event(self, position: int) -> Iterator[Request]:
        """Ask for one event to the byte, and for the proof that it is in the log."""
        path = f"/v1/events/{position}"
        yield Request(path, position=position)
        yield Request(_path(f"{path}/proof", size=self._size), position=position)

    def consistency(self, _: int) -> Iterator[Request]:
        """Ask for the proof that the log continues one of its beginnings."""
        yield Request(_path("/v1/proofs/consistency", {"from": _CHANCE.randint(1, self._size)}, to=self._size))

    def followed(self, way: tuple[str, str]) -> Iterator[Request]:
        """Ask for the feed of some events alone, from its beginning and from a position drawn at random."""
        for after in (0, _CHANCE.randrange(self._size)):
            yield Request(_path("/v1/events", dict([way]), after=after, limit=_SMALL_PAGE), Shape.EVENTS)

    def record(self, known: KnownRecord) -> Iterator[Request]:
        """Ask for all that is said of one record: now, each revision and what it changed, its history, its links."""
        if known.kind not in KINDS:
            yield Request(f"/v1/redactions/{quote(known.id)}", position=known.position)
            return
        path, at = f"{KINDS[known.kind].path}/{quote(known.id)}", known.position
        yield Request(path, Shape.CURRENT, at)
        yield self._pinned(path, at)
        yield self._pinned(f"{path}/revisions", at, limit=_PAGE)
        yield Request(f"{path}/timemap", Shape.MOMENTS, at)
        for number in range(1, known.revision + 1):
            yield Request(f"{path}/revisions/{number}", position=at)
            if number > 1:
                yield Request(_path(f"{path}/diff", {"from": number - 1}, to=number), position=at)
        if known.kind == "claim":
            yield self._pinned(f"{path}/links", at)
        if known.kind == "question":
            yield from self._agreement(path, at)
        if known.kind in ("entity", "source"):
            yield self._pinned(f"{path}/statements", at, limit=_PAGE)

    def _agreement(self, path: str, at: int) -> Iterator[Request]:
        """Ask what the claims on a question add up to: every claim, those of the first groups, and some pairs that conflict."""
        yield Request(f"{path}/answers", Shape.CURRENT, at)
        yield self._pinned(f"{path}/answers", at, limit=_PAGE, include="source")
        for group in range(_GROUPS):
            yield self._pinned(f"{path}/answers", at, limit=_PAGE, group=group)
        # There may be as many pairs as the square of the claims.
        for start in ("0.0", f"{_CHANCE.randint(1, self._size)}.0"):
            yield self._at(self._size, f"{path}/conflicts", limit=_PAGE, cursor=start)

    def filtered(self, term: tuple[str, str]) -> Iterator[Request]:
        """Ask for the lists that a value narrows."""
        field, value = term
        for kind, parameter in _NARROWED.get(field, ()):
            yield self._pinned(kind.path, None, {parameter: value}, limit=_PAGE, fields="status")

    def found(self, known: tuple[str, frozenset[str]]) -> Iterator[Request]:
        """Ask for the records that are found by a word, which is looked for as the stem that it left."""
        token, kinds = known
        word = token[1:]
        yield self._at(self._size, "/v1/search", q=word, limit=_PAGE)
        for kind in sorted(kinds & KINDS.keys()):
            yield self._pinned(KINDS[kind].path, q=word, limit=_PAGE, fields="status")

    def other_clocks(self, _: int) -> Iterator[Request]:
        """Ask what one question's claims add up to at other clocks, and now and then for all questions and claims."""
        yield from self._answers(self._size)
        kind = _CHANCE.choice((SOURCE, CLAIM))
        clock = _CHANCE.choice(("published_from", "published_until", "published_by"))
        yield self._pinned(kind.path, None, {clock: self._moment()}, limit=_PAGE, fields="status")
        clock = _CHANCE.choice(("valid_from", "valid_until", "valid_at"))
        yield self._pinned("/v1/claims", None, {clock: self._moment()}, limit=_PAGE, fields="status", mode=_mode())
        yield self._at(self._size, "/v1/timeline", {clock: self._moment()}, limit=_SMALL_PAGE)
        if _CHANCE.randrange(_SELDOM) == 0:
            for state in _STATES:
                clocks = {"published_by": self._moment(), "agreement": state}
                yield self._pinned("/v1/questions", None, clocks, limit=_PAGE, fields="status", mode=_mode())

    def past(self, _: int) -> Iterator[Request]:
        """Ask at a position drawn at random: a page of each list, and of some records what was known of them."""
        position = _CHANCE.randint(1, self._size)
        for kind in KINDS.values():
            cursor = {"cursor": _CHANCE.randrange(position)}
            yield self._at(position, kind.path, cursor, limit=_SMALL_PAGE)
            yield self._at(position, kind.path, q=_CHANCE.choice(self._words), limit=_SMALL_PAGE, fields="status")
            yield self._at(position, "/v1/search", q=_CHANCE.choice(self._words), kind=kind.name, limit=_SMALL_PAGE)
            yield self._at(position, kind.path, facets=",".join(kind.facets), limit=1)
        for state in _STATES:
            yield self._at(position, "/v1/questions", agreement=state, limit=_SMALL_PAGE)
        for path in ("/v1/redactions", "/v1/timeline"):
            yield self._at(position, path, limit=_SMALL_PAGE)
        yield self._at(position, "/v1/stats")
        yield Request(
            _path("/v1/diff", {"from": _CHANCE.randint(0, position)}, to=position, limit=_SMALL_PAGE), is_whole=False
        )
        for _ in range(_RECORDS):
            yield from self._past_record(position)
        for _ in range(_QUESTIONS):
            yield from self._answers(position)

    def _past_record(self, position: int) -> Iterator[Request]:
        known = self._scratch.record_before(_CHANCE.randint(1, position), KIND_NAMES)
        if known is None:
            return
        path = f"{KINDS[known.kind].path}/{quote(known.id)}"
        yield self._at(position, path)
        yield self._at(position, f"{path}/revisions", limit=_SMALL_PAGE)
        if known.kind == "claim":
            yield self._at(position, f"{path}/links")

    def _answers(self, position: int) -> Iterator[Request]:
        known = self._scratch.record_before(_CHANCE.randint(1, position), ("question",))
        if known is not None:
            path = f"/v1/questions/{quote(known.id)}/answers"
            yield self._at(position, path)
            yield self._at(position, path, published_by=self._moment(), mode=_mode())
            yield self._at(position, path, valid_at=self._moment(), mode=_mode())

    def _moment(self) -> str:
        return _CHANCE.choice(self._moments)

    def _pinned(self, path: str, position: int | None = None, named: Named = NONE, **more: object) -> Request:
        return Request(_path(path, named, **more, as_of=self._size), Shape.PINNED, position)

    def _at(self, position: int, path: str, named: Named = NONE, **more: object) -> Request:
        return Request(_path(path, named, **more, as_of=position), is_whole=False)


def feed_page(after: int, until: int) -> Request:
    """Ask for the events after one position up to another: it may take several pages."""
    return Request(_path("/v1/events", after=after, limit=until - after), Shape.EVENTS, until=until)


def _each_asked(things: Iterable[Each], ask: Callable[[Each], Iterator[Request]]) -> Iterator[Request | None]:
    for each in things:
        yield from ask(each)
        yield None


def _filters(scratch: Scratch) -> Iterator[tuple[str, str]]:
    """Give every (kind.field, value) that narrows a list; what a claim stands on is never revised, and no term."""
    for term in scratch.terms():
        if term[0] in _NARROWED:
            yield term
    for known in scratch.records():
        if known.kind in CLAIM.stands_on:
            yield f"claim.{known.kind}", known.id


def _ways_to_follow() -> list[tuple[str, str]]:
    return [*(("kind", kind) for kind in LOGGED_KINDS), *(("type", each) for each in TYPES), ("state", "false")]


def _path(path: str, named: Named = NONE, **more: object) -> str:
    return f"{path}?{urlencode({**named, **more})}"


def _mode() -> str:
    return _CHANCE.choice(("possible", "certain"))
