"""Lists in the order of when sources were published, and of what questions add up to: now, as of before, page by page."""

from typing import Any

import pytest

from tests.support.builders import a_claim, a_question, a_source, an_entity, retract, revise
from tests.support.served import Served, refused

# What sources state, in the order of what comes of it: the earliest time that it allows, and what is not known last.
DATES: dict[str, dict[str, Any]] = {
    "open": {"published": "[..2019]"},
    "year": {"published": "2020"},
    "day": {"published": "2021-01-10"},
    "hour-east": {"published": "2021-01-10T01:00+03:00"},
    "hour-utc": {"published": "2021-01-10T00:00Z"},
    "about": {"published": "2021-01-12~"},
    "span": {"published": "2021-01-12/2021-01-20"},
    "later": {"published": "2021-01-13", "modified": "2021-01-30"},
    "undated": {},
    "unknown-start": {"published": "/2021"},
    "modified-alone": {"modified": "2018"},
}
KNOWN, UNKNOWN = list(DATES)[:8], list(DATES)[8:]
# Recorded in another order than that in which they were published.
RECORDED = (
    "later",
    "undated",
    "day",
    "hour-utc",
    "unknown-start",
    "open",
    "span",
    "about",
    "modified-alone",
    "hour-east",
    "year",
)


@pytest.fixture(scope="module")
def world(served: Served) -> Served:
    served.append(an_entity("parler"), *(a_source(name, **DATES[name]) for name in RECORDED))
    served.append(a_question("when", about="parler"), a_question("other", about="parler"))
    served.append(*(a_claim(f"{name}-first", source=name, question="when") for name in reversed(RECORDED)))
    served.append(*(a_claim(f"{name}-second", source=name, question="other", stance="doubts") for name in RECORDED))
    return served


def _walk(served: Served, path: str) -> list[str]:
    found, following = list[str](), path
    while following:
        response = served.get(following)
        assert response.status_code == 200, response.text
        found += [item["id"] for item in response.json()["items"]]
        following = response.json()["next"]
    return found


EXPECTED = {"published": [*KNOWN, *UNKNOWN], "-published": [*KNOWN[::-1], *UNKNOWN]}


def _told_apart(order: str) -> list[str]:
    """Give the expected order; of equal dates, and of unknown ones, it is that of recording, or the reverse."""
    way = -1 if order.startswith("-") else 1
    places = {name: KNOWN.index(name) * way for name in KNOWN} | dict.fromkeys(UNKNOWN, 99)
    # A day begins in UTC+14, ten hours before it does in UTC.
    return sorted(DATES, key=lambda name: (places[name], RECORDED.index(name) * way))


@pytest.mark.parametrize("limit", [1, 2, 4, 500])
@pytest.mark.parametrize("order", EXPECTED)
def test_sources_are_listed_by_their_earliest_date_and_what_is_unknown_comes_last(
    world: Served, order: str, limit: int
) -> None:
    listed = _walk(world, f"/v1/sources?order={order}&limit={limit}")
    assert listed == _told_apart(order)
    assert listed[:8] == EXPECTED[order][:8]
    assert set(listed[8:]) == set(UNKNOWN)


@pytest.mark.parametrize("limit", [1, 3, 500])
@pytest.mark.parametrize("order", EXPECTED)
def test_claims_are_listed_by_the_date_of_their_source(world: Served, order: str, limit: int) -> None:
    sources = _told_apart(order)
    kinds = ("second", "first") if order.startswith("-") else ("first", "second")
    assert _walk(world, f"/v1/claims?order={order}&limit={limit}") == [
        f"{one}-{two}" for one in sources for two in kinds
    ]
    for query in ("question=when", "stance=asserts", "question=when&question=nobody", "status=asserted&question=when"):
        assert _walk(world, f"/v1/claims?order={order}&limit={limit}&{query}") == [f"{one}-first" for one in sources]
    some = "&".join(f"id={name}-second" for name in ("span", "undated", "year"))
    assert _walk(world, f"/v1/claims?order={order}&{some}") == [
        f"{one}-second" for one in sources if one in ("span", "undated", "year")
    ]
    assert _walk(world, f"/v1/claims?order={order}&source=day&source=open") == [
        f"{one}-{two}" for one in sources if one in ("day", "open") for two in kinds
    ]


@pytest.fixture(scope="module")
def before(world: Served) -> int:
    """Three letters, one of them dated anew since, and one no more; and the position before that."""
    dates = ("2001-01", "2001-02", "2001-03")
    recorded = world.append(
        an_entity("writer"),
        *(a_source(f"letter-{n}", publisher="writer", published=date) for n, date in enumerate(dates)),
        *(a_claim(f"told-{n}", source=f"letter-{n}", question="other", speaker="writer") for n in range(3)),
    )
    world.append(
        revise("source", "letter-0", expect=1, published="2001-09"),
        revise("source", "letter-1", expect=1, published=None),
    )
    return recorded


