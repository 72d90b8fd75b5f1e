"""How each form of text is written: what is sent in its place, and the whole sentence that tells of it."""

import re

import pytest

from api.domain import addresses, languages, text
from api.domain.dates import asof, edtf
from api.domain.records.answer import DECIMAL_PATTERN
from api.domain.records.faults import FORMS
from api.domain.records.question import KNOWN_UNIT_PATTERN, UNIT_PATTERN

A_DATE = (
    "a date: 2021, 2021-01, 2021-01-11 or 2021-01-11T08:00Z, with ? or ~ after it where it is uncertain; an interval 2020/2021; "
    "one moment of several [2021-01-10..2021-01-11]"
)
A_TIME = "an RFC 3339 time: 2021-01-11T08:00:00Z"
A_UNIT = (
    "what is counted, in up to 50 ASCII letters, digits, blanks and / . _ -, or an ISO code: users, EUR, accounts/day"
)
A_NUMBER = "a decimal number in digits, as -12 or 3.50: no exponent, no plus, no zeros in front"
A_TAG = "a language tag (BCP 47), as fr, pt-BR or zh-Hant-TW"
WITH_HYPHENS = "a language tag (BCP 47) with - between its parts, not _, as in pt-BR"
ZONE = "zone as ±hh:mm, or Z"
NO_ZONE = "a zone too: Z or ±hh:mm"
SECONDS = "seconds too: 2021-01-11T08:00:00Z"
OVERRIDE = "no bidirectional override (U+202D, U+202E)"
ONE_LINE = "one line with no control character: no end of line, no tab"

