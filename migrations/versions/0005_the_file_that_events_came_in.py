"""Which file of operations events came in. Of what is there it is known of the files shipped here, by their receipts."""

import hashlib

import sqlalchemy as sa
from alembic import op

from api.ledger.storage.database import shipped

revision = "0005"
down_revision = "0004"

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_FOR_EVER = 2**62


def upgrade() -> None:
    imported = op.create_table(
        "imported",
        sa.Column("first", Big, autoincrement=False, nullable=False),
        sa.Column("last", Big, nullable=False),
        sa.Column("file", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("first", name=op.f("pk_imported")),
    )
    op.create_index("ix_imported_file", "imported", ["file"], unique=False)
    names = {hashlib.sha256(b"file\0" + path.name.encode()).digest(): path.name for path in shipped("seed").glob("*.ndjson")}
    kept = sa.text("SELECT key_digest, first, last FROM receipt WHERE expires_at = :kept")
    rows = [
        {"first": first, "last": last, "file": names[bytes(digest)]}
        for digest, first, last in op.get_bind().execute(kept, {"kept": _FOR_EVER})
        if bytes(digest) in names
    ]
    if rows:
        op.bulk_insert(imported, rows)


def downgrade() -> None:
    raise RuntimeError("history is not un-written")
