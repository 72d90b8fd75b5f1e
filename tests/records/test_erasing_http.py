"""An id is forgotten only once nothing that is left names it, in whichever field: one case for each that may hold an id.

Which fields those are is read from the OpenAPI document.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.builders import Operation, a_claim, a_question, a_source, an_entity, an_id, link, retract, revise
from tests.support.served import Served, refused

ID_PATTERN = "^[a-z0-9][a-z0-9-]{0,99}$"
Field = tuple[str, str]
# For each field that may hold an id: of what kind what it names is, what it holds then, and what it holds instead.
NAMING: dict[Field, tuple[str, Any, Any]] = {
    ("entity", "part_of"): ("entity", "{}", None),
    ("source", "publisher"): ("entity", "{}", None),
    ("source", "derives_from"): ("source", ["paper", "{}"], ["paper"]),
    ("source", "part_of"): ("source", "{}", None),
    ("question", "about"): ("entity", ["parler", "{}"], ["parler"]),
    ("claim", "source"): ("source", "{}", "paper"),
    ("claim", "question"): ("question", "{}", "q-time"),
    ("claim", "speaker"): ("entity", "{}", None),
    ("claim", "via"): ("source", ["paper", "{}"], []),
    ("claim", "answer.entity"): ("entity", {"type": "entity", "entity": "{}"}, {"type": "entity", "entity": "parler"}),
    ("claim", "answer.entities"): (
        "entity",
        {"type": "entities", "entities": ["parler", "{}"]},
        {"type": "entities", "entities": ["parler"]},
    ),
}
NEVER_REVISED = {("claim", "source"), ("claim", "question")}


def _named(value: Any, public_id: str) -> Any:
    """Put an id into what a field holds."""
    if isinstance(value, dict):
        return {name: _named(each, public_id) for name, each in value.items()}
    if isinstance(value, list):
        return [_named(each, public_id) for each in value]
    return public_id if value == "{}" else value


def _make(kind: str, public_id: str, **body: Any) -> Operation:
    """Make an operation that records one of a kind."""
    if kind == "claim":
        asked = {"entity": "q-entity", "entities": "q-entities"}.get(body.get("answer", {}).get("type"), "q-time")
        return a_claim(public_id, **{"source": "paper", "question": asked, **body})
    if kind == "question":
        recorded = a_question(public_id, about="parler")
        return {**recorded, "body": {**recorded["body"], **body}}
    return {"entity": an_entity, "source": a_source}[kind](public_id, **body)


def _fields(schemas: dict[str, Any], schema: dict[str, Any], name: str = "") -> Iterator[str]:
    """Name the fields of a body that are ids of records, however deep they stand in it."""
    schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if schema.get("pattern") == ID_PATTERN:
        yield name
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *([schema["items"]] if "items" in schema else [])):
        yield from _fields(schemas, each, name)
    for field, each in schema.get("properties", {}).items():
        yield from _fields(schemas, each, f"{name}.{field}".lstrip("."))


def test_every_field_that_may_hold_an_id_has_its_case_here(ground: Served) -> None:
    schemas = ground.get("/openapi.json").json()["components"]["schemas"]
    fields = {
        (kind, field)
        for kind in ("entity", "source", "question", "claim")
        for field in _fields(schemas, schemas[f"New{kind.title()}"])
        if field != "id"
    }
    assert fields == NAMING.keys()
    assert set(_fields(schemas, schemas["LinkAction"])) == {"claim"}


def _erase(served: Served, kind: str, public_id: str, **more: Any) -> Any:
    body = {"kind": kind, "id": public_id, "basis": "data-protection", "reason": "Order 12/3", "erase_id": True, **more}
    return served.post("/v1/redactions", body)


def _redact(served: Served, kind: str, public_id: str, **more: Any) -> None:
    done = _erase(served, kind, public_id, erase_id=False, **more)
    assert done.status_code == 201, done.text


def _still_named(served: Served, kind: str, public_id: str, *expected: tuple[str, str, int]) -> None:
    """Hold a refusal to erase to what it says of who names the id, and the dry run to the same."""
    with served.unchanged():
        problem = refused(_erase(served, kind, public_id), 409, "still-named", pointer="/erase_id")
        body = {"kind": kind, "id": public_id, "basis": "data-protection", "reason": "Order", "erase_id": True}
        tried = served.post("/v1/redactions?dry_run=true", body).json()["named_by"]
    assert [(each["kind"], each["id"], each["revision"]) for each in problem["named_by"]] == list(expected)
    assert [(each["kind"], each["id"], each["revision"]) for each in tried["items"]] == list(expected)
    assert tried["count"] == len(expected)


@pytest.mark.parametrize("field", NAMING, ids=".".join)
def test_an_id_is_kept_while_a_field_of_any_revision_that_is_left_names_it(ground: Served, field: Field) -> None:
    (kind, name), (named_kind, holding, instead) = field, NAMING[field]
    name = name.partition(".")[0]
    named, namer = an_id("named"), an_id("namer")
    ground.append(_make(named_kind, named), _make(kind, namer, **{name: _named(holding, named)}))
    ground.append(revise(kind, namer, expect=1, note="Read again"))
    naming = [(kind, namer, 1), (kind, namer, 2)]
    _still_named(ground, named_kind, named, *naming)
    if field not in NEVER_REVISED:
        ground.append(revise(kind, namer, expect=2, **{name: instead}), retract(kind, namer))
        _still_named(ground, named_kind, named, *naming)
        ground.append({**retract(kind, namer, expect=4), "op": "restore", "revision": 1})
        ground.append(revise(kind, namer, expect=5, **{name: instead}))
        _still_named(ground, named_kind, named, *naming, (kind, namer, 5))
        naming.append((kind, namer, 5))
    _redact(ground, kind, namer, first=1, last=1)
    _still_named(ground, named_kind, named, *naming[1:])
    _redact(ground, kind, namer, **({} if field in NEVER_REVISED else {"first": 2, "last": 5}))
    assert _erase(ground, named_kind, named).status_code == 201
    assert named not in ground.get("/v1/events?limit=500&after=" + str(ground.head() - 20)).text


def test_an_id_is_kept_while_a_link_names_it_though_it_was_taken_back(ground: Served) -> None:
    named, namer = an_id("named"), an_id("namer")
    ground.append(_make("claim", named), _make("claim", namer))
    ground.append(link(namer, "repeats", named, expect=1))
    _still_named(ground, "claim", named, ("claim", namer, 2))
    ground.append({**link(namer, "repeats", named, expect=2), "op": "unlink"})
    _still_named(ground, "claim", named, ("claim", namer, 2))
    _redact(ground, "claim", namer, first=2, last=2)
    assert _erase(ground, "claim", named).status_code == 201


def test_an_id_is_erased_though_a_redaction_keeps_that_of_another_kind(ground: Served) -> None:
    same = an_id("same")
    ground.append(an_entity(same), a_source(same))
    _redact(ground, "source", same)
    assert _erase(ground, "entity", same).status_code == 201
    refused(_erase(ground, "source", same), 409, "not-redactable")
