"""Tables derived from the log. The live path and a rebuild fold events in through the same `Projector`, in order.

Rows are held back and written together, so that a group of appends costs a few statements. Nothing here decides.
"""

from collections.abc import Callable

import msgspec

from api.domain.log.event import Entry
from api.domain.records.record import Record, State, changed_fields
from api.domain.records.redaction import REDACTION, Mark
from api.domain.records.redaction import represent as represent_redaction
from api.domain.records.representation import represent
from api.domain.text import spaced
from api.ledger.projecting import findable
from api.ledger.projecting.present import MOST_REMEMBERED, Present
from api.ledger.projecting.standing import WEIGHED
from api.ledger.storage.access import Access
from api.ledger.storage.reads import Value
from api.ledger.storage.tables import FOREVER, PROJECTIONS

COLUMNS = {
    "record": "first_position, kind, id, record, position, revision, source, question",
    "revision": "position, first_position, kind, revision, until, status, recorded_at, document, summary",
    "feed": "position, item",
    "term": "field, value, first_position, since, until",
    "span": "field, first_position, since, until, starts, is_moment, start_earliest, start_latest, end_earliest, end_latest",
    "search": "first_position, since",
    "agreement": "question, since, until, state",
}
_IS_OPEN = f"until = {FOREVER}"
# For each table the columns that an event changes in the row before, and how that is found.
_CLOSE = {
    "record": ("position, revision", "first_position", "TRUE"),
    "revision": ("until", "position", _IS_OPEN),
    "term": ("until", "field, value, first_position", _IS_OPEN),
    "span": ("until", "field, first_position", _IS_OPEN),
    "agreement": ("until", "question", _IS_OPEN),
}
_UNTIL = {"revision": 4, "term": 4, "span": 3, "agreement": 2}
NAMES = (*(str(table.__tablename__) for table in PROJECTIONS), "search_index")
_ALL = WEIGHED | {"varies", "derives_from", "part_of"}
_SAYS_NOTHING = b'"reason":null,"state":null}'
Key = tuple[Value, ...]


class Fact(msgspec.Struct, frozen=True):
    """An event and its payload, as they are read and as they are stored.

    Of a redacted one the entry alone is left, and the mark of who removed the rest. `earlier` is the last state before
    that is still there, where it is not the one just before.
    """

    entry: Entry
    reason: str | None
    raw: bytes
    payload: bytes
    mark: Mark | None = None
    earlier: State | None = None


