"""Fail over again and again, under load, and count what was lost.

`uv run python -m tests.cluster --rounds 40` makes two real servers for each round, serves a ledger against them, breaks
something, and looks at what is left. While commits wait for a standby, nothing that was acknowledged may be lost and nothing
be signed that the surviving server has not; in any mode no position may be acknowledged for two events. Exit status 1
where one of that came to pass.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from api.domain.errors import LedgerError
from tests.cluster.node import Node, node
from tests.cluster.server import Pair, Server, pair
from tests.support.witnessing import until

Break = Callable[[Pair, Node, random.Random], Server]
_WAITS = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


def kill_and_promote(both: Pair, _ours: Node, _chance: random.Random) -> Server:
    """The primary goes dark; its standby takes over."""
    both.primary.kill()
    both.standby.promote()
    return both.standby


def kill_and_start(both: Pair, _ours: Node, chance: random.Random) -> Server:
    """The primary goes dark and comes back."""
    both.primary.kill()
    time.sleep(chance.random())
    both.primary.start()
    return both.primary


def freeze_and_promote(both: Pair, ours: Node, _chance: random.Random) -> Server:
    """The primary says nothing more; its standby takes over, and the primary is fenced before it wakes."""
    both.primary.freeze()
    both.standby.promote()
    _wait_for_appends(ours)
    both.primary.kill()
    return both.standby


def cancel_and_promote(both: Pair, ours: Node, chance: random.Random) -> Server:
    return _end_waits(both, ours, chance, "pg_cancel_backend")


def terminate_and_promote(both: Pair, ours: Node, chance: random.Random) -> Server:
    return _end_waits(both, ours, chance, "pg_terminate_backend")


def _end_waits(both: Pair, _ours: Node, chance: random.Random, how: str) -> Server:
    """The standby is away; waits for it are ended by hand, and then the primary goes dark and the standby takes over."""
    both.standby.kill()
    for _ in range(chance.randint(1, 4)):
        for (pid,) in until(lambda: both.primary.ask(_WAITS)):
            both.primary.ask(f"SELECT {how}({pid})")
        time.sleep(chance.random() / 5)
    both.primary.kill()
    both.standby.start()
    both.standby.promote()
    return both.standby


def lose_and_promote(both: Pair, ours: Node, chance: random.Random) -> Server:
    """The standby, for which nobody waits, is behind when the primary goes dark: what is only there is lost."""
    both.standby.freeze()
    known = len(ours.acknowledged) + chance.randint(1, 20)
    until(lambda: len(ours.acknowledged) > known)
    both.primary.kill()
    both.standby.kill()
    both.standby.start()
    both.standby.promote()
    return both.standby


# What is broken, and whether commits wait for a standby while it is.
BREAKS: Sequence[tuple[Break, bool]] = (
    (kill_and_promote, True),
    (cancel_and_promote, True),
    (lose_and_promote, False),
    (terminate_and_promote, True),
    (freeze_and_promote, True),
    (kill_and_start, True),
)


@dataclass
class Found:
    """What a round left: how many were acknowledged, and what should not be."""

    acknowledged: int = 0
    lost: int = 0
    outside: int = 0
    twice: int = 0
    rounds: int = 1
    refused: int = 0

    def add(self, other: "Found") -> None:
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def one_round(breaks: Break, *, waits: bool, seed: int) -> Found:
    """Serve a new ledger on two new servers, break something under load, and look."""
    chance = random.Random(seed)
    with pair() as both, tempfile.TemporaryDirectory() as folder:
        both.wait_for_standby(is_wanted=waits)
        with node(both.url, Path(folder)) as ours:
            with ours.busy("load"):
                enough = chance.randint(20, 200)
                until(lambda: len(ours.acknowledged) > enough)
                survivor = breaks(both, ours, chance)
                _wait_for_appends(ours)
            until(lambda: ours.get("/health/ready").status_code == 200 or is_refused(ours))
            return look(ours, survivor, waits=waits)


def _wait_for_appends(ours: Node) -> None:
    """Wait until appends are acknowledged again, or it is plain that they are refused for good."""
    known = len(ours.acknowledged)
    until(lambda: len(ours.acknowledged) > known + 10 or is_refused(ours))


def is_refused(ours: Node) -> bool:
    return "/problems/log-refused" in ours.get("/health/ready").text


def look(ours: Node, survivor: Server, *, waits: bool) -> Found:
    """Count what is on the survivor and what should be. Without a wait for standbys the last moments may be lost."""
    found = Found(acknowledged=len(ours.acknowledged), twice=len(ours.twice()), refused=int(is_refused(ours)))
    found.lost = len(ours.lost(survivor))
    try:
        ours.check_signed(survivor)
    except LedgerError:
        found.outside = 1
    if waits and found.refused:
        found.lost = max(found.lost, 1)
    return found


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=18)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(words)
    tallies: dict[str, Found] = {}
    is_well = True
    for number in range(asked.rounds):
        breaks, waits = BREAKS[number % len(BREAKS)]
        found = one_round(breaks, waits=waits, seed=asked.seed + number)
        is_well = is_well and not found.twice and not (waits and (found.lost or found.outside))
        tallies.setdefault(breaks.__name__, Found(rounds=0)).add(found)
        print(f"round {number + 1}: {breaks.__name__}, {found}", file=sys.stderr, flush=True)
    print(
        f"{'what was done':24} {'rounds':>6} {'acknowledged':>12} {'lost':>6} {'signed outside':>14} {'given twice':>11}"
    )
    for name, each in tallies.items():
        mark = "" if {breaks.__name__: waits for breaks, waits in BREAKS}[name] else " (no standby is waited for)"
        print(f"{name:24} {each.rounds:6} {each.acknowledged:12} {each.lost:6} {each.outside:14} {each.twice:11}{mark}")
    print("well" if is_well else "NOT well")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
