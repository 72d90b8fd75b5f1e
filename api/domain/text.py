r"""Text as the ledger keeps and compares it: canonical JSON, paragraphs, the forms of ids and lines.

Patterns end in `\Z`, because Python's `$` lets a final newline pass; `ecma` gives the spelling that a published
JSON Schema needs. Nothing here knows what a claim or an event is, reads a file or asks the time.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from itertools import accumulate, compress
from operator import countOf
from typing import Annotated, NamedTuple

import msgspec

from api.domain import errors

Json = dict[str, "Json"] | list["Json"] | str | int | bool | None

MAX_INTEGER = 2**53 - 1

ID_PATTERN = r"^[a-z0-9][a-z0-9-]{0,99}\Z"
UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z"
UUID4_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z"
SHA256_PATTERN = r"^[0-9a-f]{64}\Z"
# What may be looked for: whatever a payload can hold, from before there were the rules below too.
TEXT_PATTERN = r"^[^\u0000]*$"
# What no line holds: control characters (category Cc), what ends lines and paragraphs (Zl, Zp), and the two that override
# the direction of all that follows (bidirectional classes LRO and RLO).
_UNWANTED = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202d\u202e"
# What shows nothing, of the Basic Multilingual Plane: spaces (Zs), what Unicode says to leave out where it is not
# supported (Default_Ignorable_Code_Point), annotation marks, and the empty pattern of Braille.
_UNSEEN = (
    r"\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u202a-\u202c\u202f"
    r"\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
)
# What shows nothing, then the first that is seen, then anything: so it is read once, and never gone back over.
LINE_PATTERN = rf"^[ {_UNSEEN}]*[^ {_UNWANTED}{_UNSEEN}][^{_UNWANTED}]*\Z"
# Tabs and ends of lines are control characters that prose may hold.
PROSE_PATTERN = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202d\u202e]*\Z"
UUID_FORM = re.compile(UUID_PATTERN)
_UNWANTED_SIGN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_OVERRIDE = re.compile("[\u202d\u202e]")

Id = Annotated[str, msgspec.Meta(pattern=ID_PATTERN, min_length=1, max_length=100)]
Uuid = Annotated[str, msgspec.Meta(pattern=UUID_PATTERN, extra_json_schema={"format": "uuid"})]
Line = Annotated[
    str,
    msgspec.Meta(
        pattern=LINE_PATTERN,
        min_length=1,
        description="One line with something to see: no control character (Cc, Zl, Zp), no bidirectional override.",
    ),
]
Reason = Annotated[Line, msgspec.Meta(max_length=2000)]
Sentence = Annotated[Line, msgspec.Meta(max_length=2000)]
Title = Annotated[Line, msgspec.Meta(max_length=1000)]
Name = Annotated[Line, msgspec.Meta(max_length=500)]
Note = Annotated[
    str,
    msgspec.Meta(
        pattern=PROSE_PATTERN,
        max_length=10000,
        description="No control character but tabs and ends of lines, no bidirectional override.",
    ),
]
Sha256Hex = Annotated[str, msgspec.Meta(pattern=SHA256_PATTERN)]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# How each sign changes the depth, as a signed byte: +1 where an array or object opens, -1 where it ends, 0 at a comma.
_STEPS = bytes.maketrans(b"[{]},", b"\x01\x01\xff\xff\x00")
_COMMAS = bytes(byte == ord(",") for byte in range(256))
_NO_STEPS = bytes(byte for byte in range(256) if byte not in b"[]{},")
_SLICE = 2**15
_WHITE_SPACE = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_LINE_END = re.compile(r"\r\n|\r|\n")
_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder()


def ecma(pattern: str) -> str:
    r"""Spell a pattern of this module for ECMA-262, as JSON Schema asks (2020-12 Core §6.4): `$` in place of `\Z`."""
    return pattern[:-2] + "$" if pattern.endswith(r"\Z") else pattern


def canonical(value: Json) -> bytes:
    """Give the one byte form (RFC 8785) of a value that `check_canonical` accepts.

    With ASCII keys, sorting by code point equals the sorting by UTF-16 unit that RFC 8785 §3.2.3 asks for.
    """
    return _ENCODER.encode(value)


def check_canonical(value: Json, pointer: str = "") -> None:
    """Raise `errors.BadText`, naming the place by JSON Pointer (RFC 6901), for what has no canonical form here."""
    if isinstance(value, str):
        _check_string(value, pointer)
    elif isinstance(value, dict):
        _check_object(value, pointer)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_canonical(item, f"{pointer}/{index}")
    elif isinstance(value, int):
        _check_integer(value, pointer)
    elif value is not None:
        raise errors.BadText(rule="a number must be an integer without fraction or exponent", pointer=pointer)


def read_json(raw: bytes) -> Json:
    """Parse one JSON text and hold it to the ledger's rules. Of a repeated key the last counts (RFC 8259 §4).

    Raises ValueError for what is not JSON in UTF-8, lone surrogates included, or nests beyond what can be parsed
    (a caller with a limit of its own asks `depth` first), and `errors.BadText` for the rest.
    """
    try:
        value: Json = _DECODER.decode(raw)
        check_canonical(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


class Shape(NamedTuple):
    """How deeply a JSON text nests: 0 for a scalar, 1 for `[]`. How many members its outermost array or object has, at most."""

    depth: int
    members: int


def measure(raw: bytes, *, deepest: int, longest: int = MAX_INTEGER) -> Shape:
    """Take the shape of a JSON text, in linear time, without recursion, and no further than a limit that is passed.

    Of a text that is no JSON it counts at least the levels that a parser could enter before it notices. It works in
    short slices, between which other threads have their turn.
    """
    level = depth = commas = 0
    for outside in _outside_strings(raw):
        steps = memoryview(outside.translate(_STEPS, _NO_STEPS)).cast("b").tolist()
        levels = list(accumulate(steps, initial=level))
        highest, level = max(levels), levels[-1]
        depth = max(depth, highest)
        commas += countOf(compress(levels, outside.translate(_COMMAS, _NO_STEPS)), 1)
        if depth > deepest or commas >= longest:
            break
    return Shape(depth, commas + 1)


def _outside_strings(raw: bytes) -> Iterator[bytes]:
    """Give what stands outside strings, slice by slice."""
    is_inside, start = False, 0
    while start < len(raw):
        end = min(start + _SLICE, len(raw))
        if end < len(raw) and _ends_in_escape(raw, start, end):
            end -= 1
        parts = raw[start:end].replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
        yield b"".join(parts[is_inside::2])
        is_inside, start = is_inside ^ (len(parts) % 2 == 0), end


def _ends_in_escape(raw: bytes, start: int, end: int) -> bool:
    return bool((end - start - len(raw[start:end].rstrip(b"\\"))) % 2)


def wanted_line(text: str) -> str:
    """Say how a line is written: a title, a name, a sentence, a reason."""
    if _UNWANTED_SIGN.search(text):
        return "one line with no control character: no end of line, no tab"
    return (
        "no bidirectional override (U+202D, U+202E)" if _OVERRIDE.search(text) else "something to see, not blanks alone"
    )


def wanted_prose(text: str) -> str:
    """Say how a note is written."""
    if _OVERRIDE.search(text):
        return "no bidirectional override (U+202D, U+202E)"
    return "no control character but tabs and ends of lines"


def paragraphs(document: str) -> list[str]:
    """Give the non-blank lines of a document's text; a locator's paragraph n is item n - 1."""
    return [line for line in _LINE_END.split(document) if _WHITE_SPACE.sub("", line)]


def locator(paragraph: str) -> str:
    """Give the SHA-256, in hex, by which whoever holds a copy finds the paragraph again.

    It is taken of the UTF-8 of the text in NFC (Unicode UAX #15), runs of white space folded to one space, trimmed;
    white space is what Unicode's property White_Space says.
    """
    folded = _WHITE_SPACE.sub(" ", unicodedata.normalize("NFC", paragraph)).strip(" ")
    return hashlib.sha256(folded.encode()).hexdigest()


def is_uuid_form(public_id: str) -> bool:
    """Say whether an id has the form of those the ledger mints (RFC 9562 §4), which no client may choose."""
    return UUID_FORM.search(public_id) is not None


def _check_object(value: dict[str, Json], pointer: str) -> None:
    for key, item in value.items():
        if not key.isascii() or "\x00" in key:
            raise errors.BadText(rule="keys must be ASCII, without U+0000", pointer=pointer)
        name = key.replace("~", "~0").replace("/", "~1") if "/" in key or "~" in key else key
        check_canonical(item, f"{pointer}/{name}")


def _check_string(value: str, pointer: str) -> None:
    if _UNSTORABLE.search(value):
        raise errors.BadText(rule="text must hold neither U+0000 nor a lone surrogate", pointer=pointer)


def _check_integer(value: int, pointer: str) -> None:
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise errors.BadText(rule="integers must lie within -(2^53 - 1) and 2^53 - 1", pointer=pointer)
