"""What a node says of a log that was tampered with: at its start, by looking, and where a reader meets it. Never `ready`."""

from contextlib import closing

import pytest

from api.domain.errors import LogDamaged
from api.ledger.keeping.watch import Watch
from api.ledger.reading import soundness
from api.ledger.signing.checkpoints import kept_path
from api.ledger.storage.database import Database
from tests.support.builders import an_entity, revise
from tests.support.databases import is_sqlite
from tests.support.served import DATABASES, Served, migrated, refused, serve
from tests.support.witnessing import until
from tests.tampering import DAMAGES, FORGERIES, FORKS, PLACE, SHOWN, Vandal, settings, unguarded, write, written

__all__ = ["settings", "written"]
A_REVISION = {"action": "revise", "reason": "Spelt otherwise", "changes": {"name": "Parler LLC"}}


def tamper(settings, way) -> None:
    database = Database(settings)
    access = database.connect()
    way(access, kept_path(settings.signing_key_path))
    access.close()
    database.close()


def assert_refusing(served: Served, slug: str) -> None:
    refused(served.get("/health/ready"), 503, slug)
    refused(served.post("/v1/entities", {"type": "other", "name": "X"}), 503, slug)
    refused(served.post("/v1/batch", [an_entity()]), 503, slug)
    assert served.get("/health/live").status_code == 200


@pytest.mark.parametrize("way", [*DAMAGES, *FORKS])
def test_a_node_that_starts_on_it_reads_and_is_not_ready(settings, way):
    tamper(settings, {**DAMAGES, **FORKS}[way])
    slug = "log-damaged" if way in DAMAGES else "log-refused"
    with serve(settings) as served:
        assert_refusing(served, slug)
        assert served.get("/v1/entities/parler").status_code == 200
        assert served.get(SHOWN).status_code == 200
        refused(served.get("/tlog/checkpoint"), 503, slug) if way in FORKS else None


@pytest.mark.parametrize("way", DAMAGES)
def test_a_node_that_runs_finds_it_by_looking(settings, way):
    with serve(settings) as served:
        assert served.get("/health/ready").status_code == 200
        tamper(settings, DAMAGES[way])
        served.app.state.services.watch.walk()
        assert_refusing(served, "log-damaged")
        assert served.get("/v1/entities/parler").status_code == 200
        metrics = served.get("/metrics").text
        assert "ledger_log_damaged 1.0" in metrics


def test_the_walk_finds_it_by_itself_and_goes_on_until_then(settings):
    with serve(settings) as served:
        watch = Watch(served.database, rest=1.0, pause=0.01)
        watch.start()
        assert until(lambda: watch.rounds > 3)
        assert watch.damage is None
        assert watch.position == 23
        tamper(settings, DAMAGES["event"])
        assert until(lambda: watch.damage is not None)
        watch.stop()
        assert watch.damage == f"position {PLACE}: no event is there"
        with pytest.raises(LogDamaged):
            watch.guard()


MET = {
    "payload": f"/v1/events/{PLACE}",
    "salt": f"/v1/events?exact=true&after={PLACE - 1}",
    "payload removed": f"/v1/events/{PLACE}",
    "payload removed, feed unreadable": f"/v1/events/{PLACE}",
    "entry": f"/v1/events/{PLACE}/proof",
    "leaf": f"/v1/events/{PLACE}",
    "event": f"/v1/events/{PLACE}",
    "swap": f"/v1/events/{PLACE + 1}",
    "last event": "/v1/events?exact=true&after=20",
    "node": f"/v1/events/{PLACE + 4}/proof",
    "node removed": f"/v1/events/{PLACE}/proof",
}


@pytest.mark.parametrize("way", MET)
def test_whoever_reads_it_meets_it_and_the_node_takes_note(settings, way):
    with serve(settings) as served:
        tamper(settings, DAMAGES[way])
        refused(served.get(MET[way]), 503, "log-damaged")
        assert_refusing(served, "log-damaged")
        assert served.get(SHOWN).status_code == 200


@pytest.mark.parametrize(
    ("table", "column", "where"),
    [("node", "hash", "level = 2 AND number = 2"), ("node", "hash", "level = 4"), ("head", "frontier", "1 = 1")]
    + [("event", column, f"position = {PLACE}") for column in ("entry", "leaf_hash", "type", "recorded_at")]
    + [("payload", column, f"position = {PLACE}") for column in ("payload", "salt")],
)
@pytest.mark.parametrize("value", ["'text'", "7"])
@pytest.mark.parametrize("written", ["sqlite"], indirect=True)
def test_what_is_of_another_type_than_was_written_is_damage_too(settings, table, column, where, value):
    """SQLite keeps anything anywhere; nobody who looks may end over it."""
    with serve(settings) as served:
        database = Database(settings)
        with closing(database.connect()) as access, unguarded(access):
            access.run(f"UPDATE {table} SET {column} = {value} WHERE {where}")
        database.close()
        served.app.state.services.watch.walk()
        assert_refusing(served, "log-damaged")
    with serve(settings) as served:
        assert_refusing(served, "log-damaged")


