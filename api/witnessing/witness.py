"""A witness: it remembers how far it has seen each log and cosigns what grew from there (c2sp.org/tlog-witness).

What may be cosigned is judged here, in the order that the protocol sets, and kept before it is said. HTTP is not.
A log's keys are those an operator names; the witness takes none on the log's own word.
"""

import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from api.domain.errors import Misconfigured, Unavailable
from api.domain.log import checkpoint, cosignature
from api.domain.log.checkpoint import Checkpoint, encode64
from api.domain.log.cosignature import CosigningKey
from api.domain.log.merkle import EMPTY_ROOT, verify_consistency
from api.domain.log.submission import Submission, proves_fork
from api.witnessing.witnessed import Evidence, Witnessed, settle

_log = logging.getLogger("ledger.witness")


class NotCosigned(Exception):
    """Base of what a witness refuses; the sentence names the rule."""


class NotReadable(NotCosigned):
    """The body, or its note, is not of the form agreed."""


class UnknownLog(NotCosigned):
    """No key of this origin is trusted."""


class Untrusted(NotCosigned):
    """No trusted key signed, or one is named that did not, or the log is known to have forked."""


class WrongSize(NotCosigned):
    """The old size is not the size last cosigned, which is `size`."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the size last cosigned is {size}")
        self.size = size


class Inconsistent(NotCosigned):
    """The checkpoint is not shown to continue the one last cosigned."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The last note cosigned and when, in POSIX seconds."""

    note: str
    checkpoint: Checkpoint
    time: int


@dataclass(frozen=True, slots=True)
class Log:
    """A log that is watched: its keys, and what is remembered of it."""

    origin: str
    vkeys: tuple[str, ...]
    memory: Witnessed


