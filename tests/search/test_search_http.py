"""Search as it is asked for: what a page says, what is refused and in which words, and the clocks."""

import pytest

from tests.support.builders import a_claim, a_question, a_source, an_entity


@pytest.fixture
def ground(client, key):
    operations = [
        an_entity("parler", name="Parler"),
        a_source("paper", title="Parler sues Amazon", language="en"),
        a_question("suit-when", about="parler", text="When did it go to court?", aliases=["lawsuit"]),
        a_claim("c", source="paper", question="suit-when", statement="Parler went to court on Monday."),
    ]
    assert client.post("/v1/batch", json=operations, headers={"Authorization": f"Bearer {key}"}).status_code == 201
    return client


def test_an_item_says_what_was_found_in_a_line(ground):
    answer = ground.get("/v1/search", params={"q": "courts lawsuits"})
    assert answer.status_code == 200
    position = int(answer.headers["ledger-position"])
    assert answer.json() == {
        "items": [
            {
                "kind": "question",
                "id": "suit-when",
                "label": "When did it go to court?",
                "status": "asserted",
                "words": 2,
                "claims": 1,
                "question": None,
            },
            {
                "kind": "claim",
                "id": "c",
                "label": "Parler went to court on Monday.",
                "status": "asserted",
                "words": 1,
                "claims": 1,
                "question": "suit-when",
            },
        ],
        "next": None,
        "position": position,
    }
    again = ground.get("/v1/search", params={"q": "courts lawsuits"}, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_pages_follow_one_another(ground):
    whole = [item["id"] for item in ground.get("/v1/search?q=parler+court").json()["items"]]
    shown, following = [], "/v1/search?q=parler+court&limit=1"
    while following:
        page = ground.get(following).json()
        shown += [item["id"] for item in page["items"]]
        following = page["next"]
    assert shown == whole == ["c", "suit-when", "paper", "parler"]


def test_kinds_are_chosen_and_the_past_is_asked(ground):
    assert [item["kind"] for item in ground.get("/v1/search?q=parler&kind=entity&kind=source").json()["items"]] == [
        "source",
        "entity",
    ]
    assert ground.get("/v1/search?q=parler&as_of=2").json()["items"][0]["id"] == "parler"
    assert ground.get("/v1/search?q=parler&as_of=1").json()["items"] == []


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("", 400, "q"),
        ("q=", 400, "q"),
        ("q=parler&kind=event", 400, "kind"),
        ("q=parler&cursor=1.2.x", 400, "cursor"),
        ("q=parler&order=recorded", 400, "order"),
        ("q=---", 409, "q holds no word to look for"),
        ("q=" + "+".join(f"w{n}" for n in range(51)), 409, "q holds more than 50 words"),
        ("q=parler&as_of=999", 404, "its head is at position 5"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused_in_a_sentence(ground, query, status, said):
    answer = ground.get(f"/v1/search?{query}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.text


def test_q_finds_other_forms_in_lists_too(ground):
    assert [item["id"] for item in ground.get("/v1/questions?q=lawsuits+going").json()["items"]] == ["suit-when"]
    assert ground.get("/v1/questions?q=monday").json()["items"] == []
