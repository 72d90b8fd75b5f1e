"""Processes that serve are started again however they end, all end together when told to, and a port is nobody else's."""

import os
import signal
import socket
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from api.domain.errors import Misconfigured
from api.serving import reserved
from api.settings import Settings
from tests.support.processes import descendants, is_running, started
from tests.support.witnessing import Log, Serving, free_port, running, until, witness

HOST = "127.0.0.1"
ANSWERED = ("/", "/health/live")


@pytest.fixture
def fresh(tmp_path: Path) -> Settings:
    """Settings of a ledger that is not there yet."""
    return Settings(database_url=f"sqlite:///{tmp_path / 'ledger.db'}", signing_key=tmp_path / "ledger.key")


def served(settings: Settings, workers: int):
    return running(settings, "-m", "api", "serve", "--empty", "--workers", str(workers))


def workers_of(serving: Serving) -> list[int]:
    """Give the processes that answer: each has a parent of its own below the one that an operator started."""
    return [pid for parent in descendants(serving.process.pid, 1) for pid in descendants(parent, 1)]


def answers_again(serving: Serving, within: float = 5) -> bool:
    """Ask by a new connection: one that is kept may be of a process that is gone."""
    with suppress(httpx.TransportError):
        return httpx.get(serving.url, trust_env=False, verify=False, timeout=within).is_success
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_that_are_killed_again_and_again_are_started_again(fresh, workers):
    with served(fresh, workers) as serving:
        until(lambda: len(workers_of(serving)) == workers)
        for _ in range(8):
            for pid in workers_of(serving):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.4)
        began = time.monotonic()
        until(lambda: answers_again(serving))
        print(f"answers {time.monotonic() - began:.1f} s after the last of the kills")
        until(lambda: len(workers_of(serving)) == workers)
        assert serving.process.poll() is None


def test_while_one_worker_is_killed_again_and_again_the_other_serves_on(fresh):
    with served(fresh, 2) as serving:
        until(lambda: len(workers_of(serving)) == 2)
        survivor, *_ = workers_of(serving)
        for _ in range(4):
            for pid in set(workers_of(serving)) - {survivor}:
                os.kill(pid, signal.SIGKILL)
            # What was waiting for the one that was killed, while it ends, is lost with it; what comes after is not.
            time.sleep(0.1)
            assert answers_again(serving, within=1) or answers_again(serving)
            time.sleep(0.4)
        assert survivor in workers_of(serving)
        until(lambda: len(workers_of(serving)) == 2)


def test_a_worker_ends_with_its_own_parent_and_both_are_started_again(fresh):
    with served(fresh, 1) as serving:
        (parent,) = descendants(serving.process.pid, 1)
        (worker,) = descendants(parent, 1)
        os.kill(parent, signal.SIGKILL)
        until(lambda: not is_running(worker))
        until(lambda: answers_again(serving))
        assert parent not in descendants(serving.process.pid, 1)


def is_free(serving: Serving) -> bool:
    with suppress(Misconfigured), reserved(HOST, serving.client.base_url.port or 0):
        return True
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_outlives_the_process_that_was_started(fresh, workers):
    with served(fresh, workers) as serving:
        until(lambda: len(workers_of(serving)) == workers)
        every = descendants(serving.process.pid)
        assert len(every) == 2 * workers
        os.kill(serving.process.pid, signal.SIGKILL)
        until(lambda: not any(map(is_running, every)) and is_free(serving))


@pytest.mark.parametrize(("name", "is_hurt"), [("SIGTERM", False), ("SIGINT", True), ("SIGHUP", False)])
def test_a_signal_ends_everything_with_status_0(fresh, name, is_hurt):
    with served(fresh, 2) as serving:
        until(lambda: len(workers_of(serving)) == 2)
        if is_hurt:
            for _ in range(3):
                for pid in workers_of(serving):
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.3)
        every = descendants(serving.process.pid)
        serving.process.send_signal(signal.Signals[name])
        began = time.monotonic()
        assert serving.process.wait(60) == 0
        print(f"ended in {time.monotonic() - began:.2f} s")
        assert not any(map(is_running, every))


def test_a_hangup_that_is_ignored_when_it_starts_stays_ignored(fresh):
    port = free_port()
    words = ["-m", "api", "serve", "--empty", "--port", str(port)]
    program = f"import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.executable, [sys.executable, *{words!r}])"
    with started(fresh, "-c", program) as process:
        serving = Serving(process, httpx.Client(verify=False), f"http://{HOST}:{port}")
        with closing(serving.client):
            until(lambda: answers_again(serving))
            process.send_signal(signal.SIGHUP)
            time.sleep(0.3)
            assert answers_again(serving)
            process.terminate()
            assert process.wait(30) == 0


def test_a_witness_is_started_again_too(tmp_path):
    with witness(tmp_path, Log("a.example").key.vkey) as serving:
        (worker,) = workers_of(serving)
        os.kill(worker, signal.SIGKILL)
        until(lambda: not is_running(worker) and answers_again(serving))
        every = descendants(serving.process.pid)
        serving.process.send_signal(signal.SIGTERM)
        assert serving.process.wait(60) == 0
        assert not any(map(is_running, every))


