"""Launch every attack while another client asks /health/live each 20 ms, and print what became of it as Markdown.

Exit status: 1 where an answer is not as documented, /health/live took 250 ms, or the worker held 400 MB.
"""

import argparse
import contextlib
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from api.settings import Settings
from tests.attacks.attack import ATTACKS, Attack
from tests.attacks.target import Target, attacked, folder_settings
from tests.attacks.watching import watched
from tests.bench.servers import postgres

SLOWEST, MOST = 250.0, 400.0


def launched(attack: Attack, target: Target) -> bool:
    """Launch an attack, print its line, and say whether it was withstood."""
    began = time.monotonic()
    with watched(target.port, target.worker) as seen:
        answers = attack.launch(target)
    print(f"{attack.name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    shown = ", ".join(f"{answer} ×{count}" if count > 1 else answer for answer, count in answers.most_common())
    withstood = set(answers) <= attack.answers and seen.slowest < SLOWEST and seen.memory < MOST
    told = f"{seen.slowest:.0f} | {seen.memory:.0f}{'' if withstood else ' | **no**'}"
    print(f"| {attack.name} | {shown} | {told} |", flush=True)
    return withstood


@contextlib.contextmanager
def _kept_in(database: str) -> Iterator[Settings]:
    """Settings of a ledger in a new database of a kind: sqlite or postgresql."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        settings = folder_settings(Path(name))
        if database == "postgresql":
            server = stack.enter_context(postgres(Path(name)))
            settings = Settings(database_url=server.create_url("attacked"), signing_key=settings.signing_key)
        yield settings


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    arguments.add_argument("--only", default="", help="launch those alone whose name holds this")
    arguments.add_argument("--claims", type=int, default=20_000, help="claims on the longest question")
    arguments.add_argument("--databases", default="sqlite,postgresql")
    given = arguments.parse_args()
    chosen = [attack for attack in ATTACKS if re.search(given.only, attack.name)]
    withstood = []
    for database in given.databases.split(","):
        with (
            _kept_in(database) as settings,
            attacked(settings, claims=given.claims, pace=1.0, LEDGER_BODY_DEADLINE="15") as target,
        ):
            print(
                f"\n| attack on {database} | answers | slowest /health/live, ms | memory, MB |\n|---|---|---|---|",
                flush=True,
            )
            withstood += [launched(attack, target) for attack in chosen]
    raise SystemExit(0 if all(withstood) else 1)


if __name__ == "__main__":
    main()
