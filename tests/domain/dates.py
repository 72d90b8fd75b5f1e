"""Dates for tests: a few from the documents, and strategies that draw them from calendars rather than the pattern."""

import calendar
import re
from datetime import UTC, datetime

from hypothesis import assume
from hypothesis import strategies as st

from api.domain.dates import edtf
from api.domain.dates.edtf import Bounds, Extent
from api.domain.errors import IntervalReversed

HOUR = 3_600_000_000
DAY = 24 * HOUR

SHORTLY_AFTER_NINE_IN_PARIS = "[2021-01-11T09:00+01:00..2021-01-11T09:30+01:00]"
EIGHT_GMT_ON_MONDAY = "2021-01-11T08:00Z"
ONE_TO_MIDNIGHT_ON_SUNDAY = "2021-01-10T23:59"


def us(text):
    return edtf.to_us(datetime.fromisoformat(text).astimezone(UTC))


def widest(extent):
    return extent.start.earliest, extent.end.latest


def moment(start, end):
    return Extent("moment", Bounds(us(start), us(end)), Bounds(us(start), us(end)))


def is_published(text):
    return re.search(edtf.PATTERN, text) is not None


@st.composite
def single_dates(draw, qualifiers=("", "?", "~"), years=st.integers(1, 9999)):
    """Dates of every precision, drawn from calendars rather than from the pattern."""
    year = draw(years)
    month = draw(st.integers(1, 12))
    day = draw(st.integers(1, calendar.monthrange(year, month)[1]))
    hour, minute, second = draw(st.tuples(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59)))
    zone = draw(st.sampled_from(["", "Z", "+01:00", "-05:00", "+14:00", "-12:00", "+05:45"]))
    forms = (
        f"{year:04}",
        f"{year:04}-{month:02}",
        f"{year:04}-{month:02}-{day:02}",
        f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}{zone}",
        f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}",
    )
    return draw(st.sampled_from(forms)) + draw(st.sampled_from(qualifiers))


@st.composite
def texts(draw, dates=single_dates()):
    """Texts of the whole grammar."""
    a, b = draw(dates), draw(dates)
    return draw(
        st.sampled_from([a, f"{a}/{b}", f"{a}/..", f"{a}/", f"../{b}", f"/{b}", f"[{a}..{b}]", f"[{a}..]", f"[..{b}]"])
    )


@st.composite
def extents(draw, dates=single_dates(years=st.integers(2019, 2022))):
    try:
        return edtf.parse(draw(texts(dates)))
    except IntervalReversed:
        assume(condition=False)
