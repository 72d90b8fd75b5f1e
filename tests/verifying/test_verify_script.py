"""`/verify.py`: one file and the standard library, held to RFC 8032, to `cryptography`, and to every forgery we can think of."""

import hashlib
import importlib.util
import json
import random
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.domain.log import checkpoint, merkle
from tests.support.builders import a_claim, an_entity, ground, revise
from tests.support.served import DATABASES, migrated
from tests.support.witnessing import Serving, ledger
from tests.verifying.lying import Lie, at, lying

SCRIPT = Path(__file__).parents[2] / "api" / "assets" / "verify.py"
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "notes.json").read_text(encoding="utf-8"))
FLIPS = 150
POSITION = 7


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verifier", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["verifier"] = module
    spec.loader.exec_module(module)
    return module


VERIFIER = load()


@dataclass
class Evidence:
    """A served ledger of more than one bundle, and what somebody saved of it."""

    serving: Serving
    folder: Path
    vkey: str

    def run(self, *words: str, script: Path = SCRIPT) -> tuple[int, str]:
        """Run the script as a stranger would, apart from everything that is installed."""
        told = subprocess.run(
            [sys.executable, "-I", "-S", str(script), *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (told.stdout == "") is (told.returncode != 0)
        return told.returncode, told.stdout + told.stderr

    def judge(self, command: str, **changed: bytes) -> int:
        """Give the status for the saved files, some of them changed, here in this process."""
        for name, body in changed.items():
            (self.folder / f"changed-{name}").write_bytes(body)
        names = {"proof": ("claim", "event"), "consistency": ("earlier", "now", "consistency")}[command]
        files = [str(self.folder / (f"changed-{name}" if name in changed else name)) for name in names]
        return int(VERIFIER.main([command, *files, "--vkey", self.vkey]))


# What the script makes of files and of a server's lies has nothing to do with the database: that is tried on one, what is
# served in earnest on both.
ONCE = pytest.mark.parametrize("evidence", ["sqlite"], indirect=True)


@pytest.fixture(scope="module", params=DATABASES)
def evidence(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    folder = tmp_path_factory.mktemp("evidence")
    with migrated(request, request.param, folder) as settings, ledger(settings) as serving:
        send(
            serving,
            *ground(),
            a_claim("said", source="paper", question="offline-when", statement="Gone, “été” \u2066."),
        )
        send(serving, *(an_entity() for _ in range(295)))
        save(serving, folder, {"earlier": "/tlog/checkpoint"})
        send(serving, revise("claim", "said", expect=1, note="Later"), *(an_entity() for _ in range(20)))
        save(serving, folder, {"now": "/tlog/checkpoint", "event": f"/v1/events/{POSITION}"})
        proof = serving.client.get(f"/v1/events/{POSITION}/proof", headers={"Accept": "text/plain"})
        (folder / "claim").write_bytes(proof.content)
        old, new = (int((folder / name).read_text().split("\n")[1]) for name in ("earlier", "now"))
        assert old < new
        save(serving, folder, {"consistency": f"/v1/proofs/consistency?from={old}&to={new}"})
        yield Evidence(serving, folder, serving.client.get("/tlog/keys").text.split()[-1])


def send(serving: Serving, *operations: dict[str, Any]) -> None:
    answer = serving.client.post("/v1/batch", json=list(operations))
    assert answer.status_code == 201, answer.text


def save(serving: Serving, folder: Path, files: dict[str, str]) -> None:
    for name, path in files.items():
        (folder / name).write_bytes(serving.client.get(path).content)


def test_it_is_served_as_it_is_shipped(evidence: Evidence) -> None:
    with urllib.request.urlopen(f"{evidence.serving.url}/verify.py") as answer:
        assert answer.headers["content-type"] == "text/x-python; charset=utf-8"
        assert answer.read() == SCRIPT.read_bytes()


def test_it_is_short_and_needs_the_standard_library_alone() -> None:
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) <= 550
    told = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), "--help"], capture_output=True, text=True, check=True
    )
    assert "0 proved, 1 refused, 2 not checked" in told.stdout


def test_an_event_is_proved_and_told_in_plain_words(evidence: Evidence) -> None:
    status, told = evidence.run("proof", "claim", "event", "--vkey", evidence.vkey)
    assert status == 0, told
    entry = json.loads(json.loads((evidence.folder / "event").read_text())["entry"])
    assert told.startswith(f"proved: position {POSITION} of the log ")
    assert f"{entry['recorded_at']} recorded: revision 1 of {entry['kind']} {entry['record']}" in told


