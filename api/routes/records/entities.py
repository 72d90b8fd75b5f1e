"""Entities: routes."""

from msgspec import Struct

from api.domain.records.kinds import ENTITY
from api.routes.contract.params import (
    DryRunQuery,
    EntityListQuery,
    EntityRecordQuery,
    HistoryQuery,
    NoQuery,
    RevisionDiffQuery,
)
from api.routes.edge.asked import Asked, Posted
from api.routes.edge.operation import reads, writes
from api.routes.edge.reply import Reply
from api.routes.records import contracts, listing, memento, record, writing


@writes("/v1/entities", contracts.record("recordEntity", ENTITY))
async def record_entity(asked: Posted[DryRunQuery, Struct]) -> Reply:
    return await writing.record(asked, ENTITY)


@reads("/v1/entities", contracts.listing("listEntities", ENTITY, EntityListQuery))
async def list_entities(asked: Asked[EntityListQuery]) -> Reply:
    return await listing.list_records(asked, ENTITY)


@reads("/v1/entities/{id:str}", contracts.read("getEntity", ENTITY, EntityRecordQuery))
async def get_entity(asked: Asked[EntityRecordQuery]) -> Reply:
    return await record.read(asked, ENTITY)


@writes("/v1/entities/{id:str}/revisions", contracts.revise("reviseEntity", ENTITY))
async def revise_entity(asked: Posted[DryRunQuery, Struct]) -> Reply:
    return await writing.revise(asked, ENTITY)


@reads("/v1/entities/{id:str}/revisions", contracts.history("listEntityRevisions", ENTITY))
async def list_entity_revisions(asked: Asked[HistoryQuery]) -> Reply:
    return await record.history(asked, ENTITY)


@reads("/v1/entities/{id:str}/revisions/{n:str}", contracts.revision("getEntityRevision", ENTITY))
async def get_entity_revision(asked: Asked[NoQuery]) -> Reply:
    return await record.revision(asked, ENTITY)


@reads("/v1/entities/{id:str}/diff", contracts.diff("diffEntity", ENTITY))
async def diff_entity(asked: Asked[RevisionDiffQuery]) -> Reply:
    return await record.diff(asked, ENTITY)


@reads("/v1/entities/{id:str}/timemap", contracts.timemap("getEntityTimeMap", ENTITY))
async def get_entity_timemap(asked: Asked[NoQuery]) -> Reply:
    return await memento.timemap(asked, ENTITY)


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
