"""A process that appends: threads that write to the ledger of the environment, and say on stdout what was acknowledged.

`python -m tests.support.appending NAME THREADS COUNT` appends COUNT requests a thread (0: until killed), once a line comes in on
stdin. `python -m tests.support.appending begin` migrates and begins the ledger then, and says its first event and key.
"""

import itertools
import json
import sys
import threading

from api.domain.errors import LedgerError
from api.ledger.storage.database import Database
from api.ledger.writing import genesis, keys
from api.ledger.writing.ledger import Ledger
from api.settings import load
from tests.support.builders import Writing, an_entity, revise

_lock = threading.Lock()


def say(**said: object) -> None:
    with _lock:
        print(json.dumps(said), flush=True)


def append(writing: Writing, name: str, thread: int, count: int) -> None:
    """Record entities, revise one's own, and now and then one that all want: the last may be refused as stale."""
    for number in itertools.count():
        if count and number >= count:
            return
        one = f"{name}-{thread}-{number // 3}"
        requests = (
            an_entity(one),
            revise("entity", one, expect=1, name=one),
            revise("entity", "parler", expect=1 + number, name=one),
        )
        try:
            outcome = writing.append(requests[number % 3])
        except LedgerError as refusal:
            say(thread=thread, refused=type(refusal).__name__)
        else:
            say(thread=thread, items=[[item.id, item.revision, item.position] for item in outcome.items])


def begin() -> None:
    settings = load()
    database = Database(settings)
    say(ready=True)
    sys.stdin.readline()
    database.migrate()
    state = genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    say(state=state, actor=keys.actor_named(database.access(), "seed"))


def main(name: str, threads: int, count: int) -> None:
    database = Database(load())
    ledger = Ledger(database)
    ledger.start()
    writing = Writing(database, ledger)
    say(ready=True)
    sys.stdin.readline()
    running = [threading.Thread(target=append, args=(writing, name, one, count)) for one in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    ledger.stop()
    database.close()


if __name__ == "__main__":
    begin() if sys.argv[1] == "begin" else main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
