"""What a served ledger answers, held to what the log itself answers: the same requests to both, and the same JSON back.

What the log answers is worked out first, so nothing that a server sends makes more work or takes more memory than the
truth does. Of what is asked without a position, a server that goes on may say something later; it must come to sign it.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

import msgspec

from api.domain.errors import Unavailable
from api.verifying.findings import Findings
from api.verifying.requests import Request, Section, Shape, feed_page
from api.verifying.site import Site

Answer = tuple[int, bytes]
Answering = Callable[[str], Awaitable[Answer]]
Step = Callable[[str, int, int], None]

_AHEAD = 8
# What a server may say beyond what the log answers: what came later, or what a newer version adds.
_SLACK = 64 * 1024
_TELLING = 4096
_OK, _FAULT = 200, 500
_PATIENCE, _PAUSE = 10, 0.5
_NOTHING = object()


class Changed(Exception):
    """Something was redacted since the checkpoint, so what is served may lawfully say less than the log that was read."""


@dataclass(slots=True)
class _Asked:
    """A request under way, with what the log answers."""

    request: Request
    own: Answer
    served: Awaitable[Answer]


class Comparison:
    """Asks both sides. `count` answers were compared, and `later` of them were of what is recorded since."""

    def __init__(self, findings: Findings, site: Site, own: Answering, size: int, *, is_same_version: bool) -> None:
        self._findings, self._site, self._own, self._size = findings, site, own, size
        self._is_exact = is_same_version
        self._waiting: deque[_Asked] = deque()
        self._latest = size
        self.count = self.later = 0

    def hold(self, section: Section, step: Step) -> None:
        """Ask all of a section. Raises Changed, and Unavailable where the server is gone."""
        done = 0
        step(section.name, done, section.count)
        for request in section.requests:
            if request is None:
                done += 1
                step(section.name, done, section.count)
                continue
            following: Request | None = request
            while following is not None:
                following = self._ask(following)
        while self._waiting:
            self._judge(self._waiting.popleft())

    def finish(self) -> None:
        """Hold the server to what it said of later positions: it must sign them."""
        if self._latest == self._size or self._signs(self._latest):
            return
        self._findings.add(f"answers are given of position {self._latest}, which no checkpoint signs", self._latest)

    def _ask(self, request: Request) -> Request | None:
        """Work out what the log answers and ask the server meanwhile; gives the request for the next page."""
        status, body = self._site.wait(self._own(request.path))
        if status >= _FAULT:
            self._findings.add(f"{request.path} cannot be answered from the log", request.position)
            return None
        served = self._site.ask_soon(request.path, most=_TELLING * 4 + 4 * len(body) + _SLACK)
        self._waiting.append(_Asked(request, (status, body), served))
        if len(self._waiting) > _AHEAD:
            self._judge(self._waiting.popleft())
        return _following(request, body) if status == _OK else None

    def _judge(self, asked: _Asked) -> None:
        path, position = asked.request.path, asked.request.position
        self.count += 1
        try:
            status, body = self._site.wait(asked.served)
        except Unavailable as trouble:
            # Raises where nobody is there any more.
            self._site.get("/tlog/checkpoint", most=_SLACK)
            self._differs(f"{trouble}", position)
            return
        if (status, body) == asked.own:
            return
        if status != asked.own[0]:
            self._differs(f"{path} answered {status}, and by the log it is {asked.own[0]}", position)
            return
        place = self._place(asked.request.shape, asked.own[1], body)
        if place is not None:
            self._differs(f"{path} says something else than the log does, at {place or 'its root'}", position)

    def _differs(self, what: str, position: int | None) -> None:
        if self._redacted_since():
            raise Changed
        self._findings.add(what, position)

    def _place(self, shape: Shape, own: bytes, served: bytes) -> str | None:
        """Give where the two differ, as a JSON Pointer, or None if nowhere."""
        try:
            ours, theirs = msgspec.json.decode(own), msgspec.json.decode(served)
        except (ValueError, RecursionError):
            return ""
        if shape is Shape.CURRENT and self._is_later(theirs):
            return None
        if shape is Shape.MOMENTS:
            theirs = self._without_later(theirs, "mementos", "revision", _last(ours, "mementos", "revision"))
        elif shape is Shape.EVENTS:
            ours = self._without_later(_proved(ours), "items", "position", self._size)
            theirs = self._without_later(_proved(theirs), "items", "position", self._size)
        return difference(ours, theirs, is_exact=self._is_exact)

    def _without_later(self, told: object, name: str, key: str, last: int) -> object:
        """Take out what the server came to know since. It must come to sign that there is more."""
        if not isinstance(told, dict) or not isinstance(listed := told.get(name), list):
            return told
        kept = [each for each in listed if not (isinstance(each, dict) and _number(each.get(key)) > last)]
        if len(kept) < len(listed):
            self._latest = max(self._latest, self._size + 1)
        # Where to go on, and where the server is, change as it goes on.
        moving = ("next", "resume", "position") if name == "items" else ()
        return {**{each: value for each, value in told.items() if each not in moving}, name: kept}

    def _is_later(self, told: object) -> bool:
        position = _number(told.get("position")) if isinstance(told, dict) else 0
        if position <= self._size:
            return False
        self.later += 1
        self._latest = max(self._latest, position)
        return True

    def _redacted_since(self) -> bool:
        path = f"/v1/events?type=redacted&state=false&limit=1&after={self._size}"
        status, body = self._site.ask(path, most=_SLACK)
        if status != _OK:
            return False
        try:
            return bool(_ITEMS.decode(body).items)
        except ValueError:
            return False

    def _signs(self, position: int) -> bool:
        for _ in range(_PATIENCE):
            lines = self._site.get("/tlog/checkpoint", most=_SLACK).split(b"\n", 2)
            if len(lines) > 1 and lines[1].isdigit() and int(lines[1][:16]) >= position:
                return True
            time.sleep(_PAUSE)
        return False


class _Items(msgspec.Struct, frozen=True):
    """A page of the feed of which it matters alone whether it is empty."""

    items: list[msgspec.Raw]


class _Page(msgspec.Struct, frozen=True):
    """Where a page goes on."""

    next: str | None = None


class _Place(msgspec.Struct, frozen=True):
    position: int


class _Events(msgspec.Struct, frozen=True):
    """The positions on a page of the feed."""

    items: list[_Place]


_ITEMS, _PAGE, _EVENTS = (
    msgspec.json.Decoder(_Items),
    msgspec.json.Decoder(_Page),
    msgspec.json.Decoder(_Events),
)


def _following(request: Request, own: bytes) -> Request | None:
    """Give the request that the log's own answer leads to: a server cannot make the way longer."""
    if request.is_whole and request.shape is Shape.PINNED and own.startswith(b"{"):
        path = _PAGE.decode(own).next
        return replace(request, path=path) if path is not None else None
    if request.shape is Shape.EVENTS and request.until is not None:
        last = _EVENTS.decode(own).items[-1].position
        return feed_page(last, request.until) if last < request.until else None
    return None


