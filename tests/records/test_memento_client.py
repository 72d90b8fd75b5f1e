"""A Memento client that others wrote, memento-client, travels through a ledger that is really served.

The record is its own TimeGate, so the client is given no other: what it finds it finds by RFC 7089 alone.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx
import pytest
import requests
from memento_client import MementoClient
from memento_client.memento_client import MementoClientException

from api.ledger.storage.database import Database
from api.ledger.writing import genesis, keys
from tests.support.builders import Operation, a_claim, a_question, a_source, an_entity, restore, retract, revise
from tests.support.served import DATABASES, migrated
from tests.support.witnessing import running

PATHS = {
    "entity": "/v1/entities/aged",
    "source": "/v1/sources/aged",
    "question": "/v1/questions/aged",
    "claim": "/v1/claims/aged",
}
CHANGES = {"entity": "name", "source": "title", "question": "text", "claim": "statement"}
REVISIONS = 4
# Authorities are trusted by nobody here, and take longer to load than all that is asked.
CLIENT = httpx.Client(verify=False, limits=httpx.Limits(max_keepalive_connections=0))


@pytest.fixture(scope="module", params=DATABASES)
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a ledger is served that holds one record of each kind: recorded, revised, retracted and restored."""
    folder = tmp_path_factory.mktemp("served")
    with migrated(request, request.param, folder) as settings:
        database = Database(settings)
        genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
        key = keys.create(database.access(), "test", keys.SCOPES, None)
        database.close()
        with running(settings, "-m", "api", "serve", "--empty") as serving:
            _write(serving.url, key)
            yield serving.url


def _write(address: str, key: str) -> None:
    """Append the four revisions of each record in four seconds, for mementos are told apart by seconds."""
    lives: tuple[list[Operation], ...] = (
        [
            an_entity("aged"),
            a_source("aged"),
            a_question("aged", about="aged"),
            a_claim("aged", source="aged", question="aged"),
            an_entity("gone"),
        ],
        [
            revise("entity", "gone", expect=1, name="Gone"),
            *(revise(kind, "aged", expect=1, **{CHANGES[kind]: "Other words"}) for kind in PATHS),
        ],
        [
            revise("entity", "gone", expect=2, name="Kept"),
            *(retract(kind, "aged", expect=2) for kind in reversed(PATHS)),
        ],
        [restore(kind, "aged", expect=3) for kind in PATHS],
    )
    for operations in lives:
        time.sleep(1.05 - time.time() % 1)
        _post(f"{address}/v1/batch", operations, key)
    why = {"basis": "court-order", "reason": "An order"}
    _post(f"{address}/v1/redactions", {"kind": "entity", "id": "gone", "first": 2, "last": 2, **why}, key)


def _post(url: str, body: object, key: str) -> None:
    answer = CLIENT.post(url, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60)
    assert answer.status_code == 201, answer.text


@pytest.fixture
def memento(monkeypatch: pytest.MonkeyPatch) -> Iterator[MementoClient]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with requests.Session() as session:
        yield MementoClient(timegate_uri="", session=session)


def _times(url: str) -> list[datetime]:
    """When each revision was recorded, by its body, as the naive GMT that the client speaks."""
    stamps = [CLIENT.get(f"{url}/revisions/{n}").json()["revised_at"] for n in range(1, REVISIONS + 1)]
    return [datetime.fromisoformat(stamp).replace(tzinfo=None, microsecond=0) for stamp in stamps]


@pytest.mark.parametrize("kind", PATHS)
def test_it_finds_the_memento_of_every_moment_and_those_around_it(
    address: str, memento: MementoClient, kind: str
) -> None:
    url = address + PATHS[kind]
    times = _times(url)
    assert all(later - earlier >= timedelta(seconds=1) for earlier, later in pairwise(times))
    mementos = [{"uri": [f"{url}/revisions/{n}"], "datetime": moment} for n, moment in enumerate(times, 1)]
    for place, moment in enumerate(times):
        found = memento.get_memento_info(url, moment)
        assert found["original_uri"] == found["timegate_uri"] == url
        around = {"closest": {**mementos[place], "http_status_code": 200}, "first": mementos[0], "last": mementos[-1]}
        if place:
            around["prev"] = mementos[place - 1]
        if place < REVISIONS - 1:
            around["next"] = mementos[place + 1]
        assert found["mementos"] == around


