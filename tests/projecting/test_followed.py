"""A question followed claim by claim has at each step the state that its claims add up to from nothing."""

import gc
import random
from dataclasses import dataclass, field

import msgspec
import pytest

from api.domain.agreement import majority
from api.domain.agreement.agreement import Claim, Link, state_of
from api.domain.agreement.majority import Majority
from api.domain.agreement.meeting import case_of
from api.domain.agreement.tally import Effort
from api.domain.records.answer import Answer
from api.ledger.projecting.followed import Followed, replaces_since, surround
from api.ledger.projecting.weighed import WeighedClaim
from tests.domain.agreement_builders import (
    ANSWERS,
    CONTEXT,
    DATES,
    DERIVES_FROM,
    PART_OF,
    RELATIONS,
    STANCES,
    YES,
    a_claim,
    number,
    text,
    these,
    when,
    who,
)

# What may go on long without a dispute, so that much counts at a time.
_PEACEFUL: tuple[tuple[Answer, ...], ...] = (
    tuple(text(f"for the reason numbered {each}") for each in range(40)),
    tuple(when(f"{2021 - each}/{2021 + each}") for each in range(1, 40)),
    tuple(number(low=str(each), high=str(10_000 - each)) for each in range(40)),
    (who("amazon"), who("amazon-web-services")),
    (these("apple"), these("google"), these("amazon"), these("facebook", "youtube"), these("alphabet")),
)
_MANY = 1_000
_FOREIGN = ("x", "y", "z")
_KINDS = [*ANSWERS, *_PEACEFUL]


@dataclass
class Question:
    """Claims on a question, who is in force, and claims on others that replace some of them."""

    choice: random.Random
    answers: tuple[Answer, ...]
    varies: bool
    # Whether all claims are alike but for what they answer, so that most say the same.
    plain: bool = False
    claims: dict[str, WeighedClaim] = field(default_factory=dict)
    foreign: dict[tuple[str, str], int] = field(default_factory=dict)
    out_of_force: set[str] = field(default_factory=set)
    is_asserted: bool = True
    moment: int = 1_000

    def __post_init__(self) -> None:
        self.followed = Followed(
            lambda source: source not in self.out_of_force,
            self._surround,
            Effort(),
            is_asserted=self.is_asserted,
            varies=self.varies,
        )

    def _surround(self, around, claim: Claim) -> None:
        surround(around, claim, self._state)

    def _state(self, kind: str, public_id: str) -> dict[str, object]:
        return {"part_of": PART_OF[public_id]} if kind == "entity" else {"derives_from": DERIVES_FROM[public_id]}

    def begin(self) -> None:
        self.followed.begin(is_asserted=self.is_asserted, varies=self.varies)
        for target in self.claims:
            self._tell_replaced(target)

    def do_one(self) -> None:
        deeds = [(10, self.record), (3, self.retract), (2, self.restore), (3, self.revise), (3, self.link)]
        deeds += [(1, self.unlink), (1, self.replace), (0.3, self.silence), (0.1, self.close), (1, self.redact)]
        if self.plain:
            deeds = [(4, self.record), (3, self.retract), (4, self.replace), (1, self.redact)]
        weights, all_deeds = zip(*deeds, strict=True)
        self.choice.choices(all_deeds, weights)[0]()

    def record(self) -> None:
        self.put(self._said(f"c{len(self.claims)}-{self.choice.random()}", ()))

    def revise(self) -> None:
        if old := self._any():
            self.put(self._said(old.claim.id, old.claim.links, old.claim.first_position))

    def retract(self) -> None:
        if old := self._any():
            self.put(msgspec.structs.replace(old, is_asserted=False))

    def restore(self) -> None:
        for old in [each for each in self.claims.values() if not each.is_asserted][:2]:
            self.put(msgspec.structs.replace(old, is_asserted=True))

    def redact(self) -> None:
        if self.choice.random() < 0.3 and (old := self._any()):
            self.put(None, old)

    def link(self) -> None:
        old, target = self._any(), self._any()
        if old is not None and target is not None and old is not target and target.claim.id in self.claims:
            self.moment += 1
            made = Link(self.choice.choice(RELATIONS), target.claim.id, self.moment)
            self._links(old, (*old.claim.links, made))

    def unlink(self) -> None:
        linked = [each for each in self.claims.values() if each.claim.links]
        if linked:
            old = self.choice.choice(linked)
            self._links(old, old.claim.links[1:])

    def _links(self, old: WeighedClaim, links: tuple[Link, ...]) -> None:
        self.put(msgspec.structs.replace(old, claim=msgspec.structs.replace(old.claim, links=links)))

    def replace(self) -> None:
        """Let a claim on another question replace one here, or do so no more."""
        if old := self._any():
            self.moment += 1
            key = self.choice.choice(_FOREIGN), old.claim.id
            if self.foreign.pop(key, None) is None:
                self.foreign[key] = self.moment
            self.followed.set_apart(old)
            self._tell_replaced(old.claim.id)

    def silence(self) -> None:
        self.out_of_force ^= {self.choice.choice(sorted(DERIVES_FROM))}
        self.begin()

    def close(self) -> None:
        self.is_asserted = not self.is_asserted
        self.begin()

    def _any(self) -> WeighedClaim | None:
        return self.claims[self.choice.choice(list(self.claims))] if self.claims else None

    def _said(self, name: str, links: tuple[Link, ...], position: int | None = None) -> WeighedClaim:
        self.moment += 1
        claim = a_claim(
            name,
            self.choice.choice(self.answers),
            position=position or self.moment,
            links=links,
            **({"source": "afp", "stance": "asserts"} if self.plain else self._voiced()),
        )
        said = (claim.answer, claim.source, claim.speaker, claim.via, claim.stance, claim.valid)
        return WeighedClaim(claim, is_asserted=True, says=repr(said).encode())

    def _voiced(self) -> dict[str, object]:
        return {
            "source": self.choice.choice(("afp", *DERIVES_FROM)),
            "valid": self.choice.choice((None, *DATES)) if self.varies else None,
            "speaker": self.choice.choice((None, None, "john-matze", "andrew-torba")),
            "via": self.choice.choice(((), (), (), ("afp",), ("afp", "fox"), ("excerpt",))),
            "stance": self.choice.choice(STANCES if self.choice.random() < 0.3 else ("asserts", "alleges")),
        }

    def put(self, new: WeighedClaim | None, gone: WeighedClaim | None = None) -> None:
        name = new.claim.id if new is not None else gone.claim.id
        old = self.claims.pop(name, None)
        if new is not None:
            self.claims[name] = new
        self.followed.put(old, new)
        for target in {link.claim for each in (old, new) if each is not None for link in each.claim.links}:
            if target in self.claims:
                self.followed.set_apart(self.claims[target])
                self._tell_replaced(target)

    def _tell_replaced(self, target: str) -> None:
        for maker in self.claims.values():
            links = maker.claim.links if self._is_live(maker) else ()
            if target in {link.claim for link in maker.claim.links} or target in self.followed.makers():
                self.followed.replace(target, maker.claim.id, replaces_since(links, target))
        for maker in self.followed.makers().get(target, set()) - self.claims.keys() | set(_FOREIGN):
            self.followed.replace(target, maker, self.foreign.get((maker, target)))

    def _is_live(self, one: WeighedClaim) -> bool:
        return one.is_asserted and self.is_asserted and one.claim.source not in self.out_of_force

    def adds_up(self) -> str:
        live = [each.claim for each in self.claims.values() if self._is_live(each)]
        links = [(maker, Link("corrects", target, since)) for (maker, target), since in self.foreign.items()]
        return state_of("parler-offline-when", self.varies, live, CONTEXT, links)


