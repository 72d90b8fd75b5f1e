"""The witness over HTTP: every status of c2sp.org/tlog-witness, what is kept before it is said, and races."""

import contextlib
import hashlib
import itertools
import json
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from api.__main__ import main
from api.domain.log import checkpoint, cosignature
from api.domain.log.checkpoint import SigningKey, encode64
from api.domain.log.cosignature import CosigningKey
from api.domain.log.merkle import EMPTY_ROOT
from api.domain.log.submission import Submission
from api.settings import Settings
from api.witnessing.witness import NotCosigned, Witness
from tests.support.witnessing import Log, Serving, running, witness

HELD = 5
STRANGER = SigningKey("log.example/stranger", b"\x0a" * 32)
UNKNOWN_LINE = "— future.example AAAAAAE=\n"


@dataclass(frozen=True)
class Case:
    """A request to a witness that last cosigned size 5 of the log (or nothing), and what must come of it."""

    name: str
    body: Callable[[Log], bytes]
    status: int
    answer: str | None = None
    is_known: bool = True


def given_note(old: int, note: Callable[[Log], str], path: tuple[int, int] | None = None) -> Callable[[Log], bytes]:
    return lambda log: Submission(old, log.path(*path) if path else (), note(log)).encode()


def honest(old: int, size: int) -> Callable[[Log], bytes]:
    return lambda log: log.body(old, size)


def signed(size: int, root: bytes = b"\x01" * 32, *, key: SigningKey | None = None) -> Callable[[Log], str]:
    return lambda log: checkpoint.sign(log.name, size, root, key or log.key)


def forged(log: Log, size: int) -> str:
    """A note whose signature line names the log's key, over another text."""
    lines = checkpoint.split(log.note(size + 1))[1]
    return checkpoint.split(log.note(size))[0] + "\n" + "\n".join(lines) + "\n"


def with_text(log: Log, more: str) -> str:
    return checkpoint.sign_note(checkpoint.split(log.note(9))[0] + more, log.key)


def written(text: Callable[[Log], str]) -> Callable[[Log], bytes]:
    return lambda log: text(log).encode()


def proof_of(lines: int) -> Callable[[Log], bytes]:
    return lambda log: f"old 5\n{(encode64(bytes(32)) + chr(10)) * lines}\n{log.note(9)}".encode()


def old(line: str) -> Callable[[Log], bytes]:
    return lambda log: log.body(5, 9).replace(b"old 5", line.encode())


def step(line: str) -> Callable[[Log], bytes]:
    return lambda log: f"old 5\n{line}\n\n{log.note(9)}".encode()


