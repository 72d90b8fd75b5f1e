"""Checkpoints: the committed head, signed. What was signed last is kept beside the key, outside the database.

Signing what is kept first against the log is what tells a database that was restored from an old backup: its log is
shorter than, or different from, what this key has vouched for. Such a node neither signs nor appends.
"""

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from api.domain import checkpoint, merkle
from api.domain.errors import LedgerError, LogRefused, Unavailable
from api.domain.record import State
from api.ledger import genesis, proofs
from api.ledger.database import DRIVER_ERRORS, Access, Database
from api.ledger.writer import LEDGER

Result = TypeVar("Result")
_log = logging.getLogger("ledger")
_PAUSE = 0.1
_HEAD = (
    f"SELECT h.position, h.frontier, r.position FROM head h JOIN record r ON r.kind = '{LEDGER}' AND r.id = '{LEDGER}'"
)


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed note over the first `size` events, with the cosignatures that came for it."""

    note: str
    size: int
    root: bytes


class Checkpoints:
    """Signs what is committed, in one thread of its own after each commit, and whenever somebody asks."""

    def __init__(self, database: Database, key_path: Path) -> None:
        self._database, self._key_path = database, key_path
        self._access: Access | None = None
        self._lock = threading.Lock()
        self._signed: Signed | None = None
        self._chain: tuple[int, State] = (0, {})
        self._keys: dict[str, checkpoint.SigningKey] = {}
        self._callbacks: list[Callable[[Signed], None]] = []
        self._committed = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.refusal: str | None = None

    def start(self) -> None:
        """Sign what is there, and from now on after each commit. A refusal is kept, not raised: reads go on."""
        self._sign_quietly()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Sign what was committed last, then stop."""
        self._stopping.set()
        self._committed.set()
        if self._thread is not None:
            self._thread.join()
        if self._access is not None:
            self._access.close()
            self._access = None

    def committed(self) -> None:
        """Learn that events were committed; costs the writer nothing."""
        self._committed.set()

    def guard(self) -> None:
        """Raise LogRefused if this node may not append; whether that still holds is then looked at again."""
        if self.refusal is not None:
            self._committed.set()
            raise LogRefused(self.refusal)

    def subscribe(self, callback: Callable[[Signed], None]) -> None:
        """Call back after each new signature, in the thread that signed. The callback must be quick and not raise."""
        self._callbacks.append(callback)

    def latest(self) -> Signed:
        """Give the checkpoint of the committed head, signed now if nobody has. Raises LogRefused or Unavailable."""
        with self._lock:
            before = self._signed
            try:
                signed = self._read(self._sign_if_grown)
            except OSError as error:
                raise Unavailable(f"what is signed cannot be kept beside the key: {error.strerror}") from error
        if before is None or signed.size != before.size:
            for callback in self._callbacks:
                callback(signed)
        return signed

    def adopt(self, size: int, lines: Sequence[str]) -> None:
        """Publish witnesses' signature lines with the checkpoint of that size, if it is still the latest."""
        with self._lock:
            if self._signed is not None and self._signed.size == size:
                fresh = [line for line in lines if line not in self._signed.note.split("\n")]
                self._signed = replace(self._signed, note=self._signed.note + "".join(f"{line}\n" for line in fresh))

    def keys(self) -> list[State]:
        """Give the chain of keys, oldest first: `{vkey, from}`."""
        with self._lock:
            chain: list[State] = self._read(genesis.ledger_state)["keys"]
            return chain

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._committed.wait()
            self._committed.clear()
            self._sign_quietly()
            # Under load one signature covers the commits of a moment; who asks is given a fresh one at once.
            self._stopping.wait(_PAUSE)
        self._sign_quietly()

    def _sign_quietly(self) -> None:
        try:
            self.latest()
        except LedgerError as refusal:
            _log.error("no checkpoint: %s", refusal)

    def _read(self, view: Callable[[Access], Result]) -> Result:
        """Run a view; once more, by a new connection, where the old one may be gone. Raises Unavailable."""
        for _ in range(2):
            if self._access is None:
                self._access = self._database.connect()
            try:
                return view(self._access)
            except DRIVER_ERRORS:
                self._access.close()
                self._access = None
        raise Unavailable("the database does not answer")

    def _sign_if_grown(self, access: Access) -> Signed:
        size, *_ = access.row(_HEAD) or (0, b"", 0)
        if self._signed is not None and self._signed.size == size:
            return self._signed
        # Another process may have signed since: what is kept is read, checked and replaced under one lock.
        with _locked(self._key_path.parent):
            size, frontier, chain_at = access.row(_HEAD) or (0, b"", 0)
            if self._chain[0] != chain_at:
                self._chain = chain_at, genesis.ledger_state(access)
            try:
                check_kept(access, self._key_path, self._chain[1], size)
            except LogRefused as refusal:
                self.refusal = refusal.reason
                raise
            root = merkle.Frontier.from_bytes(bytes(frontier)).root()
            if proofs.root(access, size) != root:
                raise LogRefused("the tree that is stored is not the one that was appended to")
            self.refusal = None
            self._signed = self._sign(size, root)
        return self._signed

    def _sign(self, size: int, root: bytes) -> Signed:
        state = self._chain[1]
        key = self._key_for(vkey_at(state, size))
        note = checkpoint.sign(state["log_origin"], size, root, key)
        keep(self._key_path, note)
        return Signed(note, size, root)

    def _key_for(self, vkey: str) -> checkpoint.SigningKey:
        if vkey not in self._keys:
            self._keys.update((key.vkey, key) for key in genesis.keys_beside(self._key_path))
        if vkey not in self._keys:
            raise LogRefused("the key in force is not among this node's")
        return self._keys[vkey]


def vkey_at(state: State, size: int) -> str:
    """Give the key that signs checkpoints of a size: the last one in force from there on or before."""
    return str([key["vkey"] for key in state["keys"] if key["from"] <= max(size, 1)][-1])


def kept_path(key_path: Path) -> Path:
    """Name the file beside the key that holds the last note signed."""
    return key_path.with_name(key_path.name + ".signed")


def check_kept(access: Access, key_path: Path, state: State, size: int) -> None:
    """Hold the log against what was signed last. Raises LogRefused where it is shorter or different there."""
    try:
        note = kept_path(key_path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise LogRefused("what was signed last cannot be read") from error
    try:
        kept = checkpoint.open_note(note, [key["vkey"] for key in state["keys"]])
    except ValueError as error:
        raise LogRefused(
            "what was signed last is damaged, or of another log or a key that this log does not know"
        ) from error
    if kept.origin != state["log_origin"]:
        raise LogRefused("what was signed last is of another log")
    if kept.size > size:
        raise LogRefused(f"the log ends at position {size}; position {kept.size} was signed before")
    if proofs.root(access, kept.size) != kept.root:
        raise LogRefused(f"the log differs from what was signed at position {kept.size}")


def keep(key_path: Path, note: str) -> None:
    """Keep the note beside the key, durably, before anybody sees it."""
    path = kept_path(key_path)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(note)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out that sign for the same key; the folder itself is what is locked."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
