"""Actors: the opaque ids of whoever wrote, with the names that an operator published. No part of the log."""

import msgspec

from api.domain.log.event import stamp
from api.ledger.reading import standpoint
from api.ledger.writing import keys
from api.routes.contract.contract import Contract
from api.routes.contract.params import ActorListQuery, NoQuery
from api.routes.edge.asked import Asked
from api.routes.edge.negotiation import content_tag
from api.routes.edge.operation import reads
from api.routes.edge.paging import send_shown
from api.routes.edge.reply import Reply

_ACTORS = Contract(
    id="listActors",
    tag="service",
    summary="List the actors: opaque ids of whoever wrote, with names where an operator published one",
    description="In the order in which they became known. Each key writes as an actor of its own.",
    query=ActorListQuery,
    headers=("If-None-Match",),
    returns="ActorPage",
    answer_headers=("ETag", "Ledger-Position", "Link"),
)
_ACTOR = Contract(
    id="getActor",
    tag="service",
    summary="Learn who an actor is, as far as an operator published it",
    description="Each event names the actor that wrote it. A name is there where whoever runs the ledger published one.",
    query=NoQuery,
    headers=("If-None-Match",),
    returns="Actor",
    answer_headers=("ETag", "Ledger-Position"),
    absent=True,
)


@reads("/v1/actors", _ACTORS)
async def list_actors(asked: Asked[ActorListQuery]) -> Reply:
    query = asked.query
    rows = await asked.read(keys.actors, cursor=int(query.cursor or 0), limit=query.limit + 1)
    items = [_actor(*row) for row in rows[: query.limit]]
    at = await asked.read(standpoint.locate)
    following = None
    if len(rows) > query.limit:
        following = f"/v1/actors?limit={query.limit}&cursor={rows[query.limit - 1][2]}"
    return send_shown(asked, msgspec.json.encode({"items": items}), at, following)


@reads("/v1/actors/{id:str}", _ACTOR)
async def get_actor(asked: Asked[NoQuery]) -> Reply:
    name, since = await asked.read(keys.actor, asked.id)
    body = msgspec.json.encode(_actor(asked.id, name, since))
    # Names are no part of the log: no position tells whether one changed.
    return asked.reply(body, at=await asked.read(standpoint.locate), etag=content_tag(body))


def _actor(public_id: str, name: str | None, since: int) -> dict[str, str | None]:
    return {"id": public_id, "name": name, "since": stamp(since)}


HANDLERS = (list_actors, get_actor)
