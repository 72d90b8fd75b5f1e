"""The peer `eventsourcing` 9.5 behind a thin HTTP layer: aggregates, their events, its notification log. No lists.

Configured for speed as far as several processes allow it: aggregates are cached and fast-forwarded, never copied to be
read. The environment names the database.
"""

import os
import uuid
from functools import cache
from pathlib import Path

import msgspec
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from litestar import Litestar, Response, get, post
from uuid_utils.compat import uuid7

from tests.bench import corpus
from tests.bench.corpus import Corpus
from tests.bench.load import MARK, Request, Shot, gets
from tests.bench.servers import Command, Postgres, granian

FEED_PAGE = 100
HISTORY_PAGE = 50
# Its PostgreSQL recorder stops for ever on a transaction of 500 such events.
FILL_TOGETHER = 50
CACHED_AGGREGATES = "10000"
FIRST_ID = uuid.UUID("018bcfe5-0000-7000-8000-000000000000").int
JSON = {"Content-Type": "application/json"}


class Claim(Aggregate):
    """A claim whose state is one dictionary."""

    class Recorded(Aggregate.Created):
        """The first revision."""

        body: dict[str, object]
        reason: str

    class Revised(Aggregate.Event):
        """A later one."""

        changes: dict[str, object]
        reason: str

    @event(Recorded)
    def __init__(self, body: dict[str, object], reason: str) -> None:
        """Record."""
        self.body = dict(body)
        self.reason = reason

    @staticmethod
    def create_id(*_: object, **__: object) -> uuid.UUID:
        """Mint an id that grows with time."""
        return uuid7()

    @event(Revised)
    def revise(self, changes: dict[str, object], reason: str) -> None:
        """Revise."""
        self.body = {**self.body, **changes}
        self.reason = reason


class Revision(msgspec.Struct, frozen=True):
    """The body of an update."""

    reason: str
    changes: dict[str, object]


class Claims(Application[uuid.UUID]):
    """The application; the environment chooses its database."""

    log_section_size = FEED_PAGE


@cache
def claims() -> Claims:
    """Open the application once in a process."""
    return Claims()


def app() -> Litestar:
    """Wire the routes: in the event loop on SQLite, from threads where a statement waits for a socket."""
    threads = os.environ["PERSISTENCE_MODULE"] == "eventsourcing.postgres"
    reads = [
        get("/claims/{one:uuid}", sync_to_thread=threads)(read),
        get("/claims/{one:uuid}/revisions/{number:int}", sync_to_thread=threads)(read_revision),
        get("/claims/{one:uuid}/revisions", sync_to_thread=threads)(read_history),
        get("/events", sync_to_thread=threads)(read_feed),
    ]
    # A path of its own for each: Litestar 2.25 wraps a handler in a thread twice where GET and POST share a path.
    writes = [
        post("/claims", sync_to_thread=threads)(create),
        post("/claims/{one:uuid}/revise", sync_to_thread=threads)(update),
    ]
    return Litestar([*reads, *writes], openapi_config=None)


def read(one: uuid.UUID) -> Response[bytes]:
    """Read the current state."""
    claim: Claim = claims().repository.get(one, deepcopy_from_cache=False)
    return shown(claim)


def read_revision(one: uuid.UUID, number: int) -> Response[bytes]:
    """Read a past state."""
    claim: Claim = claims().repository.get(one, version=number)
    return shown(claim)


def read_history(one: uuid.UUID) -> Response[bytes]:
    """Read who, when and why, newest first."""
    events = claims().events.get(one, desc=True, limit=HISTORY_PAGE)
    items = [
        {
            "revision": past.originator_version,
            "type": type(past).__name__,
            "revised_at": past.timestamp,
            "reason": past.reason,
        }
        for past in events
    ]
    return answer({"items": items})


def read_feed(after: int) -> Response[bytes]:
    """Read a page of the feed; the stored states are JSON already and pass through as they are."""
    page = claims().notification_log.select(start=after, limit=FEED_PAGE, inclusive_of_start=False)
    items = [
        {
            "position": item.id,
            "record": item.originator_id,
            "revision": item.originator_version,
            "type": item.topic,
            "state": msgspec.Raw(item.state),
        }
        for item in page
    ]
    return answer({"items": items})


def create(data: dict[str, object]) -> Response[bytes]:
    """Record a claim."""
    claim = Claim(body=data, reason="recorded")
    claims().save(claim)
    return answer({"id": claim.id, "revision": claim.version}, 201)


