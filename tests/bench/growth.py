"""How time grows with what one question holds: each shape at n, 2n and 4n claims, and how many times as long 4n takes.

`python -m tests.bench.growth [--most N] [--shapes WORD] [--databases sqlite,postgresql]`, in process, without HTTP. `--most` is 4n. Exits
with 1 where anything takes more than five times as long for four times as much. What is measured: appending all of it
in batches, one claim more, the same by a writer that has just started, and the answers view as it is first asked for.
Time is that of the processors, in this process and in the server's, so that others at work on the machine matter little,
and what can be done again counts by its best of three: to wait for memory that others use only ever adds.
"""

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

from api.app import own_process
from api.domain.dates import edtf
from api.ledger.projecting.weighed import forget_sayings
from api.ledger.reading.answers import answers
from api.ledger.reading.selection import Selection
from api.ledger.storage.database import Database
from api.ledger.writing import genesis
from api.ledger.writing.ledger import Ledger
from api.settings import Settings
from tests.bench.growing import SHAPES, Shape
from tests.bench.servers import Postgres, postgres
from tests.support.builders import Operation, Writing

FLOOR = 5.0
_A_BATCH, _TIMES = 500, 7
# What takes less than this, in seconds, is too short to tell how it grows.
_TOO_SHORT = 0.004
MEASURES = ("batches", "one append", "first append", "answers")


def main() -> int:
    """Print a line for each shape and database; 1 where one grows too fast."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--most", type=int, default=20_000)
    options.add_argument("--shapes", default="")
    options.add_argument("--databases", default="sqlite,postgresql")
    asked = options.parse_args()
    sizes = [asked.most // 4, asked.most // 2, asked.most]
    # As a node that is served does.
    own_process()
    print(f"seconds at {sizes[0]:,}, {sizes[1]:,} and {sizes[2]:,} claims on one question, and the last by the first\n")
    print(f"| shape | database | {' | '.join(MEASURES)} |\n|---|---|{'---|' * len(MEASURES)}")
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        for database in asked.databases.split(","):
            with postgres(Path(folder)) if database == "postgresql" else nullcontext() as server:
                for shape in SHAPES:
                    if asked.shapes in shape.name:
                        worst = max(worst, _show(Path(folder), server, shape, database, sizes))
    print(f"\nthe most: {worst:.1f} times as long for four times as much; the floor is {FLOOR:g}")
    return 1 if worst > FLOOR else 0


def _show(folder: Path, server: Postgres | None, shape: Shape, database: str, sizes: Sequence[int]) -> float:
    """Measure a shape and print it; give the worst of its growths that can be told."""
    found = [_measure(folder, server, shape, size) for size in sizes]
    growths = [last / first for first, last in zip(found[0], found[-1], strict=True)]
    cells = [
        f"{' '.join(f'{each[place]:.4f}' for each in found)} **{growth:.1f}**" for place, growth in enumerate(growths)
    ]
    print(f"| {shape.name} | {database} | {' | '.join(cells)} |", flush=True)
    return max((growth for growth, last in zip(growths, found[-1], strict=True) if last > _TOO_SHORT), default=0.0)


def _measure(folder: Path, server: Postgres | None, shape: Shape, size: int) -> list[float]:
    name = f"growth_{time.monotonic_ns()}"
    place = server.create_url(name) if server else None
    settings = Settings(database_url=place or f"sqlite:///{folder}/{name}.db", signing_key=folder / f"{name}.key")
    with _database(settings) as database:
        seconds = partial(_seconds, server=server)
        with _running(database) as writing:
            _append(writing, shape.ground(size))
            operations, more = shape.operations(size), shape.more(size)
            batches = seconds(lambda: _append(writing, operations))
            one = statistics.median(seconds(lambda: writing.append(next(more))) for _ in range(_TIMES))
        first = min(_first_append(database, next(more), seconds) for _ in range(3))
        reads = database.access()
        chosen = Selection(kind="claim")
        shown = min(seconds(lambda: answers(reads, "q", chosen), _forget) for _ in range(3))
    return [batches, one, first, shown]


def _first_append(database: Database, operation: Operation, seconds: Callable[..., float]) -> float:
    with _running(database) as writing:
        return seconds(lambda: writing.append(operation), _forget)


def _forget() -> None:
    """Make a process one that has read nothing yet: what it remembers holds some thousands of sayings and dates."""
    forget_sayings()
    edtf.parse.cache_clear()


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    database = Database(settings)
    database.migrate()
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    yield database
    database.close()


@contextmanager
def _running(database: Database) -> Iterator[Writing]:
    ledger = Ledger(database)
    ledger.start()
    yield Writing(database, ledger)
    ledger.stop()


def _append(writing: Writing, operations: Sequence[Operation]) -> None:
    for start in range(0, len(operations), _A_BATCH):
        writing.append(*operations[start : start + _A_BATCH])


def _seconds(act: Callable[[], object], before: Callable[[], object] = gc.collect, *, server: Postgres | None) -> float:
    """Measure what an act costs of the processors' time, the server's included. Garbage was collected before."""
    before()
    gc.collect()
    began, spent = time.process_time(), _spent(server)
    act()
    # Who has ended meanwhile was a connection of somebody before, at rest.
    theirs = sum(seconds - spent.get(pid, 0.0) for pid, seconds in _spent(server).items())
    return time.process_time() - began + theirs


def _spent(server: Postgres | None) -> dict[int, float]:
    return server.seconds_spent() if server is not None else {}


if __name__ == "__main__":
    sys.exit(main())
