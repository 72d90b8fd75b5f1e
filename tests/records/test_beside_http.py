"""What comes along with records on request: the entities that they name, what questions add up to, and only some fields."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.builders import a_claim, a_question, a_source, an_entity, link, retract, revise
from tests.support.served import Served, refused

ANSWERS = "state claim_count source_count origin_count group_count groups_complete conflict_count rules".split()


@pytest.fixture(scope="module")
def world(served: Served) -> Served:
    served.append(
        an_entity("affair"),
        an_entity("amazon", type="company"),
        an_entity("aws", type="company", part_of="amazon"),
        an_entity("apple", type="company"),
        an_entity("matze", type="person"),
        an_entity("tribune", type="publisher"),
        a_source("paper", publisher="tribune", published="2021-01-10"),
        a_source("blog", published="2021-02"),
        a_source("reprint", derives_from=["paper"]),
        a_question("who", about="affair", answer_type="entity"),
        a_question("which", about="affair", answer_type="entities"),
        a_question("when", about="matze"),
        a_question("unasked", about="affair"),
    )
    served.append(
        a_claim("w1", source="paper", question="who", answer={"type": "entity", "entity": "aws"}, speaker="matze"),
        a_claim("w2", source="blog", question="who", answer={"type": "entity", "entity": "amazon"}),
        a_claim("w3", source="reprint", question="who", answer={"type": "entity", "entity": "apple"}),
        a_claim("all", source="paper", question="which", answer={"type": "entities", "entities": ["apple", "aws"]}),
        a_claim("t1", source="paper", question="when", valid=None),
        a_claim("t2", source="blog", question="when", answer={"type": "time", "edtf": "2021-01-15"}),
        a_claim(
            "t3", source="reprint", question="when", answer={"type": "time", "edtf": "2021-01-16"}, stance="doubts"
        ),
        link("w3", "contradicts", "w2"),
    )
    return served


# What is asked for, and the entities that come along: those that the records shown name, and what stands beside them.
ENTITIES = {
    "entities?id=aws&id=matze&include=entities": {"amazon"},
    "entities/aws?include=entities": {"amazon"},
    "entities/apple?include=entities": set(),
    "sources?include=entities&publisher=tribune": {"tribune"},
    "sources/blog?include=entities": set(),
    "sources/paper?include=entities&fields=title": {"tribune"},
    "questions?include=entities&answer_type=entity": {"affair"},
    "questions?include=entities,agreement&fields=text": {"affair", "matze"},
    "questions/when?include=entities": {"matze"},
    "claims?question=who&include=entities": {"aws", "matze", "amazon", "apple"},
    "claims?question=who&include=entities,source": {"aws", "matze", "amazon", "apple", "tribune"},
    "claims?question=which&include=entities&fields=id": {"apple", "aws"},
    "claims/w1?include=entities": {"aws", "matze"},
    "claims/w1?include=source,entities": {"aws", "matze", "tribune"},
    "claims/t1?include=entities": set(),
    "questions/which/answers?include=entities": {"affair", "apple", "aws"},
    "questions/who/answers?include=entities,source&limit=1": {"affair", "aws", "matze", "amazon", "apple", "tribune"},
    "questions/when/answers?include=entities": {"matze"},
    "timeline?include=entities&question=when": {"matze"},
    "timeline?include=source,entities&question=when&source=paper": {"matze", "tribune"},
}


@pytest.mark.parametrize("path", ENTITIES)
def test_the_entities_that_are_shown_come_along_as_they_are_read(world: Served, path: str) -> None:
    response = world.get(f"/v1/{path}")
    assert response.status_code == 200, response.text
    shown = response.json()["entities"]
    assert set(shown) == ENTITIES[path]
    assert list(shown) == sorted(shown)
    for public_id, entity in shown.items():
        assert entity == world.get(f"/v1/entities/{public_id}").json()
    assert "entities" not in world.get(f"/v1/{path.partition('?')[0]}").json()
    assert response.headers.get("etag", "W/").startswith("W/")
    assert ("etag" in response.headers) is ("fields=" not in path)


def test_what_is_not_to_be_included_is_refused(world: Served) -> None:
    for path in ("claims", "claims/w1", "questions", "sources", "entities/aws", "timeline", "questions/who/answers"):
        for wrong in ("", "question", "entity", "source,", "entities,entities,entities,entities,entities"):
            told = refused(world.get(f"/v1/{path}?include={wrong}"), 400, "bad-parameter", parameter="include")
            assert told["errors"][0]["rule"]
    assert world.get("/v1/claims?include=entities,entities").status_code == 200


def test_what_comes_along_is_as_of_the_same_position(world: Served) -> None:
    before = world.head()
    world.append(revise("entity", "tribune", expect=1, name="La Tribune"), retract("entity", "apple", expect=1))
    for path in ("claims?question=who&include=source,entities", "questions/who/answers?include=source,entities"):
        then = world.get(f"/v1/{path}&as_of={before}").json()["entities"]
        now = world.get(f"/v1/{path}").json()["entities"]
        assert (then["tribune"]["name"], now["tribune"]["name"]) == ("Parler", "La Tribune")
        assert (then["apple"]["status"], now["apple"]["status"]) == ("asserted", "retracted")


def test_what_is_redacted_does_not_come_along_and_no_tag_of_before_is_good(world: Served) -> None:
    world.append(an_entity("person", name="Zq"), a_source("told", publisher="person"), a_question("of", about="person"))
    world.append(a_claim("by", source="told", question="of", speaker="person"))
    paths = (
        "claims/by?include=entities", "claims/by?include=source,entities", "sources/told?include=entities",
        "questions/of?include=entities", "claims?id=by&include=entities", "questions/of/answers?include=source,entities",
        "timeline?speaker=person&include=entities",
    )  # fmt: skip
    pinned = [f"/v1/{path}{way}" for path in paths for way in ("", f"&as_of={world.head()}")]
    held = {path: world.get(path).headers["etag"] for path in pinned}
    body = {"kind": "entity", "id": "person", "basis": "data-protection", "reason": "Asked for"}
    assert world.post("/v1/redactions", body).status_code == 201
    for path, tag in held.items():
        again = world.get(path, If_None_Match=tag)
        assert again.status_code == 200, path
        assert again.json()["entities"] == {}
        assert "Zq" not in again.text


# Coordinates at which a list counts what the answers of each question count.
CLOCKS = (
    "", "as_of=10", "as_of=16", "published_by=2021-01-20", "published_by=2021-01-20&mode=certain", "valid_at=2021-01-11",
    "valid_at=2021-01-15T12:00Z&mode=possible", "published_by=2021-03&valid_at=2021&as_of=20",
)  # fmt: skip


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_list_counts_what_the_answers_count_at_the_same_clocks(world: Served, clock: str) -> None:
    for more in ("", "&fields=text", "&order=-agreement", "&limit=2"):
        page = world.get(f"/v1/questions?include=agreement&{clock}{more}".replace("&&", "&")).json()
        assert list(page["agreement"]) == [item["id"] for item in page["items"]]
        at = "&".join(part for part in clock.split("&") if not part.startswith("as_of"))
        for public_id, counts in page["agreement"].items():
            answers = world.get(f"/v1/questions/{public_id}/answers?as_of={page['position']}&{at}".rstrip("&")).json()
            assert list(counts) == ANSWERS
            assert counts == {name: answers[name] for name in ANSWERS}, public_id
    assert "agreement" not in world.get("/v1/questions").json()


def test_the_counts_are_those_that_one_would_count(world: Served) -> None:
    found = world.get("/v1/questions?include=agreement").json()["agreement"]
    assert found["when"] | {"rules": 0} == {
        "state": "disputed", "claim_count": 3, "source_count": 3, "origin_count": 2, "group_count": 2,
        "groups_complete": True, "conflict_count": 1, "rules": 0,
    }  # fmt: skip
    assert (found["unasked"]["state"], found["unasked"]["claim_count"], found["unasked"]["source_count"]) == (
        "open",
        0,
        0,
    )
    whole = world.get("/v1/questions/when/answers?group=0").json()
    assert (whole["claim_count"], whole["source_count"]) == (1, 1)


KINDS = {"entities": "aws", "sources": "paper", "questions": "who", "claims": "w1"}


@pytest.mark.parametrize("plural", KINDS)
def test_a_record_shows_the_fields_asked_for_and_its_id(world: Served, plural: str) -> None:
    path = f"/v1/{plural}/{KINDS[plural]}"
    whole = world.get(path)
    for names in ("position", "status,recorded_at", "id", "note,note", ",".join(whole.json())):
        for way in ("", f"&as_of={world.head()}"):
            response = world.get(f"{path}?fields={names}{way}")
            assert response.json() == {name: whole.json()[name] for name in ("id", *names.split(","))}
            assert "etag" not in response.headers
            assert response.headers["ledger-position"] == str(world.head())
            assert ("memento-datetime" in response.headers) is bool(way)
    assert world.get(f"{path}?fields=status", If_None_Match=whole.headers["etag"]).status_code == 200
    for wrong in ("", "secret", "status,", "status;id", "answer.edtf"):
        refused(world.get(f"{path}?fields={wrong}"), 400, "bad-parameter", parameter="fields")
    refused(world.get(f"{path}/revisions/1?fields=id"), 400, "bad-parameter", parameter="fields")


def test_a_page_with_much_beside_it_goes_on_and_shows_each_once(world: Served) -> None:
    def walk(path: str) -> Iterator[dict[str, Any]]:
        following: str | None = path
        while following:
            page = world.get(following).json()
            yield page
            following = page["next"]

    for limit in (1, 2, 5):
        pages = list(walk(f"/v1/claims?include=source,entities&order=published&limit={limit}&as_of=22"))
        shown = [item for page in pages for item in page["items"]]
        whole = world.get("/v1/claims?include=source,entities&order=published&limit=500&as_of=22").json()
        assert shown == whole["items"]
        assert {one for page in pages for one in page["entities"]} == set(whole["entities"])
