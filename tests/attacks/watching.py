"""What another client sees while something goes on, and what it costs: a process of its own asks, over and over.

`python -m tests.attacks.watching PORT` asks until its input ends, then prints how many milliseconds the slowest answer took.
"""

import contextlib
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.wire import Wire, head

EVERY = 0.02
_LIVE = head("GET", "/health/live")
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Seen:
    """How many were asked, the slowest in milliseconds, and the most memory that the worker held, in megabytes."""

    asked: int = 0
    slowest: float = 0.0
    memory: float = 0.0


@contextlib.contextmanager
def watched(port: int, worker: int) -> Iterator[Seen]:
    """Watch a server from outside for as long as the block lasts."""
    seen = Seen()
    Path(f"/proc/{worker}/clear_refs").write_text("5")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.attacks.watching", str(port)],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as asking:  # fmt: skip
        assert asking.stdout is not None
        assert asking.stdout.readline() == "asking\n"
        try:
            yield seen
        finally:
            told = json.loads(asking.communicate("", timeout=90)[0])
            seen.asked, seen.slowest = told["asked"], told["slowest"]
            seen.memory = _peak(worker)


def _peak(pid: int) -> float:
    """Give the most resident memory since it was last reset, in megabytes (proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _ask(port: int) -> None:
    asked, slowest = 0, 0.0
    with Wire(port) as wire:
        while not select.select([sys.stdin], [], [], EVERY)[0]:
            began = time.perf_counter()
            wire.send(_LIVE)
            answer = wire.answer()
            slowest = max(slowest, time.perf_counter() - began)
            if answer != "200":
                raise SystemExit(f"/health/live was answered with {answer}")
            if not asked:
                print("asking", flush=True)
            asked += 1
    print(json.dumps({"asked": asked, "slowest": slowest * 1000}))


if __name__ == "__main__":
    _ask(int(sys.argv[1]))
