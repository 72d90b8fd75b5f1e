"""Appending: groups that share a commit, clocks, idempotency notes, and refusals of the database."""

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import psycopg
import pytest
import sqlalchemy as sa

from api.domain import errors
from api.domain.dates.asof import AsOf, Standpoint
from api.domain.records.command import RecordIt
from api.domain.records.redaction import NewRedaction, redact_command
from api.ledger.reading import standpoint, views
from api.ledger.storage.access import Access, lock_head
from api.ledger.storage.clock import now
from api.ledger.storage.database import Database
from api.ledger.writing.ledger import Ledger
from api.ledger.writing.unit import Note, Outcome, Unit
from api.ledger.writing.writer import Sealed
from api.settings import Settings
from tests.support.auditor import audit
from tests.support.builders import Writing, a_claim, an_entity, ground, restore, retract, revise
from tests.support.databases import connected, is_sqlite

DAY = 24 * 3600 * 1_000_000


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, moment: int) -> None:
        self.moment = moment

    def __call__(self) -> int:
        return self.moment


@contextmanager
def running(database: Database, **options) -> Iterator[Writing]:
    ledger = Ledger(database, **options)
    ledger.start()
    try:
        yield Writing(database, ledger)
    finally:
        ledger.stop()


@contextmanager
def held_head(database: Database) -> Iterator[None]:
    """Hold the writer's lock, as another node would."""
    access = database.connect()
    with access.transaction():
        lock_head(access)
        yield
    access.close()


def head(writing: Writing) -> int:
    return standpoint.locate(writing.database.access()).position


def ids(writing: Writing) -> list[str]:
    return [
        row[0]
        for row in writing.database.access().rows("SELECT id FROM record WHERE kind = 'entity' ORDER BY first_position")
    ]


def note(key: str, request: str = "request", **more) -> Note:
    digests = [hashlib.sha256(text.encode()).digest() for text in (key, request)]
    return Note(key_digest=digests[0], request_digest=digests[1], **more)


# Groups


def test_requests_that_wait_together_share_a_commit_and_are_accepted_or_refused_alone(writing):
    start = writing.append(*ground()).position
    groups = writing.ledger.tally.groups
    with held_head(writing.database):
        first = writing.ledger.append(writing.unit(an_entity("first")))
        while not writing.ledger._waiting.empty():
            time.sleep(0.001)
        requests = [
            [an_entity("second"), an_entity("second")],
            [an_entity("third"), a_claim(source="paper", question="offline-when")],
            [an_entity("third")],
            [revise("entity", "third", expect=1, name="Third")],
            [retract("entity", "nobody", expect=1)],
            [revise("entity", "third", expect=2, name="Fourth")],
        ]
        futures = [writing.ledger.append(writing.unit(*request)) for request in requests]
    assert first.result(60).position == start + 1
    refused = [type(future.exception(60)) for future in futures]
    nothing = type(None)
    assert refused == [errors.IdTaken, nothing, errors.IdTaken, nothing, errors.UnknownRecord, nothing]
    assert [[item.position - start for item in futures[index].result().items] for index in (1, 3, 5)] == [
        [2, 3],
        [4],
        [5],
    ]
    # Those who came while the first waited for the lock joined it.
    assert writing.ledger.tally.groups == groups + 1


def test_requests_that_wait_together_are_judged_by_what_those_before_leave_though_nothing_is_written_yet(writing):
    writing.append(an_entity("y"), an_entity("x", part_of="y"), an_entity("top"))
    chain = [an_entity("e1", part_of="top"), *(an_entity(f"e{n}", part_of=f"e{n - 1}") for n in range(2, 32))]
    requests = [
        chain,
        [revise("entity", "top", expect=1, part_of="x")],
        [revise("entity", "top", expect=1, name="Second")],
        [revise("entity", "top", expect=2, name="Third")],
        [restore("entity", "top", expect=3, revision=2)],
    ]
    with held_head(writing.database):
        futures = [writing.ledger.append(writing.unit(*request)) for request in requests]
    refused = [type(future.exception(60)) for future in futures]
    assert refused == [type(None), errors.BeyondLimit, *[type(None)] * 3]
    document = views.current(writing.database.access(), "entity", "top").document
    assert (json.loads(document)["name"], json.loads(document)["part_of"]) == ("Second", None)


