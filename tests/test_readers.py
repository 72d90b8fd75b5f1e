"""Reads handed to threads together: each asker gets its own answer or its own error, and nobody reads for who has left."""

import asyncio
import threading

import pytest

from api.ledger.readers import Readers


@pytest.fixture
def readers():
    found = Readers(2)
    yield found
    found.close()


def test_each_gets_its_own_answer_however_many_ask_at_once(readers):
    async def ask() -> list[int]:
        return list(await asyncio.gather(*(readers.among_others(lambda n=n: n * n) for n in range(100))))

    assert asyncio.run(ask()) == [n * n for n in range(100)]


def test_an_error_goes_to_who_asked_for_it_and_to_nobody_else(readers):
    async def ask() -> list[object]:
        works = [lambda n=n: 1 // (n - 3) for n in range(6)]
        return list(await asyncio.gather(*map(readers.among_others, works), return_exceptions=True))

    found = asyncio.run(ask())
    assert isinstance(found.pop(3), ZeroDivisionError)
    assert found == [1 // (n - 3) for n in range(6) if n != 3]


def test_whoever_gave_up_is_not_read_for(readers):
    begun, let_go, read = threading.Event(), threading.Event(), []

    async def ask() -> list[object]:
        def first() -> str:
            begun.set()
            assert let_go.wait(10)
            return "first"

        asked = [asyncio.create_task(readers.among_others(first))]
        asked += [asyncio.create_task(readers.among_others(lambda n=n: read.append(n))) for n in range(3)]
        assert await asyncio.to_thread(begun.wait, 10)
        asked[2].cancel()
        await asyncio.sleep(0)
        let_go.set()
        return list(await asyncio.gather(*asked, return_exceptions=True))

    found = asyncio.run(ask())
    assert found[0] == "first"
    assert isinstance(found[2], asyncio.CancelledError)
    assert read == [0, 2]


def test_what_takes_long_keeps_nobody_waiting(readers):
    let_go = threading.Event()

    async def ask() -> tuple[int, bool]:
        slow = asyncio.create_task(readers.alone(lambda: let_go.wait(10)))
        quick = await readers.among_others(lambda: 1)
        let_go.set()
        return quick, await slow

    assert asyncio.run(ask()) == (1, True)
