"""The timeline: live claims in the order of when their answers hold, with the questions that they answer."""

from collections.abc import Sequence
from dataclasses import replace

from api.domain.records.kinds import CLAIM, KINDS
from api.ledger.reading import lists
from api.ledger.reading.lists import Documents
from api.ledger.reading.selection import Selection
from api.ledger.reading.standpoint import Page
from api.ledger.storage.reads import Reads
from api.routes.contract.contract import Contract
from api.routes.contract.params import TimelineQuery
from api.routes.edge.asked import LONG, Asked
from api.routes.edge.operation import reads
from api.routes.edge.paging import documents_by_id, send_page
from api.routes.edge.reply import Reply
from api.routes.records.listing import selection

_TIMELINE = Contract(
    id="getTimeline",
    tag="questions",
    summary="Read live claims in the order of when their answers hold",
    description="Each stands where its answer may begin to hold at the earliest. The questions that they answer come with them.",
    query=TimelineQuery,
    headers=("If-None-Match",),
    returns="TimelinePage",
    answer_headers=("ETag", "Ledger-Position", "Link"),
    absent=True,
    conflicts=True,
)


@reads("/v1/timeline", _TIMELINE)
async def get_timeline(asked: Asked[TimelineQuery]) -> Reply:
    chosen = replace(selection(CLAIM, asked.query, asked.as_of), is_live=True)
    kinds = ("question", "source") if asked.query.include is not None else ("question",)
    page, grounds = await asked.read_at(LONG, _timeline, chosen, kinds)
    return send_page(asked, page, {KINDS[kind].plural: documents_by_id(found) for kind, found in grounds.items()})


def _timeline(access: Reads, chosen: Selection, kinds: Sequence[str]) -> tuple[Page, dict[str, Documents]]:
    return lists.with_grounds(access, lists.timeline(access, chosen), kinds)


HANDLERS = (get_timeline,)
