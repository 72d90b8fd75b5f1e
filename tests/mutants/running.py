"""Which tests run which lines of the code, and how long each takes: found once by coverage, and kept in a file."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import process_time

import pytest
from coverage import Coverage

# Seconds of tests that are tried first: nearly every fault that is noticed at all is noticed there. And of all that are
# tried: what the quickest tests that run a line do not notice counts as unnoticed, whatever the slower ones would say.
FIRST, MOST = 6.0, 90.0


class Recorder:
    """A plugin for pytest: tells coverage which test runs. What tests share is made for all tests of a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._coverage = Coverage(
            data_file=None, config_file=False, source=[str(folder / "api")], concurrency=["thread"]
        )
        self._seconds: dict[str, float] = {}
        self._running = ""

    def start(self) -> None:
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        began = process_time()
        with self._as(item.nodeid):
            result = yield
        self._seconds[item.nodeid] = round(process_time() - began, 3)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
    ) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        with self._as(request.node.nodeid.partition("::")[0] or self._running.partition("::")[0]):
            return (yield)

    @contextmanager
    def _as(self, name: str) -> Iterator[None]:
        before, self._running = self._running, name
        self._coverage.switch_context(name)
        yield
        self._running = before
        self._coverage.switch_context(before)

    def save(self, path: Path, rooms: Iterable[str]) -> None:
        """Write what was seen of these rooms: each line with the numbers of what ran it."""
        self._coverage.stop()
        data = self._coverage.get_data()
        names: dict[str, int] = {}
        files = {}
        for file in sorted(data.measured_files()):
            relative = str(Path(file).relative_to(self._folder))
            if relative.startswith(tuple(rooms)):
                files[relative] = {
                    line: [names.setdefault(context, len(names)) for context in contexts]
                    for line, contexts in data.contexts_by_lineno(file).items()
                }
        path.write_text(json.dumps({"seconds": self._seconds, "names": list(names), "files": files}), encoding="utf-8")


class Runs:
    """What a recorder saw."""

    def __init__(self, path: Path) -> None:
        seen = json.loads(path.read_text(encoding="utf-8"))
        self._seconds: dict[str, float] = seen["seconds"]
        self._names: list[str] = seen["names"]
        self._files: dict[str, dict[str, list[int]]] = seen["files"]

    def of(self, path: str, first: int, last: int) -> list[list[str]] | None:
        """Give the tests that run one of these lines, the quickest first, in lots; null for lines that only imports run."""
        lines = self._files.get(path, {})
        found = {self._names[number] for line in range(first, last + 1) for number in lines.get(str(line), ())}
        tests = {name for name in found if "::" in name}
        shared = {name for name in found if name and "::" not in name}
        tests |= {name for name in self._seconds if name.partition("::")[0] in shared}
        if not tests:
            return None if "" in found else []
        return self._in_lots(tests)

    def _in_lots(self, tests: set[str]) -> list[list[str]]:
        lots: list[list[str]] = [[]]
        begun, most, spent = 0.0, FIRST, 0.0
        for test in sorted(tests, key=lambda test: (self._seconds.get(test, 0.0), test)):
            if spent > MOST:
                break
            if spent - begun > most:
                # Each lot may take four times as long as the one before.
                lots.append([])
                begun, most = spent, most * 4
            lots[-1].append(test)
            # To collect a test takes a while, too.
            spent += self._seconds.get(test, 0.0) + 0.01
        return [sorted(lot) for lot in lots]