def test_a_dry_run_writes_nothing_and_later_requests_do_not_see_it(writing):
    position = writing.append(*ground()).position
    tried = writing.ledger.append(writing.unit(an_entity("gab"), retract("entity", "gab"), is_dry_run=True)).result(60)
    assert [(item.id, item.revision, item.position) for item in tried.items] == [
        ("gab", 1, position + 1),
        ("gab", 2, position + 2),
    ]
    assert head(writing) == position
    assert writing.append(an_entity("gab")).position == position + 1


def test_a_caller_who_gave_up_before_the_turn_came_is_not_written_for(writing):
    writing.append(*ground())
    with held_head(writing.database):
        writing.ledger.append(writing.unit(an_entity("first")))
        while not writing.ledger._waiting.empty():
            time.sleep(0.001)
        assert writing.ledger.append(writing.unit(an_entity("given-up"))).cancel()
        last = writing.ledger.append(writing.unit(an_entity("last")))
    last.result(60)
    assert ids(writing) == ["parler", "first", "last"]


def test_what_was_accepted_before_the_stop_is_written_and_what_comes_after_is_refused(database):
    with running(database) as writing:
        futures = [writing.ledger.append(writing.unit(an_entity(f"e-{number}-stop"))) for number in range(50)]
    assert [future.result(0).items[0].id for future in futures] == [f"e-{number}-stop" for number in range(50)]
    assert isinstance(writing.ledger.append(writing.unit(an_entity())).exception(0), errors.Unavailable)


@pytest.mark.parametrize("group_size", [1, 64])
def test_a_fault_of_our_own_refuses_one_request_and_not_its_neighbours(database, group_size):
    """Neither those who share its commit nor those whose commit is under way."""
    with running(database, group_size=group_size) as writing:
        for _ in range(3):
            position = writing.append(an_entity()).position
        with held_head(database):
            first = writing.ledger.append(writing.unit(an_entity("first")))
            faulty = writing.ledger.append(
                Unit(commands=[RecordIt(kind="entity", id="faulty", body={})], actor=writing.actor)
            )
            last = writing.ledger.append(writing.unit(an_entity("last")))
        assert isinstance(faulty.exception(60), errors.AskedWrongly)
        assert [first.result(60).position - position, last.result(60).position - position] == [1, 2]
        assert ids(writing)[3:] == ["first", "last"]


# The database refuses


class Wired(Database):
    """The real database, with something done around each commit of its writers."""

    def __init__(self, settings: Settings, commit: Callable[[Callable[[], None]], None]) -> None:
        super().__init__(settings)
        self.commit = commit

    def connect(self) -> Access:
        return connected(self, _Waiting, self.commit)


class _Waiting:
    def __init__(self, engine, commit) -> None:
        super().__init__(engine)
        self._commit = commit

    def _execute(self, sql, parameters=()):
        if sql != "COMMIT":
            return super()._execute(sql, parameters)
        return self._commit(lambda: super(_Waiting, self)._execute(sql))


@pytest.mark.parametrize("is_ours", [True, False])
def test_the_log_leads_to_a_fault_of_our_own_and_repeats_nothing_that_a_driver_says(
    database, settings, caplog, is_ours
):
    said = "a word that a client wrote"
    of_driver = sqlite3.OperationalError(said) if is_sqlite(database) else psycopg.OperationalError(said)
    faults = [TypeError(said) if is_ours else of_driver]

    def fail(commit):
        if faults:
            raise faults.pop()
        commit()

    wired = Wired(settings, lambda commit: commit())
    with running(wired) as writing:
        writing.append(*ground())
        writing.ledger._writer._access._commit = fail
        assert writing.append(an_entity("next")).position == 5
        # What failed was not taken for done: it was tried again.
        assert (ids(writing), faults) == (["parler", "next"], [])
    wired.close()
    [record] = caplog.records
    assert record.getMessage().startswith(("a commit failed: ", "a group of 1 was rolled back: "))
    assert (bool(record.exc_info), said in caplog.text) == (is_ours, is_ours)


