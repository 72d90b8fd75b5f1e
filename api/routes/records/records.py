"""What all four kinds of record answer alike: read, list, history, revisions, difference, TimeMap, record, revise."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from api.domain.dates import edtf
from api.domain.dates.asof import AsOf, Standpoint
from api.domain.errors import IntervalReversed, NotApplicable
from api.domain.log.event import stamp
from api.domain.records.command import Command, Expect
from api.domain.records.operation import action_command, record_command
from api.domain.text import tokens
from api.ledger.reading import answers, lists, views
from api.ledger.reading.lists import Documents, Selection, Window
from api.ledger.reading.views import Page, View
from api.ledger.storage.reads import Reads
from api.ledger.writing.ledger import Note, Outcome, Unit
from api.routes.contract.params import (
    AnswersQuery,
    ClaimFilters,
    ClaimListQuery,
    ClaimRecordQuery,
    ConflictsQuery,
    EntityListQuery,
    HistoryQuery,
    NoQuery,
    QuestionListQuery,
    RecordQuery,
    RevisionDiffQuery,
    SourceListQuery,
    Strict,
    TimelineQuery,
)
from api.routes.edge.asked import BRIEF, COMPUTES, LONG, MAY_COMPUTE, Asked, Posted
from api.routes.edge.bodies import JSON
from api.routes.edge.negotiation import expected_positions, quality
from api.routes.edge.reply import Headers, Reply, http_date

PATHS = {"entity": "/v1/entities", "source": "/v1/sources", "question": "/v1/questions", "claim": "/v1/claims"}
Moment = TypeVar("Moment")
Moments = list[tuple[int, int]]
LINK_FORMAT = "application/link-format"
PATCH = "application/json-patch+json"
AnyListQuery = EntityListQuery | SourceListQuery | QuestionListQuery | ClaimListQuery
_SECOND = 1_000_000


async def read(asked: Asked[RecordQuery | ClaimRecordQuery], kind: str) -> Reply:
    """Reply with a record, now or at `as_of`; or send a Memento client on to the revision of its time."""
    if asked.query.as_of is not None:
        return await _read_as_of(asked, kind)
    wanted = asked.headers.get("accept-datetime")
    if wanted is not None:
        return await _negotiate(asked, kind, wanted)
    view = await asked.read(views.current, kind, asked.id)
    return await _shown(asked, kind, view, memento=False)


async def _read_as_of(asked: Asked[RecordQuery | ClaimRecordQuery], kind: str) -> Reply:
    view = await asked.read(views.as_of, kind, asked.id, asked.as_of)
    return await _shown(asked, kind, view, memento=True)


async def _shown(asked: Asked[RecordQuery | ClaimRecordQuery], kind: str, view: View, *, memento: bool) -> Reply:
    url = f"{PATHS[kind]}/{asked.id}"
    headers = [_links(asked.in_full(url))]
    if memento:
        headers += _memento(url, view)
    if not isinstance(asked.query, ClaimRecordQuery) or asked.query.include is None:
        return asked.reply(view.document, at=view.at, etag=f'"{view.position}"', headers=headers)
    # The sources may have been redacted since, so the tag needs to know.
    at = replace(view.at, redaction=(await asked.read(views.stand)).redaction)
    alone = Page([view.document], [""], False, at)
    _, grounds = await asked.read(lists.with_grounds, alone, ("source",))
    body = msgspec.json.decode(view.document) | {"sources": raw(grounds["source"])}
    return asked.reply(msgspec.json.encode(body), at=at, etag=weak_tag(at), headers=headers)


async def _negotiate(asked: Asked[RecordQuery | ClaimRecordQuery], kind: str, wanted: str) -> Reply:
    """Redirect to the revision in force at the last microsecond of that second (RFC 7089 section 4.1.2)."""
    # email.utils would take the year 0068 for 2068.
    asked_for = datetime.strptime(wanted[5:], "%d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    moment = edtf.to_us(asked_for) + _SECOND - 1
    revision, beside, at = await asked.read(views.revision_at, kind, asked.id, moment)
    url = f"{PATHS[kind]}/{asked.id}"
    links = _links(asked.in_full(url), *_mementos(asked.in_full(url), revision, beside))
    headers = [(b"location", f"{url}/revisions/{revision}".encode()), links]
    return asked.reply(b"", at=at, headers=headers, status=302, media_type="text/plain")


def _mementos(url: str, chosen: int, beside: list[tuple[int, int]]) -> list[str]:
    """Link the memento chosen and those around it (RFC 7089 section 2.2.4)."""
    numbers = [number for number, _ in beside]
    place = numbers.index(chosen)
    places = {"first": 0, "prev": place - 1, "next": place + 1, "last": len(beside) - 1}
    linked = []
    for here, (number, moment) in enumerate(beside):
        relations = " ".join([*(name for name, there in places.items() if there == here), "memento"])
        linked.append(f'<{url}/revisions/{number}>; rel="{relations}"; datetime="{http_date(moment)}"')
    return linked


def _links(url: str, *more: str) -> tuple[bytes, bytes]:
    linked = (
        f'<{url}>; rel="original timegate", <{url}/timemap>; rel="timemap"; type="{LINK_FORMAT}",'
        f' <{url}/revisions>; rel="version-history"'
    )
    return b"link", ", ".join((linked, *more)).encode()


def _memento(url: str, view: View) -> Headers:
    return [
        (b"memento-datetime", http_date(view.revised_at).encode()),
        (b"content-location", f"{url}/revisions/{view.revision}".encode()),
    ]


async def revision(asked: Asked[NoQuery], kind: str) -> Reply:
    """Reply with one past version."""
    view = await asked.read(views.numbered, kind, asked.id, asked.n)
    url = f"{PATHS[kind]}/{asked.id}"
    headers = [_links(asked.in_full(url)), (b"memento-datetime", http_date(view.revised_at).encode())]
    return asked.reply(view.document, at=view.at, etag=f'"{view.position}"', headers=headers)


async def history(asked: Asked[HistoryQuery], kind: str) -> Reply:
    """Reply with the lines of a record's history."""
    cursor = asked.query.cursor
    page = await asked.read(
        views.history, kind, asked.id,
        asked=asked.as_of, cursor=int(cursor) if cursor is not None else None, limit=asked.query.limit,
    )  # fmt: skip
    return await send_page(asked, page)


