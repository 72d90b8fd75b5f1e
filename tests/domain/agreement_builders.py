"""Claims to test agreement with, and a slow oracle that reads the rules of CONTRIBUTING.md one pair at a time.

The oracle shares nothing with the code under test but the dates and the numbers: no sets of bits, no sweep.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations

from hypothesis import strategies as st

from api.domain.agreement.agreement import Claim, Context, Link
from api.domain.dates import edtf
from api.domain.records.answer import (
    Answer,
    BooleanAnswer,
    EntitiesAnswer,
    EntityAnswer,
    QuantityAnswer,
    TextAnswer,
    TimeAnswer,
    extent_of,
    range_of,
)

PART_OF = {
    "amazon-web-services": "amazon",
    "amazon": None,
    "youtube": "google",
    "google": "alphabet",
    "alphabet": None,
    "facebook": None,
    "apple": None,
    "rebekah-mercer": "mercer-family",
    "mercer-family": None,
    "john-matze": None,
    "andrew-torba": None,
}
DERIVES_FROM = {
    "afp": (),
    "fox": (),
    "lemonde": (),
    "ojim": (),
    "latribune": ("afp",),
    "repost": ("latribune", "fox"),
    "excerpt": ("repost",),
}
CONTEXT = Context(PART_OF, DERIVES_FROM)

YES, NO = BooleanAnswer(value=True), BooleanAnswer(value=False)


def when(date: str) -> TimeAnswer:
    return TimeAnswer(date)


def who(entity: str) -> EntityAnswer:
    return EntityAnswer(entity)


def these(*entities: str, complete: bool = False) -> EntitiesAnswer:
    return EntitiesAnswer(list(entities), complete)


def text(words: str) -> TextAnswer:
    return TextAnswer(words)


def number(
    amount: str | None = None, *, low: str | None = None, high: str | None = None, approximate: bool = False
) -> QuantityAnswer:
    return QuantityAnswer(amount=amount, low=low, high=high, unit="accounts", approximate=approximate)


def a_link(relation: str, claim: str, position: int = 100) -> Link:
    return Link(relation, claim, position)


def a_claim(
    name: str,
    answer: Answer,
    *,
    position: int | None = None,
    source: str | None = None,
    valid: str | None = None,
    speaker: str | None = None,
    via: Sequence[str] = (),
    stance: str = "asserts",
    links: Iterable[Link] = (),
) -> Claim:
    """Make a claim whose source, unless given, is its own, and whose position, unless given, follows its name.

    A time that is answered is when the claim holds, whatever is given.
    """
    held = answer.edtf if isinstance(answer, TimeAnswer) else valid
    return Claim(
        id=name,
        first_position=ord(name[0]) if position is None else position,
        source=f"source-of-{name}" if source is None else source,
        question="parler-offline-when",
        answer=answer,
        valid=None if held is None else edtf.parse(held),
        speaker=speaker,
        via=tuple(via),
        stance=stance,
        links=tuple(links),
    )


# The oracle


def relation(a: Claim, b: Claim, *, varies: bool) -> str:
    """Give meet, conflict or nothing, by the words of CONTRIBUTING.md."""
    linked = [link for maker, other in ((a, b), (b, a)) for link in maker.links if link.claim == other.id]
    linked = [link for link in linked if link.relation in ("contradicts", "corroborates", "repeats")]
    if linked:
        last = max(linked, key=lambda link: link.position)
        return "conflict" if last.relation == "contradicts" else "meet"
    by_answer = _by_denial(a, b) if "denies" in (a.stance, b.stance) else _by_answer(a.answer, b.answer)
    if not varies or isinstance(a.answer, TimeAnswer):
        return by_answer
    if by_answer == "meet":
        return "meet" if edtf.can_coincide(a.valid, b.valid) else "nothing"
    return "conflict" if by_answer == "conflict" and edtf.must_coincide(a.valid, b.valid) else "nothing"


def _by_denial(a: Claim, b: Claim) -> str:
    if isinstance(a.answer, BooleanAnswer) and isinstance(b.answer, BooleanAnswer):
        return _meet_if((a.answer.value != (a.stance == "denies")) == (b.answer.value != (b.stance == "denies")))
    if a.stance == b.stance:
        return "meet" if _equal(a.answer, b.answer) else "nothing"
    denial, claim = (a, b) if a.stance == "denies" else (b, a)
    return "conflict" if _lies_within(claim.answer, denial.answer) else "nothing"


def _by_answer(a: Answer, b: Answer) -> str:
    if isinstance(a, TimeAnswer) and isinstance(b, TimeAnswer):
        return _meet_if(edtf.can_coincide(extent_of(a), extent_of(b)))
    if isinstance(a, QuantityAnswer) and isinstance(b, QuantityAnswer):
        return _meet_if(_numbers_overlap(a, b))
    if isinstance(a, EntityAnswer) and isinstance(b, EntityAnswer):
        return _meet_if(_akin(a.entity, b.entity))
    if isinstance(a, BooleanAnswer) and isinstance(b, BooleanAnswer):
        return _meet_if(a.value == b.value)
    if isinstance(a, EntitiesAnswer) and isinstance(b, EntitiesAnswer):
        return _by_lists(a, b)
    return "nothing"


def _by_lists(a: EntitiesAnswer, b: EntitiesAnswer) -> str:
    for one, other in ((a, b), (b, a)):
        if one.complete and any(not any(_akin(m, n) for n in one.entities) for m in other.entities):
            return "conflict"
    return "meet" if any(_akin(m, n) for m in a.entities for n in b.entities) else "nothing"


def _meet_if(condition: bool) -> str:
    return "meet" if condition else "conflict"


def _akin(a: str, b: str) -> bool:
    return _is_part(a, b) or _is_part(b, a)


def _is_part(part: str | None, whole: str) -> bool:
    return part is not None and (part == whole or _is_part(PART_OF[part], whole))


def _numbers_overlap(a: QuantityAnswer, b: QuantityAnswer) -> bool:
    first, second = range_of(a), range_of(b)
    return all(
        one.low is None or other.high is None or one.low <= other.high
        for one, other in ((first, second), (second, first))
    )


def _equal(a: Answer, b: Answer) -> bool:
    if isinstance(a, TimeAnswer) and isinstance(b, TimeAnswer):
        return extent_of(a) == extent_of(b)
    if isinstance(a, QuantityAnswer) and isinstance(b, QuantityAnswer):
        return range_of(a) == range_of(b)
    if isinstance(a, EntitiesAnswer) and isinstance(b, EntitiesAnswer):
        return {*a.entities} == {*b.entities} and a.complete == b.complete
    return a == b


def _lies_within(answer: Answer, denied: Answer) -> bool:
    if isinstance(answer, TimeAnswer) and isinstance(denied, TimeAnswer):
        (start, end), (first, last) = _ends(answer), _ends(denied)
        return first <= start and end <= last
    if isinstance(answer, QuantityAnswer) and isinstance(denied, QuantityAnswer):
        inner, outer = range_of(answer), range_of(denied)
        is_above = outer.low is None or (inner.low is not None and inner.low >= outer.low)
        return is_above and (outer.high is None or (inner.high is not None and inner.high <= outer.high))
    if isinstance(answer, EntityAnswer) and isinstance(denied, EntityAnswer):
        return _is_part(answer.entity, denied.entity)
    if isinstance(answer, EntitiesAnswer) and isinstance(denied, EntitiesAnswer):
        is_closed_enough = answer.complete or not denied.complete
        return is_closed_enough and all(any(_is_part(m, n) for n in denied.entities) for m in answer.entities)
    return answer == denied


def _ends(answer: TimeAnswer) -> tuple[int, int]:
    extent = extent_of(answer)
    start, end = extent.start.earliest, extent.end.latest
    return edtf.OPEN_START if start is None else start, edtf.OPEN_END if end is None else end


def superseded(claims: Sequence[Claim]) -> set[str]:
    """Give the claims corrected or superseded; of two that do so to each other, the one whose own link is older."""
    out = set()
    for a, b in combinations(claims, 2):
        mutual = [
            (link.position, link.claim)
            for maker, other in ((a, b), (b, a))
            for link in maker.links
            if link.claim == other.id and link.relation in ("corrects", "supersedes")
        ]
        if mutual:
            out.add(max(mutual)[1])
    return out


def counting(claims: Sequence[Claim]) -> list[Claim]:
    gone = superseded(claims)
    return [claim for claim in claims if claim.id not in gone and claim.stance in ("asserts", "denies", "alleges")]


def groups(claims: Sequence[Claim], *, varies: bool) -> set[frozenset[str]]:
    """Try every set of counting claims and keep those that meet pairwise and lie within no other such set."""
    those = counting(claims)
    met = {(a.id, b.id) for a, b in combinations(those, 2) if relation(a, b, varies=varies) == "meet"}
    sets = [
        frozenset(some)
        for size in range(1, len(those) + 1)
        for some in combinations([claim.id for claim in those], size)
        if all(pair in met for pair in combinations(some, 2))
    ]
    return {one for one in sets if not any(one < other for other in sets)}


def origins(claims: Sequence[Claim], *, varies: bool) -> set[frozenset[str]]:
    """Join whatever shares a root or repeats, until nothing more joins."""
    those = counting(claims)
    parts = [{claim.id} for claim in those]
    for a, b in combinations(those, 2):
        if _roots(a) & _roots(b) or (_repeats(a, b) and relation(a, b, varies=varies) == "meet"):
            joined = [part for part in parts if a.id in part or b.id in part]
            parts = [part for part in parts if part not in joined] + [set().union(*joined)]
    return {frozenset(part) for part in parts}


def _repeats(a: Claim, b: Claim) -> bool:
    return any(
        link.relation == "repeats" and link.claim == other.id
        for maker, other in ((a, b), (b, a))
        for link in maker.links
    )


def _roots(claim: Claim) -> set[tuple[str, str]]:
    roots = {("speaker", claim.speaker)} if claim.speaker else set()
    if claim.via:
        return roots | _source_roots(claim.via[-1])
    return roots or _source_roots(claim.source)


def _source_roots(source: str) -> set[tuple[str, str]]:
    parents = DERIVES_FROM.get(source, ())
    return set().union(*(_source_roots(parent) for parent in parents)) if parents else {("source", source)}


def state(claims: Sequence[Claim], *, varies: bool) -> str:
    those = counting(claims)
    if any(relation(a, b, varies=varies) == "conflict" for a, b in combinations(those, 2)):
        return "disputed"
    if len(origins(claims, varies=varies)) == 1:
        return "single-origin"
    return "agreed" if agreeing(claims, varies=varies) else "open"


def agreeing(claims: Sequence[Claim], *, varies: bool) -> set[frozenset[str]]:
    """Give the groups any of which makes an agreement, where nothing conflicts."""
    those = {claim.id for claim in counting(claims) if claim.stance in ("asserts", "denies")}
    parts, found = origins(claims, varies=varies), groups(claims, varies=varies)
    return {
        group
        for group in found
        if not group <= set().union(*(other for other in found if other != group))
        and sum(bool(part & group & those) for part in parts) > 1
        and 2 * sum(bool(part & group) for part in parts) > len(parts)
    }


# Claims at random

DATES = (
    "2021",
    "2021-01",
    "2021-01-10",
    "2021-01-11",
    "2021-01-11~",
    "2021-01-10T23:59",
    "2021-01-11T08:00Z",
    "[2021-01-11T09:00+01:00..2021-01-11T09:30+01:00]",
    "2021-01-09/2021-01-11",
    "[2021-01-09..2021-01-11]",
    "2020-11/..",
    "2020-11/",
    "/2021-01-10",
    "[..2021-01-10]",
    "[2021-01-12..]",
)
ANSWERS: tuple[tuple[Answer, ...], ...] = (
    tuple(when(date) for date in DATES),
    (
        number("4000000"),
        number("10000000"),
        number("10000000.0"),
        number("10000000", approximate=True),
        number("10400000", approximate=True),
        number("15000000", high="15000000", approximate=True),
        number(low="10500000"),
        number(high="10500000"),
        number("70", low="70"),
    ),
    tuple(who(name) for name in ("amazon", "amazon-web-services", "google", "youtube", "alphabet", "facebook")),
    (YES, NO),
    (text("to slow it down"), text("for its moderation")),
    (
        these("apple", "google"),
        these("google", "apple"),
        these("apple", "google", complete=True),
        these("apple", "youtube"),
        these("apple", "google", "amazon-web-services"),
        these("amazon"),
        these("amazon", complete=True),
        these("facebook", "amazon-web-services", complete=True),
        these("alphabet", complete=True),
    ),
)
NAMES = "abcdefgh"
STANCES = ("asserts", "asserts", "asserts", "denies", "alleges", "predicts", "doubts", "reports-hearsay")
RELATIONS = ("contradicts", "corroborates", "repeats", "corrects", "supersedes")


@st.composite
def some_claims(draw: st.DrawFn, *, linked: bool = True) -> list[Claim]:
    """Up to eight claims in answer to one question, in the order of recording."""
    answers = draw(st.sampled_from(ANSWERS))
    names = NAMES[: draw(st.integers(0, len(NAMES)))]
    made: dict[str, list[Link]] = {name: [] for name in names}
    if linked and len(names) > 1:
        pair = st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True)
        for position, (maker, target) in enumerate(draw(st.lists(pair, max_size=4))):
            made[maker].append(a_link(draw(st.sampled_from(RELATIONS)), target, 100 + position))
    return [
        a_claim(
            name,
            draw(st.sampled_from(answers)),
            source=draw(st.sampled_from(sorted(DERIVES_FROM))),
            valid=draw(st.sampled_from((None, *DATES))),
            speaker=draw(st.sampled_from((None, None, "john-matze", "andrew-torba"))),
            via=draw(st.sampled_from(((), (), ("afp",), ("afp", "fox"), ("excerpt",)))),
            stance=draw(st.sampled_from(STANCES)),
            links=made[name],
        )
        for name in names
    ]