def test_nobody_is_answered_before_the_commit(database, settings):
    reached, go_on = threading.Event(), threading.Event()

    def wait(commit):
        reached.set()
        go_on.wait(30)
        commit()

    wired = Wired(settings, lambda commit: commit())
    with running(wired) as writing:
        writing.append(*ground())
        wired.commit = wait
        # The writer's connection is there already: it asks the database what to do.
        writing.ledger._writer._access._commit = wait
        futures = [writing.ledger.append(writing.unit(an_entity())) for _ in range(3)]
        assert reached.wait(30)
        assert not any(future.done() for future in futures)
        assert standpoint.locate(database.access()).position == 4
        go_on.set()
        assert [future.result(60).position for future in futures] == [5, 6, 7]
    wired.close()


def test_a_commit_whose_answer_was_lost_is_not_written_twice(database, settings):
    lost = [True]

    def lose(commit):
        commit()
        if lost.pop() if lost else False:
            raise (
                psycopg.OperationalError("the connection is lost")
                if not is_sqlite(database)
                else sqlite3.OperationalError
            )

    wired = Wired(settings, lambda commit: commit())
    with running(wired) as writing:
        writing.append(*ground())
        writing.ledger._writer._access._commit = lose
        outcome = writing.append({"op": "record", "kind": "entity", "body": {"type": "other", "name": "Without an id"}})
        assert (outcome.position, head(writing), lost) == (5, 5, [])
        assert writing.append(an_entity("next")).position == 6
    wired.close()


def test_a_refusal_by_the_database_rolls_the_group_back_and_each_is_tried_alone(writing):
    position = writing.append(*ground()).position
    _refuse_poison(writing.database.access())
    with held_head(writing.database):
        futures = [writing.ledger.append(writing.unit(an_entity(one))) for one in ("first", "second", "poison", "last")]
    assert [future.result(60).position for future in (futures[0], futures[1], futures[3])] == [
        position + 1,
        position + 2,
        position + 3,
    ]
    assert isinstance(futures[2].exception(60), errors.AskedWrongly)
    assert ids(writing) == ["parler", "first", "second", "last"]


def test_whoever_is_told_of_commits_is_told_of_each_before_those_who_wait_for_it(database, caplog):
    """Of one that was shared, and of those that had to be tried again one by one."""
    told = list[tuple[int, list[bool]]]()
    futures = list[Future[Outcome]]()

    def committed(sealed: Sealed) -> None:
        told.append((sealed.position, [future.done() for future in futures]))

    with running(database, committed=committed) as writing:
        position = writing.append(*ground()).position
        _refuse_poison(database.access())
        with held_head(database):
            futures += [writing.ledger.append(writing.unit(an_entity(one))) for one in ("first", "poison", "last")]
        outcomes = [future.exception(60) or future.result().position - position for future in futures]
        writing.ledger.append(writing.unit(an_entity("tried"), is_dry_run=True)).result(60)
    assert [outcomes[0], outcomes[2]] == [1, 2]
    of_those = [told[0][0], *(each - position for each, _ in told[1:])]
    assert of_those == [position, 1, 2]
    assert [done for _, done in told[1:]] == [[False] * 3, [True, True, False]]
    lines = [record.getMessage().partition(":")[0] for record in caplog.records]
    # What a server refuses it tells when it is asked for the commit.
    first = "a group of 3 was rolled back" if is_sqlite(database) else "a commit failed"
    assert lines == [first, "an append was rolled back", "the database was asked wrongly"]


