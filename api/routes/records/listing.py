"""Lists of records: what a query selects, a page of it, and what stands beside the items.

A filter is read here by what the table of kinds says of it; what is looked up where, `lists` knows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import msgspec
from msgspec import Struct

from api.domain.dates import edtf
from api.domain.dates.asof import AsOf
from api.domain.errors import IntervalReversed, NotApplicable
from api.domain.records.kinds import KINDS, Kind, texts_in
from api.domain.words import Word, sought
from api.ledger.reading import answers, lists
from api.ledger.reading.beside import Beside, Documents, with_beside
from api.ledger.reading.selection import Selection, Window
from api.ledger.reading.standpoint import Page
from api.ledger.storage.reads import Reads
from api.routes.contract.params import (
    AnswersQuery,
    ClaimListQuery,
    EntityListQuery,
    QuestionListQuery,
    RecordQuery,
    SourceListQuery,
    StatementsQuery,
    TimelineQuery,
)
from api.routes.edge.asked import BRIEF, COMPUTES, LONG, Asked
from api.routes.edge.paging import documents_by_id, send_page
from api.routes.edge.reply import Reply

AnyListQuery = EntityListQuery | SourceListQuery | QuestionListQuery | ClaimListQuery
# Parameters as they were given, or by default are: those that are texts.
Given = Mapping[str, str]
Date = TypeVar("Date")


async def list_records(asked: Asked[AnyListQuery], kind: Kind) -> Reply:
    """Reply with a page of a list."""
    query, chosen = asked.query, selection(kind, asked.query, asked.as_of)
    wanted = {*names_in(query.include), *names_in(query.facets)}
    is_weighed = bool(chosen.agreement) or chosen.is_by_agreement or chosen.is_by_claims or "agreement" in wanted
    if _has_clocks(chosen) and not is_weighed:
        raise NotApplicable(
            "published_by and valid_at need agreement here: as a filter, in include or facets, or as the order, as claims may be",
            parameter="published_by" if chosen.published_by else "valid_at",
        )
    pace = LONG if chosen.is_slow or query.facets is not None or query.include is not None else BRIEF
    if _has_clocks(chosen) or "agreement" in names_in(query.include):
        pace = COMPUTES
    page, more = await asked.read_at(pace, _list, query, chosen)
    return send_page(asked, page, more, is_whole=query.fields is None)


def _has_clocks(chosen: Selection) -> bool:
    """Whether agreement on questions is asked for at other clocks than the ledger's: no table knows that."""
    return chosen.kind == "question" and bool(chosen.published_by or chosen.valid_at)


def _list(access: Reads, query: AnyListQuery, chosen: Selection) -> tuple[Page, dict[str, object]]:
    """Read a page and shape it, where the reading is done: the fields asked for, and what stands beside the items."""
    page, ids = _find(access, chosen)
    page, found = with_beside(access, page, chosen.kind, wanted_beside(query))
    more = maps_of(found)
    if "agreement" in names_in(query.include):
        more["agreement"] = answers.summaries(access, page, ids, chosen)
    if query.facets is not None:
        more["facets"] = _facets(access, names_in(query.facets), chosen, page)
    if query.fields is not None:
        page = replace(page, items=[only(document, query.fields) for document in page.items])
    return page, more


def _find(access: Reads, chosen: Selection) -> tuple[Page, list[str]]:
    if not _has_clocks(chosen):
        return lists.select(access, chosen)
    if chosen.agreement or chosen.is_by_agreement or chosen.is_by_claims:
        return answers.questions_agreeing(access, chosen)
    return lists.select(access, replace(chosen, published_by=None, valid_at=None))


def _facets(access: Reads, names: Sequence[str], chosen: Selection, page: Page) -> lists.Facets:
    chosen = replace(chosen, asked=AsOf(position=page.at.position))
    if not _has_clocks(chosen):
        return lists.facets(access, chosen, page.at, names)
    # No table knows agreement at these clocks: the questions are found first, and counted then.
    states = answers.states_agreeing(access, chosen)
    others = [name for name in names if name != "agreement"]
    counted = lists.facets_of(access, "question", list(states), page.at, others)
    counted["agreement"] = lists.facet_of(states.values())
    return {name: counted[name] for name in names}


