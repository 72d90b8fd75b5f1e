"""Versions of what payloads say, by kind. What was recorded under an earlier one is never rewritten: it is read as the newest.

A payload does not tell its version; its entry does, and so does what an earlier one lacks.
"""

from collections.abc import Mapping
from typing import Final

from api.domain.records.record import State

# What fields of a kind say where a payload is from before there were such.
MISSING: Final[Mapping[str, State]] = {"question": {"aliases": []}}


def schema_of(kind: str, state: State) -> int:
    """Give the version of a payload that holds a state of a kind."""
    fields = MISSING.get(kind)
    return 1 if fields is None or not fields.keys() <= state.keys() else 2


def upcast(kind: str, state: State) -> State:
    """Read a state of any version as one of the newest."""
    missing = MISSING.get(kind)
    return state if missing is None or missing.keys() <= state.keys() or "about" not in state else {**missing, **state}
