"""Looking back: a record at any moment, its history, what differs between two revisions or two moments, and the timeline."""

import json
from typing import Any

import jsonpatch
import pytest

from tests.support.builders import (
    a_claim,
    a_question,
    a_source,
    an_entity,
    an_id,
    link,
    restore,
    retract,
    revise,
    unlink,
)
from tests.support.served import Served, refused


@pytest.fixture(scope="module")
def past(served: Served) -> Served:
    """A claim with every kind of event in its history, and events of others in between."""
    served.append(
        an_entity("parler"),
        a_source("paper"),
        a_question("when", about="parler"),
        a_claim("other", source="paper", question="when"),
    )
    for step in (
        a_claim("aged", source="paper", question="when"),
        revise("claim", "aged", expect=1, reason="Read again", statement="Parler vanished.", note="See page 2"),
        link("aged", "repeats", "other", expect=2),
        retract("claim", "aged", expect=3, reason="Not there"),
        restore("claim", "aged", expect=4),
        unlink("aged", "repeats", "other", expect=5),
        restore("claim", "aged", expect=6, revision=1),
    ):
        served.append(step)
        served.append(an_entity())
    return served


def _revisions(past: Served) -> list[dict[str, Any]]:
    return [past.get(f"/v1/claims/aged/revisions/{number}").json() for number in range(1, 8)]


def test_a_record_is_shown_as_it_stood_at_every_position(past: Served) -> None:
    revisions = _revisions(past)
    for position in range(1, past.head() + 1):
        standing = [shown for shown in revisions if shown["position"] <= position]
        response = past.get(f"/v1/claims/aged?as_of={position}")
        if not standing:
            refused(response, 404, "unknown-record")
            continue
        assert response.json() == standing[-1]
        assert response.headers["ledger-position"] == str(position)


def test_a_record_is_shown_as_it_stood_at_a_time_the_edges_included(past: Served) -> None:
    revisions = _revisions(past)
    for before, shown in zip([None, *revisions], revisions, strict=False):
        assert past.get(f"/v1/claims/aged?as_of={shown['revised_at']}").json() == shown
        digits = int(shown["revised_at"][20:26])
        if digits:
            just_before = f"{shown['revised_at'][:20]}{digits - 1:06d}Z"
            response = past.get(f"/v1/claims/aged?as_of={just_before}")
            assert (response.json() == before) if before else (response.status_code == 404)


def test_times_may_be_written_in_any_zone_and_precision(past: Served) -> None:
    first = past.get("/v1/claims/aged/revisions/1").json()
    moment = first["revised_at"]
    assert past.get(f"/v1/claims/aged?as_of={moment[:-1]}%2B00:00").json() == first
    assert past.get(f"/v1/claims/aged?as_of={moment[:-1]}-00:00").json() == first
    assert past.get("/v1/claims?as_of=1999-12-31T23:59:59.5%2B14:00").json()["position"] == 0


def test_every_revision_keeps_what_was_said_when_it_was_made(past: Served) -> None:
    shown = _revisions(past)
    assert [each["revision"] for each in shown] == [1, 2, 3, 4, 5, 6, 7]
    assert [each["status"] for each in shown] == ["asserted"] * 3 + ["retracted"] + ["asserted"] * 3
    assert [each["statement"] for each in shown] == ["Parler went offline."] + ["Parler vanished."] * 5 + [
        "Parler went offline."
    ]
    assert [len(each["links"]) for each in shown] == [0, 0, 1, 1, 1, 0, 0]
    assert shown[2]["links"][0]["position"] == shown[2]["position"] == shown[4]["links"][0]["position"]
    for each in shown:
        assert each["first_position"] == shown[0]["position"]
        assert each["recorded_at"] == shown[0]["revised_at"]


def test_the_history_says_who_when_why_and_which_fields(past: Served) -> None:
    page = past.get("/v1/claims/aged/revisions").json()
    lines = page["items"]
    assert [line["revision"] for line in lines] == [7, 6, 5, 4, 3, 2, 1]
    assert [line["type"] for line in lines] == [
        "restored",
        "unlinked",
        "restored",
        "retracted",
        "linked",
        "revised",
        "recorded",
    ]
    assert [line["reason"] for line in lines] == [
        "It was there",
        "Not so",
        "It was there",
        "Not there",
        "Same words",
        "Read again",
        None,
    ]
    assert [line["fields"] for line in lines[:6]] == [
        ["note", "statement"],
        ["links"],
        ["status"],
        ["status"],
        ["links"],
        ["note", "statement"],
    ]
    for line, shown in zip(lines, reversed(_revisions(past)), strict=True):
        assert (line["position"], line["recorded_at"], line["status"]) == (
            shown["position"],
            shown["revised_at"],
            shown["status"],
        )
        assert line["actor"] == shown["recorded_by"]


