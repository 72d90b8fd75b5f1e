"""Who runs a ledger is told what went wrong in one line, loses nothing by a mistyped name, and gives no secret away."""

import contextlib
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from sqlalchemy.engine import make_url

from api.__main__ import main
from api.cli.serve import prepare
from api.ledger.storage.database import Database
from api.ledger.writing import genesis, keys
from api.ledger.writing.ledger import Ledger
from api.settings import Settings
from tests.support.builders import Operation, Writing, an_entity, ground
from tests.support.processes import ROOT, started
from tests.support.served import named
from tests.support.witnessing import ledger, until

SECRET = "hush-hush"
MAKING_NOTHING = (
    ("keys", "create", "Ana", "--scope", "write"),
    ("keys", "list"),
    ("keys", "revoke", "000000000000"),
    ("keys", "rotate-signing"),
    ("stats",),
    ("rebuild",),
    ("purge",),
    ("accept", "--yes"),
    ("backup", "copy.db"),
    ("import", str(ROOT / "pyproject.toml")),
    ("serve", "--read-only"),
)


def run(folder: Path, *words: str, **environment: str) -> Result:
    """Run a command in a folder, by the names that stand for it when nothing is set."""
    with contextlib.chdir(folder):
        return CliRunner().invoke(main, words, env=environment)


def said(result: Result, status: int = 1) -> str:
    """Give the one line that a failure is told in."""
    assert result.exit_code == status, (result.output, result.exception)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def begun(path: Path) -> Settings:
    """Begin an empty ledger in a file."""
    settings = Settings(database_url=url_of(path))
    prepare(settings, is_empty=True)
    return settings


def write(settings: Settings, *operations: Operation) -> None:
    """Append to a ledger that nobody serves."""
    with contextlib.closing(Database(settings)) as database:
        writer = Ledger(database)
        writer.start()
        Writing(database, writer).append(*operations)
        writer.stop()


@pytest.mark.parametrize("words", MAKING_NOTHING, ids=lambda words: " ".join(words[:2]))
def test_a_command_for_a_ledger_never_makes_one(tmp_path, words):
    line = said(run(tmp_path, *words))
    assert "no ledger at ledger.db" in line
    assert "ledger serve" in line
    assert "LEDGER_DATABASE_URL" in line
    elsewhere = said(run(tmp_path, *words, LEDGER_DATABASE_URL="sqlite:///deep/er/other.db"))
    assert "no ledger at deep/er/other.db" in elsewhere
    assert list(tmp_path.iterdir()) == []


