"""What the live claims on a question add up to: its state, its groups, and the origins behind them.

Computed by code under `RULES`, never recorded: the same claims give the same agreement in whatever order they come.
Who meets and who conflicts is settled in `meeting`; nothing here reads a clock or a database. What changes claim by
claim is followed in `tally`.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cmp_to_key
from heapq import nsmallest
from itertools import islice
from typing import Final, Literal, NamedTuple, overload

import msgspec

from api.domain.agreement import meeting
from api.domain.agreement.majority import Majority
from api.domain.agreement.meeting import Case, Claim, Context, Link, bits, first_sources, set_of, union
from api.domain.computed import RULES
from api.domain.dates import edtf
from api.domain.dates.edtf import Bounds
from api.domain.records import answer as answers
from api.domain.records.answer import Range

__all__ = [
    "Agreement", "Claim", "Context", "Group", "Link", "Origin", "StateOfAgreement", "agree", "conflicts", "shared_json", "state_of", "to_json",
]  # fmt: skip

MAX_GROUPS: Final = 200
MAX_CONFLICTS: Final = 1_000

# How many claims the search for groups may look at before it gives up: about a tenth of a second. A set of so many
# claims counts as one more each time that it is looked at.
_PATIENCE: Final = 400_000
_AT_A_LOOK: Final = 4_096
_A_PRIME: Final = 10**18 + 3
# Up to here a set is told from others by its members, and a larger one by what it leaves when divided.
_SMALL_SET: Final = 8
COUNTING: Final = frozenset({"asserts", "denies", "alleges"})

StateOfAgreement = Literal["disputed", "single-origin", "agreed", "open"]
Foreign = Sequence[tuple[str, Link]]
Root = tuple[str, str]
Voice = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Member:
    """An entity, or a truth value, and how many of the group's origins name it or a part of it."""

    value: str | bool
    origins: int


class Ids(Sequence[str]):
    """The ids of some claims, in the order of first recording. How many there are is known at once.

    The first of them cost what they are: nothing is made of the rest.
    """

    __slots__ = ("_claims", "_count", "_members")

    def __init__(self, claims: Sequence[Claim], members: int) -> None:
        self._claims, self._members, self._count = claims, members, members.bit_count()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return (self._claims[i].id for i in bits(self._members))

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        those = bits(self._members)
        return (
            self._claims[those[index]].id if isinstance(index, int) else tuple(self._claims[i].id for i in those[index])
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))


class Group:
    """Counting claims that meet pairwise and that no other counting claim would fit among.

    `claims`, `core`, those of them that stand in no other group, and `beside`, those of other stances that meet all of
    them, come as `Ids`: to count them or to take the first costs little, however many they are. All else is made of the
    claims each time that it is asked for.
    """

    __slots__ = ("_beside", "_core", "_members", "_origin_of", "_table")

    def __init__(self, table: "Table", found: "_Found", beside: int, origin_of: Mapping[int, int]) -> None:
        self._table, self._beside, self._origin_of = table, beside, origin_of
        self._members, self._core = found

    @property
    def claims(self) -> Ids:
        return Ids(self._table.claims, self._members)

    @property
    def core(self) -> Ids:
        return Ids(self._table.claims, self._core)

    @property
    def is_bridge(self) -> bool:
        """Say whether each of the claims stands in another group too."""
        return not self._core

    @property
    def beside(self) -> Ids:
        return Ids(self._table.claims, self._beside)

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._table.claims[i].source for i in bits(self._members)))

    @property
    def origins(self) -> tuple[tuple[str, ...], ...]:
        """Divide the claims by origin."""
        parts: dict[int, list[str]] = {}
        for i in bits(self._members):
            parts.setdefault(self._origin_of[i], []).append(self._table.claims[i].id)
        return tuple(map(tuple, parts.values()))

    @property
    def is_denied(self) -> bool:
        """Say whether every claim denies: `shared` is then what they deny."""
        return not any(_states(self._table.claims[i]) for i in bits(self._members))

    @property
    def shared(self) -> Bounds | Range | tuple[Member, ...] | None:
        """Give the time or the numbers that all their answers allow, or the members they name.

        None where only links hold the claims together.
        """
        return _shared(self._table, bits(self._members), self._origin_of)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and self._told() == other._told()

    def __hash__(self) -> int:
        return hash(self.claims)

    def _told(self) -> tuple[object, ...]:
        return self.claims, self.core, self.beside, self.origins, self.sources, self.shared


