"""The ledger on a PostgreSQL that fails over: two real servers, of which one is killed, frozen, promoted, or kept waiting.

What was acknowledged while a standby has it lasts, nothing is signed that only the lost server had, and no position is
acknowledged for two events.
"""

import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from api.__main__ import main
from api.domain.errors import Unavailable
from api.ledger.keeping.standby import seconds_behind
from api.ledger.storage.database import Database
from api.ledger.writing import genesis
from tests.cluster.node import TIMEOUTS, Node, node, settings_for
from tests.cluster.server import Pair, Server, pair, url_of
from tests.support import forked
from tests.support.auditor import audit
from tests.support.processes import started
from tests.support.served import refused
from tests.support.witnessing import until

pytestmark = pytest.mark.slow
WAITS = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture(scope="module")
def two() -> Iterator[Pair]:
    """A pair that no test leaves other than it found it."""
    with pair() as both:
        yield both


@pytest.fixture
def doomed() -> Iterator[Pair]:
    """A pair of a test's own, to kill and promote."""
    with pair() as both:
        yield both


def audited(server: Server) -> None:
    database = Database(settings_for(url_of(server), Path()))
    with closing(database.connect()) as access:
        audit(access)
    database.close()


@contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Keep a node from signing: who signs locks the folder of the key."""
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(held)


# The primary dies


def test_what_was_acknowledged_outlives_the_primary(doomed, tmp_path):
    doomed.wait_for_standby()
    with node(doomed.url, tmp_path) as ours:
        with ours.busy("before"):
            until(lambda: len(ours.acknowledged) > 50)
            doomed.primary.kill()
            doomed.standby.promote()
            known = len(ours.acknowledged)
            until(lambda: len(ours.acknowledged) > known + 20)
        assert ours.lost(doomed.standby) == []
        assert ours.twice() == []
        assert until(ours.is_ready)
        assert until(lambda: ours.signed() >= max(ours.acknowledged.values()))
        ours.check_signed(doomed.standby)
    audited(doomed.standby)


def test_after_a_promotion_that_lost_what_was_acknowledged_no_position_is_given_again(doomed, tmp_path):
    with node(doomed.url, tmp_path) as ours:
        assert ours.append("kept").status_code == 201
        until(lambda: ours.signed() == ours.acknowledged["kept"])
        doomed.catch_up()
        doomed.standby.kill()
        # What is acknowledged from here on is on the primary alone, and nothing of it is signed.
        with folder_locked(tmp_path):
            assert [ours.append(f"lost-{number}").status_code for number in range(5)] == [201] * 5
            doomed.primary.kill()
            doomed.standby.start()
            doomed.standby.promote()
            until(lambda: ours.get("/v1/entities/kept").status_code == 200)
            refused(ours.append("again"), 503, "log-refused")
        refused(ours.get("/health/ready"), 503, "log-refused")
        refused(ours.append("again"), 503, "log-refused")
        refused(ours.get("/tlog/checkpoint"), 503, "log-refused")
        assert ours.get("/v1/entities/kept").status_code == 200
        assert ours.signed() == ours.acknowledged["kept"]
        ours.check_signed(doomed.standby)
        assert doomed.standby.ask("SELECT max(position) FROM event") == [(ours.acknowledged["kept"],)]
        ours.serving.process.kill()
    # Another process knows it too.
    with node(doomed.url, tmp_path) as ours:
        refused(ours.get("/health/ready"), 503, "log-refused")
        refused(ours.append("again"), 503, "log-refused")


def test_after_a_promotion_that_lost_what_was_signed_nothing_is_appended(doomed, tmp_path):
    with node(doomed.url, tmp_path) as ours:
        ours.append("kept")
        doomed.catch_up()
        doomed.standby.kill()
        ours.append("lost")
        until(lambda: ours.signed() == ours.acknowledged["lost"])
        doomed.primary.kill()
        doomed.standby.start()
        doomed.standby.promote()
        until(lambda: ours.get("/v1/entities/kept").status_code == 200)
        with ours.busy("again"):
            time.sleep(1)
        assert ours.acknowledged.keys() == {"kept", "lost"}
        refused(ours.get("/health/ready"), 503, "log-refused")


# The wait for the standby ends early


@contextmanager
def waiting_append(both: Pair, ours: Node, one: str) -> "Iterator[tuple[int, object]]":
    """Append while the standby is frozen; gives the server's process that waits for it, and the answer to come."""
    both.standby.freeze()
    try:
        with ThreadPoolExecutor(1) as other:
            coming = other.submit(ours.append, one)
            yield until(lambda: both.primary.ask(WAITS))[0][0], coming
    finally:
        both.standby.thaw()


