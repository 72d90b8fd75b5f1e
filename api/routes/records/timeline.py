"""The timeline: live claims in the order of when their answers hold, with the questions that they answer."""

from dataclasses import replace

from api.domain.records.kinds import CLAIM
from api.ledger.reading import lists
from api.ledger.reading.beside import Beside, Documents, with_beside
from api.ledger.reading.selection import Selection
from api.ledger.reading.standpoint import Page
from api.ledger.storage.reads import Reads
from api.routes.contract.contract import Contract
from api.routes.contract.params import TimelineQuery
from api.routes.edge.asked import LONG, Asked
from api.routes.edge.operation import reads
from api.routes.edge.paging import send_page
from api.routes.edge.reply import Reply
from api.routes.records.listing import maps_of, selection, wanted_beside

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
    page, found = await asked.read_at(LONG, _timeline, chosen, wanted_beside(asked.query, "question"))
    return send_page(asked, page, maps_of(found))


def _timeline(access: Reads, chosen: Selection, beside: Beside) -> tuple[Page, dict[str, Documents]]:
    return with_beside(access, lists.timeline(access, chosen), CLAIM.name, beside)


HANDLERS = (get_timeline,)
