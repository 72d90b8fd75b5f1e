"""Tables filled anew beside the old ones, which others go on reading until the new ones take their place.

SQLite's write-ahead log does that by itself. PostgreSQL would keep what is deleted among the new rows, with its entries in
every index, and each new row would have to look past them. What tables hold is not known here.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from api.domain.errors import Unavailable
from api.ledger.database import Access

_APART = "ledger_anew"
# Shorter than the server waits before it looks for those who wait for each other: whoever reads is never its victim.
_PATIENCE, _PAUSE, _TRIES = "200ms", 0.1, 200
# Whether a table is this role's own, and nobody was granted anything, or built anything on it, that would be lost.
_IS_PLAIN = """
    SELECT c.relacl IS NULL AND pg_has_role(c.relowner, 'USAGE')
        AND has_database_privilege(current_database(), 'CREATE')
        AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.refobjid = c.oid AND d.refclassid = 'pg_class'::regclass
            AND d.classid NOT IN ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_type'::regclass))
    FROM pg_class c WHERE c.oid = to_regclass(?)"""
_CONSTRAINTS = """
    SELECT 'ADD CONSTRAINT ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE
    conrelid = to_regclass(?) AND contype IN ('p', 'u')"""
_INDEXES = """
    SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i WHERE i.indrelid = to_regclass(?)
        AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u'))"""


def hold(access: Access, tables: Sequence[str]) -> None:
    """Let nobody replace these tables until the transaction ends: one that sees an older state would find them empty."""
    if not access.is_sqlite:
        access.run(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE")


@contextmanager
def filling_anew(access: Access, tables: Sequence[str], *, sought: Sequence[str]) -> Iterator[None]:
    """Let what is written to these tables in the block be all that they hold after it, inside a transaction.

    Of the tables that are `sought` in meanwhile, every index is there from the first row on; of others what keeps rows
    apart, and the rest is made at the end. Where the tables cannot be replaced they are written as they stand.
    Raises Unavailable where somebody reads them for too long.
    """
    if access.is_sqlite or not all(access.rows(_IS_PLAIN, (table,)) == [(True,)] for table in tables):
        yield
        return
    [(schema,)] = access.rows("SELECT quote_ident(current_schema())")
    access.run(f"CREATE SCHEMA {_APART}")
    late = [statement for table in tables for statement in _make(access, schema, table, is_sought=table in sought)]
    access.run(f"SET LOCAL search_path = {_APART}, {schema}")
    yield
    for statement in late:
        access.run(statement)
    _replace(access, schema, tables)


def _make(access: Access, schema: str, table: str, *, is_sought: bool) -> list[str]:
    """Make a table like one that is there; gives the statements for those of its indexes that may wait."""
    access.run(f"CREATE TABLE {_APART}.{table} (LIKE {schema}.{table} INCLUDING DEFAULTS INCLUDING STORAGE)")
    for (constraint,) in access.rows(_CONSTRAINTS, (table,)):
        access.run(f"ALTER TABLE {_APART}.{table} {constraint}")
    place = f" ON {schema}.{table} USING "
    indexes = [str(sql).replace(place, f" ON {_APART}.{table} USING ", 1) for (sql,) in access.rows(_INDEXES, (table,))]
    if not is_sought:
        return indexes
    for index in indexes:
        access.run(index)
    return []


def _replace(access: Access, schema: str, tables: Sequence[str]) -> None:
    """Put the new tables in the place of the old ones, for which nobody may be reading those."""
    old = ", ".join(f"{schema}.{table}" for table in tables)
    _lock(access, old)
    access.run(f"DROP TABLE {old}")
    for table in tables:
        access.run(f"ALTER TABLE {_APART}.{table} SET SCHEMA {schema}")
    access.run(f"DROP SCHEMA {_APART}")


def _lock(access: Access, tables: str) -> None:
    for _ in range(_TRIES):
        access.run("SAVEPOINT unlocked")
        access.run(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
        try:
            access.run(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
        except psycopg.errors.LockNotAvailable:
            access.run("ROLLBACK TO unlocked")
            time.sleep(_PAUSE)
        else:
            return
    raise Unavailable("somebody has been reading the projections for too long; nothing was changed")
