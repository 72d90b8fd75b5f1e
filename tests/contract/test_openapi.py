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
from api.routes.edge.metrics import Metrics
from api.routes.service import openapi as generator
from api.settings import Settings
from openapi import capture, lint

Document = dict[str, Any]
COMMITTED: Document = json.loads(lint.DOCUMENT.read_text(encoding="utf-8"))
EXAMPLES: dict[str, Any] = json.loads(capture.EXAMPLES.read_text(encoding="utf-8"))
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


def test_examples_run_and_their_answers_are_what_a_seeded_ledger_gives(tmp_path: Path) -> None:
    with capture.seeded(tmp_path) as fresh:
        captured = capture.capture(fresh, EXAMPLES)

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


def _narrowed(described: Document, parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    needed = {each["name"] for each in described["parameters"] if each["required"]}
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
    _some(document)["responses"]["201"]["content"]["application/json"]["example"]["revision"] = "two"


BREACHES: dict[str, Callable[[Document], Any]] = {
    "operations_are_described": lambda document: _some(document).pop("summary"),
    "parameters_are_described": lambda document: _some(document)["parameters"][0].pop("example"),
    "paths_declare_their_parameters": lambda document: _some(document)["parameters"].pop(0),
    "bodies_have_examples": lambda document: _some(document)["requestBody"]["content"]["application/json"].pop(
        "examples"
    ),
    "answers_have_schemas": lambda document: _some(document)["responses"]["201"].pop("content"),
    "refusals_are_problems": lambda document: _some(document)["responses"].pop("400"),
    "answer_headers_are_described": lambda document: _some(document)["responses"]["201"]["headers"]["ETag"].pop(
        "description"
    ),
    "examples_fit": _use_wrong_example,
    "references_hold": lambda document: document["components"]["schemas"].update(Unused={"type": "string"}),
    "links_hold": lambda document: _some(document)["responses"]["201"]["links"].update(lost={"operationId": "none"}),
}


def test_every_rule_is_tried() -> None:
    assert set(BREACHES) == {rule.__name__ for rule in lint.RULES}


@pytest.mark.parametrize("rule", lint.RULES, ids=lambda rule: rule.__name__)
def test_each_rule_finds_its_breach(rule: lint.Rule) -> None:
    document = copy.deepcopy(COMMITTED)
    before = set(rule(document))

    BREACHES[rule.__name__](document)

    assert set(rule(document)) > before
