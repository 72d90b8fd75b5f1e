"""Everything the ledger can refuse, as one tree. Errors carry their data as fields and build their own sentence.

No HTTP here: `routes/edge/problems.py` maps each class to a problem type and a status, and a test fails on an unmapped one.

LedgerError
├── Malformed              what the published contract forbids
│   ├── BadParameter       path, query or header
│   └── BadBody            the request body
├── Absent                 what was asked for is not there
│   ├── UnknownRecord
│   ├── UnknownRevision
│   ├── UnknownActor
│   ├── UnknownBatch       no batch begins at a position
│   ├── UnknownGroup       the claims on a question form fewer groups
│   └── NotYet             a position or time the ledger has not reached
├── Redacted               what was asked for was lawfully removed
├── PreconditionMissing    a revision must say what it is based on
├── Stale                  the revision expected is not the current one
├── Conflict               allowed by the contract, refused by a rule or by the ledger's state
│   ├── AnswerDoesNotFit
│   ├── BadAnswer
│   ├── BadText
│   ├── BadUrl             a host that leads nowhere
│   ├── BeyondLimit        a chain too deep, or a list too long
│   ├── Cycle
│   ├── FieldFixed
│   ├── IdForm
│   ├── IdTaken
│   ├── IdempotencyKeyReused
│   ├── IntervalReversed
│   ├── LinkRefused
│   ├── MissingExpect
│   ├── NoChange
│   ├── NotApplicable
│   ├── NotRedactable
│   ├── NotRevertible      records of a batch have moved on since
│   ├── RedactedReference
│   ├── ReviseFirst
│   ├── StatusRefused
│   ├── StillNamed
│   └── UnknownReference
├── Unavailable            the database or the node cannot serve now
│   ├── LogDamaged         something of the log is missing, or is not what was written
│   ├── LogRefused         the log is not the one that was signed
│   ├── NotPurged          a redaction is recorded, and traces are left in the database's files
│   └── ReadOnly           this node serves reads alone
├── AskedWrongly           a fault of ours in what was asked of the database
└── Misconfigured          a setting that cannot be honoured
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Fault(NamedTuple):
    """One thing that is wrong with what was sent: where, by JSON Pointer or by the parameter's name, and what is wanted."""

    place: str
    rule: str


class LedgerError(Exception):
    """Base of all refusals. `pointer` names the field by JSON Pointer (RFC 6901), `parameter` the one in the query, where one is to blame."""

    pointer: str = ""
    parameter: str = ""
    operation: int | None = None

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self) -> str:
        """Say what was refused and why, never repeating the refused value."""
        return "refused"


class Malformed(LedgerError):
    """The published contract forbids it."""


@dataclass(eq=False)
class BadParameter(Malformed):
    """Values of a path, a query or a header outside the contract. `place` is path, query or header; `more` are further faults."""

    place: str
    name: str
    rule: str
    more: Sequence[Fault] = ()

    @property
    def faults(self) -> Sequence[Fault]:
        return (Fault(self.name, self.rule), *self.more)

    def sentence(self) -> str:
        return f"{self.place} parameter {self.name}: {self.rule}" + _and_more(self.more)


@dataclass(eq=False)
class BadBody(Malformed):
    """A request body outside the contract; `more` are further faults."""

    rule: str
    pointer: str = ""
    more: Sequence[Fault] = ()

    @property
    def faults(self) -> Sequence[Fault]:
        return (Fault(self.pointer, self.rule), *self.more)

    def sentence(self) -> str:
        return f"{self.pointer or 'body'}: {self.rule}" + _and_more(self.more)


def _and_more(more: Sequence[Fault]) -> str:
    return f"; and more, at {', '.join(dict.fromkeys(each.place or 'body' for each in more[:3]))}" if more else ""


class Absent(LedgerError):
    """Nothing is there."""


@dataclass(eq=False)
class UnknownRecord(Absent):
    """No record of that kind has that id at the position read."""

    kind: str

    def sentence(self) -> str:
        return f"no {self.kind} has this id here"


@dataclass(eq=False)
class UnknownRevision(Absent):
    """The record has fewer revisions."""

    revisions: int

    def sentence(self) -> str:
        return f"the record has revisions 1 to {self.revisions}"


