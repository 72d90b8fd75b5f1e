"""What the writer knows of the present, and what it costs to know it."""

import random
from collections.abc import Callable

import pytest

from api.domain.errors import LedgerError
from api.ledger.answers import answers
from api.ledger.database import Access, Database
from api.ledger.lists import Selection
from api.ledger.present import Present
from api.ledger.tables import FOREVER
from tests.builders import (
    Operation,
    Writing,
    a_claim,
    a_question,
    a_source,
    an_entity,
    ground,
    link,
    restore,
    retract,
    revise,
    unlink,
)
from tests.watched import Watched, effort

QUESTIONS = [f"q{number}" for number in range(50)]


def test_what_is_known_of_questions_costs_the_same_however_large_the_ledger_is(writing):
    writing.append(an_entity("parler"), a_source("paper"), *(a_question(name, about="parler") for name in QUESTIONS))
    writing.append(*(a_claim(source="paper", question=name) for name in QUESTIONS for _ in range(2)))
    before = _cost_to_know(writing.database)
    writing.append(*(an_entity() for _ in range(4_000)))
    # Nobody has told PostgreSQL's planner yet how much is there.
    assert _cost_to_know(writing.database) <= 1.2 * before + 40


def _cost_to_know(database: Database) -> int:
    access = Watched(database)
    _look(access)
    cost = effort(access, _look)
    access.close()
    return cost


def _look(access: Access) -> None:
    Present(access, lambda: None, 1_000).read_questions(QUESTIONS)


@pytest.mark.parametrize("seed", range(8))
def test_the_state_that_is_kept_is_what_the_claims_add_up_to_whatever_was_done_to_them(writing, seed):
    """Few things to say and many claims: they say the same, fall silent, are linked and let go of, and are redacted."""
    writing.append(
        *ground(), a_source("other"), *(a_question(one, about="parler", answer_type="boolean") for one in _ASKED)
    )
    deeds, access, refused = _Deeds(writing, random.Random(seed)), writing.database.access(), 0
    for _ in range(150):
        try:
            deeds.do_one()
        except LedgerError:
            refused += 1
        kept = dict(access.rows(_STATES))
        assert [kept[one] for one in _ASKED] == [
            answers(access, one, Selection(kind="claim")).agreement.state for one in _ASKED
        ]
    assert refused < 110


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_a_correction_from_another_question_lapses_with_that_question(writing, is_forgotten):
    writing.append(*ground(), *(a_question(one, about="parler") for one in _ASKED))
    writing.append(
        a_claim("c", source="paper", question="p"),
        a_claim("wrong", source="paper", question="q"),
        a_claim("x", source="paper", question="p"),
    )
    states = []
    for deed in (
        link("c", "corrects", "wrong", expect=1),
        retract("question", "p", expect=1),
        restore("question", "p", expect=2),
    ):
        writing.append(deed)
        if is_forgotten and not states:
            writing.redact("claim", "x")
        states.append(dict(writing.database.access().rows(_STATES))["q"])
    assert states == ["open", "single-origin", "open"]


_ASKED = ("p", "q")
_STATES = (
    f"SELECT r.id, g.state FROM agreement g JOIN record r ON r.first_position = g.question WHERE g.until = {FOREVER}"
)
_HEAD = "SELECT revision FROM record WHERE kind = ? AND id = ?"


class _Deeds:
    """What happens to claims, one thing after another."""

    def __init__(self, writing: Writing, choice: random.Random) -> None:
        self.writing, self.choice, self.claims = writing, choice, list[str]()

    def do_one(self) -> None:
        claim, other = (self.choice.choice(self.claims or ["none"]) for _ in range(2))
        source, relation = (
            self.choice.choice(("paper", "other")),
            self.choice.choice(("contradicts", "repeats", "corrects")),
        )
        question = self.choice.choice(_ASKED)
        deeds: list[tuple[int, Callable[[], object]]] = [
            (6, self._record),
            (2, lambda: self._change(revise, "claim", claim, answer=self._answer())),
            (1, lambda: self._change(revise, "claim", claim, note=f"Read {self.choice.random()}")),
            (6, lambda: self._change(retract, "claim", claim)),
            (4, lambda: self._change(restore, "claim", claim)),
            (5, lambda: self._change(link, claim, relation, other)),
            (2, lambda: self._change(unlink, claim, relation, other)),
            (1, lambda: self._change(retract, "source", source)),
            (2, lambda: self._change(restore, "source", source)),
            (2, lambda: self._change(retract, "question", question)),
            (3, lambda: self._change(restore, "question", question)),
            (1, lambda: self.writing.redact("claim", claim)),
        ]
        weights, all_deeds = zip(*deeds, strict=True)
        self.choice.choices(all_deeds, weights)[0]()

    def _record(self) -> None:
        """Record a claim or two; most say what others do."""
        named = [f"c{len(self.claims) + number}" for number in range(self.choice.choice((1, 2)))]
        source, question = self.choice.choice(("paper", "paper", "other")), self.choice.choice(_ASKED)
        said = {"answer": self._answer(), "stance": self.choice.choice(("asserts", "asserts", "asserts", "denies"))}
        self.writing.append(*(a_claim(name, source=source, question=question, **said) for name in named))
        self.claims += named

    def _answer(self) -> dict[str, object]:
        return {"type": "boolean", "value": self.choice.random() < 0.9}

    def _change(self, act: Callable[..., Operation], *named: str, **more: object) -> None:
        kind, one = named[:2] if act not in (link, unlink) else ("claim", named[0])
        [(revision,)] = self.writing.database.access().rows(_HEAD, (kind, one)) or [(0,)]
        self.writing.append(act(*named, expect=revision, **more))
