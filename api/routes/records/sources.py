"""Sources: routes."""

from litestar import get, post

from api.routes.contract.params import SourceListQuery
from api.routes.edge.operation import Answer, Asked, operation
from api.routes.records import contracts, records


@operation(post, "/v1/sources", contracts.record("recordSource", "source"))
async def record_source(asked: Asked) -> Answer:
    return await records.record(asked, "source")


@operation(get, "/v1/sources", contracts.listing("listSources", "source", SourceListQuery))
async def list_sources(asked: Asked) -> Answer:
    return await records.list_records(asked, "source")


@operation(get, "/v1/sources/{id:str}", contracts.read("getSource", "source"))
async def get_source(asked: Asked) -> Answer:
    return await records.read(asked, "source")


@operation(post, "/v1/sources/{id:str}/revisions", contracts.revise("reviseSource", "source"))
async def revise_source(asked: Asked) -> Answer:
    return await records.revise(asked, "source")


@operation(get, "/v1/sources/{id:str}/revisions", contracts.history("listSourceRevisions", "source"))
async def list_source_revisions(asked: Asked) -> Answer:
    return await records.history(asked, "source")


@operation(get, "/v1/sources/{id:str}/revisions/{n:str}", contracts.revision("getSourceRevision", "source"))
async def get_source_revision(asked: Asked) -> Answer:
    return await records.revision(asked, "source")


@operation(get, "/v1/sources/{id:str}/diff", contracts.diff("diffSource", "source"))
async def diff_source(asked: Asked) -> Answer:
    return await records.diff(asked, "source")


@operation(get, "/v1/sources/{id:str}/timemap", contracts.timemap("getSourceTimeMap", "source"))
async def get_source_timemap(asked: Asked) -> Answer:
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
