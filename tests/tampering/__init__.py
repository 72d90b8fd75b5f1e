"""Sixteen ways to tamper with a ledger and a few beside them, as whoever holds its database and files can: and the triggers stand again.

`python -m tests.tampering` prints what each of those who look says of each.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.domain.log.merkle import Frontier
from api.ledger.storage.access import Access
from api.settings import Settings
from tests.support.builders import a_claim, an_entity, ground, retract, revise
from tests.support.databases import is_sqlite
from tests.support.served import DATABASES, Served, copied, migrated, serve

Way = Callable[[Access, Path], None]
# The event that most ways are about: it recorded the entity that `SHOWN` shows.
PLACE, SHOWN = 9, "/v1/entities/e2"
_SWAPPED = "entry leaf_hash type kind record revision actor"


def write(service: Served) -> None:
    """Fill a ledger with 23 events: claims, a revision, entities `e0` to `e15` from position 7 on, a retraction."""
    service.append(*ground(), a_claim("said", source="paper", question="offline-when"))
    service.append(revise("claim", "said", expect=1, note="Read again"))
    service.append(*(an_entity(f"e{number}", name=f"Name {number}") for number in range(16)))
    service.append(retract("entity", "e3", expect=1))
    assert service.get("/tlog/checkpoint").text.split("\n")[1] == "23"


@pytest.fixture(scope="module", params=DATABASES)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A ledger of 23 events that nobody serves."""
    with migrated(request, request.param, tmp_path_factory.mktemp("written")) as settings:
        with serve(settings) as service:
            write(service)
        yield settings


