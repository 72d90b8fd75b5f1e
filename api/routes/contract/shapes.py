"""What answers look like, for the OpenAPI document: every field of a shape is always there.

First records, lists of them and what they add up to; then the log, proofs and redactions; then the service.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from api.domain.agreement.agreement import StateOfAgreement
from api.domain.log.event import Basis, KindName, LoggedKind, Redacts, Type
from api.domain.records.answer import BooleanAnswer, DecimalText, EntityAnswer
from api.domain.records.claim import Relation
from api.domain.records.kinds import KINDS, Kind
from api.domain.records.operation import Fields
from api.domain.records.question import KnownUnit
from api.domain.records.source import Completeness, Instant
from api.domain.text import Id, Uuid

Stamp = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z\Z",
        extra_json_schema={"format": "date-time"},
    ),
]
# A URL, in full or as seen from where it is read (RFC 3986 section 4.1).
Address = Annotated[str, Meta(extra_json_schema={"format": "uri-reference"})]
Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Place = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Together = Annotated[
    list[Place],
    Meta(min_length=2, max_length=2, description="The first and the last position of the batch that it came in."),
]
Bound = Annotated[str, Meta(description="UTC to the microsecond; `..` where it is open")] | None
Status = Literal["asserted", "retracted"]
# What may be any JSON; for a schema that allows all of it, msgspec needs to read `Any`.
AnyJson = Any


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


class ShownTextAnswer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="text"):
    """What or why, in words."""

    text: str


class ShownEntitiesAnswer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="entities"):
    """Who or what, several: these among others, or, where `complete`, these and no more."""

    entities: list[Id]
    complete: bool


class ShownQuantityAnswer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="quantity"):
    """How much: an amount, inclusive bounds, or both. What was not stated is null."""

    amount: DecimalText | None
    low: DecimalText | None
    high: DecimalText | None
    unit: KnownUnit
    approximate: bool


ShownAnswer = (
    ShownTimeAnswer | EntityAnswer | BooleanAnswer | ShownTextAnswer | ShownEntitiesAnswer | ShownQuantityAnswer
)


class ShownCapture(Shape, frozen=True):
    """A copy of the document that was read: the SHA-256 and size of its bytes."""

    sha256: Hex
    bytes: Count
    captured_at: Instant | None
    completeness: Completeness
    note: str | None


class ShownLink(Shape, frozen=True):
    """A link that a claim makes; `position` is that of the event that first made it, also after a batch was undone."""

    relation: Relation
    claim: Id
    reason: str
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
# What a representation adds to what its kind says.
_COMPUTED = {"valid_bounds": ShownExtent | None, "rules": int}


# What a record shows otherwise than it was sent: with all that may be left out there, and with what follows from it. Texts
# and URLs may have been recorded before there was a rule for them.
_TOLD = {
    "answer": ShownAnswer,
    "captures": list[ShownCapture],
    **dict.fromkeys(("name", "title", "text", "statement"), str),
    **dict.fromkeys(("note", "rights", "language", "url", "archived_url"), str | None),
    **dict.fromkeys(("aliases", "authors", "same_as"), list[str]),
    "names": dict[str, str],
    "unit": KnownUnit | None,
}


def _told(kind: Kind) -> Fields:
    return [(each.name, _TOLD.get(each.name, each.type)) for each in msgspec.structs.fields(kind.body)]


def _shown(kind: Kind) -> type[Struct]:
    computed = [(name, _COMPUTED[name]) for name in kind.computed]
    return _shape(kind.name.title(), [("kind", Literal[kind.name]), *_FIRST, *_told(kind), *computed, *_LAST])


def _shape(name: str, fields: Fields) -> type[Struct]:
    return msgspec.defstruct(name, fields, bases=(Shape,), kw_only=True)


RECORDS = {name: _shown(kind) for name, kind in KINDS.items()}
Entity, Source, Question, Claim = RECORDS.values()
Pair = Annotated[
    list[Id], Meta(min_length=2, max_length=2, description="Two claims that conflict, the earlier one first.")
]


def _page_of(name: str, item: object, more: Fields | None = None) -> type[Struct]:
    return _shape(name, [("items", list[item]), ("next", Address | None), *(more or ()), ("position", Place)])  # type: ignore[valid-type]


class FacetValue(Shape, frozen=True):
    """A value, and how many of the selected records hold it."""

    value: str
    count: Count


_FACETS = ("facets", dict[str, list[FacetValue]] | msgspec.UnsetType, msgspec.UNSET)
_SOURCES = ("sources", dict[str, Source] | msgspec.UnsetType, msgspec.UNSET)  # type: ignore[valid-type]
_ENTITIES = ("entities", dict[str, Entity] | msgspec.UnsetType, msgspec.UNSET)  # type: ignore[valid-type]


class AgreementCounts(Shape, frozen=True):
    """What the live claims on a question add up to, in counts: those that `/v1/questions/{id}/answers` gives."""

    state: StateOfAgreement
    claim_count: Count
    source_count: Count
    origin_count: Count
    group_count: Count
    groups_complete: bool
    conflict_count: Count
    rules: int


_AGREEMENT = ("agreement", dict[str, AgreementCounts] | msgspec.UnsetType, msgspec.UNSET)


def _view(kind: str, *beside: tuple[str, object, object]) -> type[Struct]:
    """A record as it is read: whole, or its id with the fields asked for. Where it is read alone, what comes along is in it."""
    fields: Fields = [
        (each.name, each.type) if each.name == "id" else (each.name, each.type | msgspec.UnsetType, msgspec.UNSET)
        for each in msgspec.structs.fields(RECORDS[kind])
    ]
    return _shape(f"{kind.title()}View", [*fields, *beside])


EntityView, SourceView, QuestionView = (_view(kind, _ENTITIES) for kind in ("entity", "source", "question"))
ClaimView = _view("claim", _SOURCES, _ENTITIES)
EntityPage = _page_of("EntityPage", EntityView, [_FACETS, _ENTITIES])
SourcePage = _page_of("SourcePage", SourceView, [_FACETS, _ENTITIES])
QuestionPage = _page_of("QuestionPage", QuestionView, [_FACETS, _AGREEMENT, _ENTITIES])
ClaimPage = _page_of("ClaimPage", ClaimView, [_FACETS, _SOURCES, _ENTITIES])
TimelinePage = _page_of("TimelinePage", Claim, [("questions", dict[str, Question]), _SOURCES, _ENTITIES])  # type: ignore[valid-type]


class Statement(Shape, frozen=True):
    """A live claim and when its source was published; which other claims of the same voice it conflicts with.

    Of `conflicts`, and of what corrects or supersedes it, so that it counts no more, the first hundred are shown.
    """

    claim: Claim  # type: ignore[valid-type]
    published: str | None
    conflicts: list[Id]
    conflict_count: Count
    superseded_by: list[Id]


StatementPage = _page_of("StatementPage", Statement, [("questions", dict[str, Question]), _SOURCES, _ENTITIES])  # type: ignore[valid-type]


class SearchItem(Shape, frozen=True):
    """A record that was found: how many words it holds, how many live claims it has."""

    kind: KindName
    id: Id
    label: str
    status: Literal["asserted", "retracted"]
    words: Count
    claims: Count
    question: Id | None


SearchPage = _page_of("SearchPage", SearchItem)


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
    batch: Together | None
    redacted: RedactionMark | None


HistoryPage = _page_of("HistoryPage", HistoryLine)


class Memento(Shape, frozen=True):
    """A revision and its time."""

    revision: Annotated[int, Meta(ge=1)]
    datetime: Stamp
    uri: Address


class TimeMap(Shape, frozen=True):
    """Every revision of a record (RFC 7089), never paged."""

    original: Address
    timegate: Address
    timemap: Address
    mementos: list[Memento]


class PatchOperation(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One step of an RFC 6902 patch."""

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: str
    value: AnyJson = None
    source: str | msgspec.UnsetType = msgspec.field(name="from", default=msgspec.UNSET)


