"""What is asked: a request that its contract allows. Through it an operation reads the ledger, and replies.

Whether it is allowed is judged elsewhere, before.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Concatenate, Generic, NamedTuple, ParamSpec, TypeVar

from api.domain.dates.asof import NOW, AsOf, Standpoint, read_as_of
from api.ledger.storage.reads import Reads
from api.ledger.writing.keys import Caller
from api.routes.contract.contract import Body_co, Contract, PostContract, Query_co
from api.routes.contract.params import AsOfQuery, Path, Strict
from api.routes.edge.bodies import JSON
from api.routes.edge.exchange import PlainRequest
from api.routes.edge.limits import scheme_of
from api.routes.edge.negotiation import choose_encoding, is_known, mark, quality
from api.routes.edge.query import replace_in_query
from api.routes.edge.reply import NO_STORE, VARY_TIMEGATE, Headers, Reply
from api.routes.edge.services import Services
from api.settings import Settings

NO_CACHE = b"no-cache"
PINNED = b"public, max-age=3600"
_VARY = (b"vary", b"Accept, Accept-Encoding")
Given = ParamSpec("Given")
Result = TypeVar("Result")


class Pace(NamedTuple):
    """How long a view takes: whether it is read in a thread from the first, and whether in a thread it computes or waits."""

    slow: bool = False
    computes: bool = False


BRIEF = Pace()
LONG = Pace(slow=True)
# Tried in the event loop first, as most are short.
MAY_COMPUTE = Pace(computes=True)
COMPUTES = Pace(slow=True, computes=True)


@dataclass(frozen=True, slots=True)
class Asked(Generic[Query_co]):
    """A request that the contract allows, read."""

    request: PlainRequest
    services: Services
    contract: Contract[Query_co]
    caller: Caller | None
    path: Path
    query: Query_co
    headers: Mapping[str, str]

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.path.id or ""

    @property
    def n(self) -> int:
        """The number of the revision in the path."""
        return self.path.n or 0

    @property
    def as_of(self: "Asked[AsOfQuery]") -> AsOf:
        """Where on the ledger's clock the reader wants to stand."""
        text = self.query.as_of
        return NOW if text is None else read_as_of(text)

    @property
    def media_type(self) -> str:
        """The one of the types offered that is wanted most; of equals the first."""
        return max(self.contract.offers, key=partial(quality, self.headers.get("accept")))

    def read(
        self, view: Callable[Concatenate[Reads, Given], Result], *given: Given.args, **named: Given.kwargs
    ) -> Awaitable[Result]:
        """Read in a turn of the event loop that has not been long; what takes long, in a line of the caller's own."""
        return self.read_at(BRIEF, view, *given, **named)

    async def read_at(
        self, pace: Pace, view: Callable[Concatenate[Reads, Given], Result], *given: Given.args, **named: Given.kwargs
    ) -> Result:
        """Read a view that may take long."""
        await self.services.turns.wait()

        def whole(access: Reads) -> Result:
            return view(access, *given, **named)

        line = partial(self._place, computes=pace.computes)
        return await self.services.database.read(whole, slow=pace.slow, computes=pace.computes, line=line)

    @property
    def whose(self) -> str:
        """Who asks, as far as that is known: by which key, or from which address."""
        return self.services.limits.caller_of(self.request.scope, self.caller.key if self.caller else None)

    def _place(self, *, computes: bool) -> AbstractAsyncContextManager[None]:
        """Give a place among this caller's reads that take long."""
        return self.services.lines.place(self.whose, computes=computes)

    def reply(
        self,
        body: bytes,
        *,
        at: Standpoint | None = None,
        etag: str | None = None,
        media_type: str = JSON,
        is_pinned: bool | None = None,
        headers: Headers | None = None,
        status: int = 200,
    ) -> Reply:
        """Answer with a body; 304 where the client holds it already (RFC 9110 section 13.1.2). Compressed if it is worth it."""
        sent: Headers = [VARY_TIMEGATE if self._is_timegate() else _VARY]
        pinned = at.is_pinned if at is not None and is_pinned is None else is_pinned
        caching = NO_STORE if status >= 201 else PINNED if pinned else NO_CACHE
        sent.append((b"cache-control", for_whom(self.services.settings, caching)))
        if at is not None:
            sent.append((b"ledger-position", str(at.position).encode()))
        if headers:
            sent += headers
        encoding = choose_encoding(self.headers.get("accept-encoding"), len(body))
        if etag is not None:
            sent.append((b"etag", mark(etag, encoding).encode()))
            known = self.headers.get("if-none-match")
            if known is not None and status == 200 and is_known(etag, known):
                return Reply(304, sent)
        sent.append((b"content-type", media_type.encode()))
        return encoded(self.services, Reply(status, sent, body), encoding)

    def _is_timegate(self) -> bool:
        """Say whether this address is negotiated on datetime: a memento's must not say so (RFC 7089 section 4.1.1)."""
        return "Accept-Datetime" in self.contract.headers and not says_when(self.query)

    def with_query(self, **replaced: object) -> str:
        """Write the request's own address again, relative to the server, with some of its parameters replaced."""
        raw = self.request.scope["query_string"].decode("ascii")
        return f"{self.request.scope['path']}?{replace_in_query(raw, replaced)}"

    def without_query(self, *names: str) -> str:
        """Write the request's own address again, relative to the server, without some of its parameters."""
        raw = replace_in_query(self.request.scope["query_string"].decode("ascii"), dict.fromkeys(names))
        return f"{self.request.scope['path']}?{raw}" if raw else str(self.request.scope["path"])

    def in_full(self, path: str) -> str:
        """Spell an address of ours in full, as it is public or else as the client reached it.

        Readers of Memento links resolve no relative ones. Where the client names no host, as in HTTP/1.0, it stays relative.
        """
        settings = self.services.settings
        if settings.public_url is not None:
            return settings.public_url + path
        host = self.headers.get("host", "")
        return f"{scheme_of(self.request.scope, settings.trusted_proxies)}://{host}{path}" if host else path


@dataclass(frozen=True, slots=True)
class Posted(Asked[Query_co], Generic[Query_co, Body_co]):
    """A request with a body: to the byte, and as the contract has it decoded."""

    contract: PostContract[Query_co, Body_co]
    raw: bytes
    body: Body_co


def encoded(services: Services, plain: Reply, encoding: str | None) -> Reply:
    """Have a reply's body encoded when it is sent, if it is to be."""
    if encoding is None:
        return plain
    headers = [*plain.headers, (b"content-encoding", encoding.encode())]
    return Reply(plain.status, headers, plain.body, partial(services.encoders.encode, encoding=encoding))


def for_whom(settings: Settings, caching: bytes) -> bytes:
    """Keep from shared caches what not everybody may read (RFC 9111 section 3.5)."""
    return caching if settings.public_read else caching.replace(b"public", b"private")


def says_when(query: Strict) -> bool:
    """Say whether a query names a point on the ledger's clock; then a header that names one does not count."""
    return isinstance(query, AsOfQuery) and query.as_of is not None
