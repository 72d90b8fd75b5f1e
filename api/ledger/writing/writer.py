"""One transaction's worth of appending: judge in order, take the head's lock, write the log and its projections.

Here an accepted command becomes an event of the log, to the byte (CONTRIBUTING). Who asks, and when, is not known here.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from uuid_utils import uuid7

from api.domain import errors
from api.domain.computed import RULES
from api.domain.log.event import leaf_hash
from api.domain.log.merkle import Frontier
from api.domain.records.command import Command, RecordIt, Redact
from api.domain.records.decide import Circumstances, Decision, decide
from api.domain.records.record import LEDGER, State
from api.domain.records.redaction import state_of
from api.domain.records.rules import MOST_WEIGHED
from api.ledger.projecting.projection import PROJECTED, Projector, render
from api.ledger.storage.access import Access, begin_at_head, lock_head
from api.ledger.storage.reads import Row
from api.ledger.storage.upkeep import Traces
from api.ledger.writing import redacting
from api.ledger.writing.change import Change, Slot, change, event_row, salts
from api.ledger.writing.draft import Draft, read_ahead
from api.ledger.writing.receipts import Receipts
from api.ledger.writing.unit import NewRevision, Outcome, Unit

_TOO_MUCH = f"a batch has agreement weighed anew for at most {MOST_WEIGHED:,} claims, by what changes around them"
_EVENT = "position, entry, leaf_hash, type, kind, record, revision, recorded_at, actor"
_MOVE_HEAD = "UPDATE head SET position = ?, recorded_at = ?, frontier = ? WHERE one = 1"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a transaction was about to commit: the last position it takes, the leaf there, and what to answer."""

    position: int
    leaf: bytes
    outcomes: list[Outcome | errors.LedgerError]


