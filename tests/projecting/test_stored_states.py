"""The state that is stored of each question is the one that its answers add up to, after every event.

A rebuild folds events in as the live path does, and would repeat its mistakes: so what is stored is held to the view of the
answers, which reads the claims anew and computes the state from nothing.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest

from api.domain.errors import LedgerError
from api.ledger.projecting.rebuild import rebuild
from api.ledger.reading.answers import answers
from api.ledger.reading.selection import Selection
from api.settings import Settings
from tests.support.builders import (
    Operation,
    Writing,
    a_claim,
    a_question,
    a_source,
    an_entity,
    link,
    restore,
    retract,
    revise,
    unlink,
)

STEPS = 120
ENTITIES = [f"e{number}" for number in range(5)]
SOURCES = [f"s{number}" for number in range(6)]
# A question of each type that can be disputed, some of which vary, and two that are asked by entities.
QUESTIONS: dict[str, dict[str, Any]] = {
    "who": {"answer_type": "entity"},
    "whose": {"answer_type": "entity", "varies": True},
    "which": {"answer_type": "entities"},
    "when": {"answer_type": "time"},
    "whether": {"answer_type": "boolean", "varies": True},
    "many": {"answer_type": "quantity", "unit": "users"},
}
RELATIONS = ("contradicts", "corroborates", "repeats", "corrects", "corrects", "supersedes")
DATES = ("2021-01-01", "2021-01-11", "2021-01-11", "2021-01", "2021-01-11/..")
_STORED = "SELECT r.id, g.state FROM agreement g JOIN record r ON r.first_position = g.question WHERE g.until > ?"
_HEADS = "SELECT r.kind, r.id, r.revision, v.status FROM record r JOIN revision v ON v.position = r.position"
_AHEAD = 2**50


def hold(writing: Writing, deed: object = "") -> dict[str, str]:
    """Hold what is stored of every question to what its answers add up to, and give it."""
    access = writing.database.access()
    stored: dict[str, str] = dict(access.rows(_STORED, (_AHEAD,)))
    there = [one for kind, one, _, status in access.rows(_HEADS) if kind == "question" and status != "redacted"]
    computed = {one: answers(access, one, Selection(kind="claim")).agreement.state for one in there}
    assert stored == computed, deed
    return stored


class World:
    """A small ledger in which all hangs together, and what may be done to it."""

    def __init__(self, writing: Writing, choice: random.Random) -> None:
        self.writing, self.choice, self.refused = writing, choice, 0
        self.claims: list[str] = []
        writing.append(
            an_entity("parler"),
            *(an_entity(one) for one in ENTITIES),
            *(a_source(one) for one in SOURCES),
            *(a_question(one, about="parler", **fields) for one, fields in QUESTIONS.items()),
        )
        writing.append(*(each for _ in range(12) for each in self._claim()))

    def do_one(self) -> object:
        """Do one thing, now and then as a batch of several; what makes no sense is refused."""
        deeds: list[tuple[int, Callable[[], list[Operation]]]] = [
            (9, self._claim), (4, self._revised_claim), (7, self._link), (2, self._unlink), (4, self._derived),
            (4, self._part), (4, self._retracted), (9, self._restored), (1, self._varied),
        ]  # fmt: skip
        weights, all_deeds = zip(*deeds, strict=True)
        count = self.choice.choice((1, 1, 1, 2, 3))
        asked = [each for deed in self.choice.choices(all_deeds, weights, k=count) for each in deed()]
        if self.choice.random() < 0.08:
            return self._redacted()
        return asked, self._try(lambda: self.writing.append(*self._expecting(asked)))

    def _try(self, act: Callable[[], object]) -> str:
        try:
            act()
        except LedgerError as refusal:
            self.refused += 1
            return type(refusal).__name__
        return "done"

    def _expecting(self, asked: list[Operation]) -> list[Operation]:
        known = {(kind, one): revision for kind, one, revision, _ in self.writing.database.access().rows(_HEADS)}
        seen: set[tuple[str, str]] = set()
        for each in asked:
            key = each["kind"], each["id"]
            if each["op"] != "record" and key not in seen:
                each["expect"] = known.get(key, 1)
            seen.add(key)
        return asked

    def _redacted(self) -> object:
        """Redact what a record said before, or all of a claim; now and then all of what claims rest on."""
        rows = sorted(self.writing.database.access().rows(_HEADS))
        some = [row for row in rows if row[0] == "claim" or (row[2] > 1 and row[0] != "ledger")]
        kind, one, revision, _ = self.choice.choice(some)
        last = None if kind == "claim" or self.choice.random() < 0.1 else revision - 1
        return kind, one, last, self._try(lambda: self.writing.redact(kind, one, last=last))

    def _answer(self, question: str) -> dict[str, Any]:
        pick = self.choice.choice
        entity = pick(ENTITIES)
        return {
            "entity": {"type": "entity", "entity": entity},
            "entities": {"type": "entities", "entities": self.choice.sample(ENTITIES, 2), "complete": pick((True, False))},
            "time": {"type": "time", "edtf": pick(DATES)},
            "boolean": {"type": "boolean", "value": pick((True, True, False))},
            "quantity": {"type": "quantity", "unit": "users", "amount": pick(("10", "10", "11")), "approximate": pick((True, False))},
        }[QUESTIONS[question]["answer_type"]]  # fmt: skip

    def _said(self, question: str) -> dict[str, Any]:
        pick = self.choice.choice
        valid = None if QUESTIONS[question]["answer_type"] == "time" else pick((None, *DATES))
        via = self.choice.sample(SOURCES, pick((0, 0, 1, 2)))
        stance = pick(("asserts", "asserts", "asserts", "denies", "alleges", "predicts"))
        speaker = pick((None, None, None, *ENTITIES[:2]))
        return {"answer": self._answer(question), "valid": valid, "via": via, "stance": stance, "speaker": speaker}

    def _claim(self) -> list[Operation]:
        question, one = self.choice.choice(list(QUESTIONS)), f"c{len(self.claims)}"
        self.claims.append(one)
        return [a_claim(one, source=self.choice.choice(SOURCES), question=question, **self._said(question))]

    def _one(self) -> str:
        return self.choice.choice(self.claims or ["none"])

    def _revised_claim(self) -> list[Operation]:
        one = self._one()
        sql = "SELECT q.id FROM record c JOIN record q ON q.first_position = c.question WHERE c.kind = 'claim' AND c.id = ?"
        for (question,) in self.writing.database.access().rows(sql, (one,)):
            said = self._said(question)
            return [revise("claim", one, **{name: said[name] for name in self.choice.sample(sorted(said), 2)})]
        return []

    def _link(self) -> list[Operation]:
        return [link(self._one(), self.choice.choice(RELATIONS), self._one())]

    def _unlink(self) -> list[Operation]:
        sql = "SELECT r.id, t.value FROM term t JOIN record r ON r.first_position = t.first_position WHERE t.field = 'claim.link' AND t.until > ?"
        made = sorted(self.writing.database.access().rows(sql, (_AHEAD,)))
        maker, target = self.choice.choice(made or [("none", "none")])
        return [unlink(maker, self.choice.choice(RELATIONS), target)]

    def _derived(self) -> list[Operation]:
        above = self.choice.sample(SOURCES, self.choice.choice((0, 1, 1, 2)))
        return [revise("source", self.choice.choice(SOURCES), derives_from=above)]

    def _part(self) -> list[Operation]:
        return [revise("entity", self.choice.choice(ENTITIES), part_of=self.choice.choice((None, *ENTITIES)))]

    def _any(self) -> tuple[str, str]:
        kind = self.choice.choice(("claim", "claim", "source", "source", "question", "entity"))
        return kind, {
            "claim": self._one(), "source": self.choice.choice(SOURCES), "entity": self.choice.choice(ENTITIES),
            "question": self.choice.choice(list(QUESTIONS)),
        }[kind]  # fmt: skip

    def _retracted(self) -> list[Operation]:
        return [retract(*self._any())]

    def _restored(self) -> list[Operation]:
        earlier = {"revision": self.choice.choice((1, 2))} if self.choice.random() < 0.3 else {}
        retracted = sorted(row[:2] for row in self.writing.database.access().rows(_HEADS) if row[3] == "retracted")
        of = self.choice.choice(retracted) if retracted and not earlier else self._any()
        return [restore(*of, **earlier)]

    def _varied(self) -> list[Operation]:
        """Refused where it is answered, and so what is asked of it for good."""
        return [revise("question", self.choice.choice(list(QUESTIONS)), varies=self.choice.choice((True, False)))]


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(more, marks=pytest.mark.slow) for more in (2, 3, 4, 5))])
def test_whatever_is_done_the_states_that_are_stored_are_those_that_the_answers_add_up_to(
    settings: Settings, writing: Writing, seed: int
) -> None:
    world = World(writing, random.Random(seed))
    seen: set[str] = set()
    # What is folded is the same on both; a server takes several times as long.
    for _ in range(STEPS if settings.is_sqlite else STEPS // 3):
        seen |= set(hold(writing, world.do_one()).values())
    assert seen == {"open", "single-origin", "agreed", "disputed"} or not settings.is_sqlite
    assert world.refused < STEPS * 2 / 3


FLIPS: dict[str, tuple[Operation, Operation]] = {
    "the correction itself": (retract("claim", "correction"), restore("claim", "correction")),
    "the source that it is from": (retract("source", "elsewhere"), restore("source", "elsewhere")),
    "the question that it answers": (retract("question", "other"), restore("question", "other")),
    "the link": (unlink("correction", "corrects", "wrong"), link("correction", "corrects", "wrong")),
}


@pytest.mark.parametrize("is_known", [True, False], ids=["remembered", "forgotten"])
@pytest.mark.parametrize("what", FLIPS)
def test_a_correction_from_elsewhere_holds_as_long_as_all_that_it_rests_on(
    writing: Writing, what: str, is_known: bool
) -> None:
    """The two questions have no source in common, and nothing else but the link."""
    writing.append(
        an_entity("parler"),
        *(a_source(one) for one in ("one", "two", "elsewhere")),
        *(a_question(one, about="parler") for one in ("asked", "other")),
        a_claim("wrong", source="one", question="asked", answer={"type": "time", "edtf": "2021-01-01"}),
        a_claim("right", source="two", question="asked", answer={"type": "time", "edtf": "2021-01-11"}),
        a_claim("correction", source="elsewhere", question="other"),
        a_claim("spare", source="one", question="other"),
        link("correction", "corrects", "wrong"),
    )
    states = [hold(writing)["asked"]]
    for number, deed in enumerate(FLIPS[what] * 2):
        if not is_known:
            # What was redacted is not remembered, and nothing else is then.
            writing.append(an_entity(f"spare{number}"))
            writing.redact("entity", f"spare{number}")
        [(revision,)] = writing.database.access().rows(
            "SELECT revision FROM record WHERE kind = ? AND id = ?", (deed["kind"], deed["id"])
        )
        writing.append({**deed, "expect": revision})
        states.append(hold(writing, deed)["asked"])
    assert states == ["single-origin", "disputed", "single-origin", "disputed", "single-origin"]


@pytest.mark.parametrize("is_via", [False, True], ids=["taken from it", "come by it"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_where_a_source_derives_from_weighs_on_every_question_below_it(
    writing: Writing, depth: int, is_via: bool
) -> None:
    chain = [f"below{number}" for number in range(1, depth + 1)]
    above = ["origin", *chain]
    writing.append(
        an_entity("parler"),
        *(a_source(one) for one in ("origin", "another", "paper", "aside")),
        *(a_source(one, derives_from=[above[number]]) for number, one in enumerate(chain)),
        *(a_question(one, about="parler") for one in ("asked", "other")),
    )
    # Of those that it came by the last is what it rests on.
    by = {"source": "paper", "via": ["aside", chain[-1]]} if is_via else {"source": chain[-1]}
    for question in ("asked", "other"):
        writing.append(a_claim(source="origin", question=question), a_claim(question=question, **by))
    states = [hold(writing)]
    for expect, derives_from in ((1, ["another"]), (2, ["origin"]), (3, []), (4, ["another", "origin"])):
        writing.append(revise("source", "below1", expect=expect, derives_from=derives_from))
        states.append(hold(writing, derives_from))
    assert [set(each.values()) for each in states] == [
        {one} for one in ("single-origin", "agreed", "single-origin", "agreed", "single-origin")
    ]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_what_an_entity_is_part_of_weighs_on_every_answer_that_names_one_below_it(writing: Writing, depth: int) -> None:
    """On answers of before, and on those that came in the same batch."""
    chain = [f"below{number}" for number in range(1, depth + 1)]
    above = ["whole", *chain]
    writing.append(
        *(an_entity(one) for one in ("parler", "whole", "other")),
        *(an_entity(one, part_of=above[number]) for number, one in enumerate(chain)),
        *(a_source(one) for one in ("one", "two")),
    )
    for number, part_of in enumerate(("other", "whole", None, "whole")):
        question = f"asked{number}"
        writing.append(
            a_question(question, about="parler", answer_type="entity"),
            a_claim(source="one", question=question, answer={"type": "entity", "entity": "whole"}),
            a_claim(source="two", question=question, answer={"type": "entity", "entity": chain[-1]}),
            revise("entity", "below1", expect=number + 1, part_of=part_of),
        )
        states = set(hold(writing, part_of).values())
        assert states == {"agreed" if part_of == "whole" else "disputed"}


def test_what_a_revision_said_that_is_redacted_may_have_been_anything(writing: Writing) -> None:
    """After it came claims; what the next revision says is weighed on them by a rebuild, too."""
    writing.append(
        *(an_entity(one) for one in ("parler", "whole", "part")),
        *(a_source(one) for one in ("one", "two", "copy")),
        a_question("who", about="parler", answer_type="entity"),
        *(a_question(one, about="parler") for one in ("when", "where")),
    )
    writing.append(
        a_claim(source="one", question="who", answer={"type": "entity", "entity": "whole"}),
        a_claim(source="two", question="who", answer={"type": "entity", "entity": "part"}),
        *(a_claim(source=source, question="when") for source in ("one", "copy")),
    )
    assert hold(writing) == {"who": "disputed", "when": "agreed", "where": "open"}
    writing.append(
        revise("entity", "part", expect=1, part_of="whole"), revise("source", "copy", expect=1, derives_from=["one"])
    )
    for kind, one in (("entity", "part"), ("source", "copy")):
        writing.redact(kind, one, first=1, last=1)
    assert hold(writing) == {"who": "agreed", "when": "single-origin", "where": "open"}
    rebuild(writing.database.access())
    assert hold(writing, "a rebuild") == {"who": "agreed", "when": "single-origin", "where": "open"}


@pytest.mark.parametrize("is_one_batch", [True, False])
def test_whether_answers_vary_may_be_said_otherwise_until_there_is_one(writing: Writing, is_one_batch: bool) -> None:
    writing.append(an_entity("parler"), a_source("one"), a_source("two"))
    asked = {"varying": False, "lasting": True}
    steps = [
        [a_question(one, about="parler", answer_type="boolean", varies=varies) for one, varies in asked.items()],
        [revise("question", one, expect=1, varies=not varies) for one, varies in asked.items()],
        [
            a_claim(source=source, question=one, answer={"type": "boolean", "value": value}, valid=valid)
            for one in asked
            for source, value, valid in (("one", True, "2021-01-10"), ("two", False, "2021-02-10"))
        ],
    ]
    for batch in [[each for step in steps for each in step]] if is_one_batch else steps:
        writing.append(*batch)
        states = hold(writing)
    assert (states["varying"] == "disputed", states["lasting"]) == (False, "disputed")


def test_what_was_said_before_and_after_a_revision_that_is_redacted_holds_again(writing: Writing) -> None:
    writing.append(
        *(an_entity(one) for one in ("parler", "whole")),
        an_entity("part", part_of="whole"),
        *(a_source(one) for one in ("one", "two")),
        a_source("copy", derives_from=["one"]),
        a_question("who", about="parler", answer_type="entity"),
        *(a_question(one, about="parler") for one in ("when", "where")),
        a_claim(source="one", question="who", answer={"type": "entity", "entity": "whole"}),
        a_claim(source="two", question="who", answer={"type": "entity", "entity": "part"}),
        *(a_claim(source=source, question="when") for source in ("one", "copy")),
        a_claim("said", source="one", question="where"),
    )
    for note in ("Read again", "And again"):
        writing.append(
            *(revise(kind, one, expect=1 if note == "Read again" else 2, note=note) for kind, one in _REVISED)
        )
    states = hold(writing)
    assert states == {"who": "agreed", "when": "single-origin", "where": "single-origin"}
    for kind, one in _REVISED:
        writing.redact(kind, one, first=2, last=2)
        assert hold(writing, kind) == states
    rebuild(writing.database.access())
    assert hold(writing, "a rebuild") == states


_REVISED = (("entity", "part"), ("source", "copy"), ("claim", "said"), ("question", "who"))
