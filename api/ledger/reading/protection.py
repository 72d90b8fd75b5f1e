"""The triggers by which the database itself refuses changes to history: how the migrations left them, held to what is there.

A trigger that is missing, switched off, or says something else protects nothing; a test holds this list to the migrations.
"""

from collections.abc import Iterator

from api.ledger.storage.reads import Reads

_COVERED = (
    "SELECT 1 FROM event AS redaction JOIN event AS target ON target.position = OLD.position"
    " WHERE redaction.type = 'redacted' AND redaction.position > (SELECT position FROM head)"
    " AND target.kind NOT IN ('redaction', 'ledger') AND "
)
_SQLITE_COVERED = (
    f"{_COVERED}json_extract(redaction.entry, '$.redacts.record') = target.record"
    " AND target.revision BETWEEN json_extract(redaction.entry, '$.redacts.first')"
    " AND json_extract(redaction.entry, '$.redacts.last')"
)
_POSTGRESQL_COVERED = (
    f"{_COVERED}convert_from(redaction.entry, 'UTF8')::json #>> '{{redacts,record}}' = target.record"
    " AND target.revision BETWEEN (convert_from(redaction.entry, 'UTF8')::json #>> '{redacts,first}')::int"
    " AND (convert_from(redaction.entry, 'UTF8')::json #>> '{redacts,last}')::int"
)
_SAME_ROW = {
    "event": "EXISTS (SELECT 1 FROM event WHERE position = NEW.position)"
    " OR EXISTS (SELECT 1 FROM event WHERE recorded_at = NEW.recorded_at)",
    "node": "EXISTS (SELECT 1 FROM node WHERE level = NEW.level AND number = NEW.number)",
    "payload": "EXISTS (SELECT 1 FROM payload WHERE position = NEW.position)",
}
_REFUSE_CHANGE = " BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END "
_REFUSE_UNREDACTED = (
    f" BEGIN IF NOT EXISTS ({_POSTGRESQL_COVERED}) THEN RAISE EXCEPTION 'payload is removed only by a redaction'"
    " USING ERRCODE = 'restrict_violation'; END IF; RETURN OLD; END "
)
_ALWAYS = "A"
_TRIGGERS_OF_POSTGRESQL = """
    SELECT t.tgname, t.tgenabled::text || ' ' || pg_get_triggerdef(t.oid, true) || p.prosrc
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid IN (to_regclass('event'), to_regclass('node'), to_regclass('payload')) AND NOT t.tgisinternal"""


def unprotected(access: Reads) -> list[str]:
    """Name the triggers that are not as the migrations made them, in alphabetical order; none where all stand."""
    stands, wanted = _found(access), _wanted(access)
    return sorted(name for name, definition in wanted.items() if stands.get(name) != definition)


def added(access: Reads) -> list[str]:
    """Name the triggers on the log that the migrations did not make: they may change or drop what is to be written."""
    return sorted(_found(access).keys() - _wanted(access).keys())


def _found(access: Reads) -> dict[str, str]:
    sqlite = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    return dict(access.rows(sqlite if access.is_sqlite else _TRIGGERS_OF_POSTGRESQL))


def _wanted(access: Reads) -> dict[str, str]:
    return dict(_of_sqlite() if access.is_sqlite else _of_postgresql())


def _of_sqlite() -> Iterator[tuple[str, str]]:
    for table, clash in _SAME_ROW.items():
        for verb in ("UPDATE",) if table == "payload" else ("UPDATE", "DELETE"):
            name = f"{table}_no_{verb.lower()}"
            refusal = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            yield name, f"CREATE TRIGGER {name} BEFORE {verb} ON {table} {refusal}"
        name = f"{table}_no_replace"
        refusal = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: the row is there already'); END"
        yield name, f"CREATE TRIGGER {name} BEFORE INSERT ON {table} WHEN {clash} {refusal}"
    refusal = "BEGIN SELECT RAISE(ABORT, 'payload is removed only by a redaction'); END"
    name = "payload_no_delete"
    yield name, f"CREATE TRIGGER {name} BEFORE DELETE ON payload WHEN NOT EXISTS ({_SQLITE_COVERED}) {refusal}"


def _of_postgresql() -> Iterator[tuple[str, str]]:
    for table in _SAME_ROW:
        verbs = "UPDATE" if table == "payload" else "DELETE OR UPDATE"
        yield _always(f"{table}_append_only", f"{verbs} ON {table} FOR EACH ROW", "ledger_refuse_change")
        yield _always(f"{table}_no_truncate", f"TRUNCATE ON {table} FOR EACH STATEMENT", "ledger_refuse_change")
    yield _always("payload_no_delete", "DELETE ON payload FOR EACH ROW", "ledger_refuse_unredacted")


def _always(name: str, when: str, function: str) -> tuple[str, str]:
    """Spell a trigger that fires even where `session_replication_role` switches others off, and what it runs."""
    body = _REFUSE_CHANGE if function == "ledger_refuse_change" else _REFUSE_UNREDACTED
    return name, f"{_ALWAYS} CREATE TRIGGER {name} BEFORE {when} EXECUTE FUNCTION {function}(){body}"
