"""Care of the database's own files: what is deleted leaves no trace, the planner knows what is there, damage is found."""

import re
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress

import psycopg
from sqlmodel import SQLModel

from api.domain.errors import LedgerError, NotPurged
from api.ledger.storage.database import Access, Database
from api.ledger.storage.faults import DRIVER_ERRORS
from api.ledger.storage.pages import Leftover, Traces, leftovers
from api.ledger.storage.renewal import APART, clear_away
from api.ledger.storage.rewriting import is_rewritable, rewrite
from api.ledger.storage.tables import FOREVER

_PURGE_TRIES, _PURGE_PAUSE = 5, 1
# All who plan a statement look at the statistics.
_LONG, _BRIEFLY = "5s", "100ms"
_COPIED = re.compile("[1-9]")
# Pages of the index of words that are merged in one transaction, and how many rows it changes that had something to do.
_MERGED_AT_ONCE, _SOME_WORK = 64, 2
# How many rows are put beside one to fill its page: more each time, for those that split the pages below must fill others.
_FILLERS = (200, 1_000, 5_000)
# Events, of some pages each. A writer that is far ahead of this sees to it itself (`wal_autocheckpoint`).
_BACKFILL_AFTER = 250
# Events after which PostgreSQL is told, at first, how much there is.
_STOCK_AFTER = 500


class Aftercare:
    """What is due after many events, in a thread of its own: no writer is kept from its work.

    SQLite copies what is committed from the write-ahead log into the database; what is left in the end the last connection
    copies. PostgreSQL, which has a process for that, is told how much there is, whenever it is half as much again: it looks
    by itself once a minute, and plans until then as if there were next to nothing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting, self._due_after = 0, _BACKFILL_AFTER if database.is_sqlite else _STOCK_AFTER
        self._is_due, self._is_stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._is_due.clear()
        self._is_stopping.clear()
        self._thread = threading.Thread(target=self._run, name="aftercare", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_stopping.set()
        self._is_due.set()
        if self._thread is not None:
            self._thread.join()

    def note(self, events: int) -> None:
        """Learn that so many events more were committed."""
        self._waiting += events
        if self._waiting >= self._due_after:
            self._waiting = 0
            self._is_due.set()

    def _run(self) -> None:
        while self._is_due.wait() and not self._is_stopping.is_set():
            self._is_due.clear()
            # Where it cannot be done now, there will be another time.
            with suppress(LedgerError, *DRIVER_ERRORS), closing(self._database.connect()) as access:
                self._see_to(access)

    def _see_to(self, access: Access) -> None:
        if access.is_sqlite:
            access.rows("PRAGMA wal_checkpoint(PASSIVE)")
            return
        [(events,)] = access.rows("SELECT position FROM head")
        self._due_after = max(_STOCK_AFTER, events // 2)
        take_stock(access)


def take_stock(access: Access) -> None:
    """Tell PostgreSQL's planner how much is there, after much was written; by itself it looks within a minute or so."""
    if not access.is_sqlite:
        access.run(f"ANALYZE {', '.join(sorted(SQLModel.metadata.tables))}")


def erase_traces(access: Access, tables: Sequence[str], traces: Traces | None = None) -> None:
    """Leave nothing of rows that were deleted from these tables in the database's own files. Raises NotPurged.

    `traces` tell what those rows said, where that is still known. On SQLite what is left of it is looked for and written
    over, a few pages at a time, while others write; where it is not known the file is written anew, which takes as long
    as its size asks for. On PostgreSQL each table is written anew beside the old one, by whoever is `alone` (renewal).
    """
    try:
        held = _erase_on_sqlite(access, traces) if access.is_sqlite else _erase_on_postgresql(access, tables)
    except DRIVER_ERRORS as error:
        raise NotPurged("the database does not let its files be written anew") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise NotPurged("the database's file could not be looked through") from error
    if held:
        raise NotPurged(held)


def _erase_on_sqlite(access: Access, traces: Traces | None) -> str:
    """Leave nothing in the index of words, in the room between rows, and in the write-ahead log. Says what is in the way."""
    if traces is None:
        access.run("INSERT INTO search_index (search_index) VALUES ('optimize')")
        access.run("VACUUM")
        return _empty_write_ahead_log(access)
    _merge_words(access)
    for fillers in _FILLERS:
        held = _empty_write_ahead_log(access)
        if held:
            return held
        found = leftovers(access.file, traces)
        if not found:
            return ""
        for each in found:
            _write_over(access, each, fillers)
    # No row can be put where that is: all rows are.
    access.run("VACUUM")
    return _empty_write_ahead_log(access)


def _merge_words(access: Access) -> None:
    """Merge the index of words into one, a few pages at a time, until nothing is left of words that were taken out."""
    pages = -_MERGED_AT_ONCE
    while True:
        before, began = access.changes, time.perf_counter()
        access.run("INSERT INTO search_index (search_index, rank) VALUES ('merge', ?)", (pages,))
        # The statement itself is one change (https://sqlite.org/fts5.html, section 6.8).
        if pages > 0 and access.changes - before < _SOME_WORK:
            return
        pages = _MERGED_AT_ONCE
        # Whoever waits to write looks now and then whether he may: for half of the time he may.
        time.sleep(time.perf_counter() - began)


