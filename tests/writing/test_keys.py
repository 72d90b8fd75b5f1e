"""Keys: who may write, who may read where reading is closed, and how soon a revoked key is felt."""

import hashlib
import logging
import re
import time
from collections.abc import Iterator

import httpx
import pytest
from litestar.routes import HTTPRoute

from api.domain.errors import Misconfigured
from api.ledger.writing import keys
from tests.support.builders import an_entity
from tests.support.served import DATABASES, Served, migrated, refused, serve

NAMED = {"type": "platform", "name": "Parler"}
WRITES = ("/v1/entities", "/v1/sources", "/v1/questions", "/v1/claims", "/v1/batch", "/v1/entities/parler/revisions")


@pytest.fixture(scope="module", params=DATABASES)
def closed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that strangers may not read."""
    folder = tmp_path_factory.mktemp("closed")
    with migrated(request, request.param, folder, public_read=False) as settings, serve(settings) as service:
        service.append(an_entity("parler"))
        yield service


def _addresses(served: Served) -> list[str]:
    found = []
    for route in served.app.routes:
        if isinstance(route, HTTPRoute) and "GET" in route.methods:
            values = {
                "id": "parler",
                "n": "1",
                "position": "1",
                "slug": "stale",
                "name": "docs.css",
                "operation": "getClaim",
                "path": "0/000.p/1",
                "actor": "00000000-0000-4000-8000-000000000000",
            }
            found.append(re.sub(r"\{(\w+)\}", lambda name, values=values: values[name[1]], route.path_format))
    return found


def _without_key(served: Served, path: str) -> httpx.Response:
    key = served.client.headers.pop("Authorization")
    try:
        return served.client.get(path)
    finally:
        served.client.headers["Authorization"] = key


def test_no_shared_cache_keeps_what_strangers_may_not_read(closed: Served) -> None:
    for path in ("/v1/entities/parler/revisions/1", "/v1/entities?as_of=1", "/v1/events/1", "/tlog/checkpoint",
                 "/tlog/tile/0/000.p/1"):  # fmt: skip
        told = closed.get(path).headers["cache-control"]
        assert "max-age" in told
        assert "public" not in told


def test_reads_are_open_to_strangers(ground: Served) -> None:
    for path in _addresses(ground):
        assert _without_key(ground, path).status_code in (200, 400, 404), path


def test_a_wrong_key_is_refused_on_every_read_all_the_same(ground: Served) -> None:
    for path in set(_addresses(ground)) - {"/health/live"}:
        for wrong in ("Bearer nonsense", f"Bearer {ground.key[:-1]}", f"Bearer dl_{'0' * 12}_{'A' * 43}"):
            response = ground.get(path, Authorization=wrong)
            problem = refused(response, 401, "unauthorized")
            assert response.headers["www-authenticate"] == 'Bearer realm="ledger", error="invalid_token"'
            assert ground.key not in str(problem)


UNKNOWN, WAY = "this key is not known, or was revoked", "send a key: Authorization: Bearer <key>"


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [("Bearer nonsense", UNKNOWN), ("bearer ", UNKNOWN), ("Basic YTpi", WAY), ("{key}", WAY), ("Token {key}", WAY)],
)
def test_who_sends_a_key_in_another_way_is_told_how(ground: Served, sent: str, sentence: str) -> None:
    for path in ("/v1/claims", "/v1/actors/nobody"):
        response = ground.get(path, Authorization=sent.format(key=ground.key))
        assert refused(response, 401, "unauthorized")["detail"] == sentence
        assert ("invalid_token" in response.headers["www-authenticate"]) is (sentence == UNKNOWN)


def test_that_it_runs_is_said_whatever_key_is_sent(ground: Served) -> None:
    assert ground.get("/health/live", Authorization="Bearer nonsense").status_code == 200


def test_where_reading_is_closed_a_stranger_learns_only_that_it_runs(closed: Served) -> None:
    addresses = _addresses(closed)
    assert {"/", "/docs", "/metrics", "/openapi.json", "/health/ready", "/v1/claims"} <= set(addresses)
    for path in addresses:
        response = _without_key(closed, path)
        if path == "/health/live":
            assert response.status_code == 200
            continue
        refused(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == 'Bearer realm="ledger"'


def test_where_reading_is_closed_any_valid_key_opens_it(closed: Served) -> None:
    for scope in keys.SCOPES:
        key = f"Bearer {closed.make_key(scope)}"
        for path in ("/", "/docs", "/metrics", "/openapi.json", "/v1/entities", "/v1/entities/parler"):
            assert closed.get(path, Authorization=key).status_code == 200


def test_writing_needs_the_scope_to_write(ground: Served) -> None:
    with ground.unchanged():
        for scopes in (("redact",), ("admin",), ("redact", "admin")):
            key = f"Bearer {ground.make_key(*scopes)}"
            for path in WRITES:
                problem = refused(ground.post(path, NAMED, Authorization=key), 403, "forbidden")
                assert "write" in problem["detail"]
    assert ground.post("/v1/entities", NAMED, Authorization=f"Bearer {ground.make_key('write')}").status_code == 201


def test_the_scheme_is_read_in_any_case_and_the_key_in_one(ground: Served) -> None:
    for scheme in ("Bearer", "bearer", "BEARER", "Bearer "):
        assert ground.get("/v1/claims", Authorization=f"{scheme} {ground.key}").status_code == 200
    for wrong in (f"Bearer {ground.key.upper()}", f"Bearer {ground.key},", ground.key):
        assert ground.get("/v1/claims", Authorization=wrong).status_code == 401
    twice = [("Authorization", f"Bearer {ground.key}"), ("Authorization", f"Bearer {ground.key}")]
    key = ground.client.headers.pop("Authorization")
    assert ground.client.get("/v1/claims", headers=twice).status_code == 401
    ground.client.headers["Authorization"] = key


def test_a_key_has_its_published_form_and_is_kept_as_a_digest_only(ground: Served) -> None:
    key = ground.make_key("write")
    assert re.fullmatch(r"dl_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", key)
    _, public, secret = key.split("_", 2)
    row = ground.database.access().row("SELECT * FROM key WHERE id = ?", (public,))
    assert row is not None
    assert hashlib.sha256(secret.encode()).digest() in [
        bytes(value) for value in row if isinstance(value, bytes | memoryview)
    ]
    assert secret not in str(row)


def test_events_carry_the_actor_of_the_key_that_wrote_them(ground: Served) -> None:
    written = ground.post("/v1/entities", NAMED)
    event = ground.get(f"/v1/events?after={ground.head() - 1}").json()["items"][0]
    assert event["actor"] == written.json()["recorded_by"]
    actor = ground.get(f"/v1/actors/{event['actor']}").json()
    assert actor["id"] == event["actor"]
    assert actor["name"] == "Test"


def test_an_actor_is_named_only_if_an_operator_published_it(ground: Served) -> None:
    other = ground.post("/v1/entities", NAMED, Authorization=f"Bearer {ground.make_key('write')}").json()["recorded_by"]
    assert ground.get(f"/v1/actors/{other}").json()["name"] is None
    refused(ground.get("/v1/actors/00000000-0000-4000-8000-000000000000"), 404, "unknown-actor")


def test_a_revoked_key_is_refused_within_five_seconds(ground: Served) -> None:
    key = ground.make_key("write")
    sent = f"Bearer {key}"
    assert ground.post("/v1/entities", NAMED, Authorization=sent).status_code == 201
    keys.revoke(ground.database.access(), key.split("_")[1])
    began = time.monotonic()
    while ground.get("/v1/stats", Authorization=sent).status_code == 200:
        assert time.monotonic() - began < 5
        time.sleep(0.1)
    with ground.unchanged():
        refused(ground.post("/v1/entities", NAMED, Authorization=sent), 401, "unauthorized")
    # What it wrote stays, and so does its actor.
    assert ground.get("/v1/stats").status_code == 200


def test_to_revoke_what_is_no_key_is_refused(ground: Served) -> None:
    with pytest.raises(Misconfigured, match=r"^key: no key has this id$"):
        keys.revoke(ground.database.access(), "000000000000")


def test_a_key_that_nobody_used_is_refused_as_soon_as_it_is_revoked(ground: Served) -> None:
    key = ground.make_key("write")
    keys.revoke(ground.database.access(), key.split("_")[1])
    refused(ground.get("/v1/stats", Authorization=f"Bearer {key}"), 401, "unauthorized")


def test_no_key_reaches_the_log(
    ground: Served, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        ground.get("/v1/claims?q=whatsomebodysought")
        ground.post("/v1/entities", {**NAMED, "note": "whatsomebodywrote", "surprise": 1})
        ground.get("/v1/claims", Authorization="Bearer whatsomebodysent")
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    said = " ".join(ours) + "".join(capfd.readouterr())
    assert "/v1/claims" in said
    for secret in (ground.key, "whatsomebodysought", "whatsomebodywrote", "whatsomebodysent"):
        assert secret not in said
