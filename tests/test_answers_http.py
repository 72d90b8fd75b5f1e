"""The agreement view over HTTP: what live claims add up to, at the three clocks."""

from typing import Any

import pytest

from tests.builders import Operation, a_claim, a_question, a_source, an_entity, an_id, link, retract, revise
from tests.served import Served, refused


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
    for query in ("q=x", "limit=1", "agreement=disputed", "stance=asserts"):
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
