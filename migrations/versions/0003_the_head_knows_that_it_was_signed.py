"""The head notes that a checkpoint was published: only then is it damage where nothing is remembered beside the key.

A ledger of more than its first event signed that one before it took the second, whatever wrote it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("head", sa.Column("is_signed", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.get_bind().execute(sa.text("UPDATE head SET is_signed = (position > 1)"))


def downgrade() -> None:
    raise RuntimeError("history is not un-written")
