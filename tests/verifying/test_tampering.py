"""Whoever holds the database and tampers with it is found out by each who looks there; and who does not look says so."""

import pytest

from tests.tampering import FORGERIES
from tests.tampering.table import WAYS, look

# What is kept beside the log and not served changes nothing that a stranger could see.
UNSEEN = {"trigger"}
# Of these the log as it is served is the one that was signed.
BESIDE_THE_LOG = {"node", "node removed", "column", *UNSEEN, *FORGERIES}


@pytest.mark.parametrize("way", WAYS)
def test_nobody_passes_what_was_tampered_with(settings, way, record_property):
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
