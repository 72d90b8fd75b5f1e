"""What the ledger came to believe between two moments: where each record ended up, and each turn of agreement."""

import msgspec

from api.domain.dates.asof import NOW, read_as_of
from api.domain.errors import IntervalReversed
from api.ledger.reading import changes
from api.routes.contract.contract import Contract
from api.routes.contract.params import LedgerDiffQuery
from api.routes.edge.asked import LONG, Asked
from api.routes.edge.operation import reads
from api.routes.edge.paging import send_shown
from api.routes.edge.reply import Reply

_DIFF = Contract(
    id="diffLedger",
    tag="events",
    summary="See what the ledger came to believe between two moments",
    description="`from` is exclusive, `to` inclusive; both are positions or times. Each record stands once, at its last event between them.",
    query=LedgerDiffQuery,
    headers=("If-None-Match",),
    returns="LedgerDiff",
    answer_headers=("ETag", "Ledger-Position", "Link"),
    absent=True,
    conflicts=True,
)


@reads("/v1/diff", _DIFF)
async def diff_ledger(asked: Asked[LedgerDiffQuery]) -> Reply:
    query = asked.query
    old, new = read_as_of(query.old), read_as_of(query.new) if query.new is not None else NOW
    found = await asked.read_at(LONG, changes.between, old=old, new=new, cursor=query.cursor, limit=query.limit)
    if found.old.position > found.new.position:
        raise IntervalReversed(parameter="to")
    following = None
    if found.last is not None:
        pinned = f"from={found.old.position}&to={found.new.position}&limit={query.limit}&cursor={found.last}"
        following = f"/v1/diff?{pinned}"
    # Both ends say where the ledger stood, as `position` does.
    ends = {"from": found.old.position, "to": found.new.position}
    shown = msgspec.json.encode({"items": found.records, "agreement": found.agreement})
    return send_shown(asked, shown, found.new, following, ends)


HANDLERS = (diff_ledger,)
