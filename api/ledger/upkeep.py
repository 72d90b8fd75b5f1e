"""Care of the database's own files: what is deleted leaves no trace, the planner knows what is there, damage is found."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress

import psycopg
from sqlmodel import SQLModel

from api.domain.errors import LedgerError, NotPurged
from api.ledger.database import DRIVER_ERRORS, Access, Database

_PURGE_TRIES, _PURGE_PAUSE = 5, 1
_COPIED = re.compile("[1-9]")
# Events, of some pages each. A writer that is far ahead of this sees to it itself (`wal_autocheckpoint`).
_BACKFILL_AFTER = 250


class Backfill:
    """Copies what is committed from SQLite's write-ahead log into the database, so that no writer is kept from its work.

    Does nothing on PostgreSQL, which has a process for it. What is left when it stops the last connection copies.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting = 0
        self._is_due, self._is_stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._database.is_sqlite:
            self._is_due.clear()
            self._is_stopping.clear()
            self._thread = threading.Thread(target=self._run, name="backfill", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._is_stopping.set()
        self._is_due.set()
        if self._thread is not None:
            self._thread.join()

    def note(self, events: int) -> None:
        """Learn that so many events more were committed."""
        self._waiting += events
        if self._waiting >= _BACKFILL_AFTER:
            self._waiting = 0
            self._is_due.set()

    def _run(self) -> None:
        while self._is_due.wait() and not self._is_stopping.is_set():
            self._is_due.clear()
            # Where it cannot be done now, there will be another time.
            with suppress(LedgerError, *DRIVER_ERRORS), closing(self._database.connect()) as access:
                access.rows("PRAGMA wal_checkpoint(PASSIVE)")


@contextmanager
def leaving_freed_pages(access: Access) -> Iterator[None]:
    """Spare SQLite the overwriting of pages that are freed here, where all that was on them may be read elsewhere."""
    if access.is_sqlite:
        access.run("PRAGMA secure_delete = FAST")
    try:
        yield
    finally:
        if access.is_sqlite:
            access.run("PRAGMA secure_delete = ON")


def take_stock(access: Access) -> None:
    """Tell PostgreSQL's planner how much is there, after much was written; by itself it looks within a minute or so."""
    if not access.is_sqlite:
        access.run(f"ANALYZE {', '.join(sorted(SQLModel.metadata.tables))}")


def erase_traces(access: Access, tables: Sequence[str]) -> None:
    """Leave nothing of rows that were deleted from these tables in the database's own files. Raises NotPurged.

    Takes the time that writing the tables anew takes; on PostgreSQL each is locked while it is its turn.
    """
    try:
        held = _vacuum_sqlite(access) if access.is_sqlite else _vacuum_postgresql(access, tables)
    except DRIVER_ERRORS as error:
        raise NotPurged("the database does not let its files be written anew") from error
    if held:
        raise NotPurged(held)


def _vacuum_sqlite(access: Access) -> str:
    """Merge the words' index, write the file anew and empty the write-ahead log. Says what is in the way, if anything."""
    access.run("INSERT INTO search_index (search_index) VALUES ('optimize')")
    # What secure_delete overwrote is gone; what was copied as pages split and merged goes with the old pages.
    access.run("VACUUM")
    access.run("PRAGMA busy_timeout = 2000")
    for _ in range(_PURGE_TRIES):
        # The first column says whether somebody still reads an older state.
        if not access.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
            return ""
        # Somebody who copies from it just now is not waited for.
        time.sleep(_PURGE_PAUSE)
    return "a reader holds on to an older state of the database"


def _vacuum_postgresql(access: Access, tables: Sequence[str]) -> str:
    """Write the tables and the statistics anew. Says what is in the way, if anything."""
    notices: list[tuple[str | None, str]] = []

    def keep(notice: psycopg.errors.Diagnostic) -> None:
        # It can be read only now.
        notices.append((notice.severity_nonlocalized, notice.message_detail or ""))

    access.driver.add_notice_handler(keep)  # type: ignore[attr-defined]
    access.run("SET lock_timeout = '5s'")
    for _ in range(_PURGE_TRIES):
        notices.clear()
        access.run(f"VACUUM (FULL, VERBOSE) {', '.join(tables)}")
        access.run(f"ANALYZE {', '.join(tables)}")
        access.run("VACUUM (FULL, VERBOSE) pg_catalog.pg_statistic")
        if any(severity == "WARNING" for severity, _ in notices):
            return "the database's owner alone may write its tables and statistics anew"
        # The detail begins with how many dead rows had to be copied, because an old snapshot may still ask for them.
        if not any(_COPIED.match(detail) for _, detail in notices):
            return ""
        time.sleep(_PURGE_PAUSE)
    return "a transaction, a standby or a replication slot holds on to an older state of the database"


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
