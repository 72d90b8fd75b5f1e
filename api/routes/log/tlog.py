"""The log for machines that follow any log: c2sp.org/tlog-tiles, byte for byte, outside the OpenAPI document.

Full tiles and bundles never change; a partial one of a stated width does not either, but its full one follows.
"""

import re

from api.domain.errors import NotYet
from api.ledger.reading import proofs
from api.ledger.storage.reads import Reads
from api.routes.edge.asked import NO_CACHE, encoded, for_whom
from api.routes.edge.exchange import PlainRequest
from api.routes.edge.negotiation import choose_encoding
from api.routes.edge.operation import serves
from api.routes.edge.problems import HttpError
from api.routes.edge.reply import Headers, Reply
from api.routes.edge.services import services_of

TEXT = b"text/plain; charset=utf-8"
_BYTES = b"application/octet-stream"
_FRESH = b"public, max-age=2"
_FULL = b"public, max-age=31536000, immutable"
_PARTIAL = b"public, max-age=3600"
# At most 10^15 tiles: indexes are written in groups of three digits, all but the last after an x.
_TILE = re.compile(r"/(entries|0|[1-9][0-9]?)/((?!x000/)(?:x[0-9]{3}/){0,4}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_TOP_LEVEL = 63
_ENTRIES = "entries"


@serves("/tlog/checkpoint")
async def get_checkpoint(request: PlainRequest) -> Reply:
    """Serve the signed note of the committed head (c2sp.org/tlog-checkpoint), with its witnesses' cosignatures."""
    services = services_of(request)
    signed = await services.checkpoints.read_latest()
    return _reply(request, signed.note.encode(), TEXT, _FRESH)


@serves("/tlog/keys")
async def get_keys(request: PlainRequest) -> Reply:
    """Serve the chain of keys, oldest first, one to a line: the first size each signs, and the key as vkey."""
    services = services_of(request)
    chain = await services.checkpoints.read_keys()
    lines = "".join(f"{key['from']} {key['vkey']}\n" for key in chain)
    return _reply(request, lines.encode(), TEXT, NO_CACHE)


@serves("/tlog/tile/{path:path}")
async def get_tile(request: PlainRequest) -> Reply:
    """Serve a tile of hashes or a bundle of entries, full or partial, up to the latest checkpoint."""
    services = services_of(request)
    found = _TILE.fullmatch(str(request.path_params["path"]))
    if found is None or (found[1] != _ENTRIES and int(found[1]) > _TOP_LEVEL):
        raise HttpError("not-found", "a tile is named <level>/<index>, or with .p/<width> if partial")
    width = int(found[3] or proofs.TILE_WIDTH)
    if found[3] is not None and width >= proofs.TILE_WIDTH:
        raise HttpError("not-found", "a partial tile is 1 to 255 wide")
    number = int(found[2].replace("x", "").replace("/", ""))
    signed = await services.checkpoints.read_latest()
    body = await services.database.read(lambda access: _tile(access, found[1], number, width, signed.size))
    return _reply(request, body, _BYTES, _FULL if found[3] is None else _PARTIAL)


def _tile(access: Reads, level: str, number: int, width: int, size: int) -> bytes:
    """Read what lies within the tree of `size`. Raises NotYet for what does not."""
    there = proofs.complete(0 if level == _ENTRIES else int(level), size)
    if number * proofs.TILE_WIDTH + width > there:
        raise NotYet(size)
    if level == _ENTRIES:
        return proofs.bundle(access, number, width)
    return proofs.tile(access, int(level), number, width)


def _reply(request: PlainRequest, body: bytes, media_type: bytes, caching: bytes) -> Reply:
    services = services_of(request)
    caching = for_whom(services.settings, caching)
    headers: Headers = [(b"content-type", media_type), (b"cache-control", caching), (b"vary", b"Accept-Encoding")]
    encoding = choose_encoding(request.headers.get("accept-encoding"), len(body))
    return encoded(services, Reply(200, headers, body), encoding)


HANDLERS = (get_checkpoint, get_keys, get_tile)
