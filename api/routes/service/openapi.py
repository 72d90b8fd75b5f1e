"""The OpenAPI 3.1 document, made from the contracts that the handlers enforce and the Structs that decode."""

import inspect
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar
from litestar.routes import HTTPRoute

from api import __version__
from api.domain.errors import Redacted, Stale
from api.domain.records.kinds import KIND_NAMES, KINDS
from api.domain.records.operation import MOST_OPERATIONS, OPERATIONS
from api.domain.text import ecma
from api.routes.contract import params
from api.routes.contract.contract import Contract, PostContract
from api.routes.contract.params import Strict
from api.routes.contract.shapes import PUBLISHED, PatchOperation
from api.routes.edge import query
from api.routes.edge.bodies import JSON
from api.routes.edge.edge import MOST_ADDRESS_BYTES, MOST_FIELD_BYTES, MOST_FIELDS
from api.routes.edge.exchange import PATIENCE
from api.routes.edge.problems import EDGE, TABLE, Problem

# A part of the document, or of a schema as msgspec gives it.
Part = dict[str, Any]
_REF = "#/components/schemas/{name}"
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_EXAMPLES = Path(__file__).parents[2] / "assets" / "examples.json"
_TAGS = {
    "claims": "One assertion that one source makes in answer to one question.",
    "questions": "What claims answer, and where they agree or do not.",
    "sources": "Published documents and statements in which claims were made.",
    "entities": "Whom and what claims are about or come from.",
    "events": "The log itself: follow it, read it to the byte, compare two moments.",
    "batch": "Many operations as one.",
    "redactions": "What was lawfully removed, and why.",
    "service": "The service itself.",
}
_INFO = {
    "title": "Deplatforming Ledger",
    "version": __version__,
    "summary": "Who claimed what about the deplatforming of Parler in January 2021, with every past view.",
    "description": (
        "Every claim is an append-only event with its source, its timestamps and its whole revision history.\n\n"
        "**Three clocks.** `as_of` asks what this ledger had recorded by then: a position or a time. `published_by` asks "
        "what sources had published by then. `valid_at` asks which answers hold then. A date without a zone is read in "
        "every zone.\n\n"
        "**One number.** A position (1, 2, 3 …, without gaps) is the feed cursor, the `as_of` coordinate and the size of "
        "the Merkle tree.\n\n"
        "**Errors** are problem documents (RFC 9457). 400: path, query or header outside this document. 422: body outside "
        "it. 409: allowed by it, and refused by a rule between fields or by what the ledger holds. 404: not there, or not "
        "yet.\n\n"
        "**Writing** needs a key. You add to history: there is no PUT, PATCH or DELETE."
    ),
    "license": {"name": "Apache-2.0 (code), CC0-1.0 (data)", "identifier": "Apache-2.0"},
}
_ANSWER_HEADERS = {
    "ETag": ("Strong for one revision; weak for what many records make.", {"type": "string"}),
    "Ledger-Position": ("The position this answer is given at.", {"type": "string", "pattern": "^[0-9]+$"}),
    "Link": ("Related resources (RFC 8288).", {"type": "string"}),
    "Location": ("Where the revision is found.", {"type": "string"}),
    "Memento-Datetime": ("When this revision was recorded (RFC 7089).", {"type": "string"}),
    "Content-Location": ("Where this revision is found for good.", {"type": "string"}),
    "Idempotency-Replayed": (
        "There where an earlier request under the same `Idempotency-Key` was answered so: nothing was written anew.",
        {"type": "string", "const": "true"},
    ),
    "WWW-Authenticate": ("How to authenticate (RFC 6750).", {"type": "string"}),
    "Retry-After": ("Seconds until a request is let through.", {"type": "string"}),
}
# What every answer carries, refusals too; the last two only where requests are counted.
_EVERYWHERE = {
    "X-Request-Id": ("Names this request in the server's log.", {"type": "string"}),
    "Cache-Control": ("Who may keep this, and for how long (RFC 9111).", {"type": "string"}),
    "RateLimit-Policy": ("The caller's quota (draft-ietf-httpapi-ratelimit-headers).", {"type": "string"}),
    "RateLimit": ("What is left of it, and the seconds until it is whole again.", {"type": "string"}),
}
_SOMETIMES = {"Link", "Memento-Datetime", "Content-Location", "ETag", "Ledger-Position", "Idempotency-Replayed"}
_TRIED = (
    "What would have been written, after `dry_run=true`: nothing was. Ids that are minted here are not kept; the header tells "
    "the position that it was judged by."
)
_STATUSES = {
    400: "A path, query or header value is outside this document.",
    401: "A key is needed, or the one sent is not valid.",
    403: "The key may not do this.",
    404: "There is nothing here, or not yet.",
    406: "None of the types asked for is offered.",
    408: f"Nothing more of the body came for {PATIENCE} seconds, or it was not whole in time.",
    409: "Refused by a rule between fields, or by what the ledger holds.",
    410: "What was here is redacted: by which redaction, and on what basis.",
    412: "The record has changed since: with what it says now, the revisions in between and the fields that differ.",
    413: "The body is too large, or nests too deeply.",
    414: f"The address, its query included, is longer than {MOST_ADDRESS_BYTES} bytes.",
    415: "The body is of a type that is not read here.",
    422: "The body is outside this document.",
    428: "Say which revision this is based on, with If-Match.",
    429: "Too many requests.",
    431: f"There are more than {MOST_FIELDS} header fields, or they hold more than {MOST_FIELD_BYTES} bytes.",
    501: "The body comes in another transfer coding than chunked.",
    503: "The ledger cannot answer now.",
}


