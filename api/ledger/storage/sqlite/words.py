"""The words in SQLite's FTS5 (https://sqlite.org/fts5.html), which keeps no copy of what it indexes."""

import itertools
from collections.abc import Iterator, Sequence
from operator import itemgetter

from api.ledger.storage.access import Access
from api.ledger.storage.words import Words

_TAKE_OUT = "INSERT INTO search_index (search_index, rowid, tokens) VALUES ('delete', ?, ?)"
_PLACES = "SELECT term, doc FROM temp.word_places"


class SqliteWords(Words):
    """The index as FTS5 has it: by word, and under each word by position, which is its row's number."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def insert(self, rows: Sequence[tuple[int, str]]) -> None:
        self._access.insert("search_index", "rowid, tokens", rows)

    def take_out(self, rows: Sequence[tuple[int, str]]) -> None:
        # FTS5 knows what to take out only by being told what was put in.
        for row in rows:
            self._access.run(_TAKE_OUT, row)

    def clear(self) -> None:
        self._access.run("INSERT INTO search_index (search_index) VALUES ('delete-all')")

    def stored(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        self._show_places()
        entries = self._access.stream(f"{_PLACES} ORDER BY doc")
        for since, found in itertools.groupby(entries, lambda entry: int(entry[1])):
            yield since, tuple(sorted(str(word) for word, _ in found))

    def entries(self) -> Iterator[tuple[str, int]]:
        self._show_places()
        return ((word, since) for word, since in self._access.stream(_PLACES))

    def with_kinds(self) -> Iterator[tuple[str, frozenset[str]]]:
        """Give each word with the kinds of record that are, or were, made of it."""
        self._show_places()
        sql = f"SELECT w.term, v.kind FROM ({_PLACES}) w CROSS JOIN revision v ON v.position = w.doc"
        for word, found in itertools.groupby(self._access.stream(sql), itemgetter(0)):
            yield str(word), frozenset(str(kind) for _, kind in found)

    def _show_places(self) -> None:
        """Make what shows the index from within."""
        self._access.run(
            "CREATE VIRTUAL TABLE IF NOT EXISTS temp.word_places USING fts5vocab(main, search_index, instance)"
        )
