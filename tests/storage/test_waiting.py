"""Whoever waits for what takes long keeps nobody else waiting: purges, signatures that do not come about, lost servers."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from api.domain.errors import LedgerError, Unavailable
from api.ledger.keeping.watch import Watch
from api.ledger.reading import standpoint
from api.ledger.signing.checkpoints import Checkpoints
from api.ledger.storage.access import lock_head
from api.ledger.storage.database import Database
from api.ledger.writing import genesis
from api.ledger.writing.ledger import Ledger
from api.settings import Settings
from tests.support.builders import Writing, an_entity
from tests.support.databases import is_sqlite
from tests.support.served import Served, migrated
from tests.support.witnessing import until

# Python's own threads for whatever has none are fewer on small machines, and as many on no machine.
MANY = 40


@contextmanager
def no_purge_ends(served: Served) -> Iterator[None]:
    """Let purges wait: on PostgreSQL for their turn, on SQLite for a reader of an older state."""
    with closing(served.database.connect()) as access, access.upkeep.alone():
        if not is_sqlite(access):
            yield
            return
        with access.snapshot():
            access.rows("SELECT count(*) FROM payload")
            yield


def test_redactions_that_wait_to_be_purged_keep_nobody_else_waiting(served: Served) -> None:
    served.append(*(an_entity(f"gone-{number}", note=f"Somebody's words {number}") for number in range(MANY)))

    def redact(number: int) -> int:
        body = {"kind": "entity", "id": f"gone-{number}", "basis": "error", "reason": "A try"}
        return served.post("/v1/redactions", body).status_code

    with ThreadPoolExecutor(MANY) as others:
        with no_purge_ends(served):
            redacting: list[Future[int]] = [others.submit(redact, number) for number in range(MANY)]
            access, count = served.database.access(), "SELECT count(*) FROM record WHERE kind = 'redaction'"
            assert until(lambda: access.rows(count) == [(MANY,)])
            began = time.monotonic()
            for path in ("/tlog/checkpoint", "/tlog/keys", "/v1/events/1/proof", "/health/ready"):
                assert served.get(path).status_code == 200
            # One purge on SQLite gives up after five seconds.
            assert time.monotonic() - began < 4
            assert not all(each.done() for each in redacting)
        assert {each.result() for each in redacting} <= {201, 503}
    assert (
        served.post(
            "/v1/redactions", {"kind": "entity", "id": "gone-0", "basis": "error", "reason": "A try"}
        ).status_code
        == 409
    )


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=500)) as listening:
        yield f"postgresql+psycopg://ledger@127.0.0.1:{listening.getsockname()[1]}/ledger"


def test_however_many_ask_for_a_checkpoint_of_a_silent_server_each_is_told_as_soon_as_one(silent, tmp_path):
    database = Database(Settings(database_url=silent, connect_timeout=2))
    checkpoints = Checkpoints(database, tmp_path / "ledger.key", Watch(database))

    async def ask_all() -> list[object]:
        asking = [checkpoints.read_latest() for _ in range(MANY)] + [checkpoints.read_keys() for _ in range(MANY)]
        return await asyncio.gather(*asking, return_exceptions=True)

    began = time.monotonic()
    assert {type(each) for each in asyncio.run(ask_all())} == {Unavailable}
    with ThreadPoolExecutor(MANY) as others:
        asked = [others.submit(checkpoints.latest) for _ in range(MANY)]
    assert {type(each.exception()) for each in asked} == {Unavailable}
    # Twice an attempt, and one that began before.
    assert time.monotonic() - began < 10
    checkpoints.stop()
    with pytest.raises(Unavailable, match="stopping"):
        asyncio.run(checkpoints.read_latest())
    database.close()


def test_who_asks_after_a_failure_tries_again(settings):
    database = Database(settings)
    checkpoints = Checkpoints(database, settings.signing_key_path, Watch(database))
    with pytest.raises(LedgerError):
        checkpoints.latest()
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    assert asyncio.run(checkpoints.read_latest()).size == 1
    checkpoints.stop()
    database.close()


def test_reads_wait_for_no_other_work_of_the_loop_where_their_connection_is_opened(postgres):
    database, is_over = Database(Settings(database_url=postgres)), threading.Event()

    async def work() -> object:
        busy = [asyncio.ensure_future(asyncio.to_thread(is_over.wait)) for _ in range(MANY)]
        await asyncio.sleep(0)
        try:
            return await asyncio.wait_for(database.read(lambda access: access.row("SELECT 1")), 10)
        finally:
            is_over.set()
            await asyncio.gather(*busy)

    assert asyncio.run(work()) == (1,)
    database.close()


@pytest.fixture
def hasty(request, tmp_path) -> Iterator[Database]:
    """A ledger on PostgreSQL that waits for its server but a second."""
    with migrated(request, "postgresql", tmp_path, read_timeout=1, write_timeout=1) as settings:
        database = Database(settings)
        genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
        yield database
        database.close()


def waiting_for_a_lock(database: Database) -> int:
    """Count the server's processes that wait for a lock in this database."""
    with closing(database.connect()) as access:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return int(access.rows(sql)[0][0])


@contextmanager
def locked(database: Database, table: str) -> Iterator[None]:
    with closing(database.connect()) as access, access.transaction():
        access.run(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def test_appends_that_wait_for_the_head_in_vain_leave_nobody_waiting_on_the_server(hasty):
    ledger = Ledger(hasty)
    ledger.start()
    writing = Writing(hasty, ledger)
    with closing(hasty.connect()) as other, other.transaction():
        lock_head(other)
        for _ in range(6):
            began = time.monotonic()
            refusals = [ledger.append(writing.unit(an_entity())) for _ in range(3)]
            for each in refusals:
                assert "nothing was written" in str(each.exception(60))
            # Not for each of them anew.
            assert time.monotonic() - began < 5
        # Who was given up just now may still be there.
        assert waiting_for_a_lock(hasty) <= 1
    assert writing.append(an_entity()).position == 2
    ledger.stop()


def test_reads_that_wait_for_a_table_in_vain_leave_nobody_waiting_on_the_server(hasty):
    async def read() -> list[object]:
        reads = [hasty.read(standpoint.locate, slow=slow) for slow in (True, False)]
        return await asyncio.gather(*reads, return_exceptions=True)

    with locked(hasty, "record"):
        for _ in range(6):
            for error in asyncio.run(read()):
                assert isinstance(error, Unavailable)
                assert error.reason == "the database did not answer in time"
        assert waiting_for_a_lock(hasty) <= 1
    assert asyncio.run(hasty.read(standpoint.locate)).position == 1


def test_what_an_operator_limits_more_narrowly_stays(hasty):
    access = hasty.access()
    [(name,)] = access.rows("SELECT current_database()")
    shown = {"lock_timeout": hasty.connect_to_write, "statement_timeout": hasty.connect_to_read}
    for limit, connect in shown.items():
        for given, held in (("'100ms'", "100ms"), ("'1h'", "900ms"), ("0", "900ms")):
            access.run(f"ALTER DATABASE {name} SET {limit} = {given}")
            with closing(connect()) as other:
                assert other.rows(f"SHOW {limit}") == [(held,)]
    with closing(hasty.connect()) as other:
        assert other.rows("SHOW client_connection_check_interval") != [("0",)]
