"""The agreement view: what the live claims on a question add up to, at any standpoint of the three clocks.

All of it is computed, and shown in outline: the claims, and the pairs of them that conflict, are paged.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import msgspec

from api.domain.agreement import agreement
from api.domain.agreement.outline import outline, outline_of_group
from api.domain.dates.asof import NOW, AsOf, Standpoint
from api.domain.errors import UnknownGroup
from api.ledger.reading.lists import Documents, documents_at, select, with_grounds
from api.ledger.reading.selection import Selection
from api.ledger.reading.standpoint import PAGE, Page, locate
from api.ledger.reading.views import view_at
from api.ledger.reading.weighing import Weighed, Weighing, add_up, conflicting, state_of
from api.ledger.storage.reads import Reads

# To see which claims meet takes, for so many pairs, as long as to read a row.
_PAIRS_A_STEP = 4


@dataclass(frozen=True, slots=True)
class Answers:
    """A question, its agreement in outline, and a page of its claims, with their sources where those were asked for."""

    question: bytes
    agreement: agreement.Agreement
    outline: Mapping[str, object]
    page: Page
    claim_count: int
    sources: Documents | None

    @property
    def claims(self) -> list[bytes]:
        return self.page.items

    @property
    def at(self) -> Standpoint:
        return self.page.at


def answers(
    access: Reads, public_id: str, chosen: Selection, *, group: int | None = None, with_sources: bool = False
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
    room = PAGE - len(question) - len(msgspec.json.encode(shown))
    page, sources = _page_of(access, list(names), chosen, at, room), None
    if with_sources:
        page, grounds = with_grounds(access, page, ("source",), room)
        sources = grounds["source"]
    if group is not None:
        shown["groups"] = [outline_of_group(added_up.groups[group], [names[int(key)] for key in page.keys])]
    return Answers(question, added_up, shown, page, len(names), sources)


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


def questions_agreeing(access: Reads, chosen: Selection) -> tuple[Page, list[str]]:
    """List questions by their state of agreement as other clocks than the ledger's have it: computed, one by one."""
    at = locate(access, chosen.asked)
    found, size, is_more = list[tuple[bytes, str, str]](), 0, False
    for each in _agreeing(access, chosen, at):
        size += len(each[0])
        is_more = len(found) == chosen.limit or (size > PAGE and bool(found))
        if is_more:
            break
        found.append(each)
    page = Page([document for document, *_ in found], [key for *_, key in found], is_more, at)
    return page, [public_id for _, public_id, _ in found]


def ids_agreeing(access: Reads, chosen: Selection) -> list[str]:
    """Name all questions in a state of agreement, at clocks as above."""
    return [public_id for _, public_id, _ in _agreeing(access, chosen, locate(access, chosen.asked))]


def _agreeing(access: Reads, chosen: Selection, at: Standpoint) -> Iterator[tuple[bytes, str, str]]:
    """Give document, id and key of each question in the state asked for."""
    plain = replace(chosen, agreement=None, published_by=None, valid_at=None)
    weighing = Weighing(access, at, chosen)
    for document, public_id, key in _questions(access, plain, at):
        if state_of(weighing.weigh(public_id, document)) == chosen.agreement:
            yield document, public_id, key


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
