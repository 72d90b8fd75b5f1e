"""Redaction in the ledger: one transaction, provable, and nothing but what it covers; damage is told from lawful absence."""

import json
import threading
from pathlib import Path

import pytest

from api.domain.agreement.agreement import to_json
from api.domain.dates.asof import AsOf
from api.domain.errors import NotRedactable, Redacted, Unavailable, UnknownRecord
from api.domain.log import event, merkle
from api.domain.records.command import Redact
from api.domain.records.redaction import state_of
from api.ledger.projecting import rebuild
from api.ledger.reading import feed, proofs, standpoint, views
from api.ledger.reading.answers import answers
from api.ledger.reading.selection import Selection
from api.ledger.storage.faults import DRIVER_ERRORS
from api.ledger.writing import redacting
from api.ledger.writing.ledger import Ledger
from api.ledger.writing.unit import Note, Unit
from tests.support.auditor import audit
from tests.support.builders import a_claim, a_source, an_entity, ground, link, retract, revise
from tests.support.databases import is_sqlite

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "log.json").read_text(encoding="utf-8"))
C = {"source": "paper", "question": "offline-when"}
LATE = {"answer": {"type": "time", "edtf": "2021-01-14"}}


def redaction_body(kind, public_id, basis, reason, **more):
    return Redact(kind="redaction", id=None, target_kind=kind, target=public_id, basis=basis, reason=reason, **more)


def _agreement(access, position):
    return to_json(answers(access, "offline-when", Selection(kind="claim", asked=AsOf(position=position))).agreement)


def test_the_entry_names_no_public_id_and_carries_range_and_basis(writing):
    writing.append(*ground(), a_claim("one", **C), revise("claim", "one", note="x"))
    done = writing.redact("claim", "one", first=1, last=1, basis="safety")
    exact = feed.event(writing.database.access(), done.position)
    entry = json.loads(exact.entry)
    target = json.loads(feed.event(writing.database.access(), 5).entry)["record"]
    assert entry["redacts"] == {"record": target, "first": 1, "last": 1}
    assert (entry["basis"], entry["type"], entry["kind"], entry["revision"]) == ("safety", "redacted", "redaction", 1)
    assert "one" not in exact.entry
    state = json.loads(exact.payload)["state"]
    assert state == {"id": done.items[0].id, "status": "asserted", "links": [], "kind": "claim", "target": "one"}
    assert event.payload_digest(bytes.fromhex(exact.salt), exact.payload.encode()) == entry["payload_digest"]


def test_a_redaction_of_the_golden_vectors_is_made_to_the_byte():
    """The state is the one that this code gives, in the form that was fixed before it was written."""
    [vector] = [each for each in VECTORS["inputs"] if each["entry"]["kind"] == "redaction"]
    said = vector["state"]
    body = redaction_body(said["kind"], said["target"], vector["entry"]["basis"], vector["reason"])
    assert state_of(body, said["id"]) == said


def test_only_what_it_covers_is_deleted(writing):
    writing.append(*ground(), a_claim("one", **C), a_claim("two", **C), revise("claim", "one", note="x"))
    writing.append(revise("claim", "one", expect=2, note="y"), revise("claim", "two", expect=1, note="z"))
    access = writing.database.access()
    before = dict(access.rows("SELECT position, payload FROM payload"))
    done = writing.redact("claim", "one", first=2, last=2)
    after = dict(access.rows("SELECT position, payload FROM payload"))
    assert before.keys() - after.keys() == {7}
    assert after.keys() - before.keys() == {done.position}


def test_agreement_is_folded_again_at_every_position(writing):
    writing.append(*ground(), a_source("wire"))
    writing.append(a_claim("one", **C), a_claim("two", **{**C, "source": "wire"}))
    agreed = writing.append(revise("claim", "one", expect=1, note="still")).position
    writing.append(a_claim("late", **C, **LATE))
    disputed = writing.append(retract("claim", "two", expect=1)).position
    access = writing.database.access()
    states = [_agreement(access, position)["state"] for position in range(agreed, disputed + 1)]
    assert states == ["agreed", "disputed", "disputed"]
    writing.redact("claim", "late")
    assert [_agreement(access, position)["state"] for position in range(agreed, disputed + 1)] == [
        "agreed",
        "agreed",
        "single-origin",
    ]
    listed = {row[0] for row in access.rows("SELECT state FROM agreement")}
    assert "disputed" not in listed
    # A source that is gone takes no part either, at any position.
    writing.redact("source", "wire")
    assert [_agreement(access, position)["state"] for position in range(agreed, disputed + 1)] == ["single-origin"] * 3


