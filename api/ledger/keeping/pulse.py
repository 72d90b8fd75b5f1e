"""Who is told that the log grew: one thread of a process looks, however many wait, whichever process or node wrote.

What several want to read of the same state of the log is read once.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Hashable
from contextlib import closing
from typing import TypeVar, cast

from api.domain.errors import LedgerError
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS, described

_log = logging.getLogger("ledger")
_HEAD = "SELECT position FROM head"
# In seconds: so often it is looked whatever no signal told, and so long until a database that failed is tried again.
_AT_LEAST_EVERY, _PAUSE = 1.0, 1.0
Result = TypeVar("Result")


class Pulse:
    """The newest position, as one event loop knows it, and those who wait for a later one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_stopping = threading.Event()
        self._thread: threading.Thread | None = None
        # All below belongs to the event loop.
        self._loop: asyncio.AbstractEventLoop | None = None
        self.position = 0
        self._grown = asyncio.Event()
        self._shared: dict[Hashable, asyncio.Future[object]] = {}

    def start(self) -> None:
        """Begin to look, for the event loop that this is called in."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    def let_go(self) -> None:
        """Let nobody wait any longer, in whatever thread this is called: the process is to end."""
        self._is_stopping.set()
        self._in_loop(self._wake)

    def stop(self) -> None:
        self.let_go()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    @property
    def is_stopping(self) -> bool:
        """Whether the process is to end, so that nobody is to wait any longer."""
        return self._is_stopping.is_set()

    async def wait(self, after: int, seconds: float) -> bool:
        """Wait until the log is longer than this, or for so long. Says whether it is."""
        try:
            async with asyncio.timeout(seconds):
                while self.position <= after and not self.is_stopping:
                    await self._grown.wait()
        except TimeoutError:
            return False
        return self.position > after

    async def share(self, key: Hashable, read: Callable[[], Awaitable[Result]]) -> Result:
        """Read what a key stands for, or have what another is reading of the same state of the log."""
        task = self._shared.get(key)
        if task is None:
            task = self._shared[key] = asyncio.ensure_future(read())
            task.add_done_callback(lambda done: self._forget(key, done))
        return cast("Result", await asyncio.shield(task))

    def _forget(self, key: Hashable, task: "asyncio.Future[object]") -> None:
        """Keep nothing that was read. Who asked for it is told what went wrong; if nobody is left, nobody need be."""
        if self._shared.get(key) is task:
            del self._shared[key]
        if not task.cancelled():
            task.exception()

    def tell(self, position: int) -> None:
        """Learn, in whatever thread, that the log is at least so long."""
        self._in_loop(self._beat, position)

    def _in_loop(self, work: Callable[..., None], *given: object) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(work, *given)

    def _beat(self, position: int) -> None:
        if position > self.position:
            self.position = position
            self._shared.clear()
            self._wake()

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            try:
                with closing(self._database.connect_to_read()) as access:
                    self._look(access)
            except (LedgerError, *DRIVER_ERRORS) as error:
                _log.warning("pulse: the log cannot be looked at: %s", described(error))
                self._is_stopping.wait(_PAUSE)

    def _look(self, access: Access) -> None:
        known = 0
        while not self._is_stopping.is_set():
            row = access.row(_HEAD)
            if row is not None and row[0] != known:
                known = row[0]
                self.tell(known)
            access.wait_for_change(_AT_LEAST_EVERY)
