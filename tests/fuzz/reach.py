"""What a document promises, and how much of it a run reached: answers by operation and status, and links.

408, 429 and 503 are the server's and say nothing of an operation: each counts once. A link counts when the values that it
names were taken from an answer, sent on, and led to an answer that is no refusal.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# Where a run of schemathesis is told to write down what it reached.
REACHED = "LEDGER_FUZZ_REACHED"
ONCE = frozenset({"408", "429", "503"})
METHODS = ("get", "post")
ANY = "any operation"


@dataclass(frozen=True, slots=True, order=True)
class Answer:
    operation: str
    status: str

    @classmethod
    def of(cls, operation: str, status: str) -> Self:
        """Give what an answer counts as."""
        return cls(ANY if status in ONCE else operation, status)


@dataclass(frozen=True, slots=True)
class Reach:
    """Answers and links: those that are promised, or those that were reached."""

    answers: frozenset[Answer] = frozenset()
    links: frozenset[str] = frozenset()

    def __or__(self, other: "Reach") -> "Reach":
        return Reach(self.answers | other.answers, self.links | other.links)


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the document: from an answer to an operation, whose parameters it fills from that answer."""

    source: str
    status: str
    name: str
    target: str
    parameters: Mapping[str, str]


def promised(document: Mapping[str, object]) -> Reach:
    """Give all that a document promises."""
    answers = {
        Answer.of(label, status) for label, operation in _operations(document) for status in operation["responses"]
    }
    return Reach(frozenset(answers), frozenset(name for name, _ in links(document)))


def links(document: Mapping[str, object]) -> Iterator[tuple[str, Link]]:
    """Give each link under the name that schemathesis has for it; its ends are ids of operations."""
    labels = {operation["operationId"]: label for label, operation in _operations(document)}
    for label, operation in _operations(document):
        for status, answer in operation["responses"].items():
            for name, written in _resolved(document, answer).get("links", {}).items():
                link = _resolved(document, written)
                target = link["operationId"]
                found = Link(operation["operationId"], status, name, target, link["parameters"])
                yield f"{label} -> [{status}] {name} -> {labels[target]}", found


def shown(asked: Reach, reached: Reach) -> Iterator[str]:
    """Give the lines of a table: how much was reached, and all that was not."""
    yield _share("documented answers", asked.answers, reached.answers)
    yield _share("documented links", asked.links, reached.links)
    missing: dict[str, list[str]] = {}
    for answer in sorted(asked.answers - reached.answers):
        missing.setdefault(answer.operation, []).append(answer.status)
    yield from (f"  never answered: {operation}: {', '.join(statuses)}" for operation, statuses in missing.items())
    yield from (f"  never followed: {link}" for link in sorted(asked.links - reached.links))


def share(asked: frozenset[object], reached: frozenset[object]) -> float:
    """Give the part of what was asked for that was reached, from 0 to 1."""
    return len(asked & reached) / len(asked) if asked else 1.0


def write(path: Path, reach: Reach) -> None:
    answers = sorted([each.operation, each.status] for each in reach.answers)
    path.write_text(json.dumps({"answers": answers, "links": sorted(reach.links)}), encoding="utf-8")


def read(path: Path) -> Reach:
    found = json.loads(path.read_text(encoding="utf-8"))
    return Reach(frozenset(Answer(*each) for each in found["answers"]), frozenset(found["links"]))


def _share(what: str, asked: frozenset[object], reached: frozenset[object]) -> str:
    return f"{what}: {len(asked & reached)} of {len(asked)} reached, {share(asked, reached):.1%}"


def _operations(document: Mapping[str, object]) -> Iterator[tuple[str, dict]]:
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield f"{method.upper()} {path}", methods[method]


def _resolved(document: Mapping[str, object], part: Mapping[str, object]) -> Mapping[str, object]:
    if "$ref" not in part:
        return part
    found = document
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found
