"""Records that stand otherwise than the database has them, and what is asked of records, answered with them in mind.

The writer has two, one over the other: what a unit's commands have made so far, and what is accepted and not written yet.
Nothing here reads a database.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from api.domain.records.kinds import CHAINS, values_of
from api.domain.records.record import Record, State

# The fields for which it is asked who names a record in them.
_NAMING = {**CHAINS, "claim": ("link",)}


class Overlay:
    """Records as they stand, with all their states since the overlay was last empty."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], Record] = {}
        self._states: dict[tuple[int, int], State] = {}
        self._claims: dict[str, dict[str, Record]] = {}
        # By kind and field, for each record that is or was named there: who names it, or did.
        self._naming: dict[tuple[str, str], dict[str, set[str]]] = {}

    def put(self, record: Record) -> None:
        """Let a record stand as it now is."""
        kind, public_id, state = record.kind, record.id, record.state
        self._records[kind, public_id] = record
        self._states[record.first_position, record.revision] = state
        # Of a redacted claim perhaps nothing is left that tells what it answered: then it is on no question.
        if kind == "claim" and "question" in state:
            self._claims.setdefault(state["question"], {})[public_id] = record
        for field in _NAMING.get(kind, ()):
            for target in _named(record, field):
                self._naming.setdefault((kind, field), {}).setdefault(target, set()).add(public_id)

    def clear(self) -> None:
        """Hold nothing: all of it is in the database, or will never be."""
        self._records.clear()
        self._states.clear()
        self._claims.clear()
        self._naming.clear()

    def find(self, kind: str, public_id: str) -> Record | None:
        """Give a record, if it is here."""
        return self._records.get((kind, public_id))

    def state_at(self, record: Record, revision: int) -> State | None:
        """Give a record's state at a revision, if it was put here."""
        return self._states.get((record.first_position, revision))

    def claims_on(self, question: str) -> Mapping[str, Record]:
        """Give the claims on a question that are here, redacted ones too, by their ids."""
        return self._claims.get(question, {})

    def claims(self) -> Iterator[Record]:
        """Give the claims that are here and not redacted."""
        for claims in self._claims.values():
            yield from (claim for claim in claims.values() if not claim.is_redacted)

    def links(self) -> Iterator[tuple[str, str]]:
        """Give each claim that one here links to, or did, with that one."""
        for target, makers in self._naming.get(("claim", "link"), {}).items():
            yield from ((target, maker) for maker in makers)

    def naming(self, kind: str, field: str, ids: AbstractSet[str], elsewhere: Iterable[str]) -> set[str]:
        """Give the ids of those who name one of some records in a field.

        `elsewhere` are those who do by all that is known without this overlay: of a record that is here it decides.
        """
        known = self._naming.get((kind, field), {})
        here = {name for target in ids for name in known.get(target, ())}
        return {name for name in elsewhere if (kind, name) not in self._records} | {
            name for name in here if not ids.isdisjoint(_named(self._records[kind, name], field))
        }


def _named(record: Record, field: str) -> Sequence[str]:
    if record.is_redacted:
        return []
    return [link["claim"] for link in record.state["links"]] if field == "link" else values_of(record.state, field)
