"""A redaction folds in anew what it touches and nothing else; the projections are then what a rebuild makes of the log."""

import contextlib
import os
import random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from api.domain.errors import LedgerError
from api.domain.records.redaction import NewRedaction, redact_command
from api.ledger.projecting.known_records import stored_record
from api.ledger.projecting.refolding import refold, touched_by
from api.ledger.reading.removal import preview
from api.ledger.storage.access import Access
from tests.support.auditor import audit
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
)
from tests.support.databases import is_sqlite
from tests.support.histories import CLAIMS, ENTITIES, QUESTIONS, SOURCES, histories, sensible
from tests.support.histories import ground as small_world
from tests.support.watched import effort, watched
from tests.writing.test_prefix import fresh, kind

__all__ = ["fresh", "kind"]
EXAMPLES = int(os.environ.get("TEST_HISTORIES", "5"))
C = {"source": "paper", "question": "offline-when"}
_IDS = {"entity": ENTITIES, "source": SOURCES, "question": QUESTIONS, "claim": CLAIMS}
_HEADS = "SELECT r.kind, r.id, r.revision, v.status FROM record r JOIN revision v ON v.position = r.position"


def test_whatever_is_redacted_the_projections_are_what_a_rebuild_makes(fresh: Any, kind: str) -> None:
    examples = EXAMPLES * 2 if kind == "sqlite" else EXAMPLES // 2

    @hypothesis(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(history=histories(), seed=st.integers(0, 2**32 - 1))
    def holds(history: Any, seed: int) -> None:
        choice = random.Random(seed)
        with fresh() as writing:
            writing.append(*small_world())
            for group in history:
                for request in group:
                    _try(lambda: writing.append(*sensible(request, _known(writing), choice)))  # noqa: B023 - at once
                if choice.random() < 0.6:
                    _redact(writing, choice)
            for _ in range(3):
                _redact(writing, choice)
            audit(writing.database.access())

    holds()


def _known(writing: Writing) -> dict[tuple[str, str], dict[str, Any]]:
    rows = writing.database.access().rows(_HEADS)
    return {(kind, one): {"revision": revision, "status": status} for kind, one, revision, status in rows}


def _redact(writing: Writing, choice: random.Random) -> None:
    """Redact a record, whole or in part, one that others stand on as soon as one that none does."""
    kind = choice.choice(sorted(_IDS))
    one = choice.choice(_IDS[kind])
    revisions = _known(writing).get((kind, one), {"revision": 1})["revision"]
    last = choice.choice((None, None, *range(1, revisions)))
    first = choice.randint(1, last) if last else None
    _try(lambda: writing.redact(kind, one, first=first, last=last, erase_id=choice.random() < 0.3))


def _try(act: Any) -> None:
    try:
        act()
    except LedgerError:
        return


@pytest.mark.parametrize("seed", range(max(4, EXAMPLES // 4)))
def test_where_all_hangs_together_the_projections_are_what_a_rebuild_makes(writing: Writing, seed: int) -> None:
    """A few of each kind, parts and reprints of each other, links across; some of it is redacted on the way, some at last."""
    choice = random.Random(seed)
    writing.append(an_entity("parler"), *(an_entity(one) for one in _ENTITIES), *(a_source(one) for one in _SOURCES))
    writing.append(*(a_question(one, about="parler", answer_type="entity") for one in _ASKED))
    for number in range(150):
        _try(lambda: writing.append(*_deed(choice, number, _known(writing))))  # noqa: B023 - at once
        if number > 30 and choice.random() < 0.1:
            _redact_some(writing, choice)
    for last in ("claim", "entity", "source", "question", "entity", "source", "question"):
        _try(lambda: writing.redact(last, choice.choice(_named(writing, last))))  # noqa: B023 - at once
    _check_naming(writing)
    audit(writing.database.access())


def _named(writing: Writing, kind: str) -> list[str]:
    return [one for of, one in sorted(_known(writing)) if of == kind]


_ASKED, _ENTITIES, _SOURCES = [[f"{kind}{number}" for number in range(6)] for kind in ("q", "e", "s")]


def _deed(choice: random.Random, number: int, known: dict[tuple[str, str], dict[str, Any]]) -> list[Operation]:
    """Do one thing to what is there; what makes no sense is refused."""
    claims = [one for kind, one in known if kind == "claim"]
    claim, other = choice.choice(claims or ["none"]), choice.choice(claims or ["none"])
    kind, one = choice.choice(sorted(known))
    entity, source = choice.choice(_ENTITIES), choice.choice(_SOURCES)
    said = {"answer": {"type": "entity", "entity": entity}, "stance": choice.choice(("asserts", "asserts", "denies"))}
    a, b = choice.sample(_ENTITIES, 2)
    c, d = choice.sample(_SOURCES, 2)
    deeds = [
        a_claim(f"c{number}", source=source, question=choice.choice(_ASKED), **said),
        a_claim(f"c{number}", source=source, question=choice.choice(_ASKED), via=[choice.choice(_SOURCES)], **said),
        link(claim, choice.choice(("contradicts", "repeats", "corrects", "corrects", "supersedes")), other),
        revise("claim", claim, **said),
        revise("entity", a, part_of=choice.choice((b, None))),
        revise("source", c, derives_from=choice.choice(([d], []))),
        retract(kind, one),
        restore(kind, one),
    ]
    deed = choice.choices(deeds, (4, 2, 5, 1, 3, 3, 1, 2))[0]
    at = known.get((deed["kind"], deed["id"]))
    return [deed if deed["op"] == "record" or at is None else {**deed, "expect": at["revision"]}]


def _redact_some(writing: Writing, choice: random.Random) -> None:
    """Redact what a record said before, or a claim."""
    (kind, one), at = choice.choice(sorted(_known(writing).items(), key=lambda each: each[0]))
    last = at["revision"] - 1 or None
    if last or kind == "claim":
        _try(lambda: writing.redact(kind, one, first=choice.randint(1, last or 1), last=last))


def _check_naming(writing: Writing) -> None:
    """What names a record, found by the index, is what a look at every payload finds."""
    access = writing.database.access()
    rows = access.rows("SELECT position, payload FROM payload ORDER BY position")
    states = {position: msgspec.json.decode(said)["state"] for position, said in rows}
    for of, one in _known(writing):
        command = redact_command(NewRedaction(kind=of, id=one, basis="error", reason="x"))  # type: ignore[arg-type]
        try:
            found = preview(access, command, []).left.named_by.items
        except LedgerError:
            continue
        own = {row[0] for row in access.rows(_OWN, (of, one))}
        naming = {position for position, state in states.items() if position not in own and one in _told(state, of)}
        assert {each.position for each in found} == naming, (of, one)


_OWN = "SELECT v.position FROM revision v JOIN record r ON r.first_position = v.first_position WHERE r.kind = ? AND r.id = ?"


def _told(state: dict[str, Any], kind: str) -> set[str]:
    """Give the ids of a kind in the fields of a state that are for them."""
    fields = {
        "entity": ("part_of", "publisher", "about", "speaker"),
        "source": ("source", "derives_from", "part_of", "via"),
        "question": ("question",),
    }
    values = [state.get(name) for name in fields.get(kind, ())]
    told = {each for value in values for each in (value if isinstance(value, list) else [value]) if each}
    answer = state.get("answer", {})
    told |= {answer.get("entity"), *answer.get("entities", [])} if kind == "entity" else set()
    told |= {each["claim"] for each in state.get("links", [])} if kind == "claim" else set()
    return told | ({state["target"]} if state.get("target") and state.get("kind") == kind else set())


def test_what_is_touched_is_the_record_and_the_questions_that_it_weighs_on(writing: Writing) -> None:
    writing.append(
        *ground(), a_source("agency"), a_source("reprint", derives_from=["agency"]), an_entity("owner"), an_entity("whole", part_of="owner"),
        an_entity("part", part_of="whole"), *(a_question(one, about="parler") for one in ("q1", "q2", "q3", "q4")),
        a_question("who", about="parler", answer_type="entity"),
        a_claim("c", **C), a_claim("c1", source="reprint", question="q1"), a_claim("c2", source="paper", question="q2"),
        a_claim("c3", source="paper", question="who", answer={"type": "entity", "entity": "part"}),
        a_claim("c4", source="paper", question="q4", via=["reprint"]),
        link("c1", "corrects", "c2"),
    )  # fmt: skip
    touched = {
        ("claim", "c"): {"offline-when"},
        ("claim", "c1"): {"q1", "q2"},
        ("claim", "c2"): {"q2"},
        ("question", "q1"): {"q1", "q2"},
        ("question", "q3"): {"q3"},
        ("source", "agency"): {"q1", "q2", "q4"},
        ("entity", "part"): {"who"},
        ("entity", "owner"): set(),
        ("entity", "whole"): {"who"},
        ("entity", "parler"): set(),
    }
    assert {(kind, one): _touched(writing, kind, one) for kind, one in touched} == touched


def _touched(writing: Writing, kind: str, one: str) -> set[str]:
    access = writing.database.access()
    target = stored_record(access, kind, one)
    assert target is not None
    questions = touched_by(access, target, [target.state]).questions
    return {
        row[0] for each in questions for row in access.rows("SELECT id FROM record WHERE first_position = ?", (each,))
    }


def test_what_is_folded_in_anew_knows_whose_parts_and_reprints_others_are(writing: Writing) -> None:
    """The claims that stay meet only as part and whole, and are one origin only by what their sources derive from."""
    writing.append(
        *ground(), an_entity("whole"), an_entity("half", part_of="whole"), an_entity("part", part_of="half"),
        a_source("wire"), a_source("copy", derives_from=["wire"]), a_source("late", derives_from=["copy"]),
        *(a_question(one, about="parler", answer_type="entity") for one in ("who", "whom")),
    )  # fmt: skip
    for number, (one, source) in enumerate([("whole", "wire"), ("part", "late"), ("part", "paper")]):
        for question in ("who", "whom"):
            more = {"via": ["late"]} if question == "whom" and number == 1 else {}
            said = {"source": "paper" if more else source, "answer": {"type": "entity", "entity": one}}
            writing.append(a_claim(f"{question}-{number}", question=question, **said, **more))
            writing.append(a_claim(f"{question}-{number}-x", question=question, **said, stance="denies"))
    access = writing.database.access()
    for question in ("who", "whom"):
        for number in range(3):
            writing.redact("claim", f"{question}-{number}-x")
    states = access.rows("SELECT state FROM agreement ORDER BY question, since")
    assert [row[0] for row in states[1:]] == ["open", "single-origin", "agreed"] * 2


def test_to_redact_costs_the_same_however_large_the_ledger_is(writing: Writing) -> None:
    writing.append(*ground(), *(a_claim(f"c{number}", **C) for number in range(20)), link("c1", "corrects", "c2"))
    before = _cost(writing)
    for part in range(4):
        questions = [f"q{part}-{number}" for number in range(300)]
        writing.append(*(a_question(one, about="parler") for one in questions))
        writing.append(*(a_source(f"s{one}", published="2021-01-10") for one in questions))
        writing.append(*(a_claim(source=f"s{one}", question=one) for one in questions for _ in range(2)))
    # Nobody has told PostgreSQL's planner yet how much is there.
    assert _cost(writing) <= 1.2 * before + 40


def _cost(writing: Writing) -> int:
    access = watched(writing.database)
    target = stored_record(access, "claim", "c1")
    assert target is not None
    access.asked.clear()

    def redact(access: Access) -> None:
        with contextlib.suppress(_TakenBackError), access.transaction():
            refold(access, touched_by(access, target, [target.state]), "claim")
            raise _TakenBackError

    if is_sqlite(access):
        cost = effort(access, redact)
    else:
        redact(access)
        cost = effort(access, lambda _: None)
    access.close()
    return cost


class _TakenBackError(Exception):
    """What was done is not to last."""


@pytest.mark.parametrize("erased", [False, True])
def test_the_rows_of_others_are_not_written(writing: Writing, erased: bool) -> None:
    writing.append(*ground(), a_claim("one", **C), a_claim("two", **C), revise("claim", "one", note="x"))
    writing.append(retract("claim", "two", expect=1))
    access = writing.database.access()
    own = {"record": {5}, "revision": {5, 7}, "feed": {5, 7}, "term": {5}, "span": {5}, "search": {5}}
    columns = {"feed": "position", "revision": "position"}
    before = {table: _rows(access, table, columns.get(table, "first_position")) for table in own}
    writing.redact("claim", "one", erase_id=erased)
    for table, positions in own.items():
        gone = before[table] - _rows(access, table, columns.get(table, "first_position"))
        assert {place for place, _ in gone} == positions, table


def _rows(access: Access, table: str, place: str) -> set[tuple[int, bytes]]:
    """Give a table's rows whole, each with what it is of."""
    rows = access.rows(f"SELECT {place}, * FROM {table}")
    return {(row[0], repr([bytes(v) if isinstance(v, memoryview) else v for v in row]).encode()) for row in rows}
