"""The attacks, in the order of what they abuse: heads, addresses, connections, bodies, answers.

Each gives every answer that it saw; which those may be stands beside it.
"""

import contextlib
import gzip
import itertools
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from tests.attacks.target import Target
from tests.attacks.wire import Wire, chunk, head

MEGABYTE = 1024 * 1024
LARGEST = 16 * MEGABYTE
# Seconds after which the server ends a connection on which nothing moves, and as many again for a busy machine.
SILENT = 20 + 20
Answers = Iterable[str]
_JSON = ("Content-Type", "application/json")
_LINES = ("Content-Type", "application/x-ndjson")
_CHUNKED = ("Transfer-Encoding", "chunked")
_BATCH = "/v1/batch"


@dataclass(frozen=True)
class Attack:
    """What is done, and how it may be answered. One that `lasts` takes as long as the server is patient, or busy.

    One that `reads` comes as far as the database; the others are answered before.
    """

    name: str
    run: Callable[[Target], Answers]
    answers: frozenset[str]
    lasts: bool = False
    reads: bool = False

    def launch(self, target: Target) -> Counter[str]:
        return Counter(self.run(target))


def at_once(work: Callable[[int], Answers], times: int) -> Answers:
    """Do the same from as many clients at once."""
    with ThreadPoolExecutor(times) as threads:
        yield from itertools.chain.from_iterable(threads.map(lambda number: list(work(number)), range(times)))


def asked(target: Target, *pieces: bytes) -> str:
    """Send a request on a connection of its own and give the answer."""
    with Wire(target.port) as wire:
        wire.send(*pieces)
        return wire.answer()


def with_body(target: Target, body: bytes, *fields: tuple[str, str]) -> str:
    return asked(target, head("POST", _BATCH, *fields, ("Content-Length", str(len(body)))), body)


# Heads.


def _copies(count: int, size: int, target: Target) -> Answers:
    line = b"a: " + b"x" * size + b"\r\n"
    yield asked(target, head("GET", "/health/live")[:-2], line * count, b"\r\n")


def _http2(target: Target) -> Answers:
    """Speak HTTP/2 with prior knowledge: a field of 370 bytes, then 40,000 references to it of a byte each (RFC 7541)."""
    # The literal is indexed; 62 is the first entry of the dynamic table.
    fields = b"\x82\x86\x84\x01\x0bledger.test" + b"\x40\x01a\x7f\xf3\x01" + b"x" * 370 + b"\xbe" * 40_000
    blocks = [fields[start : start + 16_000] for start in range(0, len(fields), 16_000)]
    frames = [_frame(0x4, 0, 0, b"")]
    for number, block in enumerate(blocks):
        frames.append(_frame(0x9 if number else 0x1, 0x4 if number == len(blocks) - 1 else 0, 1, block))
    with Wire(target.port) as wire:
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", *frames)
        yield wire.answer()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _slow_heads(target: Target) -> Answers:
    with contextlib.ExitStack() as open_:
        wires = [open_.enter_context(Wire(target.port)) for _ in range(200)]
        letters = itertools.chain(head("GET", "/", ("A", "x" * 100))[:60])
        until = time.monotonic() + SILENT
        living = wires
        while living and time.monotonic() < until:
            letter = bytes([next(letters, 0x78)])
            living = [wire for wire in living if wire.send(letter)]
            time.sleep(target.pace)
        yield from ("left open" if wire in living else "closed" for wire in wires)


_HOSTILE: dict[str, str] = {
    "Accept": "a/b;q=0.1, ",
    "Accept-Encoding": "x;q=0.1, ",
    "If-None-Match": 'W/"1-gz", ',
    "Range": "bytes=0-1,2-3,",
    "X-Forwarded-For": "10.0.0.1,",
    "Forwarded": "for=10.0.0.1,",
    "Cookie": "a=b; ",
    "Accept-Language": "de;q=0.1, ",
    "Authorization": "Bearer dl_",
    "X-Request-Id": "x",
}


