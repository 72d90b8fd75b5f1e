"""Entities: routes."""

from litestar import get, post

from api.routes.contract.params import EntityListQuery
from api.routes.edge.operation import Answer, Asked, operation
from api.routes.records import contracts, records


@operation(post, "/v1/entities", contracts.record("recordEntity", "entity"))
async def record_entity(asked: Asked) -> Answer:
    return await records.record(asked, "entity")


@operation(get, "/v1/entities", contracts.listing("listEntities", "entity", EntityListQuery))
async def list_entities(asked: Asked) -> Answer:
    return await records.list_records(asked, "entity")


@operation(get, "/v1/entities/{id:str}", contracts.read("getEntity", "entity"))
async def get_entity(asked: Asked) -> Answer:
    return await records.read(asked, "entity")


@operation(post, "/v1/entities/{id:str}/revisions", contracts.revise("reviseEntity", "entity"))
async def revise_entity(asked: Asked) -> Answer:
    return await records.revise(asked, "entity")


@operation(get, "/v1/entities/{id:str}/revisions", contracts.history("listEntityRevisions", "entity"))
async def list_entity_revisions(asked: Asked) -> Answer:
    return await records.history(asked, "entity")


@operation(get, "/v1/entities/{id:str}/revisions/{n:str}", contracts.revision("getEntityRevision", "entity"))
async def get_entity_revision(asked: Asked) -> Answer:
    return await records.revision(asked, "entity")


@operation(get, "/v1/entities/{id:str}/diff", contracts.diff("diffEntity", "entity"))
async def diff_entity(asked: Asked) -> Answer:
    return await records.diff(asked, "entity")


@operation(get, "/v1/entities/{id:str}/timemap", contracts.timemap("getEntityTimeMap", "entity"))
async def get_entity_timemap(asked: Asked) -> Answer:
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