def build(app: Litestar) -> Part:
    """Give the whole document."""
    contracts = sorted(_contracts(app), key=lambda found: (found[0], found[1]))
    schemas, components = _schemas([contract for *_, contract in contracts])
    paths: Part = {}
    for path, method, contract in contracts:
        paths.setdefault(path, {})[method] = _operation(path, method, contract, schemas)
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": components,
            "headers": {name: {"description": text, "schema": schema} for name, (text, schema) in _EVERYWHERE.items()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A key: `dl_<id>_<secret>`."}
            },
        },
    }


def _contracts(app: Litestar) -> Iterable[tuple[str, str, Contract[Strict]]]:
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            contract = handler.opt.get("contract")
            if contract is not None:
                method = next(iter(handler.http_methods - {"OPTIONS"})).lower()
                yield route.path_format, method, contract


def _schemas(contracts: list[Contract[Strict]]) -> tuple[dict[int, Part], Part]:
    """Take every schema from msgspec: what is published is what its decoder enforces."""
    bodies = [
        contract.body for contract in contracts if isinstance(contract, PostContract) and contract.body is not None
    ]
    types = [*PUBLISHED, list[PatchOperation], Problem, *bodies, *dict.fromkeys(OPERATIONS.values())]
    found, components = msgspec.json.schema_components(types, ref_template=_REF)
    components = _tidy(components)
    components["Patch"] = _tidy(found[len(PUBLISHED)])
    for kind in KIND_NAMES:
        _close(components[kind.title()])
    components["Operation"] = {
        "anyOf": [{"$ref": _REF.format(name=each.__name__)} for each in dict.fromkeys(OPERATIONS.values())]
    }
    components["FeedPage"]["properties"]["items"]["items"] = {
        "anyOf": [{"$ref": _REF.format(name=name)} for name in ("FeedItem", "ExactEvent")]
    }
    components["Problem"]["properties"]["type"]["examples"] = [f"/problems/{TABLE_SLUG}"]
    return dict(zip(map(id, types), map(_tidy, found), strict=True)), components


TABLE_SLUG = next(iter(TABLE.values())).slug


def _close(schema: Part) -> None:
    """Every field of a representation is always there."""
    schema["required"] = list(schema["properties"])


def _tidy(part: Part) -> Part:
    """Spell patterns for ECMA-262, drop titles, and say the same from every Python: 3.13 takes docstrings' margins off."""
    return {key: _tidied(key, item) for key, item in part.items() if not (key == "title" and isinstance(item, str))}


def _tidied(key: str, item: object) -> object:
    match key, item:
        case "pattern", str():
            return ecma(item).replace(r"$(?!\n)", "$")
        case "description", str():
            return inspect.cleandoc(item)
        case _, dict():
            return _tidy(item)
        case _, list():
            return [_tidied("", each) for each in item]
    return item


def _operation(path: str, method: str, contract: Contract[Strict], schemas: Mapping[int, Part]) -> Part:
    described: Part = {
        "operationId": contract.id,
        "summary": contract.summary,
        "tags": [contract.tag],
        "parameters": [*_path_parameters(path, contract), *_query_parameters(contract), *_header_parameters(contract)],
        "responses": _responses(path, method, contract),
        "security": [{"bearer": []}] if contract.scope else [{}, {"bearer": []}],
    }
    if contract.description:
        described["description"] = contract.description
    if isinstance(contract, PostContract):
        described["requestBody"] = {"required": True, "content": {JSON: _body(contract, schemas)}}
    return described


