"""Header fields: lines of one name are one list, and what they cost grows no faster than they do."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from api.routes.edge.limits import is_host
from api.routes.edge.operation import _headers


def _scope(*headers: tuple[bytes, bytes]) -> Any:
    return {"headers": list(headers)}


def test_lines_of_one_name_are_one_list_in_their_order() -> None:
    read = _headers(_scope((b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"a", b"")))
    assert read == {"a": "1, 3, ", "b": "2"}


def test_joining_many_lines_costs_in_proportion() -> None:
    values = [b"x" * 400] * 32_000
    scope = _scope(*((b"a", value) for value in values))
    at_once = min(_seconds(lambda: ", ".join([value.decode("latin-1") for value in values])) for _ in range(3))
    # Joined one by one they would be copied 16,000 times.
    assert min(_seconds(lambda: _headers(scope)) for _ in range(3)) < 50 * at_once


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


GOOD = [
    "ledger.example",
    "LEDGER.example.:8443",
    "localhost",
    "my_host",
    "127.0.0.1:8000",
    "[::1]",
    "[::ffff:1.2.3.4]:1",
    "x:",
]


@pytest.mark.parametrize("host", GOOD)
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert is_host(host)
