"""The feed: every event in order, once, filtered as a reader likes, and each to the byte of what was hashed."""

import hashlib
import json
import re
from typing import Any

import pytest

from tests.support.builders import a_claim, a_question, a_source, an_entity, an_id, link, retract, revise, unlink
from tests.support.served import Served, refused


def _follow(served: Served, query: str = "after=0&limit=7") -> list[dict[str, Any]]:
    """Read the feed as a follower does, until nothing more is there."""
    url: str | None = f"/v1/events?{query}"
    found = list[dict[str, Any]]()
    while url is not None:
        response = served.get(url)
        assert response.status_code == 200, response.text
        page = response.json()
        assert response.headers.get("link") == (f'<{page["next"]}>; rel="next"' if page["next"] else None)
        assert page["next"] in (None, page["resume"])
        found += page["items"]
        url = page["next"]
    assert served.get(page["resume"]).json()["items"] == []
    return found


def test_the_feed_has_every_event_in_order_without_a_gap(ground: Served) -> None:
    ground.append(an_entity(), an_entity(), retract("source", "reprint", expect=1))
    assert [item["position"] for item in _follow(ground)] == list(range(1, ground.head() + 1))
    assert [item["position"] for item in _follow(ground, "limit=500")] == list(range(1, ground.head() + 1))


def test_the_first_event_opens_the_ledger(ground: Served) -> None:
    first = ground.get("/v1/events").json()["items"][0]
    assert (first["position"], first["type"], first["kind"], first["actor"]) == (1, "opened", "ledger", None)
    assert first["state"]["log_origin"] == ground.get("/").json()["log_origin"]


def test_an_item_has_the_entrys_fields_and_what_it_says(ground: Served) -> None:
    claim = an_id("c")
    ground.append(a_claim(claim, source="paper", question="q-time"))
    ground.append(revise("claim", claim, expect=1, reason="Read again", statement="Parler went dark."))
    item = ground.get(f"/v1/events?after={ground.head() - 1}").json()["items"][0]
    exact = ground.get(f"/v1/events/{ground.head()}").json()
    entry, said = json.loads(exact["entry"]), json.loads(exact["payload"])
    assert {name: item[name] for name in entry} == entry
    assert item["id"] == claim
    assert item["reason"] == said["reason"] == "Read again"
    shown = ground.get(f"/v1/claims/{claim}").json()
    computed = {name: shown[name] for name in ("answer", "valid_bounds", "rules")}
    assert item["state"] == said["state"] | computed
    assert item["fields"] == ["statement"]
    assert item["redacted"] is None


@pytest.mark.parametrize(
    ("question", "body"),
    [
        ("q-time", {"answer": {"type": "time", "edtf": "2021-01~/.."}}),
        ("q-boolean", {"answer": {"type": "boolean", "value": True}, "valid": "2021-01-11"}),
        ("q-boolean", {"answer": {"type": "boolean", "value": True}}),
        ("q-quantity", {"answer": {"type": "quantity", "amount": "5", "unit": "users"}, "valid": "[2021..]"}),
    ],
)
def test_the_state_of_a_claim_has_the_bounds_that_its_representation_has(
    ground: Served, question: str, body: dict[str, Any]
) -> None:
    claim, before = an_id("c"), ground.head()
    ground.append(a_claim(claim, source="paper", question=question, **body), retract("claim", claim))
    for item in ground.get(f"/v1/events?after={before}").json()["items"]:
        shown = ground.get(f"/v1/claims/{claim}/revisions/{item['revision']}").json()
        assert item["state"] == {name: shown[name] for name in item["state"]}
        assert {"valid_bounds", "rules"} <= item["state"].keys()
        assert (shown["valid_bounds"] is None) is ("valid" not in body and question != "q-time")
        assert ("bounds" in item["state"]["answer"]) is (question == "q-time")
    for kind in ("entity", "source", "question"):
        item = ground.get(f"/v1/events?kind={kind}&limit=1").json()["items"][0]
        assert not {"valid_bounds", "rules"} & item["state"].keys()


def test_each_type_of_event_names_the_fields_it_changed(ground: Served) -> None:
    claim, before = an_id("c"), ground.head()
    ground.append(
        a_claim(claim, source="paper", question="q-time"),
        link(claim, "repeats", "said"),
        unlink(claim, "repeats", "said"),
        retract("claim", claim),
    )
    items = ground.get(f"/v1/events?after={before}").json()["items"]
    assert [item["type"] for item in items] == ["recorded", "linked", "unlinked", "retracted"]
    assert [item["fields"] for item in items[1:]] == [["links"], ["links"], ["status"]]
    assert [item["revision"] for item in items] == [1, 2, 3, 4]
    assert len({item["record"] for item in items}) == 1
    assert items[0]["fields"] == ["answer", "id", "question", "source", "stance", "statement", "status"]


