"""What a request's Accept headers and entity tags mean: media types, encodings and conditions (RFC 9110 sections 8.8, 12 and 13).

They are read here, and not by the framework: Litestar's Accept matches what a client refuses with `q=0`, and its
compression leaves a strong tag as it is. Tags are cut at commas: ours hold none, so no piece of another's equals one.
"""

import asyncio
import gzip
import re
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
_ENCODED_TAG = re.compile(r'-(?:gz|br)"')
_POSITION_TAG = re.compile(r'"([1-9][0-9]{0,15})(?:-gz|-br)?"')


def quality(accept: str | None, media_type: str) -> float:
    """Give the weight of a media type, 0 for one that is refused: the most specific range decides (RFC 9110 section 12.5.1)."""
    if not accept or not accept.strip():
        return 1.0
    best, weight = -1, 0.0
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        rank = _specificity(name, media_type)
        if rank > best:
            best, weight = rank, _weight(parameters)
    return weight


def _specificity(name: str, media_type: str) -> int:
    if name == media_type:
        return 2
    if name == media_type.split("/", maxsplit=1)[0] + "/*":
        return 1
    return 0 if name == "*/*" else -1


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if re.fullmatch(r"[01](\.[0-9]{0,3})?", value.strip()) else 0.0
    return 1.0


def choose_encoding(accepted: str | None, size: int) -> str | None:
    """Choose a content encoding for a body, or none where it is not wanted or not worth it (RFC 9110 section 12.5.3)."""
    if accepted is None:
        return None
    weights = _coding_weights(accepted)
    others = weights.get("*", 0.0)
    best, weight = max(((name, weights.get(name, others)) for name in ("br", "gzip")), key=itemgetter(1))
    # Unless it is named, to send the body as it is is what comes last, and always possible.
    plain = weights.get("identity", 0.0 if weights.get("*") == 0 else _LEAST)
    is_worth_it = size >= _WORTH_COMPRESSING or plain == 0
    return best if weight > 0 and weight >= plain and is_worth_it else None


def _coding_weights(accepted: str) -> dict[str, float]:
    weights = {}
    for part in accepted.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights[name] = _weight(parameters)
    return weights


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
    tags = {_ENCODED_TAG.sub('"', part.strip().removeprefix("W/")) for part in header.split(",")}
    return etag.removeprefix("W/") in tags


def expected_positions(if_match: str) -> frozenset[int]:
    """Read the positions that If-Match names; weak tags, and tags that no revision of ours ever had, match nothing."""
    tags = (_POSITION_TAG.fullmatch(part.strip()) for part in if_match.split(","))
    return frozenset(int(tag[1]) for tag in tags if tag)
