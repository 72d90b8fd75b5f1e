"""After a redaction SQLite's file is written over where something is left of what was removed, and nowhere else."""

import random
import secrets
import sqlite3
import struct
import threading
import time
from pathlib import Path

import pytest

from api.domain.errors import NotPurged
from api.ledger.storage.sqlite.pages import Leftover, leftovers
from api.ledger.storage.upkeep import Traces
from api.ledger.writing import redacting
from tests.support.builders import Writing, a_source, an_entity, ground, revise

pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)


def _path(writing: Writing) -> Path:
    return writing.database.access().upkeep.file


def _left(writing: Writing, traces: Traces) -> list[Leftover]:
    return leftovers(_path(writing), traces.texts, traces.salts)


def _authors(writing: Writing, count: int) -> dict[str, list[str]]:
    """Record sources of many authors, so that the pages of what they are found by split again and again."""
    found: dict[str, list[str]] = {}
    for number in range(count):
        authors = [f"{secrets.token_hex(12)} {secrets.token_hex(3)}" for _ in range(random.choice((1, 2, 8)))]
        found[f"s{number}"] = authors
        writing.append(a_source(f"s{number}", authors=authors))
    return found


def _redact(writing: Writing, source: str) -> None:
    done = writing.redact("source", source)
    redacting.purge(writing.database, done.position, done.traces)


def test_what_is_left_between_rows_is_written_over_and_the_file_is_not_written_anew(writing: Writing) -> None:
    """SQLite leaves such copies now and then as it lays pages out anew; here they are put where it would leave them."""
    writing.append(*ground())
    found, access = _authors(writing, 150), writing.database.access()
    access.run("CREATE TABLE aside (x BLOB)")
    access.run("INSERT INTO aside VALUES (zeroblob(40000))")
    access.run("DROP TABLE aside")
    name = found["s70"][0]
    done = writing.redact("source", "s70")
    access.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    assert _left(writing, done.traces) == []
    put = _put_between_rows(_path(writing), f"..{name}..".encode())
    assert put.keys() == {"term", "ix_term_first_position", "sqlite_autoindex_record_1"}
    left = _left(writing, done.traces)
    assert {each.page for each in left} == {page for pages in put.values() for page in pages}
    assert all(each.key for each in left)
    redacting.purge(writing.database, done.position, done.traces)
    assert _left(writing, done.traces) == []
    assert _left_in_file(_path(writing), (name,)) == set()
    # To write the file anew would leave no free page.
    assert access.rows("PRAGMA freelist_count")[0][0] > 0


def test_what_is_left_where_no_row_can_be_put_beside_is_gone_when_the_file_is_written_anew(writing: Writing) -> None:
    writing.append(*ground(), *(an_entity(f"e{number}", note=f"{secrets.token_hex(30)}") for number in range(50)))
    done = writing.redact("entity", "e7")
    writing.database.access().rows("PRAGMA wal_checkpoint(TRUNCATE)")
    [salt] = done.traces.salts
    put = _put_between_rows(_path(writing), salt, trees=("payload",))
    assert {each.page: each.key for each in _left(writing, done.traces)} == dict.fromkeys(put["payload"])
    redacting.purge(writing.database, done.position, done.traces)
    assert salt not in _path(writing).read_bytes()


def _put_between_rows(
    path: Path, raw: bytes, trees: tuple[str, ...] = ("term", "ix_term_first_position", "sqlite_autoindex_record_1")
) -> dict[str, list[int]]:
    """Put bytes into the room between the two ends of all pages of some trees that have it; give those pages."""
    with sqlite3.connect(path) as connection:
        roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0"))
        [(size,)] = connection.execute("PRAGMA page_size")
    connection.close()
    held, put = bytearray(path.read_bytes()), dict[str, list[int]]()
    for tree in trees:
        for page in _pages_below(held, roots[tree], size):
            kind, _, cells, content = struct.unpack_from(">BHHH", held, (page - 1) * size)
            first = (page - 1) * size + (12 if kind in (2, 5) else 8) + 2 * cells
            if kind != 5 and (page - 1) * size + content - first > len(raw) + 40:
                held[first + 20 : first + 20 + len(raw)] = raw
                put.setdefault(tree, []).append(page)
    path.write_bytes(held)
    return put


def _pages_below(held: bytearray, page: int, size: int) -> list[int]:
    start = (page - 1) * size
    kind, _, cells, _ = struct.unpack_from(">BHHH", held, start)
    if kind not in (2, 5):
        return [page]
    cells_at = struct.unpack_from(f">{cells}H", held, start + 12)
    below = [struct.unpack_from(">I", held, start + at)[0] for at in cells_at]
    below.append(struct.unpack_from(">I", held, start + 8)[0])
    return [page, *(each for one in below for each in _pages_below(held, one, size))]


def _left_in_file(path: Path, names: tuple[str, ...]) -> set[str]:
    held = path.read_bytes()
    return {name for name in names if any(name[at : at + 12].encode() in held for at in range(len(name) - 12))}


def test_salts_tell_a_payload(writing: Writing) -> None:
    """A payload's page that splits no more is laid out anew when a payload beside it goes."""
    writing.append(*ground(), *(an_entity(f"e{number}", note="x" * 700) for number in range(20)))
    access = writing.database.access()
    [(salt,)] = access.rows("SELECT salt FROM payload WHERE position = 10")
    access.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    # It stands where a row is: that is no leftover.
    assert leftovers(_path(writing), (), (bytes(salt),)) == []
    assert bytes(salt) in _path(writing).read_bytes()


def test_others_write_while_what_is_left_is_written_over(writing: Writing) -> None:
    writing.append(*ground())
    found, is_over, waits = _authors(writing, 120), threading.Event(), [0.0]

    def go_on() -> None:
        while not is_over.is_set():
            began = time.perf_counter()
            writing.append(an_entity())
            waits.append(time.perf_counter() - began)

    other = threading.Thread(target=go_on)
    other.start()
    for source in list(found)[:10]:
        _redact(writing, source)
    is_over.set()
    other.join()
    assert max(waits) < 2
    assert redacting.is_purged(writing.database.access())


def test_what_one_purge_left_undone_the_next_does_whole(writing: Writing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.ledger.storage.sqlite.upkeep._PURGE_TRIES", 1)
    writing.append(*ground(), a_source("first", authors=["Somebody first of all"]), a_source("second"))
    writing.append(revise("source", "second", expect=1, title="x"))
    reader = writing.database.connect()
    with reader.snapshot():
        reader.rows("SELECT count(*) FROM payload")
        with pytest.raises(NotPurged):
            _redact(writing, "first")
    reader.close()
    assert not redacting.is_purged(writing.database.access())
    _redact(writing, "second")
    assert redacting.is_purged(writing.database.access())
    assert b"Somebody first of all" not in _path(writing).read_bytes()
