"""Proofs over the stored tree (RFC 6962 section 2.1): roots, inclusion, consistency and the tiles of c2sp.org/tlog-tiles.

Each proof reads O(log n) nodes and is verified before it is handed out, so a damaged node is never passed on as truth.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from api.domain.errors import LogDamaged
from api.domain.log import event, merkle
from api.ledger.storage.reads import Reads, Row, stored_bytes

TILE_WIDTH = 256
_TILE_LEVELS = 8
_ROUND = 32
Result = TypeVar("Result")
Name = TypeVar("Name")


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


def root(access: Reads, size: int) -> bytes:
    """Give the root hash of the first `size` leaves."""
    return _worked_out(access, lambda read: merkle.root_at(size, read))


def inclusion(access: Reads, position: int, size: int, signed: bytes | None = None) -> Inclusion:
    """Prove that the tree of `size` holds the event, under the root that was signed if one was.

    1 <= position <= size <= head. Raises LogDamaged.
    """
    index = position - 1

    def work_out(read: merkle.ReadNode) -> Inclusion:
        path = merkle.inclusion_path(index, size, read)
        return Inclusion(position, size, read(0, index), merkle.root_at(size, read), path)

    proof = _worked_out(access, work_out)
    _vouch(merkle.verify_inclusion(index, size, proof.leaf_hash, proof.path, proof.root))
    _vouch(signed in (None, proof.root))
    for (entry,) in access.rows("SELECT entry FROM event WHERE position = ?", (position,)):
        _check_leaf(position, stored_bytes(entry), proof.leaf_hash)
    return proof


def consistency(access: Reads, first: int, second: int) -> Consistency:
    """Prove that one tree begins with the other; 0 <= first <= second <= head. Raises LogDamaged."""

    def work_out(read: merkle.ReadNode) -> Consistency:
        path = merkle.consistency_path(first, second, read)
        return Consistency(first, second, merkle.root_at(first, read), merkle.root_at(second, read), path)

    proof = _worked_out(access, work_out)
    _vouch(merkle.verify_consistency(first, second, proof.first_root, proof.second_root, proof.path))
    return proof


def _worked_out(access: Reads, work_out: Callable[[merkle.ReadNode], Result]) -> Result:
    """Find out first which nodes the work reads, then read them together, and work."""
    wanted: dict[tuple[int, int], bytes] = {}

    def note(level: int, number: int) -> bytes:
        return wanted.setdefault((level, number), merkle.EMPTY_ROOT)

    work_out(note)
    nodes = _nodes(access, wanted)
    if nodes.keys() != wanted.keys():
        raise LogDamaged("a node of the tree is missing")
    return work_out(lambda level, number: nodes[level, number])


def _nodes(access: Reads, wanted: Iterable[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """Read nodes by level and number: level 0 are the leaves."""
    leaves = _padded([number + 1 for level, number in wanted if not level])
    above = _padded([(level, number) for level, number in wanted if level])
    found: dict[tuple[int, int], bytes] = {}
    if leaves:
        sql = f"SELECT position, leaf_hash FROM event WHERE position IN ({', '.join('?' * len(leaves))})"
        found |= {(0, row[0] - 1): stored_bytes(row[1]) for row in access.rows(sql, leaves)}
    if above:
        pairs = ", ".join(["(?, ?)"] * len(above))
        # Joined, because SQLite answers a row that is IN a list of rows by reading the whole table.
        sql = f"WITH wanted (level, number) AS (VALUES {pairs}) SELECT level, number, hash FROM wanted JOIN node USING (level, number)"
        rows = access.rows(sql, [each for pair in above for each in pair])
        found |= {(row[0], row[1]): stored_bytes(row[2]) for row in rows}
    return found


def _padded(names: list[Name]) -> list[Name]:
    """Repeat the last one up to a round number, so that few statements serve all trees, and stay prepared."""
    return names + names[-1:] * (-len(names) % _ROUND)


def tile(access: Reads, level: int, number: int, width: int) -> bytes:
    """Give the first `width` hashes of a tile, 32 bytes each. All of them must be complete."""
    start = number * TILE_WIDTH
    if level == 0:
        sql = "SELECT leaf_hash FROM event WHERE position > ? AND position <= ? ORDER BY position"
        return _joined(access.rows(sql, (start, start + width)), width, lambda row: stored_bytes(row[0]))
    sql = "SELECT hash FROM node WHERE level = ? AND number >= ? AND number < ? ORDER BY number"
    rows = access.rows(sql, (level * _TILE_LEVELS, start, start + width))
    return _joined(rows, width, lambda row: stored_bytes(row[0]))


def bundle(access: Reads, number: int, width: int) -> bytes:
    """Give the first `width` entries of a bundle, each after its length in two bytes, big endian."""
    start = number * TILE_WIDTH
    sql = "SELECT entry, leaf_hash, position FROM event WHERE position > ? AND position <= ? ORDER BY position"
    return _joined(access.rows(sql, (start, start + width)), width, _prefixed)


def complete(level: int, size: int) -> int:
    """Count the complete hashes at a level of tiles in the tree of `size`."""
    return size >> _TILE_LEVELS * level


def _prefixed(row: Row) -> bytes:
    entry = stored_bytes(row[0])
    _check_leaf(row[2], entry, stored_bytes(row[1]))
    return len(entry).to_bytes(2, "big") + entry


def _joined(rows: list[Row], width: int, write: Callable[[Row], bytes]) -> bytes:
    if len(rows) != width:
        raise LogDamaged("a node of the tree is missing")
    return b"".join(map(write, rows))


def _check_leaf(position: int, entry: bytes, leaf: bytes) -> None:
    if event.leaf_hash(entry) != leaf:
        raise LogDamaged(f"position {position}: the leaf is not that of the entry")


def _vouch(holds: object) -> None:
    if not holds:
        raise LogDamaged("the nodes of the tree do not fit together")
