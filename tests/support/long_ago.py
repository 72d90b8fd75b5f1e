"""Records of a time when there were no limits: written to the log without asking `decide`, or the contract."""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from api.domain.log.event import encode, payload_digest
from api.domain.records.command import RecordIt
from api.domain.records.decide import Decision
from api.domain.records.operation import read_batch
from api.domain.records.record import State
from api.domain.records.upcasting import MISSING
from api.domain.text import canonical
from api.ledger.storage.clock import now
from api.ledger.writing.change import Change, Slot, change, salts
from api.ledger.writing.writer import Writer
from tests.support.builders import Operation, Writing


class _Lenient(Writer):
    """Accepts what it is given."""

    def record(self, operations: Iterable[Operation], actor: str, said: Mapping[str, State]) -> None:
        commands = read_batch(msgspec.json.encode(list(operations)), is_lines=False, most=10_000)
        self._take_lock()
        for command in commands:
            assert isinstance(command, RecordIt)
            body = {**command.body, **said.get(command.id or "", {})}
            state: State = {**body, "id": command.id, "status": "asserted", "links": []}
            slot = Slot(self._position + 1, max(now(), self._recorded_at + 1), next(salts(1)))
            made = change(None, command, Decision("recorded", state), slot, actor=actor, batch=None)
            self._accept([_as_it_was(made, MISSING[command.kind]) if command.kind in MISSING else made])
        self._close()
        self._access.ask_commit()
        self._access.settle()


def _as_it_was(made: Change, missing: State) -> Change:
    """Take from a payload what its first version lacked: what is known of the record is read from there."""
    state = {name: value for name, value in made.after.state.items() if name not in missing}
    said = canonical({"reason": made.fact.reason, "state": state})
    entry = replace(made.fact.entry, schema=1, payload_digest=payload_digest(made.salt, said))
    fact = replace(made.fact, entry=entry, raw=encode(entry), payload=said)
    return replace(made, fact=fact)


def recorded_long_ago(writing: Writing, *operations: Operation, said: Mapping[str, State] | None = None) -> None:
    """Record what the contract allows; `said`, by id, what a body held that it did not forbid yet."""
    writer = _Lenient(writing.database.connect(), now)
    try:
        writer.record(operations, writing.actor, said or {})
    finally:
        writer.close()