def test_what_others_wrote_does_not_command_the_terminal(evidence: Evidence) -> None:
    answer = evidence.serving.client.get("/v1/claims/said/revisions/1/proof", headers={"Accept": "text/plain"})
    event = evidence.serving.client.get("/v1/events/5")
    (evidence.folder / "said").write_bytes(answer.content)
    (evidence.folder / "fifth").write_bytes(event.content)
    status, told = evidence.run("proof", "said", "fifth", "--vkey", evidence.vkey)
    assert status == 0, told
    assert "said, asserted: Gone, “été” ?.\n" in told


def test_consistency_is_proved(evidence: Evidence) -> None:
    status, told = evidence.run("consistency", "earlier", "now", "consistency", "--vkey", evidence.vkey)
    assert (status, told.split(" ")[0]) == (0, "proved:"), told
    same = json.loads((evidence.folder / "consistency").read_text())
    same |= {"from": same["to"], "from_root": same["to_root"], "path": []}
    now = (evidence.folder / "now").read_bytes()
    assert evidence.judge("consistency", earlier=now, consistency=json.dumps(same).encode()) == 0
    assert evidence.judge("consistency", earlier=now) == 1


def test_a_whole_log_is_derived_again(evidence: Evidence) -> None:
    for words in ([], ["--vkey", evidence.vkey], ["--since", "earlier"], ["--since", "now", "--vkey", evidence.vkey]):
        status, told = evidence.run("log", evidence.serving.url, *words)
        assert (status, told.split(" ")[0]) == (0, "proved:"), told
        assert "every payload is the one that its entry commits to\n" in told
        assert ("No key was given" in told) is ("--vkey" not in words)
        assert told.splitlines()[-1].strip().startswith("Not looked at: what the server makes of it")


