"""Idempotency where several nodes write to one ledger and overtake each other, and where one dies: what was asked for under
a key happens once, and whoever asks again is answered with that.
"""

import contextlib
import hashlib
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import httpx
import pytest

from api.domain import errors
from api.ledger.storage.access import lock_head
from api.ledger.storage.clock import now
from api.ledger.storage.database import Database
from api.ledger.writing import genesis, keys
from api.ledger.writing.ledger import Ledger
from api.ledger.writing.unit import Note, Outcome, Unit
from api.ledger.writing.writer import Sealed, is_durable
from tests.support import forked
from tests.support.auditor import audit
from tests.support.builders import Operation, Writing, an_entity, ground, revise
from tests.support.processes import descendants

_AT = (
    "SELECT r.kind, r.id, v.revision FROM revision v JOIN record r ON r.first_position = v.first_position"
    " WHERE v.position = ?"
)


@pytest.fixture
def other(database: Database) -> Iterator[Writing]:
    """A second node on the same database."""
    ledger = Ledger(database)
    ledger.start()
    yield Writing(database, ledger)
    ledger.stop()


def _keyed(writing: Writing, key: str, *operations: Operation, is_dry_run: bool = False) -> Unit:
    unit = writing.unit(*operations, is_dry_run=is_dry_run)
    digests = [hashlib.sha256(each.encode()).digest() for each in (key, f"{key} {operations}")]
    note = Note(key_digest=digests[0], request_digest=digests[1])
    return Unit(commands=unit.commands, actor=unit.actor, note=note, is_batch=True, is_dry_run=is_dry_run)


def _ask(writing: Writing, key: str, *operations: Operation) -> "Future[Outcome]":
    return writing.ledger.append(_keyed(writing, key, *operations))


def _is_alone(writing: Writing) -> None:
    """Let a node append until it believes that nobody else does: then it decides before it has the head's lock."""
    for _ in range(3):
        writing.append(an_entity())


def _hold(writing: Writing, outcome: Outcome, *ids: str) -> None:
    """Hold what was answered to what the log has at those positions."""
    for item, public_id in zip(outcome.items, ids, strict=True):
        assert item.id == public_id
        assert writing.database.access().rows(_AT, (item.position,)) == [(item.kind, item.id, item.revision)]


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("ahead", [1, 5])
def test_a_node_that_was_overtaken_answers_with_what_it_wrote_itself(
    writing: Writing, other: Writing, size: int, ahead: int, caplog: pytest.LogCaptureFixture
) -> None:
    writing.append(*ground())
    for turn in range(3):
        _is_alone(writing)
        other.append(*(an_entity(f"theirs-{turn}-{number}") for number in range(ahead)))
        mine = [an_entity(f"mine-{turn}-{number}") for number in range(size)]
        names = [each["id"] for each in mine]
        first = _ask(writing, f"key {turn}", *mine).result(60)
        assert not first.is_replay
        _hold(writing, first, *names)
        for node in (writing, other, writing):
            again = _ask(node, f"key {turn}", *mine).result(60)
            assert (again.is_replay, again.items, again.position) == (True, first.items, first.position)
    # Nor had the database to refuse first what was decided too early.
    assert not caplog.records


def test_several_keys_of_one_commit_that_was_overtaken_each_have_their_own_answer(
    writing: Writing, other: Writing
) -> None:
    writing.append(*ground())
    for turn in range(4):
        _is_alone(writing)
        other.append(an_entity(f"theirs-{turn}"))
        names = [f"mine-{turn}-{number}" for number in range(6)]
        futures = [_ask(writing, name, an_entity(name)) for name in (*names, *names)]
        outcomes = [future.result(60) for future in futures]
        for name, first, again in zip(names, outcomes[:6], outcomes[6:], strict=True):
            _hold(writing, first, name)
            assert (first.is_replay, again.is_replay) == (False, True)
            assert again.items == first.items


