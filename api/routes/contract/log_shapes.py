"""What the log looks like to those who follow, prove and redact it, for the OpenAPI document."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from api.domain.log.event import Basis, Redacts
from api.domain.records.operation import Kind
from api.domain.text import Id
from api.routes.contract.shapes import Count, Hex, Place, RedactionMark, Shape, Stamp, Uuid, page_of


class FeedItem(Shape, frozen=True):
    """An entry of the log with what it says: the entry's fields, the public id, the reason, the fields that changed.

    Of a redacted one the entry alone is left, and the id unless that was erased.
    """

    v: Literal[1]
    position: Place
    type: Literal["opened", "recorded", "revised", "retracted", "restored", "linked", "unlinked", "redacted"]
    kind: Literal["entity", "source", "question", "claim", "redaction", "ledger"]
    record: Uuid
    revision: Annotated[int, Meta(ge=1)]
    recorded_at: Stamp
    actor: Uuid | None
    batch: tuple[int, int] | None
    schema: int
    payload_digest: Hex
    redacts: Redacts | None
    basis: Basis | None
    id: Id | None
    fields: list[str] | None
    redacted: RedactionMark | None
    reason: str | None
    state: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET


FeedPage = page_of("FeedPage", FeedItem)


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

    kind: Kind
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


RedactionPage = page_of("RedactionPage", Redaction)


class PayloadLine(Shape, frozen=True):
    """A payload, by the record and the revision that it is the state of."""

    kind: Literal["entity", "source", "question", "claim", "redaction", "ledger"]
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
