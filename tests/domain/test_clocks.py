"""The clocks that read dates: what may fit, what must, and which moments can be the same."""

import pytest
from hypothesis import given

from api.domain.dates import edtf
from api.domain.dates.edtf import OPEN_END, OPEN_START, Bounds, Extent
from api.domain.records.source import published_extent
from tests.domain.dates import (
    EIGHT_GMT_ON_MONDAY,
    ONE_TO_MIDNIGHT_ON_SUNDAY,
    SHORTLY_AFTER_NINE_IN_PARIS,
    extents,
    single_dates,
    us,
)

# valid_at


def possible(valid, at):
    return edtf.possible(valid and edtf.parse(valid), edtf.as_extent(at))


def certain(valid, at):
    return edtf.certain(valid and edtf.parse(valid), edtf.as_extent(at))


def test_no_valid_is_possible_at_any_time_and_certain_at_none():
    assert possible(None, "2021-01-11")
    assert not certain(None, "2021-01-11")


def test_an_unknown_end_is_possible_everywhere_and_certain_nowhere():
    assert possible("2020/", "2030")
    assert not certain("2020/", "2030")
    assert possible("2020/", "2019")  # the year ends in UTC-12 after the next began in UTC+14
    assert not possible("2020/", "2018")


def test_an_open_end_has_no_limit_in_either_mode():
    assert possible("2020/..", "2030")
    assert certain("2020/..", "2030")
    assert certain("2020/..", "2021/..")
    assert not certain("2020/2030", "2021/..")


def test_a_span_is_certain_only_where_its_latest_start_and_earliest_end_enclose():
    assert certain("2020-11/2020-12", "2020-11-15")
    assert not certain("2020-11/2020-12", "2020-11-01")
    assert certain("2020-11-01T00:00Z/2020-12", "2020-11-01T00:00:00Z")


def test_a_moment_is_certain_only_where_all_its_bounds_fit():
    assert certain("2021-01-11T08:00Z", "2021-01-11")
    assert certain("2021-01-11", "2021-01-11")
    assert certain("2020-11-01", "2020-11-01/2020-11-30")
    assert not certain("2021-01-11", "2021-01-11T08:00Z")
    assert possible("2021-01-11", "2021-01-11T08:00Z")
    assert certain("[2020..]", "2019/..")


def test_extents_are_half_open_so_that_what_ends_does_not_meet_what_begins():
    assert not possible("2021-01-11T08:00Z", "2021-01-11T08:01Z")
    assert possible("2021-01-11T08:00Z", "2021-01-11T08:00:59.999999Z")
    assert not possible("2021-01-11T08:00Z", "2021-01-11T08:01:00.000000Z")


@given(extents(), extents())
def test_what_is_certain_is_possible(extent, at):
    assert edtf.possible(extent, at) or not edtf.certain(extent, at)


@given(single_dates())
def test_a_date_asked_for_by_its_own_text_is_certain(text):
    assert certain(text, text)


# published_by


def published(published, modified=None, *, earlier_capture=False, by):
    bounds, deadline = edtf.publication(published, modified, earlier_capture=earlier_capture), edtf.as_deadline(by)
    return edtf.published_by_possible(bounds, deadline), edtf.published_by_certain(bounds, deadline)


def test_a_source_is_surely_published_by_an_hour_at_which_it_was():
    assert published("2021-01-11T16:30+01:00", by="2021-01-11T15:31:00Z") == (True, True)
    assert published("2021-01-11T16:30+01:00", by="2021-01-11T15:30Z") == (True, True)
    assert published("2021-01-11T16:30+01:00", by="2021-01-11T15:29Z") == (False, False)


def test_a_day_without_a_zone_is_over_everywhere_before_it_is_certain():
    assert published("2021-01-11", by="2021-01-12T11:59:59Z") == (True, True)
    assert published("2021-01-11", by="2021-01-12T11:59:58Z") == (True, False)
    assert published("2021-01-11", by="2021-01-11") == (True, False)
    assert published("2021-01-11", by="2021-01-10T09:59:59Z") == (False, False)


def test_a_modified_source_without_an_earlier_capture_was_published_up_to_its_modification():
    article = ("2021-01-11T16:30+01:00", "2021-01-12T10:00+01:00")
    assert published(*article, by="2021-01-11T20:00:00Z") == (True, False)
    assert published(*article, by="2021-01-12T20:00:00Z") == (True, True)
    assert published(*article, earlier_capture=True, by="2021-01-11T20:00:00Z") == (True, True)


def test_a_source_that_names_no_date_may_be_of_any_time():
    assert edtf.publication(None, None, earlier_capture=False) is None
    assert published(None, by="2021") == (True, False)
    assert published("2021/", by="2030") == (True, False)


def test_a_source_that_names_only_its_modification_was_out_by_then():
    assert published(None, "2021-01-12T10:00Z", by="2021-01-12T10:00Z") == (True, True)
    assert published(None, "2021-01-12T10:00Z", by="2021-01-11T10:00Z") == (True, False)


