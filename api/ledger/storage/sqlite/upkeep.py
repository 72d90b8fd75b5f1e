"""Care of SQLite's file: what a redaction removed is looked for in its pages and written over while others write.

The write-ahead log lets others read an older state meanwhile, so no table is made anew beside an old one.
"""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from api.ledger.storage.access import Access
from api.ledger.storage.sqlite.pages import Leftover, leftovers
from api.ledger.storage.tables import FOREVER
from api.ledger.storage.upkeep import TURN, Traces, Upkeep

# Events, of some pages each. A writer that is far ahead of this sees to it itself (`wal_autocheckpoint`).
_DUE_AFTER = 250
_PURGE_TRIES, _PURGE_PAUSE = 5, 1
# Pages of the index of words that are merged in one transaction. A merge that changed fewer rows had nothing to do.
_MERGED_AT_ONCE, _SOME_WORK = 64, 2
# How many rows are put beside one to fill its page. More each time: rows that split the page leave room in the new ones.
_FILLERS = (200, 1_000, 5_000)


class SqliteUpkeep(Upkeep):
    """Care of the file that one connection has open; `driver` is that of `access`."""

    def __init__(self, access: Access, driver: sqlite3.Connection) -> None:
        self._access, self._driver = access, driver

    def do_what_is_due(self) -> int:
        """Copy what is committed from the write-ahead log into the database; the last connection copies what is left."""
        self._access.rows("PRAGMA wal_checkpoint(PASSIVE)")
        return _DUE_AFTER

    def take_stock(self) -> None:
        """Do nothing: SQLite's planner looks at no statistics that it was not given."""

    def faults(self) -> list[str]:
        return [str(row[0]) for row in self._access.rows("PRAGMA integrity_check(20)") if row[0] != "ok"]

    def hold(self, tables: Sequence[str]) -> None:
        """Do nothing: no table is ever replaced."""

    def alone(self, _turn: float = TURN) -> AbstractContextManager[None]:
        return nullcontext()

    def is_any_left(self) -> bool:
        return False

    def filling_anew(
        self,
        _tables: Sequence[str],
        *,
        sought: Sequence[str],  # noqa: ARG002 - the tables are written as they stand
    ) -> AbstractContextManager[None]:
        return nullcontext()

    def _erase(self, _tables: Sequence[str], traces: Traces | None) -> str:
        """Leave nothing in the index of words, in the room between rows, and in the write-ahead log.

        Where it is known what the rows said it is looked for and written over, a few pages at a time, while others write;
        else the file is written anew, which takes as long as its size asks for.
        """
        if traces is None:
            self._access.run("INSERT INTO search_index (search_index) VALUES ('optimize')")
            return self._write_anew()
        self._merge_words()
        for fillers in _FILLERS:
            held = self._empty_write_ahead_log()
            if held:
                return held
            found = leftovers(self.file, traces.texts, traces.salts)
            if not found:
                return ""
            for each in found:
                self._write_over(each, fillers)
        # What is left stands where no row can be put, so all rows are written elsewhere.
        return self._write_anew()

    def _write_anew(self) -> str:
        self._access.run("VACUUM")
        return self._empty_write_ahead_log()

    @property
    def file(self) -> Path:
        """Where the database is."""
        return Path(self._access.rows("PRAGMA database_list")[0][2])

    def _merge_words(self) -> None:
        """Merge the index of words into one, a few pages at a time, until nothing is left of words that were taken out."""
        pages = -_MERGED_AT_ONCE
        while True:
            before, began = self._driver.total_changes, time.perf_counter()
            self._access.run("INSERT INTO search_index (search_index, rank) VALUES ('merge', ?)", (pages,))
            # The statement itself is one change (https://sqlite.org/fts5.html, section 6.8).
            if pages > 0 and self._driver.total_changes - before < _SOME_WORK:
                return
            pages = _MERGED_AT_ONCE
            # A writer that waits for SQLite's lock polls it: for half of the time it finds the lock free.
            time.sleep(time.perf_counter() - began)

    def _write_over(self, leftover: Leftover, count: int) -> None:
        """Fill the page that holds a key with rows beside it, and delete them again, which nobody else sees."""
        access, many = self._access, range(count)
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

    def _empty_write_ahead_log(self) -> str:
        """Copy all of the write-ahead log into the database, and cut it off. Says what is in the way, if anything."""
        self._access.run("PRAGMA busy_timeout = 1000")
        try:
            for _ in range(_PURGE_TRIES):
                # The first column says whether somebody still reads an older state.
                if not self._access.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
                    return ""
                # `busy_timeout` does not wait for somebody who copies from the log just now.
                time.sleep(_PURGE_PAUSE)
        finally:
            self._access.run("PRAGMA busy_timeout = 30000")
        return "a reader holds on to an older state of the database"


def make_scratch(access: Access) -> None:
    """Let a temporary SQLite file be fast rather than safe, and take any order of rows."""
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "secure_delete = OFF"):
        access.run(f"PRAGMA {pragma}")
    for (name,) in access.rows("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
        access.run(f"DROP TRIGGER {name}")
