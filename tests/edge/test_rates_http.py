"""Rates over HTTP: each of the two holds by itself, and one that is set alone is both."""

from typing import Any

import pytest

from api.routes.edge.limits import RateLimits
from api.settings import Settings
from tests.support.served import Served, migrated, serve

# What is set, and how many requests an anonymous caller and one with a key may make.
RATES = {"4": (4, 4), "3,5": (3, 5), "5,3": (5, 3), "2,100000": (2, 100_000), "100000,2": (100_000, 2)}


@pytest.mark.parametrize("rate", RATES)
def test_a_rate_set_alone_is_that_of_all_and_one_of_two_holds_by_itself(rate: str) -> None:
    assert Settings(rate_limit=rate).rates == RATES[rate]


def _count(served: Served, policy: str, headers: dict[str, str], most: int) -> int:
    """Ask until it is refused, or often enough, and give how often it was answered."""
    for number in range(most + 1):
        answer = served.client.get("/v1/entities", headers=headers)
        assert answer.headers["ratelimit-policy"].startswith(
            f'"{policy}";q={RATES[served.settings.rate_limit][policy == "key"]};'
        )
        if answer.status_code == 429:
            assert answer.json()["type"] == "/problems/too-many-requests"
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            return number
        assert answer.status_code == 200
        assert "retry-after" not in answer.headers
    return most + 1


@pytest.mark.parametrize("rate", RATES)
def test_of_two_rates_each_is_counted_by_itself(request: Any, tmp_path: Any, rate: str) -> None:
    anonymous, keyed = RATES[rate]
    with migrated(request, "sqlite", tmp_path, rate_limit=rate) as settings, serve(settings) as served:
        named = dict(served.client.headers)["authorization"]
        del served.client.headers["Authorization"]
        for key in (named, f"Bearer {served.make_key('write')}"):
            assert _count(served, "key", {"Authorization": key}, 8) == min(keyed, 9)
        assert _count(served, "anonymous", {}, 8) == min(anonymous, 9)
        assert served.client.get("/v1/entities", headers={"Authorization": named}).status_code == (
            429 if keyed < 9 else 200
        )


def test_a_minute_is_over_when_it_is_over() -> None:
    moment = [1000.0]
    limiter = RateLimits(Settings(rate_limit="1"), clock=lambda: moment[0])
    scope: Any = {"type": "http", "client": ("192.0.2.1", 40000), "headers": []}
    seen = []
    for later in (0.0, 59.999, 60.0, 60.001):
        moment[0] = 1000.0 + later
        told = limiter.check(scope, None)
        assert told is not None
        seen.append((told.is_exceeded, told.resets_in))
    assert seen == [(False, 60), (True, 1), (False, 60), (True, 60)]
