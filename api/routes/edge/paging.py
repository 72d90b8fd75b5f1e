"""Pages: some items, where to go on, and a tag that many records make. What was rendered before is joined, not read."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw

from api.domain.dates.asof import Standpoint
from api.ledger.reading.standpoint import Page
from api.routes.contract.params import Strict
from api.routes.edge.asked import Asked
from api.routes.edge.reply import Headers, Reply


def send_page(
    asked: Asked[Strict], page: Page, more: Mapping[str, object] | None = None, *, is_whole: bool = True
) -> Reply:
    """Reply with `{items, next, position}` and what stands beside; `next` pins the position that it was read at.

    Items that are not whole get no tag.
    """
    following = onward(asked, page.at, page.last)
    body = page_of(page.items, {"next": following, **(more or {}), "position": page.at.position})
    etag = weak_tag(page.at) if is_whole else None
    return asked.reply(body, at=page.at, etag=etag, headers=link_to(following))


def onward(asked: Asked[Strict], at: Standpoint, last: str | None) -> str | None:
    """Give the address of the next page, at the position that this one was read at; None where nothing follows."""
    return None if last is None else asked.with_query(as_of=at.position, cursor=last)


def link_to(following: str | None) -> Headers:
    """Link the next page, if there is one (RFC 8288)."""
    return [(b"link", f'<{following}>; rel="next"'.encode())] if following else []


def page_of(items: Sequence[bytes], beside: Mapping[str, object]) -> bytes:
    """Write `{items, …}` in JSON, given the items as JSON already."""
    return b'{"items":[%b],%b' % (b",".join(items), msgspec.json.encode(beside)[1:])


def array_of(items: Sequence[bytes]) -> Raw:
    """Make one JSON array of what is JSON already."""
    return Raw(b"[%s]" % b",".join(items))


def documents_by_id(documents: Mapping[str, bytes]) -> dict[str, Raw]:
    """Make one JSON object of representations."""
    return {public_id: Raw(document) for public_id, document in documents.items()}


def weak_tag(at: Standpoint) -> str:
    """Tag an answer that many records make: it changes with the position, and with a redaction."""
    return f'W/"{at.position}.{at.redaction}"'
