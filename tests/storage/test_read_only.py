"""A copy that is served for reading alone: without the private key, and without a byte written to it."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from litestar import Litestar
from litestar.testing import TestClient
from sqlalchemy.engine import make_url

from api.__main__ import main
from api.app import build, wrap
from api.cli.serve import prepare
from api.domain.errors import Misconfigured
from api.ledger.signing.checkpoints import kept_path
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS
from api.ledger.writing import keys
from api.routes.edge.metrics import Metrics
from api.settings import Settings
from tests.support.builders import an_entity
from tests.support.served import administer, refused, serve


@contextmanager
def reading(settings: Settings) -> Iterator[TestClient[Litestar]]:
    """Serve as `ledger serve --read-only --empty` does, as far as the socket."""
    settings = settings.model_copy(update={"read_only": True})
    prepare(settings, is_empty=True)
    app = build(settings, Metrics())
    with TestClient(app) as client:
        client.app = wrap(app)  # type: ignore[assignment]
        yield client


@pytest.fixture
def copy(settings: Settings) -> Settings:
    """A ledger of some events that nobody serves, and that lost its private key."""
    with serve(settings) as served:
        served.append(*(an_entity(f"e{number}") for number in range(5)))
        assert served.get("/tlog/checkpoint").status_code == 200
    settings.signing_key_path.unlink()
    return settings


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_reads_and_the_last_checkpoint_are_served_without_the_private_key(copy):
    note = kept_path(copy.signing_key_path).read_text(encoding="utf-8")
    with reading(copy) as client:
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.headers["ledger-position"]) == (200, "6")
        assert client.get("/v1/entities/e3").json()["position"] == 5
        assert client.get("/v1/events?after=0").json()["position"] == 6
        assert client.get("/v1/entities?q=parler").status_code == 200
        assert client.get("/tlog/checkpoint").text == note
        assert client.get("/v1/events/2/proof").json()["size"] == 6
        assert client.get("/tlog/tile/0/000.p/6").status_code == 200
        assert client.get("/tlog/keys").status_code == 200
    assert not copy.signing_key_path.exists()


def test_appends_are_refused_and_nothing_is_written(copy, settings):
    database = Database(settings)
    key = keys.create(database.access(), "test", keys.SCOPES, None)
    database.close()
    folder = copy.signing_key_path.parent
    before = digests(folder)
    with reading(copy) as client:
        headers = {"Authorization": f"Bearer {key}"}
        refused(client.post("/v1/entities", json={"type": "other", "name": "X"}, headers=headers), 503, "read-only")
        refused(client.post("/v1/batch", json=[an_entity()], headers=headers), 503, "read-only")
        assert client.get("/health/ready").headers["ledger-position"] == "6"
    # What SQLite may put beside a file that is being read holds nothing of it.
    after = {name: digest for name, digest in digests(folder).items() if not name.endswith(("-shm", "-wal"))}
    assert after == {name: digest for name, digest in before.items() if not name.endswith(("-shm", "-wal"))}


def test_without_a_checkpoint_that_fits_there_is_none_and_reads_go_on(copy):
    beside = kept_path(copy.signing_key_path)
    note = beside.read_text(encoding="utf-8")
    beside.unlink()
    with reading(copy) as client:
        refused(client.get("/tlog/checkpoint"), 503, "unavailable")
        refused(client.get("/v1/events/2/proof"), 503, "unavailable")
        assert client.get("/v1/events/2/proof?size=4").status_code == 200
        assert client.get("/health/ready").status_code == 200
        beside.write_text(note.replace("\n6\n", "\n7\n"), encoding="utf-8")
        refused(client.get("/tlog/checkpoint"), 503, "log-refused")
        beside.write_text(note, encoding="utf-8")
        assert client.get("/tlog/checkpoint").text == note


def test_a_checkpoint_that_ends_before_the_event_proves_it_not_yet(settings):
    beside = kept_path(settings.signing_key_path)
    with serve(settings) as served:
        served.append(an_entity())
        note = served.get("/tlog/checkpoint").text
        served.append(an_entity())
        assert served.get("/tlog/checkpoint").text != note
    beside.write_text(note, encoding="utf-8")
    with reading(settings) as client:
        assert client.get("/v1/events/2/proof").json()["size"] == 2
        refused(client.get("/v1/events/3/proof"), 404, "not-yet")
        refused(client.get("/v1/events/3/proof", headers={"Accept": "text/plain"}), 404, "not-yet")
        assert client.get("/v1/events/3/proof?size=3").status_code == 200


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_a_file_in_a_folder_that_cannot_be_written_to_is_served_as_it_is(copy, monkeypatch):
    # Root may write anywhere, so the test says that it may not.
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    # What a look at a copy of it elsewhere may have left.
    copy.sqlite_path.with_name(f"{copy.sqlite_path.name}-wal").touch()
    before = digests(copy.sqlite_path.parent)
    with reading(copy) as client:
        assert client.get("/v1/entities/e3").status_code == 200
        assert digests(copy.sqlite_path.parent) == before


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_what_another_process_appends_meanwhile_is_read(settings):
    with serve(settings) as served:
        served.append(an_entity("first"))
        with reading(settings) as client:
            assert client.get("/v1/entities/first").status_code == 200
            served.append(an_entity("second"))
            assert client.get("/v1/entities/second").status_code == 200


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_a_role_that_may_only_select_is_enough(copy, postgres):
    role, name = f"reader_{uuid.uuid4().hex[:8]}", make_url(copy.database_url).database
    administer(postgres, f"CREATE ROLE {role} LOGIN PASSWORD 'reads'")
    administer(copy.database_url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    url = make_url(copy.database_url).set(username=role, password="reads").render_as_string(hide_password=False)
    try:
        with reading(copy.model_copy(update={"database_url": url})) as client:
            assert client.get("/v1/entities/e3").status_code == 200
            assert client.get("/health/ready").status_code == 200
            assert client.get("/tlog/checkpoint").status_code == 200
    finally:
        administer(copy.database_url, f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert name is not None


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_a_file_that_is_only_read_is_verified_and_stays_as_it_is(copy, tmp_path):
    before = copy.sqlite_path.read_bytes()
    environment = {"LEDGER_DATABASE_URL": copy.database_url, "LEDGER_READ_ONLY": "true"}
    result = CliRunner().invoke(main, ["verify"], env=environment)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("sound: 6 events")
    assert copy.sqlite_path.read_bytes() == before


def test_the_database_itself_is_held_to_reading(copy):
    database = Database(copy.model_copy(update={"read_only": True}))
    for statement in ("UPDATE head SET purged = 9", "DELETE FROM receipt", "CREATE TABLE more (one integer)"):
        with pytest.raises(DRIVER_ERRORS):
            database.access().run(statement)
    database.close()


def test_another_schema_and_other_rules_are_refused_and_left_as_they_are(copy):
    database = Database(copy)
    database.access().run("UPDATE head SET rules = 0")
    with pytest.raises(Misconfigured, match="another version"):
        prepare(copy.model_copy(update={"read_only": True}), is_empty=False)
    database.access().run("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(Misconfigured, match="another schema"):
        prepare(copy.model_copy(update={"read_only": True}), is_empty=False)
    assert database.access().rows("SELECT version_num FROM alembic_version") == [("0001",)]
    database.close()


def test_where_there_is_no_database_none_is_made(tmp_path):
    environment = {"LEDGER_DATABASE_URL": f"sqlite:///{tmp_path / 'nowhere' / 'ledger.db'}"}
    result = CliRunner().invoke(main, ["serve", "--read-only"], env=environment)
    assert result.exit_code == 1
    assert "there is no ledger at" in result.output
    assert not (tmp_path / "nowhere").exists()
