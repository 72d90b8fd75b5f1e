"""The load generator: wrk where it is installed, else the same in Python; 1 thread and 32 keep-alive connections.

An operation is a list of requests sent in turn, over and over. Both generators send the same bytes.
Whoever compares two runs must compare runs of one generator: the Python one is the slower half of every figure.
"""

import asyncio
import http.client
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import msgspec

HOST = "127.0.0.1"
CONNECTIONS = 32
# Replaced by a number that only grows, so that no two updates write the same and no length changes.
MARK = b"@@@@@@@@@@@@"
SEPARATOR = b"\0"
# A shot may use this many numbers before it would reach those of the next.
# (A prime: shots start at another of their requests each time.)
NUMBERS_PER_SHOT = 10_000_019
OK = range(200, 300)

LUA = r"""
local heads, tails, at, tick = {}, {}, 0, 0
function init(args)
  local file = assert(io.open(args[1], "rb"))
  local all = file:read("*a")
  file:close()
  tick = tonumber(args[2])
  local from = 1
  while from <= #all do
    local stop = all:find("\0", from, true) or #all + 1
    local one = all:sub(from, stop - 1)
    local mark = one:find("@@@@@@@@@@@@", 1, true)
    heads[#heads + 1] = mark and one:sub(1, mark - 1) or one
    tails[#heads] = mark and one:sub(mark + 12) or false
    from = stop + 1
  end
  at = tick % #heads
end
function request()
  at = at % #heads + 1
  local tail = tails[at]
  if not tail then return heads[at] end
  tick = tick + 1
  return heads[at] .. string.format("%012d", tick) .. tail
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("OUTCOME %d %d %d %d %d\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; a body may hold one `MARK`."""

    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Shot:
    """One operation of one contestant. `items` is how many items the answer must hold, where that is known."""

    requests: tuple[Request, ...]
    headers: dict[str, str] = field(default_factory=dict)
    items: int | None = None


def gets(paths: Iterable[str], items: int | None = None) -> Shot:
    """Make a shot of GETs."""
    return Shot(tuple(Request("GET", path) for path in paths), items=items)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one shot came to. `failures` counts answers outside 2xx and broken connections."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failures: int


class RefusedError(Exception):
    """A contestant does not answer an operation as it should."""

    def __init__(self, request: Request, what: str) -> None:
        """Keep the request's address and what was wrong with the answer."""
        super().__init__(f"{request.method} {request.path}: {what}")


Fire = Callable[[int, Shot, int], Outcome]


def generator(folder: Path) -> tuple[str, Fire]:
    """Choose the generator: its name for the report, and the function that fires a shot at a port for some seconds."""
    numbers = count(NUMBERS_PER_SHOT, NUMBERS_PER_SHOT)
    wrk = shutil.which("wrk")
    if wrk is None:
        name = "a pure Python generator (wrk is not installed: do not compare with a run under wrk)"
        return name, lambda port, shot, seconds: fire_python(port, shot, seconds, next(numbers))
    files = Files(wrk, folder / "shot.lua", folder / "shot.bin")
    files.script.write_text(LUA)
    return "wrk", lambda port, shot, seconds: fire_wrk(files, port, shot, seconds, next(numbers))


