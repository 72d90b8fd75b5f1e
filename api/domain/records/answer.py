"""What a claim says in answer to its question, tagged by `type`, and the rules an answer keeps beyond its JSON Schema.

Whether two answers meet or conflict is decided in `agreement`, whether the entities they name exist in `rules`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from typing import Annotated, Final, cast, get_args

from msgspec import Meta, Struct

from api.domain.dates import edtf as dates
from api.domain.errors import BadAnswer, IntervalReversed
from api.domain.records.question import AnswerType, KnownUnit
from api.domain.records.record import State
from api.domain.text import Id, Sentence

DECIMAL_PATTERN: Final = rf"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?{dates.END}"
DECIMAL_MAX_LENGTH: Final = 40

Edtf = Annotated[
    str,
    Meta(
        pattern=dates.PATTERN,
        max_length=dates.MAX_LENGTH,
        description="A date (EDTF) to the year, month, day, minute or second, an interval, or a moment among several.",
    ),
]
DecimalText = Annotated[
    str,
    Meta(
        pattern=DECIMAL_PATTERN,
        max_length=DECIMAL_MAX_LENGTH,
        description="A decimal number, every digit of which counts.",
    ),
]

# Forty characters, times two digits more, fit in fifty: a tolerance that had to be rounded would raise instead.
_EXACT: Final = Context(prec=50, traps=[Inexact])
_TOLERANCE: Final = Decimal("0.05")


def wanted_decimal(text: str) -> str:
    """Say how a number is written."""
    if "," in text:
        return "a point before the fraction, and nothing between thousands"
    return "a decimal number in digits, as -12 or 3.50: no exponent, no plus, no zeros in front"


class TimeAnswer(Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag="time"):
    """When: a moment or a span. It is its own `valid`."""

    edtf: Edtf


class EntityAnswer(Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag="entity"):
    """Who or what: one entity."""

    entity: Id


class BooleanAnswer(Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag="boolean"):
    """Whether."""

    value: bool


class TextAnswer(Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag="text"):
    """What or why, in words that only a link can set against others."""

    text: Sentence


class EntitiesAnswer(Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag="entities"):
    """Who or what, several: these among others, or, where `complete`, these and no more. No entity twice."""

    entities: Annotated[list[Id], Meta(min_length=1, max_length=200)]
    complete: bool = False


class QuantityAnswer(Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True, tag="quantity"):
    """How much: an amount, inclusive bounds, or both; at least one of them."""

    amount: DecimalText | None = None
    low: DecimalText | None = None
    high: DecimalText | None = None
    unit: KnownUnit
    approximate: bool = False


Answer = TimeAnswer | EntityAnswer | BooleanAnswer | TextAnswer | EntitiesAnswer | QuantityAnswer


_TYPES: Final[Mapping[str, type[Struct]]] = {each.__struct_config__.tag: each for each in get_args(Answer)}


@dataclass(frozen=True, slots=True)
class Range:
    """What a quantity may be, bounds included; None is a side without bound."""

    low: Decimal | None
    high: Decimal | None


def check(answer: Answer) -> None:
    """Raise IntervalReversed or BadAnswer, with a pointer from the claim, for what JSON Schema cannot refuse."""
    if isinstance(answer, TimeAnswer):
        _check_time(answer)
    elif isinstance(answer, EntitiesAnswer):
        _check_entities(answer)
    elif isinstance(answer, QuantityAnswer):
        _check_quantity(answer)


def _check_time(answer: TimeAnswer) -> None:
    try:
        dates.check(answer.edtf)
    except IntervalReversed as refusal:
        refusal.pointer = "/answer/edtf"
        raise


def _check_entities(answer: EntitiesAnswer) -> None:
    seen: set[str] = set()
    for index, entity in enumerate(answer.entities):
        if entity in seen:
            raise BadAnswer("names the same entity twice", f"/answer/entities/{index}")
        seen.add(entity)


def _check_quantity(answer: QuantityAnswer) -> None:
    amount, low, high = _numbers(answer)
    if amount is None and low is None and high is None:
        raise BadAnswer("a quantity states an amount, a low or a high")
    if low is not None and high is not None and low > high:
        raise BadAnswer("low is above high", "/answer/low")
    if amount is not None and low is not None and amount < low:
        raise BadAnswer("the amount is below low", "/answer/amount")
    if amount is not None and high is not None and amount > high:
        raise BadAnswer("the amount is above high", "/answer/amount")


def range_of(answer: QuantityAnswer) -> Range:
    """Give the numbers that an answer which passed `check` allows.

    An amount alone is exact. `approximate` fills each side not given with the amount ± 5 % of its size; "more than 70"
    is an amount with a low, and a side neither given nor filled is open.
    """
    amount, low, high = _numbers(answer)
    if amount is None:
        return Range(low, high)
    if answer.approximate:
        tolerance = _EXACT.multiply(amount.copy_abs(), _TOLERANCE)
        low = _EXACT.subtract(amount, tolerance) if low is None else low
        high = _EXACT.add(amount, tolerance) if high is None else high
        return Range(low, high)
    return Range(amount, amount) if low is None and high is None else Range(low, high)


def _numbers(answer: QuantityAnswer) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    return _number(answer.amount), _number(answer.low), _number(answer.high)


def _number(stated: str | None) -> Decimal | None:
    return None if stated is None else Decimal(stated)


def extent_of(answer: TimeAnswer) -> dates.Extent:
    """Give the time an answer which passed `check` speaks of."""
    return dates.parse(answer.edtf)


def entities_in(answer: Answer) -> list[str]:
    """Name the entities that an answer consists of."""
    if isinstance(answer, EntityAnswer):
        return [answer.entity]
    return list(answer.entities) if isinstance(answer, EntitiesAnswer) else []


def entities_named(answer: State) -> Sequence[str]:
    """Name the entities that an answer consists of, as a state or a representation holds it."""
    return (answer["entity"],) if answer["type"] == "entity" else answer.get("entities", ())


def text_in(answer: State) -> Sequence[str]:
    """Give the words of an answer that is a text, as a state holds it."""
    return (answer["text"],) if answer["type"] == "text" else ()


def from_state(answer: State) -> Answer:
    """Read an answer as a state holds it. What was recorded is never refused, whatever the contract asks for by now."""
    said = {name: value for name, value in answer.items() if name != "type"}
    return cast("Answer", _TYPES[answer["type"]](**said))


def fits(answer: Answer, answer_type: AnswerType, unit: str | None) -> bool:
    """Say whether an answer is of its question's type and, for a quantity, in its unit."""
    if answer.__struct_config__.tag != answer_type:
        return False
    return not isinstance(answer, QuantityAnswer) or answer.unit == unit
