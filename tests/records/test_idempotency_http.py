"""Idempotency-Key: a request that is repeated gets the first one's answer, and happens once."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.builders import a_claim, an_entity, an_id, link, restore, retract, revise
from tests.support.served import Served, refused

ANSWERED = ("etag", "location", "ledger-position", "cache-control", "content-type", "link")
NAMED = {"type": "platform", "name": "Parler"}


def _same(first: httpx.Response, second: httpx.Response) -> None:
    assert second.status_code == first.status_code == 201, second.text
    assert second.content == first.content
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    for name in ANSWERED:
        assert second.headers.get(name) == first.headers.get(name), name


CREATES: dict[str, dict[str, Any]] = {
    "entities": NAMED,
    "sources": {"type": "article", "title": "An article"},
    "questions": {"about": ["parler"], "text": "When?", "answer_type": "time"},
    "claims": {
        "source": "paper",
        "question": "q-time",
        "statement": "It went.",
        "answer": {"type": "time", "edtf": "2021"},
    },
}


@pytest.mark.parametrize("kind", CREATES)
def test_a_repeated_create_gets_the_first_answer(ground: Served, kind: str) -> None:
    key = an_id("key")
    first = ground.post(f"/v1/{kind}", CREATES[kind], Idempotency_Key=key)
    with ground.unchanged():
        _same(first, ground.post(f"/v1/{kind}", CREATES[kind], Idempotency_Key=key))


def test_a_repeated_create_under_a_chosen_id_is_not_refused_as_taken(ground: Served) -> None:
    body, key = {**NAMED, "id": an_id("e")}, an_id("key")
    _same(
        ground.post("/v1/entities", body, Idempotency_Key=key), ground.post("/v1/entities", body, Idempotency_Key=key)
    )
    refused(ground.post("/v1/entities", body), 409, "id-taken")
    refused(ground.post("/v1/entities", body, Idempotency_Key=an_id("key")), 409, "id-taken")


@pytest.mark.parametrize("kind", CREATES)
def test_what_is_written_is_found_where_the_answer_says(ground: Served, kind: str) -> None:
    public_id = an_id("written")
    url, retraction = f"/v1/{kind}/{public_id}", {"action": "retract", "reason": "Not there"}
    made = ground.post(f"/v1/{kind}", {**CREATES[kind], "id": public_id})
    assert made.headers["location"] == url
    assert ground.get(url).content == made.content
    taken_back = ground.post(f"{url}/revisions", retraction, If_Match=made.headers["etag"])
    assert taken_back.headers["location"] == f"{url}/revisions/2"
    assert [ground.get(f"{url}/revisions/{n}").content for n in (1, 2)] == [made.content, taken_back.content]


ACTIONS: dict[str, dict[str, Any]] = {
    "revise": {"action": "revise", "reason": "Read again", "changes": {"note": "Seen twice"}},
    "retract": {"action": "retract", "reason": "Not there"},
    "link": {"action": "link", "relation": "repeats", "claim": "said", "reason": "Same words"},
}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_repeated_revision_is_answered_before_its_tag_is_found_stale(ground: Served, action: str) -> None:
    claim, key = an_id("c"), an_id("key")
    ground.append(a_claim(claim, source="paper", question="q-time"))
    url, tag = f"/v1/claims/{claim}/revisions", ground.etag(f"/v1/claims/{claim}")
    first = ground.post(url, ACTIONS[action], If_Match=tag, Idempotency_Key=key)
    with ground.unchanged():
        _same(first, ground.post(url, ACTIONS[action], If_Match=tag, Idempotency_Key=key))
        refused(ground.post(url, ACTIONS[action], If_Match=tag), 412, "stale")


def test_a_repeated_restoration_and_unlinking_are_answered_too(ground: Served) -> None:
    claim = an_id("c")
    ground.append(
        a_claim(claim, source="paper", question="q-time"), link(claim, "repeats", "said"), retract("claim", claim)
    )
    url = f"/v1/claims/{claim}/revisions"
    for action in (
        {"action": "restore", "reason": "It was there"},
        {"action": "unlink", "relation": "repeats", "claim": "said", "reason": "Other words"},
    ):
        tag, key = ground.etag(f"/v1/claims/{claim}"), an_id("key")
        first = ground.post(url, action, If_Match=tag, Idempotency_Key=key)
        _same(first, ground.post(url, action, If_Match=tag, Idempotency_Key=key))


def test_the_answer_is_the_first_one_whatever_was_written_since(ground: Served) -> None:
    public_id, key = an_id("e"), an_id("key")
    first = ground.post("/v1/entities", {**NAMED, "id": public_id}, Idempotency_Key=key)
    ground.append(
        revise("entity", public_id, expect=1, name="Parler LLC"),
        retract("entity", public_id),
        restore("entity", public_id),
    )
    _same(first, ground.post("/v1/entities", {**NAMED, "id": public_id}, Idempotency_Key=key))
    assert ground.get(f"/v1/entities/{public_id}").json()["name"] == "Parler LLC"


def test_a_repeated_batch_gets_the_first_answer(ground: Served) -> None:
    operations, key = [an_entity(), {**an_entity(), "id": None}], an_id("key")
    first = ground.post("/v1/batch", operations, Idempotency_Key=key)
    with ground.unchanged():
        _same(first, ground.post("/v1/batch", operations, Idempotency_Key=key))
    assert (
        first.json()["items"][1]["id"]
        == ground.post("/v1/batch", operations, Idempotency_Key=key).json()["items"][1]["id"]
    )


SPELT = {
    "id": "{}",
    "type": "platform",
    "name": "Été",
    "names": {"fr": "Été", "en": "Summer"},
    "note": "One\nTwo",
    "part_of": None,
}
# The same JSON, sent otherwise.
SPELLINGS: dict[str, Any] = {
    "with white space": lambda body: json.dumps(body, indent=2).encode(),
    "in another order": lambda body: json.dumps(dict(reversed(body.items()))).encode(),
    "in another order within": lambda body: json.dumps(
        {**body, "names": dict(reversed(body["names"].items()))}
    ).encode(),
    "without escapes": lambda body: json.dumps(body, ensure_ascii=False).encode(),
    "with escapes": lambda body: json.dumps(body).replace("type", "\\u0074ype").encode(),
    "sorted and compact": lambda body: json.dumps(body, sort_keys=True, separators=(",", ":")).encode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_request_that_says_the_same_is_the_same_request(ground: Served, spelling: str) -> None:
    body, headers = {**SPELT, "id": an_id("e")}, {"Idempotency-Key": an_id("key"), "Content-Type": "application/json"}
    first = ground.client.post("/v1/entities", content=json.dumps(body).encode(), headers=headers)
    with ground.unchanged():
        _same(first, ground.client.post("/v1/entities", content=SPELLINGS[spelling](body), headers=headers))


DIFFERING: dict[str, Any] = {
    "another value": {"name": "Eté"},
    "another member": {"same_as": []},
    "one less": {"part_of": ...},
    "another value within": {"names": {"fr": "Été", "en": "summer"}},
}


@pytest.mark.parametrize("difference", DIFFERING)
def test_a_request_that_says_something_else_is_another(ground: Served, difference: str) -> None:
    body, key = {**SPELT, "id": an_id("e")}, an_id("key")
    assert ground.post("/v1/entities", body, Idempotency_Key=key).status_code == 201
    other = {name: value for name, value in {**body, **DIFFERING[difference]}.items() if value is not ...}
    with ground.unchanged():
        refused(ground.post("/v1/entities", other, Idempotency_Key=key), 409, "idempotency-key-reused")


def test_a_whole_number_is_the_same_however_it_is_written(ground: Served) -> None:
    body = {**CREATES["claims"], "locator": {"paragraph": 3, "sha256": "a" * 64}}
    headers = {"Idempotency-Key": an_id("key"), "Content-Type": "application/json"}
    first = ground.client.post("/v1/claims", content=json.dumps(body).encode(), headers=headers)
    for written in ("3.0", "3e0", "30.0e-1"):
        raw = json.dumps(body).replace('"paragraph": 3', f'"paragraph": {written}').encode()
        _same(first, ground.client.post("/v1/claims", content=raw, headers=headers))


def test_a_batch_is_the_same_in_lines_and_as_an_array(ground: Served) -> None:
    operations, key = [an_entity(), {**an_entity(), "id": None}], an_id("key")
    first = ground.post("/v1/batch", operations, Idempotency_Key=key)
    lines = "\r\n\n".join(json.dumps(dict(reversed(each.items()))) for each in operations).encode()
    headers = {"Idempotency-Key": key, "Content-Type": "application/x-ndjson"}
    with ground.unchanged():
        _same(first, ground.client.post("/v1/batch", content=lines, headers=headers))
        refused(ground.post("/v1/batch", operations[::-1], Idempotency_Key=key), 409, "idempotency-key-reused")
        refused(ground.post("/v1/batch", operations[:1], Idempotency_Key=key), 409, "idempotency-key-reused")


def test_the_same_revisions_may_be_named_in_any_way(ground: Served) -> None:
    entity, key = an_id("e"), an_id("key")
    ground.append(an_entity(entity))
    url, tag = f"/v1/entities/{entity}/revisions", ground.etag(f"/v1/entities/{entity}")
    action = {"action": "revise", "reason": "Again", "changes": {"note": "1"}}
    first = ground.post(url, action, If_Match=f'"1", {tag}', Idempotency_Key=key)
    with ground.unchanged():
        for named in (f'{tag},"1"', f'"1", {tag[:-1]}-gz"', f' "1" ,{tag}, {tag} '):
            _same(first, ground.post(url, action, If_Match=named, Idempotency_Key=key))
        for named in (tag, "*", f'"2", {tag}'):
            refused(ground.post(url, action, If_Match=named, Idempotency_Key=key), 409, "idempotency-key-reused")


def test_a_request_that_an_older_version_noted_is_held_to_its_bytes(ground: Served) -> None:
    """Until 0.1 a request was noted by the digest of the key and all that was sent."""
    body, key = {**SPELT, "id": an_id("e")}, an_id("key")
    headers, raw = {"Idempotency-Key": key, "Content-Type": "application/json"}, json.dumps(body).encode()
    first = ground.client.post("/v1/entities", content=raw, headers=headers)
    whose = f"{first.json()['recorded_by']}\0{key}".encode()
    digest = hashlib.sha256(whose + b"\0POST\0/v1/entities\0\0" + raw).digest()
    access = ground.database.access()
    sql = "UPDATE receipt SET request_digest = ? WHERE key_digest = ?"
    access.run(sql, (digest, hashlib.sha256(whose).digest()))
    with ground.unchanged():
        _same(first, ground.client.post("/v1/entities", content=raw, headers=headers))
        spaced = json.dumps(body, indent=1).encode()
        refused(ground.client.post("/v1/entities", content=spaced, headers=headers), 409, "idempotency-key-reused")


def test_a_dry_run_is_not_remembered(ground: Served) -> None:
    operations, key = [an_entity()], an_id("key")
    assert ground.post("/v1/batch?dry_run=true", operations, Idempotency_Key=key).status_code == 200
    assert ground.post("/v1/batch", operations, Idempotency_Key=key).status_code == 201
    assert ground.post("/v1/batch?dry_run=true", [an_entity()], Idempotency_Key=key).status_code == 200


def test_another_request_under_the_key_is_refused(ground: Served) -> None:
    key, entity = an_id("key"), an_id("e")
    ground.append(an_entity(entity))
    assert ground.post("/v1/entities", NAMED, Idempotency_Key=key).status_code == 201
    with ground.unchanged():
        for path, body, headers in (
            ("/v1/entities", {**NAMED, "name": "Gab"}, {}),
            ("/v1/sources", {"type": "article", "title": "Parler"}, {}),
            ("/v1/batch", [an_entity()], {}),
            (f"/v1/entities/{entity}/revisions", {"action": "retract", "reason": "No"}, {"If_Match": "*"}),
            ("/v1/entities/nobody/revisions", {"action": "retract", "reason": "No"}, {"If_Match": "*"}),
        ):
            problem = refused(ground.post(path, body, Idempotency_Key=key, **headers), 409, "idempotency-key-reused")
            assert key not in str(problem)


def test_the_same_revision_on_another_tag_is_another_request(ground: Served) -> None:
    entity, key = an_id("e"), an_id("key")
    ground.append(an_entity(entity))
    url, action = f"/v1/entities/{entity}/revisions", {"action": "revise", "reason": "Again", "changes": {"note": "1"}}
    assert ground.post(url, action, If_Match="*", Idempotency_Key=key).status_code == 201
    refused(ground.post(url, action, If_Match='"1"', Idempotency_Key=key), 409, "idempotency-key-reused")


def test_a_refused_request_is_not_remembered(ground: Served) -> None:
    entity, key = an_id("e"), an_id("key")
    url, action = f"/v1/entities/{entity}/revisions", {"action": "retract", "reason": "No"}
    refused(ground.post(url, action, If_Match="*", Idempotency_Key=key), 404, "unknown-record")
    ground.append(an_entity(entity))
    refused(ground.post(url, action, If_Match='"1"', Idempotency_Key=key), 412, "stale")
    refused(ground.post("/v1/entities", {**NAMED, "id": entity}, Idempotency_Key=key), 409, "id-taken")
    refused(ground.post("/v1/entities", {"name": "x"}, Idempotency_Key=key), 422, "bad-body")
    assert ground.post(url, action, If_Match="*", Idempotency_Key=key).status_code == 201


def test_keys_of_different_actors_do_not_meet(ground: Served) -> None:
    key, other = an_id("key"), f"Bearer {ground.make_key('write')}"
    mine = ground.post("/v1/entities", NAMED, Idempotency_Key=key)
    theirs = ground.post("/v1/entities", NAMED, Idempotency_Key=key, Authorization=other)
    assert mine.status_code == theirs.status_code == 201
    assert mine.json()["id"] != theirs.json()["id"]
    assert mine.json()["recorded_by"] != theirs.json()["recorded_by"]


def test_of_concurrent_duplicates_one_happens_and_all_get_its_answer(ground: Served) -> None:
    key, before = an_id("key"), ground.head()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ground.post("/v1/entities", NAMED, Idempotency_Key=key), range(16)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert ground.head() == before + 1


def test_of_concurrent_requests_under_one_key_one_happens_and_the_others_are_refused(ground: Served) -> None:
    key, before = an_id("key"), ground.head()
    bodies = [{**NAMED, "name": f"Name {n}"} for n in range(12)]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda body: ground.post("/v1/entities", body, Idempotency_Key=key), bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
    assert ground.head() == before + 1


def test_without_a_key_a_repeated_request_happens_twice(ground: Served) -> None:
    before = ground.head()
    assert ground.post("/v1/entities", NAMED).json()["id"] != ground.post("/v1/entities", NAMED).json()["id"]
    assert ground.head() == before + 2
