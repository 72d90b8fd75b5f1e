"""What was acknowledged last, whichever process beside this key did: what a promotion must not have lost.

It is written at every commit, before anybody is told, and costs no disk its patience: it outlives a process that is killed,
and not a machine that goes dark. What was signed, which is written through to the disk, is kept by `checkpoints`.
"""

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from api.domain.errors import LogRefused
from api.ledger.storage.reads import Reads, stored_bytes

# Position and leaf, and a digest of them with the log's first key: of another log, or torn, it says nothing.
_FORM = struct.Struct(">q32s32s")


class Acknowledged:
    """The last position that somebody was told of, and the leaf there, beside the key."""

    def __init__(self, key_path: Path) -> None:
        self._path = key_path.with_name(key_path.name + ".acknowledged")
        self._log = b""
        self._last = (0, b"")

    def note(self, position: int, leaf: bytes) -> None:
        """Remember a position, before anybody is told of it. Where no file can be kept, this process alone remembers."""
        self._last = (position, leaf)
        with suppress(OSError), self._opened() as file:
            if position > self._read(file)[0]:
                os.pwrite(file, _FORM.pack(position, leaf, self._digest(position, leaf)), 0)

    def check(self, access: Reads, log: str) -> None:
        """Raise LogRefused where a log, known by its first key, has lost what was acknowledged: its position is not given again."""
        self._log = log.encode()
        _hold(access, *self._last)
        _hold(access, *self._kept())

    def forget(self) -> None:
        """Take any log from now on: an operator looked at what is lost."""
        self._last = (0, b"")
        self._path.unlink(missing_ok=True)

    def _kept(self) -> tuple[int, bytes]:
        with suppress(OSError), self._opened() as file:
            return self._read(file)
        return 0, b""

    def _read(self, file: int) -> tuple[int, bytes]:
        raw = os.pread(file, _FORM.size, 0)
        if len(raw) < _FORM.size:
            return 0, b""
        position, leaf, digest = _FORM.unpack(raw)
        return (position, leaf) if digest == self._digest(position, leaf) else (0, b"")

    def _digest(self, position: int, leaf: bytes) -> bytes:
        return hashlib.sha256(b"%s %d %s" % (self._log, position, leaf)).digest()

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the file for one process at a time."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


def _hold(access: Reads, position: int, leaf: bytes) -> None:
    if position == 0:
        return
    row = access.row("SELECT leaf_hash FROM event WHERE position = ?", (position,))
    if row is None or stored_bytes(row[0]) != leaf:
        raise LogRefused(f"the log has lost position {position}, which was acknowledged before")
