"""Reading: pages under concurrent appends, words that both databases find alike, and what a long history costs."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from api.domain import errors
from api.domain.dates.asof import NOW, AsOf
from api.domain.words import Sought, tokens
from api.domain.words import sought as words_of
from api.ledger.reading import answers, changes, feed, lists, proofs, selection, standpoint, views
from api.ledger.reading.selection import Selection
from api.ledger.reading.standpoint import Page
from api.ledger.storage.access import Access
from tests.support import histories
from tests.support.builders import (
    Writing,
    a_claim,
    a_question,
    a_source,
    an_entity,
    ground,
    link,
    restore,
    retract,
    revise,
)
from tests.support.databases import is_sqlite
from tests.support.watched import effort, explain, nodes, watched
from tests.support.witnessing import until
from tests.writing import oracle

C = {"source": "paper", "question": "offline-when"}
PLAIN = Selection(kind="claim", limit=3)
ORDERS = ("recorded", "-recorded", "revised", "-revised", "published", "-published")
EITHER = [("question", "when"), ("question", "who"), ("stance", "asserts"), ("stance", "denies")]


@contextmanager
def appending(writing: Writing) -> Iterator[Callable[[], None]]:
    """Append from another thread all the while; gives a function that waits until more has come in."""
    stopped, grown = threading.Event(), threading.Semaphore(0)

    def run() -> None:
        for number in range(1, 10_000):
            if stopped.is_set():
                return
            dates = ("2021-01-10", "2020", "2021-01-11T08:00Z")
            answer = {"type": "time", "edtf": dates[number % 3]}
            more = a_claim(f"more-{number}", source="paper", question="when", answer=answer)
            changed = revise("claim", "c0", statement=f"Said {number} times.", answer=answer)
            turned = restore("claim", "c2") if number % 2 == 0 else retract("claim", "c2")
            writing.append(more, *({**each, "expect": number} for each in (changed, turned)))
            grown.release()

    thread = threading.Thread(target=run)
    thread.start()

    def wait() -> None:
        assert grown.acquire(timeout=30)

    try:
        yield wait
    finally:
        stopped.set()
        thread.join()


def _pages(read: Callable[[AsOf, str | None], Page], wait: Callable[[], None]) -> tuple[list[bytes], int]:
    """Read page after page as `next` leads, more having come in between each two."""
    page = read(NOW, None)
    position, items = page.at.position, list(page.items)
    while page.last is not None:
        wait()
        page = read(AsOf(position=position), page.last)
        assert page.at.position == position
        items += page.items
    return items, position


PAGED: dict[str, Callable[..., Page]] = {
    **{
        order: lambda access, asked, cursor, *, limit, order=order: lists.select(
            access, replace(PLAIN, order=order, asked=asked, cursor=cursor, limit=limit)
        )[0]
        for order in ORDERS
    },
    **{
        order: lambda access, asked, cursor, *, limit, order=order: lists.select(
            access, Selection(kind="question", order=order, asked=asked, cursor=cursor, limit=limit)
        )[0]
        for order in ("agreement", "-agreement")
    },
    "either": lambda access, asked, cursor, *, limit: lists.select(
        access, replace(PLAIN, terms=EITHER, asked=asked, cursor=cursor, limit=limit)
    )[0],
    "filtered": lambda access, asked, cursor, *, limit: lists.select(
        access,
        replace(PLAIN, terms=[("question", "when"), ("status", "asserted")], words=(*sought("parler"),), is_live=True,
                asked=asked, cursor=cursor, limit=limit),
    )[0],
    "timeline": lambda access, asked, cursor, *, limit: lists.timeline(
        access, replace(PLAIN, is_live=True, asked=asked, cursor=cursor, limit=limit)
    ),
    "history": lambda access, asked, cursor, *, limit: views.history(
        access, "claim", "c0", asked=asked, cursor=None if cursor is None else int(cursor), limit=limit
    ),
    "agreeing": lambda access, asked, cursor, *, limit: answers.questions_agreeing(
        access, Selection(kind="question", agreement=("open",), valid_at=histories.edtf.as_extent("2021"), asked=asked, cursor=cursor, limit=limit)
    )[0],
    "by agreement elsewhere": lambda access, asked, cursor, *, limit: answers.questions_agreeing(
        access, Selection(kind="question", order="-agreement", valid_at=histories.edtf.as_extent("2021"), asked=asked, cursor=cursor, limit=limit)
    )[0],
}  # fmt: skip


def test_a_listing_read_page_by_page_is_the_snapshot_at_its_position_whatever_comes_in(writing):
    writing.append(*histories.ground(), *(a_claim(f"early-{n}", source="agency", question="when") for n in range(9)))
    access = writing.database.access()
    read: dict[str, tuple[list[bytes], int]] = {}
    with appending(writing) as wait:
        for _ in range(4):
            wait()
        for name, ask in PAGED.items():
            read[name] = _pages(partial(ask, access, limit=2 if "agree" in name else 3), wait)
    log = oracle.events(access)
    for name, (items, position) in read.items():
        whole = PAGED[name](access, AsOf(position=position), None, limit=500)
        assert (whole.items, whole.last) == (items, None), name
        assert len(items) >= 4, name
        past = oracle.Past(log, position)
        if name in ORDERS:
            assert [msgspec.json.decode(item)["id"] for item in items] == past.select(replace(PLAIN, order=name))
        if name == "timeline":
            assert [msgspec.json.decode(item)["id"] for item in items] == past.timeline(PLAIN)
        if name == "history":
            assert [msgspec.json.decode(item) for item in items] == past.history("claim", "c0")


def test_the_difference_of_two_moments_read_page_by_page_is_the_whole_of_it(writing):
    start = writing.append(*histories.ground()).position
    access = writing.database.access()
    with appending(writing) as wait:
        for _ in range(5):
            wait()
        end = standpoint.locate(access).position
        found, turned, cursor = [], [], None
        while True:
            page = changes.between(access, old=AsOf(position=start), new=AsOf(position=end), cursor=cursor, limit=2)
            found, turned = found + page.records, turned + page.agreement
            if page.last is None:
                break
            cursor = page.last
            wait()
    log = oracle.events(access)
    old, new = oracle.Past(log, start), oracle.Past(log, end)
    assert {(each["kind"], each["id"]) for each in found} == set(oracle.changes(old, new))
    assert len(found) == len(oracle.changes(old, new))
    assert {each["question"]: (each["from"], each["to"]) for each in turned} == oracle.turns(old, new)


def test_the_feed_followed_during_appends_gives_every_event_once_in_order(writing):
    writing.append(*histories.ground())
    access, seen, after = writing.database.access(), [], 0
    with appending(writing) as wait:
        for _ in range(12):
            page = feed.follow(access, feed.Following(after=after, limit=7))
            seen += [msgspec.json.decode(item)["position"] for item in page.items]
            after = int(page.last)
            wait()
    assert seen == list(range(1, len(seen) + 1))
    narrowed = feed.follow(
        access, feed.Following(kinds=["claim"], types=["retracted"], parents=[("question", ["when"])], limit=500)
    )
    assert {msgspec.json.decode(item)["id"] for item in narrowed.items} == {"c2"}
    assert int(narrowed.last) == narrowed.at.position
    with pytest.raises(errors.NotYet):
        feed.follow(access, feed.Following(after=narrowed.at.position + 10_000))


def test_what_is_recorded_is_read_at_its_time_though_the_clock_was_set_back(writing):
    writing.append(*ground())
    access = writing.database.access()
    ((head, latest),) = access.rows("SELECT position, recorded_at FROM head")
    set_back = latest - 3600 * 1_000_000
    at = standpoint.locate(access, AsOf(moment=latest), now=lambda: set_back)
    assert (at.position, at.is_pinned) == (head, True)
    assert standpoint.locate(access, AsOf(moment=latest - 1), now=lambda: set_back).position == head - 1
    with pytest.raises(errors.NotYet):
        standpoint.locate(access, AsOf(moment=latest + 1), now=lambda: set_back)


def test_every_cursor_is_a_place_to_start(writing):
    writing.append(*ground(), a_claim("c", **C), revise("claim", "c", note="x"))
    access = writing.database.access()
    assert views.history(access, "claim", "c", asked=NOW, cursor=0, limit=5).items == []
    assert len(views.history(access, "claim", "c", asked=NOW, cursor=2, limit=5).items) == 1
    for cursor in ("0", "9" * 16, "-" + "9" * 18 + ".0.0", "9" * 18 + "." + "9" * 16 + "." + "9" * 16, "0.0.0"):
        for order in ORDERS:
            assert lists.select(access, Selection(kind="claim", order=order, cursor=cursor))[1] in ([], ["c"])
    for cursor in ("0", "9" * 16, "-" + "9" * 18 + ".0", "9" * 18 + "." + "9" * 16):
        for order in ORDERS:
            assert lists.select(access, Selection(kind="source", order=order, cursor=cursor))[1] in ([], ["paper"])
    for cursor in ("0", "9" * 16, "disputed.0", "open." + "9" * 16):
        for order in (*ORDERS[:4], "agreement", "-agreement"):
            found = lists.select(access, Selection(kind="question", order=order, cursor=cursor))[1]
            assert found in ([], ["offline-when"])
    for cursor in ("-" + "9" * 18 + ".0", "9" * 18 + "." + "9" * 16, "0.0"):
        assert len(lists.timeline(access, Selection(kind="claim", cursor=cursor, is_live=True)).items) in (0, 1)


def sought(text: str) -> list[Sought]:
    return [each for word in words_of(text) for each in word]


TEXTS = (
    "Œuvre d'Hélène Carrère", "Łódź and ŁÓDŹ", "Straße STRASSE", "İstanbul ISTANBUL", "日本語のテキスト", "العربية مُحَمَّد",
    "ภาษาไทย", "15,000,000 users (15 million)", "l’été — l'ete", "AND OR NOT NEAR", 'quo"ted \'single\'', "a&b|c!d <-> e:*",
    "naïve_snake-case", "x" * 130, "ﬁne ﬂour", "soft\u00adhyphen zero\u200dwidth", "½ ² Ⅷ ①", "Ελληνικά ΣΊΣΥΦΟΣ", "🙂 emoji🙂mid",
    "back\\slash %percent _under", "e\u0301 é", "ǅ ǆ", "ÅNGSTRÖM Ångström", "don't", "C++ C#", "2021-01-11T08:00Z",
)  # fmt: skip


def test_q_finds_the_same_on_both_databases_as_the_tokens_say(writing):
    writing.append(*(an_entity(f"e{number}", name=text) for number, text in enumerate(TEXTS)))
    access = writing.database.access()
    held = {f"e{number}": {*tokens(f"e{number} {text}").split()} for number, text in enumerate(TEXTS)}
    for text in (*TEXTS, "l'été", "strasse", "ISTANBUL", "fi", "or", "not", "near"):
        wanted = sought(text)
        if not wanted:
            continue
        for words in (wanted, wanted[:1], wanted[-1:]):
            found = lists.select(access, Selection(kind="entity", words=words, limit=100))[1]
            assert found == [one for one, known in held.items() if all(known.intersection(word) for word in words)], (
                words
            )


def test_search_looks_at_the_words_of_the_position_asked(writing):
    one = writing.append(an_entity("e", name="First Name")).position
    two = writing.append(revise("entity", "e", expect=1, name="Second Name")).position
    access = writing.database.access()
    asked = {
        (word, position): lists.select(
            access, Selection(kind="entity", words=sought(word), asked=AsOf(position=position))
        )[1]
        for word in ("first", "second", "name")
        for position in (one, two)
    }
    assert [place for place, found in asked.items() if found] == [
        ("first", one),
        ("second", two),
        ("name", one),
        ("name", two),
    ]


def test_a_difference_takes_revisions_and_refuses_those_that_are_not_there(writing):
    writing.append(*ground(), revise("entity", "parler", name="Parler LLC"))
    patch, at = views.difference(writing.database.access(), "entity", "parler", old=1, new=2)
    assert msgspec.json.decode(patch) == [{"op": "replace", "path": "/name", "value": "Parler LLC"}]
    assert at.position == 5
    for old, new in ((1, 3), (3, 1)):
        with pytest.raises(errors.UnknownRevision):
            views.difference(writing.database.access(), "entity", "parler", old=old, new=new)


# What a long history costs

REVISIONS = 2_000


def _time_of(access: Access, position: int) -> int:
    return int(access.rows("SELECT recorded_at FROM event WHERE position = ?", (position,))[0][0])


def _readings(public_id: str, old: int) -> dict[str, Callable[[Access], Any]]:
    """Name the reads of one claim, and the lists that show it."""
    only = Selection(kind="claim", terms=[("source", f"of-{public_id}")])
    return {
        "current": lambda access: views.current(access, "claim", public_id),
        "as of": lambda access: views.as_of(access, "claim", public_id, AsOf(position=old)),
        "as of a time": lambda access: views.as_of(access, "claim", public_id, AsOf(moment=_time_of(access, old))),
        "revision": lambda access: views.numbered(access, "claim", public_id, 2),
        "newest of the history": lambda access: views.history(
            access, "claim", public_id, asked=NOW, cursor=None, limit=5
        ),
        "oldest of the history": lambda access: views.history(access, "claim", public_id, asked=NOW, cursor=5, limit=5),
        "history, as of": lambda access: views.history(
            access, "claim", public_id, asked=AsOf(position=old), cursor=None, limit=5
        ),
        "memento": lambda access: views.revision_at(access, "claim", public_id, 2**60),
        "old memento": lambda access: views.revision_at(access, "claim", public_id, _time_of(access, old)),
        "diff": lambda access: views.difference(access, "claim", public_id, old=2, new=1),
        "links": lambda access: views.links(access, public_id, NOW),
        "by id": lambda access: lists.select(access, Selection(kind="claim", ids=[public_id])),
        "by source": lambda access: lists.select(access, only),
        "by source, as of": lambda access: lists.select(access, replace(only, asked=AsOf(position=old))),
        "by source and status": lambda access: lists.select(
            access, replace(only, terms=[*only.terms, ("status", "asserted")])
        ),
        "newest revised": lambda access: lists.select(access, Selection(kind="claim", order="-revised", limit=5)),
        "live": lambda access: lists.select(access, replace(only, is_live=True)),
        "by date": lambda access: lists.select(access, replace(only, order="published")),
        "of two sources": lambda access: lists.select(
            access, replace(only, terms=[*only.terms, ("source", "other-1")])
        ),
        "of two stances": lambda access: lists.select(
            access, Selection(kind="claim", terms=[("stance", "asserts"), ("stance", "denies")], limit=5)
        ),
        "all by date": lambda access: lists.select(access, Selection(kind="claim", order="-published", limit=5)),
        "facets": lambda access: lists.facets(access, only, standpoint.locate(access), ["stance"]),
        "inclusion": lambda access: proofs.inclusion(access, 1_000, 2_000),
        "consistency": lambda access: proofs.consistency(access, 1_000, 2_000),
        "tile": lambda access: proofs.tile(access, 1, 0, 2),
    }


@pytest.fixture
def long(writing) -> dict[str, int]:
    """Two claims alike but that one was revised 10 times and the other 2,000; each with the position of its sixth revision."""
    writing.append(an_entity("parler"), a_question("when", about="parler"), a_source("of-short"), a_source("of-long"))
    # Enough of others that no plan takes a whole table for a small one.
    writing.append(*(a_source(f"other-{n}") for n in range(100)))
    writing.append(*(a_claim(source=f"other-{n % 100}", question="when") for n in range(400)))
    past = {}
    for name, count in (("short", 10), ("long", REVISIONS)):
        claim = a_claim(name, source=f"of-{name}", question="when")
        changes = [revise("claim", name, statement=f"Parler went offline, {n}.") for n in range(count)]
        past[name] = writing.append(claim, *changes).items[5].position
    writing.append(link("long", "repeats", "short", expect=REVISIONS + 1), link("short", "repeats", "long", expect=11))
    return past


def test_reading_costs_the_same_whatever_the_length_of_the_history(writing, long):
    access = watched(writing.database)
    access.upkeep.take_stock()
    for name in _readings("short", 0):
        work = {}
        for public_id, old in long.items():
            access.asked.clear()
            _readings(public_id, old)[name](access)
            work[public_id] = len(access.asked), effort(access, _readings(public_id, old)[name])
        assert work["long"][0] == work["short"][0], f"{name} asks more often"
        assert work["long"][1] <= 1.2 * work["short"][1] + 40, f"{name} does more: {work}"
    access.close()


def test_a_server_knows_soon_how_much_was_written(writing):
    """Without statistics it plans as for next to nothing, and what links add up to takes the square of their number."""
    access = writing.database.access()
    if is_sqlite(access):
        pytest.skip("SQLite's plans are ours to see to")
    for much in (600, 1_200, 2_400):
        writing.append(*(an_entity() for _ in range(much)))
        until(lambda much=much: _known(access) >= much)


def _known(access: Access) -> int:
    return int(access.rows("SELECT reltuples FROM pg_class WHERE relname = 'event' AND relkind = 'r'")[0][0])


def test_what_a_question_adds_up_to_costs_the_same_however_many_links_there_are_elsewhere(writing):
    writing.append(an_entity("parler"), a_question("when", about="parler"), a_question("other", about="parler"))
    writing.append(*(a_source(f"s{n}") for n in range(20)))
    writing.append(*(a_claim(f"when{n}", source=f"s{n}", question="when") for n in range(3)))
    writing.append(*(a_claim(f"c{n}", source=f"s{n % 20}", question="other") for n in range(400)))
    access, work = watched(writing.database), list[int]()
    if not is_sqlite(access):
        # PostgreSQL keeps statistics, and plans by them.
        pytest.skip("SQLite's plans are ours to see to")
    for links in (range(0, 400, 2), ()):
        access.upkeep.take_stock()
        access.asked.clear()
        read = partial(answers.answers, public_id="when", chosen=Selection(kind="claim"))
        read(access)
        work.append(effort(access, read))
        if links:
            writing.append(*(link(f"c{n}", "repeats", f"c{n + 1}", expect=1) for n in links))
    access.close()
    assert work[1] <= 1.2 * work[0] + 40


@pytest.mark.parametrize("words", [(), ("offline",), ("nothing",)])
@pytest.mark.parametrize("order", ["revised", "-revised", "-recorded"])
def test_a_list_of_the_claims_of_one_question_or_source_costs_what_they_are(writing, order, words):
    """Four times as many claims, at most five times the work, whatever the order: nothing is looked for once for each of them."""
    writing.append(an_entity("parler"), a_source("paper"))
    access, work = watched(writing.database), list[int]()
    for name, count in (("few", 100), ("many", 400)):
        writing.append(a_question(name, about="parler"))
        writing.append(*(a_claim(f"{name}{n}", source="paper", question=name) for n in range(count)))
    access.upkeep.take_stock()
    for name in ("few", "many"):
        chosen = Selection(
            kind="claim", terms=[("question", name), ("source", "paper")], words=sought(" ".join(words)), order=order
        )
        read = partial(lists.select, chosen=chosen)
        access.asked.clear()
        read(access)
        work.append(effort(access, read))
    access.close()
    assert work[1] <= 5 * work[0], work


@pytest.mark.parametrize("words", ["offline", "removed", "offline removed", "nothing"])
@pytest.mark.parametrize("order", ["recorded", "-recorded"])
def test_to_find_words_among_all_claims_grows_no_faster_than_the_claims(writing, order, words, monkeypatch):
    """Four times as many claims, at most five times the work: what was found is not gone through again for each record."""
    monkeypatch.setattr(selection, "_FEW", 400)
    writing.append(an_entity("parler"), a_source("paper"), a_question("when", about="parler"))
    access, work, done = watched(writing.database), list[int](), 0
    chosen = Selection(kind="claim", words=sought(words), order=order)
    for count in (200, 800):
        said = {n: "Parler was removed." if n % 4 else "Parler went offline." for n in range(done, count)}
        writing.append(*(a_claim(f"c{n}", source="paper", question="when", statement=said[n]) for n in said))
        done = count
        access.upkeep.take_stock()
        access.asked.clear()
        read = partial(lists.select, chosen=chosen)
        read(access)
        work.append(effort(access, read))
    access.close()
    assert work[1] <= 5 * work[0] + 100, work


IN_ORDER = {
    "sources by date": Selection(kind="source", order="published", limit=5),
    "sources by date, newest first": Selection(kind="source", order="-published", limit=5),
    "claims by date": Selection(kind="claim", order="published", limit=5),
    "claims by date, newest first": Selection(kind="claim", order="-published", limit=5),
    "questions by agreement": Selection(kind="question", order="agreement", limit=5),
    "questions by agreement, the other way round": Selection(kind="question", order="-agreement", limit=5),
    "questions in one state": Selection(kind="question", agreement=("single-origin",), limit=5),
}


def test_a_page_of_a_list_in_order_costs_what_it_shows_however_much_there_is(writing):
    """Its first page, one from the middle and the last; of what is undated, too, which comes last."""
    access, work = watched(writing.database), dict[str, list[int]]()
    writing.append(an_entity("parler"))
    for start, end in ((0, 50), (50, 200)):
        for first in range(start, end, 50):
            writing.append(*(op for number in range(first, first + 50) for op in _dated(number)))
        access.upkeep.take_stock()
        for name, chosen in IN_ORDER.items():
            keys = lists.select(access, replace(chosen, limit=500))[0].keys
            for place, cursor in {"first": None, "middle": keys[len(keys) // 2], "last": keys[-4]}.items():
                read = partial(lists.select, chosen=replace(chosen, cursor=cursor))
                access.asked.clear()
                read(access)
                work.setdefault(f"{name}, {place}", []).append(effort(access, read))
    access.close()
    for name, (few, many) in work.items():
        # Each question was open before the first claim on it, and that is passed over; a few steps each.
        more = 10 * 150 if "questions" in name else 60
        assert many <= 1.2 * few + more, (name, few, many)


def _dated(number: int) -> list[Any]:
    """Make a source, dated or not, a question, and two claims that agree on it or do not."""
    source, question = f"s{number}", f"q{number}"
    published = f"20{number % 100:02}-01" if number % 5 else None
    answers = [{"type": "time", "edtf": "2021" if number % 2 else f"20{18 + 2 * each}"} for each in range(2)]
    return [
        a_source(source, published=published),
        a_question(question, about="parler"),
        *(a_claim(f"c{number}-{each}", source=source, question=question, answer=answers[each]) for each in range(2)),
    ]


def test_no_read_scans_a_table(writing, long):
    access = watched(writing.database)
    access.upkeep.take_stock()
    for name, read in _readings("long", long["long"]).items():
        access.asked.clear()
        read(access)
        for sql, parameters in list(access.asked):
            if is_sqlite(access):
                plan = [row[3] for row in access.driver.execute("EXPLAIN QUERY PLAN " + sql, parameters)]
                given = re.compile(r"SCAN (h|head|wanted|(\d+ )?CONSTANT ROWS?)")
                scanned = [line for line in plan if line.startswith("SCAN") and not given.fullmatch(line)]
            else:
                found = [node for node in nodes(explain(access, sql, parameters)) if node["Node Type"] == "Seq Scan"]
                scanned = [
                    node["Relation Name"] for node in found if node["Relation Name"] in ("revision", "term", "event")
                ]
            assert not scanned, f"{name}: {scanned} in {sql}"
    access.close()
