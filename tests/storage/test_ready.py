"""`/health/ready` tells whether an append could be written: by the last one, or by a write of its own that leaves no trace."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.ledger.storage.database import Database
from api.ledger.writing import ledger as ledgers
from tests.support.builders import an_entity
from tests.support.served import administer, refused, serve
from tests.support.witnessing import until


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system of 3 MiB, which only root may."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system of its own can be mounted by root alone")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free on a disk."""
    filler = folder / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(4096))
    return filler


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at each question, not only after some seconds."""
    monkeypatch.setattr(ledgers, "_SHOWN_FOR", 0.0)
    monkeypatch.setattr(ledgers, "_TRIED_EVERY", 0.0)


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_a_full_disk_is_not_ready_and_an_emptied_one_is_again(settings, tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk):
        on_disk = settings.model_copy(update={"database_url": f"sqlite:///{disk / 'ledger.db'}"})
        Database(on_disk).migrate()
        with serve(on_disk) as served:
            served.append(an_entity("before"))
            assert served.get("/health/ready").status_code == 200
            filler = fill(disk)
            while served.post("/v1/entities", {"type": "other", "name": "X" * 4000}).status_code == 201:
                pass
            refused(served.get("/health/ready"), 503, "unavailable")
            assert served.get("/health/live").status_code == 200
            assert served.get("/v1/entities/before").status_code == 200
            head = served.database.access().row("SELECT position FROM head")
            filler.unlink()
            assert until(lambda: served.get("/health/ready").status_code == 200)
            assert served.append(an_entity("after")) == head[0] + 1


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_a_server_that_takes_no_writes_is_not_ready_until_it_does(settings, postgres):
    with serve(settings) as served:
        served.append(an_entity("before"))
        name = settings.database_url.rpartition("/")[2].partition("?")[0]
        others = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        administer(postgres, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        administer(postgres, others)
        refused(served.get("/health/ready"), 503, "unavailable")
        refused(served.post("/v1/entities", {"type": "other", "name": "X"}), 503, "unavailable")
        assert served.get("/v1/entities/before").status_code == 200
        administer(postgres, f"ALTER DATABASE {name} RESET default_transaction_read_only")
        administer(postgres, others)
        assert until(lambda: served.get("/health/ready").status_code == 200)
        served.append(an_entity("after"))


def test_a_look_at_readiness_leaves_no_trace(settings):
    with serve(settings) as served:
        served.append(an_entity())
        access = served.database.access()
        before = {table: access.rows(f"SELECT * FROM {table}") for table in ("head", "receipt", "event")}
        for _ in range(3):
            assert served.get("/health/ready").status_code == 200
        assert {table: access.rows(f"SELECT * FROM {table}") for table in before} == before


def test_a_writer_that_gets_no_turn_is_not_ready(settings, monkeypatch):
    monkeypatch.setattr(ledgers, "_ANSWERED_WITHIN", 0.2)
    with serve(settings) as served:
        other = served.database.connect()
        other.begin()
        other.run("UPDATE head SET purged = purged")
        refused(served.get("/health/ready"), 503, "unavailable")
        assert served.get("/health/live").status_code == 200
        other.roll_back()
        other.close()
        assert until(lambda: served.get("/health/ready").status_code == 200)


def test_what_the_ledger_itself_refuses_says_nothing_of_the_database(settings):
    with serve(settings) as served:
        served.append(an_entity("one"))
        assert served.post("/v1/entities", {"id": "one", "type": "other", "name": "X"}).status_code == 409
        assert served.get("/health/ready").status_code == 200
