"""How SQLite's triggers refuse changes to history."""

from collections.abc import Iterator

from api.ledger.storage.protection import COVERED, Protection
from api.ledger.storage.reads import Reads

_COVERED = (
    f"{COVERED}json_extract(redaction.entry, '$.redacts.record') = target.record"
    " AND target.revision BETWEEN json_extract(redaction.entry, '$.redacts.first')"
    " AND json_extract(redaction.entry, '$.redacts.last')"
)
# REPLACE deletes the row that is in its way without a word to the triggers, so there must be none.
_SAME_ROW = {
    "event": "EXISTS (SELECT 1 FROM event WHERE position = NEW.position)"
    " OR EXISTS (SELECT 1 FROM event WHERE recorded_at = NEW.recorded_at)",
    "node": "EXISTS (SELECT 1 FROM node WHERE level = NEW.level AND number = NEW.number)",
    "payload": "EXISTS (SELECT 1 FROM payload WHERE position = NEW.position)",
}


def protection(access: Reads) -> Protection:
    """Look at the triggers."""
    found = access.rows("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    return Protection(dict(found), dict(_made()))


def _made() -> Iterator[tuple[str, str]]:
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
    yield name, f"CREATE TRIGGER {name} BEFORE DELETE ON payload WHEN NOT EXISTS ({_COVERED}) {refusal}"
