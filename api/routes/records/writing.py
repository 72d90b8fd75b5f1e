"""Appending: a new record, an action on one, and the unit of work that a request queues. Also the answer to each."""

import hashlib
from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from api.domain.dates.asof import Standpoint
from api.domain.records.command import Command, Expect
from api.domain.records.kinds import Kind
from api.domain.records.operation import action_command, record_command
from api.domain.records.representation import VERSIONS
from api.domain.text import canonical
from api.ledger.reading import views
from api.ledger.writing.unit import Note, Outcome, Unit
from api.routes.contract.params import DryRunQuery, Strict
from api.routes.edge.asked import Asked, Posted
from api.routes.edge.negotiation import expected_positions, revision_tag
from api.routes.edge.reply import Headers, Reply
from api.routes.records import memento

REPLAYED = (b"idempotency-replayed", b"true")


async def record(asked: Posted[DryRunQuery, Struct], kind: Kind) -> Reply:
    """Append a new record."""
    outcome = await append(asked, [record_command(kind.name, asked.body)])
    return await _written(asked, kind, outcome)


async def revise(asked: Posted[DryRunQuery, Struct], kind: Kind) -> Reply:
    """Append to a record's history."""
    command = action_command(kind.name, asked.id, asked.body, _expectation(asked))
    outcome = await append(asked, [command])
    return await _written(asked, kind, outcome)


def _expectation(asked: Asked[Strict]) -> Expect | None:
    given = asked.headers.get("if-match")
    if given is None:
        return None
    # Empty elements of the list say nothing (RFC 9110 section 5.6.1.2).
    return Expect(whichever=True) if given.strip(" \t,") == "*" else Expect(positions=expected_positions(given))


async def append(
    asked: Posted[DryRunQuery, object],
    commands: Sequence[Command],
    *,
    said: Sequence[bytes] = (),
    is_batch: bool = False,
) -> Outcome:
    """Queue a unit and wait until it is durable, or refused; a dry run is judged and written nowhere.

    `said` are the JSON texts that the body holds, where it is not one.
    """
    note = await noted(asked, said)
    unit = Unit(commands=commands, actor=_actor(asked), note=note, is_batch=is_batch, is_dry_run=asked.query.dry_run)
    return await asked.services.ledger.appended(unit)


def _actor(asked: Asked[Strict]) -> str:
    if asked.caller is None:
        raise RuntimeError("a write came past the scope check")
    return asked.caller.actor


async def noted(asked: Posted[DryRunQuery, object], said: Sequence[bytes] = ()) -> Note | None:
    """Note which request this is, if it bears an Idempotency-Key: whose key, and what was asked under it.

    Two requests are the same where the JSON that they hold is: white space, the order of names and how a text or number
    is spelt do not count, and If-Match names positions. A dry run is not noted.
    """
    key = asked.headers.get("idempotency-key")
    is_based = "If-Match" in asked.contract.headers
    if key is None or asked.query.dry_run or (is_based and "if-match" not in asked.headers):
        # A revision that says not what it is based on was never accepted, so there is nothing to repeat.
        return None
    whose = f"{_actor(asked)}\0{key}".encode()
    return await asked.services.bodies.work(len(asked.raw), _note, asked, whose, said or [asked.raw])


def _note(asked: Posted[DryRunQuery, object], whose: bytes, said: Sequence[bytes]) -> Note:
    method, path = asked.request.method, asked.request.url.path
    # Held to those noted by an older version: it took If-Match, and the body, as they were sent.
    as_sent = (method, path, asked.headers.get("if-match", ""))
    return Note(
        key_digest=hashlib.sha256(whose).digest(),
        request_digest=_digest(whose, (method, path, _based_on(asked)), map(_as_parsed, said)),
        bytes_digest=_digest(whose, as_sent, [asked.raw]),
    )


def _digest(whose: bytes, head: tuple[str, ...], said: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256(whose + "\0".join(("", *head, "")).encode())
    for each in said:
        digest.update(each)
    return digest.digest()


def _based_on(asked: Asked[Strict]) -> str:
    """Spell which revisions a request is based on, in one way."""
    expect = _expectation(asked) if "If-Match" in asked.contract.headers else None
    if expect is None:
        return ""
    return "*" if expect.whichever else ",".join(map(str, sorted(expect.positions)))


def _as_parsed(text: bytes) -> bytes:
    """Write a JSON text in the one way in which it is written whatever way it was sent, on a line."""
    return canonical(_PARSED.decode(text.removeprefix(BOM_UTF8))) + b"\n"


def _number(written: str) -> int | float:
    value = float(written)
    return int(value) if value.is_integer() else value


_PARSED = msgspec.json.Decoder(float_hook=_number)


async def _written(asked: Posted[DryRunQuery, Struct], kind: Kind, outcome: Outcome) -> Reply:
    document = outcome.document
    if document is None:
        document = (await asked.read(views.written, outcome.position)).document
    item = outcome.items[0]
    url = f"{kind.path}/{item.id}"
    location = url if item.revision == 1 else f"{url}/revisions/{item.revision}"
    headers = [(b"location", location.encode()), memento.links(asked.in_full(url))]
    etag = revision_tag(outcome.position, VERSIONS[kind.name])
    return answer(asked, outcome, document, headers=headers, etag=etag)


def answer(
    asked: Asked[DryRunQuery], outcome: Outcome, body: bytes, *, headers: Headers | None = None, etag: str | None = None
) -> Reply:
    """Answer 201 with what was written, and say where that was done before; after a dry run 200 with what would be.

    A dry run names the position that it was judged by, and neither tag nor address of what is not there.
    """
    if asked.query.dry_run:
        before = outcome.items[0].position - 1
        return asked.reply(body, at=Standpoint(before, before, is_pinned=False))
    at = Standpoint(outcome.position, outcome.position, is_pinned=False)
    marked = [*(headers or []), *([REPLAYED] if outcome.is_replay else [])]
    return asked.reply(body, at=at, etag=etag, headers=marked, status=201)