def names_in(text: str | None) -> tuple[str, ...]:
    """Take apart names that commas separate, each once."""
    return () if text is None else tuple(dict.fromkeys(text.split(",")))


def wanted_beside(
    query: AnyListQuery | RecordQuery | TimelineQuery | AnswersQuery | StatementsQuery, *always: str
) -> Beside:
    """Read what is wanted beside the items, and always is."""
    names = names_in(query.include)
    return Beside((*always, *(name for name in names if name == "source")), "entities" in names)


def maps_of(found: Mapping[str, Documents]) -> dict[str, object]:
    """Make of what stands beside the items a map for each kind, by its name."""
    return {KINDS[kind].plural: documents_by_id(those) for kind, those in found.items()}


def only(document: bytes, fields: str) -> bytes:
    """Give of a representation the fields asked for, and the id."""
    shown = msgspec.json.decode(document)
    wanted = dict.fromkeys(["id", *names_in(fields)])
    return msgspec.json.encode({name: shown[name] for name in wanted if name in shown})


def selection(kind: Kind, query: AnyListQuery | TimelineQuery, asked: AsOf) -> Selection:
    """Read a query as a selection. Raises NotApplicable or IntervalReversed, naming the parameter."""
    given, several = texts_of(query), _lists_of(query)
    filters = [(each, each.spell(value)) for each in kind.filters for value in several.get(each.name, ())]
    ids, live = several.get("id", ()), set(several.get("live", ()))
    chosen = Selection(
        kind=kind.name,
        asked=asked,
        terms=[(each.name, value) for each, value in filters if each.of is None],
        parent_terms=[(each.of, each.name, value) for each, value in filters if each.of is not None],
        ids=ids,
        words=[each for word in words_in(query.q) for each in word],
        is_live="true" in live if len(live) == 1 else None,
        agreement=tuple(dict.fromkeys(several.get("agreement", ()))),
        published=_windows(given, "published"),
        valid=_windows(given, "valid"),
        order=given.get("order", "recorded"),
        # Whoever names records wants them all.
        limit=max(query.limit, len(ids)),
        cursor=query.cursor,
    )
    return at_clocks(chosen, given)


def texts_of(query: Struct) -> Given:
    """Give the parameters of a query that are texts, by name."""
    return {name: value for name, value in msgspec.structs.asdict(query).items() if isinstance(value, str)}


def _lists_of(query: Struct) -> Mapping[str, Sequence[str]]:
    """Give the parameters of a query that may be given several times, by name: as texts, as terms are."""
    lists = {name: value for name, value in msgspec.structs.asdict(query).items() if isinstance(value, list)}
    return {name: [text for each in value for text in texts_in(each)] for name, value in lists.items()}


def at_clocks(chosen: Selection, given: Given) -> Selection:
    """Narrow a selection by the source's clock and the world's."""
    return replace(
        chosen,
        published_by=_date(given, "published_by", edtf.as_deadline),
        valid_at=_date(given, "valid_at", edtf.as_extent),
        is_certain=given.get("mode") == "certain",
    )


def _date(given: Given, name: str, read: Callable[[str], Date]) -> Date | None:
    """Read a date that a query may carry. Raises IntervalReversed naming the parameter."""
    if name not in given:
        return None
    try:
        return read(given[name])
    except IntervalReversed as refusal:
        refusal.parameter = name
        raise


def words_in(text: str | None) -> Sequence[Word]:
    """Read the words of a query. Raises NotApplicable where there is none."""
    if text is None:
        return ()
    words = sought(text)
    if not words:
        raise NotApplicable("q holds no word to look for", parameter="q")
    return words


def _windows(given: Given, name: str) -> list[Window]:
    since = _date(given, f"{name}_from", edtf.as_extent)
    until = _date(given, f"{name}_until", edtf.as_extent)
    found = []
    if since is not None:
        earliest = since.start.earliest
        found.append(Window(earliest=edtf.OPEN_START if earliest is None else earliest))
    if until is not None:
        latest = until.end.latest
        found.append(Window(latest=edtf.OPEN_END if latest is None else latest))
    return found
