"""The rules that the OpenAPI document keeps, beyond being valid: `python -m openapi.lint` prints what breaks them.

Each rule is a function from the document to sentences; its docstring is the rule.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

DOCUMENT = Path(__file__).parent / "openapi.json"
MOST_BYTES = 300_000
PROBLEM = {"$ref": "#/components/schemas/Problem"}
_METHODS = frozenset({"get", "post", "put", "patch", "delete", "head", "options", "trace"})
_REFUSAL = 400
Document = dict[str, Any]
Rule = Callable[[Document], Iterator[str]]


def main() -> None:
    """Lint the committed document, or the file named; exit with 1 if a rule is broken."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENT
    broken = list(lint(json.loads(path.read_text(encoding="utf-8"))))
    print("\n".join([*broken, f"{len(RULES)} rules, {len(broken)} breaches"]))
    sys.exit(bool(broken))


def lint(document: Document) -> Iterator[str]:
    """Give a sentence for each breach of a rule, with the rule's name."""
    for rule in RULES:
        for breach in rule(document):
            yield f"{rule.__name__}: {breach}"


def service_is_described(document: Document) -> Iterator[str]:
    """The document says what it is about, where that is, who answers for it and under which terms it may be used."""
    info = document["info"]
    yield from (f"info needs {name}" for name in ("summary", "description", "contact", "license") if not info.get(name))
    if not info.get("license", {}).get("identifier"):
        yield "the license needs its identifier (SPDX)"
    if not all(server.get("url") and server.get("description") for server in document.get("servers") or [{}]):
        yield "a server needs a url and a description"


def document_is_small(document: Document) -> Iterator[str]:
    """As it is served, the document has less than 300 KB."""
    size = len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())
    if size >= MOST_BYTES:
        yield f"it has {size} bytes"


def operations_are_described(document: Document) -> Iterator[str]:
    """Every operation has an id of its own, a summary that is no sentence, a description, one known tag, its security."""
    tags = {tag["name"] for tag in document["tags"] if tag.get("description")}
    times = Counter(described.get("operationId") for _, described in operations(document))
    for where, described in operations(document):
        if times[described.get("operationId")] != 1 or not described.get("operationId"):
            yield f"{where} needs an operationId of its own"
        if not described.get("summary") or described["summary"].endswith("."):
            yield f"{where} needs a summary without a full stop"
        if not described.get("description", "").endswith("."):
            yield f"{where} needs a description in sentences"
        if len(described.get("tags", [])) != 1 or described["tags"][0] not in tags:
            yield f"{where} needs one tag that the document describes"
        if "security" not in {**document, **described}:
            yield f"{where} needs its security said"


def parameters_are_described(document: Document) -> Iterator[str]:
    """Every parameter has a description and a schema; what a request cannot do without has an example."""
    for where, described in operations(document):
        for parameter in described["parameters"]:
            name = f"{where}, {parameter['in']} parameter {parameter['name']}"
            if not parameter.get("description"):
                yield f"{name} needs a description"
            if not parameter.get("schema"):
                yield f"{name} needs a schema"
            if parameter.get("required") and "example" not in parameter:
                yield f"{name} is required and needs an example"


def paths_declare_their_parameters(document: Document) -> Iterator[str]:
    """What stands in braces in a path is what the operation declares to be in it."""
    for where, described in operations(document):
        written = set(re.findall(r"{(\w+)}", where))
        declared = {each["name"] for each in described["parameters"] if each["in"] == "path" and each.get("required")}
        if written != declared:
            yield f"{where} declares other path parameters than it has"


def bodies_have_examples(document: Document) -> Iterator[str]:
    """Every request body has a schema and named examples."""
    for where, described in operations(document):
        for media_type, media in described.get("requestBody", {}).get("content", {}).items():
            if not media.get("schema") or not media.get("examples"):
                yield f"{where}, body {media_type} needs a schema and examples"


