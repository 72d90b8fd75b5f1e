"""Proofs and their verification by others' measures: a tree written naively from RFC 6962, and another project's vectors."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.domain.log import merkle
from tests.log.naive_tree import Tree

VECTORS = Path(__file__).parents[1] / "vectors/merkle.txt"
SIZES = 300
TREE = Tree.over([number.to_bytes(2, "big") for number in range(SIZES)])
_, COMPLETED = merkle.Frontier().append(TREE.leaves)
NODES = {(0, n): leaf for n, leaf in enumerate(TREE.leaves)} | {(level, n): node for level, n, node in COMPLETED}


@dataclass(frozen=True)
class Case:
    """One line of the vectors: what is to be proved, the numbers and hashes it is proved of, and whether it holds."""

    proof: str
    name: str
    holds: bool
    numbers: tuple[int, int]
    hashes: tuple[bytes, bytes]
    path: list[bytes]

    def verdict(self) -> bool:
        (first, second), (one, other) = self.numbers, self.hashes
        if self.proof == "inclusion":
            return merkle.verify_inclusion(first, second, one, self.path, other)
        return merkle.verify_consistency(first, second, one, other, self.path)


def read() -> list[Case]:
    lines = [line for line in VECTORS.read_text("ascii").splitlines() if not line.startswith("#")]
    hashes = [bytes.fromhex(line[1:]) for line in lines if line.startswith("=")]
    cases = []
    for line in lines:
        if line.startswith("="):
            continue
        proof, name, verdict, *numbers = line.split()
        assert verdict in ("holds", "refused")
        first, second, one, other, *path = map(int, numbers)
        pair = hashes[one], hashes[other]
        cases.append(Case(proof, name, verdict == "holds", (first, second), pair, [hashes[step] for step in path]))
    return cases


CASES = read()


def test_there_are_98_vectors_of_either_proof() -> None:
    assert Counter((case.proof, case.holds) for case in CASES) == {
        ("inclusion", True): 6,
        ("inclusion", False): 92,
        ("consistency", True): 6,
        ("consistency", False): 92,
    }
    assert len({(case.proof, case.name) for case in CASES}) == 196


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.proof}/{case.name}")
def test_a_vector_is_judged_as_its_authors_judge_it(case: Case) -> None:
    assert case.verdict() is case.holds


@pytest.mark.parametrize("case", [case for case in CASES if case.holds], ids=lambda case: f"{case.proof}/{case.name}")
def test_a_vector_that_holds_does_not_with_one_bit_of_it_flipped(case: Case) -> None:
    def flipped(raw: bytes) -> bytes:
        return bytes([raw[0] ^ 1]) + raw[1:]

    one, other = case.hashes
    bent = [
        Case(case.proof, "", False, case.numbers, pair, case.path)
        for pair in ((flipped(one), other), (one, flipped(other)))
    ]
    for place, step in enumerate(case.path):
        path = [*case.path[:place], flipped(step), *case.path[place + 1 :]]
        bent.append(Case(case.proof, "", False, case.numbers, case.hashes, path))
    assert not any(each.verdict() for each in bent)


def test_nothing_but_the_root_of_no_leaves_stands_at_size_0() -> None:
    """Of size 0 the vectors hold nothing to be provable; here its one root begins every tree, with nothing to prove."""
    empty, root = TREE.root(0), TREE.root(7)
    assert merkle.verify_consistency(0, 0, empty, empty, [])
    assert merkle.verify_consistency(0, 7, empty, root, [])
    assert not merkle.verify_consistency(0, 0, root, root, [])
    assert not merkle.verify_consistency(0, 7, root, root, [])
    assert not merkle.verify_consistency(0, 7, empty, root, [root])
    assert not merkle.verify_consistency(0, 7, empty, root[:-1], [])


def test_every_root_up_to_300_is_the_rfc_s() -> None:
    for size in range(SIZES + 1):
        assert merkle.root_at(size, lambda level, index: NODES[level, index]) == TREE.root(size)
        assert merkle.Frontier().append(TREE.leaves[:size])[0].root() == TREE.root(size)
    assert TREE.root(0) == hashlib.sha256(b"").digest()


def test_every_inclusion_path_up_to_300_is_the_rfc_s_and_proves_that_leaf_alone() -> None:
    for size in range(1, SIZES + 1):
        root = TREE.root(size)
        for index in range(size):
            path = merkle.inclusion_path(index, size, lambda level, at: NODES[level, at])
            assert path == TREE.path(index, size)
            assert merkle.verify_inclusion(index, size, TREE.leaves[index], path, root)
            assert not merkle.verify_inclusion(index, size, TREE.leaves[index - 1], path, root) or size == 1


def test_every_consistency_path_up_to_300_is_the_rfc_s_and_proves_those_two_alone() -> None:
    for size in range(1, SIZES + 1):
        root = TREE.root(size)
        for first in range(1, size + 1):
            path = merkle.consistency_path(first, size, lambda level, at: NODES[level, at])
            assert path == TREE.proof(first, size)
            assert merkle.verify_consistency(first, size, TREE.root(first), root, path)
            assert not merkle.verify_consistency(first, size, TREE.root(first - 1), root, path)
