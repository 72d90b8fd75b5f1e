"""What the pages of the reference show of the OpenAPI document, read from its bytes; nothing is judged or changed here.

Keywords that the pages do not show are not read.
"""

from collections.abc import Iterator

import msgspec
from msgspec import field

Value = str | int | float | bool | None


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """A part of the document; it may stand for one of its components, which `ref` names."""

    ref: str | None = field(default=None, name="$ref")
    description: str = ""


class Schema(_Part, frozen=True):
    """A JSON Schema (draft 2020-12), as far as it is told to people."""

    type: str | list[str] | None = None
    format: str | None = None
    enum: list[Value] = []
    const: Value | msgspec.UnsetType = msgspec.UNSET
    default: msgspec.Raw = msgspec.Raw()
    pattern: str | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    properties: "dict[str, Schema]" = {}
    required: list[str] = []
    items: "Schema | bool | None" = None
    prefix_items: "list[Schema]" = []
    additional_properties: "Schema | bool | None" = None
    property_names: "Schema | None" = None
    any_of: "list[Schema]" = []
    one_of: "list[Schema]" = []
    all_of: "list[Schema]" = []

    @property
    def choices(self) -> "list[Schema]":
        return [*self.one_of, *self.any_of]

    def inner(self) -> Iterator["Schema"]:
        """Give the schemas that stand directly in this one."""
        yield from self.properties.values()
        yield from (*self.prefix_items, *self.any_of, *self.one_of, *self.all_of)
        yield from (each for each in (self.items, self.additional_properties) if isinstance(each, Schema))


class Example(msgspec.Struct, frozen=True):
    """A value, as it is sent or answered."""

    value: msgspec.Raw = msgspec.Raw(b"null")


class Media(msgspec.Struct, frozen=True):
    """A body of one media type."""

    schema: Schema = Schema()
    example: msgspec.Raw = msgspec.Raw()
    examples: dict[str, Example] = {}

    def shown(self) -> dict[str, str]:
        """Give the examples by their names, laid out for people."""
        named = {name: each.value for name, each in self.examples.items()}
        if self.example:
            named = {"example": self.example, **named}
        return {name: _laid_out(value) for name, value in named.items()}


class Parameter(_Part, frozen=True):
    """What a request says in its path, its query or a header."""

    name: str = ""
    place: str = field(default="query", name="in")
    required: bool = False
    schema: Schema = Schema()
    example: msgspec.Raw = msgspec.Raw()

    def sample(self) -> str:
        """Give the example as it would be typed: of a list one value a line."""
        value = msgspec.json.decode(self.example) if self.example else ""
        return "\n".join(map(spelt, value)) if isinstance(value, list) else spelt(value)


class Body(_Part, frozen=True):
    """What a request carries, by media type."""

    content: dict[str, Media] = {}


class Response(_Part, frozen=True):
    """What is answered, by media type."""

    content: dict[str, Media] = {}
    headers: dict[str, _Part] = {}


class Operation(msgspec.Struct, frozen=True, rename="camel"):
    """What can be asked for, and the keys that it takes: `{}` among them says that none is needed."""

    operation_id: str
    summary: str = ""
    description: str = ""
    tags: list[str] = []
    parameters: list[Parameter] = []
    request_body: Body | None = None
    responses: dict[str, Response] = {}
    security: list[dict[str, list[str]]] = []


class Route(msgspec.Struct, frozen=True):
    """An operation and where it is reached."""

    method: str
    path: str
    operation: Operation

    @property
    def id(self) -> str:
        return self.operation.operation_id


class Tag(msgspec.Struct, frozen=True):
    """What some operations have in common."""

    name: str
    description: str = ""


class Info(msgspec.Struct, frozen=True):
    """What the service is."""

    title: str
    version: str
    description: str = ""


class Components(msgspec.Struct, frozen=True, rename="camel"):
    """What stands once and is referred to by name."""

    schemas: dict[str, Schema] = {}
    parameters: dict[str, Parameter] = {}
    request_bodies: dict[str, Body] = {}
    responses: dict[str, Response] = {}
    headers: dict[str, _Part] = {}


class Document(msgspec.Struct, frozen=True):
    """The document as a whole."""

    info: Info
    tags: list[Tag]
    paths: dict[str, dict[str, Operation]]
    components: Components

    def routes(self) -> list[Route]:
        return [
            Route(method.upper(), path, operation)
            for path, methods in self.paths.items()
            for method, operation in methods.items()
        ]


def spelt(value: object) -> str:
    """Give a value as it stands in a query."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _laid_out(value: msgspec.Raw) -> str:
    return msgspec.json.format(bytes(value), indent=2).decode()
