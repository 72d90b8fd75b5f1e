"""What caches, browsers and compressors are told: tags, Vary, Cache-Control, HEAD, OPTIONS, CORS and encodings."""

import gzip
from dataclasses import replace
from datetime import UTC, datetime

import brotli
import httpx
import pytest

from api.domain.computed import RULES
from api.domain.records.representation import VERSIONS
from api.routes.log import events
from tests.support.builders import a_claim, a_question, a_source, an_entity, an_id, revise
from tests.support.served import Served

PINNED = "public, max-age=3600"
LONG = "x" * 3000
READS = {
    "record": "/v1/claims/said",
    "list": "/v1/claims",
    "history": "/v1/claims/said/revisions",
    "revision": "/v1/claims/said/revisions/1",
    "diff of a record": "/v1/claims/said/diff?from=1&to=1",
    "timemap": "/v1/claims/said/timemap",
    "links": "/v1/claims/said/links",
    "answers": "/v1/questions/q-time/answers",
    "timeline": "/v1/timeline",
    "events": "/v1/events",
    "event": "/v1/events/1",
    "diff": "/v1/diff?from=0",
    "stats": "/v1/stats",
    "actors": "/v1/actors",
}


@pytest.mark.parametrize("name", READS)
def test_every_answer_has_its_position_a_tag_and_what_it_varies_by(ground: Served, name: str) -> None:
    response = ground.get(READS[name])
    assert response.status_code == 200
    assert response.headers["ledger-position"] == str(ground.head())
    is_timegate = name == "record"
    assert response.headers["vary"] == "Accept-Datetime, " * is_timegate + "Accept, Accept-Encoding"
    assert response.headers["etag"]
    assert response.headers["x-content-type-options"] == "nosniff"
    if (
        isinstance(response.json() if "json" in response.headers["content-type"] else None, dict)
        and "items" in response.json()
    ):
        assert response.json()["position"] == ground.head()


@pytest.mark.parametrize("name", READS)
def test_a_tag_that_is_held_brings_a_304_with_nothing_in_it(ground: Served, name: str) -> None:
    fresh = ground.get(READS[name])
    held = ground.get(READS[name], If_None_Match=fresh.headers["etag"])
    assert held.status_code == 304
    assert held.content == b""
    assert held.headers["etag"] == fresh.headers["etag"]
    assert "content-length" not in held.headers


@pytest.mark.parametrize("name", READS)
def test_head_answers_as_get_does_without_the_body(ground: Served, name: str) -> None:
    got, headed = ground.get(READS[name]), ground.client.head(READS[name])
    assert headed.status_code == got.status_code
    assert headed.content == b""
    ignored = {"x-request-id"}
    assert {n: v for n, v in headed.headers.items() if n not in ignored} == {
        n: v for n, v in got.headers.items() if n not in ignored
    }


def test_tags_of_one_revision_are_its_position_and_strong(ground: Served) -> None:
    position = ground.get("/v1/claims/said").json()["position"]
    for url in ("/v1/claims/said", "/v1/claims/said/revisions/1", f"/v1/claims/said?as_of={ground.head()}"):
        assert ground.etag(url) == f'"{position}.v{VERSIONS["claim"]}"'
    assert ground.etag(f"/v1/events/{position}") == f'"{position}"'


def test_tags_of_what_many_records_make_are_weak(ground: Served) -> None:
    for name in READS.keys() - {"record", "revision", "event"}:
        assert ground.etag(READS[name]).startswith('W/"'), name


# What an append elsewhere changes nothing of.
KEPT = {
    "a filtered list": "/v1/entities?type=court",
    "a list by id": "/v1/claims?id=said",
    "a list with facets": "/v1/claims?source=paper&facets=stance",
    "a full page": "/v1/entities?limit=2",
    "history": "/v1/claims/said/revisions",
    "diff of a record": "/v1/claims/said/diff?from=1&to=1",
    "timemap": "/v1/claims/said/timemap",
    "links": "/v1/claims/said/links",
    "answers": "/v1/questions/q-time/answers",
    "answers with sources": "/v1/questions/q-time/answers?include=source",
    "conflicts": "/v1/questions/q-time/conflicts",
    "timeline": "/v1/timeline?question=q-time",
    "a claim with its source": "/v1/claims/said?include=source",
    "redactions": "/v1/redactions",
    "actors": "/v1/actors",
    "the past": "/v1/claims?as_of=9",
    "what came to be believed by then": "/v1/diff?from=1&to=9",
}


