"""One transaction's worth of appending: take the head's lock, decide in order, write the log and its projections.

Here an accepted command becomes an event, to the byte of DESIGN section 6. Who asks, and when, is not known here.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Never

import msgspec
from uuid_utils import uuid7

from api.domain import errors
from api.domain.log.event import leaf_hash
from api.domain.log.merkle import Frontier
from api.domain.records.command import Command, RecordIt, Redact
from api.domain.records.decide import Circumstances, Decision, decide
from api.domain.records.kinds import CHAINS, values_of
from api.domain.records.record import LEDGER, Record, State
from api.domain.records.redaction import state_of
from api.domain.records.rules import MOST_WEIGHED
from api.ledger.projecting.present import Present
from api.ledger.projecting.projection import Projector
from api.ledger.storage.access import Access, begin_at_head, lock_head
from api.ledger.storage.reads import Row
from api.ledger.storage.upkeep import Traces
from api.ledger.writing import redacting
from api.ledger.writing.change import Change, Slot, change, event_row, salts

_SECOND = 1_000_000
RECEIPT_LIFE = 7 * 24 * 3600 * _SECOND
FOR_EVER = 2**62
_TOO_MUCH = f"a batch has agreement weighed anew for at most {MOST_WEIGHED:,} claims, by what changes around them"
# No digest is as short.
_PROBED = b"probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """An idempotency note: digests of the key, and of the key with the request (draft-ietf-httpapi-idempotency-key).

    `life` is in microseconds; None is for ever.
    """

    key_digest: bytes
    request_digest: bytes
    life: int | None = RECEIPT_LIFE


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is accepted or refused as one: the commands of one request, by one actor."""

    commands: Sequence[Command]
    actor: str
    note: Note | None = None
    is_batch: bool = False
    is_dry_run: bool = False


# A unit that asks for nothing: what an append writes is written for it in the smallest, and taken back.
PROBE = Unit(commands=(), actor="")


class Written(msgspec.Struct, frozen=True):
    """One event of a unit: which revision of which record it made."""

    kind: str
    id: str
    revision: int
    position: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a unit did. `position` is its last; a replayed one was written by an earlier request with the same key.

    `document` is the last event's representation, where it was rendered just now; `traces` tell what a
    redaction removed just now.
    """

    items: tuple[Written, ...]
    position: int
    is_replay: bool = False
    document: bytes | None = field(default=None, compare=False, repr=False)
    traces: Traces | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True)
class _Draft:
    """A unit being judged: what its own earlier commands made, over what the ledger holds (a `Look`)."""

    present: Present
    access: Access
    records: dict[tuple[str, str], Record] = field(default_factory=dict)
    earlier: dict[tuple[str, str, int], State] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    # Who names whom in the unit, or did before a later command of it.
    naming_here: dict[tuple[str, str, str], set[str]] = field(default_factory=dict)

    def find(self, kind: str, public_id: str) -> Record | None:
        return self.records.get((kind, public_id)) or self.present.find(kind, public_id)

    def refuse_redacted(self, record: Record) -> Never:
        mark = redacting.mark_at(self.access, record.position)
        raise errors.Redacted(mark.position, mark.basis)

    def naming(self, kind: str, field: str, ids: AbstractSet[str]) -> set[str]:
        """Give the ids of those that name one of some records: as the unit leaves them where it changed them."""
        elsewhere = {name for name in self.present.naming(kind, field, ids) if (kind, name) not in self.records}
        return elsewhere | {
            name
            for target in ids
            for name in self.naming_here.get((kind, field, target), ())
            if target in values_of(self.records[kind, name].state, field)
        }

    def is_answered(self, question: str) -> bool:
        return question in self.answered or self.present.is_answered(question)

    def state_at(self, record: Record, revision: int) -> State | None:
        return self.earlier.get((record.kind, record.id, revision)) or self.present.state_at(record, revision)

    def put(self, record: Record) -> None:
        self.records[record.kind, record.id] = record
        self.earlier[record.kind, record.id, record.revision] = record.state
        if record.kind == "claim":
            self.answered.add(record.state["question"])
        for name in CHAINS.get(record.kind, ()):
            for target in values_of(record.state, name):
                self.naming_here.setdefault((record.kind, name, target), set()).add(record.id)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a transaction was about to commit: the last position it takes, the leaf there, and what to answer."""

    position: int
    leaf: bytes
    outcomes: list[Outcome | errors.LedgerError]


