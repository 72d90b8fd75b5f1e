"""After a redaction on PostgreSQL tables are written anew beside the old ones, while others read and append."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from api.domain.errors import LedgerError, NotPurged
from api.ledger.keeping.watch import Watch
from api.ledger.reading import lists, views
from api.ledger.reading.selection import Selection
from api.ledger.storage.access import Access
from api.ledger.storage.postgres import renewal, rewriting
from api.ledger.writing import redacting
from api.ledger.writing.redacting import REDACTED_FROM
from tests.storage.test_renewal import CONSTRAINTS, INDEXES
from tests.support.auditor import _projections
from tests.support.builders import Writing, a_claim, a_question, a_source, an_entity, ground, restore, retract, revise

pytestmark = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
TRIGGERS = "SELECT tgname, tgenabled::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'payload'::regclass ORDER BY 1"
LEFT = "SELECT 1 FROM pg_namespace WHERE nspname = 'ledger_anew'"
C = {"source": "paper", "question": "offline-when"}


@pytest.fixture
def claims(writing: Writing, monkeypatch: pytest.MonkeyPatch) -> Writing:
    """A few claims, and tables that are copied a few positions at a time."""
    monkeypatch.setattr(rewriting, "_AT_ONCE", 20)
    monkeypatch.setattr(rewriting, "_FEW", 2)
    writing.append(*ground(), *(a_claim(f"c{number}", **C) for number in range(40)))
    return writing


def _oids(access: Access) -> dict[str, int]:
    return {table: access.rows(f"SELECT '{table}'::regclass::oid")[0][0] for table in REDACTED_FROM}


def _redact(writing: Writing, claim: str, **more: Any) -> None:
    done = writing.redact("claim", claim, **more)
    redacting.purge(writing.database, done.position, done.traces)


@contextmanager
def _meanwhile(*works: Callable[[int], object]) -> Iterator[list[int]]:
    """Do things again and again in threads of their own, each told how often it was done. Gives how often in the end."""
    is_over, faults, counts = threading.Event(), list[BaseException](), [0] * len(works)

    def go_on(index: int) -> None:
        try:
            while not is_over.is_set():
                works[index](counts[index])
                counts[index] += 1
        except BaseException as error:  # noqa: BLE001 - told by the test
            faults.append(error)

    threads = [threading.Thread(target=go_on, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert faults == []


def test_the_tables_have_everything_of_the_old_ones_and_only_those_that_changed_are_written(claims: Writing) -> None:
    access = claims.database.access()
    before = [access.rows(sql) for sql in (INDEXES, CONSTRAINTS, TRIGGERS)]
    oids = _oids(access)
    claims.append(revise("claim", "c7", expect=1, note="x"))
    _redact(claims, "c7", first=1, last=1)
    assert [access.rows(sql) for sql in (INDEXES, CONSTRAINTS, TRIGGERS)] == before
    assert access.rows(LEFT) == []
    replaced = {table for table, oid in _oids(access).items() if oids[table] != oid}
    assert replaced >= {"payload", "revision", "feed", "search_index"}
    # The record stands where it stood, and so does the question.
    assert replaced & {"record", "agreement"} == set()
    _redact(claims, "c8", erase_id=True)
    assert _oids(access)["record"] != oids["record"]


def test_what_is_appended_meanwhile_is_neither_lost_nor_doubled(claims: Writing) -> None:
    """Writers revise the very records that are copied, in all tables, and readers of all kinds meet no error."""
    reads, chosen = claims.database.connect(), Selection(kind="claim", limit=50, order="-recorded")
    revised = [f"c{number}" for number in range(20, 26)]
    told = {"source": "paper", "question": "since-when"}
    claims.append(
        a_question("since-when", about="parler"), a_claim("once", **told), a_claim("twice", **told, stance="denies")
    )

    def write(number: int) -> None:
        claim, turn = revised[number % len(revised)], number // len(revised)
        deeds = [
            revise("claim", claim, statement=f"It was said {number} times.", answer={"type": "time", "edtf": f"2{number:03}"}),
            retract("claim", claim), restore("claim", claim),
        ]  # fmt: skip
        claims.append({**deeds[turn % 3], "expect": 1 + turn}, an_entity(f"e{number}", note=f"word{number}"))
        # Agreement on the question turns each time.
        claims.append({**(restore if number % 2 else retract)("claim", "twice"), "expect": 1 + number})
        if number % 3 == 0:
            claims.append(
                revise("source", "paper", expect=1 + number // 3, authors=[f"Author {number}"], published=f"2{number:03}"),
                a_claim(**C),
            )  # fmt: skip

    def read(_: int) -> None:
        assert views.current(reads, "claim", "c1").document
        assert len(lists.select(reads, chosen)[1]) >= 30

    with _meanwhile(write, read) as counts:
        for number in range(4):
            done = claims.redact("claim", f"c{number + 10}", erase_id=number % 2 == 1)
            # Where it is not known what was removed, every table is written anew.
            redacting.purge(claims.database, done.position, done.traces if number % 2 else None)
    reads.close()
    assert min(counts) > 10
    access = claims.database.access()
    # With the one of the ground.
    assert access.rows("SELECT count(*) FROM record WHERE kind = 'entity'") == [(counts[0] + 1,)]
    assert redacting.is_purged(access)


def test_the_watch_finds_no_damage_meanwhile(claims: Writing) -> None:
    """It looks at one state of the database, for which a table that came later would be empty and unprotected."""
    watch = Watch(claims.database, rest=0.0)
    with _meanwhile(lambda _: watch.look(), lambda _: watch.walk()) as counts:
        for number in range(4):
            _redact(claims, f"c{number}")
    assert watch.damage is None
    assert min(counts) > 3


def test_nobody_waits_for_long_while_somebody_reads_and_reads(claims: Writing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long reader makes the purge wait, and nobody wait behind the purge."""
    monkeypatch.setattr(rewriting, "_TRIES", 4)
    reader, waits = claims.database.connect(), [0.0]
    done = claims.redact("claim", "c3")

    def write(_: int) -> None:
        began = time.perf_counter()
        claims.append(an_entity())
        assert views.current(claims.database.access(), "claim", "c1").document
        waits.append(time.perf_counter() - began)

    with reader.transaction():
        # Such a transaction looks at no older state, and keeps the table from being dropped.
        reader.upkeep.hold(["payload"])
        with _meanwhile(write), pytest.raises(NotPurged, match="payload"):
            redacting.purge(claims.database, done.position, done.traces)
    reader.close()
    assert max(waits) < 2
    redacting.purge(claims.database, done.position, done.traces)
    assert redacting.is_purged(claims.database.access())


