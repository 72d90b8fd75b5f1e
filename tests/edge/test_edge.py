"""What every response has in common, asked over ASGI of a small Litestar app behind the real Edge."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import structlog
from litestar import Litestar, Request, Response, asgi, get, post, route
from litestar.exceptions import MethodNotAllowedException
from litestar.params import FromPath
from litestar.response import Stream
from litestar.types import ASGIApp, Receive, Scope, Send

from api.logs import logging_config
from api.routes.edge import exchange
from api.routes.edge.edge import Edge
from api.routes.edge.metrics import Metrics
from api.routes.edge.reply import method_not_allowed, options_of
from api.settings import Settings

OWN_HEADERS = {"x-request-id", "x-content-type-options", "access-control-allow-origin", "access-control-expose-headers"}
SECRET = "what-somebody-searched-for"


@get("/things", sync_to_thread=False)
def list_things() -> dict[str, list[str]]:
    return {"items": []}


@post("/things", sync_to_thread=False)
def record_thing() -> dict[str, str]:
    return {"id": "a"}


@get("/things/{thing:str}", sync_to_thread=False)
def show_thing(thing: FromPath[str], request: Request) -> dict[str, str]:
    return {"id": thing, "method": request.method, "request_id": request.scope["request_id"]}


@post("/things/{thing:str}/revisions", sync_to_thread=False)
def revise_thing(thing: FromPath[str]) -> None:
    return None


@get("/tile/{rest:path}", sync_to_thread=False)
def tile(rest: FromPath[Path]) -> bytes:
    return str(rest).encode()


@route("/both", http_method=["PUT", "DELETE"], status_code=200, sync_to_thread=False)
def both() -> None:
    return None


@get("/crash", sync_to_thread=False)
def crash() -> None:
    raise KeyError(SECRET)


@get("/half")
async def half() -> Stream:
    async def some():
        yield b"half"
        raise KeyError(SECRET)

    return Stream(some())


@get("/teapot", sync_to_thread=False)
def teapot() -> Response[str]:
    return Response("short and stout", status_code=418)


@asgi("/raw", copy_scope=True)
async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": scope["method"].encode()})


def refuse_method(_: Request, error: MethodNotAllowedException) -> Response[bytes]:
    return method_not_allowed(error)


def reraise(_: Request, fault: Exception) -> Response[str]:
    if getattr(fault, "status_code", 500) == 404:
        return Response("nothing here", status_code=404)
    raise fault


HANDLERS = [list_things, record_thing, show_thing, revise_thing, tile, both, crash, half, teapot, raw]


def an_app() -> Litestar:
    routes = [handler for handler in HANDLERS if handler is not raw]
    return Litestar(
        [*options_of(routes), *HANDLERS],
        openapi_config=None,
        logging_config=None,
        exception_handlers={Exception: reraise, 404: reraise, 405: refuse_method},
    )


def a_log(lines: io.StringIO, level: int = logging.INFO):
    return structlog.wrap_logger(
        structlog.WriteLogger(lines),
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer(default=repr)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )


class Door:
    """The app behind its edge, with what it logged and counted."""

    def __init__(self, *, level: int = logging.INFO) -> None:
        app = an_app()
        self.lines = io.StringIO()
        self.metrics = Metrics()
        self.edge = Edge(app, self.metrics, a_log(self.lines, level))

    def ask(
        self, method: str, path: str, headers: dict[str, str] | list[tuple[str, str]] | None = None
    ) -> httpx.Response:
        return ask(self.edge, method, path, headers)

    @property
    def logged(self) -> list[dict]:
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]


def ask(
    app: ASGIApp, method: str, path: str, headers: dict[str, str] | list[tuple[str, str]] | None = None
) -> httpx.Response:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 4321))
        async with httpx.AsyncClient(transport=transport, base_url="http://ledger.test") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(go())


@pytest.fixture
def door() -> Door:
    return Door()


def test_head_is_get_without_its_body(door: Door) -> None:
    got, head = door.ask("GET", "/things"), door.ask("HEAD", "/things")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == str(len(got.content))
    assert head.headers["content-type"] == got.headers["content-type"]


def test_a_handler_sees_get_where_head_was_asked_and_the_log_says_head(door: Door) -> None:
    assert (
        door.ask("HEAD", "/things/a").headers["content-length"]
        == door.ask("GET", "/things/a").headers["content-length"]
    )
    assert [line["method"] for line in door.logged] == ["HEAD", "GET"]


def test_a_crash_after_head_is_answered_as_any_other(door: Door) -> None:
    answer = door.ask("HEAD", "/crash")
    assert (answer.status_code, answer.content) == (500, b"")


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/things", "GET, HEAD, OPTIONS, POST"),
        ("/things/", "GET, HEAD, OPTIONS, POST"),
        ("/things/a", "GET, HEAD, OPTIONS"),
        ("/things//a", "GET, HEAD, OPTIONS"),
        ("/things/a/revisions", "OPTIONS, POST"),
        ("/tile/8/0/x001/067", "GET, HEAD, OPTIONS"),
        ("/both", "DELETE, OPTIONS, PUT"),
    ],
)
def test_options_lists_the_methods_of_every_handler(door: Door, path: str, allow: str) -> None:
    answer = door.ask("OPTIONS", path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == allow
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("path", ["/nothing", "/things/a/nothing", "/tile", "/thingsx"])
def test_options_of_an_unknown_path_tells_of_no_methods(door: Door, path: str) -> None:
    answer = door.ask("OPTIONS", path, {"Origin": "http://app.test", "Access-Control-Request-Method": "GET"})
    assert answer.status_code == 404
    assert not {"allow", "access-control-allow-methods"} & set(answer.headers)


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "BREW"])
@pytest.mark.parametrize(
    ("path", "headers", "status", "slug"),
    [
        ("/things", [("x", "y")] * 65, 431, "headers-too-large"),
        ("/things", [("x", "y" * 65_536)], 431, "headers-too-large"),
        ("/things", [("x" * 65_536, "y")], 431, "headers-too-large"),
        ("/nothing", [("x", "y" * 1100)] * 60, 431, "headers-too-large"),
        ("/" + "x" * 16_384, [], 414, "address-too-long"),
        ("/things?q=" + "x" * 16_384, [], 414, "address-too-long"),
        ("/things", [("transfer-encoding", "gzip, chunked")], 501, "not-implemented"),
        ("/things", [("transfer-encoding", "chunked")] * 2, 501, "not-implemented"),
        ("/things", [("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")], 501, "not-implemented"),
    ],
)
def test_what_is_beyond_all_bounds_is_refused_before_anything_else(
    door: Door, method: str, path: str, headers: list[tuple[str, str]], status: int, slug: str
) -> None:
    answer = door.ask(method, path, headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"/problems/{slug}"
    assert "x-request-id" in answer.headers


def test_what_is_just_within_the_bounds_is_answered(door: Door) -> None:
    fields = [(f"x-{number}", "y" * 1000) for number in range(64 - len(door.ask("GET", "/things").request.headers))]
    assert door.ask("GET", "/things?q=" + "x" * 16_300, fields).status_code == 200
    assert door.ask("POST", "/things", {"transfer-encoding": "Chunked"}).status_code == 201


def test_an_answer_that_nobody_reads_is_broken_off(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "PATIENCE", 0.05)
    sent = unread(door, 200_000, takes=20_000)
    assert 0 < sum(len(message["body"]) for message in sent) < 200_000
    assert all(message["more_body"] for message in sent), "it would be taken for whole"
    assert door.logged[-1]["status"] == 499


def test_of_more_answers_than_there_is_room_for_the_slowest_is_broken_off(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "MOST_WAITING", 500_000)

    async def go() -> list[list[dict]]:
        app = an_answer_of(200_000)
        edge = Edge(app, door.metrics, a_log(door.lines))
        slow, slower = Reader(20_000), Reader(20_000)
        waiting = [asyncio.create_task(edge(a_scope(), None, reader.take)) for reader in (slow, slower)]
        await asyncio.sleep(0.01)
        slow.takes = 40_000
        slow.moves.set()
        await asyncio.sleep(0.01)
        eager = Reader(300_000)
        await edge(a_scope(), None, eager.take)
        slow.takes = 300_000
        slow.moves.set()
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        return [eager.sent, slow.sent, slower.sent]

    eager, slow, slower = asyncio.run(go())
    assert [sent[-1]["more_body"] for sent in (eager, slow, slower)] == [False, False, True]


def test_a_reader_whose_time_is_just_up_costs_no_other_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a deadline that passes and the task that is told of it, another answer may need the room."""
    monkeypatch.setattr(exchange, "MOST_WAITING", 300_000)
    monkeypatch.setattr(exchange, "PATIENCE", 0.05)

    async def go() -> list[dict]:
        readers, late, eager = exchange.Readers(), Reader(0), Reader(400_000)
        waiting = asyncio.create_task(readers.hand_over(b"x" * 200_000, late.take))
        await asyncio.sleep(0)
        time.sleep(0.06)  # noqa: ASYNC251 - the deadline passes, and in the next turn of the loop the task is told
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for _ in range(2):
            await readers.hand_over(b"x" * 200_000, eager.take)
        with pytest.raises(TimeoutError):
            await waiting
        return eager.sent

    assert sum(len(message["body"]) for message in asyncio.run(go())) == 400_000


