"""How a ledger begins, and how its key is changed: genesis, rotation."""

import glob
import os
import secrets
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

import msgspec

from api.domain.computed import RULES
from api.domain.errors import Misconfigured
from api.domain.log.checkpoint import SigningKey
from api.domain.log.merkle import Frontier
from api.domain.records.command import Command
from api.domain.records.decide import Decision
from api.domain.records.record import ASSERTED, LEDGER, State
from api.ledger.projecting.rebuild import rebuild
from api.ledger.reading import soundness
from api.ledger.storage.access import Access
from api.ledger.storage.clock import now
from api.ledger.storage.database import Database
from api.ledger.storage.reads import Reads
from api.ledger.writing.change import Slot, change, salts
from api.ledger.writing.writer import Writer

_OWN = (
    "SELECT e.position, e.entry, e.leaf_hash, p.salt, p.payload FROM record r JOIN event e ON e.position = r.position"
    " LEFT JOIN payload p ON p.position = r.position WHERE r.kind = ? AND r.id = ?"
)
__all__ = [
    "clear_seeding",
    "keys_beside",
    "ledger_state",
    "open_copy",
    "open_ledger",
    "rebuild",
    "rotate_key",
    "settle_rotation",
]


def open_ledger(
    database: Database, *, key_path: Path, origin: str | None, is_seeded: bool, clock: Callable[[], int] = now
) -> State:
    """Begin the ledger if the database holds none, else check that the key and the name are its own.

    Returns the state of the ledger's own record. Raises Misconfigured, or Unavailable where a crash may lose what is written.
    """
    access = database.connect()
    try:
        with access.transaction():
            access.keep_others_out()
            if access.row("SELECT position FROM head") is None:
                access.check_durable()
                _begin(access, key_path, origin, is_seeded, clock)
        if access.row("SELECT rules FROM head WHERE rules <> ?", (RULES,)):
            rebuild(access)
        state = ledger_state(access)
        _settle_key(key_path, state)
        settle_rotation(key_path, state)
        _check(state, key_path, origin)
        return state
    finally:
        access.close()


def open_copy(database: Database) -> State:
    """Check that this version can serve the ledger as it is, which is not changed. Raises Misconfigured."""
    database.check_schema()
    with closing(database.connect()) as access:
        if access.row("SELECT rules FROM head WHERE rules <> ?", (RULES,)):
            rule = f"what it shows was computed under other rules than {RULES}; start it once without --read-only"
            raise Misconfigured("LEDGER_DATABASE_URL", rule)
        return ledger_state(access)


def ledger_state(access: Reads) -> State:
    """Give the latest state of the ledger's own record: its name and its keys. Raises LogDamaged, for it is never redacted."""
    row = access.row(_OWN, (LEDGER, LEDGER))
    if row is None:
        raise Misconfigured("LEDGER_DATABASE_URL", "the database holds no ledger")
    position, entry, leaf, salt, payload = row
    soundness.check_payload(soundness.checked_entry(position, entry, leaf), salt, payload)
    state: State = msgspec.json.decode(payload)["state"]
    return state


def _begin(access: Access, key_path: Path, origin: str | None, is_seeded: bool, clock: Callable[[], int]) -> None:
    """Write position 1. The key is made before it, so that no log ever exists that nobody can sign.

    A key made here keeps a provisional name until the event is durable: a start that is killed between the two leaves
    nothing that the next one would have to take for the key of a log that was lost.
    """
    record = str(uuid4())
    name = origin or f"{record}.ledger.invalid"
    key = _read_key(key_path) if key_path.exists() else _make_key(_provisional(key_path), name)
    if key.name != name:
        raise Misconfigured("LEDGER_LOG_ORIGIN", "the signing key that is there belongs to a log of another name")
    row = (0, 0, Frontier().to_bytes(), is_seeded, RULES)
    access.run(
        "INSERT INTO head (one, position, recorded_at, frontier, is_seeded, rules) VALUES (1, ?, ?, ?, ?, ?)", row
    )
    state: State = {
        "id": LEDGER,
        "status": ASSERTED,
        "links": [],
        "log_origin": name,
        "keys": [{"vkey": key.vkey, "from": 1}],
        "formats": {"entry": 1, "payload": 1},
    }
    opened = change(
        None,
        Command(kind=LEDGER, id=LEDGER),
        Decision("opened", state),
        Slot(1, clock(), next(salts(1))),
        actor=None,
        batch=None,
        record=record,
    )
    Writer(access, clock).write_now(opened)