@pytest.fixture
def settings(request: pytest.FixtureRequest, written: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A copy of that ledger, for each test to tamper with."""
    with copied(request, written, tmp_path) as settings:
        yield settings


@contextlib.contextmanager
def unguarded(access: Access) -> Iterator[None]:
    """Take the triggers away and put them back in one transaction, as a forger would who does not want to be seen."""
    with access.transaction():
        if is_sqlite(access):
            triggers = access.rows("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            for name, _ in triggers:
                access.run(f"DROP TRIGGER {name}")
            yield
            for _, sql in triggers:
                access.run(sql)
            return
        named = (
            "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal"
        )
        triggers = access.rows(named)
        for name, table in triggers:
            access.run(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        yield
        for name, table in triggers:
            access.run(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


@dataclass
class Vandal:
    """Reads and changes what is stored; each change goes past the triggers and leaves them standing."""

    access: Access

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        with unguarded(self.access):
            self.access.run(sql, parameters)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return list(self.access.rows(sql, parameters))

    def row(self, sql: str) -> Any:
        return self.access.row(sql)


def _statements(*statements: str) -> Way:
    def tamper(access: Access, _kept: Path) -> None:
        with unguarded(access):
            for statement in statements:
                access.run(statement)

    return tamper


def _flipped(table: str, column: str) -> Way:
    """Change one byte in the middle of what is stored."""

    def tamper(access: Access, _kept: Path) -> None:
        [(stored,)] = access.rows(f"SELECT {column} FROM {table} WHERE position = {PLACE}")
        raw = bytearray(bytes(stored))
        raw[len(raw) // 2] ^= 1
        with unguarded(access):
            access.run(f"UPDATE {table} SET {column} = ? WHERE position = {PLACE}", (bytes(raw),))

    return tamper


def _swap(access: Access, _kept: Path) -> None:
    columns = _SWAPPED.split()
    sql = f"SELECT {', '.join(columns)} FROM event WHERE position = ?"
    rows = [access.row(sql, (position,)) for position in (PLACE, PLACE + 1)]
    changed = ", ".join(f"{column} = ?" for column in columns)
    with unguarded(access):
        for row, position in zip(rows, (PLACE + 1, PLACE), strict=True):
            access.run(f"UPDATE event SET {changed} WHERE position = ?", (*(row or ()), position))


def cut_tail(access: Access, _kept: Path) -> None:
    """Take the last events away, in the log and the head, so that all that is left fits together."""
    size = PLACE + 4
    leaves = [bytes(row[0]) for row in access.rows("SELECT leaf_hash FROM event ORDER BY position")]
    frontier, _ = Frontier().append(leaves[:size])
    moments = access.rows("SELECT recorded_at FROM event WHERE position = ?", (size,))
    with unguarded(access):
        for table in ("event", "payload"):
            access.run(f"DELETE FROM {table} WHERE position > ?", (size,))
        for level in range(1, 6):
            access.run("DELETE FROM node WHERE level = ? AND number >= ?", (level, size >> level))
        access.run(
            "UPDATE head SET position = ?, recorded_at = ?, frontier = ?", (size, *moments[0], frontier.to_bytes())
        )


def _forge_document(access: Access, _kept: Path) -> None:
    [(document,)] = access.rows(f"SELECT document FROM revision WHERE position = {PLACE}")
    forged = json.dumps({**json.loads(bytes(document)), "name": "Forged"}).encode()
    access.run(f"UPDATE revision SET document = ? WHERE position = {PLACE}", (forged,))


def _forge_feed(access: Access, _kept: Path) -> None:
    [(item,)] = access.rows(f"SELECT item FROM feed WHERE position = {PLACE}")
    forged = json.dumps({**json.loads(bytes(item)), "reason": "Forged"}).encode()
    access.run(f"UPDATE feed SET item = ? WHERE position = {PLACE}", (forged,))


def _remove_payload_and_mark(access: Access, _kept: Path) -> None:
    with unguarded(access):
        access.run(f"DELETE FROM payload WHERE position = {PLACE}")
        access.run(f"UPDATE feed SET item = ? WHERE position = {PLACE}", (b"no JSON",))


def _drop_trigger(access: Access, _kept: Path) -> None:
    access.run("DROP TRIGGER event_no_delete" if is_sqlite(access) else "DROP TRIGGER event_append_only ON event")


def _replace_signed(_access: Access, kept: Path) -> None:
    kept.write_text(kept.read_text(encoding="utf-8").replace("\n23\n", "\n22\n"), encoding="utf-8")


DAMAGES: dict[str, Way] = {
    "payload": _flipped("payload", "payload"),
    "salt": _flipped("payload", "salt"),
    "payload removed": _statements(f"DELETE FROM payload WHERE position = {PLACE}"),
    "payload removed, feed unreadable": _remove_payload_and_mark,
    "entry": _flipped("event", "entry"),
    "leaf": _flipped("event", "leaf_hash"),
    "event": _statements(f"DELETE FROM event WHERE position = {PLACE}"),
    "swap": _swap,
    "last event": _statements("DELETE FROM event WHERE position = 23"),
    "node": _statements("UPDATE node SET hash = (SELECT leaf_hash FROM event WHERE position = 1) WHERE level = 2 AND number = 2"),
    "upper node": _statements("UPDATE node SET hash = (SELECT leaf_hash FROM event WHERE position = 1) WHERE level = 4"),
    "node removed": _statements("DELETE FROM node WHERE level = 3 AND number = 0"),
    "head": _statements("UPDATE head SET position = 22"),
    "frontier": _statements("UPDATE head SET frontier = (SELECT leaf_hash FROM event WHERE position = 1)"),
    "column": _statements(f"UPDATE event SET kind = 'claim' WHERE position = {PLACE}"),
    "trigger": _drop_trigger,
}  # fmt: skip
FORKS: dict[str, Way] = {
    "tail": cut_tail,
    "signed deleted": lambda _, kept: kept.unlink(),
    "signed replaced": _replace_signed,
}
FORGERIES: dict[str, Way] = {
    "document": _forge_document,
    "agreement": _statements("UPDATE agreement SET state = 'agreed'"),
    "feed": _forge_feed,
    "search": _statements("DELETE FROM search WHERE first_position = 9"),
}
