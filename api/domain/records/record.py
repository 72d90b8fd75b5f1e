"""Records: things with a history, whatever their kind. A record is what its latest event says; `evolve` folds events into it.

What the kinds are, and how a record is shown, is told in `kinds` and `representation`.
"""

from collections.abc import Set as AbstractSet
from typing import Any, Never, Protocol

import msgspec

from api.domain.log.event import Entry, unstamp

# A whole record as a payload holds it, in plain JSON: which fields there are, and of which types, its kind tells.
State = dict[str, Any]
ASSERTED, RETRACTED, REDACTED = "asserted", "retracted", "redacted"
# The kind of the one record that is the ledger itself.
LEDGER = "ledger"


class Record(msgspec.Struct, frozen=True, gc=False):
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


def changed_fields(before: State | None, after: State) -> list[str]:
    """Name the top-level fields in which two states differ; of a first revision, those that say anything."""
    if before is None:
        # The empty text and False say something; null and what is empty do not.
        return sorted([name for name, value in after.items() if value or value in ("", False)])
    names = before.keys() | after.keys()
    return sorted([name for name in names if before.get(name) != after.get(name)])
