"""Connections, and every difference between SQLite and PostgreSQL, as a few named functions.

Statements are written once, with `?` for parameters, and go straight to the driver: the layers between cost more than
the queries. Storage has one colour, synchronous: a view is a plain function, wherever it runs.
"""

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from api.domain.errors import Misconfigured, Unavailable
from api.ledger.storage import spelling
from api.ledger.storage.aside import Aside, working_aside
from api.ledger.storage.column import Column, columns_of, register
from api.ledger.storage.engine import engine_for, make_file
from api.ledger.storage.faults import DRIVER_ERRORS, is_lost, name_statement, translated
from api.ledger.storage.pipeline import Pipelines
from api.ledger.storage.reads import BRIEF, Reads, Row, TakesLong, Value
from api.ledger.storage.server import Server
from api.ledger.storage.threads import Threads
from api.settings import Settings

Result = TypeVar("Result")

_MIGRATION_LOCK = 0x1ED6E7
# What waited for the head must see what the one before it committed, whatever the server's default is.
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
# Every row has an index that leads to it, in the order that is asked for. PostgreSQL's planner would rather read a whole
# table while it has no statistics of it, or no values in particular to plan for; and up to PostgreSQL 17 what is switched
# off costs so much that it would be compiled.
_SWITCHED_OFF = ("enable_sort", "enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit")
# With the choice so narrow, 3,000 rows of a table tell its planner as much as the usual 30,000.
_SAMPLE = "SET default_statistics_target = 10"
_STREAMS, _STREAMED_AT_ONCE = itertools.count(), 200
# SQLite tells so often, in instructions of its own machine, that it is still at work: ten steps, some 30 microseconds.
_TOLD_EVERY, _STEPS_TOLD = 1_000, 10
# Of the time that a server is waited for: what it ends by itself is over before it is given up.
_SHARE = 0.9
# Threads that compute take turns with each other and with the event loop, which would wait for each: two get nothing done sooner.
_COMPUTING_AT_ONCE = 1


class _Cursor(Protocol):
    """What a statement leaves."""

    def fetchall(self) -> list[Row]: ...

    def fetchmany(self, size: int) -> list[Row]: ...

    def __iter__(self) -> Iterator[Row]: ...


class _Connection(Protocol):
    """What the two drivers have in common: statements run on the connection itself."""

    def execute(self, sql: str, parameters: Sequence[Value | Column] | None, /) -> _Cursor: ...


