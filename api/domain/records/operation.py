"""What a client may send to change history: bodies of single requests, and the operations of a batch or a seed file.

The Structs are the contract: their JSON Schemas are published, and their decoders enforce exactly those.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Annotated, Any, Final, Literal, TypeVar, Union, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from api.domain.errors import BadBody
from api.domain.log.event import KindName
from api.domain.members import repeated_name
from api.domain.records.claim import Relation
from api.domain.records.command import Command, Expect, Link, RecordIt, Restore, Retract, Revise, Unlink
from api.domain.records.faults import faults
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
_NO_JSON = "not one JSON text in UTF-8"
_AT_BYTE = re.compile(r"\(byte ([0-9]+)\)\Z")


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
    text = raw.removeprefix(BOM_UTF8)
    operations = list(islice(_lines(text), most + 1)) if is_lines else _array(text)
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
    except msgspec.ValidationError:
        raise BadBody("a list of operations, or one of them on each line") from None
    except (msgspec.DecodeError, ValueError) as broken:
        raise _no_json(broken) from None


def _read(raw: bytes, index: int) -> Command:
    try:
        envelope = _decode(raw.removeprefix(BOM_UTF8), _Envelope)
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
    """Decode a body as a Struct. A byte order mark before it is passed over (RFC 8259 section 8.1).

    Raises BadBody, which tells of all that is wrong with it; or, if nothing else is, of a name that stands twice in one object.
    """
    text = raw.removeprefix(BOM_UTF8)
    decoded = _decode(text, wanted)
    pointer = repeated_name(text)
    if pointer is not None:
        raise BadBody("this name stands twice in one object", pointer)
    return decoded


def _decode(raw: bytes, wanted: type[Wanted]) -> Wanted:
    try:
        decoded: Wanted = decoder(wanted).decode(raw)
    except (msgspec.DecodeError, ValueError) as refusal:
        return _decode_again(raw, wanted, refusal)
    return decoded


def _decode_again(raw: bytes, wanted: type[Wanted], refusal: Exception) -> Wanted:
    """Decode what was refused where all that was wrong is that whole numbers are written with a fraction of zero.

    JSON Schema has those for whole numbers, too (2020-12, Core section 4.2.3). Raises BadBody.
    """
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError) as broken:
        raise _no_json(broken) from None
    if "`float`" in str(refusal):
        with suppress(msgspec.ValidationError):
            return msgspec.convert(_whole(value), wanted)
    first, *more = faults(value, wanted)
    raise BadBody(first.rule, first.place, more)


def _no_json(broken: Exception) -> BadBody:
    """Say where a text stops being JSON, if the decoder knows."""
    place = _AT_BYTE.search(str(broken))
    return BadBody(f"{_NO_JSON}: look at byte {place[1]}, counted from 0" if place else _NO_JSON)


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
