"""SQLite's file, read page by page (https://sqlite.org/fileformat2.html): what is left where no row is.

With `secure_delete` what is deleted is overwritten where it stood. But as pages split and merge SQLite lays their rows out
anew, and what stood before in the room between the two ends of a page stays there until something else is written over it.
Run as a program, in a process of its own: to close a file that SQLite has open in the same process would give up its locks
(https://sqlite.org/howtocorrupt.html, section 2.2). Nothing is written here.
"""

import json
import mmap
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

Key = list[int | str | None]

# Kinds of pages: those of an index, and those of a table that hold rows. A table's other pages hold numbers alone.
_INNER, _LEAF, _TABLE_LEAF = 2, 10, 13
# Kind, first free block, number of cells, where their contents begin.
_HEAD = struct.Struct(">BHHH")
# Shorter pieces of a key, and shorter texts in a row, prove nothing: other rows may hold the same bytes. A whole key that is
# shorter is looked for as it is.
_PIECE, _LONG = 12, 40
# Bytes of a key that are sure to stand in a page itself, whatever its size.
_LOCAL = 100
# Serial types: a text has an odd number from 13 on, twice its length and 13. A varint goes on where its top bit is set.
_TEXT, _GOES_ON = 13, 0x80
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_CONSTANTS = {0: None, 8: 0, 9: 1}


@dataclass(frozen=True, slots=True)
class Leftover:
    """A page with something left of what was looked for. `key` is of an index entry there; None where there is none."""

    page: int
    key: Key | None


def leftovers(path: Path, texts: Sequence[str], salts: Sequence[bytes]) -> list[Leftover]:
    """Look through a database file for what is left of rows that are gone: what they said, and the salts beside it."""
    asked = json.dumps({"path": str(path), "texts": texts, "salts": [salt.hex() for salt in salts]})
    command = [sys.executable, "-m", __name__]
    done = subprocess.run(command, input=asked.encode(), stdout=subprocess.PIPE, check=True)  # noqa: S603 - ourselves
    return [Leftover(page, key) for page, key in json.loads(done.stdout)]


def main() -> None:
    """Answer what is asked on standard input."""
    asked = json.loads(sys.stdin.buffer.read())
    in_keys, in_rows = _finders(
        [text.encode() for text in asked["texts"]], [bytes.fromhex(each) for each in asked["salts"]]
    )
    with Path(asked["path"]).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        size = int.from_bytes(whole[16:18], "big")
        found = [
            (number, _key(page))
            for number, page, left in _pages(whole, 65_536 if size == 1 else size)
            if (in_rows if page[0] == _TABLE_LEAF else in_keys)(left)
        ]
    sys.stdout.write(json.dumps(found))


def _pages(whole: mmap.mmap, size: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Give each page of keys or rows, by its number, with what stands between its two ends, if anything does."""
    for number in range(2, len(whole) // size + 1):
        start = (number - 1) * size
        kind, _, cells, content = _HEAD.unpack_from(whole, start)
        if kind not in (_INNER, _LEAF, _TABLE_LEAF):
            continue
        left = whole[start + _pointers(kind) + 2 * cells : start + (content or size)].strip(b"\0")
        if left:
            yield number, whole[start : start + size], left


def _pointers(kind: int) -> int:
    return 12 if kind == _INNER else 8


def _finders(texts: Sequence[bytes], salts: Sequence[bytes]) -> tuple[Callable[[bytes], bool], Callable[[bytes], bool]]:
    """Give what says of some bytes whether they are left of what is looked for: of a key, and of a row."""
    of_keys, of_salts = _pieces(texts), _pieces(salts)
    short = [text for text in texts if len(text) < _PIECE]
    long = [text for text in texts if len(text) >= _LONG]

    def in_keys(left: bytes) -> bool:
        return any(text in left for text in short) or _has_piece(left, of_keys)

    def in_rows(left: bytes) -> bool:
        return any(text in left for text in long) or _has_piece(left, of_salts)

    return in_keys, in_rows


def _pieces(whole: Sequence[bytes]) -> set[bytes]:
    return {each[at : at + _PIECE] for each in whole for at in range(len(each) - _PIECE + 1)}


def _has_piece(left: bytes, pieces: set[bytes]) -> bool:
    return any(left[at : at + _PIECE] in pieces for at in range(len(left) - _PIECE + 1))


def _key(page: bytes) -> Key | None:
    """Read a key of a page, if it is one of an index; somebody may have been writing the page as it was read."""
    try:
        return _first_key(page)
    except (IndexError, struct.error, UnicodeDecodeError):
        return None


def _first_key(page: bytes) -> Key | None:
    """Read a short key of an index's page; None where the page is a table's, or has none."""
    kind, _, cells, _ = _HEAD.unpack_from(page)
    for number in range(cells if kind != _TABLE_LEAF else 0):
        (cell,) = struct.unpack_from(">H", page, _pointers(kind) + 2 * number)
        length, at = _varint(page, cell + (4 if kind == _INNER else 0))
        if length <= _LOCAL:
            return _record(page, at)
    return None


def _record(page: bytes, start: int) -> Key | None:
    """Read the values of an index entry; None where there are other than texts and whole numbers among them."""
    size, at = _varint(page, start)
    end = value_at = start + size
    values: Key = []
    while at < end:
        kind, at = _varint(page, at)
        length = _INTEGERS.get(kind, max(kind - _TEXT, 0) // 2)
        raw = page[value_at : value_at + length]
        value_at += length
        if kind in _INTEGERS:
            values.append(int.from_bytes(raw, "big", signed=True))
        elif kind in _CONSTANTS:
            values.append(_CONSTANTS[kind])
        elif kind >= _TEXT and kind % 2:
            values.append(raw.decode())
        else:
            return None
    return values


def _varint(page: bytes, at: int) -> tuple[int, int]:
    """Read a number of up to nine bytes, seven bits each but for the last; gives where it ends, too."""
    value = 0
    for _ in range(8):
        byte = page[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < _GOES_ON:
            return value, at
    return value << 8 | page[at], at + 1


if __name__ == "__main__":
    main()
