"""Records in every state that a ledger knows, made over HTTP before anything is asked: what answers beyond 200 need.

Each kind has a record that is live, one retracted, one wholly redacted, one of which a revision is, and one erased with
its id. They stand on the live ones alone, so that nothing names what goes. Beside them: a batch
whose record has moved on, and entities that may be redacted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import httpx

from tests.support.builders import Operation, a_claim, a_question, a_source, an_entity, retract, revise

KINDS = {"entity": "entities", "source": "sources", "question": "questions", "claim": "claims"}
STATES = ("live", "retracted", "gone", "part", "erased")
SPARE = 100
BODIES = {
    "revertBatch": {"reason": "By mistake"},
    "recordEntity": {"type": "other", "name": "X"},
    "recordSource": {"type": "wire", "title": "X"},
    "recordQuestion": {"about": ["live-entity"], "text": "When?", "answer_type": "time"},
    "recordClaim": {
        "source": "live-source",
        "question": "live-question",
        "statement": "X",
        "answer": {"type": "time", "edtf": "2021"},
    },
}
_numbers, _spares = count(1), count(1)


@dataclass(frozen=True, slots=True)
class World:
    """What was made: keys, and what stands where."""

    address: str
    key: str
    narrow: str
    actor: str
    redaction: str
    moved: int

    def client(self) -> httpx.Client:
        """Give a client that may write and redact."""
        return _client(self.address, self.key)


def made(address: str, key: str, narrow: str) -> World:
    """Make it all with a key that may write and redact; `narrow` is one that may do neither."""
    with _client(address, key) as client:
        append(client, [operation for state in STATES for operation in _records(state)])
        append(client, [_again(kind, state) for state in STATES for kind in KINDS])
        append(client, [retract(kind, f"retracted-{kind}", expect=2) for kind in KINDS])
        for kind in KINDS:
            redact(client, kind, f"gone-{kind}")
            redact(client, kind, f"part-{kind}", first=1, last=1)
            redact(client, kind, f"erased-{kind}", erase_id=True)
        append(client, [an_entity(f"spare-{number}") for number in range(SPARE)])
        moved = append(client, [an_entity("moved-entity")])
        append(client, [revise("entity", "moved-entity", expect=1, note="Moved on")])
        redaction = client.get("/v1/redactions").raise_for_status().json()["items"][0]["id"]
        actor = client.get("/v1/entities/live-entity").json()["recorded_by"]
    return World(address, key, narrow, actor, redaction, moved)


def append(client: httpx.Client, operations: list[Operation]) -> int:
    """Append a batch and give its first position."""
    return client.post("/v1/batch", json=operations).raise_for_status().json()["items"][0]["position"]


def redact(client: httpx.Client, kind: str, id: str, **more: object) -> None:
    asked = {"kind": kind, "id": id, "basis": "error", "reason": "Made for a test", **more}
    client.post("/v1/redactions", json=asked).raise_for_status()


def body_of(operation: str, prefix: str = "made") -> object:
    """Give a body that an operation takes, whatever was sent before; None for one that takes none."""
    if operation == "redact":
        return {"kind": "entity", "id": f"spare-{next(_spares) % SPARE}", "basis": "error", "reason": "X"}
    if operation == "appendBatch":
        return [an_entity(fresh(prefix))]
    if operation.startswith("revise"):
        return {"action": "revise", "reason": "Read again", "changes": {"note": fresh("note")}}
    return BODIES.get(operation)


def fresh(prefix: str) -> str:
    """Give an id that was not given before."""
    return f"{prefix}-{next(_numbers)}"


def _records(state: str) -> Iterator[Operation]:
    yield an_entity(f"{state}-entity")
    yield a_source(f"{state}-source")
    yield a_question(f"{state}-question", about="live-entity")
    yield a_claim(f"{state}-claim", source="live-source", question="live-question")


def _again(kind: str, state: str) -> Operation:
    return revise(kind, f"{state}-{kind}", expect=1, note="Read again")


def _client(address: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=60, verify=False)
