"""What a client may send to change history: bodies of single requests, and the operations of a batch or a seed file.

The Structs are the contract: their JSON Schemas are published, and their decoders enforce exactly those.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from api.domain.errors import BadBody
from api.domain.records.claim import ClaimBody, Relation
from api.domain.records.command import Command, Expect, Link, RecordIt, Restore, Retract, Revise, Unlink
from api.domain.records.entity import EntityBody
from api.domain.records.question import QuestionBody
from api.domain.records.record import KINDS, State
from api.domain.records.source import SourceBody
from api.domain.text import Id, Reason

Kind = Literal["entity", "source", "question", "claim"]
Number = Annotated[int, Meta(ge=1, le=2**31 - 1)]

BODIES: dict[str, type[Struct]] = {
    "entity": EntityBody,
    "source": SourceBody,
    "question": QuestionBody,
    "claim": ClaimBody,
}
_STRICT: dict[str, Any] = {"frozen": True, "forbid_unknown_fields": True, "kw_only": True}


def _new(kind: str) -> type[Struct]:
    """A body with what a create may carry besides: a chosen id, and a reason."""
    extra = [("id", Id | None, None), ("reason", Reason | None, None)]
    return msgspec.defstruct(f"New{kind.title()}", extra, bases=(BODIES[kind],), **_STRICT)


def _changes(kind: str) -> type[Struct]:
    """Every field of the kind, each optional: one that is given replaces the old value whole."""
    fields = msgspec.structs.fields(BODIES[kind])
    optional: list[tuple[str, Any, Any]] = [(each.name, each.type | UnsetType, UNSET) for each in fields]
    return msgspec.defstruct(f"{kind.title()}Changes", [("id", Id | UnsetType, UNSET), *optional], **_STRICT)


NEW = {kind: _new(kind) for kind in KINDS}
CHANGES = {kind: _changes(kind) for kind in KINDS}


class RetractAction(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="action", tag="retract"):
    """Take the record back. Its state stays on view; only restore may follow."""

    reason: Reason


class RestoreAction(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="action", tag="restore"):
    """Lift a retraction, or with `revision` assert that earlier state anew."""

    reason: Reason
    revision: Number | None = None


class LinkAction(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="action", tag="link"):
    """Make this claim point at another."""

    relation: Relation
    claim: Id
    reason: Reason


class UnlinkAction(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="action", tag="unlink"):
    """Take a link back."""

    relation: Relation
    claim: Id
    reason: Reason


def _revise_action(kind: str) -> type[Struct]:
    fields = [("reason", Reason), ("changes", CHANGES[kind])]
    return msgspec.defstruct(f"Revise{kind.title()}Action", fields, tag_field="action", tag="revise", **_STRICT)


ACTIONS: dict[str, Any] = {
    kind: _revise_action(kind) | RetractAction | RestoreAction for kind in ("entity", "source", "question")
}
ACTIONS["claim"] = _revise_action("claim") | RetractAction | RestoreAction | LinkAction | UnlinkAction


def _operation(name: str, op: str, kind: Any, fields: list[tuple[Any, ...]]) -> type[Struct]:
    common: list[tuple[Any, ...]] = [("kind", kind), *fields]
    return msgspec.defstruct(name, common, tag_field="op", tag=op, **_STRICT)


_TARGET: list[tuple[Any, ...]] = [("id", Id), ("expect", Number | None, None), ("reason", Reason)]
_LINKED: list[tuple[Any, ...]] = [("relation", Relation), ("claim", Id)]
OPERATIONS: dict[tuple[str, str], type[Struct]] = {}
for _kind in KINDS:
    OPERATIONS["record", _kind] = _operation(
        f"Record{_kind.title()}",
        "record",
        Literal[_kind],
        [("body", BODIES[_kind]), ("id", Id | None, None), ("reason", Reason | None, None)],
    )
    OPERATIONS["revise", _kind] = _operation(
        f"Revise{_kind.title()}", "revise", Literal[_kind], [*_TARGET, ("changes", CHANGES[_kind])]
    )
_RETRACT = _operation("Retract", "retract", Kind, _TARGET)
_RESTORE = _operation("Restore", "restore", Kind, [*_TARGET, ("revision", Number | None, None)])
for _kind in KINDS:
    OPERATIONS["retract", _kind] = _RETRACT
    OPERATIONS["restore", _kind] = _RESTORE
OPERATIONS["link", "claim"] = _operation("Link", "link", Literal["claim"], [*_TARGET, *_LINKED])
OPERATIONS["unlink", "claim"] = _operation("Unlink", "unlink", Literal["claim"], [*_TARGET, *_LINKED])


class _Envelope(Struct):
    """Just enough of an operation to know which it is."""

    op: Literal["record", "revise", "retract", "restore", "link", "unlink"]
    kind: Kind


_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
# Empty lines by the thousand, so that many are passed over at once, and not more at once than takes a moment.
_LINE = re.compile(rb"\n{1,65536}|[^\n]+")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
# A name of another form is not repeated: it may hold anything.
_UNKNOWN = re.compile(r"Object contains unknown field `([A-Za-z0-9_-]{1,64})`$")
_READABLE = 80


def record_command(kind: str, body: Struct) -> Command:
    """Read a create's body as a command."""
    fields: State = msgspec.to_builtins(body)
    public_id, reason = fields.pop("id"), fields.pop("reason")
    return RecordIt(kind=kind, id=public_id, reason=reason, body=fields)


