"""Every write can be tried: it is judged as ever, answers what would happen, and writes nothing."""

import re
from typing import Any

import pytest

from tests.support.builders import a_claim, an_entity, an_id, link
from tests.support.served import Served, refused

NAMED = {"type": "platform", "name": "Parler"}
CREATES: dict[str, dict[str, Any]] = {
    "entities": NAMED,
    "sources": {"type": "article", "title": "An article", "published": "2021-01"},
    "questions": {"about": ["parler"], "text": "When?", "answer_type": "time"},
    "claims": {
        "source": "paper",
        "question": "q-time",
        "statement": "It went.",
        "answer": {"type": "time", "edtf": "2021"},
    },
}
ACTIONS: dict[str, dict[str, Any]] = {
    "revise": {"action": "revise", "reason": "Read again", "changes": {"note": "Seen twice"}},
    "retract": {"action": "retract", "reason": "Not there"},
    "restore": {"action": "restore", "reason": "As it was", "revision": 1},
    "link": {"action": "link", "relation": "repeats", "claim": "said", "reason": "Same words"},
    "unlink": {"action": "unlink", "relation": "corrects", "claim": "said", "reason": "Not so"},
}
# What differs between what would be written and what is: the moment.
_MOMENTS = ("recorded_at", "revised_at")
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def _timeless(response: Any) -> dict[str, Any]:
    told: dict[str, Any] = response.json()
    return {name: value for name, value in told.items() if name not in _MOMENTS}


def _a_claim(served: Served) -> str:
    claim = an_id("c")
    served.append(a_claim(claim, source="paper", question="q-time"), link(claim, "corrects", "said"))
    return claim


@pytest.mark.parametrize("kind", CREATES)
def test_a_create_that_is_tried_answers_the_record_that_it_would_make(ground: Served, kind: str) -> None:
    body = {**CREATES[kind], "id": an_id("x"), "reason": "A try"}
    with ground.unchanged():
        tried = ground.post(f"/v1/{kind}?dry_run=true", body)
        assert tried.status_code == 200, tried.text
        assert int(tried.headers["ledger-position"]) == ground.head() == tried.json()["position"] - 1
        assert ground.get(f"/v1/{kind}/{body['id']}").status_code == 404
    assert not {"location", "etag", "link", "idempotency-replayed"} & set(tried.headers)
    written = ground.post(f"/v1/{kind}?dry_run=false", body)
    assert written.status_code == 201
    assert _timeless(tried) == _timeless(written)


def test_an_id_that_is_minted_for_a_try_is_not_kept(ground: Served) -> None:
    tried = [ground.post("/v1/entities?dry_run=true", NAMED).json()["id"] for _ in range(2)]
    assert len({*tried}) == 2
    for public_id in tried:
        assert _UUID7.fullmatch(public_id)
        assert ground.get(f"/v1/entities/{public_id}").status_code == 404


@pytest.mark.parametrize("action", ACTIONS)
def test_a_revision_that_is_tried_answers_the_record_that_it_would_leave(ground: Served, action: str) -> None:
    claim = _a_claim(ground)
    if action == "restore":
        ground.post(f"/v1/claims/{claim}/revisions", ACTIONS["retract"], If_Match="*")
    url, tag = f"/v1/claims/{claim}/revisions", ground.etag(f"/v1/claims/{claim}")
    with ground.unchanged():
        before = ground.get(f"/v1/claims/{claim}").content
        tried = ground.post(f"{url}?dry_run=true", ACTIONS[action], If_Match=tag)
        assert tried.status_code == 200, tried.text
        assert ground.get(f"/v1/claims/{claim}").content == before
    written = ground.post(url, ACTIONS[action], If_Match=tag)
    assert written.status_code == 201
    assert _timeless(tried) == _timeless(written)


@pytest.mark.parametrize("kind", ["entities/amazon", "sources/paper", "questions/q-time", "claims/said"])
def test_all_four_kinds_try_revisions(ground: Served, kind: str) -> None:
    action = {"action": "revise", "reason": "Read again", "changes": {"note": an_id("note")}}
    with ground.unchanged():
        tried = ground.post(f"/v1/{kind}/revisions?dry_run=true", action, If_Match="*")
    assert (tried.status_code, tried.json()["note"]) == (200, action["changes"]["note"])


