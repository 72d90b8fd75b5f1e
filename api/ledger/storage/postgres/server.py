"""What is particular to a connection to a PostgreSQL server: waits that end, and commits that no standby is known to have.

A server may be frozen, or wait for a standby that is away: nothing that it does itself ends that, so it is ended here.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import Diagnostic
from psycopg.rows import TupleRow

from api.domain.errors import Unavailable
from api.ledger.storage.faults import Late, Unconfirmed
from api.settings import Settings

Result = TypeVar("Result")
_INTERVAL = 0.1
# How a server tells that it no longer waits for a standby (syncrep.c): a warning without a code of its own where the wait
# was cancelled, one of shutdown where the connection ends with it.
_NO_LONGER_WAITS = ("01000", "57P01")
# For a commit to last beyond a crash of the server it must wait for its disk, and for its standbys where it has to.
_SET_UP = (
    "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply'"
    " THEN 'remote_apply' ELSE 'on' END, false)"
)
_DURABLE = (
    "SELECT current_setting('synchronous_commit') IN ('on', 'remote_apply'), current_setting('fsync') = 'on',"
    " current_setting('full_page_writes') = 'on'"
)
_WHY_NOT = ("synchronous_commit is weaker than on", "fsync is off", "full_page_writes is off")
# Writes a few bytes to the server's log and nowhere else: its commit waits for all that was committed before.
_CONFIRM = "BEGIN; SELECT pg_logical_emit_message(true, 'ledger', ''); COMMIT"
# Ends that confirmation at the server once nobody waits for it here. It commits nothing of anybody's.
_LEFT_WAITING = (
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep' AND query = %s"
)
# In milliseconds, for those who have no limit or a longer one.
_BOUND = (
    "SELECT set_config(name, %s::text, false) FROM pg_settings"
    " WHERE name = %s AND (setting::bigint = 0 OR setting::bigint > %s)"
)
# How often a server looks whether somebody still waits for what it does, in seconds.
_LOOK_EVERY = 2.0
# What a connection that is at work on something long does: works, or waits for a standby.
_SILENT = "the server did not answer in time"
_WAITS_FOR_STANDBY = "SELECT wait_event IS NOT DISTINCT FROM 'SyncRep' FROM pg_stat_activity WHERE pid = %s"


class Server(psycopg.Connection[TupleRow]):
    """A connection whose every wait ends: after `patience` seconds, or at once when `gives_up` is set. Raises Late.

    One that is `patient` waits on where another connection tells that the server is at work on what was asked.
    """

    patience: float | None = None
    gives_up: threading.Event | None = None
    is_patient = False
    ask: Callable[[str, tuple[int | str, ...]], list[TupleRow]] | None = None
    _is_in_doubt = False

    def wait(self, gen: PQGen[Result], interval: float = _INTERVAL, timeout: float | None = None) -> Result:
        try:
            return super().wait(self._patiently(gen), interval, timeout)
        except Late:
            self.pgconn.finish()
            raise

    def _patiently(self, gen: PQGen[Result]) -> PQGen[Result]:
        """Pass on between the talk with the server and whoever waits for its socket, who comes by in each interval."""
        until = None if self.patience is None else time.monotonic() + self.patience
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready:
                    until = self._judge(until)
                wanted = gen.send(ready)
        except StopIteration as end:
            result: Result = end.value
            return result

    def _judge(self, until: float | None) -> float | None:
        """Say until when it is worth waiting. Raises Late where it no longer is."""
        if self.gives_up is not None and self.gives_up.is_set():
            raise Late("the process ends and waits for no server")
        if until is None or self.patience is None or time.monotonic() < until:
            return until
        if self.is_patient:
            self._check_at_work()
            return time.monotonic() + self.patience
        raise Late(_SILENT)

    def _check_at_work(self) -> None:
        """Raise Late unless another connection tells that this one is at work, or waits its turn."""
        found: list[TupleRow] = []
        if self.ask is not None:
            with suppress(psycopg.Error):
                found = self.ask(_WAITS_FOR_STANDBY, (self.pgconn.backend_pid,))
        if not found:
            raise Late(_SILENT)
        if found[0][0]:
            raise Late("the server waits for a standby that does not answer")

    def bound(self, name: str, seconds: float) -> None:
        """Let a setting of the server be so many seconds, if it is none or more: an operator's shorter one stays."""
        most = max(int(seconds * 1000), 1)
        self.execute(_BOUND, (most, name, most))

    def heed(self, told: Diagnostic) -> None:
        """Learn from a notice that a commit is not known to have reached a standby."""
        if told.sqlstate in _NO_LONGER_WAITS and told.severity_nonlocalized == "WARNING":
            self._is_in_doubt = True

    def check_confirmed(self) -> None:
        """Raise Unconfirmed where the last commit is in doubt; once."""
        if self._is_in_doubt:
            self._is_in_doubt = False
            raise Unconfirmed("the wait for a standby was cancelled")

    def confirm(self) -> None:
        """Wait until all that was committed before is on the standbys that the server waits for. Raises Unconfirmed."""
        pid = self.pgconn.backend_pid
        try:
            self.execute(_CONFIRM, prepare=False)
        except Late:
            # None of the server's own limits ends a wait for a standby.
            if self.ask is not None:
                with suppress(psycopg.Error):
                    self.ask(_LEFT_WAITING, (pid, _CONFIRM))
            raise
        self.check_confirmed()

    def check_durable(self) -> None:
        """Raise Unavailable where the server is set up such that a crash may lose what it acknowledges."""
        row = self.execute(_DURABLE).fetchone()
        reasons = [why for why, holds in zip(_WHY_NOT, row or (), strict=False) if not holds]
        if reasons:
            raise Unavailable(f"the server may lose what it acknowledges: {', '.join(reasons)}")


def connect(given: Mapping[str, Any], settings: Settings, gives_up: threading.Event) -> Server:
    """Connect to the server of a URL, for what may take long: others set their own patience. Raises psycopg's errors."""
    known = {"connect_timeout": settings.connect_timeout, **given}

    def ask(sql: str, parameters: tuple[int | str, ...]) -> list[TupleRow]:
        with Server.connect(autocommit=True, **known) as other:
            other.patience, other.gives_up = settings.connect_timeout, gives_up
            return other.execute(sql, parameters).fetchall()

    server = Server.connect(autocommit=True, **known)
    server.add_notice_handler(server.heed)
    server.patience, server.gives_up = settings.start_timeout, gives_up
    server.is_patient, server.ask = True, ask
    server.execute(_SET_UP)
    # Older versions, and servers on some systems, have no such setting.
    with suppress(psycopg.DataError):
        server.bound("client_connection_check_interval", _LOOK_EVERY)
    server.autocommit = False
    return server
