"""Statements that change many rows, as each database spells them; and parameters, as psycopg does."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import SQLModel

from api.ledger.storage.reads import Value
from api.ledger.storage.tables import METADATA

# How many rows a statement of SQLite's takes, as long as there are so many.
BLOCKS: Final = (256, 64, 16, 4, 1)


@lru_cache(maxsize=100)
def types(table: str, columns: str) -> list[str]:
    """Name the types of columns as PostgreSQL does: it is told what the values are."""
    known = METADATA.tables[table].columns
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return [known[name].type.compile(dialect).partition("(")[0].lower() for name in columns.split(", ")]


@lru_cache(maxsize=100)
def given(table: str, columns: str) -> str:
    """Spell a query whose rows are given as one array for each column: a statement for any number of rows."""
    return f"unnest({', '.join(f'%b::{name}[]' for name in types(table, columns))})"


@lru_cache(maxsize=1)
def create(tables: tuple[type[SQLModel], ...]) -> list[str]:
    """Spell what makes tables on SQLite, with their indexes and without what protects them."""
    dialect, made = sqlite.dialect(), [METADATA.tables[str(each.__tablename__)] for each in tables]
    indexes = [
        CreateIndex(index) for table in made for index in sorted(table.indexes, key=lambda index: str(index.name))
    ]
    return [str(each.compile(dialect=dialect)) for each in map(CreateTable, made)] + [
        str(each.compile(dialect=dialect)) for each in indexes
    ]


def blocks(rows: Sequence[Sequence[Value]]) -> Iterator[tuple[int, list[Value]]]:
    """Divide rows for SQLite: how many a statement takes, and their values one after another.

    Few sizes make few statements to compile. Fewer are run than there are rows, and after each a thread may have to wait
    for the interpreter.
    """
    start = 0
    for size in BLOCKS:
        while len(rows) - start >= size:
            yield size, list(chain.from_iterable(rows[start : start + size]))
            start += size


@lru_cache(maxsize=1000)
def insert_rows(table: str, columns: str, count: int) -> str:
    """Spell an insert of so many rows, given one value after another."""
    return f"INSERT INTO {table} ({columns}) VALUES {_rows(columns, count)}"


@lru_cache(maxsize=1000)
def update_rows(table: str, changed: str, keys: str, where: str, count: int) -> str:
    """Spell an update of so many rows, for each of which its new values and its keys are given, one after another."""
    columns = f"{changed}, {keys}"
    return f"WITH given ({_names(changed, keys)}) AS (VALUES {_rows(columns, count)}) " + _update(
        table, changed, keys, where, "given"
    )


@lru_cache(maxsize=100)
def update_all(table: str, changed: str, keys: str, where: str) -> str:
    """Spell the same for as many rows as are given."""
    rows = f"{given(table, f'{changed}, {keys}')} AS given ({_names(changed, keys)})"
    return _update(table, changed, keys, where, rows)


@lru_cache(maxsize=100)
def delete_row(table: str, keys: str) -> str:
    """Spell a delete of one row, whose keys are given."""
    return f"DELETE FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in keys.split(', '))}"


@lru_cache(maxsize=100)
def delete_all(table: str, keys: str) -> str:
    """Spell the same for as many rows as are given."""
    names = keys.split(", ")
    rows = f"{given(table, keys)} AS given ({', '.join(f'old_{name}' for name in names)})"
    return f"DELETE FROM {table} USING {rows} WHERE {' AND '.join(f'{name} = old_{name}' for name in names)}"


def _update(table: str, changed: str, keys: str, where: str, rows: str) -> str:
    news = ", ".join(f"{name} = new_{name}" for name in changed.split(", "))
    olds = " AND ".join(f"{name} = old_{name}" for name in keys.split(", "))
    return f"UPDATE {table} SET {news} FROM {rows} WHERE {olds} AND {where}"


def _names(changed: str, keys: str) -> str:
    return ", ".join([f"new_{name}" for name in changed.split(", ")] + [f"old_{name}" for name in keys.split(", ")])


def _rows(columns: str, count: int) -> str:
    row = f"({', '.join('?' * len(columns.split(', ')))})"
    return ", ".join([row] * count)


@lru_cache(maxsize=100)
def together(statements: tuple[str, ...]) -> str:
    """Spell statements that change different rows as one: none of them sees what another does."""
    *first, last = statements
    named = ", ".join(f"step_{number} AS ({statement})" for number, statement in enumerate(first))
    return f"WITH {named} {last}" if named else last


@lru_cache(maxsize=1000)
def percent(sql: str) -> bytes:
    """Spell parameters for psycopg. No statement of ours holds a percent sign or a literal question mark."""
    return sql.replace("?", "%s").encode()


@lru_cache(maxsize=1000)
def dollars(sql: str) -> str:
    """Spell parameters as PostgreSQL does."""
    first, *others = sql.split("?")
    return first + "".join(f"${number}{text}" for number, text in enumerate(others, 1))
