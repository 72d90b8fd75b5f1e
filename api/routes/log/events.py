"""The log as it is followed: the feed, and single events to the byte."""

from dataclasses import replace
from time import monotonic

from litestar.types import ASGIApp

from api.domain.computed import RULES
from api.domain.errors import NotApplicable
from api.ledger.projecting.projection import PROJECTED
from api.ledger.reading import feed, standpoint
from api.ledger.reading.feed import Following, Stretch
from api.routes.contract.contract import Contract
from api.routes.contract.params import FeedQuery, NoQuery
from api.routes.edge.asked import BRIEF, LONG, Asked
from api.routes.edge.bodies import JSON
from api.routes.edge.negotiation import content_tag
from api.routes.edge.operation import reads
from api.routes.edge.paging import link_to, page_of, send_items, send_shown
from api.routes.edge.reply import NO_STORE, Reply, Streamed
from api.routes.log import atom, cloudevents
from api.routes.log.stream import FORMS, Form, read, stream

# The forms of the feed by their media types; the first is taken where a client does not care.
_NAMES = {
    JSON: "json",
    **{form.media_type: name for name, form in FORMS.items()},
    atom.MEDIA_TYPE: "atom",
    cloudevents.MEDIA_TYPE: "cloudevents",
}
_FEED = Contract(
    id="listEvents",
    tag="events",
    summary="Follow the log",
    description=(
        "Events after a position, in order, without gaps. `next` is where the rest of what is there goes on, and null where "
        "nothing follows, as in every list; `resume` is where to ask again later, with the same filters. A redaction passes "
        "every filter that one of the events passes which it covers, and each by itself; after `erase_id` no `id`, and for a "
        "claim redacted as a whole any `source` and `question`, since nobody knows them any more; and any `file`. `state` of a claim has the "
        "bounds of its dates, as its representation has. `limit` and `wait` are of pages, of JSON and CloudEvents."
    ),
    query=FeedQuery,
    headers=("If-None-Match", "Last-Event-ID"),
    offers=tuple(_NAMES),
    returns="FeedPage",
    answer_headers=("ETag", "Ledger-Position", "Link"),
    absent=True,
    conflicts=True,
)


@reads("/v1/events", _FEED)
async def list_events(asked: Asked[FeedQuery]) -> ASGIApp:
    query, wanted = asked.query, _wanted(asked)
    if query.exact and (wanted.is_narrowed or not wanted.with_state):
        raise NotApplicable("goes with after and limit alone", parameter="exact")
    name = asked.query.format or _NAMES[asked.media_type]
    if name in FORMS:
        return await _stream(asked, wanted, FORMS[name])
    if query.exact and name != "json":
        raise NotApplicable("goes with the forms json, ndjson, json-seq and sse", parameter="exact")
    if name == "atom":
        return await _atom(asked, wanted)
    page = await _read(asked, wanted)
    return _page(asked, wanted, page) if name == "json" else _cloud_events(asked, wanted, page)


def _wanted(asked: Asked[FeedQuery]) -> Following:
    query = asked.query
    parents = [(kind, tuple(ids)) for kind, ids in (("source", query.source), ("question", query.question)) if ids]
    return Following(
        after=_after(asked),
        limit=query.limit,
        kinds=tuple(query.kind),
        types=tuple(query.type),
        ids=tuple(query.id),
        actors=tuple(query.actor),
        parents=tuple(parents),
        files=tuple(query.file),
        with_state=query.state,
    )


def _after(asked: Asked[FeedQuery]) -> int:
    """Say where to go on: browsers that connect again name the last event that came, beside the address as it was."""
    after, last = int(asked.query.after or 0), asked.headers.get("last-event-id")
    if last is None:
        return after
    if int(last) < after:
        raise NotApplicable("names an event before `after`; leave one of them out", parameter="Last-Event-ID")
    return int(last)


