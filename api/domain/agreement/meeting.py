"""Whether claims on one question meet, conflict or say nothing to each other: one claim against thousands at once.

A set of claims is an int whose bit i stands for the i-th claim, so that a rule settles one claim against a thousand in
a few operations. What follows from it (state, origins, groups) is in `agreement`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Final, Generic, NamedTuple, TypeVar, cast

import msgspec

from api.domain.dates import edtf
from api.domain.dates.edtf import Extent
from api.domain.records import answer as answers

PAIRED: Final = frozenset({"contradicts", "corroborates", "repeats"})
REPLACING: Final = frozenset({"corrects", "supersedes"})

# Up to here taking members out one by one is faster than reading the set digit by digit.
_FEW: Final = 24
# Up to here putting members in one by one is faster than writing the set byte by byte.
_SOME: Final = 6
# Of the sets along a ladder as many are kept, and the others made when they are asked for.
_MOST_SETS: Final = 2_048
# Of a walk down families blocks are kept of so many claims at least, and so many blocks at most.
_BLOCK: Final = 32
_MOST_BLOCKS: Final = 1_024

_BELOW_ALL: Final = Decimal("-Infinity")
_ABOVE_ALL: Final = Decimal("Infinity")

_K = TypeVar("_K", bound=Hashable)
_N = TypeVar("_N", int, Decimal)


# Claims are many, and part of no cycle: the collector need not look for one (`gc=False`).
class Link(msgspec.Struct, frozen=True, gc=False):
    """What a claim says of another claim, and the position of the event that made it say so."""

    relation: str
    claim: str
    position: int


class Claim(msgspec.Struct, frozen=True, gc=False):
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


# Sets


def bits(members: int) -> list[int]:
    """Give the members of a set in ascending order."""
    if members.bit_count() > _FEW:
        return [i for i, bit in enumerate(bin(members)[:1:-1]) if bit == "1"]
    found = []
    while members:
        # From the highest down, so that what is left grows shorter.
        highest = members.bit_length() - 1
        found.append(highest)
        members ^= 1 << highest
    return found[::-1]


def union(sets: Iterable[int]) -> int:
    """Give the members of any of the sets."""
    united = 0
    for members in sets:
        united |= members
    return united


def set_of(members: Sequence[int]) -> int:
    """Give the set of these members; one may be named twice."""
    if len(members) == 1:
        return 1 << members[0]
    if len(members) <= _SOME:
        return union([1 << i for i in members])
    written = bytearray((max(members) >> 3) + 1)
    for i in members:
        written[i >> 3] |= 1 << (i & 7)
    return int.from_bytes(written, "little")


class _Ladder(Generic[_N]):
    """Claims by one end of their reach: which of them have it at a value or below is one look-up."""

    def __init__(self, ends: Iterable[tuple[_N, int]]) -> None:
        ordered = sorted(ends)
        self._rungs: list[_N] = [end for end, _ in ordered]
        self._order = [i for _, i in ordered]
        self._step = 1 + len(ordered) // _MOST_SETS
        self._sets = [0]
        for start in range(0, len(ordered), self._step):
            self._sets.append(self._sets[-1] | set_of(self._order[start : start + self._step]))

    def up_to(self, value: _N) -> int:
        return self._first(bisect_right(self._rungs, value))

    def below(self, value: _N) -> int:
        return self._first(bisect_left(self._rungs, value))

    def _first(self, count: int) -> int:
        """Give the first so many: from the nearest set that is kept, a few put in or taken out."""
        nearest = (count + self._step // 2) // self._step
        found, kept = self._sets[nearest], min(nearest * self._step, len(self._order))
        for i in self._order[min(count, kept) : max(count, kept)]:
            found ^= 1 << i
        return found


class _Alike(Generic[_K]):
    """Claims by what they have in common."""

    def __init__(self, pairs: Iterable[tuple[_K, int]] = ()) -> None:
        self._held: dict[_K, list[int]] = {}
        for key, i in pairs:
            self._held.setdefault(key, []).append(i)
        self._sets: dict[_K, int] = {}

    def of(self, key: _K) -> int:
        held = self._held.get(key, ())
        if len(held) <= _SOME:
            return set_of(held)
        if key not in self._sets:
            self._sets[key] = set_of(held)
        return self._sets[key]


class Family:
    """Claims by the entities they name, in the order of a walk down from each whole to its parts.

    So who names an entity or a part of it stand in one stretch. What an entity is part of is followed upward.
    """

    def __init__(self, naming: Iterable[tuple[str, int]], part_of: Mapping[str, str | None]) -> None:
        self._part_of = part_of
        held: dict[str, list[int]] = {}
        for entity, i in naming:
            held.setdefault(entity, []).append(i)
        self.order: list[int] = []
        # For each entity where in the order those begin that name it, its parts, and others again.
        self._stretches: dict[str, tuple[int, int, int]] = {}
        self._walk(held)
        self._sets: dict[tuple[int, int], int] = {}
        self._upward: dict[str, int] = {}

    def _walk(self, held: Mapping[str, Sequence[int]]) -> None:
        parts, tops = self._parts(held)
        for top in tops:
            ahead: list[tuple[str, tuple[int, int] | None]] = [(top, None)]
            while ahead:
                entity, begun = ahead.pop()
                if begun is not None:
                    self._stretches[entity] = (*begun, len(self.order))
                elif entity not in self._stretches:
                    start = len(self.order)
                    self.order += held.get(entity, ())
                    self._stretches[entity] = (start, len(self.order), 0)
                    ahead.append((entity, (start, len(self.order))))
                    ahead += [(part, None) for part in parts.get(entity, ())]

    def _parts(self, held: Iterable[str]) -> tuple[dict[str, list[str]], list[str]]:
        """Turn `part_of` round, and give the entities to walk from: the wholes.

        After those come any, for a cycle, which only a damaged ledger holds, has no whole.
        """
        parts: dict[str, list[str]] = {}
        seen: dict[str, None] = {}
        tops = []
        for named in held:
            entity: str | None = named
            while entity is not None and entity not in seen:
                seen[entity] = None
                whole = self._part_of.get(entity)
                if whole is None:
                    tops.append(entity)
                else:
                    parts.setdefault(whole, []).append(entity)
                entity = whole
        return parts, [*tops, *seen]

    def stretch(self, entity: str) -> tuple[int, int]:
        """Say where in the order those stand that name an entity or a part of it."""
        start, _, end = self._stretches.get(entity, (0, 0, 0))
        return start, end

    def wholes(self, entity: str) -> Iterator[tuple[int, int]]:
        """Say where in the order those stand that name what the entity is part of."""
        for whole in whole_chain(entity, self._part_of)[1:]:
            start, end, _ = self._stretches.get(whole, (0, 0, 0))
            yield start, end

    def within(self, entity: str) -> int:
        """Give those that name the entity or a part of it."""
        return self._set(*self.stretch(entity))

    def upward(self, entity: str) -> int:
        """Give those that name the entity or what it is part of."""
        chain = []
        while entity not in self._upward:
            chain.append(entity)
            self._upward[entity] = 0  # met again only in a cycle
            whole = self._part_of.get(entity)
            if whole is None:
                break
            entity = whole
        found = self._upward[entity]
        for each in reversed(chain):
            start, end, _ = self._stretches.get(each, (0, 0, 0))
            self._upward[each] = found = found | self._set(start, end)
        return found

    def akin(self, entity: str) -> int:
        """Give those that name the entity, a part of it, or what it is part of."""
        whole = self._part_of.get(entity)
        return self.within(entity) | (self.upward(whole) if whole is not None else 0)

    def between(self, start: int, end: int) -> int:
        """Give those in any stretch: from its ends to where whole blocks begin, and these by twos, fours, eights."""
        width = self._width
        first, last = -(-start // width), end // width
        if first >= last:
            return set_of(self.order[start:end])
        found = set_of(self.order[start : first * width]) | set_of(self.order[last * width : end])
        for level in self._blocks:
            if first >= last:
                break
            if first & 1:
                found |= level[first]
            if last & 1:
                found |= level[last - 1]
            first, last = (first + 1) >> 1, last >> 1
        return found

    @property
    def _width(self) -> int:
        return max(_BLOCK, len(self.order) // _MOST_BLOCKS)

    @cached_property
    def _blocks(self) -> list[list[int]]:
        """Give the sets of all blocks, of every two of them, every four, and so on."""
        width = self._width
        levels = [[set_of(self.order[start : start + width]) for start in range(0, len(self.order), width)]]
        while len(levels[-1]) > 1:
            below = levels[-1]
            levels.append([union(below[i : i + 2]) for i in range(0, len(below), 2)])
        return levels

    def _set(self, start: int, end: int) -> int:
        if end - start <= _SOME:
            return set_of(self.order[start:end])
        if (start, end) not in self._sets:
            self._sets[start, end] = set_of(self.order[start:end])
        return self._sets[start, end]


def whole_chain(entity: str, part_of: Mapping[str, str | None]) -> list[str]:
    """Give the entity and what it is part of, the nearest first."""
    chain = {entity: None}
    while (whole := part_of.get(entity)) is not None and whole not in chain:
        chain[whole] = None
        entity = whole
    return list(chain)


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


# One claim, made ready


class When(NamedTuple):
    """A `valid`, as much of it as tells whether two can or must be the same moment.

    `surely` is what a span covers for certain, None where that is nothing. Only a time that is `known` at both ends can
    be enclosed by such a span, and only if it has none itself is that more than to overlap it.
    """

    start: int
    end: int
    surely: tuple[int, int] | None
    is_brief: bool
    is_enclosable: bool


class Case(NamedTuple):
    """A claim as it is judged. Claims of one `key` that deny, or do not, give the same answer.

    `reach` is from the least to the greatest that a time or a quantity allows, both included. The denial of a boolean
    is the opposite answer, and no denial here.
    """

    claim: Claim
    key: Hashable
    is_denial: bool
    reach: tuple[int, int] | tuple[Decimal, Decimal] | None
    when: When | None


def case_of(claim: Claim) -> Case:
    """Make a claim ready to be judged."""
    answer, is_denial = claim.answer, claim.stance == "denies"
    when = None if claim.valid is None or isinstance(answer, answers.TimeAnswer) else _when(claim.valid)
    if isinstance(answer, answers.TimeAnswer):
        # A time that is answered is when the claim holds too, and was read for that.
        extent = claim.valid or edtf.parse(answer.edtf)
        start, end = edtf.widest(extent)
        key = (extent.shape, start, end, extent.start.latest, extent.end.earliest)
        return Case(claim, key, is_denial, (start, end - 1), None)
    if isinstance(answer, answers.QuantityAnswer):
        allowed = answers.range_of(answer)
        low = _BELOW_ALL if allowed.low is None else allowed.low
        high = _ABOVE_ALL if allowed.high is None else allowed.high
        return Case(claim, (low, high), is_denial, (low, high), when)
    if isinstance(answer, answers.BooleanAnswer):
        return Case(claim, answer.value != is_denial, is_denial=False, reach=None, when=when)
    if isinstance(answer, answers.EntitiesAnswer):
        return Case(claim, (frozenset(answer.entities), answer.complete), is_denial, None, when)
    return Case(claim, answer, is_denial, None, when)


def _when(valid: Extent) -> When:
    start, end = edtf.widest(valid)
    surely = edtf.narrowest(valid)
    if surely is not None and surely[0] >= surely[1]:
        surely = None
    is_moment = valid.shape == "moment"
    return When(start, end, surely, is_moment and edtf.is_brief(valid), surely is None and not edtf.has_unknown(valid))


# By what they answer


class _Answers:
    """The claims of one type of answer. Denials meet equal denials; the rest is told by each type."""

    def __init__(self, members: Sequence[tuple[int, Case]], context: Context) -> None:
        self.part_of = context.part_of
        self.stated = [(i, case) for i, case in members if not case.is_denial]
        self.denied = [(i, case) for i, case in members if case.is_denial]
        self.everyone = set_of([i for i, _ in self.stated])

    @cached_property
    def denials(self) -> _Alike[Hashable]:
        return _Alike((case.key, i) for i, case in self.denied)

    def meets(self, case: Case) -> int:
        if case.is_denial:
            return self.denials.of(case.key)
        return self._agreeing(case) if self.stated else 0

    def conflicts(self, case: Case) -> int:
        if case.is_denial:
            return self._refuted_by(case) if self.stated else 0
        differing = self._differing(case) if self.stated else 0
        return differing | self._refuting(case) if self.denied else differing

    def _agreeing(self, case: Case) -> int:
        raise NotImplementedError

    def _differing(self, case: Case) -> int:
        raise NotImplementedError

    def _refuted_by(self, case: Case) -> int:
        """Give the answers that lie wholly within the one denied."""
        raise NotImplementedError

    def _refuting(self, case: Case) -> int:
        """Give the denials of something that the answer lies wholly within."""
        raise NotImplementedError


class _Ranges(_Answers):
    """Times and quantities."""

    def __init__(self, members: Sequence[tuple[int, Case]], context: Context) -> None:
        super().__init__(members, context)
        self._greatest_low = max((_reach(case)[0] for _, case in self.stated), default=0)
        self._least_high = min((_reach(case)[1] for _, case in self.stated), default=0)

    @cached_property
    def _stated_ladders(self) -> "tuple[_Ladder[Decimal], _Ladder[Decimal]]":
        return _ladders(self.stated)

    @cached_property
    def _denied_ladders(self) -> "tuple[_Ladder[Decimal], _Ladder[Decimal]]":
        return _ladders(self.denied)

    def _agreeing(self, case: Case) -> int:
        return self.everyone ^ self._differing(case)

    def _differing(self, case: Case) -> int:
        low, high = _reach(case)
        if low <= self._least_high and self._greatest_low <= high:
            return 0
        lows, highs = self._stated_ladders
        return highs.below(low) | (self.everyone ^ lows.up_to(high))

    def _refuted_by(self, case: Case) -> int:
        low, high = _reach(case)
        lows, highs = self._stated_ladders
        return highs.up_to(high) & (self.everyone ^ lows.below(low))

    def _refuting(self, case: Case) -> int:
        low, high = _reach(case)
        lows, highs = self._denied_ladders
        starting = lows.up_to(low)
        return starting ^ (starting & highs.below(high))


def _reach(case: Case) -> tuple[Decimal, Decimal]:
    return cast("tuple[Decimal, Decimal]", case.reach)  # or integers: numbers of one kind on one question


def _ladders(members: Sequence[tuple[int, Case]]) -> tuple[_Ladder[Decimal], _Ladder[Decimal]]:
    return _Ladder((_reach(case)[0], i) for i, case in members), _Ladder((_reach(case)[1], i) for i, case in members)


class _Entities(_Answers):
    """One entity each."""

    def __init__(self, members: Sequence[tuple[int, Case]], context: Context) -> None:
        super().__init__(members, context)
        self._stating = Family(((_entity(case), i) for i, case in self.stated), self.part_of)
        self._denying = Family(((_entity(case), i) for i, case in self.denied), self.part_of)

    def _agreeing(self, case: Case) -> int:
        return self._stating.akin(_entity(case))

    def _differing(self, case: Case) -> int:
        return self.everyone ^ self._stating.akin(_entity(case))

    def _refuted_by(self, case: Case) -> int:
        return self._stating.within(_entity(case))

    def _refuting(self, case: Case) -> int:
        return self._denying.upward(_entity(case))


def _entity(case: Case) -> str:
    return cast("answers.EntityAnswer", case.key).entity


class _Lists(_Answers):
    """Several entities each. "These, among others" reaches beyond any complete list."""

    def __init__(self, members: Sequence[tuple[int, Case]], context: Context) -> None:
        super().__init__(members, context)
        self._stating = Family(((name, i) for i, case in self.stated for name in _names(case)), self.part_of)
        self._denying = Family(((name, i) for i, case in self.denied for name in _names(case)), self.part_of)
        self._complete = set_of([i for i, case in self.stated if _is_complete(case)])
        self._denied_open = set_of([i for i, case in self.denied if not _is_complete(case)])

    def _agreeing(self, case: Case) -> int:
        sharing = union(self._stating.akin(name) for name in _names(case))
        return sharing ^ (sharing & self._differing(case))

    def _differing(self, case: Case) -> int:
        lacking = self._complete ^ self._covering(case)
        return lacking | self._strangers(case) if _is_complete(case) else lacking

    def _covering(self, case: Case) -> int:
        """Give the complete lists that leave none of these members out."""
        found = self._complete
        for name in _names(case):
            if not found:
                break
            found &= self._stating.akin(name)
        return found

    def _strangers(self, case: Case) -> int:
        """Give the lists that name somebody who is no member, nor part of one, nor the whole of one."""
        stretches = [self._stating.stretch(name) for name in _names(case)]
        stretches += [stretch for name in _names(case) for stretch in self._stating.wholes(name)]
        return self._reaching_beyond(stretches)

    def _reaching_beyond(self, stretches: Iterable[tuple[int, int]]) -> int:
        """Give the lists that name somebody elsewhere."""
        found, done = 0, 0
        for start, end in sorted(stretches):
            if start > done:
                found |= self._stating.between(done, start)
            done = max(done, end)
        return found | self._stating.between(done, len(self._stating.order))

    def _refuted_by(self, case: Case) -> int:
        fitting = self._complete if _is_complete(case) else self.everyone
        beyond = self._reaching_beyond(self._stating.stretch(name) for name in _names(case))
        return fitting ^ (fitting & beyond)

    def _refuting(self, case: Case) -> int:
        found = -1 if _is_complete(case) else self._denied_open
        for name in _names(case):
            found &= self._denying.upward(name)
            if not found:
                break
        return found


def _names(case: Case) -> frozenset[str]:
    return cast("tuple[frozenset[str], bool]", case.key)[0]


def _is_complete(case: Case) -> bool:
    return cast("tuple[frozenset[str], bool]", case.key)[1]


class _Booleans(_Answers):
    """Yes or no."""

    def __init__(self, members: Sequence[tuple[int, Case]], context: Context) -> None:
        super().__init__(members, context)
        self._saying = {value: set_of([i for i, case in self.stated if case.key is value]) for value in (True, False)}

    def _agreeing(self, case: Case) -> int:
        return self._saying[bool(case.key)]

    def _differing(self, case: Case) -> int:
        return self._saying[not case.key]


class _Texts(_Answers):
    """In words. They say nothing to each other, but to their own denial."""

    @cached_property
    def _statements(self) -> _Alike[Hashable]:
        return _Alike((case.key, i) for i, case in self.stated)

    def _agreeing(self, _case: Case) -> int:
        return 0

    def _differing(self, _case: Case) -> int:
        return 0

    def _refuted_by(self, case: Case) -> int:
        return self._statements.of(case.key)

    def _refuting(self, case: Case) -> int:
        return self.denials.of(case.key)


_TYPES: Final[Mapping[type[answers.Answer], type[_Answers]]] = {
    answers.TimeAnswer: _Ranges,
    answers.QuantityAnswer: _Ranges,
    answers.EntityAnswer: _Entities,
    answers.EntitiesAnswer: _Lists,
    answers.BooleanAnswer: _Booleans,
    answers.TextAnswer: _Texts,
}


# By when it holds


class _Times:
    """Claims by their `valid`, where the answer may change over time."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self._timed = [(i, case.when) for i, case in enumerate(cases) if case.when is not None]
        self._untimed = set_of([i for i, case in enumerate(cases) if case.when is None])
        self._first = min((when.start for _, when in self._timed), default=0)
        self._last = max((when.end for _, when in self._timed), default=0)
        self._brief = set_of([i for i, when in self._timed if when.is_brief])
        self._enclosable = set_of([i for i, when in self._timed if when.is_enclosable])

    @cached_property
    def _widest(self) -> tuple[_Ladder[int], _Ladder[int]]:
        return _Ladder((when.start, i) for i, when in self._timed), _Ladder((when.end, i) for i, when in self._timed)

    @cached_property
    def _surely(self) -> tuple[_Ladder[int], _Ladder[int]]:
        spans = [(i, when.surely) for i, when in self._timed if when.surely is not None]
        return _Ladder((span[0], i) for i, span in spans), _Ladder((span[1], i) for i, span in spans)

    def can_coincide(self, when: When | None) -> int:
        """Give those whose widest reading overlaps this one's; an unknown time may be any."""
        if when is None:
            return -1
        return self._untimed | _between(self._widest, when.start, when.end)

    def must_coincide(self, when: When | None) -> int:
        if when is None or when.end <= self._first or self._last <= when.start:
            return 0
        found = _between(self._widest, when.start, when.end) & self._brief if when.is_brief and self._brief else 0
        if when.is_enclosable:
            starts, ends = self._surely
            started = starts.up_to(when.start)
            found |= started ^ (started & ends.below(when.end))
        if when.surely is not None:
            found |= _between(self._surely, *when.surely)
            if self._enclosable:
                starts, ends = self._widest
                ended = ends.up_to(when.surely[1]) & self._enclosable
                found |= ended ^ (ended & starts.below(when.surely[0]))
        return found


