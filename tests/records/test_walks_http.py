"""Every list that is read page by page, walked in small steps while records come in: each item once, in order, to an end.

Which lists those are is read from the OpenAPI document, and what they must hold from the feed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from api.ledger.writing import keys
from openapi import lint
from tests.support.builders import a_claim, a_question, a_source, an_entity, link, retract, revise
from tests.support.served import Served

Item = Any
Key = Callable[[Item], Any]
KINDS = {"entities": "entity", "sources": "source", "questions": "question", "claims": "claim"}
ORDERS = ("recorded", "-recorded", "revised", "-revised")
# How long a page is, and how many there are at most.
LIMITS, MOST_PAGES = (1, 4), 150
_later = count(1000)


@dataclass(frozen=True)
class Walk:
    """A list to walk: its address, by what its items are in order, and where they stand in a page."""

    path: str
    key: Key
    field: str = "items"
    is_reversed: bool = False


def _first(item: Item) -> int:
    return int(item["first_position"])


def _last(item: Item) -> int:
    return int(item["position"])


def _start(item: Item) -> tuple[str, int]:
    return item["valid_bounds"]["start"]["earliest"], _first(item)


def _in_orders(path: str) -> list[Walk]:
    joint = "&" if "?" in path else "?"
    return [
        Walk(f"{path}{joint}order={order}", _last if "revised" in order else _first, is_reversed=order.startswith("-"))
        for order in ORDERS
    ]


def _by_date(path: str, key: Key) -> list[Walk]:
    return [Walk(f"{path}order={way}published", key, is_reversed=way == "-") for way in ("", "-")]


def _published(source: Item) -> tuple[str, int]:
    return source["published"], _first(source)


def _claimed(claim: Item) -> tuple[int, str, int]:
    """Give when the source of a claim was published, by its number; then the source, then the claim."""
    return int(claim["source"][1:]) % 3, claim["source"], _first(claim)


def _anywhere(_: Item) -> int:
    """Of some orders the items do not tell where they stand."""
    return 0


def _history(path: str) -> list[Walk]:
    return [Walk(path, lambda line: line["revision"], is_reversed=True)]


WALKS: dict[str, list[Walk]] = {
    "listActors": [Walk("/v1/actors", lambda actor: actor["since"])],
    "listEntities": [*_in_orders("/v1/entities"), *_in_orders("/v1/entities?type=company")],
    "listSources": [
        *_in_orders("/v1/sources"),
        Walk("/v1/sources?published_by=2021-01-12&mode=certain", _first),
        Walk("/v1/sources?type=article&type=wire&type=article", _first),
        *_by_date("/v1/sources?", _published),
    ],
    "listQuestions": [
        *_in_orders("/v1/questions"),
        Walk("/v1/questions?agreement=single-origin", _first),
        Walk("/v1/questions?agreement=single-origin&valid_at=2021", _first),
        Walk("/v1/questions?agreement=single-origin&agreement=disputed&include=agreement", _first),
        Walk("/v1/questions?order=agreement", _anywhere),
        Walk("/v1/questions?order=-agreement&valid_at=2021", _anywhere),
        Walk("/v1/questions?order=claims", _anywhere),
        Walk("/v1/questions?order=-claims&agreement=single-origin&valid_at=2021", _anywhere),
    ],
    "listClaims": [
        *_in_orders("/v1/claims"),
        *_in_orders("/v1/claims?question=walked"),
        *_in_orders("/v1/claims?speaker=walker"),
        *_in_orders("/v1/claims?source=s1&live=true&q=offline"),
        Walk("/v1/claims?entity=walker&include=source", _first),
        Walk("/v1/claims?source=s1&source=s2&include=source,entities", _first),
        *_by_date("/v1/claims?", _claimed),
        *_by_date("/v1/claims?question=walked&question=q1&", _claimed),
    ],
    "listClaimLinks": [Walk("/v1/claims/c0/links", lambda made: int(made["claim"][1:]), "incoming")],
    "listEntityStatements": [Walk("/v1/entities/walker/statements", lambda said: _claimed(said["claim"]))],
    "listSourceStatements": [
        Walk("/v1/sources/s1/statements?include=source", lambda said: _first(said["claim"])),
        Walk("/v1/sources/s1/statements?question=walked&question=q1", lambda said: _first(said["claim"])),
    ],
    "listQuestionConflicts": [Walk("/v1/questions/walked/conflicts", lambda pair: [int(c[1:]) for c in pair])],
    "getQuestionAnswers": [
        Walk("/v1/questions/walked/answers", _first, "claims"),
        Walk("/v1/questions/walked/answers?group=0&include=source", _first, "claims"),
    ],
    "getTimeline": [
        Walk("/v1/timeline", _start),
        Walk("/v1/timeline?source=s1", _start),
        Walk("/v1/timeline?speaker=walker&speaker=nobody", _start),
    ],
    "search": [
        Walk("/v1/search?q=offline", _anywhere),
        Walk("/v1/search?q=offline&kind=claim", lambda found: found["id"]),
    ],
    "listRedactions": [
        Walk(f"/v1/redactions?order={order}", _last, is_reversed=order.startswith("-")) for order in ORDERS
    ],
    "diffLedger": [
        Walk("/v1/diff?from=0", _last),
        Walk("/v1/diff?from=0", _last, "agreement"),
        Walk("/v1/diff?from=20", _last),
    ],
    "listEntityRevisions": _history("/v1/entities/walker/revisions"),
    "listSourceRevisions": _history("/v1/sources/s1/revisions"),
    "listQuestionRevisions": _history("/v1/questions/walked/revisions"),
    "listClaimRevisions": _history("/v1/claims/c0/revisions"),
}
# The feed is followed by position: what it shows comes to an end, and goes on at `resume`.
FEEDS = {
    "listEvents": [
        "/v1/events",
        "/v1/events?exact=true",
        "/v1/events?kind=claim",
        "/v1/events?type=revised&state=false",
    ]
}
ALL = [walk for walks in WALKS.values() for walk in walks]


@pytest.fixture(scope="module")
def walked(served: Served) -> Served:
    """A dozen of everything, four revisions of some, links, redactions and actors; some of it dated alike."""
    served.append(
        an_entity("walker"),
        *(an_entity(f"e{n}", type=("company", "platform")[n % 2]) for n in range(8)),
        *(a_source(f"s{n}", published=f"2021-01-{10 + n % 3}") for n in range(7)),
        a_question("walked", about="walker"),
        *(a_question(f"q{n}", about="walker") for n in range(6)),
    )
    days = ("2021-01-08", "2021-01-08", "2021-01-11", "2021-01-10/..", "2021-01-12")
    said = [{"type": "time", "edtf": days[n % 5]} for n in range(12)]
    served.append(
        *(
            a_claim(f"c{n}", source=f"s{n % 3}", question="walked", answer=said[n], speaker="walker" if n % 2 else None)
            for n in range(12)
        ),
        *(a_claim(f"d{n}", source="s1", question=f"q{n}", speaker="walker") for n in range(6)),
        *(link(f"c{n}", "repeats", "c0") for n in range(2, 9)),
        retract("claim", "c11"),
    )
    for turn in range(4):
        served.append(
            revise("entity", "walker", expect=turn + 1, note=f"Turn {turn}"),
            revise("source", "s1", expect=turn + 1, note=f"Turn {turn}"),
            revise("question", "walked", expect=turn + 1, note=f"Turn {turn}"),
            revise("claim", "c0", expect=turn + 1, note=f"Turn {turn}"),
        )
        served.append(an_entity(f"gone{turn}"))
        _redact(served, f"gone{turn}")
        served.make_key("write")
    return served


def _redact(served: Served, entity: str) -> None:
    done = served.post("/v1/redactions", {"kind": "entity", "id": entity, "basis": "error", "reason": "X"})
    assert done.status_code == 201, done.text


def _come_in(served: Served) -> None:
    """Let one more come in of whatever is walked, at either end of it."""
    later, early, late = (f"{prefix}{next(_later)}" for prefix in ("later", "c", "c"))
    of_it = {"source": "s1", "question": "walked", "speaker": "walker"}
    served.append(
        an_entity(later, type="company"),
        a_source(later, published="2021-01-10"),
        a_question(later, about="walker"),
        a_claim(early, **of_it, answer={"type": "time", "edtf": "2021-01-07"}),
        a_claim(late, **of_it, answer={"type": "time", "edtf": "2021-01-13"}),
        a_claim(f"{later}-alone", source="s1", question=later),
        link(late, "repeats", "c0"),
    )
    revisions = served.get("/v1/entities/walker").json()["revision"]
    kinds = (("entity", "walker"), ("source", "s1"), ("question", "walked"), ("claim", "c0"))
    served.append(*(revise(kind, one, expect=revisions, note=later) for kind, one in kinds))
    served.append(an_entity(f"{later}-gone"))
    _redact(served, f"{later}-gone")
    served.make_key("write")


Pages = dict[tuple[Walk, int], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def pages(walked: Served) -> Pages:
    """All the walks, side by side, and what comes in between the first of their pages."""
    found: Pages = {(walk, limit): [] for walk in ALL for limit in LIMITS}
    following: dict[tuple[Walk, int], str | None] = {key: _limited(key[0].path, key[1]) for key in found}
    for number in range(MOST_PAGES):
        for key, address in following.items():
            if address is not None:
                response = walked.get(address)
                assert response.status_code == 200, response.text
                page = response.json()
                assert response.headers.get("link") == (f'<{page["next"]}>; rel="next"' if page["next"] else None)
                found[key].append(page)
                following[key] = page["next"]
        if number < 2:
            _come_in(walked)
    assert [key for key, address in following.items() if address is not None] == [], "some do not end"
    return found


def _limited(path: str, limit: int, more: str = "") -> str:
    return f"{path}{'&' if '?' in path else '?'}limit={limit}{more}"


def test_every_list_of_the_contract_that_goes_on_is_walked_here(walked: Served) -> None:
    paged = {
        operation["operationId"]
        for _, operation in lint.operations(walked.get("/openapi.json").json())
        if {"cursor", "after"} & {parameter["name"] for parameter in operation["parameters"]}
    }
    assert paged == WALKS.keys() | FEEDS.keys()


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("walk", ALL, ids=[f"{walk.path} {walk.field}" for walk in ALL])
def test_a_list_walked_while_records_come_in_shows_each_item_once_in_order(
    walked: Served, pages: Pages, walk: Walk, limit: int
) -> None:
    read = pages[walk, limit]
    sizes = [len(page[walk.field]) for page in read]
    # Where one page has two lists, neither need be full.
    assert max(sizes) <= limit if "/diff" in walk.path else set(sizes[:-1]) <= {limit}
    seen = [item for page in read for item in page[walk.field]]
    assert len({str(item) for item in seen}) == len(seen)
    in_order = [walk.key(item) for item in seen]
    assert in_order == sorted(in_order, reverse=walk.is_reversed)
    position = read[0]["position"]
    bound = "to" if "/diff" in walk.path else "as_of"
    if walk.path == "/v1/actors":
        # Of names and keys no past is kept: those who come in before the end are at the end.
        assert seen == walked.get("/v1/actors?limit=500").json()["items"][: len(seen)]
        assert len(seen) > 5
        return
    whole = walked.get(_limited(walk.path, 500, f"&{bound}={position}")).json()
    assert (seen, None) == (whole[walk.field], whole["next"])
    assert {page["position"] for page in read} == {position}


def _recorded(served: Served) -> dict[str, dict[str, tuple[int, int]]]:
    """Tell by the feed what there is of each kind: by id, the positions of its first event and of its last."""
    found: dict[str, dict[str, tuple[int, int]]] = {kind: {} for kind in (*KINDS.values(), "redaction")}
    after, head = 0, served.head()
    while after < head:
        for event in served.get(f"/v1/events?after={after}&limit=500&state=false").json()["items"]:
            after = event["position"]
            if event["kind"] in found and event["redacted"] is None:
                first, _ = found[event["kind"]].get(event["id"], (after, after))
                found[event["kind"]][event["id"]] = first, after
    return found


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("plural", [*KINDS, "redactions"])
def test_a_list_walked_to_its_end_has_shown_all_that_was_ever_recorded(walked: Served, plural: str, order: str) -> None:
    expected = _recorded(walked)[KINDS.get(plural, "redaction")]
    place = 1 if "revised" in order else 0
    in_order = sorted(expected, key=lambda one: expected[one][place], reverse=order.startswith("-"))
    seen, following = list[str](), f"/v1/{plural}?order={order}&limit=7"
    while following:
        page = walked.get(following).json()
        seen += [item["id"] for item in page["items"]]
        following = page["next"]
    assert seen == in_order


@pytest.mark.parametrize("limit", [2, 7])
@pytest.mark.parametrize("path", FEEDS["listEvents"])
def test_the_feed_walked_while_events_come_in_shows_each_once_and_then_nothing(
    walked: Served, path: str, limit: int
) -> None:
    seen, following, number = list[int](), _limited(path, limit), 0
    while following is not None:
        page, number = walked.get(following).json(), number + 1
        assert len(page["items"]) <= limit
        seen += [item["position"] for item in page["items"]]
        following = page["next"]
        if number == 2:
            late = f"e{next(_later)}"
            walked.append(an_entity(late), revise("entity", late, name="Renamed"))
    assert (walked.get(page["resume"]).json()["items"], number < 5 * MOST_PAGES) == ([], True)
    whole, following = list[int](), _limited(path, 500)
    while following is not None:
        page = walked.get(following).json()
        whole, following = whole + [item["position"] for item in page["items"]], page["next"]
    assert seen == whole
    assert "kind" in path or "type" in path or seen == list(range(1, walked.head() + 1))


def test_actors_are_listed_in_the_order_in_which_they_became_known_though_the_clock_was_set_back(
    walked: Served,
) -> None:
    access = walked.database.access()
    [(latest,)] = access.rows("SELECT max(since) FROM actor")
    hour = 3600 * 1_000_000
    access.run("INSERT INTO actor (id, name, since) VALUES (?, ?, ?)", ("a" * 36, "from later", latest + hour))
    before = [actor["id"] for actor in walked.get("/v1/actors?limit=500").json()["items"]]
    callers = [keys.recognise(access, walked.make_key("write")) for _ in range(3)]
    names = [keys.actor_named(access, f"door {number}") for number in range(2)]
    assert [actor["id"] for actor in walked.get("/v1/actors?limit=500").json()["items"]] == [
        *before,
        *(caller.actor for caller in callers if caller is not None),
        *names,
    ]
    listed = [actor["id"] for actor in walked.get("/v1/actors?limit=500").json()["items"]]
    assert walked.get(f"/v1/actors?limit={len(listed)}").json()["next"] is None, "nobody follows a page that is full"
    one_by_one, following = list[str](), "/v1/actors?limit=1"
    while following is not None:
        page = walked.get(following).json()
        one_by_one, following = one_by_one + [actor["id"] for actor in page["items"]], page["next"]
    assert one_by_one == listed