def update(one: uuid.UUID, data: Revision) -> Response[bytes]:
    """Revise a claim."""
    claim: Claim = claims().repository.get(one)
    claim.revise(changes=data.changes, reason=data.reason)
    claims().save(claim)
    return answer({"id": claim.id, "revision": claim.version}, 201)


def shown(claim: Claim) -> Response[bytes]:
    """Show one revision of a claim."""
    times = {"recorded_at": claim.created_on, "revised_at": claim.modified_on}
    return answer({"id": claim.id, "revision": claim.version, "reason": claim.reason, **times, **claim.body})


def answer(value: object, status: int = 200) -> Response[bytes]:
    """Answer with JSON."""
    return Response(msgspec.json.encode(value), media_type="application/json", status_code=status)


def fill(wanted: Corpus) -> None:
    """Store the corpus, many aggregates to a transaction."""
    for start in range(0, wanted.claims, FILL_TOGETHER):
        indexes = range(start, min(start + FILL_TOGETHER, wanted.claims))
        made = [
            Claim._create(Claim.Recorded, id=claim_uuid(index), body=first_body(wanted, index), reason="recorded")  # noqa: SLF001
            for index in indexes
        ]
        claims().save(*made)
    for start in range(0, len(wanted.revisions), FILL_TOGETHER):
        revised: dict[int, Claim] = {}
        for index, number in wanted.revisions[start : start + FILL_TOGETHER]:
            claim = revised.setdefault(index, claims().repository.get(claim_uuid(index)))
            claim.revise(changes=corpus.changes(index, number), reason="revised")
        claims().save(*revised.values())


def first_body(wanted: Corpus, index: int) -> dict[str, object]:
    """Make the body of a claim of the corpus."""
    return corpus.claim(index, index % wanted.questions)


def claim_uuid(index: int) -> uuid.UUID:
    """Name a claim of the corpus: ids in the order of recording, as UUIDv7 would be."""
    return uuid.UUID(int=FIRST_ID + index)


def command(server: Postgres | None, folder: Path, workers: int) -> Command:
    """Say how to serve it on PostgreSQL, or on SQLite if there is none."""
    name = "eventsourcing-postgresql" if server else "eventsourcing-sqlite"
    arguments = granian("tests.bench.peer_eventsourcing:app", interface="asgi", workers=workers, extra=["--factory"])
    place = on_postgresql(server) if server else on_sqlite(folder)
    return Command(name, arguments, {**place, "AGGREGATE_CACHE_MAXSIZE": CACHED_AGGREGATES}, "/events?after=0")


def on_sqlite(folder: Path) -> dict[str, str]:
    """Name a file. The library sets WAL itself and leaves `synchronous` at SQLite's default, FULL."""
    path = str(folder / "eventsourcing.db")
    return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path, "SQLITE_LOCK_TIMEOUT": "60"}


def on_postgresql(server: Postgres) -> dict[str, str]:
    """Name a database of its own."""
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": server.create("eventsourcing"),
        "POSTGRES_HOST": server.folder,
        "POSTGRES_PORT": "5432",
        "POSTGRES_USER": server.user,
        "POSTGRES_PASSWORD": "-",
    }


def shots(wanted: Corpus) -> dict[str, Shot]:
    """Make its requests: for the claims picked to be read, and for those with 20 revisions."""
    picks = wanted.picks()
    long = [claim_uuid(index) for index in wanted.long_claims]
    numbers = range(1, corpus.LONG_HISTORY + 1)
    feed = range(0, wanted.claims - FEED_PAGE, FEED_PAGE)
    revise = msgspec.json.encode(
        {"reason": "measured", "changes": {"statement": f"{MARK.decode()} {corpus.prose(1, 240)}"}}
    )
    return {
        "read": gets(f"/claims/{claim_uuid(index)}" for index in picks),
        "revision": gets(f"/claims/{one}/revisions/{number}" for number in numbers for one in long),
        "history": gets((f"/claims/{one}/revisions" for one in long), corpus.LONG_HISTORY),
        "feed": gets((f"/events?after={after}" for after in feed), FEED_PAGE),
        "create": Shot(tuple(Request("POST", "/claims", msgspec.json.encode(body)) for body in wanted.creates), JSON),
        "update": Shot(tuple(Request("POST", f"/claims/{claim_uuid(index)}/revise", revise) for index in picks), JSON),
    }