def _body(contract: PostContract[Strict, object], schemas: Mapping[int, Part]) -> Part:
    if contract.body is None:
        schema: Part = {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_OPERATIONS,
            "items": {"$ref": _REF.format(name="Operation")},
        }
    else:
        schema = schemas[id(contract.body)]
    examples = _captured().get(contract.id, {}).get("body", {})
    return (
        {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}}
        if examples
        else {"schema": schema}
    )


@lru_cache(maxsize=1)
def _captured() -> Part:
    """Give the examples: requests written by hand, and the answers that a seeded ledger gave to them."""
    found: Part = msgspec.json.decode(_EXAMPLES.read_bytes()) if _EXAMPLES.exists() else {}
    return found


def _path_parameters(path: str, contract: Contract[Strict]) -> list[Part]:
    names = re.findall(r"\{(\w+)\}", path)
    return [_parameter(name, "path", _schema_of(params.Path, name), contract, required=True) for name in names]


def _query_parameters(contract: Contract[Strict]) -> list[Part]:
    fields = msgspec.structs.fields(contract.query)
    return [
        _parameter(
            each.encode_name, "query", _schema_of(contract.query, each.encode_name), contract, required=each.required
        )
        for each in fields
    ]


def _header_parameters(contract: Contract[Strict]) -> list[Part]:
    found = []
    for name in contract.headers:
        header = query.HEADERS[name]
        if header.is_published:
            pattern = {"pattern": header.pattern} if header.pattern else {}
            schema = _tidy({"type": "string", "description": header.text, **pattern})
            found.append(_parameter(name, "header", schema, contract, required=name == "If-Match"))
    return found


def _schema_of(struct: type[msgspec.Struct], name: str) -> Part:
    """Give a parameter's schema as msgspec has it, without the null that no parameter can carry."""
    (_,), components = msgspec.json.schema_components([struct], ref_template=_REF)
    schema: Part = components[struct.__name__]["properties"][name]
    if "anyOf" in schema:
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        schema = rest | next(branch for branch in schema["anyOf"] if branch.get("type") != "null")
    if "enum" in schema:
        schema = {**schema, "enum": [value for value in schema["enum"] if value is not None], "type": "string"}
    return _tidy({key: value for key, value in schema.items() if not (key == "default" and value in (None, []))})


def _parameter(name: str, place: str, schema: Part, contract: Contract[Strict], *, required: bool) -> Part:
    text = schema.pop("description", None) or params.MEANINGS.get(name)
    described: Part = {"name": name, "in": place, "required": required, "schema": schema}
    if text:
        described["description"] = text
    schema.pop("examples", None)
    example = _captured().get(contract.id, {}).get("parameters", {}).get(name)
    if example is not None:
        described["example"] = example
    return described


def _responses(path: str, method: str, contract: Contract[Strict]) -> Part:
    responses: Part = {str(contract.status): _success(path, method, contract)}
    if "If-None-Match" in contract.headers:
        responses["304"] = {"description": "You hold it already.", "headers": _headers(["ETag"])}
    if "Accept-Datetime" in contract.headers:
        headers = _headers(["Location", "Link", "Ledger-Position"])
        responses["302"] = {"description": "The revision in force then.", "headers": headers}
    if isinstance(contract, PostContract) and contract.id != "redact":
        content, headers = responses["201"]["content"], _headers(["Ledger-Position"])
        responses["200"] = {"description": _TRIED, "content": content, "headers": headers}
    if contract.id == "redact":
        preview = {"schema": {"$ref": _REF.format(name="RedactionPreview")}, **_example("redact")}
        text = "What would be removed, and what would still name or hold it."
        responses["200"] = {"description": text, "content": {JSON: preview}}
    for status in _refusals(contract):
        responses[str(status)] = _refusal(status)
    for answer, response in responses.items():
        if answer.startswith("2") or answer == "429":
            everywhere = {name: {"$ref": f"#/components/headers/{name}"} for name in _EVERYWHERE}
            response["headers"] = {**response.get("headers", {}), **everywhere}
    return dict(sorted(responses.items()))


def _refusals(contract: Contract[Strict]) -> list[int]:
    found = [400, 401, 406, 414, 429, 431, 503]
    if contract.absent:
        found.append(404)
    if contract.gone or "Idempotency-Key" in contract.headers:
        found.append(410)
    if contract.conflicts:
        found.append(409)
    if isinstance(contract, PostContract):
        found += [403, 408, 409, 413, 415, 422, 501]
    if "If-Match" in contract.headers:
        found += [412, 428]
    if contract.id == "appendBatch":
        # Its operations say themselves which revision they expect.
        found.append(412)
    return sorted(set(found))