@pytest.mark.parametrize("varies", [False, True])
@pytest.mark.parametrize("answers", _KINDS)
@pytest.mark.parametrize(("seed", "most"), [(0, 256), (1, 256), (2, 5), (3, 1)])
def test_at_each_step_the_state_is_what_the_claims_add_up_to(
    answers: tuple[Answer, ...], varies: bool, seed: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With so few parts at most, a majority is now sought and now not.
    monkeypatch.setattr("api.domain.agreement.majority.MOST_SAID", most)
    question = Question(random.Random(seed), answers, varies)
    for _ in range(120):
        question.do_one()
        assert question.followed.state == question.adds_up()


@pytest.mark.parametrize("few", [0, 2, 8])
@pytest.mark.parametrize("seed", range(12))
def test_where_many_claims_say_the_same_the_state_is_what_they_add_up_to(
    few: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.ledger.projecting.followed._FEW", few)
    question = Question(random.Random(seed), (who("amazon"), who("google"))[: 1 + seed % 2], varies=False, plain=True)
    for _ in range(150):
        question.do_one()
        assert question.followed.state == question.adds_up()


@pytest.mark.parametrize("answers", _PEACEFUL)
@pytest.mark.parametrize("seed", range(2))
def test_what_nobody_asked_of_is_followed_too(answers: tuple[Answer, ...], seed: int) -> None:
    """Long stretches between two questions for the state, so that many wait to be judged, and whole blocks go."""
    question = Question(random.Random(seed), answers, varies=False)
    for _ in range(12):
        for _ in range(60):
            question.do_one()
        assert question.followed.state == question.adds_up()
        for name in list(question.claims)[:: question.choice.randint(2, 5)]:
            question.put(None, question.claims[name])
        assert question.followed.state == question.adds_up()
    assert question.followed.claim_count == len(question.claims)


@pytest.mark.parametrize("answers", _KINDS)
def test_a_question_that_is_forgotten_leaves_nothing_to_the_garbage_collector(answers: tuple[Answer, ...]) -> None:
    """Which is off while a ledger is rebuilt, and seldom asked while it is served."""
    question = Question(random.Random(1), answers, varies=False)
    for _ in range(60):
        question.do_one()
        assert question.followed.state == question.adds_up()
    gc.collect()
    gc.disable()
    try:
        question.__dict__.clear()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_what_is_kept_of_origins_that_were_joined_does_not_grow() -> None:
    said = Majority(CONTEXT, varies=False)
    for origin, name in enumerate("ab"):
        said.put(name, case_of(a_claim(name, YES)), origin)
    for origin in range(1, _MANY):
        said.join(origin, origin + 1)
    assert said.is_reached(2)
    assert len(said._joined) <= 2
    said.join(_MANY, 0)
    assert not said.is_reached(2)


def test_of_more_than_is_judged_nothing_is_counted() -> None:
    """Each is a part by itself: in which of so many an origin speaks would take more for each the more there are."""
    said = Majority(CONTEXT, varies=False)
    said.put("hub", case_of(a_claim("hub", text("hub"))), 0)
    for i in range(1, majority.MOST_SAID):
        said.put(i, case_of(a_claim(f"c{i}", text(str(i)))), i, ["hub"])
    assert said.is_reached(majority.MOST_SAID) is False  # the hub meets all, and they do not meet each other
    for i in range(majority.MOST_SAID, _MANY):
        said.put(i, case_of(a_claim(f"c{i}", text(str(i)))), i, ["hub"])
    assert not said.is_reached(_MANY)
    assert not said._counting._spread
    for i in range(2, _MANY):
        said.take(i)
    assert said.is_reached(2)