def _refuse_poison(access: Access) -> None:
    if is_sqlite(access):
        access.run(
            "CREATE TRIGGER no_poison BEFORE INSERT ON record WHEN NEW.id = 'poison' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    else:
        access.run("ALTER TABLE record ADD CONSTRAINT no_poison CHECK (id <> 'poison') NOT VALID")


def test_what_was_decided_on_a_commit_that_failed_is_decided_again(database):
    with running(database, group_size=1) as writing:
        writing.append(*ground())
        # From the second time on nobody else is met at the head, and groups are decided before it is locked.
        position = [writing.append(an_entity()).position for _ in range(3)][-1]
        assert writing.ledger._writer._is_alone
        _refuse_poison(database.access())
        with held_head(database):
            requests = an_entity("first"), an_entity("poison"), revise("entity", "poison", expect=1), an_entity("last")
            first, poison, revised, last = [writing.ledger.append(writing.unit(each)) for each in requests]
        assert (first.result(60).position, last.result(60).position) == (position + 1, position + 2)
        assert isinstance(poison.exception(60), errors.AskedWrongly)
        assert isinstance(revised.exception(60), errors.UnknownRecord)
        assert head(writing) == position + 2


def test_a_database_that_cannot_write_for_a_while_loses_nothing_and_goes_on(database):
    limit = ["PRAGMA max_page_count = 4294967294"]
    if is_sqlite(database):
        sa.event.listen(database.engine, "connect", lambda connection, _: connection.execute(limit[0]).fetchall())
    with running(database) as writing:
        position = writing.append(*ground()).position
        with _unwilling(database, limit):
            writing.ledger._drop_writer()
            large = [an_entity(note="x" * 10_000) for _ in range(20)]
            assert isinstance(writing.ledger.append(writing.unit(*large)).exception(60), errors.Unavailable)
        assert head(writing) == position
        assert writing.append(*large).position == position + 20


@pytest.mark.parametrize("failure", ["full", "refused", "too much"])
def test_a_long_batch_that_fails_in_the_middle_leaves_nothing_and_the_next_is_written(database, monkeypatch, failure):
    """SQLite writes most of it aside while the rest is prepared: the first part, or the last, or none may be written by then."""
    limit = ["PRAGMA max_page_count = 4294967294"]
    if is_sqlite(database):
        sa.event.listen(database.engine, "connect", lambda connection, _: connection.execute(limit[0]).fetchall())
    long = [an_entity(f"e-{i}", note="x" * 1_000) for i in range(600)]
    claims = [a_claim(source="paper", question="offline-when") for _ in range(12)]
    flips = [(retract if n % 2 else restore)("source", "paper", expect=n) for n in range(1, 6)]
    with running(database) as writing:
        position = writing.append(*ground(), *claims).position
        writing.ledger._drop_writer()
        with monkeypatch.context() as patch:
            if failure == "refused":
                _refuse_poison(database.access())
                refusal = writing.ledger.append(writing.unit(*long[:300], an_entity("poison"), *long[300:])).exception(
                    60
                )
                assert isinstance(refusal, errors.AskedWrongly)
            elif failure == "too much":
                patch.setattr("api.ledger.writing.writer.MOST_WEIGHED", 30)
                refusal = writing.ledger.append(writing.unit(*long, *flips)).exception(60)
                assert isinstance(refusal, errors.BeyondLimit)
            else:
                with _unwilling(database, limit):
                    refusal = writing.ledger.append(writing.unit(*long)).exception(60)
                assert isinstance(refusal, errors.Unavailable)
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("aside")]
        assert head(writing) == position
        assert writing.append(*long).position == position + len(long)
    audit(database.access())


def test_a_long_batch_that_is_under_way_when_a_ledger_is_stopped_is_written_whole(database):
    with running(database) as writing:
        position = writing.append(*ground()).position
        future = writing.ledger.append(writing.unit(*(an_entity() for _ in range(600))))
    assert future.result(60).position == position + 600
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("aside")]
    audit(database.access())


@contextmanager
def _unwilling(database: Database, limit: list[str]) -> Iterator[None]:
    """A full disk, or a head that another node holds for longer than statements may take."""
    access = database.access()
    if is_sqlite(database):
        limit[0] = f"PRAGMA max_page_count = {access.rows('PRAGMA page_count')[0][0]}"
        yield
        limit[0] = "PRAGMA max_page_count = 4294967294"
        return
    name = access.rows("SELECT current_database()")[0][0]
    access.run(f"ALTER DATABASE {name} SET statement_timeout = '100ms'")
    with held_head(database):
        yield
    access.run(f"ALTER DATABASE {name} RESET statement_timeout")


