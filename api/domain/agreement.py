"""What the live claims on a question add up to: its state, its groups, and the origins behind them.

Computed by code under `RULES`, never recorded: the same claims give the same agreement in whatever order they come.
Who meets and who conflicts is settled in `meeting`; nothing here reads a clock or a database.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from api.domain.answer import BooleanAnswer, EntitiesAnswer, EntityAnswer, QuantityAnswer, Range, TimeAnswer
from api.domain.answer import extent_of, range_of
from api.domain.edtf import OPEN_END, OPEN_START, Bounds, Extent, render
from api.domain.meeting import REPLACING, Claim, Context, Link, Meetings
from api.domain.meeting import bits, is_swept, meetings, sweep, union, within

__all__ = ["RULES", "Agreement", "Claim", "Context", "Group", "Link", "Origin", "State", "agree", "state_of", "to_json"]

RULES: Final = 1
MAX_GROUPS: Final = 200
MAX_CONFLICTS: Final = 1_000

# How many claims the search for groups may look at before it gives up: some tens of milliseconds.
_PATIENCE: Final = 400_000
_COUNTING: Final = frozenset({"asserts", "denies", "alleges"})
_AGREEING: Final = frozenset({"asserts", "denies"})

State = Literal["disputed", "single-origin", "agreed", "open"]
Foreign = Sequence[tuple[str, Link]]


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
    table = _tabulate(varies, sorted(claims, key=lambda claim: (claim.first_position, claim.id)), context, foreign_links)
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
        conflicts=_conflicts(table),
        conflict_count=sum((table.found.conflicts[i] & table.counting).bit_count() for i in bits(table.counting)) // 2,
    )


def state_of(
    question_id: str, varies: bool, claims: Sequence[Claim], context: Context, foreign_links: Foreign = ()
) -> State:
    """Give `agree(...).state` without looking for groups."""
    return _state(_tabulate(varies, claims, context, foreign_links))


# Who counts


@dataclass(frozen=True, slots=True)
class _Table:
    """The claims by number, who meets whom, and sets of numbers: who counts, who can agree, who stands beside."""

    claims: Sequence[Claim]
    context: Context
    varies: bool
    found: Meetings
    replaced: dict[int, tuple[str, ...]]
    counting: int
    agreeing: int
    beside: int


def _tabulate(varies: bool, claims: Sequence[Claim], context: Context, foreign_links: Foreign) -> _Table:
    replaced = _replaced(claims, foreign_links)
    current = [(1 << i, claim.stance) for i, claim in enumerate(claims) if i not in replaced]
    return _Table(
        claims=claims,
        context=context,
        varies=varies,
        found=meetings(claims, varies=varies, context=context),
        replaced=replaced,
        counting=union(one for one, stance in current if stance in _COUNTING),
        agreeing=union(one for one, stance in current if stance in _AGREEING),
        beside=union(one for one, stance in current if stance not in _COUNTING),
    )


def _replaced(claims: Sequence[Claim], foreign_links: Foreign) -> dict[int, tuple[str, ...]]:
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


# The state


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


def _conflicts(table: _Table) -> tuple[tuple[str, str], ...]:
    ids = [claim.id for claim in table.claims]
    pairs: list[tuple[str, str]] = []
    for i in bits(table.counting):
        later = table.found.conflicts[i] & table.counting & -(1 << i)
        pairs.extend((ids[i], ids[j]) for j in bits(later))
        if len(pairs) >= MAX_CONFLICTS:
            break
    return tuple(pairs[:MAX_CONFLICTS])


# Origins


def _origins(table: _Table) -> list[int]:
    """Give the connected components of the counting claims that share a root or repeat each other."""
    near = _near(table)
    origins, remaining = [], table.counting
    while remaining:
        origin = edge = remaining & -remaining
        while edge:
            edge = union(near[i] for i in bits(edge)) & ~origin
            origin |= edge
        origins.append(origin)
        remaining &= ~origin
    return origins


def _near(table: _Table) -> dict[int, int]:
    """Give, for each counting claim, the counting claims one step away."""
    roots = _roots(table, table.counting)
    by_root: dict[tuple[str, str], int] = {}
    for i, rooted in roots.items():
        for root in rooted:
            by_root[root] = by_root.get(root, 0) | 1 << i
    near = {i: union(by_root[root] for root in rooted) for i, rooted in roots.items()}
    for a, b in table.found.repeats:
        if a in near and b in near:
            near[a], near[b] = near[a] | 1 << b, near[b] | 1 << a
    return near


def _roots(table: _Table, members: int) -> dict[int, list[tuple[str, str]]]:
    """Give who first said it: the speaker, and the roots of the last source it came by; failing both, of its source."""
    roots: dict[int, list[tuple[str, str]]] = {}
    known: dict[str, list[tuple[str, str]]] = {}
    for i in bits(members):
        claim = table.claims[i]
        roots[i] = [("speaker", claim.speaker)] if claim.speaker is not None else []
        read = claim.via[-1] if claim.via else claim.source
        if claim.via or claim.speaker is None:
            if read not in known:
                known[read] = _source_roots(read, table.context)
            roots[i] += known[read]
    return roots


def _source_roots(source: str, context: Context) -> list[tuple[str, str]]:
    """Give the ancestors that derive from nothing; the source itself where it derives from nothing."""
    seen, ahead, roots = {source}, [source], []
    while ahead:
        parents = context.derives_from.get(ahead[-1], ())
        if not parents:
            roots.append(("source", ahead[-1]))
        ahead.pop()
        ahead += [parent for parent in dict.fromkeys(parents) if parent not in seen]
        seen.update(parents)
    return roots


def _origin(table: _Table, members: int) -> Origin:
    roots = sorted({root for rooted in _roots(table, members).values() for root in rooted})
    return Origin(
        claims=_ids(table, members),
        speakers=tuple(name for kind, name in roots if kind == "speaker"),
        sources=tuple(name for kind, name in roots if kind == "source"),
    )


# Groups


def _groups(table: _Table) -> tuple[list[int], bool]:
    """Give the first MAX_GROUPS maximal sets of counting claims that meet pairwise, and whether these are all."""
    if is_swept(table.claims, varies=table.varies):
        groups, complete = sweep(table.claims, table.counting), True
    else:
        groups, complete = _cliques(table.found.meets, table.counting)
    # Between groups, the lowest number that only one of them holds decides: it comes first.
    groups.sort(key=lambda members: bin(members)[:1:-1], reverse=True)
    return groups[:MAX_GROUPS], complete and len(groups) <= MAX_GROUPS


def _cliques(meets: Sequence[int], members: int) -> tuple[list[int], bool]:
    """Search by Bron and Kerbosch, from each first claim in turn, until all, or too many, or patience is out."""
    twins: dict[int, int] = {}
    for i in bits(members):
        neighbours = meets[i] & members | 1 << i
        twins[neighbours] = twins.get(neighbours, 0) | 1 << i
    whole = {(same & -same).bit_length() - 1: same for same in twins.values()}
    firsts = union(1 << i for i in whole)
    near = {i: meets[i] & firsts for i in whole}
    search = _Search(near, _PATIENCE)
    cliques: list[int] = []
    for i in bits(firsts):
        later = firsts & -(1 << i)
        for clique in search.grow(1 << i, near[i] & later, near[i] & ~later):
            cliques.append(union(whole[j] for j in bits(clique)))
            if len(cliques) > MAX_GROUPS:
                return cliques, False
    return cliques, search.patience > 0


@dataclass(slots=True)
class _Search:
    """Bron-Kerbosch with pivoting (Tomita and others, 2006), without recursion, that stops when patience is out."""

    near: dict[int, int]
    patience: int

    def grow(self, clique: int, candidates: int, excluded: int) -> Iterator[int]:
        """Give the maximal sets that hold `clique`, more of `candidates`, and nobody who is `excluded`."""
        near = self.near
        ahead = [(clique, candidates, excluded)]
        while ahead and self.patience > 0:
            clique, candidates, excluded = ahead.pop()
            self.patience -= 1 + candidates.bit_count() + excluded.bit_count()
            if any(not candidates & ~near[i] for i in bits(excluded)):
                continue
            if not candidates:
                yield clique
                continue
            branches = []
            for i in bits(candidates & ~near[self._pivot(candidates)]):
                branches.append((clique | 1 << i, candidates & near[i], excluded & near[i]))
                candidates, excluded = candidates & ~(1 << i), excluded | 1 << i
            ahead += reversed(branches)

    def _pivot(self, candidates: int) -> int:
        """Give the candidate that meets most others."""
        return max(bits(candidates), key=lambda i: (candidates & self.near[i]).bit_count())


def _group(table: _Table, members: int, found: Sequence[int]) -> Group:
    beside = union(1 << i for i in bits(table.beside) if not members & ~table.found.meets[i])
    origins = [origin & members for origin in found if origin & members]
    denying = union(1 << i for i in bits(members) if _is_flat_denial(table.claims[i]))
    stating = members & ~denying or denying
    return Group(
        claims=_ids(table, members),
        sources=tuple(dict.fromkeys(table.claims[i].source for i in bits(members))),
        origins=tuple(_ids(table, origin) for origin in origins),
        beside=_ids(table, beside),
        shared=_shared(table, stating, origins),
        is_denied=stating == denying,
    )


def _is_flat_denial(claim: Claim) -> bool:
    """Say whether it denies an answer without thereby giving one, as the denial of a boolean does."""
    return claim.stance == "denies" and not isinstance(claim.answer, BooleanAnswer)


def _ids(table: _Table, members: int) -> tuple[str, ...]:
    return tuple(table.claims[i].id for i in bits(members))


# What a group shares


def _shared(table: _Table, members: int, origins: Sequence[int]) -> Bounds | Range | tuple[Member, ...] | None:
    answers = [table.claims[i].answer for i in bits(members)]
    times = [extent_of(answer) for answer in answers if isinstance(answer, TimeAnswer)]
    if times:
        return _shared_time(times)
    ranges = [range_of(answer) for answer in answers if isinstance(answer, QuantityAnswer)]
    if ranges:
        return _shared_range(ranges)
    return _shared_members(table, members, origins) or None


def _shared_time(times: Sequence[Extent]) -> Bounds | None:
    """Give [earliest, latest) of what all may hold; a side is unknown where only open and unknown ends are left."""
    starts = [time.start.earliest for time in times]
    ends = [time.end.latest for time in times]
    earliest = max((start for start in starts if start is not None), default=OPEN_START)
    latest = min((end for end in ends if end is not None), default=OPEN_END)
    if earliest >= latest:
        return None
    return Bounds(
        None if earliest == OPEN_START and None in starts else earliest,
        None if latest == OPEN_END and None in ends else latest,
    )


def _shared_range(ranges: Sequence[Range]) -> Range | None:
    low = max((each.low for each in ranges if each.low is not None), default=None)
    high = min((each.high for each in ranges if each.high is not None), default=None)
    return None if low is not None and high is not None and low > high else Range(low, high)


def _shared_members(table: _Table, members: int, origins: Sequence[int]) -> tuple[Member, ...]:
    named: dict[str, int] = {}
    held: dict[bool, int] = {}
    for i in bits(members):
        claim = table.claims[i]
        if isinstance(claim.answer, BooleanAnswer):
            value = claim.answer.value != (claim.stance == "denies")
            held[value] = held.get(value, 0) | 1 << i
        for name in _names(claim):
            named[name] = named.get(name, 0) | 1 << i
    parts = within(named, table.context)
    said = [*held.items(), *((name, parts[name]) for name in named)]
    return tuple(Member(value, sum(1 for origin in origins if origin & who)) for value, who in said)


def _names(claim: Claim) -> tuple[str, ...]:
    if isinstance(claim.answer, EntityAnswer):
        return (claim.answer.entity,)
    return claim.answer.entities if isinstance(claim.answer, EntitiesAnswer) else ()


# On the wire


def to_json(agreement: Agreement) -> dict[str, object]:
    """Give plain JSON: ids, counts, times in UTC to the microsecond, numbers as decimal strings without exponent."""
    return {
        "question": agreement.question,
        "state": agreement.state,
        "groups": [_group_json(group) for group in agreement.groups],
        "groups_complete": agreement.groups_complete,
        "origins": [
            {"claims": [*origin.claims], "speakers": [*origin.speakers], "sources": [*origin.sources]}
            for origin in agreement.origins
        ],
        "not_counting": [*agreement.not_counting],
        "superseded": [{"claim": each.claim, "by": [*each.by]} for each in agreement.superseded],
        "conflicts": [[*pair] for pair in agreement.conflicts],
        "conflict_count": agreement.conflict_count,
        "rules": agreement.rules,
    }


def _group_json(group: Group) -> dict[str, object]:
    return {
        "claims": [*group.claims],
        "sources": [*group.sources],
        "origins": [[*origin] for origin in group.origins],
        "beside": [*group.beside],
        "shared": _shared_json(group.shared),
        "is_denied": group.is_denied,
    }


def _shared_json(shared: Bounds | Range | tuple[Member, ...] | None) -> dict[str, object] | None:
    if isinstance(shared, Bounds):
        return {"type": "time", "bounds": render(Extent("moment", shared, shared))["start"]}
    if isinstance(shared, Range):
        return {"type": "quantity", "low": _plain(shared.low), "high": _plain(shared.high)}
    if shared is None:
        return None
    return {"type": "members", "members": [{"value": each.value, "origins": each.origins} for each in shared]}


def _plain(number: Decimal | None) -> str | None:
    """Write it as answers are written: no exponent, no needless zero."""
    if number is None:
        return None
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