def _between(ladders: tuple[_Ladder[int], _Ladder[int]], start: int, end: int) -> int:
    """Give those that start before the end and end after the start."""
    started = ladders[0].below(end)
    return started ^ (started & ladders[1].up_to(start))


class Company:
    """Claims that others are judged against, all at once: by what they answer and by when that holds, not by links.

    What is needed to judge is made when it is first asked for, in n log n.
    """

    def __init__(self, cases: Sequence[Case], context: Context, *, varies: bool) -> None:
        self.cases = cases
        by_type: dict[type[answers.Answer], list[tuple[int, Case]]] = {}
        for i, case in enumerate(cases):
            by_type.setdefault(type(case.claim.answer), []).append((i, case))
        self._answers = {kind: _TYPES[kind](members, context) for kind, members in by_type.items()}
        self._times = _Times(cases) if varies else None

    def meets(self, case: Case) -> int:
        """Give those that the claim meets; itself too, where it is one of them and would meet another like it."""
        those = self._answers.get(type(case.claim.answer))
        found = those.meets(case) if those is not None else 0
        if found and self._times is not None and not isinstance(case.claim.answer, answers.TimeAnswer):
            found &= self._times.can_coincide(case.when)
        return found

    def conflicts(self, case: Case) -> int:
        """Give those that the claim conflicts with."""
        those = self._answers.get(type(case.claim.answer))
        if those is None:
            return 0
        # A time question never varies.
        if self._times is None or isinstance(case.claim.answer, answers.TimeAnswer):
            return those.conflicts(case)
        found = self._times.must_coincide(case.when)
        return found & those.conflicts(case) if found else 0


