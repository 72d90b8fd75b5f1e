"""The yardstick of every bulk write: transactions of 32 events on the bare database, without HTTP and without a ledger.

An event is read from JSON, written canonically, salted and hashed, and kept as a row of the log, a row with its payload, a
row of the tree and a rendered document under a unique id. Nothing is decided, searched, filtered or agreed on.
"""

import hashlib
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import msgspec
import psycopg

EVENTS_PER_COMMIT = 32
REQUEST = msgspec.json.encode(
    {"source": "s1", "question": "q1", "statement": "p" * 700, "answer": {"type": "text", "text": "t" * 100}, "via": []}
)
ENTRY = {
    "v": 1,
    "type": "recorded",
    "kind": "claim",
    "revision": 1,
    "recorded_at": "2026-11-21T00:00:00.000000Z",
    "schema": 1,
}

TABLES = (
    "CREATE TABLE bare_event "
    "(position BIGINT PRIMARY KEY, record {bytes}, revision INTEGER, entry {bytes}, UNIQUE (record, revision))",
    "CREATE TABLE bare_payload (position BIGINT PRIMARY KEY, salt {bytes}, payload {bytes})",
    "CREATE TABLE bare_document (position BIGINT PRIMARY KEY, id VARCHAR(36) UNIQUE, document {bytes})",
    "CREATE TABLE bare_node (level INTEGER, number BIGINT, hash {bytes}, PRIMARY KEY (level, number))",
)
INSERTS = (
    "INSERT INTO bare_event VALUES ({one}, {one}, {one}, {one})",
    "INSERT INTO bare_payload VALUES ({one}, {one}, {one})",
    "INSERT INTO bare_document VALUES ({one}, {one}, {one})",
    "INSERT INTO bare_node VALUES ({one}, {one}, {one})",
)

_SORTED = msgspec.json.Encoder(order="sorted")
Rows = list[tuple[object, ...]]
Run = Callable[[int], float]


@contextmanager
def on_sqlite(folder: Path) -> Iterator[Run]:
    """Yield a function that commits for some seconds and returns events per second: WAL, every commit durable."""
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", *tables("BLOB")):
            connection.execute(statement)
        inserts = [insert.format(one="?") for insert in INSERTS]

        def commit(batches: tuple[Rows, ...]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            for insert, rows in zip(inserts, batches, strict=True):
                connection.executemany(insert, rows)
            connection.execute("COMMIT")

        yield yardstick(commit)


@contextmanager
def on_postgresql(conninfo: str) -> Iterator[Run]:
    """Yield the same for PostgreSQL, on one connection."""
    with closing(psycopg.connect(conninfo)) as connection:
        for statement in tables("BYTEA"):
            connection.execute(statement.encode())
        connection.commit()
        inserts = [insert.format(one="%s").encode() for insert in INSERTS]

        def commit(batches: tuple[Rows, ...]) -> None:
            with connection.cursor() as cursor:
                for insert, rows in zip(inserts, batches, strict=True):
                    cursor.executemany(insert, rows)
            connection.commit()

        yield yardstick(commit)


def tables(kind: str) -> list[str]:
    """Write the tables for a database whose bytes are called that."""
    return [table.format(bytes=kind) for table in TABLES]


def yardstick(commit: Callable[[tuple[Rows, ...]], None]) -> Run:
    """Bind a way to commit to positions that go on from run to run."""
    positions = count(1)

    def run(seconds: int) -> float:
        done, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < seconds:
            commit(make_rows([next(positions) for _ in range(EVENTS_PER_COMMIT)]))
            done += EVENTS_PER_COMMIT
        return done / took

    return run


def make_rows(positions: list[int]) -> tuple[Rows, ...]:
    """Make the rows of one transaction: of the log, of the payloads, of the documents, of the tree."""
    events: Rows = []
    payloads: Rows = []
    documents: Rows = []
    nodes: Rows = []
    for position in positions:
        record, salt = str(uuid.uuid4()), os.urandom(32)
        body = msgspec.json.decode(REQUEST)
        payload = _SORTED.encode({"reason": None, "state": body})
        digest = hashlib.sha256(salt + payload).hexdigest()
        entry = _SORTED.encode({**ENTRY, "position": position, "record": record, "payload_digest": digest})
        leaf = hashlib.sha256(b"\0" + entry).digest()
        events.append((position, record.encode(), 1, entry))
        payloads.append((position, salt, payload))
        documents.append((position, record, msgspec.json.encode({**body, "position": position})))
        nodes.append((0, position, hashlib.sha256(b"\1" + leaf + leaf).digest()))
    return events, payloads, documents, nodes
