"""How a request becomes one that its contract allows: judged in the contract's order, once, the same for every operation.

405, 429, 413, 415, 406, 401, 403, 400, then the body, 422; what comes after is the ledger's to say.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope

from api.domain.errors import BadParameter, LedgerError
from api.domain.records.operation import decode_body
from api.ledger.writing.keys import Caller
from api.routes.contract.contract import Body_co, Contract, PostContract, Query_co
from api.routes.contract.params import Path, Strict
from api.routes.edge.asked import Asked, Posted, says_when
from api.routes.edge.bodies import NDJSON, check_depth, check_head
from api.routes.edge.exchange import PlainRequest
from api.routes.edge.explaining import explain
from api.routes.edge.keyring import is_bearer
from api.routes.edge.limits import count, is_host
from api.routes.edge.negotiation import quality
from api.routes.edge.problems import HttpError
from api.routes.edge.query import convert, read_header, read_query
from api.routes.edge.reply import VARY_TIMEGATE, Reply
from api.routes.edge.services import Services, services_of
from api.settings import Settings

_CHALLENGE = 'Bearer realm="ledger"'


def reads(
    path: str, contract: Contract[Query_co]
) -> Callable[[Callable[[Asked[Query_co]], Awaitable[ASGIApp]]], HTTPRouteHandler]:
    """Make a GET route of a function from what was asked to a reply, held to its contract."""
    # What is negotiated by a header depends on it where it is refused, too.
    vary = [VARY_TIMEGATE] if "Accept-Datetime" in contract.headers else []

    def decorate(handler: Callable[[Asked[Query_co]], Awaitable[ASGIApp]]) -> HTTPRouteHandler:
        async def respond(request: PlainRequest) -> ASGIApp:
            try:
                return await handler(await _judge(request, contract))
            except (HttpError, LedgerError) as error:
                return await explain(request, error, *vary)

        return get(path, opt={"contract": contract}, name=contract.id)(respond)

    return decorate


def writes(
    path: str, contract: PostContract[Query_co, Body_co]
) -> Callable[[Callable[[Posted[Query_co, Body_co]], Awaitable[Reply]]], HTTPRouteHandler]:
    """Make a POST route of a function from what was sent to a reply, held to its contract."""

    def decorate(handler: Callable[[Posted[Query_co, Body_co]], Awaitable[Reply]]) -> HTTPRouteHandler:
        async def respond(request: PlainRequest) -> ASGIApp:
            try:
                asked = await _judge(request, contract)
                async with asked.services.bodies.read(request, _most(contract, asked.services.settings)) as raw:
                    return await handler(await _posted(asked, contract, raw))
            except (HttpError, LedgerError) as error:
                return await explain(request, error)

        return post(path, opt={"contract": contract}, name=contract.id)(respond)

    return decorate


def serves(path: str) -> Callable[[Callable[[PlainRequest], Awaitable[Reply]]], HTTPRouteHandler]:
    """Make a GET route of what no contract describes: pages, files, the log's tiles. Who asks is judged as for every read."""

    def decorate(handler: Callable[[PlainRequest], Awaitable[Reply]]) -> HTTPRouteHandler:
        async def respond(request: PlainRequest) -> ASGIApp:
            try:
                await _admit(request)
                return await handler(request)
            except (HttpError, LedgerError) as error:
                return await explain(request, error)

        return get(path, include_in_schema=False)(respond)

    return decorate


async def _judge(request: PlainRequest, contract: Contract[Query_co]) -> Asked[Query_co]:
    """Read a request up to its body. Raises HttpError, or BadParameter, for what the contract does not allow."""
    services = services_of(request)
    scope, headers = request.scope, _headers(request.scope)
    presented = headers.get("authorization")
    if contract.always_open:
        # Whether the process runs is told whatever became of the database, and so whoever asks.
        presented = None
    caller = await services.keyring.recognise(presented)
    count(services.limits, scope, caller.key if caller else None)
    if isinstance(contract, PostContract):
        check_head(headers, contract.media_types, _most(contract, services.settings))
    _check_accept(contract, headers.get("accept"))
    _authorise(services, presented, caller, scope=contract.scope, is_open=contract.always_open)
    _check_host(scope, headers)
    path = convert(request.path_params, Path, "path")
    query = read_query(scope["query_string"], contract.query)
    _check_headers(contract, headers, query)
    return Asked(request, services, contract, caller, path, query, headers)


