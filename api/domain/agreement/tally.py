"""The state of agreement on a question, followed claim by claim: what `agreement.state_of` adds up from all at once.

Two claims that conflict make a dispute, so one pair tells. It is looked for where it can be, and again only when one of
the two goes: claims that were found not to conflict are not judged again. Whether most agree is followed in `majority`,
from when it is first asked. Claims that say the same come as one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Final

import msgspec

from api.domain.agreement import meeting
from api.domain.agreement.agreement import Root, StateOfAgreement, Voice, roots, voice
from api.domain.agreement.majority import Key, Majority
from api.domain.agreement.meeting import PAIRED, Bond, Case, Claim, Company, Context, Link

# So many of the latest are judged as one block, which is made anew for each that comes.
_YOUNG: Final = 16
# From so many on those that were never looked at are judged as one.
_MANY: Final = 64


class Effort(msgspec.Struct, gc=False):
    """How many claims were taken up anew, because of what changed around them: what a batch may ask for is bounded by it."""

    claims: int = 0


class Saying(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a claim says, or what several say alike, under a key: the id of a claim that links touch, or what is said."""

    key: Key
    case: Case
    voice: Voice


def saying_of(key: Key, claim: Claim) -> Saying:
    """Make what a claim says ready to be judged."""
    return Saying(key, meeting.case_of(claim), voice(claim))


class Tally:
    """What counts on a question, and the state it adds up to. Each change costs little, however much counts."""

    def __init__(self, context: Context, *, varies: bool, effort: Effort) -> None:
        self._context, self._varies, self._effort = context, varies, effort
        self._sayings: dict[Key, Saying] = {}
        self._bonds = _Bonds()
        self._origins = _Origins(context)
        self._repeated: dict[Key, dict[Key, tuple[Root, Root]]] = {}
        self._clash = _Clash(context, self._bonds, varies=varies)
        self._majority: Majority | None = None

    def __contains__(self, key: Key) -> bool:
        return key in self._sayings

    @property
    def state(self) -> StateOfAgreement:
        if self._clash.pair() is not None:
            return "disputed"
        if len(self._origins) == 1:
            return "single-origin"
        self._majority = majority = self._majority or self._counted()
        return "agreed" if majority.is_reached(len(self._origins)) else "open"

    def _counted(self) -> Majority:
        majority, there = Majority(self._context, varies=self._varies), set[Key]()
        for key, saying in self._sayings.items():
            mates = (mate for mate in self._mates(key) if mate in there)
            majority.put(key, saying.case, self._origins.of(saying), mates)
            there.add(key)
        return majority

    def _mates(self, key: Key) -> list[Key]:
        """Give those of what counts that links say meet this."""
        return [other for other, bond in self._bonds.of(key).items() if other in self._sayings and not bond.is_conflict]

    def exchange(self, out: Key | None, saying: Saying | None) -> None:
        """Let what counted under a key count no more, and something else instead: either may be None."""
        old = self._sayings.pop(out) if out is not None else None
        if old is not None:
            self._clash.take(old)
            if self._majority is not None and (saying is None or old.key != saying.key):
                self._majority.take(old.key)
            if saying is None or (old.key, old.voice) != (saying.key, saying.voice):
                self._let_repeat(old.key)
        self._origins.exchange(old, saying)
        self._regroup()
        if saying is not None:
            self._sayings[saying.key] = saying
            self._clash.add(saying)
            if self._majority is not None:
                self._majority.put(saying.key, saying.case, self._origins.of(saying), self._mates(saying.key))
            self._let_repeat(saying.key)

    def tell(self, maker: Key, links: Sequence[Link]) -> None:
        """Let a claim make these links, and no others. What it says is to be exchanged afterwards, if it counts."""
        self._bonds.tell(maker, links)

    def _let_repeat(self, key: Key) -> None:
        """Let what repeats each other be of one origin, as far as both count."""
        wanted, held = self._repeating(key), self._repeated.pop(key, {})
        for other, tied in wanted.items() - held.items():
            self._origins.tie(*tied)
            self._repeated.setdefault(other, {})[key] = tied[::-1]
        for other, tied in held.items() - wanted.items():
            self._origins.untie(*tied)
            if other not in wanted:
                del self._repeated[other][key]
        if wanted:
            self._repeated[key] = wanted
        self._regroup()

    def _repeating(self, key: Key) -> dict[Key, tuple[Root, Root]]:
        """Give those that count and repeat this one, or that it repeats, each with the roots that this ties."""
        saying, found = self._sayings.get(key), {}
        for other, bond in self._bonds.of(key).items() if saying is not None else ():
            mate = self._sayings.get(other)
            if saying is not None and mate is not None and bond.is_repetition:
                found[other] = self._origins.root(saying), self._origins.root(mate)
        return {other: tied for other, tied in found.items() if tied[0] != tied[1]}

    def _regroup(self) -> None:
        """Tell of those that are of another origin now."""
        joined, parted = self._origins.changes()
        if self._majority is None:
            return
        for origin, larger in joined:
            self._majority.join(origin, larger)
        for saying in parted:
            self._effort.claims += 1
            self._majority.move(saying.key, self._origins.of(saying))


