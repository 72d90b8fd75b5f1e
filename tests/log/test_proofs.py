"""Proofs as clients get them: inclusion and consistency equal the RFC's own, and a proof file stands on its own feet."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given
from hypothesis import strategies as st

from tests.log.naive_tree import Tree
from tests.support.builders import a_claim, a_question, a_source, an_entity, an_id, revise
from tests.support.log_reader import leaf_of, payload_in, read_checkpoint, read_proof, root_of, vkey_for
from tests.support.served import Served, refused

SIZE = 530
EDGES = (1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 511, 512, 513, 529, 530)
RECORDS = {
    "entity": "/v1/entities/proved",
    "source": "/v1/sources/proved",
    "question": "/v1/questions/proved",
    "claim": "/v1/claims/proved",
}
CHANGES = {"entity": "name", "source": "title", "question": "text", "claim": "statement"}


@dataclass(frozen=True)
class Log:
    """A served log, and what a reader of all its entries makes of it."""

    served: Served
    entries: list[bytes]
    tree: Tree

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.served.get(path, **headers)


@pytest.fixture(scope="module")
def log(served: Served) -> Log:
    """A log of at least 530 events, in which a record of each kind has two revisions."""
    served.append(
        an_entity("proved"),
        a_source("proved"),
        a_question("proved", about="proved"),
        a_claim("proved", source="proved", question="proved"),
        *(revise(kind, "proved", **{CHANGES[kind]: "Other words"}) for kind in RECORDS),
    )
    served.append(*(an_entity(an_id("e")) for _ in range(SIZE - served.head())))
    rows = served.database.access().rows("SELECT entry FROM event ORDER BY position")
    entries = [bytes(row[0]) for row in rows]
    return Log(served, entries, Tree.over(entries))


def hexes(path: list[bytes]) -> list[str]:
    return [step.hex() for step in path]


def inclusion(log: Log, position: int, size: int) -> dict[str, Any]:
    """What the RFC says the proof is."""
    return {
        "position": position,
        "size": size,
        "leaf_hash": leaf_of(log.entries[position - 1]).hex(),
        "root_hash": log.tree.root(size).hex(),
        "path": hexes(log.tree.path(position - 1, size)),
    }


def consistency(log: Log, first: int, second: int) -> dict[str, Any]:
    return {
        "from": first,
        "to": second,
        "from_root": log.tree.root(first).hex(),
        "to_root": log.tree.root(second).hex(),
        "path": hexes(log.tree.proof(first, second)),
    }


@given(st.integers(1, SIZE).flatmap(lambda size: st.tuples(st.integers(1, size), st.just(size))))
def test_any_event_is_proved_to_be_in_any_tree_that_holds_it(log: Log, pair: tuple[int, int]) -> None:
    position, size = pair
    assert log.get(f"/v1/events/{position}/proof?size={size}").json() == inclusion(log, position, size)


@given(st.integers(1, SIZE).flatmap(lambda second: st.tuples(st.integers(1, second), st.just(second))))
def test_any_tree_is_proved_to_begin_with_any_smaller_one(log: Log, pair: tuple[int, int]) -> None:
    first, second = pair
    assert log.get(f"/v1/proofs/consistency?from={first}&to={second}").json() == consistency(log, first, second)


def test_at_every_edge_of_a_subtree_proofs_are_the_rfc_s(log: Log) -> None:
    for size in EDGES:
        for smaller in (edge for edge in EDGES if edge <= size):
            assert log.get(f"/v1/events/{smaller}/proof?size={size}").json() == inclusion(log, smaller, size)
            answer = log.get(f"/v1/proofs/consistency?from={smaller}&to={size}").json()
            assert answer == consistency(log, smaller, size)


def test_every_small_tree_is_proved_whole(log: Log) -> None:
    for size in range(1, 20):
        for smaller in range(1, size + 1):
            assert log.get(f"/v1/events/{smaller}/proof?size={size}").json() == inclusion(log, smaller, size)
            answer = log.get(f"/v1/proofs/consistency?from={smaller}&to={size}").json()
            assert answer == consistency(log, smaller, size)


def test_a_proof_can_be_checked_with_the_event_alone(log: Log) -> None:
    for position in (1, 2, 256, 257, SIZE):
        shown = log.get(f"/v1/events/{position}").json()
        proof = log.get(f"/v1/events/{position}/proof?size={SIZE}").json()
        leaf = leaf_of(shown["entry"].encode())
        assert leaf.hex() == proof["leaf_hash"]
        path = [bytes.fromhex(step) for step in proof["path"]]
        assert root_of(position - 1, SIZE, leaf, path).hex() == proof["root_hash"]


def test_without_a_size_the_tree_is_that_of_the_latest_checkpoint(log: Log) -> None:
    note = log.get("/tlog/checkpoint").text
    opened = read_checkpoint(note, vkey_for(log.get("/tlog/keys").text, log.served.head()))
    proof = log.get("/v1/events/2/proof").json()
    assert (proof["size"], proof["root_hash"]) == (opened.size, opened.root.hex())


@pytest.mark.parametrize("kind", RECORDS)
def test_a_revision_s_proof_is_that_of_its_event(log: Log, kind: str) -> None:
    for number in (1, 2):
        path = f"{RECORDS[kind]}/revisions/{number}"
        position = log.get(path).json()["position"]
        for query in ("", f"?size={SIZE}", f"?size={position}"):
            of_revision, of_event = log.get(f"{path}/proof{query}"), log.get(f"/v1/events/{position}/proof{query}")
            assert of_revision.status_code == 200
            assert of_revision.content == of_event.content
            assert of_revision.headers["etag"] == of_event.headers["etag"]
        refused(log.get(f"{path}/proof?size={position - 1}"), 409, "not-applicable", parameter="size")


REFUSED = {
    "/v1/events/2/proof?size=0": (400, "bad-parameter"),
    "/v1/events/2/proof?size=-1": (400, "bad-parameter"),
    "/v1/events/2/proof?size=": (400, "bad-parameter"),
    "/v1/events/2/proof?size=02": (400, "bad-parameter"),
    "/v1/events/2/proof?size=2.0": (400, "bad-parameter"),
    "/v1/events/2/proof?size=2e2": (400, "bad-parameter"),
    "/v1/events/2/proof?size=%2B2": (400, "bad-parameter"),
    "/v1/events/2/proof?size=%202": (400, "bad-parameter"),
    "/v1/events/2/proof?size=2%0A": (400, "bad-parameter"),
    "/v1/events/2/proof?size=٢": (400, "bad-parameter"),
    "/v1/events/2/proof?size=head": (400, "bad-parameter"),
    "/v1/events/2/proof?size=2&size=3": (400, "bad-parameter"),
    "/v1/events/2/proof?Size=2": (400, "bad-parameter"),
    "/v1/events/2/proof?as_of=2": (400, "bad-parameter"),
    "/v1/events/2/proof?size=10000000000000000": (400, "bad-parameter"),
    "/v1/events/2/proof?size=9999999999999999": (404, "not-yet"),
    "/v1/events/2/proof?size=18446744073709551616": (400, "bad-parameter"),
    "/v1/events/2/proof?size=1": (409, "not-applicable"),
    "/v1/events/0/proof": (400, "bad-parameter"),
    "/v1/events/-1/proof": (400, "bad-parameter"),
    "/v1/events/02/proof": (400, "bad-parameter"),
    "/v1/events/x/proof": (400, "bad-parameter"),
    "/v1/events/9999999999999999/proof": (404, "not-yet"),
    "/v1/events/10000000000000000/proof": (400, "bad-parameter"),
    "/v1/events/9999999999999999/proof?size=3": (404, "not-yet"),
    "/v1/events/2/proofs": (404, "not-found"),
    "/v1/proofs": (404, "not-found"),
    "/v1/proofs/inclusion": (404, "not-found"),
    "/v1/proofs/consistency": (400, "bad-parameter"),
    "/v1/proofs/consistency?from=1": (400, "bad-parameter"),
    "/v1/proofs/consistency?to=1": (400, "bad-parameter"),
    "/v1/proofs/consistency?from=0&to=2": (400, "bad-parameter"),
    "/v1/proofs/consistency?from=0&to=0": (400, "bad-parameter"),
    "/v1/proofs/consistency?from=1&to=0": (400, "bad-parameter"),
    "/v1/proofs/consistency?from=01&to=2": (400, "bad-parameter"),
    "/v1/proofs/consistency?from=1&to=2&size=2": (400, "bad-parameter"),
    "/v1/proofs/consistency?from=1&from=2&to=3": (400, "bad-parameter"),
    "/v1/proofs/consistency?from=3&to=2": (409, "interval-reversed"),
    "/v1/proofs/consistency?from=1&to=9999999999999999": (404, "not-yet"),
    "/v1/proofs/consistency?from=9999999999999998&to=9999999999999999": (404, "not-yet"),
    "/v1/proofs/consistency?from=9999999999999999&to=1": (404, "not-yet"),
    "/v1/entities/proved/revisions/3/proof": (404, "unknown-revision"),
    "/v1/entities/proved/revisions/0/proof": (400, "bad-parameter"),
    "/v1/entities/nobody/revisions/1/proof": (404, "unknown-record"),
    "/v1/entities/proved/revisions/1/proof?size=9999999999999999": (404, "not-yet"),
    "/v1/entities/proved/proof": (404, "not-found"),
}


@pytest.mark.parametrize("path", REFUSED)
def test_what_cannot_be_proved_is_refused_clearly(log: Log, path: str) -> None:
    refused(log.get(path), *REFUSED[path])


@pytest.mark.parametrize(
    "path",
    ["/v1/events/{beyond}/proof", "/v1/events/2/proof?size={beyond}", "/v1/proofs/consistency?from=2&to={beyond}"],
)
def test_one_past_the_head_is_not_there_yet(log: Log, path: str) -> None:
    refused(log.get(path.format(beyond=log.served.head() + 1)), 404, "not-yet")


def test_a_stated_tree_is_kept_and_the_latest_is_asked_for_again(log: Log) -> None:
    for path in (f"/v1/events/2/proof?size={SIZE}", "/v1/proofs/consistency?from=2&to=3"):
        assert log.get(path).headers["cache-control"] == "public, max-age=3600"
    latest = log.get("/v1/events/2/proof")
    assert latest.headers["cache-control"] == "no-cache"
    assert latest.headers["ledger-position"] == str(latest.json()["size"])
    assert log.get("/v1/events/2/proof", Accept="text/plain").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/events/2/proof",
        "/v1/events/2/proof?size=300",
        "/v1/entities/proved/revisions/1/proof",
        "/v1/proofs/consistency?from=2&to=300",
    ],
)
def test_proofs_answer_head_and_a_tag_that_is_held(log: Log, path: str) -> None:
    got, headed = log.get(path), log.served.client.head(path)
    assert headed.status_code == 200
    assert headed.content == b""
    for name in ("content-type", "content-length", "cache-control", "etag", "vary", "ledger-position"):
        assert headed.headers[name] == got.headers[name]
    held = log.get(path, If_None_Match=got.headers["etag"])
    assert (held.status_code, held.content) == (304, b"")
    assert log.get(path, If_None_Match='"1.1"').status_code == 200
    refused(log.served.client.post(path), 405, "method-not-allowed")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/*", "text/plain; charset=utf-8"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("text/plain;q=0.5, application/json;q=0.4", "text/plain; charset=utf-8"),
        ("text/plain;q=0.4, application/json;q=0.5", "application/json"),
    ],
)
def test_the_client_says_in_which_form(log: Log, accept: str, media_type: str) -> None:
    answer = log.get("/v1/events/2/proof", Accept=accept)
    assert answer.headers["content-type"] == media_type
    assert "accept" in [name.strip().lower() for name in answer.headers["vary"].split(",")]
    refused(log.get("/v1/events/2/proof", Accept="text/html"), 406, "not-acceptable")
    refused(log.get("/v1/proofs/consistency?from=1&to=2", Accept="text/plain"), 406, "not-acceptable")


@pytest.mark.parametrize("position", [1, 2, 5, 256, 257, 300, SIZE])
def test_a_proof_file_proves_payload_entry_and_checkpoint_at_once(log: Log, position: int) -> None:
    """As a stranger checks it, who knows the log's keys and has the entry."""
    answer = log.get(f"/v1/events/{position}/proof", Accept="text/plain")
    proof, entry = read_proof(answer.text), log.entries[position - 1]
    assert proof.index == position - 1
    keys = log.get("/tlog/keys").text
    assert proof.note == log.get("/tlog/checkpoint").text
    opened = read_checkpoint(proof.note, vkey_for(keys, log.served.head()))
    assert root_of(proof.index, opened.size, leaf_of(entry), proof.path) == opened.root
    assert proof.extra is not None
    assert payload_in(proof.extra, entry) == json.loads(log.get(f"/v1/events/{position}").json()["payload"])
    said = json.loads(proof.extra)
    assert list(said) == ["payload", "salt"]
    assert json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() == proof.extra, "it is canonical"