CASES = [
    # What is right.
    Case("the first of a log", honest(0, 7), 200, is_known=False),
    Case("the empty tree", given_note(0, signed(0, EMPTY_ROOT)), 200, is_known=False),
    Case("a log that grew", honest(5, 9), 200),
    Case("the same again", honest(5, 5), 200),
    Case("lines of unknown keys", lambda log: log.body(5, 9) + UNKNOWN_LINE.encode(), 200),
    Case("extension lines", lambda log: Submission(5, log.path(5, 9), with_text(log, "more\n")).encode(), 200),
    Case("a hundred signatures", lambda log: log.body(5, 9) + UNKNOWN_LINE.encode() * 99, 200),
    # 409, with the size to try again from.
    Case("a request that was accepted, sent again", honest(0, 5), 409, "5\n"),
    Case("an old size of nothing", honest(0, 9), 409, "5\n"),
    Case("an older size, rightly proved", honest(3, 9), 409, "5\n"),
    Case("a size not seen yet", honest(7, 9), 409, "5\n"),
    Case("a smaller tree", honest(3, 3), 409, "5\n"),
    Case("never seen, and said to be", honest(5, 9), 409, "0\n", is_known=False),
    Case("a wrong size and a bad proof", given_note(4, lambda log: log.note(9)), 409, "5\n"),
    Case("the largest number", given_note(10**19 - 1, signed(10**19 - 1)), 409, "5\n"),
    # 404 and 403: who speaks.
    Case("an unknown origin", given_note(5, lambda _: checkpoint.sign(STRANGER.name, 9, b"\x01" * 32, STRANGER)), 404),
    Case("an unknown origin, old above new", given_note(9, lambda _: Log("log.example/nobody").note(3)), 404),
    Case("an unknown origin under a known key", given_note(5, lambda log: checkpoint.sign("x", 9, bytes(32), log.key)), 404),
    Case("an unknown key", given_note(5, signed(9, key=STRANGER), (5, 9)), 403),
    Case("a namesake's key", given_note(5, lambda log: checkpoint.sign(log.name, 9, log.tree.root(9), SigningKey(log.name, b"\x0b" * 32)), (5, 9)), 403),
    Case("a forged signature", given_note(5, lambda log: forged(log, 9), (5, 9)), 403),
    Case("a forged signature beside a true one", lambda log: log.body(5, 9) + forged(log, 9).split("\n\n")[1].encode(), 403),
    Case("a forged signature and a wrong size", given_note(4, lambda log: forged(log, 9)), 403),
    Case("a forged signature, old above new", given_note(10, lambda log: forged(log, 9)), 403),
    Case("a false root", lambda log: log.body(5, 9).replace(encode64(log.tree.root(9)).encode(), encode64(bytes(32)).encode()), 403),
    # 400: what is no request.
    Case("old above new", honest(10, 9), 400),
    Case("old above new, and not what is held", honest(6, 3), 400),
    Case("nothing", lambda _: b"", 400),
    Case("not UTF-8", lambda log: b"\xff" + log.body(5, 9), 400),
    Case("not UTF-8 in the note", lambda log: log.body(5, 9) + b"\xe2\x80 x\n", 400),
    Case("a lone surrogate", lambda log: log.body(5, 9) + b"\xed\xa0\x80\n", 400),
    Case("no old size", lambda log: log.body(5, 9).partition(b"\n")[2], 400),
    Case("old with a zero before", old("old 05"), 400),
    Case("old with a sign", old("old +5"), 400),
    Case("old below zero", old("old -5"), 400),
    Case("old with two spaces", old("old  5"), 400),
    Case("old in other digits", old("old ٥"), 400),
    Case("old of twenty digits", old("old 10000000000000000000"), 400),
    Case("lines that end as on Windows", lambda log: log.body(5, 9).replace(b"\n", b"\r\n"), 400),
    Case("no empty line", lambda log: log.body(5, 9).replace(b"\n\n", b"\n", 1), 400),
    Case("no note", lambda _: b"old 5\n\n", 400),
    Case("a step that is not base64", step("!"), 400),
    Case("a step of 31 bytes", step(encode64(bytes(31))), 400),
    Case("a step of 33 bytes", step(encode64(bytes(33))), 400),
    Case("a step in another spelling", step(encode64(bytes(32))[:-2] + "B="), 400),
    Case("64 steps", proof_of(64), 400),
    Case("a note without signature", lambda log: log.body(5, 9).rpartition("—".encode())[0], 400),
    Case("a note cut short", lambda log: log.body(5, 9)[:-20], 400),
    Case("a note without its last newline", lambda log: log.body(5, 9)[:-1], 400),
    Case("a checkpoint of two lines", lambda log: b"old 5\n\n" + checkpoint.sign_note(f"{log.name}\n9\n", log.key).encode(), 400),
    Case("a size with a zero before", lambda log: log.body(5, 9).replace(b"\n9\n", b"\n09\n"), 400),
    Case("a tab in the note", lambda log: Submission(5, (), with_text(log, "x\n").replace("x\n", "\tx\n")).encode(), 400),
    Case("a hundred and one signatures", lambda log: log.body(5, 9) + UNKNOWN_LINE.encode() * 100, 400),
    Case("ten megabytes", lambda _: b"old 5\n" + b"A" * 10_000_000, 413),
    Case("ten megabytes after an honest request", lambda log: log.body(5, 9) + UNKNOWN_LINE.encode() * 500_000, 413),
    # 422: what was not shown.
    Case("63 steps", proof_of(63), 422),
    Case("no proof", given_note(5, lambda log: log.note(9)), 422),
    Case("the proof of another size", given_note(5, lambda log: log.note(9), (4, 9)), 422),
    Case("a proof in the wrong order", lambda log: Submission(5, log.path(5, 9)[::-1], log.note(9)).encode(), 422),
    Case("a proof with a step too many", lambda log: Submission(5, (*log.path(5, 9), bytes(32)), log.note(9)).encode(), 422),
    Case("a proof from nothing", given_note(0, lambda log: log.note(9), (5, 9)), 422, is_known=False),
    Case("a proof of the same", given_note(5, lambda log: log.note(5), (5, 9)), 422),
    Case("an empty tree with another root", given_note(0, signed(0)), 422, is_known=False),
    Case("another root of the same size", given_note(5, signed(5)), 422),
    Case("a forked history", lambda log: replace(log, forked_at=2).body(5, 9), 422),
]  # fmt: skip
LOGS = {case.name: Log(f"log.example/{number}") for number, case in enumerate(CASES)}


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One witness that trusts a log for each case."""
    with witness(tmp_path_factory.mktemp("judge"), *(log.key.vkey for log in LOGS.values())) as serving:
        yield serving
        assert "unhandled" not in serving.end()


def kept(serving: Serving, log: Log) -> httpx.Response:
    return serving.client.get(f"/{hashlib.sha256(log.name.encode()).hexdigest()}/checkpoint")


def cosigned(serving: Serving, answer: httpx.Response, note: str) -> str:
    """Hold a good answer to the protocol and give its line."""
    assert answer.status_code == 200, answer.text
    text = checkpoint.split(note)[0]
    found = cosignature.verify(text, answer.text.removesuffix("\n").split("\n"), [serving.report()["vkey"]])
    assert [made.line + "\n" for made in found] == [answer.text]
    assert found[0].time > 1_700_000_000
    return found[0].line


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_request_gets_its_status_and_what_is_refused_changes_nothing(judge: Serving, case: Case) -> None:
    log = LOGS[case.name]
    if case.is_known:
        assert judge.add(log.body(0, HELD)).status_code == 200
    before = kept(judge, log)
    body = case.body(log)

    answer = judge.add(body)

    assert answer.status_code == case.status, answer.text
    if case.status == 200:
        note = Submission.decode(body).note
        line = cosigned(judge, answer, note)
        shown = kept(judge, log).text
        assert checkpoint.split(shown)[0] == checkpoint.split(note)[0]
        assert checkpoint.split(shown)[1] == [_own(note, log), line]
        return
    assert kept(judge, log).text == before.text
    assert kept(judge, log).status_code == (200 if case.is_known else 404)
    if case.status == 409:
        assert (answer.text, answer.headers["content-type"]) == (case.answer, "text/x.tlog.size")
    assert "Traceback" not in answer.text


def _own(note: str, log: Log) -> str:
    """Give the log's own signature line; those of unknown keys are not kept."""
    return next(line for line in checkpoint.split(note)[1] if line.startswith(f"— {log.name} "))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/add-checkpoint", 405),
        ("PUT", "/add-checkpoint", 405),
        ("POST", "/", 405),
        ("POST", f"/{'0' * 64}/checkpoint", 405),
        ("GET", f"/{'0' * 64}/checkpoint", 404),
        ("GET", f"/{'A' * 64}/checkpoint", 404),
        ("GET", "/../key/checkpoint", 404),
        ("GET", "/%2e%2e/checkpoint", 404),
        ("GET", "/nothing", 404),
        ("POST", "/nothing", 404),
        ("HEAD", "/", 200),
        ("OPTIONS", "/add-checkpoint", 204),
        ("GET", "/metrics", 200),
    ],
)
def test_other_paths_and_methods_are_answered_as_http_has_it(
    judge: Serving, method: str, path: str, status: int
) -> None:
    assert judge.client.request(method, path).status_code == status


