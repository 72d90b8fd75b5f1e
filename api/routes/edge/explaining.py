"""How errors are explained: the ledger's, with what a reader of them needs looked up and added; and the framework's own."""

import logging
from contextlib import suppress

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from api.domain.errors import Absent, BadParameter, LedgerError, LogDamaged, Redacted, Stale
from api.domain.records.representation import VERSIONS
from api.ledger.reading import views
from api.ledger.storage.database import Database
from api.ledger.storage.faults import behind, described
from api.routes.contract.shapes import GoneMark
from api.routes.edge import problems
from api.routes.edge.exchange import PlainRequest
from api.routes.edge.limits import count
from api.routes.edge.negotiation import revision_tag
from api.routes.edge.problems import HttpError, Members
from api.routes.edge.reply import Reply, method_not_allowed, problem, refuse
from api.routes.edge.services import Services, services_of

_log = logging.getLogger("ledger")


async def explain(request: PlainRequest, error: HttpError | LedgerError, *extra: tuple[bytes, bytes]) -> Reply:
    """Answer with the problem document of an error, and extra headers."""
    refused = refuse(error) if isinstance(error, HttpError) else await _explain(services_of(request), error)
    refused.headers += extra
    return refused


async def _explain(services: Services, error: LedgerError) -> Reply:
    """Explain one of the ledger's errors. Of damage that a reader met the node takes note.

    To some of them what a reader needs is looked up and added: where that fails, the answer is that failure.
    """
    try:
        added, headers = await _added(services.database, error)
    except LedgerError as failure:
        error, added, headers = failure, {}, []
    if isinstance(error, LogDamaged):
        services.watch.note(error)
    kind = problems.kind_of(error)
    if kind.status == 503:
        _log.warning("unavailable: %s", error if behind(error) is None else f"{error} ({described(error)})")
        headers.append(("Retry-After", "1"))
    return problem(kind.status, problems.document(error, added), headers)


async def _added(database: Database, error: LedgerError) -> tuple[Members, list[tuple[str, str]]]:
    """Look up members and headers that tell of an error what is in the database. Raises another of the ledger's errors."""
    if isinstance(error, Stale):
        return await _missed(database, error)
    if isinstance(error, Redacted):
        gone = await _removed_by(database, error)
        return {"redacted": gone}, [("Link", f'</v1/redactions/{gone.id}>; rel="describedby"')] if gone.id else []
    return {}, []


async def _removed_by(database: Database, error: Redacted) -> GoneMark:
    """Tell of the redaction that removed what was asked for as much as is public."""
    view = await database.read(lambda access: views.written(access, error.position))
    told = msgspec.json.decode(view.document)
    return GoneMark(**{name: told[name] for name in GoneMark.__struct_fields__})


async def _missed(database: Database, error: Stale) -> tuple[Members, list[tuple[str, str]]]:
    """Show what a stale writer missed, unless the record is one that the refused batch itself would have made."""
    base = await _base(database, error)
    with suppress(Absent, Redacted):
        # `current` shows the record as it is read now, which another writer may have moved on once more.
        document, lines, names = await database.read(lambda access: views.since(access, error.kind, error.id, base))
        current = msgspec.json.decode(document)
        revisions = [msgspec.json.decode(line) for line in lines]
        tag = revision_tag(current["position"], VERSIONS[error.kind])
        return {"current": current, "revisions": revisions, "fields": names}, [("ETag", tag)]
    return {}, []


async def _base(database: Database, error: Stale) -> int | None:
    """Give the position that a stale writer knows of; None where a batch names a revision that the record never had."""
    number = error.expected_revision
    if number is None:
        return error.expected
    with suppress(Absent, Redacted):
        return await database.read(lambda access: views.numbered(access, error.kind, error.id, number).position)
    return None


def explain_framework(request: PlainRequest, error: HTTPException) -> Response[bytes]:
    """Give the framework's own refusals the one shape. What else it may raise is a fault, and raised again."""
    if isinstance(error, NotFoundException):
        return _not_found(request)
    if isinstance(error, MethodNotAllowedException):
        return method_not_allowed(error)
    if error.status_code != problems.TABLE[BadParameter].status:
        raise error
    bad = BadParameter("header", "Host", "not a host")
    return problem(problems.kind_of(bad).status, problems.document(bad, {}), []).as_response()


def _not_found(request: PlainRequest) -> Response[bytes]:
    """Refuse a request for what is not there; it counts like any other, though nobody asks whose key it bears."""
    try:
        count(services_of(request).limits, request.scope, None)
    except HttpError as error:
        return refuse(error).as_response()
    return refuse(
        HttpError("not-found", "there is nothing at this address: / and /docs lead to what there is")
    ).as_response()
