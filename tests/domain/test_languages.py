"""Language tags: all that are well formed, and who finds them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain import languages

WELL_FORMED = [
    "fr", "en-GB", "zh-Hant-TW", "es-419", "de-CH-1996", "sl-rozaj-biske", "zh-yue-HK", "x-ours", "en-a-bbb-x-a", "und", "i" * 4,
    # Grandfathered, RFC 5646 section 2.1: irregular, then regular.
    "en-GB-oed", "i-ami", "i-bnn", "i-default", "i-enochian", "i-hak", "i-klingon", "i-lux", "i-mingo", "i-navajo", "i-pwn", "i-tao",
    "i-tay", "i-tsu", "sgn-BE-FR", "sgn-BE-NL", "sgn-CH-DE",
    "art-lojban", "cel-gaulish", "no-bok", "no-nyn", "zh-guoyu", "zh-hakka", "zh-min", "zh-min-nan", "zh-xiang",
]  # fmt: skip
MALFORMED = [
    "", "f", "fr_FR", "fr-", "-fr", "en-GB-GB", "fr\n", "123", "en--us", "x", "en-x", "en-a", "abcdefghi", "i-elvish", "i-", "é", "*",
    "en-GB-oe", "i-klingon-x",
]  # fmt: skip


def is_tag(text: str) -> bool:
    return re.search(languages.LANGUAGE_PATTERN, text) is not None


@pytest.mark.parametrize("tag", WELL_FORMED)
def test_well_formed_tags_are_taken_in_any_case(tag: str) -> None:
    assert is_tag(tag)
    assert is_tag(tag.upper())
    assert is_tag(tag.swapcase())


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_tags_are_refused(text: str) -> None:
    assert not is_tag(text)
    assert "language tag" in languages.wanted(text)


@pytest.mark.parametrize(
    ("tag", "usual"),
    [
        ("ZH-HANT-tw", "zh-Hant-TW"),
        ("en-ca-X-CA", "en-CA-x-ca"),
        ("AZ-latn-x-LATN", "az-Latn-x-latn"),
        ("EN-u-CO-PHONEBK", "en-u-co-phonebk"),
        ("I-Klingon", "i-klingon"),
        ("sgn-be-fr", "sgn-BE-FR"),
        ("DE-1996", "de-1996"),
        ("es-419", "es-419"),
    ],
)
def test_tags_are_shown_in_the_case_that_is_usual(tag: str, usual: str) -> None:
    assert languages.in_usual_case(tag) == usual


def test_a_range_finds_what_begins_with_it_by_whole_subtags() -> None:
    assert languages.ranges_of("pt-br") == ["pt", "pt-BR"]
    assert languages.ranges_of("zh-hant-tw") == ["zh", "zh-Hant", "zh-Hant-TW"]
    assert languages.ranges_of("i-KLINGON") == ["i", "i-klingon"]


@given(st.from_regex(languages.LANGUAGE_PATTERN), st.from_regex(languages.RANGE_PATTERN))
def test_ranges_find_as_rfc_4647_says(tag: str, wanted: str) -> None:
    lower, asked = tag.lower(), wanted.lower()
    is_found = lower == asked or lower.startswith(asked + "-")
    assert (languages.in_usual_case(wanted) in languages.ranges_of(tag)) is is_found
    assert languages.in_usual_case(tag.upper()) == languages.in_usual_case(tag)
    assert all(re.search(languages.RANGE_PATTERN, each) for each in languages.ranges_of(tag))