@dataclass(frozen=True, slots=True)
class Origin:
    """Counting claims that go back to the same speakers and sources, or that repeat one another."""

    claims: tuple[str, ...]
    speakers: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replaced:
    """A claim that no longer counts, and the live claims that correct or supersede it, by age of the link."""

    claim: str
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a question's claims add up to. Everything but the groups stands in the order of first recording.

    `groups` are MAX_GROUPS at most, those with the most origins in their core first, then that with the first claim;
    bridges come last, and `groups_complete` says whether those are all. By which it is *agreed*, those are among them. `conflicts` are the first MAX_CONFLICTS of
    `conflict_count` pairs. `not_counting` are claims that stand beside no group.
    """

    question: str
    state: StateOfAgreement
    groups: tuple[Group, ...]
    groups_complete: bool
    origins: tuple[Origin, ...]
    not_counting: tuple[str, ...]
    superseded: tuple[Replaced, ...]
    conflicts: tuple[tuple[str, str], ...]
    conflict_count: int
    rules: int = RULES


def agree(
    question_id: str, varies: bool, claims: Sequence[Claim], context: Context, foreign_links: Foreign = ()
) -> Agreement:
    """Add up the live claims on a question, given in any order.

    `foreign_links` are those that live claims on other questions make to these, each with the id of its maker.
    """
    ordered = sorted(claims, key=lambda claim: (claim.first_position, claim.id))
    table = tabulate(ordered, context, foreign_links, varies=varies)
    clashes, origins = _clashes(table), _origins(table)
    origin_of = {i: number for number, members in enumerate(origins) for i in members}
    state, cores = _weigh(table, origins, is_disputed=bool(clashes))
    found, groups_complete = _groups(table, origin_of, cores)
    beside = _beside(table, [members for members, _ in found])
    return Agreement(
        question=question_id,
        state=state,
        groups=tuple(Group(table, each, those, origin_of) for each, those in zip(found, beside, strict=True)),
        groups_complete=groups_complete,
        origins=tuple(_origin(table, members) for members in origins),
        not_counting=tuple(Ids(ordered, table.beside ^ (table.beside & union(beside)))),
        superseded=tuple(Replaced(ordered[i].id, by) for i, by in sorted(table.replaced.items())),
        conflicts=tuple((one.id, other.id) for one, other in islice(_conflicts(table, clashes), MAX_CONFLICTS)),
        conflict_count=sum(count * len(alike) for alike, count in clashes) // 2,
    )


def state_of(
    question_id: str, varies: bool, claims: Sequence[Claim], context: Context, foreign_links: Foreign = ()
) -> StateOfAgreement:
    """Give `agree(...).state` without looking for groups."""
    if len(claims) == 1 and not foreign_links:
        return "single-origin" if claims[0].stance in COUNTING else "open"
    table = tabulate(claims, context, foreign_links, varies=varies)
    state, _ = _weigh(table, _origins(table), is_disputed=_is_disputed(table))
    return state


@dataclass(frozen=True, slots=True)
class Table:
    """The claims by number, and sets of numbers: who counts, who stands beside.

    `told` are, for each claim that links touch, those that they say it meets, and those that it conflicts with.
    """

    claims: Sequence[Claim]
    cases: Sequence[Case]
    company: meeting.Company
    context: Context
    varies: bool
    replaced: dict[int, tuple[str, ...]]
    counting: int
    beside: int
    told: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)
    repeats: list[tuple[int, int]] = field(default_factory=list)

    def meets(self, i: int) -> int:
        """Give those that a claim meets; itself too, perhaps."""
        found = self.company.meets(self.cases[i])
        return found if i not in self.told else _as_told(found, *self.told[i])

    def conflicts(self, i: int) -> int:
        """Give those that a claim conflicts with."""
        found = self.company.conflicts(self.cases[i])
        return found if i not in self.told else _as_told(found, *reversed(self.told[i]))

    def alike(self, members: int) -> list[list[int]]:
        """Divide members by what they say: all of a part meet, and conflict with, the same others."""
        parts: dict[Hashable, list[int]] = {}
        for i in bits(members):
            case = self.cases[i]
            said = type(case.claim.answer), case.key, case.is_denial, case.when if self.varies else None
            parts.setdefault(i if i in self.told else said, []).append(i)
        return list(parts.values())


def _as_told(found: int, more: Sequence[int], others: Sequence[int]) -> int:
    """Put in what links say, and take out of which they say the contrary."""
    if more:
        found |= set_of(more)
    return found ^ (found & set_of(others)) if others else found


def tabulate(claims: Sequence[Claim], context: Context, foreign_links: Foreign = (), *, varies: bool) -> Table:
    replaced = meeting.replaced(claims, foreign_links)
    current = [(i, claim.stance) for i, claim in enumerate(claims) if i not in replaced]
    cases = [meeting.case_of(claim) for claim in claims]
    table = Table(
        claims=claims,
        cases=cases,
        company=meeting.Company(cases, context, varies=varies),
        context=context,
        varies=varies,
        replaced=replaced,
        counting=set_of([i for i, stance in current if stance in COUNTING]),
        beside=set_of([i for i, stance in current if stance not in COUNTING]),
    )
    _let_links_tell(table)
    return table


def _let_links_tell(table: Table) -> None:
    told = table.told
    for (a, b), bond in meeting.bonds(table.claims).items():
        for one, other in ((a, b), (b, a)):
            told.setdefault(one, ([], []))[bond.is_conflict].append(other)
        if bond.is_repetition:
            table.repeats.append((a, b))


def _weigh(table: Table, origins: Sequence[Sequence[int]], *, is_disputed: bool) -> tuple[StateOfAgreement, list[int]]:
    """Give the first state that fits and, of one that is agreed, the claims in the cores of the groups that make it so."""
    if is_disputed:
        return "disputed", []
    if len(origins) == 1:
        return "single-origin", []
    cores = _agreed(table, origins)
    return ("agreed" if cores else "open"), cores


def _is_disputed(table: Table) -> bool:
    return any(table.conflicts(alike[0]) & table.counting for alike in table.alike(table.counting))


def _agreed(table: Table, origins: Sequence[Sequence[int]]) -> list[int]:
    majority = Majority(table.context, varies=table.varies)
    origin_of = {i: number for number, members in enumerate(origins) for i in members}
    for i, number in sorted(origin_of.items()):
        told = table.told[i][0] if i in table.told else ()
        majority.put(i, table.cases[i], number, [mate for mate in told if mate < i and mate in origin_of])
    cores = set(majority.cores(len(origins)))
    return [i for i in sorted(origin_of) if i in cores]


def _clashes(table: Table) -> list[tuple[list[int], int]]:
    """Give counting claims that say alike and conflict with others, and with how many each of them does."""
    found = []
    for alike in table.alike(table.counting):
        conflicts = table.conflicts(alike[0]) & table.counting
        if conflicts:
            found.append((alike, conflicts.bit_count()))
    return found


def _conflicts(
    table: Table, clashes: Iterable[tuple[list[int], int]], after: tuple[int, int] = (-1, -1)
) -> Iterator[tuple[Claim, Claim]]:
    """Give the pairs, each in the order of first recording and all in that order too, after a pair of places.

    A pair is come upon at its first claim alone.
    """
    for i in sorted(i for alike, _ in clashes for i in alike if i >= after[0]):
        start = max(i, after[1]) + 1 if i == after[0] else i + 1
        for j in bits((table.conflicts(i) & table.counting) >> start):
            yield table.claims[i], table.claims[start + j]


# Origins


def _origins(table: Table) -> list[list[int]]:
    """Give the connected components of the counting claims that share a root or repeat each other."""
    spoken: dict[Voice, list[int]] = {}
    for i in bits(table.counting):
        spoken.setdefault(voice(table.claims[i]), []).append(i)
    rooted = {each: roots(each, table.context) for each in spoken}
    kin = Kin()
    for joined in rooted.values():
        kin.join(joined)
    root_of = {i: rooted[each][0] for each, members in spoken.items() for i in members}
    for a, b in table.repeats:
        if a in root_of and b in root_of:
            kin.join([root_of[a], root_of[b]])
    origins: dict[Root, list[int]] = {}
    for each, members in spoken.items():
        origins.setdefault(kin.head(rooted[each][0]), []).extend(members)
    return sorted(map(sorted, origins.values()))


class Kin:
    """Roots, and which of them are of one origin: union and find."""

    def __init__(self) -> None:
        self._towards: dict[Root, Root] = {}

    def head(self, root: Root) -> Root:
        """Follow a root to the one that stands for all it is joined with, and shorten the way for the next."""
        towards = self._towards
        while (ahead := towards.setdefault(root, root)) != root:
            towards[root] = root = towards[ahead]
        return root

    def join(self, rooted: Sequence[Root]) -> None:
        """Let these be of one origin."""
        first = self.head(rooted[0])
        for root in rooted[1:]:
            self._towards[self.head(root)] = first


def voice(claim: Claim) -> Voice:
    """Give who speaks and the last source it came by; failing both, the claim's own source."""
    if claim.via:
        return claim.speaker, claim.via[-1]
    return claim.speaker, claim.source if claim.speaker is None else None


