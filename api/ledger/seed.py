"""Files of operations, replayed through `append`: the seed of an empty ledger, and imports. One transaction a file."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from api.domain.command import Command
from api.domain.errors import LedgerError, Misconfigured
from api.domain.operation import read_batch
from api.ledger import keys
from api.ledger.database import Database, shipped
from api.ledger.genesis import clear_seeding
from api.ledger.ledger import Ledger, Note, Outcome, Unit

MOST_OPERATIONS = 5000
SEED_ACTOR = "seed"


def seed(database: Database, ledger: Ledger, folder: Path | None) -> Iterator[tuple[Path, Outcome]]:
    """Replay the seed's files in the order of their names, unless it is all in. Goes on where a killed start stopped."""
    access = database.access()
    row = access.row("SELECT is_seeded FROM head")
    if row is None or row[0]:
        return
    actor = keys.actor_named(access, SEED_ACTOR)
    for path in sorted((folder or shipped("seed")).glob("*.ndjson")):
        yield path, import_file(ledger, path, actor)
    clear_seeding(access)


def import_file(ledger: Ledger, path: Path, actor: str) -> Outcome:
    """Append one file as one batch. A file that is in already, byte for byte, is answered from its positions.

    Raises Misconfigured, naming the file and the operation.
    """
    raw = path.read_bytes()
    note = Note(
        key_digest=hashlib.sha256(b"file\0" + path.name.encode()).digest(),
        request_digest=hashlib.sha256(raw).digest(),
        life=None,
    )
    with _naming(path.name):
        commands = _read(path, raw)
        return ledger.append(Unit(commands=commands, actor=actor, note=note, is_batch=True)).result()


def try_files(ledger: Ledger, paths: Sequence[Path], actor: str) -> Outcome:
    """Say what importing the files in this order would write. Raises Misconfigured."""
    with _naming(", ".join(path.name for path in paths)):
        commands = [command for path in paths for command in _read(path, path.read_bytes())]
        return ledger.append(Unit(commands=commands, actor=actor, is_batch=True, is_dry_run=True)).result()


def _read(path: Path, raw: bytes) -> list[Command]:
    return read_batch(raw, is_lines=path.suffix == ".ndjson", most=MOST_OPERATIONS)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Say which file, operation and field was refused."""
    try:
        yield
    except LedgerError as refusal:
        where = f"operation {refusal.operation}, " if refusal.operation is not None else ""
        pointer = f"{refusal.pointer}: " if refusal.pointer else ""
        raise Misconfigured(name, f"{where}{pointer}{refusal.sentence()}") from refusal
