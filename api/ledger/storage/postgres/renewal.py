"""Tables made beside the old ones, with all that leads to them and protects them, to take their place.

PostgreSQL would keep what is deleted among the new rows of a table, with its entries in every index, and each new row would
have to look past them. What tables hold is not known here.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from api.domain.errors import Unavailable
from api.ledger.storage.access import Access

APART = "ledger_anew"
# Shorter than the server's `deadlock_timeout`: where a reader and this wait for each other, this one gives way first.
_PATIENCE, _PAUSE, _TRIES = "200ms", 0.1, 200
# Whether a table is this role's own, and nobody was granted anything, or built or set anything on it, that would be lost.
# Triggers may be taken along.
_IS_PLAIN = """
    SELECT c.relacl IS NULL AND c.reloptions IS NULL AND c.reltablespace = 0 AND c.relreplident = 'd'
        AND NOT c.relrowsecurity AND c.relpersistence = 'p' AND pg_has_role(c.relowner, 'USAGE')
        AND has_database_privilege(current_database(), 'CREATE') AND has_schema_privilege(current_schema(), 'CREATE')
        AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.refobjid = c.oid AND d.refclassid = 'pg_class'::regclass
            AND d.classid NOT IN ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_type'::regclass)
            AND NOT (d.classid = 'pg_trigger'::regclass AND CAST(? AS boolean)))
        AND NOT EXISTS (SELECT 1 FROM pg_constraint f WHERE f.contype = 'f' AND c.oid IN (f.conrelid, f.confrelid))
        AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent))
        AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid
            AND (a.attacl IS NOT NULL OR a.attoptions IS NOT NULL))
        AND NOT EXISTS (SELECT 1 FROM pg_publication_tables p
            WHERE p.schemaname = current_schema() AND p.tablename = c.relname)
    FROM pg_class c WHERE c.oid = to_regclass(?)"""
_CONSTRAINTS = """
    SELECT 'ADD CONSTRAINT ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE
    conrelid = to_regclass(?) AND contype IN ('p', 'u')"""
_INDEXES = """
    SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i WHERE i.indrelid = to_regclass(?)
        AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u'))"""
_TRIGGERS = """
    SELECT pg_get_triggerdef(oid), quote_ident(tgname), tgenabled::text FROM pg_trigger
    WHERE tgrelid = to_regclass(?) AND NOT tgisinternal"""
# When a trigger fires, where that is not how it was made.
_FIRES = {"A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "D": "DISABLE"}


@dataclass(frozen=True, slots=True)
class Anew:
    """A new table beside the old one. Its keys, indexes and triggers are still to be made, by these statements."""

    table: str
    schema: str
    keys: tuple[str, ...]
    indexes: tuple[str, ...]
    triggers: tuple[str, ...]

    @property
    def old(self) -> str:
        return f"{self.schema}.{self.table}"

    @property
    def new(self) -> str:
        return f"{APART}.{self.table}"


def clear_away(access: Access) -> None:
    """Drop what was made anew and did not take its place."""
    access.run(f"DROP SCHEMA IF EXISTS {APART} CASCADE")


def is_replaceable(access: Access, table: str, *, with_triggers: bool = False) -> bool:
    """Say whether nothing is lost where a new table takes a table's place, or nothing but triggers, if those are taken along."""
    return access.rows(_IS_PLAIN, (with_triggers, table)) == [(True,)]


def make_beside(access: Access, table: str) -> Anew:
    """Make a table like one that is there, without rows and whatever leads to them."""
    [(schema,)] = access.rows("SELECT quote_ident(current_schema())")
    anew = Anew(table, schema, (), (), ())
    access.run(f"CREATE TABLE {anew.new} (LIKE {anew.old} INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMPRESSION)")
    keys = [f"ALTER TABLE {anew.new} {constraint}" for (constraint,) in access.rows(_CONSTRAINTS, (table,))]
    indexes = [_moved(anew, sql, " USING ") for (sql,) in access.rows(_INDEXES, (table,))]
    triggers = [
        statement
        for sql, name, fires in access.rows(_TRIGGERS, (table,))
        for statement in (
            _moved(anew, sql, " "),
            f"ALTER TABLE {anew.new} {_FIRES.get(fires, 'ENABLE')} TRIGGER {name}",
        )
    ]
    return Anew(table, schema, tuple(keys), tuple(indexes), tuple(triggers))


def _moved(anew: Anew, sql: str, after: str) -> str:
    """Let a statement be about the new table that was about the old one."""
    return sql.replace(f" ON {anew.old}{after}", f" ON {anew.new}{after}", 1)


def put_in_place(access: Access, made: Sequence[Anew]) -> None:
    """Put new tables in the place of the old ones, which are locked, with what protects them."""
    for sql in [sql for each in made for sql in each.triggers]:
        access.run(sql)
    access.run(f"DROP TABLE {', '.join(each.old for each in made)}")
    for each in made:
        access.run(f"ALTER TABLE {each.new} SET SCHEMA {each.schema}")


def lock_against_all(access: Access, tables: Sequence[str]) -> None:
    """Lock tables against readers too, until the transaction ends. Raises Unavailable where they are read for too long."""
    for _ in range(_TRIES):
        access.run("SAVEPOINT unlocked")
        access.run(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
        try:
            access.run(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        except psycopg.errors.LockNotAvailable:
            access.run("ROLLBACK TO unlocked")
            time.sleep(_PAUSE)
        else:
            return
    raise Unavailable("somebody has been reading the projections for too long; nothing was changed")
