"""The command line, on a database of its own: keys, imports, counts, locators, rebuilding, and settings refused loudly."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.__main__ import main
from api.ledger.storage.database import Database
from api.ledger.writing import genesis
from api.settings import Settings
from tests.support.auditor import audit
from tests.support.builders import a_source, an_entity, ground, retract
from tests.support.served import serve

NAMES = Settings.model_fields


@dataclass
class Shell:
    """Runs commands as an operator would, in an environment of its own."""

    environment: Mapping[str, str]
    settings: Settings

    def run(self, *words: object, **environment: str) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], env={**self.environment, **environment})

    def out(self, *words: object, **environment: str) -> str:
        result = self.run(*words, **environment)
        assert result.exit_code == 0, result.output
        return result.stdout

    def stats(self) -> dict[str, object]:
        counts: dict[str, object] = json.loads(self.out("stats"))
        return counts


@pytest.fixture
def shell(tmp_path: Path, sqlite_template: Path) -> Shell:
    shutil.copy(sqlite_template, tmp_path / "ledger.db")
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'ledger.db'}")
    database = Database(settings)
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    database.close()
    return Shell({"LEDGER_DATABASE_URL": settings.database_url}, settings)


def _file(folder: Path, name: str, *operations: object) -> Path:
    path = folder / name
    if path.suffix == ".ndjson":
        path.write_text("".join(json.dumps(operation) + "\n" for operation in operations), encoding="utf-8")
    else:
        path.write_text(json.dumps(operations), encoding="utf-8")
    return path


def test_a_key_is_printed_once_and_works(shell: Shell) -> None:
    key = shell.out("keys", "create", "Ana's laptop", "--scope", "write", "--scope", "redact").strip()
    listed = shell.out("keys", "list")
    public, secret = key.split("_")[1], key.split("_", 2)[2]
    assert secret not in listed
    assert f"{public}  valid" in listed
    assert "write redact" in listed
    assert "Ana's laptop" in listed
    with serve(shell.settings) as service:
        written = service.post("/v1/entities", {"type": "other", "name": "X"}, Authorization=f"Bearer {key}")
        assert written.status_code == 201
        assert written.json()["recorded_by"] in listed


def test_a_revoked_key_is_listed_as_such_and_refused(shell: Shell) -> None:
    key = shell.out("keys", "create", "Ana", "--scope", "write").strip()
    shell.out("keys", "revoke", key.split("_")[1])
    assert f"{key.split('_')[1]}  revoked" in shell.out("keys", "list")
    with serve(shell.settings) as service:
        assert service.get("/v1/stats", Authorization=f"Bearer {key}").status_code == 401


def test_revoking_a_key_that_is_not_there_says_so(shell: Shell) -> None:
    result = shell.run("keys", "revoke", "000000000000")
    assert result.exit_code == 1
    assert "key: no key has this id" in result.stderr


def test_a_name_is_public_only_where_the_operator_says_so(shell: Shell) -> None:
    shell.out("keys", "create", "private", "--scope", "write", "--publish-name", "The Archive")
    actor = shell.out("keys", "list").split()[3]
    with serve(shell.settings) as service:
        assert service.get(f"/v1/actors/{actor}").json()["name"] == "The Archive"


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "create", "x"),
        ("keys", "create", "x", "--scope", "everything"),
        ("keys", "create", "--scope", "write"),
        ("keys", "create", " ", "--scope", "write"),
        ("keys", "create", "x" * 201, "--scope", "write"),
        ("keys", "create", "two\nlines", "--scope", "write"),
        ("keys", "create", "x", "--scope", "write", "--publish-name", ""),
        ("serve", "--port", "0"),
        ("import",),
        ("import", "/no/such/file"),
        ("locate", "/no/such/file", "1"),
        ("nonsense",),
    ],
)
def test_wrong_words_are_a_usage_error(shell: Shell, words: tuple[str, ...]) -> None:
    result = shell.run(*words)
    assert result.exit_code == 2
    assert "Usage" in result.stderr


@pytest.mark.parametrize("suffix", [".ndjson", ".json"])
def test_a_file_is_imported_once(shell: Shell, tmp_path: Path, suffix: str) -> None:
    path = _file(tmp_path, f"one{suffix}", *ground())
    assert "3 events written, up to position 4" in shell.out("import", path)
    assert "3 events was in already, up to position 4" in shell.out("import", path)
    assert shell.stats()["events"] == 4


def test_files_are_imported_in_order_each_as_one(shell: Shell, tmp_path: Path) -> None:
    good, bad = (
        _file(tmp_path, "1.ndjson", *ground()),
        _file(tmp_path, "2.ndjson", an_entity("fine"), retract("entity", "nobody", expect=1)),
    )
    result = shell.run("import", good, bad)
    assert result.exit_code == 1
    assert "2.ndjson:2" in result.stderr
    assert shell.stats()["events"] == 4, "the first file is in, nothing of the second"


def test_a_dry_run_says_what_would_happen_and_writes_nothing(shell: Shell, tmp_path: Path) -> None:
    one, two = _file(tmp_path, "1.ndjson", *ground()), _file(tmp_path, "2.ndjson", a_source(derives_from=["paper"]))
    told = shell.out("import", "--dry-run", one, two).splitlines()
    assert told[-1] == "would write 4 events"
    assert [told[0], told[-2]] == [
        "1.ndjson:1: entity parler, revision 1, position 2",
        f"2.ndjson:1: source {json.loads(two.read_text())['id']}, revision 1, position 5",
    ]
    assert shell.stats()["events"] == 1
    refused = shell.run("import", "--dry-run", two)
    assert refused.exit_code == 1
    assert "/body/derives_from/0" in refused.stderr


def test_a_file_that_is_no_batch_is_refused(shell: Shell, tmp_path: Path) -> None:
    for name, text in (("empty.ndjson", ""), ("broken.ndjson", "{"), ("object.json", "{}"), ("latin.ndjson", "\xe9")):
        path = tmp_path / name
        path.write_bytes(text.encode("latin-1"))
        result = shell.run("import", path)
        assert result.exit_code == 1
        assert name in result.stderr
    assert shell.stats()["events"] == 1


def test_imported_events_have_an_actor(shell: Shell, tmp_path: Path) -> None:
    shell.out("import", _file(tmp_path, "1.ndjson", *ground()))
    with serve(shell.settings) as service:
        event = service.get("/v1/events/2").json()
        actor = service.get(f"/v1/actors/{json.loads(event['entry'])['actor']}").json()
    assert actor["name"] == "command line"


def test_counts_are_printed_as_json(shell: Shell, tmp_path: Path) -> None:
    shell.out("import", _file(tmp_path, "1.ndjson", *ground()))
    counts = shell.stats()
    assert (counts["events"], counts["position"]) == (4, 4)
    assert counts.pop("questions_by_origins") == {"0": 1, "1": 0, "2": 0, "3+": 0}
    with serve(shell.settings) as service:
        assert service.get("/v1/stats").json() == counts


def test_rebuilding_gives_the_same_projections(shell: Shell, tmp_path: Path) -> None:
    shell.out("import", _file(tmp_path, "1.ndjson", *ground()))
    assert shell.out("rebuild") == "rebuilt from 4 events\n"
    database = Database(shell.settings)
    audit(database.access())
    database.close()


def test_a_locator_is_that_of_the_folded_paragraph(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "page.txt"
    path.write_text("First.\n\n  \t\nThe  second\u00a0one,\tcafe\u0301. \r\nThird.\n", encoding="utf-8")
    found = json.loads(shell.out("locate", path, "2"))
    assert found == {"paragraph": 2, "sha256": hashlib.sha256("The second one, café.".encode()).hexdigest()}
    assert json.loads(shell.out("locate", path, "3"))["paragraph"] == 3
    beyond = shell.run("locate", path, "4")
    assert beyond.exit_code == 1
    assert "3 paragraphs" in beyond.stderr
    assert shell.run("locate", path, "0").exit_code == 2


def test_a_document_that_is_not_utf_8_is_refused_in_a_line(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9\n")
    result = shell.run("locate", path, "1")
    assert result.exit_code == 1
    assert "UTF-8" in result.stderr


def test_the_openapi_document_is_the_one_that_is_served(shell: Shell, tmp_path: Path) -> None:
    printed = json.loads(shell.out("openapi"))
    shell.out("openapi", "--output", tmp_path / "openapi.json")
    assert json.loads((tmp_path / "openapi.json").read_text(encoding="utf-8")) == printed
    shell.out("stats")
    with serve(shell.settings) as service:
        assert service.get("/openapi.json").json() == printed


def test_migrating_alone_makes_the_tables_and_nothing_else(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'fresh' / 'ledger.db'}"
    shell = Shell({"LEDGER_DATABASE_URL": url}, Settings(database_url=url))
    for _ in range(2):
        shell.out("migrate")
    database = Database(shell.settings)
    assert database.access().rows("SELECT * FROM event") == []
    database.close()


BAD = {
    "LEDGER_DATABASE_URL": ["mysql://localhost/x", "ledger.db", "", "sqlite:///:memory:", "sqlite:///x.db\n"],
    "LEDGER_PUBLIC_READ": ["maybe"],
    "LEDGER_RATE_LIMIT": ["0", "-5", "1,2,3", "many", "off\n"],
    "LEDGER_TRUSTED_PROXIES": ["10.0.0.0/99", "localhost"],
    "LEDGER_MAX_BODY": ["0", "1MB", "-1"],
    "LEDGER_MAX_BATCH": ["1"],
    "LEDGER_MAX_OPERATIONS": ["5001", "0"],
    "LEDGER_MAX_DEPTH": ["7", "201"],
    "LEDGER_READER_THREADS": ["0"],
    "LEDGER_GROUP_SIZE": ["0", "x"],
    "LEDGER_SEED": ["/nowhere", "/etc/passwd", ""],
    "LEDGER_LOG_FORMAT": ["xml"],
    "LEDGER_LOG_LEVEL": ["LOUD"],
    "LEDGER_LOG_ORIGIN": ["with space", "with+plus", "", "abc\n"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_setting_that_is_wrong_is_refused_loudly_by_name(shell: Shell, name: str, value: str) -> None:
    result = shell.run("stats", **{name: value})
    assert result.exit_code == 1
    assert name in result.stderr
    assert "Traceback" not in result.output


def test_a_document_that_cannot_be_written_is_said_in_a_line(shell: Shell, tmp_path: Path) -> None:
    result = shell.run("openapi", "--output", str(tmp_path / "nowhere" / "openapi.json"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_every_wrong_setting_is_named_at_once(shell: Shell) -> None:
    result = shell.run("stats", LEDGER_MAX_BODY="x", LEDGER_LOG_LEVEL="LOUD")
    assert "LEDGER_MAX_BODY" in result.stderr
    assert "LEDGER_LOG_LEVEL" in result.stderr


def test_a_key_or_a_name_of_another_ledger_is_refused(shell: Shell, tmp_path: Path) -> None:
    shell.out("stats")
    other = shell.run("stats", LEDGER_LOG_ORIGIN="another.example")
    assert other.exit_code == 1
    assert "LEDGER_LOG_ORIGIN" in other.stderr
    missing = shell.run("stats", LEDGER_SIGNING_KEY=str(tmp_path / "nowhere.key"))
    assert missing.exit_code == 1
    assert "LEDGER_SIGNING_KEY" in missing.stderr
    (tmp_path / "broken.key").write_text("PRIVATE+KEY+nonsense")
    broken = shell.run("stats", LEDGER_SIGNING_KEY=str(tmp_path / "broken.key"))
    assert broken.exit_code == 1
    assert "LEDGER_SIGNING_KEY" in broken.stderr
    assert "nonsense" not in broken.output


def test_a_database_that_cannot_be_reached_is_said_in_a_line(shell: Shell) -> None:
    for url in ("postgresql+psycopg://nobody:hush@127.0.0.1:1/nothing", "sqlite:////proc/nowhere/ledger.db"):
        result = shell.run("stats", LEDGER_DATABASE_URL=url)
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit), result.exception
        assert "hush" not in result.output


def test_the_signing_key_is_for_its_owner_alone(shell: Shell) -> None:
    shell.out("stats")
    assert shell.settings.signing_key_path.stat().st_mode & 0o777 == 0o600


def test_help_names_every_command_and_the_version_is_told(shell: Shell) -> None:
    text = shell.out("--help")
    for command in ("serve", "migrate", "import", "rebuild", "keys", "stats", "locate", "openapi"):
        assert command in text
        assert shell.run(command, "--help").exit_code == 0
    assert shell.run("--version").exit_code == 0
