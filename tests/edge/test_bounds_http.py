"""The bounds of a request, to the byte: what is at one is taken, what is a byte, a field, a level or an item beyond is not."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.builders import a_claim, a_source, an_entity, an_id, revise
from tests.support.served import DATABASES, Served, migrated, refused, serve
from tests.support.stalls import ask

BODY, BATCH, OPERATIONS, DEEPEST = 2_000, 6_000, 7, 12
NDJSON, JSON = "application/x-ndjson", "application/json"


@pytest.fixture(scope="module", params=DATABASES)
def bounded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service whose bounds are small."""
    bounds = {"max_body": BODY, "max_batch": BATCH, "max_operations": OPERATIONS, "max_depth": DEEPEST}
    folder = tmp_path_factory.mktemp("bounded")
    with migrated(request, request.param, folder, **bounds) as settings, serve(settings) as service:
        yield service


def _status(served: Served, path: str, headers: dict[str, str]) -> int:
    return asyncio.run(ask(served.client.app, path, **headers))


@pytest.mark.parametrize(("count", "status"), [(63, 200), (64, 200), (65, 431)])
def test_a_request_has_sixty_four_fields_and_no_more(bounded: Served, count: int, status: int) -> None:
    # One of them is Host.
    assert _status(bounded, "/health/live", {f"x-{number}": "y" for number in range(count - 1)}) == status


@pytest.mark.parametrize(("size", "status"), [(-1, 200), (0, 200), (1, 431)])
def test_the_fields_of_a_request_hold_sixty_four_kibibytes_and_no_more(bounded: Served, size: int, status: int) -> None:
    left = 64 * 1024 - len("hostlocalhost") - len("x-large")
    assert _status(bounded, "/health/live", {"x-large": "y" * (left + size)}) == status


@pytest.mark.parametrize(("size", "status"), [(-1, 400), (0, 400), (1, 414)])
def test_an_address_holds_sixteen_kibibytes_and_no_more(bounded: Served, size: int, status: int) -> None:
    query = "q="
    left = 16 * 1024 - len("/v1/entities") - len(query)
    assert _status(bounded, f"/v1/entities?{query}{'x' * (left + size)}", {}) == status


def _sized(body: Any, size: int) -> bytes:
    """Write JSON with so much white space after it that it has a size."""
    plain = json.dumps(body).encode()
    return plain + b" " * (size - len(plain))


def _pieces(body: bytes) -> Iterator[bytes]:
    yield body[:100]
    yield body[100:]


@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "in pieces"])
@pytest.mark.parametrize("beyond", [-1, 0, 1])
@pytest.mark.parametrize(("path", "most"), [("/v1/entities", BODY), ("/v1/batch", BATCH)])
def test_a_body_is_as_long_as_it_may_be_and_no_longer(
    bounded: Served, path: str, most: int, beyond: int, is_announced: bool
) -> None:
    entity = an_entity(an_id("e"))
    # An operation of a batch is no larger than it may be alone: what is beyond stands around it.
    body = (
        _sized([entity], most + beyond)
        if path == "/v1/batch"
        else _sized({**entity["body"], "id": entity["id"]}, most + beyond)
    )
    content = body if is_announced else _pieces(body)
    response = bounded.client.post(path, content=content, headers={"Content-Type": JSON})
    if beyond > 0:
        refused(response, 413, "too-large")
    else:
        assert response.status_code == 201, response.text


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_an_operation_of_a_batch_is_as_long_as_a_body_may_be_and_no_longer(
    bounded: Served, media_type: str, beyond: int
) -> None:
    entity = an_entity(an_id("e"), note="")
    size = BODY + beyond - len(json.dumps(entity))
    entity["body"]["note"] = "x" * size
    content = json.dumps([entity]) if media_type == JSON else json.dumps(entity)
    response = bounded.client.post("/v1/batch", content=content, headers={"Content-Type": media_type})
    if beyond > 0:
        refused(response, 413, "too-large")
    else:
        assert response.status_code == 201, response.text


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
@pytest.mark.parametrize(("count", "status"), [(0, 422), (1, 201), (OPERATIONS, 201), (OPERATIONS + 1, 422)])
def test_a_batch_has_as_many_operations_as_it_may_and_no_more(
    bounded: Served, media_type: str, count: int, status: int
) -> None:
    made = [an_entity(an_id("e")) for _ in range(count)]
    content = json.dumps(made) if media_type == JSON else "\n".join(map(json.dumps, made))
    response = bounded.client.post("/v1/batch", content=content, headers={"Content-Type": media_type})
    assert response.status_code == status, response.text


