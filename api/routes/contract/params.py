"""Path, query and header parameters: the Structs that are published are the ones that decode."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from msgspec import Meta, Struct, field

from api.domain.agreement.agreement import StateOfAgreement
from api.domain.dates import edtf
from api.domain.dates.asof import AS_OF_PATTERN, POSITION_PATTERN
from api.domain.dates.edtf import END
from api.domain.languages import LanguageRange
from api.domain.log.event import KindName, LoggedKind, Type
from api.domain.records.claim import Relation, Stance
from api.domain.records.entity import EntityType
from api.domain.records.kinds import CLAIM, ENTITY, KIND_NAMES, QUESTION, SOURCE, Kind
from api.domain.records.question import AnswerType, KnownUnit
from api.domain.records.source import SourceType
from api.domain.text import Id, Uuid
from api.ledger.reading.lists import MOST_VALUES, STATES
from api.ledger.reading.searching.search import MOST_WORDS

# Values that one filter takes.
MOST_GIVEN = 50
_Each = TypeVar("_Each")
Several = Annotated[list[_Each], Meta(max_length=MOST_GIVEN)]
FileName = Annotated[str, Meta(pattern=f"^[^\\x00-\\x1f/]{{1,255}}{END}", examples=["228-third-reading.ndjson"])]
Position = Annotated[str, Meta(pattern=POSITION_PATTERN, description="A position in the log.", examples=["42"])]
TreeSize = Annotated[str, Meta(pattern=f"^[1-9][0-9]{{0,15}}{END}", examples=["42"])]
AsOfText = Annotated[
    str,
    Meta(
        pattern=AS_OF_PATTERN,
        description="As the ledger had it: a position or an RFC 3339 time (write `+` as `%2B`). Inclusive.",
        examples=["42", "2026-11-21T12:00:00Z"],
    ),
]
Clock = Annotated[str, Meta(pattern=edtf.CLOCK_PATTERN)]
PublishedBy = Annotated[
    Clock, Meta(description="Only where the source was published by then: RFC 3339, or a date of the ledger's grammar.")
]
ValidAt = Annotated[Clock, Meta(description="Only claims whose answer holds then: RFC 3339, or a date.")]
Mode = Annotated[
    Literal["possible", "certain"],
    Meta(description="Whether dates that are not exact may fit the other two clocks, or must."),
]
Limit = Annotated[int, Meta(ge=1, le=500, description="Most items on a page.")]
_PLACE = "(?:0|[1-9][0-9]{0,15})"
_START = "-?(?:0|[1-9][0-9]{0,17})"
Cursor = Annotated[str, Meta(pattern=f"^{_PLACE}{END}", description="The key of the last item seen; start after it.")]
SourceCursor = Annotated[
    str,
    Meta(
        pattern=f"^(?:{_START}\\.)?{_PLACE}{END}",
        description="The key of the last item seen; start after it. By publication: earliest time, and first position.",
    ),
]
ClaimCursor = Annotated[
    str,
    Meta(
        pattern=f"^(?:{_START}\\.{_PLACE}\\.)?{_PLACE}{END}",
        description=(
            "The key of the last item seen; start after it. By publication: earliest time, and the first positions of "
            "source and claim."
        ),
    ),
]
QuestionCursor = Annotated[
    str,
    Meta(
        pattern=f"^(?:(?:{'|'.join(STATES)}|{_PLACE})\\.)?{_PLACE}{END}",
        description="The key of the last item seen; start after it. By agreement, or claims: state, or number, and first position.",
    ),
]
SearchCursor = Annotated[
    str,
    Meta(
        pattern=f"^[1-9][0-9]?\\.{_PLACE}\\.[a-z0-9][a-z0-9-]{{0,99}}\\.(?:{'|'.join(KIND_NAMES)}){END}",
        description="What the last item seen says.",
    ),
]
AnswersLimit = Annotated[int, Meta(ge=1, le=500, description="Most claims, or pairs of claims, on a page.")]
PairCursor = Annotated[
    str,
    Meta(
        pattern=f"^{_PLACE}\\.{_PLACE}{END}",
        description="The first positions of the two claims of the last pair seen.",
    ),
]
DiffCursor = Annotated[
    str,
    Meta(
        pattern=f"^{_PLACE}(?:\\.{_PLACE})?{END}",
        description="The position of the last item seen; and, where one event turned many questions, the last of those.",
    ),
]
TimelineCursor = Annotated[
    str,
    Meta(
        pattern=f"^{_START}\\.{_PLACE}{END}",
        description="The earliest start (microseconds since 1970) and first position of the last item seen.",
    ),
]
Words = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\u0000]*$",
        description="Words that must all occur, in any of their forms; accents and case are folded.",
    ),
]
Ids = Annotated[
    list[Id],
    Meta(max_length=200, description="Only these, up to 200: all on one page, if that ends before 2 MiB."),
]
Order = Annotated[
    Literal["recorded", "-recorded", "revised", "-revised"],
    Meta(description="By first or by latest event of the record; `-` for newest first."),
]
PublishedOrder = Annotated[
    Literal["recorded", "-recorded", "revised", "-revised", "published", "-published"],
    Meta(
        description="By first or by latest event of the record, or by when the source was published at the earliest; "
        "`-` for newest first. Of which that is not known come last."
    ),
]
AgreementOrder = Annotated[
    Literal["recorded", "-recorded", "revised", "-revised", "agreement", "-agreement", "claims", "-claims"],
    Meta(
        description="By first or by latest event of the record, or, at the clocks given, by state of agreement "
        f"({', '.join(STATES)}) or number of live claims (of equals the first recorded first); `-` for the reverse."
    ),
]
StatusName = Literal["asserted", "retracted"]


# What a representation holds beside what its kind says.
_COMMON = (
    "kind", "id", "revision", "status", "links", "position", "revised_at", "first_position", "recorded_at", "recorded_by",
)  # fmt: skip


def fields_of(kind: Kind) -> Meta:
    """Tell how some fields of a kind are asked for."""
    return _names((*_COMMON, *kind.fields, *kind.computed), "no other field is shown")


def _facets(kind: Kind) -> Meta:
    return _names(kind.facets, f"the values of each are counted, the {MOST_VALUES} most frequent first")


def _include(*names: str) -> Meta:
    counts = " (of agreement: state and counts, at the clocks given)" if "agreement" in names else ""
    return _names(names, f"adds maps by id of what is named{counts}")


def _names(names: tuple[str, ...], what: str) -> Meta:
    one = "|".join(names)
    pattern = f"^(?:{one})(?:,(?:{one})){{0,{len(names)}}}{END}"
    return Meta(pattern=pattern, description=f"One or more of {', '.join(names)}, separated by commas: {what}.")


class Strict(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Query parameters; one that is not named here is refused."""


