"""Batches: many operations accepted or refused as one, NDJSON or an array, tried first or written."""

import json
from typing import Any

import pytest

from tests.support.builders import (
    Operation,
    a_claim,
    a_question,
    a_source,
    an_entity,
    an_id,
    link,
    restore,
    retract,
    revise,
    unlink,
)
from tests.support.served import Served, refused

NDJSON = {"Content-Type": "application/x-ndjson"}


def _lines(*operations: Operation) -> bytes:
    return b"\n".join(json.dumps(operation).encode() for operation in operations)


def _whole_story() -> list[Operation]:
    entity, source, question, one, two = (an_id(prefix) for prefix in "esqcd")
    return [
        an_entity(entity),
        a_source(source),
        a_question(question, about=entity),
        a_claim(one, source=source, question=question),
        a_claim(two, source=source, question=question),
        link(one, "repeats", two),
        unlink(one, "repeats", two),
        revise("claim", one, statement="Parler went dark."),
        retract("claim", two),
        restore("claim", two),
        restore("claim", one, revision=1),
        revise("entity", entity, name="Parler LLC"),
    ]


def test_every_operation_works_and_gets_consecutive_positions(served: Served) -> None:
    story, before = _whole_story(), served.head()
    response = served.post("/v1/batch", story)
    assert response.status_code == 201, response.text
    shown = response.json()
    assert [item["position"] for item in shown["items"]] == list(range(before + 1, before + 13))
    assert [(item["kind"], item["id"]) for item in shown["items"]] == [(each["kind"], each["id"]) for each in story]
    assert [item["revision"] for item in shown["items"]] == [1, 1, 1, 1, 1, 2, 3, 4, 2, 3, 5, 2]
    assert shown["position"] == before + 12 == int(response.headers["ledger-position"])


def test_events_name_the_batch_they_came_in(served: Served) -> None:
    before = served.head()
    served.append(an_entity(), an_entity(), an_entity())
    served.post("/v1/entities", {"type": "other", "name": "Alone"})
    batches = [item["batch"] for item in served.get(f"/v1/events?after={before}").json()["items"]]
    assert batches == [[before + 1, before + 3]] * 3 + [None]


def test_lines_and_an_array_mean_the_same(served: Served) -> None:
    one, two = (
        served.post("/v1/batch", _whole_story()),
        served.client.post("/v1/batch", content=_lines(*_whole_story()), headers=NDJSON),
    )
    assert one.status_code == two.status_code == 201
    assert [item["revision"] for item in one.json()["items"]] == [item["revision"] for item in two.json()["items"]]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-ndjson; charset=utf-8",
        "APPLICATION/X-NDJSON",
        "application/ndjson",
        "application/ndjson;charset=utf8",
    ],
)
def test_blank_lines_and_a_last_line_end_are_passed_over(served: Served, content_type: str) -> None:
    raw = b"\n\n" + _lines(an_entity()) + b"\r\n  \n" + _lines(an_entity()) + b"\n"
    response = served.client.post("/v1/batch", content=raw, headers={"Content-Type": content_type})
    assert response.status_code == 201
    assert len(response.json()["items"]) == 2


@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson", "application/ndjson"])
def test_a_byte_order_mark_is_passed_over(served: Served, content_type: str) -> None:
    one, two = (json.dumps(an_entity()).encode() for _ in range(2))
    mark = b"\xef\xbb\xbf"
    # Files that were put one behind the other bring one each.
    raw = (
        mark + b"[" + one + b"," + two + b"]" if content_type == "application/json" else mark + one + b"\n" + mark + two
    )
    response = served.client.post("/v1/batch", content=raw, headers={"Content-Type": content_type})
    assert response.status_code == 201, response.text
    assert len(response.json()["items"]) == 2


def test_a_dry_run_answers_what_would_happen_and_writes_nothing(served: Served) -> None:
    story = _whole_story()
    with served.unchanged():
        tried = served.post("/v1/batch?dry_run=true", story)
        assert tried.status_code == 200
        assert served.get(f"/v1/entities/{story[0]['id']}").status_code == 404
    written = served.post("/v1/batch?dry_run=false", story)
    assert tried.json() == written.json()


