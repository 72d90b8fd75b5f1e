"""Search: the records of all kinds that hold any of some words, as the ledger stood at a position.

First come those that hold most of the words, among these those with most live claims, then in the order of their ids. A
question is found, beside its own words, by those of its live claims and by what the entities that it is about are called.
A word that too many hold tells nothing apart: it is passed over, or if there is no other, the first that held it are looked at.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from api.domain.dates.asof import AsOf
from api.domain.errors import NotApplicable
from api.domain.records.kinds import KIND_NAMES
from api.domain.words import Word, as_called
from api.ledger.reading.composed import POSITION, Composed, at_position, given, held, record, revision, rows_of, term
from api.ledger.reading.standpoint import PAGE, Page, locate
from api.ledger.storage.reads import Reads, Row
from api.ledger.storage.tables import RecordRow, Term

MOST_WORDS: Final = 50
# A word that more records hold than this tells nothing apart, where another does.
COMMON: Final = 2_000
# Records that are looked at for one word, and for all of them, the rarest first.
MOST: Final = 10_000
MOST_IN_ALL: Final = 40_000
# Values in one statement.
_AT_ONCE = 1_000
# What of a record says, in a line, what it is.
_LABELS: Final[Mapping[str, str]] = {"entity": "name", "source": "title", "question": "text", "claim": "statement"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for: words, in records of some kinds, or of all where none is named."""

    words: Sequence[Word]
    asked: AsOf
    kinds: Sequence[str] = ()
    limit: int = 50
    cursor: str | None = None


class _Place(NamedTuple):
    """Where a record stands in the order, and the position of its first event. The counts are negative: most come first."""

    words: int
    claims: int
    id: str
    kind: str
    first: int = 0

    @property
    def key(self) -> str:
        return f"{-self.words}.{-self.claims}.{self.id}.{self.kind}"


def search(access: Reads, wanted: Search) -> Page:
    """Give a page of what is found. Raises NotYet past the head, and NotApplicable for too many words."""
    if len(wanted.words) > MOST_WORDS:
        raise NotApplicable(f"q holds more than {MOST_WORDS} words", parameter="q")
    at = locate(access, wanted.asked)
    chosen: list[_Place] = []
    for place in _in_order(access, wanted, at.position):
        chosen.append(place)
        if len(chosen) > wanted.limit:
            break
    items, keys, size = list[bytes](), list[str](), 0
    for place, item in _shown(access, chosen[: wanted.limit], at.position):
        size += len(item)
        if items and size > PAGE:
            break
        items.append(item)
        keys.append(place.key)
    return Page(items, keys, len(chosen) > len(items), at)


def _in_order(access: Reads, wanted: Search, position: int) -> Iterator[_Place]:
    """Give the places of what is found, in order, from the cursor on: those that hold as many words are counted together."""
    begun = _place_of(wanted.cursor) if wanted.cursor else None
    found = _Found(access, position)
    found.look_for(wanted.words)
    tiers: dict[int, list[int]] = {}
    for first, number in found.counts.items():
        tiers.setdefault(-number, []).append(first)
    for number in sorted(tiers):
        if begun is None or number >= begun.words:
            places = found.places(number, tiers[number], wanted.kinds or KIND_NAMES)
            yield from (place for place in sorted(places) if begun is None or place > begun)


def _place_of(cursor: str) -> _Place:
    words, claims, public_id, kind = cursor.split(".")
    # It comes after whatever record has these counts and this id.
    return _Place(-int(words), -int(claims), public_id, kind, 1 << 62)


_dead, _named, _own = rows_of(Term, "d"), rows_of(Term, "n"), rows_of(RecordRow, "c")


def _lost_by(kind: str, column: str) -> sa.Select[tuple[int]]:
    """Select the claims that are not live because they, or what they stand on, are not asserted."""
    is_so = _dead.c.field == f"{kind}.status", held(_dead), _own.c[column] == _dead.c.first_position
    return sa.select(_own.c.first_position).where(*is_so)


_NOT_LIVE = sa.union(
    _lost_by("claim", "first_position"), _lost_by("source", "source"), _lost_by("question", "question")
)
_LOST = Composed(_NOT_LIVE)
_IS_LIVE = record.c.first_position.not_in(_NOT_LIVE)


def _standing_on(parent: str) -> Composed:
    """Count the live claims that stand on each of some records."""
    those = record.c[parent].in_(given("values", is_list=True)), record.c.first_position <= POSITION, _IS_LIVE
    return Composed(sa.select(record.c[parent], sa.func.count()).where(*those).group_by(record.c[parent]))


