"""What must outlive a machine that goes dark is written through to the disk before anybody relies on it.

What a real process asks of the operating system is told by a log of its calls: a file is synced whole before it has its
name, and the folder once it has it. The databases' own files are the databases' to sync, where they are asked to.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from api.__main__ import main
from api.domain.log.submission import Submission
from api.ledger.signing.checkpoints import kept_path
from api.ledger.storage.database import Database
from api.ledger.writing import genesis, keys
from api.settings import Settings
from api.witnessing import witness
from tests.support import forked
from tests.support.builders import Writing, an_entity
from tests.support.witnessing import Log, until

NAMING = ("replace", "rename", "link")


class Disk:
    """A log of what this process, and those that are forked off it, have the system sync and name."""

    def __init__(self, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._log = log
        log.touch()
        monkeypatch.setattr(os, "fsync", self._syncing(os.fsync))
        for name in NAMING:
            monkeypatch.setattr(os, name, self._naming(getattr(os, name)))

    def _syncing(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def fsync(descriptor: int) -> None:
            real(descriptor)
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            self._tell("folder" if path.is_dir() else f"file {path.stat().st_size}", str(path))

        return fsync

    def _naming(self, real: Callable[..., None]) -> Callable[..., None]:
        def name(source: Any, target: Any, **more: Any) -> None:
            size = Path(source).stat().st_size
            real(source, target, **more)
            self._tell(f"name {size}", f"{Path(source).resolve()} {Path(target).resolve()}")

        return name

    def _tell(self, *said: str) -> None:
        # One write to a file that is opened to append is not torn by another's.
        descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, ("\t".join(said) + "\n").encode())
        os.close(descriptor)

    def told(self) -> list[tuple[str, str]]:
        lines = (line.partition("\t") for line in self._log.read_text().splitlines())
        return [(what, where) for what, _, where in lines]

    def hold(self, target: Path) -> None:
        """Fail unless a file was synced, whole, before each time that it was given its name, and its folder after."""
        told, named = self.told(), 0
        for place, (what, where) in enumerate(told):
            source, _, given = where.partition(" ")
            if what.startswith("name") and given == str(target.resolve()):
                named += 1
                whole = f"file {what.partition(' ')[2]}"
                synced = [each for each, at in told[:place] if at == source and each.startswith("file")]
                assert synced, f"{source} was not synced before it was named"
                assert synced[-1] == whole, f"{source} was not whole when it was synced"
                assert ("folder", str(target.resolve().parent)) in told[place:], f"{target.parent} was not synced"
        assert named, f"{target} was never named"


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    log = tmp_path / "calls" / "log"
    log.parent.mkdir()
    return Disk(log, monkeypatch)


def test_a_server_syncs_its_key_before_the_first_event_and_what_it_signs_before_it_shows_it(
    settings: Settings, disk: Disk
) -> None:
    key, signed = settings.signing_key_path, kept_path(settings.signing_key_path)
    with forked.serving(settings) as serving:
        made = serving.client.get("/tlog/checkpoint").text.splitlines()
        database = Database(settings)
        serving.client.headers["Authorization"] = f"Bearer {keys.create(database.access(), 'test', keys.SCOPES, None)}"
        database.close()
        assert serving.client.post("/v1/entities", json={"type": "other", "name": "X"}).status_code == 201
        shown = until(lambda: _later(serving.client.get("/tlog/checkpoint").text, made[1]))
        # It is on the disk by the time that it is shown.
        assert signed.read_text().splitlines()[:3] == shown.splitlines()[:3]
        disk.hold(signed)
    told = disk.told()
    fresh, folder = f"{key.resolve()}.new", ("folder", str(key.resolve().parent))
    synced = told.index((f"file {key.stat().st_size}", fresh))
    named = next(place for place, (_, where) in enumerate(told) if where == f"{fresh} {key.resolve()}")
    assert synced < named
    assert folder in told[synced:named], "the folder is synced before the first event, under whatever name the key has"
    assert len([where for _, where in told if where.endswith(f" {signed.resolve()}")]) >= 2


def _later(checkpoint: str, size: str) -> str:
    return checkpoint if checkpoint.splitlines()[1] != size else ""


def test_the_next_key_is_synced_before_the_log_names_it(settings: Settings, database: Database, disk: Disk) -> None:
    key = settings.signing_key_path
    access = database.connect()
    with contextlib.closing(access):
        genesis.rotate_key(access, key)
    fresh = key.with_name(f"{key.name}.new")
    told = disk.told()
    assert (f"file {fresh.stat().st_size}", str(fresh.resolve())) in told
    assert told.index(("folder", str(key.resolve().parent))) > told.index(
        (f"file {fresh.stat().st_size}", str(fresh.resolve()))
    )


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_a_copy_is_synced_before_it_has_its_name_and_its_folder_after(
    settings: Settings, writing: Writing, disk: Disk, tmp_path: Path
) -> None:
    writing.append(an_entity())
    target = tmp_path / "copies" / "copy.db"
    target.parent.mkdir()
    known = {"LEDGER_DATABASE_URL": settings.database_url, "LEDGER_SIGNING_KEY": str(settings.signing_key_path)}
    done = CliRunner().invoke(main, ["backup", str(target)], env=known)
    assert done.exit_code == 0, done.output
    disk.hold(target)


def test_a_witness_syncs_its_key_and_what_it_cosigns_before_it_says_so(disk: Disk, tmp_path: Path) -> None:
    path, state = tmp_path / "witness" / "key", tmp_path / "state"
    log = Log("log.example")
    known = witness.Witness(witness.open_key(path, None), [log.key.vkey], state)
    disk.hold(path)
    [seen] = known.logs
    assert ("folder", str(state.resolve())) in disk.told()
    for old, size in ((0, 3), (3, 7)):
        known.add(log.body(old, size))
        kept = state / seen.memory.name / "checkpoint"
        assert (f"file {kept.stat().st_size}", f"{kept}.new") in disk.told()
        disk.hold(kept)
    fork = Log("log.example", forked_at=5)
    with pytest.raises(witness.NotCosigned):
        known.add(Submission(7, (), fork.note(7)).encode())
    disk.hold(state / seen.memory.name / "fork.json")


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_sqlite_is_asked_to_sync_at_every_commit(writing: Writing) -> None:
    for connect in (writing.database.connect, writing.database.connect_to_write):
        with contextlib.closing(connect()) as access:
            assert access.rows("PRAGMA synchronous") == [(2,)]
            assert access.rows("PRAGMA journal_mode") == [("wal",)]