class NoQuery(Strict, frozen=True):
    """The operation takes no query parameters."""


class AsOfQuery(Strict, frozen=True):
    """The ledger's clock."""

    as_of: AsOfText | None = None


class RecordQuery(AsOfQuery, frozen=True):
    """One record, at the ledger's clock: whole or some of its fields, and what it names if wanted."""

    fields: str | None = None
    include: str | None = None


class EntityRecordQuery(RecordQuery, frozen=True):
    """One entity."""

    fields: Annotated[str, fields_of(ENTITY)] | None = None
    include: Annotated[str, _include("entities")] | None = None


class SourceRecordQuery(RecordQuery, frozen=True):
    """One source."""

    fields: Annotated[str, fields_of(SOURCE)] | None = None
    include: Annotated[str, _include("entities")] | None = None


class QuestionRecordQuery(RecordQuery, frozen=True):
    """One question."""

    fields: Annotated[str, fields_of(QUESTION)] | None = None
    include: Annotated[str, _include("entities")] | None = None


class ClaimRecordQuery(RecordQuery, frozen=True):
    """One claim."""

    fields: Annotated[str, fields_of(CLAIM)] | None = None
    include: Annotated[str, _include("source", "entities")] | None = None


class HistoryQuery(AsOfQuery, frozen=True):
    """A record's history, newest first."""

    limit: Limit = 50
    cursor: Cursor | None = None


