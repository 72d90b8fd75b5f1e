"""Memento (RFC 7089): from a record and a time to the revision then in force, and the map of all of them."""

import ipaddress
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from api.routes.edge.limits import scheme_of
from api.settings import Settings
from tests.support.builders import a_claim, a_question, a_source, an_entity, an_id, retract, revise
from tests.support.served import DATABASES, Served, migrated, refused, serve


def _http(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def _read(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def _links(value: str) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """Read link-format or a Link header (RFC 6690, RFC 8288) as an outside reader would, by relation."""
    found: dict[str, list[tuple[str, dict[str, str]]]] = {}
    for target, rest in re.findall(r'<([^>]*)>((?:\s*;\s*\w+="[^"]*")*)\s*(?:,|$)', value.strip()):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        for relation in attributes["rel"].split():
            found.setdefault(relation, []).append((target, attributes))
    return found


@pytest.fixture(scope="module")
def path(served: Served) -> str:
    """A record of four revisions: the first alone in its second, then two in one second, then a retraction."""
    served.append(an_entity("aged"))
    time.sleep(1.05 - time.time() % 1)
    served.append(revise("entity", "aged", expect=1, name="Second"))
    served.append(revise("entity", "aged", expect=2, name="Third"))
    time.sleep(1.05 - time.time() % 1)
    served.append(retract("entity", "aged", expect=3))
    return "/v1/entities/aged"


def _full(path: str) -> str:
    """Links are spelt in full: readers of Memento, memento-client for one, resolve no relative ones."""
    return f"http://testserver.local{path}"


def _negotiated(served: Served, path: str, moment: datetime) -> str:
    response = served.client.get(path, headers={"Accept-Datetime": _http(moment)}, follow_redirects=False)
    assert response.status_code == 302, response.text
    return response.headers["location"]


def test_a_second_means_its_last_microsecond(served: Served, path: str) -> None:
    second = _read(served.get(f"{path}/revisions/2").json()["revised_at"]).replace(microsecond=0)
    third = _read(served.get(f"{path}/revisions/3").json()["revised_at"]).replace(microsecond=0)
    assert second == third, "both revisions lie within one second"
    assert _negotiated(served, path, second) == f"{path}/revisions/3"
    assert _negotiated(served, path, second - timedelta(seconds=1)) == f"{path}/revisions/1"


def test_before_the_first_it_is_the_first_and_in_the_future_the_last(served: Served, path: str) -> None:
    for early in ("Mon, 01 Jan 0001 00:00:00 GMT", "Sat, 09 Jan 0068 00:00:00 GMT", "Mon, 11 Jan 2021 08:00:00 GMT"):
        response = served.client.get(path, headers={"Accept-Datetime": early}, follow_redirects=False)
        assert response.headers["location"] == f"{path}/revisions/1", early
    for late in ("Fri, 31 Dec 9999 23:59:59 GMT", _http(datetime.now(UTC) + timedelta(days=1))):
        response = served.client.get(path, headers={"Accept-Datetime": late}, follow_redirects=False)
        assert response.headers["location"] == f"{path}/revisions/4", late


def test_the_redirect_is_one_of_a_timegate(served: Served, path: str) -> None:
    response = served.client.get(path, headers={"Accept-Datetime": _http(datetime.now(UTC))}, follow_redirects=False)
    assert "accept-datetime" in response.headers["vary"].lower()
    assert int(response.headers["ledger-position"]) == served.head()
    assert "memento-datetime" not in response.headers, "only mementos carry it (section 2.1.1)"
    links = _links(response.headers["link"])
    assert links["original"][0][0] == links["timegate"][0][0] == _full(path)
    assert links["timemap"][0] == (_full(f"{path}/timemap"), {"rel": "timemap", "type": "application/link-format"})
    assert _full(response.headers["location"]) in dict(links["memento"])
    for target, attributes in links["memento"]:
        assert attributes["datetime"] == served.get(target).headers["memento-datetime"]


@pytest.mark.parametrize(
    "value",
    [
        "now",
        "Mon, 31 Feb 2021 08:00:00 GMT",
        "Mon, 11 Jan 2021 08:00 GMT",
        "1610352000",
        "Mon, 11 Jan 2021 08:00:00 +0000",
        "mon, 11 jan 2021 08:00:00 gmt",
    ],
)
def test_a_bad_time_is_a_400(served: Served, path: str, value: str) -> None:
    refused(served.get(path, Accept_Datetime=value), 400, "bad-parameter", parameter="Accept-Datetime")


def test_a_time_is_ignored_where_the_version_is_settled_already(served: Served, path: str) -> None:
    asked = _http(datetime(2021, 1, 11, tzinfo=UTC))
    for url in (f"{path}?as_of={served.head()}", f"{path}/revisions/2", f"{path}/revisions", f"{path}/timemap"):
        plain, negotiated = served.get(url), served.get(url, Accept_Datetime=asked)
        assert negotiated.status_code == 200, url
        assert negotiated.content == plain.content
        # Where the header says nothing, a bad one says nothing either.
        assert served.get(url, Accept_Datetime="nonsense").status_code == 200


def test_a_revision_says_when_it_was_recorded_and_whose_it_is(served: Served, path: str) -> None:
    for number in (1, 2, 3, 4):
        response = served.get(f"{path}/revisions/{number}")
        revised = _read(response.json()["revised_at"]).replace(microsecond=0)
        assert parsedate_to_datetime(response.headers["memento-datetime"]) == revised
        links = _links(response.headers["link"])
        assert links["original"][0][0] == _full(path)
        assert links["timegate"][0][0] == _full(path)
        assert links["timemap"][0][0] == _full(f"{path}/timemap")


def test_a_current_view_is_no_memento(served: Served, path: str) -> None:
    response = served.get(path)
    assert "memento-datetime" not in response.headers
    assert "content-location" not in response.headers
    assert _links(response.headers["link"]).keys() == {"original", "timegate", "timemap", "version-history"}


def test_an_as_of_view_is_a_memento_and_names_its_revision(served: Served, path: str) -> None:
    for number in (1, 2, 3, 4):
        revision = served.get(f"{path}/revisions/{number}")
        for coordinate in (revision.json()["position"], revision.json()["revised_at"]):
            response = served.get(f"{path}?as_of={coordinate}")
            assert response.headers["content-location"] == f"{path}/revisions/{number}"
            assert response.headers["memento-datetime"] == revision.headers["memento-datetime"]
            assert response.headers["etag"] == revision.headers["etag"]
            assert response.content == revision.content


def test_the_timemap_lists_every_revision_once(served: Served, path: str) -> None:
    response = served.get(f"{path}/timemap")
    assert response.headers["content-type"] == "application/link-format"
    links = _links(response.text)
    assert [target for target, _ in links["memento"]] == [
        _full(f"{path}/revisions/{number}") for number in (1, 2, 3, 4)
    ]
    for target, attributes in links["memento"]:
        assert served.get(target).headers["memento-datetime"] == attributes["datetime"]
    assert links["first"] == [links["memento"][0]]
    assert links["last"] == [links["memento"][-1]]
    assert links["original"][0][0] == links["timegate"][0][0] == _full(path)
    own = links["self"][0]
    assert own[0] == _full(f"{path}/timemap")
    assert own[1]["from"] == links["first"][0][1]["datetime"]
    assert own[1]["until"] == links["last"][0][1]["datetime"]


def test_the_timemap_comes_as_json_on_request(served: Served, path: str) -> None:
    for accept in (
        "application/json",
        "application/link-format;q=0.5, application/json",
        "application/*;q=0.1, application/json",
    ):
        response = served.get(f"{path}/timemap", Accept=accept)
        assert response.headers["content-type"] == "application/json"
        shown = response.json()
        assert shown["original"] == shown["timegate"] == path
        assert shown["timemap"] == f"{path}/timemap"
        assert [memento["uri"] for memento in shown["mementos"]] == [f"{path}/revisions/{n}" for n in (1, 2, 3, 4)]
        assert [memento["revision"] for memento in shown["mementos"]] == [1, 2, 3, 4]
    for accept in ("*/*", "application/link-format", "application/json;q=0.5, application/link-format"):
        assert served.get(f"{path}/timemap", Accept=accept).headers["content-type"] == "application/link-format"
    refused(served.get(f"{path}/timemap", Accept="text/html"), 406, "not-acceptable")


def test_the_two_forms_of_a_timemap_are_told_apart(served: Served, path: str) -> None:
    held = served.get(f"{path}/timemap", Accept="application/json").headers["etag"]
    assert served.get(f"{path}/timemap", Accept="application/json", If_None_Match=held).status_code == 304
    assert served.get(f"{path}/timemap", Accept="application/link-format", If_None_Match=held).status_code == 200


def test_a_timemap_is_never_paged(served: Served) -> None:
    public_id = an_id("e")
    served.append(an_entity(public_id), *(revise("entity", public_id, name=f"Name {n}") for n in range(620)))
    links = _links(served.get(f"/v1/entities/{public_id}/timemap").text)
    assert len(links["memento"]) == 621
    assert "next" not in links
    refused(served.get(f"/v1/entities/{public_id}/timemap?limit=5"), 400, "bad-parameter")


def test_a_record_of_one_revision_has_it_first_and_last(served: Served) -> None:
    public_id = an_id("e")
    served.append(an_entity(public_id))
    links = _links(served.get(f"/v1/entities/{public_id}/timemap").text)
    assert links["first"] == links["last"] == links["memento"]


def test_every_kind_of_record_is_a_timegate(served: Served) -> None:
    entity, source, question, claim = an_id("e"), an_id("s"), an_id("q"), an_id("c")
    served.append(
        an_entity(entity),
        a_source(source),
        a_question(question, about=entity),
        a_claim(claim, source=source, question=question),
    )
    for path in (f"/v1/entities/{entity}", f"/v1/sources/{source}", f"/v1/questions/{question}", f"/v1/claims/{claim}"):
        assert _negotiated(served, path, datetime.now(UTC)) == f"{path}/revisions/1"
        links = _links(served.get(f"{path}/timemap").text)
        assert links["memento"][0][0] == _full(f"{path}/revisions/1")


def test_what_was_never_recorded_has_no_past(served: Served) -> None:
    for path in ("/v1/entities/nobody", "/v1/entities/nobody/timemap"):
        refused(served.get(path, Accept_Datetime=_http(datetime.now(UTC))), 404, "unknown-record")


@pytest.mark.parametrize("host", ["ledger.example", "ledger.example:8443", "127.0.0.1:8000", "[::1]:8000"])
def test_links_name_the_server_as_the_client_did(served: Served, path: str, host: str) -> None:
    links = _links(served.get(path, Host=host).headers["link"])
    assert links["timemap"][0][0] == f"http://{host}{path}/timemap"


BAD_HOSTS = ["", "x:port", "a,b", "s3cret.example/x?", 'x"><s3cret>', "a b", "é.example", "-a", "a..b", ".", "x:70000",
             "[::g]", "[1:2]", "user@x", "x:1:2", "a" * 64, "a." * 127 + "abc", "[::1]x"]  # fmt: skip


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_a_host_that_is_none_is_refused(served: Served, path: str, host: str) -> None:
    response = served.client.get(path, headers={"Host": host.encode("latin-1")})
    assert "s3cret" not in str(refused(response, 400, "bad-parameter", parameter="Host"))


@pytest.fixture(params=DATABASES)
def named(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A service that knows under which URL it is public."""
    url = "https://ledger.example/archive/"
    with migrated(request, request.param, tmp_path, public_url=url) as settings, serve(settings) as service:
        yield service


def test_links_name_the_public_url_where_one_is_set(named: Served) -> None:
    named.append(an_entity("parler"))
    for host in ("internal:8000", "evil.example"):
        links = _links(named.get("/v1/entities/parler", Host=host).headers["link"])
        assert links["timemap"][0][0] == "https://ledger.example/archive/v1/entities/parler/timemap"
        timemap = named.get("/v1/entities/parler/timemap", Host=host, Accept="application/link-format")
        assert "<https://ledger.example/archive/v1/entities/parler/revisions/1>" in timemap.text
        assert host not in timemap.text


@pytest.mark.parametrize(
    "url", ["ledger.example", "ftp://x", "https://x/?a=1", "https://x/#a", "https://u@x/", "https://"]
)
def test_a_public_url_is_absolute_and_plain(url: str) -> None:
    with pytest.raises(ValueError, match="public_url"):
        Settings(public_url=url)


@pytest.mark.parametrize(
    ("peer", "said", "expected"),
    [
        ("10.0.0.1", b"https", "https"),
        ("10.0.0.1", b"http", "http"),
        ("10.0.0.1", b"gopher", "http"),
        ("10.0.0.1", None, "http"),
        ("192.0.2.1", b"https", "http"),
    ],
)
def test_the_scheme_is_what_a_trusted_proxy_says_it_is(peer: str, said: bytes | None, expected: str) -> None:
    headers = [] if said is None else [(b"x-forwarded-proto", said)]
    scope: Any = {"type": "http", "scheme": "http", "client": (peer, 1), "headers": headers}
    assert scheme_of(scope, (ipaddress.ip_network("10.0.0.0/8"),)) == expected
    assert scheme_of(scope, ()) == "http"
