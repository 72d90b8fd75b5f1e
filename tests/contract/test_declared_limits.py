"""Every limit that the OpenAPI document declares, below it, at it and above: what it allows is taken, and no more.

The limits are read from the document as it is served, so that one that is added is held to as well.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from openapi import lint
from tests.support.served import Served, refused

Schema = dict[str, Any]
Case = tuple[str, Any, bool]
LIMITED = {"minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "maxProperties"}
LONGEST_DATE = "[2021-01-11T08:00:00+14:00?..2021-01-11T08:00:01+14:00~]"


def _text(schema: Schema, size: int) -> str | None:
    """Give a text of so many characters that fits the pattern of a schema; None where none of those known here does."""
    known = (
        "x" * size,
        "1" * size,
        ("https://e.example/" + "x" * size)[:size],
        ("x" + "-abcdefgh" * size)[:size],
        "2021-01-11T08:00:00." + "0" * (size - 21) + "Z",
        LONGEST_DATE,
        "00000000-0000-4000-8000-000000000000",
    )
    return next((text for text in known if len(text) == size and re.search(schema.get("pattern", ""), text)), None)


def _shortest(schema: Schema) -> str:
    return next(text for text in (_text(schema, size) for size in range(1, 65)) if text is not None)


class Document:
    """The document, with what it refers to looked up."""

    def __init__(self, served: Served) -> None:
        document = served.get("/openapi.json").json()
        self.operations: list[tuple[str, Schema]] = list(lint.operations(document))
        self._schemas: Schema = document["components"]["schemas"]

    def plain(self, schema: Schema) -> Schema:
        return self._schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

    def example(self, schema: Schema) -> Any:
        """Give the least that a schema allows."""
        schema = self.plain(schema)
        if branches := _branches(schema):
            return self.example(branches[0])
        if "const" in schema or "enum" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        if schema["type"] == "object":
            return {name: self.example(schema["properties"][name]) for name in schema.get("required", [])}
        if schema["type"] == "array":
            return [self.example(schema["items"])] * schema.get("minItems", 0)
        if schema["type"] == "string":
            return _shortest(schema)
        return {"integer": schema.get("minimum", 0), "boolean": True}[schema["type"]]

    def cases(self, schema: Schema, pointer: str = "") -> Iterator[Case]:
        """Give values at each limit within a schema and beyond it: where that is, the value, and whether it is allowed."""
        schema = self.plain(schema)
        for each in _branches(schema):
            yield from self.cases(each, pointer)
        if schema.get("type") == "object":
            yield from self._of_object(schema, pointer)
        elif schema.get("type") == "array":
            yield from self._of_array(schema, pointer)
        elif schema.get("type") == "string":
            yield from ((pointer, text, fits) for text, fits in _texts(schema))
        elif schema.get("type") == "integer":
            for name, step in (("minimum", -1), ("maximum", 1)):
                if name in schema:
                    yield from ((pointer, schema[name] + by * step, by < 1) for by in (-1, 0, 1))

    def _of_object(self, schema: Schema, pointer: str) -> Iterator[Case]:
        whole = self.example(schema)
        for name, each in schema.get("properties", {}).items():
            for place, value, fits in self.cases(each, f"{pointer}/{name}"):
                yield place, {**whole, name: value}, fits
        if "maxProperties" in schema:
            for size in range(schema["maxProperties"] - 1, schema["maxProperties"] + 2):
                names = {f"x-{number}": self.example(schema["additionalProperties"]) for number in range(size)}
                yield pointer, names, size <= schema["maxProperties"]
            for _, value, fits in self.cases(schema["additionalProperties"]):
                yield f"{pointer}/en", {"en": value}, fits
            for _, name, fits in self.cases({**schema["propertyNames"], "type": "string"}):
                yield pointer, {name: self.example(schema["additionalProperties"])}, fits

    def _of_array(self, schema: Schema, pointer: str) -> Iterator[Case]:
        sizes = {schema[name] + by for name in ("minItems", "maxItems") if name in schema for by in (-1, 0, 1)}
        for size in sorted(size for size in sizes if size >= 0):
            items = [self.example(schema["items"])] * size
            yield pointer, items, schema.get("minItems", 0) <= size <= schema.get("maxItems", size)
        for place, value, fits in self.cases(schema["items"], f"{pointer}/0"):
            yield place, [value], fits


def _branches(schema: Schema) -> list[Schema]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def _texts(schema: Schema) -> Iterator[tuple[str, bool]]:
    sizes = {schema[name] + by for name in ("minLength", "maxLength") if name in schema for by in (-1, 0, 1)}
    for size in sorted(size for size in sizes if size >= 0):
        fits = schema.get("minLength", 0) <= size <= schema.get("maxLength", size)
        text = _text(schema, size)
        # One character less than the longest there may be may have no form.
        if text is not None or not fits:
            yield text or "x" * size, fits


@pytest.fixture(scope="module")
def document(ground: Served) -> Document:
    return Document(ground)


BODIES = ["recordEntity", "recordSource", "recordQuestion", "recordClaim", "reviseEntity", "reviseSource", "reviseQuestion",
          "reviseClaim", "redact", "appendBatch", "revertBatch"]  # fmt: skip


def test_every_operation_that_takes_a_body_is_held_to_it_here(document: Document) -> None:
    bodies = {described["operationId"] for _, described in document.operations if "requestBody" in described}
    assert bodies == set(BODIES)


@pytest.mark.parametrize("operation", BODIES)
def test_a_body_is_taken_up_to_each_limit_that_is_declared_and_no_further(
    ground: Served, document: Document, operation: str
) -> None:
    [(path, described)] = [
        (where.removeprefix("POST "), described)
        for where, described in document.operations
        if described["operationId"] == operation
    ]
    schema = document.plain(described["requestBody"]["content"]["application/json"]["schema"])
    if operation == "appendBatch":
        path, schema = f"{path}?dry_run=true", {"type": "array", "items": schema["items"]}
    # What is taken is refused for what the ledger holds; nothing of it is to be there.
    path, headers = path.replace("{id}", "nobody").replace("{position}", "1"), {"If_Match": "*"}
    found = list(document.cases(schema))
    assert len(found) > 5
    for pointer, body, fits in found:
        response = ground.post(path, body, **headers)
        if fits:
            assert response.status_code not in (400, 422), f"{pointer}: {response.text}"
        else:
            refused(response, 422, "bad-body")
            named = [fault["pointer"] for fault in response.json()["errors"]]
            # In a batch it is named within the operation, which is told by its number.
            assert named == [pointer.removeprefix("/0")], json.dumps(body)[:200]
            assert response.json().get("operation") == (0 if operation == "appendBatch" else None)


def _parameters(document: Document) -> Iterator[tuple[str, Schema, Schema]]:
    for where, described in document.operations:
        method, path = where.split(" ")
        for parameter in described["parameters"] if method == "GET" else ():
            schema = document.plain(parameter["schema"])
            if parameter["in"] != "header" and LIMITED & schema.keys():
                yield path, described, {**parameter, "schema": schema}


def test_a_parameter_is_taken_up_to_each_limit_that_is_declared_and_no_further(
    ground: Served, document: Document
) -> None:
    asked = 0
    for path, operation, parameter in _parameters(document):
        needed = {
            each["name"]: "1" for each in operation["parameters"] if each["in"] == "query" and each.get("required")
        }
        for _, value, fits in document.cases(parameter["schema"]):
            values = value if isinstance(value, list) else [value]
            # Nothing at all is no value, and a parameter that is not there is none.
            if not values or "" in values or (parameter["in"] == "path" and isinstance(value, int) and value < 0):
                continue
            filled = _filled(path, parameter["name"] if parameter["in"] == "path" else "", value)
            query = [*needed.items()] if parameter["in"] == "path" else [
                *((name, one) for name, one in needed.items() if name != parameter["name"]),
                *((parameter["name"], one) for one in values),
            ]  # fmt: skip
            response = ground.client.get(filled, params=query)
            asked += 1
            if fits:
                assert response.status_code != 400, f"{filled} {parameter['name']}={value}: {response.text}"
            else:
                refused(response, 400, "bad-parameter")
                assert {each["parameter"] for each in response.json()["errors"]} == {parameter["name"]}, filled
    assert asked > 300


def _filled(path: str, name: str, value: object) -> str:
    for each, plain in (("id", "nobody"), ("n", "1"), ("position", "1"), ("slug", "stale")):
        path = path.replace(f"{{{each}}}", str(value) if each == name else plain)
    return path
