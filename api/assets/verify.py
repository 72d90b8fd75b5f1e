"""Check the Deplatforming Ledger without trusting it: one file, Python 3.9 or later, the standard library alone.

  python verify.py proof FILE.tlog-proof EVENT.json --vkey KEY
      that an event is in the log: event -> leaf -> root hash -> signature
      (FILE: GET /v1/events/{position}/proof as text/plain; EVENT: GET /v1/events/{position})
  python verify.py consistency OLD.checkpoint NEW.checkpoint PROOF.json --vkey KEY
      that one checkpoint continues another (PROOF: GET /v1/proofs/consistency?from={old size}&to={new size})
  python verify.py log URL [--vkey KEY] [--since OLD.checkpoint]
      that all entries of a served log lead to the root hash that its checkpoint signs, that every payload served is the
      one that its entry commits to, and that every one that is missing was redacted by a later entry
      (not what the server makes of them, its records, lists, answers and searches: `ledger verify URL` compares those)

KEY is the log's public key, one of GET /tlog/keys (repeat --vkey after a rotation). Compare it with what others were
given: whoever shows you both the log and the key can show you any log. Exit status: 0 proved, 1 refused, 2 not checked.
What the checkpoint signs and the server does not give is refused; without a checkpoint, nothing can be checked.
Standards: RFC 8032 (Ed25519), 6962 and 9162 (Merkle trees), c2sp.org signed-note, tlog-checkpoint, tlog-proof, tlog-tiles.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

Point = tuple[int, int, int, int]
Json = dict[str, Any]
MOST_BYTES = 64 * 2**20
HASH, TILE = 32, 256
CHECKPOINT = "/tlog/checkpoint"
EVENT = "entry leaf_hash payload position salt"
PAGE, DEADLINE, LONGEST_PAUSE = 100, 120, 60
BASES = ("court-order", "data-protection", "copyright", "safety", "error")
ENTRY = "actor basis batch kind payload_digest position record recorded_at redacts revision schema type v"
CONSISTENCY = "from from_root path to to_root"


class Checkpoint(NamedTuple):
    """What a signed note states, and which key signed it."""

    origin: str
    size: int
    root: bytes
    signer: str


class NotProved(Exception):
    """What was given does not prove what it should."""


class NotChecked(Exception):
    """Nothing can be said: something is missing or does not answer."""


def require(holds: object, rule: str) -> None:
    if not holds:
        raise NotProved(rule)


# The three commands. Each gives the sentence that says what was proved.


def prove_event(proof_file: str, event_file: str, vkeys: list[str]) -> str:
    index, path, extra, note = read_proof(read_text(proof_file))
    checkpoint = read_checkpoint(note, vkeys)
    told = json.loads(read_text(event_file))
    require(" ".join(sorted(told)) == EVENT, "the event does not have the members of one")
    raw = told["entry"].encode()
    entry, leaf = read_entry(raw, index + 1), hash_leaf(raw)
    require((told["position"], told["leaf_hash"]) == (index + 1, leaf.hex()), "the event is not that of the proof")
    require(index < checkpoint.size, "the proof is of a place beyond the checkpoint's size")
    _, root = climb(index, checkpoint.size - 1, leaf, leaf, path)
    require(root == checkpoint.root, "the proof leads to another root hash than the one that is signed")
    given = [each for each in (told, extra) if each and (each["payload"], each["salt"]) != (None, None)]
    said = [read_payload(entry, each) for each in given]
    log = f"the log {checkpoint.origin} ({checkpoint.size} events, signed by {checkpoint.signer})"
    return (
        f"proved: position {index + 1} of {log} is\n"
        f"  {entry['recorded_at']} {entry['type']}: revision {entry['revision']} of {entry['kind']} {entry['record']}\n"
        f"  {describe(said[0]) if said else 'What it said was redacted, or is not given; its digest is in the entry.'}"
    )


def describe(said: Json) -> str:
    state = said["state"]
    words = next((state[name] for name in ("statement", "text", "title", "name", "log_origin") if state.get(name)), "")
    return f"{state['id']}, {state['status']}: {words}" + (f" (reason: {said['reason']})" if said["reason"] else "")


def prove_consistency(old_file: str, new_file: str, proof_file: str, vkeys: list[str]) -> str:
    old, new = read_checkpoint(read_text(old_file), vkeys), read_checkpoint(read_text(new_file), vkeys)
    proof = json.loads(read_text(proof_file))
    require(" ".join(sorted(proof)) == CONSISTENCY, "the proof does not have the members of one")
    roots = [from_hex(proof[name]) for name in ("from_root", "to_root")]
    require(old.origin == new.origin, "the two checkpoints are of different logs")
    require((proof["from"], proof["to"], *roots) == (old.size, new.size, old.root, new.root), "the proof is for others")
    check_consistency(old, new, [from_hex(each) for each in proof["path"]])
    return f"proved: the log {new.origin} begins, at {new.size} events, with the {old.size} of the earlier checkpoint"


def check_log(url: str, vkeys: list[str], since_file: str | None) -> str:
    note, since = get_checkpoint(url), read_text(since_file) if since_file else ""
    size, wanted = read_size(note), read_size(since) if since_file else 0
    require(wanted <= size, "the log is shorter than at the earlier checkpoint")
    log = read_log(url, size, {wanted, size})
    chain = [(key["from"], key["vkey"]) for key in log.ledger["state"]["keys"]]
    require(set(vkeys) <= {vkey for _, vkey in chain}, "a key that you gave is not one that the log records")
    now = read_signed(note, chain, size, vkeys)
    require(now.root == log.roots[size], "the entries lead to another root hash than the one that is signed")
    require(now.origin == log.ledger["state"]["log_origin"], "the checkpoint is of another log")
    sentence = f"proved: the {size} entries of {now.origin} lead to the root hash that {now.signer} signed"
    if since_file:
        old = read_signed(since, chain, wanted, vkeys)
        require(
            (old.origin, old.root) == (now.origin, log.roots[wanted]), "the log does not begin with the earlier one"
        )
        sentence += f", and begin with the {wanted} of the earlier checkpoint"
    sentence += ";\n  every payload is the one that its entry commits to"
    sentence += f", but for {len(log.gone)} that were redacted" if log.gone else ""
    sentence += "" if vkeys else f"\n  No key was given; compare the log's own: {in_force(chain, size)}"
    return f"{sentence}\n  Not looked at: what the server makes of it, its records, lists, answers and searches"


class Log:
    """What is kept of a log while it is read: enough for its roots, its revisions, its keys, and what was redacted."""

    def __init__(self) -> None:
        self.tree: list[tuple[int, bytes]] = []
        self.roots = {0: join([])}
        self.revisions: dict[str, int] = {}
        self.gone: dict[tuple[str, int], int] = {}
        self.redactions: list[Json] = []
        self.ledger: Json = {}
        self.before = ""


def read_log(url: str, size: int, wanted: set[int]) -> Log:
    log, events = Log(), get_events(url, size)
    for position, raw in enumerate(get_entries(url, size), 1):
        entry = read_entry(raw, position)
        require(entry["recorded_at"] > log.before, f"position {position} is not later than the one before")
        record, log.before = entry["record"], entry["recorded_at"]
        require(
            entry["revision"] == log.revisions.get(record, 0) + 1, f"position {position} is out of turn in its record"
        )
        log.revisions[record] = entry["revision"]
        take_payload(log, entry, raw, next(events, {}))
        grow(log.tree, hash_leaf(raw))
        if position in wanted:
            log.roots[position] = join(log.tree)
    check_redactions(url, log, size)
    return log


def take_payload(log: Log, entry: Json, raw: bytes, told: Json) -> None:
    position, redacts = entry["position"], entry["redacts"]
    require(told, f"position {position} is beyond the size of the checkpoint")
    same = (told["position"], told["entry"], told["leaf_hash"]) == (position, raw.decode(), hash_leaf(raw).hex())
    require(same, f"position {position} is served as another event than the one in the log")
    if redacts is not None or entry["type"] == "redacted":
        lawful = entry["type"] == "redacted" and entry["kind"] == "redaction" and entry["basis"] in BASES
        first, last, known = redacts["first"], redacts["last"], log.revisions.get(redacts["record"], 0)
        require(lawful and 1 <= first <= last <= known, f"position {position} redacts what it cannot")
        log.redactions.append(entry)
    if (told["payload"], told["salt"]) == (None, None):
        require(entry["kind"] not in ("ledger", "redaction"), f"position {position}: this payload may never be missing")
        log.gone[entry["record"], entry["revision"]] = position
        return
    require(told["payload"] and told["salt"], f"position {position}: salt and payload go together")
    said = read_payload(entry, told)
    if entry["kind"] == "ledger":
        log.ledger = said


def check_redactions(url: str, log: Log, size: int) -> None:
    """Hold payloads to be missing where a later entry redacts them, and only there."""
    unexplained = dict(log.gone)
    for entry in log.redactions:
        target = entry["redacts"]
        for revision in range(target["first"], target["last"] + 1):
            require(
                (target["record"], revision) in log.gone, f"what position {entry['position']} redacts is still served"
            )
            unexplained.pop((target["record"], revision), None)
    if unexplained:
        later = json.loads(get(url, f"/v1/events?type=redacted&state=false&limit=1&after={size}"))["items"]
        if later:
            raise NotChecked("something was redacted while the log was read; run this again")
        raise NotProved(f"position {min(unexplained.values())}: the payload is missing, and no later entry redacts it")


# What the ledger writes: entries, payloads, proofs, and its chain of keys.


def read_entry(raw: bytes, position: int) -> Json:
    entry: Json = json.loads(raw)
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    require(canonical == raw and " ".join(entry) == ENTRY, f"position {position} holds no canonical entry")
    require(entry["v"] == 1 and entry["position"] == position, f"the entry at position {position} is of another place")
    return entry


def read_payload(entry: Json, told: Json) -> Json:
    """Read what an event says, if it is what the entry's digest commits to: SHA-256(salt || payload)."""
    digest = hashlib.sha256(from_hex(told["salt"]) + told["payload"].encode()).hexdigest()
    require(digest == entry["payload_digest"], "salt and payload are not what the entry commits to")
    return dict(json.loads(told["payload"]))


