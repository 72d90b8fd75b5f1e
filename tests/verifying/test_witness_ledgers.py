"""Ledgers and witnesses of our own over HTTP: two ledgers watch each other, and one that forks is found out."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from api.__main__ import main
from api.domain.log import checkpoint, cosignature
from api.domain.log.cosignature import CosigningKey
from api.ledger.storage.database import Database
from api.ledger.writing import genesis
from api.settings import Settings
from api.witnessing.witness import Inconsistent, Witness, open_key
from tests.support.served import migrated
from tests.support.witnessing import Log, Serving, free_port, ledger, until, witness


@dataclass
class Place:
    """Where a ledger and its witness live: settings, folder, ports and public keys."""

    settings: Settings
    folder: Path
    port: int
    witness_port: int
    vkey: str
    witness_vkey: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def witness_address(self) -> str:
        return f"{self.witness_vkey} http://127.0.0.1:{self.witness_port}"


def begun(settings: Settings, folder: Path) -> Place:
    """Begin a ledger and make the key of a witness beside it."""
    folder.mkdir(exist_ok=True)
    database = Database(settings)
    state = genesis.open_ledger(database, key_path=settings.signing_key_path, origin=None, is_seeded=True)
    database.close()
    key = open_key(folder / "key", f"{folder.name}.example")
    return Place(settings, folder, free_port(), free_port(), state["keys"][-1]["vkey"], key.vkey)


def append(serving: Serving, name: str) -> int:
    answer = serving.client.post("/v1/entities", json={"type": "other", "name": name})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["position"])


def cosigned(serving: Serving, place: Place, by: str, size: int) -> str:
    """Wait until the checkpoint of a size bears a cosignature, and give the note: both keys verified."""

    def look() -> str | None:
        note = serving.client.get("/tlog/checkpoint").text
        stated = checkpoint.open_note(note, [place.vkey])
        return note if stated.size == size and cosignature.read(note, [by]) else None

    return until(look)


def test_two_ledgers_cosign_each_others_checkpoints(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
    with (
        migrated(request, "sqlite", tmp_path / "north") as first,
        migrated(request, "postgresql", tmp_path / "south") as second,
    ):
        north, south = begun(first, tmp_path / "north"), begun(second, tmp_path / "south")
        with (
            witness(north.folder, south.vkey, follow=south.url, port=north.witness_port) as norths,
            witness(south.folder, north.vkey, follow=north.url, port=south.witness_port) as souths,
            ledger(first, port=north.port, LEDGER_WITNESSES=south.witness_address) as one,
            ledger(second, port=south.port, LEDGER_WITNESSES=f"\n{north.witness_address}\n") as two,
        ):
            for number in range(3):
                for serving, place, other, watching in ((one, north, south, souths), (two, south, north, norths)):
                    size = append(serving, f"Entity {number}")
                    note = cosigned(serving, place, other.witness_vkey, size)
                    origin = checkpoint.split(note)[0].split("\n")[0]
                    known = watching.client.get(f"/{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint").text
                    assert checkpoint.split(known)[0] == checkpoint.split(note)[0]
            for serving, other in ((one, south), (two, north)):
                metrics = serving.client.get("/metrics").text
                name = cosignature.check_vkey(other.witness_vkey)
                assert f'ledger_witness_cosigned_size{{witness="{name}"}} 4.0' in metrics
                assert f'ledger_witness_alarm{{witness="{name}"}} 0.0' in metrics
            assert all(watching.report()["status"] == "watching" for watching in (norths, souths))


def test_following_needs_nobody_to_submit(tmp_path: Path, place: Place) -> None:
    with ledger(place.settings, port=place.port) as serving, following(place) as watching:
        for name in ("One", "Two"):
            size = append(serving, name)
            until(lambda size=size: seen(watching)["size"] == size)
        hashed = hashlib.sha256(seen(watching)["origin"].encode()).hexdigest()
        assert cosignature.read(watching.client.get(f"/{hashed}/checkpoint").text, [place.witness_vkey])
        assert watching.report()["following"] == [{"url": place.url, "trouble": None}]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A ledger on SQLite, so that it can be copied as a file."""
    folder = tmp_path / "watched"
    folder.mkdir()
    with migrated(request, "sqlite", folder) as settings:
        yield begun(settings, folder)


def following(place: Place) -> contextlib.AbstractContextManager[Serving]:
    return witness(place.folder, place.vkey, follow=place.url, port=place.witness_port)


def seen(watching: Serving) -> dict[str, Any]:
    log: dict[str, Any] = watching.report()["logs"][0]
    return log


def copied(place: Place, to: Path) -> Settings:
    """Copy database, key and what was signed last, as a backup would hold them."""
    to.mkdir()
    for path in place.settings.sqlite_path.parent.glob("ledger.*"):
        shutil.copy(path, to / path.name)
    return place.settings.model_copy(
        update={"database_url": f"sqlite:///{to / 'ledger.db'}", "signing_key": to / "ledger.key"}
    )


