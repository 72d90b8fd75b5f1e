"""Checkpoints: signed statements of a position and the root hash of the log up to it (c2sp.org/tlog-checkpoint).

They are signed notes (c2sp.org/signed-note) under Ed25519 keys (RFC 8032), written and read as Go's
golang.org/x/mod/sumdb/note does. Where keys are kept and which size may be signed is decided elsewhere.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_SIGNATURES = 100
# The signature type identifier of c2sp.org/signed-note for signatures over the text itself.
ED25519 = b"\x01"

_PRIVATE = "PRIVATE+KEY+"
_KEY_BYTES = 32
_ID_BYTES = 4
_ROOT_LINE = 2
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a note stated. Whether `origin` is the log meant is for the reader to compare."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key under a name; the seed (RFC 8032 §5.1.5) is the secret and stays out of the repr.

    Raises ValueError for a name that notes cannot carry, or a seed that is not 32 bytes.
    """

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what could not be written or signed with."""
        check_name(self.name)
        _require(len(self.seed) == _KEY_BYTES, "an Ed25519 seed has 32 bytes")

    @property
    def vkey(self) -> str:
        """The public half as verifiers are given it: `<name>+<key id>+<base64>`."""
        return _vkey(self.name, self._public())

    def encode(self) -> str:
        """Write the secret, `PRIVATE+KEY+<name>+<key id>+<base64>`."""
        return _PRIVATE + key_text(self.name, key_id(self.name, self._public()), self.seed)

    @classmethod
    def decode(cls, text: str) -> "SigningKey":
        """Read what `encode` wrote; ValueError, which never repeats the text, for anything else."""
        _require(text.startswith(_PRIVATE), "not a note signing key")
        name, _, seed = parse_key(text.removeprefix(_PRIVATE))
        key = cls(name, seed)
        _require(key.encode() == text, "the key does not have the id it claims")
        return key

    def sign(self, message: bytes) -> bytes:
        """Sign with pure Ed25519 (RFC 8032 §5.1.6)."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)

    def _public(self) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()


def sign(origin: str, size: int, root: bytes, key: SigningKey) -> str:
    """Give the signed note of a checkpoint. The key's name should be the origin (c2sp.org/tlog-checkpoint)."""
    text = f"{origin}\n{size}\n{encode64(root)}\n"
    parse(text)
    return sign_note(text, key)


def sign_note(text: str, key: SigningKey) -> str:
    """Sign any note text, its final newline included (c2sp.org/signed-note)."""
    _check_text(text)
    known_by = bytes.fromhex(key.vkey.split("+", 2)[1])
    return f"{text}\n{signature_line(key.name, known_by, key.sign(text.encode()))}\n"


def open_note(text: str, vkeys: Iterable[str]) -> Checkpoint:
    """Read a checkpoint that at least one of these keys signed.

    Signatures of keys not given are ignored, a false one of a key given condemns the note. Raises ValueError.
    """
    return parse(verify_note(text, vkeys))


def verify_note(text: str, vkeys: Iterable[str]) -> str:
    """Give the text of a note that at least one of these keys signed; ValueError otherwise."""
    signed, lines = split(text)
    known = dict(map(_parse_vkey, vkeys))
    verified = [_verify_line(line, signed.encode(), known) for line in lines]
    _require(any(verified), "no known key has signed the note")
    return signed


def split(text: str) -> tuple[str, list[str]]:
    """Take a note apart: its text, final newline included, and its signature lines, none verified. Raises ValueError."""
    end = text.rfind("\n\n")
    _require(end > 0 and text.endswith("\n"), "a note is a text, an empty line and signatures")
    signed, lines = text[: end + 1], text[end + 2 : -1].split("\n")
    _check_text(signed)
    _require(len(lines) <= MAX_SIGNATURES, f"a note carries at most {MAX_SIGNATURES} signatures")
    return signed, lines


def parse(text: str) -> Checkpoint:
    """Read a checkpoint's text, whoever signed it. Raises ValueError."""
    _check_text(text)
    lines = text[:-1].split("\n")
    _require(len(lines) > _ROOT_LINE and all(lines), "a checkpoint has three lines or more, none of them empty")
    origin, size, root, *extensions = lines
    _require(_SIZE.fullmatch(size), "the tree size is a decimal number without leading zeros")
    hashed = decode64(root)
    _require(len(hashed) == hashlib.sha256().digest_size, "the root hash has 32 bytes")
    return Checkpoint(origin, int(size), hashed, tuple(extensions))


