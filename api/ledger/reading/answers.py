"""The agreement view: what the live claims on a question add up to, at any standpoint of the three clocks.

All of it is computed, and shown in outline: the claims, and the pairs of them that conflict, are paged. So are questions
listed by it where no table knows it, and counted beside a list of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import msgspec

from api.domain.agreement import agreement
from api.domain.agreement.outline import outline, outline_of_group, summary
from api.domain.dates.asof import NOW, AsOf, Standpoint
from api.domain.errors import UnknownGroup
from api.ledger.reading.beside import NOTHING, Beside, Documents, entities_named, with_beside
from api.ledger.reading.lists import documents_at, last_counted, select, states_from
from api.ledger.reading.selection import Selection
from api.ledger.reading.standpoint import PAGE, Page, locate
from api.ledger.reading.views import view_at
from api.ledger.reading.weighing import Weighed, Weighing, add_up, conflicting, state_of
from api.ledger.storage.reads import Reads

# To see which claims meet takes, for so many pairs, as long as to read a row.
_PAIRS_A_STEP = 4


@dataclass(frozen=True, slots=True)
class Answers:
    """A question, its agreement in outline, and a page of its claims, with what was wanted beside them by kind."""

    question: bytes
    agreement: agreement.Agreement
    outline: Mapping[str, object]
    page: Page
    claim_count: int
    source_count: int
    beside: Mapping[str, Documents]

    @property
    def claims(self) -> list[bytes]:
        return self.page.items

    @property
    def at(self) -> Standpoint:
        return self.page.at


def answers(
    access: Reads, public_id: str, chosen: Selection, *, group: int | None = None, beside: Beside = NOTHING
) -> Answers:
    """Give the agreement on a question, and its claims after the cursor: all of them, or those of one group.

    Raises UnknownRecord where there is none at the position asked for, UnknownGroup where there are fewer groups.
    """
    at, question, weighed = _weigh(access, public_id, chosen)
    added_up = add_up(weighed)
    names = {claim.first_position: claim.id for claim in weighed.claims}
    shown = outline(added_up)
    if group is not None:
        names = _names_in_group(names, added_up, group)
    told = msgspec.json.encode(shown)
    room = PAGE - len(question) - len(told)
    around = _entities_around(question, told, with_groups=group is None) if beside.with_entities else ()
    page = _page_of(access, list(names), chosen, at, room)
    page, found = with_beside(access, page, "claim", replace(beside, entities=around), room)
    if group is not None:
        shown["groups"] = [outline_of_group(added_up.groups[group], [names[int(key)] for key in page.keys])]
    sources = {claim.source for claim in weighed.claims if claim.first_position in names}
    return Answers(question, added_up, shown, page, len(names), len(sources), found)


class _Member(msgspec.Struct):
    value: str | bool


class _Shared(msgspec.Struct):
    members: list[_Member] = []


class _Group(msgspec.Struct):
    shared: _Shared | None


class _Origin(msgspec.Struct):
    speakers: list[str]


class _Outline(msgspec.Struct):
    groups: list[_Group]
    origins: list[_Origin]


_OUTLINE = msgspec.json.Decoder(_Outline)


def _entities_around(question: bytes, told: bytes, *, with_groups: bool) -> list[str]:
    """Name the entities that a question is about, that speak in the origins shown, and that the groups shown share."""
    shown = _OUTLINE.decode(told)
    speakers = [speaker for origin in shown.origins for speaker in origin.speakers]
    shared = [group.shared.members for group in shown.groups if group.shared is not None and with_groups]
    members = [member.value for those in shared for member in those if isinstance(member.value, str)]
    return [*entities_named("question", msgspec.json.decode(question)), *speakers, *members]


def _weigh(access: Reads, public_id: str, chosen: Selection) -> tuple[Standpoint, bytes, Weighed]:
    at = locate(access, chosen.asked)
    question = bytes(view_at(access, "question", public_id, at).document)
    weighed = Weighing(access, at, chosen).weigh(public_id, question)
    # Every pair may conflict, and there may be as many groups: the work may grow with the square of the claims.
    access.spend(len(weighed.claims) ** 2 // _PAIRS_A_STEP)
    return at, question, weighed


def _names_in_group(names: Mapping[int, str], added_up: agreement.Agreement, group: int) -> dict[int, str]:
    if group >= len(added_up.groups):
        raise UnknownGroup(len(added_up.groups))
    among = set(added_up.groups[group].claims)
    return {place: name for place, name in names.items() if name in among}


def _page_of(access: Reads, places: Sequence[int], chosen: Selection, at: Standpoint, room: int) -> Page:
    """Give the claims that begin after the cursor, at some places in order: as many as asked for, and as fit."""
    after = 0 if chosen.cursor is None else int(chosen.cursor)
    listed = [place for place in places if place > after]
    items = documents_at(access, listed[: chosen.limit], at, room)
    return Page(items, [str(place) for place in listed[: len(items)]], len(items) < len(listed), at)


def conflicts(access: Reads, public_id: str, chosen: Selection) -> Page:
    """Give the pairs of claims that conflict, after the cursor: the first positions of the two, joined by a point."""
    at, _, weighed = _weigh(access, public_id, chosen)
    first, _, second = (chosen.cursor or "0.0").partition(".")
    pairs = list(islice(conflicting(weighed, (int(first), int(second))), chosen.limit + 1))
    shown = pairs[: chosen.limit]
    items = [msgspec.json.encode((one.id, other.id)) for one, other in shown]
    keys = [f"{one.first_position}.{other.first_position}" for one, other in shown]
    return Page(items, keys, len(pairs) > len(shown), at)


class _Stated(NamedTuple):
    """A question, its state of agreement, and how many claims are on view there."""

    document: bytes
    id: str
    key: str
    state: str
    claims: int


def questions_agreeing(access: Reads, chosen: Selection) -> tuple[Page, list[str]]:
    """List questions by what their claims add up to as other clocks than the ledger's have it: computed, one by one."""
    at = locate(access, chosen.asked)
    found, size, is_more = list[_Stated](), 0, False
    in_order = _by_state if chosen.is_by_agreement else _by_claims if chosen.is_by_claims else _stated
    for each in in_order(access, chosen, at):
        size += len(each.document)
        is_more = len(found) == chosen.limit or (size > PAGE and bool(found))
        if is_more:
            break
        found.append(each)
    page = Page([each.document for each in found], [each.key for each in found], is_more, at)
    return page, [each.id for each in found]


