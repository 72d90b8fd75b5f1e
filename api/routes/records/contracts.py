"""The contracts that the four kinds of record share: what is asked, what is answered, and the examples that run."""

from typing import Any

from msgspec import Struct

from api.domain.records.operation import ACTIONS, NEW
from api.routes.contract import params
from api.routes.edge.bodies import JSON
from api.routes.edge.operation import Contract
from api.routes.records.records import LINK_FORMAT, PATCH

_PLURAL = {"entity": "entities", "source": "sources", "question": "questions", "claim": "claims"}


def record(operation_id: str, kind: str) -> Contract:
    """Record one."""
    return Contract(
        id=operation_id,
        tag=_PLURAL[kind],
        summary=f"Record a {kind}" if kind != "entity" else "Record an entity",
        description="The id may be chosen, or is minted. A repeated request with the same Idempotency-Key is safe.",
        headers=("Idempotency-Key",),
        body=NEW[kind],
        media_types=(JSON,),
        scope="write",
        status=201,
        returns=kind.title(),
        answer_headers=("Location", "ETag", "Ledger-Position", "Link"),
        conflicts=True,
    )


def listing(operation_id: str, kind: str, query: type[Struct]) -> Contract:
    """List them."""
    return Contract(
        id=operation_id,
        tag=_PLURAL[kind],
        summary=f"List {_PLURAL[kind]}",
        description="Follow `next` for the rest: it pins the position, so that pages fit together whatever is appended.",
        query=query,
        headers=("If-None-Match",),
        returns=f"{kind.title()}Page",
        answer_headers=("ETag", "Ledger-Position", "Link"),
        absent=True,
        conflicts=True,
    )


def read(operation_id: str, kind: str, query: type[Struct] = params.RecordQuery) -> Contract:
    """Read one."""
    return Contract(
        id=operation_id,
        tag=_PLURAL[kind],
        summary=f"Read a {kind}, now or as the ledger had it"
        if kind != "entity"
        else "Read an entity, now or as the ledger had it",
        description="`as_of` takes a position or a time. `Accept-Datetime` is answered by a redirect to the revision then in force (RFC 7089).",
        query=query,
        headers=("If-None-Match", "Accept-Datetime"),
        returns="ClaimView" if kind == "claim" else kind.title(),
        answer_headers=("ETag", "Ledger-Position", "Link", "Memento-Datetime", "Content-Location"),
        absent=True,
        gone=True,
    )


def revise(operation_id: str, kind: str) -> Contract:
    """Append to its history."""
    return Contract(
        id=operation_id,
        tag=_PLURAL[kind],
        summary="Revise, retract or restore" + (", link or unlink" if kind == "claim" else ""),
        description="Nothing is overwritten: each action appends a revision with its reason. `If-Match` names the one it is based on.",
        headers=("If-Match", "Idempotency-Key"),
        body=ACTIONS[kind],
        media_types=(JSON,),
        scope="write",
        status=201,
        returns=kind.title(),
        answer_headers=("Location", "ETag", "Ledger-Position", "Link"),
        absent=True,
        gone=True,
        conflicts=True,
    )


def history(operation_id: str, kind: str) -> Contract:
    """List its revisions."""
    return _part(operation_id, kind, "List its revisions, newest first", "HistoryPage", query=params.HistoryQuery)


def revision(operation_id: str, kind: str) -> Contract:
    """Read a past version."""
    answer = ("ETag", "Ledger-Position", "Link", "Memento-Datetime")
    return _part(operation_id, kind, "Read one revision", kind.title(), answer_headers=answer)


def timemap(operation_id: str, kind: str) -> Contract:
    """List its mementos."""
    return _part(
        operation_id, kind, "List every revision with its time (RFC 7089)", "TimeMap", offers=(LINK_FORMAT, JSON)
    )


def diff(operation_id: str, kind: str) -> Contract:
    """Compare two revisions."""
    query = params.RevisionDiffQuery
    return _part(operation_id, kind, "Compare two revisions (RFC 6902)", "Patch", query=query, offers=(PATCH, JSON))


def _part(operation_id: str, kind: str, summary: str, returns: str, **more: Any) -> Contract:
    given = {"headers": ("If-None-Match",), "answer_headers": ("ETag", "Ledger-Position"), **more}
    return Contract(
        id=operation_id, tag=_PLURAL[kind], summary=summary, returns=returns, absent=True, gone=True, **given
    )
