"""Processes of our own that tests start, speak to by lines, and kill.

Each is forked off one that has the ledger's modules loaded, and so there at once: to load them takes longer than most tests.
"""

import contextlib
import io
import json
import multiprocessing
import os
import runpy
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from api.settings import Settings

ROOT = Path(__file__).parents[2]
# A server that nothing else runs in: no thread, no connection and no listening socket of the tests reaches a child.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [f"api.cli.{name}" for name in ("editing", "keys", "log", "serve", "verify")] + [__name__, "tests.support.warm"]
)


class Started:
    """A process under way, known as `subprocess.Popen` knows one, with pipes of text."""

    def __init__(self, words: tuple[str, ...], environment: dict[str, str]) -> None:
        pipes = [_CONTEXT.Pipe(duplex=False) for _ in range(3)]
        (taken, given), (out, said), (error, complained) = pipes
        self._process = _CONTEXT.Process(target=_run, args=(words, environment, taken, said, complained))
        self._process.start()
        self.pid = self._process.pid or 0
        self.stdin, self.stdout, self.stderr = _text(given, "w"), _text(out, "r"), _text(error, "r")
        for one in (taken, said, complained):
            one.close()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end; None if that has not come by then."""
        self._process.join(timeout)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Give what it still says until its end. It is killed if that has not come by then."""
        self.stdin.close()
        complaint: list[str] = []
        hearing = threading.Thread(target=lambda: complaint.append(self.stderr.read()))
        ending = threading.Timer(timeout or threading.TIMEOUT_MAX, self.kill)
        for each in (hearing, ending):
            each.start()
        said = self.stdout.read()
        hearing.join()
        self.wait()
        ending.cancel()
        ending.join()
        return said, complaint[0]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of its pipes, once it has ended."""
        for each in (self.stdin, self.stdout, self.stderr):
            with contextlib.suppress(BrokenPipeError):
                each.close()


def _text(end: Connection, mode: str) -> io.TextIOWrapper:
    with end:
        return os.fdopen(os.dup(end.fileno()), mode, encoding="utf-8")


def _run(words: tuple[str, ...], environment: dict[str, str], *ends: Connection) -> None:
    """Be Python with these words."""
    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin = os.fdopen(0)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    how, what, *sys.argv[1:] = words
    if how == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})


@contextlib.contextmanager
def started(settings: Settings, *arguments: str, **environment: str) -> Iterator[Started]:
    """Run Python (`-m` or `-c`) with the ledger's settings in its environment; killed at the end, if it still runs."""
    known = {
        "LEDGER_DATABASE_URL": settings.database_url,
        "LEDGER_SIGNING_KEY": str(settings.signing_key_path),
        "LEDGER_LOG_LEVEL": "warning",
        **environment,
    }
    process = Started(arguments, {**os.environ, **known})
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        process.close()


def line(process: Started) -> dict[str, Any]:
    """Read one line that the process says. Fails with what it complained of if it says nothing more."""
    said = process.stdout.readline()
    if not said:
        raise AssertionError(f"the process ended: {process.stderr.read()[-2000:]}")
    found: dict[str, Any] = json.loads(said)
    return found


def go(process: Started) -> None:
    """Let a process that said it is ready begin."""
    process.stdin.write("go\n")
    process.stdin.flush()


def rest(process: Started) -> list[dict[str, Any]]:
    """Wait for the end and give the lines that were still to come; a line cut short by a kill is none."""
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
