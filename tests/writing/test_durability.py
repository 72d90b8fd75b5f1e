"""A process that is killed in the middle of its work loses nothing it acknowledged; projections may be lost altogether."""

import contextlib
import os
import signal

import pytest

from api.ledger.projecting import projection, rebuild
from api.ledger.reading import standpoint
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS
from api.ledger.writing import genesis, keyfiles
from api.ledger.writing.ledger import Ledger
from tests.support import kills
from tests.support.auditor import _projections, audit
from tests.support.builders import Writing, a_claim, an_entity, ground, revise
from tests.support.processes import go, line, rest, started
from tests.support.witnessing import until

THREADS = 6


@pytest.mark.parametrize("acknowledged_before", [3, 90])
def test_a_killed_process_loses_no_acknowledged_append(settings, acknowledged_before):
    database = Database(settings)
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    with started(settings, "-m", "tests.support.appending", "doomed", str(THREADS), "0") as process:
        _ground(database)
        assert line(process) == {"ready": True}
        go(process)
        said = [line(process) for _ in range(acknowledged_before)]
        os.kill(process.pid, signal.SIGKILL)
        said += rest(process)
    acknowledged = {tuple(item) for each in said if "items" in each for item in each["items"]}
    database.close()
    _goes_on(settings, acknowledged)


def _ground(database: Database) -> None:
    with contextlib.closing(database):
        ledger = Ledger(database)
        ledger.start()
        Writing(database, ledger).append(*ground())
        ledger.stop()


def _goes_on(settings, acknowledged: set[tuple[str, int, int]]) -> None:
    """Start anew on what is left, as an operator would."""
    database = Database(settings)
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=False)
    access = database.access()
    sql = "SELECT r.id, v.revision, v.position FROM revision v JOIN record r ON r.first_position = v.first_position"
    stored = set(access.rows(sql))
    assert acknowledged <= stored
    # What was under way when it died may be in, acknowledged or not: at most one request a thread.
    assert len({row for row in stored if row[2] > 4}) <= len(acknowledged) + THREADS
    audit(access)
    head = standpoint.locate(access).position
    assert head == len(stored)
    ledger = Ledger(database)
    ledger.start()
    assert Writing(database, ledger).append(an_entity("after")).position == head + 1
    ledger.stop()
    audit(access)
    database.close()


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_what_is_committed_reaches_the_file_itself_while_the_ledger_runs(settings, writing):
    before = settings.sqlite_path.stat().st_size
    writing.append(*(an_entity() for _ in range(300)))
    assert until(lambda: settings.sqlite_path.stat().st_size > before)


DAMAGE = (
    "DELETE FROM revision WHERE position = 3",
    "UPDATE record SET revision = 99",
    "DELETE FROM term",
    "UPDATE span SET starts = 0",
    "DELETE FROM search",
    "UPDATE agreement SET state = 'agreed'",
)


def test_a_rebuild_derives_all_that_was_lost_or_damaged_again_from_the_log(writing):
    writing.append(*ground(), a_claim("c", source="paper", question="offline-when"), revise("claim", "c", note="x"))
    access = writing.database.access()
    whole = _projections(access)
    for statement in DAMAGE:
        access.run(statement)
    access.words.clear()
    assert _projections(access) != whole
    steps: list[int] = []
    assert rebuild.rebuild(access, steps.append) == steps[-1] == 6
    assert _projections(access) == whole


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_a_rebuild_mends_an_index_of_words_that_can_no_longer_be_read(writing):
    writing.append(*ground())
    access = writing.database.access()
    whole = _projections(access)
    access.run("UPDATE search_index_data SET block = x'0000' WHERE id > 100")
    with pytest.raises(DRIVER_ERRORS):
        access.rows("SELECT rowid FROM search_index WHERE search_index MATCH 'paper'")
    rebuild.rebuild(access)
    assert _projections(access) == whole
    assert access.upkeep.faults() == []
    # What is deleted is overwritten again from here on.
    assert access.rows("PRAGMA secure_delete") == [(1,)]


def test_a_rebuild_of_the_ledgers_first_event_alone(database):
    access = database.access()
    whole = _projections(access)
    projection.throw_away(access)
    assert rebuild.rebuild(access) == 1
    assert _projections(access) == whole


def test_a_signing_key_is_on_the_disk_and_its_folder_knows_it_before_the_log_names_it(tmp_path, monkeypatch):
    synced, sync = list[int](), os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    path = tmp_path / "keys" / "ledger.key"
    key = keyfiles.make_key(path, "ledger.example/log")
    assert synced == [path.stat().st_ino, path.parent.stat().st_ino]
    assert keyfiles.keys_beside(path)[0].vkey == key.vkey


def test_a_rebuild_that_fails_leaves_everything_as_it_was(writing):
    writing.append(*ground())
    access = writing.database.access()
    whole = _projections(access)

    def fail(_position: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild.rebuild(access, fail)
    assert _projections(access) == whole


@pytest.mark.slow
def test_kills_of_the_ledger_and_of_its_server_lose_nothing(capsys):
    assert kills.main(["--sqlite", "3", "--postgresql", "3"]) == 0
    assert capsys.readouterr().out.count("0 missing or doubled; sound") == 2
