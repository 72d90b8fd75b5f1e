"""Tables derived from the log. The live path and a rebuild fold events in through the same `Projector`, in order.

Rows are pending until whoever folds has them written out, so that a group of appends costs a few statements. Nothing here
decides, takes a lock or begins a transaction.
"""

from collections.abc import Collection
from typing import Final

import msgspec

from api.domain.log.event import Entry
from api.domain.records.record import Record, State, changed_fields
from api.domain.records.redaction import REDACTION, Mark
from api.domain.records.redaction import represent as represent_redaction
from api.domain.records.representation import Computed, computed_from, represent, said
from api.domain.words import forget_words
from api.ledger.projecting import findable
from api.ledger.projecting.known_questions import KnownQuestions
from api.ledger.projecting.known_records import KnownRecords
from api.ledger.projecting.pending import COLUMNS, ENDING, Pending
from api.ledger.projecting.touching import Touching
from api.ledger.projecting.weighed import forget_sayings
from api.ledger.storage.access import Access
from api.ledger.storage.tables import FOREVER

# Of this version are the projections that are derived here. Whoever changes what an event makes of them raises it: a
# database that holds older ones derives all of them again at its next start.
PROJECTED: Final = 5
MOST_REMEMBERED = 5_000
_SAYS_NOTHING = b'"reason":null,"state":null}'


class Fact(msgspec.Struct, frozen=True, gc=False):
    """An event and its payload, as they are read and as they are stored.

    Of a redacted one the entry alone is left, and the mark of who removed the rest. `earlier` is the last state before
    that is still there, where it is not the one just before. `covers` are type and actor of each event that a redaction
    covers.
    """

    entry: Entry
    reason: str | None
    raw: bytes
    payload: bytes
    mark: Mark | None = None
    earlier: State | None = None
    covers: Collection[tuple[str, str | None]] = ()


