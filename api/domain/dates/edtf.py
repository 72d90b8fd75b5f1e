"""The one grammar of dates and what each date says about time: where its start and its end may lie, in UTC.

A profile of EDTF (ISO 8601-2) published as an exact pattern, and the tests of the clocks `valid_at` and `published_by`.
Whoever asks by a clock may also give any time of RFC 3339. Times are integers, microseconds since 1970-01-01T00:00:00Z in the proleptic Gregorian calendar. No clock is read here.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from api.domain.errors import IntervalReversed

# `$` alone lets Python and msgspec accept a trailing newline; in ECMA-262 the lookahead is always true. Without this
# suffix every pattern here is free of lookaround, as RE2 and the interoperable subset of JSON Schema want it.
END: Final = r"$(?!\n)"

YEAR: Final = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_FOURTH: Final = "(?:0[48]|[2468][048]|[13579][26])"
LEAP_YEAR: Final = f"(?:[0-9]{{2}}{_FOURTH}|{_FOURTH}00)"
_MONTH: Final = "(?:0[1-9]|1[0-2])"
_DAY_OF_YEAR: Final = (
    f"(?:{_MONTH}-(?:0[1-9]|1[0-9]|2[0-8])"
    "|(?:0[13-9]|1[0-2])-(?:29|30)"
    "|(?:0[13578]|1[02])-31)"
)  # fmt: skip
_DATE: Final = f"(?:{YEAR}-{_DAY_OF_YEAR}|{LEAP_YEAR}-02-29)"
_TO_THE_MINUTE: Final = "T(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TO_THE_SECOND: Final = f"{_TO_THE_MINUTE}:[0-5][0-9]"
_ZONE: Final = "(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)"
_VALUE: Final = f"(?:{_DATE}(?:{_TO_THE_MINUTE}(?::[0-5][0-9])?{_ZONE}?)?|{YEAR}(?:-{_MONTH})?)[?~]?"
_EDTF: Final = (
    f"{_VALUE}(?:/(?:{_VALUE}|[.][.])?)?"
    f"|(?:[.][.])?/{_VALUE}"
    rf"|\[{_VALUE}[.][.](?:{_VALUE})?\]"
    rf"|\[[.][.]{_VALUE}\]"
)  # fmt: skip
_INSTANT: Final = f"{_DATE}{_TO_THE_SECOND}(?:[.][0-9]{{1,6}})?{_ZONE}"
# RFC 3339 section 5.6: the year 0000, t and z in lower case, a blank instead of T (its second note, and what `date
# --rfc-3339` prints), a second 60, any number of digits after it, and zones up to 23:59 either way.
_TIME: Final = (
    f"(?:[0-9]{{4}}-{_DAY_OF_YEAR}|(?:{LEAP_YEAR}|0000)-02-29)"
    "[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:[.][0-9]+)?"
    "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)

PATTERN: Final = f"^(?:{_EDTF}){END}"
INSTANT_PATTERN: Final = f"^{_INSTANT}{END}"
TIME_PATTERN: Final = f"^{_TIME}{END}"
CLOCK_PATTERN: Final = f"^(?:{_EDTF}|{_TIME}){END}"
MAX_LENGTH: Final = len("[0001-01-01T00:00:00+00:00~..0001-01-01T00:00:00+00:00~]")

OPEN_START: Final = -(2**63)
OPEN_END: Final = 2**63 - 1

_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = 1_000_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_ZONELESS_DAY: Final = _DAY + 26 * _HOUR
_EARLIEST_ZONE: Final = 14 * _HOUR  # a zone-less date begins first in UTC+14 …
_LATEST_ZONE: Final = 12 * _HOUR  # … and ends last in UTC-12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_RENDERED: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_RENDERED: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND

_is_edtf = re.compile(PATTERN).match
_is_time = re.compile(TIME_PATTERN).match


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where one instant may lie. None is unknown; OPEN_START or OPEN_END in both is an end without limit."""

    earliest: int | None
    latest: int | None


@dataclass(frozen=True, slots=True)
class Extent:
    """A moment somewhere in [earliest, latest), where start == end; or the whole of a span from start to end."""

    shape: Literal["moment", "span"]
    start: Bounds
    end: Bounds


