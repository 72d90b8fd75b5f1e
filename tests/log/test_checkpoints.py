"""Checkpoints: what is committed is signed, what was signed is kept, and a log that is not the one signed is refused."""

import contextlib
import fcntl
import os
import socket
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner
from sqlalchemy.engine import make_url

from api.__main__ import main
from api.cli.serve import prepare
from api.domain.errors import LogDamaged, LogRefused
from api.domain.log import checkpoint
from api.ledger.keeping.watch import Watch
from api.ledger.reading import proofs
from api.ledger.reading.soundness import ledger_state
from api.ledger.signing.acknowledged import Acknowledged
from api.ledger.signing.checkpoints import Checkpoints, hold_to_what_was_signed, kept_path, vkey_at
from api.ledger.storage.database import Database
from api.ledger.writing import genesis
from api.ledger.writing.ledger import Ledger
from api.settings import Settings
from tests.support.builders import Writing, an_entity
from tests.support.served import administer, named, refused, serve
from tests.support.witnessing import until
from tests.tampering import cut_tail, unguarded, write


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[tuple[Writing, Checkpoints]]:
    """Run a node's writing end over a database, as the application wires it."""
    database = Database(settings)
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    checkpoints = Checkpoints(database, settings.signing_key_path, Watch(database))
    ledger = Ledger(database, guard=checkpoints.guard, hold=checkpoints.hold, committed=checkpoints.committed)
    checkpoints.start()
    ledger.start()
    yield Writing(database, ledger), checkpoints
    ledger.stop()
    checkpoints.stop()
    database.close()