class ClaimLink(Shape, frozen=True):
    """A link: outgoing ones name their target, incoming ones their maker."""

    relation: Relation
    claim: Id
    reason: str
    position: Place
    redacted: RedactionMark | None


class ClaimLinks(Shape, frozen=True):
    """The links of a claim, both ways."""

    outgoing: list[ClaimLink]
    incoming: list[ClaimLink]
    next: Address | None
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
    """Claims that meet pairwise; `core` are those in no other group, `beside` those of other stances that fit them.

    A `bridge` has no core. The first hundred of each, and their counts; `origins` divides the claims shown.
    """

    claims: list[Id]
    claim_count: Count
    core: list[Id]
    core_count: Count
    is_bridge: bool
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
    state: StateOfAgreement
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
    source_count: Count
    next: Address | None
    position: Place
    sources: dict[str, Source] | msgspec.UnsetType = msgspec.UNSET  # type: ignore[valid-type]
    entities: dict[str, Entity] | msgspec.UnsetType = msgspec.UNSET  # type: ignore[valid-type]


ConflictPage = _page_of("ConflictPage", Pair)


class ChangedRecord(Shape, frozen=True):
    """A record of which one or more events lie between the two moments: where it ended up."""

    kind: KindName
    id: Id
    change: Literal["recorded", "revised", "retracted", "restored"]
    status: Status
    from_revision: int | None
    to_revision: int
    position: Place