def test_the_history_is_paged_and_follows_the_ledgers_clock(past: Served) -> None:
    found, following = list[int](), "/v1/claims/aged/revisions?limit=3"
    while following:
        page = past.get(following).json()
        found += [line["revision"] for line in page["items"]]
        following = page["next"]
        past.append(an_entity())
    assert found == [7, 6, 5, 4, 3, 2, 1]
    third = past.get("/v1/claims/aged/revisions/3").json()["position"]
    assert [line["revision"] for line in past.get(f"/v1/claims/aged/revisions?as_of={third}").json()["items"]] == [
        3,
        2,
        1,
    ]
    refused(past.get("/v1/claims/aged/revisions?as_of=1"), 404, "unknown-record")
    assert past.get("/v1/claims/aged/revisions?cursor=0").json()["items"] == []


def _state(past: Served, number: int) -> dict[str, Any]:
    position = past.get(f"/v1/claims/aged/revisions/{number}").json()["position"]
    state: dict[str, Any] = json.loads(past.get(f"/v1/events/{position}").json()["payload"])["state"]
    return state


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json-patch+json"])
def test_a_patch_really_leads_from_one_revision_to_the_other(past: Served, accept: str) -> None:
    for old in range(1, 8):
        for new in range(1, 8):
            response = past.get(f"/v1/claims/aged/diff?from={old}&to={new}", Accept=accept)
            expected = "application/json" if accept == "application/json" else "application/json-patch+json"
            assert response.headers["content-type"] == expected
            assert jsonpatch.apply_patch(_state(past, old), response.json()) == _state(past, new)
            assert (response.json() == []) == (_state(past, old) == _state(past, new))


def test_links_are_shown_from_both_ends_at_any_position(past: Served) -> None:
    made = past.get("/v1/claims/aged/revisions/3").json()["position"]
    gone = past.get("/v1/claims/aged/revisions/6").json()["position"]
    expected = {"relation": "repeats", "reason": "Same words", "position": made, "redacted": None}
    for position in (made, made + 1, gone - 1):
        shown = past.get(f"/v1/claims/aged/links?as_of={position}").json()
        assert shown["outgoing"] == [{**expected, "claim": "other"}]
        assert shown["incoming"] == []
        shown = past.get(f"/v1/claims/other/links?as_of={position}").json()
        assert shown["incoming"] == [{**expected, "claim": "aged"}]
        assert shown["outgoing"] == []
    for position in (made - 1, gone):
        shown = past.get(f"/v1/claims/other/links?as_of={position}").json()
        assert (shown["incoming"], shown["outgoing"], shown["position"]) == ([], [], position)


