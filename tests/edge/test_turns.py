"""Requests wait for a turn in the order in which they came, and no turn is long."""

import asyncio
from time import perf_counter

import pytest

from api.routes.edge.waiting import Turns


def _work(seconds: float) -> None:
    until = perf_counter() + seconds
    while perf_counter() < until:
        pass


def test_what_came_later_is_seen_before_all_that_came_at_once_is_done() -> None:
    order: list[str] = []

    async def request(turns: Turns, name: str) -> None:
        await turns.wait()
        _work(0.002)
        order.append(name)

    async def main() -> None:
        turns = Turns()
        many = [asyncio.ensure_future(request(turns, "one of many")) for _ in range(100)]
        # What another is told from outside comes by a call in an iteration of its own.
        asyncio.get_running_loop().call_later(0.01, order.append, "from outside")
        await asyncio.gather(*many)

    asyncio.run(main())
    assert len(order) == 101
    assert order.index("from outside") < 20


@pytest.mark.parametrize("give_up", [False, True])
def test_all_go_on_in_the_order_in_which_they_came_and_though_some_give_up(give_up: bool) -> None:
    order: list[int] = []

    async def request(turns: Turns, number: int) -> None:
        await turns.wait()
        _work(0.001)
        order.append(number)

    async def main() -> None:
        turns = Turns()
        many = [asyncio.ensure_future(request(turns, number)) for number in range(200)]
        await asyncio.sleep(0.02)
        leaving = many[100:200:3] if give_up else []
        for each in leaving:
            each.cancel()
        await asyncio.gather(*many, return_exceptions=True)
        assert len(order) == len(many) - len(leaving)
        await asyncio.wait_for(turns.wait(), 5)

    asyncio.run(main())
    assert give_up or order == sorted(order)


def test_whoever_comes_when_nothing_is_to_be_done_goes_on() -> None:
    async def main() -> list[None]:
        turns = Turns()
        return [await asyncio.wait_for(turns.wait(), 5) for _ in range(3)]

    assert asyncio.run(main()) == [None] * 3
