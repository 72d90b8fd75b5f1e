"""What one speaker or one source said over time, question by question, and what it contradicts of itself."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.builders import Operation, a_claim, a_question, a_source, an_entity, link, retract, revise
from tests.support.served import Served, refused

ENTITY, SOURCE = "/v1/entities/matze/statements", "/v1/sources/book/statements"
# The interviews that one man gave, and when: recorded in another order.
PUBLISHED = {"tv": "2021-01-09", "paper": "2021-01-11", "court": "2021-02", "blog": None}
SAID: list[tuple[str, dict[str, Any]]] = [
    # id, and what the claim says: where, on what, in which words.
    ("court-when", {"source": "court", "answer": "2021-01-11"}),
    ("tv-when", {"source": "tv", "answer": "2021-01-05"}),
    ("paper-when", {"source": "paper", "answer": "2021-01"}),
    ("blog-when", {"source": "blog", "answer": "2021-01-12", "stance": "predicts"}),
    ("tv-users", {"source": "tv", "question": "users", "answer": 12}),
    ("paper-users", {"source": "paper", "question": "users", "answer": 15}),
    ("court-users", {"source": "court", "question": "users", "answer": 15}),
]


def _claim(public_id: str, source: str, answer: str | int, question: str = "when", **more: Any) -> Operation:
    told = {"type": "time", "edtf": answer}
    if question == "users":
        told = {"type": "quantity", "amount": str(answer), "unit": "users"}
    return a_claim(public_id, source=source, question=question, answer=told, **more)


@pytest.fixture(scope="module")
def steps(served: Served) -> dict[str, int]:
    """What Matze said; others who said otherwise; what he took back; what was retracted: the position after each."""
    served.append(
        an_entity("matze"),
        an_entity("wife", name="Silent"),
        *(a_source(name, published=date) for name, date in reversed(PUBLISHED.items())),
        a_question("when", about="matze"),
        a_question("users", about="matze", answer_type="quantity", unit="users"),
    )
    said = served.append(*(_claim(one, speaker="matze", **rest) for one, rest in SAID))
    others = served.append(
        an_entity("amazon"),
        _claim("amazon-when", "court", "2021-01-18", speaker="amazon"),
        _claim("court-alone", "court", "2021-01-05"),
    )
    corrected = served.append(link("paper-users", "corrects", "tv-users", expect=1))
    bridged = served.append(link("court-when", "corroborates", "tv-when", expect=1))
    retracted = served.append(
        retract("claim", "paper-when", expect=1), revise("source", "blog", expect=1, published="2020")
    )
    return {
        "said": said, "others": others, "corrected": corrected, "bridged": bridged, "retracted": retracted,
    }  # fmt: skip


IN_ORDER = ["tv-when", "tv-users", "paper-when", "paper-users", "court-when", "court-users", "blog-when"]
WHEN = {"court-when": ["tv-when"], "tv-when": ["court-when"]}
USERS = {"tv-users": ["paper-users", "court-users"], "paper-users": ["tv-users"], "court-users": ["tv-users"]}
# What is shown at each step: the claims in order, which conflict, and what is superseded.
AT: dict[str, tuple[list[str], dict[str, list[str]], dict[str, list[str]]]] = {
    "said": (IN_ORDER, WHEN | USERS, {}),
    "others": (IN_ORDER, WHEN | USERS, {}),
    "corrected": (IN_ORDER, WHEN, {"tv-users": ["paper-users"]}),
    "bridged": (IN_ORDER, {}, {"tv-users": ["paper-users"]}),
    "retracted": (
        ["blog-when", "tv-when", "tv-users", "paper-users", "court-when", "court-users"],
        {},
        {"tv-users": ["paper-users"]},
    ),
}


def _items(served: Served, path: str) -> Iterator[dict[str, Any]]:
    following: str | None = path
    while following is not None:
        response = served.get(following)
        assert response.status_code == 200, response.text
        page = response.json()
        assert {item["claim"]["question"] for item in page["items"]} == page["questions"].keys()
        yield from page["items"]
        following = page["next"]


def _told(items: list[dict[str, Any]], field: str) -> dict[str, list[str]]:
    return {item["claim"]["id"]: item[field] for item in items if item[field]}


@pytest.mark.parametrize("limit", [1, 3, 500])
@pytest.mark.parametrize("step", AT)
def test_a_speaker_says_over_time_what_contradicts_itself(
    served: Served, steps: dict[str, int], step: str, limit: int
) -> None:
    items = list(_items(served, f"{ENTITY}?as_of={steps[step]}&limit={limit}"))
    in_order, conflicts, superseded = AT[step]
    assert [item["claim"]["id"] for item in items] == in_order
    assert _told(items, "conflicts") == conflicts
    assert [item["conflict_count"] for item in items] == [len(conflicts.get(one, [])) for one in in_order]
    assert _told(items, "superseded_by") == superseded
    dates = PUBLISHED | ({"blog": "2020"} if step == "retracted" else {})
    assert [item["published"] for item in items] == [dates[item["claim"]["source"]] for item in items]


def test_what_conflicts_is_what_conflicts_among_all_claims(served: Served, steps: dict[str, int]) -> None:
    for position in steps.values():
        items = list(_items(served, f"{ENTITY}?as_of={position}"))
        own = {item["claim"]["id"] for item in items}
        pairs = {
            tuple(pair)
            for question in ("when", "users")
            for pair in served.get(f"/v1/questions/{question}/conflicts?as_of={position}").json()["items"]
        }
        told = {(item["claim"]["id"], other) for item in items for other in item["conflicts"]}
        assert told == {pair for one, other in pairs if own >= {one, other} for pair in ((one, other), (other, one))}


def test_a_source_contradicts_itself_where_it_says_two_things(served: Served, steps: dict[str, int]) -> None:
    asked = f"/v1/sources/court/statements?as_of={steps['corrected']}&question=when&include=source,entities"
    page = served.get(asked).json()
    told = {item["claim"]["id"]: item["conflicts"] for item in page["items"]}
    assert told == {
        "court-when": ["amazon-when", "court-alone"],
        "amazon-when": ["court-when", "court-alone"],
        "court-alone": ["court-when", "amazon-when"],
    }
    assert (list(page["sources"]), sorted(page["entities"])) == (["court"], ["amazon", "matze"])
    assert list(page["questions"]) == ["when"]
    assert "sources" not in served.get("/v1/sources/court/statements").json()


# Of what is asked at other clocks, what is shown.
CLOCKS = {
    "published_by=2021-01-09T00:00:00Z": ["tv-when", "tv-users", "blog-when"],
    "published_by=2021-01-10T00:00:00Z&mode=certain": [],
    "published_by=2021-01-31&mode=certain": ["tv-when", "tv-users", "paper-when", "paper-users"],
    "valid_at=2021-01-11&mode=certain": ["court-when"],
    "question=users&question=nobody": ["tv-users", "paper-users", "court-users"],
}


@pytest.mark.parametrize("asked", CLOCKS)
def test_statements_are_those_of_the_clocks_asked_for(served: Served, steps: dict[str, int], asked: str) -> None:
    items = list(_items(served, f"{ENTITY}?as_of={steps['said']}&{asked}&limit=2"))
    shown = [item["claim"]["id"] for item in items]
    assert shown == CLOCKS[asked]
    expected = {one: [other for other in others if other in shown] for one, others in (WHEN | USERS).items()}
    assert _told(items, "conflicts") == {one: expected[one] for one in shown if expected.get(one)}


def test_who_says_nothing_has_no_statements_and_who_is_not_there_is_unknown(
    served: Served, steps: dict[str, int]
) -> None:
    assert served.get("/v1/entities/wife/statements").json()["items"] == []
    refused(served.get("/v1/entities/nobody/statements"), 404, "unknown-record")
    refused(served.get("/v1/sources/nobody/statements"), 404, "unknown-record")
    refused(served.get(f"{ENTITY}?as_of=1"), 404, "unknown-record")
    refused(served.get(f"{ENTITY}?as_of=99999"), 404, "not-yet")
    refused(served.get(f"{ENTITY}?live=true"), 400, "bad-parameter", parameter="live")
    refused(served.get(f"{ENTITY}?published_by=spring"), 400, "bad-parameter", parameter="published_by")


def test_what_is_redacted_is_said_no_more_and_contradicts_nothing(served: Served, steps: dict[str, int]) -> None:
    asked = f"{ENTITY}?as_of={steps['said']}"
    held = served.get(asked).headers["etag"]
    assert served.get(asked, If_None_Match=held).status_code == 304
    _redact(served, "claim", "tv-users")
    again = served.get(asked, If_None_Match=held)
    assert again.status_code == 200
    items = again.json()["items"]
    assert [item["claim"]["id"] for item in items] == [one for one in IN_ORDER if one != "tv-users"]
    assert _told(items, "conflicts") == WHEN
    _redact(served, "source", "paper")
    left = [one for one in IN_ORDER if one != "tv-users" and not one.startswith("paper")]
    assert [item["claim"]["id"] for item in _items(served, f"{asked}&limit=1")] == left
    refused(served.get("/v1/sources/paper/statements"), 410, "redacted")


def _redact(served: Served, kind: str, public_id: str) -> None:
    body = {"kind": kind, "id": public_id, "basis": "error", "reason": "X"}
    assert served.post("/v1/redactions", body).status_code == 201


def test_of_many_that_contradict_the_first_hundred_are_told_and_all_are_counted(served: Served) -> None:
    long = "x" * 80
    served.append(
        an_entity("often"),
        a_source("daily", published="2021"),
        a_question("how-often", about="often"),
        *(
            _claim(f"{long}-{n:03}", "daily", f"2021-01-{1 + 10 * (n % 2):02}", question="how-often", speaker="often")
            for n in range(300)
        ),
    )
    for path in ("/v1/entities/often/statements", "/v1/sources/daily/statements"):
        first = served.get(f"{path}?limit=500", Accept_Encoding="identity")
        assert len(first.content) < 2 << 20
        items = list(_items(served, f"{path}?limit=500"))
        assert [item["claim"]["id"] for item in items] == [f"{long}-{n:03}" for n in range(300)]
        assert {item["conflict_count"] for item in items} == {150}
        assert {len(item["conflicts"]) for item in items} == {100}
