"""Any byte that is changed in what a ledger stores is found by `verify`, at its position.

Each flip is undone before the next. `LEDGER_FLIPS` says how many are tried on each database.
"""

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.ledger.signing.checkpoints import kept_path
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS
from api.verifying.verify import verify_database
from tests.support.builders import a_claim, a_source, an_entity, ground, link, restore, retract, revise, unlink
from tests.support.databases import is_sqlite
from tests.support.served import DATABASES, migrated, serve
from tests.tampering import unguarded

FLIPS = int(os.environ.get("LEDGER_FLIPS", "40"))
LOG = {
    "event": ("position", "entry leaf_hash position type kind record revision recorded_at actor"),
    "payload": ("position", "salt payload position"),
    "node": ("level, number", "hash level number"),
    "head": ("one", "frontier position recorded_at"),
}
PROJECTIONS = {
    "record": ("first_position", "first_position kind id record position revision source question"),
    "revision": ("position", "position first_position kind revision until status recorded_at document summary"),
    "feed": ("position", "position item"),
    "term": ("field, value, first_position, since", "field value first_position since until"),
    "span": (
        "field, first_position, since",
        "field first_position since until starts is_moment start_earliest start_latest end_earliest end_latest",
    ),
    "search": ("first_position, since", "first_position since"),
    "agreement": ("question, since", "question since until state"),
}
TABLES = {**LOG, **PROJECTIONS}
# The bytes of the log itself are drawn as often as all the rest.
DRAWN = (*("event", "payload", "node") * 3, "head", "signed", "words", *PROJECTIONS)


@dataclass
class Kept:
    """A ledger that nobody serves, and the note beside its key."""

    database: Database
    access: Access
    signed: Path
    size: int

    def verify(self) -> list[Any]:
        found: list[Any] = []
        verdict = verify_database(self.database, self.signed, found.append, lambda *_: None)
        assert verdict.is_sound is (not found)
        return found


@pytest.fixture(scope="module", params=DATABASES)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """A ledger with batches, retractions, links and redactions."""
    with migrated(request, request.param, tmp_path_factory.mktemp("kept")) as settings:
        with serve(settings) as service:
            fill(service)
            size = service.head()
            assert service.get("/tlog/checkpoint").text.split("\n")[1] == str(size)
        database = Database(settings)
        access = database.connect()
        yield Kept(database, access, kept_path(settings.signing_key_path), size)
        access.close()
        database.close()


def fill(service: Any) -> None:
    said = {"source": "paper", "question": "offline-when"}
    service.append(*ground(), an_entity("aws", name="Amazon Web Services"), a_source("reprint", derives_from=["paper"]))
    service.append(
        a_claim("a", **said), a_claim("b", **{**said, "source": "reprint"}, speaker="aws"), a_claim("c", **said)
    )
    for operation in (
        revise("claim", "a", expect=1, answer={"type": "time", "edtf": "2021-01-10/2021-01-11"}, note="Étè"),
        link("a", "contradicts", "b", expect=2),
        retract("claim", "b", expect=1),
        restore("claim", "b", expect=2),
        unlink("a", "contradicts", "b", expect=3),
        revise("source", "paper", expect=1, published="2021-01-11", title="Another title"),
        revise("entity", "aws", expect=1, note="Part of Amazon"),
    ):
        service.append(operation)
    for redaction in (
        {"kind": "claim", "id": "a", "first": 1, "last": 1},
        {"kind": "claim", "id": "c"},
        {"kind": "entity", "id": "aws", "first": 1, "last": 1},
    ):
        answer = service.post("/v1/redactions", {**redaction, "basis": "error", "reason": "A test"})
        assert answer.status_code == 201, answer.text
    service.append(*(an_entity(f"e{number}", name=f"Entity {number}") for number in range(20)))


def test_a_sound_ledger_is_found_sound(kept: Kept) -> None:
    assert kept.verify() == []


def test_every_flipped_byte_is_found_at_its_position(kept: Kept) -> None:
    draw = random.Random(20210111)
    tables: dict[str, int] = {}
    while sum(tables.values()) < FLIPS:
        table = draw.choice(DRAWN)
        flip = {"signed": flip_note, "words": flip_words}.get(table, flip_row)
        tables[table] = tables.get(table, 0) + flip(kept, draw, table)
    assert kept.verify() == [], "each flip was undone"
    assert set(tables) == set(DRAWN) or FLIPS < 100