_UNKNOWN: Final = Bounds(None, None)
_WITHOUT_START: Final = Bounds(OPEN_START, OPEN_START)
_WITHOUT_END: Final = Bounds(OPEN_END, OPEN_END)


# Reading


@lru_cache(maxsize=16_384)
def parse(text: str) -> Extent:
    """Read a text of PATTERN, ValueError for any other; IntervalReversed if it cannot run forward in any zone."""
    if not _is_edtf(text):
        raise ValueError("not a date of the published pattern")
    if "/" in text:
        return _span(*text.split("/"))
    return _moment(*_first_and_last(text))


def check(text: str) -> Extent:
    """Read a date that is about to be recorded, as `parse` does. Raises IntervalReversed, too, where it would be shown as nothing.

    Bounds are written within the years 0001 to 9999 of UTC, and what lies outside of them at their edge.
    """
    extent = parse(text)
    start, end = _render_bound(extent.start.earliest), _render_bound(extent.end.latest)
    if start is not None and start == end:
        raise IntervalReversed(
            rule="in UTC this lies outside of the years 0001 to 9999, so that it would end where it starts"
        )
    return extent


def as_extent(text: str) -> Extent:
    """Read a text of CLOCK_PATTERN: a date as `parse` does; a time lasts its second, with a fraction a microsecond."""
    if not _is_time(text):
        return parse(text)
    time = _time(text)
    bounds = Bounds(time.starts_earliest, time.ends_latest)
    return Extent("moment", bounds, bounds)


def as_deadline(text: str) -> Bounds:
    """Where "by then" ends, exclusive: after the whole of a date, where an interval ends. Takes CLOCK_PATTERN."""
    extent = as_extent(text)
    if _is_time(text):
        return Bounds(extent.end.latest, extent.end.latest)
    if extent.shape == "span":
        return extent.end
    first, _ = _first_and_last(text)
    return Bounds(_value(first).ends_earliest if first else OPEN_START, extent.end.latest)


def parse_instant(text: str) -> int:
    """Read a text of TIME_PATTERN, down to the microsecond that it lies in; ValueError for any other.

    The second 60 is the first of the next minute, as clocks that know no leap seconds count (POSIX.1 section 4.19).
    """
    if not _is_time(text):
        raise ValueError("not an RFC 3339 time")
    return _time(text).starts_earliest


def to_us(moment: datetime) -> int:
    """Exact, unlike `timestamp()`. TypeError for a datetime without a zone."""
    return (moment - _EPOCH) // _MICROSECOND


# Writing


def render(extent: Extent) -> dict[str, str | dict[str, str | None]]:
    """Give the JSON form: UTC to the microsecond, ".." for an open end, null for an unknown one."""
    return {"shape": extent.shape, "start": _render_bounds(extent.start), "end": _render_bounds(extent.end)}


def _render_bounds(bounds: Bounds) -> dict[str, str | None]:
    return {"earliest": _render_bound(bounds.earliest), "latest": _render_bound(bounds.latest)}


def _render_bound(us: int | None) -> str | None:
    if us is None:
        return None
    return ".." if us in (OPEN_START, OPEN_END) else instant(us)


@lru_cache(maxsize=16_384)
def instant(us: int) -> str:
    """Write `YYYY-MM-DDTHH:MM:SS.ffffffZ`; what lies outside the years 0001 to 9999 is drawn back to their edge."""
    shown = _EPOCH + min(max(us, _FIRST_RENDERED), _LAST_RENDERED) * _MICROSECOND
    return shown.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


# The clocks


def possible(extent: Extent | None, at: Extent) -> bool:
    """`valid_at`, mode possible: the widest reading touches the time asked for. None, no `valid`, may be any time."""
    return can_coincide(extent, at)


def certain(extent: Extent | None, at: Extent) -> bool:
    """`valid_at`, mode certain: a span surely covers all of the time asked for, or a moment surely falls within it.

    The time asked for is the widest reading of `at`, so that a date asked for by its own text is found.
    """
    if extent is None:
        return False
    return _encloses(extent, at) if extent.shape == "span" else _within(extent, at)


