"""An event about to be written: what a decision makes, to the byte (CONTRIBUTING). Nothing here touches a database."""

import secrets
from collections.abc import Collection, Iterator
from typing import NamedTuple

import msgspec
from uuid_utils import uuid4

from api.domain.log.event import Entry, encode, payload_digest, stamp
from api.domain.records.command import Command
from api.domain.records.decide import Decision
from api.domain.records.record import Record, evolve
from api.domain.records.upcasting import schema_of
from api.domain.text import canonical
from api.ledger.projecting.projection import Fact
from api.ledger.storage.reads import Value

_SALT_BYTES = 32


class Slot(NamedTuple):
    """Where an event goes: its position and moment, and the salt that what it says is hashed with."""

    position: int
    moment: int
    salt: bytes


def salts(count: int) -> Iterator[bytes]:
    """Draw salts that nobody can guess: to ask the system for many takes as long as for one."""
    drawn = secrets.token_bytes(_SALT_BYTES * count)
    return (drawn[start : start + _SALT_BYTES] for start in range(0, len(drawn), _SALT_BYTES))


class Change(msgspec.Struct, frozen=True, gc=False):
    """An event decided and not yet written."""

    before: Record | None
    after: Record
    fact: Fact
    salt: bytes


def change(
    current: Record | None,
    command: Command,
    decision: Decision,
    slot: Slot,
    *,
    actor: str | None,
    batch: tuple[int, int] | None,
    record: str | None = None,
    covers: Collection[tuple[str, str | None]] = (),
) -> Change:
    """Make the event that a decision calls for: entry, salt and payload, to the byte (CONTRIBUTING).

    `covers` are type and actor of the events that a redaction covers.
    """
    position, moment, salt = slot
    # The Structs that commands are read by let nothing through that has no canonical form.
    said = canonical({"reason": command.reason, "state": decision.state})
    entry = Entry(
        v=1,
        position=position,
        type=decision.type,  # type: ignore[arg-type]
        kind=command.kind,  # type: ignore[arg-type]
        record=current.record if current else record or str(uuid4()),
        revision=current.revision + 1 if current else 1,
        recorded_at=stamp(moment),
        actor=actor,
        batch=batch,
        schema=schema_of(command.kind, decision.state),
        payload_digest=payload_digest(salt, said),
        redacts=decision.redacts,
        basis=decision.basis,
    )
    fact = Fact(entry, command.reason, encode(entry), said, covers=covers)
    return Change(current, evolve(current, entry, decision.state), fact, salt)


def event_row(change: Change, leaf: bytes) -> tuple[Value, ...]:
    entry = change.fact.entry
    moment = change.after.revised_at
    return (
        entry.position,
        change.fact.raw,
        leaf,
        entry.type,
        entry.kind,
        entry.record,
        entry.revision,
        moment,
        entry.actor,
    )
