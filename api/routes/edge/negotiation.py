"""What a request's Accept headers and entity tags mean: media types, encodings and conditions (RFC 9110 sections 8.8, 12 and 13).

They are read here, and not by the framework: Litestar's Accept matches what a client refuses with `q=0`, and its
compression leaves a strong tag as it is. Tags are cut at commas: ours hold none, so no piece of another's equals one.
"""

import asyncio
import gzip
import hashlib
import re
from itertools import islice
from operator import itemgetter

import brotli

from api.domain.errors import Unavailable
from api.ledger.storage.threads import Threads

_WORTH_COMPRESSING = 1024
# Up to here a body is encoded in the event loop, where it takes a fraction of a millisecond.
_SMALL = 16 * 1024
_THREADS = 2
# Bytes of bodies that wait to be encoded, or are.
_MOST_HELD = 64 * 1024 * 1024
_LEAST = 0.0001
# What proxies, and this ledger, append within a tag where they encode the body; Jetty puts two hyphens before it.
_CODINGS = "(?:--?(?:gzip|gz|br|deflate|zstd)){1,3}"
_ENCODED_TAG = re.compile(f'{_CODINGS}"')
_POSITION_TAG = re.compile(rf'"([1-9][0-9]{{0,15}})(?:\.v[0-9]{{1,9}})?(?:{_CODINGS})?"')
# The elements of a list (RFC 9110 section 5.6.1): a comma within quotes separates nothing.
_ELEMENT = re.compile(r'(?:[^,"]+|"(?:[^"\\]|\\.)*"?)+')
# A weight, as clients really write it: .2, "0.5" and 0.3333 beside what section 12.4.2 allows.
_WEIGHT = re.compile(r";[ \t]*q[ \t]*=([^;]*)")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{0,99})?|\.[0-9]{1,99}")
# Nobody names more types or codings than these; what stands behind them is not read.
_MOST_ELEMENTS = 100


def quality(accept: str | None, media_type: str) -> float:
    """Give the weight of a media type, 0 for one that is refused: the most specific range decides (RFC 9110 section 12.5.1).

    `*` is read as `*/*`: Java has sent it so for decades.
    """
    weights = _weights(accept or "")
    if not weights:
        return 1.0
    ranges = (media_type, media_type.partition("/")[0] + "/*", "*/*", "*")
    return next((weights[each] for each in ranges if each in weights), 0.0)


def _weights(header: str) -> dict[str, float]:
    """Read what a header names, with the weight of each; one that cannot be read counts as 1."""
    weights: dict[str, float] = {}
    for element in islice(_ELEMENT.finditer(header.lower()), _MOST_ELEMENTS):
        name = element[0].partition(";")[0].strip()
        if name:
            weights.setdefault(name, _weight(element[0]))
    return weights


def _weight(element: str) -> float:
    found = _WEIGHT.search(element)
    value = found[1].strip(' \t"') if found else ""
    return min(float(value), 1.0) if _DECIMAL.fullmatch(value) else 1.0


def choose_encoding(accepted: str | None, size: int) -> str | None:
    """Choose a content encoding for a body, or none where it is not wanted or not worth it (RFC 9110 section 12.5.3)."""
    if accepted is None:
        return None
    weights = _weights(accepted)
    others = weights.get("*", 0.0)
    best, weight = max(((name, weights.get(name, others)) for name in ("br", "gzip")), key=itemgetter(1))
    # Unless it is named, to send the body as it is is what comes last, and always possible.
    plain = weights.get("identity", 0.0 if weights.get("*") == 0 else _LEAST)
    is_worth_it = size >= _WORTH_COMPRESSING or plain == 0
    return best if weight > 0 and weight >= plain and is_worth_it else None


class Encoders:
    """Encodes bodies, large ones in threads of its own: nothing else waits for that. For one event loop."""

    def __init__(self) -> None:
        self._threads = Threads(_THREADS, thread_name_prefix="encoder")
        self._held = 0

    async def encode(self, body: bytes, encoding: str) -> bytes:
        """Give the same bytes each time, so that a strong tag holds. Raises Unavailable where too much is being encoded."""
        if len(body) <= _SMALL:
            return compress(body, encoding)
        if self._held + len(body) > _MOST_HELD:
            raise Unavailable(
                "more is being compressed than is held at a time; ask again, or with Accept-Encoding: identity"
            )
        self._held += len(body)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, compress, body, encoding)
        finally:
            self._held -= len(body)

    def close(self) -> None:
        self._threads.shutdown()


def compress(body: bytes, encoding: str) -> bytes:
    return brotli.compress(body, quality=4) if encoding == "br" else gzip.compress(body, 5, mtime=0)


def mark(etag: str, encoding: str | None) -> str:
    """Give each encoding a strong tag of its own: their bytes differ (RFC 9110 section 8.8.3.3)."""
    if encoding is None or etag.startswith("W/"):
        return etag
    return f'{etag[:-1]}-{"gz" if encoding == "gzip" else "br"}"'


def is_known(etag: str, header: str) -> bool:
    """Compare weakly (RFC 9110 section 8.8.3.2), whatever encoding the client holds."""
    if header.strip() == "*":
        return True
    tags = {part.strip().removeprefix("W/") for part in _ENCODED_TAG.sub('"', header).split(",")}
    return etag.removeprefix("W/") in tags


def expected_positions(if_match: str) -> frozenset[int]:
    """Read the positions that If-Match names; strong tags that no revision of ours ever had match nothing."""
    tags = (_POSITION_TAG.fullmatch(part.strip()) for part in if_match.split(","))
    return frozenset(int(tag[1]) for tag in tags if tag)


def revision_tag(position: int, version: int) -> str:
    """Tag a revision, as it is shown, strongly (RFC 9110 section 8.8.1): by its position.

    The version of the form that it is shown in is added from the second on: nobody is to hold what was shown before an
    upgrade for what is shown since.
    """
    return f'"{position}"' if version == 1 else f'"{position}.v{version}"'


def content_tag(shown: bytes) -> str:
    """Tag by what is shown, weakly: it is the same whatever stands around that, and however it is encoded.

    Processors have instructions for SHA-256: a page costs a quarter of what it would by BLAKE2.
    """
    return f'W/"{hashlib.sha256(shown).hexdigest()[:24]}"'
