"""Redactions in the filtered feed: whoever follows a part of the log learns of all that has to go from it, and how to go on."""

import random
from itertools import product
from typing import Any

import pytest

from api.ledger.reading import feed
from api.ledger.reading.feed import Following, follow
from api.ledger.storage.access import Access
from tests.support.builders import (
    Writing,
    a_claim,
    a_question,
    a_source,
    an_entity,
    an_id,
    link,
    retract,
    revise,
)
from tests.support.builders import ground as small_ground
from tests.support.databases import is_sqlite
from tests.support.served import Served
from tests.support.watched import effort, watched


def _redact(served: Served, kind: str, public_id: str, **more: Any) -> dict[str, Any]:
    body = {"kind": kind, "id": public_id, "basis": "data-protection", "reason": "Asked for", **more}
    done = served.post("/v1/redactions", body)
    assert done.status_code == 201, done.text
    told: dict[str, Any] = done.json()
    return told


def _follow(served: Served, query: str, after: int = 0) -> list[dict[str, Any]]:
    url: str | None = f"/v1/events?{query}&after={after}"
    found = list[dict[str, Any]]()
    while url is not None:
        page = served.get(url).json()
        found += page["items"]
        url = page["next"]
    return found


def _passes(served: Served, query: str, position: int) -> bool:
    """Whether an event is shown under filters, at every size of a page."""
    shown = [
        position in [item["position"] for item in _follow(served, f"{query}&limit={n}", position - 3)]
        for n in (1, 2, 500)
    ]
    assert len({*shown}) == 1
    return shown[0]


@pytest.fixture(scope="module")
def story(ground: Served) -> dict[str, Any]:
    """A claim of four events by two actors, another on the same ground, and an entity."""
    other = f"Bearer {ground.make_key('write')}"
    ground.append(
        a_source("told"), a_source("untold"), a_question("asked", about="parler"), a_question("unasked", about="parler"),
        a_claim("first", source="told", question="asked"), a_claim("second", source="told", question="asked"),
        a_claim("whole", source="told", question="asked"), a_claim("erased", source="told", question="asked"),
        an_entity("person", type="person"),
    )  # fmt: skip
    for note in ("One", "Two"):
        action = {"action": "revise", "reason": "Read again", "changes": {"note": note}}
        ground.post("/v1/claims/first/revisions", action, If_Match="*", Authorization=other)
    ground.append(link("first", "repeats", "second", expect=3))
    mine, theirs = (
        ground.get(f"/v1/claims/first/revisions?cursor={n}&limit=1").json()["items"][0]["actor"] for n in (2, 3)
    )
    assert mine != theirs
    return {
        "mine": mine,
        "theirs": theirs,
        # Covers the recorded and the first revised event, each by another actor.
        "partly": _redact(ground, "claim", "first", first=1, last=2),
        "later": _redact(ground, "claim", "first", first=3, last=3),
        "whole": _redact(ground, "claim", "whole"),
        "erased": _redact(ground, "claim", "erased", erase_id=True),
        "person": _redact(ground, "entity", "person"),
    }


