"""What answers look like, for the OpenAPI document: every field of a shape is always there."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from api.domain.log.event import Basis
from api.domain.records.answer import BooleanAnswer, EntitiesAnswer, EntityAnswer, QuantityAnswer, TextAnswer
from api.domain.records.claim import Relation
from api.domain.records.operation import BODIES, Kind
from api.domain.records.record import KINDS
from api.domain.text import Id, Reason

Stamp = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z\Z")]
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")]
Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Place = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Bound = Annotated[str, Meta(description="UTC to the microsecond; `..` where it is open")] | None
Status = Literal["asserted", "retracted"]
StateName = Literal["disputed", "single-origin", "agreed", "open"]


class Shape(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of all shapes."""


class BoundPair(Shape, frozen=True):
    """Half-open: earliest inclusive, latest exclusive. Null where unknown."""

    earliest: Bound
    latest: Bound


class ShownExtent(Shape, frozen=True):
    """A moment somewhere within its bounds, or a span whose ends lie within theirs."""

    shape: Literal["moment", "span"]
    start: BoundPair
    end: BoundPair


class ShownTimeAnswer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="time"):
    """A time as it was stated, and its bounds."""

    edtf: str
    bounds: ShownExtent


class ShownLink(Shape, frozen=True):
    """A link that a claim makes; `position` is that of the event that made it."""

    relation: Relation
    claim: Id
    reason: Reason
    position: Place


_FIRST = [("id", Id), ("revision", Annotated[int, Meta(ge=1)]), ("status", Status)]
_LAST = [
    ("links", list[ShownLink]),
    ("position", Place),
    ("revised_at", Stamp),
    ("first_position", Place),
    ("recorded_at", Stamp),
    ("recorded_by", Uuid | None),
]
_SHOWN_ANSWER = ShownTimeAnswer | EntityAnswer | BooleanAnswer | TextAnswer | EntitiesAnswer | QuantityAnswer


def _shown(kind: str) -> type[Struct]:
    fields: list[Any] = [("kind", Literal[kind]), *_FIRST]
    fields += [
        (each.name, _SHOWN_ANSWER if each.name == "answer" else each.type)
        for each in msgspec.structs.fields(BODIES[kind])
    ]
    if kind == "claim":
        fields += [("valid_bounds", ShownExtent | None), ("rules", int)]
    return msgspec.defstruct(kind.title(), [*fields, *_LAST], bases=(Shape,), kw_only=True)


RECORDS = {kind: _shown(kind) for kind in KINDS}
Entity, Source, Question, Claim = (RECORDS[kind] for kind in KINDS)
Pair = Annotated[
    list[Id], Meta(min_length=2, max_length=2, description="Two claims that conflict, the earlier one first.")
]


def page_of(name: str, item: Any, *more: tuple[Any, ...]) -> type[Struct]:
    fields: list[Any] = [("items", list[item]), ("next", str | None), *more, ("position", Place)]
    return msgspec.defstruct(name, fields, bases=(Shape,), kw_only=True)


class FacetValue(Shape, frozen=True):
    """A value, and how many of the selected records hold it."""

    value: str
    count: Count


_FACETS = ("facets", dict[str, list[FacetValue]] | msgspec.UnsetType, msgspec.UNSET)
_SOURCES = ("sources", dict[str, Source] | msgspec.UnsetType, msgspec.UNSET)  # type: ignore[valid-type]


def _listed(kind: str) -> type[Struct]:
    """A record as a list shows it: whole, or with the fields asked for."""
    fields: list[Any] = [
        (each.name, each.type if each.name == "id" else each.type | msgspec.UnsetType, msgspec.UNSET)[
            : 2 if each.name == "id" else 3
        ]
        for each in msgspec.structs.fields(RECORDS[kind])
    ]
    return msgspec.defstruct(f"Listed{kind.title()}", fields, bases=(Shape,), kw_only=True)


def _with_sources() -> type[Struct]:
    fields: list[Any] = [(each.name, each.type) for each in msgspec.structs.fields(RECORDS["claim"])]
    return msgspec.defstruct("ClaimView", [*fields, _SOURCES], bases=(Shape,), kw_only=True)


ClaimView = _with_sources()
EntityPage = page_of("EntityPage", _listed("entity"), _FACETS)
SourcePage = page_of("SourcePage", _listed("source"), _FACETS)
QuestionPage = page_of("QuestionPage", _listed("question"), _FACETS)
ClaimPage = page_of("ClaimPage", _listed("claim"), _FACETS, _SOURCES)
TimelinePage = page_of("TimelinePage", Claim, ("questions", dict[str, Question]), _SOURCES)  # type: ignore[valid-type]


class RedactionMark(Shape, frozen=True):
    """By which redaction, and on what basis, what stood here was removed."""

    position: Place
    basis: Basis


class GoneMark(Shape, frozen=True, omit_defaults=True):
    """By which redaction, when, on what basis and why what was asked for was removed."""

    position: Place
    basis: Basis
    id: Id | None = None
    recorded_at: Stamp | None = None
    reason: str | None = None


class HistoryLine(Shape, frozen=True):
    """One line of a record's history: who, when, why, which fields; of a redacted revision what the log still tells."""

    revision: Annotated[int, Meta(ge=1)]
    position: Place
    type: str
    status: Status | None
    recorded_at: Stamp
    actor: Uuid | None
    reason: str | None
    fields: list[str] | None
    batch: tuple[int, int] | None
    redacted: RedactionMark | None


HistoryPage = page_of("HistoryPage", HistoryLine)


class Memento(Shape, frozen=True):
    """A revision and its time."""

    revision: Annotated[int, Meta(ge=1)]
    datetime: Stamp
    uri: str


