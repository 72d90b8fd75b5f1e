"""Sources: routes."""

from msgspec import Struct

from api.routes.contract.params import HistoryQuery, NoQuery, RecordQuery, RevisionDiffQuery, SourceListQuery
from api.routes.edge.asked import Asked, Posted
from api.routes.edge.operation import reads, writes
from api.routes.edge.reply import Reply
from api.routes.records import contracts, records


@writes("/v1/sources", contracts.record("recordSource", "source"))
async def record_source(asked: Posted[NoQuery, Struct]) -> Reply:
    return await records.record(asked, "source")


@reads("/v1/sources", contracts.listing("listSources", "source", SourceListQuery))
async def list_sources(asked: Asked[SourceListQuery]) -> Reply:
    return await records.list_records(asked, "source")


@reads("/v1/sources/{id:str}", contracts.read("getSource", "source", RecordQuery))
async def get_source(asked: Asked[RecordQuery]) -> Reply:
    return await records.read(asked, "source")


@writes("/v1/sources/{id:str}/revisions", contracts.revise("reviseSource", "source"))
async def revise_source(asked: Posted[NoQuery, Struct]) -> Reply:
    return await records.revise(asked, "source")


@reads("/v1/sources/{id:str}/revisions", contracts.history("listSourceRevisions", "source"))
async def list_source_revisions(asked: Asked[HistoryQuery]) -> Reply:
    return await records.history(asked, "source")


@reads("/v1/sources/{id:str}/revisions/{n:str}", contracts.revision("getSourceRevision", "source"))
async def get_source_revision(asked: Asked[NoQuery]) -> Reply:
    return await records.revision(asked, "source")


@reads("/v1/sources/{id:str}/diff", contracts.diff("diffSource", "source"))
async def diff_source(asked: Asked[RevisionDiffQuery]) -> Reply:
    return await records.diff(asked, "source")


@reads("/v1/sources/{id:str}/timemap", contracts.timemap("getSourceTimeMap", "source"))
async def get_source_timemap(asked: Asked[NoQuery]) -> Reply:
    return await records.timemap(asked, "source")


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
