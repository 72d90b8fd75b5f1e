"""Whether two claims meet, conflict or say nothing to each other: each rule by a case from the documents."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from api.domain.agreement.agreement import Claim, Link, state_of, tabulate
from api.domain.agreement.meeting import bits, case_of, replaced, sweep, union
from api.domain.records.answer import Answer
from tests.domain.agreement_builders import (
    CONTEXT,
    NO,
    YES,
    a_claim,
    a_link,
    number,
    relation,
    some_claims,
    text,
    these,
    when,
    who,
)

SHORTLY_AFTER_NINE_IN_PARIS = when("[2021-01-11T09:00+01:00..2021-01-11T09:30+01:00]")
MONDAY = when("2021-01-11")


def between(a: Claim, b: Claim, *, varies: bool = False) -> str:
    table = tabulate([a, b], CONTEXT, varies=varies)
    meets, conflicts = table.meets(0) >> 1, table.conflicts(0) >> 1
    assert (meets, conflicts) == (table.meets(1) & 1, table.conflicts(1) & 1)
    return "meet" if meets else "conflict" if conflicts else "nothing"


def answers(a: Answer, b: Answer) -> str:
    return between(a_claim("a", a), a_claim("b", b))


def denial(of: Answer, of_claim: Answer) -> str:
    return between(a_claim("a", of, stance="denies"), a_claim("b", of_claim))


# Times


def test_an_hour_on_monday_meets_that_monday() -> None:
    assert answers(SHORTLY_AFTER_NINE_IN_PARIS, MONDAY) == "meet"


def test_a_minute_without_a_zone_meets_a_minute_that_it_was_in_some_zone() -> None:
    assert answers(when("2021-01-10T23:59"), when("2021-01-11T08:00Z")) == "meet"


def test_midnight_at_the_start_of_sunday_conflicts_with_monday_at_eight_gmt() -> None:
    assert answers(when("2021-01-10T00:00"), when("2021-01-11T08:00Z")) == "conflict"


def test_a_minute_does_not_meet_the_next() -> None:
    assert answers(when("2021-01-11T07:59Z"), when("2021-01-11T08:00Z")) == "conflict"


def test_an_end_that_is_open_or_unknown_has_no_limit() -> None:
    assert answers(when("2018/.."), MONDAY) == "meet"
    assert answers(when("2018/"), MONDAY) == "meet"
    assert answers(when("/2018"), MONDAY) == "conflict"


def test_a_time_question_never_varies() -> None:
    assert between(a_claim("a", when("2021-01-10")), a_claim("b", when("2021-03")), varies=True) == "conflict"


# Quantities


def test_a_daily_figure_meets_the_range_that_begins_with_it() -> None:
    assert answers(number("600000"), number(low="600000", high="700000")) == "meet"


def test_two_exact_figures_conflict_however_near() -> None:
    assert answers(number("182000"), number("182001")) == "conflict"


def test_equal_numbers_meet_in_whatever_digits() -> None:
    assert answers(number("10000000"), number("10000000.00")) == "meet"


def test_nearly_fifteen_million_does_not_meet_sixteen() -> None:
    assert answers(number("15000000", high="15000000", approximate=True), number("16000000")) == "conflict"
    assert answers(number("15000000", high="15000000", approximate=True), number("14500000")) == "meet"


def test_a_side_without_bound_is_unlimited() -> None:
    assert answers(number("70", low="70"), number("1000000")) == "meet"
    assert answers(number("70", low="70"), number("69")) == "conflict"


# Entities and lists


def test_amazon_meets_amazon_web_services_which_is_part_of_it() -> None:
    assert answers(who("amazon"), who("amazon-web-services")) == "meet"


def test_a_part_of_a_part_meets_the_whole() -> None:
    assert answers(who("youtube"), who("alphabet")) == "meet"


def test_two_entities_of_which_neither_is_part_of_the_other_conflict() -> None:
    assert answers(who("john-matze"), who("rebekah-mercer")) == "conflict"


def test_lists_meet_by_one_member_they_share() -> None:
    assert answers(these("john-matze"), these("john-matze", "rebekah-mercer")) == "meet"


def test_a_list_with_a_founder_that_a_complete_list_lacks_conflicts_with_it() -> None:
    assert answers(these("john-matze", complete=True), these("john-matze", "rebekah-mercer")) == "conflict"


def test_lists_that_share_nobody_say_nothing_if_both_leave_room_for_others() -> None:
    assert answers(these("google"), these("apple")) == "nothing"


def test_a_complete_list_with_more_members_than_an_open_one_meets_it() -> None:
    assert answers(these("google", "apple", complete=True), these("apple")) == "meet"


@pytest.mark.parametrize("complete", [True, False])
def test_in_a_list_a_part_counts_as_its_whole(complete: bool) -> None:
    assert answers(these("mercer-family", complete=complete), these("rebekah-mercer")) == "meet"
    assert answers(these("rebekah-mercer", complete=complete), these("mercer-family")) == "meet"


# Booleans and texts


def test_booleans_meet_by_value() -> None:
    assert answers(YES, YES) == "meet"
    assert answers(YES, NO) == "conflict"


def test_texts_say_nothing_even_when_equal() -> None:
    assert answers(text("impartial"), text("impartial")) == "nothing"


# Denials


def test_a_denial_flips_a_boolean() -> None:
    assert denial(YES, YES) == "conflict"
    assert denial(YES, NO) == "meet"


def test_a_denial_conflicts_with_a_time_wholly_within_what_it_denies() -> None:
    assert denial(of=when("2021-01"), of_claim=MONDAY) == "conflict"


def test_a_denial_says_nothing_to_a_time_that_reaches_beyond_what_it_denies() -> None:
    assert denial(of=MONDAY, of_claim=when("2021-01")) == "nothing"
    assert denial(of=MONDAY, of_claim=when("2020")) == "nothing"


def test_a_denial_without_end_reaches_as_far_as_any_time_does() -> None:
    assert denial(of=when("2018/.."), of_claim=when("2020/")) == "conflict"
    assert denial(of=when("2018/"), of_claim=when("2020/..")) == "conflict"


def test_a_denial_of_a_range_of_numbers_spares_numbers_that_may_lie_outside() -> None:
    assert denial(of=number(low="1000000"), of_claim=number("15000000")) == "conflict"
    assert denial(of=number(high="1000000"), of_claim=number(high="1000001")) == "nothing"


def test_to_deny_the_whole_is_to_deny_the_part_but_not_the_other_way_round() -> None:
    assert denial(of=who("amazon"), of_claim=who("amazon-web-services")) == "conflict"
    assert denial(of=who("amazon-web-services"), of_claim=who("amazon")) == "nothing"


def test_to_deny_some_is_to_deny_a_list_of_nobody_else() -> None:
    assert denial(of=these("facebook", "google"), of_claim=these("youtube")) == "conflict"
    assert denial(of=these("facebook", "google"), of_claim=these("google", "amazon")) == "nothing"


def test_a_list_open_to_others_reaches_beyond_the_complete_list_denied() -> None:
    assert denial(of=these("google", complete=True), of_claim=these("google")) == "nothing"
    assert denial(of=these("google", complete=True), of_claim=these("google", complete=True)) == "conflict"


def test_a_denial_conflicts_with_the_very_text_it_denies() -> None:
    assert denial(of=text("impartial"), of_claim=text("impartial")) == "conflict"
    assert denial(of=text("impartial"), of_claim=text("partial")) == "nothing"


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (when("2021-01"), when("[2021-01-01..2021-01-31]"), when("2021-01-01/2021-01-31")),
        (number("10"), number("10.0"), number("10", approximate=True)),
        (who("amazon"), who("amazon"), who("amazon-web-services")),
        (these("google", "apple"), these("apple", "google"), these("apple", "google", complete=True)),
        (text("impartial"), text("impartial"), text("partial")),
    ],
)
def test_a_denial_meets_only_a_denial_of_an_equal_answer(one: Answer, same: Answer, other: Answer) -> None:
    first = a_claim("a", one, stance="denies")
    assert between(first, a_claim("b", same, stance="denies")) == "meet"
    assert between(first, a_claim("b", other, stance="denies")) == "nothing"


# Questions that vary


def users(name: str, amount: str, valid: str | None) -> Claim:
    return a_claim(name, number(amount), valid=valid)


def test_four_million_in_september_says_nothing_to_ten_million_in_november() -> None:
    assert between(users("a", "4000000", "2020-09"), users("b", "10000000", "2020-11"), varies=True) == "nothing"


def test_two_figures_somewhere_in_one_month_do_not_conflict() -> None:
    assert between(users("a", "4000000", "2020-11"), users("b", "10000000", "2020-11"), varies=True) == "nothing"


def test_two_figures_of_one_day_conflict() -> None:
    friday = "2021-01-08"
    assert between(users("a", "182000", friday), users("b", "200000", friday), varies=True) == "conflict"


def test_a_figure_that_held_all_month_conflicts_with_another_on_one_of_its_days() -> None:
    november = "2020-11-01/2020-11-30"
    assert between(users("a", "4000000", november), users("b", "10000000", "2020-11-15"), varies=True) == "conflict"


def test_equal_figures_meet_only_if_they_can_hold_at_once() -> None:
    assert between(users("a", "10000000", "2020-11"), users("b", "10000000", "2020-11-08"), varies=True) == "meet"
    assert between(users("a", "10000000", "2020-11"), users("b", "10000000", "2021-01"), varies=True) == "nothing"


def test_a_figure_of_unknown_time_may_meet_and_never_conflicts() -> None:
    assert between(users("a", "10000000", None), users("b", "10000000", "2020-11"), varies=True) == "meet"
    assert between(users("a", "10000000", None), users("b", "4000000", "2020-11-08"), varies=True) == "nothing"


def test_valid_is_not_looked_at_where_the_answer_cannot_change() -> None:
    assert between(users("a", "4000000", "2020-09"), users("b", "10000000", "2020-11")) == "conflict"


# Links


def linked(a: Answer, b: Answer, *links: tuple[str, str, str, int]) -> str:
    made: dict[str, list[Link]] = {"a": [], "b": []}
    for maker, relation_, target, position in links:
        made[maker].append(a_link(relation_, target, position))
    return between(a_claim("a", a, links=made["a"]), a_claim("b", b, links=made["b"]))


def test_a_link_speaks_for_texts() -> None:
    assert linked(text("political"), text("to slow Parler down"), ("a", "corroborates", "b", 9)) == "meet"
    assert linked(text("political"), text("for its moderation"), ("a", "contradicts", "b", 9)) == "conflict"


def test_a_link_reads_both_ways_and_outranks_the_answers() -> None:
    assert linked(YES, YES, ("b", "contradicts", "a", 9)) == "conflict"
    assert linked(YES, NO, ("b", "corroborates", "a", 9)) == "meet"


def test_a_link_outranks_time_and_denial() -> None:
    denies = a_claim("a", number("4"), valid="2020", stance="denies", links=[a_link("corroborates", "b")])
    assert between(denies, a_claim("b", number("4"), valid="2021"), varies=True) == "meet"


def test_where_links_disagree_the_last_position_wins_whoever_made_it() -> None:
    earlier, later = ("a", "contradicts", "b", 9), ("b", "repeats", "a", 12)
    assert linked(YES, YES, earlier, later) == "meet"
    assert linked(YES, YES, ("a", "contradicts", "b", 15), later) == "conflict"


def test_a_link_to_a_claim_on_another_question_says_nothing_here() -> None:
    assert linked(text("political"), text("legal"), ("a", "corroborates", "elsewhere", 9)) == "nothing"


def test_a_claim_is_replaced_from_another_question_too() -> None:
    claims = [a_claim("a", MONDAY), a_claim("b", MONDAY, links=[a_link("corrects", "a", 8)])]
    assert replaced(claims, [("elsewhere", a_link("supersedes", "b", 9))]) == {0: ("b",), 1: ("elsewhere",)}


def test_of_two_claims_that_correct_each_other_the_last_to_do_so_prevails() -> None:
    claims = [
        a_claim("a", MONDAY, links=[a_link("corrects", "b", 8)]),
        a_claim("b", MONDAY, links=[a_link("supersedes", "a", 9)]),
    ]
    assert replaced(claims, []) == {0: ("b",)}


def test_that_holds_across_questions() -> None:
    claims = [a_claim("a", MONDAY, links=[a_link("corrects", "elsewhere", 9)])]
    assert replaced(claims, [("elsewhere", a_link("corrects", "a", 8))]) == {}
    assert replaced(claims, [("elsewhere", a_link("corrects", "a", 10))]) == {0: ("elsewhere",)}


# All pairs at once


@given(some_claims(), st.booleans())
def test_all_pairs_are_judged_as_each_pair_is(claims: list[Claim], varies: bool) -> None:
    table = tabulate(claims, CONTEXT, varies=varies)
    for i, j in combinations(range(len(claims)), 2):
        told = relation(claims[i], claims[j], varies=varies)
        for one, other in ((i, j), (j, i)):
            assert bool(table.meets(one) >> other & 1) == (told == "meet")
            assert bool(table.conflicts(one) >> other & 1) == (told == "conflict")
    assert not any(table.conflicts(i) >> i & 1 for i in range(len(claims)))


def test_a_thousand_ranges_are_swept_into_the_few_groups_they_make() -> None:
    claims = [a_claim(f"c{i}", number(low=str(i % 10), high=str(i % 10 + i % 3))) for i in range(1_000)]
    groups = list(sweep([case_of(claim) for claim in claims], range(1_000)))
    assert union(groups) == (1 << 1_000) - 1
    assert sorted(groups) == sorted(
        sum(1 << i for i in range(1_000) if i % 10 <= point <= i % 10 + i % 3) for point in range(10)
    )


@given(st.sets(st.integers(0, 200)))
def test_the_members_of_a_set_come_in_ascending_order(members: set[int]) -> None:
    assert bits(sum(1 << i for i in members)) == sorted(members)


@given(some_claims(linked=False), st.booleans())
def test_the_same_said_again_in_the_same_voice_changes_no_state(claims: list[Claim], varies: bool) -> None:
    again = [replace(claim, id=f"{claim.id}-again") for claim in claims[::2]]
    before, after = (state_of("q", varies, some, CONTEXT) for some in (claims, [*claims, *again]))
    assert after == before
