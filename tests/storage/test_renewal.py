"""Tables that a rebuild fills anew on PostgreSQL: others read the old ones until the new ones take their place."""

import threading

import pytest

from api.domain.errors import Unavailable
from api.ledger.projecting import rebuild
from api.ledger.projecting.pending import NAMES
from api.ledger.reading import views
from api.ledger.storage.postgres import renewal
from tests.support.auditor import _projections
from tests.support.builders import a_claim, ground, revise

pytestmark = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
CONSTRAINTS = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
)
OID = "SELECT 'record'::regclass::oid"


@pytest.fixture
def written(writing, monkeypatch):
    monkeypatch.setattr(rebuild, "_FEW", 0)
    writing.append(*ground(), a_claim("c", source="paper", question="offline-when"), revise("claim", "c", note="x"))
    return writing


def test_the_new_tables_have_every_index_and_constraint_of_the_old_ones_under_its_name(written):
    access = written.database.access()
    before = (access.rows(INDEXES), access.rows(CONSTRAINTS), access.rows(OID))
    rebuild.rebuild(access)
    assert (access.rows(INDEXES), access.rows(CONSTRAINTS)) == before[:2]
    assert access.rows(OID) != before[2], "the table was replaced"
    assert access.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'ledger_anew'") == []


def test_who_reads_meanwhile_sees_the_old_state_and_then_the_new_one(written):
    access, other = written.database.access(), written.database.connect()
    seen = []
    for _ in range(2):
        rebuild.rebuild(access, lambda _: seen.append(views.current(other, "claim", "c").document))
        seen.append(views.current(other, "claim", "c").document)
    other.close()
    assert len(seen) == 4
    assert len(set(seen)) == 1


def test_readers_without_end_meet_no_error_while_tables_are_replaced(written):
    stopping, faults, count = threading.Event(), [], []

    def read():
        access = written.database.connect()
        try:
            while not stopping.is_set():
                count.append(views.current(access, "claim", "c").position)
                access.rows("SELECT count(*) FROM revision v JOIN record r ON r.first_position = v.first_position")
        except Exception as error:  # noqa: BLE001 - told by the test
            faults.append(error)
        finally:
            access.close()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        rebuild.rebuild(written.database.access())
    stopping.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert set(count) == {views.current(written.database.access(), "claim", "c").position}


def test_who_needs_one_state_for_long_is_waited_for(written):
    """A check of the whole ledger would find the new tables empty, for they came after the state that it looks at."""
    other, done = written.database.connect(), []
    with other.snapshot():
        other.upkeep.hold(NAMES)
        thread = threading.Thread(target=lambda: done.append(rebuild.rebuild(written.database.connect())))
        thread.start()
        thread.join(1)
        assert not done
        assert other.rows("SELECT count(*) FROM revision") == [(written.database.access().row(_HEAD)[0],)]
    thread.join()
    other.close()
    assert done


_HEAD = "SELECT position FROM head"


def test_who_reads_for_too_long_makes_a_rebuild_give_up_with_nothing_changed(written, monkeypatch):
    monkeypatch.setattr(renewal, "_TRIES", 2)
    access, other = written.database.access(), written.database.connect()
    before = (_projections(access), access.rows(OID))
    with other.snapshot():
        other.upkeep.hold(NAMES)
        with pytest.raises(Unavailable, match="too long"):
            rebuild.rebuild(access)
    other.close()
    assert (_projections(access), access.rows(OID)) == before


ADDED = {
    "a view": ("CREATE VIEW shown AS SELECT id FROM record", "SELECT count(*) > 0 FROM shown"),
    "a grant": (
        "GRANT SELECT ON record TO PUBLIC",
        "SELECT relacl IS NOT NULL FROM pg_class WHERE oid = 'record'::regclass",
    ),
    "a trigger": (
        "CREATE TRIGGER theirs AFTER DELETE ON record FOR EACH STATEMENT EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "SELECT count(*) = 1 FROM pg_trigger WHERE tgname = 'theirs'",
    ),
}


@pytest.mark.parametrize("what", ADDED)
def test_what_an_operator_built_on_the_tables_stays(written, what):
    access = written.database.access()
    built, is_there = ADDED[what]
    access.run(built)
    if what == "a trigger":
        # It is for updates; that it is there is the point.
        access.run("ALTER TABLE record DISABLE TRIGGER theirs")
    before = (_projections(access), access.rows(OID))
    rebuild.rebuild(access)
    assert (_projections(access), access.rows(OID)) == before
    assert access.rows(is_there) == [(True,)]


def test_a_rebuild_that_fails_leaves_all_as_it_was(written):
    access = written.database.access()
    before = (_projections(access), access.rows(OID))

    def fail(_: int) -> None:
        raise Unavailable("the terminal is gone")

    with pytest.raises(Unavailable, match="terminal"):
        rebuild.rebuild(access, fail)
    assert (_projections(access), access.rows(OID)) == before
