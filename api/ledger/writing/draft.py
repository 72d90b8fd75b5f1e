"""A unit being judged: what its own earlier commands made, over what the writer knows. Nothing here is written.

It is what `decide` may look at. What commands will ask of it is read ahead, in a few statements for many.
"""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Never, TypeGuard

from api.domain import errors
from api.domain.records.command import Command, Link, RecordIt, Revise, Unlink
from api.domain.records.record import Record, State
from api.ledger.projecting.known_questions import KnownQuestions, parents
from api.ledger.projecting.known_records import KnownRecords
from api.ledger.projecting.overlay import Overlay
from api.ledger.projecting.weighed import WEIGHED
from api.ledger.reading import removal
from api.ledger.storage.reads import Reads


class Draft:
    """What a unit would leave so far: a `Look`."""

    def __init__(self, access: Reads, records: KnownRecords, questions: KnownQuestions) -> None:
        self._access, self._records, self._questions = access, records, questions
        self._made = Overlay()

    def put(self, record: Record) -> None:
        """Let a record stand as a command of the unit makes it."""
        self._made.put(record)

    def touches(self, kind: str, public_id: str) -> bool:
        """Say whether a command of the unit made or changed a record."""
        return self._made.find(kind, public_id) is not None

    def find(self, kind: str, public_id: str) -> Record | None:
        return self._made.find(kind, public_id) or self._records.find(kind, public_id)

    def refuse_redacted(self, record: Record) -> Never:
        mark = removal.mark_at(self._access, record.position)
        raise errors.Redacted(mark.position, mark.basis)

    def naming(self, kind: str, field: str, ids: AbstractSet[str]) -> set[str]:
        return self._made.naming(kind, field, ids, self._records.naming(kind, field, ids))

    def is_answered(self, question: str) -> bool:
        return bool(self._made.claims_on(question)) or self._questions.is_answered(question)

    def state_at(self, record: Record, revision: int) -> State | None:
        return self._made.state_at(record, revision) or self._records.state_at(record, revision)


def read_ahead(commands: Sequence[Command], records: KnownRecords, questions: KnownQuestions) -> None:
    """Read what commands will ask for in a few statements, before each asks for its own."""
    records.read(_mentioned(commands))
    changed = [
        (command, found)
        for command in commands
        if command.kind == "claim" and command.id is not None and (found := records.find("claim", command.id))
    ]
    claims = [(command, claim) for command, claim in changed if not claim.is_redacted]
    records.read(reference for _, claim in claims for reference in parents(claim.state))
    answered = {command.body["question"] for command in commands if _records_a_claim(command)}
    questions.read(answered | {claim.state["question"] for command, claim in claims if _may_weigh(command)})


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


def _may_weigh(command: Command) -> bool:
    """Say whether agreement may depend on what a command changes in a claim."""
    return not WEIGHED.isdisjoint(command.changes) if isinstance(command, Revise) else True
