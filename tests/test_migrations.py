"""Migrations, by the words an operator types: they make the schema that the tables describe, on both databases."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

ROOT = Path(__file__).parent.parent


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