class _Bonds:
    """What claims say of each other by links, under the key of each of the two."""

    def __init__(self) -> None:
        self._links: dict[Key, Sequence[Link]] = {}
        self._bonds: dict[Key, dict[Key, Bond]] = {}

    def of(self, key: Key) -> Mapping[Key, Bond]:
        return self._bonds.get(key, {})

    def tell(self, maker: Key, links: Sequence[Link]) -> None:
        for link in self._links.pop(maker, ()):
            bond = self._bonds[maker][link.claim]
            bond.links.remove(link)
            if not bond.links:
                del self._bonds[maker][link.claim], self._bonds[link.claim][maker]
        told = [link for link in links if link.relation in PAIRED and link.claim != maker]
        for link in told:
            bond = self._bonds.setdefault(maker, {}).setdefault(link.claim, Bond([]))
            self._bonds.setdefault(link.claim, {})[maker] = bond
            bond.links.append(link)
            bond.links.sort(key=lambda one: (one.position, one.relation))
        if told:
            self._links[maker] = told

    def told(self, key: Key) -> tuple[list[Key], list[Key]]:
        """Give those that links say conflict with this one, and those that they say meet it."""
        conflicting, meeting_ = list[Key](), list[Key]()
        for other, bond in self.of(key).items():
            (conflicting if bond.is_conflict else meeting_).append(other)
        return conflicting, meeting_


# Pairs


class _Block:
    """Some sayings that others are judged against together. Of those that left only `there` tells."""

    def __init__(self, sayings: Sequence[Saying], company: Company) -> None:
        self.sayings, self.company, self.there = sayings, company, (1 << len(sayings)) - 1

    def staying(self) -> list[Saying]:
        return [self.sayings[i] for i in meeting.bits(self.there)]


