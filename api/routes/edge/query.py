"""How path, query and header values are read: held to the Structs and patterns that are published."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar
from urllib.parse import parse_qsl, quote_plus, urlencode

import msgspec
from msgspec import Struct

from api.domain.dates.asof import POSITION_PATTERN
from api.domain.dates.edtf import END
from api.domain.errors import BadParameter, Fault
from api.domain.records.faults import OR_NULL, UNKNOWN, UNQUOTED, faults

MOST_PAIRS = 300
Wanted = TypeVar("Wanted", bound=Struct)
_GIVEN_TWICE = "given twice, and takes one value (names in one are separated by commas)"
_SEVERAL = "; for several values give the parameter several times"
_BARE = "; no name ends in []"
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")
_TRUTHS: Mapping[str, object] = {"true": True, "false": False}
_PLAIN_PAIR = "[A-Za-z0-9._~-]+=[A-Za-z0-9._~-]*"
_PLAIN_QUERY = re.compile(rf"{_PLAIN_PAIR}(?:&{_PLAIN_PAIR})*")
IDEMPOTENCY_KEY = f"^[!-~]{{1,255}}{END}"
# Strong tags or an asterisk (RFC 9110 sections 8.8.3 and 13.1.1); recipients pass over empty elements (section 5.6.1.2).
STRONG_TAGS = f'^[ \\t,]*(?:[*]|"[!#-~]*"(?:[ \\t]*,[ \\t,]*"[!#-~]*")*)[ \\t,]*{END}'
BAD_HTTP_DATE = "a date such as Mon, 11 Jan 2021 08:00:00 GMT (RFC 9110 section 5.6.7)"
# Which days there are is for who reads the date to say.
HTTP_DATE = (
    f"^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{{2}} [A-Z][a-z]{{2}} [0-9]{{4}} [0-9]{{2}}(?::[0-9]{{2}}){{2}} GMT{END}"
)


@dataclass(frozen=True, slots=True)
class Header:
    """A request header: what it does, what it may be, and what is wanted where it is something else.

    What is not published is explained in the description. If-None-Match has no pattern: what is no tag does not match.
    """

    text: str
    pattern: str | None = None
    wanted: str = ""
    is_published: bool = True


HEADERS: Mapping[str, Header] = {
    "If-Match": Header(
        "The strong entity tag of the revision this is based on, or `*` (RFC 9110 section 13.1.1).",
        STRONG_TAGS,
        'the ETag of the revision that this is based on, in its quotes and without W/, such as "5264"; or *',
    ),
    "If-None-Match": Header("Entity tags that are already held: 304 if one of them still fits."),
    "Accept-Datetime": Header(
        "Be sent to the revision then in force (RFC 7089).", HTTP_DATE, BAD_HTTP_DATE, is_published=False
    ),
    "Last-Event-ID": Header(
        "The position of the last event that came: what a browser says when it connects again, in place of `after`.",
        POSITION_PATTERN,
        "a position, 0 or a whole number without leading zeros",
    ),
    "Idempotency-Key": Header(
        "Makes a repeated request safe for 7 days: it gets the first one's answer.",
        IDEMPOTENCY_KEY,
        "1 to 255 characters of ASCII, without spaces",
    ),
}
_HEADER_PATTERNS = {name: re.compile(header.pattern) for name, header in HEADERS.items() if header.pattern is not None}


def read_query(raw: bytes, wanted: type[Wanted]) -> Wanted:
    """Read a query string. Raises BadParameter naming the parameter: unknown, repeated, or outside its pattern."""
    if not raw:
        nothing: Wanted = _nothing_asked(wanted)
        return nothing
    found: dict[str, str | list[str]] = {}
    many = _repeatable(wanted)
    try:
        pairs = read_pairs(raw.decode("ascii"))
    except ValueError:
        raise BadParameter("query", "query", "at most 300 parameters, in UTF-8 and percent-encoded") from None
    for name, value in pairs:
        if name in many:
            found.setdefault(name, []).append(value)  # type: ignore[union-attr]
        elif name in found and name in _taken(wanted):
            raise BadParameter("query", name, _GIVEN_TWICE)
        else:
            found[name] = value
    return convert(found, wanted, "query")


@lru_cache(maxsize=100)
def _nothing_asked(wanted: type[Wanted]) -> Wanted:
    return convert({}, wanted, "query")


def read_pairs(raw: str) -> list[tuple[str, str]]:
    """Take a query apart, in the form of HTML's (urlencoded parsing). ValueError for more than 300 pairs, or no UTF-8."""
    if raw.count("&") < MOST_PAIRS and _PLAIN_QUERY.fullmatch(raw):
        # What holds no escape is read in a fraction of the time.
        return [(name, value) for name, _, value in (pair.partition("=") for pair in raw.split("&"))]
    return parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=MOST_PAIRS)


