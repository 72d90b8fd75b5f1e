"""What reading costs, counted and not timed."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg

from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from tests.support.databases import connected, is_sqlite


class _Watched:
    """A connection that keeps what was asked of it."""

    def __init__(self, engine: Any) -> None:
        super().__init__(engine)
        self.asked: list[tuple[str, Any]] = []

    def rows(self, sql: str, parameters: Any = ()) -> list[Any]:
        self.asked.append((sql, parameters))
        return super().rows(sql, parameters)


def watched(database: Database) -> Any:
    return connected(database, _Watched)


def effort(access: Any, read: Callable[[Access], Any]) -> int:
    """Count the steps of SQLite's virtual machine, or the rows that PostgreSQL looks at."""
    if not is_sqlite(access):
        return sum(_rows(explain(access, *asked)) for asked in access.asked)
    steps = [0]

    def count() -> None:
        steps[0] += 1

    access.driver.set_progress_handler(count, 1)
    read(access)
    access.driver.set_progress_handler(None, 0)
    return steps[0]


def explain(access: Access, sql: str, parameters: Any) -> dict[str, Any]:
    with psycopg.ClientCursor(access.driver) as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql.replace("?", "%s"), parameters)
        return cursor.fetchone()[0][0]["Plan"]


def _rows(plan: dict[str, Any]) -> int:
    own = plan["Actual Rows"] + sum(
        plan.get(f"Rows Removed by {how}", 0) for how in ("Filter", "Join Filter", "Index Recheck")
    )
    return int(own * plan["Actual Loops"]) + sum(_rows(each) for each in plan.get("Plans", []))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", []):
        yield from nodes(each)
