"""The contracts that the four kinds of record share: what is asked, what is answered, and the examples that run."""

from msgspec import Struct

from api.domain.records.operation import ACTIONS, NEW
from api.routes.contract.contract import Contract, PostContract, Query_co
from api.routes.contract.params import HistoryQuery, NoQuery, RevisionDiffQuery
from api.routes.edge.bodies import JSON
from api.routes.records.records import LINK_FORMAT, PATCH

_PLURAL = {"entity": "entities", "source": "sources", "question": "questions", "claim": "claims"}


def record(operation_id: str, kind: str) -> PostContract[NoQuery, Struct]:
    """Record one."""
    return PostContract(
        id=operation_id,
        tag=_PLURAL[kind],
        summary=f"Record a {kind}" if kind != "entity" else "Record an entity",
        description="The id may be chosen, or is minted. A repeated request with the same Idempotency-Key is safe.",
        query=NoQuery,
        headers=("Idempotency-Key",),
        body=NEW[kind],
        scope="write",
        returns=kind.title(),
        answer_headers=("Location", "ETag", "Ledger-Position", "Link"),
        conflicts=True,
    )


def listing(operation_id: str, kind: str, query: type[Query_co]) -> Contract[Query_co]:
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


def read(operation_id: str, kind: str, query: type[Query_co]) -> Contract[Query_co]:
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


def revise(operation_id: str, kind: str) -> PostContract[NoQuery, Struct]:
    """Append to its history."""
    return PostContract(
        id=operation_id,
        tag=_PLURAL[kind],
        summary="Revise, retract or restore" + (", link or unlink" if kind == "claim" else ""),
        description="Nothing is overwritten: each action appends a revision with its reason. `If-Match` names the one it is based on.",
        query=NoQuery,
        headers=("If-Match", "Idempotency-Key"),
        body=ACTIONS[kind],
        scope="write",
        returns=kind.title(),
        answer_headers=("Location", "ETag", "Ledger-Position", "Link"),
        absent=True,
        gone=True,
        conflicts=True,
    )


def history(operation_id: str, kind: str) -> Contract[HistoryQuery]:
    """List its revisions."""
    return _part(operation_id, kind, "List its revisions, newest first", "HistoryPage", HistoryQuery)


def revision(operation_id: str, kind: str) -> Contract[NoQuery]:
    """Read a past version."""
    answer_headers = ("ETag", "Ledger-Position", "Link", "Memento-Datetime")
    return _part(operation_id, kind, "Read one revision", kind.title(), NoQuery, answer_headers=answer_headers)


def timemap(operation_id: str, kind: str) -> Contract[NoQuery]:
    """List its mementos."""
    summary = "List every revision with its time (RFC 7089)"
    return _part(operation_id, kind, summary, "TimeMap", NoQuery, offers=(LINK_FORMAT, JSON))


def diff(operation_id: str, kind: str) -> Contract[RevisionDiffQuery]:
    """Compare two revisions."""
    summary = "Compare two revisions (RFC 6902)"
    return _part(operation_id, kind, summary, "Patch", RevisionDiffQuery, offers=(PATCH, JSON))


def _part(
    operation_id: str,
    kind: str,
    summary: str,
    returns: str,
    query: type[Query_co],
    *,
    offers: tuple[str, ...] = (JSON,),
    answer_headers: tuple[str, ...] = ("ETag", "Ledger-Position"),
) -> Contract[Query_co]:
    return Contract(
        id=operation_id,
        tag=_PLURAL[kind],
        summary=summary,
        query=query,
        headers=("If-None-Match",),
        returns=returns,
        offers=offers,
        answer_headers=answer_headers,
        absent=True,
        gone=True,
    )
