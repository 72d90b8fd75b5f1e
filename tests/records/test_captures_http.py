"""A modified source was surely out in its first form where a capture of that is held: in every read that asks by when."""

from typing import Any

import pytest

from tests.support.builders import Operation, a_claim, a_question, a_source, an_entity, an_id, retract, revise
from tests.support.served import Served

# It was published in one minute and modified in another, and is asked for between them, and in the other's last second.
PUBLISHED, MODIFIED = "2021-01-11T16:30+01:00", "2021-01-12T10:00+01:00"
BETWEEN, AFTER = "2021-01-11T20:00:00Z", "2021-01-12T09:00:59Z"
READS = {
    "sources": "/v1/sources?published_by={}&mode=certain&id={source}",
    "claims": "/v1/claims?published_by={}&mode=certain&source={source}",
    "timeline": "/v1/timeline?published_by={}&mode=certain&source={source}",
    "questions": "/v1/questions?agreement=single-origin&published_by={}&mode=certain&id={question}",
}


def _capture(captured_at: str | None, completeness: str = "full") -> dict[str, Any]:
    return {"sha256": "0" * 64, "bytes": 1, "captured_at": captured_at, "completeness": completeness}


# What is held, and whether that shows the source to have been out before it was modified.
CAPTURES: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "none": ([], False),
    "one of before": ([_capture("2021-01-11T18:00:00Z")], True),
    "one of before in another zone": ([_capture("2021-01-12T09:59:59+01:00")], True),
    "an excerpt of before": ([_capture("2021-01-11T18:00:00Z", "excerpt")], True),
    "one of the very moment": ([_capture("2021-01-12T09:00:00Z")], False),
    "one of the moment before": ([_capture("2021-01-12T08:59:59.999999Z")], True),
    "one of after": ([_capture("2021-01-12T09:30:00Z")], False),
    "one of no stated time": ([_capture(None)], False),
    "the later first": ([_capture("2021-03-01T00:00:00Z"), _capture(None), _capture("2021-01-11T18:00:00Z")], True),
    "the earlier first": ([_capture("2021-01-11T18:00:00Z"), _capture("2021-03-01T00:00:00Z")], True),
}


def _shown(served: Served, source: str, question: str, moment: str, as_of: int | None = None) -> set[str]:
    """Tell in which reads the source, or what rests on it, is found as certainly published by a moment."""
    found = set()
    for name, address in READS.items():
        url = address.format(moment, source=source, question=question)
        page = served.get(url if as_of is None else f"{url}&as_of={as_of}")
        assert page.status_code == 200, page.text
        found |= {name} if page.json()["items"] else set()
    url = f"/v1/questions/{question}/answers?published_by={moment}&mode=certain"
    found |= {"answers"} if served.get(url if as_of is None else f"{url}&as_of={as_of}").json()["claims"] else set()
    return found


EVERYWHERE = {*READS, "answers"}


def _world(source: str, question: str, captures: list[dict[str, Any]]) -> list[Operation]:
    return [
        an_entity(source),
        a_source(source, published=PUBLISHED, modified=MODIFIED, captures=captures),
        a_question(question, about=source),
        a_claim(source=source, question=question),
    ]


@pytest.mark.parametrize("held", CAPTURES)
def test_a_capture_of_before_its_modification_makes_a_source_certainly_published_then(
    served: Served, held: str
) -> None:
    captures, is_shown = CAPTURES[held]
    source, question = an_id("s"), an_id("q")
    served.append(*_world(source, question, captures))
    assert _shown(served, source, question, BETWEEN) == (EVERYWHERE if is_shown else set())
    assert _shown(served, source, question, AFTER) == EVERYWHERE
    assert served.get(f"/v1/sources?published_by={BETWEEN}&id={source}").json()["items"], "it may have been in any case"


@pytest.mark.parametrize("held", CAPTURES)
def test_a_capture_that_is_added_or_taken_back_counts_from_then_on(served: Served, held: str) -> None:
    captures, is_shown = CAPTURES[held]
    source, question = an_id("s"), an_id("q")
    before = served.append(*_world(source, question, CAPTURES["none"][0]))
    if captures:
        held_since = served.append(revise("source", source, expect=1, captures=captures))
        assert _shown(served, source, question, BETWEEN) == (EVERYWHERE if is_shown else set())
        served.append(revise("source", source, expect=2, captures=[]))
        assert _shown(served, source, question, BETWEEN, held_since) == (EVERYWHERE if is_shown else set())
    assert _shown(served, source, question, BETWEEN) == _shown(served, source, question, BETWEEN, before) == set()
    served.append(retract("source", source, expect=3 if captures else 1))
    assert _shown(served, source, question, AFTER) == {"sources", "claims"}
