"""Care of PostgreSQL's tables: they are made anew beside the old ones, which others go on using meanwhile.

What is deleted stays in a table, with its entries in every index, until the server cleans up, and its bytes beyond that.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg.rows import TupleRow

from api.domain.errors import Unavailable
from api.ledger.storage.access import Access
from api.ledger.storage.postgres.renewal import (
    APART,
    clear_away,
    is_replaceable,
    lock_against_all,
    make_beside,
    put_in_place,
)
from api.ledger.storage.postgres.rewriting import is_rewritable, rewrite
from api.ledger.storage.tables import METADATA
from api.ledger.storage.upkeep import TURN, Traces, Upkeep

# Events after which the planner is told, at first, how much there is.
_STOCK_AFTER = 500
# The advisory lock of whoever makes tables anew.
_ALONE, _LOOK_EVERY = 0x1ED6EA, 0.1
_PURGE_TRIES, _PURGE_PAUSE = 5, 1
# How long a lock that keeps all others out is waited for: briefly for the statistics, which every plan of a statement needs.
_LONG, _BRIEFLY = "5s", "100ms"
_COPIED = re.compile("[1-9]")


class PostgresUpkeep(Upkeep):
    """Care of the tables, through one connection; `driver` is that of `access`."""

    def __init__(self, access: Access, driver: psycopg.Connection[TupleRow]) -> None:
        self._access, self._driver = access, driver

    def do_what_is_due(self) -> int:
        """Take stock whenever there is half as much again.

        The server looks by itself once a minute, and plans until then as if there were next to nothing.
        """
        [(events,)] = self._access.rows("SELECT position FROM head")
        self.take_stock()
        return max(_STOCK_AFTER, int(events) // 2)

    def take_stock(self) -> None:
        self._access.run(f"ANALYZE {', '.join(sorted(METADATA.tables))}")

    def faults(self) -> list[str]:
        """Find nothing: PostgreSQL checks pages and indexes as it reads them."""
        return []

    def hold(self, tables: Sequence[str]) -> None:
        self._access.run(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE")

    @contextmanager
    def alone(self, turn: float = TURN) -> Iterator[None]:
        self._take_turn(turn)
        try:
            clear_away(self._access)
            yield
        finally:
            # A lock of a session's ends with its connection.
            with suppress(psycopg.Error):
                clear_away(self._access)
                self._access.rows("SELECT pg_advisory_unlock(?)", (_ALONE,))

    def _take_turn(self, seconds: float) -> None:
        # Tried again and again: a statement that waited for the lock would keep an old snapshot, which keeps deleted rows.
        until = time.monotonic() + seconds
        while self._access.rows("SELECT pg_try_advisory_lock(?)", (_ALONE,)) != [(True,)]:
            if time.monotonic() > until:
                raise Unavailable("another process is making tables anew")
            time.sleep(_LOOK_EVERY)

    def is_any_left(self) -> bool:
        return self._access.rows("SELECT to_regnamespace(?) IS NULL", (APART,)) == [(False,)]

    @contextmanager
    def filling_anew(self, tables: Sequence[str], *, sought: Sequence[str]) -> Iterator[None]:
        access = self._access
        if not all(is_replaceable(access, table) for table in tables):
            yield
            return
        access.run(f"CREATE SCHEMA {APART}")
        made = [make_beside(access, table) for table in tables]
        for each in made:
            _run(access, (*each.keys, *(each.indexes if each.table in sought else ())))
        # From here on whoever writes by this connection writes to the new tables.
        access.run(f"SET LOCAL search_path = {APART}, {made[0].schema}")
        yield
        _run(access, [sql for each in made if each.table not in sought for sql in each.indexes])
        lock_against_all(access, [each.old for each in made])
        put_in_place(access, made)
        access.run(f"DROP SCHEMA {APART}")

    def _erase(self, tables: Sequence[str], _traces: Traces | None) -> str:
        """Write the tables and the statistics anew, whatever stood in them."""
        # Only copies are written here: a crash may lose them, so no commit waits for disk or standby while others wait.
        self._access.run("SET synchronous_commit = off")
        held = self._held_for_others()
        for table in tables:
            held = held or self._write_anew(table)
        return held or self._vacuum("pg_catalog.pg_statistic", _BRIEFLY)

    def _held_for_others(self) -> str:
        """Say whether somebody looks at an older state of the database, where nothing that was deleted is deleted yet."""
        clear_away(self._access)
        self._access.run(f"CREATE SCHEMA {APART}")
        self._access.run(f"CREATE TABLE {APART}.gone AS SELECT 1 AS one")
        self._access.run(f"DELETE FROM {APART}.gone")
        return self._vacuum(f"{APART}.gone", _LONG)

    def _write_anew(self, table: str) -> str:
        """Write a table anew beside the old one; in its own place, others waiting, where something of an operator's hangs on it."""
        if is_rewritable(self._access, table):
            return rewrite(self._access, table)
        held = self._vacuum(table, _LONG)
        self._access.run(f"ANALYZE {table}")
        return held

    def _vacuum(self, table: str, patience: str) -> str:
        """Write a table anew, locked. Says what is in the way, if anything."""
        notices: list[tuple[str | None, str]] = []

        def keep(notice: psycopg.errors.Diagnostic) -> None:
            # The driver frees a notice when this returns, so what it says is copied.
            notices.append((notice.severity_nonlocalized, notice.message_detail or ""))

        self._driver.add_notice_handler(keep)
        self._access.run(f"SET lock_timeout = '{patience}'")
        held = ""
        for _ in range(_PURGE_TRIES):
            notices.clear()
            held = self._vacuum_once(table, notices)
            if not held:
                break
            time.sleep(_PURGE_PAUSE)
        self._access.run("RESET lock_timeout")
        self._driver.remove_notice_handler(keep)
        return held

    def _vacuum_once(self, table: str, notices: list[tuple[str | None, str]]) -> str:
        try:
            self._access.run(f"VACUUM (FULL, VERBOSE) {table}")
        except psycopg.errors.LockNotAvailable:
            return f"somebody has been reading or locking {table} for too long"
        if any(severity == "WARNING" for severity, _ in notices):
            return "the database's owner alone may write its tables and statistics anew"
        # The detail begins with how many dead rows had to be copied, because an old snapshot may still ask for them.
        if any(_COPIED.match(detail) for _, detail in notices):
            return "a transaction, a standby or a replication slot holds on to an older state of the database"
        return ""


def _run(access: Access, statements: Sequence[str]) -> None:
    for statement in statements:
        access.run(statement)