def published_by_possible(published: Bounds | None, deadline: Bounds) -> bool:
    """`published_by`, mode possible: the source may have been published before the deadline ended."""
    if published is None or published.earliest is None or deadline.latest is None:
        return True
    return published.earliest < deadline.latest


def published_by_certain(published: Bounds | None, deadline: Bounds) -> bool:
    """`published_by`, mode certain: the source was published before the deadline ended, wherever both lie."""
    if published is None or published.latest is None or deadline.earliest is None:
        return False
    return published.latest <= deadline.earliest


def publication(published: str | None, modified: str | None, *, earlier_capture: bool) -> Bounds | None:
    """When what we read of a source came out: None if it does not say.

    A modified source of which no earlier capture is held may show words as late as its modification. One that names
    only its modification came out at some unknown time up to then.
    """
    if published is None:
        return None if modified is None else Bounds(None, parse(modified).end.latest)
    first = parse(published)
    if modified is None or earlier_capture:
        return Bounds(first.start.earliest, first.end.latest)
    return Bounds(first.start.earliest, _later(first.end.latest, parse(modified).end.latest))


def can_coincide(a: Extent | None, b: Extent | None) -> bool:
    """Whether two `valid` can be the same moment: their widest readings overlap. None, unknown, always can."""
    if a is None or b is None:
        return True
    (a_start, a_end), (b_start, b_end) = widest(a), widest(b)
    return a_start < b_end and b_start < a_end


def must_coincide(a: Extent | None, b: Extent | None) -> bool:
    """Whether two `valid` count as the same time, so that claims that differ conflict. None, unknown, never does."""
    if a is None or b is None:
        return False
    if a.shape == b.shape == "moment":
        return can_coincide(a, b) and is_brief(a) and is_brief(b)
    return _encloses(a, b) or _encloses(b, a) or _overlap_narrowly(a, b)


def _within(moment: Extent, at: Extent) -> bool:
    if has_unknown(moment) or has_unknown(at):
        return False
    (earliest, latest), (start, end) = widest(moment), widest(at)
    return start <= earliest and latest <= end


def _encloses(span: Extent, other: Extent) -> bool:
    surely = narrowest(span)
    if surely is None or has_unknown(other):
        return False
    start, end = widest(other)
    return surely[0] <= start and end <= surely[1]


def _overlap_narrowly(a: Extent, b: Extent) -> bool:
    surely_a, surely_b = narrowest(a), narrowest(b)
    if surely_a is None or surely_b is None:
        return False
    return max(surely_a[0], surely_b[0]) < min(surely_a[1], surely_b[1])


def is_brief(moment: Extent) -> bool:
    """Say whether a moment lies within a day, read in whatever zones."""
    earliest, latest = widest(moment)
    return latest - earliest <= _ZONELESS_DAY


def has_unknown(extent: Extent) -> bool:
    """Say whether an end of its widest reading is not known."""
    return extent.start.earliest is None or extent.end.latest is None


def widest(extent: Extent) -> tuple[int, int]:
    """Give [earliest, latest) of all it may cover; an unknown end reaches as far as an open one."""
    start, end = extent.start.earliest, extent.end.latest
    return OPEN_START if start is None else start, OPEN_END if end is None else end


def narrowest(span: Extent) -> tuple[int, int] | None:
    """Give what a span covers for sure; None for a moment, and for a span with an unknown end."""
    start, end = span.start.latest, span.end.earliest
    return None if span.shape == "moment" or start is None or end is None else (start, end)


