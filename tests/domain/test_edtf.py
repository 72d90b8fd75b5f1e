"""Dates: the published pattern, and what each date says about time."""

import calendar
import re
from datetime import UTC, date, datetime, timedelta, timezone

import jsonschema
import pytest
from edtf import parse_edtf
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from api.domain.dates import edtf
from api.domain.dates.edtf import OPEN_END, OPEN_START, Bounds, Extent
from api.domain.errors import IntervalReversed
from tests.domain.dates import (
    DAY,
    EIGHT_GMT_ON_MONDAY,
    HOUR,
    ONE_TO_MIDNIGHT_ON_SUNDAY,
    SHORTLY_AFTER_NINE_IN_PARIS,
    is_published,
    moment,
    single_dates,
    texts,
    us,
    widest,
)

# The pattern


def test_the_pattern_knows_every_leap_year_of_the_calendar():
    accepted = [year for year in range(10_000) if is_published(f"{year:04}-02-29")]
    assert accepted == [year for year in range(1, 10_000) if calendar.isleap(year)]


@pytest.mark.parametrize("year", [1, 4, 100, 400, 1582, 1900, 2000, 2020, 2021, 9999])
def test_the_pattern_knows_the_length_of_every_month(year):
    accepted = [(m, d) for m in range(14) for d in range(33) if is_published(f"{year:04}-{m:02}-{d:02}")]
    assert accepted == [(m, d) for m in range(1, 13) for d in range(1, calendar.monthrange(year, m)[1] + 1)]


def test_the_pattern_takes_the_years_0001_to_9999():
    assert [year for year in range(10_000) if not is_published(f"{year:04}")] == [0]


@pytest.mark.parametrize(
    "text",
    [
        "2021-01-10T23:59",
        "2021-01-10T23:59:59",
        "2021-01-10T00:00Z",
        "2021-01-10T08:00+14:00",
        "2021-01-10T08:00-13:59",
        "2021-01-10T08:00:30+05:45~",
        "2020-11?",
        "2020~/2021?",
        "2020/..",
        "2020/",
        "../2020",
        "/2020",
        "2021-01-10T08:00Z/2021-01-10T09:00:00Z",
        "[2020..2021]",
        "[2020..]",
        "[..2020]",
        "[2021-01-11T09:00:00+01:00~..2021-01-11T09:30:00+01:00~]",
    ],
)
def test_the_pattern_takes(text):
    assert is_published(text)
    assert len(text) <= edtf.MAX_LENGTH
    edtf.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "/",
        "../",
        "/..",
        "../..",
        "[]",
        "[..]",
        "[2020]",
        "[2020..2021",
        "2020..2021",
        "2020/2021/2022",
        "[2020..2021]~",
        "2020%",
        "2020?~",
        "202X",
        "2020-21",
        "21",
        "-2020",
        "Y12020",
        "2020-1-1",
        "2021-01-10T24:00",
        "2021-01-10T23:60",
        "2021-01-10T23:59:60Z",
        "2021-01-10T23:59:59.5Z",
        "2021-01-10T08",
        "2021-01T08:00",
        "2021-01-10t08:00z",
        "2021-01-10 08:00Z",
        "2021-01-10T08:00+14:01",
        "2021-01-10T08:00+15:00",
        "2021-01-10T08:00+0100",
        "2021-01-10Z",
        "٢٠٢٠",
        "2020\n",
        "\n2020",
        "2020-11-01/2020-12\n",
        "x2020",
        "2020x/2021",
    ],
)
def test_the_pattern_refuses(text):
    assert not is_published(text)
    with pytest.raises(ValueError, match="pattern"):
        edtf.parse(text)


@pytest.mark.parametrize("pattern", [edtf.PATTERN, edtf.INSTANT_PATTERN, edtf.TIME_PATTERN, edtf.CLOCK_PATTERN])
def test_published_patterns_keep_to_what_ecma_262_and_python_share(pattern):
    jsonschema.Draft202012Validator.check_schema({"type": "string", "pattern": pattern})
    assert pattern.isascii()
    assert pattern.startswith("^")
    assert pattern.endswith(edtf.END)
    assert set(re.findall(r"\\.", pattern)) <= {r"\[", r"\]", r"\n"}
    assert set(re.findall(r"\(\?.", pattern.removesuffix(edtf.END))) == {"(?:"}