@pytest.mark.parametrize("kind", PATHS)
def test_before_the_first_it_finds_the_first_and_after_the_last_the_last(
    address: str, memento: MementoClient, kind: str
) -> None:
    url = address + PATHS[kind]
    early = memento.get_memento_info(url, datetime(1994, 11, 6, 8, 49, 37))
    late = memento.get_memento_info(url, datetime(2094, 11, 6, 8, 49, 37))
    assert early["mementos"]["closest"]["uri"] == [f"{url}/revisions/1"]
    assert late["mementos"]["closest"]["uri"] == [f"{url}/revisions/{REVISIONS}"]
    now = memento.get_memento_info(url, datetime.now(UTC).replace(tzinfo=None))
    assert now["mementos"] == late["mementos"]


@pytest.mark.parametrize("kind", PATHS)
def test_from_a_memento_it_finds_the_way_back_to_the_original(address: str, memento: MementoClient, kind: str) -> None:
    url = address + PATHS[kind]
    third = _times(url)[2]
    for start in (f"{url}/revisions/1", f"{url}?as_of={CLIENT.get(f'{url}/revisions/2').json()['position']}"):
        assert memento.get_original_uri(start) == url
        found = memento.get_memento_info(start, third)
        assert found["original_uri"] == url
        assert found["mementos"]["closest"]["uri"] == [f"{url}/revisions/3"]


@pytest.mark.parametrize("kind", PATHS)
def test_it_tells_timegates_from_mementos(address: str, memento: MementoClient, kind: str) -> None:
    url = address + PATHS[kind]
    asked = MementoClient.convert_to_http_datetime(datetime(2021, 1, 11, 8))
    assert MementoClient.is_timegate(url, asked)
    assert not MementoClient.is_memento(url)
    position = CLIENT.get(f"{url}/revisions/2").json()["position"]
    for one in (f"{url}/revisions/2", f"{url}?as_of={position}"):
        assert MementoClient.is_memento(one)
        assert not MementoClient.is_timegate(one, asked)


@pytest.mark.parametrize("kind", PATHS)
def test_it_reads_the_timemap(address: str, kind: str) -> None:
    url = address + PATHS[kind]
    links = MementoClient.parse_link_header(CLIENT.get(f"{url}/timemap").text)
    assert MementoClient.get_uri_dt_for_rel(links, ["original", "timegate"]) == {
        "original": {"uri": url, "datetime": None},
        "timegate": {"uri": url, "datetime": None},
    }
    listed = {uri: link["datetime"] for uri, link in links.items() if "memento" in link["rel"]}
    spelt = [MementoClient.convert_to_http_datetime(moment) for moment in _times(url)]
    assert listed == {f"{url}/revisions/{n}": [moment] for n, moment in enumerate(spelt, 1)}


def test_what_was_redacted_it_finds_nowhere(address: str, memento: MementoClient) -> None:
    url = f"{address}/v1/entities/gone"
    lines = CLIENT.get(f"{url}/revisions").json()["items"]
    kept, gone, first = (
        datetime.fromisoformat(line["recorded_at"]).replace(tzinfo=None, microsecond=0) for line in lines
    )
    found = memento.get_memento_info(url, first)["mementos"]
    assert found["closest"]["uri"] == found["first"]["uri"] == [f"{url}/revisions/1"]
    assert found["next"] == found["last"] == {"uri": [f"{url}/revisions/3"], "datetime": kept}
    assert memento.get_memento_info(url, kept)["mementos"]["prev"]["datetime"] == first
    with pytest.raises(MementoClientException) as refused:
        memento.get_memento_info(url, gone)
    assert refused.value.data["status_code"] == "410"
    links = MementoClient.parse_link_header(CLIENT.get(f"{url}/timemap").text)
    assert [uri for uri, link in links.items() if "memento" in link["rel"]] == [f"{url}/revisions/{n}" for n in (1, 3)]
