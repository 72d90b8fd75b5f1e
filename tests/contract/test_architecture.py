"""Which module may know which, and that the models, the migrations and both databases agree."""

import ast
import re
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from api.ledger.storage.database import Database, shipped
from api.ledger.storage.tables import PROJECTIONS

API = Path(__file__).parents[2] / "api"
TESTS = Path(__file__).parents[1]
# Lowest first; each may know those below it, and itself.
ROOMS = (
    "domain", "domain.dates", "domain.log", "domain.records", "domain.agreement", "settings", "logs",
    "ledger.storage", "ledger.projecting", "ledger.reading", "ledger.writing", "ledger.keeping", "ledger.signing",
    "curation", "routes.contract", "routes.edge", "routes.records", "routes.log", "routes.service",
    "verifying", "witnessing", "app", "serving", "cli", "__main__",
)  # fmt: skip
MOST_FILES = 16
MOST_ANY, MOST_GETATTR = 34, 7
PURE = {"msgspec", "cryptography", "api"}
# Of the standard library, what reads a clock, a file, a network or another process; randomness too.
IMPURE = {
    "asyncio", "ctypes", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib", "queue", "random", "secrets",
    "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
MODULES = sorted(API.rglob("*.py"))
SQL_LIBRARIES = {"sqlalchemy", "sqlmodel", "sqlite3", "psycopg", "alembic"}
HTTP_LIBRARIES = {"litestar", "granian"}


def _room(module: str) -> str:
    """Name the room of a dotted name: the longest that is known."""
    parts = module.split(".")[1:]
    return next(
        (room for room in (".".join(parts[:size]) for size in range(len(parts), 0, -1)) if room in ROOMS), parts[0]
    )


def _module(path: Path) -> str:
    return ".".join(path.relative_to(API.parent).with_suffix("").parts).removesuffix(".__init__")


def _layer(path: Path) -> str:
    return _module(path).split(".")[1] if path.parent != API or path.stem != "__init__" else "__init__"


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


def test_imports_point_one_way():
    for path in MODULES:
        if path.stem == "__init__" or path.parent.name == "assets":
            continue
        own = _room(_module(path))
        assert own in ROOMS, path
        for name in _imports(_read(path)):
            if name.startswith("api.") and name != "api.__version__":
                assert ROOMS.index(_room(name)) <= ROOMS.index(own), f"{path} imports {name}"


def test_every_folder_says_what_lives_there_and_holds_few_files():
    folders = {path.parent for path in MODULES if path.parent.name != "assets"}
    folders |= {path.parent for path in TESTS.rglob("*.py") if path.parent != TESTS / "vectors"}
    for folder in folders:
        files = [path for path in folder.glob("*.py") if path.stem != "__init__"]
        assert len(files) <= MOST_FILES, folder
        assert ast.get_docstring(_read(folder / "__init__.py")), folder


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
        assert _layer(path) in ("routes", "witnessing", "app", "serving", "cli") or not names & HTTP_LIBRARIES, path


def test_no_modules_import_in_circles():
    known = {_module(path): {name for name in _imports(_read(path)) if name.startswith("api.")} for path in MODULES}
    needed = {
        module: {
            other for name in names for other in (name, name.rpartition(".")[0]) if other in known and other != module
        }
        for module, names in known.items()
    }
    done: set[str] = set()
    while len(done) < len(needed):
        free = {name for name, needs in needed.items() if name not in done and needs <= done}
        assert free, f"a circle among {needed.keys() - done}"
        done |= free


def test_which_database_it_is_is_asked_in_few_files_alone():
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        if path.name not in ("database.py", "upkeep.py", "words.py", "renewal.py", "protection.py", "settings.py"):
            assert "dialect" not in text or path.name == "spelling.py", path
            assert "if access.is_sqlite" not in text, path
            assert "if self.is_sqlite" not in text, path


def test_few_lines_leave_a_type_open_or_ask_for_an_attribute_by_a_name_in_a_string():
    """What there is of either stands where a library gives it so; who needs one more takes another away."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in MODULES)
    assert len(re.findall(r"^.*\bAny\b", text, re.MULTILINE)) <= MOST_ANY
    assert text.count("getattr(") <= MOST_GETATTR


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