@given(st.from_regex(edtf.PATTERN))
def test_every_text_of_the_pattern_can_be_read_or_is_an_interval_reversed(text):
    assert len(text) <= edtf.MAX_LENGTH
    try:
        edtf.render(edtf.parse(text))
    except IntervalReversed:
        assert "/" in text or text.startswith("[")


BEYOND_THE_CALENDAR = [
    "9999-12-31T23:59:59-12:00",
    "9999-12-31T12:00-12:00",
    "9999-12-31T23:59-00:01/9999-12-31T23:59-00:01",
    "[9999-12-31T22:00-12:00..9999-12-31T23:00-12:00]",
    "9999-12-31T13:00-12:00/9999-12-31T14:00-12:00",
    "0001-01-01T00:00+14:00",
    "0001-01-01T13:58:59+14:00?",
    "0001-01-01T00:00:00+00:01/0001-01-01T00:00:58+00:01",
]
AT_ITS_EDGE = [
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59",
    "9999-12-31",
    "9999-12-31T11:59-12:00",
    "9999-12-31T22:00-12:00/..",
    "9999-12-31T22:00-12:00/",
    "2021/9999-12-31T22:00-12:00",
    "../9999-12-31T22:00-12:00",
    "0001",
    "0001-01-01T14:00:00+14:00",
    "../0001-01-01T00:00+14:00",
]


@pytest.mark.parametrize("text", BEYOND_THE_CALENDAR)
def test_what_would_be_shown_to_end_where_it_starts_is_refused_where_it_is_recorded(text):
    shown = edtf.render(edtf.parse(text))
    assert shown["start"]["earliest"] == shown["end"]["latest"]
    with pytest.raises(IntervalReversed) as refusal:
        edtf.check(text)
    assert "end where it starts" in str(refusal.value)


@pytest.mark.parametrize("text", AT_ITS_EDGE)
def test_what_reaches_into_the_calendar_is_taken(text):
    assert edtf.check(text) == edtf.parse(text)


@given(texts())
def test_the_pattern_takes_every_date_of_the_calendar(text):
    assert is_published(text)


@given(st.from_regex(edtf.CLOCK_PATTERN))
def test_every_text_of_the_clock_pattern_can_be_asked_for(text):
    try:
        extent, deadline = edtf.as_extent(text), edtf.as_deadline(text)
    except IntervalReversed:
        return
    assert deadline.latest == extent.end.latest


# What dates say


def test_a_day_without_a_zone_is_read_in_every_zone():
    assert edtf.parse("2021-01-11") == moment("2021-01-10T10:00+00:00", "2021-01-12T12:00+00:00")


def test_a_month_and_a_year_are_read_in_every_zone():
    assert edtf.parse("2020-11") == moment("2020-10-31T10:00+00:00", "2020-12-01T12:00+00:00")
    assert edtf.parse("2020") == moment("2019-12-31T10:00+00:00", "2021-01-01T12:00+00:00")


def test_the_deadline_of_08h00_gmt_lasts_its_minute():
    assert edtf.parse(EIGHT_GMT_ON_MONDAY) == moment("2021-01-11T08:00+00:00", "2021-01-11T08:01+00:00")


def test_a_time_to_the_second_lasts_that_second():
    assert edtf.parse("2021-01-11T08:00:00Z") == moment("2021-01-11T08:00+00:00", "2021-01-11T08:00:01+00:00")


def test_23h59_without_a_zone_is_one_to_midnight_anywhere_on_earth():
    assert edtf.parse(ONE_TO_MIDNIGHT_ON_SUNDAY) == moment("2021-01-10T09:59+00:00", "2021-01-11T12:00+00:00")


def test_shortly_after_nine_in_paris_is_one_moment_in_half_an_hour():
    assert edtf.parse(SHORTLY_AFTER_NINE_IN_PARIS) == moment("2021-01-11T08:00+00:00", "2021-01-11T08:31+00:00")


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2021-01-11~", "2021-01-09T10:00+00:00", "2021-01-13T12:00+00:00"),
        ("2020-11~", "2020-09-30T10:00+00:00", "2021-01-01T12:00+00:00"),
        ("2020-01~", "2019-11-30T10:00+00:00", "2020-03-01T12:00+00:00"),
        ("2020~", "2018-12-31T10:00+00:00", "2022-01-01T12:00+00:00"),
        ("2021-01-11T09:00+01:00~", "2021-01-11T07:30+00:00", "2021-01-11T08:31+00:00"),
        ("2021-01-11T09:00:00Z~", "2021-01-11T08:30+00:00", "2021-01-11T09:30:01+00:00"),
        ("[2021-01-11T09:00Z~..2021-01-11T10:00Z]", "2021-01-11T08:30+00:00", "2021-01-11T10:01+00:00"),
        ("[2021-01-11T09:00Z..2021-01-11T10:00Z~]", "2021-01-11T09:00+00:00", "2021-01-11T10:31+00:00"),
    ],
)
def test_a_tilde_widens_by_one_of_the_last_unit_and_a_time_of_day_by_half_an_hour(text, start, end):
    assert edtf.parse(text) == moment(start, end)