def test_a_proof_file_that_was_altered_proves_nothing(log: Log) -> None:
    text = log.get("/v1/events/300/proof", Accept="text/plain").text
    proof, vkey = read_proof(text), vkey_for(log.get("/tlog/keys").text, log.served.head())
    opened = read_checkpoint(proof.note, vkey)
    leaf = leaf_of(log.entries[299])
    for place in range(len(proof.path)):
        bent = [*proof.path]
        bent[place] = hashlib.sha256(bent[place]).digest()
        assert root_of(299, opened.size, leaf, bent) != opened.root
    assert root_of(298, opened.size, leaf, proof.path) != opened.root
    assert root_of(299, opened.size, leaf_of(log.entries[298]), proof.path) != opened.root
    with pytest.raises(InvalidSignature):
        read_checkpoint(proof.note.replace(f"\n{opened.size}\n", f"\n{opened.size + 1}\n"), vkey)


def test_as_text_only_the_latest_checkpoint_is_at_hand(log: Log) -> None:
    head = log.served.head()
    assert read_proof(log.get(f"/v1/events/2/proof?size={head}", Accept="text/plain").text).index == 1
    refused(
        log.get(f"/v1/events/2/proof?size={head - 1}", Accept="text/plain"), 409, "not-applicable", parameter="size"
    )
    refused(log.get(f"/v1/events/2/proof?size={head + 1}", Accept="text/plain"), 404, "not-yet")


