"""HTML as a tree, so that no text can become a tag by mistake: elements, and text with a little Markdown in it."""

import re
from xml.etree import ElementTree as ET

Content = ET.Element | str
_SPANS = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")


def tag(name: str, /, *content: Content, **attributes: str) -> ET.Element:
    """Make an element; in an attribute's name an underscore stands for a hyphen, and one at its end for nothing."""
    element = ET.Element(name, {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()})
    last: ET.Element | None = None
    for each in content:
        if isinstance(each, ET.Element):
            element.append(each)
            last = each
        elif last is None:
            element.text = (element.text or "") + each
        else:
            last.tail = (last.tail or "") + each
    return element


def code(text: str) -> ET.Element:
    return tag("code", text)


def link(address: str, text: str) -> ET.Element:
    return tag("a", text, href=address)


def prose(text: str) -> list[Content]:
    """Read what descriptions hold of Markdown: `code` and **strong**."""
    found: list[Content] = []
    end = 0
    for span in _SPANS.finditer(text):
        found += [text[end : span.start()], code(span[1]) if span[1] else tag("strong", span[2])]
        end = span.end()
    return [*found, text[end:]]


def paragraphs(text: str) -> list[ET.Element]:
    return [tag("p", *prose(each)) for each in text.split("\n\n") if each.strip()]


def page(*content: ET.Element) -> bytes:
    """Write a whole page, in English."""
    text: str = ET.tostring(tag("html", *content, lang="en"), "unicode", method="html")
    return f"<!doctype html>\n{text}\n".encode()
