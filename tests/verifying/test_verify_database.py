"""`verify` on a database: what was removed, moved, doubled, forked or rolled back is told from what was lawfully redacted."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from api.__main__ import main
from api.domain.log import checkpoint, event
from api.domain.log.merkle import Frontier
from api.ledger.signing.checkpoints import kept_path
from api.ledger.storage.database import Database
from api.settings import Settings
from api.verifying.findings import Finding
from api.verifying.verify import Doubts, verify_database
from tests.support.builders import an_entity
from tests.support.databases import is_sqlite
from tests.support.served import DATABASES, migrated, serve
from tests.tampering import Vandal, settings, write, written

__all__ = ["settings", "written"]


@pytest.fixture
def stored(settings: Settings) -> Iterator[Vandal]:
    """Somebody who changes a ledger of 23 events that nobody serves."""
    database = Database(settings)
    access = database.connect()
    yield Vandal(access)
    access.close()
    database.close()


def found(settings: Settings, doubts: Doubts | None = None) -> list[Finding]:
    database = Database(settings)
    told: list[Finding] = []
    verify_database(database, kept_path(settings.signing_key_path), told.append, lambda *_: None, doubts)
    database.close()
    return told


def positions(findings: list[Finding]) -> set[int | None]:
    return {finding.position for finding in findings}


def run(settings: Settings, *words: str) -> Result:
    environment = {"LEDGER_DATABASE_URL": settings.database_url, "LEDGER_SIGNING_KEY": str(settings.signing_key_path)}
    return CliRunner().invoke(main, ["verify", *words], env=environment)


def test_a_sound_ledger_says_so_and_is_not_changed(settings: Settings, stored: Vandal) -> None:
    before = stored.rows("SELECT * FROM head")
    result = run(settings)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("sound: 23 events, 0 of them redacted;")
    assert "signed up to position 23" in result.stdout
    assert stored.rows("SELECT * FROM head") == before


@pytest.mark.parametrize(
    ("statements", "place", "what"),
    [
        (["DELETE FROM event WHERE position = 9"], 9, "no event is there"),
        (["DELETE FROM event WHERE position BETWEEN 9 AND 12"], 9, "nor at any up to 12"),
        (["DELETE FROM event WHERE position = 23", "DELETE FROM payload WHERE position = 23"], 22, "the head says position 23"),
        (["DELETE FROM payload WHERE position = 9"], 9, "no later event redacts it"),
        (["DELETE FROM node WHERE level = 2 AND number = 1"], 5, "is missing"),
        (["INSERT INTO node SELECT level, 40, hash FROM node WHERE level = 1 AND number = 1"], None, "the tree has none there"),
        (["INSERT INTO node SELECT 0, number, hash FROM node WHERE level = 1 AND number = 1"], None, "the tree has none there"),
        (["INSERT INTO payload SELECT 99, salt, payload FROM payload WHERE position = 9"], 99, "without an event"),
        (["UPDATE head SET position = 22"], 23, "the head says position 22"),
        (["DELETE FROM record WHERE first_position = 9"], 9, "a row of record is missing"),
        (["DELETE FROM feed WHERE position = 9"], 9, "a row of feed is missing"),
        (["INSERT INTO feed SELECT 99, item FROM feed WHERE position = 9"], 99, "the log does not call for"),
        (["DELETE FROM term WHERE since = 9"], 9, "a row of term is missing"),
        (["INSERT INTO agreement VALUES (9, 9, 12, 'open')"], 9, "a row of agreement is there"),
        (["UPDATE head SET rules = rules + 1"], None, "under rules"),
        (["UPDATE head SET projected = projected + 1"], None, "of version"),
        # As the version before left it, which had no such number.
        (["ALTER TABLE head DROP COLUMN projected", "UPDATE alembic_version SET version_num = '0003'"], None, "of version 0"),
        (["UPDATE head SET purged = 99"], 23, "the head says that redactions up to position 99 were purged"),
        (["UPDATE head SET purged = -1"], 23, "the head says that redactions up to position -1 were purged"),
        (["INSERT INTO head (one, position, recorded_at, frontier, is_seeded, rules) SELECT 2, position, recorded_at, frontier, is_seeded, rules FROM head"], None, "the head has 2 rows"),
    ],
)  # fmt: skip
def test_what_is_removed_or_added_is_named(
    settings: Settings, stored: Vandal, statements: list[str], place: int | None, what: str
) -> None:
    for statement in statements:
        stored.run(statement)
    findings = found(settings)
    assert [each for each in findings if each.position == place and what in each.what], findings
    assert run(settings).exit_code == 1


def test_two_events_that_change_places_are_found_at_both(settings: Settings, stored: Vandal) -> None:
    for statement in (
        "position = -9 WHERE position = 9",
        "position = 9 WHERE position = 10",
        "position = 10 WHERE position = -9",
    ):
        stored.run(f"UPDATE event SET {statement}")
        stored.run(f"UPDATE payload SET {statement}")
    findings = found(settings)
    assert {9, 10} <= positions(findings)
    assert [each for each in findings if "the entry is that of another position" in each.what]


def test_an_event_that_stands_twice_is_found(settings: Settings, stored: Vandal) -> None:
    """One event is written over the next: each column is in order by itself, and the number of events too."""
    columns = stored.row("SELECT entry, leaf_hash, type, kind, record, revision, actor FROM event WHERE position = 9")
    said = stored.row("SELECT salt, payload FROM payload WHERE position = 9")
    assert columns is not None
    assert said is not None
    sql = "UPDATE event SET entry = ?, leaf_hash = ?, type = ?, kind = ?, record = ?, revision = ?, actor = ? WHERE position = 10"
    stored.run(sql, columns)
    stored.run("UPDATE payload SET salt = ?, payload = ? WHERE position = 10", said)
    findings = found(settings)
    assert [each for each in findings if each.position == 10 and "another position" in each.what]
    assert [
        each for each in findings if each.position == 10 and "revision 1 of its record follows revision 1" in each.what
    ]


def test_a_fork_of_the_same_size_is_found_by_what_was_signed(settings: Settings, stored: Vandal) -> None:
    """The last event says something else, and all that is derived from it agrees: only the signature knows better."""
    fork(stored, 23)
    findings = found(settings)
    assert [each.what for each in findings if "another root hash than the log's first 23 events" in each.what]
    before = [each for each in findings if each.position is None or each.position == 23]
    assert before == findings


def fork(access: Vandal, size: int) -> None:
    """Write another last event, in all the tables of the log and the head, as a forger would."""
    raw, said = access.rows(
        "SELECT entry, payload FROM event e JOIN payload p ON p.position = e.position ORDER BY e.position"
    )[-1]
    payload = event.payload("Another reason", json.loads(bytes(said))["state"])
    salt = b"\x01" * 32
    told = {**json.loads(bytes(raw)), "payload_digest": event.payload_digest(salt, payload)}
    entry = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    event.decode(entry)
    leaf = event.leaf_hash(entry)
    leaves = [bytes(row[0]) for row in access.rows("SELECT leaf_hash FROM event ORDER BY position")]
    frontier, nodes = Frontier().append([*leaves[:-1], leaf])
    access.run("UPDATE event SET entry = ?, leaf_hash = ? WHERE position = ?", (entry, leaf, size))
    access.run("UPDATE payload SET salt = ?, payload = ? WHERE position = ?", (salt, payload, size))
    for level, number, node in nodes:
        access.run("UPDATE node SET hash = ? WHERE level = ? AND number = ?", (node, level, number))
    access.run("UPDATE head SET frontier = ?", (frontier.to_bytes(),))


def test_a_log_that_is_shorter_than_what_was_signed_is_found(settings: Settings, stored: Vandal) -> None:
    """The database of another, younger ledger under the same key would look sound without the note beside the key."""
    key = checkpoint.SigningKey.decode(settings.signing_key_path.read_text().strip())
    note = checkpoint.sign(key.name, 40, b"\x02" * 32, key)
    kept_path(settings.signing_key_path).write_text(note)
    assert [str(each) for each in found(settings)] == [
        "what was signed last signs 40 events, and the log ends at position 23"
    ]


@pytest.mark.parametrize("note", ["", "\n", "nothing", "a\n23\n", "a\n99999999999999999999999\nx\n\n"])
def test_a_note_that_is_none_is_found(settings: Settings, stored: Vandal, note: str) -> None:
    kept_path(settings.signing_key_path).write_text(note)
    assert [each for each in found(settings) if "signed last is damaged" in each.what]


def test_a_note_that_is_gone_though_the_log_was_signed_is_found(settings: Settings, stored: Vandal) -> None:
    kept_path(settings.signing_key_path).unlink()
    assert [str(each) for each in found(settings)] == [
        "what was signed last is not kept beside the key any more, though the log was signed"
    ]


def test_a_copy_without_key_and_note_is_sound_and_says_what_it_lacks(settings: Settings, stored: Vandal) -> None:
    kept_path(settings.signing_key_path).unlink()
    settings.signing_key_path.unlink()
    result = run(settings)
    assert result.exit_code == 0, result.output
    assert "what was signed last, as neither key nor note is beside the database" in result.stdout.splitlines()[-1]


def test_what_lies_outside_the_log_is_named(settings: Settings, stored: Vandal) -> None:
    last = run(settings).stdout.splitlines()[-1]
    assert (
        last
        == "not looked at: actors' published names, API keys, receipts of requests and names of files, as they are not in the log"
    )


@pytest.mark.parametrize("table", ["event", "payload", "node"])
def test_a_trigger_that_does_not_stand_is_found(settings: Settings, stored: Vandal, table: str) -> None:
    database = Database(settings)
    access = database.connect()
    if is_sqlite(access):
        names = [f"{table}_no_update", f"{table}_no_delete", f"{table}_no_replace"]
        access.run(f"DROP TRIGGER {table}_no_delete")
        access.run(f"DROP TRIGGER {table}_no_update")
        access.run(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} BEGIN SELECT 1; END")
        gone = names[:2]
    else:
        gone = [f"{table}_append_only", f"{table}_no_truncate"]
        access.run(f"DROP TRIGGER {gone[0]} ON {table}")
        # It would not fire where a session plays a replica.
        access.run(f"ALTER TABLE {table} ENABLE TRIGGER {gone[1]}")
    told = {str(each) for each in found(settings)}
    assert told == {f"the trigger {name} does not stand as the migrations made it" for name in gone}
    access.close()
    database.close()


def test_a_function_that_no_longer_refuses_is_found(settings: Settings, stored: Vandal) -> None:
    if settings.is_sqlite:
        return
    stored.access.run(
        "CREATE OR REPLACE FUNCTION ledger_refuse_unredacted() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN OLD; END $$"
    )
    assert [str(each) for each in found(settings)] == [
        "the trigger payload_no_delete does not stand as the migrations made it"
    ]


def test_a_trigger_that_nobody_made_for_the_ledger_is_found(settings: Settings, stored: Vandal) -> None:
    """It could change, or throw away, what is about to be written."""
    if is_sqlite(stored.access):
        stored.access.run("CREATE TRIGGER guest BEFORE INSERT ON event BEGIN SELECT 1; END")
    else:
        stored.access.run(
            "CREATE TRIGGER guest BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change()"
        )
    assert [str(each) for each in found(settings)] == ["the trigger guest is none that the migrations made"]


def test_an_earlier_checkpoint_must_be_a_prefix(settings: Settings, stored: Vandal, tmp_path: Path) -> None:
    key = checkpoint.SigningKey.decode(settings.signing_key_path.read_text().strip())
    leaves = [bytes(row[0]) for row in stored.rows("SELECT leaf_hash FROM event ORDER BY position LIMIT 7")]
    root = Frontier().append(leaves)[0].root()
    earlier = tmp_path / "earlier.checkpoint"
    earlier.write_text(checkpoint.sign(key.name, 7, root, key))
    assert run(settings, "--since", str(earlier)).exit_code == 0
    assert run(settings, "--since", str(earlier), "--vkey", key.vkey).exit_code == 0
    earlier.write_text(checkpoint.sign(key.name, 7, b"\x03" * 32, key))
    refused = run(settings, "--since", str(earlier))
    assert refused.exit_code == 1
    assert "the earlier checkpoint signs another root hash" in refused.stdout
    other = checkpoint.SigningKey(key.name, b"\x04" * 32)
    assert run(settings, "--vkey", other.vkey).exit_code == 1
    assert run(settings, "--vkey", "nonsense").exit_code == 1


def test_the_lines_are_bounded_and_the_rest_is_counted(settings: Settings, stored: Vandal) -> None:
    stored.run("UPDATE feed SET item = ?", (b"{}",))
    result = run(settings, "--most", "3")
    assert result.stdout.splitlines()[:4] == [
        *(f"position {place}: a row of feed differs from what the log calls for, in: item" for place in (1, 2, 3)),
        "and 20 more",
    ]
    assert result.stdout.splitlines()[-2] == "damaged: 23 differences found in 23 events"


def test_what_is_said_repeats_nothing_that_is_stored(settings: Settings, stored: Vandal) -> None:
    stored.run("UPDATE feed SET item = ? WHERE position = 9", (b"secret words",))
    stored.run("UPDATE record SET id = 'secret' WHERE first_position = 9")
    assert "secret" not in run(settings).output


@pytest.mark.parametrize("kind", DATABASES)
def test_an_empty_database_is_neither_sound_nor_damaged(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    with migrated(request, kind, tmp_path) as fresh:
        empty = run(fresh)
    assert empty.exit_code == 2
    assert "there is no ledger at" in empty.stderr


def test_what_cannot_be_checked_is_neither_sound_nor_damaged(settings: Settings, tmp_path: Path) -> None:
    nowhere = run(settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'nothing.db'}"}))
    assert nowhere.exit_code == 2
    assert not (tmp_path / "nothing.db").exists()
    away = run(settings.model_copy(update={"database_url": "postgresql://nobody:hush@127.0.0.1:1/nothing"}))
    assert away.exit_code == 2
    assert "hush" not in away.output


def test_a_file_whose_pages_are_broken_is_damaged(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "ledger.db")
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'ledger.db'}")
    with serve(settings) as service:
        write(service)
    Database(settings).connect().run("PRAGMA wal_checkpoint(TRUNCATE)")
    raw = bytearray((tmp_path / "ledger.db").read_bytes())
    for start in range(4096, len(raw), 4096):
        raw[start : start + 64] = bytes(64)
    (tmp_path / "ledger.db").write_bytes(raw)
    broken = run(settings)
    assert broken.exit_code == 1
    assert "the database" in broken.stdout
    (tmp_path / "ledger.db").write_bytes(b"\xff" * 20_000)
    assert run(settings).exit_code == 1


def test_a_record_that_the_index_no_longer_leads_to_is_found(tmp_path: Path, sqlite_template: Path) -> None:
    """FTS5 keeps nothing but the index; who takes entries out of it hides a record from searches."""
    shutil.copy(sqlite_template, tmp_path / "ledger.db")
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'ledger.db'}")
    with serve(settings) as service:
        write(service)
    database = Database(settings)
    access = database.connect()
    words = dict(access.words.stored())[9]
    delete = "INSERT INTO search_index (search_index, rowid, tokens) VALUES ('delete', 9, ?)"
    access.run(delete, (" ".join(words),))
    access.close()
    database.close()
    told = found(settings)
    assert {each.what for each in told} == {"the full-text index misses a word"}
    assert positions(told) == {9}


def test_a_ledger_is_verified_while_it_is_written(settings: Settings) -> None:
    """One state is looked at: what is appended and signed meanwhile is neither missing nor too much."""
    with serve(settings) as service:
        counted: list[Any] = []

        def append(*_: object) -> None:
            if len(counted) < 5:
                counted.append(service.append(an_entity()))
                assert service.get("/tlog/checkpoint").status_code == 200

        told: list[Finding] = []
        database = Database(settings)
        verdict = verify_database(database, kept_path(settings.signing_key_path), told.append, append)
        database.close()
        assert told == []
        assert verdict.size == 23
        assert service.head() > 23


def test_a_redaction_is_lawful_and_more_than_it_covers_is_not(settings: Settings) -> None:
    with serve(settings) as service:
        answer = service.post(
            "/v1/redactions",
            {"kind": "claim", "id": "said", "first": 1, "last": 1, "basis": "safety", "reason": "A name"},
        )
        assert answer.status_code == 201, answer.text
    result = run(settings)
    assert result.exit_code == 0, result.output
    assert "24 events, 1 of them redacted" in result.stdout
    database = Database(settings)
    access = database.connect()
    vandal = Vandal(access)
    vandal.run("DELETE FROM payload WHERE position = 6")
    assert [str(each) for each in found(settings)][:1] == [
        "position 6: the payload is missing, and no later event redacts it"
    ]
    vandal.run("INSERT INTO payload SELECT 5, salt, payload FROM payload WHERE position = 7")
    assert [each for each in found(settings) if each.position == 5]
    access.close()
    database.close()