CAPTURED = ("2021-01-11T20:00:00Z", None)


@pytest.mark.parametrize(
    ("published", "modified", "captures", "start", "end"),
    [
        ("2021-01-11T15:00Z", None, (), "2021-01-11T15:00+00:00", "2021-01-11T15:01+00:00"),
        ("2021-01-11T15:00Z", "2021-01-12T10:00Z", (), "2021-01-11T15:00+00:00", "2021-01-12T10:01+00:00"),
        ("2021-01-11T15:00Z", "2021-01-12T10:00Z", CAPTURED, "2021-01-11T15:00+00:00", "2021-01-11T15:01+00:00"),
        ("2021-01-11T15:00Z", "2021-01-11T20:00Z", CAPTURED, "2021-01-11T15:00+00:00", "2021-01-11T20:01+00:00"),
        (None, "2021-01-12T10:00Z", CAPTURED, None, "2021-01-12T10:01+00:00"),
    ],
)
def test_a_source_was_published_at_a_moment_up_to_a_modification_before_which_nobody_captured_it(
    published, modified, captures, start, end
):
    state = {"published": published, "modified": modified, "captures": [{"captured_at": each} for each in captures]}
    bounds = Bounds(start and us(start), us(end))
    assert published_extent(state) == Extent("moment", bounds, bounds)


def test_a_source_that_states_no_date_has_no_moment():
    assert published_extent({"published": None, "modified": None, "captures": []}) is None


def test_by_an_interval_means_by_its_end():
    assert edtf.as_deadline("2020/2021-01-11T08:00Z") == edtf.as_deadline(EIGHT_GMT_ON_MONDAY)
    assert edtf.as_deadline("2020/..") == Bounds(OPEN_END, OPEN_END)
    assert edtf.as_deadline("2020/") == Bounds(None, None)


def test_by_one_moment_of_several_leaves_open_which():
    first, last = us("2021-01-11T08:01+00:00"), us("2021-01-11T08:31+00:00")
    assert edtf.as_deadline(SHORTLY_AFTER_NINE_IN_PARIS) == Bounds(first, last)
    assert edtf.as_deadline("[2021..]").latest == OPEN_END
    assert edtf.as_deadline("[..2021]").earliest == OPEN_START


def test_a_zoned_deadline_is_one_instant_after_all_it_names():
    assert edtf.as_deadline("2021-01-11T08:00:00.25Z") == Bounds(*[us("2021-01-11T08:00:00.250001+00:00")] * 2)
    assert edtf.as_deadline("2021-01-11T08:00:00Z") == Bounds(*[us("2021-01-11T08:00:01+00:00")] * 2)


# varies


def can(a, b):
    return edtf.can_coincide(a and edtf.parse(a), b and edtf.parse(b))


def must(a, b):
    return edtf.must_coincide(a and edtf.parse(a), b and edtf.parse(b))


def test_the_hour_in_paris_can_be_one_to_midnight_on_another_clock():
    assert can(ONE_TO_MIDNIGHT_ON_SUNDAY, "2021-01-11T07:59Z")
    assert can(ONE_TO_MIDNIGHT_ON_SUNDAY, SHORTLY_AFTER_NINE_IN_PARIS)
    assert not can(EIGHT_GMT_ON_MONDAY, "2021-01-11T08:01Z")


def test_an_unknown_valid_can_be_any_time_and_need_be_none():
    assert can(None, "2021")
    assert can(None, None)
    assert not must(None, "2021")
    assert not must("2021", None)


def test_two_moments_must_be_one_only_if_each_lasts_at_most_a_day_without_a_zone():
    assert must("2021-01-11", "2021-01-11")
    assert must("2021-01-11", "2021-01-11T08:00Z")
    assert not must("2021-01-11", "2021-01")
    assert not must("2021-01-11~", "2021-01-11")
    assert not must("[2021-01-11..]", "2021-01-11")
    assert not must("2021-01-11", "2021-02-11")


def test_a_span_must_be_when_all_it_encloses_is():
    assert must("2020/2021", "2020-11")
    assert must("2020-11", "2020/2021")
    assert must("2020/..", "2021-01-11")
    assert not must("2021-01-11/2021-01-17", "2021-01-11")
    assert not must("2020/", "2020-11")


def test_two_spans_must_coincide_where_they_overlap_at_their_narrowest():
    assert must("2020-06/2020-11", "2020-11/2020-12")
    assert not must("2020-06-01/2020-11-15", "2020-11-15/2020-12-31")
    assert can("2020-06-01/2020-11-15", "2020-11-15/2020-12-31")


@given(extents(), extents())
def test_what_must_coincide_can_and_order_does_not_matter(a, b):
    assert edtf.can_coincide(a, b) or not edtf.must_coincide(a, b)
    assert edtf.can_coincide(a, b) == edtf.can_coincide(b, a)
    assert edtf.must_coincide(a, b) == edtf.must_coincide(b, a)
