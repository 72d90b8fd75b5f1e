"""Faults put into the code one at a time, to see whether the tests notice: a chore, and no part of the suite.

`uv run --with mutmut python -m tests.mutants --seed 16 --count 600` draws among all faults that mutmut knows how to
make in the folders below, puts each into a copy of the tree, runs the tests there that run its line, on SQLite, and notes
in `mutants-16.ndjson` what came of it. Which tests run which lines is found out first, which takes ten minutes and is kept
in a file. It may be stopped and goes on where it was; `--again` tries those once more that nobody noticed, `--report` only
tells.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from difflib import unified_diff
from functools import cache
from importlib import import_module
from pathlib import Path

import libcst
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

from tests.mutants.running import Recorder, Runs

ROOT = Path(__file__).parents[2]
ROOMS = ("api/domain", "api/ledger/projecting", "api/ledger/writing")
# The tests that are asked, and those of them that start processes, or take long to see what others see.
ASKED = "tests/domain tests/log tests/projecting tests/writing tests/storage tests/records tests/contract tests/edge".split()
LEFT_OUT = tuple(
    f"--ignore=tests/{name}.py"
    for name in "contract/test_schemathesis contract/test_readme contract/test_packaging contract/test_architecture"
    " contract/test_papers edge/test_attacks edge/test_stalls edge/test_torn_requests writing/test_durability".split()
)
# Where only an import runs a line, as in a table, these notice what is wrong with it.
OF_IMPORTS = (
    "tests/contract/test_openapi.py::test_the_committed_document_is_the_generated_one tests/domain tests/log/test_event.py"
    " tests/contract/test_kinds.py tests/contract/test_bad_bodies.py tests/edge/test_problems.py"
    " tests/contract/test_status_rule.py tests/contract/test_preconditions.py tests/writing/test_views.py"
).split()
# What these say of a class is held by the type checker, or is how much is kept in memory.
UNSEEN = {"frozen", "slots", "kw_only", "eq", "order", "gc", "maxsize"}
COPIED = "api migrations openapi seed tests alembic.ini pyproject.toml README.md requirements.lock".split()
WORDS = "-o addopts= -p no:cacheprovider -q -W ignore::pytest.PytestAssertRewriteWarning".split()
# Seconds of computing after which a fault counts as noticed; and within which all tests must have passed without one.
MOST_COMPUTED, MOST_RECORDED = 240, 3000
# Loaded once and forked: all that the tests need and no fault is put into.
LIBRARIES = ("alembic.command", "granian", "litestar.testing", "psycopg", "schemathesis", "sqlmodel", "structlog")


@dataclass(frozen=True)
class Tried:
    """What came of a fault: by which test it was noticed, or null. `of` is the digest of the file without it."""

    path: str
    number: int
    of: str
    diff: str
    noticed_by: str | None
    seconds: float


class _Sites(libcst.CSTVisitor):
    """Collects the places where a fault can be, each with the fault."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[libcst.CSTNode, libcst.CSTNode]] = []

    def on_visit(self, node: libcst.CSTNode) -> bool:
        if isinstance(node, libcst.Annotation | libcst.Import | libcst.ImportFrom) or _names_what_is_public(node):
            return False
        if isinstance(node, libcst.Arg) and node.keyword is not None and node.keyword.value in UNSEEN:
            return False
        for kind, faults in mutation_operators:
            if isinstance(node, kind):
                self.found += [(node, fault) for fault in faults(node)]
        return True


def _names_what_is_public(node: libcst.CSTNode) -> bool:
    return isinstance(node, libcst.Assign) and libcst.Module([]).code_for_node(node.targets[0].target) == "__all__"


@cache
def read(
    path: str,
) -> tuple[libcst.Module, list[tuple[libcst.CSTNode, libcst.CSTNode]], Mapping[libcst.CSTNode, CodeRange]]:
    """Give a file, all the faults that it can have, and where in it everything stands."""
    wrapped, sites = MetadataWrapper(libcst.parse_module((ROOT / path).read_text(encoding="utf-8"))), _Sites()
    wrapped.module.visit(sites)
    return wrapped.module, sites.found, wrapped.resolve(PositionProvider)


