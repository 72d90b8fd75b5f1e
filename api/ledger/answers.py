"""The agreement view: what the live claims on a question add up to, at any standpoint of the three clocks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from api.domain import agreement, edtf
from api.domain.asof import NOW, AsOf, Standpoint
from api.domain.record import State
from api.domain.source import published_bounds
from api.ledger.lists import REVISION, Selection, documents, select
from api.ledger.present import gather
from api.ledger.reads import Reads, Row
from api.ledger.standing import read_links, standing
from api.ledger.views import Page, stand, view_at


@dataclass(frozen=True, slots=True)
class Answers:
    """A question, its agreement, and the claims that are on view, at a standpoint."""

    question: bytes
    agreement: agreement.Agreement
    claims: list[bytes]
    sources: list[str]
    at: Standpoint


_CLAIMS = (
    "SELECT r.id, r.first_position, p.payload, v.document FROM record r"
    f" JOIN revision v ON v.position = {REVISION} JOIN payload p ON p.position = v.position"
    " WHERE r.question = ? AND r.first_position <= ? AND v.status = 'asserted' ORDER BY r.first_position"
)
_LINKING = (
    "SELECT l.id, p.payload FROM record c"
    # CROSS JOIN keeps SQLite from walking all the links there are; PostgreSQL takes it for an inner join.
    " CROSS JOIN term t JOIN record l ON l.first_position = t.first_position AND l.question <> c.question"
    " JOIN revision v ON v.position = (SELECT max(x.position) FROM revision x"
    " WHERE x.first_position = l.first_position AND x.position <= ?)"
    " JOIN payload p ON p.position = v.position WHERE c.question = ?"
    " AND t.field = 'claim.link' AND t.value = c.id AND t.since <= ? AND t.until > ? AND v.status = 'asserted'"
)
_STATE = (
    f"SELECT p.payload FROM record r JOIN payload p ON p.position = {REVISION} WHERE r.kind = ? AND r.id = ?"
    " AND r.first_position <= ?"
)


class _Past:
    """States of records as of one position, each read once, and what is on view at the other clocks."""

    def __init__(self, access: Reads, at: Standpoint, chosen: Selection) -> None:
        self.access, self.at, self._chosen = access, at, chosen
        self._states: dict[tuple[str, str], State | None] = {}

    def state(self, kind: str, public_id: str) -> State | None:
        key = (kind, public_id)
        if key not in self._states:
            row = self.access.row(_STATE, (self.at.position, kind, public_id, self.at.position))
            self._states[key] = msgspec.json.decode(row[0])["state"] if row else None
        return self._states[key]

    def is_asserted(self, kind: str, public_id: str) -> bool:
        state = self.state(kind, public_id)
        return state is not None and state["status"] == "asserted"

    def is_on_view(self, claim: State) -> bool:
        """Say whether a claim that is asserted, on a question that is, counts at the clocks of source and world."""
        source = self.state("source", claim["source"])
        if source is None or source["status"] != "asserted":
            return False
        published_by, valid_at, is_certain = self._chosen.published_by, self._chosen.valid_at, self._chosen.is_certain
        if published_by is not None:
            was_published = edtf.published_by_certain if is_certain else edtf.published_by_possible
            if not was_published(published_bounds(source), published_by):
                return False
        if valid_at is not None:
            holds = edtf.certain if is_certain else edtf.possible
            return holds(standing(0, claim).claim.valid, valid_at)
        return True


def answers(access: Reads, public_id: str, chosen: Selection) -> Answers:
    """Give the agreement on a question. Raises UnknownRecord where there is none at the position asked for."""
    at = stand(access, chosen.asked)
    question = view_at(access, "question", public_id, at)
    past = _Past(access, at, chosen)
    shown = _on_view(past, public_id)
    added_up = agreement.agree(*_weighing(past, public_id, shown))
    sources = sorted({state["source"] for _, state in shown})
    return Answers(question.document, added_up, [bytes(row[3]) for row, _ in shown], sources, at)


_Weighing = tuple[str, bool, list[agreement.Claim], agreement.Context, agreement.Foreign]


def _weighing(past: _Past, public_id: str, shown: Sequence[tuple[Row, State]]) -> _Weighing:
    """Gather all that agreement on a question depends on."""
    asked = past.state("question", public_id)
    claims = [standing(row[1], state).claim for row, state in shown]
    varies = bool(asked and asked["varies"])
    return public_id, varies, claims, gather(claims, past.state), _foreign_links(past, public_id)


def _on_view(past: _Past, public_id: str) -> list[tuple[Row, State]]:
    if not past.is_asserted("question", public_id):
        return []
    first, position = _first_position(past.access, "question", public_id), past.at.position
    rows = past.access.rows(_CLAIMS, (position, first, position))
    read = [(row, msgspec.json.decode(row[2])["state"]) for row in rows]
    return [(row, state) for row, state in read if past.is_on_view(state)]


def _foreign_links(past: _Past, public_id: str) -> list[tuple[str, agreement.Link]]:
    """Give the links that claims on view make from other questions."""
    first, position = _first_position(past.access, "question", public_id), past.at.position
    targets = {row[0] for row in past.access.rows("SELECT id FROM record WHERE question = ?", (first,))}
    found = []
    for linking, payload in past.access.rows(_LINKING, (position, first, position, position)):
        state = msgspec.json.decode(payload)["state"]
        if past.is_asserted("question", state["question"]) and past.is_on_view(state):
            found += [(linking, link) for link in read_links(state) if link.claim in targets]
    return sorted(set(found), key=lambda pair: pair[1].position)


def _first_position(access: Reads, kind: str, public_id: str) -> int:
    row = access.row("SELECT first_position FROM record WHERE kind = ? AND id = ?", (kind, public_id))
    return row[0] if row else 0


def questions_agreeing(access: Reads, chosen: Selection) -> tuple[Page, list[str]]:
    """List questions by their state of agreement as other clocks than the ledger's have it: computed, one by one."""
    at = stand(access, chosen.asked)
    # The ledger may grow while questions are looked at one by one: all of them as of one position.
    chosen = replace(chosen, asked=AsOf(position=at.position))
    plain = replace(chosen, agreement=None, published_by=None, valid_at=None, limit=200)
    past = _Past(access, at, chosen)
    found: list[bytes] = []
    ids: list[str] = []
    keys: list[int] = []
    cursor = chosen.cursor
    while len(found) <= chosen.limit:
        page, shown = select(access, replace(plain, cursor=cursor))
        for document, public_id in zip(page.items, shown, strict=True):
            on_view = _on_view(past, public_id)
            if agreement.state_of(*_weighing(past, public_id, on_view)) == chosen.agreement:
                found.append(document)
                ids.append(public_id)
                keys.append(_key(document, chosen.order))
        cursor = page.last
        if cursor is None:
            break
    last = str(keys[chosen.limit - 1]) if len(found) > chosen.limit else None
    return Page(found[: chosen.limit], last, at), ids[: chosen.limit]


