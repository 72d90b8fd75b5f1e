"""Which questions a change may touch: those whose agreement depends on a record that changed, and no others.

What is stored is asked first, then what is pending. A question too many is weighed for nothing, and its state stays.
"""

from collections.abc import Callable, Iterable, Sequence

from api.domain.records.answer import entities_named
from api.domain.records.record import Record, State
from api.ledger.projecting.known_questions import KnownQuestions
from api.ledger.projecting.known_records import KnownRecords
from api.ledger.projecting.overlay import Overlay
from api.ledger.projecting.weighed import WEIGHED
from api.ledger.storage.reads import Reads
from api.ledger.storage.tables import FOREVER

# Fields of whatever kind on which agreement depends.
_ALL = WEIGHED | {"varies", "derives_from", "part_of"}
# For the claims that were taken from some sources, and for those that name some values in a field: the questions that
# they answer, and those of the claims that they link to. CROSS JOIN keeps SQLite from walking all the links there are;
# PostgreSQL takes it for an inner join.
_ASKED = (
    "SELECT DISTINCT q.id FROM {} CROSS JOIN record c CROSS JOIN record q WHERE q.first_position = c.question AND {}"
)
_LINKED = (
    "SELECT DISTINCT q.id FROM {} CROSS JOIN record c CROSS JOIN term t CROSS JOIN record l CROSS JOIN record q"
    f" WHERE t.first_position = c.first_position AND t.field IN ('claim.link', '') AND t.until = {FOREVER}"
    " AND l.kind = 'claim' AND l.id = t.value AND q.first_position = l.question AND {}"
)
_TAKEN = "record s", "c.source = s.first_position AND s.kind = 'source' AND s.id IN ("
_REACHED, _NAMED = (
    ("term n", f"c.first_position = n.first_position AND n.field = '{each}' AND n.until = {FOREVER} AND n.value IN (")
    for each in ("claim.reached_by", "claim.answer")
)


class Touching:
    """Follows from a changed record to the questions that rest on it, as all now stands."""

    def __init__(self, access: Reads, pending: Overlay, records: KnownRecords, questions: KnownQuestions) -> None:
        self._access, self._pending, self._records, self._questions = access, pending, records, questions

    def touched(self, before: Record | None, after: Record, fields: list[str] | None) -> set[str]:
        """Name the questions whose agreement a change may alter. `fields` differ; None where that is not known."""
        # A first revision changes whatever may weigh. What a redacted one said may have been anything.
        is_unknown = before is None or before.is_redacted or fields is None
        changed = _ALL if is_unknown else frozenset(fields or ())
        if after.kind == "claim":
            return self._by_claim(before, after) if changed & WEIGHED else set()
        if after.kind == "question":
            return self._by_question(before, after, changed)
        if before is None:
            return set()
        if after.kind == "source" and changed & {"status", "derives_from"}:
            return self._by_source(after)
        if after.kind == "entity" and "part_of" in changed:
            return self._by_entity(after)
        return set()

    def _by_claim(self, before: Record | None, after: Record) -> set[str]:
        if "question" not in after.state:
            return set()
        touched = {after.state["question"]}
        if before is not None or after.state["links"]:
            touched |= self._linked_by(each for each in (before, after) if each is not None)
        return touched

    def _by_question(self, before: Record | None, after: Record, changed: frozenset[str]) -> set[str]:
        if before is None:
            return {after.id}
        if not changed & {"status", "varies"}:
            return set()
        return {after.id} | self._answered_by(self._questions.links_from(after))

    def _by_source(self, after: Record) -> set[str]:
        """Those of claims that came from it, or from what leads up to it, and those that these link to."""
        sources = self._below("source", "derives_from", after.id)
        pending = self._pending_claims(lambda claim: not sources.isdisjoint((claim["source"], *claim["via"][-1:])))
        stored = (
            row[0]
            for each in (_ASKED, _LINKED)
            for those in (_TAKEN, _REACHED)
            for row in self._access.rows_in(each.format(*those), sorted(sources))
        )
        return {*stored, *(claim.state["question"] for claim in pending), *self._linked_by(pending)}

    def _by_entity(self, after: Record) -> set[str]:
        """Those of claims whose answers name it or a part of it."""
        entities = self._below("entity", "part_of", after.id)
        pending = self._pending_claims(lambda claim: not entities.isdisjoint(entities_named(claim["answer"])))
        stored = (row[0] for row in self._access.rows_in(_ASKED.format(*_NAMED), sorted(entities)))
        return {*stored, *(claim.state["question"] for claim in pending)}

    def _below(self, kind: str, field: str, top: str) -> set[str]:
        """Give a record's id and those of all that lead up to it by a relation."""
        found, level = {top}, {top}
        while level:
            level = self._records.naming(kind, field, level) - found
            found |= level
            self._questions.effort.claims += len(level)
        return found

    def _pending_claims(self, is_touched: Callable[[State], bool]) -> list[Record]:
        return [claim for claim in self._pending.claims() if is_touched(claim.state)]

    def _linked_by(self, claims: Iterable[Record]) -> set[str]:
        return self._answered_by([link["claim"] for claim in claims for link in claim.state["links"]])

    def _answered_by(self, claims: Sequence[str]) -> set[str]:
        found = (self._records.find("claim", claim) for claim in claims)
        return {record.state["question"] for record in found if record is not None and not record.is_redacted}
