"""What the claims on a question add up to: states, origins, groups and what they share, by cases from the documents."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.domain.agreement.agreement import MAX_CONFLICTS, MAX_GROUPS, Agreement, Claim, Link, agree, state_of, to_json
from api.domain.agreement.majority import MOST_SAID
from api.domain.computed import RULES
from api.domain.dates import edtf
from api.domain.records.answer import TimeAnswer, extent_of
from tests.domain.agreement_builders import (
    CONTEXT,
    NO,
    YES,
    a_claim,
    a_link,
    agreeing,
    groups,
    number,
    origins,
    some_claims,
    state,
    superseded,
    text,
    these,
    when,
    who,
)

MONDAY = when("2021-01-11")
SHORTLY_AFTER_NINE_IN_PARIS = when("[2021-01-11T09:00+01:00..2021-01-11T09:30+01:00]")
Q = "parler-offline-when"


def added_up(*claims: Claim, varies: bool = False, foreign: tuple[tuple[str, Link], ...] = ()) -> Agreement:
    agreement = agree(Q, varies, claims, CONTEXT, foreign)
    assert state_of(Q, varies, claims, CONTEXT, foreign) == agreement.state
    return agreement


def grouped(agreement: Agreement) -> list[str]:
    return ["".join(group.claims) for group in agreement.groups]


def shared(agreement: Agreement) -> Any:
    """Give the wire form of what the first group shares."""
    return json.loads(json.dumps(to_json(agreement)))["groups"][0]["shared"]


def parts(agreement: Agreement) -> list[str]:
    return ["".join(origin.claims) for origin in agreement.origins]


# The state


def test_a_question_without_claims_is_open() -> None:
    assert added_up().state == "open"
    assert not added_up().groups


def test_a_question_with_only_a_forecast_is_open() -> None:
    assert added_up(a_claim("a", MONDAY, stance="predicts")).state == "open"


def test_two_papers_that_meet_agree() -> None:
    assert added_up(a_claim("a", MONDAY), a_claim("b", SHORTLY_AFTER_NINE_IN_PARIS)).state == "agreed"


def test_two_papers_that_conflict_dispute() -> None:
    claims = a_claim("a", SHORTLY_AFTER_NINE_IN_PARIS), a_claim("b", when("2021-01-10T00:00"))
    assert added_up(*claims).state == "disputed"


def test_one_paper_that_contradicts_itself_disputes() -> None:
    claims = [a_claim(name, who(entity), source="lemonde") for name, entity in (("a", "google"), ("b", "apple"))]
    assert added_up(*claims).state == "disputed"


def test_claims_that_say_nothing_to_each_other_leave_a_question_open() -> None:
    assert added_up(a_claim("a", text("political")), a_claim("b", text("moderation"))).state == "open"


def test_a_dispute_outranks_an_agreement() -> None:
    assert added_up(a_claim("a", YES), a_claim("b", YES), a_claim("c", NO)).state == "disputed"


# Stances


@pytest.mark.parametrize("stance", ["asserts", "denies", "alleges"])
def test_these_stances_can_dispute(stance: str) -> None:
    claims = [a_claim("a", YES, stance=stance), a_claim("b", YES if stance == "denies" else NO)]
    assert added_up(*claims).state == "disputed"


@pytest.mark.parametrize("stance", ["predicts", "doubts", "reports-hearsay"])
def test_these_stances_can_neither_dispute_nor_agree(stance: str) -> None:
    differs, fits = a_claim("b", NO, stance=stance), a_claim("c", YES, stance=stance)
    agreement = added_up(a_claim("a", YES), differs, fits)
    assert agreement.state == "single-origin"
    assert (tuple(agreement.groups[0].claims), tuple(agreement.groups[0].beside)) == (("a",), ("c",))
    assert agreement.not_counting == ("b",)


def test_two_allegations_stand_in_one_group_and_agree_nothing() -> None:
    claims = [a_claim(name, YES, stance="alleges") for name in "ab"]
    agreement = added_up(*claims)
    assert (agreement.state, grouped(agreement)) == ("open", ["ab"])
    assert added_up(*claims, a_claim("c", YES)).state == "open"
    assert added_up(*claims, a_claim("c", YES), a_claim("d", YES)).state == "agreed"


def test_a_denial_of_one_value_agrees_with_the_assertion_of_the_other() -> None:
    agreement = added_up(a_claim("a", YES, stance="denies"), a_claim("b", NO))
    assert agreement.state == "agreed"
    assert shared(agreement) == {
        "type": "members",
        "members": [{"value": False, "origins": 2}],
    }


def test_two_denials_of_one_answer_agree_and_say_what_they_deny() -> None:
    agreement = added_up(*(a_claim(name, who("facebook"), stance="denies") for name in "ab"))
    assert (agreement.state, agreement.groups[0].is_denied) == ("agreed", True)
    assert shared(agreement)["members"] == [{"value": "facebook", "origins": 2}]


# Origins


def test_three_papers_that_quote_one_man_are_one_origin() -> None:
    claims = [a_claim(name, these("apple", "google"), speaker="john-matze") for name in "abc"]
    agreement = added_up(*claims)
    assert (agreement.state, parts(agreement)) == ("single-origin", ["abc"])
    assert (agreement.origins[0].speakers, agreement.origins[0].sources) == (("john-matze",), ())


def test_two_papers_that_run_one_agency_are_one_origin() -> None:
    claims = [a_claim("a", MONDAY, source="latribune"), a_claim("b", MONDAY, source="ojim", via=["afp"])]
    assert parts(added_up(*claims)) == ["ab"]
    assert added_up(*claims).origins[0].sources == ("afp",)


def test_only_the_end_of_the_chain_counts() -> None:
    first = a_claim("a", MONDAY, via=["latribune", "afp", "fox"])
    assert parts(added_up(first, a_claim("b", MONDAY, source="fox"))) == ["ab"]
    assert parts(added_up(first, a_claim("b", MONDAY, source="afp"))) == ["a", "b"]


def test_a_speaker_takes_the_place_of_the_source_but_stands_beside_the_chain() -> None:
    own = a_claim("b", MONDAY, source="lemonde")
    assert parts(added_up(a_claim("a", MONDAY, source="lemonde", speaker="john-matze"), own)) == ["a", "b"]
    joined = a_claim("c", MONDAY, source="latribune", speaker="john-matze", via=["lemonde"])
    assert parts(added_up(a_claim("a", MONDAY, source="ojim", speaker="john-matze"), own, joined)) == ["abc"]


def test_a_source_has_the_roots_of_all_it_derives_from() -> None:
    agreement = added_up(
        *(a_claim(name, MONDAY, source=s) for name, s in (("a", "excerpt"), ("b", "afp"), ("c", "fox")))
    )
    assert (parts(agreement), agreement.origins[0].sources) == (["abc"], ("afp", "fox"))


def test_a_claim_that_repeats_another_is_of_its_origin() -> None:
    agreement = added_up(a_claim("a", text("x")), a_claim("b", text("y"), links=[a_link("repeats", "a")]))
    assert (agreement.state, parts(agreement), grouped(agreement)) == ("single-origin", ["ab"], ["ab"])


def test_a_later_contradiction_undoes_a_repetition() -> None:
    links = [a_link("repeats", "a", 9), a_link("contradicts", "a", 10)]
    agreement = added_up(a_claim("a", text("x")), a_claim("b", text("y"), links=links))
    assert (agreement.state, parts(agreement)) == ("disputed", ["a", "b"])


def test_a_later_corroboration_leaves_a_repetition_standing() -> None:
    links = [a_link("repeats", "a", 9), a_link("corroborates", "a", 10)]
    assert parts(added_up(a_claim("a", text("x")), a_claim("b", text("y"), links=links))) == ["ab"]


def test_claims_that_do_not_count_join_no_origins() -> None:
    forecast = a_claim("c", MONDAY, source="excerpt", stance="predicts")
    assert parts(added_up(a_claim("a", MONDAY, source="afp"), a_claim("b", MONDAY, source="fox"), forecast)) == [
        "a",
        "b",
    ]


# Claims that no longer count


def test_a_corrected_claim_stays_on_view_and_counts_no_more() -> None:
    correction = a_claim("b", when("2021-01-10T23:59"), links=[a_link("corrects", "a")])
    agreement = added_up(a_claim("a", when("2020")), correction)
    assert (agreement.state, grouped(agreement)) == ("single-origin", ["b"])
    assert [(each.claim, each.by) for each in agreement.superseded] == [("a", ("b",))]


def test_a_claim_on_another_question_can_supersede() -> None:
    agreement = added_up(a_claim("a", MONDAY), foreign=(("elsewhere", a_link("supersedes", "a")),))
    assert (agreement.state, agreement.superseded[0].by) == ("open", ("elsewhere",))


def test_a_claim_on_another_question_can_do_no_more_than_that() -> None:
    claims = [a_claim("a", text("x")), a_claim("b", text("y"))]
    assert added_up(*claims, foreign=(("elsewhere", a_link("contradicts", "a")),)) == added_up(*claims)


def test_what_a_superseded_claim_superseded_stays_superseded() -> None:
    second = a_claim("b", when("2020"), links=[a_link("supersedes", "a", 8)])
    third = a_claim("c", MONDAY, links=[a_link("supersedes", "b", 9)])
    assert [each.claim for each in added_up(a_claim("a", when("2019")), second, third).superseded] == ["a", "b"]


def test_a_forecast_that_was_corrected_stands_beside_nothing() -> None:
    forecast = a_claim("a", MONDAY, stance="predicts")
    agreement = added_up(forecast, a_claim("b", MONDAY, links=[a_link("corrects", "a")]))
    assert (agreement.groups[0].beside, agreement.not_counting) == ((), ())


# Groups


def test_a_vague_claim_stands_in_several_groups() -> None:
    claims = [a_claim("a", when("2021-01")), a_claim("b", when("2021-01-05")), a_claim("c", MONDAY)]
    agreement = added_up(*claims)
    assert (agreement.state, grouped(agreement)) == ("disputed", ["ab", "ac"])
    assert agreement.conflicts == (("b", "c"),)


def test_groups_stand_in_the_order_of_the_origins_in_their_core_then_of_their_first_claim() -> None:
    told = (("a", "3"), ("b", "1"), ("c", "2"), ("d", "1"), ("e", "2"), ("f", "4"))
    claims = [a_claim(name, number(amount)) for name, amount in told]
    assert grouped(added_up(*reversed(claims))) == ["bd", "ce", "a", "f"]
    claims += [a_claim(name, number("4"), source="ojim") for name in "gh"]
    assert grouped(added_up(*claims)) == ["bd", "ce", "fgh", "a"], "by origins, not by claims"


def test_a_group_of_which_each_claim_stands_in_another_too_is_a_bridge_and_comes_last() -> None:
    # What is vague overlaps where nobody stated anything.
    spans = {"a": ("1", "6"), "b": ("2", "7"), "c": ("5", "9"), "d": ("6", "10"), "e": ("2", "2"), "f": ("9", "9")}
    claims = [a_claim(name, number(low=low, high=high)) for name, (low, high) in spans.items()]
    agreement = added_up(*claims)
    assert grouped(agreement) == ["abe", "cdf", "abcd"]
    assert [tuple(group.core) for group in agreement.groups] == [("e",), ("f",), ()]
    assert [group.is_bridge for group in agreement.groups] == [False, False, True]


# A majority


@pytest.mark.parametrize(
    ("together", "alone", "state_of_it"),
    [
        ("ab", "", "agreed"),
        ("ab", "c", "agreed"),
        ("ab", "cd", "open"),
        ("abc", "de", "agreed"),
        ("abc", "def", "open"),
    ],
)
def test_most_of_all_origins_must_stand_in_one_group(together: str, alone: str, state_of_it: str) -> None:
    said = [a_claim(name, these("apple", name)) for name in together]
    said += [a_claim(name, these(name)) for name in alone]
    assert added_up(*said).state == state_of_it


def test_an_origin_counts_once_however_much_it_says() -> None:
    said = [a_claim(name, these("apple", name)) for name in "ab"]
    said += [a_claim(name, these(name), source="ojim") for name in "cdefg"]
    assert added_up(*said).state == "agreed"


def test_a_bridge_makes_no_agreement() -> None:
    # Each of three meets two others that do not meet: the one group that holds all three is a bridge.
    pairs = ("ab", "bc", "ca")
    said = [a_claim(name, these(*pair)) for name, pair in zip("xyz", pairs, strict=True)]
    assert added_up(*said).state == "agreed"
    said += [a_claim(name, these(name)) for name in "abc"]
    agreement = added_up(*said)
    assert (agreement.state, grouped(agreement)[-1], agreement.groups[-1].is_bridge) == ("open", "xyz", True)


def test_texts_agree_where_links_hold_most_of_them_together() -> None:
    said = [a_claim("a", text("x")), a_claim("b", text("y"), links=[a_link("corroborates", "a")])]
    assert added_up(*said, a_claim("c", text("z"))).state == "agreed"
    assert added_up(*said, a_claim("c", text("z")), a_claim("d", text("z"))).state == "open"


@pytest.mark.parametrize(("more", "state_of_it"), [(0, "agreed"), (1, "open")])
def test_among_more_things_than_a_reader_can_weigh_no_majority_is_sought(more: int, state_of_it: str) -> None:
    said = [a_claim(f"c{i}", these("apple", f"e{i}"), position=i) for i in range(MOST_SAID + more)]
    assert added_up(*said).state == state_of_it
    # Of times and numbers it is told at once, however many there are.
    ranges = [a_claim(f"c{i}", number(low=str(i), high="1000"), position=i) for i in range(MOST_SAID + more)]
    assert added_up(*ranges).state == "agreed"


def test_a_group_names_each_source_once_and_divides_its_claims_by_origin() -> None:
    told = (("a", "ojim"), ("b", "lemonde"), ("c", "ojim"))
    group = added_up(*(a_claim(name, MONDAY, source=source) for name, source in told)).groups[0]
    assert (group.sources, group.origins) == (("ojim", "lemonde"), (("a", "c"), ("b",)))


def test_a_group_shares_the_time_that_all_its_claims_allow() -> None:
    agreement = added_up(a_claim("a", MONDAY), a_claim("b", SHORTLY_AFTER_NINE_IN_PARIS))
    assert shared(agreement) == {
        "type": "time",
        "bounds": {"earliest": "2021-01-11T08:00:00.000000Z", "latest": "2021-01-11T08:31:00.000000Z"},
    }


@pytest.mark.parametrize(
    ("one", "other", "latest"), [("2018/..", "2017/..", ".."), ("2018/", "2017/", None), ("2018/", "2017/..", None)]
)
def test_a_shared_time_without_end_is_open_only_if_every_end_is(one: str, other: str, latest: str | None) -> None:
    agreement = added_up(a_claim("a", when(one)), a_claim("b", when(other)))
    assert shared(agreement)["bounds"] == {
        "earliest": "2017-12-31T10:00:00.000000Z",
        "latest": latest,
    }


def test_a_group_shares_the_numbers_that_all_its_claims_allow_in_plain_digits() -> None:
    claims = [a_claim("a", number(low="600000", high="700000")), a_claim("b", number("650000.50", approximate=True))]
    assert shared(added_up(*claims)) == {
        "type": "quantity",
        "low": "617500.475",
        "high": "682500.525",
    }
    small = added_up(a_claim("a", number("0.00000001", low="0.00000001")))
    assert shared(small) == {"type": "quantity", "low": "0.00000001", "high": None}


@pytest.mark.parametrize(
    "amount",
    [
        "9" * 28,
        "1" + "0" * 27 + "1",
        "12345678901234567890123456789",
        "1" * 39,
        "9" * 40,
        "-" + "7" * 39,
        "0." + "0" * 37 + "1",
        "1234567890123456789.0123456789012345678",
    ],
)
def test_numbers_are_shown_with_every_digit_that_was_stated(amount: str) -> None:
    found = shared(added_up(a_claim("a", number(amount)), a_claim("b", number(amount))))
    assert found == {"type": "quantity", "low": amount, "high": amount}


def test_what_is_about_a_number_is_told_to_the_last_digit() -> None:
    amount = "9" * 40
    found = shared(added_up(a_claim("a", number(amount, approximate=True))))
    exact = int(amount)
    assert (found["low"], found["high"]) == (_hundredths(exact * 95), _hundredths(exact * 105))


def _hundredths(number: int) -> str:
    return f"{number // 100}.{number % 100:02}".rstrip("0").rstrip(".")


def test_numbers_that_differ_in_their_last_digit_conflict() -> None:
    one, other = (a_claim(digit, number("1" * 39 + digit)) for digit in "12")
    assert added_up(one, other).state == "disputed"


@pytest.mark.parametrize(
    ("stated", "shown"), [("-0", "0"), ("-0.00", "0"), ("0", "0"), ("10.50", "10.5"), ("100", "100"), ("-1.0", "-1")]
)
def test_a_number_is_shown_without_needless_zeros_and_zero_without_a_sign(stated: str, shown: str) -> None:
    assert shared(added_up(a_claim("a", number(stated))))["low"] == shown


def test_members_count_the_origins_that_name_them_or_a_part_of_them() -> None:
    couple, family = these("john-matze", "rebekah-mercer"), these("john-matze", "mercer-family")
    told = (("a", couple, "latribune"), ("b", couple, "afp"), ("c", family, "lemonde"))
    claims = [a_claim(name, answer, source=source) for name, answer, source in told]
    members = shared(added_up(*claims))["members"]
    assert members == [
        {"value": "john-matze", "origins": 2},
        {"value": "rebekah-mercer", "origins": 1},
        {"value": "mercer-family", "origins": 2},
    ]


def test_claims_that_only_a_link_holds_together_share_nothing() -> None:
    link = a_link("corroborates", "a")
    assert added_up(a_claim("a", text("x")), a_claim("b", text("y"), links=[link])).groups[0].shared is None
    assert added_up(a_claim("a", when("2020")), a_claim("b", MONDAY, links=[link])).groups[0].shared is None


def test_more_groups_than_are_shown_are_said_to_be_more() -> None:
    claims = [a_claim(f"c{i}", number(str(i)), position=i) for i in range(MAX_GROUPS + 1)]
    assert added_up(*claims[:-1]).groups_complete
    agreement = added_up(*claims)
    assert (len(agreement.groups), agreement.groups_complete) == (MAX_GROUPS, False)
    assert agreement.groups[-1].claims == (f"c{MAX_GROUPS - 1}",)
    assert (len(agreement.conflicts), agreement.conflict_count) == (MAX_CONFLICTS, 201 * 200 // 2)
    assert agreement.conflicts[0] == ("c0", "c1")


def test_the_core_of_a_group_is_its_own_even_where_not_all_groups_are_sought() -> None:
    """What stands in a group that was not found stands in another all the same."""
    told = {"x": ["y", "z"], "y": ["z"], "p": ["x"], "q": ["y"], "r": ["z"]}
    places = {"x": 0, "y": 1_000, "z": 1_001, "p": 1_002, "q": 1_003, "r": 1_004}
    claims = [
        a_claim(name, text(name), position=place, links=[a_link("corroborates", one) for one in told.get(name, ())])
        for name, place in places.items()
    ]
    claims += [a_claim(f"c{i}", text(str(i)), position=i) for i in range(1, MAX_GROUPS + 10)]
    agreement = added_up(*claims)
    assert not agreement.groups_complete
    assert ("y", "q") not in {tuple(group.claims) for group in agreement.groups}
    assert ("x", "y", "z") not in {tuple(group.claims) for group in agreement.groups if not group.is_bridge}


def test_the_groups_that_make_an_agreement_are_shown_though_many_come_before_them() -> None:
    """Of three origins each two that a link joins are most; the first of them says much else before that."""
    claims = [a_claim(f"c{i}", text(str(i)), source="ojim", position=i) for i in range(MAX_GROUPS + 10)]
    claims += [
        a_claim("x", text("x"), source="ojim", position=1_000),
        a_claim("y", text("y"), position=1_001, links=[a_link("corroborates", "x")]),
        a_claim("z", text("z"), position=1_002, links=[a_link("corroborates", "y")]),
    ]
    agreement = added_up(*claims)
    assert (agreement.state, len(agreement.groups), agreement.groups_complete) == ("agreed", MAX_GROUPS, False)
    assert [(tuple(group.claims), tuple(group.core)) for group in agreement.groups[-3:]] == [
        ((f"c{MAX_GROUPS - 3}",), (f"c{MAX_GROUPS - 3}",)),
        (("x", "y"), ("x",)),
        (("y", "z"), ("z",)),
    ]


@given(some_claims(), st.booleans(), st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_what_makes_an_agreement_is_shown_before_all_else(claims: list[Claim], varies: bool, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.domain.agreement.agreement.MAX_GROUPS", most)
        agreement = added_up(*claims, varies=varies)
    whole = added_up(*claims, varies=varies)
    shown = [frozenset(group.claims) for group in agreement.groups]
    telling = agreeing(claims, varies=varies) if agreement.state == "agreed" else set()
    assert len(telling & {*shown}) == min(len(telling), most)
    assert len(shown) == min(len(whole.groups), most)
    assert agreement.groups == tuple(group for group in whole.groups if group in agreement.groups)


def test_links_made_to_multiply_groups_do_not_multiply_the_work() -> None:
    def against(i: int) -> list[Link]:
        return [a_link("contradicts", f"c{i + 1}", i)] if i % 2 == 0 else []

    agreement = added_up(*(a_claim(f"c{i}", YES, position=i, links=against(i)) for i in range(200)))
    assert (len(agreement.groups), agreement.groups_complete) == (MAX_GROUPS, False)
    assert agreement.groups[0].claims == tuple(f"c{i}" for i in range(0, 200, 2))


def test_a_long_chain_of_retold_and_repeated_claims_is_one_origin() -> None:
    claims = [a_claim(f"c{i}", MONDAY, position=i, links=[a_link("repeats", f"c{i + 1}", i)]) for i in range(2_000)]
    assert added_up(*claims).state == "single-origin"


# The wire


def test_the_wire_form_is_plain_json_and_names_its_rules() -> None:
    claims = [a_claim("a", text("x")), a_claim("b", text("x"), links=[a_link("contradicts", "a")])]
    plain = to_json(added_up(*claims))
    assert json.loads(json.dumps(plain)) == plain
    assert plain | {"groups": [], "origins": []} == {
        "question": Q,
        "state": "disputed",
        "groups": [],
        "groups_complete": True,
        "origins": [],
        "not_counting": [],
        "superseded": [],
        "conflicts": [["a", "b"]],
        "conflict_count": 1,
        "rules": RULES,
    }


# Whatever the claims


@given(some_claims(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_it_all_follows_from_the_rules_pair_by_pair(claims: list[Claim], varies: bool) -> None:
    agreement = added_up(*claims, varies=varies)
    assert agreement.state == state(claims, varies=varies)
    found = groups(claims, varies=varies)
    assert {frozenset(group.claims) for group in agreement.groups} == found
    assert len(agreement.groups) == len(found)
    for group in agreement.groups:
        assert set(group.core) == {*group.claims} - set().union(*(found - {frozenset(group.claims)}))
    assert {frozenset(origin.claims) for origin in agreement.origins} == origins(claims, varies=varies)
    assert {each.claim for each in agreement.superseded} == superseded(claims)


@given(some_claims(linked=False))
def test_the_sweep_finds_the_groups_that_trying_every_set_finds(claims: list[Claim]) -> None:
    assert {frozenset(group.claims) for group in added_up(*claims).groups} == groups(claims, varies=False)


@given(some_claims(), st.booleans(), st.randoms(use_true_random=False))
def test_the_order_in_which_claims_are_given_changes_nothing(
    claims: list[Claim], varies: bool, shuffler: random.Random
) -> None:
    shuffled = list(claims)
    shuffler.shuffle(shuffled)
    assert added_up(*shuffled, varies=varies) == added_up(*claims, varies=varies)


@given(some_claims(), st.booleans(), st.sampled_from(["predicts", "doubts", "reports-hearsay"]), st.data())
def test_a_claim_that_does_not_count_changes_no_state_group_or_origin(
    claims: list[Claim], varies: bool, stance: str, data: st.DataObject
) -> None:
    answer = data.draw(st.sampled_from([claim.answer for claim in claims] or [MONDAY]))
    before, after = (
        added_up(*some, varies=varies)
        for some in (claims, [*claims, a_claim("z", answer, source="excerpt", stance=stance)])
    )
    assert (after.state, after.origins, after.conflicts) == (before.state, before.origins, before.conflicts)
    assert [group.claims for group in after.groups] == [group.claims for group in before.groups]
    assert ("z" in after.not_counting) != any("z" in group.beside for group in after.groups)


@given(some_claims(), st.booleans())
def test_every_claim_is_accounted_for_and_everything_is_in_order(claims: list[Claim], varies: bool) -> None:
    agreement = added_up(*claims, varies=varies)
    shown = {name for group in agreement.groups for name in (*group.claims, *group.beside)}
    shown |= {*agreement.not_counting, *(each.claim for each in agreement.superseded)}
    assert shown == {claim.id for claim in claims}
    origin_of = {name: origin.claims for origin in agreement.origins for name in origin.claims}
    ranks = [(-len({origin_of[name] for name in group.core}), tuple(group.claims)) for group in agreement.groups]
    assert ranks == sorted(ranks)
    assert [group.is_bridge for group in agreement.groups] == sorted(not rank for rank, _ in ranks)
    for group in agreement.groups:
        assert list(group.claims) == sorted(group.claims)
        assert sorted(name for origin in group.origins for name in origin) == list(group.claims)


@given(some_claims())
def test_the_shared_time_touches_every_claim_of_the_group(claims: list[Claim]) -> None:
    for group in added_up(*claims).groups:
        if isinstance(group.shared, edtf.Bounds):
            moment = edtf.Extent("moment", group.shared, group.shared)
            those = [c for c in claims if c.id in group.claims and (c.stance != "denies") != group.is_denied]
            assert all(
                isinstance(c.answer, TimeAnswer) and edtf.can_coincide(moment, extent_of(c.answer)) for c in those
            )
