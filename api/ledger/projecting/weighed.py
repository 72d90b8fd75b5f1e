"""Claims as agreement weighs them: no more of them than it looks at. What many of them say alike is read once."""

from typing import NamedTuple

import msgspec

from api.domain.agreement import agreement
from api.domain.dates.edtf import Extent
from api.domain.records.answer import Answer, from_state
from api.domain.records.claim import valid_extent
from api.domain.records.record import ASSERTED, State
from api.domain.text import canonical

# The fields of a claim that agreement depends on, and of these the ones that make what it says.
WEIGHED = frozenset({"source", "question", "answer", "valid", "speaker", "via", "stance", "status", "links"})
_SAID = ("answer", "source", "speaker", "stance", "valid", "via")
_REMEMBERED = 5_000


class WeighedClaim(msgspec.Struct, frozen=True, gc=False):
    """A claim as agreement weighs it, a fraction of its record.

    `says` is the same for claims that give one answer, from one source, in one stance and voice.
    """

    claim: agreement.Claim
    is_asserted: bool
    says: bytes


class _State(msgspec.Struct, frozen=True, gc=False):
    """A claim's state as it is stored. Canonical JSON is canonical in its parts too."""

    id: str
    question: str
    status: str
    links: tuple[agreement.Link, ...]
    answer: msgspec.Raw
    source: msgspec.Raw
    speaker: msgspec.Raw
    stance: msgspec.Raw
    valid: msgspec.Raw
    via: msgspec.Raw


class _Payload(msgspec.Struct, frozen=True, gc=False):
    state: _State


_PAYLOAD = msgspec.json.Decoder(_Payload)


class _Said(NamedTuple):
    """What claims that say the same have in common."""

    says: bytes
    answer: Answer
    source: str
    speaker: str | None
    stance: str
    valid: Extent | None
    via: tuple[str, ...]


def weighed_payload(first_position: int, payload: bytes) -> WeighedClaim:
    """Read a claim's payload."""
    kept = _PAYLOAD.decode(payload).state
    says = b"[%b,%b,%b,%b,%b,%b]" % (kept.answer, kept.source, kept.speaker, kept.stance, kept.valid, kept.via)
    said = _SAYINGS.get(says) or _read(says, dict(zip(_SAID, msgspec.json.decode(says), strict=True)))
    return _weighed(first_position, kept.id, kept.question, kept.status, kept.links, said)


def weighed_state(first_position: int, state: State) -> WeighedClaim:
    """Read a claim's state."""
    says = canonical([state[field] for field in _SAID])
    said = _SAYINGS.get(says) or _read(says, state)
    return _weighed(first_position, state["id"], state["question"], state["status"], read_links(state), said)


def forget_sayings() -> None:
    """Forget what was read, in the whole process: something of it may be redacted."""
    _SAYINGS.clear()


def read_links(state: State) -> tuple[agreement.Link, ...]:
    """Read the links that a claim makes."""
    return tuple(agreement.Link(link["relation"], link["claim"], link["position"]) for link in state["links"])


def _weighed(
    first_position: int, public_id: str, question: str, status: str, links: tuple[agreement.Link, ...], said: _Said
) -> WeighedClaim:
    claim = agreement.Claim(
        id=public_id,
        first_position=first_position,
        source=said.source,
        question=question,
        answer=said.answer,
        valid=said.valid,
        speaker=said.speaker,
        via=said.via,
        stance=said.stance,
        links=links,
    )
    return WeighedClaim(claim, status == ASSERTED, said.says)


# What was read last: the same bytes are the same thing to say.
_SAYINGS: dict[bytes, _Said] = {}


def _read(says: bytes, said: State) -> _Said:
    """Read what a claim says, and remember it; of too much that is remembered all is forgotten."""
    if len(_SAYINGS) >= _REMEMBERED:
        _SAYINGS.clear()
    read = _SAYINGS[says] = _Said(
        says=says,
        answer=from_state(said["answer"]),
        source=said["source"],
        speaker=said["speaker"],
        stance=said["stance"],
        valid=valid_extent(said),
        via=tuple(said["via"]),
    )
    return read