def test_proofs_made_before_still_verify(writing):
    writing.append(*ground(), *(a_claim(f"c{number}", **C) for number in range(9)))
    access = writing.database.access()
    size = writing.append(revise("claim", "c3", expect=1, note="x")).position
    root = proofs.root(access, size)
    made = [proofs.inclusion(access, position, size) for position in range(1, size + 1)]
    for name in ("c3", "c5"):
        writing.redact("claim", name)
    head = standpoint.locate(access).position
    assert proofs.root(access, size) == root
    for proof in made:
        leaf = bytes.fromhex(feed.event(access, proof.position).leaf_hash)
        assert merkle.verify_inclusion(proof.position - 1, size, leaf, proof.path, root)
    grown = proofs.consistency(access, size, head)
    assert merkle.verify_consistency(size, head, root, proofs.root(access, head), grown.path)


def test_requests_that_share_its_commit_see_what_it_leaves(writing):
    """In one group: what comes before a redaction is redacted with it, what comes after is judged against what is left."""
    writing.append(*ground(), a_claim("one", **C), a_claim("two", **C))
    ledger, gate = writing.ledger, threading.Event()
    ledger._guard = lambda: gate.wait(10)  # noqa: SLF001 - holds the writer until all are queued
    first = ledger.append(writing.unit(an_entity("before")))
    units = [writing.unit(revise("claim", "one", expect=1, note="x")), _unit(writing, "claim", "one")]
    units += [
        writing.unit(revise("claim", "one", expect=2, note="y")),
        writing.unit(revise("claim", "two", expect=1, note="z")),
    ]
    units += [_unit(writing, "claim", "one"), writing.unit(a_claim("three", **C))]
    futures = [ledger.append(unit) for unit in units]
    gate.set()
    assert first.result(60)
    outcomes = [future.exception(60) or future.result() for future in futures]
    assert [type(each).__name__ for each in outcomes] == [
        "Outcome",
        "Outcome",
        "Redacted",
        "Outcome",
        "NotRedactable",
        "Outcome",
    ]
    positions = [each.position for each in outcomes if not isinstance(each, Exception)]
    assert positions == list(range(positions[0], positions[0] + 4))
    with pytest.raises(Redacted):
        views.current(writing.database.access(), "claim", "one")


def _unit(writing, kind, public_id, **more):
    return Unit(commands=[redaction_body(kind, public_id, "error", "x", **more)], actor=writing.actor)


def test_a_writer_elsewhere_forgets_what_it_remembered(writing):
    """Another process redacts; this one has the record in memory, and finds it gone."""
    writing.append(*ground(), a_claim("one", **C))
    other = Ledger(writing.database)
    other.start()
    other.append(_unit(writing, "claim", "one")).result(60)
    other.stop()
    with pytest.raises(Redacted):
        writing.append(revise("claim", "one", expect=1, note="x"))
    with pytest.raises(NotRedactable):
        writing.redact("claim", "one")


def test_an_erased_id_may_be_given_to_another_record(writing):
    writing.append(*ground(), an_entity("someone"))
    access = writing.database.access()
    writing.redact("entity", "someone", erase_id=True)
    with pytest.raises(UnknownRecord):
        views.current(access, "entity", "someone")
    writing.append(an_entity("someone", name="Somebody else"))
    assert views.current(access, "entity", "someone").revision == 1
    writing.redact("entity", "someone")
    with pytest.raises(Redacted):
        views.current(access, "entity", "someone")


def test_links_to_what_is_redacted_stay_and_count_for_nothing(writing):
    writing.append(*ground(), a_claim("one", **C), a_claim("two", **C, **LATE), link("two", "corrects", "one"))
    access = writing.database.access()
    assert [each["claim"] for each in _agreement(access, standpoint.locate(access).position)["superseded"]] == ["one"]
    writing.redact("claim", "one")
    links = views.links(access, "two", AsOf())
    outgoing, incoming, at = links.outgoing, links.incoming, links.at
    assert ([(each["claim"], bool(each["redacted"])) for each in outgoing], incoming) == ([("one", True)], [])
    assert _agreement(access, at.position)["superseded"] == []
    writing.append(revise("claim", "two", expect=2, note="x"))
    writing.redact("claim", "two")
    assert _agreement(access, standpoint.locate(access).position)["groups"] == []


