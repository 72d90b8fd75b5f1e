"""What a redaction costs in ledgers of several sizes, how long others wait meanwhile, and how long a node takes to start.

`python -m tests.bench.redacting [--postgresql] [--redactions N] EVENTS…`, in process, without HTTP. One thread appends all
the time and one reads; what each waited for longest is compared with what it waits for while nothing is redacted.
"""

import argparse
import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from api.ledger.reading import lists
from api.ledger.reading.selection import Selection
from api.ledger.storage.database import Database
from api.ledger.writing import genesis, redacting
from api.ledger.writing.ledger import Ledger
from api.settings import Settings
from tests.bench.servers import Postgres, postgres
from tests.support.builders import Operation, Writing, a_claim, a_question, a_source, an_entity
from tests.support.databases import is_sqlite
from tests.support.witnessing import running

_CLAIMS_TO_A_QUESTION, _AT_ONCE, _WAITING = 20, 50, 20


def main() -> None:
    """Print a line for each size."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("events", nargs="+", type=int)
    options.add_argument("--postgresql", action="store_true")
    options.add_argument("--redactions", type=int, default=5)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="redacting-") as folder:
        if not asked.postgresql:
            _measure_all(Path(folder), None, asked.events, asked.redactions)
            return
        with postgres(Path(folder)) as server:
            _measure_all(Path(folder), server, asked.events, asked.redactions)


def _measure_all(folder: Path, server: Postgres | None, sizes: list[int], redactions: int) -> None:
    for size in sizes:
        name = f"redacting_{size}"
        place = server.create_url(name) if server else None
        settings = Settings(database_url=place or f"sqlite:///{folder}/{name}.db", signing_key=folder / f"{name}.key")
        with _ledger(settings) as writing:
            _fill(writing, size)
            _measure(writing, size, redactions)
        began = time.perf_counter()
        with running(settings, "-m", "api", "serve") as serving:
            ready = serving.client.get("/health/ready")
            print(
                f"{size:>9,} events: {ready.json()['status']} {_ms(time.perf_counter() - began)} after a start",
                flush=True,
            )


@contextmanager
def _ledger(settings: Settings) -> Iterator[Writing]:
    database = Database(settings)
    database.migrate()
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    ledger = Ledger(database)
    ledger.start()
    yield Writing(database, ledger)
    ledger.stop()
    database.close()


def _fill(writing: Writing, size: int) -> None:
    """Record claims, each with a source of its own, on questions of twenty claims."""
    writing.append(an_entity("parler"))
    waiting = []
    for start in range(0, size // 2, _AT_ONCE):
        numbers = range(start, start + _AT_ONCE)
        waiting.append(writing.ledger.append(writing.unit(*(each for number in numbers for each in _said(number)))))
        if len(waiting) >= _WAITING:
            waiting.pop(0).result()
    for future in waiting:
        future.result()
    if is_sqlite(writing.database):
        # What was written lies in the database, as it does an hour later, and is not copied there while others are timed.
        writing.database.access().rows("PRAGMA wal_checkpoint(TRUNCATE)")


def _said(number: int) -> list[Operation]:
    question, source = f"q-{number // _CLAIMS_TO_A_QUESTION}", f"s-{secrets.token_hex(6)}-{number}"
    asked = [a_question(question, about="parler")] if number % _CLAIMS_TO_A_QUESTION == 0 else []
    known = {
        "title": f"Article {secrets.token_hex(8)} about what was said",
        "authors": [f"Author {secrets.token_hex(8)}"],
    }
    return [
        *asked,
        a_source(source, url=f"https://example.org/{source}", **known),
        a_claim(
            f"c-{number}", source=source, question=question, statement=f"It was {secrets.token_hex(8)}.", note="x" * 200
        ),
    ]


def _measure(writing: Writing, size: int, redactions: int) -> None:
    database = writing.database
    idle, _ = _while(writing, lambda: time.sleep(2))
    held, purged, waits = [], [], []

    def redact(claim: str) -> None:
        began = time.perf_counter()
        done = writing.redact("claim", claim)
        committed = time.perf_counter()
        redacting.purge(database, done.position, done.traces)
        held.append(committed - began)
        purged.append(time.perf_counter() - committed)

    for number in range(redactions):
        claim = f"c-{(number + 1) * (size // 2) // (redactions + 1)}"
        waits.append(_while(writing, lambda: redact(claim))[0])  # noqa: B023 - at once
    writer, reader = (max(each[index] for each in waits) for index in (0, 1))
    print(
        f"{size:>9,} events: committed in {_ms(statistics.median(held))} ({_ms(max(held))} at most), purged in"
        f" {_ms(statistics.median(purged))};"
        f" longest wait of a writer {_ms(writer)} (idle {_ms(idle[0])}), of a reader {_ms(reader)} (idle {_ms(idle[1])})",
        flush=True,
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


def _while(writing: Writing, act: Callable[[], None]) -> tuple[tuple[float, float], None]:
    """Do something while one appends and one reads; give what each waited for longest, in seconds."""
    is_over, longest = threading.Event(), [0.0, 0.0]
    reads = writing.database.connect()
    chosen = Selection(kind="claim", limit=50, order="-recorded")
    works = (lambda: writing.append(an_entity()), lambda: lists.select(reads, chosen))

    def go_on(index: int) -> None:
        while not is_over.is_set():
            began = time.perf_counter()
            works[index]()
            longest[index] = max(longest[index], time.perf_counter() - began)
            time.sleep(0.002)

    threads = [threading.Thread(target=go_on, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    act()
    is_over.set()
    for thread in threads:
        thread.join()
    reads.close()
    return (longest[0], longest[1]), None


if __name__ == "__main__":
    main()
