"""Cosignatures agree with those that public witnesses issued, and nothing altered verifies."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from api.domain.log import checkpoint, cosignature
from api.domain.log.checkpoint import SigningKey
from api.domain.log.cosignature import LATEST_TIME, CosigningKey

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors/cosignatures.json").read_text("utf-8"))
ISSUED, EXAMPLE = VECTORS["issued"], VECTORS["example"]
LOG = SigningKey("log.example/parler", b"\x07" * 32)
OURS = CosigningKey("witness.example/w1", b"\x08" * 32)
OTHER = CosigningKey("witness.example/w2", b"\x09" * 32)
ROOT = bytes(range(32))
NOTE = checkpoint.sign(LOG.name, 42, ROOT, LOG)
TEXT = checkpoint.split(NOTE)[0]
TIME = 1_700_000_000
LINE = OURS.cosign(TEXT, TIME)
MALFORMED = {"match": r".+"}


def test_a_checkpoint_that_four_public_witnesses_cosigned_verifies():
    found = cosignature.read(ISSUED["note"], [*ISSUED["witness_vkeys"], *ISSUED["other_vkeys"]])
    assert [made.vkey for made in found] == ISSUED["witness_vkeys"]
    assert {made.time for made in found} == {ISSUED["time"]}
    assert checkpoint.open_note(ISSUED["note"], [ISSUED["log_vkey"]]).size == 1432088532


@pytest.mark.parametrize("vkey", ISSUED["witness_vkeys"])
@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_checkpoint_issued_and_altered_does_not(vkey: str, line: int):
    text, lines = checkpoint.split(ISSUED["note"])
    altered = text.split("\n")
    altered[line] = altered[line][:-2] + ("1" if altered[line][-2] != "1" else "2") + altered[line][-1]
    with pytest.raises(ValueError, match=r"^a cosignature under a known key is false$"):
        cosignature.verify("\n".join(altered), lines, [vkey])


@pytest.mark.parametrize("vkey", ISSUED["witness_vkeys"] + ISSUED["other_vkeys"])
def test_the_keys_that_public_witnesses_publish_are_read(vkey: str):
    assert cosignature.check_vkey(vkey) == vkey.partition("+")[0]


def test_the_example_of_the_specification_has_the_time_and_the_key_id_that_it_says():
    text, lines = checkpoint.split(EXAMPLE["note"])
    name, known_by, signature = checkpoint.parse_signature(lines[1])
    assert (name, known_by.hex(), len(signature)) == ("witness.example.com/w1", EXAMPLE["key_id"], 8 + 64)
    assert int.from_bytes(signature[:8], "big") == EXAMPLE["time"]
    assert EXAMPLE["message"] == f"cosignature/v1\ntime {EXAMPLE['time']}\n{text}"
    assert cosignature.read(EXAMPLE["note"], [OURS.vkey, *ISSUED["witness_vkeys"]]) == []


def test_what_is_signed_is_the_message_that_the_specification_shows():
    text = checkpoint.split(EXAMPLE["note"])[0]
    line = OURS.cosign(text, EXAMPLE["time"])
    raw = base64.b64decode(line.split(" ")[2])
    public = base64.b64decode(OURS.vkey.split("+", 2)[2])[1:]
    assert raw[4:12] == EXAMPLE["time"].to_bytes(8, "big")
    Ed25519PublicKey.from_public_bytes(public).verify(raw[12:], EXAMPLE["message"].encode())


def test_the_lines_that_the_protocol_shows_are_of_unknown_keys():
    lines = VECTORS["example_answers"]["lines"]
    assert cosignature.verify(TEXT, lines, [OURS.vkey]) == []
    assert cosignature.verify(TEXT, [*lines, LINE], [OURS.vkey])[0].line == LINE


@given(st.integers(0, LATEST_TIME), st.integers(0, 2**53), st.binary(min_size=32, max_size=32))
def test_what_is_cosigned_verifies(time: int, size: int, root: bytes):
    note = checkpoint.sign(LOG.name, size, root, LOG)
    line = OURS.cosign(checkpoint.split(note)[0], time)
    assert cosignature.read(note + line + "\n", [OURS.vkey]) == [cosignature.Cosignature(OURS.vkey, time, line)]
    assert checkpoint.open_note(note + line + "\n", [LOG.vkey]).size == size


@given(st.binary(min_size=32, max_size=32), st.from_regex(r"[a-z0-9./-]{1,60}", fullmatch=True))
def test_keys_survive_their_text_form(seed: bytes, name: str):
    key = CosigningKey(name, seed)
    assert CosigningKey.decode(key.encode()) == key
    assert cosignature.check_vkey(key.vkey) == name


def _flipped(raw: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[place % len(raw)] ^= 1 << bit
    return bytes(changed)


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_no_bit_of_the_checkpoint_can_be_changed(place: int, bit: int):
    changed = _flipped(TEXT.encode(), place, bit).decode("latin-1")
    with pytest.raises(ValueError, match=r"^a cosignature under a known key is false$"):
        cosignature.verify(changed, [LINE], [OURS.vkey])


@given(st.integers(4, 75), st.integers(0, 7))
def test_no_bit_of_the_time_or_the_signature_can_be_changed(place: int, bit: int):
    raw = _flipped(base64.b64decode(LINE.split(" ")[2]), place, bit)
    with pytest.raises(ValueError, match=r"false|time"):
        cosignature.verify(TEXT, [f"— {OURS.name} {base64.b64encode(raw).decode()}"], [OURS.vkey])


@given(st.integers(0, 3), st.integers(0, 7))
def test_a_line_with_another_key_id_or_name_is_of_an_unknown_key(place: int, bit: int):
    raw = _flipped(base64.b64decode(LINE.split(" ")[2]), place, bit)
    assert cosignature.verify(TEXT, [f"— {OURS.name} {base64.b64encode(raw).decode()}"], [OURS.vkey]) == []
    assert cosignature.verify(TEXT, [LINE.replace("w1", "w3")], [OURS.vkey]) == []


def test_no_character_of_a_line_can_be_dropped():
    for cut in range(len(LINE)):
        try:
            assert cosignature.verify(TEXT, [LINE[:cut] + LINE[cut + 1 :]], [OURS.vkey]) == []
        except ValueError:
            continue


@pytest.mark.parametrize("length", [0, 1, 8, 63, 64, 71, 73, 2428])
def test_a_signature_of_another_length_is_false(length: int):
    known_by = base64.b64decode(LINE.split(" ")[2])[:4]
    line = checkpoint.signature_line(OURS.name, known_by, bytes(length))
    with pytest.raises(ValueError, match=r".+"):
        cosignature.verify(TEXT, [line], [OURS.vkey])


def test_one_false_cosignature_of_a_known_key_condemns_all():
    with pytest.raises(ValueError, match=r"^a cosignature under a known key is false$"):
        cosignature.verify(
            TEXT, [LINE, OTHER.cosign("another\n1\n" + TEXT.split("\n")[2] + "\n", TIME)], [OURS.vkey, OTHER.vkey]
        )


def test_a_logs_signature_is_no_cosignature_and_no_cosignature_a_logs():
    namesake = CosigningKey(LOG.name, LOG.seed)
    assert cosignature.read(NOTE, [namesake.vkey]) == []
    cosigned = NOTE.split("\n\n")[0] + "\n\n" + namesake.cosign(TEXT, TIME) + "\n"
    with pytest.raises(ValueError, match="no known key"):
        checkpoint.open_note(cosigned, [LOG.vkey])


@pytest.mark.parametrize(
    ("read", "text", "rule"),
    [
        (CosigningKey.decode, LOG.vkey, "not a cosigning key"),
        (CosigningKey.decode, LOG.encode(), "not an Ed25519 key of this type"),
        (
            CosigningKey.decode,
            OURS.encode().replace(f"{OURS.name}+", "another+"),
            "the key does not have the id it claims",
        ),
        (cosignature.check_vkey, LOG.vkey, "not an Ed25519 key of this type"),
        (cosignature.check_vkey, LOG.encode(), ".+"),
        (
            cosignature.check_vkey,
            OURS.vkey.replace(f"{OURS.name}+", "another+"),
            "the key does not have the id it claims",
        ),
    ],
)
def test_what_is_no_key_of_a_witness_is_refused(read: Any, text: str, rule: str):
    with pytest.raises(ValueError, match=f"^{rule}$"):
        read(text)


@pytest.mark.parametrize("text", [OURS.vkey, OURS.encode()])
def test_no_character_of_a_key_can_be_dropped_or_changed(text: str):
    read = CosigningKey.decode if text.startswith("PRIVATE") else cosignature.check_vkey
    for cut in range(len(text)):
        for mangled in (
            text[:cut],
            text[:cut] + text[cut + 1 :],
            text[:cut] + chr(ord(text[cut]) + 1) + text[cut + 1 :],
        ):
            with pytest.raises(ValueError, **MALFORMED):
                read(mangled)


@pytest.mark.parametrize("time", [-1, 2**63])
def test_a_time_beyond_what_the_format_holds_is_not_signed(time: int):
    with pytest.raises(ValueError, match=r"^a time does not exceed 2\^63 - 1 seconds$"):
        OURS.cosign(TEXT, time)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
def test_a_name_that_a_note_cannot_carry_is_refused(name: str):
    with pytest.raises(ValueError, match=r"^a key name is not empty and holds no space, plus or control character$"):
        CosigningKey(name, b"\x07" * 32)


def test_a_seed_has_32_bytes_and_stays_out_of_the_repr():
    assert "seed" not in repr(OURS)
    with pytest.raises(ValueError, match=r"^an Ed25519 seed has 32 bytes$"):
        CosigningKey("a", b"short")