def roots(of: Voice, context: Context) -> list[Root]:
    """Give who first said it, one root at least."""
    speaker, source = of
    found = [] if speaker is None else [("speaker", speaker)]
    return found if source is None else found + [("source", first) for first in first_sources(source, context)]


def _origin(table: Table, members: Sequence[int]) -> Origin:
    voices = {voice(table.claims[i]) for i in members}
    rooted = sorted({root for each in voices for root in roots(each, table.context)})
    return Origin(
        claims=tuple(table.claims[i].id for i in members),
        speakers=tuple(name for kind, name in rooted if kind == "speaker"),
        sources=tuple(name for kind, name in rooted if kind == "source"),
    )


# Groups


class _Found(NamedTuple):
    """The claims of a group, and those of them that stand in no other."""

    members: int
    core: int


def _groups(table: Table, origin_of: Mapping[int, int], cores: Sequence[int]) -> tuple[list[_Found], bool]:
    """Give the first MAX_GROUPS maximal sets of counting claims that meet pairwise, and whether these are all.

    Where they are not, those of which `cores` are the cores are among them.
    """
    found: Iterable[_Found]
    if meeting.is_swept(table.cases, varies=table.varies):
        counting, is_whole = bits(table.counting), True
        # Each is large, and they may be many: none is kept but to be shown.
        shared = _shared_by_some(meeting.sweep(table.cases, counting))
        found = (_Found(members, members ^ (members & shared)) for members in meeting.sweep(table.cases, counting))
    else:
        found, is_whole = _cliques(table)
    first = _first(found, origin_of, MAX_GROUPS + 1)
    if is_whole and len(first) <= MAX_GROUPS:
        return first, True
    wanted = _first(_around(table, cores), origin_of, MAX_GROUPS)
    others = [each for each in first if each not in wanted]
    return _first([*wanted, *others][:MAX_GROUPS], origin_of, MAX_GROUPS), False


