"""The index of words, which each database has its own way: FTS5 on SQLite, a GIN index on PostgreSQL.

Both hold the same words, under the position since which a record is made of them. What a word is, `domain.text` says.
"""

import itertools
from collections.abc import Iterator, Sequence
from operator import itemgetter

from api.ledger.storage.column import column
from api.ledger.storage.database import Access
from api.ledger.storage.reads import Reads


def matching_words(access: Reads, words: Sequence[str]) -> tuple[str, str]:
    """Give a query for the keys of `search_index` whose rows hold all the words, and its one parameter."""
    if access.is_sqlite:
        quoted = " AND ".join(f'"{word}"' for word in words)
        return "SELECT rowid FROM search_index WHERE search_index MATCH ?", quoted
    quoted = " & ".join(f"'{word}'" for word in words)
    return "SELECT since FROM search_index WHERE tokens @@ CAST(? AS tsquery)", quoted


def insert_words(access: Access, rows: Sequence[tuple[int, str]]) -> None:
    """Index words, given with spaces between them, under the position since which a record is made of them."""
    if access.is_sqlite:
        access.insert("search_index", "rowid, tokens", rows)
    elif rows:
        sinces, words = zip(*rows, strict=True)
        access.run(_INDEX_WORDS, (column("bigint", sinces), column("text", words)))


_INDEX_WORDS = (
    "INSERT INTO search_index (since, tokens)"
    " SELECT since, array_to_tsvector(array_remove(string_to_array(words, ' '), ''))"
    " FROM unnest(CAST(? AS bigint[]), CAST(? AS text[])) AS word (since, words)"
)


def take_words_out(access: Access, rows: Sequence[tuple[int, str]]) -> None:
    """Take words out again, given as they were indexed: FTS5 keeps no copy by which it would know them."""
    if access.is_sqlite:
        for since, words in rows:
            access.run("INSERT INTO search_index (search_index, rowid, tokens) VALUES ('delete', ?, ?)", (since, words))
    else:
        for since, _ in rows:
            access.run("DELETE FROM search_index WHERE since = ?", (since,))


def clear_words(access: Access) -> None:
    """Take all words out. FTS5 does not keep what it would need to take them out one by one."""
    access.run(
        "INSERT INTO search_index (search_index) VALUES ('delete-all')"
        if access.is_sqlite
        else "DELETE FROM search_index"
    )


def stored_words(access: Access) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Give the words, in order, under each position since which a record is made of them."""
    if access.is_sqlite:
        entries = access.stream(f"{_word_places(access)} ORDER BY doc")
        for since, found in itertools.groupby(entries, lambda entry: int(entry[1])):
            yield since, tuple(sorted(str(word) for word, _ in found))
        return
    for since, words in access.stream("SELECT since, tsvector_to_array(tokens) FROM search_index ORDER BY since"):
        yield since, tuple(sorted(words))


def index_entries(access: Access) -> Iterator[tuple[str, int]] | None:
    """Give (word, position) as SQLite's index has them, in its own order; None where the words stand in a table."""
    if not access.is_sqlite:
        return None
    return ((word, since) for word, since in access.stream(_word_places(access)))


def words_of_kinds(access: Access) -> Iterator[tuple[str, frozenset[str]]]:
    """Give each word of SQLite's index with the kinds of record that are, or were, made of it."""
    sql = f"SELECT w.term, v.kind FROM ({_word_places(access)}) w CROSS JOIN revision v ON v.position = w.doc"
    for word, found in itertools.groupby(access.stream(sql), itemgetter(0)):
        yield str(word), frozenset(str(kind) for _, kind in found)


def _word_places(access: Access) -> str:
    """Make what shows SQLite's index from within, and give the query for its entries."""
    access.run("CREATE VIRTUAL TABLE IF NOT EXISTS temp.word_places USING fts5vocab(main, search_index, instance)")
    return "SELECT term, doc FROM temp.word_places"