def read_proof(text: str) -> tuple[int, list[bytes], Json | None, str]:
    """Take a c2sp.org/tlog-proof apart: index, path, extra data, and the checkpoint as it stands."""
    head, _, note = text.partition("\n\n")
    lines, extra = head.split("\n"), None
    require(lines.pop(0) == "c2sp.org/tlog-proof@v1" and lines, "this is not a tlog-proof")
    if lines[0].startswith("extra "):
        extra = json.loads(from_base64(lines.pop(0)[6:]))
    require(lines and re.fullmatch(r"index (0|[1-9][0-9]{0,15})", lines[0]), "the proof has no index")
    return int(lines[0][6:]), [from_base64(line) for line in lines[1:]], extra, note


def read_signed(note: str, chain: list[tuple[int, str]], size: int, vkeys: list[str]) -> Checkpoint:
    """Open a note by the key that the log has in force at its size, which is one of those that were given, if any were."""
    key = in_force(chain, size)
    require(not vkeys or key in vkeys, "the key in force at the checkpoint's size is none of those that you gave")
    return read_checkpoint(note, [key])


def in_force(chain: list[tuple[int, str]], size: int) -> str:
    return [vkey for start, vkey in chain if start <= max(size, 1)][-1]


# Checkpoints: signed notes (c2sp.org/signed-note).


