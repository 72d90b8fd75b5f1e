"""The peer Django + django-simple-history + django-ninja, written as their own documentation would have it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import msgspec

from tests.bench import corpus
from tests.bench.corpus import Corpus
from tests.bench.load import MARK, Request, Shot, gets
from tests.bench.servers import Command, Postgres, granian

FIRST_TIME = datetime(2021, 1, 1, tzinfo=UTC)
LIST_PAGE = 50
FEED_PAGE = 100
JSON = {"Content-Type": "application/json"}
# Synchronous Django is fastest under WSGI; threads beyond these only wait for one another.
THREADS = {"sqlite": "1", "postgresql": "4"}


def command(server: Postgres | None, folder: Path, workers: int) -> Command:
    """Say how to serve it on PostgreSQL, or on SQLite if there is none."""
    database = "postgresql" if server else "sqlite"
    threads = ["--blocking-threads", THREADS[database]]
    arguments = granian("tests.bench.peer_django.api:application", interface="wsgi", workers=workers, extra=threads)
    place = (
        {"PEER_HOST": server.folder, "PEER_USER": server.user, "PEER_NAME": server.create("django")} if server else {}
    )
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.bench.peer_django.settings",
        "PEER_NAME": str(folder / "django.db"),
        **place,
    }
    return Command(f"django-{database}", arguments, environment, "/events?after=0")


def shots(wanted: Corpus) -> dict[str, Shot]:
    """Make its requests: for the claims picked to be read, and for those with 20 revisions."""
    picks = wanted.picks()
    long = [corpus.claim_id(index) for index in wanted.long_claims]
    numbers = range(1, corpus.LONG_HISTORY + 1)
    feed = range(0, wanted.claims - FEED_PAGE, FEED_PAGE)
    deep = [wanted.claims * percent // 100 for percent in range(80, 96, 2)]
    times = [moment(wanted.claims + index * wanted.extra // len(picks)) for index in range(len(picks))]
    revise = msgspec.json.encode(
        {"reason": "measured", "changes": {"statement": f"{MARK.decode()} {corpus.prose(1, 240)}"}}
    )
    return {
        "read": gets(f"/claims/{corpus.claim_id(index)}" for index in picks),
        "as-of": gets(f"/claims/{corpus.claim_id(index)}?as_of={at}" for index, at in zip(picks, times, strict=True)),
        "revision": gets(f"/claims/{one}/revisions/{number}" for number in numbers for one in long),
        "history": gets((f"/claims/{one}/revisions" for one in long), corpus.LONG_HISTORY),
        "list": gets(["/claims"], LIST_PAGE),
        "list-deep": gets((f"/claims?cursor={cursor}" for cursor in deep), LIST_PAGE),
        "list-filter": gets(["/claims?stance=asserts"], LIST_PAGE),
        "list-as-of": gets((f"/claims?as_of={at}" for at in times), LIST_PAGE),
        "feed": gets((f"/events?after={after}" for after in feed), FEED_PAGE),
        "create": Shot(tuple(Request("POST", "/claims", msgspec.json.encode(body)) for body in wanted.creates), JSON),
        "update": Shot(
            tuple(Request("POST", f"/claims/{corpus.claim_id(index)}/revisions", revise) for index in picks), JSON
        ),
    }


def moment(version: int) -> str:
    """Write the time that stands for a position."""
    return quote((FIRST_TIME + timedelta(seconds=version)).isoformat())
