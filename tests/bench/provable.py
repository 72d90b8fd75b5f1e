"""What proving costs: proofs in a tree of a million leaves against one of a thousand, and appends that are signed or not.

In process, without HTTP. The entries of the large tree say nothing but their place.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import msgspec

from api.domain.log.event import leaf_hash
from api.domain.log.merkle import Frontier
from api.domain.records.operation import NEW, record_command
from api.ledger.keeping.watch import Watch
from api.ledger.reading import proofs
from api.ledger.signing.checkpoints import Checkpoints
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.writing import genesis, keys
from api.ledger.writing.ledger import Ledger
from api.ledger.writing.unit import Unit
from api.settings import Settings
from tests.bench.load import Outcome
from tests.bench.servers import Postgres

SMALL, LARGE, QUICK = 1_000, 1_000_000, 20_000
_AT_ONCE = 10_000
_IN_FLIGHT = 32

Measure = Callable[[int], Outcome]


@contextmanager
def measures(folder: Path, server: Postgres | None, size: int, wanted: frozenset[str]) -> Iterator[dict[str, Measure]]:
    """Give a way to measure each operation that is wanted, over databases of its own."""
    found: dict[str, Measure] = {}
    with ExitStack() as stack:
        for operation, leaves in (("proof-large", size), ("proof-small", SMALL)):
            if operation in wanted:
                access = stack.enter_context(_database(folder, server, operation.replace("-", "_"))).access()
                _grow(access, leaves)
                found[operation] = _proving(access, leaves)
        for operation, is_signed in (("append-signed", True), ("append-unsigned", False)):
            if operation in wanted:
                name = operation.replace("-", "_")
                database = stack.enter_context(_database(folder, server, name))
                found[operation] = stack.enter_context(
                    _appending(database, folder / f"{name}.key", is_signed=is_signed)
                )
        yield found


@contextmanager
def _database(folder: Path, server: Postgres | None, name: str) -> Iterator[Database]:
    place = server.create_url(name) if server else None
    settings = Settings(database_url=place or f"sqlite:///{folder}/{name}.db", signing_key=folder / f"{name}.key")
    database = Database(settings)
    database.migrate()
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    yield database
    database.close()


def _grow(access: Access, size: int) -> None:
    """Store a tree of so many leaves behind the first event."""
    row = access.row("SELECT frontier FROM head")
    frontier = Frontier.from_bytes(bytes(row[0] if row else b""))
    for start in range(2, size + 1, _AT_ONCE):
        positions = range(start, min(start + _AT_ONCE, size + 1))
        entries = [str(position).encode() for position in positions]
        leaves = [leaf_hash(entry) for entry in entries]
        frontier, nodes = frontier.append(leaves)
        rows = [
            (at, entry, leaf, "recorded", "claim", str(at), 1, 2**60 + at, None)
            for at, entry, leaf in zip(positions, entries, leaves, strict=True)
        ]
        with access.transaction():
            access.insert("event", "position, entry, leaf_hash, type, kind, record, revision, recorded_at, actor", rows)
            access.insert("node", "level, number, hash", nodes)


def _proving(access: Access, size: int) -> Measure:
    chosen = random.Random(size)  # noqa: S311 - not a secret

    def measure(seconds: int) -> Outcome:
        done, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < seconds:
            proofs.inclusion(access, chosen.randint(1, size), size)
            done += 1
        return Outcome(done / took, 0, 0, 0)

    return measure


@contextmanager
def _appending(database: Database, key_path: Path, *, is_signed: bool) -> Iterator[Measure]:
    """Append with so many requests in flight as a busy node has."""
    checkpoints = Checkpoints(database, key_path, Watch(database))
    ledger = Ledger(database, committed=checkpoints.committed) if is_signed else Ledger(database)
    if is_signed:
        checkpoints.start()
    ledger.start()
    actor, numbers = keys.actor_named(database.access(), "bench"), count()

    def unit() -> Unit:
        body = {"id": f"entity-{next(numbers):08d}", "type": "company", "name": "Company", "note": "x" * 700}
        return Unit(commands=[record_command("entity", msgspec.convert(body, NEW["entity"]))], actor=actor)

    def measure(seconds: int) -> Outcome:
        done, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < seconds:
            waiting = [ledger.append(unit()) for _ in range(_IN_FLIGHT)]
            done += len([future.result() for future in waiting])
        return Outcome(done / took, 0, 0, 0)

    yield measure
    ledger.stop()
    if is_signed:
        checkpoints.stop()
