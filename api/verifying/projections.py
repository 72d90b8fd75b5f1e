"""The projections held, row by row, against those that a rebuild makes of the same log in a scratch copy."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from api.ledger.reading import inspection
from api.ledger.reading.inspection import Table
from api.ledger.storage.access import Access
from api.ledger.storage.reads import Row
from api.verifying.findings import Findings

# Which of its columns tells best at which position a row came to be.
_PLACES = ("position", "since", "first_position")
_Keyed = Iterator[tuple[tuple[object, ...], dict[tuple[object, ...], Row]]]
_WORDS = Table("search_index", ("since", "words"), ("since",), ("since",))


def check_projections(findings: Findings, access: Access, scratch: Access) -> int:
    """Compare every projection with a fresh one; give the number of rows."""
    count = 0
    for table in inspection.tables():
        count += _compare(findings, table, inspection.rows(access, table), inspection.rows(scratch, table))
    return count + _compare_words(findings, access, scratch)


def _compare(findings: Findings, table: Table, stored: Iterator[Row], fresh: Iterator[Row]) -> int:
    """Walk two tables side by side in order of their keys."""
    count = 0
    for left, right in _aligned(_grouped(table, stored), _grouped(table, fresh)):
        for key in {**left, **right}:
            count += key in right
            _compare_row(findings, table, left.get(key), right.get(key))
    return count


def _compare_row(findings: Findings, table: Table, stored: Row | None, fresh: Row | None) -> None:
    if stored == fresh:
        return
    place = _place(table, fresh or stored or ())
    if stored is None:
        findings.add(f"a row of {table.name} is missing", place)
    elif fresh is None:
        findings.add(f"a row of {table.name} is there that the log does not call for", place)
    else:
        pairs = zip(table.columns, stored, fresh, strict=True)
        names = ", ".join(name for name, old, new in pairs if old != new)
        findings.add(f"a row of {table.name} differs from what the log calls for, in: {names}", place)


def _place(table: Table, row: Sequence[object]) -> int | None:
    column = next(name for name in _PLACES if name in (table.key if table.key[0] in _PLACES else table.columns))
    place = row[table.columns.index(column)] if row else None
    return place if isinstance(place, int) else None


def _grouped(table: Table, rows: Iterator[Row]) -> _Keyed:
    """Gather the rows that agree in the whole numbers of their key; there are few, whatever the size of the table."""
    order = [table.columns.index(name) for name in table.order]
    keys = [table.columns.index(name) for name in table.key]
    for place, group in groupby(rows, lambda row: tuple(row[index] for index in order)):
        yield place, {tuple(row[index] for index in keys): row for row in group}


def _aligned(
    left: _Keyed, right: _Keyed
) -> Iterator[tuple[dict[tuple[object, ...], Row], dict[tuple[object, ...], Row]]]:
    ours, theirs = next(left, None), next(right, None)
    while ours is not None or theirs is not None:
        if theirs is None or (ours is not None and ours[0] < theirs[0]):
            yield (ours or ((), {}))[1], {}
            ours = next(left, None)
        elif ours is None or theirs[0] < ours[0]:
            yield {}, theirs[1]
            theirs = next(right, None)
        else:
            yield ours[1], theirs[1]
            ours, theirs = next(left, None), next(right, None)


def _compare_words(findings: Findings, access: Access, scratch: Access) -> int:
    """Compare what searches find: the words as they stand in a table, or where an index is all there is, its entries."""
    stored, fresh = access.words.entries(), scratch.words.entries()
    if stored is None or fresh is None:
        return _compare(findings, _WORDS, inspection.words(access), inspection.words(scratch))
    count, ours, theirs = 0, next(stored, None), next(fresh, None)
    while ours is not None or theirs is not None:
        if ours == theirs:
            ours, theirs, count = next(stored, None), next(fresh, None), count + 1
        elif theirs is None or (ours is not None and _bytes(ours) < _bytes(theirs)):
            findings.add("the full-text index finds a word there that the log does not call for", (ours or ("", 0))[1])
            ours = next(stored, None)
        else:
            findings.add("the full-text index misses a word", theirs[1])
            theirs, count = next(fresh, None), count + 1
    return count


def _bytes(entry: tuple[str, int]) -> tuple[bytes, int]:
    return entry[0].encode("utf-8", "surrogateescape"), entry[1]
