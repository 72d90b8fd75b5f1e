"""Files of operations, replayed through `append`: the seed of an empty ledger, and imports. One transaction a file."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from api.domain.errors import LedgerError, Misconfigured, Unavailable
from api.domain.records.command import Command
from api.domain.records.operation import MOST_OPERATIONS, read_batch
from api.ledger.storage.database import Database, shipped
from api.ledger.writing import keys
from api.ledger.writing.genesis import clear_seeding
from api.ledger.writing.ledger import Ledger
from api.ledger.writing.unit import Note, Outcome, Unit

SEED_ACTOR = "seed"


def seed(database: Database, ledger: Ledger, folder: Path | None) -> Iterator[tuple[Path, Outcome]]:
    """Replay the seed's files in the order of their names, unless it is all in. Goes on where a killed start stopped."""
    row = database.access().row("SELECT is_seeded FROM head")
    if row is None or row[0]:
        return
    with closing(database.connect_to_write()) as access:
        actor = keys.actor_named(access, SEED_ACTOR)
        for path in sorted((folder or shipped("seed")).glob("*.ndjson")):
            yield path, import_file(ledger, path, actor)
        clear_seeding(access)
        access.upkeep.take_stock()


def import_file(ledger: Ledger, path: Path, actor: str) -> Outcome:
    """Append one file as one batch. A file that is in already, byte for byte, is answered from its positions.

    Raises Misconfigured, naming the file and the operation.
    """
    raw = path.read_bytes()
    note = Note(
        key_digest=hashlib.sha256(b"file\0" + path.name.encode()).digest(),
        request_digest=hashlib.sha256(raw).digest(),
        life=None,
        file=path.name,
    )
    with _naming([path]):
        commands = _read(path, raw)
        return ledger.append(Unit(commands=commands, actor=actor, note=note, is_batch=True)).result()


def try_files(ledger: Ledger, paths: Sequence[Path], actor: str) -> Outcome:
    """Say what importing the files in this order would write. Raises Misconfigured."""
    with _naming(paths):
        commands = [command for path in paths for command in _read(path, path.read_bytes())]
        return ledger.append(Unit(commands=commands, actor=actor, is_batch=True, is_dry_run=True)).result()


def places(path: Path) -> list[str]:
    """Name the operations of a file in their order: `file:line`, lines counted from 1; `file/index` in an array."""
    if path.suffix != ".ndjson":
        return [f"{path.name}/{index}" for index in range(MOST_OPERATIONS)]
    lines = path.read_bytes().split(b"\n")
    return [f"{path.name}:{number}" for number, line in enumerate(lines, 1) if line.strip()]


def _read(path: Path, raw: bytes) -> list[Command]:
    return read_batch(raw, is_lines=path.suffix == ".ndjson", most=MOST_OPERATIONS)


@contextmanager
def _naming(paths: Sequence[Path]) -> Iterator[None]:
    """Say which file, operation and field was refused."""
    try:
        yield
    except Unavailable:
        # No file is to blame.
        raise
    except LedgerError as refusal:
        name = ", ".join(path.name for path in paths)
        if refusal.operation is not None:
            name = [place for path in paths for place in places(path)][refusal.operation]
        pointer = f"{refusal.pointer}: " if refusal.pointer else ""
        raise Misconfigured(name, f"{pointer}{refusal.sentence()}") from refusal
