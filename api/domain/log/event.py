"""Entries and payloads of the log, format version 1, to the byte (CONTRIBUTING tells it in words).

An entry's bytes are what the Merkle tree holds, so a change here is a new `v`, never a correction.
Which event may follow which is the ledger's to decide; here an event is only well formed or not.
"""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Literal, get_args

import msgspec

from api.domain import text

MAX_ENTRY = 65_534

Type = Literal["opened", "recorded", "revised", "retracted", "restored", "linked", "unlinked", "redacted"]
KindName = Literal["entity", "source", "question", "claim"]
# Redactions, and the ledger itself, are recorded like records.
LoggedKind = Literal[KindName, "redaction", "ledger"]
Basis = Literal["court-order", "data-protection", "copyright", "safety", "error"]

TYPES: tuple[Type, ...] = get_args(Type)
LOGGED_KINDS: tuple[LoggedKind, ...] = get_args(LoggedKind)
BASES: tuple[Basis, ...] = get_args(Basis)

Count = Annotated[int, msgspec.Meta(ge=1, le=text.MAX_INTEGER)]
Uuid4 = Annotated[str, msgspec.Meta(pattern=text.UUID4_PATTERN, extra_json_schema={"format": "uuid"})]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RECORDED_AT = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z\Z")
_SECOND = 1_000_000
_FIRST_OF_A_RECORD = {"opened", "recorded", "redacted"}


class Redacts(msgspec.Struct, frozen=True):
    """The target of a redaction: a record and a closed range of its revisions."""

    record: Uuid4
    first: Count
    last: Count


class Entry(msgspec.Struct, frozen=True):
    """What the log keeps of an event for ever. It names nothing a person could want removed."""

    v: Literal[1]
    position: int
    type: Type
    kind: LoggedKind
    record: str
    revision: int
    recorded_at: str
    actor: str | None
    batch: tuple[int, int] | None
    schema: int
    payload_digest: str
    redacts: Redacts | None
    basis: Basis | None


class _WellFormed(Entry, frozen=True):
    """An entry held to the form of each of its fields, which takes several times as long as reading it."""

    position: Count
    record: Uuid4
    revision: Count
    actor: Uuid4 | None
    batch: tuple[Count, Count] | None
    schema: Count
    payload_digest: text.Sha256Hex


_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder(Entry)
_JUDGE = msgspec.json.Decoder(_WellFormed)


def encode(entry: Entry) -> bytes:
    """Give the entry's canonical bytes (RFC 8785); they are stored as written and are the truth from then on.

    Raises ValueError for an entry that `decode` would refuse, so no malformed one is ever born.
    """
    raw = _ENCODER.encode(entry)
    _judge(raw)
    return raw


def decode(raw: bytes) -> Entry:
    """Read an entry back, raising ValueError unless the bytes are exactly those that version 1 prescribes."""
    entry = _judge(raw)
    # Equal bytes leave no room for another key, a repeated one, white space, another order or another escape.
    if _ENCODER.encode(entry) != raw:
        raise ValueError("the entry is not in its canonical form")
    return _DECODER.decode(raw)


def decode_own(raw: bytes) -> Entry:
    """Read an entry that this ledger wrote, and `encode` held to its form then; ValueError where it is no entry at all."""
    return _DECODER.decode(raw)


# An event's own time is written several times over.
@lru_cache(maxsize=64)
def stamp(us: int) -> str:
    """Write microseconds since the Unix epoch as `recorded_at`; ValueError outside the years 1 to 9999."""
    second, rest = divmod(us, _SECOND)
    return f"{_second(second)}.{rest:06d}Z"


@lru_cache(maxsize=1024)
def _second(number: int) -> str:
    try:
        moment = _EPOCH + timedelta(seconds=number)
    except OverflowError as error:
        raise ValueError("the time lies outside the years 1 to 9999") from error
    return moment.isoformat(timespec="seconds")[:-6]


def unstamp(recorded_at: str) -> int:
    """Read `recorded_at` back as microseconds since the Unix epoch; ValueError for any other form or no such time."""
    if _RECORDED_AT.search(recorded_at) is None:
        raise ValueError("recorded_at must be YYYY-MM-DDTHH:MM:SS.ffffffZ")
    return _number(recorded_at[:19]) * _SECOND + int(recorded_at[20:26])


@lru_cache(maxsize=1024)
def _number(second: str) -> int:
    return (datetime.fromisoformat(f"{second}Z") - _EPOCH) // timedelta(seconds=1)


def payload(reason: str | None, state: dict[str, text.Json]) -> bytes:
    """Give the canonical bytes of `{reason, state}`; `errors.BadText` for what has none, which nothing may digest."""
    content: dict[str, text.Json] = {"reason": reason, "state": state}
    text.check_canonical(content)
    return text.canonical(content)


def payload_digest(salt: bytes, payload: bytes) -> str:
    """Commit to a payload without betraying it: hex of SHA-256(salt ‖ payload), the salt 32 fresh random bytes."""
    return hashlib.sha256(salt + payload).hexdigest()


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry as a leaf (RFC 6962 §2.1); the 0x00 keeps a leaf from passing for an inner node."""
    return hashlib.sha256(b"\x00" + entry).digest()


def _judge(raw: bytes) -> Entry:
    """Hold an entry to all but the order of its bytes."""
    if len(raw) > MAX_ENTRY:
        raise ValueError(f"an entry stays below {MAX_ENTRY + 1} bytes")
    try:
        entry = _JUDGE.decode(raw)
    except RecursionError as error:
        raise ValueError("an entry does not nest that deeply") from error
    _check(entry)
    return entry


def _check(entry: Entry) -> None:
    unstamp(entry.recorded_at)
    rule = _broken(entry.type, entry.kind, entry.position == 1, entry.revision == 1, entry.actor is not None)
    if rule is not None:
        raise ValueError(rule)
    _check_redaction(entry)
    _check_batch(entry)


# Few of these come up, again and again.
@lru_cache(maxsize=256)
def _broken(type_: str, kind: str, opens_the_log: bool, begins_a_record: bool, has_actor: bool) -> str | None:
    """Say which rule of types and kinds an entry breaks, if any."""
    rules = (
        ((type_ == "opened") is opens_the_log, "position 1, and only it, is opened"),
        (type_ != "opened" or kind == "ledger", "only the ledger is opened"),
        ((type_ == "redacted") is (kind == "redaction"), "a redaction is redacted and nothing else is"),
        ((type_ in _FIRST_OF_A_RECORD) is begins_a_record, "a record's first event, and only it, begins it"),
        (type_ not in ("linked", "unlinked") or kind == "claim", "only claims are linked"),
        (has_actor or kind == "ledger", "only the ledger's own events have no actor"),
    )
    return next((rule for holds, rule in rules if not holds), None)


def _check_redaction(entry: Entry) -> None:
    is_redaction = entry.kind == "redaction"
    if (entry.redacts is not None) is not is_redaction or (entry.basis is not None) is not is_redaction:
        raise ValueError("a redaction, and only it, carries redacts and basis")
    if entry.redacts is not None and entry.redacts.first > entry.redacts.last:
        raise ValueError("redacts must run forward")


def _check_batch(entry: Entry) -> None:
    if entry.batch is not None and not entry.batch[0] <= entry.position <= entry.batch[1]:
        raise ValueError("a batch must hold the event's own position")
