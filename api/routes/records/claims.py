"""Claims: routes."""

import msgspec
from msgspec import Struct

from api.domain.records.kinds import CLAIM
from api.ledger.reading import views
from api.routes.contract.contract import Contract
from api.routes.contract.params import (
    ClaimListQuery,
    ClaimRecordQuery,
    DryRunQuery,
    HistoryQuery,
    LinksQuery,
    NoQuery,
    RevisionDiffQuery,
)
from api.routes.edge.asked import Asked, Posted
from api.routes.edge.operation import reads, writes
from api.routes.edge.paging import onward, send_shown
from api.routes.edge.reply import Reply
from api.routes.records import contracts, listing, memento, record, writing


@writes("/v1/claims", contracts.record("recordClaim", CLAIM))
async def record_claim(asked: Posted[DryRunQuery, Struct]) -> Reply:
    return await writing.record(asked, CLAIM)


@reads("/v1/claims", contracts.listing("listClaims", CLAIM, ClaimListQuery))
async def list_claims(asked: Asked[ClaimListQuery]) -> Reply:
    return await listing.list_records(asked, CLAIM)


@reads("/v1/claims/{id:str}", contracts.read("getClaim", CLAIM, ClaimRecordQuery))
async def get_claim(asked: Asked[ClaimRecordQuery]) -> Reply:
    return await record.read(asked, CLAIM)


@writes("/v1/claims/{id:str}/revisions", contracts.revise("reviseClaim", CLAIM))
async def revise_claim(asked: Posted[DryRunQuery, Struct]) -> Reply:
    return await writing.revise(asked, CLAIM)


@reads("/v1/claims/{id:str}/revisions", contracts.history("listClaimRevisions", CLAIM))
async def list_claim_revisions(asked: Asked[HistoryQuery]) -> Reply:
    return await record.history(asked, CLAIM)


@reads("/v1/claims/{id:str}/revisions/{n:str}", contracts.revision("getClaimRevision", CLAIM))
async def get_claim_revision(asked: Asked[NoQuery]) -> Reply:
    return await record.revision(asked, CLAIM)


@reads("/v1/claims/{id:str}/diff", contracts.diff("diffClaim", CLAIM))
async def diff_claim(asked: Asked[RevisionDiffQuery]) -> Reply:
    return await record.diff(asked, CLAIM)


@reads("/v1/claims/{id:str}/timemap", contracts.timemap("getClaimTimeMap", CLAIM))
async def get_claim_timemap(asked: Asked[NoQuery]) -> Reply:
    return await memento.timemap(asked, CLAIM)


_LINKS = Contract(
    id="listClaimLinks",
    tag="claims",
    summary="List its links, both ways",
    description="Its own links whole; those that other claims make to it page by page: follow `next`.",
    query=LinksQuery,
    headers=("If-None-Match",),
    returns="ClaimLinks",
    answer_headers=("ETag", "Ledger-Position", "Link"),
    absent=True,
    gone=True,
)


@reads("/v1/claims/{id:str}/links", _LINKS)
async def list_claim_links(asked: Asked[LinksQuery]) -> Reply:
    cursor, limit = int(asked.query.cursor or 0), asked.query.limit
    found = await asked.read(views.links, asked.id, asked.as_of, cursor=cursor, limit=limit)
    following = onward(asked, found.at, found.last)
    shown = msgspec.json.encode({"outgoing": found.outgoing, "incoming": found.incoming})
    return send_shown(asked, shown, found.at, following)


HANDLERS = (
    record_claim,
    list_claims,
    get_claim,
    revise_claim,
    list_claim_revisions,
    get_claim_revision,
    diff_claim,
    get_claim_timemap,
    list_claim_links,
)
