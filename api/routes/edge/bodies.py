"""How a request's body is read: its type, size, pace and depth, and how much of all bodies a process holds at a time.

What is done with a large body is done in threads of its own, so that neither reads nor checkpoints wait for it.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from litestar.exceptions import InternalServerException

from api.domain.errors import BadBody
from api.domain.text import measure
from api.ledger.storage.threads import Threads
from api.routes.edge.exchange import PATIENCE, PlainRequest
from api.routes.edge.problems import HttpError
from api.settings import Settings

Given = ParamSpec("Given")
Result = TypeVar("Result")

JSON = "application/json"
NDJSON = "application/x-ndjson"
# JSON texts, one to a line, under either name: none was ever registered.
LINES = (NDJSON, "application/ndjson")
_THREADS = 2
# Up to here a body is looked at in the event loop, where it takes a fraction of a millisecond.
_SMALL = 16 * 1024
# Seconds after which it is worth while to send again what there was no room for.
_BUSY = "2"
_NUMBER = re.compile("[0-9]{1,18}")
_UTF_8 = frozenset({"utf-8", "utf8"})
_MOST_PARAMETERS = 10


class Bodies:
    """Reads the bodies of one process. For one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held = 0
        self._threads = Threads(_THREADS, thread_name_prefix="body")

    @asynccontextmanager
    async def read(self, request: PlainRequest, most: int) -> AsyncIterator[bytes]:
        """Read a body whole, and count it for as long as its request is under way.

        Raises HttpError for one too large, too slow or out of turn; BadBody for a torn one.
        """
        share = _Share()
        try:
            yield await self._read(request, most, share)
        finally:
            self._held -= share.size

    async def work(self, size: int, job: Callable[Given, Result], *given: Given.args, **named: Given.kwargs) -> Result:
        """Do what takes the longer the larger a body is: at once for a small one, else in a thread."""
        if size <= _SMALL:
            return job(*given, **named)
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(job, *given, **named))

    async def _read(self, request: PlainRequest, most: int, share: "_Share") -> bytes:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.body_deadline
        raw: bytes | bytearray = b""
        try:
            async with asyncio.timeout_at(min(clock() + PATIENCE, deadline)) as patience:
                async for piece in request.stream():
                    self._make_room(share, len(raw) + len(piece), most)
                    patience.reschedule(min(clock() + PATIENCE, deadline))
                    if not raw:
                        # Mostly the first piece is all.
                        raw = piece
                        continue
                    raw = raw if isinstance(raw, bytearray) else bytearray(raw)
                    raw += piece
        except TimeoutError:
            raise HttpError("request-timeout", self._too_slow(is_due=clock() >= deadline)) from None
        except InternalServerException:
            raise BadBody("ends before it is whole") from None
        return bytes(raw)

    def _make_room(self, share: "_Share", size: int, most: int) -> None:
        """Hold a further piece. Raises HttpError where the body, or all bodies together, would be too much.

        What counts is what has come, not what was announced, so that nobody takes room by a promise. The beginning of
        a body does not count: what is small finds room however much is under way.
        """
        if size > most:
            raise _too_large(most)
        counted = max(0, size - _SMALL) - share.size
        if self._held + counted > self._settings.max_bodies:
            raise HttpError("unavailable", "more is being sent than is taken at a time", (("Retry-After", _BUSY),))
        share.size += counted
        self._held += counted

    def _too_slow(self, *, is_due: bool) -> str:
        if is_due:
            return f"the body was not whole within {self._settings.body_deadline} s"
        return f"nothing more of the body came for {PATIENCE} s"

    def close(self) -> None:
        self._threads.shutdown()


class _Share:
    """What one body takes of what all may hold, in bytes."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0


def check_head(headers: Mapping[str, str], media_types: Sequence[str], most: int) -> None:
    """Judge a body by what its head says of it. Raises HttpError for one too large or of another type."""
    length = headers.get("content-length", "")
    if _NUMBER.fullmatch(length) and int(length) > most:
        raise _too_large(most)
    given = headers.get("content-type", "")
    if media_type_of(given) not in media_types:
        raise HttpError("unsupported-media-type", "send Content-Type: " + " or ".join(media_types))
    if not _is_utf_8(given):
        raise HttpError("unsupported-media-type", "send the body in UTF-8, and name no other charset")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise HttpError("unsupported-media-type", "send the body without a content encoding")


def check_depth(raw: bytes, most: int) -> None:
    """Raise HttpError for a JSON text that nests more than `most` levels deep."""
    if raw.count(b"[") + raw.count(b"{") > most and measure(raw, deepest=most).depth > most:
        raise too_deep(most)


def too_deep(most: int) -> HttpError:
    return HttpError("too-large", f"JSON nests at most {most} levels deep here")


def media_type_of(content_type: str) -> str:
    """Give what a Content-Type names, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def _is_utf_8(content_type: str) -> bool:
    """Say whether a Content-Type names no other charset than the one of JSON (RFC 8259 section 8.1)."""
    parameters = (each.partition("=") for each in content_type.lower().split(";", _MOST_PARAMETERS)[1:])
    return all(value.strip(" \t\"'") in _UTF_8 for name, _, value in parameters if name.strip() == "charset")


def is_lines(content_type: str) -> bool:
    """Say whether a body of this type is JSON texts, one to a line."""
    return media_type_of(content_type) in LINES


def _too_large(most: int) -> HttpError:
    return HttpError("too-large", f"a body here holds at most {most} bytes")