def test_a_key_is_known_before_what_was_done_under_it_is_committed(writing: Writing) -> None:
    writing.append(*ground())
    for turn in range(3):
        _is_alone(writing)
        with contextlib.closing(writing.database.connect()) as access, access.transaction():
            # Whoever has the head's lock keeps the commit waiting, and those who come meanwhile join it.
            lock_head(access)
            first = _ask(writing, f"key {turn}", an_entity(f"first-{turn}"))
            another = _ask(writing, f"key {turn}", an_entity(f"another-{turn}"))
            again = _ask(writing, f"key {turn}", an_entity(f"first-{turn}"))
            time.sleep(0.05)
        _hold(writing, first.result(60), f"first-{turn}")
        assert (again.result(60).is_replay, again.result(60).items) == (True, first.result(60).items)
        with pytest.raises(errors.IdempotencyKeyReused):
            another.result(60)


def test_what_was_done_under_a_key_by_the_node_that_overtook_is_not_done_again(
    writing: Writing, other: Writing
) -> None:
    writing.append(*ground())
    for turn in range(3):
        _is_alone(writing)
        asked = revise("entity", "parler", expect=turn + 1, name=f"Parler {turn}")
        theirs = _ask(other, f"key {turn}", asked).result(60)
        mine = _ask(writing, f"key {turn}", asked).result(60)
        assert (mine.is_replay, mine.items) == (True, theirs.items)
        _is_alone(writing)
        other.append(an_entity())
        with pytest.raises(errors.IdempotencyKeyReused):
            _ask(writing, f"key {turn}", an_entity()).result(60)


def test_what_is_only_tried_under_a_key_leaves_no_note_though_the_node_was_overtaken(
    writing: Writing, other: Writing
) -> None:
    writing.append(*ground())
    _is_alone(writing)
    other.append(an_entity())
    tried = writing.ledger.append(_keyed(writing, "key", an_entity("e"), is_dry_run=True)).result(60)
    assert writing.database.access().rows("SELECT count(*) FROM receipt") == [(0,)]
    done = _ask(writing, "key", an_entity("e")).result(60)
    assert (done.is_replay, done.position) == (False, tried.position)


def test_what_is_refused_under_a_key_leaves_no_note_though_the_node_was_overtaken(
    writing: Writing, other: Writing
) -> None:
    writing.append(*ground())
    _is_alone(writing)
    other.append(an_entity("taken"))
    for _ in range(2):
        with pytest.raises(errors.IdTaken):
            _ask(writing, "key", an_entity(), an_entity("taken")).result(60)
    assert writing.database.access().rows("SELECT count(*) FROM receipt") == [(0,)]


def test_of_two_nodes_that_are_asked_the_same_at_once_one_does_it_and_both_answer_alike(
    writing: Writing, other: Writing
) -> None:
    writing.append(*ground())
    choice, asked = random.Random(1), list[tuple[str, Future[Outcome], Future[Outcome]]]()
    for number in range(60):
        name = f"both-{number}"
        nodes = choice.sample((writing, other), 2)
        futures = [_ask(node, name, an_entity(name)) for node in nodes]
        asked.append((name, *futures))
        for _ in range(choice.choice((0, 0, 1, 2))):
            choice.choice(nodes).ledger.append(writing.unit(an_entity()))
        if choice.random() < 0.3:
            futures[choice.choice((0, 1))].result(60)
    for name, *futures in asked:
        one, two = (future.result(60) for future in futures)
        assert one.items == two.items
        assert [one.is_replay, two.is_replay].count(True) == 1
        _hold(writing, one, name)


def test_a_note_holds_for_seven_days_and_no_longer(database: Database) -> None:
    day, moment = 24 * 3600 * 1_000_000, [1_800_000_000_000_000]
    ledger = Ledger(database, clock=lambda: moment[0])
    ledger.start()
    writing = Writing(database, ledger)
    began = moment[0]
    first = _ask(writing, "key", an_entity("e")).result(60)
    for late, is_replay in ((7 * day - 1, True), (7 * day, False)):
        moment[0] = began + late
        if is_replay:
            assert _ask(writing, "key", an_entity("e")).result(60).items == first.items
        else:
            with pytest.raises(errors.IdTaken):
                _ask(writing, "key", an_entity("e")).result(60)
            assert not _ask(writing, "key", an_entity("f")).result(60).is_replay
    ledger.stop()


