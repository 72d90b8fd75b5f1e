"""The Merkle tree over the log, as RFC 6962 §2.1 and RFC 9162 §2.1 define it: roots, proofs and their verification.

A node is named by level and index: (0, i) is the hash of leaf i, (l, i) the root of the complete subtree over the
leaves i * 2^l up to (i + 1) * 2^l. All is pure: stored nodes come in through a `read_node` callable.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

ReadNode = Callable[[int, int], bytes]
Node = tuple[int, int, bytes]

_SIZE_BYTES = 8


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children into their parent (RFC 6962 §2.1); the 0x01 keeps it from passing for a leaf."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that appending needs of a tree: its size and the roots of its complete subtrees, left to right.

    There is one hash for each bit set in the size, the highest bit first.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def append(self, leaf_hashes: Sequence[bytes]) -> tuple["Frontier", list[Node]]:
        """Add leaves in order; give the new frontier and each newly completed (level, index, hash) above level 0."""
        size, stack, completed = self.size, list(self.hashes), list[Node]()
        for leaf in leaf_hashes:
            level, index, node = 0, size, leaf
            while index & 1:
                level, index, node = level + 1, index >> 1, node_hash(stack.pop(), node)
                completed.append((level, index, node))
            stack.append(node)
            size += 1
        return Frontier(size, tuple(stack)), completed

    def root(self) -> bytes:
        """Give the root hash of the whole tree (RFC 6962 §2.1)."""
        return _join(self.hashes)

    def to_bytes(self) -> bytes:
        """Write the size, 8 bytes big endian, and the hashes."""
        return self.size.to_bytes(_SIZE_BYTES, "big") + b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Frontier":
        """Read what `to_bytes` wrote; ValueError unless there is a hash for each bit of the size."""
        size = int.from_bytes(raw[:_SIZE_BYTES], "big")
        if len(raw) != _SIZE_BYTES + HASH_BYTES * size.bit_count():
            raise ValueError("a frontier has one hash for each bit set in its size")
        starts = range(_SIZE_BYTES, len(raw), HASH_BYTES)
        return cls(size, tuple(raw[start : start + HASH_BYTES] for start in starts))


def root_at(size: int, read_node: ReadNode) -> bytes:
    """Give the root hash of the first `size` leaves, MTH of RFC 6962 §2.1, in as many reads as `size` has bits set."""
    _require(size >= 0)
    return _range_root(0, size, read_node)


def inclusion_path(index: int, size: int, read_node: ReadNode) -> list[bytes]:
    """Give the path that proves leaf `index` in the tree of `size`, lowest sibling first: PATH of RFC 6962 §2.1.1."""
    _require(0 <= index < size)
    path, start, end = list[bytes](), 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_root(middle, end, read_node))
            end = middle
        else:
            path.append(_range_root(start, middle, read_node))
            start = middle
    return path[::-1]


def consistency_path(first: int, second: int, read_node: ReadNode) -> list[bytes]:
    """Give the path that proves the tree of `second` to begin with that of `first`: PROOF of RFC 6962 §2.1.2.

    Of the empty tree, and of a tree and itself, there is nothing to prove: the path is empty.
    """
    _require(0 <= first <= second)
    if first in (0, second):
        return []
    path, start, end = list[bytes](), 0, second
    while end != first:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(_range_root(middle, end, read_node))
            end = middle
        else:
            path.append(_range_root(start, middle, read_node))
            start = middle
    # Where the first tree is itself a node of the second, the verifier knows that hash already: it is the first root.
    if start:
        path.append(_range_root(start, end, read_node))
    return path[::-1]


def root_from_inclusion(index: int, size: int, leaf_hash: bytes, path: Sequence[bytes]) -> bytes:
    """Compute the root that an inclusion path leads to (RFC 9162 §2.1.3.2); ValueError if it cannot be one."""
    _require(0 <= index < size and _are_hashes((leaf_hash, *path)))
    node, place, last = leaf_hash, index, size - 1
    for sibling in path:
        _require(last > 0)
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            place, last = _climb_to_left_turn(place, last)
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    _require(last == 0)
    return node


def verify_inclusion(index: int, size: int, leaf_hash: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """Say whether the path proves the leaf to stand at `index` of the tree with that size and root."""
    try:
        return root_from_inclusion(index, size, leaf_hash, path) == root
    except ValueError:
        return False


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Say whether the path proves the second tree to begin with the first (RFC 9162 §2.1.4.2)."""
    if not 0 <= first <= second:
        return False
    if first == 0 and first_root != EMPTY_ROOT:
        return False
    if first == second:
        return not path and first_root == second_root
    if first == 0:
        return not path and _are_hashes((second_root,))
    try:
        return roots_from_consistency(first, second, first_root, path) == (first_root, second_root)
    except ValueError:
        return False


def roots_from_consistency(first: int, second: int, first_root: bytes, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Compute both roots that a path leads to (RFC 9162 §2.1.4.2), for 0 < first < second; ValueError if it cannot be one.

    The root of a first tree that is a complete subtree stands in no path: it is taken as given.
    """
    steps = [first_root, *path] if first.bit_count() == 1 else list(path)
    _require(len(steps) > 0 and _are_hashes(steps))
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = steps[0]
    for sibling in steps[1:]:
        _require(last > 0)
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            place, last = _climb_to_left_turn(place, last)
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    _require(last == 0)
    return old, new


def _climb_to_left_turn(place: int, last: int) -> tuple[int, int]:
    """Skip the levels at which a node on the right edge has no sibling, so is its own parent."""
    while place and not place & 1:
        place, last = place >> 1, last >> 1
    return place, last


def _range_root(start: int, end: int, read_node: ReadNode) -> bytes:
    """Give the hash over the leaves from start up to end, where start is a multiple of a power of 2 >= end - start."""
    roots = list[bytes]()
    while start < end:
        level = (end - start).bit_length() - 1
        roots.append(read_node(level, start >> level))
        start += 1 << level
    return _join(roots)


def _join(roots: Sequence[bytes]) -> bytes:
    if not roots:
        return EMPTY_ROOT
    joined = roots[-1]
    for left in roots[-2::-1]:
        joined = node_hash(left, joined)
    return joined


def _split(width: int) -> int:
    """Give the largest power of 2 smaller than the width: the k of RFC 6962 §2.1."""
    return 1 << (width - 1).bit_length() - 1


def _are_hashes(hashes: Sequence[bytes]) -> bool:
    """Refuse other lengths, for bytes moved from one child to the next would hash to the same parent."""
    return all(len(item) == HASH_BYTES for item in hashes)


def _require(holds: object) -> None:
    if not holds:
        raise ValueError("no such leaf, tree or path")