def flip_note(kept: Kept, draw: random.Random, _table: str) -> bool:
    before = kept.signed.read_bytes()
    place, bit = draw.randrange(len(before)), 1 << draw.randrange(8)
    kept.signed.write_bytes(before[:place] + bytes([before[place] ^ bit]) + before[place + 1 :])
    found = kept.verify()
    kept.signed.write_bytes(before)
    assert [each for each in found if "signed last" in each.what], f"byte {place} of the note, bit {bit}"
    return True


def flip_words(kept: Kept, draw: random.Random, _table: str) -> bool:
    """Change a word that is indexed, where the index keeps it."""
    with kept.access.snapshot():
        since, words = draw.choice(list(kept.access.words.stored()))
    place = draw.randrange(len(words))
    word = words[place]
    letter = draw.randrange(len(word))
    changed = word[:letter] + chr(ord(word[letter]) ^ 1) + word[letter + 1 :]
    if not changed.isalnum():
        return False
    index_words(kept.access, since, words, [*words[:place], changed, *words[place + 1 :]])
    found = kept.verify()
    index_words(kept.access, since, [*words[:place], changed, *words[place + 1 :]], words)
    assert since in {each.position for each in found}, f"a word of {since}"
    return True


def index_words(access: Access, since: int, old: Sequence[str], new: Sequence[str]) -> None:
    """Let the index hold other words under a position."""
    if is_sqlite(access):
        delete = "INSERT INTO search_index (search_index, rowid, tokens) VALUES ('delete', ?, ?)"
        access.run(delete, (since, " ".join(old)))
        access.run("INSERT INTO search_index (rowid, tokens) VALUES (?, ?)", (since, " ".join(new)))
    else:
        access.run("UPDATE search_index SET tokens = array_to_tsvector(?) WHERE since = ?", (list(new), since))


def flip_row(kept: Kept, draw: random.Random, table: str) -> bool:
    """Flip one bit of one value of one row; False where the database itself refuses."""
    key, columns = TABLES[table]
    column = draw.choice(columns.split())
    rows = kept.access.rows(f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL")
    if not rows:
        return False
    *where, value = draw.choice(rows)
    place = expected(kept, table, key.split(", "), where)
    changed = flipped(value, draw)
    if not write(kept.access, table, column, key, where, changed):
        return False
    found = kept.verify()
    at = [changed if name == column else old for name, old in zip(key.split(", "), where, strict=True)]
    assert write(kept.access, table, column, key, at, value), "the flip can be undone"
    assert place in {each.position for each in found}, (
        f"{table}.{column} at {where}: {value!r} became {changed!r}; {found}"
    )
    return True


def expected(kept: Kept, table: str, names: list[str], where: list[Any]) -> int:
    told = dict(zip(names, where, strict=True))
    if table == "head":
        return kept.size
    if table == "node":
        return (told["number"] << told["level"]) + 1
    return int(told.get("position") or told.get("since") or told["first_position"])


def flipped(value: Any, draw: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value ^ 1 << draw.randrange(12)
    raw = bytearray(value.encode() if isinstance(value, str) else bytes(value))
    raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    if isinstance(value, str):
        return raw.decode("utf-8", "surrogateescape")
    return bytes(raw)


def write(access: Access, table: str, column: str, key: str, where: list[Any], value: Any) -> bool:
    """Set a value; text that is no UTF-8 goes in as what it is, where the database lets it."""
    conditions = " AND ".join(f"{name} = {mark(each)}" for name, each in zip(key.split(", "), where, strict=True))
    raw = [each.encode("utf-8", "surrogateescape") if is_broken(each) else each for each in (value, *where)]
    try:
        with unguarded(access):
            access.run(f"UPDATE {table} SET {column} = {mark(value)} WHERE {conditions}", raw)
    except (*DRIVER_ERRORS, UnicodeError):
        return False
    return True


def mark(value: Any) -> str:
    return "CAST(? AS TEXT)" if is_broken(value) else "?"


def is_broken(value: Any) -> bool:
    return isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value)
