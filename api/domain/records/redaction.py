"""Redactions: what may be removed, what a redaction's record says and when a text is one looked for.

The rules judge what is asked for against the record as it stands. What is deleted, and where, is the ledger's to know.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from api.domain.errors import IntervalReversed, NotRedactable, ReviseFirst, StatusRefused, UnknownReference
from api.domain.log.event import Basis, Entry, LoggedKind, Redacts, stamp
from api.domain.records.command import Redact
from api.domain.records.operation import Number
from api.domain.records.record import ASSERTED, Record, State
from api.domain.text import TEXT_PATTERN, Id, Json, Reason
from api.domain.words import fold

REDACTION = "redaction"
Contained = Annotated[
    str,
    Meta(
        pattern=TEXT_PATTERN,
        min_length=1,
        max_length=500,
        description="As one piece, in any one text of a payload; case and accents make no difference.",
    ),
]


class NewRedaction(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which revisions of which record to redact, on what basis and why; without a range, the whole record."""

    kind: LoggedKind
    id: Id
    basis: Basis
    reason: Annotated[Reason, Meta(description="Public, and never redacted itself.")]
    first: Annotated[Number, Meta(description="The first revision to redact; 1 by default.")] | None = None
    last: Annotated[Number, Meta(description="The last revision to redact; the latest by default.")] | None = None
    erase_id: Annotated[bool, Meta(description="Forget the public id too.")] = False
    contains: (
        Annotated[
            Contained | Annotated[list[Contained], Meta(min_length=1, max_length=20)],
            Meta(description="List the surviving payloads that hold this text, or any of several."),
        ]
        | None
    ) = None

    @property
    def texts(self) -> Sequence[str]:
        """What to look for in what survives."""
        return [self.contains] if isinstance(self.contains, str) else self.contains or []


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


def looking_for(texts: Sequence[str], erased_id: str | None) -> list[Callable[[str], bool]]:
    """Give what to ask of each text: whether it holds one of some, folded; whether it holds an id as a word of its own."""
    asked: list[Callable[[str], bool]] = []
    if texts:
        folded = [fold(each) for each in texts]
        asked.append(lambda text: _holds_any(fold(text), folded))
    if erased_id is not None:
        word = re.compile(rf"(?<![a-z0-9-]){re.escape(erased_id)}(?![a-z0-9-])")
        asked.append(lambda text: word.search(text) is not None)
    return asked


def needles(texts: Sequence[str], erased_id: str | None) -> list[bytes]:
    """Give what a payload must have among its bytes to hold one of these, where all of it is ASCII."""
    wanted = [fold(each) for each in texts] + ([erased_id] if erased_id is not None else [])
    return [max(_ESCAPED.split(each), key=len).encode() for each in wanted]


def may_hold(payload: bytes, wanted: Sequence[bytes]) -> bool:
    """Say whether a payload may hold what is looked for, so that not each has to be read; see `needles`."""
    if not payload.isascii():
        return True
    folded = payload.lower()
    return any(each in folded for each in wanted)


def _holds_any(text: str, wanted: Sequence[str]) -> bool:
    return any(each in text for each in wanted)


# What JSON writes as an escape (RFC 8259 section 7), so that it is not among a payload's bytes as it is.
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
# Fields that hold one of a few words, the same for everybody: they tell of nobody.
_OF_FEW_WORDS = frozenset({"status", "type", "answer_type", "stance", "completeness", "relation"})


def texts_in(said: Json) -> Iterator[str]:
    """Give every text in a payload, but for those that are one of a few words."""
    if isinstance(said, str):
        yield said
    elif isinstance(said, list):
        for each in said:
            yield from texts_in(each)
    elif isinstance(said, dict):
        for field, each in said.items():
            if field not in _OF_FEW_WORDS:
                yield from texts_in(each)


def holds(said: Json, asked: Sequence[Callable[[str], bool]]) -> bool:
    """Say whether any text in a payload is one of those asked for."""
    if isinstance(said, str):
        return any(each(said) for each in asked)
    if isinstance(said, list):
        return any(holds(each, asked) for each in said)
    return isinstance(said, dict) and any(holds(each, asked) for each in said.values())