def agreements(access: Reads) -> Iterator[agreement.Agreement]:
    """Give the agreement on every question that stands now, in the order of recording."""
    at = stand(access, NOW)
    chosen = Selection(kind="question", asked=AsOf(position=at.position), limit=200)
    past = _Past(access, at, chosen)
    while True:
        page, ids = select(access, replace(chosen, terms=[("status", "asserted")]))
        for public_id in ids:
            on_view = _on_view(past, public_id)
            yield agreement.agree(*_weighing(past, public_id, on_view))
        if page.last is None:
            return
        chosen = replace(chosen, cursor=page.last)


def _key(document: bytes, order: str) -> int:
    shown = msgspec.json.decode(document)
    return int(shown["position" if "revised" in order else "first_position"])


def sources_of(access: Reads, items: Sequence[bytes], at: Standpoint) -> dict[str, bytes]:
    """Give the representations of the sources that some claims were made in, as of the same position."""
    return documents(access, "source", [msgspec.json.decode(item)["source"] for item in items], at)


def questions_of(access: Reads, items: Sequence[bytes], at: Standpoint) -> dict[str, bytes]:
    """Give the representations of the questions that some claims answer, as of the same position."""
    return documents(access, "question", [msgspec.json.decode(item)["question"] for item in items], at)