async def _posted(
    asked: Asked[Query_co], contract: PostContract[Query_co, Body_co], raw: bytes
) -> Posted[Query_co, Body_co]:
    """Decode the body. Raises HttpError or BadBody."""
    services = asked.services
    body = await services.bodies.work(len(raw), _decode, raw, contract, services.settings.max_depth)
    return Posted(asked.request, services, contract, asked.caller, asked.path, asked.query, asked.headers, raw, body)


def _most(contract: PostContract[Strict, object], settings: Settings) -> int:
    return settings.max_batch if NDJSON in contract.media_types else settings.max_body


def _decode(raw: bytes, contract: PostContract[Strict, Body_co], deepest: int) -> Body_co:
    if contract.body is None:
        # Nothing is decoded here, and Body stands for None.
        return cast("Body_co", None)
    check_depth(raw, deepest)
    return decode_body(raw, contract.body)


async def _admit(request: PlainRequest) -> None:
    """Judge who asks for what no contract describes. Raises HttpError, or one of the ledger's errors."""
    services, presented = services_of(request), request.headers.get("authorization")
    caller = await services.keyring.recognise(presented)
    count(services.limits, request.scope, caller.key if caller else None)
    _authorise(services, presented, caller, scope=None, is_open=False)


def _headers(scope: Scope) -> dict[str, str]:
    """Read the header fields; lines of one name are one list (RFC 9110 section 5.3)."""
    found: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in found:
            repeated.setdefault(name, [found[name]]).append(value)
        else:
            found[name] = value
    for name, values in repeated.items():
        found[name] = ", ".join(values)
    return found


def _check_host(scope: Scope, headers: Mapping[str, str]) -> None:
    """Refuse a request that names no host, several, or what is none (RFC 9112 section 3.2)."""
    # Where there is none, granian gives an empty one.
    host = headers.get("host", "")
    if is_host(host) or (not host and scope["http_version"] != "1.1"):
        return
    raise BadParameter("header", "Host", "exactly one is needed, of the form host or host:port")


def _authorise(
    services: Services, presented: str | None, caller: Caller | None, *, scope: str | None, is_open: bool
) -> None:
    """Raise HttpError for a key that is none, and where one is needed that has the scope (RFC 6750 section 3)."""
    if presented is not None and caller is None and is_bearer(presented):
        wrong = (("WWW-Authenticate", f'{_CHALLENGE}, error="invalid_token"'),)
        raise HttpError("unauthorized", "this key is not known, or was revoked", wrong)
    is_closed = scope is not None or not (services.settings.public_read or is_open)
    if caller is None and (is_closed or presented is not None):
        needed = (("WWW-Authenticate", _CHALLENGE),)
        raise HttpError("unauthorized", "send a key: Authorization: Bearer <key>", needed)
    if caller is not None and scope is not None and scope not in caller.scopes:
        raise HttpError("forbidden", f"the key lacks the scope {scope}")


def _check_accept(contract: Contract[Strict], accept: str | None) -> None:
    if accept is None or accept == "*/*":
        return
    if not any(quality(accept, offered) for offered in contract.offers):
        raise HttpError("not-acceptable", "offered: " + ", ".join(contract.offers))


def _check_headers(contract: Contract[Strict], headers: Mapping[str, str], query: Strict) -> None:
    for name in contract.headers:
        given = headers.get(name.lower())
        if given is not None and not (name == "Accept-Datetime" and says_when(query)):
            read_header(name, given)
