"""What a writer may ask for: record, revise, retract, restore, link, unlink, redact. Commands are judged by `decide`."""

from dataclasses import dataclass

from api.domain.event import Basis
from api.domain.record import State


@dataclass(frozen=True, slots=True)
class Expect:
    """The revision a writer believes to be the latest: by position (If-Match), by number (a batch), or whichever."""

    positions: frozenset[int] = frozenset()
    revision: int | None = None
    whichever: bool = False

    def is_met_by(self, *, position: int, revision: int) -> bool:
        return self.whichever or position in self.positions or self.revision == revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What all commands have in common: the record they are about, and why."""

    kind: str
    id: str | None
    reason: str | None = None
    expect: Expect | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordIt(Command):
    """Record a new thing. `body` has every field of its kind, defaults filled in."""

    body: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Revise(Command):
    """Replace the top-level fields given, each one whole."""

    changes: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Retract(Command):
    """Take the record back. Its state stays on view; only restore may follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore(Command):
    """Lift a retraction, or, with `revision`, assert that earlier state anew."""

    revision: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Command):
    """Make a claim point at another."""

    relation: str
    claim: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlink(Command):
    """Take a link back."""

    relation: str
    claim: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Redact(Command):
    """Remove what a record's revisions say, from `first` to `last`, both inclusive; by default all of them.

    `kind` is redaction, since that is what it records; `target` is the public id of the record of `target_kind`.
    """

    target_kind: str
    target: str
    basis: Basis
    first: int | None = None
    last: int | None = None
    erase_id: bool = False
