"""Reads that take long: who asks for many at once waits for himself."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from api.domain.errors import Unavailable
from api.routes.edge import negotiation
from api.routes.edge.waiting import Lines
from tests.support.builders import an_entity
from tests.support.served import refused, serve


def run(work: Callable[[Lines], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        return await asyncio.wait_for(work(Lines()), 30)

    return asyncio.run(go())


def test_whoever_asks_for_many_keeps_nobody_else_waiting() -> None:
    async def work(lines: Lines) -> list[str]:
        done: list[str] = []
        front = asyncio.Semaphore(1)

        async def read(caller: str) -> None:
            async with lines.place(caller, computes=True), front:
                await asyncio.sleep(0.001)
                done.append(caller)

        many = [asyncio.create_task(read("many")) for _ in range(100)]
        await asyncio.sleep(0.005)
        await read("one")
        at = len(done)
        await asyncio.gather(*many)
        assert len(done) == 101
        return done[:at]

    assert len(run(work)) < 20


@pytest.mark.parametrize(("computes", "most"), [(True, 2), (False, 8)])
def test_a_caller_has_few_places_at_a_time(computes: bool, most: int) -> None:
    async def work(lines: Lines) -> int:
        seen, now = [], 0

        async def read() -> None:
            nonlocal now
            async with lines.place("a", computes=computes):
                now += 1
                seen.append(now)
                await asyncio.sleep(0.001)
                now -= 1

        await asyncio.gather(*(read() for _ in range(100)))
        return max(seen)

    assert run(work) == most


def test_a_line_has_an_end_and_is_begun_anew_when_it_is_over() -> None:
    async def work(lines: Lines) -> list[Any]:
        ready = asyncio.Event()

        async def read() -> None:
            async with lines.place("a", computes=True):
                await ready.wait()

        waiting = [asyncio.create_task(read()) for _ in range(250)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await read()
        ready.set()
        await asyncio.gather(*waiting)
        return [await read()]

    assert run(work) == [None]


def test_what_is_not_long_waits_in_no_line(database) -> None:
    async def work(lines: Lines) -> list[str]:
        names: list[str] = []

        def line() -> Any:
            names.append("line")
            return lines.place("a", computes=False)

        def view(_: object) -> None:
            names.append(threading.current_thread().name.split("_")[0])

        await database.read(view, line=line)
        await database.read(view, line=line, slow=True)
        return names

    assert run(work) == ["MainThread", "line", "reader"]


def test_more_than_is_held_at_a_time_is_not_compressed(settings, monkeypatch) -> None:
    with serve(settings) as served:
        served.append(*(an_entity(note="x" * 10_000) for _ in range(20)))
        path = "/v1/events?limit=500"
        assert served.get(path, Accept_Encoding="gzip").headers["content-encoding"] == "gzip"
        monkeypatch.setattr(negotiation, "_MOST_HELD", 100_000)
        found = served.get(path, Accept_Encoding="gzip")
        refused(found, 503, "unavailable")
        assert found.headers["retry-after"] == "1"
        assert served.get(path, Accept_Encoding="identity").status_code == 200


def test_what_comes_to_threads_that_are_closed_is_told_that_the_ledger_stops(database) -> None:
    database.close()
    with pytest.raises(Unavailable):
        asyncio.run(database.read(lambda _: None, slow=True))
