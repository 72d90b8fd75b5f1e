"""What a witness remembers of a log: plain files in a folder of the log's own, named by the SHA-256 of its origin.

`checkpoint` is the last note cosigned, `fork.json` the proof that the log signed two histories, `doubt.json` the last
signed note whose history did not hold without that being proof. Removing `fork.json` is how an operator forgives.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Two signed notes that do not fit together. `found_at` is in POSIX seconds, `proof` the lines that came along."""

    found_at: int
    why: str
    recorded: str
    submitted: str
    proof: list[str]


_EVIDENCE = msgspec.json.Decoder(Evidence)


class Witnessed:
    """The memory of one log. All that decides on it and changes it happens within `locked`."""

    def __init__(self, state: Path, origin: str) -> None:
        self.name = hashlib.sha256(origin.encode()).hexdigest()
        self._folder = state / self.name
        if not self._folder.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            settle(state)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep out every other thread and process that uses the folder."""
        # A lock belongs to the opened file, so threads that each open it exclude one another too.
        with (self._folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def note(self) -> str | None:
        """Give the last note cosigned."""
        path = self._folder / "checkpoint"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def keep(self, note: str) -> None:
        """Replace the last note cosigned. When this returns, it is durable."""
        self._write("checkpoint", note.encode())

    def fork(self) -> Evidence | None:
        """Give the proof that the log forked, if an operator has not removed it."""
        return self._read("fork.json")

    def doubt(self) -> Evidence | None:
        return self._read("doubt.json")

    def accuse(self, evidence: Evidence) -> None:
        """Keep the proof of a fork. From here on the log is refused."""
        self._write("fork.json", msgspec.json.format(msgspec.json.encode(evidence)))

    def wonder(self, evidence: Evidence) -> None:
        """Keep what did not hold and yet proves nothing, in place of the last such."""
        self._write("doubt.json", msgspec.json.format(msgspec.json.encode(evidence)))

    def _read(self, name: str) -> Evidence | None:
        path = self._folder / name
        return _EVIDENCE.decode(path.read_bytes()) if path.exists() else None

    def _write(self, name: str, content: bytes) -> None:
        fresh = self._folder / f"{name}.new"
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._folder / name)
        settle(self._folder)


def settle(folder: Path) -> None:
    """Make the names in a folder durable, as fsync on a file does not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
