"""The yardstick of every bulk write: transactions of 32 events on the bare database, without HTTP and without a ledger.

An event is a row of the log, a row with its payload and a row of the tree. The rows are made here, outside the driver's
time but inside the clock, as they would have to be anywhere; nothing is decided, hashed or projected.
"""

import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import psycopg

EVENTS_PER_COMMIT = 32
ENTRY_BYTES = 420
PAYLOAD = b"p" * 1000

TABLES = (
    "CREATE TABLE bare_event "
    "(position BIGINT PRIMARY KEY, record {bytes}, revision INTEGER, entry {bytes}, UNIQUE (record, revision))",
    "CREATE TABLE bare_payload (position BIGINT PRIMARY KEY, salt {bytes}, payload {bytes})",
    "CREATE TABLE bare_node (level INTEGER, number BIGINT, hash {bytes}, PRIMARY KEY (level, number))",
)
INSERTS = (
    "INSERT INTO bare_event VALUES ({one}, {one}, {one}, {one})",
    "INSERT INTO bare_payload VALUES ({one}, {one}, {one})",
    "INSERT INTO bare_node VALUES ({one}, {one}, {one})",
)

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
    """Make the rows of one transaction: of the log, of the payloads, of the tree."""
    return (
        [(position, uuid.uuid4().bytes, 1, os.urandom(ENTRY_BYTES)) for position in positions],
        [(position, os.urandom(32), PAYLOAD) for position in positions],
        [(0, position, os.urandom(32)) for position in positions],
    )
