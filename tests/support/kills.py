"""Kill the ledger, its database's server, or both, again and again while appends are under way, and count what is left.

`uv run python -m tests.support.kills --sqlite 100 --postgresql 60`: after each kill all is started again, what was not answered is
sent once more under its own Idempotency-Key, and each append that was acknowledged must be there exactly once, at its
position. In the end the log is verified. Exit status 1 where anything is missing, doubled, or not sound.
"""

import argparse
import contextlib
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from api.ledger.storage.database import Database
from api.ledger.writing import genesis, keys
from api.settings import Settings
from tests.cluster.server import Server
from tests.support import forked
from tests.support.auditor import audit
from tests.support.processes import started
from tests.support.witnessing import Serving, until

THREADS = 4
_THERE = "SELECT r.id, v.position FROM record r JOIN revision v ON v.first_position = r.first_position WHERE r.kind = 'entity'"


@dataclass
class Campaign:
    """One ledger through many lives: what was asked of it, and what it acknowledged."""

    settings: Settings
    key: str
    server: Server | None = None
    asked: list[str] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def append(self, serving: Serving, one: str) -> None:
        """Record an entity, under a key of its own, and remember what was said of it."""
        body, own = {"id": one, "type": "other", "name": one}, {"Idempotency-Key": f'"{one}"'}
        response = serving.client.post("/v1/entities", json=body, headers=own)
        with self._lock:
            if response.status_code == 201:
                position = int(response.json()["position"])
                assert self.acknowledged.setdefault(one, position) == position, f"{one} was given two positions"
            else:
                assert response.status_code == 503, response.text

    @contextlib.contextmanager
    def busy(self, serving: Serving) -> Iterator[None]:
        """Append from several threads for as long as the block lasts, and until the server is gone."""
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                with self._lock:
                    one = f"one-{len(self.asked)}"
                    self.asked.append(one)
                with contextlib.suppress(httpx.TransportError):
                    self.append(serving, one)

        working = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in working:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in working:
                thread.join()

    def send_again(self, serving: Serving) -> None:
        """Send once more what was never acknowledged: it may have been written, and is not written twice."""
        for one in [one for one in self.asked if one not in self.acknowledged]:
            until(lambda one=one: self.append(serving, one) or one in self.acknowledged)

    def live(self, chance: random.Random) -> None:
        """Start, send again what was not answered, append, and be killed."""
        with self.served() as serving:
            self.send_again(serving)
            what = "api" if self.server is None else chance.choice(("api", "server", "both"))
            with self.busy(serving):
                time.sleep(0.05 + chance.random())
                self.kill(serving, what)
                if what == "server":
                    # The ledger lives on, and finds it again.
                    time.sleep(chance.random() / 2)
                    self._start_server()
                    known = len(self.acknowledged)
                    until(lambda: len(self.acknowledged) > known)
                    serving.process.kill()
            self._start_server()
        self.kills[what] += 1

    def kill(self, serving: Serving, what: str) -> None:
        if what != "server":
            serving.process.kill()
        if what != "api" and self.server is not None:
            self.server.kill()

    def _start_server(self) -> None:
        if self.server is not None and not self.server.processes():
            self.server.start()

    @contextlib.contextmanager
    def served(self) -> Iterator[Serving]:
        with forked.serving(self.settings) as serving:
            serving.client.headers["Authorization"] = f"Bearer {self.key}"
            yield serving

    def faults(self) -> list[str]:
        """Name what is missing, doubled, or at another position than the one acknowledged."""
        database = Database(self.settings)
        there: dict[str, list[int]] = {}
        for one, position in database.access().rows(_THERE):
            there.setdefault(one, []).append(position)
        database.close()
        wrong = [one for one, position in self.acknowledged.items() if there.get(one) != [position]]
        given = Counter(self.acknowledged.values())
        return wrong + [f"position {position}" for position, count in given.items() if count > 1]

    def verified(self) -> str:
        """Derive all of it again, by `ledger verify` and by the auditor, and give what the first says."""
        with started(self.settings, "-m", "api", "verify") as process:
            said, complaint = process.communicate(timeout=600)
        assert process.returncode == 0, said + complaint
        database = Database(self.settings)
        audit(database.access())
        database.close()
        return next(line for line in said.splitlines() if line.startswith("sound"))


def begin(url: str, folder: Path, server: Server | None = None) -> Campaign:
    """Make a ledger and a key."""
    settings = Settings(database_url=url, signing_key=folder / "ledger.key", log_level="error")
    database = Database(settings)
    database.migrate()
    genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    key = keys.create(database.access(), "test", ("write",), None)
    database.close()
    return Campaign(settings, key, server)


def run(name: str, kills: int, seed: int) -> bool:
    """Run one database's campaign, and print what came of it. Says whether all was well."""
    chance = random.Random(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kills-")))
        folder.chmod(0o711)
        server = None
        if name == "postgresql":
            server = Server(folder / "server").begin()
            stack.callback(server.kill)
        url = server.url if server is not None else f"sqlite:///{folder / 'ledger.db'}"
        campaign = begin(url, folder, server)
        for number in range(kills):
            campaign.live(chance)
            if faults := campaign.faults():
                print(f"{name}: after kill {number + 1}: {faults[:10]}")
                return False
        with campaign.served() as serving:
            campaign.send_again(serving)
        faults = campaign.faults()
        killed = ", ".join(f"{what} {count}" for what, count in sorted(campaign.kills.items()))
        print(
            f"{name}: {kills} kills ({killed}), {len(campaign.asked)} asked, {len(campaign.acknowledged)} acknowledged,"
            f" {len(faults)} missing or doubled; {campaign.verified()}",
            flush=True,
        )
        return not faults and len(campaign.asked) == len(campaign.acknowledged)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.kills", description=__doc__)
    parser.add_argument("--sqlite", type=int, default=10, help="how many kills")
    parser.add_argument("--postgresql", type=int, default=10, help="how many kills")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(words)
    counts = {"sqlite": asked.sqlite, "postgresql": asked.postgresql}
    well = [run(name, kills, asked.seed) for name, kills in counts.items() if kills]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
