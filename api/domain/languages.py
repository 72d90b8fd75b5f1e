"""Language tags (BCP 47: RFC 5646) and the ranges that find them (RFC 4647): told apart by whole subtags, never by case."""

from itertools import accumulate
from typing import Annotated, Final

import msgspec

# Tags from before there was a grammar that do not fit it (RFC 5646 section 2.1, `irregular`); the regular ones do.
_IRREGULAR: Final = (
    "en-GB-oed", "i-ami", "i-bnn", "i-default", "i-enochian", "i-hak", "i-klingon", "i-lux", "i-mingo", "i-navajo", "i-pwn",
    "i-tao", "i-tay", "i-tsu", "sgn-BE-FR", "sgn-BE-NL", "sgn-CH-DE",
)  # fmt: skip


def _in_any_case(tag: str) -> str:
    return "".join(f"[{sign.upper()}{sign.lower()}]" if sign.isalpha() else sign for sign in tag)


LANGUAGE_PATTERN: Final = (
    r"^(?:(?:[A-Za-z]{2,3}(?:-[A-Za-z]{3}){0,3}|[A-Za-z]{4,8})"
    r"(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|[0-9]{3}))?(?:-(?:[A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*"
    r"(?:-[0-9A-WYZa-wyz](?:-[A-Za-z0-9]{2,8})+)*(?:-[Xx](?:-[A-Za-z0-9]{1,8})+)?"
    r"|[Xx](?:-[A-Za-z0-9]{1,8})+"
    rf"|{'|'.join(map(_in_any_case, _IRREGULAR))})\Z"
)
RANGE_PATTERN: Final = r"^[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*\Z"

Language = Annotated[
    str, msgspec.Meta(pattern=LANGUAGE_PATTERN, max_length=35, description="A language tag (BCP 47), kept as it comes.")
]
LanguageRange = Annotated[str, msgspec.Meta(pattern=RANGE_PATTERN, max_length=35)]


def ranges_of(tag: str) -> list[str]:
    """Give the ranges that find a tag: it, and each that it begins with (RFC 4647 section 3.3.1), in their usual case."""
    return list(accumulate(in_usual_case(tag).split("-"), "{}-{}".format))


def in_usual_case(tag: str) -> str:
    """Spell a tag, or a range, as RFC 5646 section 2.1.1 recommends, `zh-Hant-TW`: what differs in case alone is one."""
    language, *subtags = tag.lower().split("-")
    spelt, is_plain = [language], len(language) > 1
    for subtag in subtags:
        # What follows a single letter or digit is an extension, or private.
        is_plain = is_plain and len(subtag) > 1
        spelt.append(_SPELLINGS.get(len(subtag), str)(subtag) if is_plain else subtag)
    return "-".join(spelt)


# Regions have two letters, scripts four.
_SPELLINGS: Final = {2: str.upper, 4: str.title}


def wanted(text: str) -> str:
    """Say how a language is written."""
    if "_" in text:
        return "a language tag (BCP 47) with - between its parts, not _, as in pt-BR"
    return "a language tag (BCP 47), as fr, pt-BR or zh-Hant-TW"