def read_checkpoint(note: str, vkeys: list[str]) -> Checkpoint:
    """Open a note that one of the keys signed; a false signature under a known key condemns it."""
    known = dict(map(read_vkey, vkeys))
    text, _, signatures = note.rpartition("\n\n")
    require(text and signatures.endswith("\n"), "the checkpoint is no signed note")
    signers, text = [], text + "\n"
    for line in signatures[:-1].split("\n"):
        require(re.fullmatch("\u2014 [^\\s+]+ \\S+", line), "a line under the note is no signature")
        name, raw = line.split(" ")[1], from_base64(line.split(" ")[2])
        public = known.get((name, raw[:4]))
        if public is not None:
            require(verify(public, text.encode(), raw[4:]), "the signature under a key that you gave is false")
            signers.append(f"{name}+{raw[:4].hex()}")
    require(signers, "none of the keys that you gave has signed the checkpoint")
    origin, _, root, *_ = text.split("\n")
    return Checkpoint(origin, read_size(note), from_base64(root), signers[0])


def read_size(note: str) -> int:
    lines = note.split("\n", 2)
    require(len(lines) > 1 and re.fullmatch("0|[1-9][0-9]{0,15}", lines[1]), "a checkpoint states a size")
    return int(lines[1])


def read_vkey(vkey: str) -> tuple[tuple[str, bytes], bytes]:
    """Read `name+id+base64(0x01 || key)` as ((name, id), key), where id is SHA-256(name || LF || 0x01 || key)[:4]."""
    name, claimed, encoded = vkey.split("+", 2)
    raw = from_base64(encoded)
    known_by = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    require(len(raw) == 33 and raw[0] == 1 and known_by.hex() == claimed, "a key that you gave is no Ed25519 vkey")
    return (name, known_by), raw[1:]