def test_the_ends_of_a_zoned_span_are_known_exactly():
    span = edtf.parse("2021-01-11T08:00Z/2021-01-11T09:00Z")
    start, end = us("2021-01-11T08:00+00:00"), us("2021-01-11T09:01+00:00")
    assert span == Extent("span", Bounds(start, start), Bounds(end, end))


def test_the_ends_of_a_span_without_zones_lie_somewhere_in_26_hours():
    span = edtf.parse("2021-01-11/2021-01-17")
    assert span.start == Bounds(us("2021-01-10T10:00+00:00"), us("2021-01-11T12:00+00:00"))
    assert span.end == Bounds(us("2021-01-17T10:00+00:00"), us("2021-01-18T12:00+00:00"))


def test_a_tilde_loosens_only_the_end_of_the_span_that_bears_it():
    plain, loose = edtf.parse("2020-06/2020-11"), edtf.parse("2020-06/2020-11~")
    assert loose.start == plain.start
    assert loose.end == Bounds(us("2020-10-31T10:00+00:00"), us("2021-01-01T12:00+00:00"))


def test_an_open_end_is_kept_as_the_first_or_the_last_number_of_64_bits():
    assert (OPEN_START, OPEN_END) == (-(2**63), 2**63 - 1)


def test_an_open_end_has_no_limit_and_an_empty_one_is_unknown():
    assert edtf.parse("2020/..").end == Bounds(OPEN_END, OPEN_END)
    assert edtf.parse("../2020").start == Bounds(OPEN_START, OPEN_START)
    assert edtf.parse("2020/").end == Bounds(None, None)
    assert edtf.parse("/2020").start == Bounds(None, None)


def test_a_moment_may_be_open_on_one_side():
    assert edtf.parse("[2021-01-11T08:00Z..]").start == Bounds(us("2021-01-11T08:00+00:00"), OPEN_END)
    assert edtf.parse("[..2021-01-11T08:00Z]").end == Bounds(OPEN_START, us("2021-01-11T08:01+00:00"))


@pytest.mark.parametrize(
    "text",
    [
        "2021-01-11/2021-01-10",
        "2021/2020-06",
        "2021-01/2020",
        "[2021-01-11..2021-01-10]",
        "2021-01-10T23:59/2021-01-10T23:58",
        "2021-01-10T09:00Z/2021-01-10T09:30+01:00",
        "2021-01-12T12:01Z/2021-01-11",
        "2021-01-12/2021-01-11T09:59Z",
        "2021-01-14~/2021-01-10~",
    ],
)
def test_an_interval_that_ends_before_it_starts_is_refused_and_blames_no_field_yet(text):
    with pytest.raises(IntervalReversed) as refused:
        edtf.parse(text)
    assert (refused.value.pointer, refused.value.parameter) == ("", "")


@pytest.mark.parametrize(
    "text",
    [
        "2021-01-10T23:59/2021-01-10T23:59",
        "2020-06/2020",
        "2020/2020-01-01",
        "[2020..2020]",
        "2021-01-12T11:59Z/2021-01-11",
        "2021-01-12/2021-01-11T10:00Z",
        "2021-01-12~/2021-01-11",
        "2021-01-12/2021-01-11~",
    ],
)
def test_an_interval_that_can_run_forward_is_taken(text):
    assert edtf.parse(text)


@given(single_dates())
def test_a_date_is_never_before_itself(text):
    edtf.parse(f"{text}/{text}")
    assert edtf.parse(f"[{text}..{text}]") == edtf.parse(text)


