"""How much of bodies a process holds, how long it waits for them, and that nothing small or short waits for a large one."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from api.domain.records.operation import cut_batch
from api.routes.edge import bodies
from api.routes.edge.bodies import _SMALL, Bodies
from api.settings import Settings
from tests.support.builders import an_entity, an_id
from tests.support.served import DATABASES, Served, migrated, serve

LARGEST = 100_000
NDJSON = b"application/x-ndjson"


@pytest.fixture(scope="module", params=DATABASES)
def hasty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that waits a second for a body, and holds two of the largest batches."""
    bounds = {"body_deadline": 1, "max_body": 20_000, "max_batch": LARGEST, "max_bodies": 2 * LARGEST}
    with (
        migrated(request, request.param, tmp_path_factory.mktemp("hasty"), **bounds) as settings,
        serve(settings) as service,
    ):
        yield service


class Sending:
    """A request whose body comes piece by piece, when the test says so."""

    def __init__(self, served: Served, path: str, *more: tuple[bytes, bytes], media_type: bytes = NDJSON) -> None:
        self._app = served.client.app
        self._pieces: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[Any] = []
        key = f"Bearer {served.key}".encode()
        self._scope: Any = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
            "headers": [(b"host", b"ledger.test"), (b"content-type", media_type), (b"authorization", key),
                        *(more or ((b"transfer-encoding", b"chunked"),))],
        }  # fmt: skip
        self._answered = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async def send(message: Any) -> None:
            self.sent.append(message)

        await self._app(self._scope, self._pieces.get, send)

    async def piece(self, body: bytes, *, is_last: bool = False) -> None:
        """Send a piece, and let it be looked at."""
        self._pieces.put_nowait({"type": "http.request", "body": body, "more_body": not is_last})
        await asyncio.sleep(0.02)

    async def end(self) -> tuple[int, dict[bytes, bytes], dict[str, Any]]:
        await asyncio.wait_for(self._answered, 30)
        body = b"".join(message["body"] for message in self.sent[1:])
        return self.sent[0]["status"], dict(self.sent[0]["headers"]), json.loads(body)

    @property
    def is_answered(self) -> bool:
        return bool(self.sent)


def _lines(size: int) -> bytes:
    """Make a batch of so many bytes, most of them without meaning."""
    line = json.dumps(an_entity(an_id("e"))).encode()
    return line + b"\n" * (size - len(line))


async def _trickle(sending: Sending) -> AsyncIterator[None]:
    while not sending.is_answered:
        await sending.piece(b"\n")
        yield


def test_a_body_that_never_ends_is_waited_for_until_its_deadline(hasty: Served) -> None:
    async def go() -> Any:
        began = asyncio.get_running_loop().time()
        sending = Sending(hasty, "/v1/batch")
        async for _ in _trickle(sending):
            assert asyncio.get_running_loop().time() - began < 10, (
                "somebody who keeps sending is waited for without end"
            )
        return await sending.end()

    status, headers, problem = asyncio.run(go())
    assert (status, problem["type"]) == (408, "/problems/request-timeout")
    assert "within 1 s" in problem["detail"]
    assert headers[b"connection"] == b"close"


def test_more_than_there_is_room_for_is_refused_for_a_while(hasty: Served) -> None:
    async def go() -> Any:
        stalled = [Sending(hasty, "/v1/batch") for _ in range(2)]
        for each in stalled:
            await each.piece(b"\n" * (LARGEST - 1000))
        third = Sending(hasty, "/v1/batch")
        await third.piece(b"\n" * (LARGEST - 1000))
        small = Sending(hasty, "/v1/entities", media_type=b"application/json")
        await small.piece(json.dumps({"type": "platform", "name": "Parler"}).encode(), is_last=True)
        answers = [await each.end() for each in (third, small)]
        await asyncio.gather(*(each.end() for each in stalled))
        later = Sending(hasty, "/v1/batch")
        await later.piece(_lines(LARGEST - 1000), is_last=True)
        return *answers, await later.end()

    third, small, later = asyncio.run(go())
    assert (third[0], third[2]["type"]) == (503, "/problems/unavailable")
    assert int(third[1][b"retry-after"]) >= 1
    assert third[1][b"connection"] == b"close"
    assert small[0] == 201, "what is small finds room however much is under way"
    assert later[0] == 201, later


