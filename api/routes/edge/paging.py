"""Pages: some items, where to go on, and a tag that what is shown makes. What was rendered before is joined, not read."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw

from api.domain.dates.asof import Standpoint
from api.ledger.reading.standpoint import Page
from api.routes.contract.params import Strict
from api.routes.edge.asked import Asked
from api.routes.edge.negotiation import content_tag
from api.routes.edge.reply import Headers, Reply


def send_page(
    asked: Asked[Strict], page: Page, more: Mapping[str, object] | None = None, *, is_whole: bool = True
) -> Reply:
    """Reply with `{items, next, position}` and what stands beside; `next` pins the position that it was read at.

    Items that are not whole get no tag.
    """
    following = onward(asked, page.at, page.last)
    return send_shown(asked, page_of(page.items, more or {}), page.at, following, is_tagged=is_whole)


def send_shown(
    asked: Asked[Strict],
    shown: bytes,
    at: Standpoint,
    following: str | None,
    beside: Mapping[str, object] | None = None,
    *,
    is_tagged: bool = True,
) -> Reply:
    """Reply with an object of JSON, and in it where to go on and the position that it was read at.

    The tag changes with what is shown alone, and with whether more follows: the same may be held while the ledger grows
    elsewhere. Where to go on stands in `Link` too, where a 304 tells it anew. `beside` is not tagged, either.
    """
    etag = content_tag(shown + b"+" * (following is not None)) if is_tagged else None
    return asked.reply(
        spliced(shown, _around(at, following, beside or {})), at=at, etag=etag, headers=link_to(following)
    )


def send_items(
    asked: Asked[Strict],
    items: Sequence[bytes],
    at: Standpoint,
    following: str | None,
    beside: Mapping[str, object],
    *,
    tag: str,
) -> Reply:
    """Reply as `send_shown` does with items in JSON, under a tag of one's own: a page of 100 KB and more is copied once."""
    parts = [part for item in items for part in (b",", item)]
    body = b"".join([b'{"items":[', *parts[1:], b"],", _around(at, following, beside)[1:]])
    return asked.reply(body, at=at, etag=tag, headers=link_to(following))


def _around(at: Standpoint, following: str | None, beside: Mapping[str, object]) -> bytes:
    return msgspec.json.encode({**beside, "next": following, "position": at.position})


def spliced(first: bytes, second: bytes) -> bytes:
    """Make one object of JSON of two that have members."""
    return b"".join((memoryview(first)[:-1], b",", memoryview(second)[1:]))


def onward(asked: Asked[Strict], at: Standpoint, last: str | None) -> str | None:
    """Give the address of the next page, at the position that this one was read at; None where nothing follows."""
    return None if last is None else asked.with_query(as_of=at.position, cursor=last)


def link_to(following: str | None) -> Headers:
    """Link the next page, if there is one (RFC 8288)."""
    return [(b"link", f'<{following}>; rel="next"'.encode())] if following else []


def page_of(items: Sequence[bytes], more: Mapping[str, object]) -> bytes:
    """Write `{items, …}` in JSON, given the items as JSON already."""
    listed = b'{"items":[%b]}' % b",".join(items)
    return spliced(listed, msgspec.json.encode(more)) if more else listed


def array_of(items: Sequence[bytes]) -> Raw:
    """Make one JSON array of what is JSON already."""
    return Raw(b"[%s]" % b",".join(items))


def documents_by_id(documents: Mapping[str, bytes]) -> dict[str, Raw]:
    """Make one JSON object of representations."""
    return {public_id: Raw(document) for public_id, document in documents.items()}
