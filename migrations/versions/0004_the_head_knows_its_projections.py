"""The head notes of which version the projections are: those that were derived before are of none, and derived anew.

That happens at the next start, as it does where the rules of agreement changed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("head", sa.Column("projected", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    raise RuntimeError("history is not un-written")
