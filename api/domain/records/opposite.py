"""The opposite of a batch: what brings each record that it touched back to where it stood before. Pure: commands alone.

A record is brought back as a whole, whatever the batch did to it and how often. What was recorded is retracted, for
nothing is ever taken out; else the former fields are written anew, links made and taken back, and the former status is
given again.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from api.domain.records.command import Command, Expect, Link, Restore, Retract, Revise, Unlink
from api.domain.records.kinds import CHAINS, values_of
from api.domain.records.record import ASSERTED, State
from api.domain.text import Reason

# A record, by its kind and its id.
Name = tuple[str, str]
_OF_ACTIONS = frozenset({"status", "links"})


class Reverting(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why a batch is reverted: the reason of each revision that this appends."""

    reason: Reason


class Way(Struct, frozen=True):
    """The way back of one record that a batch touched: from the revision at `position`, its latest, to where it stood before.

    `was_asserted` is None where the batch recorded it. `changes` are the former values of fields that differ now;
    `missing` are the links that it made before and makes no more, `extra` those that it makes now and did not before;
    `above` are the records that it led up to.
    """

    name: Name
    position: int
    is_asserted: bool
    was_asserted: bool | None = None
    changes: State = {}
    missing: list[State] = []
    extra: list[State] = []
    above: list[Name] = []

    @property
    def needs_restoring(self) -> bool:
        """Whether it has to be asserted first: nothing else may follow on a retraction."""
        is_changed = bool(self.changes or self.missing or self.extra)
        return not self.is_asserted and (is_changed or self.was_asserted is True)

    @property
    def needs_retracting(self) -> bool:
        return not self.was_asserted and (self.is_asserted or self.needs_restoring)


def way_back(name: Name, position: int, before: State, now: State) -> Way:
    """Compare a record's state before a batch with the one now, after the event at `position`."""
    differing = {
        field: before[field] for field in before if field not in _OF_ACTIONS and before[field] != now.get(field)
    }
    return Way(
        name,
        position,
        is_asserted=now["status"] == ASSERTED,
        was_asserted=before["status"] == ASSERTED,
        changes=differing,
        missing=[link for link in before["links"] if link not in now["links"]],
        extra=[link for link in now["links"] if link not in before["links"]],
        above=[(name[0], each) for field in CHAINS[name[0]] for each in values_of(before, field)],
    )


def opposite(ways: Sequence[Way], reason: str) -> list[Command]:
    """Give the commands that lead all records back. `ways` are in the order in which the batch touched them last.

    Fields come first, when what they name is still asserted; then links, when all that will be asserted is; then
    retractions. In each part what was done last is undone first.
    """
    backward = list(reversed(ways))
    commands: list[Command] = []
    for way in _ancestors_first(backward):
        commands += _contents(way, reason)
    for way in backward:
        commands += _links(way, reason)
    commands += [
        Retract(kind=kind, id=one, reason=reason)
        for way in backward
        if way.needs_retracting
        for kind, one in [way.name]
    ]
    return _expecting(commands, {way.name: way.position for way in ways})


def _ancestors_first(ways: Iterable[Way]) -> Iterator[Way]:
    """Order records so that each comes after those that it led up to before: then no step on the way closes a cycle."""
    waiting = {way.name: way for way in ways}
    entered: set[Name] = set()
    for start in waiting.values():
        path = [] if start.name in entered else [start]
        entered.add(start.name)
        while path:
            above = next((name for name in path[-1].above if name in waiting and name not in entered), None)
            if above is None:
                yield path.pop()
            else:
                entered.add(above)
                path.append(waiting[above])


def _contents(way: Way, reason: str) -> Iterator[Command]:
    kind, public_id = way.name
    if way.needs_restoring:
        yield Restore(kind=kind, id=public_id, reason=reason)
    if way.changes:
        yield Revise(kind=kind, id=public_id, reason=reason, changes=way.changes)


def _links(way: Way, reason: str) -> Iterator[Command]:
    """Take back the links that were not there, and make those that were, each with its reason and in its place."""
    kind, public_id = way.name
    for link in way.extra:
        yield Unlink(kind=kind, id=public_id, reason=reason, relation=link["relation"], claim=link["claim"])
    for link in way.missing:
        yield Link(
            kind=kind,
            id=public_id,
            reason=reason,
            relation=link["relation"],
            claim=link["claim"],
            again=link,
        )


def _expecting(commands: Iterable[Command], positions: dict[Name, int]) -> list[Command]:
    """Let the first command on each record expect the revision that its way begins at."""
    left, found = dict(positions), []
    for command in commands:
        position = left.pop((command.kind, command.id or ""), None)
        expect = None if position is None else Expect(positions=frozenset({position}))
        found.append(msgspec.structs.replace(command, expect=expect))
    return found