# Merkle trees (RFC 6962 section 2.1).


def hash_leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def grow(roots: list[tuple[int, bytes]], node: bytes) -> None:
    """Append a leaf to the roots of the complete subtrees, left to right, each with its number of leaves."""
    width = 1
    while roots and roots[-1][0] == width:
        node, width = hash_node(roots.pop()[1], node), width * 2
    roots.append((width, node))


def join(roots: list[tuple[int, bytes]]) -> bytes:
    joined = roots[-1][1] if roots else hashlib.sha256(b"").digest()
    for _, left in roots[-2::-1]:
        joined = hash_node(left, joined)
    return joined


def check_consistency(old: Checkpoint, new: Checkpoint, path: list[bytes]) -> None:
    """Follow a path up to both root hashes (RFC 9162 section 2.1.4.2)."""
    require(old.size <= new.size, "the earlier checkpoint is the larger one")
    if old.size in (0, new.size):
        known = new.root if old.size else join([])
        require(not path and old.root == known, "the root hashes differ at one size: the log was forked")
        return
    place, last = old.size - 1, new.size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    # An earlier tree that is a complete subtree is itself where the path begins.
    first, *path = path if place else [old.root, *path]
    require(
        climb(place, last, first, first, path) == (old.root, new.root), "the path does not lead to both root hashes"
    )


def climb(place: int, last: int, old: bytes, new: bytes, path: list[bytes]) -> tuple[bytes, bytes]:
    """Join a node with its siblings (RFC 9162 section 2.1.3.2); those on its left are in the earlier tree too."""
    for sibling in path:
        require(last > 0 and len(sibling) == HASH, "the path is too long, or holds what is no hash")
        if place & 1 or place == last:
            old, new = hash_node(sibling, old), hash_node(sibling, new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new = hash_node(new, sibling)
        place, last = place >> 1, last >> 1
    require(last == 0, "the path is too short")
    return old, new


# Ed25519 (RFC 8032 section 5.1), on points (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether [S]B = R + [h]A."""
    try:
        a, r = decode_point(public), decode_point(signature[:HASH])
    except ValueError:
        return False
    s = int.from_bytes(signature[HASH:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:HASH] + public + message).digest(), "little") % ORDER
    left, right = multiply(s % ORDER, BASE), add(r, multiply(h, a))
    is_equal = all((left[axis] * right[2] - right[axis] * left[2]) % P == 0 for axis in (0, 1))
    return is_equal and s < ORDER and len(signature) == 2 * HASH


def decode_point(raw: bytes) -> Point:
    """Read y and the sign of x; ValueError where no point of the curve has them."""
    y, sign = int.from_bytes(raw, "little") & (2**255 - 1), int.from_bytes(raw, "little") >> 255
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if len(raw) != HASH or y >= P or (x * x - square) % P or (sign and not x):
        raise ValueError("not a point")
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P


def add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    return (b - a) * (d - c) % P, (d + c) * (b + a) % P, (d - c) * (d + c) % P, (b - a) * (b + a) % P


def multiply(times: int, point: Point) -> Point:
    total = (0, 1, 1, 0)
    for bit in f"{times:b}":
        total = add(total, total)
        total = add(total, point) if bit == "1" else total
    return total


BASE = decode_point((4 * pow(5, P - 2, P) % P).to_bytes(HASH, "little"))


def get_checkpoint(url: str) -> str:
    try:
        return get(url, CHECKPOINT).decode()
    except NotProved as reason:
        raise NotChecked(str(reason)) from reason


