"""A ledger that is served against servers of ours, and what it acknowledged."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from api.domain.log import checkpoint
from api.ledger.reading.soundness import ledger_state
from api.ledger.signing.checkpoints import hold_to_what_was_signed, kept_path
from api.ledger.storage.database import Database
from api.ledger.writing import keys
from api.settings import Settings
from tests.cluster.server import Server, url_of
from tests.support import forked
from tests.support.witnessing import Serving

# Short, so that what a server never answers is over soon.
TIMEOUTS = {
    "LEDGER_CONNECT_TIMEOUT": "2",
    "LEDGER_READ_TIMEOUT": "2",
    "LEDGER_WRITE_TIMEOUT": "3",
    "LEDGER_START_TIMEOUT": "3",
}


@dataclass
class Node:
    """A served ledger, asked by HTTP. `acknowledged` are the positions that it answered for, by the id of what is there."""

    serving: Serving
    settings: Settings
    acknowledged: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def append(self, one: str) -> httpx.Response:
        """Record an entity, and remember its position if that was acknowledged."""
        response = self.serving.client.post("/v1/entities", json={"id": one, "type": "other", "name": one})
        if response.status_code == 201:
            with self._lock:
                self.acknowledged[one] = int(response.json()["position"])
        return response

    def get(self, path: str) -> httpx.Response:
        return self.serving.client.get(path)

    def is_ready(self) -> bool:
        return self.get("/health/ready").status_code == 200

    def signed(self) -> int:
        """Give the size of what was signed last; 0 before anything was."""
        path = kept_path(self.settings.signing_key_path)
        return int(path.read_text(encoding="utf-8").split("\n")[1]) if path.exists() else 0

    @contextlib.contextmanager
    def busy(self, name: str, threads: int = 4) -> Iterator[None]:
        """Append from several threads for as long as the block lasts, whatever comes of it."""
        over = threading.Event()

        def work(thread: int) -> None:
            for number in itertools.count():
                if over.is_set():
                    return
                with contextlib.suppress(httpx.TransportError):
                    self.append(f"{name}-{thread}-{number}")

        working = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for thread in working:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in working:
                thread.join()

    def lost(self, server: Server) -> list[str]:
        """List what was acknowledged and is not at its position on a server."""
        there = {(record, position) for record, position in server.ask(
            "SELECT r.id, v.position FROM record r JOIN revision v ON v.position = r.first_position WHERE r.kind = 'entity'"
        )}  # fmt: skip
        return sorted(one for one, position in self.acknowledged.items() if (one, position) not in there)

    def twice(self) -> list[int]:
        """List the positions that were acknowledged for two events."""
        given = sorted(self.acknowledged.values())
        return [first for first, second in itertools.pairwise(given) if first == second]

    def check_signed(self, server: Server) -> None:
        """Fail unless what was signed last is a prefix of the log on a server. Raises LogRefused or LogDamaged."""
        database = Database(self.settings.model_copy(update={"database_url": url_of(server)}))
        try:
            hold_to_what_was_signed(database.access(), self.settings.signing_key_path)
            chain = [key["vkey"] for key in ledger_state(database.access())["keys"]]
            note = kept_path(self.settings.signing_key_path).read_text(encoding="utf-8")
            assert checkpoint.open_note(note, chain).size == self.signed()
        finally:
            database.close()


def settings_for(url: str, folder: Path) -> Settings:
    """Give settings of a ledger whose key is in a folder."""
    return Settings(database_url=url, signing_key=folder / "ledger.key", rate_limit="off", log_level="error")


@contextlib.contextmanager
def node(url: str, folder: Path, **environment: str) -> Iterator[Node]:
    """Serve a ledger over the servers of a URL."""
    settings = settings_for(url, folder)
    with forked.serving(settings, **{**TIMEOUTS, **environment}) as serving:
        database = Database(settings)
        key = keys.create(database.access(), "test", keys.SCOPES, None)
        database.close()
        serving.client.headers["Authorization"] = f"Bearer {key}"
        yield Node(serving, settings)