def action_command(kind: str, public_id: str, action: Any, expect: Expect | None) -> Command:
    """Read a revision's body as a command."""
    return _command(action.__struct_config__.tag, kind, public_id, action, expect)


def read_batch(raw: bytes, *, is_lines: bool, most: int) -> list[Command]:
    """Read the operations of a batch, as NDJSON or as one JSON array. Raises BadBody naming the operation."""
    return read_operations(cut_batch(raw, is_lines=is_lines, most=most))


def cut_batch(raw: bytes, *, is_lines: bool, most: int) -> list[bytes]:
    """Cut a batch into its operations, and no further than there may be. Raises BadBody."""
    operations = list(islice(_lines(raw), most + 1)) if is_lines else _array(raw)
    if not 1 <= len(operations) <= most:
        raise BadBody(f"a batch holds 1 to {most} operations")
    return operations


def read_operations(operations: Sequence[bytes]) -> list[Command]:
    """Read operations one by one. Raises BadBody naming the operation."""
    return [_read(operation, index) for index, operation in enumerate(operations)]


def _lines(raw: bytes) -> Iterator[bytes]:
    return (line for found in _LINE.finditer(raw) if (line := found[0]).strip())


def _array(raw: bytes) -> list[bytes]:
    try:
        return [bytes(item) for item in _ITEMS.decode(raw)]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_body(error) from None


def _read(raw: bytes, index: int) -> Command:
    try:
        envelope = decode_body(raw, _Envelope)
        return _operation_command(decode_body(raw, _operation_type(envelope)))
    except BadBody as refusal:
        refusal.operation = index
        raise


def _operation_type(envelope: _Envelope) -> type[Struct]:
    found = OPERATIONS.get((envelope.op, envelope.kind))
    if found is None:
        raise BadBody("only claims are linked", "/kind")
    return found


def _operation_command(operation: Any) -> Command:
    op = operation.__struct_config__.tag
    if op == "record":
        body = msgspec.to_builtins(operation.body)
        return RecordIt(kind=operation.kind, id=operation.id, reason=operation.reason, body=body)
    expect = Expect(revision=operation.expect) if operation.expect is not None else None
    return _command(op, operation.kind, operation.id, operation, expect)


def _command(op: str, kind: str, public_id: str, said: Any, expect: Expect | None) -> Command:
    common: dict[str, Any] = {"kind": kind, "id": public_id, "reason": said.reason, "expect": expect}
    if op == "revise":
        return Revise(**common, changes=msgspec.to_builtins(said.changes))
    if op == "retract":
        return Retract(**common)
    if op == "restore":
        return Restore(**common, revision=said.revision)
    linking = Link if op == "link" else Unlink
    return linking(**common, relation=said.relation, claim=said.claim)


def decode_body(raw: bytes, wanted: Any) -> Any:
    """Decode a body as a Struct. A whole number may be written with a fraction of zero, as JSON Schema has it.

    Raises BadBody (JSON Schema 2020-12, Core section 4.2.3, on integers).
    """
    try:
        return decoder(wanted).decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if "`float`" not in str(error):
            raise bad_body(error) from None
    try:
        return msgspec.convert(_whole(msgspec.json.decode(raw)), wanted)
    except msgspec.ValidationError as error:
        raise bad_body(error) from None


@cache
def decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    """Make the decoder of a Struct, once and while modules are imported.

    At its first use msgspec works out what a Struct holds; two threads that meet there bring the process down.
    """
    return msgspec.json.Decoder(wanted)


for _wanted in (_Envelope, *OPERATIONS.values(), *NEW.values(), *ACTIONS.values()):
    decoder(_wanted)


def _whole(value: Any) -> Any:
    """Turn floats that are whole numbers into integers."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return value


def bad_body(error: Exception) -> BadBody:
    """Say where a body breaks the contract, by JSON Pointer, without repeating what it said."""
    if not isinstance(error, msgspec.ValidationError):
        return BadBody("not one JSON text in UTF-8")
    said, _, path = str(error).partition(" - at `")
    pointer = _pointer(path.rstrip("`"))
    rule, field = read_rule(said)
    return BadBody(rule, f"{pointer}/{field}" if field else pointer)


def read_rule(said: str) -> tuple[str, str]:
    """Say a rule in msgspec's words, less what they quote: the value refused, and patterns too long to read.

    Also gives the field that is missing or unknown, if it is the one to blame.
    """
    if said.startswith("Invalid "):
        return "not one of the values that the contract names", ""
    if missing := _MISSING.match(said):
        return "is required", missing[1]
    if said.startswith("Object contains unknown field"):
        unknown = _UNKNOWN.match(said)
        return "unknown field", unknown[1] if unknown else ""
    form = said.partition(" matching regex ")[2]
    if not form:
        return said, ""
    spelt = form[1:-1].replace("\\\\", "\\").removesuffix(r"\Z").removesuffix(r"$(?!\n)").removesuffix("$")
    return "not of the form that the contract gives" + (f": {spelt}$" if len(spelt) <= _READABLE else ""), ""


def _pointer(path: str) -> str:
    """Turn msgspec's `$.answer.entities[...]` into a JSON Pointer (RFC 6901); what stands under a bad key is named by its map."""
    place = path.removeprefix("key` in `").removeprefix("$")
    steps = place.replace("[...]", "").replace("[", ".").replace("]", "")
    return "".join(f"/{step}" for step in steps.split(".") if step)
