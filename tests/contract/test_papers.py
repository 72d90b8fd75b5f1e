"""The papers: README stays short, and every link, file and command that README or CONTRIBUTING names is there."""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from api.__main__ import main

ROOT = Path(__file__).parents[2]
NAMES = ("README.md", "CONTRIBUTING.md")
PAPERS = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
MOST_BYTES = 25_000
_DEVELOPMENT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]["dev"]
TOOLS = {re.split(r"[\[<>=]", tool)[0] for tool in _DEVELOPMENT}


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


@pytest.mark.parametrize(("name", "words"), in_code(r"(?:uv run )?(ledger .+)"))
def test_every_command_of_ours_is_one(name: str, words: str) -> None:
    command: click.Command = main
    for word in words.split()[1:]:
        if not isinstance(command, click.Group):
            break
        assert word in command.commands, f"{name}: {words}"
        command = command.commands[word]
    assert command is not main


@pytest.mark.parametrize(("name", "words"), in_code(r"(uv run .+)"))
def test_every_other_command_is_one(name: str, words: str) -> None:
    """Options that modules of ours are given are read by them."""
    for step in words.split(" && "):
        tool, *rest = [
            word for word in shlex.split(step, comments=True)[2:] if word not in ("--no-sync", "--group", "bench")
        ]
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
    steps = re.findall(r'^step "[^"]+" (uv run .+)$', (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    said = " ".join(spans(PAPERS["CONTRIBUTING.md"]))
    assert len(steps) > 5
    for step in steps:
        assert step.replace(" --no-sync", "").replace(" --check --quiet", "") in said, step