class _OvertakenError(Exception):
    """Somebody else appended since this writer last did: what it remembers, and decided on that, does not hold."""


class Writer:
    """Decides, takes the lock, writes, one transaction after another. Not for two threads at once."""

    def __init__(self, access: Access, clock: Callable[[], int]) -> None:
        self._access, self._clock = access, clock
        self.projector = Projector(access, self._write_log)
        # The head as this writer left it, and whether nobody else had moved it when this writer last looked.
        self._known, self._is_alone = -1, False
        self._is_holding = False
        self._position = self._recorded_at = 0
        self._frontier = Frontier()
        self._leaf = b""
        self._held: list[Change] = []
        self.sealed: Sealed | None = None

    def write(
        self,
        units: Sequence[Unit],
        meanwhile: Callable[[], None] = lambda: None,
        late: Callable[[], Sequence[Unit]] = tuple,
    ) -> list[Outcome | errors.LedgerError]:
        """Decide units in order, and ask for the commit of what was accepted: `settle` waits for it.

        While nobody else appends, units are decided before the lock is taken, as the last commit is under way; `late`
        gives those that came since, once the lock is there. `meanwhile` is called once that is durable, and nothing is
        left to do here but wait. Raises a driver error if the database refuses this commit or the last one. After an
        error `sealed` tells whether a commit had been asked for: its answer may be lost, and not the commit.
        """
        self.sealed = None
        try:
            if not self._is_alone:
                self._hold()
            try:
                outcomes = self._judge_all(units)
            except _OvertakenError:
                outcomes = self._judge_all(units)
            outcomes += self._judge_all(late())
            if self._position != self._known:
                self._close()
                self.sealed = Sealed(self._position, self._leaf, outcomes)
            self._access.ask_commit(meanwhile)
        except BaseException:
            self._fail()
            raise
        self._is_holding, self._known = False, self._position
        done = [item for outcome in outcomes if isinstance(outcome, Outcome) for item in outcome.items]
        self.projector.present.forget_claims(item.id for item in done if item.kind == "claim" and item.revision == 1)
        self.projector.present.forget_if_large()
        return outcomes

    def settle(self) -> None:
        """Wait until what was written last is durable. Raises a driver error if the database refused it."""
        try:
            self._access.settle()
        except BaseException:
            self._fail()
            raise
        # Nobody asks any more what became of it, and a redaction's outcome tells what was removed.
        self.sealed = None

    def amend_ledger(self, amend: Callable[[State, int], State], reason: str) -> int:
        """Append a revision of the ledger's own record, made of its state and the position it takes. Returns that."""
        with self._access.transaction():
            self._learn(lock_head(self._access))
            own = self.projector.present.find(LEDGER, LEDGER)
            if own is None:
                raise errors.Unavailable("the database holds no ledger yet")
            position, moment = self._position + 1, max(self._clock(), self._recorded_at + 1)
            decision = Decision("revised", amend(own.state, position))
            command = Command(kind=LEDGER, id=LEDGER, reason=reason)
            slot = Slot(position, moment, next(salts(1)))
            self.write_now(change(own, command, decision, slot, actor=None, batch=None))
        return position

    def write_now(self, change: Change) -> None:
        """Write an event of the ledger's own record, inside the transaction that is under way."""
        self._is_holding = True
        self.accept([change])
        self._close()
        self._is_holding = False

    def close(self) -> None:
        self._access.close()

    def _hold(self) -> None:
        """Take the head's lock: positions are given out and committed in one order, so no reader skips any."""
        if self._is_holding:
            return
        was_alone = self._is_alone
        self._learn(begin_at_head(self._access))
        self._is_holding = True
        if was_alone and not self._is_alone:
            raise _OvertakenError

    def _learn(self, head: Row) -> None:
        """Look at the head, now locked; where somebody else moved it, forget what was remembered, and decided on that."""
        position, recorded_at, frontier, *_ = head
        if position < self._known:
            raise errors.LogDamaged(f"the head went back from position {self._known} to {position}")
        self._frontier = Frontier.from_bytes(bytes(frontier))
        self._is_alone = position == self._known
        if not self._is_alone:
            self._held.clear()
            self.projector.forget()
            self._known = self._position = position
            self._recorded_at = recorded_at

    def _fail(self) -> None:
        """Leave nothing of the transaction, and remember nothing."""
        self._access.roll_back()
        self._known, self._is_alone, self._is_holding = -1, False, False
        self._held.clear()

    def _close(self) -> None:
        """Write all that is held back, and the head."""
        sql = "UPDATE head SET position = ?, recorded_at = ?, frontier = ? WHERE one = 1"
        with self._access.together():
            self.projector.flush()
            self._access.run(sql, (self._position, self._recorded_at, self._frontier.to_bytes()))

    def _judge_all(self, units: Sequence[Unit]) -> list[Outcome | errors.LedgerError]:
        self.projector.present.look_ahead(command for unit in units for command in unit.commands)
        outcomes = [self._judge(unit) for unit in units]
        # A refusal too may rest on what was remembered, and is given only if that still holds.
        self._hold()
        return outcomes

    def _judge(self, unit: Unit) -> Outcome | errors.LedgerError:
        if not unit.commands:
            return self._probe()
        try:
            replayed = self._replay(unit)
            if replayed is not None:
                return replayed
            changes = self._decide(unit)
        except errors.LedgerError as refusal:
            return refusal
        document = traces = None
        if not unit.is_dry_run:
            document = self.accept(changes)
            traces = self._remove(unit.commands[0], changes[0])
            self._keep_note(unit, changes)
        items = tuple(_written(change) for change in changes)
        return Outcome(items, items[-1].position, document=document, traces=traces)

    def _probe(self) -> Outcome:
        """Write a row and take it back, in the turn that an append would have. SQLite writes no row that stays the same."""
        self._hold()
        sql = "INSERT INTO receipt (key_digest, request_digest, first, last, expires_at) VALUES (?, ?, ?, ?, ?)"
        self._access.run(sql, (_PROBED, _PROBED, 0, 0, 0))
        self._access.run("DELETE FROM receipt WHERE key_digest = ?", (_PROBED,))
        return Outcome((), self._position)

    def _replay(self, unit: Unit) -> Outcome | None:
        if unit.note is None or unit.is_dry_run:
            return None
        sql = "SELECT request_digest, first, last, expires_at FROM receipt WHERE key_digest = ?"
        found = self._access.row(sql, (unit.note.key_digest,))
        if found is None or found[3] <= self._clock():
            return None
        if bytes(found[0]) != unit.note.request_digest:
            raise errors.IdempotencyKeyReused
        self.projector.flush()
        mark = redacting.first_gone(self._access, found[1], found[2])
        if mark is not None:
            raise errors.Redacted(mark.position, mark.basis)
        items = tuple(Written(*row) for row in self._access.rows(_WRITTEN, (found[1], found[2])))
        return Outcome(items, found[2], is_replay=True)

    def _keep_note(self, unit: Unit, changes: Sequence[Change]) -> None:
        if unit.note is None:
            return
        self._hold()
        moment = self._clock()
        self._access.run("DELETE FROM receipt WHERE key_digest = ? OR expires_at <= ?", (unit.note.key_digest, moment))
        first, last = changes[0].after.position, changes[-1].after.position
        row = (
            unit.note.key_digest,
            unit.note.request_digest,
            first,
            last,
            FOR_EVER if unit.note.life is None else moment + unit.note.life,
        )
        sql = "INSERT INTO receipt (key_digest, request_digest, first, last, expires_at) VALUES (?, ?, ?, ?, ?)"
        self._access.run(sql, row)

    def _decide(self, unit: Unit) -> list[Change]:
        """Judge each command against what the earlier ones leave. Raises the first refusal, naming the operation."""
        draft, changes = _Draft(self.projector.present, self._access), list[Change]()
        batch = (self._position + 1, self._position + len(unit.commands)) if unit.is_batch else None
        moment = max(self._clock(), self._recorded_at + 1)
        for index, (command, salt) in enumerate(zip(unit.commands, salts(len(unit.commands)), strict=True)):
            slot = Slot(self._position + 1 + index, moment + index, salt)
            try:
                change = self._change(command, draft, unit, batch, slot)
            except errors.LedgerError as refusal:
                refusal.operation = index if unit.is_batch else None
                raise
            draft.put(change.after)
            changes.append(change)
        return changes

    def _change(self, command: Command, draft: _Draft, unit: Unit, batch: tuple[int, int] | None, slot: Slot) -> Change:
        if isinstance(command, Redact):
            return self._redaction(command, unit, slot)
        current = draft.find(command.kind, command.id) if command.id is not None else None
        circumstances = Circumstances(
            position=slot.position,
            look=draft,
            minted_id=str(uuid7()) if isinstance(command, RecordIt) and command.id is None else "",
            in_batch=unit.is_batch,
            touched_before=(command.kind, command.id) in draft.records,
        )
        decision = decide(current, command, circumstances)
        return change(current, command, decision, slot, actor=unit.actor, batch=batch)

    def _redaction(self, command: Redact, unit: Unit, slot: Slot) -> Change:
        """Make the event that a redaction is: a record of its own, of one revision."""
        target = self.projector.present.find(command.target_kind, command.target)
        # What is asked of the database next must be there.
        self.projector.flush()
        redacts = redacting.cover(self._access, target, command)
        made = Decision("redacted", state_of(command, str(uuid7())), redacts, command.basis)
        return change(None, command, made, slot, actor=unit.actor, batch=None)

    def _remove(self, command: Command, made: Change) -> Traces | None:
        """Let a redaction's effect follow its event, in the same transaction."""
        redacts = made.fact.entry.redacts
        if not isinstance(command, Redact) or redacts is None:
            return None
        target = self.projector.present.find(command.target_kind, command.target)
        if target is None:
            return None
        self.projector.flush()
        traces = redacting.remove(self._access, command, redacts, target)
        self.projector.forget()
        return traces

    def accept(self, changes: Sequence[Change]) -> bytes:
        """Give the events their places: the log's rows are held back, the tree grows, the projections follow.

        Returns the last one's representation. Raises BeyondLimit, and then the transaction is to be rolled back, where
        those after the first have too much weighed anew.
        """
        document, effort = b"", self.projector.present.effort
        effort.claims = 0
        for index, each in enumerate(changes):
            self._held.append(each)
            document = self.projector.project(each.before, each.after, each.fact)
            if effort.claims > MOST_WEIGHED and index > 0:
                refusal = errors.BeyondLimit(_TOO_MUCH)
                refusal.operation = index
                raise refusal
        if changes:
            self._position = changes[-1].after.position
            self._recorded_at = changes[-1].after.revised_at
        return document

    def _write_log(self) -> None:
        if not self._held:
            return
        self._hold()
        leaves = [leaf_hash(change.fact.raw) for change in self._held]
        self._leaf = leaves[-1]
        self._frontier, nodes = self._frontier.append(leaves)
        events = [event_row(change, leaf) for change, leaf in zip(self._held, leaves, strict=True)]
        self._access.insert(
            "event", "position, entry, leaf_hash, type, kind, record, revision, recorded_at, actor", events
        )
        payloads = [(change.after.position, change.salt, change.fact.payload) for change in self._held]
        self._access.insert("payload", "position, salt, payload", payloads)
        self._access.insert("node", "level, number, hash", nodes)
        self._held.clear()


def is_durable(access: Access, sealed: Sealed) -> bool:
    """Say whether a commit took place. Waits for the head, which a server still at it holds until it is done."""
    with access.transaction():
        lock_head(access)
        row = access.row("SELECT leaf_hash FROM event WHERE position = ?", (sealed.position,))
    # Salts are random, so nobody else's event has this leaf.
    return row is not None and bytes(row[0]) == sealed.leaf


_WRITTEN = (
    "SELECT r.kind, r.id, v.revision, v.position FROM revision v JOIN record r ON r.first_position = v.first_position"
    " WHERE v.position BETWEEN ? AND ? ORDER BY v.position"
)


def _written(change: Change) -> Written:
    return Written(change.after.kind, change.after.id, change.after.revision, change.after.position)
