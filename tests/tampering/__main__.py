"""Print the table of ways to tamper as Markdown, for each database: the rows are those that the tests hold.

Exit status: that of the tests.
"""

import sys

import pytest

from tests.tampering.table import HEAD


class Printer:
    """Prints the row that each test leaves."""

    def __init__(self) -> None:
        self._title = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            print(report.longreprtext, file=sys.stderr)
        for name, cells in report.user_properties if report.when == "call" else ():
            if name != self._title:
                self._title = name
                print(f"\n\n{name}\n\n| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
            print("|", " | ".join(" ".join(str(cell).replace("|", "\\|").split()) for cell in cells), "|", flush=True)


if __name__ == "__main__":
    raise SystemExit(
        pytest.main(
            [
                "-o",
                "addopts=",
                "-p",
                "no:terminal",
                "-n0",
                "-W",
                "ignore::pytest.PytestAssertRewriteWarning",
                "tests/verifying/test_tampering.py",
            ],
            plugins=[Printer()],
        )
    )