class TurnedQuestion(Shape, frozen=True):
    """A question whose state of agreement became another."""

    question: Id
    before: StateOfAgreement | None = msgspec.field(name="from")
    after: StateOfAgreement = msgspec.field(name="to")
    position: Place


class LedgerDiff(Shape, frozen=True):
    """What the ledger came to believe after `from`, up to `to`."""

    items: list[ChangedRecord]
    agreement: list[TurnedQuestion]
    old: Place = msgspec.field(name="from")
    new: Place = msgspec.field(name="to")
    next: Address | None
    position: Place


class Written(Shape, frozen=True):
    """One event that a batch made, or would make."""

    kind: KindName
    id: Id
    revision: Annotated[int, Meta(ge=1)]
    position: Place


class BatchResult(Shape, frozen=True):
    """What a batch, or the revert of one, wrote; after a dry run, what it would have written."""

    items: list[Written]
    position: Place


def _state(kind: Kind) -> type[Struct]:
    """What an event says of a record: what a representation holds beside where it stands in the log."""
    computed = [(name, _COMPUTED[name]) for name in kind.computed]
    return _shape(
        f"{kind.name.title()}State",
        [("id", Id), ("status", Status), ("links", list[ShownLink]), *_told(kind), *computed],
    )


class RedactionState(Shape, frozen=True):
    """What the event of a redaction says: its own id, and of which record, unless that id was erased."""

    id: Id
    status: Status
    links: list[ShownLink]
    kind: LoggedKind
    target: Id | None


class LogKey(Shape, frozen=True):
    """A key that signs the log, and the position from which on it does."""

    vkey: str
    since: Place = msgspec.field(name="from")


class LedgerState(Shape, frozen=True):
    """What an event of the ledger's own record says: how the log is called, which keys sign it, in which formats it is."""

    id: Id
    status: Status
    links: list[ShownLink]
    log_origin: str
    keys: list[LogKey]
    formats: dict[str, int]


STATES: tuple[type[Struct], ...] = (*(_state(kind) for kind in KINDS.values()), RedactionState, LedgerState)


class FeedItem(Shape, frozen=True):
    """An entry of the log with what it says: the entry's fields, the public id, the reason, the fields that changed.

    Of a redacted one the entry alone is left, and the id unless that was erased.
    """

    v: Literal[1]
    position: Place
    type: Type
    kind: LoggedKind
    record: Uuid
    revision: Annotated[int, Meta(ge=1)]
    recorded_at: Stamp
    actor: Uuid | None
    batch: Together | None
    schema: int
    payload_digest: Hex
    redacts: Redacts | None
    basis: Basis | None
    id: Id | None
    fields: list[str] | None
    redacted: RedactionMark | None
    reason: str | None
    file: Annotated[
        str | None,
        Meta(
            description="Name of the seed file, or other file of operations, that it came in. Not in the log: unproved."
        ),
    ]
    state: dict[str, AnyJson] | msgspec.UnsetType | None = msgspec.UNSET


