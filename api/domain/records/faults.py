"""What is wrong with a value that the contract refuses: all of it, each with its place and a sentence that says what is wanted.

The decoders of msgspec judge, and stop at the first fault. Only after they have refused a value is it looked at here, by
the same types; nothing is accepted or refused here.

To give a form of text its sentence, add it to FORMS by its published pattern: either the sentence, or a function of the
text that was sent, which says what is wrong with that one. A sentence never repeats what was sent.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import NoneType
from typing import Final, NamedTuple

from msgspec import inspect

from api.domain import addresses, languages, text
from api.domain.dates import asof, edtf
from api.domain.dates import wanted as dates
from api.domain.errors import Fault
from api.domain.records.answer import DECIMAL_PATTERN, wanted_decimal
from api.domain.records.question import KNOWN_UNIT_PATTERN, UNIT_PATTERN, wanted_unit

# The most faults that are told of one value.
MOST: Final = 20
# How sentences begin and end that make no sense of a parameter.
UNKNOWN: Final = "unknown field; "
OR_NULL: Final = ", or null"
UNQUOTED: Final = ", without quotes"

FORMS: Final[Mapping[str, str | Callable[[str], str]]] = {
    text.ID_PATTERN: "small letters a to z, digits and hyphens, a letter or digit first",
    text.SHA256_PATTERN: "64 digits of 0 to 9 and a to f",
    text.TEXT_PATTERN: "text without U+0000",
    text.LINE_PATTERN: text.wanted_line,
    text.PROSE_PATTERN: text.wanted_prose,
    addresses.URL_PATTERN: addresses.wanted,
    languages.LANGUAGE_PATTERN: languages.wanted,
    languages.RANGE_PATTERN: languages.wanted,
    edtf.PATTERN: dates.wanted_date,
    edtf.INSTANT_PATTERN: dates.wanted_time,
    edtf.CLOCK_PATTERN: dates.wanted_at_a_clock,
    asof.AS_OF_PATTERN: dates.wanted_as_of,
    asof.POSITION_PATTERN: "a position: a whole number from 0",
    DECIMAL_PATTERN: wanted_decimal,
    UNIT_PATTERN: wanted_unit,
    KNOWN_UNIT_PATTERN: wanted_unit,
}
_UNKNOWN_FORM = "not of the form that the contract gives"
_READABLE = 80
# A name of another form is not repeated, as it may hold anything: it ends what is told of unknown fields.
_PLAIN_NAME = re.compile("[A-Za-z0-9_-]{1,64}")
# The types that a value of JSON may be meant for. No type of ours is for numbers with a fraction.
_MEANT: Mapping[type, tuple[type[inspect.Type], ...]] = {
    NoneType: (inspect.NoneType,),
    bool: (inspect.BoolType,),
    int: (inspect.IntType,),
    float: (),
    str: (inspect.StrType, inspect.LiteralType),
    list: (inspect.ListType,),
    dict: (inspect.StructType, inspect.DictType),
}
# What has a length: what it is called, and what that counts.
_COUNTED: Mapping[type[inspect.Type], tuple[str, str]] = {
    inspect.StrType: ("a text", " characters"),
    inspect.ListType: ("a list", " items"),
    inspect.DictType: ("an object", " members"),
}
# What is added where a value was sent as another type.
_HINTS: Mapping[tuple[type, type[inspect.Type]], str] = {
    (int, inspect.StrType): ", in quotes",
    (float, inspect.StrType): ", in quotes",
    (str, inspect.IntType): UNQUOTED,
    (str, inspect.BoolType): UNQUOTED,
    (str, inspect.ListType): ", in [ ] also where there is one",
}


class _Branch(NamedTuple):
    """One of the types that a value may be of, and what is said of it in the document."""

    type: inspect.Type
    about: str


def faults(value: object, wanted: object) -> list[Fault]:
    """Name what is wrong with a value of JSON that was refused, in the order of the contract: at most MOST faults, one at least.

    What that costs is bounded by the contract and not by the value: lists and maps are looked at as far as they may be
    long, texts that are too long not at all.
    """
    return list(islice(_look(value, _described(wanted), ""), MOST)) or [Fault("", _UNKNOWN_FORM)]


_DESCRIBED: dict[object, inspect.Type] = {}


def _described(wanted: object) -> inspect.Type:
    found = _DESCRIBED.get(wanted)
    if found is None:
        found = _DESCRIBED[wanted] = inspect.type_info(wanted)
    return found


def _look(value: object, wanted: inspect.Type, place: str) -> Iterator[Fault]:
    if isinstance(value, float) and value.is_integer():
        # JSON Schema knows no other whole numbers (2020-12, Core section 4.2.3).
        value = int(value)
    branches = _branches(wanted)
    meant = [each for each in branches if isinstance(each.type, _MEANT[type(value)])]
    if not meant:
        yield Fault(place, _wanted(branches, type(value)))
    elif isinstance(value, dict):
        yield from _look_into_object(value, [each.type for each in meant], place)
    elif isinstance(value, list):
        yield from _look_into_list(value, meant[0].type, place)
    elif isinstance(value, str):
        yield from _look_at_text(value, meant[0], place)
    elif isinstance(value, int):
        yield from _look_at_number(value, meant[0].type, place)


def _branches(wanted: inspect.Type) -> list[_Branch]:
    if isinstance(wanted, inspect.UnionType):
        return [each for one in wanted.types for each in _branches(one)]
    if isinstance(wanted, inspect.Metadata):
        about = (wanted.extra_json_schema or {}).get("description", "")
        return [_Branch(each.type, each.about or about) for each in _branches(wanted.type)]
    return [_Branch(wanted, "")]


def _look_into_object(value: Mapping[str, object], meant: Sequence[inspect.Type], place: str) -> Iterator[Fault]:
    structs = [each for each in meant if isinstance(each, inspect.StructType)]
    if isinstance(meant[0], inspect.DictType):
        yield from _look_into_map(value, meant[0], place)
    elif len(structs) == 1:
        yield from _look_into_struct(value, structs[0], place)
    else:
        yield from _look_into_tagged(value, structs, place)


def _look_into_tagged(
    value: Mapping[str, object], structs: Sequence[inspect.StructType], place: str
) -> Iterator[Fault]:
    """Look into what says itself, by its tag, which of several it is."""
    name = structs[0].tag_field or ""
    found = next((each for each in structs if each.tag == value.get(name)), None)
    if found is not None:
        yield from _look_into_struct(value, found, place)
        return
    tags = _one_of(each.tag for each in structs)
    yield Fault(f"{place}/{name}", tags if name in value else f"is required: {tags}")


def _look_into_struct(value: Mapping[str, object], struct: inspect.StructType, place: str) -> Iterator[Fault]:
    known = {each.encode_name: each for each in struct.fields}
    for name, field in known.items():
        if name in value:
            yield from _look(value[name], field.type, f"{place}/{name}")
        elif field.required:
            yield Fault(f"{place}/{name}", "is required")
    if not struct.forbid_unknown_fields:
        return
    listed = f"{UNKNOWN}here there are {', '.join([*filter(None, [struct.tag_field]), *known])}"
    for name in value:
        if name in known or name == struct.tag_field:
            continue
        if not _PLAIN_NAME.fullmatch(name):
            yield Fault(place, listed)
            return
        yield Fault(f"{place}/{name}", listed)


def _look_into_map(value: Mapping[str, object], wanted: inspect.DictType, place: str) -> Iterator[Fault]:
    if not _is_within(len(value), wanted.min_length, wanted.max_length):
        yield Fault(place, _wanted([_Branch(wanted, "")]))
    for name, item in islice(value.items(), wanted.max_length):
        wrong = [each.rule for each in _look(name, wanted.key_type, place)]
        if wrong:
            yield Fault(place, f"each name in it: {wrong[0]}")
        else:
            yield from _look(item, wanted.value_type, f"{place}/{name.replace('~', '~0').replace('/', '~1')}")


def _look_into_list(value: list[object], wanted: inspect.Type, place: str) -> Iterator[Fault]:
    if not isinstance(wanted, inspect.ListType):
        return
    if not _is_within(len(value), wanted.min_length, wanted.max_length):
        yield Fault(place, _wanted([_Branch(wanted, "")]))
    for index, item in enumerate(value[: wanted.max_length]):
        yield from _look(item, wanted.item_type, f"{place}/{index}")


def _look_at_text(value: str, meant: _Branch, place: str) -> Iterator[Fault]:
    wanted = meant.type
    if isinstance(wanted, inspect.LiteralType):
        if value not in wanted.values:
            yield Fault(place, _one_of(wanted.values))
    elif isinstance(wanted, inspect.StrType):
        if not _is_within(len(value), wanted.min_length, wanted.max_length):
            yield Fault(place, _wanted([meant]))
        elif wanted.pattern is not None and not re.search(wanted.pattern, value):
            yield Fault(place, _form(wanted.pattern, value, meant.about))


def _form(pattern: str, value: str, about: str) -> str:
    """Say what is wanted of a text that does not fit a pattern; where there is no sentence, in the document's words."""
    told = FORMS.get(pattern, about)
    if callable(told):
        return told(value)
    spelt = text.ecma(pattern).replace(edtf.END, "$")
    return told or _UNKNOWN_FORM + (f": {spelt}" if len(spelt) <= _READABLE else "")


