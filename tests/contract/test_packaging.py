"""What is published: a wheel that runs alone, pins that hold, licences, and nothing that belongs to one machine."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PINS = dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==([^ ;\\]+)", LOCK, re.MULTILINE))
# Put together from halves, so that this file does not hold what it looks for.
HALVES = "py|pi.org python|hosted registry.npm|js deb.deb|ian /wo|rk/ /tmp/stu|dio .lib|rary/"
UNWANTED = HALVES.replace("|", "").split()
LARGE = 2_000_000


def published() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def test_no_file_names_a_registry_or_a_place_on_one_machine() -> None:
    pattern = re.compile("|".join(map(re.escape, UNWANTED)))
    found = []
    for path in published():
        if path.stat().st_size < LARGE:
            text = path.read_bytes().decode("utf-8", errors="replace")
            found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text)]

    assert found == []


def test_pins_have_hashes_and_no_address() -> None:
    assert "://" not in LOCK
    for pin in re.split(r"^(?=[a-z])", LOCK, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in pin, pin.splitlines()[0]


@pytest.mark.parametrize("wanted", [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]])
def test_pins_satisfy_the_project(wanted: str) -> None:
    requirement = Requirement(wanted)

    assert Version(PINS[canonicalize_name(requirement.name)]) in requirement.specifier


def test_what_the_package_imports_is_declared_and_what_is_declared_is_imported() -> None:
    declared = {canonicalize_name(Requirement(each).name) for each in PROJECT["project"]["dependencies"]}
    providers = packages_distributions()
    imported = {
        canonicalize_name(provider)
        for path in [*(ROOT / "api").rglob("*.py"), *(ROOT / "migrations").rglob("*.py")]
        for name in imports(path) - set(sys.stdlib_module_names) - {"api"}
        for provider in providers[name]
    }

    assert imported == declared


def imports(path: Path) -> set[str]:
    """Name the top-level packages that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_serving_needs_nothing_of_the_bench() -> None:
    assert "default-groups" not in PROJECT.get("tool", {}).get("uv", {}), "uv installs dev alone unless told otherwise"
    assert "django" not in PINS


def test_licences_are_whole_and_stated() -> None:
    code, data = ROOT / "LICENSE", ROOT / "seed" / "LICENSE"

    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "END OF TERMS AND CONDITIONS" in code.read_text(encoding="utf-8")
    assert "CC0 1.0 Universal" in data.read_text(encoding="utf-8")
    assert all((ROOT / name).is_file() for name in PROJECT["project"]["license-files"])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_what_the_service_needs(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())

    needed = {
        *(f"api/{path.relative_to(ROOT / 'api')}" for path in published() if path.is_relative_to(ROOT / "api")),
        *(f"api/_shipped/seed/{path.name}" for path in (ROOT / "seed").iterdir()),
        *(f"api/_shipped/migrations/versions/{path.name}" for path in (ROOT / "migrations/versions").glob("*.py")),
        "api/_shipped/migrations/env.py",
    }
    assert needed <= held, sorted(needed - held)
    assert not [name for name in held if name.endswith((".db", ".key")) or name.startswith("tests/")]


def test_the_wheel_runs_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    program = (
        "import api, api.cli.serve as m, api.settings as s; print(api.__file__); m.prepare(s.load(), is_empty=False)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "LEDGER_DATABASE_URL": "sqlite:///alone.db"}

    prepared, counted = (
        subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        for words in (["-c", program], ["-m", "api", "stats"])
    )

    assert str(tmp_path) in prepared.stdout
    operations = sum(len(path.read_text("utf-8").splitlines()) for path in (ROOT / "seed").glob("*.ndjson"))
    assert f'"events": {operations + 1}' in counted.stdout
