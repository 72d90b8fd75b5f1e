"""Link-format as a client reads it: RFC 6690 section 2, the grammar of RFC 8288 section 3, to the last character.

White space may stand around what separates links and attributes, as it does in the TimeMaps that RFC 7089 prints.
"""

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Link:
    """One link-value: its target, and its attributes, of which `rel` is a list of relation types."""

    target: str
    rel: tuple[str, ...]
    attributes: dict[str, str] = field(default_factory=dict)


_TARGET = re.compile(r"<([A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*)>")
_NAME = re.compile(r"[A-Za-z0-9!#$&+\-.^_`|~]+\*?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'()*+\-./:<=>?@\[\]^_`{|}~]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_RELATION = re.compile(r"[a-z][a-z0-9.\-]*|[a-z][a-z0-9+.\-]*:[^\s\"]+")
_SPACE = re.compile(r"[ \t\r\n]*")


def parse(text: str) -> list[Link]:
    """Read link-format or a Link field, all of it; AssertionError with the rest where the grammar ends."""
    links, at = [], _skip(text, 0)
    while True:
        link, at = _link(text, at)
        links.append(link)
        if at == len(text):
            return links
        assert text[at] == ",", text[at:]
        at = _skip(text, at + 1)


def _link(text: str, at: int) -> tuple[Link, int]:
    target, at = _expect(_TARGET, text, at)
    attributes: dict[str, str] = {}
    while at < len(text) and text[at] == ";":
        name, at = _expect(_NAME, text, _skip(text, at + 1))
        assert name not in attributes, f"{name} stands twice on one link"
        attributes[name] = ""
        if at < len(text) and text[at] == "=":
            start = _skip(text, at + 1)
            attributes[name], at = _expect(_QUOTED if text[start] == '"' else _TOKEN, text, start)
    rel = tuple(attributes.pop("rel").split(" "))
    assert all(_RELATION.fullmatch(relation) for relation in rel), rel
    return Link(target, rel, attributes), at


def _expect(pattern: re.Pattern[str], text: str, at: int) -> tuple[str, int]:
    found = pattern.match(text, at)
    assert found, f"{pattern.pattern} expected at {text[at : at + 40]!r}"
    return found[found.lastindex or 0], _skip(text, found.end())


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def of(links: list[Link], relation: str) -> list[Link]:
    return [link for link in links if relation in link.rel]
