"""Problem documents (RFC 9457): one table maps each of the ledger's errors to a stable type, a status and a title."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypedDict, Unpack

from msgspec import Meta, Struct, json

from api.domain import errors
from api.domain.records.kinds import KIND_NAMES
from api.domain.records.record import State
from api.routes.contract.shapes import Address, GoneMark

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem: its slug is a promise, part of the `type` that clients branch on."""

    slug: str
    status: int
    title: str


class Fault(Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong: where, and what is wanted there."""

    rule: str
    pointer: str | None = None
    parameter: str | None = None


class Naming(Struct, frozen=True):
    """A payload that names an id, by the record and the revision that it is the state of."""

    kind: str
    id: str
    revision: int


class Unmoved(Struct, frozen=True):
    """A record that a batch touched and that cannot be brought back: where its latest event stands, and why."""

    kind: str
    id: str
    position: int
    rule: str


class Problem(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Why a request was refused (RFC 9457). `errors` name each field by JSON Pointer and say what is wanted there, and never repeat the value."""

    type: Address
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    errors: list[Fault] = []
    operation: int | None = None
    current: State | None = None
    revisions: list[State] | None = None
    fields: list[str] | None = None
    redacted: GoneMark | None = None
    named_by: list[Naming] | None = None
    records: list[Unmoved] | None = None


class Members(TypedDict, total=False):
    """What a problem document holds beside what every one does."""

    errors: list[Fault]
    operation: int | None
    current: State
    revisions: list[State]
    fields: list[str]
    redacted: GoneMark
    named_by: list[Naming]
    records: list[Unmoved]


class HttpError(Exception):
    """What the HTTP edge itself refuses, before the ledger is asked."""

    def __init__(self, slug: str, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.headers = EDGE[slug], detail, headers


EDGE: Mapping[str, ProblemType] = {
    each.slug: each
    for each in (
        ProblemType("not-found", 404, "There is nothing at this address"),
        ProblemType("method-not-allowed", 405, "The address does not take this method"),
        ProblemType("request-timeout", 408, "The rest of the request did not come"),
        ProblemType("too-many-requests", 429, "Too many requests"),
        ProblemType("too-large", 413, "The request is too large or too deep"),
        ProblemType("address-too-long", 414, "The address is too long"),
        ProblemType("unsupported-media-type", 415, "The body is of a type that is not read here"),
        ProblemType("not-acceptable", 406, "None of the types asked for is offered"),
        ProblemType("unauthorized", 401, "A valid key is needed"),
        ProblemType("forbidden", 403, "The key may not do this"),
        ProblemType("headers-too-large", 431, "The request has too many header fields, or too long ones"),
        ProblemType("internal-server-error", 500, "The ledger failed"),
        ProblemType("not-implemented", 501, "The body comes in a transfer coding that is not read here"),
        ProblemType("unavailable", 503, "The ledger cannot answer now"),
    )
}

TABLE: Mapping[type[errors.LedgerError], ProblemType] = {
    errors.BadParameter: ProblemType("bad-parameter", 400, "A parameter breaks the contract"),
    errors.BadBody: ProblemType("bad-body", 422, "The body breaks the contract"),
    errors.UnknownRecord: ProblemType("unknown-record", 404, "There is no such record here"),
    errors.UnknownRevision: ProblemType("unknown-revision", 404, "The record has no such revision"),
    errors.UnknownBatch: ProblemType("unknown-batch", 404, "No batch begins here"),
    errors.UnknownActor: ProblemType("unknown-actor", 404, "There is no such actor"),
    errors.UnknownGroup: ProblemType("unknown-group", 404, "The claims form no such group"),
    errors.NotYet: ProblemType("not-yet", 404, "The ledger has not reached this yet"),
    errors.Redacted: ProblemType("redacted", 410, "What was here is redacted"),
    errors.PreconditionMissing: ProblemType("precondition-required", 428, "Say which revision this is based on"),
    errors.Stale: ProblemType("stale", 412, "The record has changed since"),
    errors.AnswerDoesNotFit: ProblemType("answer-does-not-fit", 409, "The answer does not fit the question"),
    errors.BadAnswer: ProblemType("bad-answer", 409, "The answer contradicts itself"),
    errors.BadText: ProblemType("bad-text", 409, "The text has no canonical form"),
    errors.BadUrl: ProblemType("bad-url", 409, "The URL has no host that a browser would find"),
    errors.BeyondLimit: ProblemType(
        "beyond-limit", 409, "The chain is too deep, the list too long, or the batch reaches too far"
    ),
    errors.Cycle: ProblemType("cycle", 409, "The record would lead back to itself"),
    errors.FieldFixed: ProblemType("field-fixed", 409, "The field is not revised"),
    errors.IdForm: ProblemType("id-form", 409, "A chosen id may not look like a UUID"),
    errors.IdTaken: ProblemType("id-taken", 409, "The id is taken"),
    errors.IdempotencyKeyReused: ProblemType("idempotency-key-reused", 409, "The key was used for another request"),
    errors.IntervalReversed: ProblemType("interval-reversed", 409, "The interval ends before it starts"),
    errors.LinkRefused: ProblemType("link-refused", 409, "The link cannot be made or taken back"),
    errors.MissingExpect: ProblemType("expect-required", 409, "The operation must say which revision it expects"),
    errors.NoChange: ProblemType("no-change", 409, "The revision changes nothing"),
    errors.NotApplicable: ProblemType("not-applicable", 409, "These do not go together"),
    errors.NotRedactable: ProblemType("not-redactable", 409, "There is nothing here that is redacted"),
    errors.NotRevertible: ProblemType("not-revertible", 409, "Records of the batch have moved on since"),
    errors.RedactedReference: ProblemType("redacted-reference", 409, "What this refers to is redacted"),
    errors.ReviseFirst: ProblemType("revise-first", 409, "The latest revision is not redacted alone"),
    errors.StillNamed: ProblemType("still-named", 409, "The id is still named"),
    errors.StatusRefused: ProblemType("status-refused", 409, "The record's status does not allow this"),
    errors.Unavailable: EDGE["unavailable"],
    errors.NotPurged: ProblemType(
        "not-purged", 503, "The redaction is recorded; traces are left in the database's files"
    ),
    errors.LogDamaged: ProblemType("log-damaged", 503, "The log here is damaged"),
    errors.ReadOnly: ProblemType("read-only", 503, "This node serves reads alone"),
    errors.LogRefused: ProblemType("log-refused", 503, "The log here is not the one that was signed"),
    errors.AskedWrongly: EDGE["internal-server-error"],
    errors.Misconfigured: EDGE["internal-server-error"],
}
_UNKNOWN: Mapping[str, ProblemType] = {
    kind: ProblemType(f"unknown-{kind}", 409, f"There is no such {kind}") for kind in KIND_NAMES
}
# What the URL and its preconditions say of one record, an operation of a batch says in fields of its own.
_TARGET: Mapping[type[errors.LedgerError], str] = {
    errors.UnknownRecord: "/id",
    errors.Redacted: "/id",
    errors.Stale: "/expect",
}
SLUGS = tuple(sorted({kind.slug for kind in (*EDGE.values(), *TABLE.values(), *_UNKNOWN.values())}))


def kind_of(error: errors.LedgerError) -> ProblemType:
    """Give the problem type of one of the ledger's errors."""
    if isinstance(error, errors.UnknownReference):
        return _UNKNOWN[error.kind]
    return TABLE[type(error)]


def problem_types() -> list[ProblemType]:
    """List every type that an answer may carry."""
    return sorted({*EDGE.values(), *TABLE.values(), *_UNKNOWN.values()}, key=lambda each: (each.status, each.slug))


def document(error: errors.LedgerError, added: Members) -> bytes:
    """Write the problem document of one of the ledger's errors: what the error tells, and what was looked up for it."""
    told: Members = {"errors": _faults(error), "operation": error.operation, **_particulars(error), **added}
    return render(kind_of(error), error.sentence(), **told)


def render(kind: ProblemType, detail: str, **members: Unpack[Members]) -> bytes:
    """Write a problem document."""
    return json.encode(
        Problem(type=f"/problems/{kind.slug}", title=kind.title, status=kind.status, detail=detail, **members)
    )


def _faults(error: errors.LedgerError) -> list[Fault]:
    """Name the fields or parameters that are to blame, if any are."""
    if isinstance(error, errors.BadParameter):
        return [Fault(rule=each.rule, parameter=each.place) for each in error.faults]
    if isinstance(error, errors.BadBody):
        return [Fault(rule=each.rule, pointer=each.place) for each in error.faults]
    if error.parameter:
        return [Fault(rule=error.sentence(), parameter=error.parameter)]
    pointer = error.pointer or (_TARGET.get(type(error), "") if error.operation is not None else "")
    return [Fault(rule=error.sentence(), pointer=pointer)] if pointer else []


def _particulars(error: errors.LedgerError) -> Members:
    """Give the members that a problem has beside those of RFC 9457, where the error alone tells them."""
    if isinstance(error, errors.Redacted):
        return {"redacted": GoneMark(position=error.position, basis=error.basis)}  # type: ignore[arg-type]
    if isinstance(error, errors.StillNamed):
        return {"named_by": [Naming(*each) for each in error.named_by]}
    if isinstance(error, errors.NotRevertible):
        return {"records": [Unmoved(*each) for each in error.records]}
    return {}
