"""What a run came to: the table of ratios, and beside it the floors and goals that this project set itself.

A ratio is the median of our rounds over the median of theirs, both of one run. Nothing else is compared.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.bench.load import Outcome

RIVALS = ("const", "django", "eventsourcing", "bare")
OURS = "ledger"
BOTH = ("sqlite", "postgresql")
LITE, PG = ("sqlite",), ("postgresql",)
MEGABYTES = "MB"

LABELS = {
    "read": "read current",
    "as-of": "read as of a position",
    "revision": "read a past revision",
    "history": "history of 20",
    "list": "list 50, first page",
    "list-deep": "list 50, deep page",
    "list-filter": "list 50, one filter",
    "list-as-of": "list as of a position",
    "words": "list 50, two words (`q`)",
    "search": "search 50, two words",
    "feed": "feed page of 100",
    "create": "append: create",
    "update": "append: update",
    "long-history": "history page, {deep} revisions",
    "short-history": "history page, 10 revisions",
    "long-revision": "past revision of {deep}",
    "short-revision": "past revision of 10",
    "batch": "batch of 1,000, events",
    "proof-large": "proof in a tree of 1,000,000",
    "proof-small": "proof in a tree of 1,000",
    "append-signed": "append in process, signed",
    "append-unsigned": "append in process, unsigned",
    "rebuild": "rebuild, events",
    "memory": "memory of a worker, MB",
}


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio to reach. `of` is a rival, an operation of our own, or megabytes; `at_most` makes the bounds limits."""

    operation: str
    of: str
    floor: float | None
    goal: float | None
    databases: tuple[str, ...] = BOTH
    at_most: bool = False


def lists(operation: str) -> Iterator[Goal]:
    """Lay down what every list of 50 must reach."""
    yield Goal(operation, "const", 0.1, 0.35)
    yield Goal(operation, "django", 4, 12)


def appends(operation: str) -> Iterator[Goal]:
    """Lay down what every append must reach."""
    yield Goal(operation, "eventsourcing", 0.8, 1.5, LITE)
    yield Goal(operation, "django", 2.5, None, LITE)
    yield Goal(operation, "eventsourcing", 2, 4, PG)
    yield Goal(operation, "django", 3, None, PG)


