"""Sources: routes."""

from msgspec import Struct

from api.domain.records.kinds import SOURCE
from api.routes.contract.params import (
    DryRunQuery,
    HistoryQuery,
    NoQuery,
    RevisionDiffQuery,
    SourceListQuery,
    SourceRecordQuery,
)
from api.routes.edge.asked import Asked, Posted
from api.routes.edge.operation import reads, writes
from api.routes.edge.reply import Reply
from api.routes.records import contracts, listing, memento, record, writing


@writes("/v1/sources", contracts.record("recordSource", SOURCE))
async def record_source(asked: Posted[DryRunQuery, Struct]) -> Reply:
    return await writing.record(asked, SOURCE)


@reads("/v1/sources", contracts.listing("listSources", SOURCE, SourceListQuery))
async def list_sources(asked: Asked[SourceListQuery]) -> Reply:
    return await listing.list_records(asked, SOURCE)


@reads("/v1/sources/{id:str}", contracts.read("getSource", SOURCE, SourceRecordQuery))
async def get_source(asked: Asked[SourceRecordQuery]) -> Reply:
    return await record.read(asked, SOURCE)


@writes("/v1/sources/{id:str}/revisions", contracts.revise("reviseSource", SOURCE))
async def revise_source(asked: Posted[DryRunQuery, Struct]) -> Reply:
    return await writing.revise(asked, SOURCE)


@reads("/v1/sources/{id:str}/revisions", contracts.history("listSourceRevisions", SOURCE))
async def list_source_revisions(asked: Asked[HistoryQuery]) -> Reply:
    return await record.history(asked, SOURCE)


@reads("/v1/sources/{id:str}/revisions/{n:str}", contracts.revision("getSourceRevision", SOURCE))
async def get_source_revision(asked: Asked[NoQuery]) -> Reply:
    return await record.revision(asked, SOURCE)


@reads("/v1/sources/{id:str}/diff", contracts.diff("diffSource", SOURCE))
async def diff_source(asked: Asked[RevisionDiffQuery]) -> Reply:
    return await record.diff(asked, SOURCE)


@reads("/v1/sources/{id:str}/timemap", contracts.timemap("getSourceTimeMap", SOURCE))
async def get_source_timemap(asked: Asked[NoQuery]) -> Reply:
    return await memento.timemap(asked, SOURCE)


HANDLERS = (
    record_source,
    list_sources,
    get_source,
    revise_source,
    list_source_revisions,
    get_source_revision,
    diff_source,
    get_source_timemap,
)
