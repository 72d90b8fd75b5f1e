"""An agreement in outline: how many there are of everything, and the first hundred of each, however many claims add up to it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from api.domain.agreement.agreement import Agreement, Claim, Group, Origin, shared_json

MOST_SHOWN: Final = 100
# Long ids, a hundred times a hundred, would fill more than a page: then fewer are shown. In bytes.
_GROUPS, _ORIGINS, _SUPERSEDED = 512 << 10, 256 << 10, 128 << 10


def outline(agreement: Agreement) -> dict[str, object]:
    """Give an agreement as plain JSON: of a small one everything, of a large one the beginning, and all counts."""
    groups = (outline_of_group(group, group.claims[:MOST_SHOWN]) for group in agreement.groups[:MOST_SHOWN])
    superseded = ({"claim": each.claim, "by": each.by[:MOST_SHOWN]} for each in agreement.superseded[:MOST_SHOWN])
    return {
        "state": agreement.state,
        "groups": _within(groups, _GROUPS),
        "group_count": len(agreement.groups),
        "groups_complete": agreement.groups_complete,
        "origins": _within(map(_origin, agreement.origins[:MOST_SHOWN]), _ORIGINS),
        "origin_count": len(agreement.origins),
        "not_counting": agreement.not_counting[:MOST_SHOWN],
        "not_counting_count": len(agreement.not_counting),
        "superseded": _within(superseded, _SUPERSEDED),
        "superseded_count": len(agreement.superseded),
        "conflicts": agreement.conflicts[:MOST_SHOWN],
        "conflict_count": agreement.conflict_count,
        "rules": agreement.rules,
    }


def summary(agreement: Agreement, claims: Sequence[Claim]) -> dict[str, object]:
    """Give an agreement in counts alone, under the names that they have in its outline, and those of its claims and sources."""
    return {
        "state": agreement.state,
        "claim_count": len(claims),
        "source_count": len({claim.source for claim in claims}),
        "origin_count": len(agreement.origins),
        "group_count": len(agreement.groups),
        "groups_complete": agreement.groups_complete,
        "conflict_count": agreement.conflict_count,
        "rules": agreement.rules,
    }


def outline_of_group(group: Group, claims: Sequence[str]) -> dict[str, object]:
    """Give a group as plain JSON: some of its claims, divided by origin, and of the rest the first hundred."""
    sources, origins, shared = group.sources, group.origins, group.shared
    common = shared_json(shared[:MOST_SHOWN] if isinstance(shared, tuple) else shared)
    return {
        "claims": list(claims),
        "claim_count": len(group.claims),
        "core": list(group.core[:MOST_SHOWN]),
        "core_count": len(group.core),
        "is_bridge": group.is_bridge,
        "sources": sources[:MOST_SHOWN],
        "source_count": len(sources),
        "origins": _divided(origins, set(claims)),
        "origin_count": len(origins),
        "beside": list(group.beside[:MOST_SHOWN]),
        "beside_count": len(group.beside),
        "shared": {**(common or {}), "member_count": len(shared)} if isinstance(shared, tuple) else common,
        "is_denied": group.is_denied,
    }


def _divided(origins: Iterable[Sequence[str]], claims: Collection[str]) -> list[list[str]]:
    parts = ([claim for claim in origin if claim in claims] for origin in origins)
    return [part for part in parts if part]


def _origin(origin: Origin) -> dict[str, object]:
    return {
        "claims": origin.claims[:MOST_SHOWN],
        "claim_count": len(origin.claims),
        "speakers": origin.speakers[:MOST_SHOWN],
        "speaker_count": len(origin.speakers),
        "sources": origin.sources[:MOST_SHOWN],
        "source_count": len(origin.sources),
    }


def _within(items: Iterable[Mapping[str, object]], most: int) -> list[msgspec.Raw]:
    """Render the first items, as many as take no more than `most` bytes."""
    size, taken = 0, list[msgspec.Raw]()
    for item in items:
        rendered = msgspec.json.encode(item)
        size += len(rendered)
        if size > most:
            break
        taken.append(msgspec.Raw(rendered))
    return taken