def difference(ours: object, theirs: object, *, is_exact: bool) -> str | None:
    """Give a JSON Pointer to where two values differ first, None where nowhere.

    Unless it is exact, members that theirs alone has do not count: a newer version may say more.
    """
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if is_exact and len(theirs) > len(ours):
            return ""
        pairs = ((name, value, theirs.get(name, _NOTHING)) for name, value in ours.items())
        return _first(pairs, is_exact=is_exact)
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return _first(zip(range(len(ours)), ours, theirs, strict=True), is_exact=is_exact)
    return None if type(ours) is type(theirs) and ours == theirs else ""


def _first(pairs: Iterable[tuple[object, object, object]], *, is_exact: bool) -> str | None:
    for name, ours, theirs in pairs:
        below = difference(ours, theirs, is_exact=is_exact)
        if below is not None:
            return f"/{name}{below}"
    return None


def _proved(told: object) -> object:
    """Leave out of a page of the feed the names of files, which the log does not hold."""
    if not isinstance(told, dict) or not isinstance(items := told.get("items"), list):
        return told
    kept = [{name: each[name] for name in each if name != "file"} if isinstance(each, dict) else each for each in items]
    return {**told, "items": kept}


def _last(told: object, name: str, key: str) -> int:
    listed = told.get(name) if isinstance(told, dict) else None
    return max((_number(each.get(key)) for each in listed or ()), default=0)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