# By links, which outrank all that


@dataclass(slots=True)
class Bond:
    """The links between two claims that say whether they meet, by age. The last decides; others stand as far as they agree."""

    links: list[Link]

    @property
    def is_conflict(self) -> bool:
        return self.links[-1].relation == "contradicts"

    @property
    def is_repetition(self) -> bool:
        return not self.is_conflict and any(link.relation == "repeats" for link in self.links)


def bonds(claims: Sequence[Claim]) -> dict[tuple[int, int], Bond]:
    """Give for each two claims, by number, the lower first, what links say of them."""
    made = [(i, link) for i, claim in enumerate(claims) for link in claim.links if link.relation in PAIRED]
    made.sort(key=lambda one: (one[1].position, one[1].relation))
    place = {claim.id: i for i, claim in enumerate(claims)} if made else {}
    found: dict[tuple[int, int], Bond] = {}
    for i, link in made:
        target = place.get(link.claim, i)
        if target != i:
            found.setdefault((min(i, target), max(i, target)), Bond([])).links.append(link)
    return found


def replaced(claims: Sequence[Claim], foreign_links: Sequence[tuple[str, Link]]) -> dict[int, tuple[str, ...]]:
    """Give the claims that another corrects or supersedes. Two that do so to each other disagree: the last prevails."""
    own = [(claim.id, link) for claim in claims for link in claim.links]
    made = [(maker, link) for maker, link in (*own, *foreign_links) if link.relation in REPLACING]
    made.sort(key=lambda one: (one[1].position, one[0]))
    prevails = {frozenset((maker, link.claim)): maker for maker, link in made}
    place = {claim.id: i for i, claim in enumerate(claims)} if made else {}
    by: dict[int, dict[str, None]] = {}
    for maker, link in made:
        if link.claim in place and prevails[frozenset((maker, link.claim))] == maker:
            by.setdefault(place[link.claim], {})[maker] = None
    return {i: tuple(makers) for i, makers in by.items()}


