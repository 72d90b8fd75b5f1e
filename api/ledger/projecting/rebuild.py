"""Projections derived anew from the log, by the same `Projector` that the live path folds events in with.

A payload may be missing only where a later entry redacts it; any other that is missing is damage, said by position.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import msgspec

from api.domain.computed import RULES
from api.domain.errors import Unavailable
from api.domain.log.event import Entry, Redacts, decode_own
from api.domain.records.record import Record, State, buried_state, evolve
from api.domain.records.redaction import Mark
from api.domain.records.upcasting import upcast
from api.ledger.projecting.known_questions import parents
from api.ledger.projecting.pending import NAMES
from api.ledger.projecting.projection import PROJECTED, Fact, Projector, throw_away
from api.ledger.storage.access import Access, lock_head
from api.ledger.storage.reads import Reads

_CHUNK = 2_000
_AT_ONCE = 500
# To make new tables takes longer than to write so many events among old ones.
_FEW = 1_000
# A rebuild meets every record again and again, and has the machine to itself.
_REMEMBERED = 50_000
_EVENTS = (
    "SELECT e.position, e.entry, p.payload FROM event e LEFT JOIN payload p ON p.position = e.position"
    " WHERE e.position > ? ORDER BY e.position LIMIT ?"
)
_REDACTIONS = (
    "SELECT e.position, e.entry, p.payload FROM event e LEFT JOIN payload p ON p.position = e.position"
    " WHERE e.type = 'redacted' ORDER BY e.position"
)
_LAST_KEPT = (
    "SELECT e.record, max(e.position) FROM event e JOIN payload p ON p.position = e.position"
    " WHERE e.kind = 'claim' AND e.record IN ("
)


class _Told(msgspec.Struct, frozen=True):
    """A payload."""

    reason: str | None
    state: State


_TOLD = msgspec.json.Decoder(_Told)


@dataclass(slots=True)
class Burial:
    """What redactions did to one record. `id` is None where they erased it, and none of its payloads is left then.

    `parents` are a claim's source and question, told by a payload that is left. While events are folded in, `before` is
    the record after the last one, `earlier` the last state that is still there, and `events` are type and actor of each.
    """

    id: str | None = None
    covers: list[tuple[Redacts, Mark]] = field(default_factory=list)
    parents: State = field(default_factory=dict)
    before: Record | None = None
    earlier: State | None = None
    events: list[tuple[str, str | None]] = field(default_factory=list)

    def mark(self, entry: Entry) -> Mark | None:
        """Name the redaction that removed what this event said: the first that covers it."""
        return next(
            (
                mark
                for covered, mark in self.covers
                if mark.position > entry.position and covered.first <= entry.revision <= covered.last
            ),
            None,
        )


def is_outdated(access: Reads) -> bool:
    """Say whether the projections were derived under other rules than these, or are of another version."""
    sql = "SELECT position FROM head WHERE rules <> ? OR projected <> ?"
    return access.row(sql, (RULES, PROJECTED)) is not None


def rebuild(
    access: Access,
    progress: Callable[[int], None] = lambda _: None,
    *,
    most_remembered: int = _REMEMBERED,
    only_outdated: bool = False,
) -> int:
    """Throw the projections away and derive them again from the log, in one transaction. Returns the head's position.

    Remembers so many records at most, some 3 KB each: fewer take less memory and more time. `only_outdated` leaves those
    alone that another node has derived meanwhile.
    Raises Unavailable where a payload is missing that no redaction removed.
    """
    with access.upkeep.alone(), access.transaction():
        head = int(lock_head(access)[0])
        if only_outdated and not is_outdated(access):
            return head
        with access.upkeep.filling_anew(NAMES, sought=["record"]) if head >= _FEW else nullcontext():
            derive(access, progress, most_remembered=most_remembered)
        access.run("UPDATE head SET rules = ?, projected = ? WHERE one = 1", (RULES, PROJECTED))
        access.upkeep.take_stock()
    return head


def derive(
    access: Access, progress: Callable[[int], None] = lambda _: None, *, most_remembered: int = _REMEMBERED
) -> None:
    """Derive the projections anew, inside the transaction that is under way."""
    throw_away(access)
    with access.aside():
        fold_log(access, progress, most_remembered=most_remembered)


def fold_log(
    access: Access, progress: Callable[[int], None] = lambda _: None, *, most_remembered: int = _REMEMBERED
) -> None:
    """Fold every event that the log holds into projections that are empty."""
    buried = burials(access)
    projector = Projector(access, most_remembered=most_remembered)
    position = 0
    following = access.ask(_EVENTS, (position, _CHUNK))
    while rows := following():
        position = rows[-1][0]
        following = access.ask(_EVENTS, (position, _CHUNK))
        _fold(projector, [(bytes(raw), bytes(said) if said is not None else None) for _, raw, said in rows], buried)
        progress(position)


def burials(access: Access) -> dict[str, Burial]:
    """Read every redaction in the log: what each record, by its UUID, has lost."""
    buried: dict[str, Burial] = {}
    for position, raw, said in access.rows(_REDACTIONS):
        entry = decode_own(bytes(raw))
        if said is None or entry.redacts is None or entry.basis is None:
            raise _damaged(position)
        burial = buried.setdefault(entry.redacts.record, Burial())
        burial.id = burial.id or msgspec.json.decode(said)["state"]["target"]
        burial.covers.append((entry.redacts, Mark(position, entry.basis)))
    for record, state in _kept_claims(access, list(buried)):
        buried[record].parents = {"source": state["source"], "question": state["question"]}
    return buried


def _kept_claims(access: Access, records: Sequence[str]) -> Iterable[tuple[str, State]]:
    """Give the last state that is left of each of these records that is a claim, and not all gone."""
    for start in range(0, len(records), _AT_ONCE):
        some = records[start : start + _AT_ONCE]
        for record, position in access.rows(f"{_LAST_KEPT}{', '.join('?' * len(some))}) GROUP BY e.record", some):
            [(said,)] = access.rows("SELECT payload FROM payload WHERE position = ?", (position,))
            yield record, msgspec.json.decode(said)["state"]


def _fold(projector: Projector, events: Sequence[tuple[bytes, bytes | None]], buried: dict[str, Burial]) -> None:
    """Fold a run of events in, each given by its entry and payload as they are stored."""
    read = [(decode_own(raw), raw, said, _TOLD.decode(said) if said is not None else None) for raw, said in events]
    kept = [(entry, told.state) for entry, *_, told in read if told is not None]
    projector.records.read(name for entry, state in kept for name in _asked_for(entry, state))
    projector.questions.read({state["question"] for entry, state in kept if entry.kind == "claim"})
    for entry, raw, said, told in read:
        if projector.is_full:
            projector.write_out()
        burial = buried.get(entry.record)
        if burial is not None:
            _fold_buried(projector, entry, raw, said, burial)
            continue
        if said is None or told is None:
            raise _damaged(entry.position)
        before = projector.records.find(entry.kind, told.state["id"]) if entry.revision > 1 else None
        fact = Fact(entry, told.reason, raw, said, covers=_covered(entry, buried))
        projector.project(before, evolve(before, entry, upcast(entry.kind, told.state)), fact)
    projector.write_out()
    projector.forget_if_much()


def _covered(entry: Entry, buried: dict[str, Burial]) -> Collection[tuple[str, str | None]]:
    """Give type and actor of each event that a redaction covers; nothing for any other event."""
    if entry.redacts is None:
        return ()
    return set(buried[entry.redacts.record].events[entry.redacts.first - 1 : entry.redacts.last])


def _asked_for(entry: Entry, state: State) -> Iterable[tuple[str, str]]:
    """Name the records that must be known to fold this event in: many are read in a few statements."""
    if entry.revision > 1:
        yield entry.kind, state["id"]
    if entry.kind == "claim":
        yield from parents(state)


def _fold_buried(projector: Projector, entry: Entry, raw: bytes, said: bytes | None, burial: Burial) -> None:
    """Fold in an event of a record of which something was redacted: this event, or another."""
    burial.events.append((entry.type, entry.actor))
    mark = burial.mark(entry)
    if mark is None:
        if said is None:
            raise _damaged(entry.position)
        told = _TOLD.decode(said)
        after = evolve(burial.before, entry, upcast(entry.kind, told.state))
        projector.project(burial.before, after, Fact(entry, told.reason, raw, said, earlier=burial.earlier))
        burial.before, burial.earlier = after, after.state
    elif burial.id is None:
        projector.note_erased(Fact(entry, None, raw, b"", mark))
    else:
        after = evolve(burial.before, entry, buried_state(burial.id, burial.parents))
        projector.project(burial.before, after, Fact(entry, None, raw, b"", mark))
        burial.before = after


def _damaged(position: int) -> Unavailable:
    return Unavailable(f"the payload at position {position} is missing, and no later entry redacts it")
