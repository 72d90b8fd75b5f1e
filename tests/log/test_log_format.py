"""What `append` really writes, to the byte: entries, payloads, leaves and nodes as CONTRIBUTING fixes them for ever."""

import base64
import hashlib
import json
import re
from pathlib import Path
from uuid import UUID

import pytest
import rfc8785

from api.domain.log import event
from api.domain.log.checkpoint import SigningKey
from api.domain.records.command import Command
from api.domain.records.decide import Decision
from api.domain.records.kinds import KINDS
from api.domain.records.record import Record
from api.ledger.reading import feed
from api.ledger.storage.database import Database
from api.ledger.writing import genesis
from api.ledger.writing.change import Slot, change
from api.ledger.writing.ledger import Ledger
from tests.support.builders import Writing, a_claim, ground, link, restore, retract, revise, unlink

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "log.json").read_text(encoding="utf-8"))
KEYS = {
    "v", "position", "type", "kind", "record", "revision", "recorded_at", "actor", "batch", "schema", "payload_digest",
    "redacts", "basis",
}  # fmt: skip
C = {"source": "paper", "question": "offline-when"}


@pytest.fixture
def log(writing):
    """Every type of event but a redaction, alone and in a batch, with text that is not ASCII."""
    writing.append(*ground(), a_claim("a", **C, statement='Étè, "\\/\U0001f600'), a_claim("b", **C))
    writing.append(revise("claim", "a", expect=1, note="ligne\nsuivante"))
    writing.append(
        link("a", "repeats", "b", expect=2), unlink("a", "repeats", "b"), retract("claim", "a"), restore("claim", "a")
    )
    access = writing.database.access()
    return access.rows(
        "SELECT e.position, e.entry, e.leaf_hash, p.salt, p.payload FROM event e JOIN payload p ON p.position = e.position ORDER BY e.position"
    )


def test_an_entry_has_exactly_the_thirteen_keys_and_is_rfc_8785(log):
    types = set()
    for position, entry, leaf, _, _ in log:
        said = json.loads(bytes(entry))
        assert set(said) == KEYS
        assert rfc8785.dumps(said) == bytes(entry)
        assert bytes(leaf) == hashlib.sha256(b"\0" + bytes(entry)).digest()
        assert (said["v"], said["position"]) == (1, position)
        assert said["schema"] == (2 if said["kind"] == "question" else 1)
        assert (said["redacts"], said["basis"]) == (None, None)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", said["recorded_at"])
        assert len(entry) < 65_535
        types.add(said["type"])
    assert types == {"opened", "recorded", "revised", "retracted", "restored", "linked", "unlinked"}


def test_an_entry_holds_no_public_id_and_only_random_uuids(log):
    records = {}
    for _, entry, _, _, payload in log:
        said, state = json.loads(bytes(entry)), json.loads(bytes(payload))["state"]
        known = records.setdefault((said["kind"], state["id"]), said["record"])
        assert known == said["record"]
        for minted in filter(None, (said["record"], said["actor"])):
            assert UUID(minted).version == 4
            assert str(UUID(minted)) == minted
        assert (said["actor"] is None) is (said["type"] == "opened")
        assert len(state["id"]) == 1 or state["id"].encode() not in bytes(entry) or said["kind"] == "ledger"
    assert len(set(records.values())) == len(records)


def test_a_batch_is_named_by_its_first_and_last_position(log, writing):
    assert [json.loads(bytes(entry))["batch"] for _, entry, *_ in log] == [None] + [[2, 6]] * 5 + [[7, 7]] + [
        [8, 11]
    ] * 4


def test_a_payload_is_reason_and_whole_state_in_rfc_8785_and_its_digest_is_salted(log):
    salts = {bytes(salt) for _, _, _, salt, _ in log}
    assert len(salts) == len(log)
    for _, entry, _, salt, payload in log:
        said, saying = json.loads(bytes(entry)), json.loads(bytes(payload))
        assert set(saying) == {"reason", "state"}
        assert rfc8785.dumps(saying) == bytes(payload)
        assert len(salt) == 32
        assert said["payload_digest"] == hashlib.sha256(bytes(salt) + bytes(payload)).hexdigest()
        if said["kind"] in KINDS:
            assert set(saying["state"]) == {"id", "status", "links", *KINDS[said["kind"]].fields}