@dataclass(eq=False)
class UnknownActor(Absent):
    """No key of that actor was ever made."""

    def sentence(self) -> str:
        return "no actor has this id"


class UnknownBatch(Absent):
    """No batch begins at this position: it is of an event that came alone, or within a batch."""

    def sentence(self) -> str:
        return "no batch begins at this position: `batch` of its events, in the feed, names the first and the last"


@dataclass(eq=False)
class UnknownGroup(Absent):
    """The claims on a question form fewer groups."""

    groups: int
    parameter: str = "group"

    def sentence(self) -> str:
        return f"the claims form {self.groups} groups here, numbered from 0"


@dataclass(eq=False)
class NotYet(Absent):
    """A position or time past the head."""

    head: int

    def sentence(self) -> str:
        return f"the ledger has not reached this yet; its head is at position {self.head}"


@dataclass(eq=False)
class Redacted(LedgerError):
    """What was asked for was removed by the redaction at a position, on a basis (RFC 9110 section 15.5.11: gone)."""

    position: int
    basis: str

    def sentence(self) -> str:
        return f"redacted at position {self.position}; basis: {self.basis}"


@dataclass(eq=False)
class PreconditionMissing(LedgerError):
    """A revision without the revision it is based on (RFC 6585 section 3)."""

    def sentence(self) -> str:
        return "say which revision this is based on, with If-Match"


@dataclass(eq=False)
class Stale(LedgerError):
    """The caller's expected revision, named by its position or in a batch by its number, is not the current one."""

    kind: str
    id: str
    expected: int | None
    position: int
    revision: int
    expected_revision: int | None = None

    def sentence(self) -> str:
        return f"the {self.kind} is at revision {self.revision}, position {self.position}"


class Conflict(LedgerError):
    """Well formed, and refused by a rule between fields or by what the ledger holds."""


@dataclass(eq=False)
class AnswerDoesNotFit(Conflict):
    """The answer is not of the question's answer_type or unit."""

    expected: str
    pointer: str

    def sentence(self) -> str:
        return f"the question expects {self.expected}"


@dataclass(eq=False)
class BadAnswer(Conflict):
    """An answer that contradicts itself: no bound at all, low above high, an amount outside its bounds."""

    rule: str
    pointer: str = "/answer"

    def sentence(self) -> str:
        return self.rule


@dataclass(eq=False)
class BadText(Conflict):
    """Text no canonical form exists for: U+0000, a lone surrogate, a number beyond 2^53 - 1."""

    rule: str
    pointer: str

    def sentence(self) -> str:
        return self.rule


@dataclass(eq=False)
class BadUrl(Conflict):
    """A URL of the published form whose host a parser refuses."""

    rule: str
    pointer: str

    def sentence(self) -> str:
        return self.rule


@dataclass(eq=False)
class BeyondLimit(Conflict):
    """A chain of records deeper, or a list of them longer, than agreement is computed for."""

    rule: str
    pointer: str = ""

    def sentence(self) -> str:
        return self.rule


@dataclass(eq=False)
class Cycle(Conflict):
    """part_of or derives_from would lead back to the record itself."""

    relation: str
    pointer: str

    def sentence(self) -> str:
        return f"{self.relation} would close a cycle"


@dataclass(eq=False)
class FieldFixed(Conflict):
    """A field that is never revised, or not any more."""

    rule: str
    pointer: str

    def sentence(self) -> str:
        return self.rule


@dataclass(eq=False)
class IdForm(Conflict):
    """A chosen id that looks like a UUID."""

    pointer: str = "/id"

    def sentence(self) -> str:
        return "a chosen id may not have the form of a UUID; leave id out to have one minted"


@dataclass(eq=False)
class IdTaken(Conflict):
    """A record of this kind has this id already."""

    kind: str
    pointer: str = "/id"

    def sentence(self) -> str:
        return f"another {self.kind} has this id"


@dataclass(eq=False)
class IdempotencyKeyReused(Conflict):
    """The key was used for another request."""

    def sentence(self) -> str:
        return "this Idempotency-Key was used for another request"


