"""Hot standbys: servers that repeat what another one writes, and are only read. How far such a one is behind."""

import logging
import threading
from contextlib import closing

from api.domain.errors import LedgerError, ReadOnly
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS, described
from api.ledger.storage.reads import Reads
from api.settings import Settings

_log = logging.getLogger("ledger")
# In seconds: so often it is looked.
_EVERY = 1.0


def as_it_allows(settings: Settings, database: Database) -> Settings:
    """Give settings that ask of a database no more than it does: a standby is only read. Raises Unavailable."""
    # A file is no standby, and may not be there yet.
    if settings.read_only or settings.is_sqlite or not database.call(_is_standby):
        return settings
    return settings.model_copy(update={"read_only": True})


def check_primary(database: Database) -> None:
    """Raise ReadOnly where the server is a standby."""
    if database.call(_is_standby):
        raise ReadOnly("the server is a standby, which is only read; this command needs the primary")


def seconds_behind(access: Reads) -> float | None:
    """Say how many seconds ago the server showed what its primary did; None where it is no standby, or has shown nothing yet."""
    return access.seconds_behind()


def _is_standby(access: Reads) -> bool:
    return access.is_standby()


class Lag:
    """How far a standby is behind, looked at every second; a scrape costs no question."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lag", daemon=True)
        self.seconds: float | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
            except (LedgerError, *DRIVER_ERRORS) as error:
                self.seconds = None
                _log.warning("how far the standby is behind is not known: %s", described(error))
            self._stopping.wait(_EVERY)

    def _look(self) -> None:
        with closing(self._database.connect_to_read()) as access:
            while not self._stopping.is_set():
                self.seconds = seconds_behind(access)
                if self._stopping.wait(_EVERY):
                    return
