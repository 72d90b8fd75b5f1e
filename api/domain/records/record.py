"""Records: things with a history, whatever their kind. A record is what its latest event says; `evolve` folds events into it.

Also the shapes in which a record is shown: its representation, and the names of the fields that changed.
"""

from collections.abc import Set as AbstractSet
from typing import Any, Never, Protocol

import msgspec

from api.domain.computed import RULES
from api.domain.dates import edtf
from api.domain.log.event import Entry, stamp, unstamp
from api.domain.records.claim import ClaimBody
from api.domain.records.entity import EntityBody
from api.domain.records.question import QuestionBody
from api.domain.records.source import SourceBody

State = dict[str, Any]
KINDS = ("entity", "source", "question", "claim")
ASSERTED, RETRACTED, REDACTED = "asserted", "retracted", "redacted"
FIELDS: dict[str, tuple[str, ...]] = {
    kind: body.__struct_fields__
    for kind, body in (("entity", EntityBody), ("source", SourceBody), ("question", QuestionBody), ("claim", ClaimBody))
}
_LEDGER = ("formats", "keys", "log_origin")
_SORTED = msgspec.json.Encoder(order="sorted")


class Record(msgspec.Struct, frozen=True):
    """A record after its latest event. `record` is the UUID in the tree, `id` the public one; times are microseconds."""

    kind: str
    record: str
    id: str
    revision: int
    position: int
    revised_at: int
    first_position: int
    recorded_at: int
    recorded_by: str | None
    state: State

    @property
    def is_asserted(self) -> bool:
        return bool(self.state["status"] == ASSERTED)

    @property
    def is_redacted(self) -> bool:
        """Whether what its latest event said was removed: the state is then what `buried_state` gives."""
        return bool(self.state["status"] == REDACTED)


class Look(Protocol):
    """What a rule may ask of the ledger while it judges a command."""

    def find(self, kind: str, public_id: str) -> Record | None:
        """Give the record as it stands, with what the same transaction already changed."""

    def refuse_redacted(self, record: Record) -> Never:
        """Raise Redacted, saying by which redaction the record went."""

    def naming(self, kind: str, field: str, ids: AbstractSet[str]) -> set[str]:
        """Give the ids of the records of a kind that name one of these in a field."""

    def is_answered(self, question: str) -> bool:
        """Say whether any claim, retracted ones included, answers the question."""

    def state_at(self, record: Record, revision: int) -> State | None:
        """Give the state of an earlier revision; None where there was none, or it was redacted."""


def evolve(before: Record | None, entry: Entry, state: State) -> Record:
    """Fold one event into a record. Never refuses: what was accepted once is history."""
    moment = unstamp(entry.recorded_at)
    return Record(
        kind=entry.kind,
        record=entry.record,
        id=state["id"],
        revision=entry.revision,
        position=entry.position,
        revised_at=moment,
        first_position=before.first_position if before else entry.position,
        recorded_at=before.recorded_at if before else moment,
        recorded_by=before.recorded_by if before else entry.actor,
        state=state,
    )


def buried_state(public_id: str, parents: State | None = None) -> State:
    """Give what stands for the state of a redacted revision; a claim's source and question, where a later one tells them."""
    return {"id": public_id, "status": REDACTED, "links": [], **(parents or {})}


def represent(record: Record, payload: bytes) -> bytes:
    """Render the JSON of one revision: its state, where it stands in the log, and what is computed from it.

    Fields stand in the order of their kind. What is within them is as the payload has it, in order of name: the same
    bytes whoever renders.
    """
    shown = _READERS[record.kind].decode(payload).state
    if record.kind == "claim":
        _compute(shown, record.state)
    shown.revision, shown.position, shown.first_position = record.revision, record.position, record.first_position
    shown.revised_at, shown.recorded_at = stamp(record.revised_at), stamp(record.recorded_at)
    shown.recorded_by = record.recorded_by
    return msgspec.json.encode(shown)


def _reader(kind: str, fields: tuple[str, ...]) -> "msgspec.json.Decoder[Any]":
    """Make what reads a payload of one kind as a representation, in reading order; each field is kept as it is stored."""
    told = [(name, msgspec.Raw) for name in fields]
    computed = [("valid_bounds", msgspec.Raw, msgspec.Raw(b"null")), ("rules", int, RULES)] if kind == "claim" else []
    place = [("position", int, 0), ("revised_at", str, ""), ("first_position", int, 0), ("recorded_at", str, "")]
    shown = msgspec.defstruct(
        "Shown",
        [
            ("kind", str, kind),
            ("id", msgspec.Raw),
            ("revision", int, 0),
            ("status", msgspec.Raw),
            *told,
            *computed,
            ("links", msgspec.Raw),
            *place,
            ("recorded_by", str | None, None),
        ],
        kw_only=True,
    )
    return msgspec.json.Decoder(msgspec.defstruct("Payload", [("state", shown)]))


_READERS = {kind: _reader(kind, fields) for kind, fields in (*FIELDS.items(), ("ledger", _LEDGER))}


def _compute(shown: Any, state: State) -> None:  # noqa: ANN401 - made by kind
    """Add when a claim's answer holds."""
    extent = valid_extent(state)
    if extent is None:
        return
    bounds = edtf.render(extent)
    shown.valid_bounds = msgspec.Raw(_SORTED.encode(bounds))
    if state["answer"]["type"] == "time":
        shown.answer = msgspec.Raw(_SORTED.encode({**state["answer"], "bounds": bounds}))


def valid_extent(state: State) -> edtf.Extent | None:
    """When a claim's answer holds; a time answer is its own `valid`."""
    answer = state["answer"]
    text = answer["edtf"] if answer["type"] == "time" else state["valid"]
    return edtf.parse(text) if text is not None else None


def changed_fields(before: State | None, after: State) -> list[str]:
    """Name the top-level fields in which two states differ; of a first revision, those that say anything."""
    if before is None:
        # The empty text and False say something; null and what is empty do not.
        return sorted([name for name, value in after.items() if value or value in ("", False)])
    names = before.keys() | after.keys()
    return sorted([name for name in names if before.get(name) != after.get(name)])
