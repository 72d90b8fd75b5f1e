"""What the live claims on a question add up to: its state, its groups, and the origins behind them.

Computed by code under `RULES`, never recorded: the same claims give the same agreement in whatever order they come.
Who meets and who conflicts is settled in `meeting`; nothing here reads a clock or a database.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Final, Literal

import msgspec

from api.domain import answer as answers
from api.domain import edtf, meeting
from api.domain.answer import Range
from api.domain.edtf import Bounds
from api.domain.meeting import Claim, Context, Link, bits, first_sources, union

__all__ = ["RULES", "Agreement", "Claim", "Context", "Group", "Link", "Origin", "State", "agree", "state_of", "to_json"]

RULES: Final = 1
MAX_GROUPS: Final = 200
MAX_CONFLICTS: Final = 1_000

# How many claims the search for groups may look at before it gives up: about a tenth of a second.
_PATIENCE: Final = 400_000
_COUNTING: Final = frozenset({"asserts", "denies", "alleges"})
_AGREEING: Final = frozenset({"asserts", "denies"})

State = Literal["disputed", "single-origin", "agreed", "open"]
Foreign = Sequence[tuple[str, Link]]
_Root = tuple[str, str]
_Voice = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Member:
    """An entity, or a truth value, and how many of the group's origins name it or a part of it."""

    value: str | bool
    origins: int


@dataclass(frozen=True, slots=True)
class Group:
    """Counting claims that meet pairwise and that no other counting claim would fit among.

    `origins` divides `claims`. `beside` are claims of other stances that meet all of them. `shared` is the time or the
    numbers that all their answers allow, or the members they name; None where only links hold them together. Where
    `is_denied`, every claim denies, and `shared` is what they deny.
    """

    claims: tuple[str, ...]
    sources: tuple[str, ...]
    origins: tuple[tuple[str, ...], ...]
    beside: tuple[str, ...]
    shared: Bounds | Range | tuple[Member, ...] | None
    is_denied: bool


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
    """What a question's claims add up to. Everything stands in the order of first recording.

    `groups` are the first MAX_GROUPS, and `groups_complete` says whether those are all; `conflicts` the first
    MAX_CONFLICTS of `conflict_count` pairs. `not_counting` are claims that stand beside no group.
    """

    question: str
    state: State
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
    table = _tabulate(ordered, context, foreign_links, varies=varies)
    found, (groups, groups_complete) = _origins(table), _groups(table)
    alone = [i for i in bits(table.beside) if all(members & ~table.found.meets[i] for members in groups)]
    return Agreement(
        question=question_id,
        state=_state(table),
        groups=tuple(_group(table, members, found) for members in groups),
        groups_complete=groups_complete,
        origins=tuple(_origin(table, members) for members in found),
        not_counting=tuple(table.claims[i].id for i in alone),
        superseded=tuple(Replaced(table.claims[i].id, by) for i, by in sorted(table.replaced.items())),
        conflicts=tuple(islice(_conflicts(table), MAX_CONFLICTS)),
        conflict_count=sum((table.found.conflicts[i] & table.counting).bit_count() for i in bits(table.counting)) // 2,
    )


def state_of(
    question_id: str, varies: bool, claims: Sequence[Claim], context: Context, foreign_links: Foreign = ()
) -> State:
    """Give `agree(...).state` without looking for groups."""
    if len(claims) == 1 and not foreign_links:
        return "single-origin" if claims[0].stance in _COUNTING else "open"
    return _state(_tabulate(claims, context, foreign_links, varies=varies))


@dataclass(frozen=True, slots=True)
class _Table:
    """The claims by number, who meets whom, and sets of numbers: who counts, who can agree, who stands beside."""

    claims: Sequence[Claim]
    context: Context
    varies: bool
    found: meeting.Meetings
    replaced: dict[int, tuple[str, ...]]
    counting: int
    agreeing: int
    beside: int


def _tabulate(claims: Sequence[Claim], context: Context, foreign_links: Foreign, *, varies: bool) -> _Table:
    replaced = meeting.replaced(claims, foreign_links)
    current = [(1 << i, claim.stance) for i, claim in enumerate(claims) if i not in replaced]
    return _Table(
        claims=claims,
        context=context,
        varies=varies,
        found=meeting.meetings(claims, varies=varies, context=context),
        replaced=replaced,
        counting=union(one for one, stance in current if stance in _COUNTING),
        agreeing=union(one for one, stance in current if stance in _AGREEING),
        beside=union(one for one, stance in current if stance not in _COUNTING),
    )


