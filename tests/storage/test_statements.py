"""Every statement that stands whole in the code is one that its database understands: tables, columns and types are there."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.databases import is_sqlite

LEDGER = Path(__file__).parents[2] / "api" / "ledger"
_STATEMENT = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH) \S")
# What is left open, to be said at the call.
_OPEN = re.compile(r"\{|\bOLD\.|(\sAND|\sFROM|\(|\s|,)$|^SELECT (?!.*(\bFROM\b|\())")


def _texts(tree: ast.AST) -> Iterator[str]:
    """Give the texts in a module that are not parts of others."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr):
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        yield from _texts(node)


def _held(value: object) -> Iterator[str]:
    """Give the texts in what a name at the top of a module stands for."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for each in value.values() for text in _held(each))
    elif isinstance(value, list | tuple):
        yield from (text for each in value for text in _held(each))


def statements(of: str) -> dict[str, str]:
    """Give each whole statement of one database's, or of both, by its text, with the module that says it."""
    found: dict[str, str] = {}
    other = {"sqlite": "postgres", "postgres": "sqlite"}[of]
    for path in LEDGER.rglob("*.py"):
        name = ".".join(path.relative_to(LEDGER.parents[1]).with_suffix("").parts)
        if f".storage.{other}." in name:
            continue
        texts = [*_texts(ast.parse(path.read_text(encoding="utf-8")))]
        texts += [text for value in vars(importlib.import_module(name)).values() for text in _held(value)]
        for text in texts:
            if _STATEMENT.match(text) and not _OPEN.search(text):
                found[text] = name
    return found


def _prepared(sql: str) -> str:
    """Write parameters as a server numbers them."""
    first, *others = re.split(r"\?|%s", sql)
    return first + "".join(f"${number}{text}" for number, text in enumerate(others, 1))


def test_every_whole_statement_is_understood_by_its_databases(database):
    access, found = database.access(), statements("sqlite" if is_sqlite(database) else "postgres")
    assert len(found) > 50
    # What shows SQLite's index of words from within is made when it is needed.
    assert access.words.entries() is None or is_sqlite(database)
    for sql, module in found.items():
        try:
            if is_sqlite(database):
                access.rows(f"EXPLAIN {sql}", (None,) * sql.count("?"))
            else:
                access.driver.execute(f"PREPARE each AS {_prepared(sql)}")
                access.driver.execute("DEALLOCATE each")
        except Exception as error:
            raise AssertionError(f"{module}: {sql}") from error
