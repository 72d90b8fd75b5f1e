"""Checkpoints: the committed head, signed. What was signed last is kept beside the key, outside the database.

Signing what is kept first against the log is what tells a database that was restored from an old backup: its log is
shorter than, or different from, what this key has vouched for. Such a node neither signs nor appends.
"""

import asyncio
import fcntl
import glob
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from api.domain.errors import LedgerError, LogDamaged, LogRefused, ReadOnly, Unavailable
from api.domain.log import checkpoint
from api.domain.records.record import State
from api.ledger.keeping.watch import Watch
from api.ledger.reading import proofs, soundness
from api.ledger.reading.soundness import End, ledger_state
from api.ledger.signing.acknowledged import Acknowledged
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS, is_lost, translated
from api.ledger.storage.reads import Reads, stored_bytes
from api.ledger.storage.threads import Threads
from api.ledger.writing import genesis
from api.ledger.writing.keyfiles import keys_beside
from api.ledger.writing.writer import Sealed

Result = TypeVar("Result")
_log = logging.getLogger("ledger")
_PAUSE = 0.1
# Seconds that a start waits for its first signature.
_AT_FIRST = 2.0
_FORGOTTEN = (
    "what was signed last is gone from beside the signing key; whoever restores that file, or verifies the ledger and then"
    " runs `ledger accept`, lets it go on"
)


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed note over the first `size` events, with the cosignatures that came for it."""

    note: str
    size: int
    root: bytes


class Checkpoints:
    """Signs what is committed, in one thread of its own after each commit, and whenever somebody asks."""

    def __init__(self, database: Database, key_path: Path, watch: Watch) -> None:
        self._database, self._key_path, self._watch = database, key_path, watch
        self._access: Access | None = None
        self._lock = threading.Lock()
        # What those who have the lock failed with last, and how often they did.
        self._failure: LedgerError | None = None
        self._failures = 0
        self._asked = Threads(1, thread_name_prefix="asked to sign")
        self._signed: Signed | None = None
        self._keys: dict[str, checkpoint.SigningKey] = {}
        self._acknowledged = Acknowledged(key_path)
        self._callbacks: list[Callable[[Signed], None]] = []
        self._committed = threading.Event()
        self._has_tried, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self.refusal: str | None = None

    def start(self) -> None:
        """Look at what is there, sign it, and from now on sign after each commit. A refusal is kept, not raised: reads go on."""
        _clear_away(self._key_path)
        self._committed.set()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()
        # Where a standby does not answer, it takes longer, and reads need not wait for that.
        self._has_tried.wait(_AT_FIRST)

    def stop(self) -> None:
        """Sign what was committed last, then stop."""
        self._stopping.set()
        self._committed.set()
        if self._thread is not None:
            self._thread.join()
        self._asked.shutdown(cancel_futures=True)
        if self._access is not None:
            self._access.close()
            self._access = None

    def committed(self, sealed: Sealed) -> None:
        """Learn what was committed last, before anybody is told of it; costs the writer next to nothing."""
        self._acknowledged.note(sealed.position, sealed.leaf)
        self._committed.set()

    def rotate(self, access: Access) -> int:
        """Name the next signing key in the log, if it still holds what was signed and acknowledged. Returns the position.

        The connection is one to write by. Raises LogDamaged or LogRefused.
        """
        self.hold(access)
        position = genesis.rotate_key(access, self._key_path)
        [(leaf,)] = access.rows("SELECT leaf_hash FROM event WHERE position = ?", (position,))
        self._acknowledged.note(position, stored_bytes(leaf))
        return position

    def guard(self) -> None:
        """Raise LogDamaged or LogRefused if this node may not append; whether it is refused still is then looked at again."""
        self._watch.guard()
        if self.refusal is not None:
            self._committed.set()
            raise LogRefused(self.refusal)

    def check_ready(self) -> None:
        """Raise what `guard` raises, also where what was signed last has gone since."""
        if self._signed is not None and not kept_path(self._key_path).exists():
            self.refusal = self.refusal or _FORGOTTEN
        self.guard()

    def subscribe(self, callback: Callable[[Signed], None]) -> None:
        """Call back after each new signature, in the thread that signed. The callback must be quick and not raise."""
        self._callbacks.append(callback)

    def latest(self) -> Signed:
        """Give the checkpoint of the committed head, signed now if nobody has. Raises LogRefused or Unavailable."""
        return self._latest(self._failures)

    async def read_latest(self) -> Signed:
        """Give what `latest` gives, in the event loop. However many ask, one thread waits."""
        return await self._in_thread(self._latest)

    async def read_keys(self) -> list[State]:
        """Give what `keys` gives, in the event loop."""
        return await self._in_thread(self._chain)

    async def _in_thread(self, read: Callable[[int], Result]) -> Result:
        if self._stopping.is_set():
            raise Unavailable("the ledger is stopping")
        return await asyncio.get_running_loop().run_in_executor(self._asked, read, self._failures)

    def _latest(self, failures: int) -> Signed:
        with self._turn(failures):
            before = self._signed
            try:
                signed = self._read(self._newest)
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
        return self._chain(self._failures)

    def _chain(self, failures: int) -> list[State]:
        with self._turn(failures):
            chain: list[State] = self._read(ledger_state)["keys"]
            return chain

    @contextmanager
    def _turn(self, failures: int) -> Iterator[None]:
        """Have the lock. Who came when there had been so many failures, and waited through another, is told of that one.

        What fails for long would else be tried by one after another, each as long.
        """
        with self._lock:
            if self._failure is not None and self._failures > failures:
                raise self._failure
            try:
                yield
            except LedgerError as failure:
                self._failure, self._failures = failure, self._failures + 1
                raise

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._committed.wait()
            self._committed.clear()
            _quietly(self.latest)
            self._has_tried.set()
            # Under load one signature covers the commits of a moment; who asks is given a fresh one at once.
            self._stopping.wait(_PAUSE)
        _quietly(self.latest)

    def _read(self, view: Callable[[Access], Result]) -> Result:
        """Run a view; once more, by a new connection, where the old one was lost. Raises what a driver's error means."""
        try:
            return self._read_once(view)
        except DRIVER_ERRORS as error:
            if not is_lost(error):
                raise translated(error) from error
        try:
            return self._read_once(view)
        except DRIVER_ERRORS as error:
            raise translated(error) from error

    def _read_once(self, view: Callable[[Access], Result]) -> Result:
        if self._access is None:
            self._access = self._connect()
        try:
            return view(self._access)
        except DRIVER_ERRORS:
            self._access.close()
            self._access = None
            raise

    def _connect(self) -> Access:
        return self._database.connect_to_write()

    def _newest(self, access: Access) -> Signed:
        size, *_ = access.row("SELECT position FROM head") or (0,)
        if self._signed is not None and self._signed.size == size and self.refusal is None:
            return self._signed
        # What no standby has may be gone tomorrow, and other events be at its positions: it is not signed.
        access.confirm()
        # Another process may have signed since: what is kept is read, checked and replaced under one lock.
        with _locked(self._key_path.parent):
            end, state = self.hold(access)
            if end.size != size:
                access.confirm()
            self._signed = self._sign(access, end, state)
        return self._signed

    def doubt(self) -> str | None:
        """Say why a log that is sound may not go on until an operator accepts it, if there is a reason.

        Raises LogRefused where it does not lead to what was signed: that nobody accepts.
        """
        with closing(self._database.connect()) as access:
            if _read_kept(self._key_path) is None:
                return "where nothing was remembered"
            _, state = hold_to_what_was_signed(access, self._key_path)
            try:
                self._acknowledged.check(access, state["keys"][0]["vkey"])
            except LogRefused as refusal:
                return f"though {refusal.reason}"
        return None

    def accept(self, size: int, root: bytes) -> Signed:
        """Take a log that was verified up to `size` for what was signed, if that is forgotten, and acknowledged. Raises LogRefused."""
        with self._lock, _locked(self._key_path.parent), closing(self._database.connect()) as access:
            note, end, state = _read_kept(self._key_path), soundness.check_end(access), ledger_state(access)
            if note is not None and _check_kept(access, note, state, end.size).size > size:
                raise LogRefused("more was signed since it was verified")
            if end.size < size or proofs.root(access, size) != root:
                raise LogRefused("the log is not the one that was verified")
            self._acknowledged.forget()
            return self._sign(access, replace(end, size=size, root=root), state)

    def hold(self, access: Access) -> tuple[End, State]:
        """Hold the log, as this connection sees it, to what was signed and acknowledged: by that this node may append, or not.

        Raises LogDamaged or LogRefused.
        """
        try:
            held = hold_to_what_was_signed(access, self._key_path)
            self._acknowledged.check(access, held[1]["keys"][0]["vkey"])
        except LogDamaged as damage:
            self._watch.note(damage)
            raise
        except LogRefused as refusal:
            self.refusal = refusal.reason
            raise
        self.refusal = None
        return held

    def _sign(self, access: Access, end: End, state: State) -> Signed:
        key = self._key_for(vkey_at(state, end.size))
        note = checkpoint.sign(state["log_origin"], end.size, end.root, key)
        keep(self._key_path, note)
        if not end.is_signed:
            # Before anybody sees the note, and after it is kept: whoever is killed in between leaves no ledger that
            # claims to have lost what was signed.
            with access.transaction():
                access.run("UPDATE head SET is_signed = ?", (True,))
        return Signed(note, end.size, end.root)

    def _key_for(self, vkey: str) -> checkpoint.SigningKey:
        if vkey not in self._keys:
            self._keys.update((key.vkey, key) for key in keys_beside(self._key_path))
        if vkey not in self._keys:
            raise LogRefused("the key in force is not among this node's")
        return self._keys[vkey]