def _first(found: Iterable[_Found], origin_of: Mapping[int, int], most: int) -> list[_Found]:
    ranked = ((-len({origin_of[i] for i in bits(each.core)}), each) for each in found)
    return [each for _, each in nsmallest(most, ranked, key=cmp_to_key(_which_first))]


def _around(table: Table, cores: Sequence[int]) -> Iterator[_Found]:
    """Give the groups of which these claims are the cores: each is all that a claim of its core meets."""
    found: dict[int, int] = {}
    for alike in table.alike(set_of(cores)):
        core = set_of(alike)
        members = table.meets(alike[0]) & table.counting | core
        found[members] = found.get(members, 0) | core
    return (_Found(members, core) for members, core in found.items())


def _shared_by_some(sets: Iterable[int]) -> int:
    """Give what stands in more than one."""
    seen = shared = 0
    for members in sets:
        shared |= seen & members
        seen |= members
    return shared


def _which_first(one: tuple[int, _Found], other: tuple[int, _Found]) -> int:
    """Between groups of one rank, the lowest number that only one of them holds decides: it comes first."""
    if one[0] != other[0]:
        return one[0] - other[0]
    apart = one[1].members ^ other[1].members
    return -1 if apart & -apart & one[1].members else 1


def _cliques(table: Table) -> tuple[list[_Found], bool]:
    """Search by Bron and Kerbosch with pivots; give up with what is there when too many are found or patience is out.

    Claims that meet one another and the same others stand for each other: the search sees one of them. The budget is
    counted in claims looked at, so it ends at the same place on every machine. What meets nothing beyond a set stands in
    no other, found or not.
    """
    twins = _twins(table)
    found: list[_Found] = []
    patience, weight = _PATIENCE, 1 + len(table.claims) // _AT_A_LOOK
    near = _Near(table, set_of(list(twins)))
    for clique, looked_at in _search(near, sorted(twins)):
        patience -= looked_at * weight
        if clique:
            core = set_of([mate for i in bits(clique) if near[i] | 1 << i == clique for mate in twins[i]])
            found.append(_Found(set_of([mate for i in bits(clique) for mate in twins[i]]), core))
        if patience < 0 or len(found) > MAX_GROUPS:
            return found, False
    return found, True


