"""Our own service, driven from outside as any client would: the command line, the batch door, the public reads."""

import http.client
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from tests.bench import corpus
from tests.bench.corpus import Corpus
from tests.bench.load import HOST, MARK, OK, RefusedError, Request, Shot, gets
from tests.bench.servers import Command, Postgres, run

LEDGER = str(Path(sys.executable).with_name("ledger"))
OPERATIONS_PER_BATCH = 1000
LIST_PAGE = 50
FEED_PAGE = 100
LONGEST_PAGE = 500
LONG, SHORT = "claim-long", "claim-short"
SHORT_REVISIONS = 10

Operation = dict[str, object]


def command(server: Postgres | None, folder: Path, workers: int) -> Command:
    """Say how to serve it on PostgreSQL, or on SQLite if there is none."""
    database = "postgresql" if server else "sqlite"
    url = server.create_url("ledger") if server else f"sqlite:///{folder}/ledger.db"
    arguments = [LEDGER, "serve", "--host", HOST, "--port", "{port}", "--workers", str(workers), "--empty"]
    # Nobody in the field counts requests against a limit or writes a line for each.
    settings = {"LEDGER_DATABASE_URL": url, "LEDGER_RATE_LIMIT": "off", "LEDGER_LOG_LEVEL": "warning"}
    return Command(f"ledger-{database}", arguments, settings, "/health/ready")


def new_key(environment: Mapping[str, str], folder: Path) -> str:
    """Make a key that may write."""
    return run([LEDGER, "keys", "create", "bench", "--scope", "write"], environment, folder).split()[-1]


def seconds_to_rebuild(environment: Mapping[str, str], folder: Path) -> float:
    """Time `ledger rebuild`, less what the command takes to start and do nothing. The server must be stopped."""
    return seconds_to_run("rebuild", environment, folder) - seconds_to_run("--help", environment, folder)


def seconds_to_run(word: str, environment: Mapping[str, str], folder: Path) -> float:
    """Time one command from its start to its end."""
    began = time.perf_counter()
    run([LEDGER, word], environment, folder)
    return time.perf_counter() - began


