"""What a driver's error means, said in one place: an outage, damage, or a mistake of our own.

What is said of an error is its code, the statement's name and the place that asked: never a value, for a driver's message
may hold what a client wrote.
"""

import logging
import re
import sqlite3
import traceback
from pathlib import Path

import psycopg

from api.domain.errors import AskedWrongly, LedgerError, LogDamaged, Unavailable

DRIVER_ERRORS = (sqlite3.Error, psycopg.Error)
_log = logging.getLogger("ledger")
_CORRUPT_PG = ("XX001", "XX002")
_CORRUPT_SQLITE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# What Python says, without a code, where stored text is not UTF-8.
_NO_TEXT = "Could not decode to UTF-8"
# SQLSTATEs by which a server ends a connection, or does not let it come about (class 08 apart).
_ENDED = ("57P01", "57P02", "57P03", "57P05")
_SILENT = "the database did not answer in time"
# A server that takes no writes, which for PostgreSQL is no operational error.
_TAKES_NO_WRITES = "25006"
_OUTAGES_OF_SQLITE = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
)
_NAMED = re.compile(r"\s*(\w+)(?:.*?\b(FROM|INTO|UPDATE|TABLE)\s+(\w+))?", re.DOTALL)
# Modules that run statements for others: a log line names the place that asked, and not one of these.
_API = Path(__file__).parents[2]
_CARRIERS = ("access.py", "aside.py", "database.py", "reads.py", "store.py", "pipeline.py", "server.py", "faults.py")


class Late(psycopg.OperationalError):
    """The server did not answer in time, or is not waited for any longer; the connection is given up."""


class Unconfirmed(psycopg.OperationalError):
    """A commit took place on the server, and its wait for a standby was cancelled: whether it lasts is not known."""


def name_statement(error: BaseException, sql: str) -> None:
    """Leave with an error by which statement it came about: its verb and its first table."""
    found = _NAMED.match(sql)
    if found is not None:
        error.add_note(" ".join(word for word in found.groups() if word))


def translated(error: BaseException) -> LedgerError:
    """Give what a driver's error means to whoever asked. A mistake in a statement is logged here, for it is ours."""
    if is_damaged(error):
        return LogDamaged("what is stored can no longer be read")
    if isinstance(error, Unconfirmed):
        return Unavailable("no standby is known to have what was written; whether it lasts is not known")
    if isinstance(error, Late | psycopg.errors.QueryCanceled):
        return Unavailable(_SILENT)
    if is_outage(error):
        return Unavailable("the database does not answer")
    _log.error("the database was asked wrongly: %s", described(error))
    return AskedWrongly()


def described(error: BaseException) -> str:
    """Say of an error, or of the driver's behind it, what may be logged: code, statement and place."""
    found = behind(error) or error
    return ", ".join(part for part in (_code(found), *_notes(found), _place(found)) if part)


def behind(error: BaseException) -> BaseException | None:
    """Find the driver's error that led to one, if there is any."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, DRIVER_ERRORS):
        found = found.__cause__
    return found


def is_damaged(error: BaseException) -> bool:
    """Say whether an error tells that what is stored is broken, and not that it cannot be reached."""
    found = behind(error)
    if isinstance(found, psycopg.Error):
        return found.sqlstate in _CORRUPT_PG
    if isinstance(found, sqlite3.OperationalError) and str(found).startswith(_NO_TEXT):
        return True
    return found is not None and _sqlite_code(found) in _CORRUPT_SQLITE


def is_lost(error: BaseException) -> bool:
    """Say whether a connection was lost, and another may do better. One that was waited for in vain is not tried again."""
    if isinstance(error, Late | Unconfirmed) or not isinstance(
        error, psycopg.OperationalError | psycopg.InterfaceError
    ):
        return False
    return error.sqlstate is None or error.sqlstate.startswith("08") or error.sqlstate in _ENDED


def is_outage(error: BaseException) -> bool:
    """Say whether the database cannot be reached, or cannot do now what it does at other times."""
    if isinstance(error, psycopg.Error):
        return (
            isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) or error.sqlstate == _TAKES_NO_WRITES
        )
    return _sqlite_code(error) in _OUTAGES_OF_SQLITE


def is_locked_out(error: BaseException) -> bool:
    """Say whether others would wait as long in vain: for the head, which somebody else holds, or for the server itself."""
    if isinstance(error, Late | Unconfirmed | psycopg.errors.LockNotAvailable):
        return True
    return _sqlite_code(error) == sqlite3.SQLITE_BUSY


def took_its_time(error: BaseException) -> bool:
    """Say whether a server had all the time that it is given, and whoever asked has waited long enough."""
    return isinstance(error, Late | psycopg.errors.LockNotAvailable)


def _sqlite_code(error: BaseException) -> int:
    """Give SQLite's primary code (https://sqlite.org/rescode.html); 0 for an error of the driver's own, which has none."""
    try:
        return error.sqlite_errorcode & 0xFF if isinstance(error, sqlite3.Error) else 0
    except AttributeError:
        return 0


def _code(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, psycopg.Error):
        return f"SQLSTATE {error.sqlstate} {name}" if error.sqlstate else name
    return error.sqlite_errorname if isinstance(error, sqlite3.Error) and _sqlite_code(error) else name


def _notes(error: BaseException) -> list[str]:
    """Give what was noted of an error; one of which nothing was has no list."""
    return error.__notes__ if hasattr(error, "__notes__") else []


def _place(error: BaseException) -> str:
    """Name the innermost line of ours that asked, and not merely carried the question."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(_API)]
    asking = [frame for frame in frames if Path(frame.filename).name not in _CARRIERS] or frames
    if not asking:
        return ""
    last = asking[-1]
    return f"{Path(last.filename).relative_to(_API.parent)}:{last.lineno} {last.name}"
