"""The feed in forms that go on: lines of JSON up to the head, and server-sent events, which go on when it is reached.

https://github.com/ndjson/ndjson-spec, RFC 7464 (JSON text sequences), and server-sent events as HTML has them
(https://html.spec.whatwg.org/multipage/server-sent-events.html).
"""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from api.domain.errors import LedgerError
from api.ledger.reading import feed
from api.ledger.reading.feed import Following, Stretch
from api.routes.contract.params import FeedQuery
from api.routes.edge.asked import LONG, Asked

# Seconds without an event after which a follower is shown that the connection still stands.
HEARTBEAT: Final = 15.0
# Events that are read at a time: some hundred KB.
_AT_ONCE = 200
_STILL_THERE = b": still there\n\n"


@dataclass(frozen=True, slots=True)
class Form:
    """How events are written one after another, each given by its position and its JSON."""

    media_type: str
    written: Callable[[int, bytes], bytes]
    is_live: bool = False

    def all_of(self, page: Stretch) -> bytes:
        return b"".join(map(self.written, page.positions, page.items))


FORMS: Final = {
    "ndjson": Form("application/x-ndjson", lambda _, item: item + b"\n"),
    "json-seq": Form("application/json-seq", lambda _, item: b"\x1e%b\n" % item),
    "sse": Form("text/event-stream", lambda position, item: b"id: %d\ndata: %b\n\n" % (position, item), is_live=True),
}


async def read(asked: Asked[FeedQuery], wanted: Following) -> Stretch:
    """Read the events that come next; several who wait for the same ones have them read once."""

    async def read_once() -> Stretch:
        if asked.query.exact:
            return await asked.read_at(LONG, feed.exact, wanted.after, wanted.limit)
        return await asked.read_at(LONG, feed.follow, wanted)

    return await asked.services.pulse.share((wanted, asked.query.exact), read_once)


async def stream(asked: Asked[FeedQuery], wanted: Following, form: Form) -> AsyncGenerator[bytes]:
    """Give the events after a position, up to the head or, in a form that is live, for as long as they are wanted."""
    wanted = replace(wanted, limit=_AT_ONCE)
    if form.is_live:
        with asked.services.followers.place(asked.whose):
            async for piece in _live(asked, wanted, form):
                yield piece
        return
    piece, last, head = await _next(asked, wanted, form)
    yield piece
    while last < head:
        piece, last, _ = await _next(asked, replace(wanted, after=last), form)
        yield piece


async def _next(asked: Asked[FeedQuery], wanted: Following, form: Form) -> tuple[bytes, int, int]:
    """Write the events that come next: with the position up to which none is left out, and that of the head.

    The page that was read is not kept: many followers wait for long behind it.
    """
    page = await read(asked, wanted)
    return form.all_of(page), page.last, page.at.position


async def _live(asked: Asked[FeedQuery], wanted: Following, form: Form) -> AsyncGenerator[bytes]:
    pulse, has_begun, has_caught_up = asked.services.pulse, False, False
    while await _goes_on(asked):
        try:
            piece, last, head = await _next(asked, wanted, form)
        except LedgerError:
            if not has_begun:
                raise
            # Who connects again is told what is wrong.
            return
        has_begun = True
        yield piece or _STILL_THERE
        wanted = replace(wanted, after=last)
        if last < head:
            continue
        if not has_caught_up:
            has_caught_up = True
            yield await _caught_up(asked, last)
        while not await pulse.wait(last, HEARTBEAT):
            if not await _goes_on(asked):
                return
            yield _STILL_THERE


async def _goes_on(asked: Asked[FeedQuery]) -> bool:
    """Say whether there is somebody to follow for: the process is not to end, and the key that was sent is good still."""
    services = asked.services
    if services.pulse.is_stopping:
        return False
    return asked.caller is None or await services.keyring.recognise(asked.headers.get("authorization")) is not None


async def _caught_up(asked: Asked[FeedQuery], position: int) -> bytes:
    """Tell that from here on events come as they are recorded: up to which position all were sent, and the checkpoint."""
    signed = await asked.services.checkpoints.read_latest()
    told = msgspec.json.encode({"position": position, "checkpoint": signed.note})
    return b"event: caught-up\ndata: %b\n\n" % told
