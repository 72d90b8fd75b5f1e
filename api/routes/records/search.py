"""Search: entities, sources, questions and claims together, found by any of some words."""

from api.ledger.reading.searching.search import COMMON, Search, search
from api.routes.contract.contract import Contract
from api.routes.contract.params import SearchQuery
from api.routes.edge.asked import LONG, Asked
from api.routes.edge.operation import reads
from api.routes.edge.paging import send_page
from api.routes.edge.reply import Reply
from api.routes.records.listing import words_in

_SEARCH = Contract(
    id="search",
    tag="questions",
    summary="Find records by any of some words",
    description=(
        "Most words first, then most claims, then id. A question is also found by its live claims and its entities' names. "
        f"Words in more than {COMMON:,} records give way to rarer."
    ),
    query=SearchQuery,
    headers=("If-None-Match",),
    returns="SearchPage",
    answer_headers=("ETag", "Ledger-Position", "Link"),
    absent=True,
    conflicts=True,
)


@reads("/v1/search", _SEARCH)
async def search_records(asked: Asked[SearchQuery]) -> Reply:
    query = asked.query
    wanted = Search(
        words=words_in(query.q), asked=asked.as_of, kinds=query.kind, limit=query.limit, cursor=query.cursor
    )
    return send_page(asked, await asked.read_at(LONG, search, wanted))


HANDLERS = (search_records,)
