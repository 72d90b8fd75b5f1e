"""Parameters and headers that the published document forbids: each a 400 that names it and never repeats it."""

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support.served import Served, refused

SECRET = "s3cret-value"

# Queries that the document forbids, and the parameter that is named.
BAD_QUERIES = {
    "/v1/claims?limit=0": "limit",
    "/v1/claims?limit=501": "limit",
    "/v1/claims?limit=1.0": "limit",
    "/v1/claims?limit=ten": "limit",
    "/v1/claims?limit=": "limit",
    "/v1/claims?cursor=-1": "cursor",
    "/v1/claims?cursor=01": "cursor",
    "/v1/claims?cursor=abc": "cursor",
    "/v1/claims?cursor=99999999999999999": "cursor",
    "/v1/timeline?cursor=5": "cursor",
    "/v1/timeline?cursor=5.": "cursor",
    "/v1/timeline?cursor=9999999999999999999.1": "cursor",
    "/v1/entities/parler/revisions?cursor=x": "cursor",
    "/v1/claims?as_of=yesterday": "as_of",
    "/v1/claims?as_of=-1": "as_of",
    "/v1/claims?as_of=2021-02-30T00:00:00Z": "as_of",
    "/v1/claims?as_of=2021-01-11T24:00:00Z": "as_of",
    "/v1/claims?as_of=2021-01-11": "as_of",
    "/v1/claims?as_of=2021-01-11T12:00:00": "as_of",
    "/v1/claims?as_of=2021-01-11T12:00:00+01:00": "as_of",
    "/v1/claims?as_of=%D9%A1": "as_of",
    "/v1/claims?as_of=1%0A": "as_of",
    "/v1/claims?published_by=2021-13": "published_by",
    "/v1/claims?published_by=2021-02-29": "published_by",
    "/v1/claims?published_by=spring": "published_by",
    "/v1/claims?valid_at=0000": "valid_at",
    "/v1/claims?valid_at=2021-XX": "valid_at",
    "/v1/claims?valid_from=2021-01-32": "valid_from",
    "/v1/claims?mode=maybe": "mode",
    "/v1/claims?stance=shouts": "stance",
    "/v1/claims?live=yes": "live",
    "/v1/claims?live=": "live",
    "/v1/claims?status=null": "status",
    "/v1/claims?source=Not-An-Id": "source",
    "/v1/claims?id=Not-An-Id": "id",
    "/v1/claims?order=random": "order",
    "/v1/claims?fields=id,nothing": "fields",
    "/v1/claims?fields=": "fields",
    "/v1/claims?facets=statement": "facets",
    "/v1/claims?include=question": "include",
    "/v1/claims?q=": "q",
    "/v1/claims?q=%00": "q",
    "/v1/claims?q=" + "a" * 201: "q",
    "/v1/sources?language=fr_FR": "language",
    "/v1/questions?agreement=yes": "agreement",
    "/v1/questions?varies=1": "varies",
    "/v1/events?after=-1": "after",
    "/v1/events?after=2021-01-11T12:00:00Z": "after",
    "/v1/events?actor=me": "actor",
    "/v1/events?state=0": "state",
    "/v1/diff": "from",
    "/v1/diff?from=x": "from",
    "/v1/diff?from=1&to=x": "to",
    "/v1/entities/parler/diff?from=1": "to",
    "/v1/entities/parler/diff?from=0&to=1": "from",
    "/v1/entities/parler/diff?from=1&to=2147483648": "to",
}


@pytest.mark.parametrize("url", BAD_QUERIES)
def test_a_parameter_outside_the_document_is_a_400_that_names_it(ground: Served, url: str) -> None:
    refused(ground.get(url), 400, "bad-parameter", parameter=BAD_QUERIES[url])


SEVERAL = "; for several values give the parameter several times"
TRUTH = "true or false"
# Queries, and all that is said of them.
SAID = {
    "/v1/claims?limit=0": {"limit": "a whole number from 1 to 500"},
    "/v1/claims?limit=501": {"limit": "a whole number from 1 to 500"},
    "/v1/claims?limit=ten": {"limit": "a whole number from 1 to 500"},
    "/v1/claims?limit=1.0": {"limit": "a whole number from 1 to 500"},
    "/v1/claims?limit=%2B5": {"limit": "a whole number from 1 to 500"},
    "/v1/questions/q-time/answers?group=-1": {"group": "a whole number from 0 to 2147483647"},
    "/v1/claims?status=gone": {"status": "one of asserted, retracted"},
    "/v1/claims?live=yes": {"live": TRUTH},
    "/v1/claims?live=true&live=True": {"live": TRUTH},
    "/v1/claims?live=true,false": {"live": f"{TRUTH}{SEVERAL}"},
    "/v1/questions?varies=TRUE": {"varies": TRUTH},
    "/v1/events?state=&exact=1": {"state": TRUTH, "exact": TRUTH},
    "/v1/events?state=%22true%22&exact=on": {"state": TRUTH, "exact": TRUTH},
    "/v1/claims?source=Not-An-Id": {"source": "small letters a to z, digits and hyphens, a letter or digit first"},
    "/v1/claims?id=A&id=B&id=c": {"id": "small letters a to z, digits and hyphens, a letter or digit first"},
    "/v1/claims?id=a,b&stance=asserts,denies": {
        "id": f"small letters a to z, digits and hyphens, a letter or digit first{SEVERAL}",
        "stance": f"one of alleges, asserts, denies, doubts, predicts, reports-hearsay{SEVERAL}",
    },
    "/v1/claims?fields=id&fields=note": {
        "fields": "given twice, and takes one value (names in one are separated by commas)"
    },
    "/v1/proofs/consistency?from[]=1&from[]=2&to=3": {
        "query": "unknown parameter; this operation takes from, to; no name ends in []",
        "from": "is required",
    },
    "/v1/claims?include=sources": {
        "include": "One or more of source, entities, separated by commas: adds maps by id of what is named."
    },
    "/v1/claims?q=": {"q": "a text of 1 to 200 characters"},
    "/v1/claims?limit=0&mode=maybe&live=1&cursor=1": {
        "limit": "a whole number from 1 to 500",
        "mode": "one of certain, possible",
        "live": TRUTH,
    },
    "/v1/entities/parler/diff?from=0": {
        "from": "a whole number from 1 to 2147483647",
        "to": "is required",
    },
}  # fmt: skip


