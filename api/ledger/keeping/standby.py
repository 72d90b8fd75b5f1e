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
# What came is shown where it is repeated. Where the primary is silent for longer than a standby that hears nothing waits
# until it asks (walreceiver.c: half its `wal_receiver_timeout`), what is shown may be as old as that silence; where nothing
# comes any more, what was repeated last tells how old. When it last heard something not every role is told.
_BEHIND = (
    "SELECT (CASE"
    " WHEN receiver.pid IS NULL OR pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn()"
    " THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())"
    " WHEN receiver.silence > receiver.usual THEN extract(epoch FROM receiver.silence) ELSE 0 END)::float8"
    " FROM (VALUES (1)) AS one LEFT JOIN (SELECT pid, clock_timestamp() - last_msg_receipt_time AS silence,"
    " nullif(current_setting('wal_receiver_timeout')::interval, '0') / 2 + interval '1s' AS usual"
    " FROM pg_stat_wal_receiver) AS receiver ON true"
)


def as_it_allows(settings: Settings, database: Database) -> Settings:
    """Give settings that ask of a database no more than it does: a standby is only read. Raises Unavailable."""
    if settings.read_only or not _is_on_standby(database):
        return settings
    return settings.model_copy(update={"read_only": True})


def check_primary(database: Database) -> None:
    """Raise ReadOnly where the server is a standby."""
    if _is_on_standby(database):
        raise ReadOnly("the server is a standby, which is only read; this command needs the primary")


def _is_on_standby(database: Database) -> bool:
    return not database.is_sqlite and database.call(_is_standby)


def seconds_behind(access: Reads) -> float | None:
    """Say how many seconds ago the server showed what its primary did; None where it is no standby, or has shown nothing yet."""
    row = access.row(_BEHIND) if _is_standby(access) else None
    return None if row is None or row[0] is None else max(float(row[0]), 0.0)


def _is_standby(access: Reads) -> bool:
    return not access.is_sqlite and bool(access.rows("SELECT pg_is_in_recovery()")[0][0])


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
