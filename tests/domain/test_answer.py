"""Answers: what each type takes, the rules between its fields, and the numbers and times it stands for."""

import re
from decimal import Decimal

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain import text
from api.domain.dates import edtf
from api.domain.errors import BadAnswer, IntervalReversed
from api.domain.records import answer as answers
from api.domain.records.answer import (
    BooleanAnswer,
    EntitiesAnswer,
    EntityAnswer,
    QuantityAnswer,
    Range,
    TextAnswer,
    TimeAnswer,
)

SHORTLY_AFTER_NINE_IN_PARIS = "[2021-01-11T09:00+01:00..2021-01-11T09:30+01:00]"
ONE_OF_EACH = [
    TimeAnswer(edtf=SHORTLY_AFTER_NINE_IN_PARIS),
    EntityAnswer(entity="amazon-web-services"),
    BooleanAnswer(value=False),
    TextAnswer(text="No host would take the service without the app stores."),
    EntitiesAnswer(entities=["gab", "telegram"]),
    QuantityAnswer(amount="2800000", unit="accounts"),
]

decimals = st.from_regex(answers.DECIMAL_PATTERN).filter(lambda number: len(number) <= answers.DECIMAL_MAX_LENGTH)


def a_quantity(*, unit="accounts", **fields):
    return QuantityAnswer(unit=unit, **fields)


def range_of(**fields):
    quantity = a_quantity(**fields)
    answers.check(quantity)
    return answers.range_of(quantity)


def read(body):
    return msgspec.json.decode(msgspec.json.encode(body), type=answers.Answer)


# What the published schema takes


@pytest.mark.parametrize("answer", ONE_OF_EACH)
def test_every_answer_survives_its_canonical_state(answer):
    state = msgspec.to_builtins(answer)
    text.check_canonical(state)
    assert answers.from_state(state) == answer
    assert read(state) == answer
    answers.check(answer)


def test_an_answer_names_entities_where_it_consists_of_some():
    assert list(answers.entities_named({"type": "entity", "entity": "gab"})) == ["gab"]
    assert list(answers.entities_named({"type": "entities", "entities": ["gab", "parler"]})) == ["gab", "parler"]
    assert list(answers.entities_named({"type": "text", "text": "gab"})) == []


@pytest.mark.parametrize("answer", ONE_OF_EACH)
def test_the_canonical_state_has_every_field_of_its_type(answer):
    assert list(msgspec.to_builtins(answer)) == ["type", *answer.__struct_fields__]


def test_defaults_are_filled_in():
    assert msgspec.to_builtins(read({"type": "entities", "entities": ["gab"]})) == {
        "type": "entities",
        "entities": ["gab"],
        "complete": False,
    }
    assert msgspec.to_builtins(read({"type": "quantity", "amount": "1", "unit": "rank"})) == {
        "type": "quantity",
        "amount": "1",
        "low": None,
        "high": None,
        "unit": "rank",
        "approximate": False,
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "colour", "value": "red"},
        {"type": "time"},
        {"type": "time", "edtf": None},
        {"type": "time", "edtf": "2021-02-29"},
        {"type": "time", "edtf": "2021-01-11\n"},
        {"type": "time", "edtf": "2021-01-11", "note": "unknown field"},
        {"type": "entity", "entity": "Gab"},
        {"type": "entity", "entity": "gab\n"},
        {"type": "entity", "entity": ""},
        {"type": "boolean", "value": "true"},
        {"type": "boolean", "value": 1},
        {"type": "text", "text": ""},
        {"type": "text", "text": "a\x00b"},
        {"type": "text", "text": "a" * 2001},
        {"type": "text", "text": "\u200b"},
        {"type": "text", "text": "a\nb"},
        {"type": "text", "text": "a\u202eb"},
        {"type": "entities", "entities": []},
        {"type": "entities", "entities": [f"e{n}" for n in range(201)]},
        {"type": "entities", "entities": ["gab", None]},
        {"type": "quantity", "amount": "1"},
        {"type": "quantity", "amount": 1, "unit": "accounts"},
        {"type": "quantity", "amount": "01", "unit": "accounts"},
        {"type": "quantity", "amount": "1.", "unit": "accounts"},
        {"type": "quantity", "amount": ".5", "unit": "accounts"},
        {"type": "quantity", "amount": "+5", "unit": "accounts"},
        {"type": "quantity", "amount": "1e6", "unit": "accounts"},
        {"type": "quantity", "amount": "NaN", "unit": "accounts"},
        {"type": "quantity", "amount": "88,2", "unit": "accounts"},
        {"type": "quantity", "amount": "5\n", "unit": "accounts"},
        {"type": "quantity", "amount": "٥", "unit": "accounts"},
        {"type": "quantity", "amount": "1" * 41, "unit": "accounts"},
        {"type": "quantity", "amount": "1", "unit": ""},
        {"type": "quantity", "amount": "1", "unit": "a" * 51},
    ],
)
def test_what_the_schema_forbids_is_refused_on_reading(body):
    with pytest.raises(msgspec.ValidationError):
        read(body)


