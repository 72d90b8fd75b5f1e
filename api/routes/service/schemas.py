"""The schemas of the OpenAPI document, taken from msgspec: what is published is what its decoders enforce.

Here they are only spelt anew, in the words that generators of clients and linters understand: whatever fitted a schema
before fits it still, and nothing else does.
"""

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import Struct

from api.domain.addresses import Url
from api.domain.agreement.agreement import StateOfAgreement
from api.domain.languages import Language, LanguageRange
from api.domain.log.event import Basis, KindName, LoggedKind, Type
from api.domain.records.answer import Answer, DecimalText, Edtf
from api.domain.records.claim import Relation, Stance
from api.domain.records.entity import EntityType
from api.domain.records.faults import FORMS
from api.domain.records.kinds import KIND_NAMES, KINDS
from api.domain.records.operation import ACTIONS
from api.domain.records.question import AnswerType, KnownUnit, Unit
from api.domain.records.source import SourceType
from api.domain.text import Id, Name, Note, Sentence, Title, Uuid, ecma
from api.routes.contract.params import AsOfText, Clock, Order, fields_of
from api.routes.contract.shapes import Hex, PatchOperation, ShownAnswer, Stamp, Status

# A part of the document, or of a schema as msgspec gives it.
Part = dict[str, Any]
_REF = "#/components/schemas/{name}"
_LARGEST_INT32 = 2**31 - 1
# What a schema says to people.
_SAID = ("description", "examples")
# What stands under a name of its own wherever it occurs, as Structs do. Of two that are spelt alike the first counts.
_NAMED: Mapping[str, object] = {
    "Id": Id,
    "Uuid": Uuid,
    "Hex": Hex,
    "Stamp": Stamp,
    "Edtf": Edtf,
    "Clock": Clock,
    "AsOf": AsOfText,
    "Url": Url,
    "Language": Language,
    "LanguageRange": LanguageRange,
    "Decimal": DecimalText,
    "Unit": Unit,
    "KnownUnit": KnownUnit,
    "Sentence": Sentence,
    "Name": Name,
    "Title": Title,
    "Note": Note,
    "RecordKind": KindName,
    "LoggedKind": LoggedKind,
    "EventType": Type,
    "EntityType": EntityType,
    "SourceType": SourceType,
    "AnswerType": AnswerType,
    "Stance": Stance,
    "Relation": Relation,
    "Status": Status,
    "Basis": Basis,
    "StateOfAgreement": StateOfAgreement,
    "Order": Order,
    "Answer": Answer,
    "ShownAnswer": ShownAnswer,
    "Patch": list[PatchOperation],
    **{f"{kind.title()}Action": ACTIONS[kind] for kind in KIND_NAMES},
    **{f"{name.title()}Fields": Annotated[str, fields_of(kind)] for name, kind in KINDS.items()},
}


def ref(name: str) -> Part:
    """Refer to a schema by its name."""
    return {"$ref": _REF.format(name=name)}


def gather(types: Sequence[object]) -> tuple[list[Part], Part]:
    """Give the schema of each type, and all that have a name."""
    found, components = msgspec.json.schema_components([*_NAMED.values(), *types], ref_template=_REF)
    named = {name: _told(_spelt(each)) for name, each in zip(_NAMED, found, strict=False)}
    everywhere = {name: spelt(each) for name, each in components.items()}
    return [spelt(each) for each in found[len(_NAMED) :]], {**named, **everywhere}


def _told(schema: Part) -> Part:
    """Say of a form of text, where it does not itself, what a refusal says is wanted."""
    sentence = FORMS.get(schema.get("pattern", "").removesuffix("$") + r"\Z")
    return {"description": f"{sentence[0].upper()}{sentence[1:]}.", **schema} if isinstance(sentence, str) else schema