def faulty(path: str, number: int) -> str | None:
    """Give the text of a file with one fault; null where it would change nothing or could not be read."""
    module, found, _ = read(path)
    text = module.deep_replace(*found[number]).code  # type: ignore[arg-type]
    try:
        compile(text, path, "exec")
    except SyntaxError:
        return None
    return text if text != module.code else None


def shuffled(seed: int) -> list[tuple[str, int]]:
    paths = sorted(str(path.relative_to(ROOT)) for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    every = [(path, number) for path in paths for number in range(len(read(path)[1]))]
    random.Random(seed).shuffle(every)
    return every


class _Watch:
    """Leaves out what needs PostgreSQL or is slow, and remembers the first test that fails."""

    def __init__(self) -> None:
        self.failed: str | None = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if "postgresql" not in item.name and not _is_elsewhere(item)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or (report.nodeid if report.failed else None)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.failed = self.failed or (f"the import of {report.nodeid}" if report.failed else None)


def _is_elsewhere(item: pytest.Item) -> bool:
    is_slow = item.get_closest_marker("slow") is not None
    return is_slow or "postgres" in item.fixturenames  # type: ignore[attr-defined]


class Copy:
    """A copy of the tree, in which one file at a time is faulty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)

    @contextmanager
    def holding(self, path: str, text: str) -> Iterator[None]:
        self._write(path, text)
        yield
        self._write(path, read(path)[0].code)

    def _write(self, path: str, text: str) -> None:
        (self._folder / path).write_text(text, encoding="utf-8")
        # Files of one second and size are taken for the same.
        Path(importlib.util.cache_from_source(str(self._folder / path))).unlink(missing_ok=True)

    def run(self, tests: list[str], most: int = MOST_COMPUTED) -> str | None:
        """Run tests in a process of their own and name the one that failed, or what else was wrong."""
        (self._folder / "failed").unlink(missing_ok=True)
        status = self._in_child(lambda: self._test(tests), most)
        if status == 0:
            return None
        if not os.WIFEXITED(status):
            return "the time that it took"
        found = self._folder / "failed"
        return found.read_text() if found.exists() else (self._folder / "said").read_text()

    def record(self, path: Path) -> None:
        """Find out which tests run which lines. Raises SystemExit where they do not pass."""
        if self._in_child(lambda: self._record(path), MOST_RECORDED):
            raise SystemExit(f"without any fault:\n{(self._folder / 'said').read_text()[-3000:]}")

    def _in_child(self, work: Callable[[], int], most: int) -> int:
        """Do something in a process of its own, for so many seconds of computing at most, and give its status."""
        pid = os.fork()
        if not pid:
            try:
                self._enter(most)
                os._exit(work())
            finally:
                traceback.print_exc()
                os._exit(9)
        end = time.monotonic() + 4 * most
        while not (ended := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < end:
            time.sleep(0.02)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        return ended[1] if ended[0] else os.waitpid(pid, 0)[1]

    def _enter(self, most: int) -> None:
        """Work in the copy, with nothing loaded of the tree that it was made of."""
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))
        os.chdir(self._folder)
        sys.path.insert(0, str(self._folder))
        # What one try compiles the next need not.
        sys.dont_write_bytecode = False
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]
        with (self._folder / "said").open("wb") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        # The smallest example is not looked for: one is enough.
        phases, checks = (Phase.explicit, Phase.generate), tuple(HealthCheck)
        hypothesis.register_profile(
            "first", phases=phases, suppress_health_check=checks, database=None, derandomize=True, deadline=None
        )
        hypothesis.load_profile("first")

    def _test(self, tests: list[str]) -> int:
        watch = _Watch()
        code = int(pytest.main([*WORDS, "-x", *tests], plugins=[watch]))
        (self._folder / "failed").write_text(watch.failed or f"pytest's code {code}")
        return code

    def _record(self, path: Path) -> int:
        recorder = Recorder(self._folder)
        recorder.start()
        code = int(pytest.main([*WORDS, *LEFT_OUT, *ASKED], plugins=[_Watch(), recorder]))
        if code == 0:
            recorder.save(path, ROOMS)
        return code


class Notes:
    """What was tried so far, a line each; of two lines on one fault the later counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._known = {
            (tried.path, tried.number, tried.of): tried for line in lines for tried in (Tried(**json.loads(line)),)
        }

    def of(self, path: str, number: int) -> Tried | None:
        return self._known.get((path, number, digest(path)))

    def add(self, tried: Tried) -> None:
        self._known[tried.path, tried.number, tried.of] = tried
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(tried)) + "\n")


