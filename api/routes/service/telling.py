"""One operation as it is told to people: what it takes, as a form to try it with, what it answers, and the schemas of both."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.etree import ElementTree as ET

import msgspec

from api.routes.service.described import Body, Document, Media, Parameter, Response, Route, Schema, Value, spelt
from api.routes.service.markup import Content, code, link, paragraphs, prose, tag

_PLACES = {"path": "In the path", "query": "In the query", "header": "In headers"}


class Told:
    """One operation as it is told: each schema stands on the page once, and is linked to from wherever it is used."""

    def __init__(self, document: Document, route: Route) -> None:
        self._components = document.components
        self._route = route
        self._operation = route.operation
        self._told: set[str] = set()
        self._wanted: dict[str, None] = {}

    def sections(self) -> Iterator[ET.Element]:
        yield tag("h1", self._operation.summary, tabindex="-1")
        yield tag("p", method_of(self._route), " ", code(self._route.path), " · ", link("#try", "try it"))
        yield from paragraphs(self._operation.description)
        yield tag("section", tag("h2", "Request"), self._form())
        yield tag("section", tag("h2", "Answers"), *self._answers())
        schemas = [*self._schemas()]
        if schemas:
            yield tag("section", tag("h2", "Schemas"), *schemas)

    def _form(self) -> ET.Element:
        parameters = [self._parameter_of(each) for each in self._operation.parameters]
        groups = [
            tag("fieldset", tag("legend", text), *(self._parameter(each) for each in parameters if each.place == place))
            for place, text in _PLACES.items()
            if any(each.place == place for each in parameters)
        ]
        needs_key = {} not in self._operation.security
        body = self._operation.request_body
        written = [] if body is None else [self._body(body)]
        return tag(
            "form",
            *groups,
            *written,
            tag("fieldset", tag("legend", "Try it"), *_sending(needs_key=needs_key), id="try"),
            data_method=self._route.method,
            data_path=self._route.path,
        )

    def _parameter_of(self, given: Parameter) -> Parameter:
        return self._components.parameters[_name(given.ref)] if given.ref else given

    def _parameter(self, given: Parameter) -> ET.Element:
        name = tag("label", code(given.name), for_=f"{given.place}-{given.name}")
        return tag(
            "div",
            tag("p", name, " ", *self._kind(given.schema), *_if(given.required, " · ", tag("strong", "required"))),
            tag("div", *self._meaning(given.description, given.schema), id=f"{given.place}-{given.name}-said"),
            self._control(given),
            class_="field",
        )

    def _schema_of(self, given: Schema) -> Schema:
        return self._components.schemas[_name(given.ref)] if given.ref else given

    def _control(self, given: Parameter) -> ET.Element:
        """Give what the value is put in: empty, but for what must be sent and for a write, which begins as a dry run."""
        dry = self._route.method != "GET" and given.name == "dry_run"
        value = "true" if dry else given.sample() if given.required else ""
        common = {
            "id": f"{given.place}-{given.name}", "name": given.name, "data-in": given.place,
            "aria-describedby": f"{given.place}-{given.name}-said", **({"required": ""} if given.required else {}),
        }  # fmt: skip
        schema = self._schema_of(given.schema)
        items = self._schema_of(schema.items) if isinstance(schema.items, Schema) else None
        if items is not None and (each := _values(items)):
            return _choose(each, "", {**common, "multiple": "", "size": str(min(4, len(each)))})
        if choices := _values(schema):
            return _choose(["", *choices], value, common)
        hint = {"placeholder": given.sample(), "autocomplete": "off", "spellcheck": "false"}
        if items is not None:
            return tag("textarea", value, rows="1", title="One value a line", **common, **hint)
        return tag("input", value=value, **common, **hint)

    def _body(self, given: Body) -> ET.Element:
        body = self._components.request_bodies[_name(given.ref)] if given.ref else given
        ((media_type, media),) = list(body.content.items())[:1]
        shown = media.shown()
        first = next(iter(shown.values()), "")
        return tag(
            "fieldset",
            tag("legend", "The body, ", code(media_type)),
            *_examples(shown),
            tag("label", "What is sent", for_="body"),
            tag(
                "textarea", first, id="body", name="body", rows=str(min(24, first.count("\n") + 2)), spellcheck="false"
            ),
            *self._shape(media.schema),
            data_type=media_type,
        )

    def _answers(self) -> Iterator[ET.Element]:
        """Tell what is answered to what can be done in full, the rest folded."""
        refusals = []
        for status, given in self._operation.responses.items():
            answer = self._components.responses[_name(given.ref)] if given.ref else given
            said = (status, " ", tag("span", *prose(answer.description)))
            if status.startswith("2"):
                yield tag("h3", *said)
                yield from self._answer(answer, in_full=True)
            else:
                refusals.append(tag("details", tag("summary", *said), *self._answer(answer, in_full=False)))
        yield tag("h3", "Otherwise")
        yield from refusals

    def _answer(self, answer: Response, *, in_full: bool) -> Iterator[ET.Element]:
        for media_type, media in answer.content.items():
            yield tag("p", code(media_type), ": ", *self._kind(media.schema))
            yield from _folded(media)
            if in_full:
                yield from self._shape(media.schema)
        if answer.headers:
            yield tag("details", tag("summary", "headers"), tag("dl", *self._headers(answer)))

    def _headers(self, answer: Response) -> Iterator[ET.Element]:
        for name, given in answer.headers.items():
            header = self._components.headers[_name(given.ref)] if given.ref else given
            yield tag("dt", code(name))
            yield tag("dd", *paragraphs(header.description))

    def _schemas(self) -> Iterator[ET.Element]:
        """Tell what was linked to and not told yet, and what that links to, until nothing is missing."""
        while missing := [name for name in self._wanted if name not in self._told]:
            yield self._component(missing[0])

    def _shape(self, schema: Schema) -> Iterator[ET.Element]:
        if schema.ref is None:
            yield from self._fields(schema)
        elif _name(schema.ref) not in self._told:
            yield self._component(_name(schema.ref))

    def _component(self, name: str) -> ET.Element:
        self._told.add(name)
        schema = self._components.schemas[name]
        return tag("section", tag("h3", name), *paragraphs(schema.description), *self._fields(schema), id=name)

    def _fields(self, schema: Schema) -> Iterator[ET.Element]:
        """Tell what a schema allows: the fields of an object; or else its kind and its bounds."""
        if not schema.properties:
            yield tag("p", *self._kind(schema))
            yield from self._meaning("", schema)
            return
        is_whole = set(schema.required) >= set(schema.properties)
        fields: list[ET.Element] = []
        for name, each in schema.properties.items():
            needed = _if(name in schema.required and not is_whole, " · ", tag("strong", "required"))
            fields += [
                tag("dt", code(name), " ", *self._kind(each), *needed),
                tag("dd", *self._meaning(each.description, each), *self._nested(each)),
            ]
        if is_whole:
            yield tag("p", "All fields are required.")
        yield tag("dl", *fields)

    def _nested(self, schema: Schema) -> Iterator[ET.Element]:
        """Tell the objects without a name that stand in a field."""
        for each in [schema, *schema.inner()]:
            if each.properties:
                yield from self._fields(each)

    def _meaning(self, description: str, schema: Schema) -> Iterator[ET.Element]:
        yield from paragraphs(description)
        bounds = [*_bounds(schema)]
        if bounds:
            yield tag("p", "; ".join(bounds), class_="bounds")
        for pattern in _patterns(schema):
            yield tag("details", tag("summary", "pattern"), tag("pre", pattern))

    def _kind(self, schema: Schema) -> list[Content]:
        """Say in a few words what a value is; a schema with a name is linked to."""
        if schema.ref:
            self._wanted[_name(schema.ref)] = None
            values = self._schema_of(schema).enum
            return [link(f"#{_name(schema.ref)}", _name(schema.ref)), *_if(bool(values), ": ", *_spelt_out(values))]
        for parts, between in ((schema.choices, " or "), (schema.all_of, " and "), (schema.prefix_items, " then ")):
            if parts:
                return _joined([self._kind(each) for each in parts], between)
        for held, what in ((schema.items, "list of "), (schema.additional_properties, "object of ")):
            if isinstance(held, Schema):
                named = () if schema.property_names is None else (" by ", *self._kind(schema.property_names))
                return [what, *self._kind(held), *named]
        return _simple(schema)


def _simple(schema: Schema) -> list[Content]:
    if schema.enum:
        return _spelt_out(schema.enum)
    if schema.const is not msgspec.UNSET:
        return [code(spelt(schema.const))]
    types = [schema.type] if isinstance(schema.type, str) else schema.type or ["anything"]
    return [" or ".join(types), *_if(schema.format is not None, f" ({schema.format})")]


def method_of(route: Route) -> ET.Element:
    return tag("span", route.method, class_=f"method {route.method.lower()}")


def _sending(*, needs_key: bool) -> Iterator[ET.Element]:
    said = "A key is needed." if needs_key else "A key may be sent."
    yield tag("p", tag("label", "Key", for_="key"), f" · {said} It stays in this page's memory and is gone with it.")
    yield tag("input", id="key", type="password", autocomplete="off", placeholder="dl_…")
    yield tag("p", tag("button", "Send", type="submit"))
    yield tag("noscript", tag("p", "To try it here takes JavaScript."))
    yield tag("output")
    yield tag("div", class_="answer")


def _values(schema: Schema) -> Sequence[Value]:
    """Give the values that a schema allows, as a query spells them, where they are few."""
    return ["true", "false"] if schema.type == "boolean" else schema.enum


def _choose(choices: Iterable[Value], value: str, attributes: Mapping[str, str]) -> ET.Element:
    """Let one of several be chosen; with `multiple` among the attributes none is, or some are."""
    options = [
        tag("option", each, **({"selected": ""} if each == value else {}), value=each) for each in map(str, choices)
    ]
    return tag("select", *options, **attributes)


def _examples(shown: Mapping[str, str]) -> Iterator[ET.Element]:
    """Let one of several examples be taken."""
    if len(shown) > 1:
        options = [tag("option", name, value=text) for name, text in shown.items()]
        yield tag("label", "Example", for_="example")
        yield tag("select", *options, id="example")


def _folded(media: Media) -> Iterator[ET.Element]:
    for name, text in media.shown().items():
        yield tag("details", tag("summary", name), tag("pre", text))


def _bounds(schema: Schema) -> Iterator[str]:
    for least, most, what in (
        (schema.minimum, schema.maximum, ""),
        (schema.min_length, schema.max_length, " characters"),
        (schema.min_items, schema.max_items, " items"),
    ):
        if (least, most) != (None, None):
            yield _between(least, most) + what
    if schema.default:
        yield f"otherwise {bytes(schema.default).decode()}"


def _between(least: float | None, most: float | None) -> str:
    if least is None:
        return f"at most {most}"
    return f"at least {least}" if most is None else f"{least} to {most}"


def _patterns(schema: Schema) -> Iterator[str]:
    yield from (each.pattern for each in (schema, *schema.choices) if each.pattern)


def _spelt_out(values: Iterable[Value]) -> list[Content]:
    return _joined([[code(spelt(each))] for each in values], " | ")


def _joined(parts: Iterable[list[Content]], between: str) -> list[Content]:
    found: list[Content] = []
    for part in parts:
        found += [*_if(bool(found), between), *part]
    return found


def _if(condition: bool, *content: Content) -> tuple[Content, ...]:
    return content if condition else ()


def _name(ref: str) -> str:
    return ref.rpartition("/")[2]
