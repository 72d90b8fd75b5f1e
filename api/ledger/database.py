"""Connections, and every difference between SQLite and PostgreSQL, as a few named functions.

Statements are written once, with `?` for parameters, and go straight to the driver: the layers between cost more than
the queries. Storage has one colour, synchronous: a view is a plain function, wherever it runs.
"""

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from api.domain.errors import Unavailable
from api.ledger import spelling
from api.ledger.aside import Aside, working_aside
from api.ledger.column import Column, columns_of, register
from api.ledger.engine import engine_for
from api.ledger.pipeline import Pipelines
from api.ledger.reads import Reads, Row, Value
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
DRIVER_ERRORS = (sqlite3.Error, psycopg.Error)
_LOST = (psycopg.OperationalError, psycopg.InterfaceError)
_STREAMS, _STREAMED_AT_ONCE = itertools.count(), 200
_CORRUPT_PG = ("XX001", "XX002")
_CORRUPT_SQLITE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class _Cursor(Protocol):
    """What a statement leaves."""

    def fetchall(self) -> list[Row]: ...


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
        if not self.is_sqlite:
            self.driver.autocommit = True  # type: ignore[attr-defined]
            register(self.driver.adapters)  # type: ignore[attr-defined]
            for name in _SWITCHED_OFF:
                self.driver.execute(f"SET {name} = off", ())
            self.driver.execute(_SAMPLE, ())
            # In text form every byte of a document would cross the socket as two.
            self._reader: _Connection = self.driver.cursor(binary=True)  # type: ignore[attr-defined]

    def rows(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        if self.is_sqlite:
            if self._aside is not None:
                self.settle()
            return self.driver.execute(sql, parameters).fetchall()
        self.settle()
        return self._reader.execute(spelling.percent(sql), parameters).fetchall()

    def stream(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[Row]:
        """Give rows one after another, however many there are; on PostgreSQL only within a transaction."""
        self.settle()
        if self.is_sqlite:
            yield from self.driver.execute(sql, parameters)  # type: ignore[misc]
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
        self.driver.execute(sql if self.is_sqlite else spelling.percent(sql), parameters)

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
        else:
            self._execute("COMMIT")
            meanwhile()

    def settle(self) -> None:
        """Wait for what was sent, as any next statement does.

        Raises what a statement of its transaction raised, and then nothing of it is left.
        """
        try:
            self._catch_up()
        except BaseException:
            self.roll_back()
            raise

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
        self.engine = engine = engine_for(settings)
        self._local = threading.local()
        self._threads = ThreadPoolExecutor(settings.reader_threads, thread_name_prefix="reader")
        self._pipelines = Pipelines(lambda: _connect(engine).detach())

    def access(self) -> Access:
        """Give this thread's connection for reading; statements on it see what is committed."""
        found: Access | None = getattr(self._local, "access", None)
        if found is None:
            found = self._local.access = self.connect()
        return found

    def connect(self) -> Access:
        """Open a connection of one's own. Raises Unavailable."""
        return _connect(self.engine)

    async def read(self, view: Callable[..., Result], *given: object, slow: bool = False, **named: object) -> Result:
        """Run a view: at once on SQLite, on PostgreSQL among those of other requests, and in a thread if it is slow."""
        if self.is_sqlite and not slow:
            return self.call(view, *given, **named)
        if not slow:
            # Where it is not to be had, a thread waits for it, and nobody else.
            with suppress(*_LOST):
                return await self._pipelines.read(lambda access: view(access, *given, **named))
        work = partial(self.call, view, *given, **named)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def call(self, view: Callable[..., Result], *given: object, **named: object) -> Result:
        """Run a view here. A connection that the server closed is opened anew, once."""
        try:
            return view(self.access(), *given, **named)
        except _LOST:
            self._local.access = None
        except sqlite3.OperationalError as error:
            raise Unavailable("the database does not answer") from error
        try:
            return view(self.access(), *given, **named)
        except _LOST as error:
            self._local.access = None
            raise Unavailable("the database does not answer") from error

    def migrate(self) -> None:
        """Bring the schema up to date, one node at a time. Everything or nothing. Raises Unavailable."""
        try:
            with self.engine.begin() as connection:
                if not self.is_sqlite:
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
                _upgrade(connection)
        except sa.exc.OperationalError as error:
            raise Unavailable("the database cannot be reached") from error

    def close(self) -> None:
        """Close what this thread, the event loops and the threads for slow reads have opened."""
        self._pipelines.close()
        self._threads.shutdown()
        access: Access | None = self._local.__dict__.pop("access", None)
        if access is not None:
            access.close()
        self.engine.dispose()


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
    package = Path(__file__).parent.parent
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


def is_damaged(error: BaseException) -> bool:
    """Say whether an error tells that what is stored is broken, and not that it cannot be reached."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, DRIVER_ERRORS):
        found = found.__cause__
    if isinstance(found, psycopg.Error):
        return found.sqlstate in _CORRUPT_PG
    return found is not None and getattr(found, "sqlite_errorcode", 0) & 0xFF in _CORRUPT_SQLITE


def is_locked_out(error: BaseException) -> bool:
    """Say whether the head was held by somebody else for longer than one waits."""
    is_busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
    return is_busy or isinstance(error, psycopg.errors.LockNotAvailable)


def ready_to_insert_first(access: Access) -> None:
    """Keep other nodes out while the very first row is written, when there is no head yet to lock."""
    if not access.is_sqlite:
        access.run("LOCK TABLE head IN EXCLUSIVE MODE")


def bytes_within(access: Reads) -> str:
    """Give a condition on a payload `p`: that it holds the one parameter's bytes."""
    return "instr(p.payload, ?) > 0" if access.is_sqlite else "position(? IN p.payload) > 0"


def _decode_leniently(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