def get(url: str, path: str) -> bytes:
    """Ask a server, and no other that it may point to, for an answer of bounded size, in bounded time."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise NotChecked("give the address of a ledger: http(s)://host[:port]")
    for pause in (1, 2, 4, 8, 16, 32, 0):
        found: list[tuple[int, bytes, str]] = []
        asking = threading.Thread(target=ask, args=(url.rstrip("/") + path, found), daemon=True)
        asking.start()
        asking.join(DEADLINE)
        status, body, after = found[0] if found else (0, b"", "")
        if status not in (0, 429, 503) or not pause or (not status and pause > 2):
            break
        time.sleep(min(LONGEST_PAUSE, max(pause, int(after))) if re.fullmatch("[0-9]{1,9}", after) else pause)
    if not status and path == CHECKPOINT:
        raise NotChecked(f"{path} does not answer")
    if not status:
        get(url, CHECKPOINT)
        raise NotProved(f"{path} does not answer, though {CHECKPOINT} does")
    require(status == 200, f"{path} answered {status}")
    require(len(body) <= MOST_BYTES, f"{path} answered with too much")
    return body


def ask(address: str, found: list[tuple[int, bytes, str]]) -> None:
    """Give status, body and Retry-After of an answer; nothing where there is none."""
    try:
        with urllib.request.build_opener(NoRedirect).open(address, timeout=30) as answer:
            found.append((answer.status, answer.read(MOST_BYTES + 1), ""))
    except urllib.error.HTTPError as error:
        found.append((error.code, b"", error.headers.get("Retry-After") or ""))
    except (OSError, ValueError, http.client.HTTPException):
        return


def get_events(url: str, size: int) -> Iterator[Json]:
    """Give each event as the feed has it to the byte, in order; of what is missing, the one that stands in its place."""
    after = 0
    while after < size:
        page = json.loads(get(url, f"/v1/events?exact=true&after={after}&limit={min(PAGE, size - after)}"))
        require(page["items"], f"position {after + 1}: no event is served there")
        for told in page["items"]:
            after += 1
            require(" ".join(sorted(told)) == EVENT, f"position {after}: the event does not have the members of one")
            yield told


def get_entries(url: str, size: int) -> Iterator[bytes]:
    """Give the log's entries, from bundles of 256: each after its length in two bytes (c2sp.org/tlog-tiles)."""
    for number in range(-(-size // TILE)):
        width, index, rest = min(TILE, size - number * TILE), f"{number % 1000:03}", number // 1000
        while rest:
            index, rest = f"x{rest % 1000:03}/{index}", rest // 1000
        raw = get(url, f"/tlog/tile/entries/{index}" + ("" if width == TILE else f".p/{width}"))
        found, start = 0, 0
        while start < len(raw):
            end = start + 2 + int.from_bytes(raw[start : start + 2], "big")
            yield raw[start + 2 : end]
            found, start = found + 1, end
        require(found == width and start == len(raw), f"bundle {number} does not hold {width} entries")


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Stays at the origin that was given."""

    def redirect_request(self, *_: object) -> None:
        return None


def read_text(name: str) -> str:
    try:
        return Path(name).read_bytes().decode()
    except OSError as error:
        raise NotChecked(f"{name} cannot be read") from error


def from_hex(text: str) -> bytes:
    require(re.fullmatch("[0-9a-f]{64}", text), "a hash or salt has 64 hex digits")
    return bytes.fromhex(text)


def from_base64(text: str) -> bytes:
    raw = base64.b64decode(text, validate=True)
    require(base64.b64encode(raw).decode() == text, "not canonical base64")
    return raw


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, files in (("proof", ["proof", "event"]), ("consistency", ["old", "new", "proof"]), ("log", ["url"])):
        command = commands.add_parser(name)
        for file in files:
            command.add_argument(file)
        command.add_argument("--vkey", action="append", default=[], required=name != "log")
    command.add_argument("--since")
    given, status = parser.parse_args(words), 0
    try:
        if given.command == "proof":
            sentence = prove_event(given.proof, given.event, given.vkey)
        elif given.command == "consistency":
            sentence = prove_consistency(given.old, given.new, given.proof, given.vkey)
        else:
            sentence = check_log(given.url, given.vkey, given.since)
    except NotChecked as reason:
        status, sentence = 2, f"not checked: {reason}"
    except NotProved as reason:
        status, sentence = 1, f"refused: {reason}"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as reason:
        status, sentence = 1, f"refused: what was given is damaged ({type(reason).__name__})"
    # What others wrote must not command the terminal.
    sentence = "".join(each if each.isprintable() or each == "\n" else "?" for each in sentence)
    print(sentence, file=sys.stderr if status else sys.stdout)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
