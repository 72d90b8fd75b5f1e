"""Members of JSON objects: whether a name stands twice in one object, and where.

msgspec keeps the last of several members of one name and does not tell, so what is sent is read once more by `json`, which
hands over every member: 3.5 µs an operation of a batch, where to append one takes some hundreds. What a body may hold is
told elsewhere.
"""

import json
from collections.abc import Iterable
from typing import Final


class _Repeated(Exception):
    """An object has two members of one name."""


def _once_each(members: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(members)
    if len(found) < len(members):
        raise _Repeated
    return found


# Made once: to make one costs more than to read a body.
_UNREPEATING: Final = json.JSONDecoder(object_pairs_hook=_once_each)
_IN_FULL: Final = json.JSONDecoder(object_pairs_hook=tuple)


def repeated_name(raw: bytes) -> str | None:
    """Point to the first member that bears the name of one before it in its object (RFC 7493 section 2.3).

    Takes a JSON text that was parsed before, and gives a JSON Pointer (RFC 6901); None where no name stands twice.
    """
    text = raw.decode()
    try:
        _UNREPEATING.decode(text)
    except _Repeated:
        return _first_repeated(_IN_FULL.decode(text), "")
    return None


def _first_repeated(value: object, pointer: str) -> str | None:
    """Look through a value whose objects are tuples of members."""
    seen: set[object] = set()
    for name, item in _members(value):
        here = f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"
        found = here if name in seen else _first_repeated(item, here)
        if found is not None:
            return found
        seen.add(name)
    return None


def _members(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, tuple):
        return value
    return enumerate(value) if isinstance(value, list) else ()