class Reader:
    """Takes so many bytes of an answer, and then no more until it is told to."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.moves = asyncio.Event()
        self.sent: list[dict] = []

    async def take(self, message: dict) -> None:
        if message["type"] == "http.response.body":
            while sum(len(each["body"]) for each in self.sent) + len(message["body"]) > self.takes:
                self.moves.clear()
                await self.moves.wait()
            self.sent.append(message)


def an_answer_of(size: int) -> ASGIApp:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * size, "more_body": False})

    return app


def a_scope() -> dict:
    return {"type": "http", "method": "GET", "path": "/things", "headers": []}


def unread(door: Door, size: int, *, takes: int) -> list[dict]:
    async def go() -> list[dict]:
        reader = Reader(takes)
        edge = Edge(an_answer_of(size), door.metrics, a_log(door.lines))
        await asyncio.wait_for(edge(a_scope(), None, reader.take), 5)
        return reader.sent

    return asyncio.run(go())


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_preflight_is_granted_what_the_path_takes(door: Door, method: str) -> None:
    for path, taken in {"/things": "GET, HEAD, OPTIONS, POST", "/things/a": "GET, HEAD, OPTIONS"}.items():
        answer = door.ask("OPTIONS", path, {"Origin": "http://app.test", "Access-Control-Request-Method": method})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-allow-methods"] == taken
        assert "Authorization" in answer.headers["access-control-allow-headers"]
        assert answer.headers["access-control-max-age"] == "86400"


def test_who_only_asks_for_options_is_told_of_no_preflight(door: Door) -> None:
    answer = door.ask("OPTIONS", "/things", {"Origin": "http://app.test"})
    assert not any(name.startswith("access-control-allow-m") for name in answer.headers)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "QUERY"])
def test_a_method_the_path_does_not_have_is_a_405_problem(door: Door, method: str) -> None:
    answer = door.ask(method, "/things")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json() == {
        "type": "/problems/method-not-allowed",
        "title": "The address does not take this method",
        "status": 405,
        "detail": "this path does not have the method; Allow lists those it has. A record is changed by POST to its revisions",
    }


def test_an_unknown_path_is_left_to_the_app(door: Door) -> None:
    assert door.ask("TRACE", "/nothing").text == "nothing here"


def test_a_bare_asgi_handler_judges_methods_itself(door: Door) -> None:
    assert door.ask("PATCH", "/raw").text == "PATCH"


def test_paths_are_read_below_the_root_path() -> None:
    scope = {"type": "http", "method": "PUT", "path": "/ledger/things", "root_path": "/ledger", "headers": []}
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(Door().edge(scope, None, send))
    assert sent[0]["status"] == 405


@pytest.mark.parametrize("path", ["/things", "/nothing", "/crash", "/teapot", "/raw"])
def test_every_answer_to_a_read_has_the_common_headers(door: Door, path: str) -> None:
    answer = door.ask("GET", path)
    assert set(answer.headers) >= OWN_HEADERS
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "Ledger-Position" in answer.headers["access-control-expose-headers"]


def test_an_answer_to_a_write_has_the_common_headers_too(door: Door) -> None:
    answer = door.ask("POST", "/things")
    assert answer.status_code == 201
    assert set(answer.headers) >= OWN_HEADERS


def test_the_clients_request_id_is_kept_where_it_fits(door: Door) -> None:
    answer = door.ask("GET", "/things/a", {"X-Request-Id": "Trace.1_a-b"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "Trace.1_a-b"


@pytest.mark.parametrize("bad", ["", "a b", "a" * 65, "a\tb", "é", '"x"'])
def test_another_request_id_is_minted_where_it_does_not_fit(door: Door, bad: str) -> None:
    minted = door.ask("GET", "/things", {"X-Request-Id": bad.encode("latin-1")}).headers["x-request-id"]
    assert minted != bad
    assert len(minted) == 32


def test_minted_request_ids_differ(door: Door) -> None:
    assert len({door.ask("GET", "/things").headers["x-request-id"] for _ in range(20)}) == 20


def test_an_escaped_exception_is_a_500_problem_without_its_message(door: Door) -> None:
    answer = door.ask("GET", "/crash")
    assert answer.status_code == 500
    assert answer.json()["type"] == "/problems/internal-server-error"
    assert SECRET not in answer.text
    fault = next(line for line in door.logged if line["event"] == "unhandled")
    assert fault["request_id"] == answer.headers["x-request-id"]


def test_a_body_that_breaks_off_breaks_the_connection(door: Door) -> None:
    with pytest.raises(ConnectionAbortedError, match="response broken off") as broken:
        door.ask("GET", "/half")
    assert SECRET not in str(broken.value)
    assert [line["event"] for line in door.logged] == ["unhandled", "request"]


def test_the_access_log_has_neither_query_nor_headers(door: Door) -> None:
    answer = door.ask("GET", f"/things?q={SECRET}", {"Authorization": f"Bearer {SECRET}"})
    [line] = door.logged
    assert set(line) == {"event", "level", "method", "path", "status", "ms", "bytes", "request_id"}
    assert (line["event"], line["path"], line["status"]) == ("request", "/things", 200)
    assert line["bytes"] == len(answer.content)
    assert SECRET not in door.lines.getvalue()


def test_the_access_log_is_silent_above_info() -> None:
    door = Door(level=logging.WARNING)
    door.ask("GET", "/things")
    assert door.logged == []


def test_a_cancelled_request_is_counted_as_abandoned(door: Door) -> None:
    async def never(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.sleep(60)

    async def go() -> None:
        edge = Edge(never, door.metrics, a_log(door.lines))
        scope = {"type": "http", "method": "GET", "path": "/things", "headers": []}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(edge(scope, None, None), 0.01)

    asyncio.run(go())
    assert door.logged[0]["status"] == 499


def test_lifespan_reaches_the_app() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    asyncio.run(Edge(app, Metrics(), a_log(io.StringIO()))({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]


def test_metrics_are_labelled_by_route_template_never_by_path(door: Door) -> None:
    door.ask("GET", f"/things/{SECRET}")
    door.ask("GET", f"/{SECRET}")
    door.ask("BREW", "/things")
    body, content_type = door.metrics.render()
    text = body.decode()
    assert content_type.startswith("text/plain")
    assert 'ledger_http_requests_total{method="GET",route="/things/{thing}",status="200"} 1.0' in text
    assert 'ledger_http_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert 'ledger_http_requests_total{method="other",route="none",status="405"} 1.0' in text
    assert 'ledger_http_request_duration_seconds_count{route="/things/{thing}"} 1.0' in text
    assert SECRET not in text


def test_metrics_ask_the_ledger_at_every_scrape() -> None:
    metrics, numbers = Metrics(), {"position": 3.0, "appended_events_total": 7.0}
    metrics.observe_ledger(lambda: numbers)
    assert b"# TYPE ledger_appended_events_total counter\nledger_appended_events_total 7.0" in metrics.render()[0]
    numbers["position"] = 4.0
    assert b"# TYPE ledger_position gauge\nledger_position 4.0" in metrics.render()[0]
    assert b"process_start_time_seconds" in metrics.render()[0]


SPEAK = """
import logging, structlog
from api.logs import configure_logging
from api.settings import Settings
configure_logging(Settings(log_format={form!r}, log_level="info"))
structlog.get_logger().info("ours", path="/x")
structlog.get_logger().debug("unheard")
logging.getLogger("_granian").info("started %s", "worker")
logging.getLogger("uvicorn.access").info("GET /v1/claims?q=secret")
logging.getLogger("granian.access").warning("GET /v1/claims?q=secret")
try:
    try:
        raise KeyError("secret")
    except KeyError as fault:
        raise ValueError("secret") from fault
except ValueError:
    logging.getLogger("asyncio").exception("a task failed")
    structlog.get_logger().exception("ours failed")
"""


def spoken(form: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SPEAK.format(form=form)], capture_output=True, text=True, check=True)


def test_our_lines_and_the_libraries_lines_have_one_form() -> None:
    done = spoken("json")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.stdout == ""
    assert [line["event"] for line in lines] == ["ours", "started worker", "a task failed", "ours failed"]
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)


def test_logged_exceptions_say_where_and_never_what() -> None:
    done = spoken("json")
    assert "secret" not in done.stderr
    for line in map(json.loads, done.stderr.splitlines()[2:]):
        assert "builtins.ValueError" in line["trace"]
        assert "builtins.KeyError" in line["trace"]


def test_console_lines_are_for_people() -> None:
    done = spoken("console")
    assert "secret" not in done.stderr
    assert "ours" in done.stderr
    assert not done.stderr.startswith("{")


def test_the_logging_configuration_can_be_handed_to_worker_processes() -> None:
    assert json.loads(json.dumps(logging_config(Settings())))["version"] == 1
