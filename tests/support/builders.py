"""Builders: whole things with sensible parts, of which a test names only what it is about."""

from dataclasses import dataclass
from itertools import count
from typing import Any

import msgspec

from api.domain.records.operation import read_batch
from api.domain.records.redaction import NewRedaction, redact_command
from api.ledger.storage.database import Database
from api.ledger.writing import keys
from api.ledger.writing.ledger import Ledger
from api.ledger.writing.unit import Outcome, Unit

_numbers = count(1)
Operation = dict[str, Any]


def an_id(prefix: str) -> str:
    return f"{prefix}-{next(_numbers)}"


def an_entity(id: str | None = None, **body: Any) -> Operation:
    return _record("entity", id or an_id("e"), {"type": "platform", "name": "Parler", **body})


def a_source(id: str | None = None, **body: Any) -> Operation:
    return _record("source", id or an_id("s"), {"type": "article", "title": "An article", **body})


def a_question(id: str | None = None, *, about: str, **body: Any) -> Operation:
    return _record("question", id or an_id("q"), {"about": [about], "text": "When?", "answer_type": "time", **body})


def a_claim(id: str | None = None, *, source: str, question: str, **body: Any) -> Operation:
    said = {"statement": "Parler went offline.", "answer": {"type": "time", "edtf": "2021-01-11"}}
    return _record("claim", id or an_id("c"), {**said, "source": source, "question": question, **body})


def revise(kind: str, id: str, *, reason: str = "Read again", expect: int | None = None, **changes: Any) -> Operation:
    return _act("revise", kind, id, reason, expect, changes=changes)


def retract(kind: str, id: str, *, reason: str = "Not in the source", expect: int | None = None) -> Operation:
    return _act("retract", kind, id, reason, expect)


def restore(kind: str, id: str, *, reason: str = "It was there", expect: int | None = None, **more: Any) -> Operation:
    return _act("restore", kind, id, reason, expect, **more)


def link(id: str, relation: str, claim: str, *, reason: str = "Same words", expect: int | None = None) -> Operation:
    return _act("link", "claim", id, reason, expect, relation=relation, claim=claim)


def unlink(id: str, relation: str, claim: str, *, reason: str = "Not so", expect: int | None = None) -> Operation:
    return _act("unlink", "claim", id, reason, expect, relation=relation, claim=claim)


def _record(kind: str, id: str, body: dict[str, Any]) -> Operation:
    return {"op": "record", "kind": kind, "id": id, "body": body}


def _act(op: str, kind: str, id: str, reason: str, expect: int | None, **more: Any) -> Operation:
    return {"op": op, "kind": kind, "id": id, "reason": reason, "expect": expect, **more}


def ground() -> list[Operation]:
    """An entity `parler`, a source `paper`, and a question `offline-when`: what most claims stand on."""
    return [an_entity("parler"), a_source("paper"), a_question("offline-when", about="parler")]


@dataclass
class Writing:
    """Appends operations and waits: each list is one batch."""

    database: Database
    ledger: Ledger

    def __post_init__(self) -> None:
        self.actor = keys.actor_named(self.database.access(), "tests")

    def append(self, *operations: Operation) -> Outcome:
        return self.ledger.append(self.unit(*operations)).result(60)

    def unit(self, *operations: Operation, is_dry_run: bool = False) -> Unit:
        commands = read_batch(msgspec.json.encode(operations), is_lines=False, most=5000)
        return Unit(commands=commands, actor=self.actor, is_batch=True, is_dry_run=is_dry_run)

    def redact(self, kind: str, id: str, *, is_dry_run: bool = False, **more: Any) -> Outcome:
        """Redact a record, or a range of its revisions."""
        body = {"kind": kind, "id": id, "basis": "court-order", "reason": "Order 12/3", **more}
        command = redact_command(msgspec.convert(body, NewRedaction))
        return self.ledger.append(Unit(commands=[command], actor=self.actor, is_dry_run=is_dry_run)).result(60)