def _twins(table: Table) -> dict[int, list[int]]:
    """Give, for the first of each claims that meet one another and the same others, all of them."""
    twins: dict[int, list[int]] = {}
    by_rest: dict[Hashable, list[int]] = {}
    for alike in table.alike(table.counting):
        first = alike[0]
        meets = table.meets(first) & table.counting
        if not meets or (len(alike) > 1 and not meets >> first & 1):
            twins.update((i, [i]) for i in alike)
            continue
        meets |= set_of(alike)
        # Large sets would take much memory: where two leave the same rest, the earlier is made again.
        rest = tuple(bits(meets)) if meets.bit_count() <= _SMALL_SET else meets % _A_PRIME
        same_rest = by_rest.setdefault(rest, [])
        twin = next((i for i in same_rest if table.meets(i) & table.counting | set_of(twins[i]) == meets), None)
        if twin is None:
            same_rest.append(first)
        twins.setdefault(first if twin is None else twin, []).extend(alike)
    return twins


class _Near:
    """Of the claims that the search sees, those that each meets: judged when it is first looked at."""

    def __init__(self, table: Table, seen: int) -> None:
        self._table, self._seen = table, seen
        self._met: dict[int, int] = {}

    def __getitem__(self, i: int) -> int:
        if i not in self._met:
            meets = self._table.meets(i) & self._seen
            self._met[i] = meets ^ (meets & 1 << i)
        return self._met[i]


