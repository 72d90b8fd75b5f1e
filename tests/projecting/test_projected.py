"""The projections have a version of their own: whoever changes them raises its number, and old databases derive them anew."""

import hashlib
import json
from pathlib import Path

import pytest

from api.domain.computed import RULES
from api.domain.log import event
from api.domain.log.merkle import Frontier
from api.domain.records.representation import VERSIONS
from api.ledger.projecting.projection import PROJECTED
from api.ledger.projecting.rebuild import rebuild
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.writing import genesis
from tests.support.auditor import _projections
from tests.support.builders import a_claim, ground

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "projections.json").read_text(encoding="utf-8"))


def test_the_projections_of_a_fixed_log_are_those_noted_under_their_version(settings):
    """A log of every kind and type, with redactions. Where this fails, raise PROJECTED, and note the digest under it."""
    database = Database(settings)
    access = database.access()
    _copy_log(access)
    rebuild(access)
    noted = {(each["rules"], each["projected"]): each["sha256"] for each in VECTOR["digests"]}
    assert len(noted) == len(VECTOR["digests"]), "a version is noted once, and then stays as it is"
    assert noted.get((RULES, PROJECTED)) == _digest(access)
    database.close()


def _copy_log(access: Access) -> None:
    columns = "position, entry, leaf_hash, type, kind, record, revision, recorded_at, actor"
    with access.transaction():
        for raw, salt, payload in VECTOR["log"]:
            entry = event.decode_own(raw.encode())
            said = (entry.type, entry.kind, entry.record, entry.revision, event.unstamp(entry.recorded_at), entry.actor)
            access.insert("event", columns, [(entry.position, raw.encode(), event.leaf_hash(raw.encode()), *said)])
            if payload is not None:
                row = (entry.position, bytes.fromhex(salt), payload.encode())
                access.insert("payload", "position, salt, payload", [row])
        head = (entry.position, said[4], Frontier().to_bytes(), True)
        sql = "INSERT INTO head (one, position, recorded_at, frontier, is_seeded, rules) VALUES (1, ?, ?, ?, ?, 0)"
        access.run(sql, head)


def _digest(access: Access) -> str:
    """Digest every row of every projection, in an order that is the same on both databases."""
    told = {
        table: sorted(json.dumps([_plain(value) for value in row]) for row in rows)
        for table, rows in _projections(access).items()
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _plain(value: object) -> object:
    """Give a value as JSON has it; SQLite keeps truth as a number."""
    if isinstance(value, bytes):
        return value.decode()
    return int(value) if isinstance(value, bool) else value


@pytest.mark.parametrize("column", ["rules", "projected"])
def test_a_start_derives_projections_of_another_version_or_under_other_rules_anew(settings, writing, column):
    writing.append(*ground(), a_claim("c", source="paper", question="offline-when"))
    access = writing.database.access()
    whole = _projections(access)
    access.run(f"UPDATE head SET {column} = {column} - 1")
    access.run("UPDATE agreement SET state = 'agreed'")
    genesis.open_ledger(writing.database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    assert _projections(access) == whole
    assert access.row("SELECT rules, projected FROM head") == (RULES, PROJECTED)


def test_what_records_look_like_is_noted_under_the_versions_of_their_forms(settings):
    """Tags stand for these. Where this fails, raise the number of the kind's form, and note the digest under its version."""
    database = Database(settings)
    access = database.access()
    _copy_log(access)
    rebuild(access)
    sql = "SELECT v.document FROM revision v JOIN record r ON r.first_position = v.first_position WHERE r.kind = ? ORDER BY v.position"
    for kind, version in VERSIONS.items():
        shown = b"\n".join(bytes(row[0] or b"") for row in access.rows(sql, (kind,)))
        assert VECTOR["shown"][kind].get(str(version)) == hashlib.sha256(shown).hexdigest(), kind
    database.close()
