"""Redactions: lawful removal, in the open. Who may do it, what it would do, and the public list of what was done."""

import msgspec

from api.domain.records.redaction import REDACTION, NewRedaction, redact_command
from api.ledger.reading import lists, removal, views
from api.ledger.reading.removal import Left, Preview
from api.ledger.reading.selection import Selection
from api.ledger.writing import redacting
from api.routes.contract.contract import Contract, PostContract
from api.routes.contract.params import DryRunQuery, NoQuery, RedactionListQuery
from api.routes.edge.asked import LONG, Asked, Posted
from api.routes.edge.operation import reads, writes
from api.routes.edge.paging import send_page
from api.routes.edge.reply import Reply
from api.routes.records import writing

_PATH = "/v1/redactions"
_REDACT = PostContract(
    id="redact",
    tag="redactions",
    summary="Redact revisions of a record, or all of it",
    description=(
        "Removes what the revisions say, for good, from everything that is served and from the database's own files; "
        "that they were there, when, and why they went stays on record, and so does every proof. "
        "The answer, and with `dry_run=true` the answer to what would be removed, lists which surviving payloads name the "
        "record and which hold a text given in `contains`, or the id to be erased."
    ),
    query=DryRunQuery,
    headers=("Idempotency-Key",),
    body=NewRedaction,
    scope="redact",
    returns="RedactionDone",
    answer_headers=("Location", "ETag", "Ledger-Position", "Idempotency-Replayed"),
    conflicts=True,
)


@writes(_PATH, _REDACT)
async def redact(asked: Posted[DryRunQuery, NewRedaction]) -> Reply:
    command = redact_command(asked.body)
    if asked.query.dry_run:
        found = await asked.read_at(LONG, removal.preview, command, asked.body.texts)
        return asked.reply(_preview(found, asked.body))
    outcome = await writing.append(asked, [command])
    # It is done once no trace is left; a request repeated under its key finishes what was in the way.
    database = asked.services.database
    await database.at_length(redacting.purge, database, outcome.position, outcome.traces)
    view = await asked.read(views.written, outcome.position)
    left = await asked.read_at(LONG, removal.left_by, command, outcome.position, asked.body.texts)
    headers = [(b"location", f"{_PATH}/{outcome.items[0].id}".encode())]
    body = _with(view.document, left)
    return writing.answer(asked, outcome, body, headers=headers, etag=f'"{outcome.position}"')


def _preview(found: Preview, body: NewRedaction) -> bytes:
    redacts = found.redacts
    target = {"kind": body.kind, "id": body.id, "record": redacts.record, "first": redacts.first, "last": redacts.last}
    shown = {"target": target, "removes": found.removes, "position": found.position}
    return _with(msgspec.json.encode(shown), found.left)


def _with(document: bytes, left: Left) -> bytes:
    """Add to what a redaction does what it leaves."""
    return b"%b,%b" % (document[:-1], msgspec.json.encode(left)[1:])


_LIST = Contract(
    id="listRedactions",
    tag="redactions",
    summary="List what was redacted, when, on what basis and why",
    description="In the order in which it was done, unless `order` says otherwise. What was said is gone; that it was there stays.",
    query=RedactionListQuery,
    headers=("If-None-Match",),
    returns="RedactionPage",
    answer_headers=("ETag", "Ledger-Position", "Link"),
    absent=True,
)


@reads(_PATH, _LIST)
async def list_redactions(asked: Asked[RedactionListQuery]) -> Reply:
    query = asked.query
    chosen = Selection(kind=REDACTION, asked=asked.as_of, order=query.order, limit=query.limit, cursor=query.cursor)
    page, _ = await asked.read(lists.select, chosen)
    return send_page(asked, page)


_READ = Contract(
    id="getRedaction",
    tag="redactions",
    summary="Read one redaction",
    description="Which revisions of which record it removed, when, on what basis and why. A redaction is never redacted itself.",
    query=NoQuery,
    headers=("If-None-Match",),
    returns="Redaction",
    answer_headers=("ETag", "Ledger-Position"),
    absent=True,
)


@reads(_PATH + "/{id:str}", _READ)
async def get_redaction(asked: Asked[NoQuery]) -> Reply:
    view = await asked.read(views.current, REDACTION, asked.id)
    return asked.reply(view.document, at=view.at, etag=f'"{view.position}"')


HANDLERS = (redact, list_redactions, get_redaction)
