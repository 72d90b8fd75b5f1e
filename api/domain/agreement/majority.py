"""Whether most origins agree: whether some group, no bridge, holds more than half of all origins that count.

A group is no bridge if one of its claims stands in no other group. Then it is all that this claim meets, and all of it
meets. So no group need be sought: of each claim it is asked how many origins those have that it meets, and whether they
meet each other. Claims that meet the same others for what they answer are asked as one, and what is known of the others
is kept as claims come and go, for what is said on a question on which nothing conflicts.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api.domain.agreement.meeting import Case, Company, Context, bits, set_of, union
from api.domain.records import answer as answers

AGREEING: Final = frozenset({"asserts", "denies"})
# Where more than so many different things are said, no majority is sought among them.
MOST_SAID: Final = 256

Key = Hashable


class Majority:
    """What counts on a question on which nothing conflicts, and of which origin it is.

    It is known under keys. Origins are numbers; whoever gives them tells which were joined since.
    """

    def __init__(self, context: Context, *, varies: bool) -> None:
        self._context, self._varies = context, varies
        self._said: dict[Key, _Said] = {}
        self._mates: dict[Key, set[Key]] = {}
        self._parts: dict[Key, _Part] = {}
        # Parts have numbers, and origins are counted in them, from when it is first asked and while parts are not too many.
        self._is_known = False
        self._free: list[int] = []
        # For each part, by number, those that it meets, itself among them, and whether all of them meet.
        self._met: dict[int, int] = {}
        self._whole: dict[int, bool] = {}
        self._counting, self._agreeing = _Coverage(self._met), _Coverage(self._met)
        self._joined: dict[int, int] = {}

    def put(self, key: Key, case: Case, origin: int, mates: Iterable[Key] = ()) -> None:
        """Let something count, or count otherwise. `mates` are those of what counts that links say meet it."""
        if key in self._said:
            self._leave(key)
        said = self._said[key] = _Said(case, origin, meets_all=self._meets_all(case))
        before = self._mates.pop(key, set())
        after = {mate for mate in mates if not (said.meets_all and self._said[mate].meets_all)}
        if after:
            self._mates[key] = after
        for mate in before - after:
            self._mates[mate].discard(key)
        for mate in after - before:
            self._mates.setdefault(mate, set()).add(key)
        self._enter(key)
        for mate in before ^ after:
            self._seat_anew(mate)

    def take(self, key: Key) -> None:
        """Let it count no more."""
        self._leave(key)
        for mate in self._mates.pop(key, ()):
            self._mates[mate].discard(key)
            self._seat_anew(mate)
        del self._said[key]

    def move(self, key: Key, origin: int) -> None:
        """Learn that something is of another origin now."""
        said = self._said.get(key)
        if said is not None:
            self._count_out(said)
            said.origin = origin
            self._count_in(said)

    def join(self, origin: int, larger: int) -> None:
        """Learn that what was of two origins is of one."""
        self._joined[origin] = larger
        self._counting.join(origin, larger)
        self._agreeing.join(origin, larger)
        if len(self._joined) > len(self._said):
            for said in self._said.values():
                said.origin = self._now(said.origin)
            self._joined.clear()

    def is_reached(self, origins: int) -> bool:
        """Say whether a group that is no bridge has more than half of so many origins, and two that assert or deny."""
        return any(True for _ in self._reaching(origins))

    def cores(self, origins: int) -> list[Key]:
        """Give what stands in such a group and in no other."""
        found = set(self._reaching(origins))
        parts = ((key, self._parts[said.part]) for key, said in self._said.items() if said.part is not None)
        return [key for key, part in parts if part.number in found]

    def _reaching(self, origins: int) -> Iterator[int]:
        """Give the parts that are the cores of such groups."""
        if len(self._parts) > MOST_SAID:
            return
        if not self._is_known:
            self._look_at_all()
        counting, agreeing = self._counting.of, self._agreeing.of
        yield from (i for i in self._met if 2 * counting[i] > origins and agreeing[i] > 1 and self._is_group(i))

    def _is_group(self, number: int) -> bool:
        """Say whether all that a part meets meet each other."""
        if number not in self._whole:
            members = self._met[number]
            self._whole[number] = all(members & self._met[i] == members for i in bits(members))
        return self._whole[number]

    # What is asked as one

    def _is_plain(self, case: Case) -> bool:
        """Say whether such answers meet all that they do not conflict with, or none: they need not be judged then."""
        answer = case.claim.answer
        is_always = isinstance(answer, answers.TimeAnswer) or not self._varies
        return is_always and not isinstance(answer, answers.EntitiesAnswer)

    def _meets_all(self, case: Case) -> bool:
        """Say whether two such answers meet whatever links say."""
        return self._is_plain(case) and not case.is_denial and not _is_text(case)

    def _part_of(self, key: Key) -> Key | None:
        """Name what is asked as one with this; None where it meets nothing."""
        case = self._said[key].case
        if self._mates.get(key):
            return "alone", key
        if _is_text(case) and not case.is_denial:
            return None
        said = None if self._meets_all(case) else case.key
        return type(case.claim.answer), said, case.is_denial, case.when if self._varies else None

    def _seat_anew(self, key: Key) -> None:
        """Let something be asked as one with others, or alone, as links have it now."""
        if self._part_of(key) != self._said[key].part:
            self._leave(key)
            self._enter(key)

    def _enter(self, key: Key) -> None:
        said = self._said[key]
        said.part = name = self._part_of(key)
        if name is None:
            return
        part = self._parts.get(name) or self._begin(name, key)
        part.size += 1
        self._count_in(said)

    def _leave(self, key: Key) -> None:
        said = self._said[key]
        if said.part is None:
            return
        self._count_out(said)
        part = self._parts[said.part]
        part.size -= 1
        if not part.size:
            self._end(said.part)

    def _count_in(self, said: "_Said") -> None:
        if self._is_known and said.part is not None:
            for coverage in self._coverages(said):
                coverage.add(self._parts[said.part].number, self._now(said.origin))

    def _count_out(self, said: "_Said") -> None:
        if self._is_known and said.part is not None:
            for coverage in self._coverages(said):
                coverage.take(self._parts[said.part].number, self._now(said.origin))

    def _coverages(self, said: "_Said") -> "Sequence[_Coverage]":
        is_agreeing = said.case.claim.stance in AGREEING
        return (self._counting, self._agreeing) if is_agreeing else (self._counting,)

    def _now(self, origin: int) -> int:
        """Follow an origin to the one that it is part of now, and shorten the way for the next."""
        while origin in self._joined:
            ahead = self._joined[origin]
            self._joined[origin] = origin = self._joined.get(ahead, ahead)
        return origin

    # What meets what

    def _begin(self, name: Key, key: Key) -> "_Part":
        part = self._parts[name] = _Part(self._said[key].case, alone=key if self._mates.get(key) else None)
        # By then so many came that to look at all again, once they are gone, is little for each.
        if len(self._parts) > 2 * MOST_SAID:
            self._forget()
        if self._is_known:
            part.number = self._free.pop() if self._free else len(self._parts) - 1
            self._let_meet(part.number, self._judge([part])[part.number])
        return part

    def _end(self, name: Key) -> None:
        part = self._parts.pop(name)
        if self._is_known:
            self._free.append(part.number)
            self._let_meet(part.number, 0)
            del self._met[part.number]

    def _let_meet(self, number: int, met: int) -> None:
        """Let a part in which nobody speaks meet these."""
        for i in bits(self._met.get(number, 0) ^ met):
            self._met[i] = self._met.get(i, 0) ^ 1 << number
        self._met[number] = met
        self._whole.clear()
        self._counting.count_anew(number)
        self._agreeing.count_anew(number)

    def _look_at_all(self) -> None:
        parts = list(self._parts.values())
        for number, part in enumerate(parts):
            part.number = number
        self._is_known = True
        for said in self._said.values():
            self._count_in(said)
        # Only now is it known what meets: so what each part covers is counted once, not for each that is said.
        self._met.update(self._judge(parts))
        for number in self._met:
            self._counting.count_anew(number)
            self._agreeing.count_anew(number)

    def _forget(self) -> None:
        self._is_known = False
        for memory in (self._free, self._met, self._whole, self._counting, self._agreeing):
            memory.clear()

    def _judge(self, some: "Sequence[_Part]") -> dict[int, int]:
        """Give for each of some parts those of all that it meets, itself among them."""
        those = list(self._parts.values())
        company = None
        found = {}
        for part in some:
            if not self._is_plain(part.case):
                company = company or Company([each.case for each in those], self._context, varies=self._varies)
                met = [those[i] for i in bits(company.meets(part.case))]
            elif part.case.is_denial:
                met = [each for each in those if each.case.is_denial and each.case.key == part.case.key]
            elif self._meets_all(part.case):
                met = [each for each in those if self._meets_all(each.case)]
            else:
                met = []
            found[part.number] = set_of([each.number for each in (part, *met, *self._parts_of_mates(part))])
        return found

    def _parts_of_mates(self, part: "_Part") -> "Iterator[_Part]":
        for mate in self._mates.get(part.alone, ()):
            if ("alone", mate) in self._parts:
                yield self._parts["alone", mate]


class _Coverage:
    """How many origins speak in each part or in one that it meets."""

    def __init__(self, met: Mapping[int, int]) -> None:
        self._met = met
        self.of: Counter[int] = Counter()
        # How often an origin speaks in a part, and in which parts each does; how many origins speak in just those.
        self._counts: Counter[tuple[int, int]] = Counter()
        self._spread: dict[int, int] = {}
        self._spreads: Counter[int] = Counter()

    def clear(self) -> None:
        for memory in (self.of, self._counts, self._spread, self._spreads):
            memory.clear()

    def add(self, number: int, origin: int) -> None:
        self._counts[origin, number] += 1
        if self._counts[origin, number] == 1:
            elsewhere = self._spread.get(origin, 0)
            self._let_speak(origin, elsewhere | 1 << number)
            self._let_cover(number, elsewhere, 1)

    def take(self, number: int, origin: int) -> None:
        self._counts[origin, number] -= 1
        if not self._counts[origin, number]:
            del self._counts[origin, number]
            elsewhere = self._spread[origin] ^ 1 << number
            self._let_speak(origin, elsewhere)
            self._let_cover(number, elsewhere, -1)

    def join(self, origin: int, larger: int) -> None:
        spread, there = self._spread.get(origin, 0), self._spread.get(larger, 0)
        for number in bits(spread):
            self._counts[larger, number] += self._counts.pop((origin, number))
        self._let_speak(origin, 0)
        self._let_speak(larger, spread | there)
        for i in bits(self._reach(spread) & self._reach(there)):
            self.of[i] -= 1

    def _let_speak(self, origin: int, spread: int) -> None:
        """Let an origin speak in these parts and no others."""
        before = self._spread.pop(origin, 0)
        if spread:
            self._spread[origin] = spread
        self._spreads[before] -= 1
        self._spreads[spread] += 1
        if self._spreads[before] <= 0:
            del self._spreads[before]

    def _let_cover(self, number: int, elsewhere: int, change: int) -> None:
        """Count an origin in or out that speaks in a part, where it does not reach those that meet it from elsewhere."""
        for i in bits(self._met.get(number, 0)):
            if not elsewhere & self._met[i]:
                self.of[i] += change

    def _reach(self, spread: int) -> int:
        """Give the parts that meet any of these."""
        return union(self._met[i] for i in bits(spread))

    def count_anew(self, number: int) -> None:
        met = self._met[number]
        self.of[number] = sum(count for spread, count in self._spreads.items() if spread & met)


@dataclass(slots=True)
class _Said:
    case: Case
    origin: int
    meets_all: bool
    part: Key | None = None


@dataclass(slots=True)
class _Part:
    """What is asked as one, such as this case, and how much that is; `alone` is the key of what links touch."""

    case: Case
    alone: Key | None
    number: int = 0
    size: int = 0


def _is_text(case: Case) -> bool:
    return isinstance(case.claim.answer, answers.TextAnswer)
