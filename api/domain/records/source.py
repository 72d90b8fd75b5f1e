"""Sources: published documents or statements in which claims were made, with the captures that were really read."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from api.domain.addresses import Url
from api.domain.dates import edtf
from api.domain.languages import Language
from api.domain.records.answer import Edtf
from api.domain.records.record import State
from api.domain.text import Id, Name, Note, Sha256Hex, Title

SourceType = Literal[
    "article",
    "wire",
    "press-release",
    "letter",
    "court-document",
    "report",
    "social-post",
    "reader-comment",
    "interview",
    "broadcast",
    "other",
]
Completeness = Literal["full", "truncated", "excerpt"]
Instant = Annotated[str, Meta(pattern=edtf.INSTANT_PATTERN, max_length=40, extra_json_schema={"format": "date-time"})]


class Capture(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A copy of the document that was read: the SHA-256 and size of its bytes, never the bytes themselves."""

    sha256: Sha256Hex
    bytes: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    captured_at: Instant | None = None
    completeness: Completeness
    note: Note | None = None


class SourceBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client states of a source: what the page states, and nothing else."""

    type: SourceType
    title: Title
    publisher: Id | None = None
    authors: Annotated[list[Name], Meta(max_length=100)] = []
    language: Language | None = None
    url: Url | None = None
    archived_url: Url | None = None
    published: Edtf | None = None
    modified: Edtf | None = None
    derives_from: Annotated[list[Id], Meta(max_length=50)] = []
    part_of: Id | None = None
    captures: Annotated[list[Capture], Meta(max_length=50)] = []
    rights: Note | None = None
    note: Note | None = None


def published_extent(state: State) -> edtf.Extent | None:
    """When the source was published: a moment within the bounds of `published_bounds`."""
    bounds = published_bounds(state)
    return edtf.Extent("moment", bounds, bounds) if bounds else None


def published_bounds(state: State) -> edtf.Bounds | None:
    """When the source was published at the earliest and the latest; None where it states no date.

    A modified source of which no earlier capture is held counts as published at some moment up to its modification.
    """
    published, modified = state["published"], state["modified"]
    if published is not None and not isinstance(published, str):
        return None
    held = isinstance(modified, str) and _is_captured_before(state["captures"], modified)
    return edtf.publication(published, modified if isinstance(modified, str) else None, earlier_capture=held)


def _is_captured_before(captures: object, modified: str) -> bool:
    limit = edtf.parse(modified).start.earliest
    if limit is None or not isinstance(captures, list):
        return False
    moments = [capture["captured_at"] for capture in captures if capture["captured_at"]]
    return any(edtf.parse_instant(moment) < limit for moment in moments)