def test_a_first_event_names_what_says_something_as_false_and_the_empty_text_do(ground: Served) -> None:
    before = ground.head()
    ground.append(a_question(about="parler", varies=False, note=""))
    (item,) = ground.get(f"/v1/events?after={before}").json()["items"]
    assert item["fields"] == ["about", "answer_type", "id", "note", "status", "text", "varies"]


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("kind=entity", lambda item: item["kind"] == "entity"),
        ("kind=ledger", lambda item: item["kind"] == "ledger"),
        ("kind=redaction", lambda _item: False),
        ("type=retracted", lambda item: item["type"] == "retracted"),
        ("type=opened", lambda item: item["type"] == "opened"),
        ("id=parler", lambda item: item["id"] == "parler"),
        ("id=parler&kind=source", lambda item: item["id"] == "parler" and item["kind"] == "source"),
        ("kind=claim&type=recorded", lambda item: (item["kind"], item["type"]) == ("claim", "recorded")),
        ("source=paper", lambda item: item["kind"] == "claim" and item["state"]["source"] == "paper"),
        ("question=q-time", lambda item: item["kind"] == "claim" and item["state"]["question"] == "q-time"),
        ("source=paper&question=q-text", lambda item: item["kind"] == "claim" and item["state"]["question"] == "q-text"),
        ("source=nobody", lambda _item: False),
        ("kind=entity&kind=source", lambda item: item["kind"] in ("entity", "source")),
        ("type=retracted&type=opened&type=linked", lambda item: item["type"] in ("retracted", "opened", "linked")),
        ("id=parler&id=paper&id=nobody", lambda item: item["id"] in ("parler", "paper")),
        ("id=parler&id=paper&kind=source", lambda item: item["id"] == "paper"),
        ("question=q-time&question=q-text", lambda item: item["kind"] == "claim" and item["state"]["question"] in ("q-time", "q-text")),
        ("source=paper&source=nobody&question=q-text", lambda item: item["kind"] == "claim" and item["state"]["question"] == "q-text"),
        ("actor=00000000-0000-4000-8000-000000000000", lambda _item: False),
    ],
)  # fmt: skip
def test_filters_leave_exactly_the_events_that_fit(ground: Served, query: str, fits: Any) -> None:
    every = _follow(ground, "limit=500")
    expected = [item["position"] for item in every if fits(item)]
    for limit in (1, 3, 500):
        assert [item["position"] for item in _follow(ground, f"{query}&limit={limit}")] == expected


def test_events_are_found_by_their_actor(ground: Served) -> None:
    other = ground.make_key("write")
    written = ground.post("/v1/entities", {"type": "other", "name": "X"}, Authorization=f"Bearer {other}")
    actor = written.json()["recorded_by"]
    assert [item["position"] for item in _follow(ground, f"actor={actor}")] == [written.json()["position"]]
    assert ground.get(f"/v1/actors/{actor}").json()["name"] is None


def test_a_filtered_page_goes_on_behind_all_it_looked_at(ground: Served) -> None:
    page = ground.get("/v1/events?kind=ledger").json()
    assert page["next"] is None
    assert page["resume"] == f"/v1/events?kind=ledger&after={ground.head()}"
    assert page["position"] == ground.head()


def test_where_a_page_ends_with_the_last_that_fits_nothing_follows(ground: Served) -> None:
    entity = an_id("e")
    ground.append(an_entity(entity), an_entity(), revise("entity", entity, name="Two"), an_entity())
    for limit in (2, 3):
        page = ground.get(f"/v1/events?id={entity}&limit={limit}").json()
        assert (len(page["items"]), page["next"]) == (2, None)
        assert page["resume"] == f"/v1/events?id={entity}&limit={limit}&after={ground.head()}"
    page = ground.get(f"/v1/events?id={entity}&limit=1").json()
    assert page["next"] == page["resume"] == f"/v1/events?id={entity}&limit=1&after={page['items'][0]['position']}"


@pytest.mark.parametrize("query", ["", "&exact=true", "&state=false", "&kind=entity"])
def test_whoever_resumes_later_gets_what_came_since_and_no_more(ground: Served, query: str) -> None:
    resume = ground.get(f"/v1/events?limit=3&after={ground.head()}{query}").json()["resume"]
    for _ in range(3):
        before = ground.head()
        ground.append(*(an_entity() for _ in range(4)), a_source())
        seen, following = list[int](), resume
        while following is not None:
            page = ground.get(following).json()
            seen += [item["position"] for item in page["items"]]
            following, resume = page["next"], page["resume"]
        assert seen == list(range(before + 1, before + (5 if "kind" in query else 6)))


