"""What a writer may ask for: record, revise, retract, restore, link, unlink, redact. Commands are judged by `decide`."""

import msgspec

from api.domain.log.event import Basis
from api.domain.records.record import State


class Expect(msgspec.Struct, frozen=True):
    """The revision a writer believes to be the latest: by position (If-Match), by number (a batch), or whichever."""

    positions: frozenset[int] = frozenset()
    revision: int | None = None
    whichever: bool = False

    def is_met_by(self, *, position: int, revision: int) -> bool:
        return self.whichever or position in self.positions or self.revision == revision


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What all commands have in common: the record they are about, and why."""

    kind: str
    id: str | None
    reason: str | None = None
    expect: Expect | None = None


class RecordIt(Command, frozen=True, kw_only=True):
    """Record a new thing. `body` has every field of its kind, defaults filled in."""

    body: State


class Revise(Command, frozen=True, kw_only=True):
    """Replace the top-level fields given, each one whole."""

    changes: State


class Retract(Command, frozen=True, kw_only=True):
    """Take the record back. Its state stays on view; only restore may follow."""


class Restore(Command, frozen=True, kw_only=True):
    """Lift a retraction, or, with `revision`, assert that earlier state anew."""

    revision: int | None = None


class Link(Command, frozen=True, kw_only=True):
    """Make a claim point at another; or again as it did, in a link that was taken back: with its reason, and in its place."""

    relation: str
    claim: str
    again: State | None = None


class Unlink(Command, frozen=True, kw_only=True):
    """Take a link back."""

    relation: str
    claim: str


class Redact(Command, frozen=True, kw_only=True):
    """Remove what a record's revisions say, from `first` to `last`, both inclusive; by default all of them.

    `kind` is redaction, since that is what it records; `target` is the public id of the record of `target_kind`.
    """

    target_kind: str
    target: str
    basis: Basis
    first: int | None = None
    last: int | None = None
    erase_id: bool = False
