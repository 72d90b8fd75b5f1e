"""How PostgreSQL's triggers refuse changes to history."""

from collections.abc import Iterator

from api.ledger.storage.protection import COVERED, Protection
from api.ledger.storage.reads import Reads

_COVERED = (
    f"{COVERED}convert_from(redaction.entry, 'UTF8')::json #>> '{{redacts,record}}' = target.record"
    " AND target.revision BETWEEN (convert_from(redaction.entry, 'UTF8')::json #>> '{redacts,first}')::int"
    " AND (convert_from(redaction.entry, 'UTF8')::json #>> '{redacts,last}')::int"
)
_REFUSE_CHANGE = " BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END "
_REFUSE_UNREDACTED = (
    f" BEGIN IF NOT EXISTS ({_COVERED}) THEN RAISE EXCEPTION 'payload is removed only by a redaction'"
    " USING ERRCODE = 'restrict_violation'; END IF; RETURN OLD; END "
)
# As `pg_trigger.tgenabled` says that a trigger fires even where `session_replication_role` switches others off.
_ALWAYS = "A"
_TRIGGERS = """
    SELECT t.tgname, t.tgenabled::text || ' ' || pg_get_triggerdef(t.oid, true) || p.prosrc
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid IN (to_regclass('event'), to_regclass('node'), to_regclass('payload')) AND NOT t.tgisinternal"""


def protection(access: Reads) -> Protection:
    """Look at the triggers, and at what the functions say that they run."""
    return Protection(dict(access.rows(_TRIGGERS)), dict(_made()))


def _made() -> Iterator[tuple[str, str]]:
    for table in ("event", "node", "payload"):
        verbs = "UPDATE" if table == "payload" else "DELETE OR UPDATE"
        yield _always(f"{table}_append_only", f"{verbs} ON {table} FOR EACH ROW", "ledger_refuse_change")
        yield _always(f"{table}_no_truncate", f"TRUNCATE ON {table} FOR EACH STATEMENT", "ledger_refuse_change")
    yield _always("payload_no_delete", "DELETE ON payload FOR EACH ROW", "ledger_refuse_unredacted")


def _always(name: str, when: str, function: str) -> tuple[str, str]:
    """Spell a trigger that always fires, and what it runs."""
    body = _REFUSE_CHANGE if function == "ledger_refuse_change" else _REFUSE_UNREDACTED
    return name, f"{_ALWAYS} CREATE TRIGGER {name} BEFORE {when} EXECUTE FUNCTION {function}(){body}"
