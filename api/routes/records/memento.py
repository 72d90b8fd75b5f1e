"""Memento (RFC 7089): every record is the timegate and the timemap of its own past, and every revision a memento."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import msgspec

from api.domain.dates import edtf
from api.domain.dates.asof import Standpoint
from api.domain.errors import BadParameter
from api.domain.log.event import stamp
from api.domain.records.kinds import Kind
from api.ledger.reading import views
from api.ledger.reading.views import View
from api.ledger.storage.reads import Reads
from api.routes.contract.params import NoQuery, Strict
from api.routes.edge.asked import Asked
from api.routes.edge.negotiation import content_tag
from api.routes.edge.query import BAD_HTTP_DATE
from api.routes.edge.reply import Reply, http_date

LINK_FORMAT = "application/link-format"
# Numbers of revisions, and when those were recorded, in microseconds.
Moments = list[tuple[int, int]]
_SECOND = 1_000_000


def links(url: str, *more: str) -> tuple[bytes, bytes]:
    """Link a record's timegate, timemap and history, by its address in full (RFC 7089 section 2.2; RFC 5829)."""
    linked = (
        f'<{url}>; rel="original timegate", <{url}/timemap>; rel="timemap"; type="{LINK_FORMAT}",'
        f' <{url}/revisions>; rel="version-history"'
    )
    return b"link", ", ".join((linked, *more)).encode()


def dated(view: View) -> tuple[bytes, bytes]:
    """Say when a revision was recorded (RFC 7089 section 2.1.1)."""
    return b"memento-datetime", http_date(view.revised_at).encode()


async def negotiate(asked: Asked[Strict], kind: Kind, wanted: str) -> Reply:
    """Redirect to the revision in force at the last microsecond of that second (RFC 7089 section 4.1.2)."""
    moment = _read_http_date(wanted) + _SECOND - 1
    revision, beside, at = await asked.read(views.revision_at, kind.name, asked.id, moment)
    url = f"{kind.path}/{asked.id}"
    linked = links(asked.in_full(url), *_mementos(asked.in_full(url), revision, beside))
    headers = [(b"location", f"{url}/revisions/{revision}".encode()), linked]
    return asked.reply(b"", at=at, headers=headers, status=302, media_type="text/plain")


def _read_http_date(text: str) -> int:
    """Read a date as HTTP writes it (RFC 9110 section 5.6.7), in microseconds. Raises BadParameter for one that is none."""
    try:
        # email.utils would take the year 0068 for 2068.
        return edtf.to_us(datetime.strptime(text[5:], "%d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC))
    except ValueError:
        raise BadParameter("header", "Accept-Datetime", BAD_HTTP_DATE) from None


def _mementos(url: str, chosen: int, beside: Moments) -> list[str]:
    """Link the memento chosen and those around it (RFC 7089 section 2.2.4)."""
    numbers = [number for number, _ in beside]
    place = numbers.index(chosen)
    places = {"first": 0, "prev": place - 1, "next": place + 1, "last": len(beside) - 1}
    linked = []
    for here, (number, moment) in enumerate(beside):
        relations = " ".join([*(name for name, there in places.items() if there == here), "memento"])
        linked.append(f'<{url}/revisions/{number}>; rel="{relations}"; datetime="{http_date(moment)}"')
    return linked


async def timemap(asked: Asked[NoQuery], kind: Kind) -> Reply:
    """Reply with every revision and its time, as link-format (RFC 7089 section 5) or JSON; never paged."""
    url = f"{kind.path}/{asked.id}"
    is_link_format = asked.media_type == LINK_FORMAT
    # The two forms differ, and so do their tags (RFC 9110 section 8.8.3).
    write = partial(_link_format, asked.in_full(url)) if is_link_format else partial(_json_map, url)
    body, etag, at = await asked.read(_timemap, kind.name, asked.id, write)
    return asked.reply(body, at=at, etag=etag, media_type=asked.media_type)


def _timemap(
    access: Reads, kind: str, public_id: str, write: Callable[[Moments], bytes]
) -> tuple[bytes, str, Standpoint]:
    """Read a record's moments, write and tag them, where the reading is done: there may be very many."""
    known, at = views.moments(access, kind, public_id)
    body = write(known)
    return body, content_tag(body), at


def _json_map(url: str, known: Moments) -> bytes:
    mementos = [
        {"revision": number, "datetime": stamp(moment), "uri": f"{url}/revisions/{number}"} for number, moment in known
    ]
    body = {"original": url, "timegate": url, "timemap": f"{url}/timemap", "mementos": mementos}
    return msgspec.json.encode(body)


def _link_format(url: str, known: Moments) -> bytes:
    first, last = http_date(known[0][1]), http_date(known[-1][1])
    lines = [
        f'<{url}>;rel="original timegate"',
        f'<{url}/timemap>;rel="self";type="{LINK_FORMAT}";from="{first}";until="{last}"',
    ]
    for number, moment in known:
        ends = ("first " if number == known[0][0] else "") + ("last " if number == known[-1][0] else "")
        lines.append(f'<{url}/revisions/{number}>;rel="{ends}memento";datetime="{http_date(moment)}"')
    return (",\n".join(lines) + "\n").encode()
