"""Migrations, by the words an operator types: they make the schema that the tables describe, on both databases."""

import hashlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.writing import genesis
from api.settings import Settings
from tests.support.auditor import _projections, audit
from tests.support.builders import Writing, a_claim, ground, retract, revise

ROOT = Path(__file__).parents[2]
SEED = ROOT / "seed"


@pytest.fixture(params=("sqlite", "postgresql"))
def fresh_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that holds nothing at all."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    server = make_url(request.getfixturevalue("postgres"))
    name = f"fresh_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(
        server.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    ) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield server.set(database=name).render_as_string(hide_password=False)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def alembic(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alembic", *words]
    environment = {**os.environ, "LEDGER_DATABASE_URL": url}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_migrations_make_the_schema_that_the_tables_describe(fresh_url: str) -> None:
    assert alembic(fresh_url, "upgrade", "head").returncode == 0

    checked = alembic(fresh_url, "check")

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "No new upgrade operations detected" in checked.stdout


def test_migrating_twice_changes_nothing(fresh_url: str) -> None:
    assert alembic(fresh_url, "upgrade", "head").returncode == 0

    again = alembic(fresh_url, "upgrade", "head")

    assert again.returncode == 0, again.stderr
    assert "Running upgrade" not in again.stdout + again.stderr


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_a_ledger_of_the_first_schema_keeps_its_log_and_derives_the_rest_anew(
    fresh_url: str, settings: Settings, writing: Writing
) -> None:
    claim = a_claim("c", source="paper", question="offline-when")
    writing.append(*ground(), claim, revise("claim", "c", note="x"), retract("claim", "c"))
    assert alembic(fresh_url, "upgrade", "0001").returncode == 0
    older = Database(Settings(database_url=fresh_url))
    access = older.access()
    for table, columns in LOG.items():
        _copy(writing.database.access(), access, table, columns)

    older.migrate()
    genesis.open_ledger(older, key_path=settings.signing_key_path, origin=None, is_seeded=True)

    whole, found = _projections(writing.database.access()), _projections(access)
    assert {table: len(rows) for table, rows in found.items()} == {table: len(rows) for table, rows in whole.items()}
    assert found["revision"] == whole["revision"]
    audit(access)
    older.close()


def test_of_what_was_imported_before_the_names_of_shipped_files_are_known(fresh_url: str) -> None:
    assert alembic(fresh_url, "upgrade", "0004").returncode == 0
    older, (shipped_file, other) = (
        Database(Settings(database_url=fresh_url)),
        (min(SEED.glob("*.ndjson")).name, "x.ndjson"),
    )
    for_ever, receipts = 2**62, []
    for name, first, expires in ((shipped_file, 2, for_ever), (other, 9, for_ever), (shipped_file + "?", 20, 1)):
        digest = hashlib.sha256(b"file\0" + name.encode()).digest()
        receipts.append((digest, digest, first, first + 5, expires))
    older.access().insert("receipt", "key_digest, request_digest, first, last, expires_at", receipts)

    older.migrate()

    assert older.access().rows("SELECT first, last, file FROM imported") == [(2, 7, shipped_file)]
    older.close()


LOG = {
    "event": "position, entry, leaf_hash, type, kind, record, revision, recorded_at, actor",
    "payload": "position, salt, payload",
    "node": "level, number, hash",
    "head": "one, position, recorded_at, frontier, rules, is_seeded",
}


def _copy(source: Access, target: Access, table: str, columns: str) -> None:
    rows = source.rows(f"SELECT {columns} FROM {table}")
    if table == "head":
        rows = [(*row[:-1], bool(row[-1])) for row in rows]
    target.insert(table, columns, rows)
