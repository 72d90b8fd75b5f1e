"""The processes that serve, and the port that they share. What they serve is not known here.

A worker is a Granian of its own: a process that answers, and its parent, which sees it end. One that ends by itself is
started again, and takes no other along. Granian has a restart of its own, but gives up where a worker ends twice within
5.5 seconds.
"""

import ctypes
import errno
import logging
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import c_byte
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import TypedDict

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from litestar.types import ASGIApp

from api.domain.errors import LedgerError, Misconfigured
from api.logs import configure_logging, logging_config
from api.routes.edge.exchange import PATIENCE
from api.settings import Settings

# Makes what is served, given a pipe on which something comes when the process is to end, and to finish what is under way.
Make = Callable[[Connection], ASGIApp]

_log = logging.getLogger("ledger.serving")
# A fork has all modules loaded, and so answers sooner; where forking is not safe, workers begin from nothing.
_CONTEXT = multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing.get_context("spawn")
# What is under way when a worker is told to end has so long, in seconds, to be answered.
_PATIENCE = 30
# Seconds before a worker is started again, by how often it has ended in a row soon after its start.
_PAUSES = (0.0, 0.1, 0.25, 0.5, 1.0)
_SOON = 10.0
# Seconds between two looks at whether a server listens already.
_GLANCE = 0.05
# Of mallopt(3): one arena, and blocks larger than most answers mapped by themselves; given back is what is free at the top.
_ALLOCATION = ((-8, 1), (-3, 256 * 1024), (-1, 4 * 1024 * 1024))
# Connections of one process. Each may hold an answer that is not read, which the server keeps a few pieces of.
_CONNECTIONS = 1024
# Of the files that the system lets the process open, those which the ledger needs for itself. Were they gone, the server
# would try to take connections in over and over.
_FILES = 256
# A head of the most that the edge lets pass fits in, with its line breaks and names.
_HEAD = 96 * 1024
# A socket that listens, in the kernel's list.
_LISTEN = "0A"
_REFUSALS = {
    errno.EADDRINUSE: "is in use",
    errno.EACCES: "may not be listened on by this user",
    errno.EADDRNOTAVAIL: "is no address of this machine",
}


@contextmanager
def reserved(host: str, port: int) -> Iterator[str]:
    """Keep everybody else away from a port, and give the address that the host stands for. Raises Misconfigured."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise Misconfigured("--host", f"{host} is not known as a name or an address") from error
    with socket.socket(family, socket.SOCK_STREAM) as holder, socket.socket(socket.AF_UNIX) as lock:
        try:
            _hold(holder, lock, place)
        except OSError as error:
            why = _REFUSALS.get(error.errno or 0, str(error.strerror))
            raise Misconfigured("--port", f"{shown(host, port)} {why}") from error
        yield str(place[0])


def _hold(holder: socket.socket, lock: socket.socket, place: tuple[object, ...]) -> None:
    """Take a port that nobody listens on; from then on only who asks to share it (SO_REUSEPORT), as Granian does, gets it.

    Listening itself is left to the workers. Raises OSError.
    """
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform != "linux":
        # What is bound cannot be shared there: that it is free at this moment has to do.
        holder.bind(place)
        holder.close()
        return
    # A name outside the file system, gone with the last process that holds it: of two ledgers that come at once, one gets it.
    lock.bind(f"\0ledger at {place[0]} {place[1]}")
    try:
        holder.bind(place)
    except OSError:
        if _is_listened_on(place[1]):
            raise
        # Connections of workers that ended a moment ago linger. They are shared, so they are no obstacle.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(place)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _is_listened_on(port: object) -> bool:
    """Say whether somebody listens on a port, by the kernel's own list (proc(5))."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in _lines(Path("/proc/net", name))]
    return any(state == _LISTEN and int(local.rpartition(":")[2], 16) == port for _, local, _, state, *_ in lines)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()[1:] if path.exists() else []