def test_either_of_two_trusted_keys_will_do_and_both_are_kept(tmp_path: Path) -> None:
    log, second = Log("log.example/rotated"), SigningKey("log.example/rotated", b"\x0c" * 32)
    with witness(tmp_path, log.key.vkey, second.vkey) as serving:
        assert serving.add(log.body(0, 5)).status_code == 200
        rotated = checkpoint.sign(log.name, 9, log.tree.root(9), second)
        assert serving.add(Submission(5, log.path(5, 9), rotated).encode()).status_code == 200
        both = log.note(12) + checkpoint.split(checkpoint.sign(log.name, 12, log.tree.root(12), second))[1][0] + "\n"
        assert serving.add(Submission(9, log.path(9, 12), both).encode()).status_code == 200
        shown = kept(serving, log).text
        assert checkpoint.open_note(shown, [log.key.vkey]) == checkpoint.open_note(shown, [second.vkey])


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> tuple[Witness, Log]:
    log = Log("log.example/altered")
    judging = Witness(CosigningKey("witness.example", b"\x08" * 32), [log.key.vkey], tmp_path_factory.mktemp("state"))
    judging.add(log.body(0, HELD))
    return judging, log


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_request_with_any_bit_changed_is_refused(in_process: tuple[Witness, Log], place: int, bit: int) -> None:
    judging, log = in_process
    body = bytearray(log.body(HELD, 9))
    body[place % len(body)] ^= 1 << bit
    with pytest.raises(NotCosigned, match=r".+"):
        judging.add(bytes(body))


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: f"old 0\n\n{text}".encode()))
def test_no_bytes_at_all_are_too_odd_to_be_refused(in_process: tuple[Witness, Log], body: bytes) -> None:
    with pytest.raises(NotCosigned, match=r".+"):
        in_process[0].add(body)