class RevisionDiffQuery(Strict, frozen=True):
    """Two revisions of one record."""

    old: Annotated[int, Meta(ge=1, le=2**31 - 1, description="The earlier revision.")] = field(name="from")
    new: Annotated[int, Meta(ge=1, le=2**31 - 1, description="The later revision.")] = field(name="to")


class ListQuery(AsOfQuery, frozen=True):
    """What every list takes."""

    id: Ids = []
    q: Words | None = None
    status: Several[StatusName] = []
    limit: Limit = 50


class SearchQuery(AsOfQuery, frozen=True, kw_only=True):
    """Words, and the kinds of record that are looked through."""

    q: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            pattern=r"^[^\u0000]*$",
            description=f"Words, {MOST_WORDS} at most.",
            examples=["Amazon lawsuit"],
        ),
    ]
    kind: Annotated[Several[KindName], Meta(description="Of this kind.")] = []
    limit: Limit = 50
    cursor: SearchCursor | None = None


class EntityListQuery(ListQuery, frozen=True):
    """Entities."""

    order: Order = "recorded"
    cursor: Cursor | None = None
    type: Several[EntityType] = []
    part_of: Several[Id] = []
    include: Annotated[str, _include("entities")] | None = None
    fields: Annotated[str, fields_of(ENTITY)] | None = None
    facets: Annotated[str, _facets(ENTITY)] | None = None


class SourceListQuery(ListQuery, frozen=True):
    """Sources."""

    order: PublishedOrder = "recorded"
    cursor: SourceCursor | None = None
    type: Several[SourceType] = []
    publisher: Several[Id] = []
    language: Several[LanguageRange] = []
    part_of: Several[Id] = []
    derives_from: Several[Id] = []
    published_from: (
        Annotated[
            Clock,
            Meta(
                description="Published then or later, as far as the stated date allows; what states none is left out."
            ),
        ]
        | None
    ) = None
    published_until: (
        Annotated[
            Clock,
            Meta(
                description="Published then or earlier, as far as the stated date allows; what states none is left out."
            ),
        ]
        | None
    ) = None
    published_by: PublishedBy | None = None
    mode: Mode = "possible"
    include: Annotated[str, _include("entities")] | None = None
    fields: Annotated[str, fields_of(SOURCE)] | None = None
    facets: Annotated[str, _facets(SOURCE)] | None = None


class QuestionListQuery(ListQuery, frozen=True):
    """Questions."""

    order: AgreementOrder = "recorded"
    cursor: QuestionCursor | None = None
    about: Several[Id] = []
    answer_type: Several[AnswerType] = []
    unit: Several[KnownUnit] = []
    varies: Several[bool] = []
    agreement: Annotated[
        Several[StateOfAgreement], Meta(description="Only questions in this state of agreement, at the clocks given.")
    ] = []
    published_by: PublishedBy | None = None
    valid_at: ValidAt | None = None
    mode: Mode = "possible"
    include: Annotated[str, _include("agreement", "entities")] | None = None
    fields: Annotated[str, fields_of(QUESTION)] | None = None
    facets: Annotated[str, _facets(QUESTION)] | None = None


