"""The stored tree held against its own children: every node is the hash of the two below it (RFC 6962 section 2.1).

Where all of them are, and the leaves are those of the entries, the tree is the log's. Comparing each with what is stored
below it names the one node that is wrong, and not all those above it as well.
"""

from api.domain.log.merkle import node_hash
from api.ledger.reading import inspection
from api.ledger.storage.access import Access
from api.verifying.findings import Findings

# Nodes are read a complete subtree of this height at a time.
_HEIGHT = 12
_WIDTH = 1 << _HEIGHT


class TreeCheck:
    """Takes stored leaf hashes in order of position."""

    def __init__(self, findings: Findings, access: Access) -> None:
        self._findings, self._access = findings, access
        self._start = 0
        self._leaves: dict[int, bytes] = {}
        self._tops: dict[int, bytes] = {}
        self.nodes = 0

    def take(self, position: int, leaf_hash: bytes) -> None:
        index = position - 1
        if index >= self._start + _WIDTH:
            self._check_subtree(self._start + _WIDTH)
            self._start = index - index % _WIDTH
        self._leaves[index] = leaf_hash

    def finish(self, size: int) -> None:
        """Check the last subtree, what stands above them all, and that no node stands where none can."""
        self._check_subtree(size)
        below, level = self._tops, _HEIGHT
        while size >> level + 1:
            level += 1
            below = self._check_level(level, 0, size >> level, below)
        top = max(size.bit_length() - 1, 0)
        for each in range(1, top + 1):
            for found in inspection.nodes_beyond(self._access, each, size >> each):
                self._findings.add(_named(*found, "is there, and the tree has none there"))
        for found in inspection.nodes_outside(self._access, top):
            self._findings.add(_named(*found, "is there, and the tree has none there"))

    def _check_subtree(self, end: int) -> None:
        below = self._leaves
        for level in range(1, _HEIGHT + 1):
            below = self._check_level(level, self._start >> level, end >> level, below)
        self._tops.update(below)
        self._leaves = {}

    def _check_level(self, level: int, first: int, end: int, below: dict[int, bytes]) -> dict[int, bytes]:
        stored = inspection.nodes(self._access, level, first, end)
        self.nodes += len(stored)
        for number in range(first, end):
            left, right, node = below.get(2 * number), below.get(2 * number + 1), stored.get(number)
            if node is None:
                self._add(level, number, "is missing")
            elif left is not None and right is not None and node != node_hash(left, right):
                self._add(level, number, "is not the hash of the two below it")
        return stored

    def _add(self, level: int, number: int, what: str) -> None:
        first = (number << level) + 1
        self._findings.add(
            f"{_named(level, number, what)}; it stands over positions {first} to {first + (1 << level) - 1}", first
        )


def _named(level: int, number: int, what: str) -> str:
    return f"tree node {number} of level {level} {what}"