class Writer:
    """Judges, takes the lock, writes, one transaction after another. Not for two threads at once.

    What is accepted is pending, as plain data, until it is written out: events here, their rows in the projector, receipts
    beside them. It is written out where this class says so, and only while the head's lock is held.
    """

    def __init__(self, access: Access, clock: Callable[[], int]) -> None:
        self._access, self._clock = access, clock
        self.projector, self._receipts = Projector(access), Receipts(access, clock)
        # The head's position as this writer left it, and whether nobody else had moved it when it was last locked.
        self._known, self._is_alone = -1, False
        # Where the log will end with what is pending, and the tree and the leaf there without it.
        self._position = self._recorded_at = 0
        self._frontier, self._leaf = Frontier(), b""
        self._pending: list[Change] = []
        self.sealed: Sealed | None = None

    def write(
        self,
        units: Sequence[Unit],
        meanwhile: Callable[[], None] = lambda: None,
        late: Callable[[], Sequence[Unit]] = tuple,
    ) -> list[Outcome | errors.LedgerError]:
        """Judge units in order, and ask for the commit of what was accepted: `settle` waits for it.

        While nobody else appends, units are judged before the lock is taken, as the last commit is under way; `late`
        gives those that came since, once the lock is there. `meanwhile` is called once that is durable, and nothing is
        left to do here but wait. Raises a driver error if the database refuses this commit or the last one. After an
        error `sealed` tells whether a commit had been asked for: its answer may be lost, and not the commit.
        """
        self.sealed = None
        try:
            early = self._judge_all(units) if self._is_alone and self._can_be_judged_early(units) else None
            # From here to the commit nobody else appends: positions are given out and committed in one order, so that no
            # reader skips any. A refusal too may rest on what was remembered, and is given only if that still holds.
            self._take_lock()
            outcomes = early if early is not None and self._is_alone else self._judge_all(units)
            outcomes += self._judge_all(late())
            if self._position != self._known:
                self._close()
                self.sealed = Sealed(self._position, self._leaf, outcomes)
            self._access.ask_commit(meanwhile)
        except BaseException:
            self._fail()
            raise
        self._known = self._position
        self._forget_some(outcomes)
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
            own = self.projector.records.find(LEDGER, LEDGER)
            if own is None:
                raise errors.Unavailable("the database holds no ledger yet")
            position, moment = self._position + 1, max(self._clock(), self._recorded_at + 1)
            decision = Decision("revised", amend(own.state, position))
            command = Command(kind=LEDGER, id=LEDGER, reason=reason)
            slot = Slot(position, moment, next(salts(1)))
            self.write_now(change(own, command, decision, slot, actor=None, batch=None))
        return position

    def write_now(self, change: Change) -> None:
        """Write an event of the ledger's own record, inside a transaction of whoever holds the head's lock."""
        self._accept([change])
        self._close()

    def close(self) -> None:
        self._access.close()

    def _can_be_judged_early(self, units: Sequence[Unit]) -> bool:
        """Say whether judging units writes nothing: a probe does, a redaction, and more than is written out at once."""
        count = sum(len(unit.commands) for unit in units)
        are_silent = all(unit.commands and not _redacts(unit) for unit in units)
        return are_silent and count <= self._access.held_at_most

    def _take_lock(self) -> None:
        """Begin a transaction with the head's lock."""
        self._learn(begin_at_head(self._access))

    def _learn(self, head: Row) -> None:
        """Look at the head, now locked; where somebody else moved it, forget what was remembered, and judged on that."""
        position, recorded_at, frontier, *versions = head
        if versions != [RULES, PROJECTED]:
            raise errors.Unavailable(
                "the projections are of another version than this node writes: upgrade, or start it anew"
            )
        if position < self._known:
            raise errors.LogDamaged(f"the head went back from position {self._known} to {position}")
        self._frontier = Frontier.from_bytes(bytes(frontier))
        self._is_alone = position == self._known
        if not self._is_alone:
            self._forget()
            self._known = self._position = position
            self._recorded_at = recorded_at

    def _fail(self) -> None:
        """Leave nothing of the transaction."""
        self._access.roll_back()
        self._known, self._is_alone = -1, False
        self._forget()

    def _forget(self) -> None:
        """Drop what is pending, and all that was remembered."""
        self._pending.clear()
        self._receipts.forget()
        self.projector.forget()

    def _forget_some(self, outcomes: Sequence[Outcome | errors.LedgerError]) -> None:
        """Keep within what is to be remembered. Nothing is pending."""
        done = [item for outcome in outcomes if isinstance(outcome, Outcome) for item in outcome.items]
        self.projector.records.forget_claims(item.id for item in done if item.kind == "claim" and item.revision == 1)
        self.projector.forget_if_much()

    def _judge_all(self, units: Sequence[Unit]) -> list[Outcome | errors.LedgerError]:
        commands = [command for unit in units for command in unit.commands]
        read_ahead(commands, self.projector.records, self.projector.questions)
        return [self._judge(unit) for unit in units]

    def _judge(self, unit: Unit) -> Outcome | errors.LedgerError:
        """Refuse a unit, or accept all of it: what it makes is pending then, unless it is only tried."""
        if not unit.commands:
            self._receipts.probe()
            return Outcome((), self._position)
        note = None if unit.is_dry_run else unit.note
        try:
            answered = self._receipts.answered(note) if note is not None else None
            if answered is not None:
                return answered
            if _redacts(unit):
                # What a redaction covers, and who still names that, is asked of the tables.
                self._write_out()
            changes = self._decide(unit)
        except errors.LedgerError as refusal:
            return refusal
        items = tuple(_made_by(change) for change in changes)
        outcome = Outcome(items, items[-1].position)
        if unit.is_dry_run:
            return replace(outcome, document=render(changes[-1].after, changes[-1].fact))
        document = self._accept(changes)
        traces = self._remove(unit.commands[0], changes[0])
        if note is not None:
            self._receipts.keep(note, outcome)
        return replace(outcome, document=document, traces=traces)

    def _decide(self, unit: Unit) -> list[Change]:
        """Judge each command against what the earlier ones leave. Raises the first refusal, naming the operation."""
        draft = Draft(self._access, self.projector.records, self.projector.questions)
        changes = list[Change]()
        batch = (self._position + 1, self._position + len(unit.commands)) if unit.is_batch else None
        moment = max(self._clock(), self._recorded_at + 1)
        for index, (command, salt) in enumerate(zip(unit.commands, salts(len(unit.commands)), strict=True)):
            slot = Slot(self._position + 1 + index, moment + index, salt)
            try:
                made = self._change(command, draft, unit, batch, slot)
            except errors.LedgerError as refusal:
                refusal.operation = index if unit.is_batch else None
                raise
            draft.put(made.after)
            changes.append(made)
        return changes

    def _change(self, command: Command, draft: Draft, unit: Unit, batch: tuple[int, int] | None, slot: Slot) -> Change:
        if isinstance(command, Redact):
            return self._redaction(command, unit, slot)
        current = draft.find(command.kind, command.id) if command.id is not None else None
        circumstances = Circumstances(
            position=slot.position,
            look=draft,
            minted_id=str(uuid7()) if isinstance(command, RecordIt) and command.id is None else "",
            in_batch=unit.is_batch,
            touched_before=command.id is not None and draft.touches(command.kind, command.id),
        )
        decision = decide(current, command, circumstances)
        return change(current, command, decision, slot, actor=unit.actor, batch=batch)

    def _redaction(self, command: Redact, unit: Unit, slot: Slot) -> Change:
        """Make the event that a redaction is: a record of its own, of one revision."""
        target = self.projector.records.find(command.target_kind, command.target)
        redacts, covers = redacting.cover(self._access, target, command)
        made = Decision("redacted", state_of(command, str(uuid7())), redacts, command.basis)
        return change(None, command, made, slot, actor=unit.actor, batch=None, covers=covers)

    def _remove(self, command: Command, made: Change) -> Traces | None:
        """Let a redaction's effect follow its event, in the same transaction."""
        redacts = made.fact.entry.redacts
        if not isinstance(command, Redact) or redacts is None:
            return None
        target = self.projector.records.find(command.target_kind, command.target)
        if target is None:
            return None
        self._write_out()
        traces = redacting.remove(self._access, command, redacts, target)
        self.projector.forget()
        return traces

    def _accept(self, changes: Sequence[Change]) -> bytes:
        """Give the events their places: they are pending, and so are the rows they make. Returns the last representation.

        Raises BeyondLimit, and then the transaction is to be rolled back, where those after the first have too much
        weighed anew.
        """
        document, effort = b"", self.projector.questions.effort
        effort.claims = 0
        is_long = len(changes) > self._access.held_at_most
        with self._access.aside() if is_long else nullcontext():
            for index, each in enumerate(changes):
                if self.projector.is_full:
                    self._write_out()
                self._pending.append(each)
                document = self.projector.project(each.before, each.after, each.fact)
                if effort.claims > MOST_WEIGHED and index > 0:
                    refusal = errors.BeyondLimit(_TOO_MUCH)
                    refusal.operation = index
                    raise refusal
        if changes:
            self._position = changes[-1].after.position
            self._recorded_at = changes[-1].after.revised_at
        return document

    def _close(self) -> None:
        """Write out all that is pending, and move the head."""
        self._receipts.write_out()
        with self._access.together():
            self._write_rows()
            self._access.run(_MOVE_HEAD, (self._position, self._recorded_at, self._frontier.to_bytes()))
            self._access.announce()

    def _write_out(self) -> None:
        """Write out all that is pending: because statements are to see it, or because it is much."""
        self._receipts.write_out()
        self._write_rows()

    def _write_rows(self) -> None:
        with self._access.together():
            self._write_events()
            self.projector.write_out()

    def _write_events(self) -> None:
        """Write the log's rows: events, payloads, and the nodes by which the tree grows."""
        if not self._pending:
            return
        leaves = [leaf_hash(each.fact.raw) for each in self._pending]
        self._leaf = leaves[-1]
        self._frontier, nodes = self._frontier.append(leaves)
        events = [event_row(each, leaf) for each, leaf in zip(self._pending, leaves, strict=True)]
        payloads = [(each.after.position, each.salt, each.fact.payload) for each in self._pending]
        self._access.insert("event", _EVENT, events)
        self._access.insert("payload", "position, salt, payload", payloads)
        self._access.insert("node", "level, number, hash", nodes)
        self._pending.clear()


def is_durable(access: Access, sealed: Sealed) -> bool:
    """Say whether a commit took place. Waits for the head, which a server still at it holds until it is done."""
    with access.transaction():
        lock_head(access)
        row = access.row("SELECT leaf_hash FROM event WHERE position = ?", (sealed.position,))
    # Salts are random, so nobody else's event has this leaf.
    return row is not None and bytes(row[0]) == sealed.leaf


def _redacts(unit: Unit) -> bool:
    """Say whether a unit is a redaction: that is the one command of its unit."""
    return isinstance(unit.commands[0], Redact)


def _made_by(change: Change) -> NewRevision:
    return NewRevision(change.after.kind, change.after.id, change.after.revision, change.after.position)