@pytest.mark.parametrize(("path", "media_type"), [("/v1/entities", JSON), ("/v1/batch", JSON), ("/v1/batch", NDJSON)])
@pytest.mark.parametrize("depth", [DEEPEST - 1, DEEPEST, DEEPEST + 1])
def test_json_is_as_deep_as_it_may_be_and_no_deeper(bounded: Served, path: str, media_type: str, depth: int) -> None:
    # What a batch holds is one level down in it, and a line is not.
    content = "[" + "[]," * DEEPEST + "[" * (depth - 1) + "]" * depth
    response = bounded.client.post(path, content=content, headers={"Content-Type": media_type})
    if depth > DEEPEST:
        refused(response, 413, "too-large")
    else:
        refused(response, 422, "bad-body")


@pytest.mark.parametrize(("size", "status"), [(1, 201), (254, 201), (255, 201), (256, 400)])
def test_an_idempotency_key_has_255_characters_and_no_more(bounded: Served, size: int, status: int) -> None:
    key = an_id("key").ljust(size, "x")[-size:] if size > 1 else "k"
    response = bounded.post("/v1/entities", {"type": "other", "name": "X"}, Idempotency_Key=key)
    assert response.status_code == status, response.text


def test_of_the_values_of_a_facet_a_hundred_are_told_and_no_more(served: Served) -> None:
    served.append(*(a_source(f"s{number:03}", authors=[f"Author {number:03}"]) for number in range(100)))
    told = served.get("/v1/sources?facets=authors&limit=1").json()["facets"]["authors"]
    assert [each["value"] for each in told] == [f"Author {number:03}" for number in range(100)]
    served.append(a_source("s-more", authors=["Author 050", "Author 1"]), a_source("s-most", authors=["Author 1"]))
    told = served.get("/v1/sources?facets=authors&limit=1").json()["facets"]["authors"]
    assert [(each["value"], each["count"]) for each in told[:3]] == [
        ("Author 050", 2),
        ("Author 1", 2),
        ("Author 000", 1),
    ]
    assert len(told) == 100


def test_of_what_a_redaction_removes_and_leaves_a_hundred_are_told_and_all_are_counted(served: Served) -> None:
    named, often = an_id("e"), an_id("e")
    served.append(an_entity(named, note="zqheldzq"), an_entity(often))
    for count in (100, 101):
        have = served.get("/v1/entities?part_of=" + named + "&limit=500").json()["items"]
        served.append(*(an_entity(part_of=named, note="zqheldzq") for _ in range(count - len(have))))
        revisions = served.get(f"/v1/entities/{often}").json()["revision"]
        served.append(*(revise("entity", often, expect=n, name=f"X{n}") for n in range(revisions, count)))
        body = {"id": named, "kind": "entity", "basis": "error", "reason": "X", "contains": "zqheldzq"}
        tried = served.post("/v1/redactions?dry_run=true", body).json()
        removing = served.post("/v1/redactions?dry_run=true", {**body, "id": often}).json()
        assert (tried["named_by"]["count"], len(tried["named_by"]["items"])) == (count, 100)
        assert (tried["holding"]["count"], len(tried["holding"]["items"])) == (count, 100)
        assert (removing["removes"]["count"], len(removing["removes"]["items"])) == (count, 100)