@contextlib.contextmanager
def backup(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Copy a database that nobody has open, as a backup; the key and what lies beside it are shared."""
    if settings.is_sqlite:
        copy = settings.sqlite_path.with_name("backup.db")
        with (
            contextlib.closing(sqlite3.connect(settings.sqlite_path)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        yield settings.model_copy(
            update={"database_url": f"sqlite:///{copy}", "signing_key": settings.signing_key_path}
        )
        return
    postgres, original = request.getfixturevalue("postgres"), make_url(settings.database_url).database
    name = f"backup_{uuid.uuid4().hex[:12]}"
    administer(postgres, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{original}'")
    administer(postgres, f"CREATE DATABASE {name} TEMPLATE {original}")
    yield settings.model_copy(update={"database_url": named(postgres, name), "signing_key": settings.signing_key_path})
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def kept(settings: Settings, database: Database) -> checkpoint.Checkpoint:
    """Open the note that is kept beside the key."""
    vkeys = [key["vkey"] for key in ledger_state(database.access())["keys"]]
    return checkpoint.open_note(kept_path(settings.signing_key_path).read_text(encoding="utf-8"), vkeys)


def test_every_commit_is_signed_and_what_was_signed_is_kept(settings):
    with opened(settings) as (writing, checkpoints):
        seen: list[int] = []
        checkpoints.subscribe(lambda signed: seen.append(signed.size))
        for _ in range(5):
            position = writing.append(an_entity()).position
            signed = checkpoints.latest()
            assert signed.size == position
            assert signed.root == proofs.root(writing.database.access(), position)
            assert kept(settings, writing.database) == checkpoint.Checkpoint(
                ledger_state(writing.database.access())["log_origin"], position, signed.root
            )
        assert seen == sorted(set(seen)) == [2, 3, 4, 5, 6]
        unseen = threading.Event()
        checkpoints.subscribe(lambda _: unseen.set())
        writing.append(an_entity())
        assert unseen.wait(10), "nobody asked, and nobody signed"


def test_a_node_that_stops_has_signed_its_last_event(settings):
    with opened(settings) as (writing, _):
        position = writing.append(an_entity(), an_entity()).position
    database = Database(settings)
    assert kept(settings, database).size == position
    database.close()


def test_a_restored_backup_neither_signs_nor_appends_and_still_reads(settings, request):
    with opened(settings) as (writing, _):
        writing.append(an_entity("old"))
    with backup(settings, request) as restored:
        with opened(settings) as (writing, _):
            writing.append(an_entity("new"))
        note = kept_path(settings.signing_key_path).read_text(encoding="utf-8")
        with serve(restored) as served:
            problem = refused(served.get("/health/ready"), 503, "log-refused")
            assert "position 3 was signed before" in problem["detail"]
            refused(served.post("/v1/entities", {"type": "other", "name": "X"}), 503, "log-refused")
            refused(served.get("/tlog/checkpoint"), 503, "log-refused")
            refused(served.get("/v1/events/2/proof"), 503, "log-refused")
            assert served.get("/v1/events/2/proof?size=2").status_code == 200
            assert served.get("/v1/entities/old").status_code == 200
            assert served.get("/health/live").status_code == 200
        assert kept_path(settings.signing_key_path).read_text(encoding="utf-8") == note


def test_a_log_that_went_another_way_is_refused(settings, request):
    with opened(settings) as (writing, _):
        writing.append(an_entity("common"))
    with backup(settings, request) as forked:
        beside = kept_path(settings.signing_key_path)
        then = beside.read_text(encoding="utf-8")
        with opened(settings) as (writing, _):
            writing.append(an_entity("one-way"))
        now = beside.read_text(encoding="utf-8")
        # As on another machine, where nothing is known of it.
        beside.write_text(then, encoding="utf-8")
        beside.with_suffix(".acknowledged").unlink()
        with opened(forked) as (writing, _):
            writing.append(an_entity("another"), an_entity("further"))
        beside.write_text(now, encoding="utf-8")
        with opened(forked) as (writing, checkpoints):
            assert "differs from what was signed at position 3" in (checkpoints.refusal or "")
            with pytest.raises(LogRefused):
                writing.append(an_entity())


@pytest.mark.parametrize("damage", ["", "garbage", "\n\n", "flip", "stranger"])
def test_what_is_kept_must_be_whole_and_ours(settings, damage):
    with opened(settings) as (writing, _):
        writing.append(an_entity())
        state = ledger_state(writing.database.access())
    beside = kept_path(settings.signing_key_path)
    note = beside.read_text(encoding="utf-8")
    stranger = checkpoint.SigningKey(state["log_origin"], b"\x01" * 32)
    made = {
        "flip": note.replace("\n2\n", "\n1\n"),
        "stranger": checkpoint.sign(state["log_origin"], 1, b"\x00" * 32, stranger),
    }
    beside.write_text(made.get(damage, damage), encoding="utf-8")
    with opened(settings) as (writing, checkpoints):
        assert checkpoints.refusal
        with pytest.raises(LogRefused):
            writing.append(an_entity())


def test_the_key_is_rotated_and_the_old_one_signs_last_at_that_very_event(settings, monkeypatch):
    monkeypatch.setenv("LEDGER_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("LEDGER_SIGNING_KEY", str(settings.signing_key_path))
    with opened(settings) as (writing, checkpoints):
        writing.append(an_entity())
        before = ledger_state(writing.database.access())
        result = CliRunner().invoke(main, ["keys", "rotate-signing"])
        assert result.exit_code == 0, result.output
        after = ledger_state(writing.database.access())
        assert after["keys"][:-1] == before["keys"]
        assert after["keys"][-1]["from"] == 4
        # The running node takes notice by itself.
        at_rotation = checkpoints.latest()
        assert checkpoint.open_note(at_rotation.note, [before["keys"][0]["vkey"]]).size == 3
        writing.append(an_entity())
        beyond = checkpoints.latest()
        assert checkpoint.open_note(beyond.note, [after["keys"][-1]["vkey"]]).size == 4
        with pytest.raises(ValueError, match="no known key"):
            checkpoint.open_note(beyond.note, [before["keys"][0]["vkey"]])
        assert [vkey_at(after, size) for size in (0, 1, 3)] == [before["keys"][0]["vkey"]] * 3
        assert checkpoints.keys() == after["keys"]
    former = before["keys"][0]["vkey"].split("+")[1]
    assert settings.signing_key_path.with_name(f"{settings.signing_key_path.name}.{former}").exists()
    with opened(settings) as (writing, _):
        writing.append(an_entity())


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_the_key_is_not_rotated_in_a_log_that_lost_what_was_signed_however_long_it_takes_to_see(settings, monkeypatch):
    with serve(settings) as served:
        write(served)
    database = Database(settings)
    with contextlib.closing(database.connect()) as access:
        cut_tail(access, kept_path(settings.signing_key_path))
        [(size,)] = access.rows("SELECT max(position) FROM event")
        with contextlib.closing(socket.create_server(("127.0.0.1", 0), backlog=100)) as silent:
            # A host that is named first and says nothing is waited for at each connection.
            first = make_url(settings.database_url)
            hosts = (f"127.0.0.1:{silent.getsockname()[1]}", f"{first.query['host']}:5432")
            monkeypatch.setenv(
                "LEDGER_DATABASE_URL", first.set(query={"host": hosts}).render_as_string(hide_password=False)
            )
            monkeypatch.setenv("LEDGER_SIGNING_KEY", str(settings.signing_key_path))
            result = CliRunner().invoke(main, ["keys", "rotate-signing"])
        assert result.exit_code == 1, result.output
        assert "was signed before" in result.output
        assert access.rows("SELECT max(position) FROM event") == [(size,)]
    database.close()


def test_a_rotation_is_remembered_as_what_was_acknowledged(settings, monkeypatch):
    monkeypatch.setenv("LEDGER_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("LEDGER_SIGNING_KEY", str(settings.signing_key_path))
    with opened(settings) as (writing, _):
        writing.append(an_entity())
    result = CliRunner().invoke(main, ["keys", "rotate-signing"])
    assert result.exit_code == 0, result.output
    acknowledged = Acknowledged(settings.signing_key_path)
    database = Database(settings)
    with contextlib.closing(database.connect()) as access:
        log = ledger_state(access)["keys"][0]["vkey"]
        acknowledged.check(access, log)
        with unguarded(access):
            access.run("DELETE FROM event WHERE position = 3")
        with pytest.raises(LogRefused, match="position 3, which was acknowledged"):
            acknowledged.check(access, log)
    database.close()


def test_a_rotation_that_was_killed_half_way_is_taken_up(settings):
    with opened(settings) as (writing, checkpoints):
        genesis.rotate_key(writing.database.access(), settings.signing_key_path)
        writing.append(an_entity())
        assert checkpoints.latest().size == 3, "the new key, which has no lasting name yet, signs"
        assert genesis.rotate_key(writing.database.access(), settings.signing_key_path) == 2, "a second event"
    with opened(settings) as (writing, checkpoints):
        assert not settings.signing_key_path.with_name(settings.signing_key_path.name + ".new").exists()
        writing.append(an_entity())
        assert checkpoints.latest().size == 4


def test_two_nodes_with_one_key_never_go_back(settings):
    with opened(settings) as (one, first), opened(settings) as (two, second):
        sizes: list[int] = []
        for writing, checkpoints in ((one, first), (two, second), (two, first), (one, second)) * 5:
            writing.append(an_entity())
            sizes.append(checkpoints.latest().size)
            assert hold_to_what_was_signed(writing.database.access(), settings.signing_key_path)[0].size == sizes[-1]
        assert sizes == list(range(2, 22))


def test_the_key_in_force_signs_though_it_came_while_another_process_was_signing(settings):
    with opened(settings) as (writing, checkpoints):
        # What signs in the background would come in between.
        checkpoints.stop()
        signing = Checkpoints(writing.database, settings.signing_key_path, Watch(writing.database))
        signing.latest()
        writing.append(an_entity())
        folder = os.open(settings.signing_key_path.parent, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        with ThreadPoolExecutor(1) as other:
            waiting = other.submit(signing.latest)
            while signing._lock.acquire(blocking=False):
                signing._lock.release()
            genesis.rotate_key(writing.database.access(), settings.signing_key_path)
            writing.append(an_entity())
            os.close(folder)
            signed = waiting.result(60)
        state = ledger_state(writing.database.access())
        assert signed.size == 4
        assert checkpoint.open_note(signed.note, [vkey_at(state, signed.size)]).size == signed.size


def test_a_node_that_starts_while_another_signs_reads_at_once(settings):
    """What another signs may wait long for a standby; it has the folder of the key until then."""
    with serve(settings) as served:
        served.append(an_entity("e1"))
    folder = os.open(settings.signing_key_path.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    opening = threading.Timer(20, os.close, (folder,))
    opening.start()
    with serve(settings) as served:
        assert served.get("/v1/entities/e1").status_code == 200
        assert opening.is_alive()
        opening.cancel()
        os.close(folder)
        assert served.get("/tlog/checkpoint").status_code == 200


def test_what_cannot_be_kept_beside_the_key_is_not_served(settings):
    with serve(settings) as served:
        kept = kept_path(settings.signing_key_path)
        in_the_way = kept.with_name(f"{kept.name}.{os.getpid()}")
        in_the_way.mkdir()
        served.append(an_entity())
        for path in ("/tlog/checkpoint", "/v1/events/1/proof", "/tlog/tile/0/000.p/2"):
            refused(served.get(path), 503, "unavailable")
        in_the_way.rmdir()
        assert served.get("/tlog/checkpoint").status_code == 200


def test_a_connection_that_is_gone_is_made_anew(settings, request):
    with serve(settings) as served:
        for path in ("/tlog/keys", "/tlog/checkpoint", "/v1/events/1/proof"):
            served.append(an_entity())
            assert served.get(path).status_code == 200
            if not settings.is_sqlite:
                name = make_url(settings.database_url).database
                others = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
                administer(request.getfixturevalue("postgres"), others)
            assert served.get(path).status_code == 200, path


def test_adopted_cosignatures_go_out_with_the_checkpoint_they_are_for(settings):
    with opened(settings) as (writing, checkpoints):
        writing.append(an_entity())
        signed = checkpoints.latest()
        line = "— witness.example " + "A" * 88
        checkpoints.adopt(signed.size - 1, [line])
        assert checkpoints.latest().note == signed.note
        checkpoints.adopt(signed.size, [line])
        checkpoints.adopt(signed.size, [line])
        assert checkpoints.latest().note == f"{signed.note}{line}\n"
        writing.append(an_entity())
        assert line not in checkpoints.latest().note


def is_marked(database: Database) -> bool:
    row = database.access().row("SELECT is_signed FROM head")
    return row is not None and bool(row[0])


def test_without_what_was_signed_last_a_ledger_reads_and_neither_signs_nor_appends(settings):
    with opened(settings) as (writing, _):
        writing.append(an_entity("old"))
    kept_path(settings.signing_key_path).unlink()
    with serve(settings) as served:
        problem = refused(served.get("/health/ready"), 503, "log-refused")
        assert "ledger accept" in problem["detail"]
        refused(served.post("/v1/entities", {"type": "other", "name": "X"}), 503, "log-refused")
        refused(served.get("/tlog/checkpoint"), 503, "log-refused")
        assert served.get("/v1/entities/old").status_code == 200
        assert served.get("/health/live").status_code == 200
    assert not kept_path(settings.signing_key_path).exists()


def test_what_was_signed_last_is_missed_while_the_ledger_runs(settings):
    with serve(settings) as served:
        served.append(an_entity("old"))
        assert served.get("/tlog/checkpoint").status_code == 200
        beside = kept_path(settings.signing_key_path)
        note = beside.read_text(encoding="utf-8")
        beside.unlink()
        refused(served.get("/health/ready"), 503, "log-refused")
        refused(served.post("/v1/entities", {"type": "other", "name": "X"}), 503, "log-refused")
        beside.write_text(note, encoding="utf-8")
        assert until(lambda: served.get("/health/ready").status_code == 200)
        served.append(an_entity("new"))


def test_an_append_after_what_was_signed_last_is_gone_is_the_last_one(settings):
    with opened(settings) as (writing, checkpoints):
        writing.append(an_entity("old"))
        checkpoints.latest()
        kept_path(settings.signing_key_path).unlink()
        writing.append(an_entity("unsigned"))
        with pytest.raises(LogRefused):
            checkpoints.latest()
        with pytest.raises(LogRefused):
            writing.append(an_entity("refused"))


@pytest.mark.parametrize("killed", ["before anything was signed", "before the head notes it"])
def test_a_start_that_was_killed_before_its_first_checkpoint_was_seen_locks_no_ledger(settings, killed):
    database = Database(settings)
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    ledger = Ledger(database)
    ledger.start()
    Writing(database, ledger).append(an_entity(), an_entity())
    ledger.stop()
    assert not is_marked(database)
    if killed == "before the head notes it":
        Checkpoints(database, settings.signing_key_path, Watch(database)).latest()
        database.access().run("UPDATE head SET is_signed = ?", (False,))
    with opened(settings) as (writing, _):
        writing.append(an_entity())
        assert is_marked(database)
    database.close()


def test_the_head_notes_the_first_checkpoint_before_anybody_sees_it(settings):
    database = Database(settings)
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    checkpoints = Checkpoints(database, settings.signing_key_path, Watch(database))
    seen: list[bool] = []
    checkpoints.subscribe(lambda _: seen.append(is_marked(database)))
    checkpoints.latest()
    checkpoints.stop()
    assert seen == [True]
    database.close()


def test_what_a_killed_process_left_beside_the_key_is_removed(settings):
    with opened(settings) as (writing, _):
        writing.append(an_entity())
    beside = kept_path(settings.signing_key_path)
    left = beside.with_name(f"{beside.name}.99999")
    left.write_text("half a note", encoding="utf-8")
    with opened(settings) as (writing, _):
        writing.append(an_entity())
    assert not left.exists()
    assert beside.exists()


def test_a_seeding_that_was_cut_short_and_lost_what_was_signed_is_served_for_reading(settings):
    with opened(settings) as (writing, _):
        writing.append(an_entity("old"))
        writing.database.access().run("UPDATE head SET is_seeded = ?", (False,))
    kept_path(settings.signing_key_path).unlink()
    prepare(settings, is_empty=False)
    with serve(settings) as served:
        assert served.get("/v1/entities/old").headers["ledger-position"] == "2"
        refused(served.get("/health/ready"), 503, "log-refused")


def test_a_connection_to_a_log_that_was_set_back_appends_nothing(settings):
    """What was acknowledged is gone, as after a promotion: not one append is made on what is left."""
    with opened(settings) as (writing, checkpoints):
        writing.append(*(an_entity() for _ in range(22)))
        checkpoints.latest()
        access = writing.database.connect()
        cut_tail(access, kept_path(settings.signing_key_path))
        access.close()
        with pytest.raises((LogRefused, LogDamaged)):
            writing.append(an_entity())
        assert writing.database.access().rows("SELECT position FROM head") == [(13,)]


def test_what_is_held_to_what_was_signed_before_the_first_append(settings):
    held: list[bool] = []
    database = Database(settings)
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    ledger = Ledger(database, hold=lambda access: held.append(access.row("SELECT position FROM head") == (1,)))
    ledger.start()
    writing = Writing(database, ledger)
    writing.append(an_entity())
    writing.append(an_entity())
    ledger.stop()
    database.close()
    assert held == [True], "each connection is held once, before its first append"