async def timemap(asked: Asked[NoQuery], kind: str) -> Reply:
    """Reply with every revision and its time, as link-format (RFC 7089 section 5) or JSON; never paged."""
    url = f"{PATHS[kind]}/{asked.id}"
    accept = asked.accept
    is_link_format = quality(accept, LINK_FORMAT) >= quality(accept, JSON)
    write = partial(_link_format, asked.in_full(url)) if is_link_format else partial(_json_map, url)
    body, at = await asked.read(_timemap, kind, asked.id, write)
    # The two forms are not the same to who holds one (RFC 9110 section 8.8.3).
    etag = weak_tag(at) if is_link_format else f'{weak_tag(at)[:-1]}.json"'
    return asked.reply(body, at=at, etag=etag, media_type=LINK_FORMAT if is_link_format else JSON)


def _timemap(access: Reads, kind: str, public_id: str, write: Callable[[Moments], bytes]) -> tuple[bytes, Standpoint]:
    known, at = views.moments(access, kind, public_id)
    return write(known), at


def _json_map(url: str, known: Moments) -> bytes:
    mementos = [
        {"revision": number, "datetime": stamp(moment), "uri": f"{url}/revisions/{number}"} for number, moment in known
    ]
    body = {"original": url, "timegate": url, "timemap": f"{url}/timemap", "mementos": mementos}
    return msgspec.json.encode(body)