def _diff(served: Served, query: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    items, turned = list[dict[str, Any]](), list[dict[str, Any]]()
    following: str | None = f"/v1/diff?{query}"
    while following:
        page = served.get(following)
        assert page.status_code == 200, page.text
        items += page.json()["items"]
        turned += page.json()["agreement"]
        following = page.json()["next"]
    return items, turned


def _dispute(served: Served) -> tuple[str, list[int]]:
    """A question that becomes single-origin, then disputed, then agreed; with the position after each step."""
    entity, question, first, second = an_id("e"), an_id("q"), an_id("s"), an_id("s")
    one, two, three = an_id("c"), an_id("c"), an_id("c")
    steps = [
        [an_entity(entity), a_source(first), a_source(second), a_question(question, about=entity)],
        [a_claim(one, source=first, question=question)],
        [a_claim(two, source=second, question=question, answer={"type": "time", "edtf": "2020"})],
        [retract("claim", two, expect=1), a_claim(three, source=second, question=question)],
    ]
    return question, [served.append(*step) for step in steps]


def test_the_difference_between_two_moments_names_what_turned(past: Served) -> None:
    question, positions = _dispute(past)
    for start, end, before, after in (
        (0, 1, "open", "single-origin"),
        (1, 2, "single-origin", "disputed"),
        (2, 3, "disputed", "agreed"),
        (0, 3, "open", "agreed"),
    ):
        _, turned = _diff(past, f"from={positions[start]}&to={positions[end]}")
        assert [(each["question"], each["from"], each["to"]) for each in turned] == [(question, before, after)]
        assert positions[start] < turned[0]["position"] <= positions[end]


def test_from_is_exclusive_and_to_inclusive(past: Served) -> None:
    first = past.append(an_entity())
    second = past.append(an_entity())
    assert [item["position"] for item in _diff(past, f"from={first}&to={second}")[0]] == [second]
    assert [item["position"] for item in _diff(past, f"from={first - 1}&to={first}")[0]] == [first]
    assert _diff(past, f"from={second}&to={second}") == ([], [])
    assert [item["position"] for item in _diff(past, f"from={first}")[0]] == [second]


def test_each_record_stands_once_with_where_it_ended_up(past: Served) -> None:
    entity, start = an_id("e"), past.head()
    steps = [
        an_entity(entity),
        revise("entity", entity, expect=1, name="X"),
        retract("entity", entity, expect=2),
        restore("entity", entity, expect=3),
    ]
    ends = [past.append(step) for step in steps]
    spans = {(start, ends[0]): "recorded", (start, ends[3]): "recorded", (ends[0], ends[1]): "revised",
             (ends[0], ends[2]): "retracted", (ends[2], ends[3]): "restored", (ends[1], ends[3]): "revised"}  # fmt: skip
    for (old, new), change in spans.items():
        (item,) = _diff(past, f"from={old}&to={new}")[0]
        assert (item["kind"], item["id"], item["change"], item["position"]) == ("entity", entity, change, new)
        known = [end for end in ends if end <= old]
        assert item["from_revision"] == (len(known) or None)
        assert item["to_revision"] == ends.index(new) + 1


def test_a_difference_read_page_by_page_is_whole(past: Served) -> None:
    _dispute(past)
    whole = _diff(past, f"from=0&to={past.head()}&limit=500")
    assert _diff(past, f"from=0&to={past.head()}&limit=1") == whole
    assert _diff(past, f"from=0&to={past.head()}&limit=7") == whole
    page = past.get("/v1/diff?from=0&limit=2").json()
    assert page["next"].startswith(f"/v1/diff?from=0&to={past.head()}&limit=2&cursor=")
    past.append(an_entity())
    assert past.get(page["next"]).json()["to"] == page["to"]


def test_moments_may_be_times(past: Served) -> None:
    position = past.append(an_entity())
    moment = past.get(f"/v1/events?after={position - 1}").json()["items"][0]["recorded_at"]
    shown = past.get(f"/v1/diff?from=1970-01-01T00:00:00Z&to={moment}").json()
    assert (shown["from"], shown["to"], shown["position"]) == (0, position, position)
    refused(past.get(f"/v1/diff?from={position}&to=1"), 409, "interval-reversed", parameter="to")


def test_the_timeline_shows_live_claims_in_order_of_when_they_hold(past: Served) -> None:
    entity, question, source = an_id("e"), an_id("q"), an_id("s")
    past.append(an_entity(entity), a_source(source), a_question(question, about=entity))
    dates = {"2021-01-11T08:00Z": 3, "2020": 1, "../2019": 0, "2021-01-11": 2, "2021-02/..": 4}
    made = {date: an_id("c") for date in dates}
    past.append(
        *(
            a_claim(made[date], source=source, question=question, answer={"type": "time", "edtf": date})
            for date in dates
        )
    )
    past.append(a_claim(an_id("c"), source=source, question=question), retract("claim", made["2021-02/.."], expect=1))
    expected = [made[date] for date in sorted(dates, key=lambda date: dates[date])][:4]
    for limit in (1, 2, 500):
        found, following = list[str](), f"/v1/timeline?question={question}&limit={limit}"
        while following:
            page = past.get(following).json()
            found += [item["id"] for item in page["items"]]
            assert set(page["questions"]) == {item["question"] for item in page["items"]}
            following = page["next"]
            past.append(an_entity())
        assert [claim for claim in found if claim in made.values()] == expected
    shown = past.get(f"/v1/timeline?question={question}&include=source").json()
    assert set(shown["sources"]) == {source}
    assert shown["questions"][question] == past.get(f"/v1/questions/{question}").json()


def test_the_timeline_is_one_of_its_position(past: Served) -> None:
    entity, question, source, claim = an_id("e"), an_id("q"), an_id("s"), an_id("c")
    made = past.append(
        an_entity(entity),
        a_source(source),
        a_question(question, about=entity),
        a_claim(claim, source=source, question=question),
    )
    past.append(retract("source", source, expect=1))
    assert past.get(f"/v1/timeline?question={question}").json()["items"] == []
    assert [item["id"] for item in past.get(f"/v1/timeline?question={question}&as_of={made}").json()["items"]] == [
        claim
    ]
    assert past.get(f"/v1/timeline?question={question}&as_of={made - 1}").json()["items"] == []


def test_counts_are_those_of_their_position(past: Served) -> None:
    before = past.get("/v1/stats").json()
    past.append(an_entity(), a_source(type="wire"))
    after = past.get("/v1/stats").json()
    assert after["events"] == before["events"] + 2 == after["position"]
    assert after["by_type"]["recorded"] == before["by_type"]["recorded"] + 2
    assert after["records"]["entity"]["asserted"] == before["records"]["entity"]["asserted"] + 1
    assert past.get(f"/v1/stats?as_of={before['position']}").json() == before
    assert past.get("/v1/stats?as_of=0").json()["events"] == 0
