"""The database of one process: connections for threads and event loops, the threads that read, and the schema.

Statements go straight to the driver: the layers between cost more than the queries. Storage has one colour, synchronous: a
view is a plain function, wherever it runs. Which database it is, is asked here once.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import TypeVar

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from api.domain.errors import Misconfigured, Unavailable
from api.ledger.storage.access import Access
from api.ledger.storage.faults import DRIVER_ERRORS, is_lost, translated
from api.ledger.storage.postgres.store import PostgresStore
from api.ledger.storage.reads import Reads, TakesLong
from api.ledger.storage.sqlite.store import SqliteStore
from api.ledger.storage.store import Store, set_up
from api.ledger.storage.threads import Threads
from api.settings import Settings

Result = TypeVar("Result")
# Python runs one thread at a time: two that compute get nothing done sooner, and the event loop would wait for both.
_COMPUTING_AT_ONCE = 1


class _OfThread(threading.local):
    """What each thread has for itself: a connection for reading, once it has read."""

    access: Access | None = None


class Database:
    """A connection for each thread and each event loop that reads. Any thread may use it."""

    def __init__(self, settings: Settings) -> None:
        """Connect to nothing yet. Raises Misconfigured or Unavailable."""
        self._settings = settings
        self._store: Store = SqliteStore(settings) if settings.is_sqlite else PostgresStore(settings)
        self._own = _OfThread()
        self._threads = Threads(settings.reader_threads, thread_name_prefix="reader")
        self._computing = Threads(_COMPUTING_AT_ONCE, thread_name_prefix="computing")
        self._at_length = Threads(1, thread_name_prefix="at length")

    @property
    def engine(self) -> sa.Engine:
        """SQLAlchemy's engine, for migrations."""
        return self._store.engine

    def access(self) -> Access:
        """Give this thread's connection for reading; statements on it see what is committed."""
        if self._own.access is None:
            self._own.access = self.connect_to_read()
        return self._own.access

    def connect(self) -> Access:
        """Open a connection of one's own, for what may take long. Raises Unavailable."""
        return self._store.connect()

    def connect_to_read(self) -> Access:
        """Open a connection that gives up a server which takes too long to answer a read. Raises Unavailable."""
        return set_up(self.connect(), lambda access: access.limit_reads(self._settings.read_timeout))

    def connect_to_write(self) -> Access:
        """Open a connection on which what is committed lasts, and that gives up a server which takes too long to do it.

        Raises Unavailable, also where the server is set up such that a crash may lose what it acknowledges.
        """
        return set_up(self.connect(), lambda access: access.limit_writes(self._settings.write_timeout))

    def give_up(self) -> None:
        """Wait no longer for any server, in whatever thread: the process is to end."""
        self._store.give_up()

    async def read(
        self,
        view: Callable[[Reads], Result],
        *,
        slow: bool = False,
        computes: bool = False,
        line: Callable[[], AbstractAsyncContextManager[object]] = nullcontext,
    ) -> Result:
        """Run a view: at once on SQLite, on PostgreSQL among those of other requests, and in a thread if it is slow.

        One that turns out to take long is begun again in a thread, so it changes nothing but what it returns. Of those
        that then compute, and do not merely wait for the database, few run at a time. `line` gives a place to wait for
        before.
        """
        if not slow:
            try:
                return await self._store.read_in_loop(view, self.access)
            except (TakesLong, psycopg.errors.LockNotAvailable):
                pass
            except DRIVER_ERRORS as error:
                # A lost connection is opened again in a thread: in the loop, others would wait for the server as well.
                if not is_lost(error):
                    raise translated(error) from error
        work, threads = partial(self.call, view), self._computing if computes else self._threads
        async with line():
            return await asyncio.get_running_loop().run_in_executor(threads, work)

    async def at_length(self, work: Callable[..., Result], *given: object) -> Result:
        """Do what may take minutes in a thread that nobody else waits for, one such work after another."""
        return await asyncio.get_running_loop().run_in_executor(self._at_length, partial(work, *given))

    def call(self, view: Callable[..., Result], *given: object, **named: object) -> Result:
        """Run a view here; once more, by a new connection, where the old one was lost. Raises what a driver's error means."""
        try:
            return view(self.access(), *given, **named)
        except DRIVER_ERRORS as error:
            self._forget_lost()
            if not is_lost(error):
                raise translated(error) from error
        try:
            return view(self.access(), *given, **named)
        except DRIVER_ERRORS as error:
            self._forget_lost()
            raise translated(error) from error

    def _forget_lost(self) -> None:
        """Let go this thread's connection if it serves no longer."""
        access = self._own.access
        if access is not None and access.is_lost:
            self._own.access = None
            access.close()

    def migrate(self) -> None:
        """Bring the schema up to date, one node at a time; of a file, make it if there is none. Everything or nothing.

        Raises Unavailable or Misconfigured.
        """
        self._store.make_ready()
        try:
            with self.engine.begin() as connection:
                self._store.hold_schema(connection)
                _upgrade(connection)
        except sa.exc.DBAPIError as error:
            raise Unavailable("the schema cannot be brought up to date") from error
        except CommandError as error:
            rule = "the database has a schema that this version does not know: a newer one, or another program's"
            raise Misconfigured("LEDGER_DATABASE_URL", rule) from error

    def check_schema(self) -> None:
        """Raise Misconfigured unless the schema is this version's; nothing is changed."""
        newest = ScriptDirectory(str(shipped("migrations"))).get_current_head()
        with closing(self.connect()) as access:
            try:
                found = access.rows("SELECT version_num FROM alembic_version")
            except DRIVER_ERRORS as error:
                if is_lost(error):
                    raise translated(error) from error
                raise Misconfigured("LEDGER_DATABASE_URL", "the database holds no ledger") from error
        if found != [(newest,)]:
            rule = "the database has another schema than this version of the ledger, which `ledger migrate` brings up to date"
            raise Misconfigured("LEDGER_DATABASE_URL", rule)

    def close(self) -> None:
        """Close what this thread, the event loops and the threads for slow reads have opened."""
        self._store.close()
        self._threads.shutdown()
        self._computing.shutdown()
        self._at_length.shutdown(cancel_futures=True)
        access, self._own.access = self._own.access, None
        if access is not None:
            access.close()
        self.engine.dispose()


def _upgrade(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(shipped("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def shipped(name: str) -> Path:
    """Find a folder that comes with the package: in a checkout beside `api`, in a wheel within it."""
    package = Path(__file__).parents[2]
    beside = package.parent / name
    return beside if (package.parent / "alembic.ini").exists() else package / "_shipped" / name
