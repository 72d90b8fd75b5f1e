"""Claims: one assertion that one source makes in answer to one question."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from api.domain.dates import edtf
from api.domain.records.answer import Answer, Edtf
from api.domain.records.record import State
from api.domain.text import Id, Note, Sentence, Sha256Hex

Stance = Literal["asserts", "denies", "doubts", "predicts", "alleges", "reports-hearsay"]
Relation = Literal["contradicts", "corroborates", "repeats", "corrects", "supersedes"]


class Locator(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where in the source: the paragraph, counted from 1, and the SHA-256 of its folded text."""

    paragraph: Annotated[int, Meta(ge=1, le=1_000_000)]
    sha256: Sha256Hex


class ClaimBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client states of a claim. Links are made by actions of their own, never here."""

    source: Id
    question: Id
    statement: Sentence
    answer: Answer
    valid: Edtf | None = None
    speaker: Id | None = None
    via: Annotated[list[Id], Meta(max_length=20)] = []
    stance: Stance = "asserts"
    locator: Locator | None = None
    note: Note | None = None


def valid_extent(state: State) -> edtf.Extent | None:
    """When a claim's answer holds; a time answer is its own `valid`."""
    answer = state["answer"]
    text = answer["edtf"] if answer["type"] == "time" else state["valid"]
    return edtf.parse(text) if text is not None else None