def test_what_can_never_be_served_ends_with_status_1(fresh):
    program = f"""
from api import serving
from api.domain.errors import Misconfigured
from api.settings import load
def make(_ending):
    raise Misconfigured("LEDGER_SEED", "nowhere to be found")
raise SystemExit(serving.serve(make, load(), "{HOST}", {free_port()}, workers=2))
"""
    with started(fresh, "-c", program) as process:
        out, complaint = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "LEDGER_SEED: nowhere to be found" in complaint
    assert "Traceback" not in complaint


def test_where_the_system_has_no_process_to_spare_the_others_serve_on(fresh):
    """The second life of a worker cannot be begun at first; nobody else is taken along."""
    program = f"""
import errno, os
from api.__main__ import main
first, fork, forks = os.getpid(), os.fork, []
def rarely():
    if os.getpid() == first:
        forks.append(None)
        if len(forks) in (3, 4):
            raise OSError(errno.EAGAIN, "no process to spare")
    return fork()
os.fork = rarely
import sys
sys.argv = ["ledger", "serve", "--empty", "--workers", "2", "--port", "{(port := free_port())}"]
main()
"""
    with started(fresh, "-c", program) as process, httpx.Client(base_url=f"http://{HOST}:{port}") as client:
        assert until(lambda: is_up(client))
        victim = descendants(process.pid, 1)[0]
        os.kill(victim, signal.SIGKILL)
        assert until(lambda: len(set(descendants(process.pid, 1)) - {victim}) == 2)
        assert until(lambda: is_up(client))
        process.send_signal(signal.SIGTERM)
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "could not be started" in complaint


def is_up(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return client.get("/health/live").status_code == 200
    return False


def refused(tmp_path: Path, settings: Settings, *words: str) -> str:
    """Run a command that must be refused in one line, with status 1, before anything is made. Gives the line."""
    before = sorted(tmp_path.rglob("*"))
    with started(settings, "-m", "api", *words) as process:
        out, complaint = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, ""), complaint
    assert sorted(tmp_path.rglob("*")) == before
    assert len(complaint.splitlines()) == 1, complaint
    return complaint


def commands_at(folder: Path, host: str, port: int) -> list[list[str]]:
    vkey = Log("a.example").key.vkey
    place = ["--host", host, "--port", str(port)]
    files = ["--key", str(folder / "witness.key"), "--state", str(folder / "witness")]
    return [["serve", *place], ["witness", "--log", vkey, *files, *place]]


@pytest.mark.parametrize("host", [HOST, "::1", "0.0.0.0", "localhost"])
@pytest.mark.parametrize("is_shared", [False, True])
def test_a_port_that_somebody_listens_on_is_in_use(host, is_shared):
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    with socket.socket(family) as other:
        if is_shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind((socket.getaddrinfo(host, 0, family)[0][4][0], 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"{port} is in use"), reserved(host, port):
            pass


def test_a_port_in_use_is_refused_before_anything_is_made(tmp_path, fresh):
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        for words in commands_at(tmp_path, HOST, other.getsockname()[1]):
            assert "is in use" in refused(tmp_path, fresh, *words)


def test_two_ledgers_do_not_share_a_port(tmp_path, fresh):
    with served(fresh, 1) as serving:
        port = serving.client.base_url.port or 0
        (tmp_path / "other").mkdir()
        other = Settings(database_url=f"sqlite:///{tmp_path / 'other' / 'ledger.db'}")
        with started(other, "-m", "api", "serve", "--port", str(port), LEDGER_SIGNING_KEY="") as process:
            out, complaint = process.communicate(timeout=60)
        assert (process.returncode, out, len(complaint.splitlines())) == (1, "", 1), complaint
        assert "is in use" in complaint
        assert list((tmp_path / "other").iterdir()) == []


def test_a_port_is_taken_while_its_ledger_is_still_being_made():
    with reserved(HOST, port := free_port()), pytest.raises(Misconfigured, match="is in use"), reserved(HOST, port):
        pass
    with reserved(HOST, port), pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), timeout=5)


@pytest.mark.parametrize(
    ("host", "said"),
    [("nowhere.invalid", "not known"), ("192.0.2.1", "no address of this machine"), ("a" * 300, "not known")],
)
def test_a_host_that_is_none_is_refused_in_a_line(host, said):
    with pytest.raises(Misconfigured, match=said), reserved(host, free_port()):
        pass


def test_a_port_that_only_the_administrator_may_use_is_refused_in_a_line():
    program = """
import encodings.idna, os, socket
from api.domain.errors import Misconfigured
from api.serving import reserved
if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(65534)
try:
    with reserved("127.0.0.1", 81):
        print("allowed")
except Misconfigured as refusal:
    print(refusal)
"""
    with started(Settings(), "-c", program) as process:
        out, complaint = process.communicate(timeout=60)
    unprivileged = (
        int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) if sys.platform == "linux" else 0
    )
    assert out.strip() == (
        "allowed" if unprivileged <= 81 else "--port: 127.0.0.1:81 may not be listened on by this user"
    ), complaint


def test_a_port_is_free_again_at_once_though_connections_linger(fresh):
    with served(fresh, 1) as serving:
        port = serving.client.base_url.port or 0
        for _ in range(3):
            assert serving.client.get("/health/live").is_success
    with running(fresh, "-m", "api", "serve", "--empty", port=port) as again:
        assert again.client.get("/health/live").is_success