def test_a_node_whose_clock_is_behind_goes_on_from_the_time_of_who_overtook_it(
    database: Database, writing: Writing
) -> None:
    hour, ahead = 3600 * 1_000_000, Ledger(database, clock=lambda: now() + hour)
    ahead.start()
    writing.append(*ground())
    for turn in range(2):
        _is_alone(writing)
        Writing(database, ahead).append(an_entity())
        mine = _ask(writing, f"key {turn}", an_entity(), an_entity()).result(60)
        sql = "SELECT recorded_at FROM event WHERE position BETWEEN ? AND ? ORDER BY position"
        times = [row[0] for row in database.access().rows(sql, (mine.position - 2, mine.position))]
        assert times == [times[0], times[0] + 1, times[0] + 2]
    ahead.stop()


def test_a_commit_took_place_only_where_its_own_event_is_at_its_position(writing: Writing) -> None:
    """Its answer may be lost and another node's event be there instead, under a salt of its own."""
    position = writing.append(an_entity()).position
    with contextlib.closing(writing.database.connect_to_write()) as access:
        [(leaf,)] = access.rows("SELECT leaf_hash FROM event WHERE position = ?", (position,))
        for there, own in ((position, bytes(leaf)), (position, bytes(32)), (position + 1, bytes(leaf))):
            assert is_durable(access, Sealed(there, own, [])) is ((there, own) == (position, bytes(leaf)))


class Crowd:
    """Clients that ask two nodes for the same at once, each under a key of its own, and ask again who did not answer."""

    def __init__(self, nodes: list[httpx.Client], key: str) -> None:
        self.nodes, self.numbers = nodes, itertools.count()
        self.headers = {"Authorization": f"Bearer {key}"}
        self.answers: dict[str, set[tuple[int, int]]] = {}
        self.over = threading.Event()

    def ask(self, node: httpx.Client, one: str) -> None:
        body = {"id": one, "type": "other", "name": one}
        try:
            answer = node.post("/v1/entities", json=body, headers={**self.headers, "Idempotency-Key": one})
        except httpx.TransportError:
            return
        if answer.status_code == 503:
            return
        assert answer.status_code == 201, answer.text
        said: dict[str, Any] = answer.json()
        assert said["id"] == one
        self.answers[one].add((said["position"], said["revision"]))

    def work(self) -> None:
        while not self.over.is_set():
            one = f"one-{next(self.numbers)}"
            self.answers[one] = set()
            asking = [threading.Thread(target=self.ask, args=(node, one)) for node in self.nodes]
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join()


@pytest.mark.slow
def test_a_node_that_dies_between_a_commit_and_its_answer_leaves_what_the_other_answers_with(settings: Any) -> None:
    database = Database(settings)
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    key = keys.create(database.access(), "test", ("write",), None)
    with forked.serving(settings) as lasting, forked.serving(settings) as dying:
        crowd = Crowd([dying.client, lasting.client], key)
        working = [threading.Thread(target=crowd.work) for _ in range(3)]
        for thread in working:
            thread.start()
        time.sleep(1)
        for pid in (*descendants(dying.process.pid), dying.process.pid):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)
        crowd.over.set()
        for thread in working:
            thread.join()
        for one in crowd.answers:
            crowd.ask(lasting.client, one)
    assert len(crowd.answers) > 20
    stored: dict[str, int] = dict(database.access().rows("SELECT id, position FROM record WHERE kind = 'entity'"))
    for one, answers in crowd.answers.items():
        assert answers == {(stored[one], 1)}, one
    assert len(stored) == len(crowd.answers)
    audit(database.access())
    database.close()
