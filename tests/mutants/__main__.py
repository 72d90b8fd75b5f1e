"""Faults put into the code one at a time, to see whether the tests notice: a chore, and no part of the suite.

`uv run --with mutmut python -m tests.mutants --seed 16 --count 600` draws among all faults that mutmut knows how to
make in the folders below, puts each into a copy of the tree, runs the tests nearest to it there, on SQLite, and notes in
`mutants-16.ndjson` what came of it. It may be stopped and goes on where it was; `--again` tries those once more that nobody
noticed, `--report` only tells.
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
from collections.abc import Iterable, Iterator
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
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).parents[2]
# The tests nearest to the code, quick ones first: the first that fails ends the run. Of several paths the longest counts.
DOCUMENT = "contract/test_openapi.py::test_the_committed_document_is_the_generated_one"
NEAREST = {
    "api/domain": f"domain log/test_event.py {DOCUMENT}",
    "api/domain/agreement": "domain/test_agreement.py domain/test_meeting.py domain/test_outline.py projecting/test_followed.py domain/test_chains.py",
    "api/domain/dates": f"domain/test_edtf.py domain/test_clocks.py {DOCUMENT}",
    "api/domain/errors.py": "domain/test_rules.py edge/test_problems.py contract/test_status_rule.py contract/test_preconditions.py",
    "api/domain/log": "log/test_event.py log/test_checkpoint.py log/test_cosignature.py log/test_merkle.py log/test_log_format.py",
    "api/domain/records": f"domain/test_answer.py domain/test_operation.py domain/test_redaction.py log/test_event.py {DOCUMENT} domain/test_rules.py domain/test_limits_of_rules.py"
    " domain/test_chains.py writing/test_redaction.py contract/test_bad_bodies.py",
    "api/domain/records/kinds.py": f"{DOCUMENT} contract/test_kinds.py records/test_lists_http.py writing/test_views.py",
    "api/domain/text.py": f"domain/test_text.py {DOCUMENT}",
    "api/ledger/projecting": "domain/test_rules.py projecting writing/test_views.py writing/test_prefix.py",
    "api/ledger/writing": "domain/test_rules.py writing",
}
# What these say of a class is held by the type checker, or is how much is kept in memory.
UNSEEN = {"frozen", "slots", "kw_only", "eq", "order", "gc", "maxsize"}
COPIED = "api migrations openapi seed tests alembic.ini pyproject.toml README.md requirements.lock".split()
WORDS = "-o addopts= -p no:cacheprovider -x -q -W ignore::pytest.PytestAssertRewriteWarning".split()
# Seconds of computing and of waiting after which a fault counts as noticed.
MOST_COMPUTED, MOST_WAITED = 240, 900
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
def read(path: str) -> tuple[libcst.Module, list[tuple[libcst.CSTNode, libcst.CSTNode]]]:
    """Give a file and all the faults that it can have."""
    module, sites = libcst.parse_module((ROOT / path).read_text(encoding="utf-8")), _Sites()
    module.visit(sites)
    return module, sites.found


def faulty(path: str, number: int) -> str | None:
    """Give the text of a file with one fault; null where it would change nothing or could not be read."""
    module, found = read(path)
    text = module.deep_replace(*found[number]).code  # type: ignore[arg-type]
    try:
        compile(text, path, "exec")
    except SyntaxError:
        return None
    return text if text != module.code else None


def shuffled(seed: int) -> list[tuple[str, int]]:
    paths = sorted({str(path.relative_to(ROOT)) for room in NEAREST for path in _files(ROOT / room)})
    every = [(path, number) for path in paths for number in range(len(read(path)[1]))]
    random.Random(seed).shuffle(every)
    return every


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else list(place.rglob("*.py"))


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
    return "postgres" in item.fixturenames or item.get_closest_marker("slow") is not None  # type: ignore[attr-defined]


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

    def run(self, tests: str) -> str | None:
        """Run tests in a process of their own and name the one that failed, or what else was wrong."""
        (self._folder / "failed").unlink(missing_ok=True)
        pid = os.fork()
        if not pid:
            try:
                self._be_child([f"tests/{test}" for test in tests.split()])
            finally:
                traceback.print_exc()
                os._exit(9)
        end = time.monotonic() + MOST_WAITED
        while not (ended := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < end:
            time.sleep(0.02)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        status = ended[1] if ended[0] else os.waitpid(pid, 0)[1]
        if status == 0:
            return None
        if not os.WIFEXITED(status):
            return "the time that it took"
        found = self._folder / "failed"
        return found.read_text() if found.exists() else (self._folder / "said").read_text()

    def _be_child(self, tests: list[str]) -> None:
        """Run tests in the copy, with nothing loaded of the tree that it was made of."""
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_COMPUTED, MOST_COMPUTED))
        os.chdir(self._folder)
        sys.path.insert(0, str(self._folder))
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
        watch = _Watch()
        code = pytest.main([*WORDS, *tests], plugins=[watch])
        (self._folder / "failed").write_text(watch.failed or f"pytest's code {code}")
        os._exit(int(code))


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


def nearest(path: str) -> str:
    return NEAREST[max((room for room in NEAREST if path.startswith(room)), key=len)]


def attempt(copy: Copy, path: str, number: int, text: str) -> Tried:
    began = time.monotonic()
    with copy.holding(path, text):
        noticed_by = copy.run(nearest(path))
    lines = unified_diff(read(path)[0].code.splitlines(), text.splitlines(), path, path, lineterm="", n=1)
    return Tried(path, number, digest(path), "\n".join(lines), noticed_by, round(time.monotonic() - began, 1))


def try_all(faults: Iterable[tuple[str, int]]) -> Iterator[Tried]:
    """Put each fault into a copy, once the tests nearest to it were seen to pass there without it."""
    for name in LIBRARIES:
        import_module(name)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy, sound = Copy(Path(folder)), set[str]()
        for path, number in faults:
            if nearest(path) not in sound and (failed := copy.run(nearest(path))):
                raise SystemExit(f"without any fault: {failed}\n{(Path(folder) / 'said').read_text()[-3000:]}")
            sound.add(nearest(path))
            if (text := faulty(path, number)) is not None:
                yield attempt(copy, path, number, text)


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
    for tried in try_all(() if asked.report else wanted):
        notes.add(tried)
        known[tried.path, tried.number] = tried
        print(f"{tried.seconds} s, {tried.path} {tried.number}: {tried.noticed_by or 'SURVIVED'}", flush=True)
    report([known[fault] for fault in faults if fault in known])


if __name__ == "__main__":
    main()