@dataclass
class Client:
    """A client with a key: fills the ledger, and knows afterwards which positions the corpus takes."""

    port: int
    key: str
    wanted: Corpus
    claims_from: int = 0
    claims_to: int = 0
    revisions_to: int = 0

    def fill(self) -> None:
        """Record the corpus through the batch door, then the long record and the short one."""
        asked = self.wanted.questions + self.wanted.spare_questions
        self._send(record("entity", corpus.entity(index)) for index in range(corpus.ENTITIES))
        self._send(record("source", corpus.source(index)) for index in range(corpus.SOURCES))
        self.claims_from = self._send(record("question", corpus.question(index)) for index in range(asked))
        self.claims_to = self._send(
            record("claim", named_claim(self.wanted, index)) for index in range(self.wanted.claims)
        )
        self.revisions_to = self._send(
            revise(corpus.claim_id(index), number, corpus.changes(index, number))
            for index, number in self.wanted.revisions
        )
        for name, revisions in ((LONG, self.wanted.deep), (SHORT, SHORT_REVISIONS)):
            self._send([record("claim", {"id": name, **corpus.claim(1, 0)})])
            self._send(revise(name, number, corpus.changes(1, number)) for number in range(2, revisions + 1))

    def head(self) -> int:
        """Ask for the newest position."""
        return int(str(self._get("/v1/claims?limit=1")["position"]))

    def import_for(self, seconds: int) -> float:
        """Send batches of 1,000 records for some seconds; returns events per second."""
        bodies = self._import_bodies
        done, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < seconds:
            self._post("/v1/batch", next(bodies), "application/x-ndjson")
            done += OPERATIONS_PER_BATCH
        return done / took

    @cached_property
    def _import_bodies(self) -> Iterator[bytes]:
        """Give batches that answer each spare question in turn, so that none gathers more claims than the others."""
        operations = cycle([record("claim", body) for body in self.wanted.creates])
        whole = range(self.wanted.spare_questions)
        return cycle([ndjson(islice(operations, OPERATIONS_PER_BATCH)) for _ in whole[::OPERATIONS_PER_BATCH]])

    def shots(self) -> dict[str, Callable[[], Shot]]:
        """Make the requests of each operation, when asked for: some need a look at the ledger first."""
        one = [f"/v1/claims/{corpus.claim_id(index)}" for index in self.wanted.picks()]
        long = [f"/v1/claims/{corpus.claim_id(index)}" for index in self.wanted.long_claims]
        numbers = range(1, corpus.LONG_HISTORY + 1)
        span = self.revisions_to - self.claims_to
        positions = [self.claims_to + index * span // len(one) for index in range(len(one))]
        feed = range(self.claims_from, self.claims_to - FEED_PAGE, FEED_PAGE)
        listed = f"/v1/claims?limit={LIST_PAGE}"
        return {
            "read": lambda: gets(one),
            "as-of": lambda: gets(f"{path}?as_of={at}" for path, at in zip(one, positions, strict=True)),
            "revision": lambda: gets(f"{path}/revisions/{number}" for number in numbers for path in long),
            "history": lambda: gets((f"{path}/revisions" for path in long), corpus.LONG_HISTORY),
            "list": lambda: gets([listed], LIST_PAGE),
            "list-deep": lambda: gets(self._deep_pages(), LIST_PAGE),
            "list-filter": lambda: gets([f"{listed}&stance=asserts"], LIST_PAGE),
            "list-as-of": lambda: gets((f"{listed}&as_of={at}" for at in positions), LIST_PAGE),
            # A word that few hold, and one that nearly all do.
            "words": lambda: gets(f"{listed}&q={word}+moderation" for word in self._witnesses()),
            "search": lambda: gets(f"/v1/search?limit={LIST_PAGE}&q={word}+moderation" for word in self._witnesses()),
            "feed": lambda: gets((f"/v1/events?after={after}&limit={FEED_PAGE}" for after in feed), FEED_PAGE),
            "create": self._creates,
            "update": lambda: self._updates(one),
            **self._long_shots(),
        }

    def _witnesses(self) -> Iterator[str]:
        return (corpus.witness(index) for index in range(min(corpus.WITNESSES, self.wanted.claims)))

    def _creates(self) -> Shot:
        bodies = ({**body, "reason": "measured"} for body in self.wanted.creates)
        return Shot(tuple(Request("POST", "/v1/claims", msgspec.json.encode(body)) for body in bodies), self._headers)

    def _updates(self, paths: list[str]) -> Shot:
        statement = f"{MARK.decode()} {corpus.prose(1, 240)}"
        body = msgspec.json.encode({"action": "revise", "reason": "measured", "changes": {"statement": statement}})
        requests = tuple(Request("POST", f"{path}/revisions", body) for path in paths)
        return Shot(requests, {**self._headers, "If-Match": "*"})

    def _long_shots(self) -> dict[str, Callable[[], Shot]]:
        """Compare a page from the middle of the long history, and versions all over it, with the short record's."""
        step = max(1, self.wanted.deep // corpus.PICKS)
        long, short = f"/v1/claims/{LONG}/revisions", f"/v1/claims/{SHORT}/revisions"
        page = f"limit={SHORT_REVISIONS}&as_of={self.head()}"
        return {
            "long-history": lambda: gets([self._middle_page(f"{long}?{page}")], SHORT_REVISIONS),
            "short-history": lambda: gets([f"{short}?{page}"], SHORT_REVISIONS),
            "long-revision": lambda: gets(f"{long}/{number}" for number in range(1, self.wanted.deep + 1, step)),
            "short-revision": lambda: gets(f"{short}/{number}" for number in range(1, SHORT_REVISIONS + 1)),
        }

    def _middle_page(self, path: str) -> str:
        """Turn the link to the second page into one to the middle: a cursor is the number of the last item shown."""
        following = str(self._get(path)["next"])
        cursor = int(dict(parse_qsl(urlsplit(following).query))["cursor"])
        return with_query(following, cursor=str(cursor - self.wanted.deep // 2))

    def _deep_pages(self) -> Iterator[str]:
        """Follow `next` through the whole list; yield links to pages in its last fifth."""
        step = min(LONGEST_PAGE, self.wanted.claims // 20)
        following, seen = f"/v1/claims?limit={step}", 0
        while seen + step < self.wanted.claims:
            following, seen = str(self._get(following)["next"]), seen + step
            if seen >= self.wanted.claims * 4 // 5:
                yield with_query(following, limit=str(LIST_PAGE))

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    def _send(self, operations: Iterable[Operation]) -> int:
        """Send operations in batches; returns the last position."""
        remaining, position = iter(operations), 0
        while batch := list(islice(remaining, OPERATIONS_PER_BATCH)):
            position = int(str(self._post("/v1/batch", ndjson(batch), "application/x-ndjson")["position"]))
        return position

    def _get(self, path: str) -> dict[str, object]:
        return self._ask("GET", path, None, {})

    def _post(self, path: str, body: bytes, content_type: str) -> dict[str, object]:
        return self._ask("POST", path, body, {**self._headers, "Content-Type": content_type})

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> dict[str, object]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=600)
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        if response.status not in OK:
            raise RefusedError(Request(method, path), f"{response.status} {text[:500]!r}")
        answer: dict[str, object] = msgspec.json.decode(text)
        return answer


def record(kind: str, body: dict[str, object]) -> Operation:
    """Make the operation that records; an id moves from the body to where the batch wants it."""
    named = {"id": body["id"]} if "id" in body else {}
    rest = {name: value for name, value in body.items() if name != "id"}
    return {"op": "record", "kind": kind, **named, "reason": "recorded", "body": rest}


def revise(name: str, number: int, changes: dict[str, object]) -> Operation:
    """Make the operation that leads to a revision of a claim."""
    return {"op": "revise", "kind": "claim", "id": name, "expect": number - 1, "reason": "revised", "changes": changes}


def named_claim(wanted: Corpus, index: int) -> dict[str, object]:
    """Make a claim of the corpus under its id."""
    return {"id": corpus.claim_id(index), **corpus.claim(index, index % wanted.questions)}


def ndjson(operations: Iterable[Operation]) -> bytes:
    """Write operations one to a line."""
    return b"".join(msgspec.json.encode(operation) + b"\n" for operation in operations)


def with_query(url: str, **values: str) -> str:
    """Replace values in the query of a relative URL."""
    parts = urlsplit(url)
    return f"{parts.path}?{urlencode({**dict(parse_qsl(parts.query)), **values})}"