@pytest.mark.parametrize(("order", "then", "now"), [("published", "012", "201"), ("-published", "210", "021")])
def test_an_order_by_date_is_that_of_the_moment_asked_for(
    world: Served, before: int, order: str, then: str, now: str
) -> None:
    for path, name in (("sources?publisher=writer", "letter"), ("claims?speaker=writer", "told")):
        asked = f"/v1/{path}&order={order}"
        assert _walk(world, f"{asked}&as_of={before}&limit=1") == [f"{name}-{n}" for n in then]
        assert _walk(world, f"{asked}&limit=2") == [f"{name}-{n}" for n in now]


def test_claims_whose_source_is_redacted_stay_in_the_list_and_come_last(world: Served, before: int) -> None:
    body = {"kind": "source", "id": "letter-2", "basis": "error", "reason": "X"}
    assert world.post("/v1/redactions", body).status_code == 201
    for order, expected in (("published", "012"), ("-published", "021")):
        assert _walk(world, f"/v1/claims?speaker=writer&order={order}&limit=1") == [f"told-{n}" for n in expected]
        assert "letter-2" not in _walk(world, f"/v1/sources?publisher=writer&order={order}&as_of={before}")


@pytest.mark.parametrize("kind", ["sources", "claims", "questions"])
def test_every_cursor_of_the_published_pattern_is_a_place_to_start(world: Served, kind: str) -> None:
    cursors = {
        "sources": ("0", "9" * 16, "0.0", "-" + "9" * 18 + ".0", "9" * 18 + "." + "9" * 16, "1610236800000000.3"),
        "claims": ("0", "9" * 16, "0.0.0", "-" + "9" * 18 + ".1.1", "9" * 18 + ".1.1", "1610236800000000.3.20"),
        "questions": ("0", "9" * 16, "open.0", "disputed." + "9" * 16, "agreed.3", "single-origin.0", "0.0", "2.7"),
    }
    by = ("agreement", "-agreement", "claims", "-claims") if kind == "questions" else ("published", "-published")
    for order in ("recorded", "-recorded", "revised", "-revised", *by):
        for cursor in cursors[kind]:
            assert world.get(f"/v1/{kind}?order={order}&cursor={cursor}").status_code == 200, (order, cursor)
    for wrong in ("", "x", "01", "1.", ".1", "open", "9" * 17, "1.1.1.1", "agreed.-1", "9" * 19 + ".1"):
        refused(world.get(f"/v1/{kind}?cursor={wrong}"), 400, "bad-parameter", parameter="cursor")
    refused(world.get("/v1/entities?cursor=1.1"), 400, "bad-parameter", parameter="cursor")


@pytest.fixture(scope="module")
def questions(served: Served) -> dict[str, str]:
    """Questions in each state, two of each, recorded in another order than that of their states."""
    served.append(an_entity("weighed"), *(a_source(f"w{n}") for n in range(3)))
    stated = {"open": ["2021"], "agreed": ["2021", "2021"], "disputed": ["2018", "2021"], "single-origin": ["2021"]}
    found = {}
    for number in range(2):
        for state, dates in stated.items():
            question = f"{state}-{number}"
            served.append(
                a_question(question, about="weighed"),
                *(
                    a_claim(
                        f"{question}-{n}",
                        source=f"w{n}",
                        question=question,
                        answer={"type": "time", "edtf": date},
                        stance="doubts" if state == "open" else "asserts",
                    )
                    for n, date in enumerate(dates)
                ),
            )
            found[question] = state
    return found


@pytest.mark.parametrize("clock", ["", "&valid_at=%5B2015..2025%5D", "&published_by=2030"])
@pytest.mark.parametrize("limit", [1, 3, 500])
def test_questions_are_listed_by_their_state_of_agreement(
    served: Served, questions: dict[str, str], limit: int, clock: str
) -> None:
    in_order = [f"{state}-{n}" for state in ("disputed", "single-origin", "agreed", "open") for n in (0, 1)]
    asked = f"/v1/questions?about=weighed&limit={limit}{clock}"
    assert _walk(served, f"{asked}&order=agreement") == in_order
    assert _walk(served, f"{asked}&order=-agreement") == in_order[::-1]
    some = f"{asked}&order=agreement&agreement=open&agreement=disputed"
    assert _walk(served, some) == [one for one in in_order if questions[one] in ("open", "disputed")]
    facets = served.get(f"{asked}&facets=agreement&order=-agreement").json()["facets"]["agreement"]
    assert {each["value"]: each["count"] for each in facets} == dict.fromkeys(questions.values(), 2)


