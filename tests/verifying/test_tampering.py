"""Whoever holds the database and tampers with it is found out by each who looks there; and who does not look says so."""

import pytest

from tests.tampering import FORGERIES, settings, written
from tests.tampering.table import SAMPLES, WAYS, look

__all__ = ["settings", "written"]
# What is kept beside the log and not served changes nothing that a stranger could see.
UNSEEN = {"trigger"}
# Of these the log as it is served is the one that was signed.
BESIDE_THE_LOG = {"node", "node removed", "column", *UNSEEN, *FORGERIES}


@pytest.mark.parametrize("way", [way for way in WAYS if way not in SAMPLES])
def test_nobody_passes_what_was_tampered_with(settings, way, record_property):
    hold(settings, way, record_property)


# To try all that a served ledger says takes long; it is asked by HTTP alone, and so the same twice.
@pytest.mark.parametrize("written", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
# A node that is gone shows in the answers in which one that is wrong shows.
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[pytest.mark.slow] if way == "node removed" else []) for way in SAMPLES]
)
def test_nobody_passes_what_shows_in_few_answers(settings, way, record_property):
    hold(settings, way, record_property)


def hold(settings, way, record_property):
    row = look(settings, way)
    record_property("SQLite" if settings.is_sqlite else "PostgreSQL", row.cells)
    assert not row.inside.passes
    for node in (row.running, row.starting):
        assert node.passes is (way in FORGERIES), node
    assert row.outside.passes is (way in UNSEEN), row.outside
    assert not (row.outside.passes and row.forged)
    assert row.script.passes is (way in BESIDE_THE_LOG), row.script
    if row.script.passes:
        assert "not looked at: what the server makes of it" in row.script.words.lower()
