"""`ledger verify URL`: a served ledger checked from outside, and every lie that it may tell found out."""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from click.testing import CliRunner, Result

from api.__main__ import main
from api.app import answering
from api.domain.errors import Unavailable
from api.domain.log import checkpoint
from api.ledger.storage.database import Database
from api.verifying.findings import Finding
from api.verifying.outside import tile_path, verify_url
from api.verifying.site import Site
from api.verifying.verify import Doubts, Verdict
from tests.support.builders import a_claim, a_source, an_entity, ground, link, retract, revise
from tests.support.served import DATABASES, migrated
from tests.support.witnessing import Serving, ledger
from tests.verifying.lying import Drip, Lie, at, lying

SIZE = 323


async def at_once(_: float) -> None:
    """Wait for nothing."""


@dataclass
class Seen:
    """A served ledger of two bundles, what was saved of it earlier, and its key."""

    serving: Serving
    earlier: str
    key: checkpoint.SigningKey

    def look(
        self, lie: Lie | None = None, *, deadline: float = 60, sample: int | None = 0, **doubts: Any
    ) -> tuple[Verdict, list[Finding]]:
        told: list[Finding] = []
        with (
            lying(self.serving.url, lie or (lambda _, status, body: (status, body))) as address,
            Site(address, pause=at_once, deadline=deadline) as site,
        ):
            verdict = verify_url(site, answering, told.append, lambda *_: None, Doubts(sample=sample, **doubts))
        assert verdict.is_sound is (not told)
        return verdict, told


# Lies are told by what stands between, about answers that are the same on either database.
ONCE = pytest.mark.parametrize("seen", ["sqlite"], indirect=True)


@pytest.fixture(scope="module", params=DATABASES)
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    with migrated(request, request.param, tmp_path_factory.mktemp("seen")) as settings, ledger(settings) as serving:
        said = {"source": "paper", "question": "offline-when"}
        # Times that no address can name: before the year 1 in some zone, and without a beginning.
        first, ever = {"type": "time", "edtf": "0001~"}, "[..2021-01-12]"
        send(
            serving,
            *ground(),
            a_source("reprint", derives_from=["paper"], published=ever),
            a_claim("a", answer=first, **said),
            a_claim("b", **said),
        )
        # No log says in which file its events came, so a ledger that does is sound as well.
        database = Database(settings)
        database.access().insert("imported", "first, last, file", [(2, 6, "ground.ndjson")])
        database.close()
        # What each record is asked is asked of few; two bundles are filled by what was said of them again.
        send(serving, *(an_entity(f"n{number}") for number in range(30)))
        send(
            serving,
            *(revise("entity", f"n{number % 27}", expect=1 + number // 27, note=f"{number}") for number in range(270)),
        )
        earlier = serving.client.get("/tlog/checkpoint").text
        send(
            serving,
            revise("claim", "a", expect=1, note="Read again"),
            link("a", "repeats", "b"),
            retract("source", "reprint", expect=1),
        )
        send(serving, *(revise("entity", f"n{number}", expect=11, name="Étè") for number in range(10)))
        for target in ({"id": "a", "first": 1, "last": 1}, {"id": "b"}):
            redact(serving, {"kind": "claim", **target})
        redact(serving, {"kind": "entity", "id": "n29", "erase_id": True})
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
    hold_sound(seen, tmp_path, "sound (sampled)", "--sample", "10")


# A smaller ledger is looked at as a whole in `test_verify_answers`.
@pytest.mark.slow
@ONCE
def test_all_of_a_served_ledger_is_found_sound(seen: Seen, tmp_path: Path) -> None:
    hold_sound(seen, tmp_path, "sound")


def hold_sound(seen: Seen, folder: Path, verdict: str, *words: str) -> None:
    (folder / "earlier").write_text(seen.earlier)
    told = run(seen.serving.url, "--since", str(folder / "earlier"), "--vkey", seen.key.vkey, *words)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith(f"{verdict}: {SIZE} events, 3 of them redacted; ")
    assert told.stdout.splitlines()[-1].startswith("not looked at: actors' published names, names of files, proofs")


def test_a_name_of_a_file_is_served_and_not_compared(seen: Seen) -> None:
    named = [item["file"] for item in seen.serving.client.get("/v1/events?limit=8").json()["items"]]
    assert named == [None, *["ground.ndjson"] * 5, None, None]


@ONCE
def test_a_sample_says_that_it_is_one(seen: Seen) -> None:
    few, some = (seen.look(sample=size)[0] for size in (1, 7))
    assert 0 < few.compared < some.compared < SIZE * 3
    assert few.sentence().startswith(f"sound (sampled): {SIZE} events, 3 of them redacted; ")
    none = seen.look(sample=0)[0]
    assert none.compared == 0
    assert "not looked at: all that is derived from the log, actors'" in none.sentence()


def change(path: str, member: str, value: Any, place: int = 0) -> Lie:
    """Change a member of one event on a page of the exact feed."""

    def changed(body: bytes) -> bytes:
        page = json.loads(body)
        page["items"][place][member] = value
        return json.dumps(page).encode()

    return at(path, changed)


FEED = "/v1/events?exact=true&after="


@ONCE
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
])  # fmt: skip
def test_a_lie_is_found_where_it_was_told(seen: Seen, lie: Lie, place: int | None, what: str) -> None:
    told = seen.look(lie)[1]
    assert [each for each in told if each.position == place and what in each.what], told