def replace_in_query(raw: str, replaced: Mapping[str, object]) -> str:
    """Write a query again with some of its parameters replaced, in the form of HTML's (urlencoded serializing).

    One that is replaced by None is left out.
    """
    if _PLAIN_QUERY.fullmatch(raw):
        # What needs no escape is written as it was read, in a fraction of the time.
        kept = [pair for pair in raw.split("&") if pair.partition("=")[0] not in replaced]
    else:
        pairs = [(name, value) for name, value in parse_qsl(raw, keep_blank_values=True) if name not in replaced]
        kept = [urlencode(pairs)] if pairs else []
    given = (f"{name}={quote_plus(str(value))}" for name, value in replaced.items() if value is not None)
    return "&".join([*filter(None, kept), *given])


@lru_cache(maxsize=100)
def _repeatable(wanted: type[Struct]) -> frozenset[str]:
    """Name the parameters that may be given more than once: lists of values."""
    schema = msgspec.json.schema_components([wanted])[1][wanted.__name__]
    return frozenset(name for name, each in schema["properties"].items() if each.get("type") == "array")


def convert(found: Mapping[str, object], wanted: type[Wanted], place: str) -> Wanted:
    """Hold text values to a Struct. Raises BadParameter."""
    readers = _readers(wanted)
    typed = {name: readers[name](value) if name in readers else value for name, value in found.items()}
    try:
        return msgspec.convert(typed, wanted)
    except msgspec.ValidationError:
        raise _bad_parameter(typed, wanted, place) from None


@lru_cache(maxsize=100)
def _readers(wanted: type[Struct]) -> Mapping[str, Callable[[object], object]]:
    """Give, by name, how the parameters are read that are not texts: numbers and truths."""
    schema = msgspec.json.schema_components([wanted])[1][wanted.__name__]
    described = {name: str(each) for name, each in schema["properties"].items()}
    return {name: read for name, text in described.items() for kind, read in _READERS.items() if kind in text}


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and _NUMBER.match(value) else value


def _truth(value: object) -> object:
    """Read one truth, or several. Only JSON's own words are one; any other text stays, for the contract to refuse."""
    if isinstance(value, list):
        return [_truth(each) for each in value]
    return _TRUTHS.get(value, value) if isinstance(value, str) else value


_READERS: Mapping[str, Callable[[object], object]] = {
    "'type': 'integer'": _number,
    "'type': 'boolean'": _truth,
}


def _bad_parameter(typed: Mapping[str, object], wanted: type[Wanted], place: str) -> BadParameter:
    first, *more = dict.fromkeys(_of_parameter(each, typed, wanted, place) for each in faults(typed, wanted))
    return BadParameter(place, first.place, first.rule, more)


def _of_parameter(fault: Fault, typed: Mapping[str, object], wanted: type[Struct], place: str) -> Fault:
    """Tell a fault of a parameter as one: a value of a list is told by its name, and nothing is null or in quotes here."""
    name = fault.place.removeprefix("/").partition("/")[0] or place
    if fault.rule.startswith(UNKNOWN):
        bare = _BARE if any(each.endswith("[]") for each in typed) else ""
        return Fault(name, "unknown parameter; this operation takes " + ", ".join(_taken(wanted)) + bare)
    values = typed.get(name)
    several = _SEVERAL if isinstance(values, list) and any("," in str(each) for each in values) else ""
    return Fault(name, fault.rule.removesuffix(OR_NULL).removesuffix(UNQUOTED) + several)


@lru_cache(maxsize=100)
def _taken(wanted: type[Struct]) -> tuple[str, ...]:
    return tuple(each.encode_name for each in msgspec.structs.fields(wanted)) or ("none",)


def read_header(name: str, value: str | None) -> str | None:
    """Hold a header to its pattern. Raises BadParameter."""
    pattern = _HEADER_PATTERNS.get(name)
    if value is not None and pattern is not None and not pattern.search(value):
        raise BadParameter("header", name, HEADERS[name].wanted)
    return value
