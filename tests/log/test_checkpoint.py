"""Notes and checkpoints agree with Go's and C2SP's published ones, and nothing altered opens."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from api.domain.log.checkpoint import Checkpoint, SigningKey, check_vkey, open_note, sign, sign_note, verify_note

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors/notes.json").read_text("utf-8"))
NOTES = VECTORS["notes"]
PETER = NOTES[0]
ROOT = bytes(range(32))
OURS = SigningKey("log.example/parler", b"\x07" * 32)
OTHER = SigningKey("witness.example", b"\x08" * 32)


def a_note(origin: str = OURS.name, size: int = 42, root: bytes = ROOT, key: SigningKey = OURS) -> str:
    return sign(origin, size, root, key)


def signed_text(text: str) -> str:
    """Sign without any of our checks, as a careless log would."""
    signature = Ed25519PrivateKey.from_private_bytes(OURS.seed).sign(text.encode())
    raw = bytes.fromhex(OURS.vkey.split("+")[1]) + signature
    return f"{text}\n— {OURS.name} {base64.b64encode(raw).decode()}\n"


@pytest.mark.parametrize("vector", NOTES, ids=lambda vector: vector["from"])
def test_published_notes_verify(vector: dict[str, str]) -> None:
    assert verify_note(vector["note"], [vector["vkey"]]) == vector["text"]


def test_signing_as_go_does_gives_the_same_bytes() -> None:
    key = SigningKey.decode(PETER["skey"])
    assert sign_note(PETER["text"], key) == PETER["note"]
    assert key.vkey == PETER["vkey"]
    assert key.encode() == PETER["skey"]


@pytest.mark.parametrize("vector", VECTORS["rfc8032"]["keys"], ids=lambda vector: vector["message"] or "empty")
def test_keys_and_signatures_are_those_of_rfc_8032(vector: dict[str, str]) -> None:
    key = SigningKey("a", bytes.fromhex(vector["seed"]))
    assert base64.b64decode(key.vkey.split("+", 2)[2]).hex() == "01" + vector["public"]
    assert key.sign(bytes.fromhex(vector["message"])).hex() == vector["signature"]


def test_a_checkpoint_of_the_go_checksum_database_opens() -> None:
    opened = open_note(NOTES[2]["note"], [NOTES[2]["vkey"]])
    root = base64.b64decode("mb8QLQIs0Z0yP5Cstq6guj87oXWeC9gEM8oVikmm9Wk=")
    assert opened == Checkpoint("go.sum database tree", 6476701, root)


@given(st.integers(0, 2**53 - 1), st.binary(min_size=32, max_size=32))
def test_what_is_signed_is_what_is_opened(size: int, root: bytes) -> None:
    assert open_note(a_note(size=size, root=root), [OURS.vkey]) == Checkpoint(OURS.name, size, root)


@given(st.binary(min_size=32, max_size=32), st.from_regex(r"[a-z0-9./-]{1,60}", fullmatch=True))
def test_keys_survive_their_text_form(seed: bytes, name: str) -> None:
    key = SigningKey(name, seed)
    assert SigningKey.decode(key.encode()) == key


@pytest.mark.parametrize("where", [0, 3, 19, 21, 25, -1, -2, -30, -90])
def test_no_character_of_a_note_can_be_changed(where: int) -> None:
    note = a_note()
    changed = list(note)
    changed[where] = "0" if note[where] != "0" else "1"
    with pytest.raises(ValueError, match=r".+"):
        open_note("".join(changed), [OURS.vkey])


@pytest.mark.parametrize("vector", [PETER["vkey"], PETER["skey"]])
def test_no_character_of_a_key_can_be_dropped_or_changed(vector: str) -> None:
    read = SigningKey.decode if vector.startswith("PRIVATE") else lambda key: verify_note(PETER["note"], [key])
    for cut in range(len(vector)):
        for mangled in (vector[:cut], vector[cut + 1 :], vector[:cut] + chr(ord(vector[cut]) + 1) + vector[cut + 1 :]):
            with pytest.raises(ValueError, match=r".+"):
                read(mangled)


@pytest.mark.parametrize("vkey", VECTORS["bad_vkeys"])
def test_keys_of_another_length_or_algorithm_are_refused(vkey: str) -> None:
    with pytest.raises(ValueError, match=r"Ed25519|base64"):
        verify_note(PETER["note"], [vkey])


def test_a_note_none_of_our_keys_signed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^no known key has signed the note$"):
        open_note(a_note(), [OTHER.vkey])
    with pytest.raises(ValueError, match=r"^no known key has signed the note$"):
        open_note(a_note(), [])


def test_a_key_that_shares_only_the_name_is_unknown() -> None:
    namesake = SigningKey(OURS.name, b"\x09" * 32)
    with pytest.raises(ValueError, match=r"^no known key has signed the note$"):
        open_note(a_note(), [namesake.vkey])


def test_signatures_of_unknown_keys_are_ignored() -> None:
    cosigned = a_note() + a_note(key=OTHER).rsplit("\n\n", 1)[1] + "— future.example AAAAAAE=\n"
    assert open_note(cosigned, [OURS.vkey]).size == open_note(cosigned, [OTHER.vkey]).size == 42


def test_a_false_signature_of_a_known_key_condemns_the_note() -> None:
    cosigned = a_note() + a_note(size=43, key=OTHER).rsplit("\n\n", 1)[1]
    assert open_note(cosigned, [OURS.vkey]).size == 42
    with pytest.raises(ValueError, match=r"^a signature under a known key is false$"):
        open_note(cosigned, [OURS.vkey, OTHER.vkey])


def test_extension_lines_are_kept() -> None:
    text = f"{OURS.name}\n1\n{base64.b64encode(ROOT).decode()}\nfirst\n second\n"
    assert open_note(signed_text(text), [OURS.vkey]).extensions == ("first", " second")


LINES = "a checkpoint has three lines or more, none of them empty"
SIZE = "the tree size is a decimal number without leading zeros"
CONTROL = "a note holds no control characters but newlines"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("log\n1\n", LINES),
        ("\n1\n{root}\n", LINES),
        ("log\n\n{root}\n", LINES),
        ("log\n1\n{root}\n\nextension\n", LINES),
        ("log\n01\n{root}\n", SIZE),
        ("log\n+1\n{root}\n", SIZE),
        ("log\n-1\n{root}\n", SIZE),
        ("log\n1_0\n{root}\n", SIZE),
        ("log\n١\n{root}\n", SIZE),
        ("log\n99999999999999999999\n{root}\n", SIZE),
        ("log\n1\n{root}x\n", ".+"),
        ("log\n1\nAAAA\n", "the root hash has 32 bytes"),
        ("log\n1\n{root}\n\tx\n", CONTROL),
        ("log\n1\n{root}\n\x00\n", CONTROL),
        ("log\r\n1\n{root}\n", CONTROL),
    ],
)
def test_a_malformed_checkpoint_is_refused_though_rightly_signed(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=f"^{rule}$"):
        open_note(signed_text(text.replace("{root}", base64.b64encode(ROOT).decode())), [OURS.vkey])


PARTS = "a note is a text, an empty line and signatures"
DASH = "a signature line begins with an em dash"
NAME = "a key name is not empty and holds no space, plus or control character"
SHORT = "a signature is more than a key id"


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (lambda _: "", PARTS),
        (lambda _: "\n\n", PARTS),
        (lambda note: note.rstrip("\n"), PARTS),
        (lambda note: note.replace("\n\n", "\n"), PARTS),
        (lambda note: note + "\n", DASH),
        (lambda note: note.replace("—", "-"), DASH),
        (lambda note: note.replace("— ", "—"), DASH),
        (lambda note: note.replace(" log.example", "  log.example"), NAME),
        (lambda note: note + "— no+body AAAAAAE=\n", NAME),
        (lambda note: note + "— no\u00a0body AAAAAAE=\n", NAME),
        (lambda note: note + "— nobody\n", SHORT),
        (lambda note: note + "— nobody AAAA\n", SHORT),
        (lambda note: note + "— nobody A\n", ".+"),
        (lambda note: note + "— nobody AAAAAAF=\n", "not canonical base64"),
        (lambda note: note + "— nobody AAAAAAE= \n", ".+"),
        (lambda note: note + "— nobody AAAAAAE=\n" * 100, "a note carries at most 100 signatures"),
    ],
)
def test_a_malformed_note_is_refused(spoil: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=f"^{rule}$"):
        open_note(spoil(a_note()), [OURS.vkey])


def test_a_note_may_carry_a_hundred_signatures() -> None:
    assert open_note(a_note() + "— nobody AAAAAAE=\n" * 99, [OURS.vkey]).size == 42


OTHER_ID = "the key does not have the id it claims"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (OURS.vkey, "not a note signing key"),
        (OURS.encode().replace("parler+", "gab+"), OTHER_ID),
        (f"PRIVATE+KEY+a+0000000g+{base64.b64encode(bytes([1]) + ROOT).decode()}", "a key id is 8 hex digits"),
        (f"PRIVATE+KEY+a+00000000+{base64.b64encode(bytes([4]) + ROOT).decode()}", "not an Ed25519 key of this type"),
    ],
)
def test_what_is_no_key_of_a_log_is_refused(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=f"^{rule}$"):
        SigningKey.decode(text)


def test_a_public_key_with_another_id_is_refused() -> None:
    with pytest.raises(ValueError, match=f"^{OTHER_ID}$"):
        check_vkey(OURS.vkey.replace("parler+", "gab+"))


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b", "a\x00b"])
def test_names_that_a_note_cannot_carry_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{NAME}$"):
        SigningKey(name, b"\x07" * 32)


@pytest.mark.parametrize(("origin", "size", "root"), [("", 1, ROOT), ("a\nb", 1, ROOT), ("a", -1, ROOT), ("a", 1, b"")])
def test_what_could_not_be_opened_is_not_signed(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        sign(origin, size, root, OURS)


def test_a_seed_has_32_bytes_and_stays_out_of_the_repr() -> None:
    assert "seed" not in repr(OURS)
    with pytest.raises(ValueError, match=r"^an Ed25519 seed has 32 bytes$"):
        SigningKey("a", b"short")
