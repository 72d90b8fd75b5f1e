"""The ledger that is attacked: served as an operator would serve it, by one worker, and filled with large things."""

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from api.settings import Settings
from tests.support.builders import Operation, a_claim, a_question, a_source, an_entity, link
from tests.support.processes import descendants
from tests.support.witnessing import Serving, ledger

LARGE, LONG, NAME = 12, "𝄞" * 10_000, "𝄞" * 500
_AT_ONCE = 1_000


@dataclass(frozen=True)
class Target:
    """A served ledger, and how patient its attackers are, in seconds."""

    serving: Serving
    claims: int
    pace: float
    is_sqlite: bool

    @property
    def port(self) -> int:
        return self.serving.client.base_url.port or 0

    @property
    def key(self) -> tuple[str, str]:
        return "Authorization", self.serving.client.headers["Authorization"]

    @property
    def worker(self) -> int:
        """The process that answers."""
        (parent,) = descendants(self.serving.process.pid, 1)
        (worker,) = descendants(parent, 1)
        return worker

    def connections(self) -> int:
        """Count the clients' connections that the worker holds open, by the kernel's own list (proc(5))."""
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ours = {f"socket:[{line[9]}]" for line in lines if int(line[1].rpartition(":")[2], 16) == self.port}
        found = 0
        for path in Path(f"/proc/{self.worker}/fd").iterdir():
            with contextlib.suppress(OSError):
                found += str(path.readlink()) in ours
        return found

    def is_alive(self) -> bool:
        return self.serving.client.get("/health/live").status_code == 200


@contextlib.contextmanager
def attacked(settings: Settings, *, claims: int, pace: float, **environment: str) -> Iterator[Target]:
    """Serve a ledger full of what is large, long and deep."""
    with ledger(settings, **environment) as serving, _noted(serving) as log:
        target = Target(serving, claims, pace, settings.is_sqlite)
        for operations in _records(claims):
            answer = serving.client.post("/v1/batch", json=operations)
            assert answer.status_code == 201, answer.text
        yield target
    faults = [line for line in log if re.search(r"unhandled|Traceback|panicked", line)]
    assert not faults, "\n".join(faults)[-4000:]


@contextlib.contextmanager
def _noted(serving: Serving) -> Iterator[list[str]]:
    """Keep what the server logs, so that it never waits for a reader."""
    lines: list[str] = []
    reading = threading.Thread(target=lambda: lines.extend(serving.process.stderr), daemon=True)
    reading.start()
    yield lines


def _records(claims: int) -> Iterator[list[Operation]]:
    names = {f"x-{number}": NAME for number in range(100)}
    for n in range(LARGE):
        yield [an_entity(f"e{n}", names=names, note=LONG, same_as=[f"https://a.example/{k}" for k in range(50)])]
    yield [a_source(f"s{n}", authors=[NAME] * 100, note=LONG, published="2021") for n in range(LARGE)]
    yield [an_entity(f"part{n}", **({"part_of": f"part{n - 1}"} if n else {})) for n in range(32)]
    yield [a_source(f"copy{n}", **({"derives_from": [f"copy{n - 1}"]} if n else {})) for n in range(32)]
    yield [
        a_question("long", about="e1", answer_type="quantity", unit="users", varies=True),
        a_question("heavy", about="e1"),
        a_question("nested", about="part0", answer_type="entity"),
    ]
    yield [a_claim(f"h{n}", source=f"s{n % LARGE}", question="heavy", note=LONG) for n in range(60)]
    yield [
        a_claim(
            f"n{n}", source=f"copy{n % 32}", question="nested", answer={"type": "entity", "entity": f"part{n % 32}"}
        )
        for n in range(500)
    ]
    for first in range(0, claims, _AT_ONCE):
        yield [_claim(n) for n in range(first, min(claims, first + _AT_ONCE))]
    yield [link(f"n{n}", "repeats", "n0", expect=1) for n in range(1, 50)]


def _claim(number: int) -> Operation:
    answer = {"type": "quantity", "amount": str(number % 40), "unit": "users"}
    valid = f"2021-{number % 12 + 1:02}-{number % 28 + 1:02}"
    return a_claim(f"c{number}", source=f"s{number % LARGE}", question="long", answer=answer, valid=valid)


def folder_settings(folder: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{folder / 'ledger.db'}", signing_key=folder / "ledger.key")