def test_many_submitters_to_two_processes_never_roll_it_back(tmp_path: Path) -> None:
    log = Log("log.example/raced", length=400)
    order = random.Random(3)
    with witness(tmp_path, log.key.vkey) as one, witness(tmp_path, log.key.vkey) as two:
        assert one.report()["vkey"] == two.report()["vkey"]
        largest, lock, accepted = itertools.count(1), threading.Lock(), list[int]()

        def submit(serving: Serving) -> None:
            old = 0
            for _ in range(40):
                with lock:
                    size = next(largest)
                # Now and then an older one, as from a node that fell behind.
                size = max(old, size - order.choice((0, 0, 1, 3)), 1)
                answer = serving.add(log.body(old, size))
                if answer.status_code == 409:
                    old = int(answer.text)
                    continue
                cosigned(serving, answer, log.note(size))
                accepted.append(size)
                # Whoever looks after an answer sees that size or a later one, in either process.
                for each in (one, two):
                    assert checkpoint.parse(checkpoint.split(kept(each, log).text)[0]).size >= size
                old = size

        with ThreadPoolExecutor(8) as threads:
            for done in [threads.submit(submit, serving) for serving in (one, two) * 4]:
                done.result()
        assert len(accepted) > 40
        assert one.report()["logs"][0]["size"] == max(accepted)
        assert one.report()["logs"][0]["fork"] is None


def test_killed_between_keeping_and_answering_it_has_kept(tmp_path: Path) -> None:
    log, lost = Log("log.example/killed"), replace(Log("log.example/killed"), forked_at=3)
    words = ("-m", "tests.support.witnessing", str(tmp_path), log.key.vkey)
    with running(Settings(), *words) as serving:
        vkey = serving.report()["vkey"]
        with pytest.raises(httpx.TransportError):
            serving.add(log.body(0, HELD))
        serving.process.wait(10)
        assert serving.process.returncode == -9
    with witness(tmp_path, log.key.vkey) as again:
        assert again.report()["vkey"] == vkey
        assert again.report()["logs"][0]["size"] == HELD
        assert cosignature.read(kept(again, log).text, [vkey])
        assert again.add(lost.body(0, 4)).text == "5\n"
        assert again.add(log.body(0, HELD)).text == "5\n"
        cosigned(again, again.add(log.body(HELD, HELD)), log.note(HELD))