def _link_format(url: str, known: Moments) -> bytes:
    first, last = http_date(known[0][1]), http_date(known[-1][1])
    lines = [
        f'<{url}>;rel="original timegate"',
        f'<{url}/timemap>;rel="self";type="{LINK_FORMAT}";from="{first}";until="{last}"',
    ]
    for number, moment in known:
        ends = ("first " if number == known[0][0] else "") + ("last " if number == known[-1][0] else "")
        lines.append(f'<{url}/revisions/{number}>;rel="{ends}memento";datetime="{http_date(moment)}"')
    return (",\n".join(lines) + "\n").encode()


async def diff(asked: Asked[RevisionDiffQuery], kind: str) -> Reply:
    """Reply with the patch from one revision to another."""
    old, new = asked.query.old, asked.query.new
    patch, at = await asked.read_at(COMPUTES, views.difference, kind, asked.id, old=old, new=new)
    accept = asked.accept
    media_type = PATCH if quality(accept, PATCH) >= quality(accept, JSON) else JSON
    return asked.reply(patch, at=at, etag=weak_tag(at), media_type=media_type)


async def list_records(asked: Asked[AnyListQuery], kind: str) -> Reply:
    """Reply with a page of a list."""
    chosen = selection(asked.query, asked.as_of, kind)
    if _is_of_questions_at_a_clock(chosen) and chosen.agreement is None:
        raise NotApplicable(
            "published_by and valid_at need agreement here",
            parameter="published_by" if chosen.published_by else "valid_at",
        )
    pace = LONG if chosen.is_slow or asked.query.facets is not None else BRIEF
    if _is_of_questions_at_a_clock(chosen):
        pace = COMPUTES
    page, more = await asked.read_at(pace, _list, asked.query, chosen)
    return await send_page(asked, page, more)


def _is_of_questions_at_a_clock(chosen: Selection) -> bool:
    return chosen.kind == "question" and bool(chosen.published_by or chosen.valid_at)


def _list(access: Reads, query: AnyListQuery, chosen: Selection) -> tuple[Page, dict[str, object]]:
    """Read a page and shape it, where the reading is done: the fields asked for, and what stands beside the items."""
    find = answers.questions_agreeing if _is_of_questions_at_a_clock(chosen) else lists.select
    page, _ = find(access, chosen)
    more: dict[str, object] = {}
    if isinstance(query, ClaimListQuery) and query.include:
        page, grounds = lists.with_grounds(access, page, ("source",))
        more["sources"] = raw(grounds["source"])
    if query.facets is not None:
        more["facets"] = _facets(access, query, chosen, page)
    if query.fields is not None:
        page = _only(page, query.fields.split(","))
    return page, more


def _facets(access: Reads, query: AnyListQuery, chosen: Selection, page: Page) -> lists.Facets:
    names = tuple(dict.fromkeys((query.facets or "").split(",")))
    if not _is_of_questions_at_a_clock(chosen):
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


_PLAIN = {
    "entity": ("status", "type", "part_of"),
    "source": ("status", "type", "publisher", "language", "part_of", "derives_from"),
    "question": ("status", "about", "answer_type", "unit", "varies"),
    "claim": ("status", "source", "question", "speaker", "via", "stance", "answer_type", "entity", "relation"),
}


def selection(query: AnyListQuery | TimelineQuery, as_of: AsOf, kind: str) -> Selection:
    """Read a list's query as a selection."""
    terms = [(name, getattr(query, name)) for name in _PLAIN[kind] if getattr(query, name, None) is not None]
    if isinstance(query, ClaimFilters) and query.linked_to is not None:
        terms.append(("link", query.linked_to))
    live = getattr(query, "live", None)
    return Selection(
        kind=kind,
        asked=as_of,
        terms=terms,
        parent_terms=_parent_terms(query) if isinstance(query, ClaimFilters) else (),
        ids=getattr(query, "id", ()),
        words=_words(query.q),
        is_live=None if live is None else live == "true",
        agreement=getattr(query, "agreement", None),
        published=_windows(query, "published"),
        valid=_windows(query, "valid"),
        order=getattr(query, "order", "recorded"),
        limit=query.limit,
        cursor=query.cursor,
        **clocks(query),
    )