def of_parameter(struct: type[Struct], name: str) -> Part:
    """Give a parameter's schema, with its default, and without the null that no parameter can carry."""
    (_,), components = msgspec.json.schema_components([struct], ref_template=_REF)
    schema: Part = components[struct.__name__]["properties"][name]
    default = schema.pop("default", None)
    if "anyOf" in schema:
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        schema = rest | next(branch for branch in schema["anyOf"] if branch.get("type") != "null")
    if "enum" in schema:
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    described = {key: schema[key] for key in ("description",) if key in schema}
    return spelt(schema) | described | ({} if default in (None, []) else {"default": default})


def spelt(schema: Part) -> Part:
    """Spell a schema as the document does; one that has a name is referred to by it."""
    if "$ref" in schema:
        return schema
    told = _spelt(schema)
    found = _names().get(_key(told))
    if found is None:
        return told
    name, described = found
    said = told.get("description")
    return ref(name) | ({} if said in (None, described) else {"description": said})


@cache
def _names() -> Mapping[bytes, tuple[str, str | None]]:
    """Give the name of each schema that has one, and what it says, by how it is spelt. Within them are no others but by name."""
    found, _ = msgspec.json.schema_components(list(_NAMED.values()), ref_template=_REF)
    named = [(_spelt(each), name) for each, name in zip(found, _NAMED, strict=True)]
    return {_key(each): (name, each.get("description")) for each, name in reversed(named)}


def _key(schema: Part) -> bytes:
    """Give what two schemas have in common that let the same values fit."""
    return msgspec.json.encode({key: schema[key] for key in sorted(schema) if key not in _SAID})


def _spelt(schema: Part) -> Part:
    told = {key: _inner(key, item) for key, item in schema.items() if key not in ("title", "default")}
    return _with_format(_with_one_value(_with_one_branch(_with_default(told, schema.get("default")))))


def _inner(key: str, item: object) -> object:
    """Spell what stands in a schema: other schemas, and words."""
    match item:
        case dict() if key == "properties":
            return {name: spelt(each) for name, each in item.items()}
        case dict() if key == "propertyNames":
            return spelt({"type": "string", **item})
        case dict() if key in ("items", "additionalProperties"):
            return spelt(item)
        case list() if key == "anyOf":
            return [spelt(each) for each in item]
        case str():
            return _words(key, item)
    return item


def _words(key: str, text: str) -> str:
    """Spell patterns for ECMA-262, and descriptions without the margin of docstrings, which Python 3.13 takes off itself."""
    if key == "pattern":
        return ecma(text).replace(r"$(?!\n)", "$")
    return inspect.cleandoc(text) if key == "description" else text


def _with_default(schema: Part, default: object) -> Part:
    """Tell a default in words: what has one in its schema, generators of types take to be always there."""
    if default in (None, [], {}):
        return schema
    value = default if isinstance(default, str) else msgspec.json.encode(default).decode()
    said = f"`{value}` where it is left out."
    return {**schema, "description": f"{schema['description']} {said}" if "description" in schema else said}


def _with_one_branch(schema: Part) -> Part:
    """Where a field tells which branch it is, no two fit."""
    if "discriminator" not in schema:
        return schema
    return {"oneOf" if key == "anyOf" else key: item for key, item in schema.items()}


def _with_one_value(schema: Part) -> Part:
    """Say the type of values that are listed, and of one alone that it is the one."""
    if "enum" not in schema:
        return schema
    values = schema["enum"]
    kind = "integer" if isinstance(values[0], int) else "string"
    listed = {key: item for key, item in schema.items() if key != "enum"}
    return {**listed, "type": kind, **({"const": values[0]} if len(values) == 1 else {"enum": values})}


def _with_format(schema: Part) -> Part:
    """Say how large a number may be."""
    if schema.get("type") == "number":
        return {**schema, "format": "double"}
    if schema.get("type") != "integer" or "const" in schema:
        return schema
    return {**schema, "format": "int32" if schema.get("maximum", _LARGEST_INT32 + 1) <= _LARGEST_INT32 else "int64"}
