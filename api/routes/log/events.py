"""The log as it is followed: the feed, single events, the timeline, and what changed between two moments."""

import msgspec

from api.domain.dates.asof import NOW, read_as_of
from api.domain.errors import IntervalReversed, NotApplicable
from api.ledger.reading import feed
from api.ledger.reading.feed import Following
from api.routes.contract.contract import Contract
from api.routes.contract.params import AsOfQuery, FeedQuery, LedgerDiffQuery, NoQuery, TimelineQuery
from api.routes.edge.asked import BRIEF, LONG, Asked
from api.routes.edge.operation import reads
from api.routes.edge.reply import Headers, Reply
from api.routes.records import records

_FEED = Contract(
    id="listEvents",
    tag="events",
    summary="Follow the log",
    description="Events after a position, in order, without gaps. `next` is where to go on, at once or later.",
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
    parents = [
        (kind, public_id) for kind, public_id in (("source", query.source), ("question", query.question)) if public_id
    ]
    wanted = Following(
        after=int(query.after),
        limit=query.limit,
        kind=query.kind,
        type=query.type,
        id=query.id,
        actor=query.actor,
        parents=parents,
        with_state=query.state == "true",
    )
    if query.exact == "true":
        if wanted.is_narrowed or not wanted.with_state:
            raise NotApplicable("goes with after and limit alone", parameter="exact")
        page = await asked.read_at(LONG, feed.exact, wanted.after, wanted.limit)
    else:
        page = await asked.read_at(LONG if wanted.is_narrowed else BRIEF, feed.follow, wanted)
    following = asked.with_query(after=page.last)
    body = {"items": records.array_of(page.items), "next": following, "position": page.at.position}
    headers: Headers = [(b"link", f'<{following}>; rel="next"'.encode())]
    tag = records.weak_tag(page.at)
    return asked.reply(msgspec.json.encode(body), at=page.at, etag=tag, headers=headers)


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


_TIMELINE = Contract(
    id="getTimeline",
    tag="questions",
    summary="Read live claims in the order of when their answers hold",
    query=TimelineQuery,
    headers=("If-None-Match",),
    returns="TimelinePage",
    answer_headers=("ETag", "Ledger-Position", "Link"),
    absent=True,
    conflicts=True,
)


@reads("/v1/timeline", _TIMELINE)
async def get_timeline(asked: Asked[TimelineQuery]) -> Reply:
    return await records.send_timeline(asked)


_DIFF = Contract(
    id="diffLedger",
    tag="events",
    summary="See what the ledger came to believe between two moments",
    description="`from` is exclusive, `to` inclusive; both are positions or times. Each record stands once, at its last event between them.",
    query=LedgerDiffQuery,
    headers=("If-None-Match",),
    returns="LedgerDiff",
    answer_headers=("ETag", "Ledger-Position", "Link"),
    absent=True,
    conflicts=True,
)


@reads("/v1/diff", _DIFF)
async def diff_ledger(asked: Asked[LedgerDiffQuery]) -> Reply:
    query = asked.query
    old, new = read_as_of(query.old), read_as_of(query.new) if query.new is not None else NOW
    found = await asked.read_at(LONG, feed.changes, old=old, new=new, cursor=query.cursor, limit=query.limit)
    if found.old.position > found.new.position:
        raise IntervalReversed(parameter="to")
    following = None
    if found.last is not None:
        pinned = f"from={found.old.position}&to={found.new.position}&limit={query.limit}&cursor={found.last}"
        following = f"/v1/diff?{pinned}"
    body = {
        "items": found.records,
        "agreement": found.agreement,
        "from": found.old.position,
        "to": found.new.position,
        "next": following,
        "position": found.new.position,
    }
    headers: Headers = [(b"link", f'<{following}>; rel="next"'.encode())] if following else []
    tag = records.weak_tag(found.new)
    return asked.reply(msgspec.json.encode(body), at=found.new, etag=tag, headers=headers)


_STATS = Contract(
    id="getStats",
    tag="service",
    summary="Count what the ledger holds",
    query=AsOfQuery,
    headers=("If-None-Match",),
    returns="Stats",
    answer_headers=("ETag", "Ledger-Position"),
    absent=True,
)


@reads("/v1/stats", _STATS)
async def get_stats(asked: Asked[AsOfQuery]) -> Reply:
    counts, at = await asked.read_at(LONG, feed.stats, asked.as_of)
    body = msgspec.json.encode({**counts, "position": at.position})
    return asked.reply(body, at=at, etag=records.weak_tag(at))


HANDLERS = (list_events, get_event, get_timeline, diff_ledger, get_stats)
