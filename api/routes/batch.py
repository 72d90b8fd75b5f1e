"""Batches: many operations accepted or refused as one, in the format of the seed."""

import asyncio

import msgspec
from litestar import post

from api.domain.asof import Standpoint
from api.domain.operation import read_batch
from api.routes import records
from api.routes.bodies import JSON, NDJSON, is_lines
from api.routes.params import DryRunQuery
from api.routes.wire import Answer, Asked, Contract, operation, send

_BATCH = Contract(
    id="appendBatch",
    tag="batch",
    summary="Append many operations as one",
    description="All are accepted or none. Later operations may name records that earlier ones make under a chosen id.",
    query=DryRunQuery,
    headers=("Idempotency-Key",),
    media_types=(NDJSON, JSON),
    scope="write",
    status=201,
    returns="BatchResult",
    answer_headers=("Ledger-Position",),
    absent=True,
    conflicts=True,
)


@operation(post, "/v1/batch", _BATCH)
async def append_batch(asked: Asked) -> Answer:
    are_lines = is_lines(asked.headers.get("content-type", ""))
    most = asked.rooms.settings.max_operations
    commands = await asyncio.to_thread(read_batch, asked.raw, is_lines=are_lines, most=most)
    is_dry_run = asked.query.dry_run == "true"
    outcome = await records.append(asked, commands, is_batch=True, is_dry_run=is_dry_run)
    # Of a dry run nothing is there but what was before it.
    position = outcome.items[0].position - 1 if is_dry_run else outcome.position
    body = {"items": outcome.items, "position": outcome.position}
    at = Standpoint(position, position, is_pinned=False)
    return send(asked, msgspec.json.encode(body), at=at, status=200 if is_dry_run else 201)


HANDLERS = (append_batch,)
