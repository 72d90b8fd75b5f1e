"""Every page ends before 2 MiB, wherever large records stand, and whoever follows `next` sees everything once."""

from collections.abc import Iterator
from typing import Any

import pytest

from api.ledger.storage.database import Database
from tests.support.builders import a_claim, a_question, a_source, an_entity, link, revise
from tests.support.databases import is_sqlite
from tests.support.served import Served

LIMIT = 2 << 20
COUNT = 44
# Four bytes in UTF-8 each.
LONG, LINE, NAME = "𝄞" * 10_000, "𝄞" * 2_000, "𝄞" * 500


@pytest.fixture(scope="module")
def large(served: Served) -> Served:
    """Forty-four of each kind, as long as they may be; and a record of 300 revisions whose reasons are."""
    names = {f"x-{number}": NAME for number in range(100)}
    served.append(*(an_entity(f"e{n:02}", names=names, note=LONG) for n in range(COUNT)))
    dates = {"published": "2021", "publisher": "e00"}
    served.append(*(a_source(f"s{n:02}", authors=[NAME] * 100, note=LONG, **dates) for n in range(COUNT)))
    served.append(*(a_question(f"q{n:02}", about="e00", note=LONG) for n in range(COUNT)))
    served.append(
        *(_claim(n, f"c{n:02}", "q00") for n in range(COUNT)),
        *(_claim(n, f"d{n:02}", f"q{n:02}") for n in range(COUNT)),
    )
    served.append(an_entity("often"), *(revise("entity", "often", name=f"X{n}", reason=LINE) for n in range(300)))
    return served


def _claim(number: int, public_id: str, question: str) -> dict[str, Any]:
    answer = {"type": "time", "edtf": f"2021-01-{number % 5 + 1:02}"}
    speaker = f"e{number:02}" if public_id.startswith("d") else None
    return a_claim(public_id, source=f"s{number:02}", question=question, note=LONG, answer=answer, speaker=speaker)


def _pages(served: Served, path: str) -> Iterator[dict[str, Any]]:
    following: str | None = path
    while following is not None:
        response = served.get(following, Accept_Encoding="identity")
        assert response.status_code == 200, response.text
        assert len(response.content) < LIMIT, f"{path}: {len(response.content)}"
        yield response.json()
        following = response.json()["next"]


LISTS = {
    "entities?limit=500": [f"e{n:02}" for n in range(COUNT)] + ["often"],
    "entities?limit=500&order=-revised": ["often"] + [f"e{n:02}" for n in reversed(range(COUNT))],
    "entities?limit=500&fields=name&facets=type": [f"e{n:02}" for n in range(COUNT)] + ["often"],
    "sources?limit=500&facets=authors,publisher,language": [f"s{n:02}" for n in range(COUNT)],
    "sources?limit=500&published_by=2022": [f"s{n:02}" for n in range(COUNT)],
    "questions?limit=500&agreement=single-origin&published_by=2022": [f"q{n:02}" for n in range(1, COUNT)],
    "claims?limit=500&question=q00": [f"c{n:02}" for n in range(COUNT)] + ["d00"],
    "claims?limit=500&include=source&live=true": [f"{x}{n:02}" for x in "cd" for n in range(COUNT)],
    "claims?limit=500&include=source,entities&speaker=e01&speaker=e02&speaker=e03&speaker=e04": [f"d0{n}" for n in range(1, 5)],
    "claims?order=-published&limit=500": [f"{x}{n:02}" for n in reversed(range(COUNT)) for x in "dc"],
    "sources?order=published&limit=500": [f"s{n:02}" for n in range(COUNT)],
    "questions?order=agreement&limit=500": [f"q{n:02}" for n in range(COUNT)],
    "questions?order=agreement&limit=500&valid_at=2021": [f"q{n:02}" for n in range(COUNT)],
    "entities?limit=1&" + "&".join(f"id=e{n:02}" for n in range(COUNT)): [f"e{n:02}" for n in range(COUNT)],
}  # fmt: skip


@pytest.mark.parametrize("asked", LISTS)
def test_a_list_of_large_records_ends_before_two_mebibytes_and_goes_on(large: Served, asked: str) -> None:
    pages = list(_pages(large, f"/v1/{asked}"))
    assert [item["id"] for page in pages for item in page["items"]] == LISTS[asked]
    assert len(pages) > 1
    for page in pages:
        for claim in page["items"] if "include" in asked else ():
            assert claim["source"] in page["sources"]
            assert "entities" not in asked or {"e00", claim["speaker"]} <= page["entities"].keys()


def test_the_timeline_with_its_questions_and_sources_ends_before_two_mebibytes(large: Served) -> None:
    pages = list(_pages(large, "/v1/timeline?limit=500&include=source"))
    assert sorted(item["id"] for page in pages for item in page["items"]) == sorted(
        LISTS["claims?limit=500&include=source&live=true"]
    )
    for page in pages:
        assert {item["question"] for item in page["items"]} == set(page["questions"])
        assert {item["source"] for item in page["items"]} == set(page["sources"])


