"""A table of PostgreSQL written anew while others read and write it: of rows that are gone the new one holds nothing.

VACUUM FULL locks a table until all of it is written. Here the rows are copied beside it, some at a time; what changed
meanwhile is known by the positions that events took since, and is copied again. Writers wait for the last of that alone,
which is little, and readers while two tables change places.
"""

import time

import psycopg

from api.domain.records.kinds import KIND_NAMES
from api.domain.records.redaction import REDACTION
from api.ledger.storage.access import Access, lock_head
from api.ledger.storage.postgres.renewal import APART, Anew, clear_away, is_replaceable, make_beside, put_in_place
from api.ledger.storage.reads import Reads

# Positions whose rows are copied at once, and so few that writers may wait for them.
_AT_ONCE, _FEW = 2_000, 100
_ROUNDS, _STARTS = 50, 20
# Everybody who wants a table queues behind one who waits for it exclusively. So that wait is short, and the pause before the
# next try, in which nobody is kept waiting, is longer.
_PATIENCE, _PAUSE, _TRIES = "100ms", 0.4, 60
# For a lock that keeps neither readers nor writers out, but autovacuum, which gives way only after `deadlock_timeout`.
_LONG_PATIENCE = "5s"
# Where the rows of a table are found, by position.
_PLACE = {
    "payload": "position",
    "record": "first_position",
    "revision": "position",
    "feed": "position",
    "term": "first_position",
    "span": f"field IN {KIND_NAMES} AND first_position",
    "search": "first_position",
    "agreement": "question",
    "search_index": "since",
}
_TOUCHED = "first_position IN (SELECT first_position FROM revision WHERE position > {0} AND position <= {1})"
_ASKED = "question IN (SELECT question FROM agreement WHERE since > {0} AND since <= {1})"
# Which rows are new, or were closed, by events between two positions, or later; those from before them are as they were.
_CHANGED = {
    "payload": "position > {0} AND position <= {1}",
    "record": _TOUCHED,
    "revision": f"{_TOUCHED} AND until > {{0}}",
    "feed": "position > {0} AND position <= {1}",
    "term": f"{_TOUCHED} AND until > {{0}}",
    "span": f"field IN {KIND_NAMES} AND {_TOUCHED} AND until > {{0}}",
    "search": _TOUCHED,
    "agreement": f"{_ASKED} AND until > {{0}}",
    "search_index": "since > {0} AND since <= {1}",
}


class _OvertakenError(Exception):
    """Another redaction took rows away that were copied before."""


def is_rewritable(access: Access, table: str) -> bool:
    """Say whether a table can be written anew here: it is known what changes in it, and nothing of an operator's is lost."""
    return table in _CHANGED and is_replaceable(access, table, with_triggers=True)


def rewrite(access: Access, table: str) -> str:
    """Write a table anew. Whoever calls this is `alone` (upkeep). Says what is in the way, if anything."""
    for _ in range(_STARTS):
        try:
            return _rewrite(access, table)
        except _OvertakenError:
            continue
    return "other redactions took place meanwhile, again and again"


def _rewrite(access: Access, table: str) -> str:
    clear_away(access)
    access.run(f"CREATE SCHEMA {APART}")
    anew, start = make_beside(access, table), _position(access)
    for low in range(0, start, _AT_ONCE):
        _copy(access, anew, f"{_PLACE[table]} BETWEEN {low + 1} AND {min(low + _AT_ONCE, start)}")
        _check_overtaken(access, start)
    for statement in (*anew.keys, *anew.indexes):
        access.run(statement)
    # Statistics belong to the table, wherever it stands: the new one needs its own before it takes the place.
    access.run(f"ANALYZE {anew.new}")
    return _take_over(access, anew, start)


def _position(access: Reads) -> int:
    [(position,)] = access.rows("SELECT position FROM head")
    return int(position)


def _copy(access: Access, anew: Anew, which: str) -> None:
    access.run(f"INSERT INTO {anew.new} SELECT * FROM {anew.old} WHERE {which}")


def _check_overtaken(access: Reads, start: int) -> None:
    if access.row(f"SELECT 1 FROM record WHERE kind = '{REDACTION}' AND first_position > {start}"):
        raise _OvertakenError


def _take_over(access: Access, anew: Anew, start: int) -> str:
    """Catch up, and let the tables change places. Says what is in the way, if anything."""
    since = start
    for _ in range(_TRIES):
        since = _catch_up(access, anew, since)
        try:
            _change_places(access, anew, start, since)
        except psycopg.errors.LockNotAvailable:
            time.sleep(_PAUSE)
        else:
            return ""
    return f"somebody has been reading or locking {anew.table} for too long"


def _catch_up(access: Access, anew: Anew, since: int) -> int:
    """Copy again what changed, until it is little that changed since a position, which is given."""
    for _ in range(_ROUNDS):
        position = _position(access)
        if position - since <= _FEW:
            break
        with access.transaction():
            _copy_changed(access, anew, since, position)
        since = position
    return since


def _copy_changed(access: Access, anew: Anew, since: int, position: int) -> None:
    """Copy again what events changed between two positions.

    What changes as this runs is of later events: the rows of theirs that it meets are copied again by and by.
    """
    which = _CHANGED[anew.table].format(since, position)
    access.run(f"DELETE FROM {anew.new} WHERE {which}")
    _copy(access, anew, which)


def _change_places(access: Access, anew: Anew, start: int, since: int) -> None:
    """Let the new table be the table, while nobody appends. Raises LockNotAvailable where somebody reads it for long."""
    with access.transaction():
        access.run(f"SET LOCAL lock_timeout = '{_LONG_PATIENCE}'")
        access.run(f"LOCK TABLE {anew.old} IN SHARE UPDATE EXCLUSIVE MODE")
        # From here on nobody appends, nor redacts.
        position = int(lock_head(access)[0])
        _check_overtaken(access, start)
        if position > since:
            _copy_changed(access, anew, since, position)
        access.run(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
        # From here on nobody reads.
        access.run(f"LOCK TABLE {anew.old} IN ACCESS EXCLUSIVE MODE")
        put_in_place(access, [anew])
