"""Let generators make clients of the document as it is served, let each client work, and ask linters: `python -m tests.generated`.

Each client reads, records an entity, and revises it with a tag that no longer holds, which is a 412. What a generator
makes must pass `mypy --strict` or `tsc --strict`. Linters judge by their default rules, and none may find anything.
A tool that cannot be had here (no Node.js, no Java) is named and left out; any other failure fails.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.fuzz.serving import LEDGER, environment_of, served

HERE = Path(__file__).parent
NODE = (20, 19)
PYTHON_CLIENT = "openapi-python-client==0.29.1"
MODELS = "datamodel-code-generator[http]==0.89.0"
GENERATOR = "openapi-generator-cli==7.26.0"
MYPY = "mypy==2.4.1"
# That generator's own template of a client, the same for every document, hands on what it calls objects.
TEMPLATE = "[mypy]\n[mypy-python.client]\ndisable_error_code = arg-type\n"
UV = [found] if (found := shutil.which("uv")) else [sys.executable, "-m", "uv"]


class Broken(Exception):
    """A tool, or what it made, did not do what it should."""


@dataclass(frozen=True, slots=True)
class Shop:
    """Where clients are made: a folder, the document in it, and a ledger that is served, with a key that may write to it."""

    folder: Path
    document: Path
    address: str
    key: str

    def run(self, *command: str | Path) -> str:
        """Run a command in the folder and give what it said. Raises Broken with that where it fails."""
        quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
        environment = {**os.environ, **quiet, "LEDGER_ADDRESS": self.address, "LEDGER_KEY": self.key}
        environment.pop("VIRTUAL_ENV", None)
        done = subprocess.run(
            list(map(str, command)), cwd=self.folder, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise Broken(f"{' '.join(map(str, command))}\n{done.stdout[-6000:]}")
        return done.stdout

    def python(self, *words: str | Path, packages: tuple[str, ...]) -> str:
        """Run a command of Python packages that are installed for it alone."""
        wanted = [word for package in packages for word in ("--with", package)]
        return self.run(*UV, "run", "--no-project", "--quiet", "--python", sys.executable, *wanted, *words)

    def node(self, *words: str | Path) -> str:
        """Run a command of a Node package that was installed in the folder."""
        return self.run("npx", "--no-install", *words)


def openapi_python_client(shop: Shop) -> str:
    made = "--path", shop.document, "--output-path", "python", "--overwrite", "--meta", "none"
    said = shop.python("openapi-python-client", "generate", *made, packages=(PYTHON_CLIENT, "ruff"))
    if "WARNING" in said or "ERROR" in said:
        raise Broken(said)
    return _python(
        shop, "python_client.py", "python", packages=("attrs", "httpx", "python-dateutil", "types-python-dateutil")
    )


def datamodel_code_generator(shop: Shop) -> str:
    made = (
        "--input", shop.document, "--input-file-type", "openapi", "--output", "models.py",
        "--output-model-type", "pydantic_v2.BaseModel", "--target-python-version", "3.11", "--use-annotated", "--enum-field-as-literal", "all",
    )  # fmt: skip
    shop.python("datamodel-codegen", *made, packages=(MODELS,))
    return _python(shop, "datamodel.py", "models.py", packages=("httpx", "pydantic", "email-validator"))


def _python(shop: Shop, program: str, made: str, *, packages: tuple[str, ...]) -> str:
    shutil.copy(HERE / program, shop.folder)
    (shop.folder / "mypy.ini").write_text(TEMPLATE)
    shop.python("mypy", "--strict", "--no-incremental", program, made, packages=(MYPY, *packages))
    return shop.python("python", program, packages=packages)


def openapi_typescript(shop: Shop) -> str:
    shop.node("openapi-typescript", shop.document, "--output", "schema.ts")
    return _typescript(shop, "openapi_fetch.ts")


def hey_api(shop: Shop) -> str:
    shop.node("openapi-ts", "--input", shop.document, "--output", "hey", "--client", "@hey-api/client-fetch")
    return _typescript(shop, "hey_api.ts")


def typescript_fetch(shop: Shop) -> str:
    made = "generate", "-i", shop.document, "-g", "typescript-fetch", "-o", "generator"
    shop.python("openapi-generator-cli", *made, packages=(GENERATOR,))
    return _typescript(shop, "typescript_fetch.ts")


def _typescript(shop: Shop, program: str) -> str:
    shutil.copy(HERE / program, shop.folder)
    others = [each.name for each in shop.folder.glob("*.ts") if each.name not in (program, "schema.ts")]
    for other in others:
        (shop.folder / other).unlink()
    shop.node("tsc", "--project", ".")
    return shop.run("node", f"built/{program.removesuffix('.ts')}.js")


def redocly(shop: Shop) -> str:
    said = shop.node("redocly", "lint", shop.document)
    if re.search(r"You have \d+ warning", said):
        raise Broken(said)
    return "no error, no warning"


def spectral(shop: Shop) -> str:
    (shop.folder / ".spectral.yaml").write_text('extends: ["spectral:oas"]\n')
    shop.node("spectral", "lint", shop.document, "--fail-severity", "hint", "--ruleset", ".spectral.yaml")
    return "no error, no warning"


@dataclass(frozen=True, slots=True)
class Tool:
    """A generator or a linter, and what it needs beside Python."""

    name: str
    needs: tuple[str, ...]
    use: Callable[[Shop], str]


TOOLS = (
    Tool("openapi-python-client", (), openapi_python_client),
    Tool("datamodel-code-generator", (), datamodel_code_generator),
    Tool("openapi-typescript", ("npm",), openapi_typescript),
    Tool("@hey-api/openapi-ts", ("npm",), hey_api),
    Tool("openapi-generator typescript-fetch", ("npm", "java"), typescript_fetch),
    Tool("redocly", ("npm",), redocly),
    Tool("spectral", ("npm",), spectral),
)


def main() -> None:
    """Use each tool that can be had, print a line for each, and exit with 1 if one found or made something wrong."""
    wanted = [tool for tool in TOOLS if not sys.argv[1:] or tool.name in sys.argv[1:]]
    missing = _missing()
    passed = failed = skipped = 0
    with _shop(needs_node="npm" not in missing and any("npm" in tool.needs for tool in wanted)) as shop:
        for tool in wanted:
            lacking = [name for name in tool.needs if name in missing]
            if lacking:
                skipped += 1
                print(
                    f"{tool.name}: skipped, there is no {' and no '.join(missing[name] for name in lacking)} here",
                    flush=True,
                )
                continue
            try:
                print(f"{tool.name}: {tool.use(shop).strip()}", flush=True)
                passed += 1
            except Broken as broken:
                print(f"{tool.name}: FAILED\n{broken}", flush=True)
                failed += 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(bool(failed))


def _missing() -> dict[str, str]:
    """Name what cannot be had here."""
    missing = {} if shutil.which("java") else {"java": "Java"}
    if shutil.which("npm") is None or _node_version() < NODE:
        missing["npm"] = "Node.js of version {}.{} or later".format(*NODE)
    return missing


def _node_version() -> tuple[int, ...]:
    if shutil.which("node") is None:
        return ()
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, said.strip().removeprefix("v").split(".")))


@contextlib.contextmanager
def _shop(*, needs_node: bool):
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named) / "shop"
        ledger = Path(named) / "ledger"
        folder.mkdir()
        ledger.mkdir()
        url = f"sqlite:///{ledger}/ledger.db"
        with served(ledger, url) as address:
            made = [str(LEDGER), "keys", "create", "generated", "--scope", "write"]
            key = subprocess.run(
                made, env=environment_of(ledger, url), check=True, capture_output=True, text=True
            ).stdout
            document = folder / "openapi.json"
            document.write_bytes(httpx.get(f"{address}/openapi.json").raise_for_status().content)
            shop = Shop(folder, document, address, key.split()[-1])
            if needs_node:
                for name in ("package.json", "tsconfig.json"):
                    shutil.copy(HERE / name, folder)
                shop.run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel", "error")
            yield shop


if __name__ == "__main__":
    main()
