"""Entities: routes."""

from msgspec import Struct

from api.routes.contract.params import EntityListQuery, HistoryQuery, NoQuery, RecordQuery, RevisionDiffQuery
from api.routes.edge.asked import Asked, Posted
from api.routes.edge.operation import reads, writes
from api.routes.edge.reply import Reply
from api.routes.records import contracts, records


@writes("/v1/entities", contracts.record("recordEntity", "entity"))
async def record_entity(asked: Posted[NoQuery, Struct]) -> Reply:
    return await records.record(asked, "entity")


@reads("/v1/entities", contracts.listing("listEntities", "entity", EntityListQuery))
async def list_entities(asked: Asked[EntityListQuery]) -> Reply:
    return await records.list_records(asked, "entity")


@reads("/v1/entities/{id:str}", contracts.read("getEntity", "entity", RecordQuery))
async def get_entity(asked: Asked[RecordQuery]) -> Reply:
    return await records.read(asked, "entity")


@writes("/v1/entities/{id:str}/revisions", contracts.revise("reviseEntity", "entity"))
async def revise_entity(asked: Posted[NoQuery, Struct]) -> Reply:
    return await records.revise(asked, "entity")


@reads("/v1/entities/{id:str}/revisions", contracts.history("listEntityRevisions", "entity"))
async def list_entity_revisions(asked: Asked[HistoryQuery]) -> Reply:
    return await records.history(asked, "entity")


@reads("/v1/entities/{id:str}/revisions/{n:str}", contracts.revision("getEntityRevision", "entity"))
async def get_entity_revision(asked: Asked[NoQuery]) -> Reply:
    return await records.revision(asked, "entity")


@reads("/v1/entities/{id:str}/diff", contracts.diff("diffEntity", "entity"))
async def diff_entity(asked: Asked[RevisionDiffQuery]) -> Reply:
    return await records.diff(asked, "entity")


@reads("/v1/entities/{id:str}/timemap", contracts.timemap("getEntityTimeMap", "entity"))
async def get_entity_timemap(asked: Asked[NoQuery]) -> Reply:
    return await records.timemap(asked, "entity")


HANDLERS = (
    record_entity,
    list_entities,
    get_entity,
    revise_entity,
    list_entity_revisions,
    get_entity_revision,
    diff_entity,
    get_entity_timemap,
)
