"""What is wanted where a text is no date, or no time, of the published patterns: one sentence, told from the slip it shows.

The text itself is never repeated. The patterns stand in `edtf` and `asof`; nothing is read here.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

# What a slip looks like, and the sentence that tells of it.
_Slips = Sequence[tuple[re.Pattern[str], str]]

_CLOCK: Final = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]+)?)?"
_A_DATE: Final = (
    "a date: 2021, 2021-01, 2021-01-11 or 2021-01-11T08:00Z, with ? or ~ after it where it is uncertain; an interval 2020/2021; "
    "one moment of several [2021-01-10..2021-01-11]"
)
_A_TIME: Final = "an RFC 3339 time: 2021-01-11T08:00:00Z"


def wanted_date(text: str) -> str:
    """Say how a date is written in a record."""
    return _first(text, _ANYWHERE, _IN_RECORDS, _IN_DATES) or _A_DATE


def wanted_time(text: str) -> str:
    """Say how a time is written in a record."""
    return _first(text, _ANYWHERE, _IN_RECORDS, _IN_TIMES) or _A_TIME


def wanted_at_a_clock(text: str) -> str:
    """Say how a time or a date is written in a query."""
    return _first(text, _LOST_PLUS, _ANYWHERE, _IN_DATES) or f"{_A_TIME}, or {_A_DATE}"


def wanted_as_of(text: str) -> str:
    """Say how a position or a time is written in a query."""
    return _first(text, _LOST_PLUS, _ANYWHERE, _IN_TIMES) or f"a position, or {_A_TIME}"


def _first(text: str, *slips: _Slips) -> str | None:
    every: Iterable[tuple[re.Pattern[str], str]] = chain.from_iterable(slips)
    return next((sentence for pattern, sentence in every if pattern.search(text)), None)


def _slips(*told: tuple[str, str]) -> _Slips:
    return [(re.compile(pattern), sentence) for pattern, sentence in told]


# In a query + stands for a blank.
_LOST_PLUS: Final = _slips((rf"{_CLOCK} [0-9]{{2}}:[0-9]{{2}}$", "write + as %2B"))
_ANYWHERE: Final = _slips(
    (r"[0-9],[0-9]", "a point before the fraction, not a comma"),
    (r"T24:", "midnight as T00:00 of the day that begins"),
    (r"^[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}", "year, month, day: 2021-01-11"),
    (r"^[0-9]{8}", "hyphens and colons: 2021-01-11T08:00:00Z"),
    (r"^[0-9]{4}-(?:[0-9]{2}-)?[0-9](?![0-9A-Za-z*])", "two digits for month and day: 2021-01-05"),
    (r"[T ][0-9]{2}(?![0-9:])", "minutes too: T08:00"),
    (rf"{_CLOCK}(?: ?[A-Za-z]{{2,}}| [Zz]|[+-][0-9]{{1,4}})[?~]?(?:$|[/.\]])", "zone as ±hh:mm, or Z"),
)
_IN_RECORDS: Final = _slips(
    (r":[0-9]{2}:60", "no second 60: seconds from 00 to 59"),
    (r"[0-9][tz]", "capital T and Z"),
    (r"[0-9] [0-9]", "T between day and time of day"),
    (rf"{_CLOCK}[+-](?:1[5-9]|[2-9])", "zone as ±hh:mm, up to 14:00 either way, or Z"),
)
_IN_DATES: Final = _slips(
    (r":[0-9]{2}[.][0-9]", "no fraction of a second"),
    (r"^[0-9]{4}-(?:2[1-9]|[34][0-9])(?![0-9])", "no seasons and quarters: the months, as 2021-03/2021-05"),
    (r"[0-9-][XUxu*]", "no X for a digit: the first and the last that it may be, as [2021-01-10..2021-01-19]"),
    (r"%", "~ or ? after a date, not %"),
    (r"[?~]{2}", "~ or ? after a date, not both"),
    (r"^(?:0000|[-+Yy][0-9])", "years from 0001 to 9999"),
    (r"^[0-9]{4}-[0-9]{2}(?:-[0-9]{2}(?:T.*)?)?$", "a month, a day and an hour that there are"),
)
_IN_TIMES: Final = _slips(
    (r"^[0-9]{4}(?:-[0-9]{2}){0,2}$", "a time of day and a zone too: 2021-01-11T08:00:00Z"),
    (r"[Tt ][0-9]{2}:[0-9]{2}(?![0-9:])", "seconds too: 2021-01-11T08:00:00Z"),
    (rf"^[0-9-]{{10}}[Tt ]{_CLOCK}$", "a zone too: Z or ±hh:mm"),
    (r"[.][0-9]{7}", "at most six digits after the second"),
    (rf"^[0-9-]{{10}}[Tt ]{_CLOCK}", "a day, an hour and a zone (Z or ±hh:mm) that there are"),
)
