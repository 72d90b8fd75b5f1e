"""Reads that share a connection to PostgreSQL: each asker gets its own answer or its own error, whatever befalls others."""

import asyncio
import gc
import math
import os
import socket
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest

from api.domain.errors import AskedWrongly, Unavailable
from api.ledger.storage.database import Database
from api.ledger.storage.faults import Late
from api.ledger.storage.postgres.pipeline import Pipeline
from api.ledger.storage.reads import Reads, TakesLong
from api.settings import Settings

PREPARED = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'often%'"
MINE = "SELECT pg_backend_pid()"


@pytest.fixture
def database(postgres):
    database = Database(Settings(database_url=postgres))
    yield database
    database.close()


def ask(database: Database, *views: Callable[[Reads], Any]) -> list[Any]:
    """Run views side by side, in one turn of the loop, and give what each of them gave or raised."""

    async def together() -> list[Any]:
        return await asyncio.gather(*map(database.read, views), return_exceptions=True)

    return asyncio.run(together())


def one(sql: str, *given: Any) -> Callable[[Reads], Any]:
    return lambda access: access.row(sql, given)[0]  # type: ignore[index]


@contextmanager
def pipeline(
    database: Database, patience: float = math.inf
) -> Iterator[Callable[[Callable[[Pipeline], Awaitable[Any]]], Any]]:
    """Give a way to do something with a pipeline, inside a loop of its own."""

    async def go(work: Callable[[Pipeline], Awaitable[Any]]) -> Any:
        line = Pipeline(database.connect().detach(), asyncio.get_running_loop(), patience)
        try:
            return await work(line)
        finally:
            line.close()

    yield lambda work: asyncio.run(go(work))


def test_each_gets_its_own_answer_however_many_ask_at_once(database):
    def twice(number: int) -> Callable[[Reads], tuple[int, int]]:
        def view(access: Reads) -> tuple[int, int]:
            doubled = access.row("SELECT CAST(? AS bigint) * 2", (number,))[0]
            return number, access.row("SELECT CAST(? AS bigint) + 1", (doubled,))[0]

        return view

    assert ask(database, *map(twice, range(500))) == [(number, 2 * number + 1) for number in range(500)]


def test_values_and_rows_are_those_of_a_connection_of_its_own(database):
    sql = "SELECT CAST(? AS bigint), CAST(? AS text), CAST(? AS bytea), CAST(? AS boolean), CAST(? AS text), CAST(? AS bigint)"
    given = (2**62, "Zürich ☃", b"\0\xff", True, None, -1)
    both = f"{sql} UNION ALL {sql} LIMIT ?", (*given, *given, 2)
    assert ask(database, lambda access: access.rows(*both)) == [[given, given]] == [database.access().rows(*both)]
    assert ask(database, lambda access: access.row("SELECT 1 WHERE ? = 2", (1,))) == [None]


def test_an_error_goes_to_who_asked_for_it_and_to_nobody_else(database):
    found = ask(database, *(one("SELECT 12 / CAST(? AS integer)", number % 4) for number in range(40)))
    for number, answer in enumerate(found):
        if number % 4 == 0:
            assert isinstance(answer, AskedWrongly)
            assert isinstance(answer.__cause__, psycopg.errors.DivisionByZero)
        else:
            assert answer == 12 // (number % 4)


def test_what_a_view_raises_goes_to_who_asked(database):
    def view(access: Reads) -> int:
        return 1 // int(access.row("SELECT 0")[0])

    raised, given = ask(database, view, one("SELECT 1"))
    assert isinstance(raised, ZeroDivisionError)
    assert given == 1


def test_a_view_may_go_on_after_an_error(database):
    def view(access: Reads) -> str:
        with pytest.raises(psycopg.errors.UndefinedTable):
            access.row("SELECT * FROM nowhere")
        return str(access.row("SELECT 'on'")[0])

    assert ask(database, view, view) == ["on", "on"]


def test_a_server_has_all_its_time_for_what_is_asked_after_a_pause(database):
    with pipeline(database, patience=3.0) as within:

        async def work(line: Pipeline) -> int:
            await line.run(one("SELECT 1"))
            # The clock that was set then rings while the next is asked; it is to ring for that one.
            await asyncio.sleep(2.4)
            found: int = await line.run(one("SELECT 7 FROM pg_sleep(1.5)"))
            return found

        assert within(work) == 7


def test_what_comes_often_is_prepared_and_what_comes_seldom_is_forgotten(database):
    with pipeline(database) as within:

        async def work(line: Pipeline) -> tuple[int, int]:
            for _ in range(9):
                await line.run(one("SELECT CAST(? AS integer)", 7))
            few = await line.run(one(PREPARED))
            for number in range(150):
                for _ in range(6):
                    assert await line.run(one(f"SELECT CAST(? AS integer) + {number}", 1)) == number + 1
            # In one turn with an error, what is to be deallocated still is.
            for number in range(60):
                views = [one("SELECT 1 / CAST(? AS integer)", 0), one(f"SELECT CAST(? AS integer) - {number}", 1)]
                await asyncio.gather(*map(line.run, views), return_exceptions=True)
            return few, await line.run(one(PREPARED))

        few, many = within(work)
    assert few == 1
    assert 30 <= many <= 100