def states_agreeing(access: Reads, chosen: Selection) -> dict[str, str]:
    """Give the state of agreement of each question that is chosen, at clocks as above."""
    every = replace(chosen, order="recorded", cursor=None)
    return {each.id: each.state for each in _stated(access, every, locate(access, chosen.asked))}


def _stated(access: Reads, chosen: Selection, at: Standpoint) -> Iterator[_Stated]:
    """Give the questions in the states asked for, in the order of recording."""
    plain = replace(chosen, agreement=(), published_by=None, valid_at=None)
    weighing = Weighing(access, at, chosen)
    for document, public_id, key in _questions(access, plain, at):
        weighed = weighing.weigh(public_id, document)
        state = state_of(weighed)
        if not chosen.agreement or state in chosen.agreement:
            yield _Stated(document, public_id, key, state, len(weighed.claims))


def _by_state(access: Reads, chosen: Selection, at: Standpoint) -> Iterator[_Stated]:
    """Give them in the order of their states, after the cursor: of each is kept where it begins, until it is shown."""
    every = replace(chosen, order="-recorded" if chosen.is_downward else "recorded", cursor=None)
    found: dict[str, list[tuple[int, str, int]]] = {}
    for each in _stated(access, every, at):
        found.setdefault(each.state, []).append((int(each.key), each.id, each.claims))
    for state, cursor in states_from(chosen):
        for place, public_id, claims in found.get(state, ()):
            if cursor is None or (place < int(cursor) if chosen.is_downward else place > int(cursor)):
                document = bytes(view_at(access, "question", public_id, at).document)
                yield _Stated(document, public_id, f"{state}.{place}", state, claims)


def _by_claims(access: Reads, chosen: Selection, at: Standpoint) -> Iterator[_Stated]:
    """Give them in the order of how many claims are on view, after the cursor; those that have as many as recorded."""
    way, last = -1 if chosen.is_downward else 1, last_counted(chosen)
    found = [
        (each.claims * way, int(each.key), each.id, each.state)
        for each in _stated(access, replace(chosen, order="recorded", cursor=None), at)
    ]
    for count, place, public_id, state in sorted(found):
        if last is None or (count, place) > (last[0] * way, last[1]):
            document = bytes(view_at(access, "question", public_id, at).document)
            yield _Stated(document, public_id, f"{count * way}.{place}", state, count * way)


def summaries(access: Reads, page: Page, ids: Sequence[str], chosen: Selection) -> dict[str, dict[str, object]]:
    """Give the agreement on each question of a page in counts, at the clocks asked for: what `answers` counts there."""
    weighing, found = Weighing(access, page.at, chosen), dict[str, dict[str, object]]()
    for public_id, document in zip(ids, page.items, strict=False):
        weighed = weighing.weigh(public_id, document)
        found[public_id] = summary(add_up(weighed), weighed.claims)
    return found


def _questions(access: Reads, chosen: Selection, at: Standpoint) -> Iterator[tuple[bytes, str, str]]:
    """Walk questions, all of them as of one position: the ledger may grow meanwhile."""
    chosen = replace(chosen, asked=AsOf(position=at.position), limit=200)
    while True:
        page, ids = select(access, chosen)
        yield from zip(page.items, ids, page.keys, strict=True)
        if page.last is None:
            return
        chosen = replace(chosen, cursor=page.last)


def agreements(access: Reads) -> Iterator[agreement.Agreement]:
    """Give the agreement on every question that stands now, in the order of recording."""
    at = locate(access, NOW)
    chosen = Selection(kind="question", terms=[("status", "asserted")])
    weighing = Weighing(access, at, chosen)
    for document, public_id, _ in _questions(access, chosen, at):
        yield add_up(weighing.weigh(public_id, document))