def test_a_missing_payload_that_no_redaction_covers_is_damage_named_by_its_position(writing):
    writing.append(*ground(), a_claim("one", **C), a_claim("two", **C), revise("claim", "one", note="x"))
    writing.redact("claim", "one", first=1, last=1)
    access = writing.database.access()
    for position in (6, 7, 8):
        rows = access.rows("SELECT salt, payload FROM payload WHERE position = ?", (position,))
        _damage(access, position)
        with pytest.raises(Unavailable, match=f"position {position} "):
            rebuild.rebuild(access)
        _mend(access, position, rows[0])
    assert rebuild.rebuild(access) == 8


def _damage(access, position):
    """Delete a payload behind the triggers' back."""
    access.run("DROP TRIGGER payload_no_delete" + ("" if is_sqlite(access) else " ON payload"))
    access.run("DELETE FROM payload WHERE position = ?", (position,))


def _mend(access, position, row):
    access.run("INSERT INTO payload (position, salt, payload) VALUES (?, ?, ?)", (position, *row))
    message = "SELECT RAISE(ABORT, 'payload is removed only by a redaction')"
    if is_sqlite(access):
        access.run(f"CREATE TRIGGER payload_no_delete BEFORE DELETE ON payload BEGIN {message}; END")
    else:
        access.run(
            "CREATE TRIGGER payload_no_delete BEFORE DELETE ON payload FOR EACH ROW EXECUTE FUNCTION ledger_refuse_unredacted()"
        )


def test_no_payload_is_deleted_once_the_redaction_is_committed(writing):
    """The database lets a payload go in the very transaction of its redaction, and in no later one."""
    writing.append(*ground(), a_claim("one", **C))
    access = writing.database.access()
    [kept] = access.rows("SELECT salt, payload FROM payload WHERE position = 5")
    writing.redact("claim", "one")
    access.run("INSERT INTO payload (position, salt, payload) VALUES (5, ?, ?)", kept)
    with pytest.raises(DRIVER_ERRORS):
        access.run("DELETE FROM payload WHERE position = 5")
    access.run("DROP TRIGGER payload_no_delete" + ("" if is_sqlite(access) else " ON payload"))
    access.run("DELETE FROM payload WHERE position = 5")


def test_no_payload_of_a_redaction_or_of_the_ledger_is_deleted(writing):
    writing.append(*ground(), a_claim("one", **C))
    done = writing.redact("claim", "one")
    access = writing.database.access()
    columns = "position, entry, leaf_hash, type, kind, record, revision, recorded_at, actor"
    for number, target in enumerate((1, done.position)):
        [(record,)] = access.rows("SELECT record FROM event WHERE position = ?", (target,))
        entry = b'{"redacts":{"record":"%s","first":1,"last":1}}' % record.encode()
        access.run("BEGIN")
        row = (1000, entry, b"", "redacted", "redaction", "r", 1, 2**60 + number, None)
        access.run(f"INSERT INTO event ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        with pytest.raises(DRIVER_ERRORS):
            access.run("DELETE FROM payload WHERE position = ?", (target,))
        access.run("ROLLBACK")


def test_a_killed_process_is_finished_for(writing):
    """Between the commit and the purge anything may happen: the next start finds out and does what was left."""
    writing.append(*ground(), a_claim("one", **C))
    access = writing.database.access()
    assert redacting.is_purged(access)
    writing.redact("claim", "one")
    assert not redacting.is_purged(access)
    assert redacting.finish(writing.database) == ""
    assert redacting.is_purged(access)
    assert redacting.finish(writing.database) == ""


def test_a_rebuild_and_a_replayed_note_know_what_is_redacted(writing):
    note = Note(key_digest=b"k" * 32, request_digest=b"r" * 32)
    writing.append(*ground())
    unit = writing.unit(a_claim("one", **C), a_claim("two", **C))
    writing.ledger.append(Unit(commands=unit.commands, actor=unit.actor, note=note, is_batch=True)).result(60)
    done = writing.redact("claim", "two")
    with pytest.raises(Redacted) as gone:
        writing.ledger.append(Unit(commands=unit.commands, actor=unit.actor, note=note, is_batch=True)).result(60)
    assert (gone.value.position, gone.value.basis) == (done.position, "court-order")
    audit(writing.database.access())
