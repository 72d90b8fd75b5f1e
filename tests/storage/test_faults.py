"""What a driver's error means to whoever asked: an outage, damage, or a fault of ours. What is logged of it holds no value."""

import logging
import re
import sqlite3
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from api.domain.errors import AskedWrongly, LogDamaged, Unavailable
from api.ledger.reading import standpoint
from api.ledger.storage import faults
from api.ledger.storage.database import Database
from api.ledger.storage.faults import Late, Unconfirmed
from api.ledger.storage.reads import Reads
from tests.support.builders import an_entity
from tests.support.served import administer, refused, serve

SECRET = "s3cret-value"


def mistaken(access: Reads, *_given: object, **_named: object) -> Any:
    """Ask for a column that is not there, with a value that must not be told."""
    return access.rows("SELECT nowhere FROM head WHERE one <> 2 AND ? <> ''", (SECRET,))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("path", ["/v1/entities/one", "/v1/entities?q=s3cret-value"])
def test_a_mistake_in_a_statement_is_a_fault_of_ours_and_the_log_says_where(settings, caplog, path):
    with serve(settings) as served:
        served.append(an_entity("one"))
        # Every statement that asks for it is mistaken from here on.
        served.database.access().run("ALTER TABLE revision RENAME COLUMN document TO elsewhere")
        response = served.get(path)
    refused(response, 500, "internal-server-error")
    assert "retry-after" not in response.headers
    (said,) = told(caplog)
    assert ("SQLITE_ERROR" if settings.is_sqlite else "SQLSTATE 42703 UndefinedColumn") in said
    assert "SELECT FROM" in said
    assert re.search(r"api/ledger/\w+/\w+\.py:\d+ \w+", said)
    assert SECRET not in caplog.text + response.text


def test_a_mistake_is_not_asked_twice_and_the_connection_stays(database):
    asked = 0

    def view(access: Reads) -> Any:
        nonlocal asked
        asked += 1
        return mistaken(access)

    access = database.access()
    with pytest.raises(AskedWrongly) as fault:
        database.call(view)
    assert isinstance(fault.value.__cause__, sqlite3.Error | psycopg.Error)
    assert asked == 1
    assert database.access() is access
    assert database.call(standpoint.locate).position == 1


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_a_read_is_tried_again_where_the_connection_was_lost_and_only_once(database, settings, postgres):
    asked = 0

    def view(access: Reads, times: int) -> Any:
        nonlocal asked
        asked += 1
        if asked <= times:
            name = make_url(settings.database_url).database
            administer(postgres, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        return access.rows("SELECT position FROM head")

    assert database.call(view, 1) == [(1,)]
    assert asked == 2
    asked = 0
    with pytest.raises(Unavailable):
        database.call(view, 2)
    assert asked == 2


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_what_is_not_answered_in_time_is_given_up_and_not_asked_again(settings):
    impatient = Database(settings.model_copy(update={"read_timeout": 0.3}))
    asked = 0

    def view(access: Reads) -> Any:
        nonlocal asked
        asked += 1
        return access.rows("SELECT pg_sleep(30)")

    with pytest.raises(Unavailable, match="in time"):
        impatient.call(view)
    assert asked == 1
    assert impatient.call(lambda access: access.rows("SELECT 1")) == [(1,)]
    impatient.close()


def with_sqlstate(kind: type[psycopg.Error], sqlstate: str) -> psycopg.Error:
    error = kind(SECRET)
    error.sqlstate = sqlstate
    return error


def of_sqlite(kind: type[sqlite3.Error], name: str) -> sqlite3.Error:
    error = kind(SECRET)
    error.sqlite_errorname, error.sqlite_errorcode = name, getattr(sqlite3, name)
    return error


@pytest.mark.parametrize(
    ("error", "meaning", "is_lost"),
    [
        (psycopg.OperationalError("the connection is closed"), Unavailable, True),
        (with_sqlstate(psycopg.errors.AdminShutdown, "57P01"), Unavailable, True),
        (with_sqlstate(psycopg.errors.ConnectionException, "08000"), Unavailable, True),
        (with_sqlstate(psycopg.errors.QueryCanceled, "57014"), Unavailable, False),
        (with_sqlstate(psycopg.errors.DiskFull, "53100"), Unavailable, False),
        (with_sqlstate(psycopg.errors.ReadOnlySqlTransaction, "25006"), Unavailable, False),
        (Late("later"), Unavailable, False),
        (Unconfirmed("perhaps"), Unavailable, False),
        (with_sqlstate(psycopg.errors.DataCorrupted, "XX001"), LogDamaged, False),
        (with_sqlstate(psycopg.errors.UndefinedTable, "42P01"), AskedWrongly, False),
        (with_sqlstate(psycopg.errors.InsufficientPrivilege, "42501"), AskedWrongly, False),
        (with_sqlstate(psycopg.errors.CheckViolation, "23514"), AskedWrongly, False),
        (of_sqlite(sqlite3.OperationalError, "SQLITE_BUSY"), Unavailable, False),
        (of_sqlite(sqlite3.OperationalError, "SQLITE_FULL"), Unavailable, False),
        (of_sqlite(sqlite3.OperationalError, "SQLITE_IOERR"), Unavailable, False),
        (of_sqlite(sqlite3.OperationalError, "SQLITE_ERROR"), AskedWrongly, False),
        (of_sqlite(sqlite3.IntegrityError, "SQLITE_CONSTRAINT"), AskedWrongly, False),
        (of_sqlite(sqlite3.DatabaseError, "SQLITE_CORRUPT"), LogDamaged, False),
        (sqlite3.OperationalError("Could not decode to UTF-8 column 'name'"), LogDamaged, False),
    ],
    ids=lambda each: getattr(each, "sqlite_errorname", None) or type(each).__name__,
)
def test_each_error_has_one_meaning(error, meaning, is_lost):
    assert type(faults.translated(error)) is meaning
    assert faults.is_lost(error) is is_lost
    assert SECRET not in faults.described(error)
