"""A connection to SQLite: changes to many rows go out in blocks, and a long work may have them made in a thread aside.

SQLite has one writer at a time: a transaction holds its lock from the beginning. Nothing is sent ahead and nothing is waited
for, but for what is done aside: each statement is done when it returns.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from typing import TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from api.ledger.storage import spelling
from api.ledger.storage.access import Access
from api.ledger.storage.faults import name_statement
from api.ledger.storage.protection import Protection
from api.ledger.storage.reads import Reads, Row, TakesLong, Value
from api.ledger.storage.sqlite.aside import Aside
from api.ledger.storage.sqlite.protection import protection
from api.ledger.storage.sqlite.upkeep import SqliteUpkeep
from api.ledger.storage.sqlite.words import SqliteWords

Result = TypeVar("Result")
# SQLite tells so often, in instructions of its own machine, that it is still at work: ten steps, some 30 microseconds.
_TOLD_EVERY, _STEPS_TOLD = 1_000, 10
# Seconds between two looks whether somebody committed something.
_LOOKED_EVERY = 0.05


class SqliteAccess(Access):
    """One connection to a file of SQLite's, or to a database in memory that ends with it."""

    dialect = sqlite.dialect()
    held_at_most = spelling.BLOCKS[0]
    locking = ""

    def __init__(self, engine: sa.Engine) -> None:
        self._pooled = engine.raw_connection()
        self.driver = cast("sqlite3.Connection", self._pooled.driver_connection)
        self._aside: Aside | None = None
        # The version of the database when `wait_for_change` last looked at it.
        self._seen: int | None = None

    @property
    def words(self) -> SqliteWords:
        return SqliteWords(self)

    @property
    def upkeep(self) -> SqliteUpkeep:
        return SqliteUpkeep(self, self.driver)

    @property
    def is_lost(self) -> bool:
        return False

    def close(self) -> None:
        self._pooled.close()

    def rows(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        self.settle()
        cursor = self._execute(sql, parameters)
        try:
            if self.steps_left is None:
                return cursor.fetchall()
            rows = cursor.fetchmany(self.steps_left + 1)
        except sqlite3.Error as error:
            name_statement(error, sql)
            raise
        self.spend(len(rows) + 1)
        return rows

    def _measured(self, sql: str, parameters: Sequence[Value], _most: int) -> Iterable[Row]:
        # SQLite computes a row when it is fetched: rows that nobody takes cost nothing.
        return self._execute(sql, parameters)

    def matching_words(self, words: Sequence[Sequence[str]]) -> tuple[str, str]:
        quoted = " AND ".join("(" + " OR ".join([f'"{token}"' for token in word]) + ")" for word in words)
        return "SELECT rowid AS since FROM search_index WHERE search_index MATCH ?", quoted

    def protection(self) -> Protection:
        return protection(self)

    def is_standby(self) -> bool:
        return False

    def seconds_behind(self) -> None:
        return None

    def in_brief(self, view: Callable[[Reads], Result]) -> Result:
        """Run a view as its base does, and have SQLite break off a statement that takes more steps than are left."""
        # For this view alone: the call needs the interpreter, for which threads that read would wait each time.
        self.driver.set_progress_handler(self._is_too_long, _TOLD_EVERY)
        try:
            return super().in_brief(view)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise TakesLong from error
            raise
        finally:
            self.driver.set_progress_handler(None, 0)

    def _is_too_long(self) -> bool:
        """Take the steps of a statement under way. Says whether SQLite is to break off."""
        if self.steps_left is None:
            return False
        self.steps_left -= _STEPS_TOLD
        return self.steps_left < 0

    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> Callable[[], list[Row]]:
        if self._aside is None:
            return partial(self.rows, sql, parameters)
        return self._aside.do(lambda: self._execute(sql, parameters).fetchall())

    def stream(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[Row]:
        self.settle()
        yield from self._execute(sql, parameters)

    def run(self, sql: str, parameters: Sequence[Value] = ()) -> None:
        self.settle()
        self._execute(sql, parameters)

    def _execute(self, sql: str, parameters: Sequence[Value] = ()) -> sqlite3.Cursor:
        try:
            return self.driver.execute(sql, parameters)
        except sqlite3.Error as error:
            name_statement(error, sql)
            raise

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Value]]) -> None:
        self._change(partial(spelling.insert_rows, table, columns), rows)

    def update(self, table: str, changed: str, keys: str, rows: Sequence[Sequence[Value]], *, where: str) -> None:
        self._change(partial(spelling.update_rows, table, changed, keys, where), rows)

    def delete(self, table: str, keys: str, rows: Sequence[Sequence[Value]]) -> None:
        for row in rows:
            self.run(spelling.delete_row(table, keys), row)

    def _change(self, spell: Callable[[int], str], rows: Sequence[Sequence[Value]]) -> None:
        change = partial(self._change_now, spell, rows)
        change() if self._aside is None else self._aside.do(change)

    def _change_now(self, spell: Callable[[int], str], rows: Sequence[Sequence[Value]]) -> None:
        for count, values in spelling.blocks(rows):
            self._execute(spell(count), values)

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Make changes in a thread of their own: SQLite lets go of the interpreter while it runs a statement."""
        aside = self._aside = Aside()
        try:
            yield
            self.settle()
        finally:
            self._aside = None
            aside.stop()

    def begin(self) -> None:
        self.run("BEGIN IMMEDIATE")

    def begin_with(self, sql: str) -> list[Row]:
        self.begin()
        return self.rows(sql)

    def ask_commit(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        meanwhile()
        self._execute("COMMIT")

    def settle(self) -> None:
        if self._aside is None:
            return
        try:
            self._aside.wait()
        except BaseException:
            self.roll_back()
            raise

    def roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._aside is not None:
                self._aside.wait()
        with suppress(sqlite3.Error):
            self._execute("ROLLBACK")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self.driver.text_factory = _decode_leniently
        self.run("BEGIN")
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                self.run("ROLLBACK")

    def limit_reads(self, seconds: float) -> None:
        """Limit nothing: the file does not go away, and a connection waits for a lock as long as `busy_timeout` says."""

    def limit_writes(self, seconds: float) -> None:
        """Limit nothing, as above."""

    def check_durable(self) -> None:
        """Accept it: each connection is set up such that what it commits lasts (`store`)."""

    def confirm(self) -> None:
        """Wait for nothing: what can be read is on the disk."""

    def keep_others_out(self) -> None:
        """Do nothing more: the transaction holds the one write lock."""

    def announce(self) -> None:
        """Tell nobody: each connection can see for itself that another committed (`wait_for_change`)."""

    def wait_for_change(self, seconds: float) -> None:
        # A number that another connection's commit makes another (https://sqlite.org/pragma.html#pragma_data_version): it is
        # in memory, and to read it takes two microseconds.
        until, seen = time.monotonic() + seconds, self._seen
        while (version := self.rows("PRAGMA data_version")[0][0]) == seen and time.monotonic() < until:
            time.sleep(_LOOKED_EVERY)
        self._seen = version


def _decode_leniently(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
