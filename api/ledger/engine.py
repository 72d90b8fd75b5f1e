"""How a connection to each database is made: SQLite durable, in WAL mode, and leaving no trace of what is deleted."""

import sqlite3
import time

import sqlalchemy as sa
from sqlalchemy import event

from api.domain.errors import Unavailable
from api.settings import Settings

# The first with UPDATE FROM.
_OLDEST = (3, 33, 0)
# Statements that a connection keeps compiled.
_COMPILED = 500
_SWITCH_TRIES, _SWITCH_PAUSE = 100, 0.05
_PRAGMAS = (
    "PRAGMA busy_timeout = 30000",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA cache_size = -16000",
    "PRAGMA mmap_size = 0",
    # Every row has an index that leads to it: make none for a single statement.
    "PRAGMA automatic_index = OFF",
    # Backfill is there before this is reached, while events are appended.
    "PRAGMA wal_autocheckpoint = 4000",
)


def engine_for(settings: Settings) -> sa.Engine:
    """Make the engine, which connects anew whenever it is asked. Raises Unavailable."""
    if not settings.is_sqlite:
        return sa.create_engine(settings.sqlalchemy_url, poolclass=sa.NullPool)
    if sqlite3.sqlite_version_info < _OLDEST:
        raise Unavailable(f"this Python has SQLite {sqlite3.sqlite_version}; the ledger needs 3.33 or later")
    try:
        settings.sqlite_path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable("the folder of the database cannot be made") from error
    engine = sa.create_engine(
        settings.sqlalchemy_url,
        poolclass=sa.NullPool,
        connect_args={"check_same_thread": False, "timeout": 30, "cached_statements": _COMPILED},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    _use_write_ahead_log(connection)


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
