"""A served ledger that the tests of one file share: started once on each database, and audited when they are done.

Tests make records of their own, so they do not meet. Also what any served database needs, for `conftest`.
"""

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from sqlalchemy.engine import make_url

from api.app import build, wrap
from api.ledger.storage.database import Database
from api.ledger.writing import genesis, keys
from api.routes.edge.metrics import Metrics
from api.settings import Settings
from tests.support.auditor import audit
from tests.support.builders import Operation, a_claim, a_question, a_source, an_entity, retract

DATABASES = ("sqlite", "postgresql")


@dataclass
class Served:
    """A running service, a client whose key has every scope, and the database behind them."""

    client: TestClient[Litestar]
    app: Litestar
    database: Database
    settings: Settings
    key: str

    def append(self, *operations: Operation) -> int:
        """Append operations as one batch and give the last position."""
        response = self.client.post("/v1/batch", json=list(operations))
        assert response.status_code == 201, response.text
        return int(response.json()["position"])

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Read; a header's name is written with underscores."""
        return self.client.get(path, headers=_spelt(headers))

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        """Send JSON; a header's name is written with underscores."""
        return self.client.post(path, json=body, headers=_spelt(headers))

    def head(self) -> int:
        return int(self.client.get("/health/ready").headers["ledger-position"])

    def etag(self, path: str) -> str:
        return self.client.get(path, headers={"Accept-Encoding": "identity"}).headers["etag"]

    def make_key(self, *scopes: str) -> str:
        return keys.create(self.database.access(), "narrow", scopes, None)

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Fail if what happens within takes a position."""
        before = self.head()
        yield
        assert self.head() == before, "a refused request took a position"


def _spelt(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture(scope="module", params=DATABASES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service over an empty ledger, for all the tests of a file."""
    with migrated(request, request.param, tmp_path_factory.mktemp("served")) as settings, serve(settings) as service:
        yield service
        audit(service.database.access())


@pytest.fixture(scope="module")
def ground(served: Served) -> Served:
    """A ledger with a question of each type, two sources of which one is retracted, and a claim."""
    kinds = ("time", "entity", "boolean", "text", "entities")
    served.append(
        an_entity("parler"),
        an_entity("amazon"),
        an_entity("aws", part_of="amazon"),
        a_source("paper"),
        a_source("reprint", derives_from=["paper"]),
        a_source("withdrawn"),
        retract("source", "withdrawn"),
        *(a_question(f"q-{kind}", about="parler", answer_type=kind) for kind in kinds),
        a_question("q-quantity", about="parler", answer_type="quantity", unit="users"),
        a_question("q-retracted", about="parler"),
        retract("question", "q-retracted"),
        a_claim("said", source="paper", question="q-time"),
        a_claim("unsaid", source="paper", question="q-time"),
        retract("claim", "unsaid"),
    )
    return served


@contextlib.contextmanager
def migrated(request: pytest.FixtureRequest, kind: str, folder: Path, **more: Any) -> Iterator[Settings]:
    """Give settings for an empty, migrated database of its own."""
    given = {"signing_key": folder / "ledger.key", "rate_limit": "off", "log_level": "error", **more}
    if kind == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "ledger.db")
        yield Settings(database_url=f"sqlite:///{folder / 'ledger.db'}", **given)
        return
    with _cloned(request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")) as url:
        yield Settings(database_url=url, **given)


@contextlib.contextmanager
def copied(request: pytest.FixtureRequest, ledger: Settings, folder: Path) -> Iterator[Settings]:
    """Give settings for a copy of a ledger that nobody uses, with its key and what was signed last."""
    for path in ledger.signing_key_path.parent.glob("ledger.*"):
        shutil.copy(path, folder)
    given = {"signing_key": folder / "ledger.key"}
    if ledger.is_sqlite:
        yield ledger.model_copy(update={"database_url": f"sqlite:///{folder / 'ledger.db'}", **given})
        return
    with _cloned(request.getfixturevalue("postgres"), make_url(ledger.database_url).database or "") as url:
        yield ledger.model_copy(update={"database_url": url, **given})


@contextlib.contextmanager
def _cloned(postgres: str, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    administer(postgres, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield named(postgres, name)
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def named(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def administer(url: str, statement: str) -> None:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[arg-type]


@contextlib.contextmanager
def serve(settings: Settings) -> Iterator[Served]:
    """Begin a ledger and run the application over it, as far as the socket."""
    database = Database(settings)
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=settings.log_origin, is_seeded=True)
    app, key = build(settings, Metrics()), keys.create(database.access(), "test", keys.SCOPES, "Test")
    with TestClient(app) as client:
        client.app = wrap(app)  # type: ignore[assignment]
        client.headers["Authorization"] = f"Bearer {key}"
        yield Served(client, app, database, settings, key)
    database.close()


def refused(response: httpx.Response, status: int, slug: str, **where: str) -> dict[str, Any]:
    """Hold a refusal to the one shape (RFC 9457) and give its document. `where` is the pointer or parameter named."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == f"/problems/{slug}", problem
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    for name, value in where.items():
        assert [fault.get(name) for fault in problem["errors"]] == [value], problem
    return problem
