"""Which database a test runs on, and connections to it with something done before what is asked."""

from typing import Any

from api.ledger.storage.database import Database
from api.ledger.storage.postgres.access import PostgresAccess
from api.ledger.storage.reads import Reads
from api.ledger.storage.sqlite.access import SqliteAccess


def is_sqlite(one: Reads | Database) -> bool:
    dialect = one.engine.dialect if isinstance(one, Database) else one.dialect
    return dialect.name == "sqlite"


def connected(database: Database, before: type, *given: Any) -> Any:
    """Connect by the database's own class with another in front of it, whose methods are asked first."""
    own = SqliteAccess if is_sqlite(database) else PostgresAccess
    return type(before.__name__, (before, own), {})(database.engine, *given)
