"""The Merkle tree of RFC 6962 section 2.1 from its recursive definitions and nothing else: slow, and easy to believe."""

import hashlib
from collections.abc import Sequence


class Tree:
    """D[n] of the RFC, as the hashes of its leaves: MTH, PATH and PROOF over any part of them."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = leaves
        self._known: dict[tuple[int, int], bytes] = {}

    @classmethod
    def over(cls, entries: Sequence[bytes]) -> "Tree":
        return cls([hashlib.sha256(b"\x00" + entry).digest() for entry in entries])

    def root(self, size: int) -> bytes:
        """MTH(D[size])."""
        return self.mth(0, size)

    def mth(self, start: int, end: int) -> bytes:
        """MTH(D[start:end])."""
        if start == end:
            return hashlib.sha256(b"").digest()
        if end - start == 1:
            return self.leaves[start]
        if (start, end) not in self._known:
            k = split(end - start)
            children = self.mth(start, start + k) + self.mth(start + k, end)
            self._known[start, end] = hashlib.sha256(b"\x01" + children).digest()
        return self._known[start, end]

    def path(self, m: int, size: int) -> list[bytes]:
        """PATH(m, D[size]), section 2.1.1."""
        return self._path(m, 0, size)

    def _path(self, m: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        k = split(end - start)
        if m < k:
            return [*self._path(m, start, start + k), self.mth(start + k, end)]
        return [*self._path(m - k, start + k, end), self.mth(start, start + k)]

    def proof(self, m: int, size: int) -> list[bytes]:
        """PROOF(m, D[size]), section 2.1.2, defined for 0 < m <= size."""
        return self._subproof(m, 0, size, whole=True)

    def _subproof(self, m: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        if m == end - start:
            return [] if whole else [self.mth(start, end)]
        k = split(end - start)
        if m <= k:
            return [*self._subproof(m, start, start + k, whole=whole), self.mth(start + k, end)]
        return [*self._subproof(m - k, start + k, end, whole=False), self.mth(start, start + k)]


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k