def test_what_is_announced_takes_no_room(hasty: Served) -> None:
    async def go() -> Any:
        length = (b"content-length", str(LARGEST).encode())
        silent = [Sending(hasty, "/v1/batch", length) for _ in range(50)]
        await asyncio.sleep(0.05)
        honest = Sending(hasty, "/v1/batch")
        await honest.piece(_lines(LARGEST - 1000), is_last=True)
        answer = await honest.end()
        return answer, [await each.end() for each in silent]

    honest, silent = asyncio.run(go())
    assert honest[0] == 201, honest
    assert {answer[0] for answer in silent} == {408}


def test_of_a_body_without_a_length_no_more_is_read_than_it_may_have(hasty: Served) -> None:
    async def go() -> Any:
        sending = Sending(hasty, "/v1/batch")
        await sending.piece(b"\n" * LARGEST)
        assert not sending.is_answered
        await sending.piece(b"\n")
        return await sending.end()

    status, _, problem = asyncio.run(go())
    assert (status, problem["type"]) == (413, "/problems/too-large")


def test_an_operation_in_a_batch_is_no_larger_than_it_may_be_alone(hasty: Served) -> None:
    large = an_entity(an_id("e"), note="x" * 9000, same_as=[f"https://example.org/{'y' * 1900}"] * 6)
    for content in (json.dumps([large]).encode(), json.dumps(large).encode()):
        kind = "application/json" if content[:1] == b"[" else NDJSON.decode()
        with hasty.unchanged():
            response = hasty.client.post("/v1/batch", content=content, headers={"Content-Type": kind})
        assert (response.status_code, response.json()["type"]) == (413, "/problems/too-large")
        assert "operation" in response.json()["detail"]


@pytest.mark.parametrize("content", [b"[" * 33, b"[" + b"[" * 32 + b"]" * 32 + b"]"])
def test_a_deep_line_or_array_is_too_deep(hasty: Served, content: bytes) -> None:
    for kind in ("application/json", NDJSON.decode()):
        response = hasty.client.post("/v1/batch", content=content, headers={"Content-Type": kind})
        assert (response.status_code, response.json()["type"]) == (413, "/problems/too-large")


def test_lines_of_nothing_are_passed_over() -> None:
    raw = b"\n" * 200_000 + b" \r\n{}\n\n\n[]\n"
    assert cut_batch(raw, is_lines=True, most=2) == [b"{}", b"[]"]


def test_what_takes_long_is_done_in_threads_of_its_own() -> None:
    async def go() -> tuple[str, str]:
        bodies = Bodies(Settings())
        names = [await bodies.work(size, _whoami) for size in (_SMALL, _SMALL + 1)]
        bodies.close()
        return names[0], names[1]

    here, aside = asyncio.run(go())
    assert here == "MainThread"
    assert aside.startswith("body")


def _whoami() -> str:
    return threading.current_thread().name


def test_room_for_less_than_one_body_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="LEDGER_MAX_BODIES"):
        Settings(max_bodies=1024 * 1024)


def test_the_pace_of_a_body_counts_from_its_last_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", 1.0)

    class Slow:
        async def stream(self) -> AsyncIterator[bytes]:
            for _ in range(3):
                await asyncio.sleep(0.7)
                yield b"x"

    async def read() -> bytes:
        taking = Bodies(Settings(body_deadline=60))
        async with taking.read(Slow(), 100) as raw:
            return raw

    assert asyncio.run(read()) == b"xxx"