class Kept(Checkpoints):
    """Gives the checkpoint that was kept, for a node that serves a copy: it has no private key, and writes nothing."""

    def start(self) -> None:
        """There is nothing to sign, now or later."""

    def guard(self) -> None:
        raise ReadOnly("this node serves reads alone; append where the ledger is written")

    def check_ready(self) -> None:
        self._watch.guard()

    def _connect(self) -> Access:
        return self._database.connect_to_read()

    def _newest(self, access: Access) -> Signed:
        note = _read_kept(self._key_path)
        if note is None:
            raise Unavailable("no checkpoint is kept beside this copy")
        if self._signed is None or self._signed.note != note:
            size = soundness.check_end(access).size
            kept = _check_kept(access, note, ledger_state(access), size)
            self._signed = Signed(note, kept.size, kept.root)
        return self._signed


def _quietly(work: Callable[[], object]) -> None:
    try:
        work()
    except LedgerError as refusal:
        _log.error("no checkpoint: %s", refusal)
    except Exception:  # noqa: BLE001 - the thread must outlive any fault; who asks for a checkpoint is told of it
        _log.exception("no checkpoint")


def vkey_at(state: State, size: int) -> str:
    """Give the key that signs checkpoints of a size: the last one in force from there on or before."""
    return str([key["vkey"] for key in state["keys"] if key["from"] <= max(size, 1)][-1])