@pytest.mark.parametrize("name", KEPT)
def test_a_tag_outlives_what_is_appended_elsewhere_and_the_304_tells_the_new_position(
    ground: Served, name: str
) -> None:
    before = ground.get(KEPT[name])
    ground.append(an_entity())
    held = ground.get(KEPT[name], If_None_Match=before.headers["etag"])
    assert held.status_code == 304, name
    assert held.headers["etag"] == before.headers["etag"]
    is_pinned = "as_of=" in KEPT[name] or "&to=9" in KEPT[name]
    assert held.headers["ledger-position"] == ("9" if is_pinned else str(ground.head()))
    assert held.headers.get("link") == ground.get(KEPT[name]).headers.get("link"), "where to go on is told anew"


def test_a_tag_changes_with_what_is_shown(ground: Served) -> None:
    question, source, claim = an_id("q"), an_id("s"), an_id("c")
    ground.append(
        a_source(source), a_question(question, about="parler"), a_claim(claim, source=source, question=question)
    )
    shown = {
        "list": f"/v1/claims?question={question}",
        "ids": f"/v1/claims?id={claim}",
        "facets": f"/v1/claims?question={question}&facets=stance",
        "history": f"/v1/claims/{claim}/revisions",
        "timemap": f"/v1/claims/{claim}/timemap",
        "answers": f"/v1/questions/{question}/answers",
        "timeline": f"/v1/timeline?question={question}",
        "with its source": f"/v1/claims/{claim}?include=source",
        "stats": "/v1/stats",
        "feed": f"/v1/events?id={claim}",
        "diff": "/v1/diff?from=1&limit=500",
    }
    tags = {name: ground.etag(url) for name, url in shown.items()}
    ground.append(revise("claim", claim, expect=1, note="Revised"), revise("source", source, expect=1, note="Revised"))
    for name, url in shown.items():
        if name == "stats":
            continue
        assert ground.etag(url) != tags[name], name
        assert ground.get(url, If_None_Match=tags[name]).status_code == 200, name


def test_a_full_page_gets_another_tag_once_more_follows(ground: Served) -> None:
    question = an_id("q")
    ground.append(a_question(question, about="parler"))
    claims = [a_claim(an_id("c"), source="paper", question=question) for _ in range(4)]
    url = f"/v1/claims?question={question}&limit=2"
    ground.append(*claims[:2])
    whole = ground.etag(url)
    ground.append(claims[2])
    followed = ground.etag(url)
    ground.append(claims[3])
    assert whole != followed == ground.etag(url)


def test_the_two_forms_of_a_timemap_have_tags_of_their_own(ground: Served) -> None:
    url = "/v1/claims/said/timemap"
    forms = {ground.get(url, Accept=each).headers["etag"] for each in ("application/link-format", "application/json")}
    assert len(forms) == 2


def test_a_tag_of_a_record_changes_exactly_when_the_record_does(ground: Served) -> None:
    before = ground.etag("/v1/entities/amazon")
    ground.append(an_entity())
    assert ground.etag("/v1/entities/amazon") == before
    ground.append(revise("entity", "amazon", expect=1, note="Revised"))
    assert ground.etag("/v1/entities/amazon") != before