def _refusal(status: int) -> Part:
    response: Part = {"description": _STATUSES[status], "content": _PROBLEM}
    if status == EDGE["unauthorized"].status:
        response["headers"] = _headers(["WWW-Authenticate"])
    if status == EDGE["too-many-requests"].status:
        response["headers"] = _headers(["Retry-After"])
    if status == TABLE[Redacted].status:
        response["headers"] = _headers(["Link"])
    if status == TABLE[Stale].status:
        response["headers"] = _headers(["ETag"])
    return response


def _success(path: str, method: str, contract: Contract[Strict]) -> Part:
    example = _redaction_example() if contract.id == "redact" else _example(contract.id)
    media = {"schema": {"$ref": _REF.format(name=contract.returns)}, **example}
    content = {offered: media if "json" in offered else {"schema": {"type": "string"}} for offered in contract.offers}
    response: Part = {"description": contract.summary + ".", "content": content}
    if contract.answer_headers:
        response["headers"] = _headers(contract.answer_headers)
    links = _links(path, method, contract)
    if links:
        response["links"] = links
    return response


def _example(operation_id: str) -> Part:
    """Give the answer that a seeded ledger gave, if one was captured."""
    answer = _captured().get(operation_id, {}).get("answer")
    return {} if answer is None else {"example": answer}


def _redaction_example() -> Part:
    """Give what a redaction answers: what reading it answers, and what it left. What was captured of it is a dry run."""
    nothing = {"items": [], "count": 0}
    return {
        name: {**answer, "named_by": nothing, "holding": nothing} for name, answer in _example("getRedaction").items()
    }


def _headers(names: Iterable[str]) -> Part:
    found = {}
    for name in names:
        text, schema = _ANSWER_HEADERS[name]
        found[name] = {"description": text, "required": name not in _SOMETIMES, "schema": schema}
    return found


_KINDS = {kind.plural: (kind.name.title(), kind.path) for kind in KINDS.values()}
# Where in an answer the id of a redaction stands.
_TO_REDACTION = {"redact": "id", "listRedactions": "items/0/id"}


def _links(path: str, method: str, contract: Contract[Strict]) -> Part:
    """Say what may follow: from a record to its history and its next revision, from a list to what it lists."""
    if contract.tag == "batch":
        first = {"position": "$response.body#/items/0/position"}
        return {"revertBatch": {"operationId": "revertBatch", "parameters": first}}
    if contract.id in _TO_REDACTION:
        found = {"id": f"$response.body#/{_TO_REDACTION[contract.id]}"}
        return {"getRedaction": {"operationId": "getRedaction", "parameters": found}}
    if contract.tag not in _KINDS:
        return {}
    kind, base = _KINDS[contract.tag]
    if path == base and method == "get":
        return {f"get{kind}": {"operationId": f"get{kind}", "parameters": {"id": "$response.body#/items/0/id"}}}
    if contract.returns not in (kind, f"{kind}View") or path.endswith("{n}"):
        return {}
    own = {"id": "$response.body#/id"}
    based = {"path.id": "$response.body#/id", "header.If-Match": "$response.header.ETag"}
    links = {
        f"get{kind}": {"operationId": f"get{kind}", "parameters": own},
        f"list{kind}Revisions": {"operationId": f"list{kind}Revisions", "parameters": own},
        f"get{kind}TimeMap": {"operationId": f"get{kind}TimeMap", "parameters": own},
        f"get{kind}Revision": {
            "operationId": f"get{kind}Revision",
            "parameters": {"path.id": "$response.body#/id", "path.n": "$response.body#/revision"},
        },
        f"diff{kind}": {
            "operationId": f"diff{kind}",
            "parameters": {"path.id": "$response.body#/id", "query.from": "1", "query.to": "$response.body#/revision"},
        },
        f"revise{kind}": {"operationId": f"revise{kind}", "parameters": based},
        "getActor": {"operationId": "getActor", "parameters": {"id": "$response.body#/recorded_by"}},
    }
    if kind == "Claim":
        links["listClaimLinks"] = {"operationId": "listClaimLinks", "parameters": own}
    if kind == "Question":
        links["getQuestionAnswers"] = {"operationId": "getQuestionAnswers", "parameters": own}
    return links
