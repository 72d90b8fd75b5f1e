"""The field: who runs, on which database, and how each of its operations is measured.

A contestant that does not start, or an operation that it does not answer as it should, is left out with a word why.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType

from tests.bench import bare as bare_rows
from tests.bench import ledger, load, peer_django, peer_eventsourcing, provable
from tests.bench.corpus import Corpus
from tests.bench.load import Fire, Outcome, RefusedError, Shot
from tests.bench.servers import Command, Postgres, Server, granian, home_of, run, running

NAMES = ("const", "ledger", "django", "eventsourcing", "bare", "provable")
READS = (
    "read",
    "as-of",
    "revision",
    "history",
    "list",
    "list-deep",
    "list-filter",
    "list-as-of",
    "words",
    "search",
    "feed",
)
PROVABLE = ("proof-large", "proof-small", "append-signed", "append-unsigned")
LONG = ("long-history", "short-history", "long-revision", "short-revision")
OPERATIONS = (*READS, "create", "update", *LONG, "batch", *PROVABLE)
FILLS = {"django": "tests.bench.peer_django.fill", "eventsourcing": "tests.bench.peer_eventsourcing"}
PEERS: Mapping[str, ModuleType] = {"django": peer_django, "eventsourcing": peer_eventsourcing}

Measure = Callable[[int], Outcome]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One of the field on one database (none for the ceiling), with a way to measure each operation it knows."""

    name: str
    database: str
    measures: dict[str, Measure] = field(default_factory=dict)
    server: Server | None = None
    command: Command | None = None
    client: ledger.Client | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """What contestants stand on; `postgres` is None where only SQLite is wanted."""

    folder: Path
    wanted: Corpus
    workers: int
    operations: frozenset[str]
    fire: Fire
    postgres: Postgres | None


@contextmanager
def ceiling(ground: Ground) -> Iterator[Contestant]:
    """Run the ceiling: the same constant bytes for every read."""
    arguments = granian("tests.bench.const:app", interface="asgi", workers=ground.workers)
    command = Command("const", arguments, {})
    with running(command, ground.folder) as server:
        yield Contestant("const", "", ready(ground, "const", server, dict.fromkeys(READS, constant)), server, command)


def constant() -> Shot:
    """Ask the ceiling."""
    return load.gets(["/"])


@contextmanager
def peer(name: str, ground: Ground, database: str) -> Iterator[Contestant]:
    """Fill and run a peer."""
    module = PEERS[name]
    command: Command = module.command(place(ground, database), ground.folder, ground.workers)
    run(
        [sys.executable, "-m", "tests.bench.fill", FILLS[name], ground.wanted.encode()],
        command.environment,
        ground.folder,
    )
    with running(command, ground.folder) as server:
        shots: dict[str, Shot] = module.shots(ground.wanted)
        makers = {operation: partial(shots.__getitem__, operation) for operation in shots}
        yield Contestant(name, database, ready(ground, command.name, server, makers), server, command)


@contextmanager
def service(ground: Ground, database: str) -> Iterator[Contestant]:
    """Run this service and fill it through its own door."""
    command = ledger.command(place(ground, database), ground.folder, ground.workers)
    with running(command, ground.folder) as server:
        client = ledger.Client(
            server.port, ledger.new_key(command.environment, home_of(command, ground.folder)), ground.wanted
        )
        client.fill()
        measures = ready(ground, command.name, server, client.shots())
        if "batch" in ground.operations:
            measures["batch"] = lambda seconds: events(client.import_for(seconds))
        yield Contestant("ledger", database, measures, server, command, client)


@contextmanager
def bare(ground: Ground, database: str) -> Iterator[Contestant]:
    """Open the yardstick's own database."""
    server = place(ground, database)
    opened = (
        bare_rows.on_postgresql(server.conninfo(server.create("bare")))
        if server
        else bare_rows.on_sqlite(ground.folder)
    )
    with opened as commit_for:
        yield Contestant("bare", database, {"batch": lambda seconds: events(commit_for(seconds))})


@contextmanager
def in_process(ground: Ground, database: str) -> Iterator[Contestant]:
    """Open this service's own log in this process, for what is measured against itself."""
    size = provable.QUICK if ground.wanted.claims < provable.QUICK else provable.LARGE
    folder = ground.folder / f"provable-{database}"
    folder.mkdir()
    with provable.measures(folder, place(ground, database), size, ground.operations) as measures:
        yield Contestant("ledger", database, measures)


# How each of the field enters on one database.
ENTRANCES: Mapping[str, Callable[[Ground, str], AbstractContextManager[Contestant]]] = {
    "ledger": service,
    "django": partial(peer, "django"),
    "eventsourcing": partial(peer, "eventsourcing"),
    "bare": bare,
    "provable": in_process,
}


def place(ground: Ground, database: str) -> Postgres | None:
    """Give the PostgreSQL server, or none where the database is a file."""
    return ground.postgres if database == "postgresql" else None


def events(per_second: float) -> Outcome:
    """Write a rate that no load generator measured."""
    return Outcome(per_second, 0, 0, 0)


def ready(ground: Ground, name: str, server: Server, makers: Mapping[str, Callable[[], Shot]]) -> dict[str, Measure]:
    """Try each operation that is wanted once, and keep those that answer as they should."""
    measures: dict[str, Measure] = {}
    for operation, make in makers.items():
        if operation not in ground.operations:
            continue
        try:
            shot = make()
            load.probe(server.port, shot)
        except (RefusedError, KeyError, ValueError) as error:
            say(f"{name}, {operation}: left out, {error!r}")
        else:
            measures[operation] = partial(ground.fire, server.port, shot)
    return measures


def enter(stack: ExitStack, name: str, opened: AbstractContextManager[Contestant]) -> list[Contestant]:
    """Let a contestant in until the stack is closed; none, with a word why, if it does not start."""
    began = time.monotonic()
    try:
        contestant = stack.enter_context(opened)
    except (RefusedError, RuntimeError, OSError) as error:
        say(f"{name}: left out, {error}")
        return []
    say(f"{name}: ready after {time.monotonic() - began:.0f} s")
    return [contestant]


def say(text: str) -> None:
    """Tell how it goes; the figures go to the standard output, this does not."""
    print(text, file=sys.stderr, flush=True)
