"""The present, as the writer sees it: what is committed, and what its own transaction has already folded in.

It remembers what it read from one transaction to the next, as long as nobody else wrote in between.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeGuard

import msgspec

from api.domain import agreement
from api.domain.answer import Answer, EntitiesAnswer, EntityAnswer
from api.domain.command import Command, Link, RecordIt, Revise, Unlink
from api.domain.record import Record, State, buried_state
from api.ledger.reads import Reads, Row, Value
from api.ledger.standing import WEIGHED, Sayings, Standing, forget_sayings, standing, stored
from api.ledger.tables import FOREVER

MOST_REMEMBERED = 5_000
# A claim on a question that was read takes about a tenth of what a record takes.
_CLAIMS_TO_A_RECORD = 10
_AT_ONCE = 500
_RECORD = (
    "SELECT r.kind, r.record, r.id, r.revision, r.position, v.recorded_at, r.first_position, f.recorded_at, f.actor,"
    " p.payload FROM record r JOIN event v ON v.position = r.position JOIN event f ON f.position = r.first_position"
    " LEFT JOIN payload p ON p.position = r.position WHERE "
)

_LINKING = (
    # CROSS JOIN keeps SQLite from walking all the links there are; PostgreSQL takes it for an inner join.
    "SELECT c.id, l.id FROM record c CROSS JOIN term t JOIN record l ON l.first_position = t.first_position"
    f" WHERE t.field = 'claim.link' AND t.value = c.id AND t.until = {FOREVER} AND c.question IN ("
)
_CLAIMS = (
    "SELECT r.first_position, p.payload FROM record r JOIN payload p ON p.position = r.position WHERE r.question IN ("
)
_STATES = f"SELECT r.id, g.state FROM agreement g JOIN record r ON r.first_position = g.question WHERE g.until = {FOREVER} AND g.question IN ("


class Present:
    """Records as they stand, and what agreement needs to know around them. `flush` writes out what is still held back."""

    def __init__(self, access: Reads, flush: Callable[[], None], most_remembered: int) -> None:
        self._access, self._flush, self._most_remembered = access, flush, most_remembered
        self._records: dict[tuple[str, str], Record | None] = {}
        # Of the questions that were read: their claims, those that are redacted left out, and who links to those; where
        # no link touches any, only what they say.
        self._claims: dict[str, dict[str, Standing]] = {}
        self._sayings: dict[str, Sayings] = {}
        self._linking: dict[str, set[str]] = {}
        self._states: dict[str, str | None] = {}
        # How many claims and sayings those are.
        self._kept_count = 0
        # Claims by question that were put since the last flush, so are not in the database yet.
        self._fresh: dict[str, dict[str, Record]] = {}

    def flushed(self) -> None:
        """Learn that the database now holds all that was put."""
        self._fresh.clear()

    def forget(self) -> None:
        """Read everything anew: another writer was here, or a transaction was rolled back."""
        self._records.clear()
        self._forget_questions()
        self.flushed()
        forget_sayings()

    def forget_claims(self, names: Iterable[str]) -> None:
        """Forget records of claims that nobody may ask for soon; what their questions need of them is kept."""
        for public_id in names:
            self._records.pop(("claim", public_id), None)

    def forget_if_large(self) -> None:
        if len(self._records) > self._most_remembered:
            self._records.clear()
        known = self._kept_count + len(self._states) + len(self._linking)
        if known > _CLAIMS_TO_A_RECORD * self._most_remembered:
            self._forget_questions()

    def _forget_questions(self) -> None:
        for memory in (self._claims, self._sayings, self._linking, self._states):
            memory.clear()
        self._kept_count = 0

    def find(self, kind: str, public_id: str) -> Record | None:
        key = (kind, public_id)
        if key not in self._records:
            row = self._access.row(_RECORD + "r.kind = ? AND r.id = ?", key)
            self._records[key] = _record(row) if row else None
        return self._records[key]

    def look_ahead(self, commands: Iterable[Command]) -> None:
        """Read what commands will ask for in a few statements, before each asks for its own."""
        commands = list(commands)
        self.read_records(_mentioned(commands))
        revised = [(command, self._records.get((command.kind, command.id or ""))) for command in commands]
        claims = [(command, claim) for command, claim in revised if claim is not None and _is_kept_claim(claim)]
        self.read_records(reference for _, claim in claims for reference in parents(claim.state))
        questions = {command.body["question"] for command in commands if _records_a_claim(command)}
        questions |= {claim.state["question"] for command, claim in claims if _weighs(command)}
        self.read_questions(questions)

    def read_records(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Read records together; those that do not exist are remembered as such."""
        asked: dict[str, list[str]] = {}
        for kind, public_id in {name for name in wanted if name not in self._records}:
            asked.setdefault(kind, []).append(public_id)
        for kind, ids in asked.items():
            self._records.update(dict.fromkeys((kind, public_id) for public_id in ids))
            for found in map(_record, self._rows_of(f"{_RECORD}r.kind = ? AND r.id IN (", ids, kind)):
                self._records[kind, found.id] = found

    def read_questions(self, wanted: Iterable[str]) -> None:
        """Read what agreement on questions needs: the last state, and, where it may yet turn, the claims."""
        asked = [question for name in wanted if (question := self.find("question", name)) is not None]
        unknown = {question.first_position: question.id for question in asked if question.id not in self._states}
        self._states.update(dict.fromkeys(unknown.values()))
        self._states.update(self._rows_of(_STATES, list(unknown)))
        self._read_claims(
            [each for each in asked if not self._is_known(each.id) and self._states[each.id] != "disputed"]
        )

    def _is_known(self, question: str) -> bool:
        return question in self._sayings or question in self._claims

    def _read_claims(self, questions: list[Record]) -> None:
        """Read the claims on questions, and in one statement more who links to them."""
        firsts = [question.first_position for question in questions]
        found: dict[str, dict[str, Standing]] = {question.id: {} for question in questions}
        for first_position, payload in self._rows_of(_CLAIMS, firsts):
            read = stored(first_position, payload)
            found[read.claim.question][read.claim.id] = read
        for claim_id, linking in self._rows_of(_LINKING, firsts):
            self._linking.setdefault(claim_id, set()).add(linking)
        for question, claims in found.items():
            for record in self._fresh.get(question, {}).values():
                claims.pop(record.id, None)
                if not record.is_redacted:
                    claims[record.id] = _standing(record)
            self._remember(question, claims)

    def _remember(self, question: str, claims: dict[str, Standing]) -> None:
        if claims.keys() & self._linking.keys() or any(each.claim.links for each in claims.values()):
            self._claims[question] = claims
            self._kept_count += len(claims)
        else:
            self._sayings[question] = Sayings(claims.values())
            self._kept_count += len(self._sayings[question])

    def _rows_of(self, sql: str, values: Sequence[Value], *first: Value) -> Iterator[Row]:
        """Run a statement that ends in an open list for as many values at once as a statement takes."""
        for start in range(0, len(values), _AT_ONCE):
            some = values[start : start + _AT_ONCE]
            yield from self._access.rows(f"{sql}{', '.join('?' * len(some))})", (*first, *some))

    def state_at(self, record: Record, revision: int) -> State | None:
        """Give the state of an earlier revision; None where there was none, or it was redacted."""
        if revision == record.revision:
            return record.state
        self._flush()
        row = self._access.row(
            "SELECT p.payload FROM revision v JOIN payload p ON p.position = v.position WHERE v.first_position = ? AND v.revision = ?",
            (record.first_position, revision),
        )
        return msgspec.json.decode(row[0])["state"] if row else None

    def is_answered(self, question: str) -> bool:
        claims = self.claims_of(question)
        return bool(claims) or (question in self._sayings and self._sayings[question].claim_count > 0)

    def put(self, before: Record | None, after: Record) -> bool:
        """Let the record stand as it now is. Says whether agreement on the question it is or answers may have changed."""
        self._records[after.kind, after.id] = after
        if after.kind == "question" and before is None:
            self._sayings[after.id], self._states[after.id] = Sayings(), None
        # Of a redacted claim perhaps nothing is left that tells what it answered: then it is on no question.
        if after.kind == "claim" and "question" in after.state:
            return self._put_claim(before, after)
        return True

    def _put_claim(self, before: Record | None, after: Record) -> bool:
        old = None if before is None or before.is_redacted else before
        new = None if after.is_redacted else after
        if old is not None and new is not None and all(old.state[field] == new.state[field] for field in WEIGHED):
            return False
        question = after.state["question"]
        self._fresh.setdefault(question, {})[after.id] = after
        if after.state["links"] or (old is not None and old.state["links"]):
            self._link(after)
        said, claims = self._sayings.get(question), self._claims.get(question)
        if said is not None:
            was_last = old is not None and said.take(_standing(old))
            is_first = new is not None and said.add(_standing(new))
            self._kept_count += is_first - was_last
            return was_last or is_first
        if claims is not None:
            self._kept_count -= claims.pop(after.id, None) is not None
            if new is not None:
                claims[after.id] = _standing(new)
                self._kept_count += 1
        return True

    def _link(self, claim: Record) -> None:
        """Note whom a claim links to. What the claims on either side say no longer tells enough of them."""
        self._forget_sayings(claim.state["question"])
        for link in claim.state["links"]:
            self._linking.setdefault(link["claim"], set()).add(claim.id)
            target = self.find("claim", link["claim"])
            if target is not None and "question" in target.state:
                self._forget_sayings(target.state["question"])

    def _forget_sayings(self, question: str) -> None:
        said = self._sayings.pop(question, None)
        if said is not None:
            self._kept_count -= len(said)

    def claims_of(self, question: str) -> dict[str, Standing]:
        """Give the claims on a question, retracted ones included and redacted ones left out; none where no link touches any."""
        self._know(question)
        return self._claims.get(question, {})

    def _know(self, question: str) -> None:
        asked = None if self._is_known(question) else self.find("question", question)
        if asked is not None:
            self._read_claims([asked])

    def _claims_linking_to(self, claim: str) -> list[Record]:
        """Give the claims that link, or once linked, to this one, which stands on a question that was read."""
        found = (self.find("claim", linking) for linking in sorted(self._linking.get(claim, ())))
        return [record for record in found if record is not None and not record.is_redacted]

    def claims_from(self, sources: Iterable[str]) -> list[str]:
        """Give the ids of claims that were taken from any of the sources."""
        self._flush()
        sql = (
            "SELECT id FROM record WHERE source = (SELECT first_position FROM record WHERE kind = 'source' AND id = ?)"
        )
        return [row[0] for source in sources for row in self._access.rows(sql, (source,))]

    def ids_with(self, field: str, values: Iterable[str]) -> list[str]:
        """Give the ids of records that hold one of the values in a field now."""
        self._flush()
        sql = "SELECT r.id FROM term t JOIN record r ON r.first_position = t.first_position WHERE t.field = ? AND t.value = ? AND t.until = ?"
        return [row[0] for value in values for row in self._access.rows(sql, (field, value, FOREVER))]

    def below(self, kind: str, field: str, top: str) -> list[str]:
        """Give a record's id and those of all that lead up to it by a relation."""
        found, waiting = {top}, [top]
        while waiting:
            fresh = set(self.ids_with(f"{kind}.{field}", [waiting.pop()])) - found
            found |= fresh
            waiting += fresh
        return sorted(found)

    def state_of_agreement(self, question: str, first_position: int) -> str | None:
        """Give the last state noted; None where none is."""
        if question not in self._states:
            sql = "SELECT state FROM agreement WHERE question = ? AND until = ?"
            row = self._access.row(sql, (first_position, FOREVER))
            self._states[question] = row[0] if row else None
        return self._states[question]

    def note_state(self, question: str, state: str | None) -> None:
        self._states[question] = state

    def fold(self, question: Record) -> str | None:
        """Compute the state of agreement on a question from its live claims; a redacted one has none."""
        if question.is_redacted:
            return None
        claims = self.claims_of(question.id)
        said = self._sayings.get(question.id)
        asserted = said.asserted() if said is not None else [each.claim for each in claims.values() if each.is_asserted]
        live = [claim for claim in asserted if question.is_asserted and self._is_in_force("source", claim.source)]
        foreign = self._foreign_links(question, claims)
        return agreement.state_of(question.id, bool(question.state["varies"]), live, gather(live, self._state), foreign)

    def _is_in_force(self, kind: str, public_id: str) -> bool:
        found = self.find(kind, public_id)
        return found is not None and found.is_asserted

    def _foreign_links(self, question: Record, claims: Mapping[str, Standing]) -> list[tuple[str, agreement.Link]]:
        found: list[tuple[str, agreement.Link]] = []
        if not self._linking:
            return found
        for target in sorted(claims.keys() & self._linking.keys()):
            for record in self._claims_linking_to(target):
                asked = record.state["question"]
                if asked == question.id or not record.is_asserted:
                    continue
                made = _standing(record).claim
                if self._is_in_force("source", made.source) and self._is_in_force("question", asked):
                    found += [(record.id, link) for link in made.links if link.claim == target]
        return found

    def _state(self, kind: str, public_id: str) -> State | None:
        found = self.find(kind, public_id)
        return found.state if found and not found.is_redacted else None