def _state(table: _Table) -> State:
    """Give the first that fits. Two claims that meet always stand in some group, so none need be built to tell."""
    meets, conflicts = table.found.meets, table.found.conflicts
    if any(conflicts[i] & table.counting for i in bits(table.counting)):
        return "disputed"
    origins = _origins(table)
    if len(origins) == 1:
        return "single-origin"
    for origin in origins:
        others = table.agreeing & ~origin
        if any(meets[i] & others for i in bits(origin & table.agreeing)):
            return "agreed"
    return "open"


def _conflicts(table: _Table) -> Iterator[tuple[str, str]]:
    for i in bits(table.counting):
        for j in bits(table.found.conflicts[i] & table.counting & -(1 << i)):
            yield table.claims[i].id, table.claims[j].id


# Origins


def _origins(table: _Table) -> list[int]:
    """Give the connected components of the counting claims that share a root or repeat each other."""
    spoken = _by_voice(table, table.counting)
    roots = {voice: _roots(voice, table.context) for voice in spoken}
    kin = {root: root for rooted in roots.values() for root in rooted}
    for rooted in roots.values():
        for root in rooted[1:]:
            kin[_head(kin, root)] = _head(kin, rooted[0])
    for a, b in table.found.repeats:
        if 1 << a & table.counting and 1 << b & table.counting:
            kin[_head(kin, roots[_voice(table.claims[a])][0])] = _head(kin, roots[_voice(table.claims[b])][0])
    origins: dict[_Root, int] = {}
    for voice, who in spoken.items():
        head = _head(kin, roots[voice][0])
        origins[head] = origins.get(head, 0) | who
    return sorted(origins.values(), key=lambda who: who & -who)


def _head(kin: dict[_Root, _Root], root: _Root) -> _Root:
    """Follow a root to the one that stands for all it is joined with, and shorten the way for the next."""
    while kin[root] != root:
        kin[root] = root = kin[kin[root]]
    return root


def _by_voice(table: _Table, members: int) -> dict[_Voice, int]:
    spoken: dict[_Voice, int] = {}
    for i in bits(members):
        voice = _voice(table.claims[i])
        spoken[voice] = spoken.get(voice, 0) | 1 << i
    return spoken


def _voice(claim: Claim) -> _Voice:
    """Give who speaks and the last source it came by; failing both, the claim's own source."""
    if claim.via:
        return claim.speaker, claim.via[-1]
    return claim.speaker, claim.source if claim.speaker is None else None


def _roots(voice: _Voice, context: Context) -> list[_Root]:
    """Give who first said it, one root at least."""
    speaker, source = voice
    roots = [] if speaker is None else [("speaker", speaker)]
    return roots if source is None else roots + [("source", first) for first in first_sources(source, context)]


def _origin(table: _Table, members: int) -> Origin:
    roots = sorted({root for voice in _by_voice(table, members) for root in _roots(voice, table.context)})
    return Origin(
        claims=_ids(table, members),
        speakers=tuple(name for kind, name in roots if kind == "speaker"),
        sources=tuple(name for kind, name in roots if kind == "source"),
    )


# Groups


def _groups(table: _Table) -> tuple[list[int], bool]:
    """Give the first MAX_GROUPS maximal sets of counting claims that meet pairwise, and whether these are all."""
    if meeting.is_swept(table.claims, varies=table.varies):
        groups, complete = meeting.sweep(table.claims, table.counting), True
    else:
        groups, complete = _cliques(table.found.meets, table.counting)
    # Between groups, the lowest number that only one of them holds decides: it comes first.
    groups.sort(key=lambda members: bin(members)[:1:-1], reverse=True)
    return groups[:MAX_GROUPS], complete and len(groups) <= MAX_GROUPS


def _cliques(meets: Sequence[int], members: int) -> tuple[list[int], bool]:
    """Search by Bron and Kerbosch with pivots; give up with what is there when too many are found or patience is out.

    Claims that meet one another and the same others stand for each other: the search sees one of them.
    """
    twins: dict[int, int] = {}
    for i in bits(members):
        alike = meets[i] & members | 1 << i
        twins[alike] = twins.get(alike, 0) | 1 << i
    twins_of = {(alike & -alike).bit_length() - 1: alike for alike in twins.values()}
    seen = union(1 << i for i in twins_of)
    found: list[int] = []
    patience = _PATIENCE
    for clique, looked_at in _search({i: meets[i] & seen for i in twins_of}):
        patience -= looked_at
        if clique:
            found.append(union(twins_of[i] for i in bits(clique)))
        if patience < 0 or len(found) > MAX_GROUPS:
            return found, False
    return found, True


