"""The README: a newcomer may type what it shows and gets what it shows, and it names all that a reader may meet."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from api.__main__ import main
from api.domain.log.event import TYPES
from api.routes.edge.problems import SLUGS
from api.settings import Settings
from tests.fuzz import serving

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENT = json.loads((ROOT / "openapi" / "openapi.json").read_text(encoding="utf-8"))
MORE = "…"
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|…')


def tour(text: str) -> list[tuple[str, str]]:
    """Give the commands that are shown, each with what it prints."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = re.sub(r"\\\n", " ", step).partition("\n")
            while command.count("'") % 2:
                more, _, answer = answer.partition("\n")
                command += "\n" + more
            found.append((command, answer.strip()))
    return found


def test_what_is_shown_is_what_happens_when_it_is_typed_from_the_top(tmp_path: Path) -> None:
    """In one shell, against a ledger that is really served."""
    steps = tour(README)
    assert len(steps) > 20
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with serving.served(tmp_path, url) as address:
        script = "".join(f"{command}\nprintf '\\001'\n" for command, _ in steps)
        script = script.replace("http://localhost:8000", address).replace("localhost:8000", address)
        script = script.replace("uv run ledger", str(serving.LEDGER)).replace("python3 ", f"{sys.executable} -I -S ")
        told = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=tmp_path, env=serving.environment_of(tmp_path, url), capture_output=True, text=True, check=False,
        )  # fmt: skip
        unanswered = [path for path in beside_the_document() if not httpx.get(address + path).is_success]

    assert told.returncode == 0, told.stderr
    for (command, shown), printed in zip(steps, told.stdout.split("\1")[:-1], strict=True):
        assert departure(shown, printed.strip()) is None, f"{command}\n{printed}"
    assert unanswered == []


def departure(shown: str, printed: str) -> str | None:
    """Say where what was printed departs from what is shown of it: a head, JSON, or text."""
    head, _, body = shown.partition("\n\n") if shown.startswith("HTTP/") else ("", "", shown)
    if head:
        real_head, _, printed = printed.partition("\n\n")
        if missing := [line for line in head.splitlines() if line not in real_head.splitlines()]:
            return f"has no {missing}, but {real_head}"
    if body.startswith(("{", "[")):
        return difference(read(body), json.loads(printed))
    return difference(body, printed)


def read(shown: str) -> Any:
    """Read JSON in which a bare … stands for more members or more items."""
    nesting: list[str] = []

    def spell(token: re.Match[str]) -> str:
        text = token[0]
        if text in "{[":
            nesting.append(text)
        elif text in "}]":
            nesting.pop()
        elif text == MORE:
            return f'"{MORE}": 0' if nesting[-1] == "{" else f'"{MORE}"'
        return text

    return json.loads(_TOKEN.sub(spell, shown))


def difference(shown: Any, real: Any, where: str = "") -> str | None:
    """Say where an answer departs from what is shown of it; None if nowhere."""
    if isinstance(shown, dict) and isinstance(real, dict):
        named = {name: value for name, value in shown.items() if name != MORE}
        if set(named) - set(real) or (MORE not in shown and set(real) - set(named)):
            return f"{where}: has the members {sorted(real)}"
        return first(difference(value, real[name], f"{where}/{name}") for name, value in named.items())
    if isinstance(shown, list) and isinstance(real, list):
        if shown and shown[-1] == MORE:
            shown, real = shown[:-1], real[: len(shown) - 1]
        if len(shown) != len(real):
            return f"{where}: has {len(real)} items"
        return first(difference(*pair, f"{where}/{place}") for place, pair in enumerate(zip(shown, real, strict=True)))
    if isinstance(shown, str) and isinstance(real, str) and MORE in shown:
        pattern = ".*".join(re.escape(part) for part in shown.split(MORE))
        return None if re.fullmatch(pattern, real, re.DOTALL) else f"{where}: is {real!r}"
    return None if shown == real else f"{where}: is {real!r}"


def first(problems: Iterator[str | None]) -> str | None:
    return next((problem for problem in problems if problem is not None), None)


@pytest.mark.parametrize(
    ("shown", "printed", "is_alike"),
    [
        ('{"a": 1, …}', '{"a": 1, "b": 2}', True),
        ('{"a": 1}', '{"a": 1, "b": 2}', False),
        ('{"a": 2, …}', '{"a": 1, "b": 2}', False),
        ('[{"a": "x…z", …}]', '[{"a": "xyz", "b": 2}]', True),
        ('[{"a": "x…z", …}]', '[{"a": "xy"}]', False),
        ("[1]", "[1, 2]", False),
        ("[1, …]", "[1, 2]", True),
        ("proved: …\n  …", "proved: all\n  of it", True),
        ("proved: …", "refused: all of it", False),
        ('HTTP/1.1 200 OK\netag: "1"\n\n{…}', 'HTTP/1.1 200 OK\nvary: Accept\netag: "1"\n\n{}', True),
        ('HTTP/1.1 200 OK\netag: "1"\n\n{…}', 'HTTP/1.1 200 OK\netag: "2"\n\n{}', False),
    ],
)
def test_shortened_answers_are_compared_with_care(shown: str, printed: str, is_alike: bool) -> None:
    assert (departure(shown, printed) is None) == is_alike


def addresses() -> set[str]:
    """Give the addresses of the service that stand in code; what … begins with is the end of some."""
    spans = re.findall(r"`(?:GET |POST )?([/…]/?[a-z][^`? ]*)", README)
    return {span for span in spans if not span.startswith("/problems/<")}


def beside_the_document() -> list[str]:
    return sorted(path for path in addresses() if not path.startswith((MORE, "/v1/")))


@pytest.mark.parametrize("path", sorted(addresses() - set(beside_the_document())))
def test_every_operation_that_it_names_is_in_the_document(path: str) -> None:
    assert any(known.endswith(path.removeprefix(MORE)) for known in DOCUMENT["paths"])


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_its_row(name: str) -> None:
    field = Settings.model_fields[name]
    default = {None: "", (): "", True: "`true`", False: "`false`"}.get(field.default, f"`{field.default}`")

    assert f"| `LEDGER_{name.upper()}` | {default} | {field.description} |" in README


def test_no_setting_is_named_that_does_not_exist() -> None:
    named = {name.lower() for name in re.findall(r"\bLEDGER_([A-Z_]+)\b", README)}

    assert named <= set(Settings.model_fields)


@pytest.mark.parametrize("slug", SLUGS)
def test_every_problem_type_is_named(slug: str) -> None:
    assert f"`{slug}`" in README


@pytest.mark.parametrize("event_type", TYPES)
def test_every_event_type_is_named(event_type: str) -> None:
    assert f"`{event_type}`" in README


def test_every_command_and_option_is_named() -> None:
    for words, command in commands(main, "ledger"):
        last = words.split(" ", 1)[1]
        assert f"`{words}" in README or f"`{last}" in README, words
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.is_eager:
                assert parameter.opts[0] in README, f"{words} {parameter.opts[0]}"


def commands(group: click.Group, words: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{words} {name}")
        else:
            yield f"{words} {name}", command