class ClaimFilters(AsOfQuery, frozen=True):
    """What narrows claims, in their list and in the timeline."""

    q: Words | None = None
    limit: Limit = 50
    source: Several[Id] = []
    publisher: Annotated[Several[Id], Meta(description="Only claims of sources by this publisher.")] = []
    language: Annotated[
        Several[LanguageRange], Meta(description="Only claims of sources in this language: `pt` finds `pt-BR`.")
    ] = []
    question: Several[Id] = []
    about: Annotated[Several[Id], Meta(description="Only claims on questions about this entity.")] = []
    speaker: Several[Id] = []
    via: Several[Id] = []
    stance: Several[Stance] = []
    answer_type: Several[AnswerType] = []
    entity: Annotated[
        Several[Id], Meta(description="Only claims that this entity makes, or whose answer names it.")
    ] = []
    relation: Annotated[Several[Relation], Meta(description="Only claims that make such a link.")] = []
    linked_to: Annotated[Several[Id], Meta(description="Only claims that link to this claim.")] = []
    published_from: (
        Annotated[
            Clock, Meta(description="Of sources whose stated date allows that they were published then or later.")
        ]
        | None
    ) = None
    published_until: (
        Annotated[
            Clock, Meta(description="Of sources whose stated date allows that they were published then or earlier.")
        ]
        | None
    ) = None
    valid_from: (
        Annotated[Clock, Meta(description="Whose stated validity allows then or later; what states none is left out.")]
        | None
    ) = None
    valid_until: (
        Annotated[
            Clock, Meta(description="Whose stated validity allows then or earlier; what states none is left out.")
        ]
        | None
    ) = None
    published_by: PublishedBy | None = None
    valid_at: ValidAt | None = None
    mode: Mode = "possible"
    include: Annotated[str, _include("source", "entities")] | None = None


class ClaimListQuery(ClaimFilters, frozen=True):
    """Claims."""

    id: Ids = []
    status: Several[StatusName] = []
    order: PublishedOrder = "recorded"
    cursor: ClaimCursor | None = None
    live: Annotated[
        Several[bool],
        Meta(description="Only claims that are, or are not, live: asserted, as source and question are."),
    ] = []
    fields: Annotated[str, fields_of(CLAIM)] | None = None
    facets: Annotated[str, _facets(CLAIM)] | None = None


class TimelineQuery(ClaimFilters, frozen=True):
    """Live claims in order of when their answers hold."""

    cursor: TimelineCursor | None = None


class StatementsQuery(AsOfQuery, frozen=True):
    """What one voice says, at the three clocks."""

    question: Several[Id] = []
    published_by: PublishedBy | None = None
    valid_at: ValidAt | None = None
    mode: Mode = "possible"
    limit: Limit = 50
    cursor: ClaimCursor | None = None
    include: Annotated[str, _include("source", "entities")] | None = None


class LinksQuery(AsOfQuery, frozen=True):
    """A claim's links, at the ledger's clock."""

    limit: Annotated[int, Meta(ge=1, le=500, description="Most claims whose links to this one are on a page.")] = 100
    cursor: Cursor | None = None


class ConflictsQuery(AsOfQuery, frozen=True):
    """The pairs of claims on a question that conflict, at the three clocks."""

    published_by: PublishedBy | None = None
    valid_at: ValidAt | None = None
    mode: Mode = "possible"
    limit: AnswersLimit = 100
    cursor: PairCursor | None = None


class AnswersQuery(AsOfQuery, frozen=True):
    """The agreement view, at the three clocks."""

    published_by: PublishedBy | None = None
    valid_at: ValidAt | None = None
    mode: Mode = "possible"
    group: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=2**31 - 1,
                description="Only the claims of this group, the first being 0; with `as_of`, as groups may change places.",
            ),
        ]
        | None
    ) = None
    limit: AnswersLimit = 100
    cursor: Cursor | None = None
    include: Annotated[str, _include("source", "entities")] | None = None


class LedgerDiffQuery(Strict, frozen=True):
    """Two moments of the ledger."""

    old: AsOfText = field(name="from")
    new: AsOfText | None = field(name="to", default=None)
    limit: Limit = 50
    cursor: DiffCursor | None = None


Form = Literal["json", "ndjson", "json-seq", "sse", "atom", "cloudevents"]


