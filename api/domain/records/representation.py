"""Representations: the JSON in which one revision of a record is shown, the same bytes whoever renders it."""

import msgspec
from msgspec import Raw

from api.domain.computed import RULES
from api.domain.dates import edtf
from api.domain.log.event import stamp
from api.domain.records.claim import valid_extent
from api.domain.records.kinds import KINDS
from api.domain.records.record import LEDGER, Record, State

_FIELDS = {LEDGER: ("formats", "keys", "log_origin")} | {kind.name: kind.fields for kind in KINDS.values()}
_SORTED = msgspec.json.Encoder(order="sorted")


class _Payload(msgspec.Struct):
    """As much of a payload as is shown: each field is kept as it is stored."""

    state: dict[str, Raw]


_PAYLOAD = msgspec.json.Decoder(_Payload)


def represent(record: Record, payload: bytes) -> bytes:
    """Render the JSON of one revision: its state, what is computed from that, and where it stands in the log.

    Fields stand in the order of their kind. What is within them is as the payload has it, in order of name.
    """
    said = _PAYLOAD.decode(payload).state
    shown = {
        "kind": record.kind,
        "id": said["id"],
        "revision": record.revision,
        "status": said["status"],
        **{name: said[name] for name in _FIELDS[record.kind]},
        **(_computed(record.state) if record.kind == "claim" else {}),
        "links": said["links"],
        "position": record.position,
        "revised_at": stamp(record.revised_at),
        "first_position": record.first_position,
        "recorded_at": stamp(record.recorded_at),
        "recorded_by": record.recorded_by,
    }
    return msgspec.json.encode(shown)


def _computed(claim: State) -> dict[str, Raw | int | None]:
    """Tell when a claim's answer holds. A time answer tells it, too, and keeps its place among the fields."""
    extent = valid_extent(claim)
    if extent is None:
        return {"valid_bounds": None, "rules": RULES}
    bounds = edtf.render(extent)
    computed: dict[str, Raw | int | None] = {"valid_bounds": Raw(_SORTED.encode(bounds)), "rules": RULES}
    if claim["answer"]["type"] == "time":
        computed["answer"] = Raw(_SORTED.encode({**claim["answer"], "bounds": bounds}))
    return computed