def _mentioned(commands: Iterable[Command]) -> Iterator[tuple[str, str]]:
    """Name the records that commands are about, and those that they refer to."""
    for command in commands:
        if command.id is not None:
            yield command.kind, command.id
        if _records_a_claim(command):
            yield from parents(command.body)
        if isinstance(command, Link | Unlink):
            yield "claim", command.claim


def _records_a_claim(command: Command) -> TypeGuard[RecordIt]:
    return isinstance(command, RecordIt) and command.kind == "claim"


def _standing(claim: Record) -> Standing:
    return standing(claim.first_position, claim.state)


def _is_kept_claim(record: Record) -> bool:
    return record.kind == "claim" and not record.is_redacted


def parents(claim: State) -> tuple[tuple[str, str], tuple[str, str]]:
    """Name what a claim was taken from and what it answers."""
    return ("source", claim["source"]), ("question", claim["question"])


def _weighs(command: Command) -> bool:
    """Say whether agreement may depend on what a command changes in a claim."""
    return not WEIGHED.isdisjoint(command.changes) if isinstance(command, Revise) else True


def entities_in(answer: Answer) -> list[str]:
    """Name the entities that an answer consists of."""
    if isinstance(answer, EntityAnswer):
        return [answer.entity]
    return list(answer.entities) if isinstance(answer, EntitiesAnswer) else []


