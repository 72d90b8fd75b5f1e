"""Processes of our own that tests start, speak to by lines, and kill."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.settings import Settings

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def started(settings: Settings, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python with the ledger's settings in its environment; killed at the end, if it still runs."""
    known = {
        "LEDGER_DATABASE_URL": settings.database_url,
        "LEDGER_SIGNING_KEY": str(settings.signing_key_path),
        "LEDGER_LOG_LEVEL": "warning",
        **environment,
    }
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT, env={**os.environ, **known}, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Read one line that the process says. Fails with what it complained of if it says nothing more."""
    assert process.stdout is not None
    said = process.stdout.readline()
    if not said:
        assert process.stderr is not None
        raise AssertionError(f"the process ended: {process.stderr.read()[-2000:]}")
    found: dict[str, Any] = json.loads(said)
    return found


def go(process: subprocess.Popen[str]) -> None:
    """Let a process that said it is ready begin."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def rest(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Wait for the end and give the lines that were still to come; a line cut short by a kill is none."""
    assert process.stdout is not None
    # Not by `communicate`, which knows nothing of what `readline` has read ahead.
    out = process.stdout.read()
    _, complaint = process.communicate(timeout=120)
    assert process.returncode in (0, -9), complaint[-2000:]
    return [json.loads(said) for said in out.splitlines(keepends=True) if said.endswith("\n")]


def descendants(pid: int, depth: int = 9) -> list[int]:
    """List the processes below one, down to a depth, in the order in which they were found."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found + [each for child in found if depth > 1 for each in descendants(child, depth - 1)]


def is_running(pid: int) -> bool:
    """Say whether a process is there and has not ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