def test_a_verification_without_a_ledger_says_so_with_status_2(tmp_path):
    assert "no ledger at ledger.db" in said(run(tmp_path, "verify"), 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", MAKING_NOTHING[:5], ids=lambda words: " ".join(words[:2]))
def test_a_database_that_is_migrated_alone_holds_no_ledger(settings, tmp_path, words):
    """On both databases: nothing is begun, and no key is made."""
    before = sorted(tmp_path.iterdir())
    given = {"LEDGER_DATABASE_URL": settings.database_url, "LEDGER_SIGNING_KEY": str(settings.signing_key_path)}
    assert "there is no ledger at" in said(run(tmp_path, *words, **given))
    assert sorted(tmp_path.iterdir()) == before


def test_a_key_is_all_that_standard_output_holds(tmp_path):
    settings = begun(tmp_path / "ledger.db")
    key = run(tmp_path, "keys", "create", "Ana", "--scope", "write")
    assert key.stdout.count("\n") == 1
    with contextlib.closing(Database(settings)) as database:
        assert keys.recognise(database.access(), key.stdout.strip()) is not None


def test_serve_says_what_it_serves_and_whether_it_made_it(tmp_path):
    settings = Settings(database_url=url_of(tmp_path / "ledger.db"))
    for how, key in (("made, at position 1", "made"), ("found, at position 1", "found")):
        with started(
            settings, "-c", "from api.cli.serve import load, prepare; prepare(load(), is_empty=True)"
        ) as process:
            out, told = process.communicate(timeout=60)
        assert out == ""
        assert f"database {tmp_path / 'ledger.db'}: {how}\n" in told
        assert f"signing key {tmp_path / 'ledger.key'}: {key}\n" in told


def test_what_a_ledger_makes_is_for_its_owner_alone(tmp_path):
    settings = begun(tmp_path / "ledger.db")
    database = Database(settings)
    database.access().run("CREATE TABLE extra (x)")
    made = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    database.close()
    assert set(made) >= {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.key", "ledger.key.signed"}
    assert set(made.values()) == {0o600}


def test_files_that_are_there_keep_their_mode(tmp_path):
    settings = begun(tmp_path / "ledger.db")
    shared = [tmp_path / name for name in ("ledger.db", "ledger.key.signed")]
    for path in shared:
        path.chmod(0o640)
    before = shared[1].read_text()
    run(tmp_path, "keys", "rotate-signing")
    assert shared[1].read_text() != before
    prepare(settings, is_empty=True)
    assert [path.stat().st_mode & 0o777 for path in shared] == [0o640, 0o640]


# What is not a ledger of this version.


def test_the_database_of_another_program_is_left_as_it_is(tmp_path):
    path = tmp_path / "ledger.db"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmark (url)")
    before = path.read_bytes()
    assert "no ledger at ledger.db" in said(run(tmp_path, "stats"))
    assert "of another program" in said(run(tmp_path, "serve", "--port", "1"))
    assert "of another program" in said(run(tmp_path, "migrate"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_database_is_refused_in_a_line(tmp_path):
    (tmp_path / "ledger.db").write_text("# Notes\n" * 200)
    for words in (("stats",), ("migrate",)):
        assert "file is not a database" in said(run(tmp_path, *words))


def test_a_folder_in_the_place_of_the_file_is_refused_in_a_line(tmp_path):
    (tmp_path / "ledger.db").mkdir()
    for words in (("stats",), ("migrate",)):
        assert "unable to open database file" in (line := said(run(tmp_path, *words))) or "Is a directory" in line


def test_a_newer_schema_is_refused_in_a_line(settings, tmp_path):
    with contextlib.closing(Database(settings)) as database:
        genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
        database.access().run("UPDATE alembic_version SET version_num = '9999'")
    given = {"LEDGER_DATABASE_URL": settings.database_url, "LEDGER_SIGNING_KEY": str(settings.signing_key_path)}
    for words in (("stats",), ("migrate",)):
        assert "does not know" in said(run(tmp_path, *words, **given))


AS_NOBODY = """
import os, sys, encodings.idna
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(65534)
from api.__main__ import main
main(sys.argv[2:])
"""


def as_nobody(folder: Path, *words: str) -> str:
    """Run a command as somebody to whom the folder does not belong and give the one line that it says."""
    for each in (folder, *folder.parents):
        if each.owner() == folder.owner() and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o055)
    preload = "import api.__main__\n"
    with started(Settings(), "-c", preload + AS_NOBODY, str(folder), *words, LEDGER_DATABASE_URL="sqlite:///ledger.db",
                 LEDGER_SIGNING_KEY="ledger.key") as process:  # fmt: skip
        out, complaint = process.communicate(timeout=60)
    assert (process.returncode, out, len(complaint.splitlines())) == (1, "", 1), complaint
    return complaint


def test_a_folder_that_may_not_be_written_to_is_refused_in_a_line(tmp_path):
    assert "Permission denied" in as_nobody(tmp_path, "serve", "--port", "18999")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_may_not_be_written_to_is_refused_in_a_line(tmp_path):
    begun(tmp_path / "ledger.db")
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    assert "readonly database" in as_nobody(tmp_path, "keys", "create", "Ana", "--scope", "write")


def test_no_password_is_told_by_a_server_that_refuses_or_is_not_there(tmp_path):
    for port, why in (("1", "Connection refused"), ("9", "Connection refused")):
        url = f"postgresql+psycopg://ana:{SECRET}@127.0.0.1:{port}/ledger?sslpassword={SECRET}&connect_timeout=3"
        line = said(run(tmp_path, "stats", LEDGER_DATABASE_URL=url))
        assert f"postgresql+psycopg://ana@127.0.0.1:{port}/ledger: {why}" in line
        assert SECRET not in line


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ana:{SECRET}/x@host/db",
        f"postgresql+psycopg://ana:a@{SECRET}:b@host:x/db",
        f"postgresql://host:{SECRET}/db",
        f"postgresql://host/db?password={SECRET}&nonsense={SECRET}",
    ],
)
def test_a_password_in_the_wrong_place_is_not_repeated(tmp_path, url):
    assert SECRET not in said(run(tmp_path, "stats", LEDGER_DATABASE_URL=url))


def test_a_server_that_does_not_know_the_database_or_the_user_says_so(postgres, tmp_path):
    missing = said(run(tmp_path, "stats", LEDGER_DATABASE_URL=named(postgres, "nowhere")))
    assert "does not exist" in missing or "3D000" in missing
    stranger = make_url(postgres).set(username="stranger", password=SECRET).render_as_string(hide_password=False)
    line = said(run(tmp_path, "stats", LEDGER_DATABASE_URL=stranger))
    assert SECRET not in line


def test_an_interrupted_seeding_ends_with_status_130_and_goes_on_later(tmp_path):
    settings = Settings(database_url=url_of(tmp_path / "ledger.db"))
    with started(settings, "-m", "api", "import", str(ROOT / "README.md")) as process:
        assert process.wait(60) == 1
    with started(settings, "-m", "api", "serve", "--port", "18998") as process:
        # The file is there once the schema is: the seed comes next.
        until((tmp_path / "ledger.key.signed").exists)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [line for line in told.splitlines() if line.startswith("interrupted")] == told.splitlines()


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    begun(tmp_path / "ledger.db")
    for number in range(3):
        run(tmp_path, "keys", "create", f"key {number}", "--scope", "write")
    environment = {**os.environ, "LEDGER_DATABASE_URL": url_of(tmp_path / "ledger.db"), "PYTHONPATH": str(ROOT)}
    line = f"{sys.executable} -m api keys list | (exec 0<&-; sleep 3)"
    told = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert told.stderr == ""


# Backups.


@pytest.fixture
def writing_on(tmp_path):
    """A served ledger to which somebody writes without a pause."""
    settings = Settings(database_url=url_of(tmp_path / "ledger.db"), signing_key=tmp_path / "ledger.key")
    with ledger(settings) as serving:
        ending, written = threading.Event(), list[str]()

        def write() -> None:
            while not ending.is_set():
                body = {"type": "other", "name": f"Nobody number {len(written)}"}
                written.append(serving.client.post("/v1/entities", json=body).raise_for_status().json()["id"])

        writer = threading.Thread(target=write)
        writer.start()
        until(lambda: len(written) > 20)
        yield serving, written
        ending.set()
        writer.join()


def test_a_backup_is_made_and_checked_while_somebody_writes(tmp_path, writing_on):
    serving, written = writing_on
    before = len(written)
    result = run(tmp_path, "backup", "copy.db", "--check")
    assert result.exit_code == 0, result.output
    verdict, beside, last = result.stdout.splitlines()
    assert "what was signed last" in beside
    position = int(last.rpartition(" ")[2])
    assert verdict.startswith(f"sound: {position:,} events")
    assert before < position <= len(written) + 2
    copy = tmp_path / "copy.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if "copy.db" in path.name] == ["copy.db"]
    assert "is there already" in said(run(tmp_path, "backup", "copy.db"))
    restored = Settings(database_url=url_of(copy), signing_key=tmp_path / "ledger.key")
    root = serving.client.get("/v1/proofs/consistency", params={"from": 1, "to": position}).json()["to_root"]
    assert root in verdict
    with contextlib.closing(Database(restored)) as database:
        assert database.access().row("SELECT position FROM head") == (position,)


def test_a_backup_is_served_after_a_restore(tmp_path):
    settings = begun(tmp_path / "ledger.db")
    write(settings, *ground())
    (tmp_path / "kept").mkdir()
    assert run(tmp_path, "backup", "kept/ledger.db").exit_code == 0
    for name in ("ledger.key", "ledger.key.signed"):
        (tmp_path / name).rename(tmp_path / "kept" / name)
    restored = Settings(database_url=url_of(tmp_path / "kept" / "ledger.db"))
    with ledger(restored) as serving:
        assert serving.client.get("/health/ready").json()["position"] == 4
        assert serving.client.post("/v1/entities", json={"type": "other", "name": "After"}).status_code == 201


def test_what_was_redacted_is_in_no_backup(tmp_path):
    settings = begun(tmp_path / "ledger.db")
    write(settings, an_entity("gone", name="Unmistakable"), an_entity("stays", name="Remaining"))
    with ledger(settings) as serving:
        key = run(tmp_path, "keys", "create", "R", "--scope", "redact").stdout.strip()
        body = {"kind": "entity", "id": "gone", "basis": "error", "reason": "A test."}
        gone = httpx.post(f"{serving.url}/v1/redactions", json=body, headers={"Authorization": f"Bearer {key}"})
        assert gone.status_code == 201, gone.text
        assert run(tmp_path, "backup", "copy.db", "--check").exit_code == 0
    held = (tmp_path / "copy.db").read_bytes()
    assert b"Unmistakable" not in held
    assert b"Remaining" in held


def test_a_damaged_ledger_leaves_no_checked_backup(tmp_path):
    settings = begun(tmp_path / "ledger.db")
    write(settings, *ground())
    with contextlib.closing(Database(settings)) as database:
        database.access().run("UPDATE agreement SET state = 'agreed'")
        database.access().run("UPDATE revision SET position = 99 WHERE position = 3")
    result = run(tmp_path, "backup", "copy.db", "--check")
    assert result.exit_code == 1
    assert "the copy is not kept" in result.stderr
    assert not [path for path in tmp_path.iterdir() if "copy" in path.name]


def test_a_full_disk_leaves_nothing_of_a_backup(tmp_path):
    settings = begun(tmp_path / "ledger.db")
    size = settings.sqlite_path.stat().st_size
    program = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size // 2}, {resource.RLIM_INFINITY})); from api.__main__ import main; main()"
    before = sorted(tmp_path.iterdir())
    with started(settings, "-c", program, "backup", str(tmp_path / "copy.db")) as process:
        out, complaint = process.communicate(timeout=60)
    assert (process.returncode, out, len(complaint.splitlines())) == (1, "", 1), complaint
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_on_postgresql_the_line_that_copies_is_told_without_the_password(settings, tmp_path):
    with contextlib.closing(Database(settings)) as database:
        genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    url = make_url(settings.database_url)
    given = url.set(password=SECRET).render_as_string(hide_password=False)
    line = said(run(tmp_path, "backup", "copy of it.dump", LEDGER_DATABASE_URL=given))
    assert "pg_dump --format=custom --file='copy of it.dump' " in line
    assert f"/{url.database}" in line
    assert SECRET not in line
    assert not (tmp_path / "copy of it.dump").exists()


# Logs.


def test_no_secret_reaches_the_log(tmp_path):
    settings = Settings(database_url=url_of(tmp_path / "ledger.db"), signing_key=tmp_path / "ledger.key")
    with ledger(settings, LEDGER_LOG_LEVEL="debug") as serving:
        key = serving.client.headers["Authorization"].partition(" ")[2]
        secret = key.split("_", 2)[2]
        for path in (f"/v1/claims/{key}", f"/{key}", f"/v1/{key}/x?q={key}", f"/v1/claims/{'x' * 470}/{key}"):
            answer = serving.client.get(path, headers={"X-Request-Id": key})
            assert secret not in answer.text
            assert secret not in answer.headers["x-request-id"]
        serving.client.get("/v1/claims", headers={"Authorization": f"Bearer {key}x", "Idempotency-Key": key})
        serving.client.post("/v1/claims", json={"id": key, key: key}, headers={"Idempotency-Key": key})
        log = serving.end()
    paths = [
        line["path"]
        for line in map(json.loads, filter(lambda line: line.startswith("{"), log.splitlines()))
        if "path" in line
    ]
    assert f"/v1/claims/dl_{key.split('_')[1]}_..." in paths
    assert secret not in log
