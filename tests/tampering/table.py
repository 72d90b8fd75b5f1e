"""What each of those who look says of each way to tamper: the node, `ledger verify`, `ledger verify URL` and `/verify.py log`."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from api.app import answering
from api.domain.errors import LedgerError
from api.ledger.signing.checkpoints import kept_path
from api.ledger.storage.database import Database
from api.settings import Settings
from api.verifying.findings import Finding
from api.verifying.outside import verify_url
from api.verifying.site import Site
from api.verifying.verify import Doubts, Verdict, verify_database
from tests.support.builders import an_entity
from tests.support.served import Served, serve
from tests.tampering import DAMAGES, FORGERIES, FORKS, PLACE, SHOWN, Way

WAYS: dict[str, Way] = {**DAMAGES, **FORKS, **FORGERIES}
# How many records, words and past positions are compared from outside: what only one of them shows is found by trying all.
SAMPLES: dict[str, int | None] = {"search": None, "node": None, "node removed": None}
SCRIPT = Path(__file__).parents[2] / "api" / "assets" / "verify.py"
# What readers ask for: whatever of it is answered at all must be what it was before.
READ = (
    SHOWN,
    f"/v1/events/{PLACE}",
    f"/v1/events/{PLACE}/proof",
    f"/v1/events?exact=true&after={PLACE - 1}",
    "/v1/events?exact=true&after=20",
    "/v1/events?after=0",
    "/v1/entities?q=Name",
    "/v1/questions?agreement=agreed",
    "/v1/questions/offline-when/answers",
    "/tlog/checkpoint",
    "/tlog/tile/entries/000.p/23",
    "/tlog/tile/0/000.p/23",
)
# It would wait for a minute for a server that says 503.
_HASTY = "import runpy, sys, time; time.sleep = lambda _: None; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
Answers = dict[str, tuple[int, bytes]]


@dataclass(frozen=True)
class Said:
    """What one of those who look said, and whether it lets the ledger pass."""

    passes: bool
    words: str


@dataclass(frozen=True)
class Row:
    """One way to tamper, on one database: what is read otherwise than before, and what each says."""

    way: str
    forged: tuple[str, ...]
    running: Said
    starting: Said
    inside: Said
    outside: Said
    script: Said

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as it is printed."""
        forged = ", ".join(f"`{path}`" for path in self.forged) or "nothing forged"
        return (self.way, forged, *(each.words for each in self.said))

    @property
    def said(self) -> tuple[Said, ...]:
        return self.running, self.starting, self.inside, self.outside, self.script


HEAD = ("tampered with", "readers are told", "node that runs", "node that starts", "`ledger verify`", "`ledger verify URL`", "`/verify.py log`")  # fmt: skip


def look(settings: Settings, way: str) -> Row:
    """Tamper with a ledger while it is served, and ask everybody."""
    with serve(settings) as served:
        before = _read(served)
        _tamper(settings, WAYS[way])
        met = _read(served)
        served.app.state.services.watch.walk()
        running = _node(served)
    inside = _inside(settings)
    with serve(settings) as served:
        starting = _node(served)
        with exposed(served) as url:
            outside, script = _outside(url, SAMPLES.get(way, 2)), _script(url)
    forged = tuple(path for path, answer in met.items() if answer[0] == 200 and answer != before[path])
    return Row(way, forged, running, starting, inside, outside, script)


def _tamper(settings: Settings, way: Way) -> None:
    database = Database(settings)
    access = database.connect()
    way(access, kept_path(settings.signing_key_path))
    access.close()
    database.close()


def _read(served: Served) -> Answers:
    return {path: (answer.status_code, answer.content) for path in READ for answer in (served.get(path),)}


def _node(served: Served) -> Said:
    """Ask whether it is ready and takes appends, once what an append would have it sign is signed."""
    if served.get("/health/ready").status_code == 200:
        served.post("/v1/batch", [an_entity()])
        served.get("/tlog/checkpoint")
    ready = served.get("/health/ready")
    append = served.post("/v1/batch", [an_entity()]).status_code
    if ready.status_code == 200 or append == 201:
        return Said(passes=True, words="ready: does not look at what is derived")
    return Said(
        passes=False, words=f"{ready.status_code} {ready.json()['type'].removeprefix('/problems/')}, appends {append}"
    )


def _inside(settings: Settings) -> Said:
    database = Database(settings)
    told: list[Finding] = []
    try:
        verdict = verify_database(database, kept_path(settings.signing_key_path), told.append, lambda *_: None)
    finally:
        database.close()
    return _judged(verdict, told)


def _outside(url: str, sample: int | None) -> Said:
    told: list[Finding] = []
    try:
        with Site(url, pause=_at_once) as site:
            verdict = verify_url(site, answering, told.append, lambda *_: None, Doubts(sample=sample))
    except (LedgerError, OSError, ValueError) as error:
        return Said(passes=False, words=f"not checked: {error}")
    return _judged(verdict, told)


async def _at_once(_: float) -> None:
    """Wait for nothing: what is damaged stays so."""


def _judged(verdict: Verdict, told: list[Finding]) -> Said:
    words = verdict.sentence() if verdict.is_sound else str(told[0])
    return Said(passes=verdict.is_sound, words=words)


def _script(url: str) -> Said:
    """Run the script as a stranger would, apart from everything that is installed."""
    words = [sys.executable, "-I", "-S", "-c", _HASTY, str(SCRIPT), "log", url]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    return Said(passes=ran.returncode == 0, words=ran.stdout or ran.stderr)


@contextlib.contextmanager
def exposed(served: Served) -> Iterator[str]:
    """Give a URL at which strangers can read an application that a test serves to itself."""
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            with turn:
                asked = {"Accept": self.headers.get("Accept", "*/*"), "Host": self.headers["Host"]}
                answer = served.client.get(self.path, headers=asked, follow_redirects=False)
            self.send_response(answer.status_code)
            for name in ("content-type", "location", "retry-after"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        assert httpx.get(f"{url}/health/live", trust_env=False, verify=False).status_code == 200
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
