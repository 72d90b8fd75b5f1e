"""The tables, and nothing else. The log (event, payload, node) is insert-only; projections may be thrown away and rebuilt.

Times are integers, microseconds since 1970-01-01T00:00:00Z. `since` and `until` are positions, until exclusive:
a row holds in the views from `since` up to the one before `until`. Records are keyed by the position of their first event.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

FOREVER = 2**63 - 1
# Our own, and not SQLModel's, which it shares among all who use it: constraints are named, so that migrations can name them.
METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Big = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _key() -> Any:  # noqa: ANN401 - SQLModel's Field is untyped
    return Field(sa_column=sa.Column(_Big, primary_key=True, autoincrement=False))


class _Table(SQLModel, registry=registry(metadata=METADATA)):
    """What is a table of the ledger's."""


class Head(_Table, table=True):
    """One row: the newest position. Whoever holds its lock is the writer. `frontier` is the tree's compact range.

    The projections were derived under the numbered `rules` of agreement, and are of the version `projected`.
    Of redactions up to `purged` no trace is left in the database's files. `is_signed` once a checkpoint was published.
    """

    one: int = Field(sa_column=sa.Column(sa.SmallInteger, primary_key=True, autoincrement=False))
    position: int = Field(sa_type=_Big)
    recorded_at: int = Field(sa_type=_Big)
    frontier: bytes
    is_seeded: bool
    rules: int
    purged: int = Field(sa_column=sa.Column(_Big, nullable=False, server_default="0"))
    is_signed: bool = Field(sa_column=sa.Column(sa.Boolean, nullable=False, server_default=sa.false()))
    projected: int = Field(sa_column=sa.Column(sa.Integer, nullable=False, server_default="0"))


class Event(_Table, table=True):
    """One row of the append-only log. `entry` holds the bytes that were hashed; the other columns are copies.

    That a record's revisions are numbered without a gap or a double is held by `revision`, in the same transaction.
    """

    __table_args__ = (sa.UniqueConstraint("recorded_at"),)
    position: int = _key()
    entry: bytes
    leaf_hash: bytes
    type: str = Field(max_length=16)
    kind: str = Field(max_length=16)
    record: str = Field(max_length=36)
    revision: int
    recorded_at: int = Field(sa_type=_Big)
    actor: str | None = Field(max_length=36)


class Payload(_Table, table=True):
    """What an event says, beside the log: the only rows of it that a redaction may remove."""

    position: int = _key()
    salt: bytes
    payload: bytes


class Node(_Table, table=True):
    """Root of a complete subtree above the leaves: level 1 and up (RFC 6962 section 2.1)."""

    __table_args__ = ({"sqlite_with_rowid": False},)
    level: int = Field(sa_column=sa.Column(sa.SmallInteger, primary_key=True, autoincrement=False))
    number: int = _key()
    hash: bytes


class RecordRow(_Table, table=True):
    """A record and where it stands now. A claim's source and question are the first positions of those records."""

    __tablename__ = "record"
    __table_args__ = (
        sa.UniqueConstraint("kind", "id"),
        sa.Index("ix_record_kind_first_position", "kind", "first_position"),
        sa.Index("ix_record_question", "question", "first_position"),
        sa.Index("ix_record_source", "source", "first_position"),
    )
    first_position: int = _key()
    kind: str = Field(max_length=16)
    id: str = Field(max_length=100)
    record: str = Field(max_length=36)
    position: int = Field(sa_type=_Big)
    revision: int
    source: int | None = Field(sa_type=_Big)
    question: int | None = Field(sa_type=_Big)


class RevisionRow(_Table, table=True):
    """One revision, rendered: `document` is its representation, `summary` its line in the history."""

    __tablename__ = "revision"
    __table_args__ = (
        sa.Index("ix_revision_first_position_position", "first_position", "position", unique=True),
        sa.Index("ix_revision_first_position_revision", "first_position", "revision", unique=True),
        sa.Index("ix_revision_kind_position", "kind", "position"),
    )
    position: int = _key()
    first_position: int = Field(sa_type=_Big)
    kind: str = Field(max_length=16)
    revision: int
    until: int = Field(sa_type=_Big)
    status: str = Field(max_length=16)
    recorded_at: int = Field(sa_type=_Big)
    document: bytes
    summary: bytes


