"""A question as the writer follows it: its claims, what links make of them, and the state that they add up to.

Of claims that no link touches, and that say the same, one is kept and how many there are.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from api.domain.agreement.agreement import COUNTING, Claim, Context, Link, StateOfAgreement
from api.domain.agreement.majority import Key
from api.domain.agreement.meeting import REPLACING
from api.domain.agreement.tally import Effort, Tally, saying_of
from api.domain.records.answer import entities_in
from api.domain.records.record import State
from api.ledger.projecting.weighed import WeighedClaim

# What a question takes whatever is said on it, in claims.
_BY_ITSELF = 3
# A question with so few sayings, and so little around them, keeps no tally for long: it would take more memory than they do.
_FEW, _LITTLE = 8, 32

IsInForce = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Around:
    """What entities and sources around the claims say, as far as it was read."""

    part_of: dict[str, str | None] = field(default_factory=dict)
    derives_from: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.part_of) + len(self.derives_from)


Surround = Callable[[Around, Claim], None]


class Followed:
    """The claims on one question.

    `is_in_force` says whether a source is; `surround` adds what entities and sources around a claim say; what is weighed
    anew is counted as `effort`.
    """

    def __init__(
        self, is_in_force: IsInForce, surround: Surround, effort: Effort, *, is_asserted: bool, varies: bool
    ) -> None:
        self._is_in_force, self._surround, self._effort = is_in_force, surround, effort
        # Retracted claims are counted here alone, unless links touch them.
        self.claim_count = 0
        self._alike: dict[bytes, tuple[Claim, int]] = {}
        self._apart: dict[str, WeighedClaim] = {}
        # For each claim those that correct or supersede it, by when they last said so, and which of them prevail.
        self._replacing: dict[str, dict[str, int]] = {}
        self._prevailing: dict[str, set[str]] = {}
        self._makers: dict[str, set[str]] = {}
        self._is_asserted, self._varies = is_asserted, varies
        self._around = Around()
        self._tally: Tally | None = None

    def __len__(self) -> int:
        """Say how much is kept, in claims."""
        return _BY_ITSELF + len(self._alike) + len(self._apart) + len(self._around)

    def begin(self, *, is_asserted: bool, varies: bool) -> None:
        """Weigh all anew: something around the claims has changed. What replaces them is to be told again."""
        self._effort.claims += self.claim_count
        self._is_asserted, self._varies = is_asserted, varies
        self._around, self._tally = Around(), None
        self._replacing.clear()
        self._prevailing.clear()

    @property
    def is_counted(self) -> bool:
        """Say whether the state is known without a look at all claims."""
        return self._tally is not None

    @property
    def state(self) -> StateOfAgreement:
        return (self._tally or self._counted_up()).state

    def rest(self) -> None:
        """Keep no tally of a question that is soon counted up again."""
        if self._is_small():
            self._tally = None

    def _is_small(self) -> bool:
        sayings = len(self._alike) + len(self._apart)
        return (
            sayings <= _FEW and len(self._around) + sum(len(one.claim.links) for one in self._apart.values()) <= _LITTLE
        )

    def _counted_up(self) -> Tally:
        """Count all that counts. Not before the state is asked for: many questions are read along with others and never are."""
        context = Context(self._around.part_of, self._around.derives_from)
        self._tally = tally = Tally(context, varies=self._varies, effort=self._effort)
        for says, (claim, _) in self._alike.items():
            self._exchange(None, says if self._is_heard(claim) else None, claim)
        for claim_id, one in self._apart.items():
            self._tell(claim_id, one)
            self._weigh(claim_id)
        return tally

    def sources(self) -> set[str]:
        """Name the sources that claims were taken from."""
        return {claim.source for claim, _ in self._alike.values()} | {one.claim.source for one in self._apart.values()}

    def is_live(self, one: WeighedClaim) -> bool:
        """Say whether a claim on this question is in force: itself, its source and the question."""
        return one.is_asserted and self._are_in_force(one.claim)

    def _are_in_force(self, claim: Claim) -> bool:
        """Say whether a claim's source and question are."""
        return self._is_asserted and self._is_in_force(claim.source)

    def _is_heard(self, claim: Claim) -> bool:
        """Say whether what a claim says counts, unless something replaces the claim."""
        return claim.stance in COUNTING and self._are_in_force(claim)

    def links(self) -> Iterator[tuple[str, Link]]:
        """Give the links that claims on the question make, retracted ones included, each with its maker."""
        for one in self._apart.values():
            for link in one.claim.links:
                yield one.claim.id, link

    def makers(self) -> dict[str, set[str]]:
        """Give for each claim all that were ever asked whether they replace it."""
        return self._makers

    def put(self, old: WeighedClaim | None, new: WeighedClaim | None, *, is_apart: bool = False) -> bool:
        """Let a claim stand otherwise: new, changed, or gone. It is one by itself where links touch it.

        Says whether the state may be another for it: not where others still say the same, or nothing came that counts.
        """
        self.claim_count += (new is not None) - (old is not None)
        told = [each for each in (old, new) if each is not None]
        claim_id = told[0].claim.id
        if old is None:
            # If it was here before a redaction, what replaced it then may not any more.
            self._replacing.pop(claim_id, None)
            self._prevailing.pop(claim_id, None)
        if is_apart or claim_id in self._apart or any(each.claim.links for each in told):
            if old is not None:
                self.set_apart(old)
            self._put_apart(claim_id, new)
            return True
        if old is not None and new is not None and (old.says, old.is_asserted) == (new.says, new.is_asserted):
            return False
        into = self._add_alike(new) if new is not None else None
        out = self._take_alike(old) if old is not None else None
        self._exchange(out, into, told[-1].claim)
        return out is not None or into is not None

    def set_apart(self, one: WeighedClaim) -> None:
        """Let a claim be one by itself from now on, for links touch it."""
        if one.claim.id not in self._apart:
            self._apart[one.claim.id] = one
            self._exchange(self._take_alike(one), one.claim.id if self._counts(one) else None, one.claim)

    def _add_alike(self, one: WeighedClaim) -> bytes | None:
        """Count a claim in; give the key of what it says where no other said so and it counts."""
        if not one.is_asserted:
            return None
        claim, count = self._alike.get(one.says, (one.claim, 0))
        self._alike[one.says] = claim, count + 1
        return one.says if not count and self._is_heard(one.claim) else None

    def _take_alike(self, one: WeighedClaim) -> bytes | None:
        """Count a claim out; give the key of what it said where no other says so."""
        if not one.is_asserted:
            return None
        claim, count = self._alike.pop(one.says)
        if count == 1:
            return one.says
        self._alike[one.says] = claim, count - 1
        return None

    def _put_apart(self, claim_id: str, new: WeighedClaim | None) -> None:
        old = self._apart.pop(claim_id, None)
        if new is not None:
            self._apart[claim_id] = new
        self._tell(claim_id, new)
        replacing = self._replacing.get(claim_id, {})
        told = [link for each in (old, new) if each is not None for link in each.claim.links]
        for link in told if replacing else ():
            if link.claim in replacing:
                self._prevail(claim_id, link.claim)
        self._weigh(claim_id)

    def replace(self, claim_id: str, maker: str, position: int | None) -> None:
        """Let a claim, on whatever question, correct or supersede one on this: it last said so at that position.

        None where it does not, or is not in force. The claim must be apart.
        """
        self._makers.setdefault(claim_id, set()).add(maker)
        replacing = self._replacing.setdefault(claim_id, {})
        if replacing.get(maker) == position:
            return
        if position is None:
            del replacing[maker]
        else:
            replacing[maker] = position
        was_replaced = bool(self._prevailing.get(claim_id))
        self._prevail(claim_id, maker)
        if was_replaced != bool(self._prevailing.get(claim_id)):
            self._weigh(claim_id)

    def _prevail(self, claim_id: str, maker: str) -> None:
        """Settle which of two prevails that may replace each other: the one that said so last."""
        said, one = self._replacing[claim_id].get(maker), self._apart.get(claim_id)
        answered = replaces_since(one.claim.links, maker) if one and self.is_live(one) else None
        prevailing = self._prevailing.setdefault(claim_id, set())
        if said is not None and (answered is None or (said, maker) > (answered, claim_id)):
            prevailing.add(maker)
        else:
            prevailing.discard(maker)

    def _counts(self, one: WeighedClaim) -> bool:
        return one.is_asserted and self._is_heard(one.claim) and not self._prevailing.get(one.claim.id)

    def _tell(self, claim_id: str, one: WeighedClaim | None) -> None:
        if self._tally is not None:
            self._tally.tell(claim_id, one.claim.links if one is not None and self.is_live(one) else ())

    def _weigh(self, claim_id: str) -> None:
        one = self._apart.get(claim_id)
        counts = one is not None and self._counts(one)
        self._exchange(claim_id, claim_id if counts else None, one.claim if one is not None else None)

    def _exchange(self, out: Key | None, into: Key | None, claim: Claim | None) -> None:
        if self._tally is None:
            return
        saying = None
        if into is not None and claim is not None:
            self._surround(self._around, claim)
            saying = saying_of(into, claim)
        if out not in self._tally:
            out = None
        if out is not None or saying is not None:
            self._tally.exchange(out, saying)


def replaces_since(links: Iterable[Link], claim: str) -> int | None:
    """Give the position at which these links last said to correct or supersede a claim; None where they do not."""
    said = (link.position for link in links if link.claim == claim and link.relation in REPLACING)
    return max(said, default=None)


def surround(around: Around, claim: Claim, state: Callable[[str, str], State | None]) -> None:
    """Follow entities and sources upward from a claim; `state` gives a record's state, whatever its status."""
    waiting = entities_in(claim.answer)
    while waiting:
        entity = waiting.pop()
        if entity not in around.part_of:
            found = state("entity", entity)
            whole = around.part_of[entity] = found["part_of"] if found else None
            waiting += [whole] if whole is not None else []
    waiting = [claim.source, *claim.via]
    while waiting:
        source = waiting.pop()
        if source not in around.derives_from:
            found = state("source", source)
            around.derives_from[source] = tuple(found["derives_from"]) if found else ()
            waiting += around.derives_from[source]