@dataclass(eq=False)
class IntervalReversed(Conflict):
    """An interval that ends before it starts, or where it starts."""

    pointer: str = ""
    parameter: str = ""
    rule: str = "the interval ends before it starts"

    def sentence(self) -> str:
        return self.rule


@dataclass(eq=False)
class LinkRefused(Conflict):
    """A link to itself, twice, to what is not asserted, or an unlink of nothing."""

    rule: str
    pointer: str = "/claim"

    def sentence(self) -> str:
        return self.rule


@dataclass(eq=False)
class MissingExpect(Conflict):
    """A batch operation on a record not touched earlier in the batch must say which revision it expects."""

    pointer: str = "/expect"

    def sentence(self) -> str:
        return "expect is required on a record that this batch has not touched before"


@dataclass(eq=False)
class NoChange(Conflict):
    """The revision would leave the record as it is."""

    def sentence(self) -> str:
        return "the revision changes nothing"


@dataclass(eq=False)
class NotApplicable(Conflict):
    """Parameters or fields that are each allowed, but not together. `parameter` names the one to leave out."""

    rule: str
    pointer: str = ""
    parameter: str = ""

    def sentence(self) -> str:
        return self.rule


@dataclass(eq=False)
class NotRedactable(Conflict):
    """A redaction, the ledger's own record, or what is redacted already."""

    rule: str
    pointer: str = "/kind"

    def sentence(self) -> str:
        return self.rule


@dataclass(eq=False)
class NotRevertible(Conflict):
    """Records that a batch touched cannot be brought back: each by kind, id, the position of its latest event, and why.

    `records` are the first of them, of `count`.
    """

    records: list[tuple[str, str, int, str]]
    count: int

    def sentence(self) -> str:
        are = "record of this batch has moved on" if self.count == 1 else "records of this batch have moved on"
        return f"{self.count} {are} since, or cannot be what it was before: nothing was written"


@dataclass(eq=False)
class RedactedReference(Conflict):
    """A field names a record or a revision that was redacted."""

    kind: str
    pointer: str

    def sentence(self) -> str:
        return f"the {self.kind} that this names was redacted"


@dataclass(eq=False)
class ReviseFirst(Conflict):
    """The latest revision is redacted only together with all the others."""

    pointer: str = "/first"

    def sentence(self) -> str:
        return "the range holds the latest revision and not all of them: revise the record first, or redact all of it"


@dataclass(eq=False)
class StatusRefused(Conflict):
    """The action does not fit the record's status, or one it refers to is retracted."""

    rule: str
    pointer: str = ""

    def sentence(self) -> str:
        return self.rule


@dataclass(eq=False)
class StillNamed(Conflict):
    """An id cannot be forgotten while surviving payloads name it. `named_by` are some of them: kind, id and revision."""

    named_by: list[tuple[str, str, int]]
    count: int
    pointer: str = "/erase_id"

    def sentence(self) -> str:
        return f"the id stands in {self.count} surviving payload{'s' if self.count > 1 else ''}: revise and redact those first"


@dataclass(eq=False)
class UnknownReference(Conflict):
    """A field names a record that does not exist."""

    kind: str
    pointer: str

    def sentence(self) -> str:
        return f"no {self.kind} has the id given"


@dataclass(eq=False)
class Unavailable(LedgerError):
    """The node cannot serve this now; the client may try again."""

    reason: str

    def sentence(self) -> str:
        return self.reason


class LogDamaged(Unavailable):
    """Something of the log is missing, or is not what was written: reads go on, and this node neither signs nor appends."""


class LogRefused(Unavailable):
    """The log is shorter than, or different from, what its key has signed: this node neither signs nor appends."""


class NotPurged(Unavailable):
    """A redaction took place, and the database's own files may still hold what it removed."""


class ReadOnly(Unavailable):
    """This node serves a copy: it appends nothing, and signs nothing."""


class AskedWrongly(LedgerError):
    """A fault of ours, which the log tells of: the database cannot do what was asked of it, or it could not be asked."""

    def sentence(self) -> str:
        return "the ledger failed; the fault is logged"


@dataclass(eq=False)
class Misconfigured(LedgerError):
    """A setting, file or database that cannot be honoured; the process says so and stops."""

    setting: str
    rule: str

    def sentence(self) -> str:
        return f"{self.setting}: {self.rule}"