def test_a_dry_run_says_what_it_was_judged_by(served: Served) -> None:
    tried = served.post("/v1/batch?dry_run=true", [an_entity(), an_entity()])
    assert int(tried.headers["ledger-position"]) == served.head() == tried.json()["position"] - 2


def test_each_line_of_a_batch_nests_by_itself(served: Served) -> None:
    torn = b"\n".join([json.dumps(an_entity()).encode()[:-1]] * 40)
    problem = refused(served.client.post("/v1/batch", content=torn, headers=NDJSON), 422, "bad-body")
    assert problem["operation"] == 0


def test_a_dry_run_is_refused_as_the_batch_would_be(served: Served) -> None:
    story = [*_whole_story(), retract("entity", "nobody", expect=1)]
    with served.unchanged():
        assert refused(served.post("/v1/batch?dry_run=true", story), 404, "unknown-record")["operation"] == 12


REFUSALS: dict[str, tuple[Operation, int, str, str]] = {
    "an unknown record": (retract("entity", "nobody", expect=1), 404, "unknown-record", "/id"),
    "no expectation": (retract("entity", "parler"), 409, "expect-required", "/expect"),
    "a stale expectation": (retract("entity", "parler", expect=7), 412, "stale", "/expect"),
    "an id that is taken": (an_entity("parler"), 409, "id-taken", "/id"),
    "an id like a UUID": (an_entity("01234567-89ab-7def-8123-456789abcdef"), 409, "id-form", "/id"),
    "an unknown reference": (an_entity("new-one", part_of="nobody"), 409, "unknown-entity", "/body/part_of"),
    "an answer that does not fit": (
        a_claim("new-one", source="paper", question="q-text"), 409, "answer-does-not-fit", "/body/answer",
    ),
    "a reversed interval": (a_source("new-one", published="2021/2020"), 409, "interval-reversed", "/body/published"),
    "no change": (revise("entity", "parler", expect=1, name="Parler"), 409, "no-change", ""),
    "a cycle": (revise("entity", "parler", expect=1, part_of="parler"), 409, "cycle", "/changes/part_of"),
    "a link to itself": (link("said", "repeats", "said", expect=1), 409, "link-refused", "/claim"),
    "a link between entities": ({**link("said", "repeats", "said", expect=1), "kind": "entity"}, 422, "bad-body", "/kind"),
    "a body outside the document": (an_entity("new-one", type="planet"), 422, "bad-body", "/body/type"),
    "an unknown field": ({**an_entity("new-one"), "surprise": 1}, 422, "bad-body", "/surprise"),
    "a field missing": ({"op": "retract", "kind": "entity", "id": "parler", "expect": 1}, 422, "bad-body", "/reason"),
    "an unknown operation": ({"op": "delete", "kind": "entity", "id": "parler"}, 422, "bad-body", "/op"),
    "an unknown kind": ({"op": "retract", "kind": "person", "id": "parler"}, 422, "bad-body", "/kind"),
    "an expectation of zero": (retract("entity", "parler", expect=0), 422, "bad-body", "/expect"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("is_lines", [False, True])
def test_one_refused_operation_refuses_all_and_is_named(ground: Served, name: str, is_lines: bool) -> None:
    operation, status, slug, pointer = REFUSALS[name]
    story = [an_entity(), an_entity(), operation, an_entity()]
    with ground.unchanged():
        if is_lines:
            response = ground.client.post("/v1/batch", content=_lines(*story), headers=NDJSON)
        else:
            response = ground.post("/v1/batch", story)
        problem = refused(response, status, slug)
    assert problem["operation"] == 2
    assert [fault.get("pointer") for fault in problem.get("errors", [])] == ([pointer] if pointer else [])
    assert ground.get(f"/v1/entities/{story[0]['id']}").status_code == 404


def test_a_stale_expectation_brings_what_was_missed(served: Served) -> None:
    public_id = an_id("e")
    served.append(
        an_entity(public_id), revise("entity", public_id, name="Second"), revise("entity", public_id, name="Third")
    )
    problem = refused(served.post("/v1/batch", [retract("entity", public_id, expect=1)]), 412, "stale")
    assert problem["operation"] == 0
    assert problem["current"]["revision"] == 3
    assert [line["revision"] for line in problem["revisions"]] == [3, 2]
    assert problem["fields"] == ["name"]


def test_an_expectation_is_needed_once_and_holds_against_what_the_batch_itself_did(served: Served) -> None:
    public_id = an_id("e")
    served.append(an_entity(public_id))
    served.append(
        revise("entity", public_id, expect=1, name="Second"), revise("entity", public_id, expect=2, name="Third")
    )
    refused(
        served.post(
            "/v1/batch", [revise("entity", public_id, expect=3, note="x"), retract("entity", public_id, expect=3)]
        ),
        412,
        "stale",
    )
    assert served.get(f"/v1/entities/{public_id}").json()["revision"] == 3


def test_a_stale_expectation_of_a_record_that_the_batch_makes_has_nothing_to_show(served: Served) -> None:
    public_id = an_id("e")
    problem = refused(
        served.post("/v1/batch", [an_entity(public_id), retract("entity", public_id, expect=5)]), 412, "stale"
    )
    assert problem["operation"] == 1
    assert "current" not in problem


def test_an_id_may_not_be_made_twice_in_one_batch(served: Served) -> None:
    public_id = an_id("e")
    problem = refused(served.post("/v1/batch", [an_entity(public_id), an_entity(public_id)]), 409, "id-taken")
    assert problem["operation"] == 1


def test_a_record_may_not_be_named_before_it_is_made(served: Served) -> None:
    public_id = an_id("e")
    story = [an_entity(part_of=public_id), an_entity(public_id)]
    assert refused(served.post("/v1/batch", story), 409, "unknown-entity")["operation"] == 0
    assert served.post("/v1/batch", story[::-1]).status_code == 201


def test_a_record_whose_id_is_left_out_gets_one(served: Served) -> None:
    item = served.post("/v1/batch", [{**an_entity(), "id": None}]).json()["items"][0]
    assert served.get(f"/v1/entities/{item['id']}").json()["position"] == item["position"]


WRONG_WHOLES: dict[str, tuple[Any, dict[str, str]]] = {
    "nothing": (b"", NDJSON),
    "an empty array": (b"[]", {}),
    "an object": (json.dumps(an_entity()).encode(), {}),
    "an array on a line": (b"[" + _lines(an_entity()) + b"]", NDJSON),
    "a broken array": (b"[{]", {}),
    "a number in an array": (b"[5]", {}),
    "a broken line": (_lines(an_entity())[:-3], NDJSON),
    "a lone surrogate": (b'{"op":"record","kind":"entity","body":{"type":"other","name":"\\ud800"}}', NDJSON),
    "Latin-1": (_lines(an_entity()).replace(b"Parler", b"Parl\xe9r"), NDJSON),
}


@pytest.mark.parametrize("name", WRONG_WHOLES)
def test_what_is_no_batch_is_a_422(served: Served, name: str) -> None:
    raw, headers = WRONG_WHOLES[name]
    with served.unchanged():
        refused(
            served.client.post("/v1/batch", content=raw, headers={"Content-Type": "application/json", **headers}),
            422,
            "bad-body",
        )


def test_a_batch_holds_at_most_five_thousand_operations(served: Served) -> None:
    story = [an_entity() for _ in range(5001)]
    with served.unchanged():
        refused(served.post("/v1/batch", story), 422, "bad-body")
        tried = served.post("/v1/batch?dry_run=true", story[:5000])
    assert tried.status_code == 200
    assert len(tried.json()["items"]) == 5000


def test_a_batch_too_large_is_a_413(served: Served) -> None:
    large = _lines(an_entity()) + b" " * served.settings.max_batch
    with served.unchanged():
        refused(served.client.post("/v1/batch", content=large, headers=NDJSON), 413, "too-large")
        refused(
            served.client.post("/v1/batch", content=iter([large[:99], large[99:]]), headers=NDJSON), 413, "too-large"
        )
    # A body larger than a single request may have is fine in a batch.
    several = [an_entity(note="x" * 9000) for _ in range(40)]
    assert len(_lines(*several)) > served.settings.max_body
    assert served.post("/v1/batch", several).status_code == 201


@pytest.mark.parametrize("query", ["dry_run=yes", "dry_run=", "dry_run=true&dry_run=true", "expect=1"])
def test_the_query_of_a_batch_is_held_to_the_document(served: Served, query: str) -> None:
    with served.unchanged():
        refused(served.post(f"/v1/batch?{query}", [an_entity()]), 400, "bad-parameter")
