"""The log as it is followed: the feed, and single events to the byte."""

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
from api.routes.edge.reply import Reply

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
    headers=("If-None-Match",),
    returns="FeedPage",
    answer_headers=("ETag", "Ledger-Position", "Link"),
    absent=True,
    conflicts=True,
)


@reads("/v1/events", _FEED)
async def list_events(asked: Asked[FeedQuery]) -> Reply:
    query = asked.query
    parents = [(kind, ids) for kind, ids in (("source", query.source), ("question", query.question)) if ids]
    wanted = Following(
        after=int(query.after),
        limit=query.limit,
        kinds=query.kind,
        types=query.type,
        ids=query.id,
        actors=query.actor,
        parents=parents,
        files=query.file,
        with_state=query.state,
    )
    if query.exact:
        if wanted.is_narrowed or not wanted.with_state:
            raise NotApplicable("goes with after and limit alone", parameter="exact")
        page = await asked.read_at(LONG, feed.exact, wanted.after, wanted.limit)
    else:
        page = await asked.read_at(LONG if wanted.is_narrowed else BRIEF, feed.follow, wanted)
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