class _Crowd:
    """Sayings in blocks, each larger than those after it together: so each is put into another block a few times only."""

    def __init__(self, context: Context, *, varies: bool) -> None:
        self._context, self._varies = context, varies
        self.blocks: list[_Block] = []
        self._places: dict[Key, tuple[_Block, int]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def __getitem__(self, key: Key) -> Saying:
        block, i = self._places[key]
        return block.sayings[i]

    def add(self, sayings: Sequence[Saying]) -> None:
        if self.blocks and len(self.blocks[-1].sayings) < _YOUNG:
            sayings = [*self.blocks.pop().staying(), *sayings]
        while len(sayings) >= _YOUNG and self.blocks and len(self.blocks[-1].sayings) <= len(sayings):
            sayings = [*self.blocks.pop().staying(), *sayings]
        company = Company([saying.case for saying in sayings], self._context, varies=self._varies)
        block = _Block(sayings, company)
        self._places.update((saying.key, (block, i)) for i, saying in enumerate(sayings))
        self.blocks.append(block)

    def take(self, key: Key) -> None:
        block, i = self._places.pop(key)
        block.there ^= 1 << i

    def clear(self) -> None:
        self.blocks.clear()
        self._places.clear()

    def those(self, keys: Iterable[Key]) -> dict[int, int]:
        """Give the sets of these, by block."""
        found: dict[int, int] = {}
        for block, i in (self._places[key] for key in keys if key in self._places):
            found[id(block)] = found.get(id(block), 0) | 1 << i
        return found


class _Clash:
    """Looks for two sayings that conflict.

    No two of its crowd do; the others wait. One that conflicts with the crowd goes on waiting: while it and its mate
    are there, nothing need be looked at.
    """

    def __init__(self, context: Context, bonds: _Bonds, *, varies: bool) -> None:
        self._crowd, self._bonds = _Crowd(context, varies=varies), bonds
        self._waiting: dict[Key, Saying] = {}
        self._pair: tuple[Saying, Saying] | None = None
        self._is_new = True

    def add(self, saying: Saying) -> None:
        self._waiting[saying.key] = saying

    def take(self, saying: Saying) -> None:
        if self._waiting.pop(saying.key, None) is None and saying.key in self._crowd:
            self._crowd.take(saying.key)
        if self._pair is not None and saying in self._pair:
            self._pair = None

    def pair(self) -> tuple[Saying, Saying] | None:
        if self._is_new and len(self._waiting) >= _MANY:
            self._look_at_all()
        while self._pair is None and self._waiting:
            saying = next(iter(self._waiting.values()))
            mate = self._mate(saying)
            if mate is not None:
                self._pair = saying, mate
            else:
                del self._waiting[saying.key]
                self._crowd.add([saying])
        return self._pair

    def _look_at_all(self) -> None:
        """Judge those that wait among themselves; where two conflict, all but one of them go on waiting."""
        self._is_new = False
        if self._crowd.blocks:
            return
        self._crowd.add(list(self._waiting.values()))
        for saying in self._waiting.values():
            mate = self._mate(saying)
            if mate is not None:
                self._crowd.clear()
                self._crowd.add([self._waiting.pop(mate.key)])
                self._waiting = {saying.key: saying, **self._waiting}
                self._pair = saying, mate
                return
        self._waiting.clear()

    def _mate(self, saying: Saying) -> Saying | None:
        """Give one of the crowd that conflicts with a saying. What links tell outranks the rest."""
        wanted, unwanted = self._bonds.told(saying.key)
        for key in wanted:
            if key in self._crowd:
                return self._crowd[key]
        passed = self._crowd.those([saying.key, *unwanted])
        for block in self._crowd.blocks:
            found = block.company.conflicts(saying.case) & block.there
            found ^= found & passed.get(id(block), 0)
            if found:
                return block.sayings[(found & -found).bit_length() - 1]
        return None


# Origins


class _Origins:
    """The origins of what counts: voices that share a root, or repeat each other, are of one.

    They are the connected parts of a graph of roots, kept as voices come and go: to join two or to part one costs what
    the smaller of them holds.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sayings: dict[Voice, dict[Key, Saying]] = {}
        self._rooted: dict[Voice, list[Root]] = {}
        # For each root the voices that begin with it, how many voices name it, and how often it is tied to which others.
        self._voices: dict[Root, set[Voice]] = {}
        self._uses: Counter[Root] = Counter()
        self._ties: dict[Root, Counter[Root]] = {}
        self._origin: dict[Root, int] = {}
        self._held: dict[int, set[Root]] = {}
        self._numbers = count(1)
        self._joined: list[tuple[int, int]] = []
        self._parted: list[Saying] = []

    def __len__(self) -> int:
        return len(self._held)

    def changes(self) -> tuple[list[tuple[int, int]], list[Saying]]:
        """Give which origins were joined, each with the one that it is part of now, and what is of a new one; each once.

        Whatever came first, what is of a new origin leaves the crowd to be judged anew, so joins may be learnt of first.
        """
        changes = self._joined, self._parted
        self._joined, self._parted = [], []
        return changes

    def of(self, saying: Saying) -> int:
        """Give the number of a saying's origin: it is another after that was joined or parted."""
        return self._origin[self.root(saying)]

    def root(self, saying: Saying) -> Root:
        return self._rooted[saying.voice][0]

    def exchange(self, old: Saying | None, new: Saying | None) -> None:
        if old is not None and new is not None and old.voice == new.voice:
            del self._sayings[old.voice][old.key]
            self._sayings[new.voice][new.key] = new
            return
        if new is not None:
            self._add(new)
        if old is not None:
            self._take(old)

    def _add(self, saying: Saying) -> None:
        if saying.voice not in self._sayings:
            first, *others = self._rooted[saying.voice] = roots(saying.voice, self._context)
            for root in (first, *others):
                self._use(root)
            for root in others:
                self.tie(first, root)
            self._voices.setdefault(first, set()).add(saying.voice)
        self._sayings.setdefault(saying.voice, {})[saying.key] = saying

    def _take(self, saying: Saying) -> None:
        sayings = self._sayings[saying.voice]
        del sayings[saying.key]
        if sayings:
            return
        del self._sayings[saying.voice]
        first, *others = self._rooted.pop(saying.voice)
        self._voices[first].remove(saying.voice)
        for root in others:
            self.untie(first, root)
        for root in (first, *others):
            self._leave(root)

    def _use(self, root: Root) -> None:
        self._uses[root] += 1
        if self._uses[root] == 1:
            self._origin[root] = number = next(self._numbers)
            self._held[number] = {root}

    def _leave(self, root: Root) -> None:
        """Let one voice less name a root; the last leaves it when nothing ties it any more."""
        self._uses[root] -= 1
        if not self._uses[root]:
            for memory in (self._uses, self._voices, self._ties):
                memory.pop(root, None)
            del self._held[self._origin.pop(root)]

    def tie(self, one: Root, other: Root) -> None:
        for a, b in ((one, other), (other, one)):
            self._ties.setdefault(a, Counter())[b] += 1
        small, large = sorted((self._origin[one], self._origin[other]), key=lambda number: len(self._held[number]))
        if small != large:
            self._origin.update(dict.fromkeys(self._held[small], large))
            self._held[large] |= self._held.pop(small)
            self._joined.append((small, large))

    def untie(self, one: Root, other: Root) -> None:
        for a, b in ((one, other), (other, one)):
            self._ties[a][b] -= 1
            if not self._ties[a][b]:
                del self._ties[a][b]
        if other in self._ties[one]:
            return
        part = self._part(one, other)
        if part is not None:
            number = next(self._numbers)
            self._held[self._origin[one]] -= part
            self._held[number] = part
            self._origin.update(dict.fromkeys(part, number))
            voices = (each for root in part for each in self._voices.get(root, ()))
            self._parted += [saying for each in voices for saying in self._sayings[each].values()]

    def _part(self, one: Root, other: Root) -> set[Root] | None:
        """Walk from both roots in turn; give what is reached from the one whose walk ends first, None where they meet."""
        seen, others = {one}, {other}
        walk, other_walk = self._walk(one, seen), self._walk(other, others)
        while True:
            root = next(walk, None)
            if root is None:
                return seen
            if root in others:
                return None
            walk, other_walk, seen, others = other_walk, walk, others, seen

    def _walk(self, start: Root, seen: set[Root]) -> Iterator[Root]:
        ahead = [start]
        while ahead:
            for root in self._ties.get(ahead.pop(), ()):
                if root not in seen:
                    seen.add(root)
                    ahead.append(root)
                yield root
