"""How many requests a caller may make: a fixed window of a minute that starts with the caller's first request.

Counts live in this process: with several workers each counts its own share. Memory is bounded: windows that have
lapsed are dropped as new ones open, and past MAX_CALLERS the oldest goes first, so a flood of addresses can at worst
hand some caller a fresh window. The `limits` library was measured at three times the cost, with a timer thread and
without such a bound.
Headers follow draft-ietf-httpapi-ratelimit-headers (structured fields, RFC 9651).
"""

import ipaddress
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from litestar.types import Scope

from api.routes.edge.problems import HttpError
from api.settings import Network, Settings

RawHeaders = tuple[tuple[bytes, bytes], ...]

WINDOW = 60
MAX_CALLERS = 65_536
_FORWARDING = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip"})
_IPV6_SITE = 64
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(
    rf"(?:(?P<name>{_LABEL}(?:\.{_LABEL})*\.?)|\[(?P<ip6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{{1,5}})?)?"
)
# With a port; and a domain name (RFC 1035 section 2.3.4), as it is written.
_LONGEST_HOST, _LONGEST_NAME = 260, 253
_LAST_PORT = 65_535


class Allowance(NamedTuple):
    """What is left to one caller. `resets_in` is in seconds; `remaining` is 0 both on the last one and past it."""

    policy: str
    quota: int
    remaining: int
    resets_in: int
    is_exceeded: bool

    @property
    def retry_after(self) -> int:
        """Seconds until a request is let through again, at least 1."""
        return self.resets_in

    @property
    def raw_headers(self) -> RawHeaders:
        """`RateLimit-Policy` and `RateLimit`, and `Retry-After` once the quota is spent, as ASGI wants them."""
        name = self.policy.encode()
        pair = (
            (b"ratelimit-policy", b'"%b";q=%d;w=%d' % (name, self.quota, WINDOW)),
            (b"ratelimit", b'"%b";r=%d;t=%d' % (name, self.remaining, self.resets_in)),
        )
        return (*pair, (b"retry-after", b"%d" % self.retry_after)) if self.is_exceeded else pair


class RateLimits:
    """Counts requests per key, or per address where no key is given. For one event loop, not for threads."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rates = settings.rates
        self._trusted = settings.trusted_proxies
        self._clock = clock
        # Ordered by the end of the window: opening one always puts it last.
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def check(self, scope: Scope, key_id: str | None) -> Allowance | None:
        """Count this request. None means that no limit applies: limits are off, or the caller is on this machine."""
        if self._rates is None or is_local(scope):
            return None
        caller = self.caller_of(scope, key_id)
        if key_id is not None:
            return self._count(caller, "key", self._rates[1])
        return self._count(caller, "anonymous", self._rates[0])

    def caller_of(self, scope: Scope, key_id: str | None) -> str:
        """Name who is counted as one: a key, or an address where no key is given."""
        return f"key {key_id}" if key_id is not None else _site(address_of(scope, self._trusted))

    def _count(self, caller: str, policy: str, quota: int) -> Allowance:
        now = self._clock()
        window = self._windows.get(caller)
        if window is None or window.ends <= now:
            window = self._open(caller, now)
        is_exceeded = window.used >= quota
        if not is_exceeded:
            window.used += 1
        seconds = max(1, math.ceil(window.ends - now))
        return Allowance(policy, quota, quota - window.used, seconds, is_exceeded)

    def _open(self, caller: str, now: float) -> "_Window":
        windows = self._windows
        windows.pop(caller, None)
        while windows and (len(windows) >= MAX_CALLERS or next(iter(windows.values())).ends <= now):
            windows.popitem(last=False)
        window = windows[caller] = _Window(now + WINDOW)
        return window


def count(limits: RateLimits, scope: Scope, key_id: str | None) -> None:
    """Count a request against the caller's rate. What is left of it goes out with the reply, whatever that is.

    Raises HttpError where nothing is left.
    """
    allowance = limits.check(scope, key_id)
    if allowance is None:
        return
    scope["allowance"] = allowance  # type: ignore[typeddict-unknown-key]
    if allowance.is_exceeded:
        raise HttpError("too-many-requests", f"try again in {allowance.retry_after} s")


class _Window:
    """One caller's minute."""

    __slots__ = ("ends", "used")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.used = 0


def is_local(scope: Scope) -> bool:
    """Whether the request was made on this machine: from loopback or a local socket, and not passed on by a proxy."""
    return _is_loopback(_peer(scope)) and not any(name in _FORWARDING for name, _ in scope["headers"])


def address_of(scope: Scope, trusted: Sequence[Network]) -> str:
    """Find the caller's address: the peer's, or where trusted proxies passed it on, the last one they did not write.

    X-Forwarded-For is read from the right and only as far as each hop is a trusted proxy; a hop that is not an
    address ends the walk at the proxy that reported it.
    """
    address = _peer(scope)
    if not trusted or not _is_in(address, trusted):
        return address
    for hop in _hops(scope["headers"]):
        reported = _parse(hop)
        if reported is None:
            return address
        address = reported
        if not _is_in(address, trusted):
            return address
    return address


def scheme_of(scope: Scope, trusted: Sequence[Network]) -> str:
    """Find the scheme that the client used: the connection's, or what a trusted proxy says of it."""
    if trusted and _is_in(_peer(scope), trusted):
        for name, value in scope["headers"]:
            if name == b"x-forwarded-proto" and value in (b"http", b"https"):
                return value.decode()
    return str(scope["scheme"])


def is_host(text: str) -> bool:
    """Say whether this names a host as Host does (RFC 9110 section 7.2): a domain name or an address, and a port or none."""
    return len(text) <= _LONGEST_HOST and _names_host(text)


@lru_cache(maxsize=1024)
def _names_host(text: str) -> bool:
    found = _HOST.fullmatch(text)
    if found is None or int(found["port"] or 0) > _LAST_PORT:
        return False
    if found["ip6"] is None:
        return len(found["name"].rstrip(".")) <= _LONGEST_NAME
    try:
        return bool(ipaddress.IPv6Address(found["ip6"]))
    except ValueError:
        return False


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    # A local socket has no address; its other end is on this machine.
    return (_parse(client[0]) or client[0]) if client and client[0] else "127.0.0.1"


def _hops(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[str]:
    """List the hops of every X-Forwarded-For line, nearest first."""
    lines = [value for name, value in headers if name == b"x-forwarded-for"]
    return (hop.strip().decode("latin-1") for line in reversed(lines) for hop in reversed(line.split(b",")))


@lru_cache(maxsize=4096)
def _parse(text: str) -> str | None:
    """Give the address in canonical form, without port or zone and IPv4 where it is mapped; None if it is none."""
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


@lru_cache(maxsize=4096)
def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


@lru_cache(maxsize=4096)
def _site(address: str) -> str:
    """Name what one household or host can be taken to hold: an IPv4 address, the /64 of an IPv6 one."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, _IPV6_SITE), strict=False))
