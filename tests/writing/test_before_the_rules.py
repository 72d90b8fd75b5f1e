"""What was recorded before a rule of texts, dates or addresses was made stays, is shown, and may be gone on with."""

from typing import Any

import msgspec
import pytest

from api.domain import errors
from api.ledger.projecting.rebuild import rebuild
from api.ledger.reading import lists, views
from api.ledger.reading.answers import answers
from api.ledger.reading.selection import Selection
from tests.support.auditor import _projections
from tests.support.builders import (
    Writing,
    a_claim,
    a_question,
    a_source,
    an_entity,
    restore,
    retract,
    revise,
)
from tests.support.long_ago import recorded_long_ago

BEYOND = "9999-12-31T23:59:59-12:00"
AMOUNT = {"type": "quantity", "amount": "1", "low": None, "high": None, "unit": "users % ", "approximate": False}
SAID: dict[str, dict[str, Any]] = {
    "old-entity": {
        "name": "\u200b",
        "names": {"pt-BR": "Parler", "PT-br": "Parler\n"},
        "same_as": ["https://[", "https://a@b@c", "https://..."],
    },
    "old-source": {
        "title": "Two\nlines",
        "authors": ["\u202eesrever"],
        "language": "PT-br",
        "url": "https://user:secret@example.org:99999/",
        "published": BEYOND,
    },
    "old-question": {"text": "How\x07many?", "unit": "users % "},
    "old-claim": {"statement": "\u3000", "answer": AMOUNT, "valid": "0001-01-01T00:00+14:00"},
}
OPERATIONS = (
    an_entity("old-entity"),
    a_source("old-source"),
    a_question("old-question", about="old-entity", answer_type="quantity", unit="users"),
    a_claim("old-claim", source="old-source", question="old-question", answer={**AMOUNT, "unit": "users"}),
)
KINDS = {"old-entity": "entity", "old-source": "source", "old-question": "question", "old-claim": "claim"}


@pytest.fixture
def old(writing: Writing) -> Writing:
    recorded_long_ago(writing, *OPERATIONS, said=SAID)
    return writing


def _shown(writing: Writing, public_id: str) -> dict[str, Any]:
    document = views.current(writing.database.access(), KINDS[public_id], public_id).document
    shown: dict[str, Any] = msgspec.json.decode(document)
    return shown


def test_it_is_shown_as_it_was_recorded_and_derived_anew(old: Writing) -> None:
    access = old.database.access()
    for public_id, said in SAID.items():
        shown = _shown(old, public_id)
        assert {name: shown[name] for name in said} == said
    before = _projections(access)
    rebuild(access)
    assert _projections(access) == before
    assert answers(access, "old-question", Selection(kind="claim")).agreement.state == "single-origin"
    found = lists.select(access, Selection(kind="source", terms=[("language", "pt-BR")]))[1]
    assert found == ["old-source"]


def test_all_else_of_it_may_be_revised_and_it_may_be_retracted_and_restored(old: Writing) -> None:
    old.append(*(revise(kind, public_id, expect=1, note="Read again.") for public_id, kind in KINDS.items()))
    old.append(*(retract(kind, public_id, expect=2) for public_id, kind in KINDS.items()))
    old.append(*(restore(kind, public_id, expect=3) for public_id, kind in KINDS.items()))
    old.append(*(restore(kind, public_id, expect=4, revision=1) for public_id, kind in KINDS.items()))
    for public_id, said in SAID.items():
        shown = _shown(old, public_id)
        assert {name: shown[name] for name in said} == said


def test_a_question_is_answered_in_the_unit_that_it_has(old: Writing) -> None:
    old.append(a_claim("new", source="old-source", question="old-question", answer={**AMOUNT, "amount": "2"}))
    assert answers(old.database.access(), "old-question", Selection(kind="claim")).agreement.state == "disputed"


def test_what_is_stated_anew_keeps_the_rules(old: Writing) -> None:
    for error, operation in (
        (errors.NotApplicable, revise("entity", "old-entity", expect=1, names={"pt": "Parler", "PT": "Parler"})),
        (errors.BadUrl, revise("source", "old-source", expect=1, url="https://[:::]")),
        (errors.IntervalReversed, revise("claim", "old-claim", expect=1, valid=BEYOND)),
        (errors.BadBody, revise("entity", "old-entity", expect=1, name="\u200b")),
        (errors.BadBody, revise("source", "old-source", expect=1, title="Two\nlines")),
    ):
        with pytest.raises(error):
            old.append(operation)
