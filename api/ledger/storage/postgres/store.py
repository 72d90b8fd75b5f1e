"""A PostgreSQL server: how connections to it are made, and what event loops read by."""

import threading
from collections.abc import Callable
from typing import TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.rows import TupleRow
from sqlalchemy import event

from api.domain.errors import Misconfigured
from api.ledger.storage.access import Access
from api.ledger.storage.postgres.access import PostgresAccess
from api.ledger.storage.postgres.pipeline import Pipelines
from api.ledger.storage.postgres.server import Server, connect
from api.ledger.storage.reads import Reads
from api.ledger.storage.store import Store, reaching, set_up
from api.settings import Settings

Result = TypeVar("Result")
# The advisory lock of whoever brings the schema up to date.
_MIGRATION_LOCK = 0x1ED6E7


class PostgresStore(Store):
    """One server. Event loops read it through a pipeline each: to wake a thread costs more than most reads."""

    def __init__(self, settings: Settings) -> None:
        """Make the engine, which connects anew whenever it is asked. Raises Misconfigured."""
        self._read_timeout = settings.read_timeout
        self._gives_up = threading.Event()
        self.engine = _engine(settings, self._gives_up)
        self._pipelines = Pipelines(self._connect_for_loop, settings.read_timeout)

    def connect(self) -> PostgresAccess:
        with reaching():
            return PostgresAccess(self.engine)

    def _connect_for_loop(self) -> Server:
        return set_up(self.connect(), lambda access: access.limit_reads(self._read_timeout)).detach()

    async def read_in_loop(self, view: Callable[[Reads], Result], _own: Callable[[], Access]) -> Result:
        return await self._pipelines.read(view)

    def make_ready(self) -> None:
        """Do nothing: whoever has a server makes its databases."""

    def hold_schema(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))

    def give_up(self) -> None:
        self._gives_up.set()
        self._pipelines.give_up()

    def close(self) -> None:
        self._pipelines.close()


def _engine(settings: Settings, gives_up: threading.Event) -> sa.Engine:
    try:
        # No pool: who closes a connection closes it for good.
        engine = sa.create_engine(settings.sqlalchemy_url, poolclass=sa.NullPool, pool_reset_on_return=None)
    except (sa.exc.ArgumentError, ValueError) as error:
        # What could not be read may hold a part of the password: it is not repeated.
        rule = "cannot be read as a URL; in a user's name or a password, write @ : / as %40 %3A %2F"
        raise Misconfigured("LEDGER_DATABASE_URL", rule) from error
    event.listen(engine, "do_connect", lambda _, _record, _places, given: connect(given, settings, gives_up))
    if settings.read_only:
        event.listen(engine, "connect", _write_nothing)
    return engine


def _write_nothing(connection: psycopg.Connection[TupleRow], _record: object) -> None:
    connection.autocommit = True
    connection.execute("SET default_transaction_read_only = on")
    connection.autocommit = False
