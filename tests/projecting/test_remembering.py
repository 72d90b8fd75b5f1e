"""What the writer knows of the present, and what it costs to know it."""

import contextlib
import random
from collections.abc import Callable

import pytest

from api.domain.errors import BeyondLimit, Cycle, FieldFixed, LedgerError
from api.ledger.projecting.projection import Projector
from api.ledger.reading.answers import answers
from api.ledger.reading.selection import Selection
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.storage.tables import FOREVER
from tests.support.builders import (
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
from tests.support.watched import effort, watched

QUESTIONS = [f"q{number}" for number in range(50)]


def test_what_is_known_of_questions_costs_the_same_however_large_the_ledger_is(writing):
    writing.append(an_entity("parler"), a_source("paper"), *(a_question(name, about="parler") for name in QUESTIONS))
    writing.append(*(a_claim(source="paper", question=name) for name in QUESTIONS for _ in range(2)))
    before = _cost_to_know(writing.database)
    writing.append(*(an_entity() for _ in range(4_000)))
    # Nobody has told PostgreSQL's planner yet how much is there.
    assert _cost_to_know(writing.database) <= 1.2 * before + 40


def _cost_to_know(database: Database) -> int:
    access = watched(database)
    _look(access)
    cost = effort(access, _look)
    access.close()
    return cost


def _look(access: Access) -> None:
    Projector(access).questions.read(QUESTIONS)


def test_to_look_for_records_costs_the_same_however_many_there_are_of_their_kind(writing):
    writing.append(an_entity("parler"))
    before = _cost_to_look_for_some(writing.database)
    writing.append(*(an_entity() for _ in range(4_000)))
    assert _cost_to_look_for_some(writing.database) <= 1.2 * before + 40


def _cost_to_look_for_some(database: Database) -> int:
    access = watched(database)
    named = [("entity", name) for name in ("parler", *(f"nobody-{n}" for n in range(200)))]

    def look(reads: Access) -> None:
        Projector(reads).records.read(named)

    look(access)
    cost = effort(access, look)
    access.close()
    return cost


def test_a_question_larger_than_what_is_remembered_is_not_read_anew_for_each_append(writing):
    writing.append(*ground(), *(a_question(name, about="parler", answer_type="text") for name in _ASKED))
    said = [{"type": "text", "text": f"Because of reason {number}"} for number in range(60)]
    writing.append(*(a_claim(source="paper", question=name, answer=answer) for name in _ASKED for answer in said))
    access = watched(writing.database)
    projector = Projector(access, most_remembered=2)
    for name in (*_ASKED, "q", "q"):
        projector.questions.read([name])
        projector.forget_if_much()
    claims = [sql for sql, _ in access.asked if "JOIN payload" in sql and "r.question IN" in sql]
    assert len(claims) == len(_ASKED)
    access.close()


def test_of_many_small_questions_those_that_were_used_last_are_remembered(writing):
    """Each takes a few kilobytes, however little is said on it."""
    writing.append(*ground(), *(a_question(name, about="parler") for name in QUESTIONS))
    writing.append(*(a_claim(source="paper", question=name) for name in QUESTIONS))
    access = watched(writing.database)
    projector = Projector(access, most_remembered=10)

    def reads(name: str) -> int:
        before = len(access.asked)
        projector.questions.read([name])
        projector.forget_if_much()
        return len([sql for sql, _ in access.asked[before:] if "JOIN payload" in sql and "r.question IN" in sql])

    assert [reads(name) for name in QUESTIONS] == [1] * len(QUESTIONS)
    assert (reads(QUESTIONS[-1]), reads(QUESTIONS[0])) == (0, 1)
    access.close()


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
        states.append(_states(writing)["q"])
    assert states == ["open", "single-origin", "open"]


def test_what_is_pending_is_found_by_all_that_asks_for_records(writing):
    """In one batch: what names what, what an earlier revision was, and what answers a question."""
    writing.append(*ground(), an_entity("whole"), an_entity("part", part_of="whole"))
    with pytest.raises(Cycle):
        writing.append(
            an_entity("more", part_of="part"),
            revise("entity", "part", part_of="more", expect=1),
        )
    writing.append(
        revise("entity", "part", part_of=None, expect=1),
        revise("entity", "whole", part_of="part", expect=1),
        a_question("p", about="parler", answer_type="entity"),
        a_claim("c", source="paper", question="p", answer={"type": "entity", "entity": "whole"}),
        a_claim("d", source="paper", question="p", answer={"type": "entity", "entity": "parler"}),
        revise("entity", "whole", part_of=None),
        revise("entity", "parler", part_of="whole", expect=1),
        restore("entity", "part", revision=1),
    )
    assert _states(writing)["p"] == "single-origin"
    writing.append(
        a_question("q", about="parler"),
        a_source("daily"),
        a_source("weekly", derives_from=["daily"]),
        a_claim("wrong", source="paper", question="q"),
        a_claim("e", source="daily", question="p", answer={"type": "entity", "entity": "whole"}),
        link("e", "corrects", "wrong"),
        a_claim("f", source="weekly", question="p", answer={"type": "entity", "entity": "whole"}),
        retract("source", "daily"),
        retract("claim", "f"),
        a_question("r", about="parler"),
        *(a_claim(source=one, question="r") for one in ("weekly", "paper")),
        restore("source", "daily"),
        revise("source", "daily", derives_from=["paper"]),
        retract("source", "daily"),
    )
    assert _states(writing) == {"offline-when": "open"} | dict.fromkeys("pqr", "single-origin")
    with pytest.raises(FieldFixed):
        writing.append(
            a_question("new", about="parler"),
            a_claim(source="paper", question="new"),
            revise("question", "new", varies=True),
        )


def _states(writing: Writing) -> dict[str, str]:
    return dict(writing.database.access().rows(_STATES))


def test_what_was_said_of_a_revision_that_is_redacted_holds_for_those_after_it(writing):
    writing.append(*ground(), *(a_question(one, about="parler") for one in _ASKED))
    writing.append(a_claim("c", source="paper", question="p"), a_claim("wrong", source="paper", question="q"))
    writing.append(link("c", "supersedes", "wrong", expect=1))
    writing.append(revise("claim", "wrong", expect=1, answer={"type": "time", "edtf": "2021-01-12"}))
    assert _states(writing)["q"] == "open"
    writing.redact("claim", "wrong", first=1, last=1)
    assert _states(writing)["q"] == "open"


def test_of_claims_that_say_the_same_one_that_is_corrected_silences_no_other(writing):
    writing.append(*ground(), a_source("other"), *(a_question(one, about="parler") for one in _ASKED))
    writing.append(*(a_claim(name, source="paper", question="q") for name in ("first", "second")))
    writing.append(a_claim("x", source="paper", question="p"), link("x", "corrects", "first", expect=1))
    assert _states(writing)["q"] == "single-origin"
    writing.append(a_claim(source="other", question="q", answer={"type": "time", "edtf": "2021-01-20"}))
    assert _states(writing)["q"] == "disputed"


def test_a_correction_taken_back_while_a_revision_was_the_last_that_is_redacted_now_does_not_hold(writing):
    writing.append(*ground(), *(a_question(one, about="parler") for one in _ASKED))
    writing.append(a_claim("c", source="paper", question="q"), a_claim("x", source="paper", question="p"))
    writing.append(link("x", "corrects", "c", expect=1))
    writing.append(revise("claim", "c", expect=1, answer={"type": "time", "edtf": "2021-01-12"}))
    writing.append(unlink("x", "corrects", "c", expect=2))
    writing.append(revise("claim", "c", expect=2, answer={"type": "time", "edtf": "2021-01-13"}))
    writing.redact("claim", "c", first=2, last=2)
    assert _states(writing)["q"] == "single-origin"


def test_what_leads_up_to_a_source_is_not_walked_anew_for_each_claim_of_a_batch(writing):
    chain = [a_source("s0"), *(a_source(f"s{n}", derives_from=[f"s{n - 1}"]) for n in range(1, 30))]
    writing.append(an_entity("parler"), *chain, *(a_source(f"top-{n}", derives_from=["s29"]) for n in range(8)))
    writing.append(a_question("q", about="parler"), *(a_claim(source=f"top-{n}", question="q") for n in range(8)))
    access = watched(writing.database)
    projector = Projector(access, most_remembered=100)
    projector.questions.read(["q"])
    question = projector.records.find("question", "q")
    costs = []
    for _ in range(3):
        before = len(access.asked)
        assert projector.questions.fold(question, is_anew=False) == "single-origin"
        costs.append(len(access.asked) - before)
    access.close()
    assert costs[0] > 0
    assert costs[1:] == [0, 0]


def test_a_batch_that_would_have_too_much_weighed_anew_is_refused_and_writes_nothing(writing, monkeypatch):
    monkeypatch.setattr("api.ledger.writing.writer.MOST_WEIGHED", 30)
    writing.append(*ground(), a_source("other"))
    writing.append(*(a_claim(source="paper", question="offline-when") for _ in range(12)))
    toggled = [retract("source", "paper", expect=1), restore("source", "paper", expect=2)]
    writing.append(*toggled)
    again = [retract("source", "paper", expect=3), restore("source", "paper", expect=4)]
    sentence = "a batch has agreement weighed anew for at most 100,000 claims, by what changes around them"
    with pytest.raises(BeyondLimit, match=sentence) as refused:
        writing.append(*again, retract("source", "other", expect=1), retract("question", "offline-when", expect=1))
    assert refused.value.operation == 3
    writing.append(*again, revise("source", "paper", expect=5, title="Another"), retract("source", "other", expect=1))


def test_claims_recorded_in_the_batch_itself_count_among_those_weighed_anew(writing, monkeypatch):
    monkeypatch.setattr("api.ledger.writing.writer.MOST_WEIGHED", 30)
    writing.append(*ground())
    made = [a_source("other"), *(a_claim(source="other", question="offline-when") for _ in range(12))]
    flips = [(retract if n % 2 else restore)("source", "other", expect=n) for n in range(1, 6)]
    with pytest.raises(BeyondLimit) as refused:
        writing.append(*made, *flips)
    assert refused.value.operation == len(made) + 2
    writing.append(*made, *flips[:2])


def test_sources_that_lead_up_to_one_count_where_that_one_changes_over_and_over(writing, monkeypatch):
    monkeypatch.setattr("api.ledger.writing.writer.MOST_WEIGHED", 30)
    writing.append(*ground(), *(a_source(f"copy-{n}", derives_from=["paper"]) for n in range(12)))
    flips = [(retract if n % 2 else restore)("source", "paper", expect=n) for n in range(1, 6)]
    with pytest.raises(BeyondLimit) as refused:
        writing.append(*flips)
    assert refused.value.operation == 2


def test_what_repeats_each_other_is_not_parted_over_and_over_in_one_batch(writing, monkeypatch):
    monkeypatch.setattr("api.ledger.writing.writer.MOST_WEIGHED", 30)
    writing.append(
        *ground(),
        a_source("other"),
        *(an_entity(f"e{n}") for n in range(24)),
        a_question("p", about="parler", answer_type="text"),
    )
    said = [{"type": "text", "text": f"Because of reason {n}"} for n in range(24)]
    claims = [
        a_claim(f"c{n}", source="paper", via=[("paper", "other")[n % 2]], speaker=f"e{n}", question="p", answer=said[n])
        for n in range(24)
    ]
    writing.append(*claims)
    flips = [(link if n % 2 else unlink)("c0", "repeats", "c1", expect=n) for n in range(1, 9)]
    with pytest.raises(BeyondLimit) as refused:
        writing.append(*flips)
    assert refused.value.operation == 5
    writing.append(*flips[:4])


@pytest.mark.parametrize("is_dry_run", [True, False])
def test_what_was_only_tried_leaves_no_mark_on_what_is_weighed_next(writing, is_dry_run):
    quantity = {"answer_type": "quantity", "unit": "users", "varies": False}
    writing.append(*ground(), a_source("other"), a_question("q", about="parler", **quantity))
    said = {"type": "quantity", "amount": "5", "unit": "users"}
    writing.append(
        a_claim("c", source="paper", question="q", answer=said), a_claim("x", source="paper", question="q", answer=said)
    )
    writing.redact("claim", "x")
    refused = retract("source", "nobody", expect=1)
    with contextlib.nullcontext() if is_dry_run else pytest.raises(LedgerError):
        tried = retract("question", "q", expect=1), *([] if is_dry_run else [refused])
        writing.ledger.append(writing.unit(*tried, is_dry_run=is_dry_run)).result(60)
    writing.append(a_claim("d", source="other", question="q", answer=said))
    assert _states(writing)["q"] == "agreed"


@pytest.mark.parametrize("kind", ["source", "entity"])
def test_what_changes_around_claims_reaches_all_that_rest_on_it(writing, kind):
    """A source three steps up, by which a claim came; an entity that another is part of, in an answer."""
    writing.append(an_entity("parler"), an_entity("whole"), an_entity("other"), a_source("agency"), a_source("daily"))
    writing.append(an_entity("part", part_of="whole"), a_source("paper", derives_from=["agency"]), a_source("blog"))
    writing.append(a_question("p", about="parler", answer_type="entity"), a_source("copy", derives_from=["paper"]))
    writing.append(
        a_claim("c", source="blog", via=["copy"], question="p", answer={"type": "entity", "entity": "part"}),
        a_claim("d", source="agency", question="p", answer={"type": "entity", "entity": "whole"}),
    )
    states = [_states(writing)["p"]]
    deeds = {
        "source": [
            revise("source", "paper", expect=1, derives_from=["daily"]),
            retract("source", "agency", expect=1),
            restore("source", "agency", expect=2),
        ],
        "entity": [
            revise("entity", "part", expect=1, part_of="other"),
            revise("entity", "part", expect=2, part_of="whole"),
        ],
    }
    for deed in deeds[kind]:
        writing.append(deed)
        states.append(_states(writing)["p"])
    expected = {
        "source": ["single-origin", "agreed", "single-origin", "agreed"],
        "entity": ["single-origin", "disputed", "single-origin"],
    }
    assert states == expected[kind]


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
