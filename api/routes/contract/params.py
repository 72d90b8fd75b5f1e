"""Path, query and header parameters: the Structs that are published are the ones that decode."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from api.domain.agreement.agreement import StateOfAgreement
from api.domain.dates import edtf
from api.domain.dates.asof import AS_OF_PATTERN, POSITION_PATTERN
from api.domain.dates.edtf import END
from api.domain.languages import LanguageRange
from api.domain.log.event import LoggedKind, Type
from api.domain.records.claim import Relation, Stance
from api.domain.records.entity import EntityType
from api.domain.records.kinds import CLAIM, ENTITY, QUESTION, SOURCE, Kind
from api.domain.records.question import AnswerType, KnownUnit
from api.domain.records.source import SourceType
from api.domain.text import Id, Uuid
from api.ledger.reading.lists import MOST_VALUES

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
Cursor = Annotated[
    str, Meta(pattern=f"^(?:0|[1-9][0-9]{{0,15}}){END}", description="The key of the last item seen; start after it.")
]
AnswersLimit = Annotated[int, Meta(ge=1, le=500, description="Most claims, or pairs of claims, on a page.")]
PairCursor = Annotated[
    str,
    Meta(
        pattern=f"^(?:0|[1-9][0-9]{{0,15}})\\.(?:0|[1-9][0-9]{{0,15}}){END}",
        description="The first positions of the two claims of the last pair seen.",
    ),
]
DiffCursor = Annotated[
    str,
    Meta(
        pattern=f"^(?:0|[1-9][0-9]{{0,15}})(?:\\.(?:0|[1-9][0-9]{{0,15}}))?{END}",
        description="The position of the last item seen; and, where one event turned many questions, the last of those.",
    ),
]
TimelineCursor = Annotated[
    str,
    Meta(
        pattern=f"^-?(?:0|[1-9][0-9]{{0,17}})\\.(?:0|[1-9][0-9]{{0,15}}){END}",
        description="The earliest start (microseconds since 1970) and first position of the last item seen.",
    ),
]
Words = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\u0000]*$",
        description="Words that must all occur; accents and case are folded.",
    ),
]
Ids = Annotated[list[Id], Meta(max_length=200, description="Only these; may be given up to 200 times.")]
Order = Annotated[
    Literal["recorded", "-recorded", "revised", "-revised"],
    Meta(description="By first or by latest event of the record; `-` for newest first."),
]
StatusName = Literal["asserted", "retracted"]
AgreementName = Annotated[
    StateOfAgreement,
    Meta(description="Only questions in this state of agreement, at the clocks given."),
]


# What a representation holds beside what its kind says.
_COMMON = (
    "kind", "id", "revision", "status", "links", "position", "revised_at", "first_position", "recorded_at", "recorded_by",
)  # fmt: skip


def _fields(kind: Kind) -> Meta:
    return _names((*_COMMON, *kind.fields, *kind.computed), "Only these fields")


def _facets(kind: Kind) -> Meta:
    return _names(
        kind.facets, f"Count the values of these fields, the most frequent first: at most {MOST_VALUES} values of each"
    )


def _names(names: tuple[str, ...], what: str) -> Meta:
    one = "|".join(names)
    pattern = f"^(?:{one})(?:,(?:{one})){{0,{len(names)}}}{END}"
    return Meta(pattern=pattern, description=f"{what}, separated by commas: {', '.join(names)}.")


class Strict(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Query parameters; one that is not named here is refused."""


class NoQuery(Strict, frozen=True):
    """The operation takes no query parameters."""


class AsOfQuery(Strict, frozen=True):
    """The ledger's clock."""

    as_of: AsOfText | None = None


class RecordQuery(AsOfQuery, frozen=True):
    """One record, at the ledger's clock."""


class ClaimRecordQuery(AsOfQuery, frozen=True):
    """One claim, at the ledger's clock, with its source if wanted."""

    include: Annotated[Literal["source"], Meta(description="Add a map of the sources shown.")] | None = None


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
    status: StatusName | None = None
    order: Order = "recorded"
    limit: Limit = 50
    cursor: Cursor | None = None


class EntityListQuery(ListQuery, frozen=True):
    """Entities."""

    type: EntityType | None = None
    part_of: Id | None = None
    fields: Annotated[str, _fields(ENTITY)] | None = None
    facets: Annotated[str, _facets(ENTITY)] | None = None