GOALS = (
    Goal("read", "const", 0.3, 0.5, LITE),
    Goal("read", "django", 4, 7, LITE),
    Goal("read", "eventsourcing", None, 2, LITE),
    Goal("read", "const", 0.14, 0.25, PG),
    Goal("read", "django", 2.5, None, PG),
    Goal("read", "eventsourcing", None, 1.3, PG),
    Goal("as-of", "read", 0.75, 0.95),
    Goal("revision", "read", 0.75, 0.95),
    Goal("history", "const", 0.17, 0.4),
    *lists("list"),
    *lists("list-deep"),
    Goal("list-deep", "list", None, 0.9),
    *lists("list-filter"),
    Goal("list-as-of", "list", 0.6, 0.9),
    Goal("words", "list", 5, 2, at_most=True),
    Goal("search", "list", 5, 2, at_most=True),
    Goal("feed", "const", 0.1, 0.3),
    Goal("feed", "eventsourcing", None, 5),
    *appends("create"),
    *appends("update"),
    Goal("batch", "bare", 0.35, 1),
    Goal("rebuild", "bare", 0.8, 3),
    Goal("long-history", "short-history", 1.2, 1.05, at_most=True),
    Goal("long-revision", "short-revision", 1.2, 1.05, at_most=True),
    Goal("proof-large", "proof-small", 2, 1.3, at_most=True),
    Goal("append-signed", "append-unsigned", 0.9, None),
    Goal("memory", MEGABYTES, 200, 120, at_most=True),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Outcomes of all rounds, by operation, contestant and database."""

    rounds: dict[tuple[str, str, str], list[Outcome]] = field(default_factory=lambda: defaultdict(list))

    def add(self, operation: str, contestant: str, database: str, outcome: Outcome) -> None:
        """Keep the outcome of one round."""
        self.rounds[operation, contestant, database].append(outcome)

    def rate(self, operation: str, contestant: str, database: str) -> float | None:
        """Give the median rate; none where it was not measured or where any request failed."""
        # The ceiling has no database.
        key = (operation, contestant, "" if contestant == "const" else database)
        outcomes = self.rounds.get(key, [])
        if not outcomes or any(outcome.failures for outcome in outcomes):
            return None
        return median(outcome.per_second for outcome in outcomes)

    def failures(self) -> dict[tuple[str, str, str], int]:
        """Count failed requests where there were any."""
        counts = {key: sum(outcome.failures for outcome in outcomes) for key, outcomes in self.rounds.items()}
        return {key: count for key, count in counts.items() if count}

    def p99(self, operation: str, database: str) -> float | None:
        """Give our median p99 in milliseconds, where a load generator measured one."""
        waits = [outcome.p99_ms for outcome in self.rounds.get((operation, OURS, database), []) if outcome.p99_ms]
        return median(waits) if waits else None


def ratio(figures: Figures, goal: Goal, database: str) -> float | None:
    """Measure what a goal speaks of."""
    ours = figures.rate(goal.operation, OURS, database)
    if goal.of == MEGABYTES or ours is None:
        return ours
    own = goal.of in LABELS
    theirs = figures.rate(goal.of, OURS, database) if own else figures.rate(goal.operation, goal.of, database)
    if theirs is None:
        return None
    return theirs / ours if goal.at_most else ours / theirs


def verdict(measured: float, goal: Goal) -> str:
    """Say which bound is reached; a goal that has only one of them says so by that one."""
    reached = {name: bound is not None and (measured <= bound if goal.at_most else measured >= bound)
               for name, bound in (("goal", goal.goal), ("floor", goal.floor))}  # fmt: skip
    if reached["goal"]:
        return "goal reached"
    if reached["floor"]:
        return "floor reached" if goal.goal is not None else "reached"
    return "BELOW THE FLOOR" if goal.floor is not None else "goal not reached"


def rates(figures: Figures, database: str, names: dict[str, str]) -> list[list[str]]:
    """Write the table of rates and ratios on one database."""
    header = ["operation", OURS, "p99 ms"] + [word for rival in RIVALS for word in (rival, "ratio")]
    rows = [rate_row(figures, operation, label, database) for operation, label in names.items()]
    return [header, *(row for row in rows if any(row[1:]))]


def rate_row(figures: Figures, operation: str, label: str, database: str) -> list[str]:
    """Write one operation: our rate, and each rival's with the ratio of ours to it."""
    ours = figures.rate(operation, OURS, database)
    row = [label, number(ours), number(figures.p99(operation, database))]
    for rival in RIVALS:
        theirs = figures.rate(operation, rival, database)
        row += [number(theirs), number(ours / theirs) if ours and theirs else ""]
    return row


def goals(figures: Figures, database: str, names: dict[str, str]) -> list[list[str]]:
    """Write the floors and goals on one database beside what was measured."""
    rows = [["operation", "measured", "of", "floor", "goal", ""]]
    for goal in GOALS:
        measured = ratio(figures, goal, database) if database in goal.databases else None
        if measured is None:
            continue
        sign = "≤ " if goal.at_most else ""
        of = f"the time of {names[goal.of]}" if goal.at_most and goal.of in names else names.get(goal.of, goal.of)
        bounds = [f"{sign}{number(bound)}" if bound is not None else "" for bound in (goal.floor, goal.goal)]
        rows.append([names[goal.operation], number(measured), of, *bounds, verdict(measured, goal)])
    return rows


def number(value: float | None) -> str:
    """Write a number to about three figures."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004 - three figures


def aligned(rows: list[list[str]]) -> str:
    """Set rows in columns: the first to the left, figures to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def text(figures: Figures, databases: Sequence[str], deep: int) -> str:
    """Write the whole report."""
    names = {operation: label.format(deep=f"{deep:,}") for operation, label in LABELS.items()}
    parts = []
    for database in databases:
        parts += [
            f"\n{database}: requests or events a second; ratio: ours over theirs",
            aligned(rates(figures, database, names)),
        ]
    for database in databases:
        parts += [f"\n{database}: ratios against BENCH's floors and goals", aligned(goals(figures, database, names))]
    failed = [
        f"{count:,} failed: {names[operation]}, {name} {database}"
        for (operation, name, database), count in figures.failures().items()
    ]
    return "\n".join([*parts, *(["", *failed] if failed else [])])