@given(texts())
def test_bounds_stand_in_order(text):
    try:
        extent = edtf.parse(text)
    except IntervalReversed:
        return
    for bounds in (extent.start, extent.end):
        assert (bounds.earliest is None) == (bounds.latest is None)
        assert bounds.earliest is None or bounds.earliest <= bounds.latest
        assert all(type(each) is int for each in (bounds.earliest, bounds.latest) if each is not None)
    start, end = widest(extent)
    assert start is None or end is None or start < end
    if extent.shape == "moment":
        assert extent.start == extent.end


@given(single_dates(qualifiers=("",)))
def test_a_question_mark_does_not_widen_and_a_tilde_widens_both_ways(text):
    plain, loose = edtf.parse(text), edtf.parse(f"{text}~")
    assert edtf.parse(f"{text}?") == plain
    assert loose.start.earliest < plain.start.earliest
    assert plain.end.latest < loose.end.latest


@given(single_dates(qualifiers=("",)), single_dates(qualifiers=("",)))
def test_a_tilde_on_either_end_never_narrows_an_interval(a, b):
    try:
        plain = edtf.parse(f"{a}/{b}")
    except IntervalReversed:
        return
    loose = edtf.parse(f"{a}~/{b}~")
    assert loose.start.earliest < plain.start.earliest
    assert plain.start.latest < loose.start.latest
    assert loose.end.earliest < plain.end.earliest
    assert plain.end.latest < loose.end.latest


@given(st.datetimes(), st.integers(-13 * 60, 14 * 60))
def test_zoned_seconds_agree_with_datetime(local, minutes):
    zone = timezone(timedelta(minutes=minutes))
    text = local.replace(microsecond=0, tzinfo=zone).isoformat().replace("+00:00", "Z")
    expected = (local.replace(microsecond=0) - datetime(1970, 1, 1)) // timedelta(microseconds=1) - minutes * 60_000_000
    assert widest(edtf.parse(text)) == (expected, expected + 1_000_000)


def _midnight(year, month, day):
    return (date(year, month, day).toordinal() - date(1970, 1, 1).toordinal()) * DAY


plain_dates = single_dates(qualifiers=("",), years=st.integers(1000, 9998)).filter(lambda text: "T" not in text)


@hypothesis_settings(deadline=None)
@given(plain_dates)
def test_the_edtf_library_reads_plain_dates_alike(text):
    theirs, ours = parse_edtf(text), edtf.parse(text)
    assert ours.start.earliest + 14 * HOUR == _midnight(*theirs.lower_strict()[:3])
    assert ours.end.latest - 12 * HOUR == _midnight(*theirs.upper_strict()[:3]) + DAY


@hypothesis_settings(deadline=None)
@given(plain_dates, plain_dates)
def test_the_edtf_library_reads_plain_intervals_alike(a, b):
    try:
        ours = edtf.parse(f"{a}/{b}")
    except IntervalReversed:
        return
    theirs = parse_edtf(f"{a}/{b}")
    assert ours.start.earliest + 14 * HOUR == ours.start.latest - 12 * HOUR == _midnight(*theirs.lower_strict()[:3])
    assert ours.end.earliest + 14 * HOUR == ours.end.latest - 12 * HOUR == _midnight(*theirs.upper_strict()[:3]) + DAY


# Instants and JSON


