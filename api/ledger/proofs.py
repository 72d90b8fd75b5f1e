"""Proofs over the stored tree (RFC 6962 section 2.1): roots, inclusion, consistency and the tiles of c2sp.org/tlog-tiles.

Each proof reads O(log n) nodes and is verified before it is handed out, so a damaged node is never passed on as truth.
"""

from collections.abc import Callable
from dataclasses import dataclass

from api.domain import merkle
from api.domain.errors import Unavailable
from api.ledger.database import Access, Row

TILE_WIDTH = 256
_TILE_LEVELS = 8
_LEAF = "SELECT leaf_hash FROM event WHERE position = ?"
_NODE = "SELECT hash FROM node WHERE level = ? AND number = ?"


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That the event at `position` is leaf `position` - 1 of the tree of `size`."""

    position: int
    size: int
    leaf_hash: bytes
    root: bytes
    path: list[bytes]


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the tree of `second` leaves begins with that of `first`."""

    first: int
    second: int
    first_root: bytes
    second_root: bytes
    path: list[bytes]


def node_reader(access: Access) -> merkle.ReadNode:
    """Give a reader of stored nodes: level 0 are the leaves. Raises Unavailable where one is missing."""

    def read(level: int, number: int) -> bytes:
        row = access.row(_NODE, (level, number)) if level else access.row(_LEAF, (number + 1,))
        if row is None:
            raise Unavailable("a node of the tree is missing; the log must be verified")
        return bytes(row[0])

    return read


def root(access: Access, size: int) -> bytes:
    """Give the root hash of the first `size` leaves."""
    return merkle.root_at(size, node_reader(access))


def inclusion(access: Access, position: int, size: int) -> Inclusion:
    """Prove that the tree of `size` holds the event; 1 <= position <= size <= head. Raises Unavailable."""
    read = node_reader(access)
    leaf, whole = read(0, position - 1), merkle.root_at(size, read)
    path = merkle.inclusion_path(position - 1, size, read)
    _vouch(merkle.verify_inclusion(position - 1, size, leaf, path, whole))
    return Inclusion(position, size, leaf, whole, path)


def consistency(access: Access, first: int, second: int) -> Consistency:
    """Prove that one tree begins with the other; 0 <= first <= second <= head. Raises Unavailable."""
    read = node_reader(access)
    old, new = merkle.root_at(first, read), merkle.root_at(second, read)
    path = merkle.consistency_path(first, second, read)
    _vouch(merkle.verify_consistency(first, second, old, new, path))
    return Consistency(first, second, old, new, path)


def tile(access: Access, level: int, number: int, width: int) -> bytes:
    """Give the first `width` hashes of a tile, 32 bytes each. All of them must be complete."""
    start = number * TILE_WIDTH
    if level == 0:
        sql = "SELECT leaf_hash FROM event WHERE position > ? AND position <= ? ORDER BY position"
        return _joined(access.rows(sql, (start, start + width)), width, lambda row: bytes(row[0]))
    sql = "SELECT hash FROM node WHERE level = ? AND number >= ? AND number < ? ORDER BY number"
    rows = access.rows(sql, (level * _TILE_LEVELS, start, start + width))
    return _joined(rows, width, lambda row: bytes(row[0]))


def bundle(access: Access, number: int, width: int) -> bytes:
    """Give the first `width` entries of a bundle, each after its length in two bytes, big endian."""
    start = number * TILE_WIDTH
    sql = "SELECT entry FROM event WHERE position > ? AND position <= ? ORDER BY position"
    return _joined(access.rows(sql, (start, start + width)), width, _prefixed)


def complete(level: int, size: int) -> int:
    """Count the complete hashes at a level of tiles in the tree of `size`."""
    return size >> _TILE_LEVELS * level


def _prefixed(row: Row) -> bytes:
    entry = bytes(row[0])
    return len(entry).to_bytes(2, "big") + entry


def _joined(rows: list[Row], width: int, write: Callable[[Row], bytes]) -> bytes:
    if len(rows) != width:
        raise Unavailable("a node of the tree is missing; the log must be verified")
    return b"".join(map(write, rows))


def _vouch(holds: object) -> None:
    if not holds:
        raise Unavailable("a proof did not hold; the log must be verified")