class Projector:
    """Folds events into the projections, one after another."""

    def __init__(
        self, access: Access, write_log: Callable[[], None] = lambda: None, *, most_remembered: int = MOST_REMEMBERED
    ) -> None:
        self._access, self._write_log = access, write_log
        self.present = Present(access, self.flush, most_remembered)
        self._open: dict[str, dict[Key, list[Value]]] = {table: {} for table in COLUMNS}
        self._rows: dict[str, list[list[Value]]] = {table: [] for table in COLUMNS}
        self._closing: dict[str, dict[Key, Key]] = {table: {} for table in COLUMNS}
        self._words: list[tuple[int, str]] = []

    def forget(self) -> None:
        """Drop what was held back and remembered: the transaction is gone."""
        self._clear()
        self.present.forget()

    def project(self, before: Record | None, after: Record, fact: Fact) -> bytes:
        """Fold one event in and give the representation it makes. Events come in the order of their positions."""
        if len(self._rows["feed"]) >= self._access.held_at_most:
            self.flush()
        document, fields = self._render(after, fact), _changed(before, after, fact)
        may_turn = self.present.put(before, after)
        self._keep_record(before, after)
        self._keep_revision(before, after, fact, document, fields)
        self._add_to_feed(fact, after.id, fields)
        self._keep_terms(before, after)
        self._keep_span(before, after)
        self._keep_words(before, after)
        if may_turn and not self._stays_disputed(before, after):
            for question in sorted(_touched_questions(self.present, before, after, fields)):
                self._keep_agreement(question, after.position, is_anew=after.kind != "claim")
        return document

    def note_erased(self, fact: Fact) -> None:
        """Keep the place of an event whose record was erased, id and all: it stands in the feed and nowhere else."""
        self._add_to_feed(fact, None, None)

    def _render(self, after: Record, fact: Fact) -> bytes:
        if fact.mark is not None:
            return msgspec.json.encode(fact.mark.shown())
        return (
            represent_redaction(after, fact.entry, fact.reason)
            if after.kind == REDACTION
            else represent(after, fact.payload)
        )

    def _stays_disputed(self, before: Record | None, after: Record) -> bool:
        """A new claim makes no links yet: it may add a conflict to its question, and can end none."""
        if before is not None or after.kind != "claim" or after.is_redacted:
            return False
        question = self.present.find("question", after.state["question"])
        known = question and self.present.state_of_agreement(question.id, question.first_position)
        return known == "disputed"

    def flush(self) -> None:
        """Write out what was held back, inside the transaction that is under way; the log's rows go first."""
        with self._access.together():
            self._write_log()
            for table, closing in self._closing.items():
                if closing:
                    changed, keys, where = _CLOSE[table]
                    self._access.update(table, changed, keys, [new + key for key, new in closing.items()], where=where)
            for table, rows in self._rows.items():
                self._access.insert(table, COLUMNS[table], rows)
            self._access.words.insert(self._words)
        self._clear()
        self.present.flushed()

    def _clear(self) -> None:
        for table in COLUMNS:
            self._open[table].clear()
            self._closing[table].clear()
        # The lists were given away.
        self._rows = {table: [] for table in COLUMNS}
        self._words = []

    def _add(self, table: str, key: Key, row: list[Value]) -> None:
        self._open[table][key] = row
        self._rows[table].append(row)

    def _close(self, table: str, key: Key, position: int) -> None:
        """End what held under the key: in place if it is still held back, else by an update."""
        held = self._open[table].pop(key, None)
        if held is not None:
            held[_UNTIL[table]] = position
        else:
            self._closing[table][key] = (position,)

    def _keep_record(self, before: Record | None, after: Record) -> None:
        key = (after.first_position,)
        if before is not None and key in self._open["record"]:
            self._open["record"][key][4:6] = [after.position, after.revision]
        elif before is not None:
            self._closing["record"][key] = (after.position, after.revision)
        else:
            source, question = self._parents(after)
            row: list[Value] = [
                after.first_position,
                after.kind,
                after.id,
                after.record,
                after.position,
                after.revision,
                source,
                question,
            ]
            self._add("record", key, row)

    def _parents(self, record: Record) -> tuple[int | None, int | None]:
        if record.kind != "claim" or "question" not in record.state:
            return None, None
        source = self.present.find("source", record.state["source"])
        question = self.present.find("question", record.state["question"])
        return source.first_position if source else None, question.first_position if question else None

    def _keep_revision(
        self, before: Record | None, after: Record, fact: Fact, document: bytes, fields: list[str] | None
    ) -> None:
        if before is not None:
            self._close("revision", (before.position,), after.position)
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
        row: list[Value] = [
            after.position,
            after.first_position,
            after.kind,
            after.revision,
            FOREVER,
            after.state["status"],
            after.revised_at,
            document,
            msgspec.json.encode(summary),
        ]
        self._add("revision", (after.position,), row)

    def _add_to_feed(self, fact: Fact, public_id: str | None, fields: list[str] | None) -> None:
        """Join what is stored: the entry's fields, the id, the names that changed, and what the payload says."""
        mark = fact.mark.shown() if fact.mark else None
        known = msgspec.json.encode({"id": public_id, "fields": fields, "redacted": mark})
        position, said = fact.entry.position, fact.payload[1:] or _SAYS_NOTHING
        # Nothing ever closes a row of the feed.
        self._rows["feed"].append([position, b"%b,%b,%b" % (fact.raw[:-1], known[1:-1], said)])

    def _keep_terms(self, before: Record | None, after: Record) -> None:
        old, new = findable.terms(before) if before else set(), findable.terms(after)
        if old == new:
            return
        first, position = after.first_position, after.position
        for field, value in sorted(old - new):
            self._close("term", (field, value, first), position)
        for field, value in sorted(new - old):
            self._add("term", (field, value, first), [field, value, first, position, FOREVER])

    def _keep_span(self, before: Record | None, after: Record) -> None:
        old, new = findable.span(before) if before else None, findable.span(after)
        if old == new:
            return
        key = (after.kind, after.first_position)
        if old is not None:
            self._close("span", key, after.position)
        if new is not None:
            self._add("span", key, [after.kind, after.first_position, after.position, FOREVER, *new])

    def _keep_words(self, before: Record | None, after: Record) -> None:
        old = findable.text(before.kind, before.state) if before else None
        new = findable.text(after.kind, after.state)
        if old == new:
            return
        self._rows["search"].append([after.first_position, after.position])
        if new is not None:
            self._words.append((after.position, spaced(new)))

    def _keep_agreement(self, public_id: str, position: int, *, is_anew: bool) -> None:
        question = self.present.find("question", public_id)
        if question is None:
            return
        old = self.present.state_of_agreement(public_id, question.first_position)
        new = self.present.fold(question, is_anew=is_anew)
        if old == new:
            return
        key = (question.first_position,)
        if old is not None:
            self._close("agreement", key, position)
        if new is not None:
            self._add("agreement", key, [question.first_position, position, FOREVER, new])
        self.present.note_state(public_id, new)


