"""The reference at `/docs`: a page that lists the operations, and a page for each, made of the OpenAPI document.

It is read without a script. With one, an operation is tried from the form that its parameters make.
"""

from functools import cached_property
from xml.etree import ElementTree as ET

import msgspec

from api.routes.edge.exchange import PlainRequest
from api.routes.edge.operation import serves
from api.routes.edge.problems import HttpError
from api.routes.edge.reply import Reply
from api.routes.service.described import Document, Route
from api.routes.service.markup import Content, code, link, page, paragraphs, tag
from api.routes.service.pages import ASKED_AGAIN, HTML, PAGE_HEADERS, Asset, asset_of, respond
from api.routes.service.telling import Told, method_of

_ASSETS = "/docs/assets"
_READ = msgspec.json.Decoder(Document)


class Reference:
    """The pages of one document, each made when it is first asked for."""

    def __init__(self, document: bytes) -> None:
        self._document = _READ.decode(document)
        self._routes = {route.id: route for route in self._document.routes()}
        self._made: dict[str, Asset] = {}

    @cached_property
    def index(self) -> Asset:
        """Give the page that lists the operations."""
        info = self._document.info
        sections = [
            tag("section", tag("h2", each.name), *paragraphs(each.description), self._list(each.name))
            for each in self._document.tags
        ]
        main = tag("main", tag("h1", info.title, tabindex="-1"), *paragraphs(info.description), *sections, id="main")
        return _page("Operations", tag("div", main, class_="columns whole"))

    def operation(self, operation_id: str) -> Asset | None:
        """Give an operation's page, or None where there is no such operation."""
        route = self._routes.get(operation_id)
        if route is not None and operation_id not in self._made:
            self._made[operation_id] = self._operation_page(route)
        return self._made.get(operation_id)

    def _operation_page(self, route: Route) -> Asset:
        listed: list[Content] = []
        for each in self._document.tags:
            listed += [tag("h2", each.name), self._list(each.name, current=route)]
        nav = tag("nav", *listed, aria_label="Operations", class_="operations")
        main = tag("main", *Told(self._document, route).sections(), id="main")
        return _page(route.operation.summary, tag("div", nav, main, class_="columns"))

    def _list(self, name: str, *, current: Route | None = None) -> ET.Element:
        routes = [route for route in self._routes.values() if name in route.operation.tags]
        return tag("ul", *(tag("li", _door(route, is_current=route is current)) for route in routes))


def _door(route: Route, *, is_current: bool) -> ET.Element:
    marked = {"aria_current": "page"} if is_current else {}
    summary = tag("span", route.operation.summary)
    return tag("a", method_of(route), " ", code(route.path), " ", summary, href=f"/docs/{route.id}", **marked)


def _page(title: str, columns: ET.Element) -> Asset:
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · Deplatforming Ledger"),
        tag("link", rel="icon", type="image/svg+xml", href=f"{_ASSETS}/favicon.svg"),
        tag("link", rel="stylesheet", href=f"{_ASSETS}/docs.css"),
        tag("script", src=f"{_ASSETS}/docs.js", defer=""),
    )
    icon = tag("img", src=f"{_ASSETS}/favicon.svg", alt="", width="28", height="28")
    elsewhere = tag("nav", link("/docs", "Operations"), link("/openapi.json", "openapi.json"), aria_label="Site")
    header = tag("header", tag("a", icon, " Deplatforming Ledger", href="/", class_="home"), elsewhere, class_="bar")
    skip = tag("a", "Skip to the content", href="#main", class_="skip")
    return asset_of(page(head, tag("body", skip, header, columns)), HTML)


@serves("/docs")
async def docs(request: PlainRequest) -> Reply:
    """List the operations of `/openapi.json`."""
    return _sent(request, _reference(request).index)


@serves("/docs/{operation:str}")
async def docs_operation(request: PlainRequest) -> Reply:
    """Tell one operation, and let it be tried."""
    told = _reference(request).operation(request.path_params["operation"])
    if told is None:
        raise HttpError("not-found", "there is no such operation: /docs lists them")
    return _sent(request, told)


def _reference(request: PlainRequest) -> Reference:
    reference: Reference = request.app.state.reference
    return reference


def _sent(request: PlainRequest, told: Asset) -> Reply:
    return respond(request, told, [*PAGE_HEADERS, *ASKED_AGAIN])


HANDLERS = (docs, docs_operation)