def _search(meets: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Give each step of the search: the maximal set it found, or 0, and how many claims it looked at.

    Sets come in the order of their first member. There is no recursion: a chain of links may be long.
    """
    ahead = [(1 << i, meets[i] & -(1 << i), meets[i] & ~-(1 << i)) for i in sorted(meets, reverse=True)]
    while ahead:
        clique, candidates, excluded = ahead.pop()
        looked_at = 1 + candidates.bit_count() + excluded.bit_count()
        is_covered = any(not candidates & ~meets[i] for i in bits(excluded))
        yield (0 if candidates or is_covered else clique), looked_at
        if candidates and not is_covered:
            ahead += reversed(_branches(meets, clique, candidates, excluded))


def _branches(meets: Mapping[int, int], clique: int, candidates: int, excluded: int) -> list[tuple[int, int, int]]:
    """Take in turn each candidate that does not meet the pivot, the candidate that meets most others."""
    pivot = max(bits(candidates), key=lambda i: (candidates & meets[i]).bit_count())
    branches = []
    for i in bits(candidates & ~meets[pivot]):
        branches.append((clique | 1 << i, candidates & meets[i], excluded & meets[i]))
        candidates, excluded = candidates & ~(1 << i), excluded | 1 << i
    return branches


def _group(table: _Table, members: int, found: Sequence[int]) -> Group:
    beside = union(1 << i for i in bits(table.beside) if not members & ~table.found.meets[i])
    origins = [origin & members for origin in found if origin & members]
    stating = union(1 << i for i in bits(members) if _states(table.claims[i]))
    return Group(
        claims=_ids(table, members),
        sources=tuple(dict.fromkeys(table.claims[i].source for i in bits(members))),
        origins=tuple(_ids(table, origin) for origin in origins),
        beside=_ids(table, beside),
        shared=_shared(table, stating or members, origins),
        is_denied=not stating,
    )


def _states(claim: Claim) -> bool:
    """Say whether it gives an answer: only the denial of a boolean does, the opposite one."""
    return claim.stance != "denies" or isinstance(claim.answer, answers.BooleanAnswer)


def _ids(table: _Table, members: int) -> tuple[str, ...]:
    return tuple(table.claims[i].id for i in bits(members))


def _shared(table: _Table, members: int, origins: Sequence[int]) -> Bounds | Range | tuple[Member, ...] | None:
    given = [table.claims[i].answer for i in bits(members)]
    times = [answers.extent_of(answer) for answer in given if isinstance(answer, answers.TimeAnswer)]
    if times:
        return _shared_time(times)
    ranges = [answers.range_of(answer) for answer in given if isinstance(answer, answers.QuantityAnswer)]
    if ranges:
        return _shared_range(ranges)
    return _shared_members(table, members, origins) or None


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


def _shared_members(table: _Table, members: int, origins: Sequence[int]) -> tuple[Member, ...]:
    named: dict[str | bool, int] = {}
    for i in bits(members):
        for value in _values(table.claims[i]):
            named[value] = named.get(value, 0) | 1 << i
    parts = meeting.within({value: who for value, who in named.items() if isinstance(value, str)}, table.context)
    said = {value: parts[value] if isinstance(value, str) else who for value, who in named.items()}
    return tuple(Member(value, sum(1 for origin in origins if origin & who)) for value, who in said.items())


def _values(claim: Claim) -> Sequence[str | bool]:
    if isinstance(claim.answer, answers.BooleanAnswer):
        return (claim.answer.value != (claim.stance == "denies"),)
    if isinstance(claim.answer, answers.EntityAnswer):
        return (claim.answer.entity,)
    return claim.answer.entities if isinstance(claim.answer, answers.EntitiesAnswer) else ()


# On the wire


def to_json(agreement: Agreement) -> dict[str, object]:
    """Give plain JSON: ids, counts, times in UTC to the microsecond, numbers as decimal strings without exponent."""
    plain = msgspec.to_builtins(agreement)
    for group, shown in zip(agreement.groups, plain["groups"], strict=True):
        shown["shared"] = _shared_json(group.shared)
    return msgspec.json.decode(msgspec.json.encode(plain), type=dict[str, object])


def _shared_json(shared: Bounds | Range | tuple[Member, ...] | None) -> dict[str, object] | None:
    if isinstance(shared, Bounds):
        return {"type": "time", "bounds": edtf.render(edtf.Extent("moment", shared, shared))["start"]}
    if isinstance(shared, Range):
        return {"type": "quantity", "low": _plain(shared.low), "high": _plain(shared.high)}
    return None if shared is None else {"type": "members", "members": shared}


def _plain(number: Decimal | None) -> str | None:
    """Write it as answers are written: no exponent, no needless zero."""
    if number is None:
        return None
    text = f"{number + 0:f}"  # adding 0 takes the sign off -0
    return text.rstrip("0").rstrip(".") if "." in text else text