_COUNTS: Final[Mapping[str, Composed]] = {parent: _standing_on(parent) for parent in ("question", "source")}
_NAMING = Composed(
    sa.select(term.c.value, sa.func.count(term.c.first_position.distinct()))
    .where(
        term.c.field.in_(["claim.speaker", "claim.answer"]),
        term.c.value.in_(given("values", is_list=True)),
        held(term),
        term.c.first_position.not_in(_NOT_LIVE),
    )
    .group_by(term.c.value)
)
_NAMES = Composed(
    sa.select(record.c.first_position, record.c.kind, record.c.id).where(
        record.c.first_position.in_(given("values", is_list=True))
    )
)
_ABOUT = Composed(
    sa.select(_named.c.first_position)
    .distinct()
    .where(_named.c.field == "question.about", _named.c.value.in_(given("values", is_list=True)), held(_named))
)
_DOCUMENTS = Composed(
    sa.select(record.c.first_position, revision.c.document)
    .select_from(at_position(record))
    .where(record.c.first_position.in_(given("values", is_list=True)))
)
# How many hold a word, up to one more than are looked at.
_NUMBER = "SELECT count(*) FROM (SELECT 1 FROM ({matching}) f WHERE f.since <= ? LIMIT ?) n"
# Those that are made of a word now, of the first that ever were. Most are so since their first event, which their own row
# tells: rows of revisions are long, and few of them fit on a page.
_HOLDING = (
    "WITH f AS MATERIALIZED ({matching}), g AS MATERIALIZED (SELECT since FROM f WHERE since <= ? ORDER BY since LIMIT ?),"
    " h AS (SELECT since, COALESCE((SELECT o.first_position FROM record o WHERE o.first_position = g.since),"
    " (SELECT v.first_position FROM revision v WHERE v.position = g.since)) AS first FROM g)"
    " SELECT r.first_position, r.kind, r.id, r.question FROM h CROSS JOIN record r WHERE r.first_position = h.first"
    " AND NOT EXISTS (SELECT 1 FROM search s WHERE s.first_position = h.first AND s.since > h.since AND s.since <= ?)"
)


class _Found:
    """What was found so far: by the position of its first event, how many of the words a record holds."""

    def __init__(self, access: Reads, position: int) -> None:
        self._access, self._position = access, position
        self.counts: Counter[int] = Counter()
        self._names: dict[int, tuple[str, str]] = {}
        self._lost = frozenset(row[0] for row in access.rows(*_LOST(access, position=position)))

    def look_for(self, words: Sequence[Word]) -> None:
        """Count whatever holds a word, each record once for each; what too many hold only where nothing else is held."""
        left = MOST_IN_ALL
        for number, word in sorted([(self._number(word), word) for word in words], key=itemgetter(0)):
            left -= number
            if number <= COMMON and left >= 0:
                self._count(word)
        for word in () if self.counts else words[: MOST_IN_ALL // MOST]:
            self._count(word)

    def _number(self, word: Word) -> int:
        matching, asked = self._access.matching_words(word)
        row = self._access.row(_NUMBER.format(matching=matching), (asked, self._position, COMMON + 1))
        return row[0] if row else 0

    def _count(self, word: Word) -> None:
        found: set[int] = set()
        for first, kind, public_id, question in self._holding(word):
            self._names[first] = kind, public_id
            found.add(first)
            if kind == "claim" and first not in self._lost:
                found.add(question)
        called = [public_id for _, _, public_id, _ in self._holding(as_called(word))]
        found.update(row[0] for row in self._rows(_ABOUT, called))
        self.counts.update(found)

    def _holding(self, word: Word) -> Sequence[tuple[int, str, str, int]]:
        matching, asked = self._access.matching_words(word)
        return self._access.rows(_HOLDING.format(matching=matching), (asked, self._position, MOST, self._position))

    def places(self, words: int, firsts: Sequence[int], kinds: Sequence[str]) -> Iterator[_Place]:
        """Give the places of records that hold as many words."""
        unknown = [first for first in firsts if first not in self._names]
        self._names.update((first, (kind, public_id)) for first, kind, public_id in self._rows(_NAMES, unknown))
        by_kind: dict[str, list[int]] = {kind: [] for kind in kinds}
        for first in firsts:
            by_kind.get(self._names[first][0], []).append(first)
        for kind, those in by_kind.items():
            claims = self._claims(kind, those)
            for first in those:
                yield _Place(words, -claims[first], self._names[first][1], kind, first)

    def _claims(self, kind: str, firsts: Sequence[int]) -> Mapping[int, int]:
        """Count the claims of records of a kind: live ones; of a claim one, whatever it is."""
        if kind == "claim":
            return dict.fromkeys(firsts, 1)
        if kind == "entity":
            ids = {self._names[first][1]: first for first in firsts}
            return Counter({ids[public_id]: count for public_id, count in self._rows(_NAMING, list(ids))})
        return Counter(dict(self._rows(_COUNTS[kind], firsts)))

    def _rows(self, query: Composed, values: Sequence[int] | Sequence[str]) -> Iterator[Row]:
        for start in range(0, len(values), _AT_ONCE):
            some = values[start : start + _AT_ONCE]
            yield from self._access.rows(*query(self._access, position=self._position, values=some))


def _shown(access: Reads, places: Sequence[_Place], position: int) -> Iterator[tuple[_Place, bytes]]:
    """Give what is shown of each record, in order."""
    for start in range(0, len(places), 50):
        some = places[start : start + 50]
        query = _DOCUMENTS(access, position=position, values=[place.first for place in some])
        documents = {first: msgspec.json.decode(document) for first, document in access.rows(*query)}
        for place in some:
            yield place, _item(place, documents[place.first])


def _item(place: _Place, said: dict[str, object]) -> bytes:
    return msgspec.json.encode(
        {
            "kind": place.kind,
            "id": place.id,
            "label": said[_LABELS[place.kind]],
            "status": said["status"],
            "words": -place.words,
            "claims": -place.claims,
            "question": said.get("question"),
        }
    )
