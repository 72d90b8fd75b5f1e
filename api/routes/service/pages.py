"""The two pages for people, `/` and `/docs`, and the files they are made of, all shipped with the package.

Nothing is loaded from elsewhere: the Content-Security-Policy allows this server alone, and no inline script or style.
Files are read once, when first asked for, and kept with their gzip form.
"""

import gzip
import hashlib
import html
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from api.routes.edge.negotiation import is_known

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
# Litestar appends the charset to text types.
HTML = "text/html"
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_ASSETS = Path(__file__).parents[2] / "assets"
_ASSET_CACHE = "public, max-age=86400"
_SCRIPT = "text/javascript"
_STYLE = "text/css"
_SVG = "image/svg+xml"
_TEXT = "text/plain"
_PYTHON = "text/x-python"
# The only files that can be asked for, by the name in the URL.
_FILES = {
    "docs.css": ("docs/docs.css", _STYLE),
    "docs.js": ("docs/docs.js", _SCRIPT),
    "favicon.svg": ("favicon.svg", _SVG),
    "swagger-ui-bundle.js": ("docs/swagger-ui-bundle.js", _SCRIPT),
    "swagger-ui-bundle.js.LICENSE.txt": ("docs/swagger-ui-bundle.js.LICENSE.txt", _TEXT),
    "swagger-ui.css": ("docs/swagger-ui.css", _STYLE),
    "welcome.css": ("welcome.css", _STYLE),
}

_NO_GZIP = re.compile(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)", re.IGNORECASE)

PlainRequest = Request[object, object, State]


@dataclass(frozen=True, slots=True)
class Asset:
    """A shipped file as it goes out; `tag` is the opaque part of its ETag."""

    body: bytes
    gzipped: bytes
    media_type: str
    tag: str


@get("/docs", include_in_schema=False, sync_to_thread=False)
def docs(request: PlainRequest) -> Response[bytes]:
    """Show `/openapi.json` with Swagger UI, offline."""
    return respond(request, _asset("docs/index.html", HTML), PAGE_HEADERS)


@get("/docs/assets/{name:str}", include_in_schema=False, sync_to_thread=False)
def docs_asset(request: PlainRequest, name: FromPath[str]) -> Response[bytes]:
    """Serve one of the shipped files. Raises NotFoundException for any other name."""
    if name not in _FILES:
        raise NotFoundException
    return respond(request, _asset(*_FILES[name]), {"Cache-Control": _ASSET_CACHE})


@get("/favicon.ico", include_in_schema=False, sync_to_thread=False)
def favicon(request: PlainRequest) -> Response[bytes]:
    """Serve the icon to browsers that look for it here."""
    return respond(request, _asset(*_FILES["favicon.svg"]), {"Cache-Control": _ASSET_CACHE})


@get("/verify.py", include_in_schema=False, sync_to_thread=False)
def verifier(request: PlainRequest) -> Response[bytes]:
    """Serve the verifier that needs nothing but Python: one file, to be read before it is run."""
    return respond(request, _asset("verify.py", _PYTHON), {"Cache-Control": "no-cache"})


HANDLERS: tuple[HTTPRouteHandler, ...] = (docs, docs_asset, favicon, verifier)


def welcome_page(position: int, origin: str) -> bytes:
    """Fill in the page a browser gets at `/`: what the ledger is, where to go. Send it as HTML with PAGE_HEADERS."""
    return _welcome().substitute(position=f"{position:,}", at=position, origin=html.escape(origin)).encode()


@lru_cache(maxsize=1)
def _welcome() -> Template:
    return Template((_ASSETS / "welcome.html").read_text(encoding="utf-8"))


@lru_cache(maxsize=16)
def _asset(path: str, media_type: str) -> Asset:
    body = (_ASSETS / path).read_bytes()
    return asset_of(body, media_type)


def asset_of(body: bytes, media_type: str) -> Asset:
    """Prepare bytes that do not change while this process runs."""
    return Asset(body, gzip.compress(body, mtime=0), media_type, hashlib.sha256(body).hexdigest()[:16])


def respond(request: PlainRequest, asset: Asset, headers: dict[str, str]) -> Response[bytes]:
    """Send the file, gzipped where accepted; 304 where the client has it in either form."""
    is_gzip = _takes_gzip(request.headers.get("accept-encoding", ""))
    etag = f'"{asset.tag}-gz"' if is_gzip else f'"{asset.tag}"'
    shared = {**headers, "ETag": etag, "Vary": "Accept-Encoding"}
    known = request.headers.get("if-none-match")
    if known is not None and is_known(f'"{asset.tag}"', known):
        return Response(b"", status_code=304, headers=shared, media_type=asset.media_type)
    if is_gzip:
        shared["Content-Encoding"] = "gzip"
    return Response(asset.gzipped if is_gzip else asset.body, headers=shared, media_type=asset.media_type)


def _takes_gzip(accept_encoding: str) -> bool:
    return "gzip" in accept_encoding.lower() and not _NO_GZIP.search(accept_encoding)
