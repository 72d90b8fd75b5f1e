"""The log as several worker processes serve it while others append and the signing key changes hands."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import httpx
import pytest
from click.testing import CliRunner
from cryptography.exceptions import InvalidSignature

from api.__main__ import main
from api.ledger.storage.database import Database
from api.ledger.writing import genesis, keys
from api.settings import Settings
from tests.log.naive_tree import Tree
from tests.support.builders import an_entity, an_id
from tests.support.log_reader import (
    entries_in,
    leaf_of,
    read_checkpoint,
    read_proof,
    root_of,
    tile_path,
    tiles_of,
    vkey_for,
)
from tests.support.served import DATABASES, migrated
from tests.support.witnessing import running

SERVE = ("-m", "api", "serve", "--empty", "--workers", "2")
PATIENCE = 60


@dataclass
class Node:
    """A ledger that two processes serve, and what its operator holds."""

    settings: Settings
    key: str
    address: str

    def get(self, path: str, **headers: str) -> httpx.Response:
        answer = httpx.get(self.address + path, headers=headers, timeout=30, verify=False)
        assert answer.status_code == 200, answer.text
        return answer

    def append(self, count: int = 1) -> int:
        operations = [an_entity(an_id("served")) for _ in range(count)]
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = httpx.post(f"{self.address}/v1/batch", json=operations, headers=headers, timeout=30, verify=False)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["position"])

    def rotate(self) -> str:
        """Change the signing key as an operator does, beside the processes that serve."""
        own = {
            "LEDGER_DATABASE_URL": self.settings.database_url,
            "LEDGER_SIGNING_KEY": str(self.settings.signing_key_path),
        }
        done = CliRunner().invoke(main, ["keys", "rotate-signing"], env=own)
        assert done.exit_code == 0, done.output
        return done.stdout

    def entries(self, size: int) -> list[bytes]:
        bundles = [tile_path("entries", number, width) for level, number, width in tiles_of(size) if level == 0]
        return [entry for bundle in bundles for entry in entries_in(self.get(bundle).content)]


@pytest.fixture(scope="module", params=DATABASES)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("served")
    with migrated(request, request.param, folder) as settings:
        database = Database(settings)
        genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
        key = keys.create(database.access(), "test", keys.SCOPES, None)
        database.close()
        with running(settings, *SERVE) as serving:
            yield Node(settings, key, serving.url)


@dataclass
class Follower:
    """Reads checkpoint after checkpoint while the log grows, and keeps what it saw."""

    node: Node
    notes: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def follow(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                note = self.node.get("/tlog/checkpoint").text
                self.notes.append(note)
                # What a checkpoint covers is there at once, whichever process is asked.
                size = size_of(note)
                for tile in tiles_of(size)[-2:]:
                    self.node.get(tile_path(*tile))
                self.node.get(f"/v1/events/{size}/proof?size={size}")
        except BaseException as failure:  # noqa: BLE001 - told in the thread that waits
            self.failures.append(failure)


def size_of(note: str) -> int:
    return int(note.split("\n")[1])


def await_checkpoints(followers: list[Follower], count: int) -> None:
    """Wait until each follower has seen that many more checkpoints, or one has failed."""
    wanted = {id(follower): len(set(follower.notes)) + count for follower in followers}
    until = time.monotonic() + PATIENCE
    while any(len(set(follower.notes)) < wanted[id(follower)] for follower in followers):
        if any(follower.failures for follower in followers):
            return
        assert time.monotonic() < until, "the log did not grow while it was followed"
        time.sleep(0.05)


def under_load(node: Node, doing: Callable[[list[Follower]], None]) -> list[Follower]:
    """Do something while two threads append and two follow; give the followers, who saw no failure."""
    stop, followers = threading.Event(), [Follower(node), Follower(node)]

    def append() -> None:
        while not stop.is_set():
            node.append(2)

    threads = [threading.Thread(target=append) for _ in range(2)]
    threads += [threading.Thread(target=follower.follow, args=(stop,)) for follower in followers]
    for thread in threads:
        thread.start()
    try:
        doing(followers)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [failure for follower in followers for failure in follower.failures] == []
    return followers


def hold(node: Node, notes: list[str]) -> None:
    """Hold every note to its key by the chain and to the entries, and each to come no sooner than what it follows."""
    sizes = [size_of(note) for note in notes]
    assert sizes == sorted(sizes), "a checkpoint went back"
    keys = node.get("/tlog/keys").text
    tree = Tree.over(node.entries(max(sizes)))
    for note in notes:
        opened = read_checkpoint(note, vkey_for(keys, size_of(note)))
        assert opened.root == tree.root(opened.size)


def test_whichever_process_answers_checkpoints_only_grow_and_all_hold(node: Node) -> None:
    followers = under_load(node, lambda followers: await_checkpoints(followers, 6))
    for follower in followers:
        hold(node, follower.notes)
    sizes = sorted({size_of(note) for follower in followers for note in follower.notes})
    tree = Tree.over(node.entries(sizes[-1]))
    for first, second in pairwise(sizes):
        proof = node.get(f"/v1/proofs/consistency?from={first}&to={second}").json()
        assert proof["path"] == [step.hex() for step in tree.proof(first, second)]
        assert (proof["from_root"], proof["to_root"]) == (tree.root(first).hex(), tree.root(second).hex())


def test_after_a_rotation_the_old_key_signs_that_very_event_and_the_new_one_the_next(node: Node) -> None:
    before = node.get("/tlog/keys").text
    said = node.rotate()
    after = node.get("/tlog/keys").text
    assert after.startswith(before)
    since, new = after.removeprefix(before).rstrip("\n").split(" ")
    old = before.rstrip("\n").split("\n")[-1].split(" ")[1]
    position = int(since) - 1
    assert f"rotated at position {position}" in said
    for _ in range(6):
        note = node.get("/tlog/checkpoint").text
        assert read_checkpoint(note, old).size == position
    beyond = node.append()
    for _ in range(6):
        note = node.get("/tlog/checkpoint").text
        assert read_checkpoint(note, new).size == beyond
        with pytest.raises((AssertionError, InvalidSignature)):
            read_checkpoint(note, old)


def test_proofs_after_a_rotation_stand_on_the_new_key_s_checkpoint(node: Node) -> None:
    node.rotate()
    size = node.append()
    keys = node.get("/tlog/keys").text
    entries = node.entries(size)
    for position in (1, size - 1, size):
        proof = read_proof(node.get(f"/v1/events/{position}/proof", Accept="text/plain").text)
        opened = read_checkpoint(proof.note, vkey_for(keys, size))
        assert opened.size == size
        assert root_of(proof.index, size, leaf_of(entries[position - 1]), proof.path) == opened.root


def test_a_rotation_while_others_append_leaves_each_checkpoint_to_its_key(node: Node) -> None:
    def rotate(followers: list[Follower]) -> None:
        for _ in range(2):
            await_checkpoints(followers, 2)
            node.rotate()
        await_checkpoints(followers, 2)

    before = node.get("/tlog/keys").text.count("\n")
    followers = under_load(node, rotate)
    assert node.get("/tlog/keys").text.count("\n") == before + 2
    for follower in followers:
        hold(node, follower.notes)


def test_a_ledger_that_is_started_again_signs_on_with_its_newest_key(node: Node) -> None:
    with running(node.settings, *SERVE) as serving:
        again = Node(node.settings, node.key, serving.url)
        size = again.append()
        hold(again, [again.get("/tlog/checkpoint").text])
        assert size_of(again.get("/tlog/checkpoint").text) == size
        hold(node, [node.get("/tlog/checkpoint").text])
