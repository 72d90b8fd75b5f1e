"""Questions: what claims answer, and the unit of agreement and dispute."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from api.domain.text import Id, Note, Sentence

AnswerType = Literal["time", "entity", "boolean", "text", "entities", "quantity"]
UNIT_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9 %/._-]{0,49}\Z"
Unit = Annotated[str, Meta(pattern=UNIT_PATTERN)]


class QuestionBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client states of a question. `unit` belongs to quantities, and to all of them."""

    about: Annotated[list[Id], Meta(min_length=1, max_length=50)]
    text: Sentence
    answer_type: AnswerType
    unit: Unit | None = None
    varies: bool = False
    note: Note | None = None