class Projector:
    """Folds events into the projections, one after another, and remembers what it needs to know for that."""

    def __init__(self, access: Access, *, most_remembered: int = MOST_REMEMBERED) -> None:
        self._access, self._pending = access, Pending()
        self.records = KnownRecords(access, self._pending.overlay, most_remembered)
        self.questions = KnownQuestions(access, self.records, self._pending.overlay, most_remembered)
        self._touching = Touching(access, self._pending.overlay, self.records, self.questions)

    @property
    def is_full(self) -> bool:
        """Whether as much is pending as is best written at once."""
        return self._pending.events >= self._access.held_at_most

    def project(self, before: Record | None, after: Record, fact: Fact) -> bytes:
        """Fold one event in and give the representation it makes. Events come in the order of their positions."""
        computed, fields = {} if after.is_redacted else computed_from(after), _changed(before, after, fact)
        document = _render(after, fact, computed)
        self._pending.overlay.put(after)
        self.records.put(after)
        may_turn = self.questions.put(before, after)
        self._keep_record(before, after)
        self._keep_revision(before, after, fact, document, fields)
        self._add_to_feed(fact, after.id, fields, computed)
        self._keep_terms(before, after, fact)
        self._keep_span(before, after)
        self._keep_words(before, after)
        if may_turn and not self._stays_disputed(before, after):
            for question in sorted(self._touching.touched(before, after, fields)):
                self._keep_agreement(question, after.position, is_anew=after.kind != "claim")
        return document

    def write_out(self) -> None:
        """Write what is pending, inside the transaction that is under way."""
        pending = self._pending
        with self._access.together():
            for table, (changed, keys, where) in ENDING.items():
                if updates := pending.updates(table):
                    self._access.update(table, changed, keys, updates, where=where)
            for table, rows in pending.rows.items():
                self._access.insert(table, COLUMNS[table], rows)
            self._access.words.insert(pending.words)
        pending.clear()

    def forget(self) -> None:
        """Drop what is pending and remembered: the transaction is gone, or somebody else wrote."""
        self._pending.clear()
        self.records.forget()
        self.questions.forget()
        forget_sayings()
        forget_words()

    def forget_if_much(self) -> None:
        """Keep within what is to be remembered, when nothing is pending."""
        self.records.forget_if_many()
        self.questions.forget_if_many()

    def note_erased(self, fact: Fact) -> None:
        """Keep the place of an event whose record was erased, id and all: it stands in the feed and nowhere else."""
        self._add_to_feed(fact, None, None, {})

    def _stays_disputed(self, before: Record | None, after: Record) -> bool:
        """A new claim makes no links yet: it may add a conflict to its question, and can end none."""
        if before is not None or after.kind != "claim" or after.is_redacted:
            return False
        question = self.records.find("question", after.state["question"])
        return question is not None and self.questions.state_of_agreement(question) == "disputed"

    def _keep_record(self, before: Record | None, after: Record) -> None:
        key = (after.first_position,)
        if before is not None:
            self._pending.change("record", key, (after.position, after.revision))
            return
        source, question = self._parents(after)
        names = after.first_position, after.kind, after.id, after.record
        self._pending.add("record", key, [*names, after.position, after.revision, source, question])

    def _parents(self, record: Record) -> tuple[int | None, int | None]:
        if record.kind != "claim" or "question" not in record.state:
            return None, None
        source = self.records.find("source", record.state["source"])
        question = self.records.find("question", record.state["question"])
        return source.first_position if source else None, question.first_position if question else None

    def _keep_revision(
        self, before: Record | None, after: Record, fact: Fact, document: bytes, fields: list[str] | None
    ) -> None:
        if before is not None:
            self._pending.end("revision", (before.position,), after.position)
        entry, mark = fact.entry, fact.mark.shown() if fact.mark else None
        summary = {
            "revision": after.revision,
            "position": after.position,
            "type": entry.type,
            "status": None if mark else after.state["status"],
            "recorded_at": entry.recorded_at,
            "actor": entry.actor,
            "reason": fact.reason,
            "fields": fields,
            "batch": entry.batch,
            "redacted": mark,
        }
        names = after.position, after.first_position, after.kind, after.revision
        shown = after.state["status"], after.revised_at, document, msgspec.json.encode(summary)
        self._pending.add("revision", (after.position,), [*names, FOREVER, *shown])

    def _add_to_feed(self, fact: Fact, public_id: str | None, fields: list[str] | None, computed: Computed) -> None:
        """Join what is stored: the entry's fields, the id, the names that changed, and what the event says."""
        mark = fact.mark.shown() if fact.mark else None
        known = msgspec.json.encode({"id": public_id, "fields": fields, "redacted": mark})
        position, told = fact.entry.position, said(fact.entry.kind, fact.payload, computed)[1:] or _SAYS_NOTHING
        # Nothing ever closes a row of the feed.
        self._pending.rows["feed"].append([position, b"%b,%b,%b" % (fact.raw[:-1], known[1:-1], told)])

    def _keep_terms(self, before: Record | None, after: Record, fact: Fact) -> None:
        old, new = findable.terms(before) if before else set(), findable.terms(after)
        if after.kind == REDACTION:
            new |= findable.passes(after, fact.entry, fact.covers)
        if old == new:
            return
        first, position = after.first_position, after.position
        for field, value in sorted(old - new):
            self._pending.end("term", (field, value, first), position)
        for field, value in sorted(new - old):
            self._pending.add("term", (field, value, first), [field, value, first, position, FOREVER])

    def _keep_span(self, before: Record | None, after: Record) -> None:
        old, new = findable.span(before) if before else None, findable.span(after)
        if old == new:
            return
        key = (after.kind, after.first_position)
        if old is not None:
            self._pending.end("span", key, after.position)
        if new is not None:
            self._pending.add("span", key, [after.kind, after.first_position, after.position, FOREVER, *new])

    def _keep_words(self, before: Record | None, after: Record) -> None:
        old = findable.texts(before.kind, before.state) if before else None
        new = findable.texts(after.kind, after.state)
        if old == new:
            return
        self._pending.rows["search"].append([after.first_position, after.position])
        if new is not None:
            self._pending.words.append((after.position, findable.words(new)))

    def _keep_agreement(self, public_id: str, position: int, *, is_anew: bool) -> None:
        question = self.records.find("question", public_id)
        if question is None:
            return
        old = self.questions.state_of_agreement(question)
        new = self.questions.fold(question, is_anew=is_anew)
        if old == new:
            return
        key = (question.first_position,)
        if old is not None:
            self._pending.end("agreement", key, position)
        if new is not None:
            self._pending.add("agreement", key, [question.first_position, position, FOREVER, new])
        self.questions.note_state(public_id, new)


def render(after: Record, fact: Fact) -> bytes:
    """Give the representation that an event makes, as it would be projected."""
    return _render(after, fact, computed_from(after))


def _render(after: Record, fact: Fact, computed: Computed) -> bytes:
    if fact.mark is not None:
        return msgspec.json.encode(fact.mark.shown())
    if after.kind == REDACTION:
        return represent_redaction(after, fact.entry, fact.reason)
    return represent(after, fact.payload, computed)


def _changed(before: Record | None, after: Record, fact: Fact) -> list[str] | None:
    """Name the fields in which a revision differs from the last one before it that is still there."""
    if fact.mark is not None:
        return None
    known = before.state if before is not None and not before.is_redacted else fact.earlier
    return changed_fields(known, after.state)


def throw_away(access: Access) -> None:
    """Delete every projection; the log is untouched."""
    for table in COLUMNS:
        access.run(f"DELETE FROM {table}")
    access.words.clear()
