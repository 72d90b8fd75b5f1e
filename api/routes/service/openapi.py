"""The OpenAPI 3.1 document, made from the contracts that the handlers enforce and the Structs that decode."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

import msgspec
from litestar import Litestar
from litestar.routes import HTTPRoute

from api import __version__
from api.domain.errors import Stale
from api.domain.records.kinds import KIND_NAMES, KINDS
from api.domain.records.operation import MOST_OPERATIONS, OPERATIONS
from api.routes.contract import params
from api.routes.contract.contract import Contract, PostContract
from api.routes.contract.params import Strict
from api.routes.contract.shapes import PUBLISHED, STATES
from api.routes.edge import query
from api.routes.edge.bodies import JSON
from api.routes.edge.edge import MOST_ADDRESS_BYTES, MOST_FIELD_BYTES, MOST_FIELDS
from api.routes.edge.exchange import PATIENCE
from api.routes.edge.problems import MEDIA_TYPE, TABLE, Problem
from api.routes.service.schemas import Part, gather, of_parameter, ref, spelt

_ASSETS = Path(__file__).parents[2] / "assets"
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
        "**Writing** needs a key. You add to history: there is no PUT, PATCH or DELETE.\n\n"
        "**Not described here**, because others say what they are: `/tlog/checkpoint`, `/tlog/tile/…` and `/tlog/keys` give "
        "the log as c2sp.org/tlog-tiles has it; `/verify.py` is the verifier, one file for Python; `/metrics` is for "
        "Prometheus; `/docs` and `/docs/…` show this document to people, with `/docs/assets/…` and `/favicon.ico`."
    ),
    "license": {"name": "Apache-2.0 (code), CC0-1.0 (data)", "identifier": "Apache-2.0 AND CC0-1.0"},
}
_HEADERS = {
    "ETag": (
        "Strong for one revision; for what many records make weak, and another with what is shown.",
        {"type": "string"},
    ),
    "Ledger-Position": ("The position this answer is given at.", {"type": "string", "pattern": "^[0-9]+$"}),
    "Link": ("Related resources (RFC 8288).", {"type": "string"}),
    "Location": ("Where the revision is found.", {"type": "string", "format": "uri-reference"}),
    "Memento-Datetime": ("When this revision was recorded (RFC 7089).", {"type": "string"}),
    "Content-Location": ("Where this revision is found for good.", {"type": "string", "format": "uri-reference"}),
    "Idempotency-Replayed": (
        "There where an earlier request under the same `Idempotency-Key` was answered so: nothing was written anew.",
        {"type": "string", "const": "true"},
    ),
    "WWW-Authenticate": ("How to authenticate (RFC 6750).", {"type": "string"}),
    "Retry-After": ("Seconds until a request is let through.", {"type": "string"}),
    "X-Request-Id": ("Names this request in the server's log.", {"type": "string"}),
    "Cache-Control": ("Who may keep this, and for how long (RFC 9111).", {"type": "string"}),
    "RateLimit-Policy": ("The caller's quota (draft-ietf-httpapi-ratelimit-headers).", {"type": "string"}),
    "RateLimit": ("What is left of it, and the seconds until it is whole again.", {"type": "string"}),
}
# What every answer carries, refusals too; the last two only where requests are counted.
_EVERYWHERE = ("X-Request-Id", "Cache-Control", "RateLimit-Policy", "RateLimit")
# Those of the others that an answer never lacks where it is said to have them.
_ALWAYS = ("Location", "WWW-Authenticate", "Retry-After")
_OK = "200"
# The summary of an operation tells what it gives; its answer need not tell it again.
_DONE = "As asked."
_TRIED = (
    "What would have been written, after `dry_run=true`: nothing was. Ids that are minted here are not kept; the header tells "
    "the position that it was judged by."
)
# What is answered beside what was asked for: a name for it, what it means, and the headers that it has.
_ASIDE: Mapping[int, tuple[str, str, tuple[str, ...]]] = {
    302: ("Found", "The revision in force then.", ("Location", "Link", "Ledger-Position")),
    304: (
        "NotModified",
        "You hold what is shown here. `Ledger-Position` tells how far the ledger is, and `Link` where to go on from there.",
        ("ETag", "Ledger-Position", "Link"),
    ),
    400: ("BadRequest", "A path, query or header value is outside this document.", ()),
    401: ("Unauthorized", "A key is needed, or the one sent is not valid.", ("WWW-Authenticate",)),
    403: ("Forbidden", "The key may not do this.", ()),
    404: ("NotFound", "There is nothing here, or not yet.", ()),
    406: ("NotAcceptable", "None of the types asked for is offered.", ()),
    408: ("RequestTimeout", f"Nothing more of the body came for {PATIENCE} seconds, or it was not whole in time.", ()),
    409: ("Conflict", "Refused by a rule between fields, or by what the ledger holds.", ()),
    410: ("Gone", "What was here is redacted: by which redaction, and on what basis.", ("Link",)),
    412: (
        "PreconditionFailed",
        "The record has changed since: with what it says now, the revisions in between and the fields that differ.",
        ("ETag",),
    ),
    413: ("ContentTooLarge", "The body is too large, or nests too deeply.", ()),
    414: ("AddressTooLong", f"The address, its query included, is longer than {MOST_ADDRESS_BYTES} bytes.", ()),
    415: ("UnsupportedMediaType", "The body is of a type that is not read here.", ()),
    422: ("UnprocessableContent", "The body is outside this document.", ()),
    428: ("PreconditionRequired", "Say which revision this is based on, with If-Match.", ()),
    429: ("TooManyRequests", "Too many requests.", ("Retry-After",)),
    431: (
        "HeadersTooLarge",
        f"There are more than {MOST_FIELDS} header fields, or they hold more than {MOST_FIELD_BYTES} bytes.",
        (),
    ),
    501: ("NotImplemented", "The body comes in another transfer coding than chunked.", ()),
    503: ("Unavailable", "The ledger cannot answer now.", ()),
}


def build(app: Litestar, address: str | None = None, contact: str | None = None) -> Part:
    """Give the whole document of a ledger that is found at this address; `contact` is how whoever runs it is reached."""
    contracts = sorted(_contracts(app), key=lambda found: (found[0], found[1]))
    schemas, components = _schemas([contract for *_, contract in contracts])
    paths: Part = {}
    for path, method, contract in contracts:
        paths.setdefault(path, {})[method] = _operation(path, method, contract, schemas)
    described = {
        "openapi": "3.1.0",
        "info": {**_INFO, "contact": _contact(contact)},
        "servers": [{"url": address or "/", "description": "The ledger that this document is about."}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "security": [{}, {"bearer": []}],
        "paths": paths,
    }
    parameters, links, answers = _share([each for methods in paths.values() for each in methods.values()])
    shared = {
        "schemas": components,
        "responses": {**{name: _aside(status) for status, (name, *_) in _ASIDE.items()}, **answers},
        "parameters": parameters,
        "links": links,
        "headers": {name: _header(name) for name in _HEADERS},
    }
    bearer = {"type": "http", "scheme": "bearer", "description": "A key: `dl_<id>_<secret>`."}
    return {**described, "components": {**_used(described, shared), "securitySchemes": {"bearer": bearer}}}


def _contact(given: str | None) -> Part:
    name = {"name": "Whoever runs this ledger"}
    return name if given is None else {**name, "url" if "/" in given else "email": given}


def _share(described: Sequence[Part]) -> tuple[Part, Part, Part]:
    """Let parameters, links and answers stand once that operations have in the same words but for examples; give them by name."""
    answers = [(each, one) for each in described for one in each["responses"].values() if "$ref" not in one]
    _agree_on_parameters(described)
    _agree_on_answers(answers)
    parameters = _names([(one["name"], each, one) for each in described for one in each["parameters"]])
    links = _names([(name, each, one) for each, answer in answers for name, one in answer.get("links", {}).items()])
    for _, answer in answers:
        if "links" in answer:
            answer["links"] = {name: _short("links", links, one) for name, one in answer["links"].items()}
    told = _names([(_name_of(answer), each, answer) for each, answer in answers])
    for each in described:
        each["parameters"] = [_short("parameters", parameters, one) for one in each["parameters"]]
        each["responses"] = {status: _short("responses", told, one) for status, one in each["responses"].items()}
    return _by_name(parameters), _by_name(links), _by_name(told)


def _name_of(answer: Part) -> str:
    if answer["description"] == _TRIED:
        return "Tried"
    (schema, *_) = (media["schema"]["$ref"] for media in answer["content"].values() if "$ref" in media["schema"])
    return str(schema).rpartition("/")[2]


def _agree_on_parameters(described: Sequence[Part]) -> None:
    """Show one example of a query parameter, wherever it is told alike; where that is an id, of records of one kind."""
    shown: dict[tuple[str, bytes], object] = {}
    told = [(each["tags"][0], one) for each in described for one in each["parameters"] if one["in"] == "query"]
    for is_asked in (False, True):
        for tag, one in told:
            raw = msgspec.json.encode({name: part for name, part in one.items() if name != "example"})
            place = (tag if b"/Id" in raw else "", raw)
            if is_asked and place in shown:
                one["example"] = shown[place]
            elif "example" in one:
                shown.setdefault(place, one["example"])


def _agree_on_answers(answers: Sequence[tuple[Part, Part]]) -> None:
    """Where operations tell of an answer alike, show the examples of those alone that have the tag of the first."""
    alike: dict[bytes, list[tuple[Part, Part]]] = {}
    for operation, answer in answers:
        bare = {name: {**media, "example": None} for name, media in answer["content"].items()}
        alike.setdefault(msgspec.json.encode({**answer, "content": bare}), []).append((operation, answer))
    for those in alike.values():
        first, told = those[0]
        shown = {each["operationId"]: answer["content"] for each, answer in those if each["tags"] == first["tags"]}
        content = told["content"] if len(shown) == 1 else {name: _all_of(name, shown) for name in told["content"]}
        for _, answer in those:
            answer["content"] = content


def _all_of(media_type: str, shown: Mapping[str, Part]) -> Part:
    """Give a body with the examples of several operations, by the operation."""
    media = [(name, content[media_type]) for name, content in shown.items()]
    named = {name: {"value": each["example"]} for name, each in media if "example" in each}
    return {"schema": media[0][1]["schema"], **({"examples": named} if named else {})}


def _names(said: Sequence[tuple[str, Part, Part]]) -> dict[bytes, str]:
    """Name what operations say alike: as it is called or, where something else so called is said more often, by the tag too."""
    times = Counter(msgspec.json.encode(part) for *_, part in said)
    names: dict[bytes, str] = {}
    for name, operation, part in sorted(said, key=lambda each: -times[msgspec.json.encode(each[2])]):
        raw = msgspec.json.encode(part)
        free = [each for each in (name, f"{operation['tags'][0]}-{name}") if each not in names.values()]
        if times[raw] > 1 and raw not in names and free:
            names[raw] = free[0]
    return names


def _short(place: str, names: Mapping[bytes, str], part: Part) -> Part:
    name = names.get(msgspec.json.encode(part))
    return part if name is None else {"$ref": f"#/components/{place}/{name}"}


def _by_name(names: Mapping[bytes, str]) -> Part:
    return {name: msgspec.json.decode(raw) for raw, name in names.items()}


def _used(described: Part, shared: Part) -> Part:
    """Give of what may be referred to what is, directly or from what is."""
    used: dict[str, set[str]] = {part: set() for part in shared}
    waiting: list[object] = [described]
    while waiting:
        for part, name in _REFERENCE.findall(msgspec.json.encode(waiting.pop()).decode()):
            if name not in used[part]:
                used[part].add(name)
                waiting.append(shared[part][name])
    return {part: {name: each for name, each in shared[part].items() if name in used[part]} for part in shared}


_REFERENCE = re.compile(r'"#/components/(\w+)/([^"]+)"')


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
    """Give the schema of each body, and all that have a name."""
    bodies = [
        contract.body for contract in contracts if isinstance(contract, PostContract) and contract.body is not None
    ]
    operations = list(dict.fromkeys(OPERATIONS.values()))
    found, components = gather([*bodies, *PUBLISHED, *STATES, Problem, *operations])
    for kind in KIND_NAMES:
        _close(components[kind.title()])
    components["Operation"] = {"oneOf": [ref(each.__name__) for each in operations]}
    _fill_in(components)
    return dict(zip(map(id, bodies), found, strict=False)), components


def _close(schema: Part) -> None:
    """Every field of a representation is always there."""
    schema["required"] = list(schema["properties"])


def _fill_in(components: Part) -> None:
    """Say what a member is that is one of several shapes: msgspec has no type for those without a tag."""
    kinds = {kind: ref(kind.title()) for kind in KIND_NAMES}
    mapping = {kind: each["$ref"] for kind, each in kinds.items()}
    components["FeedPage"]["properties"]["items"]["items"] = {"oneOf": [ref("FeedItem"), ref("ExactEvent")]}
    components["FeedItem"]["properties"]["state"] = {
        "oneOf": [*(ref(each.__name__) for each in STATES), {"type": "null"}]
    }
    components["Problem"]["properties"] |= {
        "type": {**components["Problem"]["properties"]["type"], "examples": [f"/problems/{TABLE[Stale].slug}"]},
        "current": {
            "oneOf": list(kinds.values()),
            "discriminator": {"propertyName": "kind", "mapping": mapping},
        },
        "revisions": {"type": "array", "items": ref("HistoryLine")},
    }


def _operation(path: str, method: str, contract: Contract[Strict], schemas: Mapping[int, Part]) -> Part:
    described: Part = {
        "operationId": contract.id,
        "summary": contract.summary,
        "tags": [contract.tag],
        "parameters": [*_path_parameters(path, contract), *_query_parameters(contract), *_header_parameters(contract)],
        "responses": _responses(path, method, contract),
    }
    if contract.description:
        described["description"] = contract.description
    if contract.scope:
        described["security"] = [{"bearer": []}]
    if isinstance(contract, PostContract):
        described["requestBody"] = {"required": True, "content": {JSON: _body(contract, schemas)}}
    return described


def _body(contract: PostContract[Strict, object], schemas: Mapping[int, Part]) -> Part:
    if contract.body is None:
        schema: Part = {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_OPERATIONS,
            "items": ref("Operation"),
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
    return _read("examples.json")


@lru_cache(maxsize=1)
def _refused() -> Part:
    """Give the problem documents with which a seeded ledger refused, by status."""
    return _read("refusals.json")


def _read(asset: str) -> Part:
    found: Part = msgspec.json.decode((_ASSETS / asset).read_bytes()) if (_ASSETS / asset).exists() else {}
    return found


def _path_parameters(path: str, contract: Contract[Strict]) -> list[Part]:
    names = re.findall(r"\{(\w+)\}", path)
    return [_parameter(name, "path", of_parameter(params.Path, name), contract, required=True) for name in names]


def _query_parameters(contract: Contract[Strict]) -> list[Part]:
    fields = msgspec.structs.fields(contract.query)
    return [
        _parameter(
            each.encode_name, "query", of_parameter(contract.query, each.encode_name), contract, required=each.required
        )
        for each in fields
    ]


def _header_parameters(contract: Contract[Strict]) -> list[Part]:
    found = []
    for name in contract.headers:
        header = query.HEADERS[name]
        if header.is_published:
            pattern = {"pattern": header.pattern} if header.pattern else {}
            schema = spelt({"type": "string", "description": header.text, **pattern})
            found.append(_parameter(name, "header", schema, contract, required=name == "If-Match"))
    return found


def _parameter(name: str, place: str, schema: Part, contract: Contract[Strict], *, required: bool) -> Part:
    text = schema.pop("description", None) or params.MEANINGS.get(name)
    described: Part = {"name": name, "in": place, "schema": schema} | ({"required": True} if required else {})
    if text:
        described["description"] = text
    schema.pop("examples", None)
    example = _captured().get(contract.id, {}).get("parameters", {}).get(name)
    if example is not None:
        described["example"] = example
    return described


def _responses(path: str, method: str, contract: Contract[Strict]) -> Part:
    responses: Part = {str(contract.status): _success(path, method, contract)}
    for status, header in ((304, "If-None-Match"), (302, "Accept-Datetime")):
        if header in contract.headers:
            responses[str(status)] = _to_aside(status)
    if isinstance(contract, PostContract) and contract.id != "redact":
        headers = _headers(("Ledger-Position", *_EVERYWHERE))
        content = {JSON: {"schema": ref(contract.returns)}}
        responses["200"] = {"description": _TRIED, "headers": headers, "content": content}
    if contract.id == "redact":
        preview = {"schema": ref("RedactionPreview"), **_example("redact")}
        text = "What would be removed, and what would still name or hold it."
        responses["200"] = {"description": text, "headers": _headers(_EVERYWHERE), "content": {JSON: preview}}
    for status in _refusals(contract):
        responses[str(status)] = _to_aside(status)
    return dict(sorted(responses.items()))


_TEXT: Part = {"schema": {"type": "string"}}
# What is no JSON text although it is made of such, and the one list that is none of ours.
_OTHERS: Mapping[str, Part] = {
    "application/x-ndjson": _TEXT,
    "application/json-seq": _TEXT,
    "application/cloudevents-batch+json": {"schema": {"type": "array", "items": {"type": "object"}}},
}


def _to_aside(status: int) -> Part:
    return {"$ref": f"#/components/responses/{_ASIDE[status][0]}"}


def _aside(status: int) -> Part:
    """Describe an answer that is the same wherever it is given."""
    _, text, headers = _ASIDE[status]
    response: Part = {"description": text, "headers": _headers((*headers, *_EVERYWHERE))}
    if status >= HTTPStatus.BAD_REQUEST:
        response["content"] = {MEDIA_TYPE: {"schema": ref("Problem"), **_refusal_example(status)}}
    return response


def _refusal_example(status: int) -> Part:
    example = _refused().get(str(status))
    return {} if example is None else {"example": example}


def _refusals(contract: Contract[Strict]) -> list[int]:
    found = [400, 406, 414, 429, 431]
    if not contract.always_open:
        found += [401, 503]
    if contract.absent:
        found.append(404)
    # What a request under a key made may be redacted since; a redaction never is.
    if contract.gone or ("Idempotency-Key" in contract.headers and contract.id != "redact"):
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


def _success(path: str, method: str, contract: Contract[Strict]) -> Part:
    example = _redaction_example() if contract.id == "redact" else _example(contract.id)
    media = {"schema": ref(contract.returns), **example}
    content = {offered: _OTHERS.get(offered, media if "json" in offered else _TEXT) for offered in contract.offers}
    headers = _headers((*contract.answer_headers, *_EVERYWHERE))
    response: Part = {"description": _DONE, "headers": headers, "content": content}
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
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _header(name: str) -> Part:
    text, schema = _HEADERS[name]
    required = {} if name in _EVERYWHERE else {"required": name in _ALWAYS}
    return {"description": text, **required, "schema": schema}


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
    if kind in ("Entity", "Source"):
        links[f"list{kind}Statements"] = {"operationId": f"list{kind}Statements", "parameters": own}
    if kind == "Claim":
        links["listClaimLinks"] = {"operationId": "listClaimLinks", "parameters": own}
    if kind == "Question":
        links["getQuestionAnswers"] = {"operationId": "getQuestionAnswers", "parameters": own}
    return links