def hostile_field(name: str, size: int) -> tuple[str, str]:
    return name, (_HOSTILE[name] * (size // len(_HOSTILE[name]) + 1))[:size]


def _hostile_fields(target: Target) -> Answers:
    for name in _HOSTILE:
        for size in (15_000, 30_000, 60_000):
            with Wire(target.port) as wire:
                for _ in range(20):
                    wire.send(head("GET", "/v1/entities/part0", hostile_field(name, size)))
                    yield wire.answer()


def _hostile_conditions(target: Target) -> Answers:
    tags = ('"1-gz", ' * 8_000)[:60_000]
    body = b'{"action":"revise","reason":"x","changes":{"name":"Y"}}'
    fields = (target.key, _JSON, ("If-Match", tags), ("Content-Length", str(len(body))))
    for _ in range(20):
        yield asked(target, head("POST", "/v1/entities/part0/revisions", *fields), body)


def _unknown_keys(target: Target) -> Answers:
    def knock(number: int) -> Answers:
        with Wire(target.port) as wire:
            for turn in range(250):
                key = f"dl_{number:06}{turn:06}_{'A' * 43}"
                wire.send(
                    head("POST", "/v1/entities", ("Authorization", f"Bearer {key}"), _JSON, ("Content-Length", "0"))
                )
                yield wire.answer()

    return at_once(knock, 8)


# Addresses.


def _long_addresses(target: Target) -> Answers:
    for size in (17_000, 60_000, 200_000, 4 * MEGABYTE):
        yield asked(target, head("GET", "/" + "a" * size))
        yield asked(target, head("GET", "/v1/entities?q=" + "a" * size))
        yield asked(target, head("GET", "/" + "%61" * (size // 3)))
        yield asked(target, head("GET", "/v1" + "/x" * (size // 2)))


def _long_names(target: Target) -> Answers:
    """Names of which each is another, of four bytes a character, where there may be any name."""
    for number in range(1_500):
        method = "OPTIONS" if number % 2 else "GET"
        yield asked(target, head(method, f"/v1/entities/%F0%9F%98%80{number}" + "a" * 16_200))


_QUERIES = (
    "&".join(f"a{n}=b" for n in range(3_000)),
    "&".join(["id=parler"] * 201),
    "&" * 16_000,
    "limit=" + "9" * 15_000,
    "limit=-1",
    "limit=1e9",
    "as_of=" + "9" * 15_000,
    "as_of=9999999999999999",
    "cursor=" + "9" * 40,
    "cursor=%00",
    "cursor=" + "%F0%9D%84%9E" * 1_000,
    "q=" + "%25" * 5_000,
    "q=" + "+".join(["a"] * 101),
    "q=%FF%FE",
    "fields=" + ",".join(["name"] * 3_000),
    "facets=" + ",".join(["type"] * 3_000),
)


def _hostile_queries(target: Target) -> Answers:
    for path in ("/v1/entities", "/v1/claims", "/v1/timeline", "/v1/events", "/v1/diff", "/v1/questions/long/answers"):
        with Wire(target.port) as wire:
            for query in _QUERIES:
                wire.send(head("GET", f"{path}?{query}"))
                yield wire.answer()


# Connections.


def _idle(target: Target) -> Answers:
    """Open more connections than are taken at a time; those that wait are taken when the first have been let go."""
    with contextlib.ExitStack() as open_:
        wires = [open_.enter_context(Wire(target.port)) for _ in range(1_500)]
        until = time.monotonic() + 2 * SILENT
        for wire in wires:
            yield "closed" if wire.is_closed_within(max(0.01, until - time.monotonic())) else "left open"


def _churn(target: Target) -> Answers:
    def come_and_go(_: int) -> Answers:
        for turn in range(1_000):
            with Wire(target.port) as wire:
                if turn % 2:
                    wire.send(head("GET", "/v1/events?limit=500"))
        return []

    yield from at_once(come_and_go, 4)
    yield asked(target, head("GET", "/health/live"))


def _pipelined(target: Target) -> Answers:
    requests = head("GET", "/v1/entities/part0") * 2_000
    with ThreadPoolExecutor(1) as threads, Wire(target.port) as wire:
        sending = threads.submit(wire.send_all, requests)
        for _ in range(2_000):
            yield wire.answer()
        sending.result()


# Bodies.


def _keyless(target: Target) -> Answers:
    body = b"\n" * LARGEST
    return at_once(lambda _: [with_body(target, body, _LINES)], 8)


def _slow_bodies(target: Target, *fields: tuple[str, str]) -> Answers:
    def drip(_: int) -> Answers:
        with Wire(target.port) as wire:
            wire.send(head("POST", _BATCH, _LINES, ("Content-Length", str(LARGEST)), *fields))
            wire.trickle(itertools.repeat(b"\n", 10_000), target.pace)
            yield wire.answer()

    return at_once(drip, 60)


def _slow_bodies_with_key(target: Target) -> Answers:
    return _slow_bodies(target, target.key)


def _more_than_fits(target: Target) -> Answers:
    """Send eight of the largest bodies, all but their last byte."""

    def hold(_: int) -> Answers:
        with Wire(target.port) as wire:
            wire.send(head("POST", _BATCH, _LINES, target.key, ("Content-Length", str(LARGEST))), b"\n" * (LARGEST - 1))
            yield wire.answer()

    return at_once(hold, 8)


def _repeated_body(body: bytes, kind: tuple[str, str], times: int, target: Target) -> Answers:
    return at_once(lambda _: [with_body(target, body, kind, target.key)], times)


def _endless(target: Target) -> Answers:
    piece = chunk(b"\n" * 60_000)
    yield asked(target, head("POST", _BATCH, _LINES, target.key, _CHUNKED), *[piece] * 400)
    yield asked(target, head("POST", _BATCH, _LINES, _CHUNKED), *[piece] * 400)
    # Chunks of a byte, extensions and trailers cost more than they hold.
    yield asked(target, head("POST", _BATCH, _LINES, target.key, _CHUNKED), chunk(b"\n") * 500_000, b"0\r\n\r\n")
    extension = b"1;" + b"x" * 60_000 + b"\r\n\n\r\n"
    yield asked(target, head("POST", _BATCH, _LINES, target.key, _CHUNKED), extension * 300)
    yield asked(target, head("POST", _BATCH, _LINES, target.key, _CHUNKED), b"0\r\n", b"a: b\r\n" * 500_000)


def _coded(target: Target) -> Answers:
    for coding in ("gzip, chunked", "chunked, gzip", "chunked, chunked", "gzip"):
        yield asked(target, head("POST", _BATCH, _LINES, target.key, ("Transfer-Encoding", coding)), b"0\r\n\r\n")


def _bomb(target: Target) -> Answers:
    body = gzip.compress(b"[" * (64 * MEGABYTE))
    yield with_body(target, body, _JSON, target.key, ("Content-Encoding", "gzip"))


# Answers.

_LONG_READS = (
    "/v1/questions/long/answers?limit=500",
    "/v1/questions/long/answers?group=0&limit=500",
    "/v1/questions/long/conflicts?limit=500",
    "/v1/questions/long/answers?published_by=2022&valid_at=2021-06",
    "/v1/questions/nested/answers?limit=500",
    "/v1/claims?question=long&q=Parler&order=-revised&facets=stance,entity,source",
    "/v1/questions?agreement=disputed&published_by=2022",
    "/v1/timeline?limit=500&about=e1",
    "/v1/stats",
    "/v1/diff?from=0&limit=500",
)
_LARGE_READS = (
    "/v1/questions/heavy/answers?include=source",
    "/v1/claims?question=heavy&limit=500&include=source",
    "/v1/entities?limit=500",
    "/v1/events?limit=500&exact=true",
    "/v1/events?limit=500",
    "/tlog/tile/entries/000",
    "/openapi.json",
)
_ENCODINGS = ("identity", "gzip", "br")


def _reads(paths: tuple[str, ...], clients: int, turns: int, target: Target) -> Answers:
    def read(number: int) -> Answers:
        with Wire(target.port) as wire:
            for turn in range(turns):
                path = paths[(number + turn) % len(paths)]
                encoding = _ENCODINGS[(number + turn) % len(_ENCODINGS)]
                wire.send(head("GET", path, ("Accept-Encoding", encoding)))
                yield wire.answer()

    return at_once(read, clients)


def _never_read(target: Target) -> Answers:
    """Ask for eight hundred large answers and take none of them."""
    before = target.connections()
    with contextlib.ExitStack() as open_:
        for number in range(100):
            wire = open_.enter_context(Wire(target.port, window=4096))
            wire.send(head("GET", _LARGE_READS[number % 5]) * 8)
        until = time.monotonic() + SILENT
        # All are taken in before it is looked at who was let go.
        while target.connections() < before + 100 and time.monotonic() < until - SILENT / 2:
            time.sleep(0.05)
        while target.connections() > before and time.monotonic() < until:
            time.sleep(0.5)
        # What the system has taken over from the server is not told from what the server has not closed.
        left = max(0, target.connections() - before)
        yield from ["left open"] * left + ["closed"] * (100 - left)


def _compressed_at_once(target: Target) -> Answers:
    """Ask for eight hundred large answers at once, each to be compressed, and take them one after the other."""
    with contextlib.ExitStack() as open_:
        wires = [open_.enter_context(Wire(target.port)) for _ in range(800)]
        for wire in wires:
            wire.send(head("GET", "/v1/events?limit=500", ("Accept-Encoding", "gzip")))
        yield from (wire.answer() for wire in wires)


def _asked_and_left(target: Target) -> Answers:
    """Ask for what takes long to compute, again and again, and wait for none of it; then another asks for the same."""
    for turn in range(400):
        with Wire(target.port) as wire:
            wire.send(head("GET", f"/v1/questions/long/answers?limit={turn % 100 + 1}"))
    yield asked(target, head("GET", "/v1/questions/long/answers", target.key))


def _attacks() -> Iterator[Attack]:
    def attack(name: str, run: Callable[[Target], Answers], *answers: str, lasts: bool = False) -> Attack:
        return Attack(name, run, frozenset(answers), lasts)

    def reading(name: str, run: Callable[[Target], Answers], *answers: str, lasts: bool = False) -> Attack:
        return Attack(name, run, frozenset(answers), lasts, reads=True)

    refused = ("400", "431", "closed")
    yield attack("40,000 copies of a header field", partial(_copies, 40_000, 370), *refused)
    yield attack("4,000 fields of 4,000 bytes", partial(_copies, 4_000, 4_000), *refused)
    yield attack("80 fields", partial(_copies, 80, 10), "431 headers-too-large")
    yield attack("60 fields of 1,200 bytes", partial(_copies, 60, 1_200), "431 headers-too-large")
    yield attack("HTTP/2 with 40,000 fields in 40 KB", _http2, "400", "closed")
    yield attack("200 heads, a byte at a time", _slow_heads, "closed", lasts=True)
    yield reading("fields of 15, 30 and 60 KB", _hostile_fields, "200", "401 unauthorized", "406 not-acceptable")
    yield reading("If-Match of 60 KB", _hostile_conditions, "412 precondition-failed", "412 stale")
    yield reading("2,000 keys that nobody has", _unknown_keys, "401 unauthorized")
    yield attack("addresses up to 4 MB", _long_addresses, "414 address-too-long", "414", *refused)
    yield reading("1,500 long names of records", _long_names, "404 not-found")
    yield reading(
        "hostile queries", _hostile_queries, "400 bad-parameter", "404 not-yet", "414 address-too-long", "200"
    )
    yield attack("1,500 silent connections", _idle, "closed", lasts=True)
    yield attack("4,000 connections that come and go", _churn, "200")
    yield reading("2,000 requests at once on a connection", _pipelined, "200")
    yield attack("8 batches of 16 MiB without a key", _keyless, "401 unauthorized")
    yield attack("60 slow bodies without a key", _slow_bodies, "401 unauthorized")
    yield attack("60 slow bodies with a key", _slow_bodies_with_key, "408 request-timeout", lasts=True)
    yield attack(
        "8 bodies of 16 MiB that lack a byte", _more_than_fits, "503 unavailable", "408 request-timeout", lasts=True
    )
    lines = b"[" * 40 + b"\n" * (LARGEST - 40)
    yield attack(
        "12 times `[`×40 and 16 MiB of line ends",
        partial(_repeated_body, lines, _LINES, 12),
        "413 too-large",
        "503 unavailable",
    )
    for kind in (_JSON, _LINES):
        deep = partial(_repeated_body, b"[" * LARGEST, kind, 6)
        yield attack(f"6 times 16 MiB of `[`, {kind[1].rpartition('/')[2]}", deep, "413 too-large", "503 unavailable")
    faulty = b'[{"op":"record","kind":"source","body":{%b}}]' % b",".join(b'"%x":0' % name for name in range(25_000))
    yield attack("60 operations with 25,000 faults", partial(_repeated_body, faulty, _JSON, 60), "422 bad-body")
    yield attack(
        "bodies without an end",
        _endless,
        "413 too-large",
        "401 unauthorized",
        "422 bad-body",
        "408 request-timeout",
        "400",
        "closed",
    )
    yield attack("transfer codings", _coded, "501 not-implemented", "400", "closed")
    yield attack("a gzip bomb", _bomb, "415 unsupported-media-type")
    yield reading("16 clients ask long questions", partial(_reads, _LONG_READS, 16, 3), "200")
    yield reading("16 clients ask for large answers", partial(_reads, _LARGE_READS, 16, 10), "200")
    yield reading(
        "800 clients want large answers compressed", _compressed_at_once, "200", "503 unavailable", lasts=True
    )
    yield attack("100 clients take no answer", _never_read, "closed", lasts=True)
    yield reading("400 long questions asked and left, then one by another", _asked_and_left, "200")


ATTACKS = tuple(_attacks())