def test_a_group_that_somebody_locks_out_waits_for_the_lock_once_more_and_not_each_of_it(database, caplog):
    access = database.access()
    if is_sqlite(database):
        sa.event.listen(database.engine, "connect", lambda made, _: made.execute("PRAGMA busy_timeout = 200"))
    else:
        [(name,)] = access.rows("SELECT current_database()")
        access.run(f"ALTER DATABASE {name} SET lock_timeout = '200ms'")
    with running(database) as writing:
        position = writing.append(*ground()).position
        writing.ledger._drop_writer()
        with held_head(database):
            futures = [writing.ledger.append(writing.unit(an_entity())) for _ in range(10)]
            refusals = [future.exception(60) for future in futures]
        assert all(isinstance(refusal, errors.Unavailable) for refusal in refusals)
        assert sum(record.message.startswith("an append was rolled back") for record in caplog.records) < len(futures)
        assert writing.append(an_entity()).position == position + 1


# Clocks


def test_recorded_at_strictly_increases_though_the_clock_stands_still_or_goes_back(database):
    clock = Clock(now() + DAY)
    with running(database, clock=clock) as writing:
        start = writing.append(*ground()).position
        clock.moment -= 30 * DAY
        writing.append(an_entity())
        clock.moment += 31 * DAY
        writing.append(an_entity(), an_entity())
    times = [row[0] for row in database.access().rows("SELECT recorded_at FROM event ORDER BY position")]
    later = [two - one for one, two in pairwise(times[1:])]
    assert later == [1, 1, 1, DAY - 3, 1]
    assert len(times) == start + 3


def test_as_of_a_time_is_inclusive_at_both_ends(database):
    clock = Clock(now() + DAY)
    with running(database, clock=clock) as writing:
        writing.append(an_entity("one"))
        clock.moment += 10
        writing.append(an_entity("two"))
    access = database.access()
    times = [row[0] for row in access.rows("SELECT recorded_at FROM event ORDER BY position")]
    at = {
        moment: standpoint.locate(access, AsOf(moment=moment), now=clock)
        for moment in (times[0] - 1, times[0], times[1] - 1, times[1], times[1] + 5, times[2] - 1, times[2])
    }
    assert [each.position for each in at.values()] == [0, 1, 1, 2, 2, 2, 3]
    assert all(each.is_pinned for each in at.values())
    clock.moment += 100
    assert standpoint.locate(access, AsOf(moment=times[2] + 1), now=clock) == Standpoint(3, 3, is_pinned=False)
    with pytest.raises(errors.NotYet):
        standpoint.locate(access, AsOf(moment=clock.moment + 1), now=clock)


def test_as_of_a_position_is_inclusive_and_the_empty_ledger_stands_at_0(writing):
    position = writing.append(an_entity("one")).position
    access = writing.database.access()
    assert views.as_of(access, "entity", "one", AsOf(position=position)).position == position
    for before in (0, position - 1):
        with pytest.raises(errors.UnknownRecord):
            views.as_of(access, "entity", "one", AsOf(position=before))
    for read in (standpoint.locate, lambda *given: views.as_of(given[0], "entity", "one", given[1])):
        with pytest.raises(errors.NotYet):
            read(access, AsOf(position=position + 1))


# Idempotency notes


def test_the_same_key_and_request_give_the_same_positions_and_no_event(writing):
    unit = replace(writing.unit(an_entity("gab"), revise("entity", "gab", name="Gab")), note=note("k"))
    first = writing.ledger.append(unit).result(60)
    writing.append(revise("entity", "gab", expect=2, name="Gab.com"))
    again = writing.ledger.append(unit).result(60)
    assert (again.items, again.position, first.is_replay, again.is_replay) == (first.items, first.position, False, True)
    with pytest.raises(errors.IdempotencyKeyReused):
        writing.ledger.append(replace(unit, note=note("k", "another"))).result(60)
    assert head(writing) == first.position + 1


def test_the_same_key_at_the_same_time_writes_once_whichever_node_is_asked(writing):
    with running(writing.database) as other, held_head(writing.database):
        units = [replace(node.unit({"op": "record", "kind": "entity", "body": {"type": "other", "name": "x"}}), note=note("k"))
                 for node in (writing, other) for _ in range(4)]  # fmt: skip
        futures = [node.ledger.append(unit) for node, unit in zip([writing] * 4 + [other] * 4, units, strict=True)]
    outcomes = [future.result(60) for future in futures]
    assert len({outcome.items for outcome in outcomes}) == 1
    assert sorted(outcome.is_replay for outcome in outcomes) == [False] + [True] * 7
    assert head(writing) == 2


