"""Logs made up for witnesses to judge, and witnesses and ledgers of our own that run as an operator would run them."""

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
from granian import Granian
from granian.constants import Interfaces
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api.domain.log import checkpoint
from api.domain.log.checkpoint import SigningKey
from api.domain.log.submission import Submission
from api.ledger.storage.database import Database
from api.ledger.writing import keys
from api.settings import Settings
from api.witnessing import service
from tests.log.naive_tree import Tree
from tests.support.processes import Started, started

Found = TypeVar("Found")
PATIENCE = 60


@dataclass
class Log:
    """A log of made-up entries; two of one name and key with another `kind` from some entry on are a fork."""

    name: str
    length: int = 64
    forked_at: int | None = None
    key: SigningKey = field(init=False)
    tree: Tree = field(init=False)

    def __post_init__(self) -> None:
        self.key = SigningKey(self.name, self.name.encode().ljust(32, b"\x01")[-32:])
        forked_at = self.length if self.forked_at is None else self.forked_at
        self.tree = Tree.over([b"%d%s" % (n, b"" if n < forked_at else b" forked") for n in range(self.length)])

    def note(self, size: int) -> str:
        return checkpoint.sign(self.name, size, self.tree.root(size), self.key)

    def path(self, old: int, size: int) -> tuple[bytes, ...]:
        return tuple(self.tree.proof(old, size)) if 0 < old < size else ()

    def body(self, old: int, size: int) -> bytes:
        """Give an honest request."""
        return Submission(old, self.path(old, size), self.note(size)).encode()


@dataclass
class Serving:
    """A process of ours that listens, and what asks it."""

    process: Started
    client: httpx.Client
    url: str

    def add(self, body: bytes) -> httpx.Response:
        return self.client.post("/add-checkpoint", content=body)

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("/").json()
        return found

    def end(self) -> str:
        """Stop it as an operator would and give what it logged."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=PATIENCE)[1]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextlib.contextmanager
def witness(folder: Path, *logs: str, follow: str | None = None, port: int | None = None) -> Iterator[Serving]:
    """Run `ledger witness` over a folder of its own, which a later one may take over."""
    following = ["--follow", follow, "--every", "0.2"] if follow else []
    words = ["-m", "api", "witness", "--key", str(folder / "key"), "--state", str(folder / "state"), *following]
    for vkey in logs:
        words += ["--log", vkey]
    with running(Settings(), *words, port=port) as serving:
        yield serving


@contextlib.contextmanager
def ledger(settings: Settings, *, port: int | None = None, **environment: str) -> Iterator[Serving]:
    """Run `ledger serve` over a database, with a client that may write."""
    with running(settings, "-m", "api", "serve", "--empty", port=port, **environment) as serving:
        database = Database(settings)
        key = keys.create(database.access(), "test", keys.SCOPES, None)
        database.close()
        serving.client.headers["Authorization"] = f"Bearer {key}"
        yield serving


@contextlib.contextmanager
def running(settings: Settings, *words: str, port: int | None = None, **environment: str) -> Iterator[Serving]:
    """Run a command of ours that listens, and wait until it answers."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        started(settings, *words, "--port", str(port), LEDGER_RATE_LIMIT="off", **environment) as process,
        httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False, verify=False) as client,
    ):
        serving = Serving(process, client, url)
        try:
            until(lambda: answers(serving))
            yield serving
        finally:
            # Killed at once, it would leave behind the process that serves for it.
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)


def answers(serving: Serving) -> bool:
    assert serving.process.poll() is None, serving.process.communicate()[1][-2000:]
    try:
        return serving.client.get("/").is_success
    except httpx.TransportError:
        return False


def until(look: Callable[[], Found]) -> Found:
    """Look again and again until there is something to see, and give it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to pass")


def serve_and_die(options: service.Options, port: int) -> None:
    """Serve as `ledger witness` does, and die by SIGKILL when the first good answer to a submission would leave."""
    Granian("none", address="127.0.0.1", port=port, interface=Interfaces.ASGI, websockets=False).serve(
        target_loader=partial(_mortal, options), wrap_loader=False
    )


def _mortal(options: service.Options) -> ASGIApp:
    app = service.serve(options)

    async def dying(scope: Scope, receive: Receive, send: Send) -> None:
        async def last_words(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["type"] == "http" and scope["method"] == "POST":
                assert message["status"] == 200, message
                os.kill(os.getppid(), signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
            await send(message)

        await app(scope, receive, last_words)

    return dying


if __name__ == "__main__":
    folder, vkey, number = sys.argv[1], sys.argv[2], sys.argv[4]
    serve_and_die(
        service.Options(
            key=Path(folder) / "key", name=None, logs=(vkey,), follow=(), every=10.0, state=Path(folder) / "state"
        ),
        int(number),
    )
