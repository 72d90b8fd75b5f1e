"""The database itself refuses changes to history, whoever connects to it and by whatever statement."""

import pytest

from api.ledger.storage.faults import DRIVER_ERRORS
from tests.support.auditor import audit
from tests.support.builders import ground, retract, revise
from tests.support.databases import is_sqlite

UPDATES = {
    "event": ("entry = entry", "actor = NULL", "position = position + 1000", "recorded_at = recorded_at - 1"),
    "payload": ("payload = payload", "salt = salt", "position = position + 1000"),
    "node": ("hash = hash", "number = number + 1000"),
}
KEYS = {"event": "position", "payload": "position", "node": "level, number"}


@pytest.fixture
def access(writing):
    writing.append(*ground(), revise("entity", "parler", name="Parler LLC"), retract("source", "paper"))
    return writing.database.access()


def _all(access):
    return {table: access.rows(f"SELECT * FROM {table} ORDER BY {key}") for table, key in KEYS.items()}


def _refused(access, statement, parameters=()):
    before = _all(access)
    with pytest.raises(DRIVER_ERRORS) as refusal:
        access.run(statement, parameters)
    assert _all(access) == before, statement
    return str(refusal.value)


@pytest.mark.parametrize("table", UPDATES)
def test_no_row_of_the_log_is_updated_or_deleted(access, table):
    for change in UPDATES[table]:
        assert f"{table} is append-only" in _refused(access, f"UPDATE {table} SET {change}")
    message = "payload is removed only by a redaction" if table == "payload" else f"{table} is append-only"
    assert message in _refused(access, f"DELETE FROM {table}")
    first = "number = 0" if table == "node" else "position = 1"
    assert message in _refused(access, f"DELETE FROM {table} WHERE {first}")


@pytest.mark.parametrize("table", UPDATES)
def test_no_row_of_the_log_is_replaced(access, table):
    columns = len(access.rows(f"SELECT * FROM {table}")[0])
    rows = access.rows(f"SELECT * FROM {table} ORDER BY {KEYS[table]}")
    marks = ", ".join("?" * columns)
    for row in rows:
        if is_sqlite(access):
            _refused(access, f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)
            _refused(access, f"REPLACE INTO {table} VALUES ({marks})", row)
        key = KEYS[table]
        upsert = f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET"
        _refused(
            access, f"{upsert} {'hash = excluded.hash' if table == 'node' else 'position = excluded.position'}", row
        )


def test_no_event_is_replaced_through_its_other_unique_column(access):
    if not is_sqlite(access):
        return  # PostgreSQL's upserts are updates, refused above.
    row = list(access.rows("SELECT * FROM event WHERE position = 2")[0])
    names = [each[1] for each in access.rows("PRAGMA table_info(event)")]
    row[names.index("position")] = 1000
    _refused(access, f"INSERT OR REPLACE INTO event VALUES ({', '.join('?' * len(row))})", row)


@pytest.mark.parametrize("table", UPDATES)
def test_the_log_is_not_truncated(access, table):
    if is_sqlite(access):
        return  # SQLite has no TRUNCATE; a DELETE without WHERE fires the triggers, see above.
    for statement in (f"TRUNCATE {table}", f"TRUNCATE {table} CASCADE", "TRUNCATE event, payload, node"):
        assert "append-only" in _refused(access, statement)


def test_the_triggers_hold_in_a_session_that_plays_a_replica(access):
    if is_sqlite(access):
        return
    access.run("SET session_replication_role = replica")
    for table in UPDATES:
        _refused(access, f"DELETE FROM {table}")
        _refused(access, f"TRUNCATE {table}")
    access.run("RESET session_replication_role")


def test_an_event_that_only_claims_to_redact_frees_no_later_payload(access):
    """A redaction covers what came before it, in the record and range that it names."""
    record = access.rows("SELECT record FROM event WHERE position = 2")[0][0]
    entry = b'{"redacts":{"record":"%s","first":1,"last":1}}' % record.encode()
    columns = "position, entry, leaf_hash, type, kind, record, revision, recorded_at, actor"
    row = (1000, entry, b"", "redacted", "redaction", "r", 1, 2**60, None)
    access.run("BEGIN")
    access.run(f"INSERT INTO event ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    access.run("DELETE FROM payload WHERE position = 2")
    assert access.row("SELECT 1 FROM payload WHERE position = 2") is None
    with pytest.raises(DRIVER_ERRORS):
        # The second revision of the same record, at position 5, is outside the range.
        access.run("DELETE FROM payload WHERE position = 5")
    access.run("ROLLBACK")
    audit(access)


def test_every_trigger_of_the_migrations_is_known_and_missed_where_it_is_gone(access):
    assert access.protection().missing == []
    named = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    if not is_sqlite(access):
        named = (
            "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal"
        )
    triggers = access.rows(named)
    assert len(triggers) >= 7
    for name, table in triggers:
        access.run("BEGIN")
        access.run(f"DROP TRIGGER {name}" if is_sqlite(access) else f"DROP TRIGGER {name} ON {table}")
        assert access.protection().missing == [name]
        access.run("ROLLBACK")


def test_a_trigger_that_refuses_nothing_or_is_switched_off_protects_nothing(access):
    toothless = (
        ["DROP TRIGGER event_no_update", "CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN SELECT 1; END"]
        if is_sqlite(access)
        else ["ALTER TABLE event DISABLE TRIGGER event_append_only"]
    )
    access.run("BEGIN")
    for statement in toothless:
        access.run(statement)
    assert len(access.protection().missing) == 1
    access.run("ROLLBACK")
    if not is_sqlite(access):
        access.run("BEGIN")
        access.run(
            "CREATE OR REPLACE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RETURN NEW; END'"
        )
        assert len(access.protection().missing) == 6
        access.run("ROLLBACK")
