"""A column of values that we pack ourselves is the array that the server reads."""

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.ledger.storage.postgres.column import column, register

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
VALUES = {
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "boolean": st.booleans(),
    "bytea": st.binary(),
    "text": _TEXT,
    "varchar": _TEXT,
}


@pytest.fixture(scope="module")
def server(postgres):
    with psycopg.connect(postgres.replace("+psycopg", ""), autocommit=True) as connection:
        register(connection.adapters)
        yield connection


@pytest.mark.parametrize("type_", VALUES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(data=st.data())
def test_the_server_reads_the_values_that_were_packed(server, type_, data):
    values = data.draw(st.lists(st.none() | VALUES[type_], min_size=1) | st.lists(VALUES[type_], min_size=1))
    read = server.execute(f"SELECT given FROM unnest(%b::{type_}[]) AS given", (column(type_, values),))
    assert [row[0] for row in read] == values
