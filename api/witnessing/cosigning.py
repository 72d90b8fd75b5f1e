"""Asking witnesses to cosign each checkpoint (c2sp.org/tlog-witness), and publishing what they sign.

Each witness has a thread of its own, so that one that is dead or slow keeps nobody waiting: no append, no other witness.
Checkpoints signed while one is being cosigned are passed over for the newest.
"""

import logging
import random
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from api.domain.errors import LedgerError
from api.domain.log import cosignature
from api.domain.log.checkpoint import split
from api.domain.log.submission import Submission
from api.ledger.reading import proofs
from api.ledger.signing.checkpoints import Checkpoints, Signed
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS
from api.settings import WitnessAddress
from api.witnessing.remote import Remote, Reply, Unreachable

_log = logging.getLogger("ledger.cosigning")
_COSIGNED, _CONFLICT = 200, 409
_SIZE_TYPE = "text/x.tlog.size"
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
# Other nodes may submit too: so often the size may change between our asking and our asking again.
_ROUNDS = 5
# Seconds: between two requests to one witness, and after failures, doubled each time up to the last.
_PAUSE, _FIRST_WAIT, _LONGEST_WAIT = 0.5, 1.0, 300.0
_DOUBLINGS = 10
# Seconds to wait for a thread that is told to stop.
_FAREWELL = 5.0


class _Failed(Exception):
    """A witness did not cosign, for a reason that may pass."""


class _Alarm(_Failed):
    """A witness holds another history of this log than we do, or refuses it: an operator must look."""


@dataclass
class Tally:
    """What became of asking one witness. `alarm` says why an operator must look, while they must."""

    size: int = 0
    requests: int = 0
    failures: int = 0
    alarm: str | None = None

    def numbers(self) -> Mapping[str, float]:
        return {
            "witness_cosigned_size": self.size,
            "witness_requests_total": self.requests,
            "witness_failures_total": self.failures,
            "witness_alarm": self.alarm is not None,
        }


class Cosigning:
    """The witnesses of one ledger. Addresses with one URL are one witness with several keys."""

    def __init__(self, database: Database, checkpoints: Checkpoints, addresses: Sequence[WitnessAddress]) -> None:
        urls = dict.fromkeys(address.url for address in addresses)
        self._asking = [
            _Asking(database, checkpoints, url, [at.vkey for at in addresses if at.url == url]) for url in urls
        ]
        for asking in self._asking:
            checkpoints.subscribe(asking.tell)

    def start(self) -> None:
        for asking in self._asking:
            asking.start()

    def stop(self) -> None:
        """Stop asking; what is under way is broken off."""
        for asking in self._asking:
            asking.stop()

    def tallies(self) -> Mapping[str, Tally]:
        """Give what became of asking each witness, by the name in its first key."""
        return {asking.name: asking.tally for asking in self._asking}