def key_id(name: str, public: bytes, algorithm: bytes = ED25519) -> bytes:
    """Give the 4 bytes by which signatures name their key (c2sp.org/signed-note)."""
    return hashlib.sha256(name.encode() + b"\n" + algorithm + public).digest()[:_ID_BYTES]


def key_text(name: str, known_by: bytes, key: bytes, algorithm: bytes = ED25519) -> str:
    """Write a key, public or secret: `<name>+<key id>+<base64 of the algorithm's byte and the key>`."""
    return f"{name}+{known_by.hex()}+{encode64(algorithm + key)}"


def parse_key(text: str, algorithm: bytes = ED25519) -> tuple[str, bytes, bytes]:
    """Take what `key_text` wrote apart, for a key of 32 bytes; whether the id is its own is the caller's to check.

    Only the base64 may hold a plus itself. Raises ValueError.
    """
    name, _, rest = text.partition("+")
    claimed, _, encoded = rest.partition("+")
    check_name(name)
    raw = decode64(encoded)
    _require(len(raw) == 1 + _KEY_BYTES and raw[:1] == algorithm, "not an Ed25519 key of this type")
    _require(re.fullmatch("[0-9a-f]{8}", claimed), "a key id is 8 hex digits")
    return name, bytes.fromhex(claimed), raw[1:]


def signature_line(name: str, known_by: bytes, signature: bytes) -> str:
    """Write a signature line, without its newline."""
    return f"— {name} {encode64(known_by + signature)}"


def parse_signature(line: str) -> tuple[str, bytes, bytes]:
    """Take a signature line apart: key name, key id, signature. Raises ValueError."""
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    _require(dash == "—", "a signature line begins with an em dash")
    check_name(name)
    raw = decode64(encoded)
    _require(len(raw) > _ID_BYTES, "a signature is more than a key id")
    return name, raw[:_ID_BYTES], raw[_ID_BYTES:]


def _verify_line(line: str, signed: bytes, known: dict[tuple[str, bytes], bytes]) -> bool:
    """Say whether a known key made the signature; ValueError if one is named and did not."""
    name, known_by, signature = parse_signature(line)
    public = known.get((name, known_by))
    if public is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)
    except InvalidSignature as error:
        raise ValueError("a signature under a known key is false") from error
    return True


def check_vkey(vkey: str) -> str:
    """Give the name in a log's public key; ValueError for what is none."""
    (name, _), _ = _parse_vkey(vkey)
    return name


def _parse_vkey(vkey: str) -> tuple[tuple[str, bytes], bytes]:
    name, claimed, public = parse_key(vkey)
    _require(_vkey(name, public) == vkey, "the key does not have the id it claims")
    return (name, claimed), public


def _vkey(name: str, public: bytes) -> str:
    return key_text(name, key_id(name, public), public)


def check_name(name: str) -> None:
    """Raise ValueError for a name that notes cannot carry."""
    allowed = name and "+" not in name and not any(map(str.isspace, name)) and not _CONTROL.search(name)
    _require(allowed, "a key name is not empty and holds no space, plus or control character")


def _check_text(text: str) -> None:
    _require(text.endswith("\n"), "a note's text ends in a newline")
    _require(not _CONTROL.search(text), "a note holds no control characters but newlines")


def encode64(raw: bytes) -> str:
    """Write bytes as notes do, in the standard alphabet with padding (RFC 4648 §4)."""
    return base64.b64encode(raw).decode()


def decode64(text: str) -> bytes:
    """Read what `encode64` wrote; ValueError for any other spelling."""
    raw = base64.b64decode(text, validate=True)
    # Base64 has spare bits at its end; a second spelling of the same bytes is refused (RFC 4648 §3.5).
    _require(encode64(raw) == text, "not canonical base64")
    return raw


def _require(holds: object, rule: str) -> None:
    if not holds:
        raise ValueError(rule)
