"""One record: as it stands or stood, one revision of it, its history, and what changed between two revisions."""

import msgspec

from api.domain.records.kinds import Kind
from api.domain.records.representation import VERSIONS
from api.ledger.reading import views
from api.ledger.reading.beside import with_beside
from api.ledger.reading.standpoint import Page
from api.ledger.reading.views import View
from api.routes.contract.params import HistoryQuery, NoQuery, RecordQuery, RevisionDiffQuery, Strict
from api.routes.edge.asked import COMPUTES, Asked
from api.routes.edge.negotiation import content_tag, revision_tag
from api.routes.edge.paging import send_page, spliced
from api.routes.edge.reply import Headers, Reply
from api.routes.records import listing, memento

PATCH = "application/json-patch+json"


async def read(asked: Asked[RecordQuery], kind: Kind) -> Reply:
    """Reply with a record, now or at `as_of`; or send a Memento client on to the revision of its time."""
    if asked.query.as_of is not None:
        view = await asked.read(views.as_of, kind.name, asked.id, asked.as_of)
        place = (b"content-location", f"{kind.path}/{asked.id}/revisions/{view.revision}".encode())
        return await _shown(asked, kind, view, [memento.dated(view), place])
    wanted = asked.headers.get("accept-datetime")
    if wanted is not None:
        return await memento.negotiate(asked, kind, wanted)
    return await _shown(asked, kind, await asked.read(views.current, kind.name, asked.id), [])


async def _shown(asked: Asked[RecordQuery], kind: Kind, view: View, more: Headers) -> Reply:
    fields, beside, headers = asked.query.fields, listing.wanted_beside(asked.query), [_linked(asked, kind), *more]
    body = view.document if fields is None else listing.only(view.document, fields)
    etag = _tag(kind, view)
    if beside.is_wanted:
        page = Page([view.document], [""], False, view.at)
        _, found = await asked.read(with_beside, page, kind.name, beside)
        body = spliced(body, msgspec.json.encode(listing.maps_of(found)))
        etag = content_tag(body)
    return asked.reply(body, at=view.at, etag=etag if fields is None else None, headers=headers)


def _tag(kind: Kind, view: View) -> str:
    return revision_tag(view.position, VERSIONS[kind.name])


def _linked(asked: Asked[Strict], kind: Kind) -> tuple[bytes, bytes]:
    return memento.links(asked.in_full(f"{kind.path}/{asked.id}"))


async def revision(asked: Asked[NoQuery], kind: Kind) -> Reply:
    """Reply with one past version."""
    view = await asked.read(views.numbered, kind.name, asked.id, asked.n)
    headers = [_linked(asked, kind), memento.dated(view)]
    return asked.reply(view.document, at=view.at, etag=_tag(kind, view), headers=headers)


async def history(asked: Asked[HistoryQuery], kind: Kind) -> Reply:
    """Reply with the lines of a record's history."""
    cursor = asked.query.cursor
    page = await asked.read(
        views.history, kind.name, asked.id,
        asked=asked.as_of, cursor=int(cursor) if cursor is not None else None, limit=asked.query.limit,
    )  # fmt: skip
    return send_page(asked, page)


async def diff(asked: Asked[RevisionDiffQuery], kind: Kind) -> Reply:
    """Reply with the patch from one revision to another."""
    old, new = asked.query.old, asked.query.new
    patch, at = await asked.read_at(COMPUTES, views.difference, kind.name, asked.id, old=old, new=new)
    return asked.reply(patch, at=at, etag=content_tag(patch), media_type=asked.media_type)
