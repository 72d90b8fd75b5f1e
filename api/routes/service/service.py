"""The service itself: what it is, whether it runs, what it holds, which problems it answers with."""

import msgspec

from api import __version__
from api.domain.computed import RULES
from api.domain.dates.asof import Standpoint
from api.domain.records import rules
from api.domain.records.kinds import KINDS
from api.ledger.keeping import standby
from api.ledger.reading import lists, standpoint, stats
from api.ledger.reading.soundness import ledger_state
from api.routes.contract.contract import Contract
from api.routes.contract.params import AsOfQuery, NoQuery
from api.routes.edge import problems
from api.routes.edge.asked import LONG, Asked
from api.routes.edge.bodies import JSON
from api.routes.edge.negotiation import content_tag
from api.routes.edge.operation import reads
from api.routes.edge.paging import spliced
from api.routes.edge.problems import HttpError
from api.routes.edge.reply import Reply
from api.routes.service import pages

HTML = "text/html"
_SERVICE = Contract(
    id="getService",
    tag="service",
    summary="Learn what this service is and where to go from here",
    description="The name and the keys of its log, its version, its limits, and links into it. A browser gets a page.",
    query=NoQuery,
    headers=("If-None-Match",),
    returns="Service",
    offers=(JSON, HTML),
    answer_headers=("ETag", "Ledger-Position"),
)
_LINKS = {
    "openapi": "/openapi.json",
    "docs": "/docs",
    **{kind.plural: kind.path for kind in KINDS.values()},
    "disputed": "/v1/questions?agreement=disputed",
    "search": "/v1/search?q=parler",
    "timeline": "/v1/timeline",
    "events": "/v1/events?after=0",
    "diff": "/v1/diff?from=0",
    "stats": "/v1/stats",
    "redactions": "/v1/redactions",
    "checkpoint": "/tlog/checkpoint",
    "keys": "/tlog/keys",
    "consistency": "/v1/proofs/consistency?from=1&to=1",
    "verifier": "/verify.py",
    "ready": "/health/ready",
}


@reads("/", _SERVICE)
async def get_service(asked: Asked[NoQuery]) -> Reply:
    at = await asked.read(standpoint.locate)
    if asked.media_type == HTML:
        page = pages.welcome_page(at.position, asked.services.origin)
        return asked.reply(page, at=at, media_type=pages.HTML, headers=pages.PAGE_HEADERS)
    state = await asked.read(ledger_state)
    body = msgspec.json.encode(_service(asked, at, [key["vkey"] for key in state["keys"]]))
    # What is set for a server stands in it, too, and may be set otherwise at its next start.
    return asked.reply(body, at=at, etag=content_tag(body))


def _service(asked: Asked[NoQuery], at: Standpoint, vkeys: list[str]) -> dict[str, object]:
    settings = asked.services.settings
    return {
        "name": "Deplatforming Ledger",
        "version": __version__,
        "description": "Who claimed what about the deplatforming of Parler in January 2021, with every past view.",
        "log_origin": asked.services.origin,
        "vkeys": vkeys,
        "position": at.position,
        "formats": {"entry": 1, "payload": 1},
        "rules": RULES,
        "licence": {"code": "Apache-2.0", "data": "CC0-1.0"},
        "limits": {
            "body_bytes": settings.max_body,
            "batch_bytes": settings.max_batch,
            "batch_operations": settings.max_operations,
            "json_depth": settings.max_depth,
            "page": 500,
            "ids": 200,
            "page_bytes": 2 << 20,
            "facet_values": lists.MOST_VALUES,
            "chain_steps": rules.MOST_DEEP,
            "chain_records": rules.MOST_ABOVE,
            "list_members": rules.MOST_MEMBERS,
        },
        "links": _LINKS,
    }


_LIVE = Contract(
    id="getLive",
    tag="service",
    summary="Learn whether the process runs",
    description="200 as long as the process answers at all, whatever else it can do. It is open to everybody, and looks at nothing.",
    query=NoQuery,
    returns="Health",
    always_open=True,
)
_READY = Contract(
    id="getReady",
    tag="service",
    summary="Learn whether it can serve",
    query=NoQuery,
    description="200 where the log is sound as far as it was looked at, is the one that was signed, and can be appended to.",
    returns="Health",
    answer_headers=("Ledger-Position",),
)


@reads("/health/live", _LIVE)
async def get_live(asked: Asked[NoQuery]) -> Reply:
    return asked.reply(b'{"status":"live","position":null}')


@reads("/health/ready", _READY)
async def get_ready(asked: Asked[NoQuery]) -> Reply:
    at = await asked.read(standpoint.locate)
    await asked.services.check_ready()
    body: dict[str, object] = {"status": "ready", "position": at.position}
    if asked.services.settings.read_only and (behind := await asked.read(standby.seconds_behind)) is not None:
        body["behind_seconds"] = round(behind, 3)
    return asked.reply(msgspec.json.encode(body), at=at)


_STATS = Contract(
    id="getStats",
    tag="service",
    summary="Count what the ledger holds",
    description="Events by type, records by kind and status, questions by state of agreement, and the most frequent values.",
    query=AsOfQuery,
    headers=("If-None-Match",),
    returns="Stats",
    answer_headers=("ETag", "Ledger-Position"),
    absent=True,
)


@reads("/v1/stats", _STATS)
async def get_stats(asked: Asked[AsOfQuery]) -> Reply:
    counts, at = await asked.read_at(LONG, stats.count, asked.as_of)
    shown = msgspec.json.encode(counts)
    body = spliced(shown, msgspec.json.encode({"position": at.position}))
    return asked.reply(body, at=at, etag=content_tag(shown))


_PROBLEM = Contract(
    id="getProblemType",
    tag="service",
    summary="Learn what a problem type means",
    description="What the `type` of a problem document leads to: its status and its title, which are promises.",
    query=NoQuery,
    returns="ProblemTypeShape",
    absent=True,
)
_KNOWN = {kind.slug: kind for kind in problems.problem_types()}


@reads("/problems/{slug:str}", _PROBLEM)
async def get_problem_type(asked: Asked[NoQuery]) -> Reply:
    kind = _KNOWN.get(asked.path.slug or "")
    if kind is None:
        raise HttpError("not-found", "no problem type has this name")
    body = {"type": f"/problems/{kind.slug}", "status": kind.status, "title": kind.title}
    return asked.reply(msgspec.json.encode(body))


HANDLERS = (get_service, get_live, get_ready, get_stats, get_problem_type)
