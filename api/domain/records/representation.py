"""Representations: the JSON in which one revision of a record is shown, the same bytes whoever renders it.

The feed shows what an event says, with what is computed of it as a representation has that.
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec
from msgspec import Raw

from api.domain.computed import RULES
from api.domain.dates import edtf
from api.domain.log.event import stamp
from api.domain.records.claim import valid_extent
from api.domain.records.kinds import CLAIM, KINDS
from api.domain.records.record import LEDGER, Record
from api.domain.records.upcasting import MISSING

_FIRST_RULES: Final = 1
# For each kind the number of the form in which a revision is shown: raised with whatever makes the JSON of one that is
# recorded already another, its payload's schema included. What is computed is another under other rules anyway.
_FORMS: Final = {"entity": 1, "source": 1, "question": 2, "claim": 1}
# What a tag stands for beside the position. Tags of a first version are positions alone.
VERSIONS: Final[Mapping[str, int]] = {
    name: form + (RULES - _FIRST_RULES if KINDS[name].computed else 0) for name, form in _FORMS.items()
}
_SORTED = msgspec.json.Encoder(order="sorted")


class _Payload(msgspec.Struct):
    """As much of a payload as is shown."""

    state: msgspec.Struct


class _Said(msgspec.Struct):
    """A payload, of which each field is kept as it is stored."""

    reason: Raw
    state: dict[str, Raw]


Computed = dict[str, Raw]
_MISSING: Final[Mapping[str, Computed]] = {
    kind: {name: Raw(_SORTED.encode(value)) for name, value in fields.items()} for kind, fields in MISSING.items()
}


def represent(record: Record, payload: bytes, computed: Computed) -> bytes:
    """Render the JSON of one revision: its state, what is computed from that, and where it stands in the log.

    Fields stand in the order of their kind. What is within them is as the payload has it, in order of name.
    """
    shown = msgspec.structs.replace(
        _READERS[record.kind].decode(payload).state,
        **computed,
        revision=record.revision,
        position=record.position,
        revised_at=stamp(record.revised_at),
        first_position=record.first_position,
        recorded_at=stamp(record.recorded_at),
        recorded_by=record.recorded_by,
    )
    return msgspec.json.encode(shown)


def said(kind: str, payload: bytes, computed: Computed) -> bytes:
    """Render what an event says: its payload, with what is computed from the state among the fields of that.

    Fields that there were not yet are there as well.
    """
    missing = _MISSING.get(kind, {})
    if not payload or not (computed or missing):
        return payload
    if not missing and computed.keys() <= _ADDED[kind]:
        # The payload ends with its state (RFC 8785: names in order), which goes on.
        return b"%b,%b}" % (payload[:-2], msgspec.json.encode(computed)[1:])
    told = _SAID.decode(payload)
    if not computed and missing.keys() <= told.state.keys():
        return payload
    return msgspec.json.encode({"reason": told.reason, "state": missing | told.state | computed})


def computed_from(record: Record) -> Computed:
    """Give what is computed from a state, and under which rules: when a claim's answer holds; a time answer tells it, too."""
    if record.kind != CLAIM.name:
        return {}
    extent = valid_extent(record.state)
    if extent is None:
        return _NOT_TOLD
    bounds, answer = edtf.render(extent), record.state["answer"]
    computed = _NOT_TOLD | {"valid_bounds": Raw(_SORTED.encode(bounds))}
    if answer["type"] == "time":
        computed["answer"] = Raw(_SORTED.encode({**answer, "bounds": bounds}))
    return computed


def _reader(kind: str, fields: Sequence[str], computed: Sequence[str] = ()) -> msgspec.json.Decoder[_Payload]:
    """Make what reads a payload of one kind as a representation, in reading order; each field is kept as it is stored."""
    shown = msgspec.defstruct(
        "Shown",
        [
            ("kind", str, kind),
            ("id", Raw),
            ("revision", int, 0),
            ("status", Raw),
            *((name, Raw, _MISSING.get(kind, {}).get(name, msgspec.NODEFAULT)) for name in fields),
            *((name, object, None) for name in computed),
            ("links", Raw),
            ("position", int, 0),
            ("revised_at", str, ""),
            ("first_position", int, 0),
            ("recorded_at", str, ""),
            ("recorded_by", str | None, None),
        ],
        kw_only=True,
    )
    payload = msgspec.defstruct("Payload", [("state", shown)], bases=(_Payload,))
    return cast("msgspec.json.Decoder[_Payload]", msgspec.json.Decoder(payload))


# What is computed of a claim that does not tell when it holds.
_NOT_TOLD: Computed = {"rules": Raw(b"%d" % RULES), "valid_bounds": Raw(b"null")}
# What is computed beside a state, and stands in none.
_ADDED: Final[Mapping[str, frozenset[str]]] = {kind.name: frozenset(kind.computed) for kind in KINDS.values()}
_SAID = msgspec.json.Decoder(_Said)
_READERS = {kind.name: _reader(kind.name, kind.fields, kind.computed) for kind in KINDS.values()} | {
    LEDGER: _reader(LEDGER, ("formats", "keys", "log_origin"))
}