ALIKE_IN_DATES_AND_TIMES = {
    "2021-01-11T08:00:00,5Z": "a point before the fraction, not a comma",
    "2021-01-11T24:00:00Z": "midnight as T00:00 of the day that begins",
    "11.01.2021": "year, month, day: 2021-01-11",
    "1/1/2021": "year, month, day: 2021-01-11",
    "20210111T080000Z": "hyphens and colons: 2021-01-11T08:00:00Z",
    "2021-1-5": "two digits for month and day: 2021-01-05",
    "2021-01-5": "two digits for month and day: 2021-01-05",
    "2021-01-11T08": "minutes too: T08:00",
    "2021-01-11T08:00:00+0100": ZONE,
    "2021-01-11T08:00:00.5 Z": ZONE,
    "2021-01-11T08:00:00 CET": ZONE,
}
IN_RECORDS = {
    **ALIKE_IN_DATES_AND_TIMES,
    "2021-01-11T08:00:60Z": "no second 60: seconds from 00 to 59",
    "2021-01-11t08:00:00Z": "capital T and Z",
    "2021-01-11T08:00:00z": "capital T and Z",
    "2021-01-11 08:00:00Z": "T between day and time of day",
    "2021-01-11T08:00:00+15:00": "zone as ±hh:mm, up to 14:00 either way, or Z",
    "2021-01-11T08:00:00-20:00": "zone as ±hh:mm, up to 14:00 either way, or Z",
}
DATES = {
    "2021-21": "no seasons and quarters: the months, as 2021-03/2021-05",
    "2021-33": "no seasons and quarters: the months, as 2021-03/2021-05",
    "2021-01-1X": "no X for a digit: the first and the last that it may be, as [2021-01-10..2021-01-19]",
    "202u": "no X for a digit: the first and the last that it may be, as [2021-01-10..2021-01-19]",
    "2021-*": "no X for a digit: the first and the last that it may be, as [2021-01-10..2021-01-19]",
    "2021%": "~ or ? after a date, not %",
    "2021?~": "~ or ? after a date, not both",
    "0000-01-01": "years from 0001 to 9999",
    "-0044": "years from 0001 to 9999",
    "Y17000": "years from 0001 to 9999",
    "2021-13": "a month, a day and an hour that there are",
    "2021-02-30": "a month, a day and an hour that there are",
    "2021-01-11T25:00Z": "a month, a day and an hour that there are",
    "summer 2020": A_DATE,
}
TIMES = {
    "2021-01": "a time of day and a zone too: 2021-01-11T08:00:00Z",
    "2021-01-11": "a time of day and a zone too: 2021-01-11T08:00:00Z",
    "2021-01-11T08:00Z": SECONDS,
    "2021-01-11T08:00:00": NO_ZONE,
    "2021-01-11T08:00:00.1234567": NO_ZONE,
    "2021-02-30T08:00:00Z": "a day, an hour and a zone (Z or ±hh:mm) that there are",
}
AT_A_CLOCK = {
    **ALIKE_IN_DATES_AND_TIMES,
    "2021-01-11T12:00:00 01:00": "write + as %2B",
    "2021-01-11T12:00:00.5 01:00": "write + as %2B",
}
A_LINE = {
    "Two\nlines": ONE_LINE,
    "a\x85b": ONE_LINE,
    "a\u2028b": ONE_LINE,
    "a\u202db": OVERRIDE,
    "a\u202eb": OVERRIDE,
    " \u200b": "something to see, not blanks alone",
}
UNITS = {
    "%": "write percent", "‰": "write per-mille", "€": "write EUR", "$": "write USD", "£": "write GBP", "¥": "write JPY",
    "₽": "write RUB", "₹": "write INR", "°C": "write celsius", "℃": "write celsius", "°F": "write fahrenheit",
    "℉": "write fahrenheit", "°": "write degrees", "m²": "write 2 for ², as in m2", "m³": "write 3 for ³, as in m3",
    "\xb5s": "write u for micro, as in us", "\u03bcs": "write u for micro, as in us", "Ω": "write ohm",
    " users": "no blank at either end", "users\t": "no blank at either end", "x" * 51: A_UNIT, "comptes é": A_UNIT,
}  # fmt: skip
TOLD: dict[str, dict[str, str]] = {
    text.ID_PATTERN: {"Parler": "small letters a to z, digits and hyphens, a letter or digit first"},
    text.SHA256_PATTERN: {"AB" * 32: "64 digits of 0 to 9 and a to f"},
    text.TEXT_PATTERN: {"\0": "text without U+0000"},
    text.LINE_PATTERN: A_LINE,
    text.PROSE_PATTERN: {"a\u202eb": OVERRIDE, "a\x07b": "no control character but tabs and ends of lines"},
    languages.LANGUAGE_PATTERN: {"fr_FR": WITH_HYPHENS, "i-elvish": A_TAG},
    languages.RANGE_PATTERN: {"fr_FR": WITH_HYPHENS, "*": A_TAG},
    edtf.PATTERN: IN_RECORDS | {"2021-01-11T08:00:00.5Z": "no fraction of a second"} | DATES,
    edtf.INSTANT_PATTERN: IN_RECORDS
    | TIMES
    | {"2021-01-11T08:00:00.1234567Z": "at most six digits after the second", "noon": A_TIME},
    edtf.CLOCK_PATTERN: AT_A_CLOCK | DATES | {"summer 2020": f"{A_TIME}, or {A_DATE}"},
    asof.AS_OF_PATTERN: AT_A_CLOCK
    | TIMES
    | {"yesterday": f"a position, or {A_TIME}", "-1": f"a position, or {A_TIME}"},
    asof.POSITION_PATTERN: {"-1": "a position: a whole number from 0"},
    DECIMAL_PATTERN: {
        "88,2": "a point before the fraction, and nothing between thousands",
        **dict.fromkeys(("1e6", "007", "+1"), A_NUMBER),
    },
    UNIT_PATTERN: UNITS,
    KNOWN_UNIT_PATTERN: {name: said for name, said in UNITS.items() if name != "%"},
}


@pytest.mark.parametrize(
    ("pattern", "sent", "sentence"),
    [(pattern, sent, sentence) for pattern, told in TOLD.items() for sent, sentence in told.items()],
    ids=lambda each: ascii(each)[:30],
)
def test_what_is_not_of_a_form_is_told_how_to_write_it(pattern: str, sent: str, sentence: str) -> None:
    assert not re.search(pattern, sent)
    told = FORMS[pattern]
    assert (told(sent) if callable(told) else told) == sentence


def test_every_form_has_its_sentences_here_or_with_the_addresses() -> None:
    assert TOLD.keys() | {addresses.URL_PATTERN} == FORMS.keys()
