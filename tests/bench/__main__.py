"""`python -m tests.bench`: run the field in interleaved rounds and print ratios.

One run holds everything: each round measures each operation on each contestant in turn, so that what the machine does
meanwhile falls on all of them alike. Everything runs on this machine and is stopped at the end.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from types import FrameType

import msgspec

from tests.bench import contestants, ledger, report
from tests.bench.contestants import NAMES, OPERATIONS, Contestant, Ground, Measure, enter, say
from tests.bench.corpus import Corpus
from tests.bench.load import CONNECTIONS, Outcome, RefusedError, generator
from tests.bench.report import OURS, Figures
from tests.bench.servers import home_of, postgres

ALL_OPERATIONS = (*OPERATIONS, "rebuild")
DATABASES = ("sqlite", "postgresql")
QUICK = Corpus(claims=2_000, extra=400, deep=1_000)
USUAL = Corpus(claims=20_000, extra=4_000, deep=10_000)
FULL = Corpus(claims=100_000, extra=19_000, deep=100_000)
# A rebuild of a large ledger is long and varies little: no further one begins after this.
REBUILD_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    corpus: Corpus
    rounds: int
    seconds: int
    workers: int
    operations: frozenset[str]
    databases: tuple[str, ...]
    contestants: tuple[str, ...]
    folder: str | None
    json: Path | None


def main() -> int:
    """Run the bench; 1 if this service was to be measured and could not be, in any part."""
    options, began = parse(sys.argv[1:]), time.monotonic()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, interrupt)
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="ledger-bench-", dir=options.folder) as name, ExitStack() as stack:
        folder = Path(name)
        tool, fire = generator(folder)
        server = stack.enter_context(postgres(folder)) if "postgresql" in options.databases else None
        ground = Ground(folder, options.corpus, options.workers, options.operations, fire, server)
        print(heading(options, tool, server.version if server else None), flush=True)
        yardsticks = let_in(stack, ground, options, ["bare"])
        with ExitStack() as servers:
            served = let_in(servers, ground, options, ["const", "ledger", "django", "eventsourcing"])
            if options.operations & set(contestants.PROVABLE):
                served += let_in(servers, ground, options, ["provable"])
            if server:
                server.settle()
            for number in range(options.rounds):
                run_round(served + yardsticks, number, options, figures)
            weigh(served, figures)
            rebuilds = rebuilding(served, folder) if "rebuild" in options.operations else []
        for database, rebuild in rebuilds:
            rulers = [one for one in yardsticks if one.database == database]
            settle = server.settle if server and database == "postgresql" else lambda: None
            run_rebuilds(database, rebuild, rulers, settle, options, figures)
    say(f"took {time.monotonic() - began:.0f} s")
    print(report.text(figures, options.databases, options.corpus.deep))
    if options.json:
        rounds = {"/".join(key): outcomes for key, outcomes in figures.rounds.items()}
        options.json.write_bytes(msgspec.json.encode(rounds))
    return 1 if lacks(figures, options) else 0


def let_in(stack: ExitStack, ground: Ground, options: Options, names: list[str]) -> list[Contestant]:
    """Start those of the field that are wanted, each on each database."""
    entered: list[Contestant] = []
    for name in names:
        if name not in options.contestants:
            continue
        if name == "const":
            entered += enter(stack, name, contestants.ceiling(ground))
            continue
        for database in options.databases:
            entered += enter(stack, f"{name} on {database}", contestants.ENTRANCES[name](ground, database))
    return entered


def run_round(field: list[Contestant], number: int, options: Options, figures: Figures) -> None:
    """Measure each operation on each contestant in turn; who comes first changes from round to round."""
    turn = number % max(1, len(field))
    for operation in (operation for operation in OPERATIONS if operation in options.operations):
        measured = [one for one in field[turn:] + field[:turn] if operation in one.measures]
        for one in measured:
            figures.add(operation, one.name, one.database, attempt(one.measures[operation], options.seconds))
        if measured:
            say(f"round {number + 1} of {options.rounds}: {operation}")


def attempt(measure: Measure, seconds: int) -> Outcome:
    """Measure; one that breaks off counts as a failure and does not end the run."""
    try:
        return measure(seconds)
    except (RefusedError, RuntimeError, OSError, HTTPException) as error:
        say(f"broken off: {error!r}")
        return Outcome(0, 0, 0, failures=1)


def weigh(served: list[Contestant], figures: Figures) -> None:
    """Read the memory of every worker while it still runs."""
    for one in served:
        if one.server:
            figures.add("memory", one.name, one.database, Outcome(one.server.worker_megabytes(), 0, 0, 0))


def rebuilding(served: list[Contestant], folder: Path) -> list[tuple[str, Measure]]:
    """Say how to measure a rebuild on each database, once the servers are stopped; asks each for its size before."""
    measures: list[tuple[str, Measure]] = []
    for one in served:
        if one.client is None or one.command is None:
            continue
        try:
            head = one.client.head()
        except (RefusedError, OSError, HTTPException) as error:
            say(f"rebuild on {one.database}: left out, {error!r}")
            continue
        measures.append((one.database, partial(rebuild, head, one.command.environment, home_of(one.command, folder))))
    return measures


def rebuild(head: int, environment: Mapping[str, str], home: Path, _seconds: int) -> Outcome:
    """Rebuild once, however long it takes."""
    seconds = ledger.seconds_to_rebuild(environment, home)
    say(f"{head:,} events rebuilt in {seconds:.1f} s")
    return Outcome(head / seconds, 0, 0, 0)


def run_rebuilds(
    database: str,
    ours: Measure,
    rulers: list[Contestant],
    settle: Callable[[], None],
    options: Options,
    figures: Figures,
) -> None:
    """Rebuild our projections in rounds, with the yardstick beside each time.

    A server settles before each: it would clean up after what was written until then, the rebuild before included.
    """
    began = time.monotonic()
    for _ in range(options.rounds):
        settle()
        for ruler in rulers:
            figures.add("rebuild", ruler.name, database, attempt(ruler.measures["batch"], options.seconds))
        figures.add("rebuild", OURS, database, attempt(ours, options.seconds))
        if time.monotonic() - began > REBUILD_SECONDS:
            return


def lacks(figures: Figures, options: Options) -> bool:
    """Tell whether an operation of ours that was wanted has no figure, or had failures."""
    wanted = options.operations if OURS in options.contestants else frozenset()
    return any(
        figures.rate(operation, OURS, database) is None for operation in wanted for database in options.databases
    )


def heading(options: Options, tool: str, postgresql: str | None) -> str:
    """Say what was measured, with what and where."""
    sizes = options.corpus
    records = (
        f"{sizes.claims:,} claims, {sizes.claims + sizes.extra:,} revisions of about 1 KB, one record of {sizes.deep:,}"
    )
    servers = f"granian, {options.workers} worker{'s' if options.workers > 1 else ''} each"
    load = f"{tool}, 1 thread, {CONNECTIONS} keep-alive connections, {options.rounds} x {options.seconds} s"
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, PostgreSQL {postgresql or 'left out'}"
    return f"{records}\n{servers}; {load}; medians of interleaved rounds, durable commits\n{machine}"


def interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a signal handler
    """Unwind, so that every server is stopped; a second Ctrl-C would only leave some of them running."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)
    raise SystemExit(128 + signum)