def test_what_a_crash_left_half_written_is_passed_over(tmp_path: Path) -> None:
    log = Log("log.example/torn")
    judging = Witness(CosigningKey("witness.example", b"\x08" * 32), [log.key.vkey], tmp_path)
    judging.add(log.body(0, HELD))
    folder = tmp_path / judging.logs[0].memory.name
    (folder / "checkpoint.new").write_text("half a no")
    again = Witness(CosigningKey("witness.example", b"\x08" * 32), [log.key.vkey], tmp_path)
    again.add(log.body(HELD, 9))
    recorded = again.recorded(again.logs[0])
    assert recorded is not None
    assert recorded.checkpoint.size == 9


def damaged(folder: Path, log: Log) -> None:
    path = folder / "state" / hashlib.sha256(log.name.encode()).hexdigest() / "checkpoint"
    path.write_text(path.read_text().replace(log.name, "log.example/other"))


def test_a_memory_that_was_tampered_with_stops_it_and_a_running_one_answers_503(tmp_path: Path) -> None:
    log = Log("log.example/damaged")
    with witness(tmp_path, log.key.vkey) as serving:
        serving.add(log.body(0, HELD))
        damaged(tmp_path, log)
        assert serving.add(log.body(HELD, 9)).status_code == 503
        assert serving.client.get("/").status_code == 503
    result = run(tmp_path, log.key.vkey)
    assert result.exit_code == 1
    assert "damaged" in result.output


def run(folder: Path, vkey: str, *more: str):
    words = ["witness", "--key", str(folder / "key"), "--state", str(folder / "state"), "--log", vkey, *more]
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize(
    ("vkey", "more", "named"),
    [
        ("nonsense", (), "--log"),
        (CosigningKey("w.example", b"\x08" * 32).vkey, (), "--log"),
        (STRANGER.vkey, ("--name", "has space"), "--key"),
        (STRANGER.vkey, ("--follow", "ftp://x.example"), "--follow"),
        (STRANGER.vkey, ("--follow", "x.example"), "--follow"),
        (STRANGER.vkey, ("--follow", "http://user:word@x.example"), "--follow"),
        (STRANGER.vkey, ("--follow", "http://x.example/?q"), "--follow"),
    ],
)
def test_wrong_options_are_refused_loudly(tmp_path: Path, vkey: str, more: tuple[str, ...], named: str) -> None:
    result = run(tmp_path, vkey, *more)
    assert result.exit_code == 1
    assert named in result.output
    assert "word" not in result.output


