"""What every reader of PostgreSQL has in common, whether a connection carries its queries or a pipeline."""

from collections.abc import Sequence

from sqlalchemy.dialects.postgresql.base import PGDialect

from api.ledger.storage.postgres.protection import protection
from api.ledger.storage.protection import Protection
from api.ledger.storage.reads import Reads

# How far a standby is behind. Connected, and with all it received repeated: 0. Where its primary has been silent for longer
# than the standby waits before it asks (walreceiver.c: half of `wal_receiver_timeout`): as long as that silence, for what it
# shows may be that old. Not connected, or with something still to repeat: the age of the last transaction it repeated. Not
# every role may see when the standby last heard something; then silence is not counted.
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

    # That of no driver: psycopg's would cast each parameter to the type of what it is compared with.
    dialect = PGDialect(paramstyle="qmark")  # type: ignore[no-untyped-call]

    def matching_words(self, words: Sequence[Sequence[str]]) -> tuple[str, str]:
        quoted = " & ".join("(" + " | ".join([f"'{token}'" for token in word]) + ")" for word in words)
        return "SELECT since FROM search_index WHERE tokens @@ CAST(? AS tsquery)", quoted

    def protection(self) -> Protection:
        return protection(self)

    def is_standby(self) -> bool:
        return bool(self.rows("SELECT pg_is_in_recovery()")[0][0])

    def seconds_behind(self) -> float | None:
        row = self.row(_BEHIND) if self.is_standby() else None
        return None if row is None or row[0] is None else max(float(row[0]), 0.0)
