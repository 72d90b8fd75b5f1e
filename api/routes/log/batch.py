"""Batches: many operations accepted or refused as one, in the format of the seed; and a batch undone, as one, too."""

import msgspec

from api.domain.errors import BadBody, LedgerError, Redacted, Stale, UnknownRecord
from api.domain.records.command import Command
from api.domain.records.operation import cut_batch, read_operations
from api.domain.records.opposite import Reverting
from api.domain.text import measure
from api.ledger.writing import receipts, reverting
from api.ledger.writing.unit import Outcome
from api.routes.contract.contract import PostContract
from api.routes.contract.params import DryRunQuery
from api.routes.edge.asked import LONG, Posted
from api.routes.edge.bodies import JSON, LINES, check_depth, is_lines, too_deep
from api.routes.edge.operation import writes
from api.routes.edge.problems import HttpError
from api.routes.edge.reply import Reply
from api.routes.records import writing
from api.settings import Settings

_PATH = "/v1/batch"
# So often the way back is looked for anew where records move while it is.
_TRIES = 5
_BATCH: PostContract[DryRunQuery, None] = PostContract(
    id="appendBatch",
    tag="batch",
    summary="Append many operations as one",
    description=(
        "An array, or one operation a line (`application/x-ndjson`). All are accepted or none. Later operations may name records "
        "that earlier ones make under a chosen id. "
        "A dry run keeps all rules but one: for how many claims a batch has agreement weighed anew is found when it is written."
    ),
    query=DryRunQuery,
    headers=("Idempotency-Key",),
    media_types=(*LINES, JSON),
    scope="write",
    returns="BatchResult",
    answer_headers=("Ledger-Position", "Idempotency-Replayed"),
    absent=True,
    conflicts=True,
)


@writes(_PATH, _BATCH)
async def append_batch(asked: Posted[DryRunQuery, None]) -> Reply:
    are_lines = is_lines(asked.headers.get("content-type", ""))
    services = asked.services
    said, commands = await services.bodies.work(
        len(asked.raw), _read, asked.raw, services.settings, are_lines=are_lines
    )
    outcome = await writing.append(asked, commands, said=said, is_batch=True)
    return _told(asked, outcome)


def _told(asked: Posted[DryRunQuery, object], outcome: Outcome) -> Reply:
    return writing.answer(asked, outcome, msgspec.json.encode({"items": outcome.items, "position": outcome.position}))


_REVERT = PostContract(
    id="revertBatch",
    tag="batch",
    summary="Undo a batch as one",
    description=(
        "Appends, as one batch, what brings each record that a batch touched back to where it stood before: what it recorded "
        "is retracted, fields are written anew, links made or taken back, a former status given again. `position` is that of "
        "the batch's first event. Where a record has moved on since, or its former state is redacted, nothing is written, and "
        "the 409 names it in `records`; a record that is redacted as a whole is passed over. No `If-Match` is needed. "
        "Who sends this is the actor of the new events. A revert is a batch, and can be reverted. "
        "A dry run keeps all rules but one, as that of a batch does."
    ),
    query=DryRunQuery,
    headers=("Idempotency-Key",),
    body=Reverting,
    scope="write",
    returns="BatchResult",
    answer_headers=("Ledger-Position", "Idempotency-Replayed"),
    absent=True,
    conflicts=True,
)


@writes(_PATH + "/{position:str}/revert", _REVERT)
async def revert_batch(asked: Posted[DryRunQuery, Reverting]) -> Reply:
    return _told(asked, await _reverted(asked, tries=_TRIES))


async def _reverted(asked: Posted[DryRunQuery, Reverting], *, tries: int) -> Outcome:
    """Append the opposite of a batch as it is now; once more where records moved on, or were redacted, meanwhile."""
    commands = await _opposite(asked)
    if isinstance(commands, Outcome):
        return commands
    try:
        return await writing.append(asked, commands, is_batch=True)
    except (Stale, Redacted, UnknownRecord):
        if tries == 1:
            raise
    except LedgerError as refusal:
        raise reverting.naming_the_record(refusal, commands) from None
    return await _reverted(asked, tries=tries - 1)


async def _opposite(asked: Posted[DryRunQuery, Reverting]) -> list[Command] | Outcome:
    """Give the commands that undo the batch; or what an earlier request under the same key did, which moved its records on."""
    try:
        return await asked.read_at(LONG, reverting.opposite_of, asked.path.position or 0, asked.body.reason)
    except LedgerError:
        note = await writing.noted(asked)
        earlier = None if note is None else await asked.read(receipts.answered, note)
        if earlier is None:
            raise
        return earlier


def _read(raw: bytes, settings: Settings, *, are_lines: bool) -> tuple[list[bytes], list[Command]]:
    """Read a batch: its JSON texts, and what they ask for.

    Raises HttpError for what is too deep, and for an operation larger than it could be alone; BadBody.
    """
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
    return operations, read_operations(operations)


HANDLERS = (append_batch, revert_batch)
