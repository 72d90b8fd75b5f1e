"""The contract, case by case: what the document allows is taken, what it forbids is refused, and answers are as it says.

The command line does the same with all phases, links and two identities: `python -m tests.fuzz`.
"""

import tomllib
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig

from api.ledger.storage.database import Database
from api.ledger.writing import keys
from tests.fuzz.laws import positions_are_gapless, tags_are_positions
from tests.support.forked import serving
from tests.support.histories import ground
from tests.support.served import DATABASES, migrated

ROOT = Path(__file__).parents[2]
_SET = tomllib.loads((ROOT / "tests/fuzz/schemathesis.toml").read_text(encoding="utf-8"))
# Cases for each bound of each field take half a minute to make: CI's own step tries them, with more examples, on a seeded ledger.
_PHASES = {"coverage": {"enabled": False}}
CONFIG = SchemathesisConfig.from_dict({"checks": _SET["checks"], "phases": _PHASES, "seed": 1})
SCHEMA = schemathesis.openapi.from_path(ROOT / "openapi/openapi.json", config=CONFIG)
EXAMPLES = 3
# Those that judge an answer alone.
LAWS = [positions_are_gapless, tags_are_positions]


@pytest.fixture(scope="module", params=DATABASES)
def address(request, tmp_path_factory):
    """A ledger with some of everything, really served, and the header of a key that may write to it."""
    with migrated(request, request.param, tmp_path_factory.mktemp("served")) as settings, serving(settings) as service:
        database = Database(settings)
        key = {"Authorization": f"Bearer {keys.create(database.access(), 'schemathesis', keys.SCOPES, None)}"}
        database.close()
        service.client.post("/v1/batch", json=ground(), headers=key).raise_for_status()
        yield service.url, key


@SCHEMA.parametrize()
@hypothesis.settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_the_contract_holds(case, address):
    place, headers = address
    case.call_and_validate(base_url=place, headers=headers, additional_checks=LAWS)