def test_an_order_by_agreement_is_that_of_the_moment_asked_for(served: Served, questions: dict[str, str]) -> None:
    before = served.head()
    served.append(retract("claim", "disputed-0-0", expect=1))
    for clock in ("", "&valid_at=%5B2015..2025%5D"):
        then = _walk(served, f"/v1/questions?about=weighed&order=agreement&as_of={before}{clock}")
        now = _walk(served, f"/v1/questions?about=weighed&order=agreement{clock}")
        assert (then[:2], now[:2]) == (["disputed-0", "disputed-1"], ["disputed-1", "disputed-0"])
        assert sorted(then) == sorted(now) == sorted(questions)


# How many live claims there are on each question, in the order of recording, after each step of what follows.
STORIES = ("none", "twice", "often", "as-often", "once", "apart")
COUNTED = [[0, 2, 5, 5, 1, 3], [0, 1, 4, 5, 1, 3], [0, 0, 1, 5, 1, 3]]
ONCE_REDACTED = [[0, 2, 5, 4, 1, 1], [0, 1, 4, 4, 1, 1], [0, 0, 1, 4, 1, 1]]


@pytest.fixture(scope="module")
def steps(served: Served) -> list[int]:
    """Give the positions at which all is recorded; two claims are retracted; a source and a question are."""
    served.append(an_entity("told"), *(a_source(name, published="2021-01-10") for name in ("rumour", "late", "other")))
    served.append(*(a_question(name, about="told") for name in STORIES))
    sources = {"often": ["rumour"] * 2 + ["late"] * 3, "apart": ["rumour", "other", "other"]}
    told = {name: sources.get(name, ["rumour"] * count) for name, count in zip(STORIES, COUNTED[0], strict=True)}
    return [
        served.append(
            *(a_claim(f"{name}-{n}", source=each, question=name) for name in told for n, each in enumerate(told[name]))
        ),
        served.append(retract("claim", "often-0", expect=1), retract("claim", "twice-0", expect=1)),
        served.append(retract("source", "late", expect=1), retract("question", "twice", expect=1)),
    ]


def _told_most(served: Served, position: int, counts: list[int]) -> None:
    """Look at the questions at a position, at all clocks, in pages of every size, both ways."""
    places = range(len(STORIES))
    most, least = (sorted(places, key=lambda n: (way * counts[n], n)) for way in (-1, 1))
    for clock in ("", "&valid_at=%5B2015..2025%5D", "&published_by=2030"):
        asked = f"/v1/questions?about=told&as_of={position}{clock}"
        shown = served.get(f"{asked}&include=agreement").json()["agreement"]
        assert [shown[name]["claim_count"] for name in STORIES] == counts
        for order, expected in (("-claims", most), ("claims", least)):
            for limit in (1, 4, 500):
                assert _walk(served, f"{asked}&order={order}&limit={limit}") == [STORIES[n] for n in expected]
        alone = _walk(served, f"{asked}&order=-claims&agreement=single-origin&limit=2")
        assert alone == [STORIES[n] for n in most if shown[STORIES[n]]["state"] == "single-origin"]


def test_questions_are_listed_by_how_many_live_claims_they_have(served: Served, steps: list[int]) -> None:
    for position, counts in zip(steps, COUNTED, strict=True):
        _told_most(served, position, counts)
    before = served.get(f"/v1/questions?about=told&order=-claims&as_of={steps[0]}")
    for kind, one in (("claim", "as-often-0"), ("source", "other")):
        body = {"kind": kind, "id": one, "basis": "error", "reason": "X"}
        assert served.post("/v1/redactions", body).status_code == 201
    for position, counts in zip(steps, ONCE_REDACTED, strict=True):
        _told_most(served, position, counts)
    again = served.get(f"/v1/questions?about=told&order=-claims&as_of={steps[0]}", If_None_Match=before.headers["etag"])
    assert again.status_code == 200


def test_the_most_repeated_stories_of_one_origin_are_one_request(served: Served, steps: list[int]) -> None:
    asked = f"/v1/questions?about=told&agreement=single-origin&order=-claims&include=agreement&as_of={steps[1]}&limit=2"
    page = served.get(asked).json()
    assert [item["id"] for item in page["items"]] == ["as-often", "twice"]
    assert {each["origin_count"] for each in page["agreement"].values()} == {1}
    assert page["next"].endswith(f"cursor=1.{page['items'][-1]['first_position']}")
    [origin] = served.get(f"/v1/questions/as-often/answers?as_of={steps[1]}").json()["origins"]
    assert origin["claim_count"] == 4


def test_the_other_clocks_need_something_to_weigh(served: Served) -> None:
    for clock in ("published_by=2021", "valid_at=2021"):
        told = refused(served.get(f"/v1/questions?{clock}"), 409, "not-applicable", parameter=clock.partition("=")[0])
        assert "need agreement here" in told["detail"]
        for way in (
            "agreement=open",
            "include=agreement",
            "facets=agreement",
            "order=-agreement",
            "include=entities,agreement",
        ):
            assert served.get(f"/v1/questions?{clock}&{way}").status_code == 200
