"""The log as it is followed: the feed, and single events to the byte."""

from dataclasses import replace
from time import monotonic

from litestar.types import ASGIApp

from api.domain.computed import RULES
from api.domain.errors import NotApplicable
from api.ledger.projecting.projection import PROJECTED
from api.ledger.reading import feed
from api.ledger.reading.feed import Following, Stretch
from api.routes.contract.contract import Contract
from api.routes.contract.params import FeedQuery, NoQuery
from api.routes.edge.asked import BRIEF, LONG, Asked
from api.routes.edge.operation import reads
from api.routes.edge.paging import page_of, send_items, send_shown
from api.routes.edge.reply import NO_STORE, Reply, Streamed
from api.routes.log.stream import FORMS, Form, read, stream

_FEED = Contract(
    id="listEvents",
    tag="events",
    summary="Follow the log",
    description=(
        "Events after a position, in order, without gaps. `next` is where the rest of what is there goes on, and null where "
        "nothing follows, as in every list; `resume` is where to ask again later, with the same filters. A redaction passes "
        "every filter that one of the events passes which it covers, and each by itself; after `erase_id` no `id`, and for a "
        "claim redacted as a whole any `source` and `question`, since nobody knows them any more; and any `file`. `state` of a claim has the "
        "bounds of its dates, as its representation has."
    ),
    query=FeedQuery,
    headers=("If-None-Match", "Last-Event-ID"),
    offers=("application/json", *(form.media_type for form in FORMS.values())),
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
    form = _form(asked)
    if form is not None:
        return await _stream(asked, wanted, form)
    return _page(asked, wanted, await _read(asked, wanted))


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
    after, last = int(asked.query.after), asked.headers.get("last-event-id")
    if last is None:
        return after
    if int(last) < after:
        raise NotApplicable("names an event before `after`; leave one of them out", parameter="Last-Event-ID")
    return int(last)


def _form(asked: Asked[FeedQuery]) -> Form | None:
    """Give the form that is wanted, unless it is a page of JSON: `format` says it, or else Accept."""
    if asked.query.format is not None:
        return FORMS.get(asked.query.format)
    return next((form for form in FORMS.values() if form.media_type == asked.media_type), None)


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
        with asked.services.followers.place():
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