def _later(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else max(a, b)


# One date


class _Value(NamedTuple):
    """Where the first instant of one date and the end of its last may lie."""

    starts_earliest: int
    starts_latest: int
    ends_earliest: int
    ends_latest: int
    is_zoned: bool


def _first_and_last(text: str) -> list[str]:
    return text[1:-1].split("..") if text.startswith("[") else [text, text]


def _moment(first: str, last: str) -> Extent:
    start = _value(first) if first else None
    end = _value(last) if last else None
    _refuse_reversed(start, end)
    bounds = Bounds(start.starts_earliest if start else OPEN_START, end.ends_latest if end else OPEN_END)
    return Extent("moment", bounds, bounds)


def _span(first: str, last: str) -> Extent:
    start = _value(first) if first.strip(".") else None
    end = _value(last) if last.strip(".") else None
    _refuse_reversed(start, end)
    return Extent(
        "span",
        Bounds(start.starts_earliest, start.starts_latest) if start else (_WITHOUT_START if first else _UNKNOWN),
        Bounds(end.ends_earliest, end.ends_latest) if end else (_WITHOUT_END if last else _UNKNOWN),
    )


def _refuse_reversed(first: _Value | None, last: _Value | None) -> None:
    """Refuse only what cannot run forward in any zone; two ends without a zone are read in the same one."""
    if first is None or last is None:
        return
    one_zone = 0 if first.is_zoned or last.is_zoned else _EARLIEST_ZONE + _LATEST_ZONE
    if last.ends_latest <= first.starts_earliest + one_zone:
        raise IntervalReversed


def _value(text: str) -> _Value:
    stated, widened = text.rstrip("?~"), text.endswith("~")
    if "T" in stated:
        return _time_of_day(stated, widened=widened)
    if len(stated) == len("0001-01-01"):
        return _day(stated, widened=widened)
    return _year_or_month(stated, widened=widened)


def _year_or_month(stated: str, *, widened: bool) -> _Value:
    months = 12 if len(stated) == len("0001") else 1
    first = int(stated[:4]) * 12 + int(stated[5:] or 1) - 1
    last = first + months
    more = months if widened else 0
    return _in_every_zone(
        _first_of_month(first - more),
        _first_of_month(first + more),
        _first_of_month(last - more),
        _first_of_month(last + more),
    )


def _day(stated: str, *, widened: bool) -> _Value:
    start = _midnight(int(stated[:4]), int(stated[5:7]), int(stated[8:]))
    more = _DAY if widened else 0
    return _in_every_zone(start - more, start + more, start + _DAY - more, start + _DAY + more)


def _time(text: str) -> _Value:
    return _time_of_day(f"{text[:10]}T{text[11:].upper()}", widened=False)


def _time_of_day(stated: str, *, widened: bool) -> _Value:
    zone = "Z" if stated.endswith("Z") else stated[-6:] if stated[-6] in "+-" else ""
    start = _midnight(int(stated[:4]), int(stated[5:7]), int(stated[8:10]))
    clock = stated[11 : len(stated) - len(zone)]
    start += int(clock[:2]) * _HOUR + int(clock[3:5]) * _MINUTE
    start += int(clock[6:8] or 0) * _SECOND + int(clock[9:15].ljust(6, "0"))
    end = start + (_MINUTE if len(clock) == len("00:00") else _SECOND if len(clock) == len("00:00:00") else 1)
    more = _HOUR // 2 if widened else 0
    if not zone:
        return _in_every_zone(start - more, start + more, end - more, end + more)
    ahead = _offset(zone)
    return _Value(start - more - ahead, start + more - ahead, end - more - ahead, end + more - ahead, is_zoned=True)


def _in_every_zone(starts_earliest: int, starts_latest: int, ends_earliest: int, ends_latest: int) -> _Value:
    return _Value(
        starts_earliest - _EARLIEST_ZONE,
        starts_latest + _LATEST_ZONE,
        ends_earliest - _EARLIEST_ZONE,
        ends_latest + _LATEST_ZONE,
        is_zoned=False,
    )


def _offset(zone: str) -> int:
    if zone == "Z":
        return 0
    size = int(zone[1:3]) * _HOUR + int(zone[4:]) * _MINUTE
    return -size if zone.startswith("-") else size


def _first_of_month(months: int) -> int:
    return _midnight(months // 12, months % 12 + 1, 1)


def _midnight(year: int, month: int, day: int) -> int:
    """Count in cycles of 400 years, since widening reaches the years 0 and 10000 that `date` does not."""
    cycle, year_in_cycle = divmod(year, 400)
    days = date(year_in_cycle + 400, month, day).toordinal() - _EPOCH.toordinal() + (cycle - 1) * 146_097
    return days * _DAY
