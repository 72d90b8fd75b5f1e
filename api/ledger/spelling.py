"""Statements that change many rows, as each database spells them; and parameters, as psycopg does."""

from functools import lru_cache

from sqlalchemy.dialects import postgresql

from api.ledger.tables import Event


@lru_cache(maxsize=100)
def types(table: str, columns: str) -> list[str]:
    """Name the types of columns as PostgreSQL does: it is told what the values are."""
    known = Event.metadata.tables[table].columns
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return [known[name].type.compile(dialect).partition("(")[0].lower() for name in columns.split(", ")]


@lru_cache(maxsize=100)
def given(table: str, columns: str) -> str:
    """Spell a query whose rows are given as one array for each column: a statement for any number of rows."""
    return f"unnest({', '.join(f'%b::{name}[]' for name in types(table, columns))})"


@lru_cache(maxsize=100)
def update_one(table: str, changed: str, keys: str, where: str) -> str:
    """Spell an update of one row by its key."""
    return (
        f"UPDATE {table} SET {changed.replace(',', ' = ?,')} = ? WHERE {keys.replace(',', ' = ? AND')} = ? AND {where}"
    )


@lru_cache(maxsize=100)
def update_all(table: str, changed: str, keys: str, where: str) -> str:
    """Spell the same for as many rows as are given."""
    news, olds = changed.split(", "), keys.split(", ")
    names = ", ".join([f"new_{name}" for name in news] + [f"old_{name}" for name in olds])
    return (
        f"UPDATE {table} SET {', '.join(f'{name} = new_{name}' for name in news)}"
        f" FROM {given(table, f'{changed}, {keys}')} AS given ({names})"
        f" WHERE {' AND '.join(f'{name} = old_{name}' for name in olds)} AND {where}"
    )


@lru_cache(maxsize=100)
def together(statements: tuple[str, ...]) -> str:
    """Spell statements that change different rows as one: none of them sees what another does."""
    *first, last = statements
    named = ", ".join(f"step_{number} AS ({statement})" for number, statement in enumerate(first))
    return f"WITH {named} {last}" if named else last


@lru_cache(maxsize=1000)
def percent(sql: str) -> str:
    """Spell parameters for psycopg. No statement of ours holds a percent sign or a literal question mark."""
    return sql.replace("?", "%s")


@lru_cache(maxsize=1000)
def dollars(sql: str) -> str:
    """Spell parameters as PostgreSQL does."""
    first, *others = sql.split("?")
    return first + "".join(f"${number}{text}" for number, text in enumerate(others, 1))
