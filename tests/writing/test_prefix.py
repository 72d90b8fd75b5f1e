"""A view of the past is the fold of a prefix of the log, whatever happened, and nothing that comes later changes it."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from api.domain.agreement.agreement import to_json
from api.domain.dates.asof import AsOf
from api.domain.errors import LedgerError, NotRedactable, Redacted, StillNamed, UnknownRecord
from api.ledger.reading import changes, lists, standpoint, stats, views
from api.ledger.reading.answers import answers, questions_agreeing, states_agreeing, summaries
from api.ledger.reading.selection import Selection
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.writing import genesis
from api.ledger.writing.ledger import Ledger
from tests.support.auditor import audit
from tests.support.builders import Writing, an_entity
from tests.support.databases import is_sqlite
from tests.support.histories import CLAIMS, QUESTIONS, clocks, ground, histories, selections, sensible
from tests.support.served import DATABASES, migrated
from tests.writing import oracle
from tests.writing.oracle import Past

EXAMPLES = int(os.environ.get("TEST_HISTORIES", "3"))
KINDS = ("entity", "source", "question", "claim")
Revisions = dict[tuple[str, str], int]


@pytest.fixture(params=DATABASES)
def kind(request) -> str:
    return request.param


@pytest.fixture
def fresh(request, kind, tmp_path) -> Callable[[], AbstractContextManager[Writing]]:
    """Makes a ledger of its own for each history."""

    @contextmanager
    def begin() -> Iterator[Writing]:
        folder = tmp_path / uuid4().hex
        folder.mkdir()
        with migrated(request, kind, folder) as settings:
            database = Database(settings)
            genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
            ledger = Ledger(database)
            ledger.start()
            yield Writing(database, ledger)
            ledger.stop()
            database.close()

    return begin


def test_every_read_at_every_position_is_the_fold_of_that_prefix(fresh, kind):
    # PostgreSQL plans each statement of each new connection: fewer histories, and all positions of each.
    examples = EXAMPLES if kind == "sqlite" else max(1, EXAMPLES * 2 // 5)

    @hypothesis(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(history=histories(), seed=st.integers(0, 2**32 - 1))
    def holds(history: Any, seed: int) -> None:
        with fresh() as writing:
            _check(writing, history, seed)
            audit(writing.database.access())

    holds()


def test_after_redactions_every_read_is_the_fold_of_what_is_left(fresh, kind):
    examples = EXAMPLES if kind == "sqlite" else max(1, EXAMPLES // 5)

    @hypothesis(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(history=histories(), seed=st.integers(0, 2**32 - 1))
    def holds(history: Any, seed: int) -> None:
        with fresh() as writing:
            choice = random.Random(seed)
            half = len(history) // 2
            _live(writing, history[:half], choice)
            _redact(writing, choice)
            _append(writing, history[half:], choice)
            _redact(writing, choice)
            _check_all(writing.database.access(), seed)
            audit(writing.database.access())

    holds()


def _redact(writing: Writing, choice: random.Random) -> None:
    """Redact some records, whole or in part, some with their id; what is refused is refused for a reason of its own."""
    for (kind, public_id), state in choice.sample(sorted(_known(writing.database.access()).items()), 6):
        last = choice.choice((None, *range(1, state["revision"])))
        first = choice.randint(1, last) if last is not None else None
        try:
            writing.redact(kind, public_id, first=first, last=last, erase_id=choice.random() < 0.4)
        except (StillNamed, NotRedactable):
            writing.append(an_entity())


def _append(writing: Writing, history: Any, choice: random.Random) -> None:
    for group in history:
        for request in group:
            operations = sensible(request, _known(writing.database.access()), choice)
            _settle([writing.ledger.append(writing.unit(*operations))])


def _check(writing: Writing, history: Any, seed: int) -> None:
    access = writing.database.access()
    seen = _live(writing, history, random.Random(seed))
    _check_all(access, seed)
    for (read, position), said in seen.items():
        assert _ask(access, read, position) == said, f"{read} at {position} changed"


def _check_all(access: Access, seed: int) -> None:
    log = oracle.events(access)
    assert [event["position"] for event in log] == list(range(1, len(log) + 1))
    choice = random.Random(seed)
    folds = [Past(log, position) for position in range(len(log) + 1)]
    # To compose a list and to plan it takes longer than to ask for it: few are drawn, and each asked for at many positions.
    drawn = [chosen for _ in range(4) for chosen in selections(choice)]
    for past in folds:
        _check_records(access, past, choice)
        _check_lists(access, past, choice.sample(drawn, 8 if is_sqlite(access) else 3), choice)
        _check_questions(access, past, choice)
        _check_changes(access, choice.choice(folds[: past.position + 1]), past)


def _live(writing: Writing, history: Any, choice: random.Random) -> dict[tuple[Any, int], Any]:
    """Send the requests, group by group, asking in between; give what was answered at each position on the way."""
    revisions: Revisions = {}
    _note(writing.append(*ground()), revisions)
    seen: dict[tuple[Any, int], Any] = {}
    access = writing.database.access()
    for group in history:
        units = [writing.unit(*sensible(request, _known(access), choice)) for request in group]
        tried = _settle([writing.ledger.append(replace(units[0], is_dry_run=True))])[0]
        outcomes = _settle([writing.ledger.append(unit) for unit in units])
        _agree(tried, outcomes[0])
        for outcome in outcomes:
            if not isinstance(outcome, LedgerError):
                _note(outcome, revisions)
        head = standpoint.locate(access).position
        for read in (*choice.sample(_READS, 6), *choice.sample(list(_lists(choice)), 3)):
            seen[read, head] = _ask(access, read, head)
    return seen


def _known(access: Access) -> dict[tuple[str, str], Any]:
    at = standpoint.locate(access)
    found = [lists.select(access, Selection(kind=kind, limit=500))[0].items for kind in KINDS]
    states = [msgspec.json.decode(item) for items in found for item in items]
    assert at.position == standpoint.locate(access).position
    return {(state["kind"], state["id"]): state for state in states}


def _settle(futures: list[Any]) -> list[Any]:
    errors = [future.exception(60) for future in futures]
    return [error or future.result() for error, future in zip(errors, futures, strict=True)]


def _agree(tried: Any, done: Any) -> None:
    """A dry run says what would happen, to the same words."""
    if isinstance(done, LedgerError):
        assert (type(tried), str(tried), tried.pointer) == (type(done), str(done), done.pointer)
    else:
        assert tried == done


def _note(outcome: Any, revisions: Revisions) -> None:
    for item in outcome.items:
        assert item.revision == revisions.get((item.kind, item.id), 0) + 1
        revisions[item.kind, item.id] = item.revision


_READS: list[Any] = [("record", "claim", claim) for claim in CLAIMS] + [("answers", one) for one in QUESTIONS]
_READS += [("history", "claim", claim) for claim in CLAIMS[:3]] + [("stats",), ("timeline",), ("facets",)]


def _lists(choice: random.Random) -> Iterator[Any]:
    for chosen in selections(choice):
        yield ("list", _Hashed(chosen))


class _Hashed:
    """A selection that can be a key: each is itself."""

    def __init__(self, chosen: Selection) -> None:
        self.chosen = chosen


def _ask(access: Access, read: Any, position: int) -> Any:
    """Answer a read at a position in the bytes or values that a client would get."""
    name, *given = read
    try:
        return _ANSWERS[name](access, AsOf(position=position), *given)
    except UnknownRecord:
        return None
    except Redacted as gone:
        return {"position": gone.position, "basis": gone.basis}


def _answers(access: Access, asked: AsOf, question: str) -> Any:
    found = answers(access, question, Selection(kind="claim", asked=asked))
    return to_json(found.agreement), found.claims, bytes(found.question)


def _facets(access: Access, asked: AsOf) -> Any:
    chosen = Selection(kind="claim", asked=asked)
    return lists.facets(access, chosen, standpoint.locate(access, asked), oracle.FACETS["claim"])


_ANSWERS: dict[str, Any] = {
    "record": lambda access, asked, *key: bytes(views.as_of(access, *key, asked).document),
    "history": lambda access, asked, *key: views.history(access, *key, asked=asked, cursor=None, limit=100).items,
    "list": lambda access, asked, held: lists.select(access, replace(held.chosen, asked=asked))[0].items,
    "timeline": lambda access, asked: lists.timeline(access, Selection(kind="claim", asked=asked, is_live=True)).items,
    "stats": lambda access, asked: stats.count(access, asked)[0],
    "answers": _answers,
    "facets": _facets,
}


def _check_records(access: Access, past: Past, choice: random.Random) -> None:
    asked = AsOf(position=past.position)
    known = [key for key in past.records if key[0] != "redaction"]
    for kind, public_id in [*known, *(("claim", claim) for claim in CLAIMS)]:
        expected = past.mark(kind, public_id) or past.representation(kind, public_id)
        said = _ask(access, ("record", kind, public_id), past.position)
        assert (msgspec.json.decode(said) if isinstance(said, bytes) else said) == expected
    for kind, public_id in choice.sample(sorted(known), min(3, len(known))):
        if _is_gone(access, kind, public_id):
            continue
        page = views.history(access, kind, public_id, asked=asked, cursor=None, limit=100)
        assert [msgspec.json.decode(item) for item in page.items] == past.history(kind, public_id)
    for claim in past.of("claim"):
        found = views.links(access, claim, asked)
        outgoing, incoming = found.outgoing, found.incoming
        assert (outgoing, sorted(incoming, key=_by_place)) == (
            past.links(claim)[0],
            sorted(past.links(claim)[1], key=_by_place),
        )


def _is_gone(access: Access, kind: str, public_id: str) -> bool:
    """Say whether all of a record is redacted: of that nothing is told, at any position."""
    try:
        views.current(access, kind, public_id)
    except Redacted:
        return True
    return False


def _by_place(link: Any) -> tuple[int, str]:
    return link["position"], link["claim"]


def _check_lists(access: Access, past: Past, asked: list[Selection], choice: random.Random) -> None:
    at = standpoint.locate(access, AsOf(position=past.position))
    for chosen in asked:
        chosen = replace(chosen, asked=AsOf(position=past.position))  # noqa: PLW2901 - the same, at the position
        page, ids = lists.select(access, chosen)
        assert ids == past.select(chosen), chosen
        for item, public_id in zip(page.items, ids, strict=True):
            assert msgspec.json.decode(item) == past.representation(chosen.kind, public_id)
        name = choice.choice(oracle.FACETS[chosen.kind])
        counted = {each["value"]: each["count"] for each in lists.facets(access, chosen, at, [name])[name]}
        assert counted == past.facets(chosen, name), (chosen, name)
        if chosen.kind == "claim":
            line = lists.timeline(access, replace(chosen, is_live=True, order="recorded"))
            assert [msgspec.json.decode(item)["id"] for item in line.items] == past.timeline(chosen), chosen


def _check_questions(access: Access, past: Past, choice: random.Random) -> None:
    asked = AsOf(position=past.position)
    for question in past.of("question"):
        chosen = Selection(kind="claim", asked=asked, **choice.choice(({}, clocks(choice))))
        assert answers(access, question, chosen).agreement == past.adds_up(question, chosen)
    states = choice.choice(((), ("open",), ("disputed",), ("single-origin", "open")))
    order = choice.choice(("recorded", "-recorded", "agreement", "-agreement"))
    clocked = Selection(kind="question", asked=asked, agreement=states, order=order, limit=500, **clocks(choice))
    page, ids = questions_agreeing(access, clocked)
    assert ids == past.select(clocked)
    assert Counter(states_agreeing(access, clocked).values()) == past.facets(clocked, "agreement")
    for public_id, counts in summaries(access, page, ids, clocked).items():
        added_up = past.adds_up(public_id, clocked)
        assert (counts["state"], counts["origin_count"]) == (added_up.state, len(added_up.origins))
        assert (counts["group_count"], counts["conflict_count"]) == (len(added_up.groups), added_up.conflict_count)
    said, at = stats.count(access, asked)
    expected = past.stats()
    assert at.position == past.position
    assert {name: said[name] for name in expected} == expected


def _check_changes(access: Access, old: Past, new: Past) -> None:
    asked = {"old": AsOf(position=old.position), "new": AsOf(position=new.position)}
    found = changes.between(access, **asked, cursor=None, limit=500)
    said = {
        (one["kind"], one["id"]): (one["from_revision"], one["to_revision"], one["change"]) for one in found.records
    }
    assert said == oracle.changes(old, new)
    assert {one["question"]: (one["from"], one["to"]) for one in found.agreement} == oracle.turns(old, new)
