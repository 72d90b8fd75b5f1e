"""A reader of the log as strangers write one: from c2sp.org's texts, RFC 6962 and `cryptography`, with nothing of ours.

What it cannot read it refuses with AssertionError or an error of the standard library's.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says (c2sp.org/tlog-checkpoint)."""

    origin: str
    size: int
    root: bytes


def read_checkpoint(note: str, vkey: str) -> Checkpoint:
    """Open a note that this key has signed (c2sp.org/signed-note); cryptography's InvalidSignature if it has not."""
    text, _, signatures = note.rpartition("\n\n")
    signed, lines = text + "\n", signatures.removesuffix("\n").split("\n")
    name, key_id, encoded = vkey.split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    assert raw[:1] == b"\x01", "not an Ed25519 key"
    assert hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() == key_id
    ours = [line for line in lines if line.startswith(f"— {name} ")]
    signature = base64.b64decode(ours[0].split(" ")[2], validate=True)
    assert signature[:4].hex() == key_id, "another key has signed"
    Ed25519PublicKey.from_public_bytes(raw[1:]).verify(signature[4:], signed.encode())
    origin, size, root, *_ = signed.split("\n")
    assert re.fullmatch("0|[1-9][0-9]*", size)
    assert len(base64.b64decode(root, validate=True)) == 32
    return Checkpoint(origin, int(size), base64.b64decode(root))


def vkey_for(keys: str, size: int) -> str:
    """Choose the key that signs a size from what `/tlog/keys` says: the last whose first size is not above it."""
    chain = [line.split(" ", 1) for line in keys.removesuffix("\n").split("\n")]
    assert [int(since) for since, _ in chain] == sorted({int(since) for since, _ in chain})
    return [vkey for since, vkey in chain if int(since) <= size][-1]


def tile_path(level: int | str, number: int, width: int = 256) -> str:
    """Name a tile or a bundle as c2sp.org/tlog-tiles does: 1234067 is x001/x234/067."""
    digits = str(number).zfill(-(-len(str(number)) // 3) * 3)
    groups = re.findall("...", digits)
    index = "/".join([*("x" + group for group in groups[:-1]), groups[-1]])
    return f"/tlog/tile/{level}/{index}" + (f".p/{width}" if width < 256 else "")


def tiles_of(size: int) -> list[tuple[int, int, int]]:
    """List level, number and width of every tile of a tree: at each level the full ones, then the partial one if any."""
    found, level = list[tuple[int, int, int]](), 0
    while count := size // 256**level:
        found += [(level, number, 256) for number in range(count // 256)]
        if count % 256:
            found.append((level, count // 256, count % 256))
        level += 1
    return found


def entries_in(bundle: bytes) -> list[bytes]:
    """Take a bundle apart: each entry after its length, two bytes, big endian."""
    entries, at = list[bytes](), 0
    while at < len(bundle):
        end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
        assert end <= len(bundle), "the bundle ends within an entry"
        entries.append(bundle[at + 2 : end])
        at = end
    return entries


@dataclass(frozen=True)
class Proof:
    """What a proof file says (c2sp.org/tlog-proof); `extra` is null where there is no such line."""

    extra: bytes | None
    index: int
    path: list[bytes]
    note: str


def read_proof(text: str) -> Proof:
    head, note = text.split("\n\n", 1)
    first, *lines = head.split("\n")
    assert first == "c2sp.org/tlog-proof@v1"
    extra = base64.b64decode(lines.pop(0)[6:], validate=True) if lines[0].startswith("extra ") else None
    index = lines.pop(0)
    assert re.fullmatch("index (0|[1-9][0-9]*)", index)
    path = [base64.b64decode(line, validate=True) for line in lines]
    assert all(len(step) == 32 for step in path)
    return Proof(extra, int(index[6:]), path, note)


def root_of(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """Climb from a leaf to the root by PATH's own recursion (RFC 6962 section 2.1.1)."""
    if size == 1:
        assert not path, "the path is too long"
        return leaf
    assert path, "the path is too short"
    k = 1
    while 2 * k < size:
        k *= 2
    *below, last = path
    if index < k:
        return hashlib.sha256(b"\x01" + root_of(index, k, leaf, below) + last).digest()
    return hashlib.sha256(b"\x01" + last + root_of(index - k, size - k, leaf, below)).digest()


def leaf_of(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def payload_in(extra: bytes, entry: bytes) -> dict[str, Any]:
    """Read the payload that an extra line carries, and hold it to the digest that the entry carries."""
    said: dict[str, str] = json.loads(extra)
    digest = hashlib.sha256(bytes.fromhex(said["salt"]) + said["payload"].encode()).hexdigest()
    assert digest == json.loads(entry)["payload_digest"]
    payload: dict[str, Any] = json.loads(said["payload"])
    return payload
