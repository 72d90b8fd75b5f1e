"""The contracts that the four kinds of record share: what may be asked, and what is answered."""

from msgspec import Struct

from api.domain.records.kinds import Kind
from api.domain.records.operation import ACTIONS, NEW
from api.routes.contract.contract import Contract, PostContract, Query_co
from api.routes.contract.params import DryRunQuery, HistoryQuery, NoQuery, RevisionDiffQuery
from api.routes.edge.bodies import JSON
from api.routes.records.memento import LINK_FORMAT
from api.routes.records.record import PATCH


def record(operation_id: str, kind: Kind) -> PostContract[DryRunQuery, Struct]:
    """Record one."""
    return PostContract(
        id=operation_id,
        tag=kind.plural,
        summary=f"Record {kind.one}",
        description="The id may be chosen, or is minted. A repeated request with the same Idempotency-Key is safe.",
        query=DryRunQuery,
        headers=("Idempotency-Key",),
        body=NEW[kind.name],
        scope="write",
        returns=_shape(kind),
        answer_headers=("Location", "ETag", "Ledger-Position", "Link", "Idempotency-Replayed"),
        conflicts=True,
    )


def listing(operation_id: str, kind: Kind, query: type[Query_co]) -> Contract[Query_co]:
    """List them."""
    return Contract(
        id=operation_id,
        tag=kind.plural,
        summary=f"List {kind.plural}",
        description=(
            "Follow `next` for the rest: it pins the position, so that pages fit together whatever is appended. Of a filter "
            "that is given several times any value will do."
        ),
        query=query,
        headers=("If-None-Match",),
        returns=f"{_shape(kind)}Page",
        answer_headers=("ETag", "Ledger-Position", "Link"),
        absent=True,
        conflicts=True,
    )


def read(operation_id: str, kind: Kind, query: type[Query_co]) -> Contract[Query_co]:
    """Read one."""
    return Contract(
        id=operation_id,
        tag=kind.plural,
        summary=f"Read {kind.one}, now or as the ledger had it",
        description=(
            "`as_of` takes a position or a time. `Accept-Datetime` is answered by a redirect to the revision then in force "
            "(RFC 7089). With `fields` there is no ETag."
        ),
        query=query,
        headers=("If-None-Match", "Accept-Datetime"),
        returns=f"{_shape(kind)}View",
        answer_headers=("ETag", "Ledger-Position", "Link", "Memento-Datetime", "Content-Location"),
        absent=True,
        gone=True,
    )


def revise(operation_id: str, kind: Kind) -> PostContract[DryRunQuery, Struct]:
    """Append to its history."""
    return PostContract(
        id=operation_id,
        tag=kind.plural,
        summary="Revise, retract or restore" + (", link or unlink" if kind.name == "claim" else ""),
        description="Nothing is overwritten: each action appends a revision with its reason. `If-Match` names the one it is based on.",
        query=DryRunQuery,
        headers=("If-Match", "Idempotency-Key"),
        body=ACTIONS[kind.name],
        scope="write",
        returns=_shape(kind),
        answer_headers=("Location", "ETag", "Ledger-Position", "Link", "Idempotency-Replayed"),
        absent=True,
        gone=True,
        conflicts=True,
    )


def history(operation_id: str, kind: Kind) -> Contract[HistoryQuery]:
    """List its revisions."""
    text = (
        "Who changed it, when, why, and which fields. A revision that was redacted keeps its line, which says by what."
    )
    return _part(operation_id, kind, "List its revisions, newest first", "HistoryPage", HistoryQuery, text)


def revision(operation_id: str, kind: Kind) -> Contract[NoQuery]:
    """Read a past version."""
    answer_headers = ("ETag", "Ledger-Position", "Link", "Memento-Datetime")
    text = "What the record said from that event until the next. It never changes; it may be redacted."
    return _part(operation_id, kind, "Read one revision", _shape(kind), NoQuery, text, answer_headers=answer_headers)


def timemap(operation_id: str, kind: Kind) -> Contract[NoQuery]:
    """List its mementos."""
    summary = "List every revision with its time (RFC 7089)"
    text = "For clients of Memento, as links or as JSON: where each revision is found, and when it was recorded."
    return _part(operation_id, kind, summary, "TimeMap", NoQuery, text, offers=(LINK_FORMAT, JSON))


def diff(operation_id: str, kind: Kind) -> Contract[RevisionDiffQuery]:
    """Compare two revisions."""
    summary = "Compare two revisions (RFC 6902)"
    text = "The JSON Patch that makes the state of revision `to` of that of revision `from`."
    return _part(operation_id, kind, summary, "Patch", RevisionDiffQuery, text, offers=(PATCH, JSON))


def _part(
    operation_id: str,
    kind: Kind,
    summary: str,
    returns: str,
    query: type[Query_co],
    description: str,
    *,
    offers: tuple[str, ...] = (JSON,),
    answer_headers: tuple[str, ...] = ("ETag", "Ledger-Position"),
) -> Contract[Query_co]:
    return Contract(
        id=operation_id,
        tag=kind.plural,
        summary=summary,
        description=description,
        query=query,
        headers=("If-None-Match",),
        returns=returns,
        offers=offers,
        answer_headers=answer_headers,
        absent=True,
        gone=True,
    )


def _shape(kind: Kind) -> str:
    """Name the shape in which a record of a kind is shown."""
    return kind.name.title()
