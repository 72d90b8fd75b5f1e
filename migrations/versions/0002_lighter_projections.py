"""Lighter projections: words hold until others do, and on SQLite their index alone is kept; no term says the usual.

The projections are derived anew at the next start, because the head says that they follow no rules yet.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.drop_table('search')
    op.create_table('search',
    sa.Column('first_position', Big, autoincrement=False, nullable=False),
    sa.Column('since', Big, autoincrement=False, nullable=False),
    sa.PrimaryKeyConstraint('first_position', 'since', name=op.f('pk_search')),
    sqlite_with_rowid=False
    )
    if op.get_bind().dialect.name == "sqlite":
        _look_for_events_one_key_at_a_time()
        op.execute("DROP TABLE search_index")
        op.execute("CREATE VIRTUAL TABLE search_index USING fts5("
                   "tokens, tokenize='ascii', detail='none', content='', columnsize=0)")
    op.execute("UPDATE head SET rules = 0")


def _look_for_events_one_key_at_a_time() -> None:
    """SQLite makes a set of rows for an OR, at every event."""
    op.execute("DROP TRIGGER event_no_replace")
    held = [f"EXISTS (SELECT 1 FROM event WHERE {key} = NEW.{key})" for key in ("position", "recorded_at")]
    op.execute(f"CREATE TRIGGER event_no_replace BEFORE INSERT ON event WHEN {' OR '.join(held)} "
               "BEGIN SELECT RAISE(ABORT, 'event is append-only: the row is there already'); END")


def downgrade() -> None:
    raise RuntimeError("history is not un-written")