class SourceListQuery(ListQuery, frozen=True):
    """Sources."""

    type: SourceType | None = None
    publisher: Id | None = None
    language: LanguageRange | None = None
    part_of: Id | None = None
    derives_from: Id | None = None
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
    fields: Annotated[str, _fields(SOURCE)] | None = None
    facets: Annotated[str, _facets(SOURCE)] | None = None


class QuestionListQuery(ListQuery, frozen=True):
    """Questions."""

    about: Id | None = None
    answer_type: AnswerType | None = None
    unit: KnownUnit | None = None
    varies: Literal["true", "false"] | None = None
    agreement: AgreementName | None = None
    published_by: PublishedBy | None = None
    valid_at: ValidAt | None = None
    mode: Mode = "possible"
    fields: Annotated[str, _fields(QUESTION)] | None = None
    facets: Annotated[str, _facets(QUESTION)] | None = None


class ClaimFilters(AsOfQuery, frozen=True):
    """What narrows claims, in their list and in the timeline."""

    q: Words | None = None
    limit: Limit = 50
    source: Id | None = None
    publisher: Annotated[Id, Meta(description="Only claims of sources by this publisher.")] | None = None
    language: (
        Annotated[LanguageRange, Meta(description="Only claims of sources in this language: `pt` finds `pt-BR`.")]
        | None
    ) = None
    question: Id | None = None
    about: Annotated[Id, Meta(description="Only claims on questions about this entity.")] | None = None
    speaker: Id | None = None
    via: Id | None = None
    stance: Stance | None = None
    answer_type: AnswerType | None = None
    entity: Annotated[Id, Meta(description="Only claims that this entity makes, or whose answer names it.")] | None = (
        None
    )
    relation: Annotated[Relation, Meta(description="Only claims that make such a link.")] | None = None
    linked_to: Annotated[Id, Meta(description="Only claims that link to this claim.")] | None = None
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
    include: Annotated[Literal["source"], Meta(description="Add a map of the sources shown.")] | None = None


class ClaimListQuery(ClaimFilters, frozen=True):
    """Claims."""

    id: Ids = []
    status: StatusName | None = None
    order: Order = "recorded"
    cursor: Cursor | None = None
    live: (
        Annotated[
            Literal["true", "false"],
            Meta(description="Only claims that are, or are not, live: asserted, as source and question are."),
        ]
        | None
    ) = None
    fields: Annotated[str, _fields(CLAIM)] | None = None
    facets: Annotated[str, _facets(CLAIM)] | None = None


class TimelineQuery(ClaimFilters, frozen=True):
    """Live claims in order of when their answers hold."""

    cursor: TimelineCursor | None = None


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
    include: Annotated[Literal["source"], Meta(description="Add a map of the sources shown.")] | None = None


class LedgerDiffQuery(Strict, frozen=True):
    """Two moments of the ledger."""

    old: AsOfText = field(name="from")
    new: AsOfText | None = field(name="to", default=None)
    limit: Limit = 50
    cursor: DiffCursor | None = None


class FeedQuery(Strict, frozen=True):
    """The feed: after which position, and of what."""

    after: Annotated[Position, Meta(description="The last position seen; 0 begins at the beginning.")] = "0"
    limit: Limit = 50
    kind: Annotated[LoggedKind, Meta(description="Only this kind.")] | None = None
    type: Annotated[Type, Meta(description="Only events of this type.")] | None = None
    id: Annotated[Id, Meta(description="Only records of this public id; with `kind`, one record.")] | None = None
    actor: Annotated[Uuid, Meta(description="Only by this actor.")] | None = None
    source: Annotated[Id, Meta(description="Only claims of this source.")] | None = None
    question: Annotated[Id, Meta(description="Only claims on this question.")] | None = None
    state: Annotated[Literal["true", "false"], Meta(description="Leave the state out with `false`.")] = "true"
    exact: Annotated[
        Literal["true", "false"],
        Meta(description="Each event to the byte, as at `/v1/events/{position}`; with `after` and `limit` alone."),
    ] = "false"


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

    dry_run: Annotated[Literal["true", "false"], Meta(description="Write nothing; answer what would happen.")] = "false"

    @property
    def is_dry_run(self) -> bool:
        """Whether the request is judged as ever, and nothing is written."""
        return self.dry_run == "true"


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