class TimeMap(Shape, frozen=True):
    """Every revision of a record (RFC 7089), never paged."""

    original: str
    timegate: str
    timemap: str
    mementos: list[Memento]


class PatchOperation(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One step of an RFC 6902 patch."""

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: str
    value: Any = None
    source: str | msgspec.UnsetType = msgspec.field(name="from", default=msgspec.UNSET)


class ClaimLink(Shape, frozen=True):
    """A link: outgoing ones name their target, incoming ones their maker."""

    relation: Relation
    claim: Id
    reason: Reason
    position: Place
    redacted: RedactionMark | None


class ClaimLinks(Shape, frozen=True):
    """The links of a claim, both ways."""

    outgoing: list[ClaimLink]
    incoming: list[ClaimLink]
    next: str | None
    position: Place


class ShownMember(Shape, frozen=True):
    """An entity or a truth value, and how many of the group's origins name it."""

    value: str | bool
    origins: Count


class SharedTime(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="time"):
    """The time that all answers of a group allow."""

    bounds: BoundPair


class SharedQuantity(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="quantity"):
    """The numbers that all answers of a group allow, both inclusive; null is open."""

    low: str | None
    high: str | None


class SharedMembers(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="members"):
    """The members that a group's answers name: the first hundred, and how many there are."""

    members: list[ShownMember]
    member_count: Count


class ShownGroup(Shape, frozen=True):
    """Claims that meet pairwise; `beside` are those of other stances that fit them.

    The first hundred of each, and their counts; `origins` divides the claims shown.
    """

    claims: list[Id]
    claim_count: Count
    sources: list[Id]
    source_count: Count
    origins: list[list[Id]]
    origin_count: Count
    beside: list[Id]
    beside_count: Count
    shared: SharedTime | SharedQuantity | SharedMembers | None
    is_denied: bool


class ShownOrigin(Shape, frozen=True):
    """Counting claims that go back to the same speakers and sources: the first hundred of each, and their counts."""

    claims: list[Id]
    claim_count: Count
    speakers: list[Id]
    speaker_count: Count
    sources: list[Id]
    source_count: Count


class ShownReplaced(Shape, frozen=True):
    """A claim on view that no longer counts, and what corrects or supersedes it: the first hundred."""

    claim: Id
    by: list[Id]


class Answers(Shape, frozen=True):
    """What the live claims on a question add up to, under the numbered rules, and a page of those claims.

    Of groups, origins and all the other lists the first hundred are shown, or as many as fit, and all are counted.
    With `group`, the claims are those of that group, and `groups` holds it alone, as far as the page goes.
    """

    question: Question  # type: ignore[valid-type]
    state: StateName
    group: Count | None
    groups: list[ShownGroup]
    group_count: Count
    groups_complete: bool
    origins: list[ShownOrigin]
    origin_count: Count
    not_counting: list[Id]
    not_counting_count: Count
    superseded: list[ShownReplaced]
    superseded_count: Count
    conflicts: list[Pair]
    conflict_count: Count
    rules: int
    claims: list[Claim]  # type: ignore[valid-type]
    claim_count: Count
    next: str | None
    position: Place
    sources: dict[str, Source] | msgspec.UnsetType = msgspec.UNSET  # type: ignore[valid-type]


ConflictPage = page_of("ConflictPage", Pair)


class ChangedRecord(Shape, frozen=True):
    """A record of which one or more events lie between the two moments: where it ended up."""

    kind: Kind
    id: Id
    change: Literal["recorded", "revised", "retracted", "restored"]
    status: Status
    from_revision: int | None
    to_revision: int
    position: Place


class TurnedQuestion(Shape, frozen=True):
    """A question whose state of agreement became another."""

    question: Id
    before: StateName | None = msgspec.field(name="from")
    after: StateName = msgspec.field(name="to")
    position: Place


class LedgerDiff(Shape, frozen=True):
    """What the ledger came to believe after `from`, up to `to`."""

    items: list[ChangedRecord]
    agreement: list[TurnedQuestion]
    old: Place = msgspec.field(name="from")
    new: Place = msgspec.field(name="to")
    next: str | None
    position: Place


class Written(Shape, frozen=True):
    """One event that a batch made, or would make."""

    kind: Kind
    id: Id
    revision: Annotated[int, Meta(ge=1)]
    position: Place


class BatchResult(Shape, frozen=True):
    """What a batch wrote; after a dry run, what it would have written."""

    items: list[Written]
    position: Place


class Actor(Shape, frozen=True):
    """An actor: an opaque id, and a name if an operator published one."""

    id: Uuid
    name: str | None
    since: Stamp


ActorPage = page_of("ActorPage", Actor)


class Stats(Shape, frozen=True):
    """What the ledger holds."""

    events: Count
    by_type: dict[str, Count]
    records: dict[str, dict[str, Count]]
    agreement: dict[str, Count]
    values: dict[str, dict[str, Count]]
    position: Place


class Service(Shape, frozen=True):
    """What this service is, and where to go from here."""

    name: str
    version: str
    description: str
    log_origin: str
    vkeys: list[str]
    position: Place
    formats: dict[str, int]
    rules: int
    licence: dict[str, str]
    limits: dict[str, int]
    links: dict[str, str]


class Health(Shape, frozen=True):
    """Whether the process runs, or is ready to serve; over a standby, how many seconds that is behind its primary."""

    status: Literal["live", "ready", "unavailable"]
    position: Place | None = None
    behind_seconds: float | None = None


class ProblemTypeShape(Shape, frozen=True):
    """A type of problem: its address, status and title are stable."""

    type: str
    status: int
    title: str