@pytest.fixture
def at_copying(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[Access], object]]]:
    """Things to do once each, one after another, after rows were copied."""
    copy, deeds = rewriting._copy, list[Callable[[Access], object]]()

    def copy_and_do(access: Access, anew: renewal.Anew, which: str) -> None:
        copy(access, anew, which)
        if deeds:
            deeds.pop(0)(access)

    monkeypatch.setattr(rewriting, "_copy", copy_and_do)
    yield deeds
    assert deeds == []


def test_a_redaction_that_comes_meanwhile_is_not_undone(claims: Writing, at_copying: list[Any]) -> None:
    others = [claims.redact("claim", "c1")]
    at_copying += [lambda _: None, lambda _: others.append(claims.redact("claim", "c2"))]
    redacting.purge(claims.database, others[0].position, others[0].traces)
    access = claims.database.access()
    assert not redacting.is_purged(access)
    redacting.purge(claims.database, others[1].position, others[1].traces)
    assert redacting.is_purged(access)
    assert access.rows("SELECT count(*) FROM payload")[0][0] == others[1].position - 2


def test_redactions_without_end_are_named(
    claims: Writing, at_copying: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "_STARTS", 2)
    done = claims.redact("claim", "c1")
    at_copying += [lambda _: claims.redact("claim", "c2"), lambda _: claims.redact("claim", "c3")]
    with pytest.raises(NotPurged, match="other redactions"):
        redacting.purge(claims.database, done.position, done.traces)
    assert redacting.finish(claims.database) == ""
    assert redacting.is_purged(claims.database.access())


