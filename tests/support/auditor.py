"""The auditor: after every ledger test it derives all of the ledger again from the log, by means of its own."""

import hashlib
import json
from typing import Any

from api.domain.log import event, merkle
from api.ledger.projecting import rebuild
from api.ledger.storage.access import Access

PROJECTIONS = {
    "record": "first_position",
    "revision": "position",
    "feed": "position",
    "term": "field, value, first_position, since",
    "span": "field, first_position, since",
    "search": "first_position, since",
    "agreement": "question, since",
}


def audit(access: Access) -> None:
    """Fail unless positions are gapless, digests and roots hold, and a rebuild gives the projections to the byte."""
    _audit_log(access)
    _audit_tree(access)
    before = _projections(access)
    rebuild.rebuild(access)
    after = _projections(access)
    for table, rows in before.items():
        assert rows == after[table], f"{table} differs from what a rebuild makes"


def _audit_log(access: Access) -> None:
    rows = access.rows(
        "SELECT e.position, e.entry, e.leaf_hash, e.recorded_at, p.salt, p.payload FROM event e"
        " LEFT JOIN payload p ON p.position = e.position ORDER BY e.position"
    )
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1)), "positions have gaps"
    assert [row[3] for row in rows] == sorted({row[3] for row in rows}), "recorded_at does not strictly increase"
    redactions = [said for said in (json.loads(bytes(row[1])) for row in rows) if said["type"] == "redacted"]
    revisions: dict[str, int] = {}
    for position, entry, leaf, moment, salt, payload in rows:
        said = json.loads(bytes(entry))
        assert said["position"] == position
        assert event.unstamp(said["recorded_at"]) == moment
        assert said["revision"] == revisions.get(said["record"], 0) + 1, "a record's revisions have gaps"
        revisions[said["record"]] = said["revision"]
        assert hashlib.sha256(b"\0" + bytes(entry)).digest() == bytes(leaf)
        is_redacted = any(_covers(redaction, said) for redaction in redactions)
        assert (payload is None) is (salt is None) is is_redacted, (
            f"payload {position} is there, or is not, against the log"
        )
        if is_redacted:
            continue
        assert hashlib.sha256(bytes(salt) + bytes(payload)).hexdigest() == said["payload_digest"]


def _covers(redaction: dict[str, Any], said: dict[str, Any]) -> bool:
    target = redaction["redacts"]
    is_of_it = target["record"] == said["record"] and redaction["position"] > said["position"]
    return is_of_it and target["first"] <= said["revision"] <= target["last"]


def _audit_tree(access: Access) -> None:
    """Hold the stored nodes and the head's frontier to the recursive definition (RFC 6962 section 2.1)."""
    leaves = [bytes(row[0]) for row in access.rows("SELECT leaf_hash FROM event ORDER BY position")]
    head = access.row("SELECT position, frontier FROM head")
    assert head is not None
    assert head[0] == len(leaves)
    assert merkle.Frontier.from_bytes(bytes(head[1])).root() == _root(leaves)
    for level, number, node in access.rows("SELECT level, number, hash FROM node"):
        width = 1 << level
        assert bytes(node) == _root(leaves[number * width : (number + 1) * width])
    complete = sum(len(leaves) >> level for level in range(1, len(leaves).bit_length()))
    assert access.rows("SELECT count(*) FROM node")[0][0] == complete


def _root(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + _root(leaves[:middle]) + _root(leaves[middle:])).digest()


def _projections(access: Access) -> dict[str, list[Any]]:
    found = {
        table: [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
                for row in access.rows(f"SELECT * FROM {table} ORDER BY {order}")]
        for table, order in PROJECTIONS.items()
    }  # fmt: skip
    with access.snapshot():
        found["search_index"] = list(access.words.stored())
    return found