def test_a_position_is_asked_for_up_to_the_head_and_no_further(ground: Served) -> None:
    head = ground.head()
    reads = {
        "/v1/claims/said?as_of={}": 404, "/v1/claims?as_of={}": 404, "/v1/stats?as_of={}": 404, "/v1/timeline?as_of={}": 404,
        "/v1/questions/q-time/answers?as_of={}": 404, "/v1/claims/said/links?as_of={}": 404, "/v1/redactions?as_of={}": 404,
        "/v1/claims/said/revisions?as_of={}": 404, "/v1/questions/q-time/conflicts?as_of={}": 404, "/v1/events?after={}": 404,
        "/v1/events?after={}&exact=true": 404, "/v1/events/{}": 404, "/v1/diff?from={}": 404, "/v1/diff?from=0&to={}": 404,
        "/v1/events/1/proof?size={}": 404, "/v1/proofs/consistency?from=1&to={}": 404,
        "/v1/proofs/consistency?from={0}&to={0}": 404, "/v1/events/{}/proof": 404,
    }  # fmt: skip
    for read, status in reads.items():
        assert ground.get(read.format(head)).status_code == 200, read
        refused(ground.get(read.format(head + 1)), status, "not-yet")


def test_a_time_is_the_last_that_holds_what_was_recorded_at_it(ground: Served) -> None:
    one = ground.append(a_claim("timed", source="paper", question="q-time"))
    moment = ground.get("/v1/claims/timed").json()["recorded_at"]
    whole, _, fraction = moment.removesuffix("Z").partition(".")
    before = f"{whole}.{int(fraction) - 1:06}Z" if int(fraction) else None
    assert ground.get(f"/v1/claims/timed?as_of={moment}").headers["ledger-position"] == str(one)
    assert ground.get(f"/v1/claims/timed?as_of={one}").status_code == 200
    for earlier in filter(None, (before, str(one - 1))):
        refused(ground.get(f"/v1/claims/timed?as_of={earlier}"), 404, "unknown-record")


def test_a_minute_is_certain_in_itself_and_in_no_other(ground: Served) -> None:
    answer = {"type": "time", "edtf": "2021-01-11T08:00Z"}
    ground.append(a_claim("minute", source="paper", question="q-time", answer=answer))
    for asked, shown in (("08:00Z", ["minute"]), ("08:01Z", []), ("07:59Z", []), ("08:00:00Z", [])):
        found = ground.get(f"/v1/claims?id=minute&valid_at=2021-01-11T{asked}&mode=certain").json()["items"]
        assert [each["id"] for each in found] == shown, asked


def test_what_ends_when_a_window_begins_is_not_in_it_nor_what_begins_when_it_ends(ground: Served) -> None:
    ground.append(
        a_source("at-noon", published="2021-01-11T12:00:00Z"),
        a_claim("noon", source="at-noon", question="q-time", answer={"type": "time", "edtf": "2021-01-11T12:00:00Z"}),
    )
    asked = {
        "from=2021-01-11T12:00:00Z": True, "from=2021-01-11T12:00:01Z": False,
        "until=2021-01-11T12:00:00Z": True, "until=2021-01-11T11:59:59Z": False,
    }  # fmt: skip
    for clock in ("published", "valid"):
        for window, is_in in asked.items():
            found = ground.get(f"/v1/claims?id=noon&{clock}_{window}").json()["items"]
            assert [each["id"] for each in found] == ["noon"] * is_in, (clock, window)


def test_a_range_of_one_is_a_range_and_a_reversed_one_is_none(ground: Served) -> None:
    same = {"/v1/diff?from={0}&to={1}": "interval-reversed", "/v1/proofs/consistency?from={0}&to={1}": "interval-reversed",
            "/v1/events/{0}/proof?size={1}": "not-applicable"}  # fmt: skip
    for address, slug in same.items():
        assert ground.get(address.format(5, 5)).status_code == 200, address
        assert ground.get(address.format(4, 5)).status_code == 200, address
        refused(ground.get(address.format(5, 4)), 409, slug)
    assert ground.get("/v1/diff?from=5&to=5").json()["items"] == []
