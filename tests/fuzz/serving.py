"""A ledger really served: the process that an operator starts, on a free port of this machine."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

LEDGER = Path(sys.executable).parent / "ledger"
READY_WITHIN = 600


def environment_of(folder: Path, url: str) -> dict[str, str]:
    """Give the environment in which a ledger runs whose files are in the folder."""
    key = str(folder / "ledger.key")
    return {**os.environ, "LEDGER_DATABASE_URL": url, "LEDGER_SIGNING_KEY": key, "LEDGER_LOG_LEVEL": "warning"}


@contextmanager
def served(folder: Path, url: str, *words: str, **more: str) -> Iterator[str]:
    """Serve a ledger, seeded if it is new, and give its address; what it logged as an error is printed at the end."""
    environment = environment_of(folder, url) | more
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "server.log").open("wb")
    server = subprocess.Popen(
        [str(LEDGER), "serve", "--port", str(port), *words], env=environment, stdout=log, stderr=log
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, server)
        yield address
    finally:
        server.terminate()
        server.wait(30)
        log.close()
        faults = [line for line in (folder / "server.log").read_text().splitlines() if '"level":"error"' in line]
        print("\n".join(faults[:5]))


def _wait(address: str, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + READY_WITHIN
    while time.monotonic() < until and server.poll() is None:
        try:
            if httpx.get(f"{address}/health/ready", verify=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    sys.exit("the server did not become ready")
