"""What this process found damaged in the log, and the thread that looks for it: slowly, block by block, again and again.

Whoever meets damage notes it here: a reader, a proof, the signer, the walk itself. It is remembered until the process ends.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing

from api.domain.errors import LedgerError, LogDamaged
from api.ledger.reading import soundness
from api.ledger.reading.soundness import BLOCK
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS, described, is_damaged
from api.ledger.writing.redacting import REDACTED_FROM

_log = logging.getLogger("ledger")


class Watch:
    """Remembers damage, and looks for it. A read asks nothing of it, an append whether one attribute is None."""

    def __init__(self, database: Database, *, rest: float = 50.0, pause: float = 60.0) -> None:
        """For each second of looking `rest` seconds are rested, and `pause` seconds after each round."""
        self._database, self._rest, self._pause = database, rest, pause
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.damage: str | None = None
        # How far this round of looking is, and how many were finished.
        self.position = self.rounds = 0

    def start(self) -> None:
        """Look at the end of the log now, and from then on at all of it. What is found is kept, not raised: reads go on."""
        self._quietly(self.look)
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def guard(self) -> None:
        """Raise LogDamaged if anything was found."""
        if self.damage is not None:
            raise LogDamaged(self.damage)

    def note(self, damage: LogDamaged) -> None:
        """Remember what was found first, and tell the operator."""
        if self.damage is None:
            self.damage = damage.reason
            _log.critical("the log is damaged, appends are refused: %s", damage.reason)

    def look(self) -> None:
        """Look at what a node stands on: triggers, the end of the log, its last events. Raises LogDamaged."""
        with closing(self._database.connect_to_read()) as access, access.snapshot():
            access.upkeep.hold(REDACTED_FROM)
            soundness.look(access)

    def walk(self) -> None:
        """Look through all of the log now, without a rest."""
        self._quietly(lambda: self._round(rest=0.0))

    def _run(self) -> None:
        while self.damage is None and not self._stopping.is_set():
            self._quietly(lambda: self._round(self._rest))
            self._stopping.wait(self._pause)

    def _round(self, rest: float) -> None:
        """Look at block after block, and rest for `rest` times as long: so a round takes next to nothing of the machine."""
        with closing(self._database.connect_to_read()) as access:
            block, size = 0, 1
            while block * BLOCK < size and not self._stopping.is_set():
                began = time.monotonic()
                size = _look_at(access, block)
                block += 1
                self.position = min(size, block * BLOCK)
                self._stopping.wait((time.monotonic() - began) * rest)
        self.rounds += 1

    def _quietly(self, work: Callable[[], None]) -> None:
        """Note what is found. Where the database cannot be asked, there will be another time."""
        try:
            work()
        except LogDamaged as damage:
            self.note(damage)
        except (LedgerError, *DRIVER_ERRORS, OSError, MemoryError) as error:
            if is_damaged(error):
                self.note(LogDamaged("what is stored can no longer be read"))
            else:
                _log.warning("the log could not be looked at: %s", described(error))
        except Exception as error:  # noqa: BLE001 - what nobody thought of is in the log, not in who looks
            self.note(LogDamaged(f"what is stored cannot be understood: {described(error)}"))


def _look_at(access: Access, block: int) -> int:
    """Look at a block, and at the end of the log, which is given. Raises LogDamaged."""
    with access.snapshot():
        access.upkeep.hold(REDACTED_FROM)
        if block == 0:
            soundness.check_protection(access)
        size = soundness.check_end(access).size
        soundness.check_block(access, block, size)
    return size
