"""Which module may know which, and that the models, the migrations and both databases agree."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from api.ledger.storage.database import Database, shipped
from api.ledger.storage.tables import PROJECTIONS
from tests.support.databases import is_sqlite

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
MOST_ANY, MOST_GETATTR = 22, 0
PURE = {"msgspec", "cryptography", "pydantic_core", "Stemmer", "api"}
# Of the standard library, what reads a clock, a file, a network or another process; randomness too.
IMPURE = {
    "asyncio", "ctypes", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib", "queue", "random", "secrets",
    "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
MODULES = sorted(API.rglob("*.py"))
SQL_LIBRARIES = {"sqlalchemy", "sqlmodel", "sqlite3", "psycopg", "alembic"}
HTTP_LIBRARIES = {"litestar", "granian"}
SQL = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE|DROP|ALTER|PRAGMA) \S")
FILES = {"fcntl", "glob", "mmap", "os", "pathlib", "shutil", "tempfile"}
KNOW_FILES = {
    "settings", "ledger.storage", "ledger.writing", "ledger.keeping", "ledger.signing", "curation", "verifying", "witnessing",
    "serving", "cli",
}  # fmt: skip
# A ledger for a check is in a temporary file; documents and pages come with the package.
KNOW_A_FILE = {"api.ledger.reading.inspection", "api.routes.service.openapi", "api.routes.service.pages"}
# A witness has no ledger, and a clock of its own.
CLOCKS = {"api.ledger.storage.clock", "api.witnessing.witness"}
TIMES_OF_DAY = {
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
}  # fmt: skip
WORKBENCHES = {"api.ledger.projecting.refolding", "api.ledger.reading.inspection"}


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


def test_only_the_ledger_speaks_sql():
    for path in MODULES:
        said = [node.value for node in ast.walk(_read(path)) if isinstance(node, ast.Constant) and node.value]
        spoken = [text for text in said if isinstance(text, str) and SQL.match(text)]
        assert _layer(path) == "ledger" or not spoken, f"{path} says {spoken}"


def test_who_may_know_the_file_system():
    for path in MODULES:
        if path in (API / "__init__.py", API / "assets" / "verify.py"):
            continue
        names = {name.split(".")[0] for name in _imports(_read(path))}
        assert _room(_module(path)) in KNOW_FILES or not names & FILES or _module(path) in KNOW_A_FILE, path


def test_the_time_of_day_is_read_by_one_clock():
    for path in MODULES:
        read = {
            f"{node.value.id}.{node.attr}"
            for node in ast.walk(_read(path))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        assert _module(path) in CLOCKS or not read & TIMES_OF_DAY, path


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


def test_which_database_it_is_is_asked_where_settings_choose():
    asking = {path: len(re.findall(r"\bis_sqlite\b", path.read_text(encoding="utf-8"))) for path in MODULES}
    assert max(asking.values()) <= 4
    assert sum(asking.values()) <= 10
    for path in MODULES:
        assert "dialect.name" not in path.read_text(encoding="utf-8"), path


def test_each_database_is_known_to_itself_and_to_the_one_place_that_chooses():
    for path in MODULES:
        names = _imports(_read(path))
        known = {each for each in ("sqlite", "postgres") if any(f".storage.{each}." in name for name in names)}
        own = _module(path).removeprefix("api.ledger.storage.").split(".")[0]
        if own in ("sqlite", "postgres"):
            assert known <= {own}, path
        elif _module(path) != "api.ledger.storage.database":
            # A ledger beside the ledger, for a check or a redaction, is one of SQLite's.
            assert known <= ({"sqlite"} if _module(path) in WORKBENCHES else set()), path


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (each for each in ast.walk(node) if isinstance(each, ast.Call))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _at_import(tree: ast.Module) -> set[str]:
    """Name what is called while the module is imported."""
    statements = [
        each for each in tree.body if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    return {_called(call) for statement in statements for call in _calls(statement)}


def test_decoders_are_made_while_modules_are_imported():
    """At its first use msgspec works out what a Struct holds, and two threads that meet there bring the process down."""
    for path in MODULES:
        if path.parent.name == "assets":
            continue
        tree = _read(path)
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for call in _calls(function):
                is_decode = _called(call) == "decode" and any(each.arg == "type" for each in call.keywords)
                assert not is_decode, f"{path}:{call.lineno} works out a type when it is called"
                is_made = _called(call) == "Decoder" and function.name not in _at_import(tree)
                assert not is_made, f"{path}:{call.lineno} makes a decoder when it is called"


def test_few_lines_leave_a_type_open_or_ask_for_an_attribute_by_a_name_in_a_string():
    """What there is of either stands where a library gives it so; who needs one more takes another away."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in MODULES)
    assert len(re.findall(r"^.*\bAny\b", text, re.MULTILINE)) <= MOST_ANY
    assert text.count("getattr(") <= MOST_GETATTR


def test_what_a_whole_process_shares_is_changed_by_its_owner_alone():
    """A library that did so would do it to whoever uses it, and one thread to all others."""
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert path == API / "app.py" or not re.search(r"setswitchinterval|gc\.(freeze|disable|set_threshold)", text), (
            path
        )
        assert "SQLModel.metadata" not in text, path


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
        if is_sqlite(access)
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
        "imported",
        "alembic_version",
    }


def test_migrating_twice_changes_nothing(database):
    database.migrate()
    _checked(database)