def gather(claims: Iterable[agreement.Claim], state: Callable[[str, str], State | None]) -> agreement.Context:
    """Follow entities and sources upward from the claims; `state` gives a record's state, whatever its status."""
    part_of: dict[str, str | None] = {}
    derives_from: dict[str, tuple[str, ...]] = {}
    for claim in claims:
        waiting = entities_in(claim.answer)
        while waiting:
            entity = waiting.pop()
            if entity not in part_of:
                found = state("entity", entity)
                part_of[entity] = found["part_of"] if found else None
                waiting += [part_of[entity]] if part_of[entity] else []  # type: ignore[list-item]
        waiting = [claim.source, *claim.via]
        while waiting:
            source = waiting.pop()
            if source not in derives_from:
                found = state("source", source)
                derives_from[source] = tuple(found["derives_from"]) if found else ()
                waiting += derives_from[source]
    return agreement.Context(part_of=part_of, derives_from=derives_from)


def _record(row: Row) -> Record:
    kind, record, public_id, revision, position, revised_at, first_position, recorded_at, recorded_by, payload = row
    return Record(
        kind=kind,
        record=record,
        id=public_id,
        revision=revision,
        position=position,
        revised_at=revised_at,
        first_position=first_position,
        recorded_at=recorded_at,
        recorded_by=recorded_by,
        state=msgspec.json.decode(payload)["state"] if payload is not None else buried_state(public_id),
    )
