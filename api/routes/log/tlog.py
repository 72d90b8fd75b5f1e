"""The log for machines that follow any log: c2sp.org/tlog-tiles, byte for byte, outside the OpenAPI document.

Full tiles and bundles never change; a partial one of a stated width does not either, but its full one follows.
"""

import re

from litestar import Request, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp

from api.domain.errors import LedgerError, NotYet
from api.ledger.reading import proofs
from api.ledger.storage.reads import Reads
from api.routes.edge.negotiation import choose_encoding
from api.routes.edge.operation import NO_CACHE, Answer, Headers, Rooms, encoded, explain, for_whom, refuse
from api.routes.edge.problems import Refused

TEXT = b"text/plain; charset=utf-8"
_BYTES = b"application/octet-stream"
_FRESH = b"public, max-age=2"
_FULL = b"public, max-age=31536000, immutable"
_PARTIAL = b"public, max-age=3600"
# At most 10^15 tiles: indexes are written in groups of three digits, all but the last after an x.
_TILE = re.compile(r"/(entries|0|[1-9][0-9]?)/((?!x000/)(?:x[0-9]{3}/){0,4}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_TOP_LEVEL = 63
_ENTRIES = "entries"

PlainRequest = Request[object, object, State]


@get("/tlog/checkpoint", include_in_schema=False)
async def get_checkpoint(request: PlainRequest) -> ASGIApp:
    """Serve the signed note of the committed head (c2sp.org/tlog-checkpoint), with its witnesses' cosignatures."""
    rooms: Rooms = request.app.state.rooms
    try:
        signed = await rooms.checkpoints.read_latest()
    except LedgerError as refusal:
        return await explain(rooms, refusal)
    return _answer(signed.note.encode(), TEXT, _FRESH, request)


@get("/tlog/keys", include_in_schema=False)
async def get_keys(request: PlainRequest) -> ASGIApp:
    """Serve the chain of keys, oldest first, one to a line: the first size each signs, and the key as vkey."""
    rooms: Rooms = request.app.state.rooms
    try:
        chain = await rooms.checkpoints.read_keys()
    except LedgerError as refusal:
        return await explain(rooms, refusal)
    lines = "".join(f"{key['from']} {key['vkey']}\n" for key in chain)
    return _answer(lines.encode(), TEXT, NO_CACHE, request)


@get("/tlog/tile/{path:path}", include_in_schema=False)
async def get_tile(request: PlainRequest, path: FromPath[str]) -> ASGIApp:
    """Serve a tile of hashes or a bundle of entries, full or partial, up to the latest checkpoint."""
    rooms: Rooms = request.app.state.rooms
    found = _TILE.fullmatch(path)
    if found is None or (found[1] != _ENTRIES and int(found[1]) > _TOP_LEVEL):
        return refuse(Refused("not-found", "a tile is named <level>/<index>, or with .p/<width> if partial"))
    width = int(found[3] or proofs.TILE_WIDTH)
    if found[3] is not None and width >= proofs.TILE_WIDTH:
        return refuse(Refused("not-found", "a partial tile is 1 to 255 wide"))
    number = int(found[2].replace("x", "").replace("/", ""))
    try:
        signed = await rooms.checkpoints.read_latest()
        body = await rooms.database.read(_tile, found[1], number, width, signed.size)
    except LedgerError as refusal:
        return await explain(rooms, refusal)
    return _answer(body, _BYTES, _FULL if found[3] is None else _PARTIAL, request)


def _tile(access: Reads, level: str, number: int, width: int, size: int) -> bytes:
    """Read what lies within the tree of `size`. Raises NotYet for what does not."""
    there = proofs.complete(0 if level == _ENTRIES else int(level), size)
    if number * proofs.TILE_WIDTH + width > there:
        raise NotYet(size)
    if level == _ENTRIES:
        return proofs.bundle(access, number, width)
    return proofs.tile(access, int(level), number, width)


def _answer(body: bytes, media_type: bytes, caching: bytes, request: PlainRequest) -> Answer:
    rooms: Rooms = request.app.state.rooms
    caching = for_whom(rooms.settings, caching)
    headers: Headers = [(b"content-type", media_type), (b"cache-control", caching), (b"vary", b"Accept-Encoding")]
    encoding = choose_encoding(request.headers.get("accept-encoding"), len(body))
    return encoded(rooms, Answer(200, headers, body), encoding)


HANDLERS: tuple[HTTPRouteHandler, ...] = (get_checkpoint, get_keys, get_tile)
