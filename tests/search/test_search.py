"""Search: any word in all kinds of record, ranked alike on both databases, at every position, and after redaction."""

import msgspec
import pytest

from api.domain.dates.asof import AsOf
from api.domain.words import sought
from api.ledger.reading.searching.search import Search, search
from tests.support.builders import a_claim, a_question, a_source, an_entity, restore, retract, revise


def found(writing, q: str, *, at: int | None = None, **more) -> list[str]:
    page = search(writing.database.access(), Search(words=sought(q), asked=AsOf(position=at), **more))
    return [
        f"{item['kind']} {item['id']} {item['words']} {item['claims']}" for item in map(msgspec.json.decode, page.items)
    ]


@pytest.fixture
def affair(writing):
    writing.append(
        an_entity("amazon", type="company", name="Amazon", names={"ja": "アマゾン", "ru": "Амазон"}),
        an_entity("matze", type="person", name="John Matze", note="He was the head of a network."),
        a_source("paper", title="The board dismisses its head", language="en"),
        a_source("journal", title="Le conseil licencie son directeur", language="fr"),
        a_question("matze-when", about="matze", text="When was he dismissed?", aliases=["fired", "sacking"]),
        a_question("amazon-why", about="amazon", text="Why did it end the hosting?"),
        a_claim("c1", source="paper", question="matze-when", statement="The owners removed him in January."),
        a_claim("c2", source="paper", question="matze-when", statement="The owners removed him in a hurry."),
        a_claim(
            "c3",
            source="journal",
            question="amazon-why",
            statement="Moderators had not removed posts.",
            speaker="matze",
        ),
    )
    return writing


def test_what_holds_most_words_comes_first_then_what_has_most_claims_then_the_id(affair):
    assert found(affair, "removed owners") == [
        "question matze-when 2 2", "claim c1 2 1", "claim c2 2 1", "question amazon-why 1 1", "claim c3 1 1",
    ]  # fmt: skip
    assert found(affair, "removing", kinds=["claim", "source"]) == ["claim c1 1 1", "claim c2 1 1", "claim c3 1 1"]


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("firing", ["question matze-when 1 2"]),
        ("licencier", ["source journal 1 1"]),
        ("dismissal", ["question matze-when 1 2", "source paper 1 2"]),
        ("アマゾン", ["question amazon-why 1 1", "entity amazon 1 0"]),
        ("Амазону", ["question amazon-why 1 1", "entity amazon 1 0"]),
        ("matze", ["question matze-when 1 2", "entity matze 1 1"]),
        # A note says what an entity is, and not what it is called.
        ("network", ["entity matze 1 1"]),
        ("nothing", []),
    ],
)
def test_a_question_is_found_by_its_claims_its_entities_names_and_its_aliases(affair, q, expected):
    assert found(affair, q) == expected


def test_pages_go_on_where_the_last_ended_and_from_any_place(affair):
    access, whole, cursor = affair.database.access(), found(affair, "removed owners matze dismissed"), None
    for place in whole:
        wanted = Search(words=sought("removed owners matze dismissed"), asked=AsOf(), limit=1, cursor=cursor)
        page = search(access, wanted)
        assert msgspec.json.decode(page.items[0])["id"] == place.split()[1]
        assert page.is_more is (place is not whole[-1])
        cursor = page.keys[0]
    assert found(affair, "removed", cursor="1.1.c1.claim")[0] == "claim c2 1 1"
    assert found(affair, "removed", cursor="99.0.z.claim") == found(affair, "removed")
    assert found(affair, "removed", cursor="1.0.z.claim") == []


def test_search_looks_at_the_position_asked_and_at_live_claims(affair):
    before = affair.append(a_source("late")).position
    whole = found(affair, "owners")
    affair.append(retract("claim", "c1", expect=1), revise("claim", "c2", expect=1, statement="The board did it."))
    assert found(affair, "owners") == ["claim c1 1 1"]
    assert found(affair, "board") == ["claim c2 1 1", "question matze-when 1 1", "source paper 1 1"]
    affair.append(restore("claim", "c1", expect=2), retract("source", "paper", expect=1))
    assert found(affair, "owners board") == ["claim c1 1 1", "claim c2 1 1", "source paper 1 0"]
    assert found(affair, "owners", at=before) == whole
    assert found(affair, "owners", at=0) == []


def test_nothing_of_a_redacted_text_finds_anything(affair):
    affair.redact("claim", "c1")
    assert found(affair, "January owners") == ["claim c2 1 1", "question matze-when 1 1"]
    affair.redact("entity", "matze")
    assert found(affair, "Matze") == ["question matze-when 1 1"]
    affair.redact("question", "matze-when")
    assert found(affair, "Matze hurry") == ["claim c2 1 1"]


def test_a_word_that_many_hold_is_passed_over_or_looked_for_in_those_recorded_first(affair, monkeypatch):
    for limit in ("COMMON", "MOST"):
        monkeypatch.setattr(f"api.ledger.reading.searching.search.{limit}", 2)
    assert found(affair, "removed") == ["question matze-when 1 2", "claim c1 1 1", "claim c2 1 1"]
    assert found(affair, "removed hurry") == ["question matze-when 1 2", "claim c2 1 1"]
