"""Cosignatures: a witness's word that it saw a log grow consistently up to a checkpoint (c2sp.org/tlog-cosignature).

They are signature lines of signed notes, of the timestamped Ed25519 type alone (`cosignature/v1`, type byte 0x04).
Which checkpoint a witness may sign is decided elsewhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from api.domain.log.checkpoint import check_name, key_id, key_text, parse_key, parse_signature, signature_line, split

TIMESTAMPED = b"\x04"
LATEST_TIME = 2**63 - 1

_PRIVATE = "PRIVATE+KEY+"
_SEED_BYTES = 32
_TIME_BYTES = 8


@dataclass(frozen=True, slots=True)
class Cosignature:
    """One that verified: by which key, when (POSIX seconds, by the witness's clock), and its line without newline."""

    vkey: str
    time: int
    line: str


@dataclass(frozen=True, slots=True)
class CosigningKey:
    """A witness's Ed25519 key under its name; the seed (RFC 8032 §5.1.5) is the secret and stays out of the repr.

    Raises ValueError for a name that notes cannot carry, or a seed that is not 32 bytes.
    """

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what could not be written or signed with."""
        check_name(self.name)
        if len(self.seed) != _SEED_BYTES:
            raise ValueError("an Ed25519 seed has 32 bytes")

    @property
    def vkey(self) -> str:
        """The public half as those who trust it are given it: `<name>+<key id>+<base64>`."""
        return key_text(self.name, self._id(), self._public(), TIMESTAMPED)

    def encode(self) -> str:
        """Write the secret. Its type byte keeps it from being taken for a log's key."""
        return _PRIVATE + key_text(self.name, self._id(), self.seed, TIMESTAMPED)

    @classmethod
    def decode(cls, text: str) -> "CosigningKey":
        """Read what `encode` wrote; ValueError, which never repeats the text, for anything else."""
        if not text.startswith(_PRIVATE):
            raise ValueError("not a cosigning key")
        name, _, seed = parse_key(text.removeprefix(_PRIVATE), TIMESTAMPED)
        key = cls(name, seed)
        if key.encode() != text:
            raise ValueError("the key does not have the id it claims")
        return key

    def cosign(self, text: str, time: int) -> str:
        """Give the signature line, without newline, over a checkpoint's text at a time in POSIX seconds."""
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(_message(text, time))
        return signature_line(self.name, self._id(), time.to_bytes(_TIME_BYTES, "big") + signature)

    def _id(self) -> bytes:
        return key_id(self.name, self._public(), TIMESTAMPED)

    def _public(self) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()


def check_vkey(vkey: str) -> str:
    """Give the name in a witness's public key; ValueError for what is none of this type."""
    (name, _), _ = _parse_vkey(vkey)
    return name


def read(note: str, vkeys: Iterable[str]) -> list[Cosignature]:
    """Give the cosignatures in a signed note that these keys made, in its order. Raises ValueError as `verify` does."""
    text, lines = split(note)
    return verify(text, lines, vkeys)


def verify(text: str, lines: Sequence[str], vkeys: Iterable[str]) -> list[Cosignature]:
    """Give the cosignatures of these keys over a checkpoint's text among signature lines, in their order.

    Lines of other keys are ignored. Raises ValueError for a line that is none, and for a false one of a key given.
    """
    known = {identity: (vkey, public) for vkey in vkeys for identity, public in [_parse_vkey(vkey)]}
    found = []
    for line in lines:
        name, known_by, signature = parse_signature(line)
        if (name, known_by) in known:
            vkey, public = known[name, known_by]
            found.append(Cosignature(vkey, _time_of(text, signature, public), line))
    return found


def _time_of(text: str, signature: bytes, public: bytes) -> int:
    """Give the time that a timestamped signature states, once it has verified."""
    time = int.from_bytes(signature[:_TIME_BYTES], "big")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature[_TIME_BYTES:], _message(text, time))
    except InvalidSignature as error:
        raise ValueError("a cosignature under a known key is false") from error
    return time


def _message(text: str, time: int) -> bytes:
    """Give what is signed: two lines before the whole text, extension lines included."""
    if not 0 <= time <= LATEST_TIME:
        raise ValueError("a time does not exceed 2^63 - 1 seconds")
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _parse_vkey(vkey: str) -> tuple[tuple[str, bytes], bytes]:
    name, claimed, public = parse_key(vkey, TIMESTAMPED)
    if key_text(name, key_id(name, public, TIMESTAMPED), public, TIMESTAMPED) != vkey:
        raise ValueError("the key does not have the id it claims")
    return (name, claimed), public