class _Asking:
    """One witness: what it last knew of us, and the thread that asks it."""

    def __init__(self, database: Database, checkpoints: Checkpoints, url: str, vkeys: list[str]) -> None:
        self._database, self._checkpoints, self._vkeys = database, checkpoints, vkeys
        self._remote = Remote(url)
        self._newest: Signed | None = None
        # What the witness says it cosigned last; it is asked when we do not know better than nothing.
        self._known = 0
        self._news, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="cosigning", daemon=True)
        self.name = cosignature.check_vkey(vkeys[0])
        self.tally = Tally()

    def tell(self, signed: Signed) -> None:
        """Learn of a new signature; returns at once."""
        self._newest = signed
        self._news.set()

    def start(self) -> None:
        # What was signed before anybody subscribed is to be cosigned too.
        self._news.set()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._news.set()
        self._remote.abort()
        if self._thread.is_alive():
            self._thread.join(_FAREWELL)

    def _run(self) -> None:
        row = 0
        while not self._stopping.is_set():
            self._news.wait()
            self._news.clear()
            if self._stopping.is_set():
                return
            row = 0 if self._attempt() else row + 1
            if row:
                self._news.set()
            self._stopping.wait(_wait(row))

    def _attempt(self) -> bool:
        """Ask once, and say whether there is nothing left to ask for; failures are counted, and told where they change."""
        try:
            self._ask(self._newest or self._checkpoints.latest())
        except _Alarm as alarm:
            self._fail(str(alarm), alarm=str(alarm))
            return False
        except (_Failed, Unreachable, LedgerError, *DRIVER_ERRORS) as failure:
            self._fail(str(failure), alarm=self.tally.alarm)
            return False
        self._succeed()
        return True

    def _succeed(self) -> None:
        if self.tally.alarm is not None:
            _log.warning("witness %s: cosigns again", self.name)
        self.tally.alarm = None

    def _fail(self, why: str, *, alarm: str | None) -> None:
        self.tally.failures += 1
        if alarm is None:
            _log.warning("witness %s: %s", self.name, why)
        elif alarm != self.tally.alarm:
            _log.critical("witness %s: %s", self.name, why)
        self.tally.alarm = alarm

    def _ask(self, signed: Signed) -> None:
        """Have one checkpoint cosigned, from whatever size the witness knows. Raises _Failed or Unreachable."""
        for _ in range(_ROUNDS):
            if signed.size == self.tally.size:
                return
            if self._known > signed.size:
                signed = self._catch_up()
            answer = self._send(signed)
            if answer.status == _COSIGNED:
                self._publish(signed, answer)
                return
            if answer.status != _CONFLICT:
                raise _refusal(answer)
            self._known = _size_in(answer)
        raise _Failed("its size changed with each request")

    def _catch_up(self) -> Signed:
        """Give a checkpoint as large as the one the witness has: another node may have had it cosigned before us."""
        signed = self._checkpoints.latest()
        if self._known > signed.size:
            known, self._known = self._known, 0
            raise _Alarm(f"it has cosigned this log up to {known}, and we end at {signed.size}: was ours rolled back?")
        return signed

    def _send(self, signed: Signed) -> Reply:
        proof = self._database.call(proofs.consistency, self._known, signed.size)
        self.tally.requests += 1
        return self._remote.post("add-checkpoint", Submission(self._known, tuple(proof.path), signed.note).encode())

    def _publish(self, signed: Signed, answer: Reply) -> None:
        """Keep the lines that its keys made; any other is ignored, a false one condemns the answer."""
        try:
            text = answer.text()
            lines = text.removesuffix("\n").split("\n")
            made = cosignature.verify(split(signed.note)[0], lines if text.endswith("\n") else [], self._vkeys)
        except ValueError as error:
            raise _Failed(f"its answer is false: {error}") from error
        if not any(line.time for line in made):
            raise _Failed("its answer holds no cosignature under a key we know")
        self._checkpoints.adopt(signed.size, [line.line for line in made if line.time])
        self._known = self.tally.size = signed.size


def numbers(tallies: Mapping[str, Tally]) -> Iterable[tuple[str, Mapping[str, float]]]:
    """Give what a scraper is shown of each witness."""
    return [(name, tally.numbers()) for name, tally in tallies.items()]


def _refusal(answer: Reply) -> _Failed:
    """Tell apart what an operator must look at: a refused history or key, from what passes by itself."""
    if answer.status in (403, 422):
        return _Alarm(f"it refuses our checkpoint with status {answer.status}: was our log forked, or its key changed?")
    return _Failed(f"it answers with status {answer.status}")


def _size_in(answer: Reply) -> int:
    found = _SIZE.fullmatch(answer.body)
    if answer.media_type != _SIZE_TYPE or found is None:
        raise _Failed("it answers a conflict without its size")
    return int(found[1])


def _wait(row: int) -> float:
    """Give the seconds until the next request, after so many failures in a row; jittered, so that nodes spread out."""
    if not row:
        return _PAUSE
    longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(row - 1, _DOUBLINGS))
    return random.uniform(longest / 2, longest)  # noqa: S311 - nothing secret hangs on it