# Which filters each redaction passes: by itself, by what it covers; where nobody knows, it passes.
FILTERS: dict[str, dict[str, bool]] = {
    "partly": {
        "kind=claim": True, "kind=redaction": True, "kind=entity": False, "kind=source": False, "kind=ledger": False,
        "type=redacted": True, "type=recorded": True, "type=revised": True, "type=linked": False, "type=retracted": False,
        "actor={mine}": True, "actor={theirs}": True, "actor=00000000-0000-4000-8000-000000000000": False,
        "id=first": True, "id={partly}": True, "id=second": False, "id=told": False,
        "source=told": True, "source=untold": False, "source=nobody": False,
        "question=asked": True, "question=unasked": False,
        "kind=claim&id=first": True, "kind=entity&id=first": False, "kind=redaction&id=first": True,
        "type=redacted&kind=claim": True, "type=linked&kind=claim": False, "type=recorded&actor={theirs}": True,
        "source=told&question=asked": True, "source=told&question=unasked": False, "source=untold&question=asked": False,
        "source=told&type=linked": False, "source=told&kind=entity": False, "source=told&id=first&actor={theirs}&type=revised": True,
        "id=first&state=false": True,
        "kind=claim&kind=entity": True,
        "kind=source&kind=entity": False,
        "id=second&id=first": True,
        "type=linked&type=restored": False,
        "type=linked&type=revised": True,
        "source=untold&source=told": True,
        "source=untold&source=nobody": False,
        "question=unasked&question=asked&source=told": True,
    },
    "later": {
        "type=recorded": False, "type=revised": True, "actor={theirs}": True, "id=first": True, "source=told": True,
        "source=untold": False,
    },
    "whole": {
        "kind=claim": True, "type=recorded": True, "type=revised": False, "actor={theirs}": False, "id=whole": True,
        "id=first": False, "source=told": True, "question=asked": True,
        # What it stood on is gone with it.
        "source=untold": True, "question=unasked": True,
    },
    "erased": {
        "kind=claim": True, "kind=entity": False, "type=recorded": True, "id=erased": False, "id=whole": False, "id={erased}": True,
        "source=told": True, "question=unasked": True, "kind=claim&source=told": True, "kind=entity&source=told": False,
    },
    "person": {
        "kind=entity": True, "kind=claim": False, "id=person": True, "source=told": False, "question=asked": False,
        "type=recorded": True,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("redaction", "query"), [(name, query) for name, queries in FILTERS.items() for query in queries]
)
def test_a_redaction_passes_the_filters_that_what_it_covers_passes(
    ground: Served, story: dict[str, Any], redaction: str, query: str
) -> None:
    ids = {name: told["id"] if isinstance(told, dict) else told for name, told in story.items()}
    assert _passes(ground, query.format(**ids), story[redaction]["position"]) is FILTERS[redaction][query]


def test_the_filtered_feed_is_in_order_and_has_nothing_twice(ground: Served, story: dict[str, Any]) -> None:
    every = {item["position"]: item for item in _follow(ground, "limit=500")}
    redactions = {told["position"] for told in story.values() if isinstance(told, dict)}
    queries = (
        "kind=claim",
        "kind=redaction",
        "type=recorded",
        "id=first",
        "source=told",
        "question=asked",
        f"actor={story['mine']}",
    )
    for query, limit in product(queries, (1, 2, 7, 500)):
        items = _follow(ground, f"{query}&limit={limit}")
        positions = [item["position"] for item in items]
        assert positions == sorted({*positions}), query
        assert items == [every[position] for position in positions]
        own = [position for position, item in every.items() if _is_one(item, query)]
        assert [position for position in positions if position not in redactions] == [
            position for position in own if position not in redactions
        ], query


def _is_one(item: dict[str, Any], query: str) -> bool:
    name, value = query.split("=")
    if name in ("source", "question"):
        # Of a revision that is redacted the state is gone, and the record goes on standing where it did.
        told = (
            item["state"] or {"source": "told", "question": "asked"} if item["id"] == "first" else item["state"] or {}
        )
        return item["kind"] == "claim" and told.get(name) == value
    return bool(item[name] == value)


def _mirror(served: Served, query: str, kept: dict[int, Any], url: str | None = None) -> str:
    """Keep a mirror as the README says, and give where it goes on."""
    following = url or f"/v1/events?{query}&limit=3"
    while following:
        page = served.get(following).json()
        for item in page["items"]:
            kept[item["position"]] = item
            if item["type"] == "redacted":
                _drop(kept, item)
        following = page["next"]
    resume: str = page["resume"]
    return resume


def _drop(kept: dict[int, Any], redaction: dict[str, Any]) -> None:
    gone, is_erased = redaction["redacts"], redaction["state"]["target"] is None
    for position, item in kept.items():
        if item["record"] != gone["record"]:
            continue
        if is_erased:
            kept[position] = item = {**item, "id": None}  # noqa: PLW2901 - both may have to go
        if gone["first"] <= item["revision"] <= gone["last"] and item["redacted"] is None:
            mark = {"position": redaction["position"], "basis": redaction["basis"]}
            kept[position] = {**item, "state": None, "reason": None, "fields": None, "redacted": mark}


FOLLOWED = (
    "state=true",
    "kind=claim",
    "source={source}",
    "question={question}",
    "type=revised",
    "type=recorded",
    "actor={actor}",
)


@pytest.mark.parametrize("seed", range(3))
def test_a_mirror_that_follows_a_part_says_in_the_end_what_the_ledger_says(ground: Served, seed: int) -> None:
    choice, source, question = random.Random(seed), an_id("s"), an_id("q")
    claims = [an_id("c") for _ in range(6)]
    start = ground.append(a_source(source), a_question(question, about="parler"))
    ground.append(*(a_claim(one, source=source, question=question) for one in claims))
    actor = ground.get(f"/v1/claims/{claims[0]}").json()["recorded_by"]
    queries = [f"{each.format(source=source, question=question, actor=actor)}&after={start}" for each in FOLLOWED]
    mirrors: dict[str, dict[int, Any]] = {query: {} for query in queries}
    resumes = {query: _mirror(ground, query, kept) for query, kept in mirrors.items()}
    gone: set[str] = set()
    for turn in range(12):
        one = choice.choice([each for each in claims if each not in gone])
        revision = ground.get(f"/v1/claims/{one}").json()["revision"]
        if turn % 3:
            ground.append(revise("claim", one, expect=revision, note=f"Turn {turn}"))
        elif revision > 1 and choice.random() < 0.6:
            _redact(ground, "claim", one, first=1, last=choice.randint(1, revision - 1))
        elif len(gone) < 3:
            gone.add(one)
            _redact(ground, "claim", one, erase_id=choice.random() < 0.5)
        for query in [each for each in queries if choice.random() < 0.6]:
            resumes[query] = _mirror(ground, query, mirrors[query], resumes[query])
    # A changed field is named against the last state that is left, so what a redaction leaves may come to name others.
    every = {item["position"]: item for item in _follow(ground, "limit=500", start)}
    for query, kept in mirrors.items():
        _mirror(ground, query, kept, resumes[query])
        for position, item in kept.items():
            said, now = (
                {name: value for name, value in each.items() if name != "fields"} for each in (item, every[position])
            )
            assert said == now, (query, position)
    assert gone


def test_a_redaction_of_a_redacted_range_passes_what_all_that_it_covers_passes(ground: Served) -> None:
    claim = an_id("c")
    ground.append(
        a_claim(claim, source="paper", question="q-time"), revise("claim", claim, note="x"), retract("claim", claim)
    )
    first = _redact(ground, "claim", claim, first=2, last=2)["position"]
    second = _redact(ground, "claim", claim)["position"]
    expected = {
        "revised": (True, True),
        "recorded": (False, True),
        "retracted": (False, True),
        "linked": (False, False),
    }
    for each, passed in expected.items():
        assert (_passes(ground, f"type={each}", first), _passes(ground, f"type={each}", second)) == passed


def _large(writing: Writing, count: int) -> None:
    """So many claims on a question of its own, of which every second is redacted, in part or as a whole; among as many others."""
    start = next(_numbers)
    ids = [f"c{start}-{n}" for n in range(count)]
    writing.append(*(a_claim(one, source="paper", question="offline-when") for one in ids))
    writing.append(*(revise("claim", one, expect=1, note="x") for one in ids))
    for number, one in enumerate(ids[::2]):
        writing.redact("claim", one, **({"first": 1, "last": 1} if number % 2 else {}))


_numbers = iter(range(1_000))


def _cost(writing: Writing, wanted: Following) -> int:
    access = watched(writing.database)

    def read(access: Access) -> None:
        follow(access, wanted)

    if not is_sqlite(access):
        read(access)
    cost = effort(access, read)
    access.close()
    return cost


RARE = [
    Following(ids=["rare"]),
    Following(kinds=["source"], types=["redacted"]),
    Following(actors=["none"]),
    Following(types=["restored"], kinds=["source"]),
]


def test_redactions_that_do_not_pass_are_not_looked_at(writing: Writing) -> None:
    """Of many redactions only those are read that pass the rarest filter."""
    writing.append(*small_ground(), an_entity("rare"))
    _large(writing, 20)
    before = [_redactions_cost(writing, wanted) for wanted in RARE]
    _large(writing, 60)
    _large(writing, 60)
    for wanted, cost in zip(RARE, before, strict=True):
        assert _redactions_cost(writing, wanted) <= 1.2 * cost + 60, wanted


def _redactions_cost(writing: Writing, wanted: Following) -> int:
    """Count what the part of a page takes that are redactions: what the filters of events take is told elsewhere."""
    access = watched(writing.database)

    def read(access: Access) -> None:
        feed._redactions(access, wanted, end=10**9, limit=50)

    if not is_sqlite(access):
        read(access)
    cost = effort(access, read)
    access.close()
    return cost


def test_a_page_beside_many_redactions_costs_what_it_shows(writing: Writing) -> None:
    writing.append(*small_ground())
    _large(writing, 40)
    after = writing.database.access().rows("SELECT position FROM head")[0][0]
    writing.append(a_question("late", about="parler"), a_claim("last", source="paper", question="late"))
    before = _cost(writing, Following(after=after, kinds=["claim"]))
    _large(writing, 80)
    assert _cost(writing, Following(after=after, kinds=["claim"], limit=1)) <= 1.5 * before + 100


def test_terms_of_redactions_hold_nothing_that_may_have_to_go(ground: Served, story: dict[str, Any]) -> None:
    """An id that was erased is in no term; what else stands there is in the entries, which stay."""
    rows = ground.database.access().rows(
        "SELECT field, value FROM term WHERE field IN ('redaction.id', 'redaction.actor')"
    )
    assert ("redaction.id", "whole") in rows
    assert ("redaction.id", "erased") not in rows