@pytest.mark.parametrize("kind", RECORDS)
def test_what_was_redacted_is_still_proved_to_have_been_there(log: Log, kind: str) -> None:
    served, name = log.served, an_id("redacted")
    made = {
        "entity": lambda: an_entity(name, note="Secret words"),
        "source": lambda: a_source(name, note="Secret words"),
        "question": lambda: a_question(name, about="proved", note="Secret words"),
        "claim": lambda: a_claim(name, source="proved", question="proved", note="Secret words"),
    }[kind]()
    position = served.append(made, revise(kind, name, note="Kept words")) - 1
    size = served.head()
    path = f"{RECORDS[kind].rsplit('/', 1)[0]}/{name}/revisions"
    before = served.get(f"/v1/events/{position}/proof?size={size}")
    text = served.get(f"/v1/events/{position}/proof", Accept="text/plain").text
    assert b"Secret" in (read_proof(text).extra or b"")

    body = {"kind": kind, "id": name, "first": 1, "last": 1, "basis": "court-order", "reason": "An order"}
    assert served.post("/v1/redactions", body).status_code == 201

    after = served.get(f"/v1/events/{position}/proof?size={size}")
    assert (after.content, after.headers["etag"]) == (before.content, before.headers["etag"])
    bare = read_proof(served.get(f"/v1/events/{position}/proof", Accept="text/plain").text)
    assert bare.extra is None
    shown = served.get(f"/v1/events/{position}").json()
    assert shown["payload"] is shown["salt"] is None
    keys = served.get("/tlog/keys").text
    opened = read_checkpoint(bare.note, vkey_for(keys, served.head()))
    assert root_of(bare.index, opened.size, leaf_of(shown["entry"].encode()), bare.path) == opened.root
    # The proof made before holds as it did, for whoever kept it.
    kept = read_proof(text)
    opened = read_checkpoint(kept.note, vkey_for(keys, size))
    assert root_of(kept.index, opened.size, leaf_of(shown["entry"].encode()), kept.path) == opened.root
    refused(served.get(f"{path}/1/proof"), 410, "redacted")
    refused(served.get(f"{path}/1/proof", Accept="text/plain"), 410, "redacted")
    assert served.get(f"{path}/2/proof").status_code == 200


def test_a_redaction_is_proved_like_any_event(log: Log) -> None:
    name = an_id("redacted")
    log.served.append(an_entity(name))
    body = {"kind": "entity", "id": name, "basis": "safety", "reason": "Words of the redaction"}
    position = log.served.post("/v1/redactions", body).json()["position"]
    proof = read_proof(log.get(f"/v1/events/{position}/proof", Accept="text/plain").text)
    entry = log.get(f"/v1/events/{position}").json()["entry"].encode()
    payload = payload_in(proof.extra or b"", entry)
    assert payload["reason"] == "Words of the redaction"
    opened = read_checkpoint(proof.note, vkey_for(log.get("/tlog/keys").text, log.served.head()))
    assert root_of(proof.index, opened.size, leaf_of(entry), proof.path) == opened.root