def answers_have_schemas(document: Document) -> Iterator[str]:
    """Every answer of 2xx has a schema for each type offered, and each operation an example of one in JSON."""
    for where, status, response in responses(document):
        if not status.startswith("2"):
            continue
        if not response.get("content"):
            yield f"{where} {status} needs content"
        for media_type, media in response.get("content", {}).items():
            if not media.get("schema"):
                yield f"{where} {status} {media_type} needs a schema"
    for where, described in operations(document):
        answers = [answer for status, answer in described["responses"].items() if status.startswith("2")]
        media = [each for answer in answers for each in answer.get("content", {}).values()]
        if not any({"example", "examples"} & set(each) for each in media):
            yield f"{where} needs an example of an answer"


def refusals_are_problems(document: Document) -> Iterator[str]:
    """Every refusal is a problem document with an example of that very status, and 400 and 429 are possible everywhere."""
    for where, status, response in responses(document):
        if int(status) < _REFUSAL:
            continue
        media = response.get("content", {}).get("application/problem+json", {})
        if len(response.get("content", {})) != 1 or media.get("schema") != PROBLEM:
            yield f"{where} {status} is not a problem document"
        elif media.get("example", {}).get("status") != int(status):
            yield f"{where} {status} needs an example of its own"
    for where, described in operations(document):
        missing = {"400", "429"} - set(described["responses"])
        if missing:
            yield f"{where} needs the answers {sorted(missing)}"


def answer_headers_are_described(document: Document) -> Iterator[str]:
    """Every header of an answer has a description and a schema."""
    for where, status, response in responses(document):
        for name, header in response.get("headers", {}).items():
            if not header.get("description") or not header.get("schema"):
                yield f"{where} {status} header {name} needs a description and a schema"


def examples_fit(document: Document) -> Iterator[str]:
    """Every example validates against the schema beside it."""
    for where, schema, example in examples(document):
        for error in Draft202012Validator({**schema, "components": document["components"]}).iter_errors(example):
            yield f"{where} at {error.json_path}: {error.message[:200]}"


def schemas_are_read_alike(document: Document) -> Iterator[str]:
    """Schemas say what they say in words that generators of clients understand.

    No tuples; of branches that a field tells apart, one fits; what is listed has a type, and one value alone is a
    constant; numbers, times, ids and URLs have a format; a default is told in words, but for parameters; no name is numbered.
    """
    for name in document["components"]["schemas"]:
        if name[-1].isdigit():
            yield f"{name} needs a name that says more than a number"
    for where, schema in schemas(document):
        yield from (f"{where} {wrong}" for wrong, is_wrong in _UNLIKE.items() if is_wrong(schema))
        if "default" in schema and "parameter" not in where:
            yield f"{where} has a default, which makes generators take it to be always there"


def references_hold(document: Document) -> Iterator[str]:
    """Every component is used, and every reference leads to one."""
    used = {text["$ref"] for text in _objects(document) if isinstance(text.get("$ref"), str)}
    parts = ("schemas", "responses", "parameters", "links", "headers")
    there = {f"#/components/{part}/{name}" for part in parts for name in document["components"].get(part, {})}
    mapped = {to for each in _objects(document) if "mapping" in each for to in _texts(each["mapping"])}
    yield from (f"{name} is not used" for name in sorted(there - used))
    yield from (f"{name} leads nowhere" for name in sorted((used | mapped) - there))


def links_hold(document: Document) -> Iterator[str]:
    """Every link names an operation of the document and parameters that it has."""
    known = {described["operationId"]: described for _, described in operations(document)}
    for where, status, response in responses(document):
        for name, link in response.get("links", {}).items():
            target = known.get(link.get("operationId"))
            if target is None:
                yield f"{where} {status} link {name} leads to no operation"
                continue
            there = {
                spelled for each in target["parameters"] for spelled in (each["name"], f"{each['in']}.{each['name']}")
            }
            yield from (
                f"{where} {status} link {name} sets no parameter {each}" for each in set(link["parameters"]) - there
            )


RULES: tuple[Rule, ...] = (
    service_is_described,
    document_is_small,
    operations_are_described,
    parameters_are_described,
    paths_declare_their_parameters,
    bodies_have_examples,
    answers_have_schemas,
    refusals_are_problems,
    answer_headers_are_described,
    examples_fit,
    schemas_are_read_alike,
    references_hold,
    links_hold,
)