class Access(Reads):
    """One connection and a short path to its driver. Give it to one thread at a time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._pooled = engine.raw_connection()
        self.driver: _Connection = self._pooled.driver_connection  # type: ignore[assignment]
        self.is_sqlite = engine.dialect.name == "sqlite"
        # Events whose rows are best written together. A server writes so many while the next are folded in.
        self.held_at_most = spelling.BLOCKS[0] if self.is_sqlite else 64
        self._pipeline: AbstractContextManager[object] | None = None
        self._held: list[tuple[str, Sequence[Value | Column]]] | None = None
        self._aside: Aside | None = None
        self._is_told = False
        self._server = self.driver if isinstance(self.driver, Server) else None
        if not self.is_sqlite:
            self.driver.autocommit = True  # type: ignore[attr-defined]
            register(self.driver.adapters)  # type: ignore[attr-defined]
            for name in _SWITCHED_OFF:
                self.driver.execute(f"SET {name} = off", ())
            self.driver.execute(_SAMPLE, ())
            # In text form every byte of a document would cross the socket as two.
            self._reader: _Connection = self.driver.cursor(binary=True)  # type: ignore[attr-defined]

    def wait_at_most(self, seconds: float) -> None:
        """Give a server up, as lost, that takes longer to answer anything that is asked from now on."""
        if self._server is not None:
            self._server.patience, self._server.is_patient = seconds, False

    def limit_reading(self, seconds: float) -> None:
        """Let the server end each statement that takes almost as long: given up here, it would go on there."""
        if self._server is not None:
            self._server.bound("statement_timeout", _SHARE * seconds)

    def limit_waiting(self, seconds: float) -> None:
        """Let the server end each wait for a lock that takes almost as long. A commit it never breaks off."""
        if self._server is not None:
            self._server.bound("lock_timeout", _SHARE * seconds)

    def check_durable(self) -> None:
        """Raise Unavailable where the database is set up such that a crash may lose what it acknowledges."""
        if self._server is not None:
            self._server.check_durable()

    def confirm(self) -> None:
        """Wait until all that was read here is known to last, on the standbys that a server waits for too.

        Raises a driver's error where that is not known.
        """
        if self._server is not None:
            self.settle()
            self._server.confirm()

    def rows(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        try:
            return self._rows(sql, parameters)
        except DRIVER_ERRORS as error:
            name_statement(error, sql)
            raise

    def _rows(self, sql: str, parameters: Sequence[Value]) -> list[Row]:
        if self.is_sqlite:
            if self._aside is not None:
                self.settle()
            if self.steps_left is None:
                return self.driver.execute(sql, parameters).fetchall()
            rows = self.driver.execute(sql, parameters).fetchmany(self.steps_left + 1)
            self.spend(len(rows) + 1)
            return rows
        self.settle()
        return self._reader.execute(spelling.percent(sql), parameters).fetchall()

    def _measured(self, sql: str, parameters: Sequence[Value], most: int) -> Iterable[Row]:
        # SQLite works out a row when it is asked for: those that nobody takes cost nothing.
        if not self.is_sqlite:
            return super()._measured(sql, parameters, most)
        try:
            return self.driver.execute(sql, parameters)
        except DRIVER_ERRORS as error:
            name_statement(error, sql)
            raise

    def in_brief(self, view: Callable[..., Result], *given: object, **named: object) -> Result:
        """Run a view in the event loop, on SQLite, with the steps that are granted there. Raises TakesLong."""
        if not self._is_told:
            # In threads it would only make them wait for one another.
            self.driver.set_progress_handler(self._is_too_long, _TOLD_EVERY)  # type: ignore[attr-defined]
            self._is_told = True
        self.steps_left = BRIEF
        try:
            return view(self, *given, **named)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise TakesLong from error
            raise
        finally:
            self.steps_left = None

    def _is_too_long(self) -> bool:
        """Take the steps of a statement under way. Says whether SQLite is to break off."""
        if self.steps_left is None:
            return False
        self.steps_left -= _STEPS_TOLD
        return self.steps_left < 0

    def stream(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[Row]:
        """Give rows one after another, however many there are; on PostgreSQL only within a transaction."""
        self.settle()
        if self.is_sqlite:
            yield from self.driver.execute(sql, parameters)
            return
        with self.driver.cursor(f"stream_{next(_STREAMS)}", binary=True) as cursor:  # type: ignore[attr-defined]
            cursor.itersize = _STREAMED_AT_ONCE
            cursor.execute(spelling.percent(sql), parameters)
            yield from cursor

    def run(self, sql: str, parameters: Sequence[Value | Column] = ()) -> None:
        if self._held is not None:
            self._held.append((sql, parameters))
            return
        self.settle()
        self._execute(sql, parameters)

    def _execute(self, sql: str, parameters: Sequence[Value | Column] = ()) -> None:
        try:
            self.driver.execute(sql if self.is_sqlite else spelling.percent(sql), parameters)
        except DRIVER_ERRORS as error:
            name_statement(error, sql)
            raise

    def update(self, table: str, changed: str, keys: str, rows: Sequence[Sequence[Value]], *, where: str) -> None:
        """Change a row for each of `rows`, which hold new values and then those of the key columns; `where` holds too."""
        if self.is_sqlite:
            self._change(partial(spelling.update_rows, table, changed, keys, where), rows)
        else:
            sql = spelling.update_all(table, changed, keys, where)
            self.run(sql, columns_of(spelling.types(table, f"{changed}, {keys}"), rows))

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Value]]) -> None:
        """Insert rows, however many; they are given away: the list may be read after this returned."""
        if self.is_sqlite:
            self._change(partial(spelling.insert_rows, table, columns), rows)
        elif rows:
            sql = f"INSERT INTO {table} ({columns}) SELECT * FROM {spelling.given(table, columns)}"
            self.run(sql, columns_of(spelling.types(table, columns), rows))

    def delete(self, table: str, keys: str, rows: Sequence[Sequence[Value]]) -> None:
        """Delete the row that each of `rows` names by its key columns."""
        if not rows:
            return
        if self.is_sqlite:
            for row in rows:
                self.run(spelling.delete_row(table, keys), row)
        else:
            self.run(spelling.delete_all(table, keys), columns_of(spelling.types(table, keys), rows))

    @property
    def changes(self) -> int:
        """How many rows were changed on SQLite by this connection."""
        return int(self.driver.total_changes)  # type: ignore[attr-defined]

    @property
    def file(self) -> Path:
        """Where SQLite's database is."""
        return Path(self.rows("PRAGMA database_list")[0][2])

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Make changes in a thread of SQLite's own while the block goes on; whatever else is asked waits for them.

        What a change raises is raised by what is asked next. PostgreSQL works for itself anyway.
        """
        if not self.is_sqlite:
            yield
            return
        with working_aside() as aside:
            self._aside = aside
            try:
                yield
                self.settle()
            finally:
                self._aside = None

    def _change(self, spell: Callable[[int], str], rows: Sequence[Sequence[Value]]) -> None:
        change = partial(self._change_now, spell, rows)
        change() if self._aside is None else self._aside.do(change)

    def _change_now(self, spell: Callable[[int], str], rows: Sequence[Sequence[Value]]) -> None:
        for count, values in spelling.blocks(rows):
            self.driver.execute(spell(count), values)

    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> Callable[[], list[Row]]:
        """Ask for rows that are wanted later and that nobody changes: what gives them may be called then."""
        if self._aside is None:
            return partial(self.rows, sql, parameters)
        return self._aside.do(lambda: self.driver.execute(sql, parameters).fetchall())

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send what is changed in the block as one statement, where a server is asked, and go on while it works.

        None of the changes sees what another does. What one of them raises is raised by whatever is asked next.
        """
        if self.is_sqlite or self._held is not None:
            yield
            return
        held: list[tuple[str, Sequence[Value | Column]]] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
        if not held:
            return
        if self._pipeline is None:
            self._pipeline = self.driver.pipeline()  # type: ignore[attr-defined]
            self._pipeline.__enter__()
        sql = spelling.together(tuple(statement for statement, _ in held))
        self._execute(sql, [value for _, parameters in held for value in parameters])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done in the block, or none of it."""
        self.begin()
        try:
            yield
            self.ask_commit()
            self.settle()
        except BaseException:
            self.roll_back()
            raise

    def begin(self) -> None:
        """Hold the database's write lock from here on (SQLite), or open a transaction (PostgreSQL)."""
        self.run("BEGIN IMMEDIATE" if self.is_sqlite else _BEGIN)

    def begin_with(self, sql: str) -> list[Row]:
        """Begin a transaction by a query without parameters, in one exchange with the server."""
        if self.is_sqlite:
            self.begin()
            return self.rows(sql)
        self.settle()
        cursor = self.driver.execute(f"{_BEGIN}; {sql}", None)
        cursor.nextset()  # type: ignore[attr-defined]
        return cursor.fetchall()

    def ask_commit(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Ask for the commit, which has taken place when `settle` returns. `meanwhile` is called while it is waited for."""
        if self._pipeline is None:
            meanwhile()
            self._execute("COMMIT")
            self._check_confirmed()
        else:
            self._execute("COMMIT")
            meanwhile()

    def settle(self) -> None:
        """Wait for what was sent, as any next statement does.

        Raises what a statement of its transaction raised, and then nothing of it is left; Unconfirmed where it was committed
        and no standby is known to have it.
        """
        try:
            self._catch_up()
            self._check_confirmed()
        except BaseException:
            self.roll_back()
            raise

    def _check_confirmed(self) -> None:
        if self._server is not None:
            self._server.check_confirmed()

    def roll_back(self) -> None:
        """Leave nothing of the transaction. The database may have ended it by itself (a full disk, a lost connection)."""
        with suppress(*DRIVER_ERRORS):
            self._catch_up()
        with suppress(*DRIVER_ERRORS):
            self._execute("ROLLBACK")

    def _catch_up(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.__exit__(None, None, None)
        if self._aside is not None:
            self._aside.wait()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """See one state of the database, whoever writes meanwhile, and text as it is stored, even where it is damaged."""
        if self.is_sqlite:
            self.driver.text_factory = _decode_leniently  # type: ignore[attr-defined]
        self.run("BEGIN" if self.is_sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            with suppress(*DRIVER_ERRORS):
                self.run("ROLLBACK")

    @property
    def is_lost(self) -> bool:
        """Whether the connection is closed, by whichever side."""
        return self._server is not None and self._server.closed

    def detach(self) -> "psycopg.Connection[Any]":
        """Give the driver's connection away: whoever takes it closes it."""
        self._pooled.detach()
        return self.driver  # type: ignore[return-value]

    def close(self) -> None:
        self._pooled.invalidate() if not self.is_sqlite else self._pooled.close()


class Database:
    """The database of one process: an engine, a connection for each thread and each event loop that reads."""

    def __init__(self, settings: Settings) -> None:
        self.is_sqlite = settings.is_sqlite
        self._settings = settings
        self._gives_up = threading.Event()
        self.engine = engine_for(settings, self._gives_up)
        self._local = threading.local()
        self._threads = Threads(settings.reader_threads, thread_name_prefix="reader")
        self._computing = Threads(_COMPUTING_AT_ONCE, thread_name_prefix="computing")
        self._at_length = Threads(1, thread_name_prefix="at length")
        self._pipelines = Pipelines(lambda: self.connect_to_read().detach(), settings.read_timeout)

    def access(self) -> Access:
        """Give this thread's connection for reading; statements on it see what is committed."""
        found: Access | None = getattr(self._local, "access", None)
        if found is None:
            found = self._local.access = self.connect_to_read()
        return found

    def connect(self) -> Access:
        """Open a connection of one's own, for what may take long. Raises Unavailable."""
        return _connect(self.engine)

    def connect_to_read(self) -> Access:
        """Open a connection that gives up a server which takes too long to answer a read. Raises Unavailable."""
        return self._opened(_let_read)

    def connect_to_write(self) -> Access:
        """Open a connection on which what is committed lasts, and that gives up a server which takes too long to do it.

        Raises Unavailable, also where the server is set up such that a crash may lose what it acknowledges.
        """
        return self._opened(_let_write)

    def _opened(self, set_up: Callable[[Access, Settings], None]) -> Access:
        access = self.connect()
        try:
            set_up(access, self._settings)
        except DRIVER_ERRORS as error:
            access.close()
            raise translated(error) from error
        except BaseException:
            access.close()
            raise
        return access

    def give_up(self) -> None:
        """Wait no longer for any server, in whatever thread: the process is to end."""
        self._gives_up.set()
        self._pipelines.give_up()

    async def read(
        self,
        view: Callable[..., Result],
        *given: object,
        slow: bool = False,
        computes: bool = False,
        line: Callable[[], AbstractAsyncContextManager[object]] = nullcontext,
        **named: object,
    ) -> Result:
        """Run a view: at once on SQLite, on PostgreSQL among those of other requests, and in a thread if it is slow.

        One that turns out to take long is begun again in a thread, so it changes nothing but what it returns. Of those
        that then compute, and do not merely wait for the database, few run at a time. `line` gives a place to wait for
        before.
        """
        if not slow:
            try:
                return await self._read_in_loop(view, *given, **named)
            except (TakesLong, psycopg.errors.LockNotAvailable):
                pass
            except psycopg.Error as error:
                # Where a connection is not to be had, a thread waits for it, and nobody else.
                if not is_lost(error):
                    raise translated(error) from error
        work, threads = partial(self.call, view, *given, **named), self._computing if computes else self._threads
        async with line():
            return await asyncio.get_running_loop().run_in_executor(threads, work)

    async def at_length(self, work: Callable[..., Result], *given: object) -> Result:
        """Do what may take minutes in a thread that nobody else waits for, one such work after another."""
        return await asyncio.get_running_loop().run_in_executor(self._at_length, partial(work, *given))

    async def _read_in_loop(self, view: Callable[..., Result], *given: object, **named: object) -> Result:
        if self.is_sqlite:
            brief: Result = self.call(Access.in_brief, view, *given, **named)
            return brief
        return await self._pipelines.read(lambda access: view(access, *given, **named))

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
        access: Access | None = getattr(self._local, "access", None)
        if access is not None and access.is_lost:
            self._local.access = None
            access.close()

    def migrate(self) -> None:
        """Make the file if there is none, and bring the schema up to date, one node at a time. Everything or nothing.

        Raises Unavailable or Misconfigured.
        """
        if self.is_sqlite:
            make_file(self._settings.sqlite_path)
        try:
            with self.engine.begin() as connection:
                if not self.is_sqlite:
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
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
        self._pipelines.close()
        self._threads.shutdown()
        self._computing.shutdown()
        self._at_length.shutdown(cancel_futures=True)
        access: Access | None = self._local.__dict__.pop("access", None)
        if access is not None:
            access.close()
        self.engine.dispose()


def _let_read(access: Access, settings: Settings) -> None:
    access.wait_at_most(settings.read_timeout)
    access.limit_reading(settings.read_timeout)


def _let_write(access: Access, settings: Settings) -> None:
    access.wait_at_most(settings.write_timeout)
    access.limit_waiting(settings.write_timeout)
    access.check_durable()


def _connect(engine: sa.Engine) -> Access:
    try:
        return Access(engine)
    except (sa.exc.SQLAlchemyError, *DRIVER_ERRORS) as error:
        raise Unavailable("the database cannot be reached") from error


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


def lock_head(access: Access) -> Row:
    """Take the writer's lock, which is the head's row, and read it. On SQLite the transaction itself is the lock."""
    return _found(access.rows(_head(access)))


def begin_at_head(access: Access) -> Row:
    """Begin a transaction with the writer's lock, and read the head."""
    return _found(access.begin_with(_head(access)))


def _head(access: Access) -> str:
    sql = "SELECT position, recorded_at, frontier, is_seeded, rules FROM head"
    return sql if access.is_sqlite else f"{sql} FOR UPDATE"


def _found(heads: list[Row]) -> Row:
    if not heads:
        raise Unavailable("the database holds no ledger yet")
    return heads[0]


def ready_to_insert_first(access: Access) -> None:
    """Keep other nodes out while the very first row is written, when there is no head yet to lock."""
    if not access.is_sqlite:
        access.run("LOCK TABLE head IN EXCLUSIVE MODE")


def _decode_leniently(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