class Witness:
    """Judges checkpoints of the logs whose keys it was given. Threads and processes may share one state folder."""

    def __init__(
        self, key: CosigningKey, vkeys: Sequence[str], state: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._key, self._clock = key, clock
        origins = dict.fromkeys(map(_origin_of, vkeys))
        self._logs = {
            origin: Log(origin, tuple(vkey for vkey in vkeys if _origin_of(vkey) == origin), Witnessed(state, origin))
            for origin in origins
        }
        self._by_name = {log.memory.name: log for log in self.logs}
        for log in self.logs:
            self.recorded(log)

    @property
    def logs(self) -> list[Log]:
        return list(self._logs.values())

    @property
    def vkey(self) -> str:
        return self._key.vkey

    @property
    def name(self) -> str:
        return self._key.name

    def add(self, body: bytes) -> str:
        """Judge the body of an add-checkpoint request and give the signature lines of its answer. Raises NotCosigned."""
        try:
            given = Submission.decode(body)
        except ValueError as error:
            raise NotReadable(str(error)) from error
        return self.consider(given, None)

    def consider(self, given: Submission, old_root: bytes | None) -> str:
        """Judge a checkpoint and give its cosignature as a line. `old_root` is what the path came with, if anything.

        Raises NotCosigned; Unavailable where what is remembered cannot be read.
        """
        log, stated = self.open(given.note)
        if given.old > stated.size:
            raise NotReadable("the old size is larger than the checkpoint's")
        with log.memory.locked():
            return self._judge(log, given, stated, old_root)

    def consider_older(self, note: str, path: Sequence[bytes], old_root: bytes) -> None:
        """Judge a checkpoint smaller than the one last cosigned, by a path that leads there. Raises NotCosigned."""
        log, stated = self.open(note)
        with log.memory.locked():
            self._refuse_forked(log)
            recorded = self._held(log)
            if recorded.checkpoint.size < stated.size:
                return
            if proves_fork(stated, recorded.checkpoint, path, old_root):
                self._accuse(log, recorded, note, path)
            elif not _continues(stated, recorded.checkpoint, path):
                why = "the log serves a smaller checkpoint than it had signed, and does not show it to be a prefix"
                self._wonder(log, recorded, note, path, why)
            else:
                return
        raise Inconsistent("the checkpoint is smaller than the one last cosigned, and no prefix of it")

    def open(self, note: str) -> tuple[Log, Checkpoint]:
        """Read a note of a log that is watched, signed by a key that is trusted. Raises NotCosigned."""
        try:
            text, lines = checkpoint.split(note)
            stated = checkpoint.parse(text)
            for line in lines:
                checkpoint.parse_signature(line)
        except ValueError as error:
            raise NotReadable(str(error)) from error
        log = self._logs.get(stated.origin)
        if log is None:
            raise UnknownLog("no log of this origin is watched")
        try:
            checkpoint.verify_note(note, log.vkeys)
        except ValueError as error:
            raise Untrusted(str(error)) from error
        return log, stated

    def recorded(self, log: Log) -> Recorded | None:
        """Give the last note cosigned of a log. Raises Unavailable if the file is not as this key left it."""
        note = log.memory.note()
        if note is None:
            return None
        try:
            made = cosignature.read(note, [self.vkey])
            return Recorded(note, checkpoint.parse(checkpoint.split(note)[0]), made[0].time)
        except (ValueError, IndexError) as error:
            raise Unavailable(f"what was last cosigned of {log.memory.name} is damaged or under another key") from error

    def named(self, name: str) -> Log | None:
        """Find a log by the SHA-256 of its origin, in hex."""
        return self._by_name.get(name)

    def _judge(self, log: Log, given: Submission, stated: Checkpoint, old_root: bytes | None) -> str:
        """Decide under the log's lock, so that no later answer can be overtaken by an earlier one."""
        self._refuse_forked(log)
        recorded = self._held(log)
        held = recorded.checkpoint
        is_next = given.old == held.size
        if recorded.note and (is_next or stated.size == held.size):
            first_root = held.root if old_root is None else old_root
            if proves_fork(held, stated, given.path, first_root):
                self._accuse(log, recorded, given.note, given.path)
        if not is_next:
            raise WrongSize(held.size)
        if not _continues(held, stated, given.path):
            if recorded.note and log.memory.fork() is None:
                self._wonder(log, recorded, given.note, given.path, "the consistency proof does not hold")
            raise Inconsistent("the checkpoint is not shown to continue the one last cosigned")
        return self._cosign(log, given.note)

    def _held(self, log: Log) -> Recorded:
        """Give the last note cosigned, or the empty tree that every log begins with."""
        return self.recorded(log) or Recorded("", Checkpoint(log.origin, 0, EMPTY_ROOT), 0)

    def _cosign(self, log: Log, note: str) -> str:
        text, lines = checkpoint.split(note)
        own = {checkpoint.parse_key(vkey)[:2] for vkey in log.vkeys}
        verified = [line for line in dict.fromkeys(lines) if checkpoint.parse_signature(line)[:2] in own]
        line = self._key.cosign(text, int(self._clock()))
        log.memory.keep("\n".join([text, *verified, line, ""]))
        # From here on the cosignature is durable: whatever is asked next is held against it.
        return line

    def _refuse_forked(self, log: Log) -> None:
        if log.memory.fork() is not None:
            raise Untrusted("this log has signed two histories; the evidence is kept")

    def _accuse(self, log: Log, recorded: Recorded, note: str, path: Sequence[bytes]) -> None:
        why = "the log signed two histories"
        log.memory.accuse(self._evidence(recorded, note, path, why))
        _log.critical(
            "%s: %s; it is refused until an operator removes fork.json in %s", log.origin, why, log.memory.name
        )

    def _wonder(self, log: Log, recorded: Recorded, note: str, path: Sequence[bytes], why: str) -> None:
        log.memory.wonder(self._evidence(recorded, note, path, why))
        _log.error("%s: %s; both notes are in doubt.json of %s", log.origin, why, log.memory.name)

    def _evidence(self, recorded: Recorded, note: str, path: Sequence[bytes], why: str) -> Evidence:
        proof = list(map(encode64, path))
        return Evidence(found_at=int(self._clock()), why=why, recorded=recorded.note, submitted=note, proof=proof)


def open_key(path: Path, name: str | None) -> CosigningKey:
    """Read a witness's key, or make it under the name given, or one of no meaning. Raises Misconfigured."""
    try:
        if not path.exists():
            _make_key(path, name or f"{uuid4()}.witness.invalid")
        key = CosigningKey.decode(path.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise Misconfigured("--key", f"the file can be neither read nor made: {error.strerror}") from error
    except ValueError as error:
        raise Misconfigured("--key", str(error)) from error
    if name not in (None, key.name):
        raise Misconfigured("--name", "the key that is there has another name")
    return key


def _make_key(path: Path, name: str) -> None:
    """Write a new key whole or not at all; where two processes make one, the first one's stays."""
    key = CosigningKey(name, secrets.token_bytes(32))
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(key.encode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    settle(path.parent)


def _origin_of(vkey: str) -> str:
    """Give the name in a log's key, which is its origin (c2sp.org/tlog-checkpoint). Raises Misconfigured."""
    try:
        return checkpoint.check_vkey(vkey)
    except ValueError as error:
        raise Misconfigured("--log", str(error)) from error


def _continues(held: Checkpoint, stated: Checkpoint, path: Sequence[bytes]) -> bool:
    return verify_consistency(held.size, stated.size, held.root, stated.root, path)