def test_what_was_held_before_the_form_changed_is_sent_anew(ground: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    held = ground.etag("/v1/claims/said")
    version = VERSIONS["claim"]
    monkeypatch.setitem(VERSIONS, "claim", version + 1)
    fresh = ground.get("/v1/claims/said", If_None_Match=held)
    assert (fresh.status_code, fresh.headers["etag"]) == (200, held.replace(f"v{version}", f"v{version + 1}"))
    assert ground.get("/v1/claims/said", If_None_Match=fresh.headers["etag"]).status_code == 304
    assert ground.get("/v1/claims/said/revisions/1").headers["etag"] == fresh.headers["etag"]
    action = {"action": "revise", "reason": "More", "changes": {"note": "More"}}
    stale = ground.post("/v1/claims/said/revisions", action, If_Match='"1"')
    assert (stale.status_code, stale.headers["etag"]) == (412, fresh.headers["etag"])


def test_what_may_change_is_asked_for_again_and_what_cannot_is_kept_an_hour(ground: Served) -> None:
    head = ground.head()
    time = ground.get("/v1/claims/said").json()["revised_at"]
    for url in (
        "/v1/claims/said",
        "/v1/claims",
        "/v1/questions/q-time/answers",
        "/v1/events",
        "/v1/diff?from=0",
        "/v1/stats",
    ):
        assert ground.get(url).headers["cache-control"] == "no-cache", url
    for url in ("/v1/claims/said/revisions/1", f"/v1/claims/said?as_of={head}", f"/v1/claims?as_of={head}", "/v1/events/1",
                f"/v1/claims?as_of={time}", f"/v1/diff?from=0&to={head}", f"/v1/stats?as_of={head}",
                f"/v1/questions/q-time/answers?as_of={head}"):  # fmt: skip
        assert ground.get(url).headers["cache-control"] == PINNED, url
        assert "immutable" not in ground.get(url).headers["cache-control"]


def test_a_time_after_the_head_answers_at_the_head_and_is_not_kept(ground: Served) -> None:
    for url in ("/v1/claims", "/v1/claims/said", "/v1/stats", "/v1/questions/q-time/answers"):
        response = ground.get(f"{url}?as_of={datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}")
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["ledger-position"] == str(ground.head())


def test_writes_and_problems_are_stored_by_nobody(ground: Served) -> None:
    written = ground.post("/v1/entities", {"type": "other", "name": "X"})
    assert written.headers["cache-control"] == "no-store"
    assert ground.get("/v1/entities/nobody").headers["cache-control"] == "no-store"
    assert ground.get("/nothing").headers["cache-control"] == "no-store"
    assert ground.client.put("/v1/entities").headers["cache-control"] == "no-store"


def test_only_some_fields_carry_no_tag(ground: Served) -> None:
    response = ground.get("/v1/claims?fields=statement")
    assert "etag" not in response.headers
    assert ground.get("/v1/claims?fields=statement", If_None_Match="*").status_code == 200


@pytest.fixture(scope="module")
def long(ground: Served) -> str:
    """A record large enough to be worth compressing."""
    ground.append(an_entity("long-one", note=LONG))
    return "/v1/entities/long-one"


def _raw(ground: Served, url: str, encodings: str, **headers: str) -> tuple[httpx.Response, bytes]:
    with ground.client.stream("GET", url, headers={"Accept-Encoding": encodings, **headers}) as response:
        return response, b"".join(response.iter_raw())


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("br", "br"),
        ("gzip, br", "br"),
        ("gzip;q=1, br;q=0.5", "gzip"),
        ("gzip;q=0, *", "br"),
        ("*", "br"),
        ("identity", None),
        ("deflate", None),
        ("gzip;q=0, br;q=0", None),
        ("", None),
        ("GZIP", "gzip"),
        ("identity;q=1, br;q=0.1", None),
        ("gzip;q=0.5, identity;q=1", None),
        ("gzip;q=0.5, identity;q=0.2", "gzip"),
    ],
)
def test_answers_are_compressed_as_asked_under_tags_of_their_own(
    ground: Served, long: str, accepted: str, encoding: str | None
) -> None:
    plain, identity = _raw(ground, long, "identity")
    response, body = _raw(ground, long, accepted)
    assert response.headers.get("content-encoding") == encoding
    assert int(response.headers["content-length"]) == len(body)
    suffix = {None: "", "gzip": "-gz", "br": "-br"}[encoding]
    assert response.headers["etag"] == f'{plain.headers["etag"][:-1]}{suffix}"'
    opened = {None: bytes, "gzip": gzip.decompress, "br": brotli.decompress}[encoding](body)
    assert opened == identity


def test_what_is_short_is_compressed_too_for_who_takes_nothing_else(ground: Served) -> None:
    assert "content-encoding" not in ground.get("/health/live", Accept_Encoding="gzip").headers
    for accepted in ("gzip, identity;q=0", "gzip, *;q=0"):
        assert ground.get("/health/live", Accept_Encoding=accepted).headers["content-encoding"] == "gzip"


def test_a_compressed_tag_is_held_whatever_encoding_is_asked_for_next(ground: Served, long: str) -> None:
    compressed, _ = _raw(ground, long, "gzip")
    for accepted in ("identity", "gzip", "br"):
        response, body = _raw(ground, long, accepted, **{"If-None-Match": compressed.headers["etag"]})
        assert response.status_code == 304
        assert body == b""
        assert "content-encoding" not in response.headers


def test_a_compressed_tag_is_good_to_write_with(ground: Served, long: str) -> None:
    for accepted in ("gzip", "br"):
        tag = _raw(ground, long, accepted)[0].headers["etag"]
        action = {"action": "revise", "reason": "More", "changes": {"note": LONG + accepted}}
        assert ground.post(f"{long}/revisions", action, If_Match=tag).status_code == 201