@pytest.mark.parametrize("url", SAID)
def test_all_that_is_wrong_with_a_query_is_told_at_once(ground: Served, url: str) -> None:
    problem = refused(ground.get(url), 400, "bad-parameter")
    assert {fault["parameter"]: fault["rule"] for fault in problem["errors"]} == SAID[url]
    assert len(problem["errors"]) == len(SAID[url])


@pytest.mark.parametrize(
    "name", ["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "fbclid", "gclid", "_", "callback"]
)
def test_what_others_append_to_addresses_is_refused_by_name(ground: Served, name: str) -> None:
    for path in ("/v1/claims", "/v1/claims/said", "/v1/events/1", "/"):
        problem = refused(ground.get(f"{path}?{name}={SECRET}"), 400, "bad-parameter", parameter=name)
        assert "unknown parameter" in problem["detail"]
        assert SECRET not in str(problem)


@pytest.mark.parametrize(
    "url",
    [
        f"/v1/claims?stance={SECRET}",
        f"/v1/claims?%20{SECRET}=1",
        f"/v1/claims?%20{SECRET}=1&%20{SECRET}=1",
        f"/v1/claims?as_of={SECRET}",
        f"/v1/claims?limit={SECRET}",
    ],
)
def test_a_refused_parameter_is_not_repeated(ground: Served, url: str) -> None:
    assert SECRET not in str(refused(ground.get(url), 400, "bad-parameter"))


BAD_HEADERS = [
    ("/v1/entities/parler", "Accept-Datetime", "yesterday"),
    ("/v1/entities/parler", "Accept-Datetime", "Mon, 30 Feb 2026 00:00:00 GMT"),
    ("/v1/entities/parler", "Accept-Datetime", "Mon, 11 Jan 2021 08:00:00 PST"),
    ("/v1/entities/parler", "Accept-Datetime", "2021-01-11T08:00:00Z"),
    ("/v1/entities/parler", "Accept-Datetime", ""),
]


@pytest.mark.parametrize(("path", "name", "value"), BAD_HEADERS)
def test_a_header_outside_the_document_is_a_400_that_names_it(ground: Served, path: str, name: str, value: str) -> None:
    refused(ground.client.get(path, headers={name: value}), 400, "bad-parameter", parameter=name)


@pytest.mark.parametrize("value", ["", "with space", "x" * 256, "é", "a\tb"])
def test_a_bad_idempotency_key_is_a_400(ground: Served, value: str) -> None:
    with ground.unchanged():
        sent = {"Idempotency-Key": value.encode("latin-1")}
        response = ground.client.post("/v1/entities", json={"type": "other", "name": "X"}, headers=sent)
        refused(response, 400, "bad-parameter", parameter="Idempotency-Key")


_FUZZ = hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


_QUERY_NAMES = st.sampled_from(
    [
        "as_of",
        "q",
        "limit",
        "cursor",
        "id",
        "fields",
        "facets",
        "valid_at",
        "published_by",
        "mode",
        "live",
        "order",
        "after",
        "from",
        "to",
    ]
)
_READS = (
    "/v1/entities",
    "/v1/claims",
    "/v1/questions",
    "/v1/timeline",
    "/v1/events",
    "/v1/diff",
    "/v1/stats",
    "/v1/questions/q-time/answers",
    "/v1/claims/said",
)


@_FUZZ
@given(
    path=st.sampled_from(_READS),
    query=st.lists(
        st.tuples(_QUERY_NAMES, st.text() | st.sampled_from(["1", "0", "2021", "true", "../..", "a,b", "id"])),
        max_size=4,
    ),
)
def test_no_query_makes_a_500(ground: Served, path: str, query: list[tuple[str, str]]) -> None:
    printable = [(name, value.encode("utf-8", "replace").decode()) for name, value in query]
    assert ground.client.get(path, params=printable).status_code < 500


@_FUZZ
@given(
    value=st.binary(max_size=40).filter(lambda raw: not any(byte in raw for byte in b"\r\n\0")),
    name=st.sampled_from(
        [
            "If-None-Match",
            "Accept",
            "Accept-Encoding",
            "Accept-Datetime",
            "Authorization",
            "X-Request-Id",
            "Host",
            "X-Forwarded-For",
            "If-Match",
            "Content-Type",
            "Idempotency-Key",
        ]
    ),
)
def test_no_header_makes_a_500(ground: Served, name: str, value: bytes) -> None:
    for method in ("GET", "POST"):
        assert ground.client.request(method, "/v1/entities", headers={name: value.strip()}).status_code < 500
