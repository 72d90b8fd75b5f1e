"""The ledger that a command works on: one that has begun, and where it may be written to."""

from collections.abc import Iterator
from contextlib import contextmanager

from api.ledger.keeping.place import check_begun
from api.ledger.keeping.standby import check_primary
from api.ledger.keeping.watch import Watch
from api.ledger.signing.checkpoints import Checkpoints
from api.ledger.storage.database import Database
from api.ledger.writing import genesis
from api.ledger.writing.ledger import Ledger
from api.settings import Settings, load


@contextmanager
def opened() -> Iterator[tuple[Settings, Database]]:
    """Give the database of a ledger that has begun. Where there is none, none is made."""
    settings = load()
    database = Database(settings)
    try:
        check_begun(database, settings)
        check_primary(database)
        database.migrate()
        genesis.open_ledger(database, key_path=settings.signing_key_path, origin=settings.log_origin, is_seeded=False)
        yield settings, database
    finally:
        database.close()


@contextmanager
def writing(database: Database, settings: Settings) -> Iterator[Ledger]:
    watch = Watch(database)
    checkpoints = Checkpoints(database, settings.signing_key_path, watch)
    ledger = Ledger(
        database,
        group_size=settings.group_size,
        guard=checkpoints.guard,
        hold=checkpoints.hold,
        committed=checkpoints.committed,
    )
    watch.start()
    checkpoints.start()
    ledger.start()
    try:
        yield ledger
    finally:
        ledger.stop()
        checkpoints.stop()
        watch.stop()
