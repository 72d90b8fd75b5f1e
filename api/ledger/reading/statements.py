"""Statements: what one speaker, or one source, said over time, question by question, and what it contradicts of itself.

They are live claims in the order of when their sources were published. What conflicts is sought for a page at a time,
among all that the same voice says at the standpoint on the questions of the page.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import msgspec
from msgspec import Raw

from api.domain.agreement.itself import Against, against
from api.domain.agreement.outline import MOST_SHOWN
from api.domain.dates.asof import AsOf, Standpoint
from api.domain.log.event import KindName
from api.ledger.reading.beside import Beside, Documents, with_beside
from api.ledger.reading.lists import select
from api.ledger.reading.selection import Selection
from api.ledger.reading.standpoint import Page, locate
from api.ledger.reading.views import view_at
from api.ledger.reading.weighing import Weighing, opened
from api.ledger.storage.reads import Reads

# Bytes of what stands beside the claims of a page: a hundred long ids each would fill several pages.
_MOST_AROUND = 256 << 10
# The claims of a voice on some questions. CROSS JOIN keeps SQLite from walking the claims on the questions, which may be
# many more; PostgreSQL takes it for an inner join.
_SPOKEN = (
    "SELECT q.id, r.first_position FROM term t CROSS JOIN record r CROSS JOIN record q WHERE t.field = 'claim.speaker'"
    " AND t.value = ? AND t.since <= ? AND t.until > ? AND r.first_position = t.first_position"
    " AND q.first_position = r.question AND q.id IN ({}) ORDER BY r.first_position"
)
_WRITTEN = (
    "SELECT q.id, r.first_position FROM record s CROSS JOIN record r CROSS JOIN record q WHERE s.kind = 'source'"
    " AND s.id = ? AND r.source = s.first_position AND r.first_position <= ? AND r.first_position <= ?"
    " AND q.first_position = r.question AND q.id IN ({}) ORDER BY r.first_position"
)


@dataclass(frozen=True, slots=True)
class Voice:
    """Who says something: an entity as a speaker, or a source."""

    kind: KindName
    id: str

    def choose(self, chosen: Selection) -> Selection:
        """Narrow a selection to what this voice says, in the order of when it was published."""
        said = "speaker" if self.kind == "entity" else "source"
        return replace(chosen, terms=[*chosen.terms, (said, self.id)], is_live=True, order="published")


class _Claim(msgspec.Struct):
    id: str
    source: str
    question: str


class _Source(msgspec.Struct):
    published: str | None


_NOTHING = Against((), ())
_CLAIM, _SOURCE = msgspec.json.Decoder(_Claim), msgspec.json.Decoder(_Source)


def statements(access: Reads, voice: Voice, chosen: Selection, beside: Beside) -> tuple[Page, dict[str, Documents]]:
    """Give a page of what a voice says, and what is wanted beside it. Raises UnknownRecord, Redacted or NotYet."""
    at = locate(access, chosen.asked)
    view_at(access, voice.kind, voice.id, at)
    page, ids = select(access, voice.choose(replace(chosen, asked=AsOf(position=at.position))))
    page = replace(page, at=at)
    said = [_CLAIM.decode(item) for item in page.items]
    told = _against(access, voice, said, Weighing(access, at, chosen))
    # What is redacted while the page is read may be among its claims still, and no longer among what they stand on.
    around = [_around(told.get(public_id, _NOTHING)) for public_id in ids]
    page, found = with_beside(access, page.first(_fitting(around)), "claim", _with_sources(beside))
    published = {one: _SOURCE.decode(document).published for one, document in found["source"].items()}
    items = [
        msgspec.json.encode({"claim": Raw(item), "published": published.get(each.source), **those})
        for item, each, those in zip(page.items, said, around, strict=False)
    ]
    return replace(page, items=items), {
        kind: found[kind] for kind in found if kind != "source" or kind in beside.grounds
    }


def _with_sources(beside: Beside) -> Beside:
    return replace(beside, grounds=tuple(dict.fromkeys((*beside.grounds, "source"))))


def _against(access: Reads, voice: Voice, said: Sequence[_Claim], weighing: Weighing) -> dict[str, Against]:
    """Give for each claim of a page what it contradicts of all that the voice says."""
    wanted, found = {each.id for each in said}, dict[str, Against]()
    for weighed in weighing.weigh_among(_own(access, voice, (each.question for each in said), weighing.at)):
        found |= against(weighed.varies, weighed.claims, weighed.context, weighed.foreign, wanted)
    return found


def _own(access: Reads, voice: Voice, questions: Iterable[str], at: Standpoint) -> dict[str, list[int]]:
    """Give for each question where the claims of a voice on it begin."""
    found: dict[str, list[int]] = {}
    those = list(dict.fromkeys(questions))
    if those:
        sql = _SPOKEN if voice.kind == "entity" else _WRITTEN
        for question, first in access.rows(*opened(sql, those, voice.id, at.position, at.position)):
            found.setdefault(question, []).append(first)
    return found


def _around(told: Against) -> Mapping[str, object]:
    return {
        "conflicts": tuple(told.conflicts[:MOST_SHOWN]),
        "conflict_count": len(told.conflicts),
        "superseded_by": told.superseded_by[:MOST_SHOWN],
    }


def _fitting(around: Sequence[Mapping[str, object]]) -> int:
    """Count the items whose surroundings fit on a page, one at least."""
    sizes = accumulate(len(msgspec.json.encode(each)) for each in around)
    return max(1, sum(size <= _MOST_AROUND for size in sizes))
