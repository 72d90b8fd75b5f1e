"""What every reader of PostgreSQL has in common, whether a connection carries its queries or a pipeline."""

from collections.abc import Sequence

from sqlalchemy.dialects import postgresql

from api.ledger.storage.postgres.protection import protection
from api.ledger.storage.protection import Protection
from api.ledger.storage.reads import Reads

# What came is shown where it is repeated. Where the primary is silent for longer than a standby that hears nothing waits
# until it asks (walreceiver.c: half its `wal_receiver_timeout`), what is shown may be as old as that silence; where nothing
# comes any more, what was repeated last tells how old. When it last heard something not every role is told.
_BEHIND = (
    "SELECT (CASE"
    " WHEN receiver.pid IS NULL OR pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn()"
    " THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())"
    " WHEN receiver.silence > receiver.usual THEN extract(epoch FROM receiver.silence) ELSE 0 END)::float8"
    " FROM (VALUES (1)) AS one LEFT JOIN (SELECT pid, clock_timestamp() - last_msg_receipt_time AS silence,"
    " nullif(current_setting('wal_receiver_timeout')::interval, '0') / 2 + interval '1s' AS usual"
    " FROM pg_stat_wal_receiver) AS receiver ON true"
)


class PostgresReads(Reads):
    """Queries to a server."""

    dialect = postgresql.dialect(paramstyle="qmark")  # type: ignore[no-untyped-call]

    def matching_words(self, words: Sequence[str]) -> tuple[str, str]:
        quoted = " & ".join(f"'{word}'" for word in words)
        return "SELECT since FROM search_index WHERE tokens @@ CAST(? AS tsquery)", quoted

    def protection(self) -> Protection:
        return protection(self)

    def is_standby(self) -> bool:
        return bool(self.rows("SELECT pg_is_in_recovery()")[0][0])

    def seconds_behind(self) -> float | None:
        row = self.row(_BEHIND) if self.is_standby() else None
        return None if row is None or row[0] is None else max(float(row[0]), 0.0)