# Groups of ranges


def is_swept(cases: Sequence[Case], *, varies: bool) -> bool:
    """Say whether nothing but the ranges of times, or of quantities that do not vary, decides who meets."""
    types = {type(case.claim.answer) for case in cases}
    plain = types == {answers.TimeAnswer} or (types == {answers.QuantityAnswer} and not varies)
    return plain and not any(link.relation in PAIRED for case in cases for link in case.claim.links)


def sweep(cases: Sequence[Case], members: Iterable[int]) -> Iterator[int]:
    """Give the maximal sets of members that meet pairwise, where `is_swept`.

    Walks up the ranges: at the first end after a start, those under way are a group that grows no more.
    """
    stated, denied = list[int](), dict[Hashable, list[int]]()
    for i in members:
        if cases[i].is_denial:
            denied.setdefault(cases[i].key, []).append(i)
        else:
            stated.append(i)
    yield from _swept([(*_reach(cases[i]), i) for i in stated])
    for those in denied.values():
        yield set_of(those)


def _swept(reaches: Sequence[tuple[Decimal, Decimal, int]]) -> Iterator[int]:
    starts = sorted(((low, i) for low, _, i in reaches), reverse=True)
    under_way, has_grown = 0, False
    for high, i in sorted((high, i) for _, high, i in reaches):
        while starts and starts[-1][0] <= high:
            under_way |= 1 << starts.pop()[1]
            has_grown = True
        if has_grown:
            yield under_way
            has_grown = False
        under_way ^= 1 << i