@pytest.mark.parametrize(
    "state",
    [
        {"type": "text", "text": "Two\nlines"},
        {"type": "text", "text": "\u200b"},
        {"type": "quantity", "amount": "1", "low": None, "high": None, "unit": "%", "approximate": False},
        {"type": "entities", "entities": [f"e{n}" for n in range(300)], "complete": True},
    ],
)
def test_what_was_recorded_is_read_whatever_the_contract_asks_for_by_now(state):
    assert msgspec.to_builtins(answers.from_state(state)) == state


@pytest.mark.parametrize("number", ["0", "-0", "-0.0", "88.2", "-12.50", "1" * 40])
def test_decimal_strings_are_kept_as_received(number):
    assert msgspec.to_builtins(read({"type": "quantity", "amount": number, "unit": "TB"}))["amount"] == number


@pytest.mark.parametrize("answer", ONE_OF_EACH)
def test_the_published_schema_takes_what_is_read(answer):
    jsonschema.validate(msgspec.to_builtins(answer), msgspec.json.schema(answers.Answer))


def test_the_published_patterns_are_those_that_are_checked():
    definitions = msgspec.json.schema(answers.Answer)["$defs"]
    assert definitions["TimeAnswer"]["properties"]["edtf"]["pattern"] == edtf.PATTERN
    amount = definitions["QuantityAnswer"]["properties"]["amount"]["anyOf"]
    assert [each.get("pattern") for each in amount] == [answers.DECIMAL_PATTERN, None]


@given(decimals)
def test_every_text_of_the_decimal_pattern_is_a_finite_number(number):
    assert Decimal(number).is_finite()
    assert re.search(answers.DECIMAL_PATTERN, f"{number}\n") is None


# The rules between fields


def test_an_interval_that_ends_before_it_starts_is_refused_at_its_field():
    with pytest.raises(IntervalReversed) as refusal:
        answers.check(TimeAnswer(edtf="2021-01-11/2021-01-10"))
    assert refusal.value.pointer == "/answer/edtf"


def test_the_same_entity_twice_is_refused_where_it_comes_again():
    with pytest.raises(BadAnswer) as refusal:
        answers.check(EntitiesAnswer(entities=["gab", "telegram", "gab"]))
    assert refusal.value.pointer == "/answer/entities/2"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, "/answer"),
        ({"approximate": True}, "/answer"),
        ({"low": "2", "high": "1"}, "/answer/low"),
        ({"amount": "1", "low": "2"}, "/answer/amount"),
        ({"amount": "3", "high": "2"}, "/answer/amount"),
        ({"amount": "1", "low": "1.01", "approximate": True}, "/answer/amount"),
        ({"low": "10", "high": "9"}, "/answer/low"),
    ],
)
def test_a_quantity_that_contradicts_itself_is_refused(fields, pointer):
    with pytest.raises(BadAnswer) as refusal:
        answers.check(a_quantity(**fields))
    assert refusal.value.pointer == pointer


