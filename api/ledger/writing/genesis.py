"""How a ledger begins, and how its key is changed: genesis, rotation."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from api.domain.computed import RULES
from api.domain.errors import Misconfigured
from api.domain.log.merkle import Frontier
from api.domain.records.command import Command
from api.domain.records.decide import Decision
from api.domain.records.record import ASSERTED, LEDGER, State
from api.ledger.projecting.projection import PROJECTED
from api.ledger.projecting.rebuild import is_outdated, rebuild
from api.ledger.reading.soundness import ledger_state
from api.ledger.storage.access import Access
from api.ledger.storage.clock import now
from api.ledger.storage.database import Database
from api.ledger.writing.change import Slot, change, salts
from api.ledger.writing.keyfiles import is_key_of, make_key, provisional_path, read_key, settle_key, settle_rotation
from api.ledger.writing.writer import Writer

_INSERT_HEAD = (
    "INSERT INTO head (one, position, recorded_at, frontier, is_seeded, rules, projected) VALUES (1, ?, ?, ?, ?, ?, ?)"
)


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
        if is_outdated(access):
            rebuild(access, only_outdated=True)
        state = ledger_state(access)
        settle_key(key_path, state)
        settle_rotation(key_path, state)
        _check(state, key_path, origin)
        return state
    finally:
        access.close()


def open_copy(database: Database) -> State:
    """Check that this version can serve the ledger as it is, which is not changed. Raises Misconfigured."""
    database.check_schema()
    with closing(database.connect()) as access:
        if is_outdated(access):
            rule = "what it shows was derived by another version of this program; start it once without --read-only"
            raise Misconfigured("LEDGER_DATABASE_URL", rule)
        return ledger_state(access)


def _begin(access: Access, key_path: Path, origin: str | None, is_seeded: bool, clock: Callable[[], int]) -> None:
    """Write position 1. The key is made before it, so that no log ever exists that nobody can sign.

    A key made here keeps a provisional name until the event is durable: a start that is killed between the two leaves
    nothing that the next one would have to take for the key of a log that was lost.
    """
    record = str(uuid4())
    name = origin or f"{record}.ledger.invalid"
    key = read_key(key_path) if key_path.exists() else make_key(provisional_path(key_path), name)
    if key.name != name:
        raise Misconfigured("LEDGER_LOG_ORIGIN", "the signing key that is there belongs to a log of another name")
    access.run(_INSERT_HEAD, (0, 0, Frontier().to_bytes(), is_seeded, RULES, PROJECTED))
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


def rotate_key(access: Access, key_path: Path, clock: Callable[[], int] = now) -> int:
    """Name the next signing key in the log, in force from the position after. The file changes hands in `settle_key`.

    Returns the position of the event, the last one that the old key signs. The new key is made before it, and a
    rotation that was killed half way is taken up where it was left.
    """
    state, provisional = ledger_state(access), provisional_path(key_path)
    key = read_key(provisional) if provisional.exists() else make_key(provisional, state["log_origin"])
    if is_key_of(state, key):
        return int(state["keys"][-1]["from"]) - 1

    def named(known: State, position: int) -> State:
        return {**known, "keys": [*known["keys"], {"vkey": key.vkey, "from": position + 1}]}

    return Writer(access, clock).amend_ledger(named, "the signing key is rotated")


def _check(state: State, key_path: Path, origin: str | None) -> None:
    if origin is not None and origin != state["log_origin"]:
        raise Misconfigured("LEDGER_LOG_ORIGIN", "another name than the one recorded at the ledger's first event")
    if not key_path.exists():
        raise Misconfigured("LEDGER_SIGNING_KEY", f"no file at {key_path}; this ledger's key is needed")
    if not is_key_of(state, read_key(key_path)):
        raise Misconfigured("LEDGER_SIGNING_KEY", f"the key in {key_path} is not this ledger's")


def clear_seeding(access: Access) -> None:
    """Note that the seed is in, so that no later start looks again."""
    with access.transaction():
        access.run("UPDATE head SET is_seeded = ? WHERE one = 1", (True,))