FeedPage = _page_of(
    "FeedPage",
    FeedItem,
    [("resume", Annotated[Address, Meta(description="Where to ask again later: behind all that was looked at.")])],
)


class ExactEvent(Shape, frozen=True):
    """One event to the byte: what was hashed, and what its digest commits to."""

    position: Place
    entry: str
    payload: str | None
    salt: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")] | None
    leaf_hash: Hex


class InclusionProof(Shape, frozen=True):
    """That an event is leaf `position` - 1 of the tree of `size`: hashes from the leaf's sibling up, in hex."""

    position: Place
    size: Place
    leaf_hash: Hex
    root_hash: Hex
    path: list[Hex]


class ConsistencyProof(Shape, frozen=True):
    """That the tree of `to` begins with the tree of `from`: hashes in hex, as RFC 6962 section 2.1.2 orders them."""

    old: Place = msgspec.field(name="from")
    new: Place = msgspec.field(name="to")
    from_root: Hex
    to_root: Hex
    path: list[Hex]


class RedactionTarget(Shape, frozen=True):
    """What a redaction covers: a record, by its id unless that was erased, and a closed range of its revisions."""

    kind: KindName
    id: Id | None
    record: Uuid
    first: Annotated[int, Meta(ge=1)]
    last: Annotated[int, Meta(ge=1)]


class Redaction(Shape, frozen=True):
    """A lawful removal: what was removed, when, by whom, on what basis and why."""

    kind: Literal["redaction"]
    id: Id
    basis: Basis
    reason: str
    target: RedactionTarget
    position: Place
    recorded_at: Stamp
    recorded_by: Uuid


RedactionPage = _page_of("RedactionPage", Redaction)


class PayloadLine(Shape, frozen=True):
    """A payload, by the record and the revision that it is the state of."""

    kind: LoggedKind
    id: Id
    revision: Annotated[int, Meta(ge=1)]
    position: Place


class PayloadLines(Shape, frozen=True):
    """The first hundred, and how many there are."""

    items: list[PayloadLine]
    count: Count


class RedactionDone(Redaction, frozen=True):
    """A redaction, and what it left: which surviving payloads name the record, and which hold a text that was asked for.

    `holding` looks for the id, too, where that was erased.
    """

    named_by: PayloadLines
    holding: PayloadLines


class RedactionPreview(Shape, frozen=True):
    """What a redaction would remove; which surviving payloads name the id in a field for it; which hold the text asked for.

    An id can be erased only where nothing names it. `holding` looks for the id, too, where it is to be erased.
    """

    target: RedactionTarget
    removes: PayloadLines
    named_by: PayloadLines
    holding: PayloadLines
    position: Place


class Actor(Shape, frozen=True):
    """An actor: an opaque id, and a name if an operator published one."""

    id: Uuid
    name: str | None
    since: Stamp


ActorPage = _page_of("ActorPage", Actor)


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

    type: Address
    status: int
    title: str


# What operations return, in the order in which it is published; a patch is a list of its operations.
PUBLISHED: tuple[type[Struct], ...] = (
    Entity, Source, Question, Claim, EntityView, SourceView, QuestionView, ClaimView, EntityPage, SourcePage, QuestionPage, ClaimPage, TimelinePage, StatementPage, SearchPage, HistoryPage,
    TimeMap, ClaimLinks, Answers, ConflictPage, LedgerDiff, FeedPage, ExactEvent, InclusionProof, ConsistencyProof,
    BatchResult, Actor, ActorPage, Stats, Service, Health, ProblemTypeShape, Redaction, RedactionPage, RedactionDone,
    RedactionPreview,
)  # fmt: skip
