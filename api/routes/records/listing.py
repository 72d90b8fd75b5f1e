"""Lists of records: what a query selects, a page of it, and what stands beside the items.

A filter is read here by what the table of kinds says of it; what is looked up where, `lists` knows.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import msgspec
from msgspec import Struct

from api.domain.dates import edtf
from api.domain.dates.asof import AsOf
from api.domain.errors import IntervalReversed, NotApplicable
from api.domain.records.kinds import Kind
from api.domain.text import tokens
from api.ledger.reading import answers, lists
from api.ledger.reading.selection import Selection, Window
from api.ledger.reading.standpoint import Page
from api.ledger.storage.reads import Reads
from api.routes.contract.params import (
    ClaimListQuery,
    EntityListQuery,
    QuestionListQuery,
    SourceListQuery,
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
    chosen = selection(kind, asked.query, asked.as_of)
    if _is_computed(chosen) and chosen.agreement is None:
        raise NotApplicable(
            "published_by and valid_at need agreement here",
            parameter="published_by" if chosen.published_by else "valid_at",
        )
    pace = LONG if chosen.is_slow or asked.query.facets is not None else BRIEF
    if _is_computed(chosen):
        pace = COMPUTES
    page, more = await asked.read_at(pace, _list, asked.query, chosen)
    return send_page(asked, page, more, is_whole=asked.query.fields is None)


def _is_computed(chosen: Selection) -> bool:
    """Whether no table knows what is asked for: agreement on questions at other clocks than the ledger's."""
    return chosen.kind == "question" and bool(chosen.published_by or chosen.valid_at)


def _list(access: Reads, query: AnyListQuery, chosen: Selection) -> tuple[Page, dict[str, object]]:
    """Read a page and shape it, where the reading is done: the fields asked for, and what stands beside the items."""
    find = answers.questions_agreeing if _is_computed(chosen) else lists.select
    page, _ = find(access, chosen)
    more: dict[str, object] = {}
    if isinstance(query, ClaimListQuery) and query.include is not None:
        page, grounds = lists.with_grounds(access, page, ("source",))
        more["sources"] = documents_by_id(grounds["source"])
    if query.facets is not None:
        more["facets"] = _facets(access, tuple(dict.fromkeys(query.facets.split(","))), chosen, page)
    if query.fields is not None:
        page = _only(page, query.fields.split(","))
    return page, more


def _facets(access: Reads, names: tuple[str, ...], chosen: Selection, page: Page) -> lists.Facets:
    if not _is_computed(chosen):
        return lists.facets(access, chosen, page.at, names)
    # No table knows agreement at these clocks: the questions are found first, and counted then.
    every = replace(chosen, asked=AsOf(position=page.at.position), cursor=None)
    return lists.facets_of(access, "question", answers.ids_agreeing(access, every), page.at, names)


def _only(page: Page, names: list[str]) -> Page:
    wanted = dict.fromkeys(["id", *names])
    items = []
    for document in page.items:
        shown = msgspec.json.decode(document)
        items.append(msgspec.json.encode({name: shown[name] for name in wanted if name in shown}))
    return replace(page, items=items)


def selection(kind: Kind, query: AnyListQuery | TimelineQuery, asked: AsOf) -> Selection:
    """Read a query as a selection. Raises NotApplicable or IntervalReversed, naming the parameter."""
    given = texts_of(query)
    filters = [(each, each.spell(given[each.name])) for each in kind.filters if each.name in given]
    chosen = Selection(
        kind=kind.name,
        asked=asked,
        terms=[(each.name, value) for each, value in filters if each.of is None],
        parent_terms=[(each.of, each.name, value) for each, value in filters if each.of is not None],
        ids=() if isinstance(query, TimelineQuery) else query.id,
        words=_words(query.q),
        is_live=given["live"] == "true" if "live" in given else None,
        agreement=given.get("agreement"),
        published=_windows(given, "published"),
        valid=_windows(given, "valid"),
        order=given.get("order", "recorded"),
        limit=query.limit,
        cursor=query.cursor,
    )
    return at_clocks(chosen, given)


def texts_of(query: Struct) -> Given:
    """Give the parameters of a query that are texts, by name."""
    return {name: value for name, value in msgspec.structs.asdict(query).items() if isinstance(value, str)}


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


def _words(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    words = tuple(dict.fromkeys(tokens(text)))
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
