"""`ledger accept`: an operator who has verified lets a ledger go on whose memory of what was signed is gone."""

import os
from contextlib import closing

import pytest
from click.testing import CliRunner, Result

from api.__main__ import main
from api.ledger.reading.soundness import ledger_state
from api.ledger.signing.acknowledged import Acknowledged
from api.ledger.signing.checkpoints import kept_path
from api.ledger.storage.database import Database
from api.settings import Settings
from tests.support.builders import an_entity
from tests.support.served import refused, serve
from tests.support.witnessing import until
from tests.tampering import Vandal


def accept(settings: Settings) -> Result:
    environment = {"LEDGER_DATABASE_URL": settings.database_url, "LEDGER_SIGNING_KEY": str(settings.signing_key_path)}
    return CliRunner().invoke(main, ["accept"], env=environment)


def test_a_ledger_goes_on_once_its_head_is_accepted_also_while_it_is_served(settings):
    with serve(settings) as served:
        served.append(an_entity(), an_entity())
        assert served.get("/tlog/checkpoint").status_code == 200
        kept_path(settings.signing_key_path).unlink()
        refused(served.get("/health/ready"), 503, "log-refused")

        result = accept(settings)

        assert result.exit_code == 0, result.output
        assert "sound: 3 events" in result.output
        assert "accepted position 3, where nothing was remembered; root " in result.output
        assert until(lambda: served.get("/health/ready").status_code == 200)
        assert served.append(an_entity()) == 4
        assert served.get("/tlog/checkpoint").text.split("\n")[1] == "4"


def test_what_is_remembered_leaves_nothing_to_accept(settings):
    with serve(settings) as served:
        served.append(an_entity())
    note = kept_path(settings.signing_key_path).read_bytes()
    result = accept(settings)
    assert result.exit_code == 0, result.output
    assert "nothing to accept" in result.output
    assert kept_path(settings.signing_key_path).read_bytes() == note


def lose_what_was_acknowledged(settings: Settings, position: int) -> None:
    """Leave a ledger as a copy is that was restored: nothing that was signed is missing, and an event that came after it is."""
    database = Database(settings)
    with closing(database.connect()) as access:
        acknowledged = Acknowledged(settings.signing_key_path)
        acknowledged.check(access, ledger_state(access)["keys"][0]["vkey"])
        acknowledged.note(position, os.urandom(32))
    database.close()


def test_a_log_that_lost_only_what_was_acknowledged_goes_on_once_it_is_accepted(settings):
    with serve(settings) as served:
        served.append(an_entity(), an_entity())
        assert served.get("/tlog/checkpoint").status_code == 200
    lose_what_was_acknowledged(settings, 5)
    with serve(settings) as served:
        assert "lost position 5" in refused(served.get("/health/ready"), 503, "log-refused")["detail"]
    result = accept(settings)
    assert result.exit_code == 0, result.output
    assert "sound: 3 events" in result.output
    assert (
        "accepted position 3, though the log has lost position 5, which was acknowledged before; root " in result.output
    )
    assert "start the nodes anew that go on refusing it" in result.output
    with serve(settings) as served:
        assert served.get("/health/ready").status_code == 200
        assert served.append(an_entity(), an_entity()) == 5
        assert served.get("/tlog/checkpoint").text.split("\n")[1] == "5"
    assert "nothing to accept" in accept(settings).output


def test_a_damaged_log_that_lost_what_was_acknowledged_is_not_accepted(settings):
    with serve(settings) as served:
        served.append(an_entity(), an_entity())
    lose_what_was_acknowledged(settings, 5)
    database = Database(settings)
    Vandal(database.access()).run("UPDATE payload SET payload = salt WHERE position = 2")
    database.close()
    for _ in range(2):
        result = accept(settings)
        assert result.exit_code == 1
        assert "position 2: salt and payload are not" in result.output


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["DELETE FROM event WHERE position = 3"], "position 3: no event is there"),
        (["UPDATE payload SET payload = salt WHERE position = 3"], "position 3: salt and payload are not"),
        (["UPDATE node SET hash = (SELECT leaf_hash FROM event WHERE position = 1)"], "tree node 0 of level 1"),
    ],
)
def test_a_damaged_log_is_not_accepted(settings, statements, told):
    with serve(settings) as served:
        served.append(an_entity(), an_entity(), an_entity())
    kept_path(settings.signing_key_path).unlink()
    database = Database(settings)
    for statement in statements:
        Vandal(database.access()).run(statement)
    database.close()
    result = accept(settings)
    assert result.exit_code == 1
    assert told in result.output
    assert not kept_path(settings.signing_key_path).exists()


@pytest.mark.parametrize("remembered", ["more", "another log", "garbage"])
def test_a_log_that_does_not_lead_to_what_was_signed_is_not_accepted(settings, remembered):
    with serve(settings) as served:
        served.append(an_entity(), an_entity())
    beside = kept_path(settings.signing_key_path)
    if remembered == "more":
        database = Database(settings)
        for table in ("event", "payload"):
            Vandal(database.access()).run(f"DELETE FROM {table} WHERE position = 3")
        database.close()
    elif remembered == "another log":
        beside.write_text(beside.read_text(encoding="utf-8").replace(".ledger.invalid", ".other.invalid"))
    else:
        beside.write_text("garbage")
    note = beside.read_bytes()
    result = accept(settings)
    assert result.exit_code == 1
    assert beside.read_bytes() == note