def _look_at_number(value: int, wanted: inspect.Type, place: str) -> Iterator[Fault]:
    if isinstance(wanted, inspect.IntType) and not _is_within(value, wanted.ge, wanted.le):
        yield Fault(place, _wanted([_Branch(wanted, "")]))


def _is_within(number: int, least: int | None, most: int | None) -> bool:
    return (least is None or least <= number) and (most is None or number <= most)


def _wanted(branches: Sequence[_Branch], sent: type = NoneType) -> str:
    """Say what may stand in a place, where something else does that was sent as another type."""
    types = [each.type for each in branches if not isinstance(each.type, inspect.NoneType)]
    hint = next((_HINTS[sent, type(each)] for each in types if (sent, type(each)) in _HINTS), "")
    or_null = OR_NULL if len(types) < len(branches) else ""
    return " or ".join(dict.fromkeys(map(_name, types))) + hint + or_null


def _name(wanted: inspect.Type) -> str:
    match wanted:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=least, le=most):
            return "a whole number" + _range(least, most, between=" from ", above=" of ")
        case inspect.LiteralType(values=values):
            return _one_of(values)
        case inspect.StrType() | inspect.ListType() | inspect.DictType():
            what, unit = _COUNTED[type(wanted)]
            return what + _range(wanted.min_length or None, wanted.max_length, unit)
    return "an object"


def _range(least: int | None, most: int | None, unit: str = "", *, between: str = " of ", above: str = " of ") -> str:
    if least is not None and most is not None:
        return f"{between}{least} to {most}{unit}"
    if most is not None:
        return f"{above}at most {most}{unit}"
    return "" if least is None else f"{above}at least {least}{unit}"


def _one_of(values: Iterable[object]) -> str:
    return f"one of {', '.join(map(str, values))}"
