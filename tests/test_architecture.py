"""Which module may know which, and that the models, the migrations and both databases agree."""

import ast
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from api.ledger.database import Database, shipped
from api.ledger.tables import PROJECTIONS

API = Path(__file__).parent.parent / "api"
# Lowest first; each may know those below it, and itself.
LAYERS = (
    "domain",
    "settings",
    "ledger",
    "archive",
    "curation",
    "progress",
    "editing",
    "routes",
    "app",
    "serving",
    "__main__",
)
PURE = {"msgspec", "cryptography", "api"}
# Of the standard library, what reads a clock, a file, a network or another process; randomness too.
IMPURE = {
    "asyncio", "ctypes", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib", "queue", "random", "secrets",
    "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
MODULES = sorted(API.rglob("*.py"))
SQL_LIBRARIES = {"sqlalchemy", "sqlmodel", "sqlite3", "psycopg", "alembic"}
HTTP_LIBRARIES = {"litestar", "granian"}


def _layer(path: Path) -> str:
    first = path.relative_to(API).parts[0]
    return first.removesuffix(".py")


def _imports(tree: ast.AST) -> list[str]:
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def _read(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(API)))
def test_imports_point_one_way(path):
    layer = _layer(path)
    if layer == "__init__":
        return
    for name in _imports(_read(path)):
        parts = name.split(".")
        if parts[0] == "api" and parts[1] in LAYERS:
            assert LAYERS.index(parts[1]) <= LAYERS.index(layer), f"{path} imports {name}"


def test_no_import_hides_in_a_function_or_behind_type_checking():
    for path in MODULES:
        tree = _read(path)
        top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        every = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        assert len(every) == len(top), f"{path} imports elsewhere than at its top"
        assert "TYPE_CHECKING" not in path.read_text(encoding="utf-8"), path


def test_the_domain_is_pure():
    for path in MODULES:
        if _layer(path) != "domain":
            continue
        names = {name.split(".")[0] for name in _imports(_read(path))}
        assert names <= PURE | (sys.stdlib_module_names - IMPURE), (
            f"{path} imports {names - PURE - sys.stdlib_module_names}"
        )
        called = {
            node.func.id
            for node in ast.walk(_read(path))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & {"open", "print", "input"}, path
        attributes = {node.attr for node in ast.walk(_read(path)) if isinstance(node, ast.Attribute)}
        assert not attributes & {"now", "utcnow", "today"}, f"{path} reads a clock"


def test_only_the_ledger_knows_sql_and_only_the_edge_knows_http():
    for path in MODULES:
        names = {name.split(".")[0] for name in _imports(_read(path))}
        assert _layer(path) == "ledger" or not names & SQL_LIBRARIES, path
        assert _layer(path) in ("routes", "app", "serving", "__main__") or not names & HTTP_LIBRARIES, path


def test_the_ledgers_rooms_do_not_import_in_circles():
    known = {path.stem: {name.split(".")[2] for name in _imports(_read(path)) if name.startswith("api.ledger.")}
             for path in MODULES if _layer(path) == "ledger"}  # fmt: skip
    done: set[str] = set()
    while len(done) < len(known):
        free = {name for name, needs in known.items() if name not in done and needs <= done}
        assert free, f"a circle among {known.keys() - done}"
        done |= free


def test_which_database_it_is_is_asked_in_few_files_alone():
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        if path.name not in ("database.py", "upkeep.py", "words.py", "renewal.py", "protection.py", "settings.py"):
            assert "dialect" not in text or path.name == "spelling.py", path
            assert "if access.is_sqlite" not in text, path
            assert "if self.is_sqlite" not in text, path


def test_no_function_is_too_long():
    for path in MODULES:
        for node in ast.walk(_read(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                assert node.end_lineno - node.lineno < 60, f"{path}:{node.lineno} {node.name}"


def _checked(database: Database) -> None:
    with database.engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(shipped("migrations")))
        config.attributes["connection"] = connection
        command.check(config)


def test_models_and_migrations_agree(database, capsys):
    _checked(database)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE actor ADD COLUMN surprise integer")
    with pytest.raises(CommandError):
        _checked(database)


def test_every_table_is_the_logs_a_projection_or_known(database):
    access = database.access()
    listed = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if access.is_sqlite
        else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    tables = {row[0] for row in access.rows(listed) if not row[0].startswith("search_index_")}
    projections = {table.__tablename__ for table in PROJECTIONS}
    assert tables == projections | {
        "event",
        "payload",
        "node",
        "head",
        "search_index",
        "actor",
        "key",
        "receipt",
        "alembic_version",
    }


def test_migrating_twice_changes_nothing(database):
    database.migrate()
    _checked(database)
