"""What a log hands to a witness (c2sp.org/tlog-witness, add-checkpoint), and what shows that a log has forked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from api.domain.log import merkle
from api.domain.log.checkpoint import Checkpoint, decode64, encode64

MAX_PROOF_LINES = 63

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Submission:
    """A signed note, the size it is to be compared with, and the path that leads from there (RFC 6962 §2.1.2)."""

    old: int
    path: tuple[bytes, ...]
    note: str

    def encode(self) -> bytes:
        """Write the request's body."""
        lines = "".join(f"{encode64(step)}\n" for step in self.path)
        return f"old {self.old}\n{lines}\n{self.note}".encode()

    @classmethod
    def decode(cls, body: bytes) -> "Submission":
        """Read a request's body; of the note only where it begins. Raises ValueError."""
        head, gap, note = body.decode("utf-8").partition("\n\n")
        first, *proof = head.split("\n")
        old = _OLD.fullmatch(first)
        if not gap or old is None:
            raise ValueError("a body is an old size, a proof, an empty line and a checkpoint")
        if len(proof) > MAX_PROOF_LINES:
            raise ValueError(f"a proof has at most {MAX_PROOF_LINES} lines")
        return cls(int(old[1]), tuple(map(_hash, proof)), note)


def proves_fork(first: Checkpoint, second: Checkpoint, path: Sequence[bytes], first_root: bytes) -> bool:
    """Say whether it is shown that two checkpoints, both signed, are not of one history; first.size <= second.size.

    A path that merely fails shows nothing, for anybody can send one. One that leads to the second root is of that tree,
    and then so is the first root it leads to. `first_root` is the one the path came with: of a complete subtree the path
    itself does not say it.
    """
    if first.size == second.size:
        return first.root != second.root
    if first.size == 0:
        return False
    try:
        old, new = merkle.roots_from_consistency(first.size, second.size, first_root, path)
    except ValueError:
        return False
    return new == second.root and old != first.root


def _hash(line: str) -> bytes:
    raw = decode64(line)
    if len(raw) != merkle.HASH_BYTES:
        raise ValueError("a proof line holds 32 bytes")
    return raw
