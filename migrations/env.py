"""Alembic's environment: the ledger hands over its connection; the command line alone opens one of its own."""

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context

from api.ledger.storage.tables import METADATA
from api.settings import Settings


def include_object(_object: object, name: str | None, _type: str, _reflected: bool, _other: object) -> bool:
    """Leave out the search index, which each database makes in its own way."""
    return not (name or "").startswith(("search_index", "ix_search_index"))


def render_item(type_: str, item: Any, _context: object) -> str | Literal[False]:  # noqa: ANN401 - of any SQLAlchemy type
    """Write SQLModel's string type as plain SQLAlchemy."""
    if type_ == "type" and item.__class__.__module__.startswith("sqlmodel"):
        return f"sa.String(length={item.length!r})"
    return False


def run(connection: sa.Connection) -> None:
    """Run the migrations asked for on this connection, inside its transaction."""
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        include_object=include_object,
        render_item=render_item,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=False,
    )
    context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with sa.create_engine(Settings().sqlalchemy_url).begin() as connection:
        run(connection)