def test_requests_under_one_key_that_wait_together_write_once_and_another_request_is_refused(database, caplog):
    with running(database) as writing:
        for _ in range(2):
            position = writing.append(an_entity()).position
        with held_head(database):
            writing.ledger.append(writing.unit(an_entity("first")))
            while not writing.ledger._waiting.empty():
                time.sleep(0.001)
            unit = replace(writing.unit(an_entity("gab"), an_entity("ello")), note=note("k"))
            first, again = (writing.ledger.append(unit) for _ in range(2))
            other = writing.ledger.append(replace(unit, note=note("k", "another")))
            last = writing.ledger.append(writing.unit(an_entity("last")))
        assert [item.position for item in first.result(60).items] == [position + 2, position + 3]
        assert (again.result(60).items, again.result(60).is_replay) == (first.result().items, True)
        assert isinstance(other.exception(60), errors.IdempotencyKeyReused)
        assert last.result(60).position == position + 4
        assert writing.ledger.append(unit).result(60).items == first.result().items
    assert caplog.records == [], "what fails together is tried one by one, and would hide a fault"


def test_a_request_repeated_beside_the_redaction_of_what_it_wrote_is_told_that_it_is_gone(database):
    with running(database) as writing, held_head(database):
        unit = replace(writing.unit(an_entity("gab")), note=note("k"))
        command = redact_command(NewRedaction(kind="entity", id="gab", basis="court-order", reason="Order 12/3"))
        first = writing.ledger.append(unit)
        writing.ledger.append(Unit(commands=[command], actor=writing.actor))
        again = writing.ledger.append(unit)
    assert first.result(60).position == 2
    assert isinstance(again.exception(60), errors.Redacted)


def test_a_note_is_kept_for_seven_days_and_a_lasting_one_for_ever(database):
    clock = Clock(now())
    with running(database, clock=clock) as writing:
        commands = {"op": "record", "kind": "entity", "body": {"type": "other", "name": "x"}}
        week, ever = (replace(writing.unit(commands), note=one) for one in (note("week"), note("ever", life=None)))
        for unit in (week, ever):
            writing.ledger.append(unit).result(60)
        clock.moment += 7 * DAY - 1
        assert writing.ledger.append(week).result(60).is_replay
        clock.moment += 1
        renewed = writing.ledger.append(week).result(60)
        assert (renewed.is_replay, renewed.position) == (False, 4)
        assert writing.ledger.append(week).result(60).is_replay
        clock.moment += 10_000 * DAY
        assert writing.ledger.append(ever).result(60).is_replay


def test_only_success_is_remembered(writing):
    unit = replace(writing.unit(revise("entity", "gab", expect=1, name="Gab")), note=note("k"))
    assert isinstance(writing.ledger.append(unit).exception(60), errors.UnknownRecord)
    tried = replace(writing.unit(an_entity("gab"), is_dry_run=True), note=note("k", "dry"))
    writing.ledger.append(tried).result(60)
    writing.append(an_entity("gab"))
    assert not writing.ledger.append(unit).result(60).is_replay


def test_whatever_keeps_a_writer_from_beginning_is_told_and_the_next_may_begin(database):
    """The thread that writes lives on: appends behind it would wait for ever."""
    faults = [TypeError("what is stored is of no type that was written")]

    def hold(_access: Access) -> None:
        if faults:
            raise faults.pop()

    with running(database, hold=hold) as writing:
        with pytest.raises(errors.AskedWrongly):
            writing.append(an_entity("first"))
        writing.append(an_entity("second"))
        assert ids(writing) == ["second"]


@pytest.mark.parametrize("version", ["rules", "projected"])
def test_nothing_is_written_beside_projections_of_another_version(database, version):
    """Another node, upgraded while this one ran, has derived them anew: what this one would add would not fit."""
    with running(database) as writing:
        writing.append(an_entity("first"))
        database.access().run(f"UPDATE head SET {version} = {version} + 1")
        with pytest.raises(errors.Unavailable, match="another version"):
            writing.append(an_entity("second"))
        database.access().run(f"UPDATE head SET {version} = {version} - 1")
        writing.append(an_entity("third"))
        assert ids(writing) == ["first", "third"]