async def _stream(asked: Asked[FeedQuery], wanted: Following, form: Form) -> Streamed:
    pieces = stream(asked, wanted, form)
    # What is to be refused is refused before anything is sent.
    begin = await anext(pieces)
    headers = [(b"content-type", form.media_type.encode()), (b"cache-control", NO_STORE), (b"vary", b"Accept")]
    return Streamed(headers, begin, pieces)


async def _read(asked: Asked[FeedQuery], wanted: Following) -> Stretch:
    """Read a page; an empty one, where that is wished for, again when something was recorded."""
    if asked.query.exact:
        page = await asked.read_at(LONG, feed.exact, wanted.after, wanted.limit)
    else:
        page = await asked.read_at(LONG if wanted.is_narrowed else BRIEF, feed.follow, wanted)
    until = monotonic() + asked.query.wait
    while not page.items and (left := until - monotonic()) > 0:
        with asked.services.followers.place(asked.whose):
            if not await asked.services.pulse.wait(page.last, left):
                return page
        page = await read(asked, replace(wanted, after=page.last))
    return page


def _page(asked: Asked[FeedQuery], wanted: Following, page: Stretch) -> Reply:
    resume = asked.with_query(after=page.last)
    following = resume if page.is_more else None
    beside = {"resume": resume}
    if wanted.is_narrowed:
        return send_shown(asked, page_of(page.items, {}), page.at, following, beside)
    return send_items(asked, page.items, page.at, following, beside, tag=_tag(page))


def _tag(page: Stretch) -> str:
    """Tag a page of all events: what stands at a position changes by redactions alone, and with how it is derived and computed."""
    return f'W/"{page.last}{"+" * page.is_more}.{page.at.redaction}.{PROJECTED}.{RULES}"'


def _cloud_events(asked: Asked[FeedQuery], wanted: Following, page: Stretch) -> Reply:
    body = cloudevents.render(page.items, origin=asked.services.origin)
    tag = content_tag(body) if wanted.is_narrowed else _tag(page)
    following = link_to(asked.with_query(after=page.last) if page.is_more else None)
    return asked.reply(body, at=page.at, etag=tag, media_type=cloudevents.MEDIA_TYPE, headers=following)


async def _atom(asked: Asked[FeedQuery], wanted: Following) -> Reply:
    """Give the newest events, or with `after` an archive page."""
    is_archive = asked.query.after is not None
    if not is_archive:
        head = (await asked.read(standpoint.locate)).position
        wanted = replace(wanted, after=max(0, (head - 1) // atom.A_PAGE - 1) * atom.A_PAGE)
    end = wanted.after + atom.A_PAGE * (1 if is_archive else 2)
    page = await asked.read_at(LONG, feed.follow, replace(wanted, end=end, limit=2 * atom.A_PAGE))
    links = {"self": asked.without_query()}
    if is_archive:
        links["current"] = asked.without_query("after")
    if wanted.after:
        links["prev-archive"] = asked.with_query(after=max(0, wanted.after - atom.A_PAGE))
    if is_archive and page.at.position > end:
        links["next-archive"] = asked.with_query(after=end)
    services = asked.services
    body = atom.render(page.items, origin=services.origin, begun=services.begun, links=links, in_full=asked.in_full)
    return asked.reply(body, at=page.at, etag=content_tag(body), media_type=atom.MEDIA_TYPE)


_EVENT = Contract(
    id="getEvent",
    tag="events",
    summary="Read one event to the byte",
    description="`entry` is what was hashed into the log; `salt` and `payload` are what its `payload_digest` commits to.",
    query=NoQuery,
    headers=("If-None-Match",),
    returns="ExactEvent",
    answer_headers=("ETag", "Ledger-Position"),
    absent=True,
)


@reads("/v1/events/{position:str}", _EVENT)
async def get_event(asked: Asked[NoQuery]) -> Reply:
    position = asked.path.position or 0
    found = await asked.read(feed.event, position)
    # Once redacted, the same address says less.
    tag = f'"{position}"' if found.payload is not None else f'"{position}.{found.at.redaction}"'
    return asked.reply(feed.spelt(found), at=found.at, etag=tag, is_pinned=True)


HANDLERS = (list_events, get_event)