@ONCE
def test_an_earlier_checkpoint_of_a_fork_is_found(seen: Seen) -> None:
    forged = checkpoint.sign(seen.key.name, 300, b"\x08" * 32, seen.key)
    longer = checkpoint.sign(seen.key.name, SIZE + 1, b"\x08" * 32, seen.key)
    assert seen.look(since=seen.earlier)[1] == []
    assert "the earlier checkpoint signs another root hash" in str(seen.look(since=forged)[1][0])
    assert "the earlier checkpoint signs 324 events" in str(seen.look(since=longer)[1][0])
    for broken in ("", "nonsense", seen.earlier[:-10]):
        assert "the earlier checkpoint is damaged" in str(seen.look(since=broken)[1][0])


@ONCE
def test_a_key_from_outside_is_the_only_one_believed(seen: Seen) -> None:
    """A whole log made up by somebody else is in order by itself."""
    other = checkpoint.SigningKey(seen.key.name, b"\x09" * 32)
    assert seen.look(vkeys=(seen.key.vkey, other.vkey))[1] == []
    for vkeys in ((other.vkey,), ("nonsense",)):
        assert "the checkpoint is damaged, or signed by another key" in str(seen.look(vkeys=vkeys)[1][0])


@ONCE
def test_a_checkpoint_under_a_key_that_the_log_does_not_name_is_found(seen: Seen) -> None:
    """Whoever can sign, but not rewrite the log, may be believed by whoever pins that key: the log says otherwise."""
    other = checkpoint.SigningKey(seen.key.name, b"\x09" * 32)

    def resigned(body: bytes) -> bytes:
        return checkpoint.sign_note(body.decode().partition("\n\n")[0] + "\n", other).encode()

    assert seen.look(at("/tlog/checkpoint", resigned))[1]
    assert seen.look(at("/tlog/checkpoint", resigned), vkeys=(other.vkey,))[1]


UNSERVED = {tile_path("entries", 1, SIZE - 256): 257, f"{FEED}128": 129, "/tlog/keys": None, tile_path("1", 0, 1): 1}


@ONCE
@pytest.mark.parametrize("status", [301, 302, 404, 500, 503])
def test_what_is_signed_and_not_served_is_damage(seen: Seen, status: int) -> None:
    told = seen.look(lambda asked, was, body: (status if asked.startswith(tuple(UNSERVED)) else was, body))[1]
    for path, place in UNSERVED.items():
        assert [each for each in told if each.position == place and path in each.what and f"{status}" in each.what], (
            told
        )


@ONCE
@pytest.mark.parametrize("status", [301, 404, 500, 503])
def test_without_a_checkpoint_nothing_can_be_said(seen: Seen, status: int) -> None:
    with pytest.raises(Unavailable):
        seen.look(lambda path, was, body: (status if "checkpoint" in path else was, body))


@ONCE
def test_an_answer_without_end_is_not_read_to_its_end(seen: Seen) -> None:
    told = seen.look(at("/tlog/keys", lambda body: body + bytes(2 * 2**20)))[1]
    assert "answered with more than 1048576 bytes" in str(told[0])


@ONCE
def test_an_answer_that_never_ends_is_not_waited_for(seen: Seen) -> None:
    """Byte after byte may come within every other limit."""
    told = seen.look(at("/tlog/keys", Drip), deadline=0.3)[1]
    assert "/tlog/keys cannot be read: TimeoutError" in str(told[0])


