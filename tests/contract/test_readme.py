"""The README: its tour is run against a fresh ledger, and it names all that a reader may meet."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api.__main__ import main
from api.domain.log.event import TYPES
from api.routes.edge.problems import SLUGS
from api.settings import Settings
from openapi import capture
from tests.fuzz import serving

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
MORE = "…"
CHECKING = "## Check it yourself"
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|…')


def tour(text: str) -> list[tuple[str, str]]:
    """Give the commands of a part of the README, each with the answer shown."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = re.sub(r"\\\n", " ", step).partition("\n")
            while command.count("'") % 2:
                more, _, answer = answer.partition("\n")
                command += "\n" + more
            found.append((command, answer.strip()))
    return found


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Litestar]]:
    with capture.seeded(tmp_path_factory.mktemp("tour")) as client:
        yield client


def test_the_tour_shows_what_a_fresh_ledger_answers(seeded: TestClient[Litestar]) -> None:
    steps = tour(README.partition(CHECKING)[0])
    assert len(steps) > 12

    for command, shown in steps:
        if command.startswith("KEY="):
            continue
        answer = send(seeded, command)
        head, _, body = shown.partition("\n\n") if shown.startswith("HTTP/") else ("", "", shown)
        check_head(head, answer, command)
        problem = difference(read(body), answer.json())
        assert problem is None, f"{command}\n{problem}"


def test_anybody_can_check_it_as_shown(tmp_path: Path) -> None:
    """The commands run in a shell, against a ledger that is really served."""
    steps = tour(README.partition(CHECKING)[2])
    assert len(steps) > 10
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with serving.served(tmp_path, url) as address:
        made = [str(serving.LEDGER), "keys", "create", "newsroom", "--scope", "write"]
        environment = serving.environment_of(tmp_path, url)
        key = subprocess.run(made, env=environment, capture_output=True, text=True, check=True).stdout.strip()
        script = "".join(f"{command}\nprintf '\\001'\n" for command, _ in steps)
        script = script.replace("http://localhost:8000", address).replace("localhost:8000", address)
        told = subprocess.run(
            ["bash", "-e", "-c", script.replace("python3 ", f"{sys.executable} -I -S ")],
            cwd=tmp_path, env={**environment, "KEY": key}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert told.returncode == 0, told.stderr
    for (command, shown), answer in zip(steps, told.stdout.split("\1")[:-1], strict=True):
        assert difference(shown, answer.strip()) is None, f"{command}\n{answer}"


def send(client: TestClient[Litestar], command: str) -> httpx.Response:
    """Send what curl would."""
    words = shlex.split(command)
    assert words[0] == "curl"
    url, headers, body = "", {}, None
    rest = iter(words[1:])
    for word in rest:
        if word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(rest)
        elif not word.startswith("-"):
            url = word.removeprefix("localhost:8000")
    if "Authorization" in headers:
        headers["Authorization"] = client.headers["Authorization"]
    return client.request("POST" if body is not None else "GET", url, headers=headers, content=body)


def check_head(head: str, answer: httpx.Response, command: str) -> None:
    lines = head.splitlines()
    if not lines:
        # Without -i, what is shown is a good answer or says itself that it is a problem.
        assert answer.is_success or "problem" in answer.headers["content-type"], command
        return
    assert answer.status_code == int(lines[0].split()[1]), command
    for line in lines[1:]:
        name, _, value = line.partition(": ")
        assert answer.headers[name] == value, f"{command}\n{name}"


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
    ("shown", "real", "is_alike"),
    [
        ('{"a": 1, …}', {"a": 1, "b": 2}, True),
        ('{"a": 1}', {"a": 1, "b": 2}, False),
        ('{"a": 2, …}', {"a": 1, "b": 2}, False),
        ('[{"a": "x…z", …}]', [{"a": "xyz", "b": 2}], True),
        ('[{"a": "x…z", …}]', [{"a": "xy"}], False),
        ("[1]", [1, 2], False),
    ],
)
def test_shortened_answers_are_compared_with_care(shown: str, real: Any, is_alike: bool) -> None:
    assert (difference(read(shown), real) is None) == is_alike


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_its_row(name: str) -> None:
    field = Settings.model_fields[name]
    default = {None: "", (): "", True: "`true`", False: "`false`"}.get(field.default, f"`{field.default}`")

    assert f"| `LEDGER_{name.upper()}` | {default} | {field.description} |" in README


def test_no_setting_is_named_that_does_not_exist() -> None:
    named = {name.lower() for name in re.findall(r"`LEDGER_([A-Z_]+)[`=]", README)}

    assert named - {"test_database_url"} <= set(Settings.model_fields)


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


def test_every_file_and_folder_that_it_names_is_there() -> None:
    root = Path(__file__).parents[2]
    for name in re.findall(r"`((?:api|seed|openapi|migrations|\.ci)/[\w./]*|LICENSE|requirements\.lock)`", README):
        assert (root / name).exists(), name