@ONCE
@pytest.mark.parametrize(("command", "name"), [
    ("proof", "claim"), ("proof", "event"), ("consistency", "earlier"), ("consistency", "now"), ("consistency", "consistency"),
])  # fmt: skip
def test_every_flipped_byte_is_refused(evidence: Evidence, command: str, name: str) -> None:
    before, draw = (evidence.folder / name).read_bytes(), random.Random(name)
    assert evidence.judge(command) == 0
    for _ in range(FLIPS):
        place, bit = draw.randrange(len(before)), 1 << draw.randrange(8)
        flipped = before[:place] + bytes([before[place] ^ bit]) + before[place + 1 :]
        assert evidence.judge(command, **{name: flipped}) == 1, f"byte {place}, bit {bit} of {name}"
    for _ in range(FLIPS // 5):
        short = before[: draw.randrange(len(before))]
        assert evidence.judge(command, **{name: short}) == 1, f"{name} cut after {len(short)} bytes"


@ONCE
def test_another_key_is_refused(evidence: Evidence) -> None:
    name = evidence.vkey.split("+")[0]
    for key in (checkpoint.SigningKey(name, b"\x05" * 32), checkpoint.SigningKey("another", b"\x05" * 32)):
        for words in (
            ("proof", "claim", "event"),
            ("consistency", "earlier", "now", "consistency"),
            ("log", evidence.serving.url),
        ):
            status, told = evidence.run(*words, "--vkey", key.vkey)
            assert (status, told.split(" ")[0]) == (1, "refused:"), told
    assert evidence.run("proof", "claim", "event", "--vkey", "nonsense")[0] == 1
    assert evidence.run("proof", "claim", "event")[0] == 2


@ONCE
def test_a_key_that_claims_the_id_of_the_real_one_is_refused(evidence: Evidence) -> None:
    """Four bytes are soon found again; then the signature is false under the key that was given."""
    note, draw = (evidence.folder / "now").read_text(), random.Random(1)
    text, signature = note.split("\n\n")
    forged = checkpoint.SigningKey(evidence.vkey.split("+")[0], draw.randbytes(32))
    other = checkpoint.sign_note(text + "\n", forged).split("\n\n")[1]
    assert evidence.judge("consistency", now=f"{text}\n\n{other}".encode()) == 1
    # A signature of an unknown key beside the real one is none of our business.
    assert evidence.judge("consistency", now=f"{text}\n\n{other}{signature}".encode()) == 0


def proof_lines(evidence: Evidence) -> tuple[list[str], str]:
    head, _, note = (evidence.folder / "claim").read_text().partition("\n\n")
    return head.split("\n"), note


@ONCE
@pytest.mark.parametrize("change", [
    lambda lines: lines[:-1],
    lambda lines: [*lines, lines[-1]],
    lambda lines: [*lines[:-2], lines[-1], lines[-2]],
    lambda lines: [*lines[:2], "index 0", *lines[3:]],
    lambda lines: [*lines[:2], f"index {10**9}", *lines[3:]],
    lambda lines: [*lines[:2], "index 06", *lines[3:]],
    lambda lines: [*lines[:2], "index -6", *lines[3:]],
    lambda lines: [*lines[:-1], "AAAA"],
    lambda lines: ["c2sp.org/tlog-proof@v2", *lines[1:]],
    lambda lines: [lines[0], lines[1], lines[1], *lines[2:]],
])  # fmt: skip
def test_a_proof_of_another_shape_is_refused(evidence: Evidence, change: Callable[[list[str]], list[str]]) -> None:
    lines, note = proof_lines(evidence)
    assert evidence.judge("proof", claim=f"{chr(10).join(lines)}\n\n{note}".encode()) == 0
    assert evidence.judge("proof", claim=f"{chr(10).join(change(lines))}\n\n{note}".encode()) == 1


@ONCE
def test_a_proof_without_what_was_said_still_proves_that_it_was_said(evidence: Evidence) -> None:
    """What a reader gets of an event that was redacted; but salt and payload go together."""
    lines, note = proof_lines(evidence)
    bare = f"{lines[0]}\n{chr(10).join(lines[2:])}\n\n{note}".encode()
    event = json.loads((evidence.folder / "event").read_text())
    gone = json.dumps({**event, "payload": None, "salt": None}).encode()
    assert evidence.judge("proof", claim=bare, event=gone) == 0
    for half in ("payload", "salt"):
        assert evidence.judge("proof", claim=bare, event=json.dumps({**event, half: None}).encode()) == 1
    told = {**event, "payload": event["payload"].replace("asserted", "retracted")}
    assert evidence.judge("proof", claim=bare, event=json.dumps(told).encode()) == 1


@ONCE
def test_the_proof_of_one_event_does_not_prove_another(evidence: Evidence) -> None:
    for position in (POSITION - 1, POSITION + 1, 300):
        other = evidence.serving.client.get(f"/v1/events/{position}").content
        assert evidence.judge("proof", event=other) == 1
        moved = json.dumps({**json.loads(other), "position": POSITION}).encode()
        assert evidence.judge("proof", event=moved) == 1


@ONCE
def test_a_fork_is_refused(evidence: Evidence) -> None:
    """The log's own key signs two logs of one size: a reader who holds the first is not led to the second."""
    forger = checkpoint.SigningKey("fork", b"\x06" * 32)
    leaves = [hashlib.sha256(b"%d" % number).digest() for number in range(40)]
    honest = merkle.Frontier().append(leaves)[0].root()
    forked = merkle.Frontier().append([*leaves[:20], *leaves[21:], leaves[20]])[0].root()
    earlier, now = (checkpoint.sign("fork", 40, root, forger).encode() for root in (honest, forked))
    (evidence.folder / "fork-earlier").write_bytes(earlier)
    (evidence.folder / "fork-now").write_bytes(now)
    proof = {"from": 40, "to": 40, "from_root": honest.hex(), "to_root": forked.hex(), "path": []}
    (evidence.folder / "fork-proof").write_text(json.dumps(proof))
    status, told = evidence.run("consistency", "fork-earlier", "fork-now", "fork-proof", "--vkey", forger.vkey)
    assert status == 1
    assert "the log was forked" in told


EVENTS = "/v1/events?exact=true&after="


def forging(position: int, *changes: Any) -> Lie:
    """Change members of one event as the feed has it to the byte."""

    def changed(body: bytes) -> bytes:
        page = json.loads(body)
        page["items"][position - 1].update(zip(changes[::2], changes[1::2], strict=True))
        return json.dumps(page).encode()

    return at(f"{EVENTS}0", changed)


@ONCE
@pytest.mark.parametrize("lie", [
    at("/tlog/tile/entries/000", lambda body: body.replace(b'"recorded"', b'"revised "', 1)),
    at("/tlog/tile/entries/000", lambda body: body[:-1]),
    at("/tlog/tile/entries/001", lambda body: body + body),
    at("/tlog/tile/entries/001", lambda _: b""),
    at("/tlog/checkpoint", lambda body: body.replace(b"\n321\n", b"\n320\n")),
    at("/tlog/checkpoint", lambda body: body[:-30] + b"\n"),
    at("/tlog/checkpoint", lambda body: b"\xff" + body),
    at("/tlog/checkpoint", lambda _: b""),
    at(f"{EVENTS}0", lambda body: body.replace(b"log_origin", b"log_origim")),
    at(f"{EVENTS}0", lambda _: b"{}"),
    at(f"{EVENTS}100", lambda _: b'{"items": []}'),
    at(f"{EVENTS}100", lambda body: body.replace(b"asserted", b"retracted", 1)),
    forging(9, "payload", None, "salt", None),
    forging(9, "payload", None),
    forging(9, "salt", "00" * 32),
    forging(9, "leaf_hash", "00" * 32),
    forging(9, "position", 10),
    forging(9, "entry", "{}"),
    forging(1, "payload", None, "salt", None),
])  # fmt: skip
def test_a_server_that_lies_is_refused(evidence: Evidence, lie: Any) -> None:
    assert (evidence.folder / "now").read_text().split("\n")[1] == "321"
    with lying(evidence.serving.url, lie) as address:
        for words in ((), ("--vkey", evidence.vkey)):
            status, told = evidence.run("log", address, *words)
            assert (status, told.split(" ")[0]) == (1, "refused:"), told


@ONCE
@pytest.mark.parametrize("status", [302, 404, 500])
@pytest.mark.parametrize("path", ["/tlog/tile/entries/001", f"{EVENTS}100"])
def test_what_is_signed_and_not_given_is_refused(evidence: Evidence, status: int, path: str) -> None:
    with lying(
        evidence.serving.url, lambda asked, was, body: (status if asked.startswith(path) else was, body)
    ) as address:
        code, told = evidence.run("log", address)
    assert code == 1
    assert path in told
    assert f"answered {status}" in told


@ONCE
@pytest.mark.parametrize("status", [302, 404, 500])
def test_without_a_checkpoint_nothing_can_be_checked(evidence: Evidence, status: int) -> None:
    with lying(evidence.serving.url, lambda path, was, body: (status if "point" in path else was, body)) as address:
        assert evidence.run("log", address)[0] == 2


@ONCE
def test_what_is_not_there_cannot_be_checked(evidence: Evidence) -> None:
    assert evidence.run("log", "http://127.0.0.1:1")[0] == 2
    assert evidence.run("log", "file:///etc/passwd")[0] == 2
    assert evidence.run("proof", "nowhere", "event", "--vkey", evidence.vkey)[0] == 2


@ONCE
def test_an_earlier_checkpoint_of_another_log_is_refused(evidence: Evidence) -> None:
    size, root = (evidence.folder / "earlier").read_text().split("\n")[1:3]
    text = (evidence.folder / "earlier").read_text()
    assert evidence.run("log", evidence.serving.url, "--since", "earlier")[0] == 0
    for number, forged in enumerate(
        (text.replace(f"\n{size}\n", f"\n{int(size) - 1}\n"), text.replace(root, "A" * 43 + "="), "", "a\n9999\nb\n")
    ):
        (evidence.folder / f"forged-{number}").write_text(forged)
        assert evidence.run("log", evidence.serving.url, "--since", f"forged-{number}")[0] == 1


@pytest.mark.parametrize("vector", VECTORS["rfc8032"]["keys"])
def test_signatures_are_those_of_rfc_8032(vector: dict[str, str]) -> None:
    public, message, signature = (bytes.fromhex(vector[name]) for name in ("public", "message", "signature"))
    assert VERIFIER.verify(public, message, signature)
    assert not VERIFIER.verify(public, message + b"\x00", signature)


def test_it_judges_signatures_as_cryptography_does() -> None:
    draw = random.Random(8032)
    for _ in range(60):
        key, message = Ed25519PrivateKey.from_private_bytes(draw.randbytes(32)), draw.randbytes(draw.randrange(200))
        public, signature = key.public_key().public_bytes_raw(), key.sign(message)
        assert VERIFIER.verify(public, message, signature)
        for broken in (signature[:-1], signature + b"\x00", b"", flip(signature, draw)):
            assert not VERIFIER.verify(public, message, broken)
        assert not VERIFIER.verify(flip(public, draw), message, signature)
        assert not VERIFIER.verify(public[:-1], message, signature)


def test_a_signature_has_one_form_alone() -> None:
    """S and S + L verify alike unless S is held below the order of the group (RFC 8032 section 5.1.7)."""
    key = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    public, signature = key.public_key().public_bytes_raw(), key.sign(b"once")
    twin = int.from_bytes(signature[32:], "little") + VERIFIER.ORDER
    assert VERIFIER.verify(public, b"once", signature)
    assert not VERIFIER.verify(public, b"once", signature[:32] + twin.to_bytes(32, "little"))


def flip(raw: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(raw))
    return raw[:place] + bytes([raw[place] ^ 1 << draw.randrange(8)]) + raw[place + 1 :]


def test_it_reads_the_notes_that_we_write() -> None:
    draw = random.Random(2021)
    for size in (0, 1, 2, 590, 2**40):
        key, root = checkpoint.SigningKey("example.com/log", draw.randbytes(32)), draw.randbytes(32)
        note = checkpoint.sign(key.name, size, root, key)
        assert VERIFIER.read_checkpoint(note, [key.vkey])[:3] == (key.name, size, root)
        with pytest.raises(VERIFIER.NotProved):
            VERIFIER.read_checkpoint(note, [checkpoint.SigningKey(key.name, draw.randbytes(32)).vkey])


def test_its_trees_are_ours() -> None:
    leaves = [hashlib.sha256(b"%d" % number).digest() for number in range(36)]
    stored = {(level, number): node for level, number, node in merkle.Frontier().append(leaves)[1]}
    stored |= {(0, number): leaf for number, leaf in enumerate(leaves)}
    roots = [merkle.root_at(size, lambda *at: stored[at]) for size in range(37)]
    grown: list[tuple[int, bytes]] = []
    for size in range(36):
        assert VERIFIER.join(grown) == roots[size]
        VERIFIER.grow(grown, leaves[size])
    for new in range(1, 37):
        for old in range(new + 1):
            path = merkle.consistency_path(old, new, lambda *at: stored[at])
            states = [VERIFIER.Checkpoint("log", size, roots[size], "key") for size in (old, new)]
            VERIFIER.check_consistency(*states, path)
            for wrong in ([*path, leaves[0]], path[:-1] or [leaves[0]], [leaves[0], *path[1:]]):
                with pytest.raises(VERIFIER.NotProved):
                    VERIFIER.check_consistency(*states, wrong)
        for index in range(new):
            path = merkle.inclusion_path(index, new, lambda *at: stored[at])
            assert VERIFIER.climb(index, new - 1, leaves[index], leaves[index], path)[1] == roots[new]


def test_what_was_redacted_is_told_from_what_is_missing(evidence: Evidence) -> None:
    for operation in ({"id": "said", "first": 1, "last": 1}, {"id": "said"}):
        redaction = {"kind": "claim", **operation, "basis": "safety", "reason": "A name"}
        assert evidence.serving.client.post("/v1/redactions", json=redaction).status_code == 201
    status, told = evidence.run("log", evidence.serving.url, "--vkey", evidence.vkey)
    assert (status, "but for 2 that were redacted" in told) == (0, True), told
    with lying(evidence.serving.url, forging(9, "payload", None, "salt", None)) as address:
        status, told = evidence.run("log", address)
    assert (status, "position 9: the payload is missing, and no later entry redacts it" in told) == (1, True), told


def test_what_is_redacted_and_still_served_is_refused(evidence: Evidence) -> None:
    before = json.loads((evidence.folder / "event").read_text())
    entity = json.loads(before["payload"])["state"]["id"]
    redaction = {"kind": "entity", "id": entity, "basis": "safety", "reason": "A name"}
    assert evidence.serving.client.post("/v1/redactions", json=redaction).status_code == 201
    shown = forging(POSITION, "payload", before["payload"], "salt", before["salt"])
    with lying(evidence.serving.url, shown) as address:
        status, told = evidence.run("log", address)
    assert (status, "is still served" in told) == (1, True), told


def test_what_is_redacted_while_the_log_is_read_is_not_checked(evidence: Evidence) -> None:
    """The checkpoint comes first; a payload may be gone by a redaction that it does not hold."""
    old = (evidence.folder / "now").read_bytes()
    with lying(evidence.serving.url, at("/tlog/checkpoint", lambda _: old)) as address:
        status, told = evidence.run("log", address)
    assert (status, "run this again" in told) == (2, True), told