def clocks(query: Any) -> dict[str, Any]:
    """Read the source's clock and the world's."""
    return {
        "published_by": _moment(query, "published_by", edtf.as_deadline),
        "valid_at": _moment(query, "valid_at", edtf.as_extent),
        "is_certain": getattr(query, "mode", None) == "certain",
    }


def _moment(query: Any, name: str, read: Callable[[str], Moment]) -> Moment | None:
    """Read a date that a query may carry. Raises IntervalReversed naming the parameter."""
    text = getattr(query, name, None)
    if text is None:
        return None
    try:
        return read(text)
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


def _parent_terms(query: ClaimFilters) -> list[tuple[str, str, str]]:
    wanted = (
        ("source", "publisher", query.publisher),
        ("source", "language", query.language),
        ("question", "about", query.about),
    )
    return [(parent, name, value) for parent, name, value in wanted if value is not None]


def _windows(query: Any, name: str) -> list[Window]:
    since = _moment(query, f"{name}_from", edtf.as_extent)
    until = _moment(query, f"{name}_until", edtf.as_extent)
    found = []
    if since is not None:
        earliest = since.start.earliest
        found.append(Window(earliest=edtf.OPEN_START if earliest is None else earliest))
    if until is not None:
        latest = until.end.latest
        found.append(Window(latest=edtf.OPEN_END if latest is None else latest))
    return found


async def send_page(asked: Asked[Strict], page: Page, more: dict[str, object] | None = None) -> Reply:
    """Reply with `{items, next, position}`; `next` pins the position it was read at."""
    following = onward(asked, page.at, page.last)
    body = {
        "items": array_of(page.items),
        "next": following,
        **(more or {}),
        "position": page.at.position,
    }
    # Of what is shown in part no tag is given.
    is_whole = not isinstance(asked.query, AnyListQuery) or asked.query.fields is None
    etag = weak_tag(page.at) if is_whole else None
    return asked.reply(msgspec.json.encode(body), at=page.at, etag=etag, headers=link_to(following))


def link_to(following: str | None) -> Headers:
    """Link the next page, if there is one (RFC 8288)."""
    return [(b"link", f'<{following}>; rel="next"'.encode())] if following else []


def array_of(items: Sequence[bytes]) -> Raw:
    """Make one JSON array of what was rendered long ago."""
    return Raw(b"[%s]" % b",".join(items))


def onward(asked: Asked[Strict], at: Standpoint, last: str | None) -> str | None:
    """Give the address of the next page, at the position that this one was read at; None where nothing follows."""
    return None if last is None else asked.with_query(as_of=at.position, cursor=last)


def weak_tag(at: Standpoint) -> str:
    """Tag an answer that many records make: it changes with the position, and with a redaction."""
    return f'W/"{at.position}.{at.redaction}"'


def raw(documents: Documents) -> dict[str, Raw]:
    return {public_id: Raw(document) for public_id, document in documents.items()}


async def record(asked: Posted[NoQuery, Struct], kind: str) -> Reply:
    """Append a new record."""
    outcome = await append(asked, [record_command(kind, asked.body)])
    return await _written(asked, kind, outcome)


async def revise(asked: Posted[NoQuery, Struct], kind: str) -> Reply:
    """Append to a record's history."""
    command = action_command(kind, asked.id, asked.body, _expectation(asked))
    outcome = await append(asked, [command])
    return await _written(asked, kind, outcome)


def _expectation(asked: Asked[Strict]) -> Expect | None:
    given = asked.headers.get("if-match")
    if given is None:
        return None
    return Expect(whichever=True) if given.strip() == "*" else Expect(positions=expected_positions(given))


