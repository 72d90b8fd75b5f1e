"""Queries that are composed: expressions over the tables, compiled to text once for each shape, and kept.

Two questions have one shape where only values differ. To compose a query and to compile it takes longer than to answer it,
so a request does neither unless its shape is new. A column's name is checked when a query is composed, and SQLAlchemy spells
it for either database. Here is also what most of these queries say of a position: which rows held there, and which revision
of a record was in force. Statements that are whole stay text, in the room that asks them.
"""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlmodel import SQLModel

from api.ledger.reading.standpoint import HEAD, LAST_REDACTION, in_force
from api.ledger.storage.reads import BRIEF, Reads, Value
from api.ledger.storage.tables import METADATA, RecordRow, RevisionRow, Span, Term

# So many texts are kept, of some KB each, those that came up last. There may be more, since a client chooses its filters: to
# make one takes up to 25 milliseconds, so it is made outside the event loop, and one at a time.
TEXTS = 1_000
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


class Gathered(sa.ColumnElement[bool]):
    """A column that is one of what a query finds, which is gathered once before rows are looked at.

    After a plain IN, PostgreSQL may go through what was found again for each row, where it expects little of it.
    """

    inherit_cache = True
    type = sa.Boolean()

    def __init__(self, column: sa.ColumnElement[int], found: sa.Select[tuple[int]]) -> None:
        self.column, self.found = column, found.scalar_subquery()

    def self_group(self, against: object = None) -> Self:  # noqa: ARG002
        """Stand among other conditions as it is; SQLite would take no index for what is compared with 1."""
        return self


@compiles(Gathered)
def _spell_gathered(one: Gathered, compiler: SQLCompiler, **how: object) -> str:
    return f"{compiler.process(one.column, **how)} IN {compiler.process(one.found, **how)}"


@compiles(Gathered, "postgresql")
def _spell_gathered_in_postgres(one: Gathered, compiler: SQLCompiler, **how: object) -> str:
    return f"{compiler.process(one.column, **how)} = ANY(ARRAY{compiler.process(one.found, **how)})"


# Text with a `?` for each value, and the names of the values in that order.
Text = tuple[str, tuple[str, ...]]
# How many values stand under each name.
Sizes = tuple[tuple[str, int], ...]


class Composed:
    """A query that is whole, and its texts: one for each database, and for each number of values in its lists.

    A list is filled up to a power of two with its last value, so that these numbers are few.
    """

    def __init__(self, query: sa.SelectBase) -> None:
        self._query = query
        self._texts: dict[tuple[sa.Dialect, Sizes], Text] = {}

    def __call__(self, access: Reads, **values: Value | Sequence[Value]) -> tuple[str, list[Value]]:
        """Give the query as text, and what is given in the order of its places. No list may be empty."""
        filled = _filled(values)
        sizes = _sizes(filled)
        key = access.dialect, sizes
        text = self._texts.get(key) or self._texts.setdefault(key, _spell(self._query, access.dialect, sizes))
        return _with_values(text, filled)


def _spell(query: sa.SelectBase, dialect: sa.Dialect, sizes: Sizes) -> Text:
    compiled = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    spelled = compiled.construct_expanded_state({name: [0] * size for name, size in sizes})
    return spelled.statement, tuple(compiled.positiontup or ())


def _with_values(text: Text, filled: dict[str, Sequence[Value]]) -> tuple[str, list[Value]]:
    sql, names = text
    return sql, [value for name in names for value in filled[name]]


def _sizes(filled: dict[str, Sequence[Value]]) -> Sizes:
    return tuple([(name, len(each)) for name, each in filled.items()])


def _filled(values: Mapping[str, Value | Sequence[Value]]) -> dict[str, Sequence[Value]]:
    return {
        name: (each,) if each is None or isinstance(each, int | str | bytes) else _to_a_power_of_two(each)
        for name, each in values.items()
    }


def _to_a_power_of_two(values: Sequence[Value]) -> Sequence[Value]:
    missing = (1 << (len(values) - 1).bit_length()) - len(values)
    return [*values, *[values[-1]] * missing]


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """Tables, the leading one first, and the column in the order of which they are gone through.

    `keys` tell two records apart in an order that one column does not.
    """

    tables: sa.FromClause
    column: sa.ColumnElement[int]
    condition: Condition
    keys: tuple[sa.ColumnElement[int], ...] = ()


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
        filled = _filled({**self._values, **values})
        shape_of_all = access.dialect, show, self.walk, shape, tuple(self._conditions), _sizes(filled)
        text = _TEXTS.get(shape_of_all)
        if text is None:
            access.spend(BRIEF + 1)
            text = _TEXTS.make(shape_of_all)
        return _with_values(text, filled)


# All that the text of a query depends on.
_Shape = tuple[sa.Dialect, Callable[..., Query], Walk, tuple[Hashable, ...], tuple[_Part, ...], Sizes]


class Texts:
    """The texts of the shapes that came up last, so many at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        # Guards what is kept, and lets one text be made at a time: two threads that compute get nothing done sooner.
        self._making = threading.Lock()
        self._kept: dict[_Shape, Text] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, shape: _Shape) -> Text | None:
        return self._kept.get(shape)

    def make(self, shape: _Shape) -> Text:
        """Give a text that may have to be made first, and forget the oldest where there are too many."""
        with self._making:
            text = self._kept.get(shape)
            if text is None:
                text = self._kept[shape] = _composed(*shape)
                if len(self._kept) > self._most:
                    del self._kept[next(iter(self._kept))]
            return text


_TEXTS = Texts(TEXTS)


def _composed(
    dialect: sa.Dialect,
    show: Callable[..., Query],
    walk: Walk,
    shape: tuple[Hashable, ...],
    parts: tuple[_Part, ...],
    sizes: Sizes,
) -> Text:
    conditions = [
        part if isinstance(part, sa.ColumnElement) else part(partial(_place, number), *its_shape)
        for number, (part, its_shape) in enumerate(parts)
    ]
    return _spell(show(walk, *shape).where(walk.condition, *conditions), dialect, sizes)


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