def shown(host: str, port: int) -> str:
    """Write a place to listen on as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def serve(make: Make, settings: Settings, address: str, port: int, *, workers: int = 1) -> int:
    """Serve what `make` makes in each worker until SIGTERM, SIGINT or SIGHUP; give the exit status.

    That is 0 after a signal, and 1 where `make` has never succeeded: then it does not help to try again.
    """
    configure_logging(settings)
    begun, (ending, told) = RawValue(c_byte, 0), _CONTEXT.Pipe(duplex=False)
    run = partial(_run, partial(_load, partial(make, ending), begun, port), settings, address, port)
    signals = {each for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if _is_heeded(each)}
    crew = [_Worker(number, run) for number in range(1, workers + 1)]
    # Signals wait until they are asked for, so that none interrupts what is being done. SIGCHLD needs a handler for
    # that: what is ignored by default may be lost.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    awaited = signals | {signal.SIGCHLD, signal.SIGALRM}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    try:
        while True:
            _start_what_is_due(crew)
            if signal.sigwait(awaited) in signals:
                return 0
            _notice_ends(crew)
            if not begun.value and any(worker.endings for worker in crew):
                _log.error("no worker could be started")
                return 1
    finally:
        # Nobody takes it out of the pipe, so every worker sees it, whichever of them were killed before.
        told.send_bytes(b"end")
        _end(crew)


def _is_heeded(number: signal.Signals) -> bool:
    """Say whether a signal is to be noticed: `nohup` and `&` in a script have some of them ignored."""
    return signal.getsignal(number) is not signal.SIG_IGN


class _Worker:
    """One worker through all its lives."""

    def __init__(self, number: int, run: Callable[[], None]) -> None:
        self.process: BaseProcess | None = None
        self.endings = 0
        self.due = self._began = 0.0
        self._number, self._run = number, run

    def start(self) -> None:
        """Start it; where the system has no process to spare at the moment, that counts as one that ended."""
        self._began = time.monotonic()
        process = _CONTEXT.Process(target=self._run, name=f"worker {self._number}")
        try:
            process.start()
        except OSError as error:
            self._wait_after(f"could not be started ({error.strerror})")
        else:
            self.process = process

    def notice_end(self) -> None:
        """Learn whether it ended, and then when it is to be started again."""
        if self.process is not None and not self.process.is_alive():
            self.process = None
            self._wait_after("ended")

    def _wait_after(self, what: str) -> None:
        now = time.monotonic()
        self.endings = self.endings + 1 if now - self._began < _SOON else 1
        pause = _PAUSES[min(self.endings, len(_PAUSES)) - 1]
        self.due = now + pause
        _log.warning("worker %s %s and is started again in %s s", self._number, what, pause)


def _start_what_is_due(crew: list[_Worker]) -> None:
    """Start workers, and ask for SIGALRM when the next one is due."""
    waiting = [worker for worker in crew if worker.process is None]
    for worker in waiting:
        if worker.due <= time.monotonic():
            worker.start()
    pauses = [worker.due - time.monotonic() for worker in waiting if worker.process is None]
    signal.setitimer(signal.ITIMER_REAL, max(min(pauses), 0.001) if pauses else 0)


def _notice_ends(crew: list[_Worker]) -> None:
    for worker in crew:
        worker.notice_end()


def _end(crew: list[_Worker]) -> None:
    processes = [worker.process for worker in crew if worker.process is not None]
    for process in processes:
        process.terminate()
    until = time.monotonic() + _PATIENCE + 1
    for process in processes:
        process.join(max(until - time.monotonic(), 0))
        process.kill()
        process.join()


def _run(load: Callable[[], ASGIApp], settings: Settings, address: str, port: int) -> None:
    """Be a worker: first of all to the system, then Granian."""
    # What a terminal sends reaches the process that supervises, which passes it on.
    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _end_with_parent()
    Granian(
        "",
        address=address,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_access=False,
        log_level=LogLevels(settings.log_level),
        log_dictconfig=logging_config(settings),
        backlog=2048,
        workers_kill_timeout=_PATIENCE,
        **_bounds(settings.followers),
    ).serve(target_loader=load, wrap_loader=False)


class Bounds(TypedDict):
    """Arguments of Granian's: what the server may hold of each client before the application is reached."""

    http: HTTPModes
    backpressure: int
    http1_settings: HTTP1Settings


def _bounds(followers: int) -> Bounds:
    """Bound what a worker takes upon itself: those who follow the log take no connection from others.

    A head that is not whole after PATIENCE seconds ends the connection, and so does silence after an answer. One of more
    than 100 fields or much more than _HEAD bytes is answered by the server, with a bare 431.

    Cleartext HTTP/2 is not served. Granian can bound a stream's headers, but where it offers both protocols a connection
    that never says which one it speaks stays open for good, and nothing ends an idle HTTP/2 connection.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return {
        "http": HTTPModes.http1,
        "backpressure": max(1, min(_CONNECTIONS + followers, files - _FILES)),
        "http1_settings": HTTP1Settings(header_read_timeout=PATIENCE * 1000, max_buffer_size=_HEAD),
    }


def _load(make: Callable[[], ASGIApp], begun: c_byte, port: int) -> ASGIApp:
    """Make the application in the process that answers, and leave word that it could be made."""
    # Until Granian takes notice of signals here, those of its parent would be: they would go unheard.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    _end_with_parent()
    _return_memory()
    if sys.platform == "linux":
        # The server makes the socket when it has the application.
        threading.Thread(target=_let_go_of_the_deaf, args=(port,), name="deaf", daemon=True).start()
    try:
        app = make()
    except LedgerError as refusal:
        _log.error("%s", refusal)
        raise SystemExit(1) from refusal
    begun.value = 1
    return app


def _return_memory() -> None:
    """Have glibc give back to the system what large bodies and answers took: it would keep most of it, for each thread."""
    with suppress(AttributeError, OSError):
        adjust = ctypes.CDLL(None).mallopt
        for parameter, value in _ALLOCATION:
            adjust(parameter, value)


def _let_go_of_the_deaf(port: int) -> None:
    """Have the system end each connection whose other end takes nothing more, though the server waits for it.

    That is an option of a socket that listens, which those inherit that are taken in at it (tcp(7), on Linux alone).
    """
    is_listening = False
    while not is_listening:
        time.sleep(_GLANCE)
        for number in (int(path.name) for path in Path("/proc/self/fd").iterdir()):
            is_listening |= _bound_deafness(number, port)


def _bound_deafness(number: int, port: int) -> bool:
    """Set the option on a socket at a port; say whether it listens. The descriptor, and what else it may be, is left open."""
    try:
        found = socket.socket(fileno=number)
    except OSError:
        return False
    try:
        if found.proto != socket.IPPROTO_TCP or found.getsockname()[1] != port:
            return False
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PATIENCE * 1000)
        return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False
    finally:
        found.detach()


def _end_with_parent() -> None:
    """End this process where the one that started it is no more, however that came about."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_outlive, args=(parent,), name="parent", daemon=True).start()


def _outlive(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os.kill(os.getpid(), signal.SIGKILL)