@pytest.mark.parametrize(("ours", "theirs"), [(2, 2), (1, 4)], ids=["as long", "from 4 to 7"])
def test_a_forked_ledger_is_found_out_refused_and_reported(
    tmp_path: Path, place: Place, ours: int, theirs: int
) -> None:
    with following(place) as watching:
        with ledger(place.settings, port=place.port) as serving:
            append(serving, "Common")
            append(serving, "To both")
        backup = copied(place, tmp_path / "fork")
        with ledger(place.settings, port=place.port) as serving:
            held = [append(serving, f"Ours {number}") for number in range(ours)][-1]
            until(lambda: seen(watching)["size"] == held)

        with ledger(backup) as hidden:
            for number in range(theirs):
                append(hidden, f"Theirs {number}")
        with ledger(backup, port=place.port, LEDGER_WITNESSES=place.witness_address) as forked:
            until(lambda: watching.report()["status"] == "fork")

            found = seen(watching)["fork"]
            notes = [checkpoint.open_note(found[name], [place.vkey]) for name in ("recorded", "submitted")]
            assert [note.size for note in notes] == [held, 3 + theirs]
            state = place.folder / "state" / hashlib.sha256(notes[0].origin.encode()).hexdigest()
            assert json.loads((state / "fork.json").read_text()) == found
            assert seen(watching)["size"] == held, "what was cosigned stays"

            until(lambda: "ledger_witness_alarm{" in forked.client.get("/metrics").text
                  and alarm(forked, place) == 1)  # fmt: skip
            assert not cosignature.read(forked.client.get("/tlog/checkpoint").text, [place.witness_vkey])
            append(forked, "It may go on, alone")
            assert '"level":"critical"' in forked.end()
        with ledger(place.settings, port=place.port) as serving:
            append(serving, "So may we")
            until(lambda: "two histories" in str(watching.report()["following"][0]["trouble"]))
            assert seen(watching)["size"] == held, "refused until an operator acts"
        assert '"level":"critical"' in watching.end()


def alarm(serving: Serving, place: Place) -> float:
    name = f'ledger_witness_alarm{{witness="{cosignature.check_vkey(place.witness_vkey)}"}} '
    lines = serving.client.get("/metrics").text.splitlines()
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def test_a_ledger_restored_from_an_old_backup_is_told_so_by_its_witness(tmp_path: Path, place: Place) -> None:
    with following(place) as watching:
        with ledger(place.settings, port=place.port) as serving:
            append(serving, "Kept")
        backup = copied(place, tmp_path / "old")
        with ledger(place.settings, port=place.port) as serving:
            held = [append(serving, f"Lost {number}") for number in range(3)][-1]
            until(lambda: seen(watching)["size"] == held)
        with ledger(backup, port=place.port, LEDGER_WITNESSES=place.witness_address) as restored:
            until(lambda: alarm(restored, place) == 1)
            until(lambda: seen(watching)["doubt"])
            assert "no prefix" in until(lambda: watching.report()["following"][0]["trouble"])
            assert watching.report()["status"] == "watching", "a backup is no fork until it is written to"
            append(restored, "Written again")
            for number in range(3):
                append(restored, f"And more {number}")
            until(lambda: watching.report()["status"] == "fork")
            assert "rolled back" in restored.end()


def test_a_rotated_key_is_trusted_once_the_operator_says_so(place: Place) -> None:
    with ledger(place.settings, port=place.port) as serving, following(place) as watching:
        size = append(serving, "Before")
        until(lambda: seen(watching)["size"] == size)
    environment = {
        "LEDGER_DATABASE_URL": place.settings.database_url,
        "LEDGER_SIGNING_KEY": str(place.settings.signing_key_path),
    }
    rotated = CliRunner().invoke(main, ["keys", "rotate-signing"], env=environment)
    assert rotated.exit_code == 0, rotated.output
    with ledger(place.settings, port=place.port) as serving:
        with following(place) as watching:
            until(lambda: seen(watching)["size"] == size + 1)  # the last one under the old key is the rotation itself
            after = append(serving, "After")
            assert "no known key" in until(lambda: watching.report()["following"][0]["trouble"])
            assert seen(watching)["size"] == size + 1
        fresh = serving.client.get("/tlog/keys").text.split()[-1]
        with witness(place.folder, place.vkey, fresh, follow=place.url, port=place.witness_port) as watching:
            until(lambda: seen(watching)["size"] == after)


def test_a_smaller_checkpoint_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    log = Log("log.example/lagging")
    fork = Log("log.example/lagging", forked_at=2)
    judging = Witness(CosigningKey("witness.example", b"\x08" * 32), [log.key.vkey], tmp_path)
    judging.add(log.body(0, 9))
    watched = judging.logs[0]

    judging.consider_older(log.note(5), log.path(5, 9), log.tree.root(5))
    assert (watched.memory.doubt(), watched.memory.fork()) == (None, None), "a mirror that lags is no offender"

    for path, old_root in (((), b""), (fork.path(4, 9), fork.tree.root(4))):
        with pytest.raises(Inconsistent):
            judging.consider_older(fork.note(4), path, old_root)
        assert watched.memory.fork() is None, "nothing is shown by a path that does not lead to what was cosigned"
    assert watched.memory.doubt() is not None

    with pytest.raises(Inconsistent):
        judging.consider_older(fork.note(4), log.path(4, 9), log.tree.root(4))
    assert watched.memory.fork() is not None, "the log itself says that 4 had another root than it signed"


def test_a_ledger_that_answers_nonsense_is_trouble_and_no_more(tmp_path: Path, place: Place) -> None:
    with (
        witness(tmp_path / "other", Log("log.example/x").key.vkey) as elsewhere,
        witness(place.folder, place.vkey, follow=elsewhere.url) as watching,
    ):
        until(lambda: watching.report()["following"][0]["trouble"] == "the ledger answers with status 404")
        assert watching.report()["status"] == "watching"
    with ledger(place.settings) as serving:
        stranger = Log("log.example/y").key.vkey
        with witness(tmp_path / "third", stranger, follow=serving.url) as watching:
            until(lambda: watching.report()["following"][0]["trouble"] == "no log of this origin is watched")