async def _written(asked: Asked[Strict], kind: str, outcome: Outcome) -> Reply:
    document = outcome.document
    if document is None:
        document = (await asked.read(views.written, outcome.position)).document
    item = outcome.items[0]
    url = f"{PATHS[kind]}/{item.id}"
    location = url if item.revision == 1 else f"{url}/revisions/{item.revision}"
    at = Standpoint(outcome.position, outcome.position, is_pinned=False)
    headers = [(b"location", location.encode()), _links(asked.in_full(url))]
    return asked.reply(document, at=at, etag=f'"{outcome.position}"', headers=headers, status=201)


async def append(
    asked: Posted[Strict, object], commands: list[Command], *, is_batch: bool = False, is_dry_run: bool = False
) -> Outcome:
    """Queue a unit and wait until it is durable, or refused."""
    caller = asked.caller
    if caller is None:
        raise RuntimeError("a write came past the scope check")
    note = await asked.services.bodies.work(len(asked.raw), _note, asked, caller.actor)
    unit = Unit(commands=commands, actor=caller.actor, note=note, is_batch=is_batch, is_dry_run=is_dry_run)
    return await asked.services.ledger.appended(unit)


def _note(asked: Posted[Strict, object], actor: str) -> Note | None:
    key = asked.headers.get("idempotency-key")
    if key is None or ("If-Match" in asked.contract.headers and "if-match" not in asked.headers):
        # A revision that says not what it is based on was never accepted, so there is nothing to repeat.
        return None
    whose = f"{actor}\0{key}".encode()
    said = (asked.request.method, asked.request.url.path, asked.headers.get("if-match", ""))
    request = hashlib.sha256(whose + "\0".join(("", *said, "")).encode() + asked.raw).digest()
    return Note(key_digest=hashlib.sha256(whose).digest(), request_digest=request)


async def send_answers(asked: Asked[AnswersQuery]) -> Reply:
    """Reply with what the live claims on a question add up to, and a page of them."""
    query = asked.query
    with_sources = query.include is not None
    found = await asked.read_at(
        MAY_COMPUTE, answers.answers, asked.id, _of_question(asked), group=query.group, with_sources=with_sources
    )
    page, following = found.page, onward(asked, found.page.at, found.page.last)
    body = {**found.outline, "question": Raw(found.question), "claim_count": found.claim_count, "group": query.group}
    body |= {"claims": array_of(page.items), "next": following, "position": page.at.position}
    if found.sources is not None:
        body["sources"] = raw(found.sources)
    return asked.reply(msgspec.json.encode(body), at=page.at, etag=weak_tag(page.at), headers=link_to(following))


async def send_conflicts(asked: Asked[ConflictsQuery]) -> Reply:
    """Reply with the pairs of claims on a question that conflict."""
    return await send_page(asked, await asked.read_at(MAY_COMPUTE, answers.conflicts, asked.id, _of_question(asked)))


def _of_question(asked: Asked[AnswersQuery | ConflictsQuery]) -> Selection:
    query = asked.query
    return Selection(kind="claim", asked=asked.as_of, limit=query.limit, cursor=query.cursor, **clocks(query))


async def send_timeline(asked: Asked[TimelineQuery]) -> Reply:
    """Reply with live claims in order of when their answers hold, and their questions."""
    chosen = replace(selection(asked.query, asked.as_of, "claim"), is_live=True)
    kinds = ("question", "source") if asked.query.include is not None else ("question",)
    page, grounds = await asked.read_at(LONG, _timeline, chosen, kinds)
    return await send_page(asked, page, {f"{kind}s": raw(found) for kind, found in grounds.items()})


def _timeline(access: Reads, chosen: Selection, kinds: Sequence[str]) -> tuple[Page, dict[str, Documents]]:
    return lists.with_grounds(access, lists.timeline(access, chosen), kinds)
