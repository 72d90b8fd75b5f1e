"""What is handed to a witness reads as it was written, and a fork is one only where it is shown."""

import pytest

from api.domain.log.checkpoint import Checkpoint, encode64
from api.domain.log.submission import Submission, proves_fork
from tests.support.witnessing import Log

NOTE = "log\n3\nroot\n\n— log signature\n"
STEP = encode64(bytes(32))
PARTS = "a body is an old size, a proof, an empty line and a checkpoint"


@pytest.mark.parametrize("path", [(), (bytes(32),), tuple(bytes([number] * 32) for number in range(63))])
def test_a_submission_survives_its_bytes(path: tuple[bytes, ...]) -> None:
    given = Submission(10**19 - 1, path, NOTE)
    assert Submission.decode(given.encode()) == given


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("", PARTS),
        ("old 1", PARTS),
        (f"old 1\n{STEP}\n", PARTS),
        (f"old -1\n\n{NOTE}", PARTS),
        (f"old 01\n\n{NOTE}", PARTS),
        (f"old {10**19}\n\n{NOTE}", PARTS),
        (f"new 1\n\n{NOTE}", PARTS),
        (f"{STEP}\n\n{NOTE}", PARTS),
        ("old 1\n" + f"{STEP}\n" * 64 + f"\n{NOTE}", "a proof has at most 63 lines"),
        (f"old 1\n{encode64(bytes(31))}\n\n{NOTE}", "a proof line holds 32 bytes"),
        (f"old 1\n{encode64(bytes(33))}\n\n{NOTE}", "a proof line holds 32 bytes"),
    ],
)
def test_what_is_no_submission_is_refused(body: str, rule: str) -> None:
    with pytest.raises(ValueError, match=f"^{rule}$"):
        Submission.decode(body.encode())


LOG, FORK = Log("log.example"), Log("log.example", forked_at=3)


def _checkpoint(log: Log, size: int) -> Checkpoint:
    return Checkpoint(log.name, size, log.tree.root(size))


@pytest.mark.parametrize(
    ("first", "second", "path", "first_root", "is_fork"),
    [
        (_checkpoint(LOG, 5), _checkpoint(FORK, 5), (), b"", True),
        (_checkpoint(LOG, 5), _checkpoint(LOG, 5), (), b"", False),
        (_checkpoint(LOG, 0), _checkpoint(FORK, 5), (), b"", False),
        (_checkpoint(LOG, 5), _checkpoint(FORK, 9), FORK.path(5, 9), b"", True),
        (_checkpoint(LOG, 4), _checkpoint(FORK, 9), FORK.path(4, 9), FORK.tree.root(4), True),
        (_checkpoint(LOG, 4), _checkpoint(FORK, 9), FORK.path(4, 9), LOG.tree.root(4), False),
        (_checkpoint(LOG, 5), _checkpoint(LOG, 9), LOG.path(5, 9), b"", False),
        (_checkpoint(LOG, 5), _checkpoint(FORK, 9), LOG.path(5, 9), b"", False),
        (_checkpoint(LOG, 5), _checkpoint(FORK, 9), FORK.path(5, 9)[1:], b"", False),
        (_checkpoint(LOG, 5), _checkpoint(FORK, 9), (), b"", False),
    ],
)
def test_a_fork_is_shown_by_a_path_of_the_second_tree_to_another_first_root(
    first: Checkpoint, second: Checkpoint, path: tuple[bytes, ...], first_root: bytes, is_fork: bool
) -> None:
    assert proves_fork(first, second, path, first_root) is is_fork
