"""Whether claims on one question meet, conflict or say nothing to each other, for all pairs of them at once.

A set of claims is an int whose bit i stands for the i-th claim, so that a rule settles one claim against a thousand
in one operation. What follows from it (state, origins, groups) is in `agreement`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate, combinations_with_replacement
from operator import itemgetter, or_
from typing import Final, Generic, TypeVar

import msgspec

from api.domain import answer as answers
from api.domain import edtf
from api.domain.edtf import Extent

_PAIRED: Final = frozenset({"contradicts", "corroborates", "repeats"})
_REPLACING: Final = frozenset({"corrects", "supersedes"})

# Up to here taking members out one by one is faster than reading the set digit by digit.
_FEW: Final = 24

_BELOW_ALL: Final = Decimal("-Infinity")
_ABOVE_ALL: Final = Decimal("Infinity")

_A = TypeVar("_A", bound=answers.Answer)
_K = TypeVar("_K", bound=Hashable)
_N = TypeVar("_N", int, Decimal)

# Claims that answer alike, those they meet, those they conflict with.
_Verdict = tuple[int, int, int]
# Claims that answer alike and the least and greatest value they allow, both included.
_Reach = tuple[_N, _N, int]


class Link(msgspec.Struct, frozen=True):
    """What a claim says of another claim, and the position of the event that made it say so."""

    relation: str
    claim: str
    position: int


class Claim(msgspec.Struct, frozen=True):
    """A live claim in one revision, as much of it as agreement looks at. Its links are those it makes."""

    id: str
    first_position: int
    source: str
    question: str
    answer: answers.Answer
    valid: Extent | None
    speaker: str | None
    via: tuple[str, ...]
    stance: str
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """What other records say: each entity's `part_of`, each source's `derives_from`; both closed upward."""

    part_of: Mapping[str, str | None]
    derives_from: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Meetings:
    """For each claim the set of those it meets and the set of those it conflicts with. Symmetric; nobody meets itself.

    `repeats` are the pairs that a standing link joins into one origin.
    """

    meets: list[int]
    conflicts: list[int]
    repeats: list[tuple[int, int]]


def bits(members: int) -> list[int]:
    """Give the members of a set in ascending order."""
    if members.bit_count() > _FEW:
        return [i for i, bit in enumerate(bin(members)[:1:-1]) if bit == "1"]
    found = []
    while members:
        lowest = members & -members
        found.append(lowest.bit_length() - 1)
        members ^= lowest
    return found


def union(sets: Iterable[int]) -> int:
    """Give the members of any of the sets."""
    united = 0
    for members in sets:
        united |= members
    return united


def meetings(claims: Sequence[Claim], *, varies: bool, context: Context) -> Meetings:
    """Judge every pair: by what the two answer, then by when that holds, and above all by the links between them."""
    found = Meetings([0] * len(claims), [0] * len(claims), [])
    for answer_type in {type(claim.answer) for claim in claims}:
        for who, meets, conflicts in _RULES[answer_type](claims, context):
            for i in bits(who):
                found.meets[i] = meets & ~(1 << i)
                found.conflicts[i] = conflicts
    if varies:
        _let_time_tell(claims, found)
    _let_links_tell(claims, found)
    return found


def whole_chain(entity: str, context: Context) -> list[str]:
    """Give the entity and what it is part of, the nearest first."""
    chain = [entity]
    while (whole := context.part_of.get(chain[-1])) is not None and whole not in chain:
        chain.append(whole)
    return chain


def first_sources(source: str, context: Context) -> list[str]:
    """Give the ancestors of a source that derive from nothing; itself where it derives from nothing."""
    seen, ahead, first = {source}, [source], []
    while ahead:
        one = ahead.pop()
        parents = context.derives_from.get(one, ())
        ahead += [parent for parent in dict.fromkeys(parents) if parent not in seen]
        seen.update(parents)
        if not parents:
            first.append(one)
    return first or [source]  # a cycle, which only a damaged ledger holds, has no first


def within(named: Mapping[str, int], context: Context) -> dict[str, int]:
    """Give, for each entity named and each whole it belongs to, the claims that name it or a part of it."""
    held: dict[str, int] = {}
    for entity, who in named.items():
        for whole in whole_chain(entity, context):
            held[whole] = held.get(whole, 0) | who
    return held


def is_swept(claims: Sequence[Claim], *, varies: bool) -> bool:
    """Say whether nothing but the ranges of times, or of quantities that do not vary, decides who meets."""
    types = {type(claim.answer) for claim in claims}
    plain = types == {answers.TimeAnswer} or (types == {answers.QuantityAnswer} and not varies)
    return plain and not any(link.relation in _PAIRED for claim in claims for link in claim.links)


def sweep(claims: Sequence[Claim], members: int) -> list[int]:
    """Give the maximal sets of members that meet pairwise, where `is_swept`."""
    if isinstance(claims[0].answer, answers.TimeAnswer):
        return _swept(*_times(claims), members)
    return _swept(*_quantities(claims), members)


def _swept(stated: Sequence[_Reach[_N]], denied: Sequence[_Reach[_N]], members: int) -> list[int]:
    """Walk up the ranges: at the first end after a start, those under way are a group that grows no more."""
    reaches = [(low, high, who & members) for low, high, who in stated if who & members]
    lows, highs = _ladders(reaches)
    groups, started = [], 0
    for high in sorted(high for _, high, _ in reaches):
        before, started = started, lows.up_to(high)
        if started != before:
            groups.append(started & ~highs.below(high))
    return groups + [who & members for _, _, who in denied if who & members]


# By what they answer. Claims of one answer are judged together. On each side, of those that deny and those that do
# not, a dict gives for each answer the claims that give it.


def _sides(
    claims: Sequence[Claim], answer_type: type[_A], meaning: Callable[[_A], _K]
) -> tuple[dict[_K, int], dict[_K, int]]:
    stated: dict[_K, int] = {}
    denied: dict[_K, int] = {}
    for i, claim in enumerate(claims):
        if isinstance(claim.answer, answer_type):
            side = denied if claim.stance == "denies" else stated
            meant = meaning(claim.answer)
            side[meant] = side.get(meant, 0) | 1 << i
    return stated, denied


def _times(claims: Sequence[Claim]) -> tuple[list[_Reach[int]], list[_Reach[int]]]:
    stated, denied = _sides(claims, answers.TimeAnswer, lambda answer: _span(answer.edtf))
    return [(*span[:2], who) for span, who in stated.items()], [(*span[:2], who) for span, who in denied.items()]


@lru_cache(maxsize=16_384)
def _span(date: str) -> tuple[int, int, Hashable]:
    """Give the first and last microsecond the time may hold, and what else tells it from another time.

    An unknown end reaches as far as an open one.
    """
    extent = edtf.parse(date)
    earliest, latest = extent.start.earliest, extent.end.latest
    first = edtf.OPEN_START if earliest is None else earliest
    last = (edtf.OPEN_END if latest is None else latest) - 1
    return first, last, (extent.shape, extent.start.latest, extent.end.earliest)


def _quantities(claims: Sequence[Claim]) -> tuple[list[_Reach[Decimal]], list[_Reach[Decimal]]]:
    stated, denied = _sides(claims, answers.QuantityAnswer, _scale)
    return [(*scale, who) for scale, who in stated.items()], [(*scale, who) for scale, who in denied.items()]


@lru_cache(maxsize=16_384)
def _scale(answer: answers.QuantityAnswer) -> tuple[Decimal, Decimal]:
    allowed = answers.range_of(answer)
    return _BELOW_ALL if allowed.low is None else allowed.low, _ABOVE_ALL if allowed.high is None else allowed.high


class _Ladder(Generic[_N]):
    """Claims by one end of their reach: which of them have it at a value or below is one look-up."""

    def __init__(self, ends: Iterable[tuple[_N, int]]) -> None:
        ordered = sorted(ends, key=itemgetter(0))
        self._rungs: list[_N] = [end for end, _ in ordered]
        self._sets = list(accumulate((who for _, who in ordered), or_, initial=0))

    def up_to(self, value: _N) -> int:
        return self._sets[bisect_right(self._rungs, value)]

    def below(self, value: _N) -> int:
        return self._sets[bisect_left(self._rungs, value)]


def _ladders(reaches: Sequence[_Reach[_N]]) -> tuple[_Ladder[_N], _Ladder[_N]]:
    return _Ladder((low, who) for low, _, who in reaches), _Ladder((high, who) for _, high, who in reaches)


def _judge_ranges(stated: Sequence[_Reach[_N]], denied: Sequence[_Reach[_N]]) -> Iterator[_Verdict]:
    everyone = union(who for _, _, who in stated)
    if not denied and max(low for low, _, _ in stated) <= min(high for _, high, _ in stated):
        yield everyone, everyone, 0
        return
    lows, highs = _ladders(stated)
    denied_lows, denied_highs = _ladders(denied)
    for low, high, who in stated:
        meets = lows.up_to(high) & ~highs.below(low)
        enclosed_by = denied_lows.up_to(low) & ~denied_highs.below(high)
        yield who, meets, (everyone & ~meets) | enclosed_by
    for low, high, who in denied:
        yield who, who, highs.up_to(high) & ~lows.below(low)


def _judge_entities(claims: Sequence[Claim], context: Context) -> Iterator[_Verdict]:
    stated, denied = _sides(claims, answers.EntityAnswer, lambda answer: answer.entity)
    everyone = union(stated.values())
    parts = within(stated, context)
    for entity, who in stated.items():
        chain = whole_chain(entity, context)
        meets = parts[entity] | union(stated.get(whole, 0) for whole in chain)
        yield who, meets, (everyone & ~meets) | union(denied.get(whole, 0) for whole in chain)
    for entity, who in denied.items():
        yield who, who, parts.get(entity, 0)


def _judge_lists(claims: Sequence[Claim], context: Context) -> Iterator[_Verdict]:
    stated, denied = _sides(
        claims, answers.EntitiesAnswer, lambda answer: (frozenset(answer.entities), answer.complete)
    )
    named = _named(stated)
    chains = {name: whole_chain(name, context) for name in named}
    parts = within(named, context)
    akin = {name: parts[name] | union(named.get(whole, 0) for whole in chains[name]) for name in named}
    complete = union(who for (_, is_complete), who in stated.items() if is_complete)
    refuted = {given: _wholly_within(given, chains, named, complete) for given in denied}
    for (members, is_complete), who in stated.items():
        conflicts = union(complete & ~akin[name] for name in members)
        if is_complete:
            conflicts |= _strangers(members, chains, named, context)
        meets = union(akin[name] for name in members) & ~conflicts
        denials = union(denied[given] for given, those in refuted.items() if those & who)
        yield who, meets, conflicts | denials
    for given, who in denied.items():
        yield who, who, refuted[given]


def _named(lists: Mapping[tuple[frozenset[str], bool], int]) -> dict[str, int]:
    named: dict[str, int] = {}
    for (members, _), who in lists.items():
        for name in members:
            named[name] = named.get(name, 0) | who
    return named


def _strangers(
    members: frozenset[str], chains: Mapping[str, list[str]], named: Mapping[str, int], context: Context
) -> int:
    """Give the claims that name somebody who is no member, nor part of one, nor the whole of one."""
    family = {whole for name in members for whole in whole_chain(name, context)}
    return union(who for name, who in named.items() if name not in family and members.isdisjoint(chains[name]))


def _wholly_within(
    given: tuple[frozenset[str], bool], chains: Mapping[str, list[str]], named: Mapping[str, int], complete: int
) -> int:
    """Give the lists whose every member is in the given one or part of one in it.

    "These, among others" reaches beyond any complete list.
    """
    members, is_complete = given
    beyond = union(who for name, who in named.items() if members.isdisjoint(chains[name]))
    return complete & ~beyond if is_complete else union(named.values()) & ~beyond


def _judge_booleans(claims: Sequence[Claim], _context: Context) -> Iterator[_Verdict]:
    stated, denied = _sides(claims, answers.BooleanAnswer, lambda answer: answer.value)
    true, false = (stated.get(value, 0) | denied.get(not value, 0) for value in (True, False))
    yield true, true, false
    yield false, false, true


def _judge_texts(claims: Sequence[Claim], _context: Context) -> Iterator[_Verdict]:
    stated, denied = _sides(claims, answers.TextAnswer, lambda answer: answer.text)
    for text, who in stated.items():
        yield who, 0, denied.get(text, 0)
    for text, who in denied.items():
        yield who, who, stated.get(text, 0)


_RULES: Final[Mapping[type[answers.Answer], Callable[[Sequence[Claim], Context], Iterator[_Verdict]]]] = {
    answers.TimeAnswer: lambda claims, _: _judge_ranges(*_times(claims)),
    answers.QuantityAnswer: lambda claims, _: _judge_ranges(*_quantities(claims)),
    answers.EntityAnswer: _judge_entities,
    answers.EntitiesAnswer: _judge_lists,
    answers.BooleanAnswer: _judge_booleans,
    answers.TextAnswer: _judge_texts,
}


# By when it holds, and by links


def _let_time_tell(claims: Sequence[Claim], found: Meetings) -> None:
    """Leave a meeting only where two `valid` can be the same moment, and a conflict only where they must be."""
    when: dict[Extent | None, int] = {}
    for i, claim in enumerate(claims):
        when[claim.valid] = when.get(claim.valid, 0) | 1 << i
    extents, members = list(when), list(when.values())
    can, must = [0] * len(extents), [0] * len(extents)
    for a, b in combinations_with_replacement(range(len(extents)), 2):
        if edtf.can_coincide(extents[a], extents[b]):
            can[a], can[b] = can[a] | members[b], can[b] | members[a]
        if edtf.must_coincide(extents[a], extents[b]):
            must[a], must[b] = must[a] | members[b], must[b] | members[a]
    for who, may_meet, may_conflict in zip(members, can, must, strict=True):
        for i in bits(who):
            if not isinstance(claims[i].answer, answers.TimeAnswer):  # a time question never varies
                found.meets[i] &= may_meet
                found.conflicts[i] &= may_conflict


def _let_links_tell(claims: Sequence[Claim], found: Meetings) -> None:
    """Of the links between two claims the last decides; the others stand as far as they agree with it."""
    for (a, b), links in _links_by_pair(claims).items():
        told, untold = found.meets, found.conflicts
        if links[-1].relation == "contradicts":
            told, untold = untold, told
        elif any(link.relation == "repeats" for link in links):
            found.repeats.append((a, b))
        for one, other in ((a, b), (b, a)):
            told[one] |= 1 << other
            untold[one] &= ~(1 << other)


def _links_by_pair(claims: Sequence[Claim]) -> dict[tuple[int, int], list[Link]]:
    made = [(i, link) for i, claim in enumerate(claims) for link in claim.links if link.relation in _PAIRED]
    made.sort(key=lambda one: (one[1].position, one[1].relation))
    place = {claim.id: i for i, claim in enumerate(claims)} if made else {}
    by_pair: dict[tuple[int, int], list[Link]] = {}
    for i, link in made:
        target = place.get(link.claim, i)
        if target != i:
            by_pair.setdefault((min(i, target), max(i, target)), []).append(link)
    return by_pair


def replaced(claims: Sequence[Claim], foreign_links: Sequence[tuple[str, Link]]) -> dict[int, tuple[str, ...]]:
    """Give the claims that another corrects or supersedes. Two that do so to each other disagree: the last prevails."""
    own = [(claim.id, link) for claim in claims for link in claim.links]
    made = [(maker, link) for maker, link in (*own, *foreign_links) if link.relation in _REPLACING]
    made.sort(key=lambda one: (one[1].position, one[0]))
    prevails = {frozenset((maker, link.claim)): maker for maker, link in made}
    place = {claim.id: i for i, claim in enumerate(claims)} if made else {}
    by: dict[int, dict[str, None]] = {}
    for maker, link in made:
        if link.claim in place and prevails[frozenset((maker, link.claim))] == maker:
            by.setdefault(place[link.claim], {})[maker] = None
    return {i: tuple(makers) for i, makers in by.items()}
