"""The papers: README stays short, the house is drawn as it stands, its ways are walked, and all that they name is there."""

import ast
import importlib.util
import re
import shlex
import threading
import tomllib
from pathlib import Path
from types import FrameType

import click
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api.__main__ import main
from api.app import wrap
from tests.contract.test_architecture import ROOMS

ROOT = Path(__file__).parents[2]
NAMES = ("README.md", "CONTRIBUTING.md")
PAPERS = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
MOST_BYTES = 25_000
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOOLS = {
    re.split(r"[\[<>=]", tool)[0]
    for tool in (*_PROJECT["project"]["dependencies"], *_PROJECT["dependency-groups"]["dev"])
}


def spans(text: str) -> list[str]:
    """Give what stands in code, within a line."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def in_code(pattern: str) -> list[tuple[str, str]]:
    """Find in each paper the code, within lines and in blocks, that a pattern fits from its beginning."""
    found = set()
    for name, text in PAPERS.items():
        lines = [*spans(text), *(line for block in blocks(text, "(?:sh|console)") for line in block.splitlines())]
        found |= {(name, match[1]) for line in lines if (match := re.match(pattern, line.removeprefix("$ ")))}
    return sorted(found)


def anchors(text: str) -> set[str]:
    """Name the headings as a link to them does."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short() -> None:
    assert len(PAPERS["README.md"].encode()) < MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", PAPERS[name])
    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        target = ROOT / path if path else ROOT / name
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize(
    ("name", "path"),
    [*in_code(r"([a-z.][\w.-]*/[\w./*-]*)$"), *in_code(r"([\w.-]+\.(?:py|md|ini|toml|lock)|LICENSE)$")],
)
def test_every_file_and_folder_is_there(name: str, path: str) -> None:
    assert any(list(folder.glob(path.rstrip("/"))) for folder in (ROOT, ROOT / "api")), f"{name}: {path}"


@pytest.mark.parametrize(("name", "named"), in_code(r"([\w./-]+\.py:[\w.]+)$"))
def test_every_function_is_where_it_is_said_to_be(name: str, named: str) -> None:
    path, _, function = named.partition(":")
    file = next(folder / path for folder in (ROOT, ROOT / "api") if (folder / path).exists())
    assert function in defined(ast.parse(file.read_text(encoding="utf-8"))), f"{name}: {named}"


def defined(tree: ast.Module | ast.ClassDef, before: str = "") -> set[str]:
    """Name what a module or a class defines."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(before + node.name)
        if isinstance(node, ast.ClassDef):
            found |= defined(node, f"{before}{node.name}.")
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {before + target.id for target in targets if isinstance(target, ast.Name)}
    return found


def section(heading: str) -> str:
    return PAPERS["CONTRIBUTING.md"].partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_the_drawing_shows_the_rooms_from_the_top_down() -> None:
    drawing = section("The house").partition("```\n")[2].partition("```")[0]
    shown = re.findall(r"^[ └─]*(\w+)", drawing, re.MULTILINE)
    assert [room for room in shown if room not in ("routes", "ledger", "domain")] == [
        room.rpartition(".")[2] for room in reversed(ROOMS) if room != "domain"
    ]


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
@pytest.mark.parametrize("way", ["The way of a read", "The way of an append"])
def test_a_request_takes_the_way_that_is_told(way: str, app: Litestar, key: str) -> None:
    told = re.findall(r"^\| \d+ \| `([\w/]+\.py:[\w.]+)`", section(way), re.MULTILINE)
    assert len(told) > 5
    entered: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(ROOT / "api"):
            entered.setdefault(f"{file.relative_to(ROOT / 'api')}:{frame.f_code.co_qualname}")

    threading.setprofile(note)
    try:
        with TestClient(app) as client:
            client.app = wrap(app)  # type: ignore[assignment]
            client.headers["Authorization"] = f"Bearer {key}"
            # A writer that has found nobody beside it twice judges before it takes the lock.
            answers = [
                client.post("/v1/entities", json={"id": name, "type": "company", "name": name})
                for name in ("amazon", "parler")
            ]
            entered.clear()
            if way == "The way of a read":
                answers.append(client.get("/v1/entities/amazon"))
            else:
                answers.append(client.post("/v1/entities", json={"id": "aws", "type": "company", "name": "AWS"}))
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]

    assert all(answer.is_success for answer in answers)
    assert [name for name in entered if name in told] == told


@pytest.mark.parametrize(("name", "words"), in_code(r"(?:uv run )?(ledger .+)"))
def test_every_command_of_ours_is_one(name: str, words: str) -> None:
    command: click.Command = main
    for word in words.split()[1:]:
        if not isinstance(command, click.Group):
            break
        assert word in command.commands, f"{name}: {words}"
        command = command.commands[word]
    assert command is not main


@pytest.mark.parametrize(("name", "words"), in_code(r"(?:env (?:\w+=\w+ )+)?(uv run .+)"))
def test_every_other_command_is_one(name: str, words: str) -> None:
    """Options that modules of ours are given are read by them, and files that others are given are there."""
    for step in words.split(" && "):
        tool, *rest = [
            word
            for word in shlex.split(step, comments=True)[2:]
            if word not in ("--no-sync", "--group", "bench", "--with", "mutmut", "playwright")
        ]
        assert all((ROOT / word).exists() for word in rest if word.endswith(".py")), f"{name}: {words}"
        if tool != "python":
            assert tool in TOOLS | {"ledger"}, f"{name}: {words}"
            continue
        found = importlib.util.find_spec(rest[1])
        assert rest[0] == "-m", f"{name}: {words}"
        assert found is not None, f"{name}: {words}"
        if found.submodule_search_locations:
            found = importlib.util.find_spec(f"{rest[1]}.__main__")
        assert found is not None, f"{name}: {words}"
        assert found.origin is not None
        source = Path(found.origin).read_text(encoding="utf-8")
        assert all(f'"{word}"' in source for word in rest if word.startswith("--")), f"{name}: {words}"


def test_the_chores_are_in_the_words_of_the_continuous_check() -> None:
    """What `.ci/run` does for each change, a developer finds in CONTRIBUTING."""
    steps = re.findall(
        r'^((?:\w+=\w+ )*)step "[^"]+" (uv run .+)$',
        (ROOT / ".ci" / "run").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    said = " ".join(spans(PAPERS["CONTRIBUTING.md"]))
    assert len(steps) > 5
    for step in map("".join, steps):
        assert step.replace(" --no-sync", "").replace(" --check --quiet", "") in said, step