def _search(near: _Near, nodes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give each step of the search: the maximal set it found, or 0, and how many claims it looked at.

    Sets come in the order of their first member. There is no recursion: a chain of links may be long.
    """
    for node in nodes:
        met = near[node]
        later = met >> node << node
        ahead = [(1 << node, later, met ^ later)]
        while ahead:
            clique, candidates, excluded = ahead.pop()
            looked_at = 1 + candidates.bit_count() + excluded.bit_count()
            is_covered = any(candidates & near[i] == candidates for i in bits(excluded))
            yield (0 if candidates or is_covered else clique), looked_at
            if candidates and not is_covered:
                ahead += reversed(_branches(near, clique, candidates, excluded))


def _branches(near: _Near, clique: int, candidates: int, excluded: int) -> list[tuple[int, int, int]]:
    """Take in turn each candidate that does not meet the pivot, the candidate that meets most others."""
    pivot = max(bits(candidates), key=lambda i: (candidates & near[i]).bit_count())
    branches = []
    for i in bits(candidates ^ (candidates & near[pivot])):
        branches.append((clique | 1 << i, candidates & near[i], excluded & near[i]))
        candidates, excluded = candidates ^ 1 << i, excluded | 1 << i
    return branches


def _beside(table: Table, groups: Sequence[int]) -> list[int]:
    """Give for each group the claims of other stances that meet all of it."""
    beside: list[list[int]] = [[] for _ in groups]
    for alike in table.alike(table.beside):
        meets = table.meets(alike[0]) & table.counting
        for those, members in zip(beside, groups, strict=True) if meets else ():
            if meets & members == members:
                those.extend(alike)
    return [set_of(those) for those in beside]


def _states(claim: Claim) -> bool:
    """Say whether it gives an answer: only the denial of a boolean does, the opposite one."""
    return claim.stance != "denies" or isinstance(claim.answer, answers.BooleanAnswer)


def _shared(
    table: Table, members: Sequence[int], origin_of: Mapping[int, int]
) -> Bounds | Range | tuple[Member, ...] | None:
    told = [i for i in members if _states(table.claims[i])] or members
    given = [table.claims[i] for i in told]
    # A time that is answered was read already: it is when the claim holds.
    times = [
        claim.valid or answers.extent_of(claim.answer)
        for claim in given
        if isinstance(claim.answer, answers.TimeAnswer)
    ]
    if times:
        return _shared_time(times)
    ranges = [answers.range_of(claim.answer) for claim in given if isinstance(claim.answer, answers.QuantityAnswer)]
    if ranges:
        return _shared_range(ranges)
    return _shared_members(table, told, origin_of) or None


def _shared_time(times: Sequence[edtf.Extent]) -> Bounds | None:
    """Give [earliest, latest) of what all may hold; a side is unknown where only open and unknown ends are left."""
    starts = [time.start.earliest for time in times]
    ends = [time.end.latest for time in times]
    earliest = max((start for start in starts if start is not None), default=edtf.OPEN_START)
    latest = min((end for end in ends if end is not None), default=edtf.OPEN_END)
    if earliest >= latest:
        return None
    return Bounds(
        None if earliest == edtf.OPEN_START and None in starts else earliest,
        None if latest == edtf.OPEN_END and None in ends else latest,
    )


def _shared_range(ranges: Sequence[Range]) -> Range | None:
    low = max((each.low for each in ranges if each.low is not None), default=None)
    high = min((each.high for each in ranges if each.high is not None), default=None)
    return None if low is not None and high is not None and low > high else Range(low, high)


def _shared_members(table: Table, members: Sequence[int], origin_of: Mapping[int, int]) -> tuple[Member, ...]:
    """Count for each value the origins that give it; a part is given for its whole too."""
    given = dict.fromkeys((value, origin_of[i]) for i in members for value in _values(table.claims[i]))
    counts = Counter(value for value, _ in given)
    naming = [(value, origin) for value, origin in given if isinstance(value, str)]
    family = meeting.Family(naming, table.context.part_of)
    return tuple(
        Member(value, family.within(value).bit_count() if isinstance(value, str) else count)
        for value, count in counts.items()
    )


def _values(claim: Claim) -> Sequence[str | bool]:
    if isinstance(claim.answer, answers.BooleanAnswer):
        return (claim.answer.value != (claim.stance == "denies"),)
    return answers.entities_in(claim.answer)


# On the wire


def to_json(agreement: Agreement) -> dict[str, object]:
    """Give plain JSON: ids, counts, times in UTC to the microsecond, numbers as decimal strings without exponent."""
    plain = {
        "question": agreement.question,
        "state": agreement.state,
        "groups": [_group_json(group) for group in agreement.groups],
        "groups_complete": agreement.groups_complete,
        "origins": agreement.origins,
        "not_counting": agreement.not_counting,
        "superseded": agreement.superseded,
        "conflicts": agreement.conflicts,
        "conflict_count": agreement.conflict_count,
        "rules": agreement.rules,
    }
    shown: dict[str, object] = msgspec.json.decode(msgspec.json.encode(plain))
    return shown


def _group_json(group: Group) -> dict[str, object]:
    return {
        "claims": list(group.claims),
        "core": list(group.core),
        "is_bridge": group.is_bridge,
        "sources": group.sources,
        "origins": group.origins,
        "beside": list(group.beside),
        "shared": shared_json(group.shared),
        "is_denied": group.is_denied,
    }


def shared_json(shared: Bounds | Range | tuple[Member, ...] | None) -> dict[str, object] | None:
    """Give what the answers of a group have in common as plain JSON."""
    if isinstance(shared, Bounds):
        return {"type": "time", "bounds": edtf.render(edtf.Extent("moment", shared, shared))["start"]}
    if isinstance(shared, Range):
        return {"type": "quantity", "low": _plain(shared.low), "high": _plain(shared.high)}
    return None if shared is None else {"type": "members", "members": shared}


def _plain(number: Decimal | None) -> str | None:
    """Write it as answers are written, every digit: no exponent, no needless zero, and no sign before 0."""
    if number is None:
        return None
    # No arithmetic: its results have 28 digits.
    text = f"{number or number.copy_abs():f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# Pair by pair


def conflicts(
    varies: bool,
    claims: Sequence[Claim],
    context: Context,
    foreign_links: Foreign = (),
    *,
    after: tuple[int, int] = (0, 0),
) -> Iterator[tuple[Claim, Claim]]:
    """Give every two claims that conflict, in the order of first recording, after the first positions of two claims."""
    ordered = sorted(claims, key=lambda claim: (claim.first_position, claim.id))
    firsts = [claim.first_position for claim in ordered]
    i, j = (bisect_right(firsts, first) - 1 for first in after)
    # Where no claim begins at the first of the two, all pairs of the one before it are over.
    j = j if i >= 0 and firsts[i] == after[0] else len(ordered)
    table = tabulate(ordered, context, foreign_links, varies=varies)
    return _conflicts(table, _clashes(table), (i, j))
