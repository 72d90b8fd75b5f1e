"""The fast tree agrees with a slow one written straight from RFC 6962 §2.1, and proofs bend to nobody."""

import hashlib
import random
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain.log import merkle
from api.domain.log.merkle import EMPTY_ROOT, Frontier

SMALL = 130
LEAVES = [hashlib.sha256(b"\x00" + str(n).encode()).digest() for n in range(3000)]

# Roots over the eight leaves that the Certificate Transparency implementations share as test data.
CT_INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@cache
def tree_hash(start: int, end: int) -> bytes:
    """MTH(D[start:end]) of RFC 6962 §2.1, the leaves already hashed."""
    if start == end:
        return hashlib.sha256(b"").digest()
    if end - start == 1:
        return LEAVES[start]
    middle = start + largest_power_below(end - start)
    return hashlib.sha256(b"\x01" + tree_hash(start, middle) + tree_hash(middle, end)).digest()


def audit_path(m: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[start:end]) of RFC 6962 §2.1.1."""
    if end - start == 1:
        return []
    k = largest_power_below(end - start)
    if m < k:
        return [*audit_path(m, start, start + k), tree_hash(start + k, end)]
    return [*audit_path(m - k, start + k, end), tree_hash(start, start + k)]


def subproof(m: int, start: int, end: int, *, known: bool) -> list[bytes]:
    """SUBPROOF(m, D[start:end], b) of RFC 6962 §2.1.2."""
    if m == end - start:
        return [] if known else [tree_hash(start, end)]
    k = largest_power_below(end - start)
    if m <= k:
        return [*subproof(m, start, start + k, known=known), tree_hash(start + k, end)]
    return [*subproof(m - k, start + k, end, known=False), tree_hash(start, start + k)]


def largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def nodes_of(size: int) -> dict[tuple[int, int], bytes]:
    _, completed = Frontier().append(LEAVES[:size])
    return {(0, n): leaf for n, leaf in enumerate(LEAVES[:size])} | {(lv, ix): node for lv, ix, node in completed}


NODES = nodes_of(len(LEAVES))


def read_node(level: int, index: int) -> bytes:
    return NODES[level, index]


def counted(reads: list[tuple[int, int]]) -> Callable[[int, int], bytes]:
    def read(level: int, index: int) -> bytes:
        reads.append((level, index))
        return NODES[level, index]

    return read


def larger_pairs() -> list[tuple[int, int]]:
    chance = random.Random(6962)  # noqa: S311
    return [tuple(sorted(chance.sample(range(1, len(LEAVES) + 1), 2))) for _ in range(300)]  # type: ignore[misc]


def test_the_roots_are_those_of_the_certificate_transparency_test_data() -> None:
    frontier = Frontier()
    for given_leaf, root in zip(CT_INPUTS, CT_ROOTS, strict=True):
        frontier, _ = frontier.append([hashlib.sha256(b"\x00" + bytes.fromhex(given_leaf)).digest()])
        assert frontier.root().hex() == root


def test_an_empty_tree_has_the_hash_of_nothing_for_root() -> None:
    assert Frontier().root() == EMPTY_ROOT == hashlib.sha256(b"").digest()
    assert merkle.root_at(0, read_node) == EMPTY_ROOT


def test_roots_of_every_size_agree_with_the_rfc() -> None:
    frontier = Frontier()
    for size in range(1, SMALL + 1):
        frontier, _ = frontier.append([LEAVES[size - 1]])
        assert frontier.root() == merkle.root_at(size, read_node) == tree_hash(0, size)


@given(st.integers(0, 600), st.integers(0, 600))
def test_one_append_of_many_equals_many_of_one(first: int, more: int) -> None:
    whole, completed = Frontier().append(LEAVES[: first + more])
    begun, before = Frontier().append(LEAVES[:first])
    grown, after = begun.append(LEAVES[first : first + more])
    assert grown == whole
    assert before + after == completed


def test_appending_completes_each_subtree_once_and_above_the_leaves_only() -> None:
    _, completed = Frontier().append(LEAVES)
    places = [(level, index) for level, index, _ in completed]
    expected = {(lv, ix) for lv in range(1, 12) for ix in range(len(LEAVES) >> lv)}
    assert len(places) == len(set(places))
    assert set(places) == expected
    assert all(node == tree_hash(index << level, (index + 1) << level) for level, index, node in completed)


def test_appending_nothing_changes_nothing() -> None:
    frontier, _ = Frontier().append(LEAVES[:5])
    assert frontier.append([]) == (frontier, [])


@given(st.integers(0, len(LEAVES)))
def test_a_frontier_survives_its_bytes(size: int) -> None:
    frontier, _ = Frontier().append(LEAVES[:size])
    raw = frontier.to_bytes()
    assert Frontier.from_bytes(raw) == frontier
    assert raw[:8] == size.to_bytes(8, "big")
    for spoilt in (raw[:-1], raw + b"\x00", raw + bytes(32)):
        with pytest.raises(ValueError, match="one hash for each bit"):
            Frontier.from_bytes(spoilt)


def test_every_inclusion_path_up_to_130_is_the_rfc_s_and_verifies() -> None:
    for size in range(1, SMALL + 1):
        for index in range(size):
            path = merkle.inclusion_path(index, size, read_node)
            assert path == audit_path(index, 0, size)
            assert merkle.verify_inclusion(index, size, LEAVES[index], path, tree_hash(0, size))


def test_every_consistency_path_up_to_130_is_the_rfc_s_and_verifies() -> None:
    for second in range(1, SMALL + 1):
        for first in range(1, second + 1):
            path = merkle.consistency_path(first, second, read_node)
            assert path == subproof(first, 0, second, known=True)
            assert merkle.verify_consistency(first, second, tree_hash(0, first), tree_hash(0, second), path)


@pytest.mark.parametrize(("first", "second"), larger_pairs())
def test_larger_trees_agree_with_the_rfc_in_logarithmic_time(first: int, second: int) -> None:
    reads: list[tuple[int, int]] = []
    path = merkle.consistency_path(first, second, counted(reads))
    assert path == subproof(first, 0, second, known=True)
    assert merkle.verify_consistency(first, second, tree_hash(0, first), tree_hash(0, second), path)
    path = merkle.inclusion_path(first - 1, second, counted(reads))
    assert path == audit_path(first - 1, 0, second)
    assert merkle.verify_inclusion(first - 1, second, LEAVES[first - 1], path, tree_hash(0, second))
    assert len(reads) <= 4 * second.bit_length()


def test_only_complete_subtrees_within_the_tree_are_read() -> None:
    for size in range(1, SMALL + 1):
        nodes = nodes_of(size)
        for index in range(size):
            merkle.inclusion_path(index, size, lambda level, index: nodes[level, index])  # noqa: B023
            merkle.consistency_path(index, size, lambda level, index: nodes[level, index])  # noqa: B023


def test_every_tree_begins_with_the_empty_one() -> None:
    assert merkle.consistency_path(0, 7, read_node) == []
    assert merkle.verify_consistency(0, 7, EMPTY_ROOT, tree_hash(0, 7), [])
    assert not merkle.verify_consistency(0, 7, tree_hash(0, 1), tree_hash(0, 7), [])
    assert not merkle.verify_consistency(0, 7, EMPTY_ROOT, tree_hash(0, 7), [LEAVES[0]])


def test_a_tree_begins_with_itself_and_no_path() -> None:
    root = tree_hash(0, 6)
    assert merkle.verify_consistency(6, 6, root, root, [])
    assert not merkle.verify_consistency(6, 6, root, LEAVES[0], [])
    assert not merkle.verify_consistency(6, 6, root, root, [root])
    assert merkle.verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])


def tampered(path: list[bytes]) -> list[list[bytes]]:
    flips = [[*path[:n], bytes([path[n][0] ^ 1]) + path[n][1:], *path[n + 1 :]] for n in range(len(path))]
    drops = [path[:n] + path[n + 1 :] for n in range(len(path))]
    swaps = [[*path[:n], path[n + 1], path[n], *path[n + 2 :]] for n in range(len(path) - 1)]
    return [*flips, *drops, *swaps, [*path, LEAVES[0]], [LEAVES[0], *path]]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 11, 64, 100])
def test_a_tampered_inclusion_proof_is_refused(size: int) -> None:
    root = tree_hash(0, size)
    for index in range(size):
        path = merkle.inclusion_path(index, size, read_node)
        assert not any(merkle.verify_inclusion(index, size, LEAVES[index], bent, root) for bent in tampered(path))
        assert not merkle.verify_inclusion(index, size, LEAVES[index + 1], path, root)
        assert not merkle.verify_inclusion(index, size, LEAVES[index], path, LEAVES[2999])
        for other in range(size + 1):
            holds = merkle.verify_inclusion(other, size, LEAVES[index], path, root)
            assert holds is (other == index)


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 3), (3, 7), (4, 8), (6, 11), (63, 64), (65, 100), (64, 100)])
def test_a_tampered_consistency_proof_is_refused(first: int, second: int) -> None:
    old, new = tree_hash(0, first), tree_hash(0, second)
    path = merkle.consistency_path(first, second, read_node)
    assert merkle.verify_consistency(first, second, old, new, path)
    assert not any(merkle.verify_consistency(first, second, old, new, bent) for bent in tampered(path))
    assert not merkle.verify_consistency(first, second, new, old, path)
    assert not merkle.verify_consistency(first, second, LEAVES[2999], new, path)
    assert not merkle.verify_consistency(first, second, old, LEAVES[2999], path)
    assert not merkle.verify_consistency(first, second, old, new, [])
    assert not merkle.verify_consistency(second, first, old, new, path)


def test_hashes_of_another_length_are_refused() -> None:
    root = tree_hash(0, 2)
    assert merkle.verify_inclusion(0, 2, LEAVES[0], [LEAVES[1]], root)
    moved = LEAVES[0] + LEAVES[1]
    assert not merkle.verify_inclusion(0, 2, moved[:33], [moved[33:]], root)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (5, 3)])
def test_a_leaf_outside_the_tree_has_no_path(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no such"):
        merkle.inclusion_path(index, size, read_node)
    with pytest.raises(ValueError, match="no such"):
        merkle.root_from_inclusion(index, size, LEAVES[0], [])
    assert not merkle.verify_inclusion(index, size, LEAVES[0], [], EMPTY_ROOT)


@pytest.mark.parametrize(("first", "second"), [(-1, 3), (4, 3)])
def test_a_tree_does_not_begin_with_a_larger_one(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="no such"):
        merkle.consistency_path(first, second, read_node)
    with pytest.raises(ValueError, match="no such"):
        merkle.root_at(-1, read_node)
