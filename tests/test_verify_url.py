"""`ledger verify URL`: a served ledger checked from outside, and every lie that it may tell found out."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from api.__main__ import main
from api.archive.findings import Finding
from api.archive.outside import tile_path, verify_url
from api.archive.site import Site, client_of
from api.archive.verify import Doubts, Verdict
from api.domain import checkpoint
from api.domain.errors import Unavailable
from tests.builders import a_claim, a_source, an_entity, ground, link, retract, revise
from tests.lying import Lie, at, lying
from tests.served import DATABASES, migrated
from tests.witnessing import Serving, ledger

SIZE = 323


@dataclass
class Seen:
    """A served ledger of two bundles, what was saved of it earlier, and its key."""

    serving: Serving
    earlier: str
    key: checkpoint.SigningKey

    def look(self, lie: Lie | None = None, **doubts: Any) -> tuple[Verdict, list[Finding]]:
        told: list[Finding] = []
        with (
            lying(self.serving.url, lie or (lambda _, status, body: (status, body))) as address,
            client_of(address) as client,
        ):
            site = Site(client, sleep=lambda _: None)
            verdict = verify_url(site, told.append, lambda *_: None, Doubts(**{"sample": 1000, **doubts}))
        assert verdict.is_sound is (not told)
        return verdict, told


@pytest.fixture(scope="module", params=DATABASES)
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    with migrated(request, request.param, tmp_path_factory.mktemp("seen")) as settings, ledger(settings) as serving:
        said = {"source": "paper", "question": "offline-when"}
        send(
            serving, *ground(), a_source("reprint", derives_from=["paper"]), a_claim("a", **said), a_claim("b", **said)
        )
        send(serving, *(an_entity(f"n{number}") for number in range(300)))
        earlier = serving.client.get("/tlog/checkpoint").text
        send(
            serving,
            revise("claim", "a", expect=1, note="Read again"),
            link("a", "repeats", "b"),
            retract("source", "reprint", expect=1),
        )
        send(serving, *(revise("entity", f"n{number}", expect=1, name="Étè") for number in range(10)))
        for target in ({"id": "a", "first": 1, "last": 1}, {"id": "b"}):
            redact(serving, {"kind": "claim", **target})
        redact(serving, {"kind": "entity", "id": "n299", "erase_id": True})
        assert serving.client.get("/tlog/checkpoint").text.split("\n")[1] == str(SIZE)
        key = checkpoint.SigningKey.decode(settings.signing_key_path.read_text().strip())
        yield Seen(serving, earlier, key)


def send(serving: Serving, *operations: dict[str, Any]) -> None:
    answer = serving.client.post("/v1/batch", json=list(operations))
    assert answer.status_code == 201, answer.text


def redact(serving: Serving, target: dict[str, Any]) -> None:
    answer = serving.client.post("/v1/redactions", json={**target, "basis": "safety", "reason": "A test"})
    assert answer.status_code == 201, answer.text


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["verify", *words])


def test_a_served_ledger_is_found_sound(seen: Seen, tmp_path: Path) -> None:
    (tmp_path / "earlier").write_text(seen.earlier)
    told = run(seen.serving.url, "--since", str(tmp_path / "earlier"), "--vkey", seen.key.vkey, "--sample", "1000")
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith(f"sound: {SIZE} events, 3 of them redacted; ")
    verdict, findings = seen.look()
    assert findings == []
    assert (verdict.size, verdict.signed, verdict.redacted) == (SIZE, SIZE, 3)
    assert verdict.compared > 300


def test_a_sample_is_as_large_as_asked_for(seen: Seen) -> None:
    assert [seen.look(sample=size)[0].compared for size in (0, 7)] == [0, 7]


def change(path: str, member: str, value: Any, place: int = 0) -> Lie:
    """Change a member of one event on a page of the exact feed."""

    def changed(body: bytes) -> bytes:
        page = json.loads(body)
        page["items"][place][member] = value
        return json.dumps(page).encode()

    return at(path, changed)


FEED = "/v1/events?exact=true&after="


@pytest.mark.parametrize(("lie", "place", "what"), [
    (change(f"{FEED}0", "payload", "{}", 4), 5, "payload_digest"),
    (change(f"{FEED}64", "salt", "00" * 32, 2), 67, "payload_digest"),
    (change(f"{FEED}64", "salt", "nonsense", 2), 67, "payload_digest"),
    (change(f"{FEED}0", "entry", "{}", 4), 5, "another entry or leaf hash"),
    (change(f"{FEED}0", "leaf_hash", "00" * 32, 4), 5, "another entry or leaf hash"),
    (change(f"{FEED}0", "payload", None, 4), 5, "no later event redacts it"),
    (change(f"{FEED}0", "position", 9, 4), 5, "does not give the event"),
    (at(f"{FEED}64", lambda _: b'{"items": []}'), 65, "does not give the event"),
    (at(f"{FEED}64", lambda _: b"nonsense"), 65, "does not give the event"),
    (at(tile_path("entries", 0, 256), lambda body: body.replace(b'"recorded"', b'"revised "', 1)), 2, "format version 1"),
    (at(tile_path("entries", 0, 256), lambda body: body[:-1]), 256, "format version 1"),
    (at(tile_path("entries", 1, SIZE - 256), lambda body: body + body), 257, "does not hold 67 entries"),
    (at(tile_path("0", 1, SIZE - 256), lambda body: body[:32] + body[:32] + body[64:]), 258, "leaf hash"),
    (at(tile_path("0", 0, 256), lambda body: body[:-32]), 256, "leaf hash"),
    (at(tile_path("1", 0, 1), lambda _: bytes(32)), 1, "tile 0 of level 1"),
    (at("/tlog/keys", lambda body: body.replace(b"1 ", b"2 ", 1)), None, "chain of keys"),
    (at("/tlog/keys", lambda _: b"\xff"), None, "not UTF-8"),
    (at("/tlog/checkpoint", lambda _: b""), None, "states no size"),
    (at("/tlog/checkpoint", lambda body: body[:-20] + b"\n"), None, "the checkpoint is damaged"),
    (at("/v1/entities/n7", lambda body: body.replace("Étè".encode(), b"Another")), 318, "says something else"),
    (at("/v1/entities/n7", lambda _: b"nonsense"), 318, "says something else"),
])  # fmt: skip
def test_a_lie_is_found_where_it_was_told(seen: Seen, lie: Lie, place: int | None, what: str) -> None:
    told = seen.look(lie)[1]
    assert [each for each in told if each.position == place and what in each.what], told


def test_a_record_that_is_hidden_or_that_should_be_is_found(seen: Seen) -> None:
    hidden = seen.look(lambda path, status, body: (404, b"") if path.startswith("/v1/claims/a?") else (status, body))[1]
    assert [each.what for each in hidden] == [f"/v1/claims/a?as_of={SIZE} answered 404"]
    shown = seen.look(lambda path, status, body: (200, b"{}") if path.startswith("/v1/claims/b?") else (status, body))[
        1
    ]
    assert len(shown) == 1


def test_an_earlier_checkpoint_of_a_fork_is_found(seen: Seen) -> None:
    forged = checkpoint.sign(seen.key.name, 300, b"\x08" * 32, seen.key)
    longer = checkpoint.sign(seen.key.name, SIZE + 1, b"\x08" * 32, seen.key)
    assert seen.look(since=seen.earlier, sample=0)[1] == []
    assert "the earlier checkpoint signs another root hash" in str(seen.look(since=forged, sample=0)[1][0])
    assert "the earlier checkpoint signs 324 events" in str(seen.look(since=longer, sample=0)[1][0])
    for broken in ("", "nonsense", seen.earlier[:-10]):
        assert "the earlier checkpoint is damaged" in str(seen.look(since=broken, sample=0)[1][0])


def test_a_key_from_outside_is_the_only_one_believed(seen: Seen) -> None:
    """A whole log made up by somebody else is in order by itself."""
    other = checkpoint.SigningKey(seen.key.name, b"\x09" * 32)
    assert seen.look(vkeys=(seen.key.vkey, other.vkey), sample=0)[1] == []
    for vkeys in ((other.vkey,), ("nonsense",)):
        assert "the checkpoint is damaged, or signed by another key" in str(seen.look(vkeys=vkeys, sample=0)[1][0])


def test_a_checkpoint_under_a_key_that_the_log_does_not_name_is_found(seen: Seen) -> None:
    """Whoever can sign, but not rewrite the log, may be believed by whoever pins that key: the log says otherwise."""
    other = checkpoint.SigningKey(seen.key.name, b"\x09" * 32)

    def resigned(body: bytes) -> bytes:
        return checkpoint.sign_note(body.decode().partition("\n\n")[0] + "\n", other).encode()

    assert seen.look(at("/tlog/checkpoint", resigned), sample=0)[1]
    assert seen.look(at("/tlog/checkpoint", resigned), vkeys=(other.vkey,), sample=0)[1]


@pytest.mark.parametrize("status", [301, 302, 404, 500, 503])
def test_what_is_not_served_cannot_be_checked(seen: Seen, status: int) -> None:
    with pytest.raises(Unavailable):
        seen.look(lambda path, was, body: (status if "tile/entries" in path else was, body))


def test_an_answer_without_end_is_not_read_to_its_end(seen: Seen) -> None:
    with pytest.raises(Unavailable, match="more than"):
        seen.look(at("/tlog/keys", lambda body: body + bytes(2 * 2**20)))


def busy(times: int, status: int) -> tuple[Callable[..., Any], list[str]]:
    asked: list[str] = []

    def lie(path: str, was: int, body: bytes) -> tuple[int, bytes]:
        asked.append(path)
        return (status, b"") if len(asked) <= times else (was, body)

    return lie, asked


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(seen: Seen, status: int) -> None:
    lie, asked = busy(3, status)
    assert seen.look(lie, sample=0)[1] == []
    assert asked[:4] == ["/tlog/checkpoint"] * 4


def test_it_waits_longer_each_time_and_as_long_as_the_server_asks() -> None:
    answers = iter([(429, "7"), (503, "x"), (503, "9999"), (200, "")])
    waited: list[float] = []

    def answer(_: httpx.Request) -> httpx.Response:
        status, after = next(answers)
        return httpx.Response(status, headers={"Retry-After": after}, content=b"fine")

    with httpx.Client(base_url="http://ledger.invalid", transport=httpx.MockTransport(answer)) as client:
        assert Site(client, sleep=waited.append).get("/x", most=10) == b"fine"
    assert waited == [7.0, 1.0, 60.0]


@pytest.mark.parametrize(
    "url", ["", "nonsense", "file:///etc/passwd", "ftp://host/", "http://", "http://h/?q=1", "http://h:99999/"]
)
def test_what_is_no_address_of_a_ledger_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.archive.site._TRIES", 1)
    told = run(url) if url else run(" ")
    assert told.exit_code == 2, told.output
    assert "Traceback" not in told.output


def test_a_server_that_is_not_there_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.archive.site._TRIES", 1)
    told = run("http://127.0.0.1:1")
    assert told.exit_code == 2, told.output
    assert "could not be checked" in told.stderr


def test_what_is_redacted_while_it_is_read_is_lawful(seen: Seen) -> None:
    """The checkpoint comes first: a payload may go before it is read, by a redaction that the checkpoint does not hold."""
    old = seen.serving.client.get("/tlog/checkpoint").text
    redact(seen.serving, {"kind": "entity", "id": "n200"})
    verdict, told = seen.look(at("/tlog/checkpoint", lambda _: old.encode()))
    assert told == []
    assert verdict.size == SIZE
    assert (verdict.is_outdated, verdict.compared) == (True, 0)


def test_the_feed_gives_events_to_the_byte(seen: Seen) -> None:
    client = seen.serving.client
    page = client.get(f"{FEED}4&limit=3").json()
    assert page["next"] == f"{FEED}7&limit=3".replace("exact=true&after=7&limit=3", "exact=true&limit=3&after=7")
    assert page["items"] == [client.get(f"/v1/events/{position}").json() for position in (5, 6, 7)]
    assert page["items"][1]["payload"] is page["items"][1]["salt"] is None
    for query in ("kind=claim", "type=recorded", "state=false", "id=a", "source=paper"):
        refused = client.get(f"/v1/events?exact=true&{query}")
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/not-applicable")
        assert refused.json()["errors"][0]["parameter"] == "exact"
    assert client.get("/v1/events?exact=yes").status_code == 400
    assert client.get(f"{FEED}999999").status_code == 404