def test_a_preparation_that_an_error_spoils_spoils_no_answer(database):
    with pipeline(database) as within:

        async def work(line: Pipeline) -> list[Any]:
            often = "SELECT CAST(? AS integer) + 1"
            for _ in range(4):
                await line.run(one(often, 1))
            views = [one("SELECT 1 / CAST(? AS integer)", 0), one(often, 1), one(often, 2)]
            first = asyncio.gather(*map(line.run, views), return_exceptions=True)
            # In the next turn, before anything came back: sent under a name that will not be there.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            answers = [await line.run(one(often, 3))]
            answers = [*await first, *answers]
            answers += [await line.run(one(often, number)) for number in range(4, 14)]
            return [*answers, await line.run(one(PREPARED))]

        spoilt, *answers, prepared = within(work)
    assert isinstance(spoilt, psycopg.errors.DivisionByZero)
    assert answers == list(range(2, 15))
    assert prepared == 1


def test_whoever_gives_up_leaves_the_others_their_answers(database):
    async def work() -> list[Any]:
        asked = [asyncio.ensure_future(database.read(one("SELECT CAST(? AS integer)", number))) for number in range(9)]
        await asyncio.sleep(0.01)
        more = [asyncio.ensure_future(database.read(one("SELECT CAST(? AS integer)", number))) for number in range(9)]
        await asyncio.sleep(0)
        for task in (*asked[::2], *more[::2]):
            task.cancel()
        return await asyncio.gather(*asked[1::2], *more[1::2])

    assert asyncio.run(work()) == [1, 3, 5, 7] * 2


def test_questions_and_answers_larger_than_any_buffer_do_not_wait_for_each_other(database):
    text = "é" * 400_000
    found = ask(database, *[one("SELECT CAST(? AS text)", text + str(number)) for number in range(30)])
    assert found == [text + str(number) for number in range(30)]


def test_a_connection_that_the_server_closed_is_opened_anew_and_the_view_run_again(database):
    async def work() -> tuple[list[Any], int, int]:
        before = await database.read(one(MINE))
        killer = database.connect()
        resting = [asyncio.ensure_future(database.read(one("SELECT ?, pg_sleep(0.3)", number))) for number in "abc"]
        await asyncio.sleep(0.1)
        killer.run("SELECT pg_terminate_backend(?)", (before,))
        found = await asyncio.gather(*resting)
        after = await database.read(one(MINE))
        # One that is lost while nobody asks, too.
        killer.run("SELECT pg_terminate_backend(?)", (after,))
        await asyncio.sleep(0.1)
        last = await database.read(one(MINE))
        killer.close()
        assert len({before, after, last}) == 3
        return found, before, last

    found, before, last = asyncio.run(work())
    assert found == ["a", "b", "c"]
    assert before != last


def test_the_last_word_of_the_server_ends_the_connection_for_all_who_wait(database):
    ends = [True] * 3

    def view(access: Reads) -> Any:
        return access.row("SELECT pg_terminate_backend(pg_backend_pid())" if ends and ends.pop() else MINE)

    found = ask(database, *[view] * 3, *[one(MINE)] * 3)
    # Three brought it about in one turn; the first was told, and nobody else noticed.
    assert {type(each) for each in found} == {tuple, int}


