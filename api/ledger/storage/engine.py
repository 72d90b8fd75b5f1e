"""How connections to each database are made: SQLite durable, in WAL mode, leaving no trace of what is deleted; or reading alone."""

import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg
import sqlalchemy as sa
from sqlalchemy import event

from api.domain.errors import Misconfigured, Unavailable
from api.ledger.storage.server import connect
from api.settings import Settings

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
    # Aftercare is there before this is reached, while events are appended.
    "PRAGMA wal_autocheckpoint = 4000",
)


def engine_for(settings: Settings, gives_up: threading.Event) -> sa.Engine:
    """Make the engine, which connects anew whenever it is asked, and never makes a file. Raises Unavailable or Misconfigured.

    Once `gives_up` is set, nobody waits for a server any longer.
    """
    if not settings.is_sqlite:
        engine = _engine_of_server(settings, gives_up)
        if settings.read_only:
            event.listen(engine, "connect", _write_nothing)
        return engine
    if sqlite3.sqlite_version_info < _OLDEST:
        raise Unavailable(f"this Python has SQLite {sqlite3.sqlite_version}; the ledger needs 3.33 or later")
    if settings.read_only:
        return _reading_file(settings)
    engine = _engine_of_file(settings.sqlite_path, "mode=rw")
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def make_file(path: Path) -> None:
    """See to it that there is a file that can become a ledger, made for its owner alone. Raises Misconfigured or Unavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite gives the files that it makes beside this one the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise Unavailable(f"the file of the database cannot be opened or made ({error.strerror})") from error
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if tables and "alembic_version" not in tables:
                raise Misconfigured("LEDGER_DATABASE_URL", f"{path} is the database of another program")
            _use_write_ahead_log(connection)
        except sqlite3.DatabaseError as error:
            raise Unavailable("the database cannot be opened") from error


def _engine_of_server(settings: Settings, gives_up: threading.Event) -> sa.Engine:
    try:
        # Nothing is given back to be used again.
        engine = sa.create_engine(settings.sqlalchemy_url, poolclass=sa.NullPool, pool_reset_on_return=None)
    except (sa.exc.ArgumentError, ValueError) as error:
        # What could not be read may hold a part of the password: it is not repeated.
        rule = "cannot be read as a URL; in a user's name or a password, write @ : / as %40 %3A %2F"
        raise Misconfigured("LEDGER_DATABASE_URL", rule) from error
    event.listen(engine, "do_connect", lambda _, _record, _places, given: connect(given, settings, gives_up))
    return engine


def _engine_of_file(path: Path, mode: str) -> sa.Engine:
    address = f"{path.absolute().as_uri()}?{mode}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True, check_same_thread=False, timeout=30, cached_statements=_COMPILED)

    return sa.create_engine("sqlite://", poolclass=sa.NullPool, creator=connect)


def _write_nothing(connection: psycopg.Connection[object], _record: object) -> None:
    connection.autocommit = True
    connection.execute("SET default_transaction_read_only = on")
    connection.autocommit = False


def _reading_file(settings: Settings) -> sa.Engine:
    """Make an engine that opens a file and never writes to it (https://sqlite.org/wal.html#read_only_databases)."""
    path = settings.sqlite_path.absolute()
    # Files beside it belong to somebody who has it open, or was killed: what is in them is read too. Where there are none,
    # and none can be made because the folder is not written to, the file alone is all there is, and stays as it is.
    log, index = (path.with_name(f"{path.name}-{part}") for part in ("wal", "shm"))
    is_left = index.exists() or (log.exists() and log.stat().st_size > 0)
    is_alone = not is_left and not os.access(path.parent, os.W_OK)
    engine = _engine_of_file(path, "mode=ro&immutable=1" if is_alone else "mode=ro")
    event.listen(engine, "connect", _prepare_reading)
    return engine


def _prepare_reading(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    for pragma in _READING:
        connection.execute(pragma)


def engine_in_memory() -> sa.Engine:
    """Make an engine each of whose connections is to a database of its own, which ends with it."""
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)
    event.listen(engine, "connect", _let_transactions_be_begun)
    return engine


def _let_transactions_be_begun(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    for pragma in _PRAGMAS:
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