def test_a_key_of_another_name_or_kind_is_refused_and_kept(tmp_path: Path) -> None:
    key = CosigningKey("witness.example", b"\x08" * 32)
    (tmp_path / "key").write_text(key.encode())
    assert "--name" in run(tmp_path, STRANGER.vkey, "--name", "other.example").output
    (tmp_path / "key").write_text(STRANGER.encode())
    assert "--key" in run(tmp_path, STRANGER.vkey).output
    assert (tmp_path / "key").read_text() == STRANGER.encode()


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    with witness(tmp_path, STRANGER.vkey) as serving:
        vkey = serving.report()["vkey"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    with witness(tmp_path, STRANGER.vkey) as serving:
        assert serving.report()["vkey"] == vkey
        assert serving.end().count(CosigningKey.decode((tmp_path / "key").read_text().strip()).encode()) == 0


def test_a_state_folder_goes_with_its_key(tmp_path: Path) -> None:
    log = Log("log.example/moved")
    with witness(tmp_path, log.key.vkey) as serving:
        serving.add(log.body(0, HELD))
    (tmp_path / "key").unlink()
    result = run(tmp_path, log.key.vkey)
    assert result.exit_code == 1
    assert "under another key" in result.output


def evidence(folder: Path, log: Log, name: str = "fork.json"):
    return json.loads((folder / "state" / hashlib.sha256(log.name.encode()).hexdigest() / name).read_text())


@pytest.mark.parametrize(
    ("held", "body"),
    [
        (5, lambda _, fork: Submission(5, (), fork.note(5)).encode()),
        (5, lambda _, fork: Submission(0, (), fork.note(5)).encode()),
        (5, lambda _, fork: fork.body(5, 9)),
        (7, lambda _, fork: fork.body(7, 64)),
        (63, lambda _, fork: fork.body(63, 64)),
    ],
    ids=["same size", "same size, whatever the old", "a proof from another root", "far ahead", "one ahead"],
)
def test_a_fork_that_is_shown_is_kept_reported_and_refused_for_good(tmp_path: Path, held: int, body) -> None:
    log = Log("log.example/forked")
    fork = replace(log, forked_at=2)
    with witness(tmp_path, log.key.vkey) as serving:
        assert serving.add(log.body(0, held)).status_code == 200
        before = kept(serving, log).text

        assert serving.add(body(log, fork)).status_code in (409, 422)

        found = evidence(tmp_path, log)
        assert (found["recorded"], checkpoint.open_note(found["submitted"], [log.key.vkey]).origin) == (
            before,
            log.name,
        )
        assert found["submitted"] == Submission.decode(body(log, fork)).note
        assert (serving.report()["status"], serving.report()["logs"][0]["fork"]) == ("fork", found)
        assert "ledger_witness_forks 1.0" in serving.client.get("/metrics").text
        for again in (log.body(held, held), log.body(held, 64), fork.body(held, held), log.body(0, 64)):
            assert serving.add(again).status_code == 403
        assert kept(serving, log).text == before
        logged = serving.end()
        assert '"level":"critical"' in logged
        assert log.name in logged


def test_a_new_start_forgives_no_fork_and_an_operator_may(tmp_path: Path) -> None:
    log = Log("log.example/forgiven")
    key, fork = CosigningKey("witness.example", b"\x08" * 32), replace(log, forked_at=2)
    for body in (log.body(0, HELD), fork.body(0, HELD)):
        with contextlib.suppress(NotCosigned):
            Witness(key, [log.key.vkey], tmp_path / "state").add(body)
    (tmp_path / "key").write_text(key.encode())
    with witness(tmp_path, log.key.vkey) as serving:
        assert serving.add(log.body(HELD, HELD)).status_code == 403
        (tmp_path / "state" / hashlib.sha256(log.name.encode()).hexdigest() / "fork.json").unlink()
        assert serving.add(log.body(HELD, HELD)).status_code == 200


@pytest.mark.parametrize(
    ("held", "body"),
    [
        (5, lambda log, _: Submission(5, (), log.note(9)).encode()),
        (5, lambda log, _: Submission(5, tuple([bytes(32)] * 4), log.note(9)).encode()),
        (5, lambda log, fork: Submission(5, fork.path(5, 9), log.note(9)).encode()),
        (4, lambda _, fork: fork.body(4, 9)),
    ],
    ids=["no proof", "made-up proof", "a fork's proof with an honest note", "from a complete subtree"],
)
def test_a_proof_that_merely_fails_is_kept_and_silences_nobody(tmp_path: Path, held: int, body) -> None:
    log = Log("log.example/doubted")
    with witness(tmp_path, log.key.vkey) as serving:
        assert serving.add(log.body(0, held)).status_code == 200
        given = body(log, replace(log, forked_at=2))
        assert serving.add(given).status_code == 422
        assert evidence(tmp_path, log, "doubt.json")["submitted"] == Submission.decode(given).note
        assert serving.report()["status"] == "watching"
        assert serving.report()["logs"][0]["doubt"] == evidence(tmp_path, log, "doubt.json")
        assert serving.add(log.body(held, 9)).status_code == 200
        assert '"level":"error"' in serving.end()