@ONCE
def test_an_endless_feed_of_redactions_ends(seen: Seen) -> None:
    """Each page says that more were redacted since; the log is none the less judged by what it holds."""

    def lie(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if "type=redacted" not in path:
            return status, body
        after = int(dict(parse_qsl(path.partition("?")[2]))["after"])
        redacts = {"record": str(uuid.uuid4()), "first": 1, "last": 1}
        return 200, json.dumps({"items": [{"position": after + 1, "redacts": redacts}]}).encode()

    assert seen.look(lie)[1] == []
    with pytest.raises(Unavailable, match="redacted meanwhile"):
        seen.look(at_both(lie, "/v1/stats"), sample=1)


@ONCE
@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"items":' * 100_000, b'{"items": [' + b"{}," * 100_000, b"\xff\x00"]
)
def test_what_is_no_answer_is_damage(seen: Seen, body: bytes) -> None:
    for path in (f"{FEED}64", "/v1/stats"):
        assert seen.look(at(path, lambda _: body), sample=1)[1]


@ONCE
def test_a_newer_version_may_say_more_and_a_server_of_this_one_may_not(seen: Seen) -> None:
    def more(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if path == "/":
            return status, json.dumps({**json.loads(body), "version": "99.0.0", "new": 1}).encode()
        if path.startswith("/v1/") and "exact" not in path and body.startswith(b"{"):
            return status, json.dumps({**json.loads(body), "new": 1}).encode()
        return status, body

    verdict, told = seen.look(more, sample=2)
    assert told == []
    assert "not looked at: what the server's other version adds" in verdict.sentence()
    assert seen.look(lambda *asked: asked[1:] if asked[0] == "/" else more(*asked), sample=2)[1]


@ONCE
def test_a_server_that_computes_by_other_rules_is_not_compared(seen: Seen) -> None:
    lie = at("/", lambda body: body)

    def ruled(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        return lie(path, status, json.dumps({**json.loads(body), "rules": 99}).encode() if path == "/" else body)

    with pytest.raises(Unavailable, match="under rules 99"):
        seen.look(ruled, sample=1)


def at_both(lie: Lie, path: str) -> Lie:
    """Lie as before, and leave out what a path answers."""
    return lambda asked, status, body: lie(asked, status, b"{}" if asked.startswith(path) else body)


def busy(times: int, status: int) -> tuple[Callable[..., Any], list[str]]:
    asked: list[str] = []

    def lie(path: str, was: int, body: bytes) -> tuple[int, bytes]:
        asked.append(path)
        return (status, b"") if len(asked) <= times else (was, body)

    return lie, asked


@ONCE
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(seen: Seen, status: int) -> None:
    lie, asked = busy(3, status)
    assert seen.look(lie)[1] == []
    assert asked[:4] == ["/tlog/checkpoint"] * 4


def test_it_waits_longer_each_time_and_as_long_as_the_server_asks() -> None:
    answers = iter([(429, "7"), (503, "x"), (503, "\xb2"), (503, "9999"), (200, "")])
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    def answer(_: httpx.Request) -> httpx.Response:
        status, after = next(answers)
        return httpx.Response(status, headers={"Retry-After": after.encode("latin-1")}, content=b"fine")

    with Site("http://ledger.invalid", transport=httpx.MockTransport(answer), pause=wait) as site:
        assert site.get("/x", most=10) == b"fine"
    assert waited == [7.0, 1.0, 2.0, 60.0]


@pytest.mark.parametrize(
    "url", ["", "nonsense", "file:///etc/passwd", "ftp://host/", "http://", "http://h/?q=1", "http://h:99999/"]
)
def test_what_is_no_address_of_a_ledger_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.verifying.site._TRIES", 1)
    told = run(url) if url else run(" ")
    assert told.exit_code == 2, told.output
    assert "Traceback" not in told.output


def test_a_server_that_is_not_there_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.verifying.site._TRIES", 1)
    told = run("http://127.0.0.1:1")
    assert told.exit_code == 2, told.output
    assert "could not be checked" in told.stderr


@ONCE
def test_what_is_redacted_while_it_is_read_is_lawful(seen: Seen) -> None:
    """The checkpoint comes first: a payload may go before it is read, by a redaction that the checkpoint does not hold."""
    old = seen.serving.client.get("/tlog/checkpoint").content
    redact(seen.serving, {"kind": "entity", "id": "n28"})
    asked: list[str] = []

    def lie(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        asked.append(path)
        return status, old if len(asked) == 1 else body

    verdict, told = seen.look(lie, sample=2)
    assert told == []
    assert (verdict.size, verdict.redacted) == (SIZE + 1, 4)
    assert verdict.compared > 0
    with pytest.raises(Unavailable, match="redacted meanwhile"):
        seen.look(at("/tlog/checkpoint", lambda _: old), sample=2)


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