def kept_path(key_path: Path) -> Path:
    """Name the file beside the key that holds the last note signed."""
    return key_path.with_name(key_path.name + ".signed")


def hold_to_what_was_signed(access: Reads, key_path: Path) -> tuple[End, State]:
    """Hold the log against itself and against what was signed last, beside the key. Costs a few small queries.

    Gives where the log ends, and the latest state of the ledger's own record. Raises LogDamaged where head, last event and
    tree do not fit together; LogRefused where the log is shorter or different than what was signed, or that is forgotten.
    """
    # The note comes first: what is signed meanwhile is longer than what is looked at.
    note = _read_kept(key_path)
    end = soundness.check_end(access)
    # The state comes last: it may name a key that is in force later, and never lacks the one that is in force.
    state = ledger_state(access)
    if note is not None:
        _check_kept(access, note, state, end.size)
    elif end.is_signed and end.size > 1:
        raise LogRefused(_FORGOTTEN)
    return end, state


def _read_kept(key_path: Path) -> str | None:
    try:
        return kept_path(key_path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise LogRefused("what was signed last cannot be read") from error


def _check_kept(access: Reads, note: str, state: State, size: int) -> checkpoint.Checkpoint:
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
    return kept


def keep(key_path: Path, note: str) -> None:
    """Keep the note beside the key, durably, before anybody sees it."""
    path = kept_path(key_path)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with open(fresh, "w", encoding="utf-8", opener=_opener_like(path)) as file:
        file.write(note)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync_folder(path.parent)


def _opener_like(path: Path) -> Callable[[str, int], int]:
    """Open with the mode of the file that is there, which an operator may have changed; a first one is its owner's alone."""

    def open_it(name: str, flags: int) -> int:
        descriptor = os.open(name, flags, 0o600)
        with suppress(FileNotFoundError):
            os.fchmod(descriptor, path.stat().st_mode & 0o777)
        return descriptor

    return open_it


def _sync_folder(folder: Path) -> None:
    """Make the name of a file durable, not only what is in it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _clear_away(key_path: Path) -> None:
    """Remove what processes left beside the key that were killed while they kept a note."""
    # Whoever keeps a note at this moment may need what is there; there will be another start.
    with suppress(BlockingIOError), _locked(key_path.parent, fcntl.LOCK_NB):
        for left in key_path.parent.glob(f"{glob.escape(kept_path(key_path).name)}.[0-9]*"):
            with suppress(OSError):
                left.unlink()


@contextmanager
def _locked(folder: Path, more: int = 0) -> Iterator[None]:
    """Keep other processes out that sign for the same key; the folder itself is what is locked.

    With LOCK_NB it raises BlockingIOError where another process has the lock.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | more)
        yield
    finally:
        os.close(descriptor)