def _die(access: Access) -> None:
    [(process,)] = access.rows("SELECT pg_backend_pid()")
    with pytest.raises(psycopg.OperationalError):
        access.rows("SELECT pg_terminate_backend(?)", (process,))


@pytest.mark.parametrize("is_purged", [False, True], ids=["before", "though all was purged"])
def test_what_a_purge_that_was_killed_left_is_gone_after_the_next_start(
    claims: Writing, at_copying: list[Any], is_purged: bool
) -> None:
    access = claims.database.access()
    done = claims.redact("claim", "c1")
    if is_purged:
        redacting.purge(claims.database, done.position, done.traces)
    before = _projections(access)
    at_copying += [lambda _: None, _die]
    with pytest.raises(NotPurged):
        redacting.purge(claims.database)
    assert access.rows(LEFT) == [(1,)]
    assert _projections(access) == before
    assert redacting.finish(claims.database) == ""
    assert access.rows(LEFT) == []
    assert redacting.is_purged(access)
    assert _projections(access) == before


def test_one_node_purges_at_a_time(claims: Writing) -> None:
    done, other = claims.redact("claim", "c1"), claims.database.connect()
    with other.upkeep.alone():
        with pytest.raises(NotPurged, match="another process"):
            redacting.purge(claims.database, done.position, done.traces, turn=0)
        assert "another process" in redacting.finish(claims.database)
    other.close()
    assert redacting.finish(claims.database) == ""


BUILT = {
    "a view": "CREATE VIEW shown AS SELECT document FROM revision",
    "a grant": "GRANT SELECT ON revision TO PUBLIC",
    "a setting": "ALTER TABLE revision SET (autovacuum_vacuum_scale_factor = 0.01)",
    "a foreign key": "CREATE TABLE mine (position bigint REFERENCES revision)",
    "a publication": "CREATE PUBLICATION told FOR TABLE revision",
}


@pytest.mark.parametrize("what", BUILT)
def test_a_table_on_which_an_operator_built_is_written_in_its_own_place(claims: Writing, what: str) -> None:
    access = claims.database.access()
    access.run(BUILT[what])
    oids, [(file,)] = _oids(access), access.rows(_FILE)
    _redact(claims, "c1")
    assert _oids(access)["revision"] == oids["revision"]
    assert access.rows(_FILE) != [(file,)]
    assert _oids(access)["payload"] != oids["payload"]
    assert redacting.is_purged(access)


_FILE = "SELECT pg_relation_filenode('revision')"


def test_an_operators_trigger_is_taken_along(claims: Writing) -> None:
    access = claims.database.access()
    access.run(
        "CREATE TRIGGER theirs BEFORE UPDATE ON term FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    )
    access.run("ALTER TABLE term DISABLE TRIGGER theirs")
    sql = "SELECT tgname, tgenabled::text FROM pg_trigger WHERE tgrelid = 'term'::regclass"
    before, oids = access.rows(sql), _oids(access)
    _redact(claims, "c1")
    assert access.rows(sql) == before
    assert _oids(access)["term"] != oids["term"]


def test_a_source_with_nothing_else_of_it_is_purged_as_well(claims: Writing) -> None:
    """Tables are told by what changed in them, whatever kind of record was redacted."""
    claims.append(a_source("alone", published="2020"), a_source("beside"))
    done = claims.redact("source", "alone")
    assert done.traces is not None
    assert set(done.traces.tables) >= {"payload", "revision", "feed", "span", "search_index"}
    redacting.purge(claims.database, done.position, done.traces)
    assert redacting.is_purged(claims.database.access())


def test_a_redaction_that_is_refused_purges_nothing(claims: Writing) -> None:
    oids = _oids(claims.database.access())
    with pytest.raises(LedgerError):
        _redact(claims, "none")
    assert _oids(claims.database.access()) == oids