def digest(path: str) -> str:
    return hashlib.sha256(read(path)[0].code.encode()).hexdigest()[:16]


def lines(path: str, number: int) -> tuple[int, int]:
    """Give the first and the last line of what a fault changes."""
    at = read(path)[2][read(path)[1][number][0]]
    return at.start.line, at.end.line


def attempt(copy: Copy, runs: Runs, path: str, number: int, text: str) -> Tried:
    began = time.monotonic()
    lots = runs.of(path, *lines(path, number))
    with copy.holding(path, text):
        noticed_by = next(filter(None, map(copy.run, [OF_IMPORTS] if lots is None else lots)), None)
    diff = unified_diff(read(path)[0].code.splitlines(), text.splitlines(), path, path, lineterm="", n=1)
    return Tried(path, number, digest(path), "\n".join(diff), noticed_by, round(time.monotonic() - began, 1))


def try_all(faults: Sequence[tuple[str, int]]) -> Iterator[Tried]:
    """Put each fault into a copy, and run the tests that run its lines."""
    if not faults:
        return
    for name in LIBRARIES:
        import_module(name)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(Path(folder))
        seen = ROOT / f"mutants-{whole_digest()}.json"
        if not seen.exists():
            copy.record(seen)
        runs = Runs(seen)
        for path, number in faults:
            if (text := faulty(path, number)) is not None:
                yield attempt(copy, runs, path, number, text)


def whole_digest() -> str:
    """Tell one state of the code and its tests from others; what is here is neither."""
    files = sorted(path for name in ("api", "tests") for path in (ROOT / name).rglob("*.py"))
    files = [path for path in files if Path(__file__).parent not in path.parents]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def report(tried: list[Tried]) -> None:
    for each in tried:
        if each.noticed_by is None:
            print(f"\n{each.diff}")
    rooms: dict[str, list[Tried]] = {}
    for each in tried:
        rooms.setdefault(each.path.rpartition("/")[0], []).append(each)
    print()
    for room, of_it in [*sorted(rooms.items()), ("all", tried)]:
        noticed = sum(each.noticed_by is not None for each in of_it)
        print(f"{room}: {noticed} of {len(of_it)} noticed, {noticed / max(1, len(of_it)):.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--within", default="api/", help="try those alone whose path begins so")
    parser.add_argument("--again", action="store_true", help="try once more what nobody noticed")
    parser.add_argument("--report", action="store_true", help="try nothing, tell what is known")
    asked = parser.parse_args()
    notes = Notes(ROOT / f"mutants-{asked.seed}.ndjson")
    faults = [fault for fault in shuffled(asked.seed)[: asked.count] if fault[0].startswith(asked.within)]
    known = {fault: tried for fault in faults if (tried := notes.of(*fault)) is not None}
    wanted = [fault for fault in faults if fault not in known or (asked.again and known[fault].noticed_by is None)]
    for tried in try_all([] if asked.report else wanted):
        notes.add(tried)
        known[tried.path, tried.number] = tried
        print(f"{tried.seconds} s, {tried.path} {tried.number}: {tried.noticed_by or 'SURVIVED'}", flush=True)
    report([known[fault] for fault in faults if fault in known])


if __name__ == "__main__":
    main()
