"""The OpenAPI document: committed as generated, valid, linted, and its examples are what a seeded ledger does."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from litestar import Litestar
from litestar.testing import TestClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.app import build
from api.domain.text import ID_PATTERN
from api.routes.edge.metrics import Metrics
from api.routes.service import openapi as generator
from api.routes.service import schemas
from api.settings import Settings
from openapi import capture, lint, refusals

Document = dict[str, Any]
COMMITTED: Document = json.loads(lint.DOCUMENT.read_text(encoding="utf-8"))
EXAMPLES: dict[str, Any] = json.loads(capture.EXAMPLES.read_text(encoding="utf-8"))
REFUSALS: dict[str, Any] = json.loads(refusals.REFUSALS.read_text(encoding="utf-8"))
OPERATIONS = {described["operationId"]: described for _, described in lint.operations(COMMITTED)}


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Litestar]]:
    with capture.seeded(tmp_path_factory.mktemp("seeded")) as client:
        yield client


def test_the_committed_document_is_the_generated_one() -> None:
    generated = generator.build(build(Settings(), Metrics()))

    assert generated == COMMITTED, "run: uv run ledger openapi --output openapi/openapi.json"


def test_the_served_document_is_the_committed_one(seeded: TestClient[Litestar]) -> None:
    assert seeded.get("/openapi.json").json() == COMMITTED


def test_the_document_is_valid_openapi() -> None:
    assert COMMITTED["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(COMMITTED).iter_errors()] == []


def test_the_document_keeps_its_rules() -> None:
    assert list(lint.lint(COMMITTED)) == []


def test_every_operation_has_an_example_and_no_example_is_left_over() -> None:
    assert set(EXAMPLES) == set(OPERATIONS)


@pytest.mark.parametrize("operation_id", sorted(EXAMPLES))
def test_examples_name_parameters_that_the_operation_has(operation_id: str) -> None:
    there = {parameter["name"] for parameter in OPERATIONS[operation_id]["parameters"]}

    assert set(EXAMPLES[operation_id]["parameters"]) <= there


def test_examples_run_and_their_answers_and_refusals_are_what_a_seeded_ledger_gives(tmp_path: Path) -> None:
    with capture.seeded(tmp_path) as fresh:
        captured = capture.capture(fresh, EXAMPLES)
        refused = refusals.refusals(fresh, capture.settings_of(tmp_path))

    assert {status: capture.lasting(problem) for status, problem in refused.items()} == {
        status: capture.lasting(problem) for status, problem in REFUSALS.items()
    }, "run python -m openapi.capture"
    for operation_id, example in EXAMPLES.items():
        assert capture.lasting(captured[operation_id]["answer"]) == capture.lasting(example["answer"]), (
            f"{operation_id}: run python -m openapi.capture"
        )


@pytest.mark.parametrize(
    "operation_id",
    [each for each, example in sorted(EXAMPLES.items()) if example["body"] and each not in ("redact", "revertBatch")],
)
def test_example_bodies_would_be_accepted_one_after_another(operation_id: str, seeded: TestClient[Litestar]) -> None:
    operations = _as_operations(operation_id, EXAMPLES[operation_id], seeded)

    answer = seeded.post("/v1/batch", params={"dry_run": "true"}, json=operations)

    assert answer.status_code == 200, answer.text


def _as_operations(operation_id: str, example: Document, seeded: TestClient[Litestar]) -> list[Document]:
    """Spell requests as a batch, whose dry run leaves the ledger as it is."""
    bodies = list(example["body"].values())
    if operation_id == "appendBatch":
        return [operation for body in bodies for operation in body]
    path, _, _ = capture.operations(seeded)[operation_id]
    kind = re.sub("^(record|revise)", "", operation_id).lower()
    if operation_id.startswith("record"):
        return [_as_recording(kind, body) for body in bodies]
    public_id = example["parameters"]["id"]
    current = seeded.get(path.removesuffix("/revisions").format(id=public_id)).json()
    spelled: list[Document] = [
        {"op": body["action"], "kind": kind, "id": public_id, **{name: body[name] for name in body if name != "action"}}
        for body in bodies
    ]
    spelled[0]["expect"] = current["revision"]
    return spelled


def _as_recording(kind: str, body: Document) -> Document:
    beside = {name: body[name] for name in ("id", "reason") if name in body}
    return {"op": "record", "kind": kind, "body": {name: body[name] for name in body if name not in beside}, **beside}


def test_what_reads_answer_validates_against_the_schema_whole_or_narrowed(seeded: TestClient[Litestar]) -> None:
    """The examples are sent again with each optional parameter left out, and with none of them."""
    for operation_id, operation in capture.operations(seeded).items():
        if operation[1] != "get" or operation_id in ("getActor", "getRedaction"):
            continue
        for parameters in _narrowed(operation[2], EXAMPLES[operation_id]["parameters"]):
            answer = capture.ask(seeded, operation, parameters, None)
            assert answer.status_code in (200, 409), f"{operation_id} {parameters}: {answer.text}"
            if answer.status_code == 200:
                schema = operation[2]["responses"]["200"]["content"][answer.headers["content-type"]]["schema"]
                _validate(schema, answer.json())


def test_no_two_refusals_have_one_example() -> None:
    shown = [
        media["example"]
        for response in COMMITTED["components"]["responses"].values()
        for media_type, media in response.get("content", {}).items()
        if media_type == "application/problem+json"
    ]
    assert len(shown) > 15
    assert len({problem["type"] for problem in shown}) == len(shown)


def test_what_the_feed_says_of_every_event_of_the_seed_is_one_of_the_shapes_that_the_document_lists(
    seeded: TestClient[Litestar],
) -> None:
    schema = {"$ref": "#/components/schemas/FeedItem", "components": COMMITTED["components"]}
    validator, seen, after = Draft202012Validator(schema), set[tuple[str, str]](), 0
    while items := seeded.get("/v1/events", params={"after": after, "limit": 500}).json()["items"]:
        after = items[-1]["position"]
        for item in items:
            # The first few of each kind and type say what all do, in a tenth of the time.
            if (item["kind"], item["type"]) not in seen or item["position"] % 10 == 0:
                validator.validate(item)
            seen.add((item["kind"], item["type"]))
    assert {kind for kind, _ in seen} == {"entity", "source", "question", "claim", "ledger"}


def test_every_address_is_described_or_named(seeded: TestClient[Litestar]) -> None:
    told = COMMITTED["info"]["description"]
    for route in build(Settings(), Metrics()).routes:
        fixed, braces, _ = route.path.partition("{")
        named = f"`{fixed}…`" if braces else f"`{fixed}`"
        assert route.path_format in COMMITTED["paths"] or named in told or fixed == "/openapi.json", route.path


def test_an_operator_may_say_where_the_ledger_is_and_how_to_reach_who_runs_it() -> None:
    for contact, told in {
        "https://example.org/about": {"url": "https://example.org/about"},
        "archive@example.org": {"email": "archive@example.org"},
    }.items():
        settings = Settings(public_url="https://ledger.example.org/", contact=contact)
        served = json.loads(build(settings, Metrics()).state.document.body)
        assert served["servers"][0]["url"] == "https://ledger.example.org"
        assert served["info"]["contact"] == {"name": "Whoever runs this ledger", **told}
        assert [error.message for error in OpenAPIV31SpecValidator(served).iter_errors()] == []


@pytest.mark.parametrize("contact", ["", "nobody", "ftp://example.org", "a@b@c", "mailto:archive@example.org"])
def test_a_contact_that_is_neither_a_url_nor_a_mail_address_is_refused(contact: str) -> None:
    with pytest.raises(ValueError, match="contact"):
        Settings(contact=contact)


# What a schema says otherwise than msgspec does, each as it was and as it is published.
SPELT: list[tuple[Document, Document]] = [
    ({"enum": ["x"]}, {"type": "string", "const": "x"}),
    ({"enum": [1]}, {"type": "integer", "const": 1}),
    ({"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
    ({"type": "integer"}, {"type": "integer", "format": "int64"}),
    ({"type": "integer", "maximum": 9}, {"type": "integer", "maximum": 9, "format": "int32"}),
    ({"type": "integer", "maximum": 2**31}, {"type": "integer", "maximum": 2**31, "format": "int64"}),
    ({"type": "number"}, {"type": "number", "format": "double"}),
    ({"type": "boolean", "default": False}, {"type": "boolean", "description": "`false` where it is left out."}),
    (
        {"type": "string", "default": "x", "description": "A word."},
        {"type": "string", "description": "A word. `x` where it is left out."},
    ),
    ({"type": "array", "items": {"type": "string"}, "default": []}, {"type": "array", "items": {"type": "string"}}),
    (
        {"anyOf": [{"$ref": "#/a"}, {"$ref": "#/b"}], "discriminator": {"propertyName": "x"}},
        {"oneOf": [{"$ref": "#/a"}, {"$ref": "#/b"}], "discriminator": {"propertyName": "x"}},
    ),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ({"type": "string", "pattern": r"^[0-9]\Z"}, {"type": "string", "pattern": "^[0-9]$"}),
    ({"type": "object", "title": "T", "properties": {}}, {"type": "object", "properties": {}}),
    (
        {"description": "Whose.", "type": "string", "maxLength": 100, "minLength": 1, "pattern": ID_PATTERN},
        {"$ref": "#/components/schemas/Id", "description": "Whose."},
    ),
]


@pytest.mark.parametrize(("schema", "published"), SPELT)
def test_a_schema_is_spelt_for_whoever_makes_clients_of_it(schema: Document, published: Document) -> None:
    assert schemas.spelt(schema) == published


def _narrowed(described: Document, parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    needed = {each["name"] for each in described["parameters"] if each.get("required")}
    optional = [name for name in parameters if name not in needed]
    for left_out in optional:
        yield {name: value for name, value in parameters.items() if name != left_out}
    yield {name: parameters[name] for name in parameters if name in needed}


def _validate(schema: Document, answer: Any) -> None:
    Draft202012Validator({**schema, "components": COMMITTED["components"]}).validate(answer)


def _some(document: Document) -> Document:
    """The operation that the breaches below are made in: one with a body, a path and links."""
    return document["paths"]["/v1/claims/{id}/revisions"]["post"]


def _use_wrong_example(document: Document) -> None:
    _some(document)["responses"]["201"]["content"]["application/json"]["examples"]["reviseClaim"]["value"][
        "revision"
    ] = "two"


def _inlined(document: Document) -> Document:
    """The document with what the operation above refers to in its place, so that it can be broken there alone."""
    found = dict(lint.operations(document))["POST /v1/claims/{id}/revisions"]
    document["paths"]["/v1/claims/{id}/revisions"]["post"] = copy.deepcopy(found)
    return document


BREACHES: dict[str, Callable[[Document], Any]] = {
    "service_is_described": lambda document: document["info"].pop("contact"),
    "document_is_small": lambda document: document["info"].update(description="x" * lint.MOST_BYTES),
    "operations_are_described": lambda document: _some(document).pop("description"),
    "parameters_are_described": lambda document: _some(document)["parameters"][0].pop("example"),
    "paths_declare_their_parameters": lambda document: _some(document)["parameters"].pop(0),
    "bodies_have_examples": lambda document: _some(document)["requestBody"]["content"]["application/json"].pop(
        "examples"
    ),
    "answers_have_schemas": lambda document: _some(document)["responses"]["201"].pop("content"),
    "refusals_are_problems": lambda document: _some(document)["responses"]["400"]["content"][
        "application/problem+json"
    ].pop("example"),
    "answer_headers_are_described": lambda document: _some(document)["responses"]["201"]["headers"]["ETag"].pop(
        "description"
    ),
    "examples_fit": _use_wrong_example,
    "schemas_are_read_alike": lambda document: document["components"]["schemas"]["Stamp"].pop("format"),
    "references_hold": lambda document: document["components"]["schemas"].update(Unused={"type": "string"}),
    "links_hold": lambda document: _some(document)["responses"]["201"]["links"].update(lost={"operationId": "none"}),
}


def test_every_rule_is_tried() -> None:
    assert set(BREACHES) == {rule.__name__ for rule in lint.RULES}


# Words of a schema that one of those who read it does not understand, or takes for something else.
UNREAD: list[Document] = [
    {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
    {"anyOf": [{"type": "object"}], "discriminator": {"propertyName": "type"}},
    {"enum": ["a", "b"]},
    {"type": "string", "enum": ["a"]},
    {"type": "integer"},
    {"type": "number"},
    {"type": "string", "pattern": "^https?://x$"},
    {"type": "object", "properties": {"note": {"type": "string", "default": "x"}}},
]


@pytest.mark.parametrize("schema", UNREAD)
def test_a_schema_that_generators_or_linters_take_for_another_is_a_breach(schema: Document) -> None:
    document = copy.deepcopy(COMMITTED)
    document["components"]["schemas"]["NewClaim"]["properties"]["note"] = schema

    assert [breach for breach in lint.schemas_are_read_alike(document) if breach.startswith("NewClaim ")]


def test_a_numbered_name_is_a_breach() -> None:
    document = copy.deepcopy(COMMITTED)
    document["components"]["schemas"]["Kind26"] = {"type": "string"}

    assert list(lint.schemas_are_read_alike(document))


@pytest.mark.parametrize("rule", lint.RULES, ids=lambda rule: rule.__name__)
def test_each_rule_finds_its_breach(rule: lint.Rule) -> None:
    document = copy.deepcopy(COMMITTED)
    # In the operation that is broken, what it refers to stands in its place; all that is more than there may be.
    document = document if rule is lint.document_is_small else _inlined(document)
    before = set(rule(document))

    BREACHES[rule.__name__](document)

    assert set(rule(document)) > before