def test_small_answers_and_refusals_are_not_compressed(ground: Served) -> None:
    for url in ("/health/ready", "/v1/entities/nobody"):
        assert "content-encoding" not in _raw(ground, url, "gzip, br")[0].headers


def test_options_says_what_an_address_takes(ground: Served) -> None:
    expected = {
        "/": "GET, HEAD, OPTIONS",
        "/v1/claims": "GET, HEAD, OPTIONS, POST",
        "/v1/claims/said": "GET, HEAD, OPTIONS",
        "/v1/claims/said/revisions": "GET, HEAD, OPTIONS, POST",
        "/v1/batch": "OPTIONS, POST",
        "/openapi.json": "GET, HEAD, OPTIONS",
    }
    for path, allowed in expected.items():
        response = ground.client.options(path)
        assert response.status_code == 204
        assert response.headers["allow"] == allowed
        assert response.content == b""


def test_scripts_of_other_origins_may_read_and_with_a_key_write(ground: Served) -> None:
    origin = {"Origin": "https://app.example"}
    exposed = {"ETag", "Link", "Location", "Ledger-Position", "Memento-Datetime", "Content-Location", "Retry-After"}
    for answer in (
        ground.get("/v1/claims", **origin),
        ground.post("/v1/entities", {"type": "other", "name": "Y"}, **origin),
        ground.post("/v1/entities", {"type": "other"}, **origin),
        ground.post("/v1/batch?dry_run=true", [an_entity()], **origin),
    ):
        assert answer.headers["access-control-allow-origin"] == "*", answer.request
        assert exposed <= set(answer.headers["access-control-expose-headers"].split(", "))
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("path", "method", "granted"),
    [
        ("/v1/claims", "GET", "GET, HEAD, OPTIONS, POST"),
        ("/v1/claims", "POST", "GET, HEAD, OPTIONS, POST"),
        ("/v1/claims/said", "GET", "GET, HEAD, OPTIONS"),
        ("/v1/claims/said/revisions", "POST", "GET, HEAD, OPTIONS, POST"),
        ("/v1/batch", "POST", "OPTIONS, POST"),
        ("/v1/redactions", "POST", "GET, HEAD, OPTIONS, POST"),
    ],
)
def test_a_preflight_lists_methods_and_headers_by_name(ground: Served, path: str, method: str, granted: str) -> None:
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,if-match",
    }
    key = ground.client.headers.pop("Authorization")
    try:
        answer = ground.client.options(path, headers=asked)
    finally:
        ground.client.headers["Authorization"] = key
    assert answer.status_code == 204, "a preflight bears no key"
    assert answer.headers["access-control-allow-methods"] == granted
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert "*" not in allowed
    assert {"authorization", "content-type", "accept", "accept-datetime", "if-match", "if-none-match"} <= allowed
    assert {"idempotency-key", "cache-control", "pragma", "traceparent", "tracestate"} <= allowed


def test_every_answer_has_a_request_id_and_keeps_the_callers(ground: Served) -> None:
    assert ground.get("/v1/claims", X_Request_Id="mine-1").headers["x-request-id"] == "mine-1"
    assert ground.get("/v1/claims", X_Request_Id="not mine").headers["x-request-id"] != "not mine"
    assert ground.get("/nothing").headers["x-request-id"] != ground.get("/nothing").headers["x-request-id"]


def test_the_front_page_is_json_or_for_a_browser_a_page(ground: Served) -> None:
    document = ground.get("/")
    assert document.json()["position"] == ground.head()
    assert document.json()["limits"]["page"] == 500
    assert ground.get("/", If_None_Match=document.headers["etag"]).status_code == 304
    page = ground.get("/", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for target in document.json()["links"].values():
        assert ground.get(target).status_code == 200, target


def test_a_page_of_the_feed_that_was_held_is_sent_anew_under_other_rules(
    ground: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = ground.etag("/v1/events")
    assert ground.get("/v1/events", If_None_Match=held).status_code == 304
    monkeypatch.setattr(events, "RULES", RULES + 1)
    assert ground.get("/v1/events", If_None_Match=held).status_code == 200


def test_what_the_service_says_of_itself_is_sent_anew_when_a_limit_was_set_otherwise(
    ground: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = ground.etag("/")
    assert ground.get("/", If_None_Match=held).status_code == 304
    services = ground.app.state.services
    settings = services.settings.model_copy(update={"max_body": services.settings.max_body + 1})
    monkeypatch.setattr(ground.app.state, "services", replace(services, settings=settings))
    assert ground.get("/", If_None_Match=held).status_code == 200