def probe(port: int, shot: Shot) -> None:
    """Send one request of a shot and look at the answer; raises `RefusedError`."""
    request = shot.requests[0]
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    body = request.body.replace(MARK, b"%012d" % (time.monotonic_ns() // 1000 % NUMBERS_PER_SHOT))
    connection.request(request.method, request.path, body=body or None, headers=shot.headers)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    if response.status not in OK:
        raise RefusedError(request, f"{response.status} {text[:300]!r}")
    if shot.items is None:
        return
    found = len(msgspec.json.decode(text)["items"])
    if found != shot.items:
        raise RefusedError(request, f"{found} items, {shot.items} expected")


def wire(port: int, shot: Shot) -> list[bytes]:
    """Write the requests as they go over the wire."""
    common = "".join(f"{name}: {value}\r\n" for name, value in {"Host": f"{HOST}:{port}", **shot.headers}.items())
    return [
        f"{request.method} {request.path} HTTP/1.1\r\n{common}{length_of(request)}\r\n".encode() + request.body
        for request in shot.requests
    ]


def length_of(request: Request) -> str:
    """Write the header that a body needs."""
    return f"Content-Length: {len(request.body)}\r\n" if request.body else ""


@dataclass(frozen=True, slots=True)
class Files:
    """What wrk runs with: the program, our script, and the requests of the shot at hand."""

    wrk: str
    script: Path
    requests: Path


def fire_wrk(files: Files, port: int, shot: Shot, seconds: int, first_number: int) -> Outcome:
    """Run wrk once and read the line that the script prints at the end."""
    files.requests.write_bytes(SEPARATOR.join(wire(port, shot)))
    options = ["--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s", "--timeout", "30s"]
    target = ["--script", str(files.script), f"http://{HOST}:{port}/", "--", str(files.requests), str(first_number)]
    run = subprocess.run([files.wrk, *options, *target], capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    line = next((line for line in run.stdout.splitlines() if line.startswith("OUTCOME ")), None)
    if line is None:
        raise RuntimeError(run.stdout + run.stderr)
    done, microseconds, failures, p50, p99 = (int(word) for word in line.split()[1:])
    return Outcome(done / microseconds * 1e6, p50 / 1000, p99 / 1000, failures)


def fire_python(port: int, shot: Shot, seconds: int, first_number: int) -> Outcome:
    """Do what wrk does, in Python."""
    return asyncio.run(fire_asyncio(port, wire(port, shot), seconds, first_number))


async def fire_asyncio(port: int, requests: list[bytes], seconds: int, first_number: int) -> Outcome:
    """Keep 32 connections busy until the time is up; answers still on their way then are not counted."""
    volley = Volley(requests, count(first_number), time.perf_counter() + seconds, first_number)
    loop = asyncio.get_running_loop()
    links = [(await loop.create_connection(lambda: Connection(volley), HOST, port))[0] for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    for link in links:
        link.close()
    waits = sorted(volley.waits) or [0.0]
    return Outcome(len(volley.waits) / took, at_rank(waits, 0.5), at_rank(waits, 0.99), volley.failures)


def at_rank(waits: list[float], share: float) -> float:
    """Read a percentile off sorted seconds, in milliseconds."""
    return waits[min(len(waits) - 1, int(len(waits) * share))] * 1000


@dataclass(slots=True)
class Volley:
    """What the connections of one shot share."""

    requests: list[bytes]
    numbers: "count[int]"
    ends: float
    turn: int = 0
    failures: int = 0
    waits: list[float] = field(default_factory=list)

    def next_request(self) -> bytes:
        """Take the next request in turn, its mark filled in."""
        self.turn = (self.turn + 1) % len(self.requests)
        request = self.requests[self.turn]
        return request.replace(MARK, b"%012d" % next(self.numbers)) if MARK in request else request


class Connection(asyncio.Protocol):
    """One keep-alive connection: a request goes out when the answer to the last one is complete."""

    def __init__(self, volley: Volley) -> None:
        """Join a volley."""
        self.volley = volley
        self.buffer = b""
        self.sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self.transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count an answer once it is whole, then send again."""
        self.buffer += data
        if not is_whole(self.buffer):
            return
        now = time.perf_counter()
        if now < self.volley.ends:
            self.volley.waits.append(now - self.sent_at)
            self.volley.failures += int(self.buffer[9:12]) not in OK
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that the server broke off."""
        self.volley.failures += time.perf_counter() < self.volley.ends or exc is not None

    def _send(self) -> None:
        self.buffer = b""
        self.sent_at = time.perf_counter()
        assert isinstance(self.transport, asyncio.WriteTransport)  # noqa: S101 - tells the type checker what asyncio promises
        self.transport.write(self.volley.next_request())


def is_whole(buffer: bytes) -> bool:
    """Tell whether an HTTP/1.1 answer has arrived in full: by its length, or by its last chunk."""
    head, found, body = buffer.partition(b"\r\n\r\n")
    if not found:
        return False
    fields = head.lower()
    if b"transfer-encoding: chunked" in fields:
        return body.endswith(b"0\r\n\r\n")
    at = fields.find(b"content-length:")
    return at < 0 or len(body) >= int(fields[at + 15 :].split(b"\r\n", 1)[0])
