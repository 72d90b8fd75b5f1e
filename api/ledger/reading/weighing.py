"""What agreement on a question weighs, as of a standpoint of the three clocks.

Its claims on view, who links to them, and what entities and sources around them say: read in few statements, and of each
record no more than is weighed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from api.domain.agreement import agreement
from api.domain.dates import edtf
from api.domain.dates.asof import Standpoint
from api.domain.dates.edtf import Bounds
from api.domain.records.answer import entities_in
from api.domain.records.record import ASSERTED
from api.ledger.projecting.weighed import WeighedClaim, weighed_payload
from api.ledger.reading.selection import Selection
from api.ledger.reading.standpoint import LINKS, in_force
from api.ledger.reading.views import view_at
from api.ledger.storage.reads import Reads, Row, Value

# Bytes of payloads, and values, that one statement takes; claims that the first asks for, and the others.
_MOST, _AT_ONCE, _FIRST_CLAIMS, _CLAIMS = 4 << 20, 500, 128, 2_000
# To weigh a claim takes as long as to read so many rows.
_STEPS_A_CLAIM = 20
_ON_QUESTION = (
    f"SELECT p.payload AS said, r.first_position FROM record r JOIN revision v ON v.position = {in_force()}"
    " JOIN payload p ON p.position = v.position WHERE r.question = ? AND r.first_position > ? AND r.first_position <= ?"
    " AND v.status = 'asserted' ORDER BY r.first_position LIMIT ?"
)
_CLAIMS_AT = (
    f"SELECT p.payload AS said, r.first_position FROM record r JOIN revision v ON v.position = {in_force()}"
    " JOIN payload p ON p.position = v.position WHERE v.status = 'asserted' AND r.first_position IN ({})"
    " ORDER BY r.first_position"
)
_LINKING = (
    # CROSS JOIN keeps SQLite from walking all the links there are; PostgreSQL takes it for an inner join.
    f"SELECT c.id, r.first_position FROM record c CROSS JOIN {LINKS} AND r.question <> c.question"
    " WHERE c.question = ? AND t.value = c.id"
)
_LINKING_TO = (
    "SELECT t.value, t.first_position FROM term t WHERE t.field = 'claim.link' AND t.since <= ? AND t.until > ?"
    " AND t.value IN ({})"
)
_STATUSES = (
    f"SELECT r.id, v.status FROM record r JOIN revision v ON v.position = {in_force()}"
    " WHERE r.kind = 'question' AND r.id IN ({})"
)
_SOURCES = (
    "SELECT r.id, v.status, p.field, p.start_earliest, p.end_latest FROM record r"
    f" JOIN revision v ON v.position = {in_force()} LEFT JOIN span p ON p.field = 'source'"
    " AND p.first_position = r.first_position AND p.since <= ? AND p.until > ? WHERE r.kind = 'source' AND r.id IN ({})"
)
_NAMED = (
    # With one field alone SQLite would walk all the terms of it, for each record.
    "SELECT r.id, t.value FROM record r CROSS JOIN term t WHERE t.first_position = r.first_position AND t.field IN (?, '')"
    " AND t.since <= ? AND t.until > ? AND r.kind = ? AND r.id IN ({})"
)


class Weighed(msgspec.Struct, frozen=True):
    """A question's claims on view, in the order of first recording, and all that agreement on it depends on besides."""

    question: str
    varies: bool
    claims: list[agreement.Claim]
    context: agreement.Context
    foreign: list[tuple[str, agreement.Link]]


class _Asked(msgspec.Struct):
    status: str
    varies: bool
    first_position: int


_ASKED = msgspec.json.Decoder(_Asked)


@dataclass(frozen=True, slots=True)
class _Source:
    is_asserted: bool
    published: Bounds | None


