"""A corpus: files of operations, replayed into a scratch ledger, and read back as an editor wants to see them."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from api.domain.agreement.agreement import Agreement
from api.domain.log.event import KindName
from api.domain.records.kinds import KINDS
from api.domain.records.record import State
from api.ledger.reading import answers, lists
from api.ledger.reading.selection import Selection
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.writing import genesis, keys, seed
from api.ledger.writing.ledger import Ledger
from api.settings import Settings

Step = Callable[[str, int, int], None]
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Record:
    """A record at the end of the files: where it was first recorded, as `file:line`, and its representation."""

    place: str
    shown: State

    @property
    def id(self) -> str:
        return str(self.shown["id"])


@dataclass(frozen=True, slots=True)
class Corpus:
    """All records that still stand, by kind and id in the order of recording, and what each question adds up to."""

    entities: dict[str, Record]
    sources: dict[str, Record]
    questions: dict[str, Record]
    claims: dict[str, Record]
    agreements: dict[str, Agreement]

    def of(self, kind: KindName) -> Iterable[Record]:
        """Give all records of a kind."""
        found = {"entity": self.entities, "source": self.sources, "question": self.questions, "claim": self.claims}
        return found[kind].values()


def read(files: Sequence[Path], step: Step) -> Corpus:
    """Replay the files, in the order given, into a ledger of its own that is thrown away.

    Raises Misconfigured, naming file and operation, where one is refused.
    """
    with tempfile.TemporaryDirectory(prefix="ledger-corpus-") as folder:
        settings = Settings(database_url=f"sqlite:///{folder}/ledger.db", signing_key=Path(folder) / "ledger.key")
        database = Database(settings)
        try:
            database.migrate()
            genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
            _replay(database, files, step)
            return _read_back(database.access(), _places(files), step)
        finally:
            database.close()


def _replay(database: Database, files: Sequence[Path], step: Step) -> None:
    ledger = Ledger(database)
    ledger.start()
    try:
        actor = keys.actor_named(database.access(), seed.SEED_ACTOR)
        for done, path in enumerate(files, 1):
            seed.import_file(ledger, path, actor)
            step("files read", done, len(files))
    finally:
        ledger.stop()


def _read_back(access: Access, places: dict[tuple[str, str], str], step: Step) -> Corpus:
    found = {kind: dict(_standing(access, kind, places)) for kind in KINDS}
    agreements = {}
    for done, agreement in enumerate(answers.agreements(access), 1):
        agreements[agreement.question] = agreement
        step("questions added up", done, len(found["question"]))
    return Corpus(found["entity"], found["source"], found["question"], found["claim"], agreements)


def _standing(access: Access, kind: str, places: dict[tuple[str, str], str]) -> Iterator[tuple[str, Record]]:
    cursor: str | None = None
    while True:
        chosen = Selection(kind=kind, terms=[("status", "asserted")], limit=_PAGE, cursor=cursor)
        page, ids = lists.select(access, chosen)
        for public_id, document in zip(ids, page.items, strict=True):
            yield public_id, Record(places[kind, public_id], json.loads(document))
        cursor = page.last
        if cursor is None:
            return


def _places(files: Sequence[Path]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for path in files:
        lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
        for place, line in zip(seed.places(path), lines, strict=True):
            said = json.loads(line)
            found.setdefault((said["kind"], said.get("id", "")), place)
    return found
