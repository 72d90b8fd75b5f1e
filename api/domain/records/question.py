"""Questions: what claims answer, and the unit of agreement and dispute."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from api.domain.text import Id, Name, Note, Sentence

AnswerType = Literal["time", "entity", "boolean", "text", "entities", "quantity"]
UNIT_PATTERN: Final = r"^[A-Za-z0-9](?:[A-Za-z0-9 /._-]{0,48}[A-Za-z0-9/._-])?\Z"
Unit = Annotated[
    str, Meta(pattern=UNIT_PATTERN, description="What is counted, or an ISO code: users, percent, EUR, accounts/day.")
]
# Questions from before that rule are answered and found in the unit that they have.
KNOWN_UNIT_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9 %/._-]{0,49}\Z"
KnownUnit = Annotated[str, Meta(pattern=KNOWN_UNIT_PATTERN)]
_SIGNS: Final = {
    "%": "percent",
    "‰": "per-mille",
    "€": "EUR",
    "$": "USD",
    "£": "GBP",
    "¥": "JPY",
    "₽": "RUB",
    "₹": "INR",
    "°C": "celsius",
    "℃": "celsius",
    "°F": "fahrenheit",
    "℉": "fahrenheit",
    "°": "degrees",
    "²": "2 for ², as in m2",
    "³": "3 for ³, as in m3",
    "µ": "u for micro, as in us",
    "μ": "u for micro, as in us",
    "Ω": "ohm",
}


class QuestionBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client states of a question. `unit` belongs to quantities, and to all of them."""

    about: Annotated[list[Id], Meta(min_length=1, max_length=50)]
    text: Sentence
    aliases: Annotated[list[Name], Meta(max_length=50)] = []
    answer_type: AnswerType
    unit: Unit | None = None
    varies: bool = False
    note: Note | None = None


def wanted_unit(text: str) -> str:
    """Say how a unit is written, and which is meant by a sign that is none."""
    written = next((name for sign, name in _SIGNS.items() if sign in text), None)
    if written is not None:
        return f"write {written}"
    if text.strip() != text:
        return "no blank at either end"
    return "what is counted, in up to 50 ASCII letters, digits, blanks and / . _ -, or an ISO code: users, EUR, accounts/day"
