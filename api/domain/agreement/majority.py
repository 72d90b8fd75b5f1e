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

from api.domain.agreement.meeting import Case, Company, Context, bits, set_of
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
        self._free: list[int] = []
        # For each part, by number, those that it meets, itself among them. Nothing is known before it is asked for, nor
        # of too many.
        self._is_known = False
        self._met: dict[int, int] = {}
        self._whole: dict[int, bool] = {}
        self._counting, self._agreeing = _Coverage(self._met), _Coverage(self._met)
        self._joined: dict[int, int] = {}

    def put(self, key: Key, case: Case, origin: int, mates: Iterable[Key] = ()) -> None:
        """Let something count. `mates` are those of what counts that links say meet it."""
        self._said[key] = _Said(case, origin)
        for mate in mates:
            if not self._meet_anyway(case, self._said[mate].case):
                self._mates.setdefault(key, set()).add(mate)
                self._mates.setdefault(mate, set()).add(key)
        self._enter(key)
        for mate in self._mates.get(key, ()):
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
        if key in self._said:
            self._leave(key)
            self._said[key].origin = origin
            self._enter(key)

    def join(self, origin: int, larger: int) -> None:
        """Learn that what was of two origins is of one."""
        self._joined[origin] = larger
        self._counting.join(origin, larger)
        self._agreeing.join(origin, larger)

    def is_reached(self, origins: int) -> bool:
        """Say whether a group that is no bridge has more than half of so many origins, and two that assert or deny."""
        if len(self._parts) > MOST_SAID:
            return False
        if not self._is_known:
            self._look_at_all()
        counting, agreeing = self._counting.of, self._agreeing.of
        return any(2 * counting[i] > origins and agreeing[i] > 1 and self._is_group(i) for i in self._met)

    def _is_group(self, number: int) -> bool:
        """Say whether all that a part meets meet each other."""
        if number not in self._whole:
            members = self._met[number]
            self._whole[number] = all(members & self._met[i] == members for i in bits(members))
        return self._whole[number]

    # What is asked as one

    def _meet_anyway(self, one: Case, other: Case) -> bool:
        """Say whether two meet whatever links say."""
        return all(self._is_plain(case) and not case.is_denial and not _is_text(case) for case in (one, other))

    def _is_plain(self, case: Case) -> bool:
        """Say whether such answers meet all that they do not conflict with, or none: they need not be judged then."""
        answer = case.claim.answer
        is_always = isinstance(answer, answers.TimeAnswer) or not self._varies
        return is_always and not isinstance(answer, answers.EntitiesAnswer)

    def _part_of(self, key: Key) -> Key | None:
        """Name what is asked as one with this; None where it meets nothing."""
        case = self._said[key].case
        if self._mates.get(key):
            return "alone", key
        if _is_text(case) and not case.is_denial:
            return None
        said = None if self._is_plain(case) and not case.is_denial else case.key
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
        for coverage in self._coverages(said):
            coverage.add(part.number, self._now(said.origin))

    def _leave(self, key: Key) -> None:
        said = self._said[key]
        if said.part is None:
            return
        part = self._parts[said.part]
        for coverage in self._coverages(said):
            coverage.take(part.number, self._now(said.origin))
        part.size -= 1
        if not part.size:
            self._end(said.part)

    def _coverages(self, said: "_Said") -> "Sequence[_Coverage]":
        is_agreeing = said.case.claim.stance in AGREEING
        return (self._counting, self._agreeing) if is_agreeing else (self._counting,)

    def _now(self, origin: int) -> int:
        while origin in self._joined:
            origin = self._joined[origin]
        return origin

    # What meets what

    def _begin(self, name: Key, key: Key) -> "_Part":
        number = self._free.pop() if self._free else len(self._parts)
        part = _Part(number, self._said[key].case, alone=key if self._mates.get(key) else None)
        if self._is_known:
            self._let_meet(number, self._judge([part])[number] | 1 << number)
        self._parts[name] = part
        if len(self._parts) > MOST_SAID:
            self._is_known = False
            self._met.clear()
        return part

    def _end(self, name: Key) -> None:
        number = self._parts.pop(name).number
        self._free.append(number)
        if self._is_known:
            self._let_meet(number, 0)
            del self._met[number]

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
        self._met.update({number: met | 1 << number for number, met in self._judge(parts).items()})
        for coverage in (self._counting, self._agreeing):
            for number in self._met:
                coverage.count_anew(number)
        self._whole.clear()
        self._is_known = True

    def _judge(self, some: "Sequence[_Part]") -> dict[int, int]:
        """Give for each of some parts those of all that it meets."""
        those = list(self._parts.values())
        company = None
        found = {}
        for part in some:
            if not self._is_plain(part.case):
                company = company or Company([each.case for each in those], self._context, varies=self._varies)
                met = [those[i] for i in bits(company.meets(part.case))]
            elif part.case.is_denial:
                met = [each for each in those if each.case.is_denial and each.case.key == part.case.key]
            else:
                met = [each for each in those if self._meet_anyway(part.case, each.case)]
            found[part.number] = set_of([each.number for each in (*met, *self._parts_of_mates(part))])
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
        # For each origin in which parts it speaks, and how often in each.
        self._spread: dict[int, int] = {}
        self._counts: dict[int, dict[int, int]] = {}

    def add(self, number: int, origin: int, count: int = 1) -> None:
        counts = self._counts.setdefault(origin, {})
        if number not in counts:
            elsewhere = self._spread.get(origin, 0)
            self._spread[origin] = elsewhere | 1 << number
            self._let_cover(number, elsewhere, 1)
        counts[number] = counts.get(number, 0) + count

    def take(self, number: int, origin: int, count: int = 1) -> None:
        counts = self._counts[origin]
        counts[number] -= count
        if not counts[number]:
            del counts[number]
            self._spread[origin] = elsewhere = self._spread[origin] ^ 1 << number
            self._let_cover(number, elsewhere, -1)
            if not elsewhere:
                del self._spread[origin], self._counts[origin]

    def _let_cover(self, number: int, elsewhere: int, change: int) -> None:
        """Count an origin in or out that speaks in a part, where it does not reach those that meet it from elsewhere."""
        for i in bits(self._met.get(number, 0)):
            if not elsewhere & self._met[i]:
                self.of[i] += change

    def join(self, origin: int, larger: int) -> None:
        for number, count in list(self._counts.get(origin, {}).items()):
            self.take(number, origin, count)
            self.add(number, larger, count)

    def count_anew(self, number: int) -> None:
        met = self._met[number]
        self.of[number] = sum(1 for spread in self._spread.values() if spread & met)


@dataclass(slots=True)
class _Said:
    case: Case
    origin: int
    part: Key | None = None


@dataclass(slots=True)
class _Part:
    """What is asked as one, such as this case, and how much that is; `alone` is the key of what links touch."""

    number: int
    case: Case
    alone: Key | None
    size: int = 0


def _is_text(case: Case) -> bool:
    return isinstance(case.claim.answer, answers.TextAnswer)
