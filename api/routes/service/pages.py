"""The page for people at `/`, the files that it and the reference are made of, and how any of them goes out.

Nothing is loaded from elsewhere: the Content-Security-Policy allows this server alone, and no inline script or style.
Files are read once, when first asked for, and kept with their compressed forms. Litestar's static files have no
compressed forms, and tags that differ from one installation to the next.
"""

import hashlib
import html
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template

from api.routes.edge.exchange import PlainRequest
from api.routes.edge.negotiation import choose_encoding, compress, is_known, mark
from api.routes.edge.operation import serves
from api.routes.edge.problems import HttpError
from api.routes.edge.reply import Headers, Reply

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HTML = "text/html; charset=utf-8"
ASKED_AGAIN: Headers = [(b"cache-control", b"no-cache")]
_KEPT: Headers = [(b"cache-control", b"public, max-age=86400")]
PAGE_HEADERS: Headers = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
]
_ASSETS = Path(__file__).parents[2] / "assets"
_SCRIPT = "text/javascript; charset=utf-8"
_STYLE = "text/css; charset=utf-8"
_SVG = "image/svg+xml"
_PYTHON = "text/x-python; charset=utf-8"
# The only files that can be asked for, by the name in the URL.
_FILES = {
    "docs.css": ("docs/docs.css", _STYLE),
    "docs.js": ("docs/docs.js", _SCRIPT),
    "favicon.svg": ("favicon.svg", _SVG),
    "welcome.css": ("welcome.css", _STYLE),
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A shipped file as it goes out; `tag` is its strong ETag."""

    body: bytes
    media_type: str
    tag: str


@serves("/docs/assets/{name:str}")
async def docs_asset(request: PlainRequest) -> Reply:
    """Serve one of the shipped files."""
    file = _FILES.get(request.path_params["name"])
    if file is None:
        raise HttpError("not-found", "there is nothing at this address")
    return respond(request, _asset(*file), _KEPT)


@serves("/favicon.ico")
async def favicon(request: PlainRequest) -> Reply:
    """Serve the icon to browsers that look for it here."""
    return respond(request, _asset(*_FILES["favicon.svg"]), _KEPT)


@serves("/verify.py")
async def verifier(request: PlainRequest) -> Reply:
    """Serve the verifier that needs nothing but Python: one file, to be read before it is run."""
    return respond(request, _asset("verify.py", _PYTHON), ASKED_AGAIN)


HANDLERS = (docs_asset, favicon, verifier)


def welcome_page(position: int, origin: str) -> bytes:
    """Fill in the page a browser gets at `/`: what the ledger is, where to go. Send it as HTML with PAGE_HEADERS."""
    return _welcome().substitute(position=f"{position:,}", at=position, origin=html.escape(origin)).encode()


@lru_cache(maxsize=1)
def _welcome() -> Template:
    return Template((_ASSETS / "welcome.html").read_text(encoding="utf-8"))


@lru_cache(maxsize=16)
def _asset(path: str, media_type: str) -> Asset:
    return asset_of((_ASSETS / path).read_bytes(), media_type)


def asset_of(body: bytes, media_type: str) -> Asset:
    """Prepare bytes that do not change while this process runs."""
    return Asset(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:16]}"')


def respond(request: PlainRequest, asset: Asset, headers: Headers) -> Reply:
    """Send the file, compressed where that is accepted; 304 where the client has it in any form."""
    encoding = choose_encoding(request.headers.get("accept-encoding"), len(asset.body))
    sent = [*headers, (b"etag", mark(asset.tag, encoding).encode()), (b"vary", b"Accept-Encoding")]
    known = request.headers.get("if-none-match")
    if known is not None and is_known(asset.tag, known):
        return Reply(304, sent)
    sent.append((b"content-type", asset.media_type.encode()))
    if encoding is None:
        return Reply(200, sent, asset.body)
    return Reply(200, [*sent, (b"content-encoding", encoding.encode())], _compressed(asset, encoding))


@lru_cache(maxsize=256)
def _compressed(asset: Asset, encoding: str) -> bytes:
    return compress(asset.body, encoding)