def test_an_rfc_3339_time_is_read_to_the_microsecond():
    assert edtf.parse_instant("1970-01-01T00:00:00Z") == 0
    assert edtf.parse_instant("1970-01-01T01:00:00.000001+01:00") == 1
    assert edtf.parse_instant("1969-12-31T23:59:59.5Z") == -500_000


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2021-01-11t08:00:00z", "2021-01-11T08:00:00Z"),
        ("2021-01-11 08:00:00Z", "2021-01-11T08:00:00Z"),
        ("2021-01-11 08:00:00+00:00", "2021-01-11T08:00:00Z"),
        ("2021-01-11T08:00:00-00:00", "2021-01-11T08:00:00Z"),
        ("2021-01-11T08:00:00.1234567Z", "2021-01-11T08:00:00.123456Z"),
        ("2021-01-11T08:00:00.9999999999999999999999Z", "2021-01-11T08:00:00.999999Z"),
        ("1969-12-31T23:59:59.0000009Z", "1969-12-31T23:59:59Z"),
        ("2021-01-11T08:00:00." + "1" * 5000 + "z", "2021-01-11T08:00:00.111111Z"),
        ("2021-01-12T07:59:00+23:59", "2021-01-11T08:00:00Z"),
        ("2021-01-10T08:01:00-23:59", "2021-01-11T08:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.5Z"),
        ("2016-12-31T15:59:60-08:00", "2017-01-01T00:00:00Z"),
        ("0000-02-29T00:00:00Z", "0000-02-28T23:00:00-01:00"),
        ("0000-12-31T23:59:60Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_every_time_of_rfc_3339_is_read(text, same):
    assert edtf.parse_instant(text) == edtf.parse_instant(same)
    assert re.search(edtf.CLOCK_PATTERN, text)
    length = edtf.as_extent(text).end.latest - edtf.parse_instant(text)
    assert length == (1 if "." in text else 1_000_000)
    assert edtf.as_deadline(text) == edtf.Bounds(*[edtf.as_extent(text).end.latest] * 2)


@given(st.from_regex(edtf.TIME_PATTERN))
def test_every_text_of_the_time_pattern_is_a_time(text):
    assert edtf.as_extent(text).start.earliest == edtf.parse_instant(text)


@given(st.datetimes(), st.integers(-(24 * 60 - 1), 24 * 60 - 1))
def test_times_agree_with_datetime(local, minutes):
    text = local.replace(tzinfo=timezone(timedelta(minutes=minutes))).isoformat()
    expected = (local - datetime(1970, 1, 1)) // timedelta(microseconds=1) - minutes * 60_000_000
    assert edtf.parse_instant(text) == edtf.parse_instant(text.replace("T", " ")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2021-02-29T00:00:00Z",
        "2021-02-30T00:00:00Z",
        "2021-01-11T08:00Z",
        "2021-01-11T08:00:00",
        "2021-01-11T08:00:00.Z",
        "2021-01-11T08:00:00,5Z",
        "2021-01-11T08:00:61Z",
        "2021-01-11T24:00:00Z",
        "2021-01-11T08:00:00+24:00",
        "2021-01-11T08:00:00+0100",
        "2021-01-11T08:00:00+01",
        "2021-01-11T08:00:00 01:00",
        "2021-01-11  08:00:00Z",
        "2021-01-11_08:00:00Z",
        "2021-01-11T08:00:00 Z",
        "2021-01-11T08:00:00UTC",
        "20210111T080000Z",
        "0001-02-29T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "٢٠٢١-01-11T08:00:00Z",
        "2021-01-11T08:00:00Z\n",
        "2021-01-11T08:00:00Z~",
        "2021-01-11",
    ],
)
def test_what_is_not_an_rfc_3339_time_of_the_calendar_is_refused(text):
    with pytest.raises(ValueError, match="RFC 3339"):
        edtf.parse_instant(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_survives_writing_and_reading(time):
    text = edtf.instant(edtf.to_us(time))
    assert text == time.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
    assert edtf.parse_instant(text) == edtf.to_us(time)


def test_a_datetime_without_a_zone_is_refused():
    with pytest.raises(TypeError):
        edtf.to_us(datetime(2021, 1, 11))


def test_bounds_are_written_in_utc_to_the_microsecond():
    bounds = {"earliest": "2021-01-11T08:00:00.000000Z", "latest": "2021-01-11T08:31:00.000000Z"}
    shown = edtf.render(edtf.parse(SHORTLY_AFTER_NINE_IN_PARIS))
    assert shown == {"shape": "moment", "start": bounds, "end": bounds}


def test_open_and_unknown_ends_are_written_as_dots_and_null():
    assert edtf.render(edtf.parse("2020/.."))["end"] == {"earliest": "..", "latest": ".."}
    assert edtf.render(edtf.parse("/2020"))["start"] == {"earliest": None, "latest": None}
    assert edtf.render(edtf.parse("[..2020]"))["start"]["earliest"] == ".."


def test_bounds_beyond_the_calendar_are_drawn_back_to_its_edge():
    assert edtf.render(edtf.parse("0001~"))["start"]["earliest"] == "0001-01-01T00:00:00.000000Z"
    assert edtf.render(edtf.parse("9999-12~"))["end"]["latest"] == "9999-12-31T23:59:59.999999Z"
    assert edtf.instant(OPEN_END) == "9999-12-31T23:59:59.999999Z"


def test_widening_past_the_calendar_counts_on():
    assert edtf.parse("0001-01-01~").start.earliest == _midnight(1, 1, 1) - DAY - 14 * HOUR
    assert edtf.parse("9999~").end.latest == _midnight(9999, 12, 31) + DAY + 366 * DAY + 12 * HOUR
