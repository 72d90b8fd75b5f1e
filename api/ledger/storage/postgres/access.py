"""A connection to a PostgreSQL server: changes go out as columns of values, and without waiting for each other's answers.

What is changed `together` is one statement; it and the commit after it are on their way, in libpq's pipeline mode, while the
writer prepares more. `settle` waits for the answers, and any next statement does so first.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Final, cast

import psycopg
import sqlalchemy as sa

from api.ledger.storage import spelling
from api.ledger.storage.access import Access
from api.ledger.storage.faults import name_statement
from api.ledger.storage.postgres.column import columns_of, register
from api.ledger.storage.postgres.reads import PostgresReads
from api.ledger.storage.postgres.server import Server
from api.ledger.storage.postgres.upkeep import PostgresUpkeep
from api.ledger.storage.postgres.words import PostgresWords
from api.ledger.storage.reads import Row, Value

# What waited for the head must see what the one before it committed, whatever the server's default is.
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
# Every row has an index that leads to it, in the order that is asked for. While the planner has no statistics of a table, or
# plans for any values, it would rather read the whole table: ways that do so are switched off. Up to PostgreSQL 17 a way that
# is switched off is given a cost so high that the query would be compiled, so `jit` is off too. And with so few ways left,
# a sample of 3,000 rows (target 10) serves the planner as well as the usual 30,000.
_SET_UP: Final = (
    "SET enable_sort = off; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;"
    " SET default_statistics_target = 10"
)
_STREAMS, _STREAMED_AT_ONCE = itertools.count(), 200
# Where a server tells that something was committed; and seconds between two looks at one that does not.
_CHANNEL, _LOOKED_EVERY = "ledger", 0.1
# The server's own limit, as a share of the time after which it is given up: so it ends a statement first, and says so.
_SHARE = 0.9


class PostgresAccess(PostgresReads, Access):
    """One connection to a server."""

    # The server writes these while the next are folded in.
    held_at_most = 64
    locking = " FOR UPDATE"

    def __init__(self, engine: sa.Engine) -> None:
        self._pooled = engine.raw_connection()
        self.driver = cast("Server", self._pooled.driver_connection)
        # What is changed `together`, until the block ends; the pipeline that is open since something was sent ahead.
        self._held: list[tuple[str, Sequence[Value]]] | None = None
        self._pipeline: AbstractContextManager[psycopg.Pipeline] | None = None
        # Whether the server tells this connection of changes; None until that was asked for.
        self._listens: bool | None = None
        self.driver.autocommit = True
        register(self.driver.adapters)
        self.driver.execute(_SET_UP)
        # In text form every byte of a document would cross the socket as two.
        self._reader = self.driver.cursor(binary=True)

    @property
    def words(self) -> PostgresWords:
        return PostgresWords(self)

    @property
    def upkeep(self) -> PostgresUpkeep:
        return PostgresUpkeep(self, self.driver)

    @property
    def is_lost(self) -> bool:
        return self.driver.closed

    def close(self) -> None:
        self._pooled.invalidate()

    def detach(self) -> Server:
        """Give the driver's connection away: whoever takes it closes it."""
        self._pooled.detach()
        return self.driver

    def limit_reads(self, seconds: float) -> None:
        self._wait_at_most(seconds)
        # A statement that is given up here alone would go on at the server.
        self.driver.bound("statement_timeout", _SHARE * seconds)

    def limit_writes(self, seconds: float) -> None:
        self._wait_at_most(seconds)
        self.driver.bound("lock_timeout", _SHARE * seconds)
        self.check_durable()

    def _wait_at_most(self, seconds: float) -> None:
        self.driver.patience, self.driver.is_patient = seconds, False

    def check_durable(self) -> None:
        self.driver.check_durable()

    def confirm(self) -> None:
        self.settle()
        self.driver.confirm()

    def rows(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        self.settle()
        try:
            rows = self._reader.execute(spelling.percent(sql), parameters).fetchall()
        except psycopg.Error as error:
            name_statement(error, sql)
            raise
        self.spend(len(rows) + 1)
        return rows

    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> Callable[[], list[Row]]:
        return partial(self.rows, sql, parameters)

    def stream(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[Row]:
        self.settle()
        with self.driver.cursor(f"stream_{next(_STREAMS)}", binary=True) as cursor:
            cursor.itersize = _STREAMED_AT_ONCE
            cursor.execute(spelling.percent(sql), parameters)
            yield from cursor

    def run(self, sql: str, parameters: Sequence[Value] = ()) -> None:
        if self._held is not None:
            self._held.append((sql, parameters))
            return
        self.settle()
        self._execute(sql, parameters)

    def _execute(self, sql: str, parameters: Sequence[Value] = ()) -> None:
        try:
            self.driver.execute(spelling.percent(sql), parameters)
        except psycopg.Error as error:
            name_statement(error, sql)
            raise

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Value]]) -> None:
        if rows:
            sql = f"INSERT INTO {table} ({columns}) SELECT * FROM {spelling.given(table, columns)}"
            self.run(sql, columns_of(spelling.types(table, columns), rows))

    def update(self, table: str, changed: str, keys: str, rows: Sequence[Sequence[Value]], *, where: str) -> None:
        sql = spelling.update_all(table, changed, keys, where)
        self.run(sql, columns_of(spelling.types(table, f"{changed}, {keys}"), rows))

    def delete(self, table: str, keys: str, rows: Sequence[Sequence[Value]]) -> None:
        if rows:
            self.run(spelling.delete_all(table, keys), columns_of(spelling.types(table, keys), rows))

    @contextmanager
    def together(self) -> Iterator[None]:
        if self._held is not None:
            yield
            return
        held = self._held = list[tuple[str, Sequence[Value]]]()
        try:
            yield
        finally:
            self._held = None
        if held:
            self._send_ahead(held)

    def _send_ahead(self, held: Sequence[tuple[str, Sequence[Value]]]) -> None:
        """Send statements as one, and let its answer, and those of what comes next, be waited for by `settle`."""
        if self._pipeline is None:
            self._pipeline = self.driver.pipeline()
            self._pipeline.__enter__()
        sql = spelling.together(tuple(statement for statement, _ in held))
        self._execute(sql, [value for _, parameters in held for value in parameters])

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Do nothing more: a server works for itself anyway."""
        yield

    def begin(self) -> None:
        self.run(_BEGIN)

    def begin_with(self, sql: str) -> list[Row]:
        self.settle()
        cursor = self.driver.execute(f"{_BEGIN}; {sql}".encode())
        cursor.nextset()
        return cursor.fetchall()

    def ask_commit(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        if self._pipeline is None:
            meanwhile()
            self._execute("COMMIT")
            self.driver.check_confirmed()
        else:
            self._execute("COMMIT")
            meanwhile()

    def settle(self) -> None:
        try:
            self._catch_up()
            self.driver.check_confirmed()
        except BaseException:
            self.roll_back()
            raise

    def _catch_up(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.__exit__(None, None, None)

    def roll_back(self) -> None:
        with suppress(psycopg.Error):
            self._catch_up()
        with suppress(psycopg.Error):
            self._execute("ROLLBACK")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            with suppress(psycopg.Error):
                self.run("ROLLBACK")

    def keep_others_out(self) -> None:
        self.run("LOCK TABLE head IN EXCLUSIVE MODE")

    def announce(self) -> None:
        # Last of what goes out together: a query within a statement is left out where nothing asks for its rows.
        self.run(f"SELECT pg_notify('{_CHANNEL}', '')")

    def wait_for_change(self, seconds: float) -> None:
        if self._listens is None:
            self._listens = not self.is_standby()
            if self._listens:
                self.run(f"LISTEN {_CHANNEL}")
        if self._listens:
            self.settle()
            deque(self.driver.notifies(timeout=seconds, stop_after=1), maxlen=0)
        else:
            # A standby tells nobody of anything (https://www.postgresql.org/docs/current/hot-standby.html).
            time.sleep(min(seconds, _LOOKED_EVERY))
