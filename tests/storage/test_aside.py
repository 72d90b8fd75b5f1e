"""What SQLite does in a thread of its own, and rows given to it many at once."""

import sqlite3
import threading

import pytest

from api.domain.errors import Unavailable
from api.ledger.projecting import rebuild
from api.ledger.storage.spelling import BLOCKS, blocks
from api.ledger.storage.sqlite.aside import Aside
from api.ledger.storage.sqlite.store import SqliteStore
from tests.support.auditor import _projections
from tests.support.builders import a_claim, an_entity, ground

COUNTS = [0, 1, 3, 4, 15, 64, 255, 256, 341, 700]


@pytest.mark.parametrize("count", COUNTS)
def test_rows_are_divided_into_few_sizes_and_keep_their_order(count):
    rows = [[number, str(number)] for number in range(count)]
    given = list(blocks(rows))
    assert [value for _, values in given for value in values] == [value for row in rows for value in row]
    assert [len(values) for _, values in given] == [2 * size for size, _ in given]
    assert {size for size, _ in given} <= set(BLOCKS)


@pytest.mark.parametrize("count", COUNTS)
def test_as_many_rows_as_are_given_are_inserted_and_updated(writing, count):
    access = writing.database.connect()
    numbers = range(1_000_000, 1_000_000 + count)
    access.begin()
    access.insert("span", _SPAN, [["f", number, 1, 9, 0, False, None, None, None, None] for number in numbers])
    if count:
        access.update(
            "span", "until, starts", "field, first_position", [[7, n, "f", n] for n in numbers], where="until = 9"
        )
    found = access.rows("SELECT first_position, until, starts FROM span WHERE field = 'f' ORDER BY first_position")
    access.roll_back()
    access.close()
    assert [tuple(row) for row in found] == [(number, 7, number) for number in numbers]


_SPAN = "field, first_position, since, until, starts, is_moment, start_earliest, start_latest, end_earliest, end_latest"


def test_after_one_thing_failed_nothing_is_done():
    aside, done = Aside(), []
    try:
        aside.do(lambda: done.append("first"))
        failed = aside.do(lambda: 1 / 0)
        after = aside.do(lambda: done.append("second"))
        for waited_for in (failed, after, aside.wait):
            with pytest.raises(ZeroDivisionError):
                waited_for()
    finally:
        aside.stop()
    assert done == ["first"]


def test_what_has_not_begun_when_it_is_stopped_is_never_done():
    aside, begun, may_end, done = Aside(), threading.Event(), threading.Event(), []
    aside.do(lambda: (begun.set(), may_end.wait()))
    aside.do(lambda: done.append("late"))
    begun.wait()
    threading.Timer(0.05, may_end.set).start()
    aside.stop()
    assert done == []


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_what_is_asked_of_the_database_sees_every_change_made_aside(writing):
    access = writing.database.connect()
    with access.transaction(), access.aside():
        for number in range(1, 50):
            access.insert("feed", "position, item", [[1_000 * number + each, b"x"] for each in range(300)])
            later = access.ask("SELECT count(*) FROM feed WHERE item = ?", (b"x",))
            if number % 10 == 0:
                assert access.rows("SELECT count(*) FROM feed WHERE item = ?", (b"x",)) == [(300 * number,)]
            assert later() == [(300 * number,)]
        access.run("DELETE FROM feed WHERE item = ?", (b"x",))
    access.close()


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
@pytest.mark.parametrize("ending", ["ABORT", "ROLLBACK"])
def test_a_change_that_fails_aside_leaves_all_as_it_was(writing, ending):
    """Even where SQLite ends the transaction by itself, so that each change after it would be its own."""
    writing.append(*ground(), *(a_claim(source="paper", question="offline-when") for _ in range(600)))
    writing.append(*(an_entity() for _ in range(600)))
    access = writing.database.connect()
    before = _projections(access)
    access.run(
        f"CREATE TRIGGER fails BEFORE INSERT ON feed WHEN NEW.position = 700 BEGIN SELECT RAISE({ending}, 'no'); END"
    )
    with pytest.raises(sqlite3.IntegrityError, match="no"):
        rebuild.rebuild(access)
    assert _projections(access) == before
    access.run("DROP TRIGGER fails")
    rebuild.rebuild(access)
    assert _projections(access) == before
    access.close()


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_an_sqlite_that_lacks_what_is_needed_is_refused_by_its_version(settings, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 32, 3))
    with pytest.raises(Unavailable, match=r"needs 3\.33"):
        SqliteStore(settings)
