"""What is asked of the writer, and what it answers: a unit of commands, and its outcome."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from api.domain.records.command import Command
from api.ledger.storage.upkeep import Traces

_SECOND = 1_000_000
NOTE_LIFE = 7 * 24 * 3600 * _SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """An idempotency note: digests of the key, and of the key with the request (draft-ietf-httpapi-idempotency-key).

    `bytes_digest` is that of the key with the request to the byte, where the request's own is of what it says: by bytes
    alone were requests noted before. `life` is in microseconds; None is for ever. `file` is the name of a file that it came in.
    """

    key_digest: bytes
    request_digest: bytes
    bytes_digest: bytes | None = None
    life: int | None = NOTE_LIFE
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is accepted or refused as one: the commands of one request, by one actor."""

    commands: Sequence[Command]
    actor: str
    note: Note | None = None
    is_batch: bool = False
    is_dry_run: bool = False


# A unit that asks for nothing: what an append writes is written for it in the smallest, and taken back.
PROBE = Unit(commands=(), actor="")


class NewRevision(msgspec.Struct, frozen=True):
    """What one event of a unit made: a revision of a record, and where it stands in the log."""

    kind: str
    id: str
    revision: int
    position: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a unit did. `position` is its last; a replayed one was written by an earlier request with the same key.

    `document` is the last event's representation, where it was rendered just now; `traces` tell what a
    redaction removed just now.
    """

    items: tuple[NewRevision, ...]
    position: int
    is_replay: bool = False
    document: bytes | None = field(default=None, compare=False, repr=False)
    traces: Traces | None = field(default=None, compare=False, repr=False)
