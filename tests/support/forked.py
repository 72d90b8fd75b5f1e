"""Commands of the ledger in processes that are forked off the tests' own: as real as others, and there at once."""

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx

from api.__main__ import main
from api.settings import Settings
from tests.support.processes import descendants
from tests.support.witnessing import PATIENCE, Serving, answers, free_port, until


class Forked:
    """A command under way, known as `subprocess` knows one."""

    def __init__(self, words: tuple[str, ...], environment: dict[str, str]) -> None:
        descriptor, name = tempfile.mkstemp(suffix=".log")
        os.close(descriptor)
        self._said = Path(name)
        self._process = multiprocessing.get_context("fork").Process(target=self._run, args=(words, environment))
        with warnings.catch_warnings():
            # That there are threads: none of them holds what a child needs.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        self.pid = self._process.pid or 0

    def _run(self, words: tuple[str, ...], environment: dict[str, str]) -> None:
        os.environ.update(environment)
        with self._said.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        # Who captures what tests say has put others in their places.
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        main([*words], standalone_mode=False)

    def said(self) -> str:
        """Give what it said so far, on both of its outputs."""
        return self._said.read_text(encoding="utf-8", errors="replace")

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int | None:
        self._process.join(seconds)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        return "", self.said()

    def kill(self) -> None:
        """Kill it with every process that it started."""
        for pid in (self.pid, *descendants(self.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait(PATIENCE)

    def forget(self) -> None:
        """Leave nothing of what it said."""
        self._said.unlink()


@contextlib.contextmanager
def serving(settings: Settings, *words: str, **environment: str) -> Iterator[Serving]:
    """Run `ledger serve` over a database, and wait until it answers; killed at the end, if it does not end by itself."""
    port = free_port()
    known = {
        "LEDGER_DATABASE_URL": settings.database_url,
        "LEDGER_SIGNING_KEY": str(settings.signing_key_path),
        "LEDGER_LOG_LEVEL": "warning",
        "LEDGER_RATE_LIMIT": "off",
        **environment,
    }
    process = Forked(("serve", "--empty", "--port", str(port), *words), known)
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False, verify=False) as client:
        found = Serving(process, client, str(client.base_url))  # type: ignore[arg-type]
        try:
            until(lambda: answers(found))
            yield found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
            process.kill()
            process.forget()