def _changed(before: Record | None, after: Record, fact: Fact) -> list[str] | None:
    """Name the fields in which a revision differs from the last one before it that is still there."""
    if fact.mark is not None:
        return None
    known = before.state if before is not None and not before.is_redacted else fact.earlier
    return changed_fields(known, after.state)


def _touched_questions(present: Present, before: Record | None, after: Record, fields: list[str] | None) -> set[str]:
    """Name the questions whose agreement this change may alter. `fields` differ; None where that is not known."""
    # A first revision changes whatever may weigh. What a redacted one said may have been anything.
    is_unknown = before is None or before.is_redacted or fields is None
    changed = _ALL if is_unknown else frozenset(fields or ())
    if after.kind == "claim":
        return _touched_by_claim(present, before, after) if changed & WEIGHED else set()
    if after.kind == "question":
        return _touched_by_question(present, before, after, changed)
    if before is None:
        return set()
    if after.kind == "source" and changed & {"status", "derives_from"}:
        return _touched_by_source(present, after)
    if after.kind == "entity" and "part_of" in changed:
        named = present.below("entity", "part_of", after.id)
        return present.questions_answered_by(named)
    return set()


def _touched_by_claim(present: Present, before: Record | None, after: Record) -> set[str]:
    if "question" not in after.state:
        return set()
    touched = {after.state["question"]}
    if before is not None or after.state["links"]:
        touched |= _linked_questions(present, *filter(None, (before, after)))
    return touched


def _touched_by_question(present: Present, before: Record | None, after: Record, changed: frozenset[str]) -> set[str]:
    if before is None:
        return {after.id}
    if not changed & {"status", "varies"}:
        return set()
    return {after.id} | _questions_of(present, present.links_from(after))


def _touched_by_source(present: Present, after: Record) -> set[str]:
    sources = present.below("source", "derives_from", after.id)
    return present.questions_reached(sources)


def _questions_of(present: Present, claims: list[str]) -> set[str]:
    found = (present.find("claim", claim) for claim in claims)
    return {record.state["question"] for record in found if record is not None and not record.is_redacted}


def _linked_questions(present: Present, *claims: Record) -> set[str]:
    targets = [link["claim"] for record in claims for link in record.state["links"]]
    return _questions_of(present, targets) if targets else set()


def throw_away(access: Access) -> None:
    """Delete every projection; the log is untouched."""
    for table in COLUMNS:
        access.run(f"DELETE FROM {table}")
    access.words.clear()
