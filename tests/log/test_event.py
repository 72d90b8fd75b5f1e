"""The format of the log, pinned to the byte by vectors that a second, naive path computes.

`python tests/log/test_event.py` writes the vectors anew. A change in them is a change of the format, which may not happen.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.domain import errors
from api.domain.log import event, merkle
from api.domain.log.event import Entry, Redacts

VECTORS = Path(__file__).parents[1] / "vectors/log.json"

LEDGER = "2f0f0f6e-8f0b-4c8a-9d0e-5b9a3c1d7e01"
SOURCE = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
QUESTION = "d9428888-122b-41e1-b85c-61bd0e1a3b5f"
CLAIM = "6fa459ea-ee8a-4ca4-894e-db77e160355e"
REDACTION = "16fd2706-8baf-433b-82eb-8c7fada847da"
ACTOR = "886313e1-3b8a-4372-9b90-0c9aee199e5d"
VKEY = "2f0f0f6e-8f0b-4c8a-9d0e-5b9a3c1d7e01.ledger.invalid+be9f12db+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"

CLAIM_STATE = {
    "id": "le-monde-parler-users",
    "status": "asserted",
    "links": [],
    "source": "le-monde-2021-01-11",
    "question": "parler-registered-users",
    "statement": "Parler had almost 15 million users.",
    "answer": {
        "type": "quantity",
        "amount": "15000000",
        "low": None,
        "high": None,
        "unit": "users",
        "approximate": True,
    },
    "valid": "2021-01",
    "speaker": None,
    "via": [],
    "stance": "asserts",
    "locator": {"paragraph": 3, "sha256": "5f" * 32},
    "note": "",
}
REVISED_STATE = CLAIM_STATE | {
    "valid": None,
    "note": 'Escapes: " \\ / \b\t\n\f\r \u001f \u007f; kept: é e\u0301 “…” \u2028\u2029 \U0001f426 \uffff.',
    "links": [{"relation": "corroborates", "claim": "afp-parler-users", "reason": "Même dépêche", "position": 4}],
}


def an_event(position: int, type_: str, kind: str, record: str, state: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Give the inputs of one event: the entry's fields but the digest, then the reason, the state and the salt."""
    fields = {
        "v": 1,
        "position": position,
        "type": type_,
        "kind": kind,
        "record": record,
        "revision": 1,
        "recorded_at": f"2026-01-11T08:00:0{position}.000{position:03}Z",
        "actor": ACTOR,
        "batch": None,
        "schema": 1,
        "redacts": None,
        "basis": None,
    }
    reason = others.pop("reason", None)
    salt = hashlib.sha256(f"salt {position}".encode()).hexdigest()
    return {"entry": fields | others, "reason": reason, "state": state, "salt": salt}


def the_inputs() -> list[dict[str, Any]]:
    ledger_state = {
        "id": "ledger",
        "status": "asserted",
        "links": [],
        "log_origin": f"{LEDGER}.ledger.invalid",
        "keys": [{"vkey": VKEY, "from": 1}],
        "formats": {"entry": 1, "payload": 1},
    }
    source_state = {"id": "le-monde-2021-01-11", "status": "asserted", "links": [], "authors": ["Damien Leloup"]}
    question_state = {
        "id": "parler-registered-users",
        "status": "asserted",
        "links": [],
        "varies": True,
        "unit": "users",
    }
    redaction_state = {
        "id": "r1",
        "status": "asserted",
        "links": [],
        "kind": "claim",
        "target": "le-monde-parler-users",
    }
    redacts = {"record": CLAIM, "first": 1, "last": 1}
    return [
        an_event(1, "opened", "ledger", LEDGER, ledger_state, actor=None),
        an_event(2, "recorded", "source", SOURCE, source_state, batch=[2, 3], reason="Read in full."),
        an_event(3, "recorded", "question", QUESTION, question_state, batch=[2, 3]),
        an_event(4, "recorded", "claim", CLAIM, CLAIM_STATE),
        an_event(5, "revised", "claim", CLAIM, REVISED_STATE, revision=2, reason="The date is not the article’s."),
        an_event(
            6,
            "redacted",
            "redaction",
            REDACTION,
            redaction_state,
            redacts=redacts,
            basis="court-order",
            reason="Order 12/3",
        ),
    ]


# The naive path: sorted compact JSON and SHA-256, and nothing of ours.


