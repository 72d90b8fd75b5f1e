"""Queries that are composed: expressions over the tables, compiled to text once for each shape, and kept.

Two questions have one shape where only values differ. To compose a query and to compile it takes longer than to answer it,
so a request does neither unless its shape is new. A column's name is checked when a query is composed, and SQLAlchemy spells
it for either database. Here is also what most of these queries say of a position: which rows held there, and which revision
of a record was in force. Statements that are whole stay text, in the room that asks them.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlmodel import SQLModel

from api.ledger.reading.standpoint import HEAD, LAST_REDACTION, in_force
from api.ledger.storage.reads import Reads, Value
from api.ledger.storage.tables import METADATA, RecordRow, RevisionRow, Span, Term

# So many shapes are kept, those asked for last. There may be more, since a client chooses its filters: whoever asks for a
# shape that is not kept waits some milliseconds for it to be compiled.
SHAPES = 128
Condition = sa.ColumnElement[bool]
Query = sa.Select[*tuple[object, ...]]


def rows_of(table: type[SQLModel], name: str) -> sa.FromClause:
    """Give a table under a name by which a query knows it."""
    return METADATA.tables[str(table.__tablename__)].alias(name)


class Given(sa.BindParameter[Value]):
    """A place for a value that comes with each question. Whatever else a query compares with is constant, and in its text."""

    inherit_cache = True


@compiles(Given)
def _spell_given(value: Given, compiler: SQLCompiler, **how: object) -> str:
    return str(compiler.visit_bindparam(value, **{**how, "literal_binds": False}))  # type: ignore[no-untyped-call]


def given(name: str, *, is_list: bool = False) -> Given:
    """Make a place for a value, or for a list of values after IN."""
    return Given(name, expanding=is_list)


Place = Callable[..., Given]


class Led(sa.Join):
    """Two tables of which the first leads, and to which the conditions join the second.

    SQLite takes the tables of a CROSS JOIN in the order in which they stand (https://sqlite.org/optoverview.html, "Manual
    Control Of Query Plans Using CROSS JOIN"). To PostgreSQL it is an inner join like any other.
    """

    inherit_cache = True

    def __init__(self, first: sa.FromClause, second: sa.FromClause) -> None:
        super().__init__(first, second, sa.true())


@compiles(Led)
def _spell_led(tables: Led, compiler: SQLCompiler, **how: object) -> str:
    first, second = (compiler.process(table, **{**how, "asfrom": True}) for table in (tables.left, tables.right))
    return f"{first} CROSS JOIN {second}"


class Composed:
    """A query and its texts: one for each database, and for each number of values in its lists.

    A list is filled up to a power of two with its last value, so that these numbers are few.
    """

    def __init__(self, query: sa.SelectBase) -> None:
        self._query = query
        self._texts: dict[tuple[sa.Dialect, tuple[int, ...]], tuple[str, list[str]]] = {}

    def __call__(self, access: Reads, **values: Value | Sequence[Value]) -> tuple[str, list[Value]]:
        """Give the query as text, and what is given in the order of its places. No list may be empty."""
        filled = {name: _filled(value) for name, value in values.items()}
        key = access.dialect, tuple(map(len, filled.values()))
        text, names = self._texts.get(key) or self._texts.setdefault(key, self._spelled(filled, access.dialect))
        return text, [value for name in names for value in filled[name]]

    def _spelled(self, filled: dict[str, Sequence[Value]], dialect: sa.Dialect) -> tuple[str, list[str]]:
        compiled = self._query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        return compiled.construct_expanded_state(filled).statement, list(compiled.positiontup or ())


def _filled(value: Value | Sequence[Value]) -> Sequence[Value]:
    if value is None or isinstance(value, int | str | bytes):
        return (value,)
    missing = (1 << (len(value) - 1).bit_length()) - len(value)
    return [*value, *[value[-1]] * missing]


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """Tables, the leading one first, and the column in the order of which they are gone through."""

    tables: sa.FromClause
    column: sa.ColumnElement[int]
    condition: Condition


# A condition that is the same in every query; or what builds one, and the part of the shape that it is built for.
_Part = tuple[Condition | Callable[..., Condition], tuple[Hashable, ...]]


class Narrowing:
    """A walk narrowed to what one question is about.

    Its shape is the walk and what its conditions are built of; the values stand apart. No text of a client's is ever part of
    a query.
    """

    def __init__(self, walk: Walk, **values: Value | Sequence[Value]) -> None:
        self.walk, self._values = walk, values
        self._conditions: list[_Part] = []

    def where(self, condition: Condition, **values: Value | Sequence[Value]) -> None:
        """Add a condition that stands in a query once at most, with the values for its places."""
        self._conditions.append((condition, ()))
        self._values.update(values)

    def where_own(self, build: Callable[..., Condition], *shape: Hashable, **values: Value | Sequence[Value]) -> None:
        """Add a condition that may stand in a query several times, with other values each time.

        `build` is called with what makes places of its own for these values, and with `shape`.
        """
        number = len(self._conditions)
        self._conditions.append((build, shape))
        self._values.update({_own(number, name): value for name, value in values.items()})

    def query(
        self, access: Reads, show: Callable[..., Query], *shape: Hashable, **values: Value | Sequence[Value]
    ) -> tuple[str, list[Value]]:
        """Give text and values of the query under all conditions; `show` says, for the walk and `shape`, what it shows."""
        query = _composed(show, self.walk, shape, tuple(self._conditions))
        return query(access, **self._values, **values)


@lru_cache(maxsize=SHAPES)
def _composed(
    show: Callable[..., Query], walk: Walk, shape: tuple[Hashable, ...], parts: tuple[_Part, ...]
) -> Composed:
    conditions = [
        part if isinstance(part, sa.ColumnElement) else part(partial(_place, number), *its_shape)
        for number, (part, its_shape) in enumerate(parts)
    ]
    return Composed(show(walk, *shape).where(walk.condition, *conditions))


def _own(number: int, name: str) -> str:
    return f"{name}_{number}"


def _place(number: int, name: str, *, is_list: bool = False) -> Given:
    return given(_own(number, name), is_list=is_list)


record, revision = rows_of(RecordRow, "r"), rows_of(RevisionRow, "v")
term, span = rows_of(Term, "t"), rows_of(Span, "o")
POSITION = given("position")
# Head and last redaction, shown beside each row: they tell the standpoint, and spare a statement.
BESIDE: tuple[sa.ColumnElement[int], ...] = sa.literal_column(HEAD), sa.literal_column(LAST_REDACTION)


def exists(*conditions: Condition) -> Condition:
    """Say that there is a row for which all this holds."""
    return sa.exists(sa.select(sa.literal(1)).where(*conditions))


def held(rows: sa.FromClause) -> Condition:
    """Say that a term, a span or a state of agreement held at the position."""
    return sa.and_(rows.c.since <= POSITION, rows.c.until > POSITION)


def at_position(records: sa.FromClause) -> sa.FromClause:
    """Join records, whatever leads to them, to their revisions in force."""
    newest = sa.text(f"v.position = {in_force('r', ':position')}").bindparams(POSITION)
    return records.join(revision, newest)