RETRACT = ACTIONS["retract"]
REFUSED: dict[str, tuple[str, Any, dict[str, str], int, str]] = {
    "no key": ("entities", NAMED, {"Authorization": ""}, 401, "unauthorized"),
    "another type": ("entities", NAMED, {"Content_Type": "text/plain"}, 415, "unsupported-media-type"),
    "outside the document": ("entities", {"name": "x"}, {}, 422, "bad-body"),
    "an id that is taken": ("entities", {**NAMED, "id": "parler"}, {}, 409, "id-taken"),
    "an unknown reference": ("entities", {**NAMED, "part_of": "nobody"}, {}, 409, "unknown-entity"),
    "an unknown record": ("entities/nobody/revisions", RETRACT, {"If_Match": "*"}, 404, "unknown-record"),
    "no precondition": ("entities/parler/revisions", RETRACT, {}, 428, "precondition-required"),
    "a stale one": ("entities/parler/revisions", RETRACT, {"If_Match": '"1"'}, 412, "stale"),
    "a rule": ("claims/unsaid/revisions", RETRACT, {"If_Match": "*"}, 409, "status-refused"),
    "a link to itself": ("claims/said/revisions", ACTIONS["link"], {"If_Match": "*"}, 409, "link-refused"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_try_is_refused_as_the_write_would_be(ground: Served, name: str) -> None:
    path, body, headers, status, slug = REFUSED[name]
    with ground.unchanged():
        written = refused(ground.post(f"/v1/{path}", body, **headers), status, slug)
        assert refused(ground.post(f"/v1/{path}?dry_run=true", body, **headers), status, slug) == written


def test_who_may_not_write_may_not_try(ground: Served) -> None:
    narrow = f"Bearer {ground.make_key('redact')}"
    refused(ground.post("/v1/entities?dry_run=true", NAMED, Authorization=narrow), 403, "forbidden")


def test_a_try_is_neither_remembered_nor_a_repetition(ground: Served) -> None:
    key, body = an_id("key"), {**NAMED, "id": an_id("e")}
    assert ground.post("/v1/entities?dry_run=true", body, Idempotency_Key=key).status_code == 200
    assert ground.post("/v1/entities", body, Idempotency_Key=key).status_code == 201
    # What was written under the key is there, and a try is judged by that.
    refused(ground.post("/v1/entities?dry_run=true", body, Idempotency_Key=key), 409, "id-taken")
    assert ground.post("/v1/entities?dry_run=true", NAMED, Idempotency_Key=key).status_code == 200


def test_tries_leave_no_trace_in_what_the_writer_remembers(ground: Served) -> None:
    """What is tried between writes changes nothing of what these are judged by, or make."""
    entity, claim = an_id("e"), _a_claim(ground)
    url = f"/v1/claims/{claim}/revisions"
    for _ in range(3):
        assert ground.post("/v1/entities?dry_run=true", {**NAMED, "id": entity}).status_code == 200
        assert ground.post(f"{url}?dry_run=true", RETRACT, If_Match="*").status_code == 200
        ground.append(an_entity())
    assert ground.post("/v1/entities", {**NAMED, "id": entity}).status_code == 201
    assert ground.post(url, ACTIONS["revise"], If_Match="*").json()["revision"] == 3


@pytest.mark.parametrize(
    "query", ["dry_run=yes", "dry_run=", "dry_run=1", "dry_run=True", "dry_run=true&dry_run=true", "dryrun=true"]
)
@pytest.mark.parametrize("path", ["entities", "claims/said/revisions"])
def test_the_query_of_a_write_is_held_to_the_document(ground: Served, path: str, query: str) -> None:
    with ground.unchanged():
        refused(ground.post(f"/v1/{path}?{query}", NAMED, If_Match="*"), 400, "bad-parameter")


def test_what_is_tried_does_not_count_as_written(ground: Served) -> None:
    def written() -> float:
        lines = ground.get("/metrics").text.splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("ledger_appended_events_total ")))

    before, key = written(), an_id("key")
    ground.post("/v1/entities?dry_run=true", NAMED)
    assert written() == before
    for _ in range(3):
        ground.post("/v1/entities", NAMED, Idempotency_Key=key)
    assert written() == before + 1
