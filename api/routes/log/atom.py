"""The feed as news readers take it: Atom (RFC 4287), its pages archived (RFC 5005).

The newest events are the feed that is subscribed to; each hundred positions before them are an archive page, which
changes by redactions alone.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final
from xml.sax.saxutils import XMLGenerator

from api.routes.log.items import Item, read_item

MEDIA_TYPE: Final = "application/atom+xml"
# Positions in an archive page.
A_PAGE: Final = 100
_NAMESPACES = {"xmlns": "http://www.w3.org/2005/Atom", "xmlns:fh": "http://purl.org/syndication/history/1.0"}


def tag(origin: str, day: str, what: str) -> str:
    """Name something for good by the log's origin and a day on which it bore that name: a tag URI (RFC 4151)."""
    authority, _, rest = origin.partition("/")
    return f"tag:{authority},{day}:{'/'.join(filter(None, (rest, what)))}"


def render(
    items: Sequence[bytes], *, origin: str, begun: str, links: Mapping[str, str], in_full: Callable[[str], str]
) -> bytes:
    """Write a page of the feed, the newest event first.

    `begun` is the time of the log's first event, `links` are relations and addresses; `in_full` spells an address so.
    """
    told = list(map(read_item, items))
    out = io.BytesIO()
    writer = _Writer(out)
    writer.startDocument()
    with writer.element("feed", _NAMESPACES):
        writer.text("id", tag(origin, begun[:10], "events"))
        writer.text("title", f"Events of {origin}")
        writer.text("updated", told[-1].recorded_at if told else begun)
        for relation, address in links.items():
            writer.empty("link", {"rel": relation, "href": in_full(address), "type": MEDIA_TYPE})
        if "current" in links:
            writer.empty("fh:archive", {})
        for item in reversed(told):
            _write_entry(writer, item, origin, in_full)
    return out.getvalue()


def _write_entry(writer: "_Writer", item: Item, origin: str, in_full: Callable[[str], str]) -> None:
    with writer.element("entry", {}):
        writer.text("id", tag(origin, item.recorded_at[:10], f"events/{item.position}"))
        writer.text(
            "title", " ".join(filter(None, (item.kind, item.id, item.type, "(redacted)" * bool(item.redacted))))
        )
        writer.text("updated", item.recorded_at)
        with writer.element("author", {}):
            writer.text("name", item.actor or origin)
        writer.empty("category", {"term": item.kind})
        writer.empty("category", {"term": item.type})
        writer.empty("link", {"rel": "alternate", "href": in_full(item.address), "type": "application/json"})
        if item.reason is not None:
            writer.text("summary", item.reason)


class _Writer(XMLGenerator):
    """Writes elements, and what they hold."""

    def __init__(self, out: io.BytesIO) -> None:
        super().__init__(out, encoding="utf-8", short_empty_elements=True)

    @contextmanager
    def element(self, name: str, attributes: Mapping[str, str]) -> Iterator[None]:
        self.startElement(name, dict(attributes))  # type: ignore[arg-type]
        yield
        self.endElement(name)

    def empty(self, name: str, attributes: Mapping[str, str]) -> None:
        with self.element(name, attributes):
            pass

    def text(self, name: str, content: str) -> None:
        with self.element(name, {}):
            self.characters(content)