def keys_beside(key_path: Path) -> list[SigningKey]:
    """Read the log's key, while a rotation is under way the next one, and those that were in force before."""
    former = key_path.parent.glob(f"{glob.escape(key_path.name)}.{'[0-9a-f]' * 8}")
    return [_read_key(path) for path in (key_path, _provisional(key_path), *former) if path.exists()]


def _provisional(key_path: Path) -> Path:
    return key_path.with_name(key_path.name + ".new")


def _settle_key(key_path: Path, state: State) -> None:
    """Give the key that was made for this ledger its lasting name, whoever made it and was killed since."""
    provisional = _provisional(key_path)
    # Another node on this machine may do the same at this moment.
    with suppress(FileNotFoundError, ValueError):
        if not key_path.exists() and _is_key_of(
            state, SigningKey.decode(provisional.read_text(encoding="utf-8").strip())
        ):
            provisional.replace(key_path)


def rotate_key(access: Access, key_path: Path, clock: Callable[[], int] = now) -> int:
    """Name the next signing key in the log, in force from the position after. The file changes hands in `settle_key`.

    Returns the position of the event, the last one that the old key signs. The new key is made before it, and a
    rotation that was killed half way is taken up where it was left.
    """
    state, provisional = ledger_state(access), _provisional(key_path)
    key = _read_key(provisional) if provisional.exists() else _make_key(provisional, state["log_origin"])
    if _is_key_of(state, key):
        return int(state["keys"][-1]["from"]) - 1

    def named(known: State, position: int) -> State:
        return {**known, "keys": [*known["keys"], {"vkey": key.vkey, "from": position + 1}]}

    return Writer(access, clock).amend_ledger(named, "the signing key is rotated")


def settle_rotation(key_path: Path, state: State) -> None:
    """Give the newest key its lasting name once the log names it; the one before stays beside it, under its key id."""
    provisional = _provisional(key_path)
    if not (key_path.exists() and provisional.exists()) or _read_key(provisional).vkey != state["keys"][-1]["vkey"]:
        return
    former = _read_key(key_path)
    with suppress(FileExistsError):
        os.link(key_path, key_path.with_name(f"{key_path.name}.{former.vkey.split('+')[1]}"))
    provisional.replace(key_path)


def _is_key_of(state: State, key: SigningKey) -> bool:
    return key.vkey in {each["vkey"] for each in state["keys"]}


def _check(state: State, key_path: Path, origin: str | None) -> None:
    if origin is not None and origin != state["log_origin"]:
        raise Misconfigured("LEDGER_LOG_ORIGIN", "another name than the one recorded at the ledger's first event")
    if not key_path.exists():
        raise Misconfigured("LEDGER_SIGNING_KEY", f"no file at {key_path}; this ledger's key is needed")
    if not _is_key_of(state, _read_key(key_path)):
        raise Misconfigured("LEDGER_SIGNING_KEY", f"the key in {key_path} is not this ledger's")


def _read_key(path: Path) -> SigningKey:
    try:
        return SigningKey.decode(path.read_text(encoding="utf-8").strip())
    except (OSError, ValueError) as error:
        raise Misconfigured("LEDGER_SIGNING_KEY", f"{path} holds no signing key") from error


def _make_key(path: Path, name: str) -> SigningKey:
    """Make the log's key, in a file that only its owner reads."""
    key = SigningKey(name, secrets.token_bytes(32))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(key.encode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return key


def clear_seeding(access: Access) -> None:
    """Note that the seed is in, so that no later start looks again."""
    with access.transaction():
        access.run("UPDATE head SET is_seeded = ? WHERE one = 1", (True,))
