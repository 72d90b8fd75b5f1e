"""Whether a command is accepted, and what it makes of a record. Pure: the ledger asks, and writes what it is told."""

from functools import singledispatch
from operator import itemgetter

import msgspec

from api.domain.errors import (
    Conflict,
    IdForm,
    IdTaken,
    LinkRefused,
    MissingExpect,
    NoChange,
    PreconditionMissing,
    RedactedReference,
    Stale,
    StatusRefused,
    UnknownRecord,
    UnknownReference,
    UnknownRevision,
)
from api.domain.log.event import Basis, Redacts
from api.domain.records.command import Command, Link, RecordIt, Restore, Retract, Revise, Unlink
from api.domain.records.record import ASSERTED, RETRACTED, Look, Record, State
from api.domain.records.rules import check
from api.domain.text import is_uuid_form

MOST_LINKS = 500


class Decision(msgspec.Struct, frozen=True):
    """What an accepted command does: the type of its event, the whole state after it, and what a redaction covers."""

    type: str
    state: State
    redacts: Redacts | None = None
    basis: Basis | None = None


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """Where a command is judged: the position it would take, and what it may look at."""

    position: int
    look: Look
    minted_id: str
    in_batch: bool = False
    touched_before: bool = False


def decide(current: Record | None, command: Command, now: Circumstances) -> Decision:
    """Judge a command against the record as it stands. Raises an Absent, Redacted, PreconditionMissing, Stale or Conflict.

    The order is that of the contract: is it there, on what is it based, is that current, do the rules allow it.
    """
    if isinstance(command, RecordIt):
        return _record(current, command, now)
    if current is None:
        raise UnknownRecord(command.kind)
    if current.is_redacted:
        now.look.refuse_redacted(current)
    _check_expectation(current, command, now)
    return _change(command, current, now)


def _record(current: Record | None, command: RecordIt, now: Circumstances) -> Decision:
    if command.id is not None and is_uuid_form(command.id):
        raise IdForm
    if current is not None:
        raise IdTaken(command.kind)
    state = {**command.body, "id": command.id or now.minted_id, "status": ASSERTED, "links": []}
    _checked(command.kind, None, state, now, prefix="/body" if now.in_batch else "")
    return Decision("recorded", state)


def _check_expectation(current: Record, command: Command, now: Circumstances) -> None:
    expect = command.expect
    if expect is None and now.touched_before:
        return
    if expect is None:
        raise MissingExpect if now.in_batch else PreconditionMissing
    if not expect.is_met_by(position=current.position, revision=current.revision):
        # What lies past the record tells of nothing that its writer may have seen.
        expected = max((each for each in expect.positions if each < current.position), default=None)
        raise Stale(current.kind, current.id, expected, current.position, current.revision, expect.revision)


@singledispatch
def _change(command: Command, current: Record, now: Circumstances) -> Decision:
    raise NotImplementedError(type(command))


@_change.register
def _(command: Revise, current: Record, now: Circumstances) -> Decision:
    _need_asserted(current)
    state = {**current.state, **command.changes}
    if state == current.state:
        raise NoChange
    _checked(current.kind, current.state, state, now, prefix="/changes")
    return Decision("revised", state)


@_change.register
def _(_command: Retract, current: Record, now: Circumstances) -> Decision:
    _need_asserted(current)
    return Decision("retracted", {**current.state, "status": RETRACTED})


@_change.register
def _(command: Restore, current: Record, now: Circumstances) -> Decision:
    if command.revision is None:
        if current.is_asserted:
            raise StatusRefused("the record is not retracted")
        return Decision("restored", {**current.state, "status": ASSERTED})
    earlier = now.look.state_at(current, command.revision)
    if earlier is None and command.revision <= current.revision:
        raise RedactedReference("revision", "/revision")
    if earlier is None:
        raise StatusRefused(UnknownRevision(current.revision).sentence(), "/revision")
    # Links are made and taken back by actions of their own: an older state does not bring its own along.
    state = {**earlier, "status": ASSERTED, "links": current.state["links"]}
    if state == current.state:
        raise NoChange
    try:
        check(current.kind, current.state, state, now.look)
    except Conflict as refusal:
        refusal.pointer = "/revision"
        raise
    return Decision("restored", state)


@_change.register
def _(command: Link, current: Record, now: Circumstances) -> Decision:
    _need_asserted(current)
    if command.claim == current.id:
        raise LinkRefused("a claim does not link to itself")
    target = now.look.find("claim", command.claim)
    if target is None:
        raise UnknownReference("claim", "/claim")
    if target.is_redacted:
        raise RedactedReference("claim", "/claim")
    if not target.is_asserted:
        raise LinkRefused("the claim linked to is retracted")
    links = current.state["links"]
    if _position_of(links, command) is not None:
        raise LinkRefused("this link is there already")
    if len(links) >= MOST_LINKS:
        raise LinkRefused(f"a claim makes at most {MOST_LINKS} links")
    link = command.again or {
        "relation": command.relation, "claim": command.claim, "reason": command.reason, "position": now.position,
    }  # fmt: skip
    # Where links disagree the last one counts, so that one which is made again stands where it stood.
    return Decision("linked", {**current.state, "links": sorted([*links, link], key=itemgetter("position"))})


@_change.register
def _(command: Unlink, current: Record, now: Circumstances) -> Decision:
    _need_asserted(current)
    links = current.state["links"]
    index = _position_of(links, command)
    if index is None:
        raise LinkRefused("there is no such link")
    return Decision("unlinked", {**current.state, "links": links[:index] + links[index + 1 :]})


def _position_of(links: list[State], command: Link | Unlink) -> int | None:
    wanted = (command.relation, command.claim)
    return next((index for index, link in enumerate(links) if (link["relation"], link["claim"]) == wanted), None)


def _need_asserted(current: Record) -> None:
    if not current.is_asserted:
        raise StatusRefused("the record is retracted; only restore may follow")


def _checked(kind: str, before: State | None, state: State, now: Circumstances, *, prefix: str) -> None:
    try:
        check(kind, before, state, now.look)
    except Conflict as refusal:
        refusal.pointer = prefix + refusal.pointer if refusal.pointer else ""
        raise