def test_a_history_of_long_reasons_ends_before_two_mebibytes(large: Served) -> None:
    pages = list(_pages(large, "/v1/entities/often/revisions?limit=500"))
    assert [line["revision"] for page in pages for line in page["items"]] == list(range(301, 0, -1))
    assert len(pages) > 1


@pytest.mark.parametrize("how", ["", "&exact=true", "&state=false", "&kind=entity"])
def test_the_feed_ends_before_two_mebibytes_and_skips_nothing(large: Served, how: str) -> None:
    seen, after, head = list[int](), 0, large.head()
    while after < head:
        response = large.get(f"/v1/events?after={after}&limit=500{how}", Accept_Encoding="identity")
        assert len(response.content) < LIMIT
        seen += [item["position"] for item in response.json()["items"]]
        page = response.json()
        assert (page["next"] is None) is page["resume"].endswith(f"after={head}")
        assert after < int(page["resume"].partition("after=")[2].partition("&")[0])
        after = int(page["resume"].partition("after=")[2].partition("&")[0])
    entities = [*range(2, 2 + COUNT), *range(head - 300, head + 1)]
    assert seen == (entities if "kind" in how else list(range(1, head + 1)))


def test_answers_with_sources_end_before_two_mebibytes(large: Served) -> None:
    pages = list(_pages(large, "/v1/questions/q00/answers?limit=500&include=source"))
    assert [claim["id"] for page in pages for claim in page["claims"]] == [f"c{n:02}" for n in range(COUNT)] + ["d00"]
    assert len(pages) > 1
    for page in pages:
        assert {claim["source"] for claim in page["claims"]} == set(page["sources"])
        assert (page["claim_count"], page["conflict_count"]) == (COUNT + 1, pages[0]["conflict_count"])


def test_an_event_that_turns_more_questions_than_a_page_holds_is_told_page_by_page(served: Served) -> None:
    questions = [f"turned-{n}" for n in range(30)]
    start = served.append(
        an_entity("turning"),
        a_source("taken-back"),
        *(a_question(question, about="turning") for question in questions),
        *(a_claim(source="taken-back", question=question) for question in questions),
    )
    served.append(
        {"op": "retract", "kind": "source", "id": "taken-back", "expect": 1, "reason": "X"},
        revise("entity", "turning", expect=1, name="Y"),
    )
    pages = list(_pages(served, f"/v1/diff?from={start}&limit=7"))
    assert [turned["question"] for page in pages for turned in page["agreement"]] == questions
    assert [item["id"] for page in pages for item in page["items"]] == ["taken-back", "turning"]
    assert all(len(page["agreement"]) <= 7 for page in pages)


def test_the_links_that_many_claims_make_to_one_are_told_page_by_page(served: Served) -> None:
    served.append(an_entity("linked"), a_source("linking"), a_question("about-links", about="linked"))
    linking = [f"linking-{n}" for n in range(12)]
    served.append(*(a_claim(one, source="linking", question="about-links") for one in ["target", *linking]))
    made = [link(one, "repeats", "target", reason=LINE, expect=1) for one in linking]
    served.append(*made, link(linking[3], "corroborates", "target"), link("target", "repeats", linking[0], expect=1))
    pages = list(_pages(served, "/v1/claims/target/links?limit=5"))
    assert len(pages) == 3
    told = [(each["claim"], each["relation"]) for page in pages for each in page["incoming"]]
    assert sorted(told) == sorted([*((one, "repeats") for one in linking), (linking[3], "corroborates")])
    assert all([each["claim"] for each in page["outgoing"]] == [linking[0]] for page in pages)
    assert served.get("/v1/claims/target/links").json()["next"] is None


def test_rows_are_read_until_they_come_to_so_many_bytes_and_one_is_read_however_long_it_is(database: Database) -> None:
    access = database.access()
    given = " UNION ALL ".join(f"SELECT {n} AS place, {size} AS size" for n, size in enumerate((50, 3, 3, 3)))
    zeros = "zeroblob(size)" if is_sqlite(access) else "decode(repeat('00', size), 'hex')"
    for most, first, count, is_more in (
        (10, 0, 1, True),
        (56, 0, 3, True),
        (59, 0, 4, False),
        (9, 1, 3, False),
        (5, 1, 1, True),
        (6, 1, 2, True),
    ):
        sql = f"SELECT {zeros} AS said, place FROM ({given}) given WHERE place >= ? ORDER BY place"
        rows, follows = access.rows_within(sql, (first,), most)
        assert ([row[1] for row in rows], follows) == (list(range(first, first + count)), is_more)


def test_one_record_with_all_that_it_names_ends_before_two_mebibytes(large: Served) -> None:
    """Where even that does not fit, the last entities are left out."""
    everyone = [f"e{n:02}" for n in range(COUNT)]
    large.append(
        a_question("who-all", about="e00", answer_type="entities"),
        a_claim("all-of-them", source="s00", question="who-all", answer={"type": "entities", "entities": everyone}),
    )
    for path in ("/v1/claims/all-of-them?include=source,entities", "/v1/claims?id=all-of-them&include=entities"):
        response = large.get(path, Accept_Encoding="identity")
        assert len(response.content) < LIMIT
        shown = list(response.json()["entities"])
        assert 1 < len(shown) < COUNT
        assert shown == everyone[: len(shown)]
