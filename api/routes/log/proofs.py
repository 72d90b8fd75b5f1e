"""Proofs that an event is in the log, and that one state of the log is the beginning of another (RFC 6962)."""

import base64

import msgspec

from api.domain.dates.asof import Standpoint
from api.domain.errors import IntervalReversed, NotApplicable, NotYet
from api.domain.records.kinds import CLAIM, ENTITY, QUESTION, SOURCE, Kind
from api.domain.text import canonical
from api.ledger.reading import feed, proofs, standpoint, views
from api.ledger.signing.checkpoints import Signed
from api.routes.contract.contract import Contract
from api.routes.contract.params import ConsistencyQuery, ProofQuery
from api.routes.edge.asked import Asked
from api.routes.edge.bodies import JSON
from api.routes.edge.operation import reads
from api.routes.edge.reply import Reply

TEXT = "text/plain"


def _contract(operation_id: str, tag: str, summary: str, *, gone: bool = True) -> Contract[ProofQuery]:
    return Contract(
        id=operation_id,
        tag=tag,
        summary=summary,
        description=(
            "The path leads from the leaf's sibling up to the root of the first `size` events (RFC 6962 section 2.1.1)."
            " As text it is a c2sp.org/tlog-proof on the latest checkpoint, with salt and payload while they exist."
        ),
        query=ProofQuery,
        headers=("If-None-Match",),
        returns="InclusionProof",
        offers=(JSON, TEXT),
        answer_headers=("ETag", "Ledger-Position"),
        absent=True,
        gone=gone,
        conflicts=True,
    )


# What an event says may be gone; the event, and so its proof, never is.
_EVENT = _contract("proveEvent", "events", "Prove that an event is in the log", gone=False)


@reads("/v1/events/{position:str}/proof", _EVENT)
async def prove_event(asked: Asked[ProofQuery]) -> Reply:
    return await _prove(asked, asked.path.position or 0)


@reads(
    "/v1/entities/{id:str}/revisions/{n:str}/proof",
    _contract("proveEntityRevision", ENTITY.plural, "Prove that a revision is in the log"),
)
async def prove_entity_revision(asked: Asked[ProofQuery]) -> Reply:
    return await _prove_revision(asked, ENTITY)


@reads(
    "/v1/sources/{id:str}/revisions/{n:str}/proof",
    _contract("proveSourceRevision", SOURCE.plural, "Prove that a revision is in the log"),
)
async def prove_source_revision(asked: Asked[ProofQuery]) -> Reply:
    return await _prove_revision(asked, SOURCE)


@reads(
    "/v1/questions/{id:str}/revisions/{n:str}/proof",
    _contract("proveQuestionRevision", QUESTION.plural, "Prove that a revision is in the log"),
)
async def prove_question_revision(asked: Asked[ProofQuery]) -> Reply:
    return await _prove_revision(asked, QUESTION)


@reads(
    "/v1/claims/{id:str}/revisions/{n:str}/proof",
    _contract("proveClaimRevision", CLAIM.plural, "Prove that a revision is in the log"),
)
async def prove_claim_revision(asked: Asked[ProofQuery]) -> Reply:
    return await _prove_revision(asked, CLAIM)


async def _prove_revision(asked: Asked[ProofQuery], kind: Kind) -> Reply:
    view = await asked.read(views.numbered, kind.name, asked.id, asked.n)
    return await _prove(asked, view.position)


async def _prove(asked: Asked[ProofQuery], position: int) -> Reply:
    at = await asked.read(standpoint.locate)
    size = None if asked.query.size is None else int(asked.query.size)
    if max(position, size or 0) > at.head:
        raise NotYet(at.head)
    if size is not None and size < position:
        raise NotApplicable("a tree of this size ends before the event", parameter="size")
    if asked.media_type == TEXT:
        return await _as_text(asked, position, size)
    is_pinned = size is not None
    size, root = await _tree(asked, position, size)
    proof = await asked.read(proofs.inclusion, position, size, root)
    body = {
        "position": position,
        "size": size,
        "leaf_hash": proof.leaf_hash.hex(),
        "root_hash": proof.root.hex(),
        "path": [each.hex() for each in proof.path],
    }
    at = Standpoint(size, at.head, is_pinned=is_pinned)
    return asked.reply(msgspec.json.encode(body), at=at, etag=f'"{position}.{size}"')


async def _as_text(asked: Asked[ProofQuery], position: int, size: int | None) -> Reply:
    """Reply with a c2sp.org/tlog-proof: only the latest checkpoint is at hand, signed."""
    signed = await _latest(asked, position)
    if size not in (None, signed.size):
        raise NotApplicable("as text, a proof stands on the latest checkpoint; leave the size out", parameter="size")
    proof = await asked.read(proofs.inclusion, position, signed.size, signed.root)
    event = await asked.read(feed.event, position)
    lines = ["c2sp.org/tlog-proof@v1"]
    if event.payload is not None:
        extra = canonical({"payload": event.payload, "salt": event.salt})
        lines.append(f"extra {base64.b64encode(extra).decode()}")
    lines += [f"index {position - 1}", *(base64.b64encode(each).decode() for each in proof.path), "", signed.note]
    at = Standpoint(signed.size, signed.size, is_pinned=False)
    return asked.reply("\n".join(lines).encode(), at=at, media_type=f"{TEXT}; charset=utf-8")


async def _tree(asked: Asked[ProofQuery], position: int, size: int | None) -> tuple[int, bytes | None]:
    """Give the size asked for; or, where none was, that of the latest checkpoint, and the root that it signs."""
    if size is not None:
        return size, None
    signed = await _latest(asked, position)
    return signed.size, signed.root


async def _latest(asked: Asked[ProofQuery], position: int) -> Signed:
    """Give the latest checkpoint; a node that serves a copy may hold one that ends before the event."""
    signed = await asked.services.checkpoints.read_latest()
    if signed.size < position:
        raise NotYet(signed.size)
    return signed


_CONSISTENCY = Contract(
    id="proveConsistency",
    tag="events",
    summary="Prove that an earlier state of the log is the beginning of a later one",
    description="From a smaller tree to a larger one (RFC 6962 section 2.1.2): nothing was rewritten in between.",
    query=ConsistencyQuery,
    headers=("If-None-Match",),
    returns="ConsistencyProof",
    answer_headers=("ETag", "Ledger-Position"),
    absent=True,
    conflicts=True,
)


@reads("/v1/proofs/consistency", _CONSISTENCY)
async def prove_consistency(asked: Asked[ConsistencyQuery]) -> Reply:
    first, second = int(asked.query.old), int(asked.query.new)
    at = await asked.read(standpoint.locate)
    if max(first, second) > at.head:
        raise NotYet(at.head)
    if first > second:
        reversed_ = IntervalReversed()
        reversed_.parameter = "from"
        raise reversed_
    proof = await asked.read(proofs.consistency, first, second)
    body = {
        "from": first,
        "to": second,
        "from_root": proof.first_root.hex(),
        "to_root": proof.second_root.hex(),
        "path": [each.hex() for each in proof.path],
    }
    at = Standpoint(second, at.head, is_pinned=True)
    return asked.reply(msgspec.json.encode(body), at=at, etag=f'"{first}.{second}"')


HANDLERS = (
    prove_event,
    prove_entity_revision,
    prove_source_revision,
    prove_question_revision,
    prove_claim_revision,
    prove_consistency,
)