def test_a_view_that_loses_its_connection_each_time_is_told_so(database):
    (refused,) = ask(database, one("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert isinstance(refused, Unavailable)
    assert ask(database, one("SELECT 1")) == [1]


def test_a_loop_that_ended_leaves_no_connection_behind(database):
    (first,) = ask(database, one(MINE))
    (second,) = ask(database, one(MINE))
    known = "SELECT count(*) FROM pg_stat_activity WHERE pid = ?"
    assert first != second
    found = ask(database, *[lambda access: access.row("SELECT pg_sleep(0.2)") and access.row(known, (first,))[0]])
    assert found == [0]


def test_a_server_that_is_not_there_is_said_to_be_out_of_reach():
    database = Database(Settings(database_url="postgresql+psycopg://nobody@127.0.0.1:1/nothing"))
    try:
        assert [type(each) for each in ask(database, one("SELECT 1"), one("SELECT 1"))] == [Unavailable, Unavailable]
    finally:
        database.close()


def test_a_locked_table_keeps_nobody_waiting_but_those_who_read_it(database):
    async def work() -> tuple[list[int], bool, int, int]:
        holder = database.connect()
        holder.run("CREATE TABLE IF NOT EXISTS rewritten (one integer)")
        holder.run("INSERT INTO rewritten VALUES (7)")
        await database.read(one(MINE))
        with holder.transaction():
            holder.run("LOCK TABLE rewritten IN ACCESS EXCLUSIVE MODE")
            locked = [asyncio.ensure_future(database.read(one("SELECT one FROM rewritten"))) for _ in range(3)]
            others = await asyncio.wait_for(asyncio.gather(*(database.read(one("SELECT ?", n)) for n in (1, 2))), 5)
            later = await asyncio.wait_for(database.read(one("SELECT 3")), 5)
            was_done = any(task.done() for task in locked)
        found = await asyncio.gather(*locked)
        holder.run("DROP TABLE rewritten")
        holder.close()
        return others, was_done, later, sum(found)

    assert asyncio.run(work()) == ([1, 2], False, 3, 21)


@pytest.mark.parametrize("error", [StopIteration, KeyError, Unavailable("so")])
def test_whatever_a_view_raises_is_told_and_stops_nobody(database, error):
    def view(access: Reads) -> None:
        access.row("SELECT 1")
        raise error

    raised, *given = ask(database, view, one("SELECT 2"), one("SELECT 3"))
    assert isinstance(raised, Exception)
    assert given == [2, 3]


def test_a_connection_that_breaks_while_a_view_begins_is_noticed(database):
    async def work() -> list[Any]:
        await database.read(one(MINE))
        resting = [asyncio.ensure_future(database.read(one("SELECT 1 FROM pg_sleep(0.2)"))) for _ in range(3)]
        await asyncio.sleep(0.05)
        # As when the server is killed: no last word, and the first to learn of it is who writes.
        [opening] = database._store._pipelines._opening.values()
        with socket.socket(fileno=os.dup(opening.result()._socket)) as line:
            line.shutdown(socket.SHUT_RDWR)
        large = await database.read(one("SELECT " + " + ".join(["CAST(? AS integer)"] * 3000), *[1] * 3000))
        others = (*resting, database.read(one("SELECT 5")))
        return [large, *[await asyncio.wait_for(each, 10) for each in others]]

    assert asyncio.run(work()) == [3000, 1, 1, 1, 5]


def test_a_view_that_rests_in_a_loop_that_ended_is_let_go(database):
    def leave() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(database.read(one(MINE)))
        rests = loop.create_task(database.read(one("SELECT 1 FROM pg_sleep(60)")))
        loop.run_until_complete(asyncio.sleep(0.05))
        rests.cancel()
        loop.run_until_complete(asyncio.gather(rests, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    assert ask(database, one("SELECT 1")) == [1]


def test_a_database_that_is_closed_reads_no_more(postgres):
    database = Database(Settings(database_url=postgres))

    async def work() -> Any:
        opening = asyncio.ensure_future(database.read(one("SELECT 1")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        database.close()
        return await asyncio.gather(opening, database.read(one("SELECT 1")), return_exceptions=True)

    assert [type(each) for each in asyncio.run(work())] == [Unavailable, Unavailable]


def test_what_takes_long_keeps_nobody_waiting(database):
    async def work() -> list[str]:
        done: list[str] = []

        async def read(name: str, sql: str, *, slow: bool) -> None:
            await database.read(one(sql), slow=slow)
            done.append(name)

        await database.read(one("SELECT 1"))
        await asyncio.gather(
            read("slow", "SELECT 1 FROM pg_sleep(0.5)", slow=True), read("quick", "SELECT 1", slow=False)
        )
        return done

    assert asyncio.run(work()) == ["quick", "slow"]


def test_however_many_ask_few_hold_what_they_have_read(database):
    held: list[int] = []
    now = set[object]()

    def view(access: Reads) -> None:
        access.row("SELECT 1")
        me = object()
        now.add(me)
        held.append(len(now))
        access.row("SELECT 2")
        now.remove(me)

    assert ask(database, *[view] * 300) == [None] * 300
    assert max(held) <= 32


def test_all_who_wait_for_a_server_that_is_silent_are_told_at_once(database):
    async def asks(line: Pipeline) -> list[Any]:
        sleeping = [line.run(one("SELECT 1 FROM pg_sleep(60)")) for _ in range(100)]
        return await asyncio.wait_for(asyncio.gather(*sleeping, return_exceptions=True), 30)

    with pipeline(database, patience=0.5) as use:
        assert {type(each) for each in use(asks)} == {Late}


def test_what_was_read_goes_with_the_error_that_ended_the_reading(database):
    """An error that held itself, by the frames it passed, would keep it until the garbage collector comes: that is rare."""

    class Page:
        pass

    read = []

    def view(_: Reads) -> None:
        page = Page()
        read.append(weakref.ref(page))
        raise TakesLong

    async def fails(line: Pipeline) -> None:
        with suppress(TakesLong):
            await line.run(view)

    gc.disable()
    try:
        with pipeline(database) as use:
            use(fails)
        assert read[0]() is None
    finally:
        gc.enable()
