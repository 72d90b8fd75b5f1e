"""The agreement view over HTTP: what live claims add up to, at the three clocks."""

from typing import Any

import pytest

from tests.support.builders import Operation, a_claim, a_question, a_source, an_entity, an_id, link, retract, revise
from tests.support.served import Served, refused


class Dispute:
    """Two newspapers that disagree on when, the later one modified, and a third that repeats the first."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.question, self.early, self.late, self.repeat = an_id("q"), an_id("s"), an_id("s"), an_id("s")
        self.monday, self.sunday, self.again = an_id("c"), an_id("c"), an_id("c")
        entity = an_id("e")
        self.recorded = served.append(
            an_entity(entity),
            a_question(self.question, about=entity),
            a_source(self.early, published="2021-01-11T10:00Z"),
            a_source(self.late, published="2021-01-12T10:00Z"),
            a_source(self.repeat, published="2021-01-11T11:00Z", derives_from=[self.early]),
            self._claim(self.monday, self.early, "2021-01-11"),
        )
        self.repeated = served.append(self._claim(self.again, self.repeat, "2021-01-11"))
        self.disputed = served.append(self._claim(self.sunday, self.late, "2021-01-08"))

    def _claim(self, public_id: str, source: str, edtf: str) -> Operation:
        return a_claim(public_id, source=source, question=self.question, answer={"type": "time", "edtf": edtf})

    def answers(self, query: str = "") -> dict[str, Any]:
        response = self.served.get(f"/v1/questions/{self.question}/answers{query}")
        assert response.status_code == 200, response.text
        shown: dict[str, Any] = response.json()
        return shown

    def is_listed(self, query: str) -> bool:
        ids = {item["id"] for item in self.served.get(f"/v1/questions?limit=500&{query}").json()["items"]}
        return self.question in ids


@pytest.fixture
def dispute(served: Served) -> Dispute:
    return Dispute(served)


def test_a_dispute_shows_its_groups_origins_and_conflicts(dispute: Dispute) -> None:
    shown = dispute.answers()
    assert shown["state"] == "disputed"
    assert [group["claims"] for group in shown["groups"]] == [[dispute.monday, dispute.again], [dispute.sunday]]
    assert [len(group["origins"]) for group in shown["groups"]] == [1, 1]
    assert sorted(sorted(pair) for pair in shown["conflicts"]) == sorted(
        sorted((c, dispute.sunday)) for c in (dispute.monday, dispute.again)
    )
    assert shown["conflict_count"] == 2
    assert shown["question"]["id"] == dispute.question
    assert [claim["id"] for claim in shown["claims"]] == [dispute.monday, dispute.again, dispute.sunday]
    assert shown["rules"] >= 1
    assert shown["position"] == dispute.served.head()


def test_a_question_without_claims_is_open(served: Served) -> None:
    entity, question = an_id("e"), an_id("q")
    served.append(an_entity(entity), a_question(question, about=entity))
    shown = served.get(f"/v1/questions/{question}/answers").json()
    assert (shown["state"], shown["groups"], shown["claims"], shown["origins"]) == ("open", [], [], [])


def test_agreement_is_computed_at_the_ledgers_clock(dispute: Dispute) -> None:
    states = [
        dispute.answers(f"?as_of={position}")["state"]
        for position in (dispute.recorded - 1, dispute.recorded, dispute.repeated, dispute.disputed)
    ]
    assert states == ["open", "single-origin", "single-origin", "disputed"]
    refused(dispute.served.get(f"/v1/questions/{dispute.question}/answers?as_of=1"), 404, "unknown-record")


def test_agreement_is_computed_at_the_sources_clock(dispute: Dispute) -> None:
    assert dispute.answers("?published_by=2021-01-11T10:30:00Z")["state"] == "single-origin"
    assert len(dispute.answers("?published_by=2021-01-11T10:30:00Z")["claims"]) == 1
    assert len(dispute.answers("?published_by=2021-01-11T12:00:00Z")["claims"]) == 2
    assert dispute.answers("?published_by=2021-01-13")["state"] == "disputed"
    assert dispute.answers("?published_by=2021-01-09")["claims"] == []
    # A day is read in every zone: the tenth is not over in UTC-12 when the first paper came out.
    assert len(dispute.answers("?published_by=2021-01-10")["claims"]) == 2
    assert dispute.answers("?published_by=2021-01-10&mode=certain")["claims"] == []


def test_agreement_is_computed_at_the_worlds_clock(dispute: Dispute) -> None:
    assert [claim["id"] for claim in dispute.answers("?valid_at=2021-01-08T12:00:00Z")["claims"]] == [dispute.sunday]
    assert dispute.answers("?valid_at=2021-01-08T12:00:00Z")["state"] == "single-origin"
    assert dispute.answers("?valid_at=2020")["claims"] == []
    # A day without a zone is a moment somewhere in it: possible at an hour of it, certain over nothing less than it all.
    assert dispute.answers("?valid_at=2021-01-08T12:00:00Z&mode=certain")["claims"] == []
    assert [claim["id"] for claim in dispute.answers("?valid_at=2021-01-07/2021-01-09&mode=certain")["claims"]] == [
        dispute.sunday
    ]


def test_the_source_is_judged_as_the_ledger_had_it(dispute: Dispute) -> None:
    before = dispute.served.head()
    dispute.served.append(revise("source", dispute.late, expect=1, published="2021-01-10"))
    asked = "published_by=2021-01-11T10:30:00Z"
    assert dispute.answers(f"?{asked}")["state"] == "disputed"
    assert dispute.answers(f"?{asked}&as_of={before}")["state"] == "single-origin"


def test_what_is_retracted_no_longer_counts(dispute: Dispute) -> None:
    served, head = dispute.served, dispute.served.head()
    served.append(retract("source", dispute.late, expect=1))
    assert dispute.answers()["state"] == "single-origin"
    assert dispute.answers(f"?as_of={head}")["state"] == "disputed"
    served.append(retract("question", dispute.question, expect=1))
    assert dispute.answers()["claims"] == []
    assert dispute.answers()["state"] == "open"


def test_a_correction_leaves_the_corrected_claim_on_view(dispute: Dispute) -> None:
    dispute.served.append(link(dispute.monday, "corrects", dispute.sunday, expect=1))
    shown = dispute.answers()
    assert shown["state"] == "single-origin"
    assert shown["superseded"] == [{"claim": dispute.sunday, "by": [dispute.monday]}]
    assert dispute.sunday in [claim["id"] for claim in shown["claims"]]


def test_sources_are_shown_on_request(dispute: Dispute) -> None:
    assert "sources" not in dispute.answers()
    shown = dispute.answers("?include=source")["sources"]
    assert set(shown) == {dispute.early, dispute.late, dispute.repeat}
    assert shown[dispute.early] == dispute.served.get(f"/v1/sources/{dispute.early}").json()


def test_questions_are_listed_by_their_agreement_at_any_time(dispute: Dispute) -> None:
    assert dispute.is_listed("agreement=disputed")
    assert not dispute.is_listed("agreement=single-origin")
    assert dispute.is_listed(f"agreement=single-origin&as_of={dispute.repeated}")
    assert not dispute.is_listed(f"agreement=disputed&as_of={dispute.repeated}")
    assert dispute.is_listed(f"agreement=open&as_of={dispute.recorded - 1}")


def test_questions_are_listed_by_their_agreement_at_the_other_clocks(dispute: Dispute) -> None:
    assert dispute.is_listed("agreement=single-origin&published_by=2021-01-11T12:00:00Z")
    assert not dispute.is_listed("agreement=disputed&published_by=2021-01-11T12:00:00Z")
    assert dispute.is_listed("agreement=single-origin&valid_at=2021-01-08T12:00:00Z")
    assert dispute.is_listed("agreement=open&valid_at=2021-01-08T12:00:00Z&mode=certain")
    assert dispute.is_listed(f"agreement=open&published_by=2021-01-12&as_of={dispute.recorded - 1}")


def test_facets_of_questions_by_agreement_count_what_is_listed(dispute: Dispute) -> None:
    for query in (
        "agreement=single-origin",
        "agreement=single-origin&published_by=2021-01-11T12:00:00Z",
        "agreement=disputed&valid_at=2019",
    ):
        page = dispute.served.get(f"/v1/questions?{query}&facets=answer_type&limit=500").json()
        assert sum(value["count"] for value in page["facets"]["answer_type"]) == len(page["items"])


def test_a_question_that_is_not_there_has_no_answers(served: Served) -> None:
    refused(served.get("/v1/questions/nobody/answers"), 404, "unknown-record")
    for query in ("q=x", "order=recorded", "agreement=disputed", "stance=asserts"):
        name = query.partition("=")[0]
        refused(served.get(f"/v1/questions/nobody/answers?{query}"), 400, "bad-parameter", parameter=name)


def test_a_correction_from_another_question_counts_from_when_its_source_was_published(served: Served) -> None:
    served.append(
        an_entity("gab"),
        a_source("early", published="2021-01-09T00:00Z"),
        a_source("late", published="2021-02-01T00:00Z"),
        a_question("gab-one", about="gab", answer_type="boolean"),
        a_question("gab-two", about="gab", answer_type="boolean"),
        a_claim("first-said", source="early", question="gab-one", answer={"type": "boolean", "value": True}),
        a_claim("then-said", source="late", question="gab-two", answer={"type": "boolean", "value": False}),
        link("then-said", "corrects", "first-said"),
    )
    asked = "/v1/questions/gab-one/answers"
    assert served.get(asked).json()["superseded"] == [{"claim": "first-said", "by": ["then-said"]}]
    for mode in ("possible", "certain"):
        before = served.get(f"{asked}?published_by=2021-01-15T00:00:00Z&mode={mode}").json()
        assert (before["state"], before["superseded"]) == ("single-origin", [])
        listed = served.get(f"/v1/questions?agreement=open&published_by=2021-01-15T00:00:00Z&mode={mode}&limit=500")
        assert "gab-one" not in [question["id"] for question in listed.json()["items"]]


MANY = 130


@pytest.fixture(scope="module")
def many(served: Served) -> str:
    """A question with many claims that say one thing, from as many sources, and some that say another each."""
    question, entity = an_id("q"), an_id("e")
    served.append(an_entity(entity), a_question(question, about=entity, answer_type="quantity", unit="users"))
    amounts = ["5"] * MANY + [str(number) for number in range(100, 110)]
    for number, amount in enumerate(amounts):
        source = f"{question}-s{number:03}"
        answer = {"type": "quantity", "amount": amount, "unit": "users"}
        served.append(
            a_source(source), a_claim(f"{question}-c{number:03}", source=source, question=question, answer=answer)
        )
    return question


def _walk(served: Served, path: str) -> list[dict[str, Any]]:
    pages = [served.get(path).json()]
    while pages[-1]["next"] is not None:
        response = served.get(pages[-1]["next"])
        assert response.headers["ledger-position"] == str(pages[0]["position"])
        pages.append(response.json())
    return pages


def test_claims_come_by_the_hundred_and_next_goes_on_at_the_same_position(served: Served, many: str) -> None:
    path, ids = f"/v1/questions/{many}/answers", [f"{many}-c{number:03}" for number in range(MANY + 10)]
    first = served.get(path)
    assert [claim["id"] for claim in first.json()["claims"]] == ids[:100]
    assert first.json()["claim_count"] == len(ids)
    assert first.headers["link"] == f'<{first.json()["next"]}>; rel="next"'
    assert f"as_of={first.json()['position']}" in first.json()["next"]
    head = first.json()["position"]
    served.append(
        a_claim(source=f"{many}-s000", question=many, answer={"type": "quantity", "amount": "5", "unit": "users"})
    )
    assert [claim["id"] for claim in served.get(first.json()["next"]).json()["claims"]] == ids[100:]
    for limit in (7, 139, 140, 500):
        pages = _walk(served, f"{path}?limit={limit}&as_of={head}")
        assert [claim["id"] for page in pages for claim in page["claims"]] == ids
        assert all(page["groups"] == pages[0]["groups"] for page in pages)
    for wrong in ("limit=0", "limit=501", "cursor=x", "group=-1", "group=x"):
        refused(served.get(f"{path}?{wrong}"), 400, "bad-parameter", parameter=wrong.partition("=")[0])


def test_a_group_is_counted_whole_shown_by_its_first_hundred_and_paged_by_its_number(served: Served, many: str) -> None:
    path = f"/v1/questions/{many}/answers"
    whole = served.get(f"{path}?limit=1").json()
    number = next(n for n, group in enumerate(whole["groups"]) if group["claim_count"] >= MANY)
    group = whole["groups"][number]
    assert (len(group["claims"]), len(group["sources"]), len(group["origins"])) == (100, 100, 100)
    assert (group["source_count"], group["origin_count"], group["beside_count"]) == (MANY, MANY, 0)
    assert (whole["group_count"], whole["group"], whole["groups_complete"]) == (11, None, True)
    assert (len(whole["origins"]), whole["origin_count"]) == (100, MANY + 10)
    pages = _walk(served, f"{path}?group={number}&limit=90&as_of={whole['position']}")
    assert len(pages) == 2
    for page in pages:
        assert (page["group"], page["group_count"], page["claim_count"]) == (number, 11, group["claim_count"])
        ids = [claim["id"] for claim in page["claims"]]
        assert page["groups"][0]["claims"] == ids
        assert sorted(claim for origin in page["groups"][0]["origins"] for claim in origin) == sorted(ids)
    assert [claim["id"] for page in pages for claim in page["claims"]][:100] == group["claims"]
    told = refused(served.get(f"{path}?group=11"), 404, "unknown-group", parameter="group")
    assert "11 groups" in told["detail"]


def test_pairs_that_conflict_are_counted_and_paged(served: Served, many: str) -> None:
    asked, shown = f"/v1/questions/{many}/conflicts", served.get(f"/v1/questions/{many}/answers").json()
    at = f"as_of={shown['position']}"
    ids = [claim["id"] for page in _walk(served, f"/v1/questions/{many}/answers?{at}") for claim in page["claims"]]
    others = {f"{many}-c{number:03}" for number in range(MANY, MANY + 10)}
    said = [(public_id, public_id if public_id in others else "5") for public_id in ids]
    pairs = [
        [one, other]
        for place, (one, says) in enumerate(said)
        for other, says_too in said[place + 1 :]
        if says != says_too
    ]
    assert (shown["conflict_count"], shown["conflicts"]) == (len(pairs), pairs[:100])
    assert served.get(f"{asked}?{at}").json()["items"] == pairs[:100]
    assert [pair for page in _walk(served, f"{asked}?{at}&limit=499") for pair in page["items"]] == pairs
    assert served.get(f"{asked}?{at}&cursor=0.0&limit=1").json()["items"] == pairs[:1]
    assert served.get(f"{asked}?{at}&cursor=999999999.0").json()["items"] == []
    refused(served.get(f"{asked}?cursor=5"), 400, "bad-parameter", parameter="cursor")
    refused(served.get("/v1/questions/nobody/conflicts"), 404, "unknown-record")