def naive_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def naive_root(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:  # noqa: PLR2004
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def naive_event(given_event: dict[str, Any]) -> dict[str, Any]:
    payload = naive_json({"reason": given_event["reason"], "state": given_event["state"]})
    digest = hashlib.sha256(bytes.fromhex(given_event["salt"]) + payload.encode()).hexdigest()
    entry = naive_json(given_event["entry"] | {"payload_digest": digest})
    leaf = hashlib.sha256(b"\x00" + entry.encode()).hexdigest()
    return {"entry": entry, "payload": payload, "salt": given_event["salt"], "leaf_hash": leaf}


def naive_log() -> dict[str, Any]:
    inputs = the_inputs()
    events = [naive_event(one) for one in inputs]
    leaves = [bytes.fromhex(one["leaf_hash"]) for one in events]
    # Event 6 redacts event 4: its salt and payload are gone, its entry and leaf stay.
    events[3] |= {"payload": None, "salt": None}
    roots = [naive_root(leaves[:size]).hex() for size in range(len(leaves) + 1)]
    return {"inputs": inputs, "events": events, "roots": roots}


LOG: dict[str, Any] = json.loads(VECTORS.read_text("utf-8")) if VECTORS.exists() else {}
NUMBERS = range(len(LOG.get("events", [])))


def an_entry(**changes: Any) -> Entry:
    return msgspec.structs.replace(event.decode(LOG["events"][3]["entry"].encode()), **changes)


def edited(**changes: Any) -> bytes:
    return naive_json(json.loads(LOG["events"][3]["entry"]) | changes).encode()


# Vectors


def test_the_vectors_are_what_plain_json_and_sha_256_give() -> None:
    assert naive_log() == LOG


@pytest.mark.parametrize("number", NUMBERS)
def test_payload_digest_entry_and_leaf_are_the_vector_s_bytes(number: int) -> None:
    given_event, expected = LOG["inputs"][number], LOG["events"][number]
    payload = event.payload(given_event["reason"], given_event["state"])
    digest = event.payload_digest(bytes.fromhex(given_event["salt"]), payload)
    entry = event.encode(entry_of(given_event["entry"], digest))
    assert expected["payload"] in (None, payload.decode())
    assert entry.decode() == expected["entry"]
    assert event.leaf_hash(entry).hex() == expected["leaf_hash"]


def entry_of(fields: dict[str, Any], digest: str) -> Entry:
    batch, redacts = fields["batch"], fields["redacts"]
    shaped = {"batch": batch and tuple(batch), "redacts": redacts and Redacts(**redacts), "payload_digest": digest}
    return Entry(**(fields | shaped))


@pytest.mark.parametrize("number", NUMBERS)
def test_entries_of_the_vectors_decode_and_encode_to_themselves(number: int) -> None:
    raw = LOG["events"][number]["entry"].encode()
    assert event.encode(event.decode(raw)) == raw


def test_the_tree_over_the_vectors_has_their_root_at_each_size() -> None:
    frontier = merkle.Frontier()
    assert frontier.root().hex() == LOG["roots"][0]
    for one, root in zip(LOG["events"], LOG["roots"][1:], strict=True):
        frontier, _ = frontier.append([bytes.fromhex(one["leaf_hash"])])
        assert frontier.root().hex() == root


def test_the_vectors_are_these_bytes() -> None:
    """A last guard: the vectors and both paths to them cannot drift together."""
    assert LOG["roots"][-1] == "74b393d10c3429538e7337c45f273c5df2040db08b1c41d7b45242d9a0747b2e"
    assert LOG["events"][0]["entry"] == (
        '{"actor":null,"basis":null,"batch":null,"kind":"ledger",'
        '"payload_digest":"79a4fc98267b7ddcf6f12e087947abdde8bddd1196589cd584d71a4d204c88a9","position":1,'
        '"record":"2f0f0f6e-8f0b-4c8a-9d0e-5b9a3c1d7e01","recorded_at":"2026-01-11T08:00:01.000001Z",'
        '"redacts":null,"revision":1,"schema":1,"type":"opened","v":1}'
    )


# Entries


def test_an_entry_has_exactly_the_keys_of_version_1() -> None:
    names = [field.name for field in msgspec.structs.fields(Entry)]
    keys = "v position type kind record revision recorded_at actor batch schema payload_digest redacts basis"
    assert names == keys.split()
    assert set(json.loads(event.encode(an_entry()))) == set(names)


def test_types_and_kinds_are_those_of_the_format() -> None:
    assert event.TYPES == tuple("opened recorded revised retracted restored linked unlinked redacted".split())
    assert event.LOGGED_KINDS == tuple("entity source question claim redaction ledger".split())
    assert event.BASES == tuple("court-order data-protection copyright safety error".split())


@pytest.mark.parametrize("key", [field.name for field in msgspec.structs.fields(Entry)])
def test_no_key_may_be_missing(key: str) -> None:
    fields = json.loads(edited())
    del fields[key]
    with pytest.raises(ValueError, match=r".+"):
        event.decode(naive_json(fields).encode())


BAD_VALUES: dict[str, list[Any]] = {
    "extra": [None],
    "v": [2, "1", 1.0],
    "position": [0, -1, 2**53, "4", True, None],
    "type": ["deleted", "linked", "opened", "revised", "redacted"],
    "kind": ["actor", "redaction"],
    "record": [
        *["le-monde-parler-users", CLAIM.upper(), CLAIM.replace("-", ""), CLAIM + "\n", None],
        "018f6b1e-7c1a-7d3e-8a2b-0123456789ab",
    ],
    "revision": [0, 2],
    "recorded_at": [
        "2026-01-11T08:00:01Z",
        "2026-01-11T08:00:01.000001+00:00",
        "2026-01-11 08:00:01.000001Z",
        "2026-02-30T08:00:01.000001Z",
        "2026-01-11T24:00:01.000001Z",
        "2026-01-11T08:00:60.000001Z",
        "0000-01-11T08:00:01.000001Z",
        "2026-01-11T08:00:01.000001Z\n",
    ],
    "actor": [None, "key-1"],
    "batch": [[4], [4, 5, 6], [5, 6], [1, 3], [], [0, 5]],
    "schema": [0, None],
    "payload_digest": ["ab", "AB" * 32, None],
    "redacts": [{"record": CLAIM, "first": 1, "last": 1}],
    "basis": ["safety"],
}


@pytest.mark.parametrize(
    "changes", [{key: value} for key, values in BAD_VALUES.items() for value in values], ids=naive_json
)
def test_an_entry_outside_the_format_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        event.decode(edited(**changes))


CARRIES = "a redaction, and only it, carries redacts and basis"
RULES: list[tuple[dict[str, Any], str]] = [
    ({"type": "opened"}, "position 1, and only it, is opened"),
    ({"position": 1}, "position 1, and only it, is opened"),
    ({"type": "opened", "position": 1}, "only the ledger is opened"),
    ({"type": "redacted"}, "a redaction is redacted and nothing else is"),
    ({"kind": "redaction"}, "a redaction is redacted and nothing else is"),
    ({"revision": 2}, "a record's first event, and only it, begins it"),
    ({"type": "revised"}, "a record's first event, and only it, begins it"),
    ({"type": "linked", "kind": "entity", "revision": 2}, "only claims are linked"),
    ({"type": "unlinked", "kind": "entity", "revision": 2}, "only claims are linked"),
    ({"actor": None}, "only the ledger's own events have no actor"),
    ({"redacts": {"record": CLAIM, "first": 1, "last": 1}}, CARRIES),
    ({"basis": "safety"}, CARRIES),
    ({"type": "redacted", "kind": "redaction", "basis": "safety"}, CARRIES),
    (
        {"type": "redacted", "kind": "redaction", "basis": "safety", "redacts": {"record": CLAIM, "first": 2, "last": 1}},
        "redacts must run forward",
    ),
    ({"batch": [5, 6]}, "a batch must hold the event's own position"),
    ({"batch": [1, 3]}, "a batch must hold the event's own position"),
    ({"recorded_at": "2026-01-11T08:00:01Z"}, "recorded_at must be YYYY-MM-DDTHH:MM:SS.ffffffZ"),
    ({"extra": None}, "the entry is not in its canonical form"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "rule"), RULES, ids=naive_json)
def test_what_a_rule_of_the_format_refuses_is_said_in_its_words(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=f"^{rule}$"):
        event.decode(edited(**changes))


@pytest.mark.parametrize("batch", [[4, 4], [1, 4], [4, 5], [3, 5]])
def test_a_batch_may_begin_or_end_with_the_event(batch: list[int]) -> None:
    assert event.decode(edited(batch=batch)).batch == tuple(batch)


@pytest.mark.parametrize(
    "changes",
    [
        {"redacts": None},
        {"basis": None},
        {"basis": "because"},
        {"redacts": {"record": CLAIM, "first": 2, "last": 1}},
        {"redacts": {"record": CLAIM, "first": 0, "last": 1}},
        {"redacts": {"record": CLAIM, "first": 1, "last": 1, "why": "x"}},
        {"redacts": {"record": CLAIM, "first": 1}},
        {"redacts": {"record": "le-monde-parler-users", "first": 1, "last": 1}},
        {"type": "recorded"},
        {"kind": "claim"},
    ],
    ids=naive_json,
)
def test_a_redaction_outside_the_format_is_refused(changes: dict[str, Any]) -> None:
    fields = json.loads(LOG["events"][5]["entry"]) | changes
    with pytest.raises(ValueError, match=r".+"):
        event.decode(naive_json(fields).encode())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw + b"\n",
        lambda raw: b" " + raw,
        lambda raw: raw.replace(b",", b", "),
        lambda raw: raw.replace(b'"v":1', b'"v":1,"v":1'),
        lambda raw: raw.replace(b'"kind"', b'"\\u006bind"'),
        lambda raw: raw.replace(b"recorded", b"rec\\u006frded"),
        lambda raw: json.dumps(dict(reversed(json.loads(raw).items())), separators=(",", ":")).encode(),
        lambda raw: raw[:-1],
        lambda _: b"",
        lambda _: b"null",
        lambda _: b"[" * 60_000,
        lambda _: b'{"a":' + b"[" * 60_000,
        lambda raw: raw.replace(b"claim", b"cl\xffaim"),
    ],
)
def test_other_bytes_for_the_same_entry_are_refused(spoil: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        event.decode(spoil(LOG["events"][3]["entry"].encode()))


def test_an_entry_stays_below_65535_bytes() -> None:
    with pytest.raises(ValueError, match="65535"):
        event.decode(edited(extra="x" * 65_535))


def test_a_malformed_entry_is_never_written() -> None:
    with pytest.raises(ValueError, match=r".+"):
        event.encode(an_entry(record="le-monde-parler-users"))
    with pytest.raises(ValueError, match=r".+"):
        event.encode(an_entry(position=0))


def test_only_the_ledger_s_own_events_have_no_actor() -> None:
    rotation = an_entry(type="revised", kind="ledger", revision=2, actor=None)
    assert event.decode(event.encode(rotation)) == rotation


@given(st.integers(2, 2**53 - 1), st.integers(2, 2**53 - 1), st.uuids(version=4), st.uuids(version=4))
def test_an_entry_survives_its_bytes(position: int, revision: int, record: Any, actor: Any) -> None:
    identity = {"position": position, "revision": revision, "record": str(record), "actor": str(actor)}
    entry = an_entry(type="retracted", batch=(position, position), **identity)
    raw = event.encode(entry)
    assert event.decode(raw) == entry
    assert raw.decode() == naive_json(msgspec.to_builtins(entry))


# Times


def test_times_are_written_to_the_microsecond_in_utc() -> None:
    assert event.stamp(0) == "1970-01-01T00:00:00.000000Z"
    assert event.stamp(1_610_352_000_000_001) == "2021-01-11T08:00:00.000001Z"
    assert event.stamp(-1) == "1969-12-31T23:59:59.999999Z"
    assert event.unstamp("2021-01-11T08:00:00.000001Z") == 1_610_352_000_000_001


@given(st.datetimes(), st.datetimes())
def test_times_survive_their_text_and_sort_as_it_does(one: datetime, other: datetime) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first, second = ((moment.replace(tzinfo=UTC) - epoch) // timedelta(microseconds=1) for moment in (one, other))
    assert event.unstamp(event.stamp(first)) == first
    assert (event.stamp(first) < event.stamp(second)) is (first < second)


@pytest.mark.parametrize("us", [-62_135_596_800_000_001, 253_402_300_800_000_000, 10**30, -(10**30)])
def test_times_outside_the_years_1_to_9999_are_refused(us: int) -> None:
    with pytest.raises(ValueError, match="years 1 to 9999"):
        event.stamp(us)


# Payloads


def test_a_digest_covers_salt_and_payload() -> None:
    payload = event.payload(None, {"id": "a"})
    assert payload == b'{"reason":null,"state":{"id":"a"}}'
    assert event.payload_digest(b"\x00" * 32, payload) == hashlib.sha256(b"\x00" * 32 + payload).hexdigest()
    assert event.payload_digest(b"\x01" * 32, payload) != event.payload_digest(b"\x00" * 32, payload)


def test_a_payload_without_a_canonical_form_is_refused_by_place() -> None:
    with pytest.raises(errors.BadText) as caught:
        event.payload("why", {"answer": {"amount": 1.5}})  # type: ignore[dict-item]
    assert caught.value.pointer == "/state/answer/amount"
    with pytest.raises(errors.BadText) as caught:
        event.payload("\ud800", {})
    assert caught.value.pointer == "/reason"


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(naive_log(), indent=2, ensure_ascii=False) + "\n", "utf-8")
