"""What is due after many events, done in a thread of its own: no writer is kept from its work."""

import threading
from contextlib import closing, suppress

from api.domain.errors import LedgerError
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS

# Events after which something is due for the first time.
_FIRST_AFTER = 250


class Aftercare:
    """Counts events, and wakes its thread when something is due (`Upkeep.do_what_is_due`).

    The writer's thread alone calls `note`. `_due_after` is set by this thread and read by the writer's: a number that is
    a little old makes the work due a little early or late, and nothing else.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting, self._due_after = 0, _FIRST_AFTER
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
            # What fails here is tried again when it is next due.
            with suppress(LedgerError, *DRIVER_ERRORS), closing(self._database.connect()) as access:
                self._due_after = access.upkeep.do_what_is_due()
