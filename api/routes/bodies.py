"""How a request's body is read: its size, its pace, its depth and its media type, before what it says is looked at."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Request
from litestar.exceptions import InternalServerException

from api.domain.errors import BadBody
from api.domain.text import depth
from api.routes.problems import Refused
from api.settings import Settings

JSON = "application/json"
NDJSON = "application/x-ndjson"
# Seconds until the next piece of a body must have come: a connection that says nothing more is let go.
PATIENCE = 20


async def read_body(
    request: Request[Any, Any, Any], settings: Settings, media_types: Sequence[str], headers: Mapping[str, str]
) -> bytes:
    """Read a body whole. Raises Refused for one too large, too deep, too slow or of another type; BadBody for a torn one."""
    most = settings.max_batch if NDJSON in media_types else settings.max_body
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise Refused("too-large", f"a body here holds at most {most} bytes")
    raw = b"".join(await _pieces(request, most))
    media_type = headers.get("content-type", "")
    await _check_depth(raw, settings.max_depth, are_lines=is_lines(media_type))
    _check_media_type(media_types, media_type, headers.get("content-encoding", "identity"))
    return raw


def is_lines(media_type: str) -> bool:
    """Say whether a body of this type is JSON texts, one to a line."""
    return media_type.strip().lower().startswith(NDJSON)


async def _pieces(request: Request[Any, Any, Any], most: int) -> list[bytes]:
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(PATIENCE) as patience:
            async for piece in request.stream():
                size += len(piece)
                if size > most:
                    raise Refused("too-large", f"a body here holds at most {most} bytes")
                if pieces:
                    # Mostly the first is all: only what comes in more is worth another look at the clock.
                    patience.reschedule(asyncio.get_running_loop().time() + PATIENCE)
                pieces.append(piece)
    except TimeoutError:
        raise Refused("request-timeout", f"nothing more of the body came for {PATIENCE} s") from None
    except InternalServerException:
        raise BadBody("ends before it is whole") from None
    return pieces


async def _check_depth(raw: bytes, most: int, *, are_lines: bool) -> None:
    if raw.count(b"[") + raw.count(b"{") <= most:
        return
    texts = raw.split(b"\n") if are_lines else [raw]
    deep = _deepest(texts) if len(raw) < 2**16 else await asyncio.to_thread(_deepest, texts)
    if deep > most:
        raise Refused("too-large", f"JSON nests at most {most} levels deep here")


def _deepest(texts: Sequence[bytes]) -> int:
    return max(map(depth, texts))


def _check_media_type(media_types: Sequence[str], media_type: str, encoding: str) -> None:
    given, _, parameters = media_type.partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if given.strip().lower() not in media_types or charset not in ("", "utf-8"):
        raise Refused("unsupported-media-type", "send " + " or ".join(media_types))
    if encoding.strip().lower() != "identity":
        raise Refused("unsupported-media-type", "send the body without a content encoding")