def test_bounds_may_touch_the_amount_and_each_other():
    answers.check(a_quantity(amount="5", low="5.0", high="5.00"))


# Numbers


def test_an_amount_alone_is_exact():
    assert range_of(amount="2800000") == Range(Decimal(2_800_000), Decimal(2_800_000))


def test_a_figure_of_88_2_million_stands_for_its_last_printed_digit():
    assert range_of(low="88150000", high="88250000") == Range(Decimal(88_150_000), Decimal(88_250_000))


def test_600_000_to_700_000_a_day_is_what_it_says():
    assert range_of(unit="accounts/day", low="600000", high="700000") == Range(Decimal(600_000), Decimal(700_000))


def test_about_forty_million_is_five_percent_either_way():
    assert range_of(amount="40000000", approximate=True) == Range(Decimal(38_000_000), Decimal(42_000_000))


def test_nearly_15_million_does_not_pass_it():
    assert range_of(amount="15000000", high="15000000", approximate=True) == Range(
        Decimal(14_250_000), Decimal(15_000_000)
    )


def test_more_than_70_is_open_above():
    assert range_of(amount="70", low="70") == Range(Decimal(70), None)


def test_several_million_is_open_above():
    assert range_of(low="2000000") == Range(Decimal(2_000_000), None)


def test_at_most_is_open_below():
    assert range_of(high="30") == Range(None, Decimal(30))


def test_approximate_without_an_amount_fills_nothing():
    assert range_of(low="2000000", approximate=True) == Range(Decimal(2_000_000), None)


def test_tolerance_goes_by_the_size_of_a_negative_amount():
    assert range_of(amount="-100", approximate=True) == Range(Decimal(-105), Decimal(-95))


@given(decimals)
def test_the_tolerance_is_exact_however_long_the_number(number):
    found, amount = range_of(amount=number, approximate=True), Decimal(number)
    assert found.low <= amount <= found.high
    assert (found.high.as_integer_ratio()[0] == 0) == (amount == 0)
    low, high = (side.as_integer_ratio() for side in (found.low, found.high))
    top, bottom = amount.as_integer_ratio()
    assert high[0] * bottom * 20 == (top * 20 + abs(top)) * high[1]
    assert low[0] * bottom * 20 == (top * 20 - abs(top)) * low[1]


@given(decimals, decimals, decimals, st.booleans())
def test_a_range_holds_its_amount_and_keeps_the_bounds_given(a, b, c, approximate):
    low, amount, high = sorted((a, b, c), key=Decimal)
    found = range_of(amount=amount, low=low, high=high, approximate=approximate)
    assert found == Range(Decimal(low), Decimal(high))
    assert found.low <= Decimal(amount) <= found.high


# Times and questions


def test_a_time_answer_stands_for_the_extent_of_its_date():
    assert answers.extent_of(ONE_OF_EACH[0]) == edtf.parse(SHORTLY_AFTER_NINE_IN_PARIS)


@pytest.mark.parametrize("answer", ONE_OF_EACH)
def test_an_answer_fits_only_its_own_type(answer):
    kinds = ("time", "entity", "boolean", "text", "entities", "quantity")
    assert [kind for kind in kinds if answers.fits(answer, kind, "accounts")] == [msgspec.to_builtins(answer)["type"]]


def test_a_quantity_fits_only_its_own_unit():
    assert answers.fits(a_quantity(amount="1"), "quantity", "accounts")
    assert not answers.fits(a_quantity(amount="1"), "quantity", "accounts/day")
    assert not answers.fits(a_quantity(amount="1"), "quantity", None)
