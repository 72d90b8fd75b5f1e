"""What a client may send to change history: bodies of single requests, and the operations of a batch or a seed file.

The Structs are the contract: their JSON Schemas are published, and their decoders enforce exactly those.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Final, Literal, TypeVar, Union, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from api.domain.errors import BadBody
from api.domain.log.event import KindName
from api.domain.records.claim import Relation
from api.domain.records.command import Command, Expect, Link, RecordIt, Restore, Retract, Revise, Unlink
from api.domain.records.kinds import KINDS, Kind
from api.domain.records.record import State
from api.domain.text import Id, Reason

# The most operations that a batch, or a file of the seed, ever holds.
MOST_OPERATIONS: Final = 5_000
Number = Annotated[int, Meta(ge=1, le=2**31 - 1)]
# What msgspec makes a Struct of: names, types, and defaults where there are any.
Fields = list[tuple[Any, ...]]
Wanted = TypeVar("Wanted")


class _Strict(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of those that are made by kind."""


def _new(kind: Kind) -> type[Struct]:
    """A body with what a create may carry besides: a chosen id, and a reason."""
    extra: Fields = [("id", Id | None, None), ("reason", Reason | None, None)]
    return msgspec.defstruct(f"New{kind.name.title()}", extra, bases=(kind.body,), kw_only=True)


def _changes(kind: Kind) -> type[Struct]:
    """Every field of the kind, each optional: one that is given replaces the old value whole."""
    optional: Fields = [(each.name, each.type | UnsetType, UNSET) for each in msgspec.structs.fields(kind.body)]
    return _strict(f"{kind.name.title()}Changes", [("id", Id | UnsetType, UNSET), *optional])


def _strict(name: str, fields: Fields, tag_field: str | None = None, tag: str | None = None) -> type[Struct]:
    return msgspec.defstruct(name, fields, bases=(_Strict,), kw_only=True, tag_field=tag_field, tag=tag)


NEW: Final[Mapping[str, type[Struct]]] = {name: _new(kind) for name, kind in KINDS.items()}
CHANGES: Final[Mapping[str, type[Struct]]] = {name: _changes(kind) for name, kind in KINDS.items()}


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


def _actions(kind: Kind) -> type[Struct]:
    """Every action on a record of a kind. To msgspec a union of types is a type, too; to a type checker it is not."""
    fields: Fields = [("reason", Reason), ("changes", CHANGES[kind.name])]
    revise = _strict(f"Revise{kind.name.title()}Action", fields, "action", "revise")
    linking = (LinkAction, UnlinkAction) if kind.name == "claim" else ()
    return cast("type[Struct]", Union[(revise, RetractAction, RestoreAction, *linking)])


ACTIONS: Final[Mapping[str, type[Struct]]] = {name: _actions(kind) for name, kind in KINDS.items()}
_ON_ONE: Final[Fields] = [("id", Id), ("expect", Number | None, None), ("reason", Reason)]
_LINKED: Final[Fields] = [("relation", Relation), ("claim", Id)]


def _record(kind: Kind) -> type[Struct]:
    fields: Fields = [("body", kind.body), ("id", Id | None, None), ("reason", Reason | None, None)]
    return _operation(f"Record{kind.name.title()}", "record", Literal[kind.name], fields)


def _revise(kind: Kind) -> type[Struct]:
    fields = [*_ON_ONE, ("changes", CHANGES[kind.name])]
    return _operation(f"Revise{kind.name.title()}", "revise", Literal[kind.name], fields)


def _operation(name: str, op: str, kind: object, fields: Fields) -> type[Struct]:
    return _strict(name, [("kind", kind), *fields], "op", op)


_RETRACT = _operation("Retract", "retract", KindName, _ON_ONE)
_RESTORE = _operation("Restore", "restore", KindName, [*_ON_ONE, ("revision", Number | None, None)])
# By what is done and to which kind, in the order in which they are published.
OPERATIONS: Final[Mapping[tuple[str, str], type[Struct]]] = {
    **{
        (op, name): make(kind)
        for name, kind in KINDS.items()
        for op, make in (("record", _record), ("revise", _revise))
    },
    **{(op, name): made for name in KINDS for op, made in (("retract", _RETRACT), ("restore", _RESTORE))},
    ("link", "claim"): _operation("Link", "link", Literal["claim"], [*_ON_ONE, *_LINKED]),
    ("unlink", "claim"): _operation("Unlink", "unlink", Literal["claim"], [*_ON_ONE, *_LINKED]),
}
_COMMANDS: Final[Mapping[str, type[Command]]] = {
    "revise": Revise,
    "retract": Retract,
    "restore": Restore,
    "link": Link,
    "unlink": Unlink,
}


class _Envelope(Struct):
    """Just enough of an operation to know which it is."""

    op: Literal["record", "revise", "retract", "restore", "link", "unlink"]
    kind: KindName


_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
# Empty lines by the thousand, so that many are passed over at once, and not more at once than takes a moment.
_LINE = re.compile(rb"\n{1,65536}|[^\n]+")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
# A name of another form is not repeated: it may hold anything.
_UNKNOWN = re.compile(r"Object contains unknown field `([A-Za-z0-9_-]{1,64})`$")
_READABLE = 80


def record_command(kind: str, body: Struct) -> Command:
    """Read a create's body as a command."""
    said = _plain(body)
    return RecordIt(kind=kind, id=said.pop("id"), reason=said.pop("reason"), body=said)


def action_command(kind: str, public_id: str, action: Struct, expect: Expect | None) -> Command:
    """Read a revision's body as a command: what it says beside its name are the command's own fields."""
    said = _plain(action)
    return _COMMANDS[said.pop("action")](kind=kind, id=public_id, expect=expect, **said)


def _plain(struct: Struct) -> State:
    said: State = msgspec.to_builtins(struct)
    return said


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


def _operation_command(operation: Struct) -> Command:
    """Read an operation as a command: what it says beside its name and what it expects are the command's own fields."""
    said = _plain(operation)
    op = said.pop("op")
    if op == "record":
        return RecordIt(**said)
    revision = said.pop("expect")
    return _COMMANDS[op](expect=Expect(revision=revision) if revision is not None else None, **said)


def decode_body(raw: bytes, wanted: type[Wanted]) -> Wanted:
    """Decode a body as a Struct. A whole number may be written with a fraction of zero, as JSON Schema has it.

    Raises BadBody (JSON Schema 2020-12, Core section 4.2.3, on integers).
    """
    try:
        decoded: Wanted = decoder(wanted).decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if "`float`" not in str(error):
            raise bad_body(error) from None
    else:
        return decoded
    try:
        return msgspec.convert(_whole(msgspec.json.decode(raw)), wanted)
    except msgspec.ValidationError as error:
        raise bad_body(error) from None


_DECODERS: dict[object, msgspec.json.Decoder[Any]] = {}


def decoder(wanted: object) -> msgspec.json.Decoder[Any]:
    """Give the decoder of a Struct, made once and while modules are imported.

    At the first use of a Struct msgspec works out what it holds; two threads that do so at once bring the process down.
    """
    found = _DECODERS.get(wanted)
    if found is None:
        found = _DECODERS[wanted] = msgspec.json.Decoder(wanted)
    return found


for _wanted in (_Envelope, *OPERATIONS.values(), *NEW.values(), *ACTIONS.values()):
    decoder(_wanted)


def _whole(value: object) -> object:
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