def test_the_state_may_be_left_out(ground: Served) -> None:
    every, without = (
        ground.get("/v1/events?limit=500").json()["items"],
        ground.get("/v1/events?limit=500&state=false").json()["items"],
    )
    assert [{name: value for name, value in item.items() if name != "state"} for item in every] == without
    assert ground.get("/v1/events?state=true&limit=500").json()["items"] == every


def test_at_the_head_there_is_an_empty_page_and_past_it_nothing_yet(ground: Served) -> None:
    head = ground.head()
    page = ground.get(f"/v1/events?after={head}")
    assert page.json()["items"] == []
    assert (page.json()["next"], page.json()["resume"]) == (None, f"/v1/events?after={head}")
    assert "link" not in page.headers
    refused(ground.get(f"/v1/events?after={head + 1}"), 404, "not-yet")
    refused(ground.get("/v1/events?after=9999999999999999"), 404, "not-yet")
    ground.append(an_entity())
    assert [item["position"] for item in ground.get(page.json()["resume"]).json()["items"]] == [head + 1]


def test_next_keeps_the_parameters_however_they_were_spelt(ground: Served) -> None:
    page = ground.get("/v1/events?%6Bind=entity&limit=1&%61fter=0").json()
    assert page["next"].startswith("/v1/events?kind=entity&limit=1&after=")
    assert ground.get(page["next"]).status_code == 200


HEX = re.compile(r"[0-9a-f]{64}")
ENTRY = [
    "actor",
    "basis",
    "batch",
    "kind",
    "payload_digest",
    "position",
    "record",
    "recorded_at",
    "redacts",
    "revision",
    "schema",
    "type",
    "v",
]


def test_every_event_verifies_with_nothing_but_sha_256(ground: Served) -> None:
    ground.append(a_source(title="Œuvre “à part” \U0001f600", note="one \u2028 two"), an_entity(names={"fr": "Parlé"}))
    leaves = []
    for position in range(1, ground.head() + 1):
        shown = ground.get(f"/v1/events/{position}").json()
        entry = json.loads(shown["entry"])
        assert shown["entry"] == json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert sorted(entry) == ENTRY
        assert entry["position"] == shown["position"] == position
        salt, payload = bytes.fromhex(shown["salt"]), shown["payload"].encode()
        assert len(salt) == 32
        assert hashlib.sha256(salt + payload).hexdigest() == entry["payload_digest"]
        assert shown["payload"] == json.dumps(
            json.loads(payload), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        assert sorted(json.loads(payload)) == ["reason", "state"]
        assert hashlib.sha256(b"\0" + shown["entry"].encode()).hexdigest() == shown["leaf_hash"]
        assert HEX.fullmatch(shown["leaf_hash"])
        leaves.append(shown["leaf_hash"])
    assert len(set(leaves)) == len(leaves)


def test_nothing_of_a_record_but_random_ids_is_in_its_entry(ground: Served) -> None:
    public_id = an_id("secret-name")
    written = ground.post("/v1/entities", {"id": public_id, "type": "person", "name": "A Person", "reason": "Because"})
    entry = ground.get(f"/v1/events/{written.json()['position']}").json()["entry"]
    for said in (public_id, "A Person", "Because"):
        assert said not in entry
    assert json.loads(entry)["record"][14] == "4"
    assert json.loads(entry)["actor"] == written.json()["recorded_by"]


def test_a_created_state_has_every_field_of_its_kind(ground: Served) -> None:
    written = ground.post("/v1/entities", {"type": "other", "name": "Bare"}).json()
    payload = json.loads(ground.get(f"/v1/events/{written['position']}").json()["payload"])
    assert payload == {
        "reason": None,
        "state": {
            "id": written["id"], "links": [], "name": "Bare", "names": {}, "note": None, "part_of": None, "same_as": [],
            "status": "asserted", "type": "other",
        },
    }  # fmt: skip


def test_an_event_that_is_not_there_yet_is_a_404(ground: Served) -> None:
    refused(ground.get(f"/v1/events/{ground.head() + 1}"), 404, "not-yet")
    refused(ground.get("/v1/events/9999999999999999"), 404, "not-yet")
    refused(ground.get("/v1/events/0"), 400, "bad-parameter")


def test_the_feed_does_not_take_the_other_clocks(ground: Served) -> None:
    for query in ("as_of=1", "published_by=2021", "valid_at=2021", "cursor=1", "q=parler"):
        refused(ground.get(f"/v1/events?{query}"), 400, "bad-parameter", parameter=query.partition("=")[0])
