"""The present, as the writer sees it: what is committed, and what its own transaction has already folded in.

It remembers what it read from one transaction to the next, as long as nobody else wrote in between.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypedDict, TypeGuard

import msgspec

from api.domain.agreement import agreement
from api.domain.agreement.tally import Effort
from api.domain.records.command import Command, Link, RecordIt, Revise, Unlink
from api.domain.records.record import Record, State, buried_state
from api.ledger.projecting.followed import Around, Followed, replaces_since, surround
from api.ledger.projecting.standing import WEIGHED, Standing, forget_sayings, read_links, standing, stored
from api.ledger.storage.reads import Reads, Row, Value
from api.ledger.storage.tables import FOREVER

MOST_REMEMBERED = 5_000
# A claim on a question that was read takes about a tenth of what a record takes.
_CLAIMS_TO_A_RECORD = 10
_AT_ONCE = 500
_RECORD = (
    "SELECT r.kind, r.record, r.id, r.revision, r.position, v.recorded_at, r.first_position, f.recorded_at, f.actor,"
    " p.payload FROM {} JOIN event v ON v.position = r.position JOIN event f ON f.position = r.first_position"
    " LEFT JOIN payload p ON p.position = r.position WHERE "
)
_ONE_RECORD = _RECORD.format("record r") + "r.kind = ? AND r.id = ?"
# One by one: given a list, a planner that has no statistics yet would walk all records of the kind.
_RECORDS = (
    f"WITH wanted (id) AS (VALUES {{}}) {_RECORD.format('wanted CROSS JOIN record r')}"
    "r.first_position = (SELECT x.first_position FROM record x WHERE x.kind = ? AND x.id = wanted.id)"
)

_LINKING = (
    # CROSS JOIN keeps SQLite from walking all the links there are; PostgreSQL takes it for an inner join.
    "SELECT c.id, l.id FROM record c CROSS JOIN term t JOIN record l ON l.first_position = t.first_position"
    f" WHERE t.field = 'claim.link' AND t.value = c.id AND t.until = {FOREVER} AND c.question IN ("
)
_CLAIMS = (
    "SELECT r.first_position, p.payload FROM record r JOIN payload p ON p.position = r.position WHERE r.question IN ("
)
# For the claims that were taken from some sources, and for those that name some values in a field: the questions that
# they answer, and those of the claims that they link to. CROSS JOIN is for SQLite, as above.
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
_ANSWERED = "SELECT r.id FROM record r JOIN payload p ON p.position = r.position WHERE r.question = ? LIMIT ?"
_STATES = f"SELECT r.id, g.state FROM agreement g JOIN record r ON r.first_position = g.question WHERE g.until = {FOREVER} AND g.question IN ("


class Present:
    """Records as they stand, and what agreement needs to know around them. `flush` writes out what is still held back."""

    def __init__(self, access: Reads, flush: Callable[[], None], most_remembered: int) -> None:
        self._access, self._flush, self._most_remembered = access, flush, most_remembered
        self.effort = Effort()
        self._records: dict[tuple[str, str], Record | None] = {}
        # The questions that were read, those that were used last at the end; redacted claims are on none.
        self._followed: dict[str, Followed] = {}
        self._states: dict[str, str | None] = {}
        # At least as much as is kept of those questions, and from when on some are forgotten.
        self._kept_count, self._kept_at_most = 0, _CLAIMS_TO_A_RECORD * most_remembered
        # For each claim the claims that were made to link to it since the last flush.
        self._linking: dict[str, set[str]] = {}
        # Claims by question that were put since the last flush, so are not in the database yet.
        self._fresh: dict[str, dict[str, Record]] = {}

    def flushed(self) -> None:
        """Learn that the database now holds all that was put."""
        self._fresh.clear()
        self._linking.clear()

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
        if len(self._states) > _CLAIMS_TO_A_RECORD * self._most_remembered:
            self._forget_questions()
        if self._kept_count > self._kept_at_most:
            self._forget_long_unused()

    def _forget_long_unused(self) -> None:
        """Forget half of what is kept of questions, but for the one that was used last: it is large, perhaps."""
        sizes = {question: len(followed) for question, followed in self._followed.items()}
        kept, most = sum(sizes.values()), _CLAIMS_TO_A_RECORD * self._most_remembered
        while kept > most // 2 and len(self._followed) > 1:
            question = next(iter(self._followed))
            kept -= sizes[question]
            del self._followed[question]
        self._kept_count, self._kept_at_most = kept, max(most, 2 * kept)

    def _forget_questions(self) -> None:
        self._followed.clear()
        self._states.clear()
        self._kept_count = 0

    def find(self, kind: str, public_id: str) -> Record | None:
        key = (kind, public_id)
        if key not in self._records:
            row = self._access.row(_ONE_RECORD, key)
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
            for found in map(_record, self._records_of(kind, ids)):
                self._records[kind, found.id] = found

    def _records_of(self, kind: str, ids: Sequence[str]) -> Iterator[Row]:
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            yield from self._access.rows(_RECORDS.format(", ".join(["(?)"] * len(some))), (*some, kind))

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
        return question in self._followed

    def _read_claims(self, questions: list[Record]) -> None:
        """Read the claims on questions, and in one statement more who links to them."""
        firsts = [question.first_position for question in questions]
        found: dict[str, dict[str, Standing]] = {question.id: {} for question in questions}
        for first_position, payload in self._rows_of(_CLAIMS, firsts):
            read = stored(first_position, payload)
            found[read.claim.question][read.claim.id] = read
        linking: dict[str, set[str]] = {}
        for claim_id, maker in (*self._rows_of(_LINKING, firsts), *self._linked_since()):
            linking.setdefault(claim_id, set()).add(maker)
        self.read_records(("claim", maker) for makers in linking.values() for maker in makers)
        for question in questions:
            claims = found[question.id]
            for record in self._fresh.get(question.id, {}).values():
                claims.pop(record.id, None)
                if not record.is_redacted:
                    claims[record.id] = _standing(record)
            self._follow(question, claims, {each: linking[each] for each in claims.keys() & linking.keys()})

    def _linked_since(self) -> Iterator[tuple[str, str]]:
        return ((claim_id, maker) for claim_id, makers in self._linking.items() for maker in makers)

    def _follow(self, question: Record, claims: Mapping[str, Standing], linking: Mapping[str, set[str]]) -> None:
        followed = self._followed[question.id] = Followed(
            partial(self._is_in_force, "source"), self._surround, self.effort, **_weighed(question)
        )
        for public_id, one in claims.items():
            followed.put(None, one, is_apart=public_id in linking)
        for claim_id in sorted(linking):
            self._let_replace(followed, claim_id, linking[claim_id])
        self._kept_count += len(followed)

    def _let_replace(self, followed: Followed, claim_id: str, makers: Iterable[str]) -> None:
        for maker in sorted(makers):
            record = self.find("claim", maker)
            links = read_links(record.state) if record is not None and self._is_live(record) else ()
            followed.replace(claim_id, maker, replaces_since(links, claim_id))

    def _is_live(self, claim: Record) -> bool:
        """Say whether a claim is in force: itself, its source and its question."""
        return claim.is_asserted and all(self._is_in_force(*parent) for parent in parents(claim.state))

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
        """Say whether a question has claims, retracted or not."""
        followed, fresh = self._followed.get(question), self._fresh.get(question, {})
        if followed is not None:
            return followed.claim_count > 0
        if any(not record.is_redacted for record in fresh.values()):
            return True
        asked = self.find("question", question)
        rows = self._access.rows(_ANSWERED, (asked.first_position, len(fresh) + 1)) if asked is not None else []
        return any(public_id not in fresh for (public_id,) in rows)

    def put(self, before: Record | None, after: Record) -> bool:
        """Let the record stand as it now is. Says whether agreement on the question it is or answers may have changed."""
        self._records[after.kind, after.id] = after
        if after.kind == "question" and before is None:
            self._states[after.id] = None
            self._follow(after, {}, {})
        # Of a redacted claim perhaps nothing is left that tells what it answered: then it is on no question.
        if after.kind == "claim" and "question" in after.state:
            return self._put_claim(before, after)
        return True

    def _put_claim(self, before: Record | None, after: Record) -> bool:
        old = None if before is None or before.is_redacted else before
        new = None if after.is_redacted else after
        if old is not None and new is not None and all(old.state[field] == new.state[field] for field in WEIGHED):
            return False
        if old is None and new is None:
            return False
        question = after.state["question"]
        self._fresh.setdefault(question, {})[after.id] = after
        followed, may_differ = self._use(question), True
        if followed is not None:
            standings = _standing(old) if old is not None else None, _standing(new) if new is not None else None
            may_differ = followed.put(*standings)
            self._kept_count += 1
            if before is not None and old is None and new is not None:
                may_differ |= self._link_back(followed, new)
        for target in dict.fromkeys(
            link["claim"] for each in (old, new) if each is not None for link in each.state["links"]
        ):
            self._link(after, target)
        return may_differ

    def _link_back(self, followed: Followed, claim: Record) -> bool:
        """Let others say of a claim what they said while its revision was redacted, and its question not known."""
        makers = self.naming("claim", "link", [claim.id])
        if makers:
            followed.set_apart(_standing(claim))
            self._let_replace(followed, claim.id, makers)
        return bool(makers)

    def _link(self, maker: Record, target: str) -> None:
        """Let a claim say of another what it now says, where that one's question is followed."""
        self._linking.setdefault(target, set()).add(maker.id)
        linked = self.find("claim", target)
        if linked is None or linked.is_redacted:
            return
        followed = self._use(linked.state["question"])
        if followed is not None:
            followed.set_apart(_standing(linked))
            self._let_replace(followed, target, [maker.id])
            self._kept_count += 1

    def _use(self, question: str) -> Followed | None:
        """Give a question that is followed, and let it be the last to be forgotten."""
        followed = self._followed.pop(question, None)
        if followed is not None:
            self._followed[question] = followed
        return followed

    def _know(self, question: Record) -> Followed:
        if question.id not in self._followed:
            self._read_claims([question])
        return self._followed[question.id]

    def links_from(self, question: Record) -> list[str]:
        """Give the claims that those on a question link to."""
        return [link.claim for _, link in self._know(question).links()]

    def questions_reached(self, sources: Sequence[str]) -> set[str]:
        """Give the questions of claims that came from any of the sources or by them, and of those that these link to."""
        self._flush()
        return {
            row[0]
            for each in (_ASKED, _LINKED)
            for those in (_TAKEN, _REACHED)
            for row in self._rows_of(each.format(*those), sources)
        }

    def questions_answered_by(self, entities: Sequence[str]) -> set[str]:
        """Give the questions of claims whose answers name any of the entities."""
        self._flush()
        return {row[0] for row in self._rows_of(_ASKED.format(*_NAMED), entities)}

    def naming(self, kind: str, field: str, ids: Iterable[str]) -> set[str]:
        """Give the ids of records that now name one of these in a field, in a statement for many."""
        self._flush()
        sql = (
            "SELECT r.id FROM term t CROSS JOIN record r WHERE r.first_position = t.first_position AND t.field = ?"
            f" AND t.until = {FOREVER} AND t.value IN ("
        )
        return {row[0] for row in self._rows_of(sql, list(ids), f"{kind}.{field}")}

    def below(self, kind: str, field: str, top: str) -> list[str]:
        """Give a record's id and those of all that lead up to it by a relation."""
        found, level = {top}, {top}
        while level:
            level = self.naming(kind, field, level) - found
            found |= level
            self.effort.claims += len(level)
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

    def fold(self, question: Record, *, is_anew: bool) -> str | None:
        """Give the state of agreement on a question; a redacted one has none.

        `is_anew` where something around its claims may have changed: their source, what entities are part of, the
        question itself, or whether claims that link to them are in force.
        """
        if question.is_redacted:
            return None
        followed = self._use(question.id)
        if followed is None:
            followed = self._know(question)
            self.effort.claims += followed.claim_count if is_anew else 0
        elif is_anew:
            followed.begin(**_weighed(question))
            for claim_id, makers in followed.makers().items():
                self._let_replace(followed, claim_id, makers)
        if not followed.is_counted:
            self.read_records(("source", source) for source in followed.sources())
        return followed.state

    def _is_in_force(self, kind: str, public_id: str) -> bool:
        found = self.find(kind, public_id)
        return found is not None and found.is_asserted

    def _surround(self, around: Around, claim: agreement.Claim) -> None:
        surround(around, claim, self._state)

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


class _Weighed(TypedDict):
    """What of a question's own state agreement on it depends on."""

    is_asserted: bool
    varies: bool


def _weighed(question: Record) -> _Weighed:
    return _Weighed(is_asserted=question.is_asserted, varies=bool(question.state.get("varies")))


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