def _write_over(access: Access, leftover: Leftover, count: int) -> None:
    """Fill the page that holds a key with rows beside it, and delete them again, which nobody else sees."""
    many = range(count)
    with access.transaction():
        match leftover.key:
            case [str(field), str(value), int(first), int(), *_] | [int(first), str(field), str(value), int()]:
                rows = [(field, value, first, FOREVER - number, 0) for number in many]
                access.insert("term", "field, value, first_position, since, until", rows)
                access.delete("term", "field, value, first_position, since", [row[:-1] for row in rows])
            case [str(kind), str(public_id), int()]:
                # No id holds a space, so these are next to this one, and nobody's.
                records = [(FOREVER - number, kind, f"{public_id} {number:05}", "", 0, 0) for number in many]
                access.insert("record", "first_position, kind, id, record, position, revision", records)
                access.delete("record", "first_position", [row[:1] for row in records])
            case _:
                pass


def _empty_write_ahead_log(access: Access) -> str:
    """Copy all of the write-ahead log into the database, and cut it off. Says what is in the way, if anything."""
    access.run("PRAGMA busy_timeout = 1000")
    try:
        for _ in range(_PURGE_TRIES):
            # The first column says whether somebody still reads an older state.
            if not access.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
                return ""
            # Somebody who copies from it just now is not waited for.
            time.sleep(_PURGE_PAUSE)
    finally:
        access.run("PRAGMA busy_timeout = 30000")
    return "a reader holds on to an older state of the database"


def _erase_on_postgresql(access: Access, tables: Sequence[str]) -> str:
    """Write the tables and the statistics anew. Says what is in the way, if anything."""
    # What is written here is a copy. Neither disk nor standby is waited for while others are kept waiting.
    access.run("SET synchronous_commit = off")
    held = _held_for_others(access)
    for table in tables:
        held = held or (rewrite(access, table) if is_rewritable(access, table) else _lock_and_rewrite(access, table))
    return held or _vacuum(access, "pg_catalog.pg_statistic", _BRIEFLY)


def _held_for_others(access: Access) -> str:
    """Say whether somebody looks at an older state of the database, where nothing that was deleted is deleted yet."""
    clear_away(access)
    access.run(f"CREATE SCHEMA {APART}")
    access.run(f"CREATE TABLE {APART}.gone AS SELECT 1 AS one")
    access.run(f"DELETE FROM {APART}.gone")
    return _vacuum(access, f"{APART}.gone", _LONG)


def _lock_and_rewrite(access: Access, table: str) -> str:
    """Write a table anew in its own place, for something of an operator's hangs on it. Others wait meanwhile."""
    held = _vacuum(access, table, _LONG)
    access.run(f"ANALYZE {table}")
    return held


def _vacuum(access: Access, table: str, patience: str) -> str:
    """Write a table anew, locked. Says what is in the way, if anything."""
    notices: list[tuple[str | None, str]] = []

    def keep(notice: psycopg.errors.Diagnostic) -> None:
        # It can be read only now.
        notices.append((notice.severity_nonlocalized, notice.message_detail or ""))

    access.driver.add_notice_handler(keep)  # type: ignore[attr-defined]
    access.run(f"SET lock_timeout = '{patience}'")
    held = ""
    for _ in range(_PURGE_TRIES):
        notices.clear()
        held = _vacuum_once(access, table, notices)
        if not held:
            break
        time.sleep(_PURGE_PAUSE)
    access.run("RESET lock_timeout")
    access.driver.remove_notice_handler(keep)  # type: ignore[attr-defined]
    return held


def _vacuum_once(access: Access, table: str, notices: list[tuple[str | None, str]]) -> str:
    try:
        access.run(f"VACUUM (FULL, VERBOSE) {table}")
    except psycopg.errors.LockNotAvailable:
        return f"somebody has been reading or locking {table} for too long"
    if any(severity == "WARNING" for severity, _ in notices):
        return "the database's owner alone may write its tables and statistics anew"
    # The detail begins with how many dead rows had to be copied, because an old snapshot may still ask for them.
    if any(_COPIED.match(detail) for _, detail in notices):
        return "a transaction, a standby or a replication slot holds on to an older state of the database"
    return ""


def storage_faults(access: Access) -> list[str]:
    """Say what the database finds wrong with its own pages and indexes; PostgreSQL checks those as it reads them."""
    if not access.is_sqlite:
        return []
    return [str(row[0]) for row in access.rows("PRAGMA integrity_check(20)") if row[0] != "ok"]


def make_scratch(access: Access) -> None:
    """Let a temporary SQLite file be fast rather than safe, and take any order of rows."""
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "secure_delete = OFF"):
        access.run(f"PRAGMA {pragma}")
    for (name,) in access.rows("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
        access.run(f"DROP TRIGGER {name}")