def _lacks_format(schema: Document) -> bool:
    if "const" in schema or "format" in schema:
        return False
    return schema.get("type") in ("integer", "number") or any(
        schema.get("pattern", "").startswith(beginning) for beginning in _FORMED
    )


# How patterns begin of which JSON Schema knows the format: a UUID, a time of the ledger's, a URL.
_FORMED = ("^[0-9a-f]{8}-", "^[0-9]{4}-[0-9]{2}-[0-9]{2}T", "^https?:")
_UNLIKE: dict[str, Callable[[Document], bool]] = {
    "is a tuple": lambda schema: "prefixItems" in schema or schema.get("items") is False,
    "has a discriminator beside anyOf": lambda schema: "discriminator" in schema and "oneOf" not in schema,
    "lists values without their type": lambda schema: "enum" in schema and "type" not in schema,
    "lists one value alone": lambda schema: len(schema.get("enum", "--")) == 1,
    "needs a format": _lacks_format,
}


def operations(document: Document) -> Iterator[tuple[str, dict[str, Any]]]:
    """List the operations, each under its method and path, with what they refer to in its place but for schemas."""
    for path, methods in document["paths"].items():
        for method in _METHODS & set(methods):
            described = methods[method]
            parameters = [_inlined(document, each) for each in described["parameters"]]
            answers = {status: _answer(document, each) for status, each in described["responses"].items()}
            yield f"{method.upper()} {path}", {**described, "parameters": parameters, "responses": answers}


def responses(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """List the answers that operations give."""
    for where, described in operations(document):
        for status, response in described["responses"].items():
            yield where, status, response


def schemas(document: Document) -> Iterator[tuple[str, dict[str, Any]]]:
    """List all schemas, those within others too."""
    for name, schema in document["components"]["schemas"].items():
        yield from ((name, each) for each in _within(schema))
    for where, described in operations(document):
        for parameter in described["parameters"]:
            yield from ((f"{where}, parameter {parameter['name']}", each) for each in _within(parameter["schema"]))
        for media in described.get("requestBody", {}).get("content", {}).values():
            yield from ((f"{where}, body", each) for each in _within(media["schema"]))
    for where, status, response in responses(document):
        for media in response.get("content", {}).values():
            yield from ((f"{where} {status}", each) for each in _within(media.get("schema", {})))


def _within(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    inner = [schema.get(name) for name in ("items", "additionalProperties", "propertyNames")]
    inner += [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    for each in inner:
        if isinstance(each, dict):
            yield from _within(each)


def _answer(document: Document, response: dict[str, Any]) -> dict[str, Any]:
    found = _inlined(document, response)
    told = dict(found)
    for part in {"headers", "links"} & set(found):
        told[part] = {name: _inlined(document, each) for name, each in found[part].items()}
    return told


def _inlined(document: Document, part: dict[str, Any]) -> dict[str, Any]:
    """Give what a reference leads to; nothing where it leads nowhere."""
    if "$ref" not in part:
        return part
    *_, kind, name = part["$ref"].split("/")
    found: dict[str, Any] = document["components"].get(kind, {}).get(name, {})
    return found


def examples(document: Document) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """List the examples, each with the schema that it should fit."""
    for where, described in operations(document):
        for parameter in described["parameters"]:
            if "example" in parameter:
                yield f"{where}, {parameter['name']}", parameter["schema"], parameter["example"]
        for media in described.get("requestBody", {}).get("content", {}).values():
            for name, example in media.get("examples", {}).items():
                yield f"{where}, body {name!r}", media["schema"], example["value"]
    told: set[int] = set()
    for where, status, response in responses(document):
        for media_type, media in response.get("content", {}).items():
            # What is said once, of many operations, is held to its schema once.
            if id(media) not in told:
                told.add(id(media))
                shown = (
                    [media["example"]]
                    if "example" in media
                    else [each["value"] for each in media.get("examples", {}).values()]
                )
                yield from ((f"{where} {status} {media_type}", media["schema"], each) for each in shown)


def _objects(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(inner)


def _texts(value: dict[str, Any]) -> Iterator[str]:
    yield from (each for each in value.values() if isinstance(each, str))


if __name__ == "__main__":
    main()