def parse(arguments: list[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="2,000 claims, one round of 1 s: does it run?")
    size.add_argument("--full", action="store_true", help="100,000 claims, 119,000 revisions, one record of 100,000")
    parser.add_argument("--rounds", type=int, help="3 unless told")
    parser.add_argument("--seconds", type=int, help="of each measurement: 2 unless told")
    parser.add_argument("--workers", type=int, default=1, help="of every server: 1 unless told")
    parser.add_argument(
        "--only", type=words(ALL_OPERATIONS), default=ALL_OPERATIONS, metavar="OP,OP", help=", ".join(ALL_OPERATIONS)
    )
    parser.add_argument("--contestants", type=words(NAMES), default=NAMES, metavar="NAME,NAME", help=", ".join(NAMES))
    parser.add_argument("--database", choices=(*DATABASES, "both"), default="both")
    parser.add_argument("--folder", help="for the databases while it runs: a temporary one unless told")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcome of every round there")
    chosen = parser.parse_args(arguments)
    return Options(
        corpus=QUICK if chosen.quick else FULL if chosen.full else USUAL,
        rounds=chosen.rounds or (1 if chosen.quick else 3),
        seconds=chosen.seconds or (1 if chosen.quick else 2),
        workers=chosen.workers,
        operations=frozenset(chosen.only),
        databases=DATABASES if chosen.database == "both" else (chosen.database,),
        contestants=tuple(chosen.contestants),
        folder=chosen.folder,
        json=chosen.json,
    )


def words(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Make a reader of known words set apart by commas."""

    def read(text: str) -> tuple[str, ...]:
        unknown = set(text.split(",")) - set(known)
        if unknown:
            message = f"unknown: {', '.join(sorted(unknown))}"
            raise argparse.ArgumentTypeError(message)
        return tuple(text.split(","))

    return read


if __name__ == "__main__":
    sys.exit(main())