def test_whoever_is_told_what_he_missed_meets_it_too(settings):
    with serve(settings) as served:
        position = served.append(revise("entity", "e2", expect=1, name="Another"))
        database = Database(settings)
        with closing(database.connect()) as access:
            Vandal(access).run("DELETE FROM payload WHERE position = ?", (position,))
        database.close()
        stale = {"If_Match": f'"{PLACE}"'}
        refused(served.post(f"{SHOWN}/revisions", A_REVISION, **stale), 503, "log-damaged")
        assert served.app.state.services.watch.damage is not None
        assert_refusing(served, "log-damaged")


@pytest.mark.parametrize("path", ["/tlog/tile/entries/000.p/23", "/tlog/tile/0/000.p/23", "/v1/events?exact=true", "/v1/proofs/consistency?from=9&to=20"])  # fmt: skip
def test_no_way_of_reading_the_log_passes_over_a_missing_event(settings, path):
    with serve(settings) as served:
        tamper(settings, DAMAGES["event"])
        refused(served.get(path), 503, "log-damaged")
        assert_refusing(served, "log-damaged")


@pytest.mark.parametrize("kind", DATABASES)
def test_the_signer_refuses_a_tree_that_is_not_the_one_that_was_appended_to(request, tmp_path, kind):
    with migrated(request, kind, tmp_path) as fresh, serve(fresh) as served:
        write(served)
        tamper(fresh, DAMAGES["upper node"])
        served.post("/v1/entities", {"type": "other", "name": "X"})
        refused(served.get("/tlog/checkpoint"), 503, "log-damaged")
        assert_refusing(served, "log-damaged")


def test_a_gap_in_the_feed_is_not_passed_over(settings):
    with serve(settings) as served:
        served.database.access().run(f"DELETE FROM feed WHERE position = {PLACE}")
        assert len(served.get("/v1/events?after=0&limit=8").json()["items"]) == 8
        refused(served.get("/v1/events?after=5"), 503, "log-damaged")
        refused(served.get("/health/ready"), 503, "log-damaged")


@pytest.mark.parametrize("way", FORGERIES)
def test_what_is_derived_is_for_verify_to_compare(settings, way):
    """Nothing in the log tells; README says so, and `ledger verify` finds it."""
    with serve(settings) as served:
        tamper(settings, FORGERIES[way])
        served.app.state.services.watch.walk()
        assert served.get("/health/ready").status_code == 200


def test_what_was_redacted_lawfully_is_no_damage(settings):
    with serve(settings) as served:
        for body in (
            {"kind": "claim", "id": "said", "first": 1, "last": 1},
            {"kind": "entity", "id": "e2"},
            {"kind": "entity", "id": "e4", "erase_id": True},
        ):
            made = served.post("/v1/redactions", {**body, "basis": "error", "reason": "A try"})
            assert made.status_code == 201, made.text
        served.app.state.services.watch.walk()
        assert served.get("/v1/events?exact=true&after=0").status_code == 200
        assert served.get(f"/v1/events/{PLACE}").json()["payload"] is None
        assert served.get("/health/ready").status_code == 200
        # Where the feed forgets which redaction it was, the redactions themselves are asked.
        for item in (b"{}", b"no JSON"):
            served.database.access().run("UPDATE feed SET item = ?", (item,))
            assert served.get(f"/v1/events/{PLACE}").status_code == 200
    with serve(settings) as served:
        assert served.get("/health/ready").status_code == 200


@pytest.mark.parametrize("kind", DATABASES)
def test_all_of_a_long_log_is_looked_at(request, tmp_path, kind):
    """Past the first blocks and levels: each node and each event of 1,300 is missed where it is changed."""
    with migrated(request, kind, tmp_path) as fresh, serve(fresh) as served:
        for start in range(0, 1300, 325):
            served.append(*(an_entity(f"n{number}") for number in range(start, start + 325)))
        access = served.database.access()
        size = soundness.look(access).size
        assert size == 1301
        for level, number in ((1, 3), (8, 4), (9, 1), (10, 0)):
            _missed(access, f"UPDATE node SET hash = (SELECT leaf_hash FROM event WHERE position = 1) WHERE level = {level} AND number = {number}")  # fmt: skip
        for position in (1, 256, 257, 1024, 1300, 1301):
            _missed(access, f"DELETE FROM payload WHERE position = {position}")


def _missed(access, statement) -> None:
    access.begin()
    for (name,) in access.rows("SELECT name FROM sqlite_master WHERE type = 'trigger'") if is_sqlite(access) else []:
        access.run(f"DROP TRIGGER {name}")
    if not is_sqlite(access):
        access.run("ALTER TABLE node DISABLE TRIGGER ALL")
        access.run("ALTER TABLE payload DISABLE TRIGGER ALL")
    access.run(statement)
    with pytest.raises(LogDamaged):
        _look_through(access)
    access.roll_back()


def _look_through(access) -> None:
    for block in range(6):
        soundness.check_block(access, block, 1301)