class FeedRow(_Table, table=True):
    """One event as the feed shows it."""

    __tablename__ = "feed"
    position: int = _key()
    item: bytes


class Term(_Table, table=True):
    """A record held this value in this field between two positions: one index for every filter, at every position."""

    __table_args__ = (sa.Index("ix_term_first_position", "first_position", "field"), {"sqlite_with_rowid": False})
    field: str = Field(primary_key=True, max_length=40)
    value: str = Field(primary_key=True, max_length=2000)
    first_position: int = _key()
    since: int = _key()
    until: int = Field(sa_type=_Big)


class Span(_Table, table=True):
    """When a claim's answer holds, or when a source was published: the four bounds, while they stood.

    `starts` orders them: the earliest start, an open one first, and so an unknown one of a claim. Of a source it comes last,
    and each has a row: one that states no date is no moment.
    """

    __table_args__ = (sa.Index("ix_span_field_starts", "field", "starts", "first_position"),)
    field: str = Field(primary_key=True, max_length=40)
    first_position: int = _key()
    since: int = _key()
    until: int = Field(sa_type=_Big)
    starts: int = Field(sa_type=_Big)
    is_moment: bool
    start_earliest: int | None = Field(sa_type=_Big)
    start_latest: int | None = Field(sa_type=_Big)
    end_earliest: int | None = Field(sa_type=_Big)
    end_latest: int | None = Field(sa_type=_Big)


class Search(_Table, table=True):
    """From `since` on a record is made of the words that stand there in `search_index`, or of none: until the next row.

    That index is FTS5 on SQLite and a GIN index over an array on PostgreSQL; the migrations make it.
    """

    __table_args__ = ({"sqlite_with_rowid": False},)
    first_position: int = _key()
    since: int = _key()


class AgreementRow(_Table, table=True):
    """The state of agreement on a question between two positions, under the numbered rules."""

    __tablename__ = "agreement"
    __table_args__ = (sa.Index("ix_agreement_state", "state", "question"), sa.Index("ix_agreement_since", "since"))
    question: int = _key()
    since: int = _key()
    until: int = Field(sa_type=_Big)
    state: str = Field(max_length=16)


class Actor(_Table, table=True):
    """Who wrote: an opaque id, and a name only if an operator published one."""

    id: str = Field(primary_key=True, max_length=36)
    name: str | None = Field(max_length=200)
    since: int = Field(sa_type=_Big)


class Key(_Table, table=True):
    """An API key: the SHA-256 of its secret, what it may do, and since when it may not."""

    id: str = Field(primary_key=True, max_length=32)
    actor: str = Field(max_length=36)
    label: str = Field(max_length=200)
    secret_sha256: bytes
    scopes: str = Field(max_length=100)
    since: int = Field(sa_type=_Big)
    revoked_at: int | None = Field(sa_type=_Big)


class Receipt(_Table, table=True):
    """An idempotency note: which request, by digest, was answered by which positions. Seed files keep theirs for ever."""

    __table_args__ = (sa.Index("ix_receipt_expires_at", "expires_at"),)
    key_digest: bytes = Field(primary_key=True)
    request_digest: bytes
    first: int = Field(sa_type=_Big)
    last: int = Field(sa_type=_Big)
    expires_at: int = Field(sa_type=_Big)


class Imported(_Table, table=True):
    """Which positions came in which file of operations, for good: what its name was is beside the log, and not proved by it."""

    __table_args__ = (sa.Index("ix_imported_file", "file"),)
    first: int = _key()
    last: int = Field(sa_type=_Big)
    file: str = Field(max_length=255)


PROJECTIONS: tuple[type[SQLModel], ...] = (RecordRow, RevisionRow, FeedRow, Term, Span, Search, AgreementRow)