@pytest.mark.parametrize("ended", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_wait_for_the_standby_that_was_cancelled_is_not_known_and_not_signed(two, tmp_path, ended):
    two.primary.set(wal_sender_timeout="0")
    with fresh(two, tmp_path) as ours:
        ours.append("before")
        until(lambda: ours.signed() == ours.acknowledged["before"])
        with waiting_append(two, ours, "doubtful") as (pid, coming):
            two.primary.ask(f"SELECT {ended}({pid})")
            problem = refused(coming.result(60), 503, "unavailable")
            assert "not known" in problem["detail"]
            # It is there for all to see, but nobody vouches for it.
            assert ours.get("/v1/entities/doubtful").status_code == 200
            refused(ours.get("/tlog/checkpoint"), 503, "unavailable")
            refused(ours.append("after"), 503, "unavailable")
            assert ours.signed() == ours.acknowledged["before"]
        assert until(ours.is_ready)
        assert ours.append("later").status_code == 201
        until(lambda: ours.signed() == ours.acknowledged["later"])
        two.catch_up()
        ours.check_signed(two.standby)


def test_signatures_that_wait_for_the_standby_in_vain_leave_nobody_waiting_on_the_server(two, tmp_path):
    two.primary.set(wal_sender_timeout="0")
    with fresh(two, tmp_path) as ours:
        ours.append("before")
        until(lambda: ours.signed() == ours.acknowledged["before"])
        with folder_locked(tmp_path):
            assert ours.append("unsigned").status_code == 201
            two.standby.freeze()
        try:
            for _ in range(3):
                refused(ours.get("/tlog/checkpoint"), 503, "unavailable")
            # Who was given up just now may still be there.
            assert len(two.primary.ask(WAITS)) <= 1
            assert ours.signed() == ours.acknowledged["before"]
        finally:
            two.standby.thaw()
        until(lambda: ours.get("/tlog/checkpoint").status_code == 200)
        assert ours.signed() == ours.acknowledged["unsigned"]


def test_what_nobody_vouched_for_is_lost_with_its_server_and_its_position_is_given_once(doomed, tmp_path):
    doomed.primary.set(wal_sender_timeout="0")
    with fresh(doomed, tmp_path) as ours:
        ours.append("before")
        until(lambda: ours.signed() == ours.acknowledged["before"])
        with waiting_append(doomed, ours, "doubtful") as (pid, coming):
            doomed.primary.ask(f"SELECT pg_cancel_backend({pid})")
            refused(coming.result(60), 503, "unavailable")
            doomed.primary.kill()
            # What was sent to it already goes with it.
            doomed.standby.kill()
        doomed.standby.start()
        doomed.standby.promote()
        until(lambda: ours.get("/v1/entities/before").status_code == 200)
        refused(ours.get("/v1/entities/doubtful"), 404, "unknown-record")
        assert until(lambda: ours.append("after").status_code == 201)
        assert ours.acknowledged["after"] == ours.acknowledged["before"] + 1
        until(lambda: ours.signed() == ours.acknowledged["after"])
        ours.check_signed(doomed.standby)
    audited(doomed.standby)


@contextmanager
def fresh(both: Pair, folder: Path, **environment: str) -> Iterator[Node]:
    """Serve a new ledger on a pair whose commits wait for the standby."""
    both.wait_for_standby(is_wanted=False)
    both.primary.ask("DROP DATABASE IF EXISTS ledger WITH (FORCE)", name="postgres")
    both.primary.ask("CREATE DATABASE ledger", name="postgres")
    both.catch_up()
    both.wait_for_standby()
    with node(both.url, folder, **environment) as ours:
        yield ours


# The server is set up to forget


def test_a_server_that_need_not_wait_for_its_disk_has_to(doomed, tmp_path):
    doomed.primary.set(synchronous_commit="off", wal_writer_delay="'10s'")
    with node(doomed.url, tmp_path) as ours:
        for number in range(20):
            assert ours.append(f"one-{number}").status_code == 201
        doomed.primary.kill()
        doomed.primary.start()
        assert ours.lost(doomed.primary) == []
        assert until(ours.is_ready)
        assert ours.append("after").status_code == 201
        assert ours.twice() == []


def test_waiting_for_more_than_the_disk_is_left_as_it_is(two, tmp_path):
    database = Database(settings_for(two.url, tmp_path))
    for given, held in (("remote_apply", "remote_apply"), ("local", "on"), ("remote_write", "on"), ("on", "on")):
        two.primary.set(synchronous_commit=given)
        with closing(database.connect_to_write()) as access:
            assert access.rows("SHOW synchronous_commit") == [(held,)]
    database.close()


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_a_server_that_may_lose_what_it_acknowledges_is_not_written_to(two, tmp_path, name, monkeypatch):
    with fresh(two, tmp_path):
        pass
    database = Database(settings_for(two.url, tmp_path))
    two.primary.set(**{name: "off"})
    with pytest.raises(Unavailable, match=f"{name} is off"):
        database.connect_to_write()
    monkeypatch.setenv("LEDGER_DATABASE_URL", two.url)
    monkeypatch.setenv("LEDGER_SIGNING_KEY", str(tmp_path / "ledger.key"))
    for words in ("keys create one --scope write", "keys revoke one", "keys rotate-signing"):
        result = CliRunner().invoke(main, words.split())
        assert result.exit_code == 1
        assert f"{name} is off" in result.output
    two.primary.ask("DROP DATABASE ledger WITH (FORCE)", name="postgres")
    two.primary.ask("CREATE DATABASE ledger", name="postgres")
    database.migrate()
    with pytest.raises(Unavailable, match=f"{name} is off"):
        genesis.open_ledger(database, key_path=tmp_path / "another.key", origin=None, is_seeded=True)
    two.primary.set(**{name: "on"})
    database.connect_to_write().close()
    database.close()


# The primary is frozen, or gone


def test_while_the_primary_is_frozen_everything_is_answered_in_time(two, tmp_path):
    with fresh(two, tmp_path) as ours:
        ours.append("before")
        two.primary.freeze()
        try:
            began = time.monotonic()
            assert ours.get("/health/live").status_code == 200
            assert time.monotonic() - began < 1
            with ThreadPoolExecutor(24) as others:
                paths = [
                    "/v1/entities/before",
                    "/v1/stats",
                    "/health/ready",
                    "/v1/events?after=0",
                    *["/tlog/checkpoint"] * 20,
                ]
                for found in others.map(ours.get, paths):
                    refused(found, 503, "unavailable")
            refused(ours.append("during"), 503, "unavailable")
            assert time.monotonic() - began < 25
        finally:
            two.primary.thaw()
        assert until(ours.is_ready)
        assert ours.append("after").status_code == 201


def test_a_node_ends_in_time_though_the_primary_is_frozen(two, tmp_path):
    with fresh(two, tmp_path, LEDGER_READ_TIMEOUT="60", LEDGER_WRITE_TIMEOUT="60") as ours:
        ours.append("before")
        two.primary.freeze()
        try:
            threading.Thread(target=append_in_vain, args=(ours,)).start()
            time.sleep(0.5)
            began = time.monotonic()
            ours.serving.process.send_signal(signal.SIGTERM)
            ours.serving.process.wait(60)
            assert time.monotonic() - began < 12
        finally:
            two.primary.thaw()


def append_in_vain(ours: Node) -> None:
    with suppress(httpx.TransportError):
        ours.append("during")


def test_without_its_server_no_route_fails(doomed, tmp_path):
    with node(doomed.url, tmp_path) as ours:
        ours.append("before")
        document = ours.get("/openapi.json").json()
        doomed.primary.kill()
        doomed.standby.kill()
        # One that nobody remembers from before.
        known = ours.serving.client.headers.pop("Authorization")
        ours.serving.client.headers["Authorization"] = f"Bearer dl_{'a' * 12}_{'b' * 43}"
        for path, methods in document["paths"].items():
            url = path.replace("{id}", "before").replace("{slug}", "stale").replace("{position}", "1")
            url = url.replace("{revision}", "1").replace("{path}", "0/000")
            for method in methods:
                found = ours.serving.client.request(method, url, json={} if method == "post" else None)
                assert found.status_code < 500 or found.status_code == 503, (method, url, found.text)
        for url in ("/", "/docs", "/metrics", "/openapi.json", "/verify.py", "/nowhere", "/tlog/checkpoint"):
            found = ours.get(url)
            assert found.status_code < 500 or found.status_code == 503, (url, found.text)
        assert ours.get("/health/live").status_code == 200
        refused(ours.get("/health/ready"), 503, "unavailable")
        ours.serving.client.headers["Authorization"] = known
        doomed.primary.start()
        assert until(ours.is_ready)
        assert ours.append("after").status_code == 201
        assert ours.lost(doomed.primary) == []


# The beginning


def serve_in_vain(url: str, folder: Path, *words: str) -> str:
    """Run a command that is to give up, and give what it said last."""
    with started(settings_for(url, folder), "-m", "api", *words, **TIMEOUTS) as process:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1, said
        assert "Traceback" not in said
        return said.strip().splitlines()[-1]


def test_a_start_does_not_wait_for_ever_for_a_standby_or_a_frozen_server(two, tmp_path):
    with fresh(two, tmp_path):
        two.primary.ask("CREATE DATABASE other", name="postgres")
    two.primary.set(wal_sender_timeout="0")
    two.standby.freeze()
    try:
        said = serve_in_vain(two.url, tmp_path, "keys", "create", "one", "--scope", "write")
        assert "did not answer in time" in said
        said = serve_in_vain(two.url.replace("/ledger?", "/other?"), tmp_path / "other", "serve", "--port", "1")
        assert "standby" in said
    finally:
        two.standby.thaw()
    two.primary.freeze()
    try:
        serve_in_vain(two.url, tmp_path, "serve", "--port", "1")
    finally:
        two.primary.thaw()


# The standby is read


def test_a_standby_is_served_for_reading_and_says_how_far_it_is_behind(two, tmp_path):
    reading = url_of(two.standby)
    with fresh(two, tmp_path) as ours:
        ours.append("first")
        two.catch_up()
        beside = tmp_path / "beside"
        beside.mkdir()
        with forked.serving(settings_for(reading, beside), **TIMEOUTS) as serving:
            assert "a standby, only read" in serving.process.communicate(0)[1]
            serving.client.headers["Authorization"] = ours.serving.client.headers["Authorization"]
            theirs = Node(serving, ours.settings)
            assert theirs.get("/v1/entities/first").status_code == 200
            refused(theirs.append("second"), 503, "read-only")
            ready = theirs.get("/health/ready")
            assert ready.status_code == 200
            assert ready.json()["behind_seconds"] < 60
            assert until(lambda: "ledger_standby_behind_seconds" in theirs.get("/metrics").text)
            two.standby.ask("SELECT pg_wal_replay_pause()")
            ours.append("second")
            assert until(lambda: theirs.get("/health/ready").json()["behind_seconds"] > 1)
            two.standby.ask("SELECT pg_wal_replay_resume()")
            assert until(lambda: theirs.get("/v1/entities/second").status_code == 200)
            assert until(lambda: theirs.get("/health/ready").json()["behind_seconds"] < 1)


def test_a_standby_whose_primary_is_frozen_says_since_when_it_heard_nothing(two, tmp_path):
    two.standby.set(wal_receiver_timeout="'20s'")
    with fresh(two, tmp_path) as ours:
        ours.append("first")
        two.catch_up()
        database = Database(settings_for(url_of(two.standby), tmp_path))
        with closing(database.connect_to_read()) as access:
            assert seconds_behind(access) == 0
            two.primary.freeze()
            try:
                assert until(lambda: (seconds_behind(access) or 0) > 5)
                # Which the server itself takes for connected still.
                assert access.rows("SELECT count(*) FROM pg_stat_wal_receiver") == [(1,)]
            finally:
                two.primary.thaw()
            assert until(lambda: seconds_behind(access) == 0)
        database.close()
    two.standby.set(wal_receiver_timeout="'5s'")


def test_commands_that_write_say_that_a_standby_is_none_to_write_to(two, tmp_path, monkeypatch):
    with fresh(two, tmp_path):
        two.catch_up()
    monkeypatch.setenv("LEDGER_DATABASE_URL", url_of(two.standby))
    result = CliRunner().invoke(main, ["keys", "create", "one", "--scope", "write"])
    assert result.exit_code == 1
    assert "standby" in result.output
    assert CliRunner().invoke(main, ["verify"]).exit_code in (0, 1)
