"""The words on PostgreSQL: a table of arrays of words (`tsvector`), and a GIN index over it."""

from collections.abc import Iterator, Sequence

from api.ledger.storage.access import Access
from api.ledger.storage.postgres.column import column
from api.ledger.storage.words import Words

_INSERT = (
    "INSERT INTO search_index (since, tokens)"
    " SELECT since, array_to_tsvector(array_remove(string_to_array(words, ' '), ''))"
    " FROM unnest(CAST(? AS bigint[]), CAST(? AS text[])) AS word (since, words)"
)


class PostgresWords(Words):
    """The words of each position in a row of their own."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def insert(self, rows: Sequence[tuple[int, str]]) -> None:
        if rows:
            sinces, words = zip(*rows, strict=True)
            self._access.run(_INSERT, (column("bigint", sinces), column("text", words)))

    def take_out(self, rows: Sequence[tuple[int, str]]) -> None:
        for since, _ in rows:
            self._access.run("DELETE FROM search_index WHERE since = ?", (since,))

    def clear(self) -> None:
        self._access.run("DELETE FROM search_index")

    def stored(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        rows = self._access.stream("SELECT since, tsvector_to_array(tokens) FROM search_index ORDER BY since")
        return ((since, tuple(sorted(words))) for since, words in rows)

    def entries(self) -> None:
        return None
