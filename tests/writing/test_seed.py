"""How a ledger begins and is filled: key and first event, the seed's files, and starts that are killed on the way."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.domain import errors
from api.domain.log.checkpoint import SigningKey
from api.ledger.reading import feed, standpoint
from api.ledger.storage.database import Database, shipped
from api.ledger.writing import genesis, keys, seed
from api.ledger.writing.ledger import Ledger
from tests.support.auditor import audit
from tests.support.builders import Writing, an_entity
from tests.support.processes import rest, started

PREPARE = "from api.cli.serve import prepare; from api.settings import load; prepare(load(), is_empty=False)"


@pytest.fixture
def folder(tmp_path) -> Path:
    """The first files of the seed that is shipped, where a test may change them."""
    folder = tmp_path / "seed"
    folder.mkdir()
    for path in sorted(shipped("seed").glob("*.ndjson"))[:8]:
        shutil.copy(path, folder)
    return folder


def _said(database: Database) -> list[dict]:
    """Read all that the log says but what is minted anew in each ledger."""
    found: list[dict] = []
    while True:
        page = feed.follow(database.access(), feed.Following(after=len(found), limit=500))
        if not page.items:
            break
        found += [json.loads(item) for item in page.items]
    minted = ("record", "actor", "recorded_at", "payload_digest")
    return [{name: said[name] for name in said if name not in minted} for said in found[1:]]


def _seeded(settings, folder: Path, *, again: bool = False) -> tuple[Database, list[tuple[Path, object]]]:
    database = Database(settings)
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=False)
    ledger = Ledger(database)
    ledger.start()
    done = list(seed.seed(database, ledger, folder))
    assert list(seed.seed(database, ledger, folder)) == [] or again
    ledger.stop()
    return database, done


@contextmanager
def _writing(database: Database) -> Iterator[Writing]:
    ledger = Ledger(database)
    ledger.start()
    yield Writing(database, ledger)
    ledger.stop()


def _operations(folder: Path) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.glob("*.ndjson"))


def test_the_seed_is_one_batch_a_file_in_the_order_of_their_names_by_one_actor(settings, folder):
    database, done = _seeded(settings, folder)
    said, access = _said(database), database.access()
    assert [path.name for path, _ in done] == sorted(path.name for path in folder.glob("*.ndjson"))
    assert len(said) == _operations(folder)
    assert len({tuple(each["batch"]) for each in said}) == len(done)
    assert access.rows("SELECT DISTINCT a.name FROM event e JOIN actor a ON a.id = e.actor") == [("seed",)]
    audit(access)
    database.close()


def test_each_event_says_in_which_file_it_came_and_can_be_asked_for_by_that(settings, folder):
    database, done = _seeded(settings, folder)
    with _writing(database) as writing:
        writing.append(an_entity())
    named = {tuple(each["batch"] or ()): each["file"] for each in _said(database)}
    assert list(named.values()) == [*(path.name for path, _ in done), None]
    access, (first, second) = database.access(), [path.name for path, _ in done[:2]]
    for files in ((first,), (first, second)):
        page = feed.follow(access, feed.Following(files=files, limit=500, with_state=False))
        found = [json.loads(item) for item in page.items]
        assert [each["position"] for each in found] == list(range(2, found[-1]["batch"][1] + 1))
        assert {each["file"] for each in found} == set(files)
    assert feed.follow(access, feed.Following(files=("no-such-file.ndjson",))).items == []
    audit(access)
    database.close()


def test_a_redaction_passes_any_file(settings, folder):
    database, done = _seeded(settings, folder)
    with _writing(database) as writing:
        writing.append(an_entity("to-go"))
        writing.redact("entity", "to-go")
    page = feed.follow(database.access(), feed.Following(files=(done[0][0].name,), limit=500))
    assert json.loads(page.items[-1])["type"] == "redacted"
    database.close()


def test_a_seeding_that_is_killed_goes_on_and_ends_with_the_same_set(settings, folder, tmp_path):
    twin = settings.model_copy(
        update={"database_url": f"sqlite:///{tmp_path / 'twin.db'}", "signing_key": tmp_path / "twin.key"}
    )
    other = Database(twin)
    other.migrate()
    other.close()
    other, _ = _seeded(twin, folder)
    database = Database(settings)
    with started(settings, "-c", PREPARE, LEDGER_SEED=str(folder)) as process:
        _wait_for(database, files=1)
        # Some way into the second file, whichever statement it is at then.
        time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        rest(process)
    cut = _head(database)
    assert 1 < cut < _operations(folder) + 1
    with started(settings, "-c", PREPARE, LEDGER_SEED=str(folder)) as process:
        rest(process)
    assert _said(database) == _said(other)
    assert database.access().row("SELECT is_seeded FROM head")[0]
    audit(database.access())
    for each in (database, other):
        each.close()


def _wait_for(database: Database, files: int) -> None:
    """Wait until the ledger has begun and so many files are in."""
    access, patience = database.access(), time.monotonic() + 60
    while _head(database) == 0 or access.rows("SELECT count(*) FROM receipt")[0][0] < files:
        assert time.monotonic() < patience
        time.sleep(0.001)


def _head(database: Database) -> int:
    row = database.access().row("SELECT position FROM head")
    return row[0] if row else 0


def test_two_nodes_that_seed_at_once_write_each_file_once_by_one_actor(settings, folder):
    one, two = (started(settings, "-c", PREPARE, LEDGER_SEED=str(folder)) for _ in range(2))
    with one as first, two as second:
        for process in (first, second):
            rest(process)
            assert process.returncode == 0
    database = Database(settings)
    assert len(_said(database)) == _operations(folder)
    assert database.access().rows("SELECT count(*) FROM actor") == [(1,)]
    audit(database.access())
    database.close()


def test_a_file_that_is_in_already_is_answered_from_its_positions_and_a_changed_one_refused(database, ledger, folder):
    path = min(folder.glob("*.ndjson"))
    actor = keys.actor_named(database.access(), seed.SEED_ACTOR)
    first = seed.import_file(ledger, path, actor)
    again = seed.import_file(ledger, path, actor)
    assert (again.items, again.is_replay) == (first.items, True)
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(errors.Misconfigured, match=path.name):
        seed.import_file(ledger, path, actor)


def test_a_refused_operation_of_a_file_is_named_and_nothing_of_the_file_written(database, ledger, tmp_path):
    path = tmp_path / "bad.ndjson"
    good = '{"op": "record", "kind": "entity", "id": "gab", "body": {"type": "platform", "name": "Gab"}}'
    path.write_text(
        "\n".join([good, good.replace('"gab"', '"x"').replace('"name"', '"part_of": "nobody", "name"')]),
        encoding="utf-8",
    )
    actor = keys.actor_named(database.access(), seed.SEED_ACTOR)
    with pytest.raises(errors.Misconfigured, match=r"bad.ndjson:2: /body/part_of"):
        seed.import_file(ledger, path, actor)
    with pytest.raises(errors.Misconfigured, match=r"bad.ndjson:2"):
        seed.try_files(ledger, [path], actor)
    assert standpoint.locate(database.access()).position == 1


def test_a_start_killed_between_key_and_first_event_can_be_repeated(settings):
    database, path = Database(settings), settings.signing_key_path

    def die() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        genesis.open_ledger(database, key_path=path, origin=None, is_seeded=True, clock=die)
    assert (database.access().row("SELECT 1 FROM head"), path.exists()) == (None, False)
    state = genesis.open_ledger(database, key_path=path, origin=None, is_seeded=True)
    assert genesis.open_ledger(database, key_path=path, origin=None, is_seeded=True) == state
    assert path.stat().st_mode & 0o777 == 0o600
    database.close()


def test_a_start_killed_between_first_event_and_the_keys_name_finds_the_key(settings):
    database, path = Database(settings), settings.signing_key_path
    state = genesis.open_ledger(database, key_path=path, origin=None, is_seeded=True)
    path.rename(path.with_name(path.name + ".new"))
    assert genesis.open_ledger(database, key_path=path, origin=None, is_seeded=True) == state
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(errors.Misconfigured):
        genesis.open_ledger(database, key_path=path, origin=None, is_seeded=True)
    database.close()


def test_a_ledger_refuses_another_name_and_the_key_of_another(settings, tmp_path):
    database, path, others = Database(settings), settings.signing_key_path, tmp_path / "others.key"
    others.write_text(SigningKey("example.org/log", bytes(32)).encode() + "\n", encoding="utf-8")
    refused = {
        (
            "example.org/other",
            path,
        ): "LEDGER_LOG_ORIGIN: another name than the one recorded at the ledger's first event",
        (None, tmp_path / "nothing"): f"LEDGER_SIGNING_KEY: no file at {tmp_path}/nothing; this ledger's key is needed",
        (None, others): f"LEDGER_SIGNING_KEY: the key in {others} is not this ledger's",
    }
    genesis.open_ledger(database, key_path=path, origin="example.org/log", is_seeded=True)
    for (origin, key), sentence in refused.items():
        with pytest.raises(errors.Misconfigured) as refusal:
            genesis.open_ledger(database, key_path=key, origin=origin, is_seeded=True)
        assert refusal.value.sentence() == sentence
    assert genesis.open_ledger(database, key_path=path, origin=None, is_seeded=True)["log_origin"] == "example.org/log"
    database.close()
