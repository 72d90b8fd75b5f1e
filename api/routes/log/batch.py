"""Batches: many operations accepted or refused as one, in the format of the seed."""

import msgspec

from api.domain.dates.asof import Standpoint
from api.domain.errors import BadBody
from api.domain.records.command import Command
from api.domain.records.operation import cut_batch, read_operations
from api.domain.text import measure
from api.routes.contract.contract import PostContract
from api.routes.contract.params import DryRunQuery
from api.routes.edge.asked import Posted
from api.routes.edge.bodies import JSON, LINES, check_depth, is_lines, too_deep
from api.routes.edge.operation import writes
from api.routes.edge.problems import HttpError
from api.routes.edge.reply import Reply
from api.routes.records import writing
from api.settings import Settings

_BATCH: PostContract[DryRunQuery, None] = PostContract(
    id="appendBatch",
    tag="batch",
    summary="Append many operations as one",
    description="All are accepted or none. Later operations may name records that earlier ones make under a chosen id.",
    query=DryRunQuery,
    headers=("Idempotency-Key",),
    media_types=(*LINES, JSON),
    scope="write",
    returns="BatchResult",
    answer_headers=("Ledger-Position",),
    absent=True,
    conflicts=True,
)


@writes("/v1/batch", _BATCH)
async def append_batch(asked: Posted[DryRunQuery, None]) -> Reply:
    are_lines = is_lines(asked.headers.get("content-type", ""))
    services = asked.services
    commands = await services.bodies.work(len(asked.raw), _read, asked.raw, services.settings, are_lines=are_lines)
    is_dry_run = asked.query.dry_run == "true"
    outcome = await writing.append(asked, commands, is_batch=True, is_dry_run=is_dry_run)
    # Of a dry run nothing is there but what was before it.
    position = outcome.items[0].position - 1 if is_dry_run else outcome.position
    body = {"items": outcome.items, "position": outcome.position}
    at = Standpoint(position, position, is_pinned=False)
    return asked.reply(msgspec.json.encode(body), at=at, status=200 if is_dry_run else 201)


def _read(raw: bytes, settings: Settings, *, are_lines: bool) -> list[Command]:
    """Read a batch. Raises HttpError for what is too deep, and for an operation larger than it could be alone; BadBody."""
    deepest, most = settings.max_depth, settings.max_operations
    if not are_lines:
        shape = measure(raw, deepest=deepest, longest=most)
        if shape.depth > deepest:
            raise too_deep(deepest)
        if shape.members > most:
            raise BadBody(f"a batch holds 1 to {most} operations")
    operations = cut_batch(raw, is_lines=are_lines, most=most)
    for number, operation_ in enumerate(operations):
        if len(operation_) > settings.max_body:
            raise HttpError(
                "too-large", f"an operation here holds at most {settings.max_body} bytes; {number} has more"
            )
        check_depth(operation_, deepest)
    return read_operations(operations)


HANDLERS = (append_batch,)
