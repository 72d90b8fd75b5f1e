"""An agreement in outline is whole where it is small, and small where it is large."""

import msgspec

from api.domain.agreement.agreement import Claim, Context, agree, conflicts, to_json
from api.domain.agreement.outline import MOST_SHOWN, outline, outline_of_group
from api.domain.records.answer import EntitiesAnswer
from tests.domain.agreement_builders import CONTEXT, a_claim, a_link, number, these, when

LONG = "x" * 90


def _claim(n: int, answer, *, speaker: str | None = None, links=()) -> Claim:
    # Ids as long as they may be.
    name, source = f"{LONG}-c{n:06}", f"{LONG}-s{n:06}"
    return Claim(name, n + 1, source, "q", answer, None, speaker, (), "asserts", links)


def test_a_small_agreement_is_shown_whole():
    claims = [
        a_claim("one", when("2021-01-10")),
        a_claim("two", when("2021-01-11")),
        a_claim("three", when("2021-01-10/2021-01-11")),
    ]
    found = agree("q", False, claims, CONTEXT)
    shown, whole = msgspec.json.decode(msgspec.json.encode(outline(found))), to_json(found)
    for name in ("state", "groups_complete", "not_counting", "superseded", "conflicts", "conflict_count", "rules"):
        assert shown[name] == whole[name], name
    for name in ("groups", "origins"):
        assert shown[f"{name[:-1]}_count"] == len(whole[name])
        for told, all_of_it in zip(shown[name], whole[name], strict=True):
            assert told | all_of_it == told
    assert [group["claim_count"] for group in shown["groups"]] == [len(group.claims) for group in found.groups]


def test_a_large_agreement_is_counted_whole_and_shown_in_less_than_a_mebibyte():
    # Each overlaps with the next two hundred.
    claims = [_claim(n, number(low=str(n), high=str(n + 200))) for n in range(1_000)]
    claims += [_claim(1_000 + n, number(low="0"), speaker=f"{LONG}-{n}") for n in range(50)]
    claims.append(
        _claim(
            1_050,
            number("5"),
            links=tuple(a_link("corrects", claim.id, 200 + n) for n, claim in enumerate(claims[:300])),
        )
    )
    found = agree("q", False, claims, Context({}, {}))
    shown = outline(found)
    assert len(msgspec.json.encode(shown)) < 1 << 20
    assert (shown["group_count"], shown["origin_count"]) == (len(found.groups), len(found.origins))
    assert (shown["superseded_count"], shown["conflict_count"]) == (300, found.conflict_count)
    assert 0 < len(shown["groups"]) < MOST_SHOWN
    assert len(shown["conflicts"]) == MOST_SHOWN


def test_the_members_that_a_group_shares_are_counted_and_the_first_hundred_shown():
    claims = [
        _claim(n, EntitiesAnswer([f"common-{k}" for k in range(90)] + [f"own-{n}-{k}" for k in range(10)]))
        for n in range(5)
    ]
    found = agree("q", False, claims, Context({}, {}))
    shared = outline_of_group(found.groups[0], found.groups[0].claims[:2])["shared"]
    assert (len(shared["members"]), shared["member_count"]) == (MOST_SHOWN, 140)


def test_pairs_that_conflict_go_on_after_any_place():
    answers = [
        these("a", complete=True),
        these("b"),
        these("a"),
        these("c"),
        these("b", "c"),
        these("a", "b", complete=True),
    ]
    claims = [_claim(2 * n, answer) for n, answer in enumerate(answers)]
    every = [(one.first_position, other.first_position) for one, other in conflicts(False, claims, Context({}, {}))]
    assert every == sorted(every)
    assert len(every) == agree("q", False, claims, Context({}, {})).conflict_count > 3
    for first in range(14):
        for second in range(14):
            found = conflicts(False, claims[::-1], Context({}, {}), after=(first, second))
            rest = [(one.first_position, other.first_position) for one, other in found]
            assert rest == [pair for pair in every if pair > (first, second)], (first, second)
