"""What stands beside the items of a page: the sources, questions and entities that they name, each once, by kind and id.

A page ends before it is too long with all of that. What is redacted is left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import msgspec
import sqlalchemy as sa

from api.domain.dates.asof import Standpoint
from api.domain.records.kinds import KINDS, Term
from api.domain.records.record import REDACTED, State
from api.ledger.reading.composed import Composed, at_position, given, record, revision
from api.ledger.reading.standpoint import PAGE, Page
from api.ledger.storage.reads import Reads, Row

Documents = dict[str, bytes]
# A record, by its kind and its id.
Name = tuple[str, str]
# Ids in one statement.
_AT_ONCE = 500
_NAMING: Mapping[str, list[Term]] = {
    kind.name: [each for each in kind.terms if each.names == "entity"] for kind in KINDS.values()
}
_IS_SHOWN = sa.and_(
    revision.c.status != REDACTED, record.c.kind == given("kind"), record.c.id.in_(given("ids", is_list=True))
)
_SIZES = Composed(
    sa.select(record.c.id, sa.func.length(revision.c.document)).select_from(at_position(record)).where(_IS_SHOWN)
)
_DOCUMENTS = Composed(sa.select(record.c.id, revision.c.document).select_from(at_position(record)).where(_IS_SHOWN))


@dataclass(frozen=True, slots=True)
class Beside:
    """What is wanted beside items: what claims stand on, of some kinds; and the entities that all of it names.

    `entities` are those that are named around the items.
    """

    grounds: Sequence[str] = ()
    with_entities: bool = False
    entities: Sequence[str] = ()

    @property
    def is_wanted(self) -> bool:
        """Whether anything is."""
        return bool(self.grounds or self.with_entities)


NOTHING = Beside()


def with_beside(
    access: Reads, page: Page, kind: str, beside: Beside, most: int = PAGE
) -> tuple[Page, dict[str, Documents]]:
    """Give a page of records of a kind with what they name, by kind: of the items no more than fit with it, one at least.

    Where even the entities that one item names do not fit, the last of them are left out.
    """
    if not beside.is_wanted:
        return page, {}
    states = [msgspec.json.decode(item) for item in page.items]
    named: list[list[Name]] = [[(ground, state[ground]) for ground in beside.grounds] for state in states]
    sizes = _sizes(access, chain(*named), page.at)
    page = page.first(_fitting(page, named, sizes, most))
    named = named[: len(page.items)]
    found = _documents(access, chain(*named), page.at, beside.grounds)
    if not beside.with_entities:
        return page, found
    around = [("entity", public_id) for public_id in beside.entities]
    _name_entities(named, kind, states, found)
    sizes |= _sizes(access, chain(around, *named), page.at)
    page = page.first(_fitting(page, named, sizes, most, around))
    shown = dict.fromkeys(chain(around, *named[: len(page.items)]))
    grounds = {
        each: {one: said for one, said in those.items() if (each, one) in shown} for each, those in found.items()
    }
    room = most - sum(map(len, page.items)) - sum(len(said) for those in grounds.values() for said in those.values())
    return page, grounds | _documents(access, _affordable(shown, sizes, room), page.at, ["entity"])


def _name_entities(
    named: Sequence[list[Name]], kind: str, states: Sequence[State], grounds: Mapping[str, Documents]
) -> None:
    """Add to what each item names its entities, and those of the grounds that were read."""
    of_ground = {
        (each, public_id): entities_named(each, msgspec.json.decode(said))
        for each, those in grounds.items()
        for public_id, said in those.items()
    }
    for names, state in zip(named, states, strict=False):
        entities = [*entities_named(kind, state), *chain(*(of_ground.get(name, ()) for name in names))]
        names += [("entity", public_id) for public_id in entities]


def entities_named(kind: str, state: State) -> list[str]:
    """Name the entities that a record refers to, or that a claim's answer consists of, as a representation holds them."""
    return [public_id for term in _NAMING[kind] for public_id in term.values(state)]


def _fitting(
    page: Page, named: Sequence[Sequence[Name]], sizes: Mapping[Name, int], most: int, around: Iterable[Name] = ()
) -> int:
    """Count the items that fit with what they name."""
    seen = set(around)
    size = sum(sizes.get(name, 0) for name in seen)
    for count, (item, names) in enumerate(zip(page.items, named, strict=False)):
        size += len(item) + sum(sizes.get(name, 0) for name in set(names) - seen)
        if count and size > most:
            return count
        seen.update(names)
    return len(page.items)


def _affordable(names: Iterable[Name], sizes: Mapping[Name, int], room: int) -> Iterator[Name]:
    """Give the entities among some names, as long as there is room for them."""
    for name in (each for each in names if each[0] == "entity"):
        room -= sizes.get(name, 0)
        if room < 0:
            return
        yield name


def _sizes(access: Reads, names: Iterable[Name], at: Standpoint) -> dict[Name, int]:
    """Give the bytes that records say, of those that say something there."""
    return {(kind, row[0]): row[1] for kind, row in _found(access, _SIZES, names, at)}


def _documents(access: Reads, names: Iterable[Name], at: Standpoint, kinds: Sequence[str]) -> dict[str, Documents]:
    """Give the representations of records of some kinds, by kind and by id, in the order of ids."""
    told = {(kind, row[0]): bytes(row[1]) for kind, row in _found(access, _DOCUMENTS, names, at)}
    return {
        kind: {public_id: told[each, public_id] for each, public_id in sorted(told) if each == kind} for kind in kinds
    }


def _found(access: Reads, query: Composed, names: Iterable[Name], at: Standpoint) -> Iterator[tuple[str, Row]]:
    """Look records up, many in a statement."""
    ids: dict[str, set[str]] = {}
    for kind, public_id in names:
        ids.setdefault(kind, set()).add(public_id)
    for kind, those in ids.items():
        wanted = sorted(those)
        for start in range(0, len(wanted), _AT_ONCE):
            asked = query(access, position=at.position, kind=kind, ids=wanted[start : start + _AT_ONCE])
            yield from ((kind, row) for row in access.rows(*asked))