class Weighing:
    """Records as of one position, as much of each as is weighed, read once."""

    def __init__(self, access: Reads, at: Standpoint, chosen: Selection) -> None:
        self._access, self.at, self._chosen = access, at, chosen
        self._sources: dict[str, _Source | None] = {}
        self._is_asserted: dict[str, bool] = {}
        self._part_of: dict[str, tuple[str, ...]] = {}
        self._derives_from: dict[str, tuple[str, ...]] = {}

    def weigh(self, public_id: str, document: bytes | None = None) -> Weighed:
        """Gather what agreement on a question depends on; `document` is its representation, if it was read.

        Raises UnknownRecord or Redacted.
        """
        asked = _ASKED.decode(document or view_at(self._access, "question", public_id, self.at).document)
        on_view = self._on_view(asked.first_position) if asked.status == ASSERTED else []
        claims = [each.claim for each in on_view]
        foreign = self._foreign_links(asked.first_position) if claims else []
        return Weighed(public_id, asked.varies, claims, self._context(claims), foreign)

    def weigh_among(self, asked: Mapping[str, Sequence[int]]) -> Iterator[Weighed]:
        """Gather what some of the claims on questions mean to one another: the claims that begin at the positions given.

        The questions are asserted. Links that other claims make to these come as foreign ones.
        """
        position = self.at.position
        told = self._rows(_NAMED, list(asked), "question.varies", position, position, "question")
        varying = {public_id for public_id, value in told if value == "true"}
        for public_id, firsts in asked.items():
            claims = [each.claim for each in self._claims_at(firsts)]
            pairs = list(self._rows(_LINKING_TO, [claim.id for claim in claims], position, position))
            foreign = self._links_from({first for _, first in pairs} - set(firsts), {target for target, _ in pairs})
            yield Weighed(public_id, public_id in varying, claims, self._context(claims), foreign)

    def _on_view(self, question: int) -> list[WeighedClaim]:
        """Give the claims on a question that is asserted which are asserted too, and count at all clocks."""
        found, start, limit = list[WeighedClaim](), 0, _FIRST_CLAIMS
        while True:
            values = (self.at.position, question, start, self.at.position, limit)
            rows, is_cut = self._access.rows_within(_ON_QUESTION, values, _MOST)
            found += self._read(rows)
            if not is_cut and len(rows) < limit:
                return found
            start, limit = rows[-1][1], _CLAIMS

    def _read(self, rows: Sequence[Row]) -> list[WeighedClaim]:
        """Read claims that are asserted, and leave out those that are not on view."""
        self._access.spend(len(rows) * _STEPS_A_CLAIM)
        read = [weighed_payload(first_position, payload) for payload, first_position in rows]
        # Members of lists are weighed one by one.
        self._access.spend(sum(len(entities_in(each.claim.answer)) for each in read) * _STEPS_A_CLAIM)
        self._read_sources(each.claim.source for each in read)
        return [each for each in read if self._is_on_view(each.claim)]

    def _is_on_view(self, claim: agreement.Claim) -> bool:
        source, chosen = self._sources[claim.source], self._chosen
        if source is None or not source.is_asserted:
            return False
        if chosen.published_by is not None:
            was_published = edtf.published_by_certain if chosen.is_certain else edtf.published_by_possible
            if not was_published(source.published, chosen.published_by):
                return False
        holds = edtf.certain if chosen.is_certain else edtf.possible
        return chosen.valid_at is None or holds(claim.valid, chosen.valid_at)

    def _read_sources(self, ids: Iterable[str]) -> None:
        position = self.at.position
        unknown = self._unknown(ids, self._sources)
        self._sources.update(dict.fromkeys(unknown))
        for public_id, status, stated, earliest, latest in self._rows(_SOURCES, unknown, position, position, position):
            self._sources[public_id] = _Source(status == ASSERTED, Bounds(earliest, latest) if stated else None)

    def _foreign_links(self, question: int) -> list[tuple[str, agreement.Link]]:
        """Give the links that claims on view make from other questions."""
        position = self.at.position
        pairs = self._access.rows(_LINKING, (position, position, question))
        return self._links_from({first for _, first in pairs}, {target for target, _ in pairs})

    def _links_from(self, makers: Collection[int], targets: Collection[str]) -> list[tuple[str, agreement.Link]]:
        """Give the links to some claims that those on view make of the claims that begin at some positions."""
        position = self.at.position
        linking = [each.claim for each in self._claims_at(sorted(makers))]
        unknown = self._unknown((claim.question for claim in linking), self._is_asserted)
        self._is_asserted.update(dict.fromkeys(unknown, False))
        self._is_asserted.update(
            (public_id, status == ASSERTED) for public_id, status in self._rows(_STATUSES, unknown, position)
        )
        found = [
            (claim.id, link)
            for claim in linking
            if self._is_asserted[claim.question]
            for link in claim.links
            if link.claim in targets
        ]
        return sorted(found, key=lambda pair: pair[1].position)

    def _claims_at(self, firsts: Sequence[int]) -> Iterator[WeighedClaim]:
        """Give those of some claims that are on view, by where they begin, in that order."""
        while firsts:
            some = firsts[:_AT_ONCE]
            rows, is_cut = self._access.rows_within(*opened(_CLAIMS_AT, some, self.at.position), _MOST)
            yield from self._read(rows)
            firsts = [first for first in firsts if first > (rows[-1][1] if is_cut else some[-1])]

    def _context(self, claims: Sequence[agreement.Claim]) -> agreement.Context:
        entities = {entity for claim in claims for entity in entities_in(claim.answer)}
        sources = {source for claim in claims for source in (claim.source, *claim.via)}
        self._follow(self._part_of, "entity", "part_of", entities)
        self._follow(self._derives_from, "source", "derives_from", sources)
        part_of = {entity: whole[0] if whole else None for entity, whole in self._part_of.items()}
        return agreement.Context(part_of=part_of, derives_from=self._derives_from)

    def _follow(self, known: dict[str, tuple[str, ...]], kind: str, field: str, ids: Iterable[str]) -> None:
        """Follow a relation upward, all that is on one level at once."""
        position, waiting = self.at.position, self._unknown(ids, known)
        while waiting:
            found: dict[str, list[str]] = {public_id: [] for public_id in waiting}
            for public_id, value in self._rows(_NAMED, waiting, f"{kind}.{field}", position, position, kind):
                found[public_id].append(value)
            known.update((public_id, tuple(values)) for public_id, values in found.items())
            waiting = self._unknown((value for values in found.values() for value in values), known)

    def _unknown(self, ids: Iterable[str], known: Mapping[str, object]) -> list[str]:
        return [public_id for public_id in dict.fromkeys(ids) if public_id not in known]

    def _rows(self, sql: str, ids: Sequence[str], *values: Value) -> Iterator[Row]:
        """Run a statement with an open list of ids for as many at once as it takes."""
        for start in range(0, len(ids), _AT_ONCE):
            yield from self._access.rows(*opened(sql, ids[start : start + _AT_ONCE], *values))


def opened(sql: str, some: Sequence[Value], *values: Value) -> tuple[str, tuple[Value, ...]]:
    """Fill a statement's open list, after its other values. The last value is repeated up to a power of two: few statements serve all, and stay compiled."""
    count = 1 << (len(some) - 1).bit_length()
    return sql.format(", ".join("?" * count)), (*values, *some, *[some[-1]] * (count - len(some)))


def add_up(weighed: Weighed) -> agreement.Agreement:
    """Give what the claims on a question add up to."""
    return agreement.agree(weighed.question, weighed.varies, weighed.claims, weighed.context, weighed.foreign)


def state_of(weighed: Weighed) -> agreement.StateOfAgreement:
    """Give the state alone."""
    return agreement.state_of(weighed.question, weighed.varies, weighed.claims, weighed.context, weighed.foreign)


def conflicting(weighed: Weighed, after: tuple[int, int]) -> Iterator[tuple[agreement.Claim, agreement.Claim]]:
    """Give every two claims that conflict, in order, after the first positions of two."""
    weights = weighed.varies, weighed.claims, weighed.context, weighed.foreign
    return agreement.conflicts(*weights, after=after)