def test_every_field_of_a_kind_is_there_with_its_defaults_filled_in(log):
    states = [json.loads(bytes(payload))["state"] for *_, payload in log]
    assert states[1] == {
        "id": "parler", "status": "asserted", "links": [], "type": "platform", "name": "Parler", "names": {},
        "part_of": None, "same_as": [], "note": None,
    }  # fmt: skip
    assert states[4]["statement"] == 'Étè, "\\/\U0001f600'
    assert {name: states[4][name] for name in ("valid", "speaker", "via", "stance", "locator", "note")} == {
        "valid": None, "speaker": None, "via": [], "stance": "asserts", "locator": None, "note": None,
    }  # fmt: skip
    [made] = states[7]["links"]
    assert made == {"relation": "repeats", "claim": "b", "reason": "Same words", "position": 8}


def test_the_ledger_opens_with_its_name_and_key(log, settings):
    said, state = json.loads(bytes(log[0][1])), json.loads(bytes(log[0][4]))["state"]
    key = SigningKey.decode(settings.signing_key_path.read_text(encoding="utf-8").strip())
    assert json.loads(bytes(log[0][4]))["reason"] is None
    assert state == {
        "id": "ledger", "status": "asserted", "links": [], "log_origin": f"{said['record']}.ledger.invalid",
        "keys": [{"vkey": key.vkey, "from": 1}], "formats": {"entry": 1, "payload": 1},
    }  # fmt: skip
    assert base64.b64decode(key.vkey.split("+", 2)[2])[0] == 1  # Ed25519, c2sp.org/signed-note


@pytest.mark.parametrize(
    "number", [n for n, vector in enumerate(VECTORS["inputs"]) if vector["entry"]["kind"] != "redaction"]
)
def test_an_accepted_command_becomes_the_bytes_of_the_golden_vectors(number):
    """Entry and payload, given the vector's salt."""
    vector, golden = VECTORS["inputs"][number], VECTORS["events"][number]
    said, state = vector["entry"], vector["state"]
    moment, revision = event.unstamp(said["recorded_at"]), said["revision"]
    before = Record(said["kind"], said["record"], state["id"], revision - 1, 1, 1, 1, 1, None, state)
    made = change(
        before if revision > 1 else None,
        Command(kind=said["kind"], id=state["id"], reason=vector["reason"]),
        Decision(said["type"], state),
        Slot(said["position"], moment, bytes.fromhex(vector["salt"])),
        actor=said["actor"],
        batch=tuple(said["batch"]) if said["batch"] else None,
        record=said["record"],
    )
    # One of them is redacted in the vectors: its digest alone is left.
    assert made.fact.payload.decode() == (golden["payload"] or made.fact.payload.decode())
    assert made.fact.raw.decode() == golden["entry"]


def test_the_feed_and_single_events_give_the_stored_bytes(log, database):
    access = database.access()
    page = feed.follow(access, feed.Following(limit=500))
    for (position, entry, leaf, salt, payload), item in zip(log, page.items, strict=True):
        assert item.startswith(bytes(entry)[:-1])
        # Of a claim the feed says besides what is computed from it; and of every event the file that it came in.
        told = item.removesuffix(b',"file":null}') + b"}"
        assert told.endswith(bytes(payload)[1:]) is (json.loads(entry)["kind"] != "claim")
        exact = feed.event(access, position)
        assert (exact.entry.encode(), exact.payload.encode()) == (bytes(entry), bytes(payload))
        assert (exact.salt, exact.leaf_hash) == (bytes(salt).hex(), bytes(leaf).hex())


def test_the_same_requests_on_both_databases_differ_only_in_what_is_minted(settings, database, ledger):
    """A second ledger beside this one, from the same requests: same types, kinds, revisions, batches and states."""
    again = Database(
        settings.model_copy(update={"database_url": f"sqlite:///{settings.signing_key_path.parent / 'twin.db'}"})
    )
    again.migrate()
    genesis.open_ledger(again, key_path=settings.signing_key_path.with_name("twin.key"), origin=None, is_seeded=True)
    twin = Ledger(again)
    twin.start()
    for writing in (Writing(database, ledger), Writing(again, twin)):
        writing.append(*ground(), a_claim("a", **C))
        writing.append(revise("claim", "a", expect=1, note="x"))
    twin.stop()
    logs = [
        [json.loads(item) for item in feed.follow(each.access(), feed.Following(after=1)).items]
        for each in (database, again)
    ]
    minted = ("record", "actor", "recorded_at", "payload_digest")
    one, two = ([{name: said[name] for name in said if name not in minted} for said in log] for log in logs)
    assert one == two
    again.close()
