"""The feed in every form: the same events, whatever the form, wherever a connection is cut, whoever wrote."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import feedparser
import httpx
import httpx_sse
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from api.ledger.storage.database import Database
from api.ledger.writing import keys
from api.settings import Settings
from tests.support.builders import Operation, a_claim, a_question, a_source, an_entity, retract, revise
from tests.support.served import DATABASES, migrated
from tests.support.witnessing import Serving, ledger, until

CUTS = 12
FILTERS = ("", "kind=claim", "type=redacted", "id=first", "source=paper&kind=claim", "state=false", "exact=true")
Event = dict[str, Any]
Read = Callable[[Serving, str], list[Event]]


@pytest.fixture(scope="module", params=DATABASES)
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with migrated(request, request.param, tmp_path_factory.mktemp("following")) as settings:
        yield settings


@pytest.fixture(scope="module")
def serving(settings: Settings) -> Iterator[Serving]:
    """A server over a ledger of some hundred events, with redactions among them."""
    with ledger(settings) as serving:
        append(serving, an_entity("parler"), a_source("paper"), a_question("when", about="parler"))
        for number in range(4):
            append(serving, *(a_claim(f"c{number}-{n}", source="paper", question="when") for n in range(60)))
        append(serving, a_claim("first", source="paper", question="when"), *(_revision(n) for n in range(5)))
        append(serving, retract("claim", "c0-1", expect=1))
        for body in ({"first": 2, "last": 2}, {}):
            redact(serving, "first", body)
        redact(serving, "c2-7", {"erase_id": True})
        yield serving


def _revision(number: int) -> Operation:
    return revise("claim", "first", statement=f"Parler went offline, {number}.")


def append(serving: Serving, *operations: Operation) -> int:
    response = serving.client.post("/v1/batch", json=list(operations))
    assert response.status_code == 201, response.text
    return int(response.json()["position"])


def redact(serving: Serving, claim: str, more: dict[str, Any]) -> None:
    body = {"kind": "claim", "id": claim, "basis": "data-protection", "reason": "A test.", **more}
    response = serving.client.post("/v1/redactions", json=body)
    assert response.status_code == 201, response.text


def read_pages(serving: Serving, query: str) -> list[Event]:
    found, following = [], f"/v1/events?limit=37&{query}"
    while following:
        page = serving.client.get(following).raise_for_status().json()
        found += page["items"]
        following = page["next"]
    return found


def read_lines(serving: Serving, query: str) -> list[Event]:
    response = serving.client.get(f"/v1/events?{query}", headers={"Accept": "application/x-ndjson"})
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.text.endswith("\n") or not response.text
    return [json.loads(line) for line in response.text.splitlines()]


def read_sequence(serving: Serving, query: str) -> list[Event]:
    response = serving.client.get(f"/v1/events?format=json-seq&{query}")
    assert response.headers["content-type"] == "application/json-seq"
    return [json.loads(text) for text in response.text.split("\x1e")[1:]]


def read_live(serving: Serving, query: str) -> list[Event]:
    found: list[Event] = []
    with httpx_sse.connect_sse(serving.client, "GET", f"/v1/events?format=sse&{query}") as source:
        for each in source.iter_sse():
            if each.event == "caught-up":
                told = json.loads(each.data)
                assert told["checkpoint"].split("\n")[1] == str(told["position"]), "the note is of the whole log"
                return found
            found.append(json.loads(each.data))
            assert each.id == str(found[-1]["position"])
    raise AssertionError("it ended before it had caught up")


def read_cloud_events(serving: Serving, query: str) -> list[Event]:
    found, address = list[Event](), f"/v1/events?limit=37&{query}"
    while address:
        response = serving.client.get(address, headers={"Accept": "application/cloudevents-batch+json"})
        assert response.headers["content-type"] == "application/cloudevents-batch+json"
        events = response.raise_for_status().json()
        for each in events:
            # A reader that is not ours: it refuses what is no event.
            told, data = JSONFormat().read(CloudEvent, json.dumps(each)), each["data"]
            assert told.get_id() == str(data["position"])
            assert int(told.get_extension("sequence")) == data["position"]
            assert told.get_type() == f"ledger.{data['kind']}.{data['type']}"
            assert told.get_data() == data
        assert [each["sequence"] for each in events] == sorted(each["sequence"] for each in events)
        found += [each["data"] for each in events]
        address = response.links.get("next", {}).get("url", "")
    return found


FORMS: dict[str, Read] = {
    "ndjson": read_lines,
    "json-seq": read_sequence,
    "sse": read_live,
    "cloudevents": read_cloud_events,
}


@pytest.mark.parametrize("query", FILTERS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_events_that_the_pages_give(serving: Serving, form: str, query: str) -> None:
    if (form, query) == ("cloudevents", "exact=true"):
        pytest.skip("an exact event has no type")
    pages = read_pages(serving, query)
    assert pages
    assert FORMS[form](serving, query) == pages


def read_atom(serving: Serving, query: str) -> list[int]:
    """Read the newest entries and then all the archive, as RFC 5005 has readers do, and give the positions in order."""
    found: dict[int, str] = {}
    address = f"{serving.url}/v1/events?format=atom&{query}"
    while address:
        response = serving.client.get(address).raise_for_status()
        assert response.headers["content-type"] == "application/atom+xml"
        feed = feedparser.parse(response.content)
        assert not feed.bozo, feed
        for entry in feed.entries:
            position = int(entry.id.rsplit("/", 1)[1])
            assert found.setdefault(position, entry.id) == entry.id
            assert {"title", "updated", "author", "link"} <= entry.keys()
        address = next((link.href for link in feed.feed.links if link.rel == "prev-archive"), "")
    return sorted(found)


@pytest.mark.parametrize("query", [query for query in FILTERS if query != "exact=true"])
def test_a_news_reader_that_follows_the_archive_has_every_event(serving: Serving, query: str) -> None:
    assert read_atom(serving, query) == [event["position"] for event in read_pages(serving, query)]


def test_an_archive_page_leads_both_ways_and_stays_as_it_is(serving: Serving) -> None:
    first, newest = (serving.client.get(f"/v1/events?format=atom{more}") for more in ("&after=0", ""))
    links = {link.rel: link.href for link in feedparser.parse(first.content).feed.links}
    assert links.keys() == {"self", "current", "next-archive"}
    assert serving.client.get(links["current"]).content == newest.content
    append(serving, a_claim(source="paper", question="when"))
    again = serving.client.get("/v1/events?format=atom&after=0", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    changed = serving.client.get("/v1/events?format=atom", headers={"If-None-Match": newest.headers["etag"]})
    assert changed.status_code == 200


@pytest.mark.parametrize("query", FILTERS)
def test_a_follower_whose_connections_are_cut_at_random_has_every_event_once_and_in_order(
    serving: Serving, query: str
) -> None:
    rng, found, pages = random.Random(19), list[Event](), read_pages(serving, query)
    for _ in range(CUTS):
        found += some(serving, query, found, rng.randint(0, 1 + 2 * len(pages) // CUTS))
    found += some(serving, query, found, len(pages))
    assert found == pages


def some(serving: Serving, query: str, before: list[Event], count: int) -> list[Event]:
    """Follow from what came last, as a browser does that connects again, for so many events at most."""
    headers = {"Last-Event-ID": str(before[-1]["position"])} if before else {}
    found: list[Event] = []
    with httpx_sse.connect_sse(serving.client, "GET", f"/v1/events?format=sse&{query}", headers=headers) as source:
        for each in source.iter_sse():
            if len(found) == count or each.event == "caught-up":
                break
            found.append(json.loads(each.data))
    return found


class Listener(threading.Thread):
    """Follows in a thread, and keeps what came with the moment at which it came."""

    def __init__(self, serving: Serving, query: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(daemon=True)
        self.url = f"{serving.url}/v1/events?format=sse&{query}"
        self.headers = dict(headers or serving.client.headers)
        self.events: list[tuple[float, Event]] = []
        self.has_caught_up, self.is_over = threading.Event(), threading.Event()
        self.start()
        assert self.has_caught_up.wait(20)

    def run(self) -> None:
        with (
            httpx.Client(timeout=20, trust_env=False, headers=self.headers) as client,
            httpx_sse.connect_sse(client, "GET", self.url) as source,
        ):
            for each in source.iter_sse():
                if each.event == "caught-up":
                    self.has_caught_up.set()
                elif self.is_over.is_set():
                    return
                else:
                    self.events.append((time.monotonic(), json.loads(each.data)))

    @property
    def positions(self) -> list[int]:
        return [event["position"] for _, event in self.events]


def test_what_either_of_two_nodes_writes_reaches_the_followers_of_both(settings: Settings, serving: Serving) -> None:
    """Each follower has every event, in order, whichever process wrote; half of them within a quarter of a second."""
    with ledger(settings) as other:
        begin = len(read_pages(serving, ""))
        listeners = [Listener(node, f"after={begin}") for node in (serving, other)]
        sent: dict[str, float] = {}
        for number in range(20):
            node = (serving, other)[number % 2]
            sent[f"live-{number}"] = time.monotonic()
            append(node, a_claim(f"live-{number}", source="paper", question="when"))
        end = begin + 20
        for listener in listeners:
            until(lambda listener=listener: listener.positions[-1:] == [end])
            assert listener.positions == list(range(begin + 1, end + 1))
            late = sorted(moment - sent[event["id"]] for moment, event in listener.events)
            assert late[len(late) // 2] < 0.25, late
            listener.is_over.set()


def test_a_page_waits_for_an_event_and_no_longer_than_it_was_asked_to(serving: Serving) -> None:
    head = len(read_pages(serving, ""))
    began = time.monotonic()
    page = serving.client.get(f"/v1/events?after={head}&wait=1").json()
    assert page["items"] == []
    assert time.monotonic() - began >= 1
    answers: list[httpx.Response] = []

    def ask() -> None:
        with httpx.Client(base_url=serving.url, timeout=40, trust_env=False) as client:
            answers.append(client.get(f"/v1/events?after={head}&wait=30"))

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)
    append(serving, a_claim(source="paper", question="when"))
    asking.join(20)
    assert [event["position"] for event in answers[0].json()["items"]] == [head + 1]
    assert answers[0].json()["resume"].endswith(f"after={head + 1}")


@pytest.mark.parametrize("form", ["json", "ndjson", "json-seq", "sse", "atom", "cloudevents"])
def test_of_each_form_the_head_alone_can_be_asked_for(serving: Serving, form: str) -> None:
    response = serving.client.head(f"/v1/events?format={form}")
    assert response.status_code == 200
    assert response.content == b""
    assert serving.client.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    ("query", "headers", "status", "slug"),
    [
        ("format=sse&after=999999999", {}, 404, "not-yet"),
        ("format=ndjson&after=999999999", {}, 404, "not-yet"),
        ("format=sse", {"Last-Event-ID": "999999999"}, 404, "not-yet"),
        ("format=sse", {"Last-Event-ID": "garbage"}, 400, "bad-parameter"),
        ("format=sse&after=9", {"Last-Event-ID": "3"}, 409, "not-applicable"),
        ("format=pdf", {}, 400, "bad-parameter"),
        ("wait=31", {}, 400, "bad-parameter"),
        ("", {"Accept": "text/html"}, 406, "not-acceptable"),
        ("format=sse&exact=true&kind=claim", {}, 409, "not-applicable"),
        ("format=atom&exact=true", {}, 409, "not-applicable"),
        ("format=cloudevents&exact=true", {}, 409, "not-applicable"),
        ("format=atom&after=999999999", {}, 404, "not-yet"),
    ],
)
def test_what_cannot_be_followed_is_refused_before_anything_is_sent(
    serving: Serving, query: str, headers: dict[str, str], status: int, slug: str
) -> None:
    response = serving.client.get(f"/v1/events?{query}", headers=headers)
    assert response.status_code == status, response.text
    assert response.json()["type"].endswith(slug), response.text


def test_more_followers_than_there_may_be_are_told_to_come_again(settings: Settings, serving: Serving) -> None:
    with ledger(settings, LEDGER_FOLLOWERS="3") as other:
        head = len(read_pages(serving, ""))
        listeners = [Listener(other, f"after={head}") for _ in range(2)]
        refused = other.client.get("/v1/events?format=sse")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert other.client.get(f"/v1/events?after={head}&wait=1").status_code == 503
        # Nobody takes all the places there are.
        with httpx.Client(base_url=other.url, timeout=20, trust_env=False) as stranger:
            assert stranger.get(f"/v1/events?after={head}&wait=1").status_code == 200
        assert other.client.get("/v1/events?format=ndjson").status_code == 200
        listeners[0].is_over.set()
        append(serving, a_claim(source="paper", question="when"))
        # Who leaves makes room.
        until(lambda: other.client.get(f"/v1/events?after={head + 1}&wait=1").status_code == 200)


def test_who_follows_with_a_key_that_is_revoked_is_let_go_before_the_next_event(
    settings: Settings, serving: Serving
) -> None:
    database = Database(settings)
    key = keys.create(database.access(), "follower", keys.SCOPES, None)
    head = append(serving, a_claim(source="paper", question="when"))
    listener = Listener(serving, f"after={head}", {"Authorization": f"Bearer {key}"})
    keys.revoke(database.access(), keys.recognise(database.access(), key).key)
    database.close()
    # For so long a key is remembered.
    time.sleep(5)
    append(serving, a_claim(source="paper", question="when"))
    listener.join(10)
    assert not listener.is_alive()
    assert listener.positions == []


def test_a_server_that_is_told_to_end_waits_for_no_follower(tmp_path: Path, settings: Settings) -> None:
    with ledger(settings) as other:
        listener = Listener(other, "after=1")
        began = time.monotonic()
        other.end()
        assert time.monotonic() - began < 10
        listener.join(10)
        assert not listener.is_alive()
