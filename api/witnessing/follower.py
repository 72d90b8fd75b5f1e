"""Following a ledger: a witness that looks by itself, without waiting to be asked.

It takes the ledger's checkpoint, asks it to prove that it continues the one last cosigned, and judges both as it would
judge what is submitted. What cannot be shown is reported; what shows a fork ends the matter for that log.
"""

import logging
import threading

import msgspec

from api.domain.errors import Unavailable
from api.domain.log.submission import Submission
from api.witnessing.remote import Remote, Reply, Unreachable
from api.witnessing.witness import NotCosigned, Witness, WrongSize

_log = logging.getLogger("ledger.witness")
_FOUND = 200
# Seconds to wait for a thread that is told to stop.
_FAREWELL = 5.0


class _Proof(msgspec.Struct, frozen=True):
    """What `/v1/proofs/consistency` answers; hashes in hex."""

    from_root: str
    path: list[str]

    def hashes(self) -> tuple[bytes, tuple[bytes, ...]]:
        return bytes.fromhex(self.from_root), tuple(map(bytes.fromhex, self.path))


_PROOF = msgspec.json.Decoder(_Proof)


class Follower:
    """Looks at one ledger every so many seconds, in a thread of its own."""

    def __init__(self, witness: Witness, url: str, every: float) -> None:
        self._witness, self._url, self._every = witness, url, every
        self._remote = Remote(url)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self.trouble: str | None = None

    @property
    def url(self) -> str:
        return self._url

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop, breaking off what is under way."""
        self._stop.set()
        self._remote.abort()
        if self._thread.is_alive():
            self._thread.join(_FAREWELL)

    def look(self) -> None:
        """Look once. `trouble` then says what is wrong, or is None; a new trouble is logged once."""
        trouble = self._trouble()
        if trouble not in (None, self.trouble):
            _log.error("%s: %s", self._url, trouble)
        self.trouble = trouble

    def _run(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(self._every)

    def _trouble(self) -> str | None:
        try:
            self._judge(self._ask("tlog/checkpoint").text())
        except WrongSize:
            # Somebody submitted a newer one meanwhile; the next look sees it.
            return None
        except (NotCosigned, Unreachable, Unavailable) as trouble:
            return str(trouble)
        except (ValueError, msgspec.MsgspecError):
            return "the ledger's answer is not of the form agreed"
        return None

    def _judge(self, note: str) -> None:
        log, stated = self._witness.open(note)
        recorded = self._witness.recorded(log)
        if recorded is None or recorded.checkpoint.size == 0:
            self._witness.consider(Submission(0, (), note), None)
            return
        held = recorded.checkpoint
        if stated.size == held.size:
            if stated.root != held.root or log.memory.fork() is not None:
                self._witness.consider(Submission(held.size, (), note), None)
        elif stated.size > held.size:
            old_root, path = self._prove(held.size, stated.size)
            self._witness.consider(Submission(held.size, path, note), old_root)
        else:
            self._look_back(note, stated.size, held.size)

    def _look_back(self, note: str, size: int, held: int) -> None:
        """Compare a smaller checkpoint; a ledger that cannot prove itself a prefix has shown nothing in its favour."""
        try:
            old_root, path = self._prove(size, held)
        except (Unreachable, ValueError, msgspec.MsgspecError):
            old_root, path = b"", ()
        self._witness.consider_older(note, path, old_root)

    def _prove(self, first: int, second: int) -> tuple[bytes, tuple[bytes, ...]]:
        answer = self._ask(f"v1/proofs/consistency?from={first}&to={second}")
        return _PROOF.decode(answer.body).hashes()

    def _ask(self, path: str) -> Reply:
        answer = self._remote.get(path)
        if answer.status != _FOUND:
            raise Unreachable(f"the ledger answers with status {answer.status}")
        return answer
