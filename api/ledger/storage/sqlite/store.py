"""SQLite's file: how it is made and opened. Durable, in WAL mode, leaving no trace of what is deleted; or reading alone."""

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import event

from api.domain.errors import Misconfigured, Unavailable
from api.ledger.storage.access import Access
from api.ledger.storage.reads import Reads
from api.ledger.storage.sqlite.access import SqliteAccess
from api.ledger.storage.store import Store, reaching
from api.settings import Settings

Result = TypeVar("Result")
# The first with UPDATE FROM.
_OLDEST = (3, 33, 0)
# Statements that a connection keeps compiled.
_COMPILED = 500
_SWITCH_TRIES, _SWITCH_PAUSE = 100, 0.05
_READING = (
    "PRAGMA busy_timeout = 30000",
    "PRAGMA cache_size = -4000",
    "PRAGMA mmap_size = 0",
    # Every row has an index that leads to it: make none for a single statement.
    "PRAGMA automatic_index = OFF",
)
_PRAGMAS = (
    *_READING,
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    # In pages. While events are appended `Aftercare` copies the log before it is so long.
    "PRAGMA wal_autocheckpoint = 4000",
)


class SqliteStore(Store):
    """One file. An event loop reads it by its own thread's connection: no read waits for anybody else."""

    def __init__(self, settings: Settings) -> None:
        """Make the engine, which connects anew whenever it is asked, and never makes a file. Raises Unavailable."""
        if sqlite3.sqlite_version_info < _OLDEST:
            raise Unavailable(f"this Python has SQLite {sqlite3.sqlite_version}; the ledger needs 3.33 or later")
        self._path = settings.sqlite_path
        self.engine = _reading_engine(self._path.absolute()) if settings.read_only else _writing_engine(self._path)

    def connect(self) -> SqliteAccess:
        with reaching():
            return SqliteAccess(self.engine)

    async def read_in_loop(self, view: Callable[[Reads], Result], own: Callable[[], Access]) -> Result:
        return own().in_brief(view)

    def make_ready(self) -> None:
        """See to it that there is a file that can become a ledger, made for its owner alone."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite gives the files that it makes beside this one the same mode.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise Unavailable(f"the file of the database cannot be opened or made ({error.strerror})") from error
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as connection:
            try:
                self._refuse_others(connection)
                _use_write_ahead_log(connection)
            except sqlite3.DatabaseError as error:
                raise Unavailable("the database cannot be opened") from error

    def _refuse_others(self, connection: sqlite3.Connection) -> None:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "alembic_version" not in tables:
            raise Misconfigured("LEDGER_DATABASE_URL", f"{self._path} is the database of another program")

    def hold_schema(self, connection: sa.Connection) -> None:
        """Do nothing more: transactions by the engine hold the one write lock."""

    def give_up(self) -> None:
        """Do nothing: nobody waits for a server."""

    def close(self) -> None:
        """Do nothing: whose thread a connection is, closes it."""


def in_memory() -> SqliteAccess:
    """Open a database of its own, which ends with the connection."""
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)
    event.listen(engine, "connect", _let_transactions_be_begun)
    return SqliteAccess(engine)


def _writing_engine(path: Path) -> sa.Engine:
    engine = _engine_of_file(path, "mode=rw")
    event.listen(engine, "connect", _prepare_writing)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _reading_engine(path: Path) -> sa.Engine:
    """Make an engine that opens a file and never writes to it (https://sqlite.org/wal.html#read_only_databases)."""
    # Files beside it belong to somebody who has it open, or was killed: what is in them is read too. Where there are none,
    # and none can be made because the folder is not written to, the file alone is all there is, and stays as it is.
    log, index = (path.with_name(f"{path.name}-{part}") for part in ("wal", "shm"))
    is_left = index.exists() or (log.exists() and log.stat().st_size > 0)
    is_alone = not is_left and not os.access(path.parent, os.W_OK)
    engine = _engine_of_file(path, "mode=ro&immutable=1" if is_alone else "mode=ro")
    event.listen(engine, "connect", _prepare_reading)
    return engine


def _engine_of_file(path: Path, mode: str) -> sa.Engine:
    address = f"{path.absolute().as_uri()}?{mode}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True, check_same_thread=False, timeout=30, cached_statements=_COMPILED)

    return sa.create_engine("sqlite://", poolclass=sa.NullPool, creator=connect)


def _prepare_writing(connection: sqlite3.Connection, _record: object) -> None:
    _prepare(connection, _PRAGMAS)


def _prepare_reading(connection: sqlite3.Connection, _record: object) -> None:
    _prepare(connection, _READING)


def _let_transactions_be_begun(connection: sqlite3.Connection, _record: object) -> None:
    _prepare(connection, ())


def _prepare(connection: sqlite3.Connection, pragmas: tuple[str, ...]) -> None:
    # Transactions are begun by statements of ours, and not by the driver before some of them.
    connection.isolation_level = None
    for pragma in pragmas:
        connection.execute(pragma)


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch to WAL. Two nodes that make the switch at once do not wait for each other as statements do: try again."""
    for _ in range(_SWITCH_TRIES - 1):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            time.sleep(_SWITCH_PAUSE)
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")