class FeedQuery(Strict, frozen=True):
    """The feed: after which position, and of what."""

    after: (
        Annotated[
            Position,
            Meta(
                description="The last position seen; 0, or none, begins at the beginning. Atom without it is the newest."
            ),
        ]
        | None
    ) = None
    limit: Limit = 50
    kind: Annotated[Several[LoggedKind], Meta(description="Only this kind.")] = []
    type: Annotated[Several[Type], Meta(description="Only events of this type.")] = []
    id: Annotated[Several[Id], Meta(description="Only records of this public id; with `kind`, one record.")] = []
    actor: Annotated[Several[Uuid], Meta(description="Only by this actor.")] = []
    source: Annotated[Several[Id], Meta(description="Only claims of this source.")] = []
    question: Annotated[Several[Id], Meta(description="Only claims on this question.")] = []
    file: Annotated[Several[FileName], Meta(description="Only what came in this file of operations.")] = []
    state: Annotated[bool, Meta(description="Leave the state out with `false`.")] = True
    exact: Annotated[
        bool,
        Meta(description="Each event to the byte, as at `/v1/events/{position}`; with `after` and `limit` alone."),
    ] = False
    format: Annotated[Form, Meta(description="The form, instead of by Accept.")] | None = None
    wait: Annotated[int, Meta(ge=0, le=30, description="Seconds to wait for an event where a page would be empty.")] = 0


class ProofQuery(Strict, frozen=True):
    """In which tree the event is to be proved."""

    size: (
        Annotated[TreeSize, Meta(description="In the tree of so many events; that of the latest checkpoint.")] | None
    ) = None


class ConsistencyQuery(Strict, frozen=True):
    """Two sizes of the tree."""

    old: Annotated[TreeSize, Meta(description="The smaller size.")] = field(name="from")
    new: Annotated[TreeSize, Meta(description="The larger size.")] = field(name="to")


class ActorListQuery(Strict, frozen=True):
    """Actors, in the order of when they became known."""

    limit: Limit = 50
    cursor: Cursor | None = None


class DryRunQuery(Strict, frozen=True):
    """How a write is taken."""

    dry_run: Annotated[bool, Meta(description="Write nothing; answer what would happen.")] = False


class RedactionListQuery(AsOfQuery, frozen=True):
    """Redactions, in the order in which they were made."""

    order: Order = "recorded"
    limit: Limit = 50
    cursor: Cursor | None = None


class Path(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that stands in a path. An operation uses what its path names."""

    id: Id | None = None
    n: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    position: Annotated[int, Meta(ge=1, le=10**16 - 1)] | None = None
    slug: Annotated[str, Meta(pattern=r"^[a-z][a-z-]{0,49}\Z")] | None = None


# What the parameters mean whose name says nearly all; the rest say it where they are defined.
MEANINGS: Mapping[str, str] = {
    "id": "The public id of the record.",
    "n": "The number of the revision, counted from 1 within the record.",
    "position": "The position of the event in the log.",
    "slug": "The name of the problem type: the last part of its address.",
    "status": "Only records that are asserted, or retracted.",
    "type": "Only this type.",
    "part_of": "Only what is part of this record, stated of itself.",
    "publisher": "Only sources by this publisher.",
    "language": "Only sources in this language (RFC 4647): `pt` finds `pt-BR`, and case makes no difference.",
    "derives_from": "Only sources that reprint or retell this one.",
    "about": "Only questions about this entity.",
    "answer_type": "Only questions, or claims, with answers of this type.",
    "unit": "Only questions whose answers are counted in this unit.",
    "varies": "Only questions whose true answer may, or may not, change over time.",
    "source": "Only claims made in this source.",
    "question": "Only claims on this question.",
    "speaker": "Only claims that this entity makes inside the source.",
    "via": "Only claims that reached their source through this one.",
    "stance": "Only claims of this stance.",
}
