"""Redactions: what may be removed, what a redaction's record says, and which records a payload names (DESIGN section 6).

The rules judge what is asked for against the record as it stands. What is deleted, and where, is the ledger's to know.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from api.domain.command import Redact
from api.domain.errors import IntervalReversed, NotRedactable, ReviseFirst, StatusRefused, UnknownReference
from api.domain.event import Basis, Entry, Redacts, stamp
from api.domain.operation import Number
from api.domain.record import ASSERTED, Record, State
from api.domain.text import TEXT_PATTERN, Id, Json, Reason, fold

REDACTION = "redaction"
Contained = Annotated[
    str,
    Meta(
        pattern=TEXT_PATTERN,
        min_length=1,
        max_length=500,
        description="In a dry run: list the surviving payloads that hold this text; accents and case are folded.",
    ),
]


class NewRedaction(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which revisions of which record to redact, on what basis and why; without a range, the whole record."""

    kind: Literal["entity", "source", "question", "claim", "redaction", "ledger"]
    id: Id
    basis: Basis
    reason: Annotated[Reason, Meta(description="Public, and never redacted itself.")]
    first: Annotated[Number, Meta(description="The first revision to redact; 1 by default.")] | None = None
    last: Annotated[Number, Meta(description="The last revision to redact; the latest by default.")] | None = None
    erase_id: Annotated[bool, Meta(description="Forget the public id too.")] = False
    contains: Contained | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """By which redaction, and on what basis, a payload was removed."""

    position: int
    basis: str

    def shown(self) -> dict[str, str | int]:
        return {"position": self.position, "basis": self.basis}


def redact_command(body: NewRedaction) -> Redact:
    """Read a body as a command."""
    return Redact(
        kind=REDACTION,
        id=None,
        reason=body.reason,
        target_kind=body.kind,
        target=body.id,
        basis=body.basis,
        first=body.first,
        last=body.last,
        erase_id=body.erase_id,
    )


def judge(command: Redact, target: Record | None) -> Redacts:
    """Give the record and the range that a command covers. Raises a Conflict.

    A target that was redacted before is judged as any other: whether anything is left of it is the ledger's to say.
    """
    if command.target_kind in (REDACTION, "ledger"):
        raise NotRedactable("neither a redaction nor the ledger's own record is ever redacted")
    if target is None:
        raise UnknownReference(command.target_kind, "/id")
    first, last = command.first or 1, command.last or target.revision
    for name, revision in (("first", command.first), ("last", command.last)):
        if revision is not None and revision > target.revision:
            raise StatusRefused(f"the record has revisions 1 to {target.revision}", f"/{name}")
    if first > last:
        raise IntervalReversed("/last")
    if last == target.revision and first > 1:
        raise ReviseFirst
    return Redacts(target.record, first, last)


def state_of(command: Redact, public_id: str) -> State:
    """Give the state of a redaction's own record. The range and the basis stand in its entry."""
    return {
        "id": public_id,
        "status": ASSERTED,
        "links": [],
        "kind": command.target_kind,
        "target": None if command.erase_id else command.target,
    }


def represent(record: Record, entry: Entry, reason: str | None) -> bytes:
    """Render a redaction as it is listed: what was removed, when, by whom, on what basis and why."""
    redacts = entry.redacts
    if redacts is None:
        raise ValueError("a redaction carries redacts")
    target = {
        "kind": record.state["kind"],
        "id": record.state["target"],
        "record": redacts.record,
        "first": redacts.first,
        "last": redacts.last,
    }
    return msgspec.json.encode(
        {
            "kind": REDACTION,
            "id": record.id,
            "basis": entry.basis,
            "reason": reason,
            "target": target,
            "position": record.position,
            "recorded_at": stamp(record.recorded_at),
            "recorded_by": record.recorded_by,
        }
    )


def names(kind: str, state: State) -> Iterator[tuple[str, str]]:
    """Name every record that a payload names in a field for it, as (kind, id): itself, and those that it refers to."""
    yield kind, state["id"]
    for field, referred in _REFERENCES.get(kind, ()):
        value = state[field]
        yield from ((referred, each) for each in (value if isinstance(value, list) else [value]) if each is not None)
    if kind == "claim":
        answer = state["answer"]
        entities = [answer["entity"]] if answer["type"] == "entity" else answer.get("entities", [])
        yield from (("entity", each) for each in entities)
        yield from (("claim", link["claim"]) for link in state["links"])
    if kind == REDACTION and state["target"] is not None:
        yield state["kind"], state["target"]


def looking_for(contains: str | None, erased_id: str | None) -> list[Callable[[str], bool]]:
    """Give what to ask of each text: whether it holds one, folded; whether it holds an id as a word of its own."""
    asked: list[Callable[[str], bool]] = []
    if contains is not None:
        folded = fold(contains)
        asked.append(lambda text: folded in fold(text))
    if erased_id is not None:
        word = re.compile(rf"(?<![a-z0-9-]){re.escape(erased_id)}(?![a-z0-9-])")
        asked.append(lambda text: word.search(text) is not None)
    return asked


def holds(said: Json, asked: Sequence[Callable[[str], bool]]) -> bool:
    """Say whether any text in a payload is one of those asked for."""
    if isinstance(said, str):
        return any(each(said) for each in asked)
    if isinstance(said, list):
        return any(holds(each, asked) for each in said)
    return isinstance(said, dict) and any(holds(each, asked) for each in said.values())


_REFERENCES = {
    "entity": (("part_of", "entity"),),
    "source": (("publisher", "entity"), ("derives_from", "source"), ("part_of", "source")),
    "question": (("about", "entity"),),
    "claim": (("source", "source"), ("question", "question"), ("speaker", "entity"), ("via", "source")),
}
