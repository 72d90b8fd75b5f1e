"""A served ledger is attacked over raw sockets: every attack is answered as documented, and afterwards it lives."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.attack import ATTACKS, Attack
from tests.attacks.target import Target, attacked
from tests.attacks.watching import watched
from tests.attacks.wire import Wire, head
from tests.support.served import DATABASES, migrated
from tests.support.witnessing import Log, witness

# An interpreter with little to do, on a machine that others use too: twice what is held to where attacks are measured.
SLOWEST = 1_000
# Megabytes that the worker may hold.
MOST = 400


@pytest.fixture(scope="module", params=DATABASES)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A ledger whose log is held to have no fault in it when all is over."""
    with (
        migrated(request, request.param, tmp_path_factory.mktemp("attacked")) as settings,
        attacked(settings, claims=1_500, pace=0.5, LEDGER_BODY_DEADLINE="4") as found,
    ):
        yield found


def withstand(target: Target, attack: Attack) -> None:
    with watched(target.port, target.worker) as seen:
        answers = attack.launch(target)
    assert answers
    assert set(answers) <= attack.answers, answers
    assert target.is_alive()
    assert seen.slowest < SLOWEST, seen
    assert seen.memory < MOST, seen


def attacks(*, lasts: bool = False, reads: bool = False) -> pytest.MarkDecorator:
    these = [each for each in ATTACKS if (each.lasts, each.reads) == (lasts, reads)]
    return pytest.mark.parametrize("attack", these, ids=lambda attack: attack.name)


# What never comes as far as a database is the same on both.
ONCE = pytest.mark.parametrize("target", ["sqlite"], indirect=True)


@attacks(reads=True)
def test_an_attack_that_reads_is_answered_as_documented(target: Target, attack: Attack) -> None:
    withstand(target, attack)


@ONCE
@attacks()
def test_an_attack_is_answered_as_documented(target: Target, attack: Attack) -> None:
    withstand(target, attack)


@pytest.mark.slow
@ONCE
@attacks(lasts=True)
def test_an_attack_that_lasts_is_outlasted(target: Target, attack: Attack) -> None:
    withstand(target, attack)


@pytest.mark.slow
@attacks(lasts=True, reads=True)
def test_an_attack_that_reads_and_lasts_is_outlasted(target: Target, attack: Attack) -> None:
    withstand(target, attack)


@pytest.mark.slow
def test_a_witness_waits_for_no_body_without_end(tmp_path: Path) -> None:
    with witness(tmp_path, Log("a.example").key.vkey) as serving, Wire(serving.client.base_url.port or 0) as wire:
        wire.send(head("POST", "/add-checkpoint", ("Content-Length", "1000")))
        wire.trickle([b"a"] * 1_000, pace=0.5)
        assert wire.answer() == "408"
        assert serving.report()["status"] == "watching"
