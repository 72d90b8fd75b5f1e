"""Several writers at once, in one process and in two, and readers who follow them: nothing lost, no gap, none skipped."""

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from api.domain import errors
from api.domain.dates.asof import AsOf, Standpoint
from api.domain.dates.edtf import as_extent
from api.ledger.projecting import rebuild
from api.ledger.reading import changes, feed, lists, standpoint, stats, views
from api.ledger.reading.answers import Answers, answers, questions_agreeing
from api.ledger.reading.selection import Selection
from api.ledger.reading.standpoint import Page
from api.ledger.storage.access import Access, lock_head
from api.ledger.storage.database import Database
from api.ledger.writing import keys
from api.ledger.writing.ledger import Ledger
from tests.support import histories
from tests.support.auditor import audit
from tests.support.builders import (
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
from tests.support.databases import connected, is_sqlite
from tests.support.processes import go, line, rest, started

WRITERS, THREADS, REQUESTS = 2, 8, 15


@contextlib.contextmanager
def following(database: Database) -> Iterator[list[int]]:
    """Poll the feed by `after` all the while, as a follower would; gives the positions in the order they were seen."""
    seen: list[int] = []
    stopped = threading.Event()

    def poll() -> None:
        access = database.connect()
        after = 0
        while True:
            is_last = stopped.is_set()
            page = feed.follow(access, feed.Following(after=after, limit=5, with_state=False))
            seen.extend(json.loads(item)["position"] for item in page.items)
            after = int(page.last)
            if is_last and not page.items:
                access.close()
                return

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()


@pytest.fixture
def other(database) -> Iterator[Writing]:
    """A second node on the same database."""
    ledger = Ledger(database)
    ledger.start()
    yield Writing(database, ledger)
    ledger.stop()


def test_sixteen_writers_in_two_processes_lose_nothing_and_leave_no_gap(writing, settings):
    start = writing.append(*ground()).position
    names = [f"p{number}" for number in range(WRITERS)]
    with contextlib.ExitStack() as stack, following(writing.database) as seen:
        processes = [
            stack.enter_context(started(settings, "-m", "tests.support.appending", name, str(THREADS), str(REQUESTS)))
            for name in names
        ]
        for process in processes:
            assert line(process) == {"ready": True}
        for process in processes:
            go(process)
        said = [rest(process) for process in processes]
    access = writing.database.access()
    stored = set(
        access.rows(
            "SELECT r.id, v.revision, v.position FROM revision v JOIN record r ON r.first_position = v.first_position"
        )
    )
    acknowledged = [tuple(item) for lines in said for each in lines if "items" in each for item in each["items"]]
    assert {row for row in stored if row[2] > start} == set(acknowledged)
    assert len(acknowledged) == len(set(acknowledged))
    head = standpoint.locate(access).position
    assert head == start + len(acknowledged)
    assert seen == list(range(1, head + 1))
    refused = [each["refused"] for lines in said for each in lines if "refused" in each]
    assert set(refused) <= {"Stale"}
    assert len(refused) + len(acknowledged) == WRITERS * THREADS * REQUESTS
    for lines in said:
        for thread in range(THREADS):
            own = [each["items"][0][2] for each in lines if each["thread"] == thread and "items" in each]
            assert own == sorted(own)


def test_a_reader_skips_nothing_of_a_transaction_that_is_slow_to_commit(writing, other):
    writing.append(*ground())
    access = writing.database.access()
    if not is_sqlite(access):
        access.run(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END $$"
        )
        access.run(
            "CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON record DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
            " WHEN (starts_with(NEW.id, 'slow-')) EXECUTE FUNCTION dawdle()"
        )
    with following(writing.database) as seen:
        for number in range(3):
            before = standpoint.locate(access).position
            with _slow(writing.database):
                slow = writing.ledger.append(writing.unit(an_entity(f"slow-{number}"), an_entity(f"slow-too-{number}")))
                time.sleep(0.1)
                quick = [other.ledger.append(other.unit(an_entity(f"quick-{number}-{each}"))) for each in range(3)]
                time.sleep(0.1)
                # The slow one has its positions, the quick ones wait, and no reader sees anything of either.
                assert not any(future.done() for future in (slow, *quick))
                assert standpoint.locate(access).position == before
            taken = [item.position for future in (slow, *quick) for item in future.result(60).items]
            # On SQLite they all waited for the third, and either may come first.
            assert (sorted(taken) if is_sqlite(access) else taken) == list(range(before + 1, before + 6))
    assert seen == list(range(1, standpoint.locate(access).position + 1))


@contextlib.contextmanager
def _slow(database: Database) -> Iterator[None]:
    """On SQLite the commit itself cannot be slowed from outside: another node has the lock and takes its time."""
    if not is_sqlite(database):
        yield
        return
    access = database.connect()
    with access.transaction():
        lock_head(access)
        yield
        time.sleep(0.2)
    access.close()


def test_a_transaction_that_is_rolled_back_after_taking_its_positions_leaves_no_gap(writing, other):
    """Sequences do: they are handed out before the commit, and for ever."""
    position = writing.append(*ground()).position
    access = writing.database.connect()
    for _ in range(3):
        with contextlib.suppress(ZeroDivisionError), access.transaction():
            lock_head(access)
            access.run("UPDATE head SET position = position + 1")
            access.run("INSERT INTO node (level, number, hash) VALUES (60, 0, ?)", (b"",))
            waiting = other.ledger.append(other.unit(an_entity()))
            _ = 1 / 0
        position += 1
        assert waiting.result(60).position == position
    access.close()


def test_what_one_node_remembers_stays_right_while_another_writes(writing, other, caplog):
    """Each writer keeps records and states of agreement in memory; what the other did must not be judged from there."""
    who = {"answer_type": "entity"}
    writing.append(
        *ground(), an_entity("amazon"), an_entity("aws"), a_question("who", about="parler", **who), a_source("wire")
    )
    for number in range(6):
        # The one knows the claims and the entities they name, the other revises an entity, and knows older claims.
        said = [{"type": "entity", "entity": entity} for entity in ("amazon", "aws")]
        writing.append(a_claim(f"a{number}", source="paper", question="who", answer=said[number % 2]))
        other.append(revise("entity", "aws", expect=1 + number, part_of="amazon" if number % 2 == 0 else None))
        other.append(a_claim(f"b{number}", source="wire", question="who", answer=said[1 - number % 2]))
        with pytest.raises(errors.IdTaken):
            other.append(a_claim(f"a{number}", source="paper", question="who", answer=said[0]))
        with pytest.raises(errors.Stale):
            writing.append(revise("entity", "aws", expect=1 + number, name="x"))
    writing.append(retract("source", "wire", expect=1))
    with pytest.raises(errors.StatusRefused):
        other.append(a_claim(source="wire", question="who", answer=said[0]))
    # No database had to put it right: what it refuses is tried again from fresh memory.
    assert not caplog.records


def test_what_was_decided_before_another_node_wrote_is_decided_again(writing, other):
    writing.append(*ground())
    for number in range(3):
        writing.append(revise("entity", "parler", expect=1 + number, name=f"Parler {number}"))
    # Nobody else was met at the head, so the next is decided before it is locked.
    assert writing.ledger._writer._is_alone
    other.append(revise("entity", "parler", expect=4, name="Parler again"), an_entity("late"))
    with pytest.raises(errors.Stale):
        writing.append(revise("entity", "parler", expect=4, name="Parler at last"))
    assert writing.append(revise("entity", "parler", expect=5, name="Parler at last")).items[0].revision == 6
    assert writing.ledger._writer._is_alone
    position = other.append(an_entity("later")).position
    with pytest.raises(errors.IdTaken):
        writing.append(an_entity("later"))
    assert writing.append(an_entity("last")).position == position + 1


def test_neither_a_refusal_nor_a_promise_rests_on_what_another_node_has_changed_since(writing, other):
    def overtake(*operations) -> int:
        """Let the other write while this one believes itself alone, and would decide by what it remembers."""
        for _ in range(2):
            writing.append(an_entity())
        assert writing.ledger._writer._is_alone
        return other.append(*operations).position

    writing.append(*ground())
    position = overtake(revise("entity", "parler", expect=1, name="Parler 1"))
    assert writing.append(revise("entity", "parler", expect=2, name="Parler 2")).position == position + 1
    position = overtake(an_entity("late"))
    assert writing.append(revise("entity", "late", expect=1, name="Late 2")).position == position + 1
    position = overtake(an_entity("later"))
    assert writing.ledger.append(writing.unit(an_entity(), is_dry_run=True)).result(60).position == position + 1


class Interrupted:
    """A connection on which something happens before one of the statements of a read."""

    def __init__(self, engine: Engine, before: int, happens: Callable[[], object]) -> None:
        super().__init__(engine)
        self.left, self.happens = before, happens

    def rows(self, sql: str, parameters=()) -> list:
        if self.left == 0:
            self.happens()
        self.left -= 1
        return super().rows(sql, parameters)


def _reads() -> dict[str, Callable[[Access, AsOf], tuple[object, int]]]:
    """Name the reads that take more than one statement; each gives what it says, and the position it says it of."""
    claims, open_ones = (
        Selection(kind="claim"),
        Selection(kind="question", agreement=("open",), valid_at=as_extent("2021")),
    )

    def page(found: Page) -> tuple[object, int]:
        return (found.items, found.last), found.at.position

    def agreement(found: Answers) -> tuple[object, int]:
        return (found.agreement, found.claims, found.beside, found.question), found.at.position

    def changed(found: changes.Changes) -> tuple[object, int]:
        return (found.records, found.agreement), found.new.position

    def counted(found: dict, at: Standpoint) -> tuple[object, int]:
        return found, at.position

    def linked(found: views.Links) -> tuple[object, int]:
        return (found.outgoing, found.incoming, found.last), found.at.position

    return {
        "list": lambda access, asked: page(lists.select(access, replace(claims, asked=asked, is_live=True))[0]),
        "timeline": lambda access, asked: page(lists.timeline(access, replace(claims, asked=asked, is_live=True))),
        "answers": lambda access, asked: agreement(answers(access, "when", replace(claims, asked=asked))),
        "agreeing": lambda access, asked: page(questions_agreeing(access, replace(open_ones, asked=asked))[0]),
        "history": lambda access, asked: page(views.history(access, "claim", "c0", asked=asked, cursor=None, limit=9)),
        "history of none": lambda access, asked: page(
            views.history(access, "claim", "c0", asked=asked, cursor=1, limit=9)
        ),
        "links": lambda access, asked: linked(views.links(access, "c0", asked)),
        "changes": lambda access, asked: changed(
            changes.between(access, old=AsOf(position=5), new=asked, cursor=None, limit=99)
        ),
        "stats": lambda access, asked: counted(*stats.count(access, asked)),
    }


def test_a_read_sees_one_position_whatever_is_committed_between_its_statements(writing):
    writing.append(*histories.ground(), link("c2", "contradicts", "c0"))
    turns = itertools.count(1)

    def happens() -> None:
        turn = next(turns)
        act = (retract, restore)[1 - turn % 2]
        writing.append(
            a_claim(f"new-{turn}", source="reprint", question="when", answer={"type": "time", "edtf": "2020"}),
            {**revise("claim", "c0", statement=f"Turn {turn}."), "expect": turn},
            act("source", "agency", expect=turn),
            revise("question", "when", expect=turn, text=f"Turn {turn}?"),
            link(f"new-{turn}", "repeats", "c0"),
        )

    plain = writing.database.access()
    for name, read in _reads().items():
        for before in range(30):
            access = connected(writing.database, Interrupted, before, happens)
            said, position = read(access, AsOf())
            is_over = access.left >= 0
            access.close()
            assert said == read(plain, AsOf(position=position))[0], f"{name}, before statement {before}"
            if is_over:
                break


class Hesitating:
    """A connection on which something happens before a row is inserted."""

    happens: Callable[[], object]

    def run(self, sql: str, parameters=()) -> None:
        if sql.startswith("INSERT"):
            self.happens()
        super().run(sql, parameters)


def test_two_nodes_that_need_an_actor_at_once_make_it_once(writing):
    found: list[Future[str]] = []
    access = connected(writing.database, Hesitating)
    with ThreadPoolExecutor(1) as pool:

        def happens() -> None:
            found.append(pool.submit(writing.database.call, keys.actor_named, "seed"))
            time.sleep(0.2)

        access.happens = happens
        made = keys.actor_named(access, "seed")
        assert [future.result(30) for future in found] == [made]
    access.close()
    assert writing.database.access().rows("SELECT count(*) FROM actor WHERE name = 'seed'") == [(1,)]


def test_appends_go_on_while_the_projections_are_rebuilt(writing):
    writing.append(*ground())
    futures = []
    for _ in range(3):
        futures += [writing.ledger.append(writing.unit(an_entity(), a_source())) for _ in range(10)]
        rebuild.rebuild(writing.database.access())
    assert len({future.result(60).position for future in futures}) == 30


def test_nodes_that_start_together_on_an_empty_database_begin_one_ledger(settings):
    database = Database(settings)
    if settings.is_sqlite:
        settings.sqlite_path.unlink()
    else:
        for statement in ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"):
            database.access().run(statement)
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(started(settings, "-m", "tests.support.appending", "begin")) for _ in range(2)]
        for process in processes:
            assert line(process) == {"ready": True}
        for process in processes:
            go(process)
        said = [rest(process) for process in processes]
    assert len(said[0]) == 1
    assert said == [said[0]] * len(said)
    again = Database(settings)
    assert standpoint.locate(again.access()).position == 1
    audit(again.access())
    again.close()
    database.close()
