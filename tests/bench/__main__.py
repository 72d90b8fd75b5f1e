"""`python -m tests.bench`: run the field in interleaved rounds and print ratios.

One run holds everything: each round measures each operation on each contestant in turn, so that what the machine does
meanwhile falls on all of them alike. Everything runs on this machine and is stopped at the end.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import msgspec

from tests.bench import contestants, ledger, report
from tests.bench.contestants import OPERATIONS, Contestant, Ground, enter, say
from tests.bench.corpus import Corpus
from tests.bench.load import CONNECTIONS, Outcome, generator
from tests.bench.report import Figures
from tests.bench.servers import postgres

DATABASES = ("sqlite", "postgresql")
SIZES = {"quick": Corpus(2_000, 400, 1_000), "default": Corpus(20_000, 4_000, 10_000), "full": Corpus(100_000, 19_000, 100_000)}
# A rebuild of a large ledger is long and varies little: no further round begins after this.
REBUILD_SECONDS = 20


def main() -> int:
    """Run the bench; 1 if this service could not be measured in full."""
    options = parse(sys.argv[1:])
    # An end by `kill` unwinds like Ctrl-C, so that every server is stopped.
    signal.signal(signal.SIGTERM, interrupt)
    with tempfile.TemporaryDirectory(prefix="ledger-bench-", dir=options.folder) as name, ExitStack() as stack:
        folder = Path(name)
        tool, fire = generator(folder)
        wants_postgres = "postgresql" in options.databases
        server = stack.enter_context(postgres(folder)) if wants_postgres else None
        operations = frozenset(options.only or (*OPERATIONS, "rebuild"))
        ground = Ground(folder, options.corpus, options.workers, operations, fire, server)
        print(heading(options, tool, server.version if server else None), flush=True)
        figures = Figures()
        run(ground, options, figures)
    print(report.text(figures, options.databases, options.corpus.deep))
    if options.json:
        Path(options.json).write_bytes(msgspec.json.encode({"/".join(key): rounds for key, rounds in figures.rounds.items()}))
    return 0
