"""The ledger: the log and its protection, the projections, keys and notes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table('actor',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=True),
    sa.Column('since', Big, nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_actor'))
    )
    op.create_table('agreement',
    sa.Column('question', Big, autoincrement=False, nullable=False),
    sa.Column('since', Big, autoincrement=False, nullable=False),
    sa.Column('until', Big, nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.PrimaryKeyConstraint('question', 'since', name=op.f('pk_agreement'))
    )
    op.create_index('ix_agreement_since', 'agreement', ['since'], unique=False)
    op.create_index('ix_agreement_state', 'agreement', ['state', 'question'], unique=False)
    op.create_table('event',
    sa.Column('position', Big, autoincrement=False, nullable=False),
    sa.Column('entry', sa.LargeBinary(), nullable=False),
    sa.Column('leaf_hash', sa.LargeBinary(), nullable=False),
    sa.Column('type', sa.String(length=16), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('record', sa.String(length=36), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('recorded_at', Big, nullable=False),
    sa.Column('actor', sa.String(length=36), nullable=True),
    sa.PrimaryKeyConstraint('position', name=op.f('pk_event')),
    sa.UniqueConstraint('recorded_at', name=op.f('uq_event_recorded_at'))
    )
    op.create_table('feed',
    sa.Column('position', Big, autoincrement=False, nullable=False),
    sa.Column('item', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('position', name=op.f('pk_feed'))
    )
    op.create_table('head',
    sa.Column('one', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('position', Big, nullable=False),
    sa.Column('recorded_at', Big, nullable=False),
    sa.Column('frontier', sa.LargeBinary(), nullable=False),
    sa.Column('is_seeded', sa.Boolean(), nullable=False),
    sa.Column('rules', sa.Integer(), nullable=False),
    sa.Column('purged', Big, server_default='0', nullable=False),
    sa.PrimaryKeyConstraint('one', name=op.f('pk_head'))
    )
    op.create_table('key',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('actor', sa.String(length=36), nullable=False),
    sa.Column('label', sa.String(length=200), nullable=False),
    sa.Column('secret_sha256', sa.LargeBinary(), nullable=False),
    sa.Column('scopes', sa.String(length=100), nullable=False),
    sa.Column('since', Big, nullable=False),
    sa.Column('revoked_at', Big, nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_key'))
    )
    op.create_table('node',
    sa.Column('level', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('number', Big, autoincrement=False, nullable=False),
    sa.Column('hash', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('level', 'number', name=op.f('pk_node')),
    sqlite_with_rowid=False
    )
    op.create_table('payload',
    sa.Column('position', Big, autoincrement=False, nullable=False),
    sa.Column('salt', sa.LargeBinary(), nullable=False),
    sa.Column('payload', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('position', name=op.f('pk_payload'))
    )
    op.create_table('receipt',
    sa.Column('key_digest', sa.LargeBinary(), nullable=False),
    sa.Column('request_digest', sa.LargeBinary(), nullable=False),
    sa.Column('first', Big, nullable=False),
    sa.Column('last', Big, nullable=False),
    sa.Column('expires_at', Big, nullable=False),
    sa.PrimaryKeyConstraint('key_digest', name=op.f('pk_receipt'))
    )
    op.create_index('ix_receipt_expires_at', 'receipt', ['expires_at'], unique=False)
    op.create_table('record',
    sa.Column('first_position', Big, autoincrement=False, nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('id', sa.String(length=100), nullable=False),
    sa.Column('record', sa.String(length=36), nullable=False),
    sa.Column('position', Big, nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('source', Big, nullable=True),
    sa.Column('question', Big, nullable=True),
    sa.PrimaryKeyConstraint('first_position', name=op.f('pk_record')),
    sa.UniqueConstraint('kind', 'id', name=op.f('uq_record_kind_id'))
    )
    op.create_index('ix_record_kind_first_position', 'record', ['kind', 'first_position'], unique=False)
    op.create_index('ix_record_question', 'record', ['question', 'first_position'], unique=False)
    op.create_index('ix_record_source', 'record', ['source', 'first_position'], unique=False)
    op.create_table('revision',
    sa.Column('position', Big, autoincrement=False, nullable=False),
    sa.Column('first_position', Big, nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('until', Big, nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('recorded_at', Big, nullable=False),
    sa.Column('document', sa.LargeBinary(), nullable=False),
    sa.Column('summary', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('position', name=op.f('pk_revision'))
    )
    op.create_index('ix_revision_first_position_position', 'revision', ['first_position', 'position'], unique=True)
    op.create_index('ix_revision_first_position_revision', 'revision', ['first_position', 'revision'], unique=True)
    op.create_index('ix_revision_kind_position', 'revision', ['kind', 'position'], unique=False)
    op.create_table('search',
    sa.Column('since', Big, autoincrement=False, nullable=False),
    sa.Column('first_position', Big, nullable=False),
    sa.Column('until', Big, nullable=False),
    sa.PrimaryKeyConstraint('since', name=op.f('pk_search'))
    )
    op.create_index('ix_search_first_position', 'search', ['first_position', 'until'], unique=False)
    op.create_table('span',
    sa.Column('field', sa.String(length=40), nullable=False),
    sa.Column('first_position', Big, autoincrement=False, nullable=False),
    sa.Column('since', Big, autoincrement=False, nullable=False),
    sa.Column('until', Big, nullable=False),
    sa.Column('starts', Big, nullable=False),
    sa.Column('is_moment', sa.Boolean(), nullable=False),
    sa.Column('start_earliest', Big, nullable=True),
    sa.Column('start_latest', Big, nullable=True),
    sa.Column('end_earliest', Big, nullable=True),
    sa.Column('end_latest', Big, nullable=True),
    sa.PrimaryKeyConstraint('field', 'first_position', 'since', name=op.f('pk_span'))
    )
    op.create_index('ix_span_field_starts', 'span', ['field', 'starts', 'first_position'], unique=False)
    op.create_table('term',
    sa.Column('field', sa.String(length=40), nullable=False),
    sa.Column('value', sa.String(length=2000), nullable=False),
    sa.Column('first_position', Big, autoincrement=False, nullable=False),
    sa.Column('since', Big, autoincrement=False, nullable=False),
    sa.Column('until', Big, nullable=False),
    sa.PrimaryKeyConstraint('field', 'value', 'first_position', 'since', name=op.f('pk_term')),
    sqlite_with_rowid=False
    )
    op.create_index('ix_term_first_position', 'term', ['first_position', 'field'], unique=False)
    _protect_the_log()
    _index_the_words()


def _protect_the_log() -> None:
    """Let the database itself refuse changes to history, whoever asks; payloads go only by a redaction that covers them."""
    if op.get_bind().dialect.name == "sqlite":
        _protect_on_sqlite()
    else:
        _protect_on_postgresql()


def _protect_on_sqlite() -> None:
    same = {"event": "position = NEW.position OR recorded_at = NEW.recorded_at",
            "node": "level = NEW.level AND number = NEW.number",
            "payload": "position = NEW.position"}
    for table, clash in same.items():
        verbs = ("UPDATE",) if table == "payload" else ("UPDATE", "DELETE")
        for verb in verbs:
            op.execute(f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                       f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")
        # INSERT OR REPLACE deletes without firing a DELETE trigger.
        op.execute(f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {clash}) "
                   f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: the row is there already'); END")
    op.execute("CREATE TRIGGER payload_no_delete BEFORE DELETE ON payload WHEN NOT EXISTS ("
               "SELECT 1 FROM event AS redaction JOIN event AS target ON target.position = OLD.position "
               # What is beyond the head is of this very transaction: the head follows last.
               "WHERE redaction.type = 'redacted' AND redaction.position > (SELECT position FROM head) "
               "AND target.kind NOT IN ('redaction', 'ledger') "
               "AND json_extract(redaction.entry, '$.redacts.record') = target.record "
               "AND target.revision BETWEEN json_extract(redaction.entry, '$.redacts.first') "
               "AND json_extract(redaction.entry, '$.redacts.last')) "
               "BEGIN SELECT RAISE(ABORT, 'payload is removed only by a redaction'); END")


def _protect_on_postgresql() -> None:
    op.execute("CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
               "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$")
    op.execute("CREATE FUNCTION ledger_refuse_unredacted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
               "IF NOT EXISTS (SELECT 1 FROM event AS redaction JOIN event AS target ON target.position = OLD.position "
               "WHERE redaction.type = 'redacted' AND redaction.position > (SELECT position FROM head) "
               "AND target.kind NOT IN ('redaction', 'ledger') "
               "AND convert_from(redaction.entry, 'UTF8')::json #>> '{redacts,record}' = target.record "
               "AND target.revision BETWEEN (convert_from(redaction.entry, 'UTF8')::json #>> '{redacts,first}')::int "
               "AND (convert_from(redaction.entry, 'UTF8')::json #>> '{redacts,last}')::int) "
               "THEN RAISE EXCEPTION 'payload is removed only by a redaction' USING ERRCODE = 'restrict_violation'; END IF; "
               "RETURN OLD; END $$")
    for table in ("event", "node", "payload"):
        verbs = "UPDATE" if table == "payload" else "UPDATE OR DELETE"
        op.execute(f"CREATE TRIGGER {table}_append_only BEFORE {verbs} ON {table} "
                   "FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change()")
        op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
                   "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()")
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only")
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_truncate")
    op.execute("CREATE TRIGGER payload_no_delete BEFORE DELETE ON payload "
               "FOR EACH ROW EXECUTE FUNCTION ledger_refuse_unredacted()")
    op.execute("ALTER TABLE payload ENABLE ALWAYS TRIGGER payload_no_delete")


def _index_the_words() -> None:
    """Index the same tokens on both databases; folding and cutting were done before they came here."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("CREATE VIRTUAL TABLE search_index USING fts5(tokens, tokenize='ascii', detail='none')")
    else:
        op.execute("CREATE TABLE search_index (since bigint PRIMARY KEY, tokens tsvector NOT NULL)")
        op.execute("CREATE INDEX ix_search_index_tokens ON search_index USING gin (tokens)")


def downgrade() -> None:
    raise RuntimeError("history is not un-written")
