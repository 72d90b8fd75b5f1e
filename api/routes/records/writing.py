"""Appending: a new record, an action on one, and the unit of work that a request queues. Also the answer to both."""

import hashlib

from msgspec import Struct

from api.domain.dates.asof import Standpoint
from api.domain.records.command import Command, Expect
from api.domain.records.kinds import Kind
from api.domain.records.operation import action_command, record_command
from api.domain.records.representation import VERSIONS
from api.ledger.reading import views
from api.ledger.writing.unit import Note, Outcome, Unit
from api.routes.contract.params import NoQuery, Strict
from api.routes.edge.asked import Asked, Posted
from api.routes.edge.negotiation import expected_positions, revision_tag
from api.routes.edge.reply import Reply
from api.routes.records import memento


async def record(asked: Posted[NoQuery, Struct], kind: Kind) -> Reply:
    """Append a new record."""
    outcome = await append(asked, [record_command(kind.name, asked.body)])
    return await _written(asked, kind, outcome)


async def revise(asked: Posted[NoQuery, Struct], kind: Kind) -> Reply:
    """Append to a record's history."""
    command = action_command(kind.name, asked.id, asked.body, _expectation(asked))
    outcome = await append(asked, [command])
    return await _written(asked, kind, outcome)


def _expectation(asked: Asked[Strict]) -> Expect | None:
    given = asked.headers.get("if-match")
    if given is None:
        return None
    return Expect(whichever=True) if given.strip() == "*" else Expect(positions=expected_positions(given))


async def append(
    asked: Posted[Strict, object], commands: list[Command], *, is_batch: bool = False, is_dry_run: bool = False
) -> Outcome:
    """Queue a unit and wait until it is durable, or refused."""
    caller = asked.caller
    if caller is None:
        raise RuntimeError("a write came past the scope check")
    note = await asked.services.bodies.work(len(asked.raw), _note, asked, caller.actor)
    unit = Unit(commands=commands, actor=caller.actor, note=note, is_batch=is_batch, is_dry_run=is_dry_run)
    return await asked.services.ledger.appended(unit)


def _note(asked: Posted[Strict, object], actor: str) -> Note | None:
    """Note which request this is, if it bears an Idempotency-Key: whose key, and what was asked under it."""
    key = asked.headers.get("idempotency-key")
    if key is None or ("If-Match" in asked.contract.headers and "if-match" not in asked.headers):
        # A revision that says not what it is based on was never accepted, so there is nothing to repeat.
        return None
    whose = f"{actor}\0{key}".encode()
    said = (asked.request.method, asked.request.url.path, asked.headers.get("if-match", ""))
    request = hashlib.sha256(whose + "\0".join(("", *said, "")).encode() + asked.raw).digest()
    return Note(key_digest=hashlib.sha256(whose).digest(), request_digest=request)


async def _written(asked: Asked[Strict], kind: Kind, outcome: Outcome) -> Reply:
    document = outcome.document
    if document is None:
        document = (await asked.read(views.written, outcome.position)).document
    item = outcome.items[0]
    url = f"{kind.path}/{item.id}"
    location = url if item.revision == 1 else f"{url}/revisions/{item.revision}"
    at = Standpoint(outcome.position, outcome.position, is_pinned=False)
    headers = [(b"location", location.encode()), memento.links(asked.in_full(url))]
    etag = revision_tag(outcome.position, VERSIONS[kind.name])
    return asked.reply(document, at=at, etag=etag, headers=headers, status=201)
