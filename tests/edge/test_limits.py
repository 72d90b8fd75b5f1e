"""Who is counted, as whom, and what they are told."""

from ipaddress import ip_network

import pytest

from api.routes.edge import limits
from api.routes.edge.limits import RateLimits, address_of, is_local
from api.settings import Settings

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48"))


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def a_scope(address: str | None = "192.0.2.1", **headers: str) -> dict:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "client": (address, 40000) if address else None, "headers": raw}


def some_limits(clock: Clock | None = None, *, rate: str = "3,5", proxies: str = "") -> RateLimits:
    return RateLimits(Settings(rate_limit=rate, trusted_proxies=proxies), clock=clock or Clock())


def test_an_anonymous_address_has_its_quota_and_no_more() -> None:
    limiter = some_limits()
    seen = [limiter.check(a_scope(), None) for _ in range(4)]
    assert [one.remaining for one in seen] == [2, 1, 0, 0]
    assert [one.is_exceeded for one in seen] == [False, False, False, True]


def test_the_headers_are_structured_fields() -> None:
    clock = Clock()
    limiter = some_limits(clock)
    limiter.check(a_scope(), None)
    clock.now += 48
    told = limiter.check(a_scope(), None)
    assert told.raw_headers == ((b"ratelimit-policy", b'"anonymous";q=3;w=60'), (b"ratelimit", b'"anonymous";r=1;t=12'))


def test_retry_after_says_when_the_window_ends() -> None:
    clock = Clock()
    limiter = some_limits(clock, rate="1")
    limiter.check(a_scope(), None)
    clock.now += 59.5
    refused = limiter.check(a_scope(), None)
    assert refused.is_exceeded
    assert refused.retry_after == 1
    assert (b"retry-after", b"1") in refused.raw_headers
    clock.now += refused.retry_after
    assert not limiter.check(a_scope(), None).is_exceeded


def test_a_key_has_a_quota_of_its_own_wherever_it_comes_from() -> None:
    limiter = some_limits()
    for address in ("192.0.2.1", "192.0.2.2"):
        told = limiter.check(a_scope(address), "k1")
    assert (told.policy, told.quota, told.remaining) == ("key", 5, 3)
    assert limiter.check(a_scope("192.0.2.1"), "k2").remaining == 4
    assert limiter.check(a_scope("192.0.2.1"), None).remaining == 2


def test_an_ipv6_site_is_one_caller_and_the_next_site_another() -> None:
    limiter = some_limits()
    limiter.check(a_scope("2001:db8:0:1::1"), None)
    assert limiter.check(a_scope("2001:db8:0:1:ffff::9"), None).remaining == 1
    assert limiter.check(a_scope("2001:db8:0:2::1"), None).remaining == 2


def test_a_mapped_address_is_the_ipv4_one() -> None:
    limiter = some_limits()
    limiter.check(a_scope("192.0.2.1"), None)
    assert limiter.check(a_scope("::ffff:192.0.2.1"), None).remaining == 1


def test_limits_can_be_off() -> None:
    assert some_limits(rate="off").check(a_scope(), None) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", None])
def test_loopback_is_exempt(address: str | None) -> None:
    assert some_limits().check(a_scope(address), None) is None
    assert some_limits().check(a_scope(address), "k1") is None


@pytest.mark.parametrize("header", ["forwarded", "x_forwarded_for", "x_real_ip"])
def test_loopback_is_counted_once_a_proxy_has_passed_it_on(header: str) -> None:
    scope = a_scope("127.0.0.1", **{header: "127.0.0.1"})
    assert not is_local(scope)
    assert some_limits().check(scope, None) is not None


def test_forwarding_headers_are_not_believed_from_strangers() -> None:
    limiter = some_limits(proxies="10.0.0.0/8")
    for faked in ("198.51.100.1", "198.51.100.2"):
        told = limiter.check(a_scope("192.0.2.1", x_forwarded_for=faked), None)
    assert told.remaining == 1


def test_callers_behind_a_trusted_proxy_are_counted_apart() -> None:
    limiter = some_limits(proxies="10.0.0.0/8")
    for caller in ("198.51.100.1", "198.51.100.2"):
        told = limiter.check(a_scope("10.0.0.1", x_forwarded_for=caller), None)
    assert told.remaining == 2


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7, 10.1.1.1", "198.51.100.7"),
        ("198.51.100.7:5123,10.1.1.1", "198.51.100.7"),
        ("[2001:db8::7]:5123", "2001:db8::7"),
        ("2001:DB8:0:0::7, 2001:db8:ffff::1", "2001:db8::7"),
        ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
        ("203.0.113.9, unknown, 10.1.1.1", "10.1.1.1"),
        ("203.0.113.9, ", "10.0.0.1"),
        ("", "10.0.0.1"),
    ],
)
def test_the_rightmost_untrusted_hop_is_the_caller(forwarded: str, address: str) -> None:
    assert address_of(a_scope("10.0.0.1", x_forwarded_for=forwarded), PROXIES) == address


def test_several_forwarding_lines_are_one_list() -> None:
    scope = a_scope("10.0.0.1")
    scope["headers"] = [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-for", b"198.51.100.7, 10.1.1.1")]
    assert address_of(scope, PROXIES) == "198.51.100.7"


def test_without_trusted_proxies_the_peer_is_the_caller() -> None:
    assert address_of(a_scope("10.0.0.1", x_forwarded_for="198.51.100.7"), ()) == "10.0.0.1"


def test_a_peer_whose_name_is_no_address_is_still_counted() -> None:
    limiter = some_limits()
    limiter.check(a_scope("testclient"), None)
    assert limiter.check(a_scope("testclient"), None).remaining == 1


def test_lapsed_windows_are_forgotten() -> None:
    clock = Clock()
    limiter = some_limits(clock)
    for last in range(200):
        limiter.check(a_scope(f"192.0.2.{last}"), None)
    clock.now += 61
    limiter.check(a_scope("198.51.100.1"), None)
    assert len(limiter._windows) == 1


def test_memory_stays_bounded_and_the_oldest_caller_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CALLERS", 3)
    limiter = some_limits()
    for last in range(4):
        limiter.check(a_scope(f"192.0.2.{last}"), None)
    assert len(limiter._windows) == 3
    assert limiter.check(a_scope("192.0.2.3"), None).remaining == 1
    assert limiter.check(a_scope("192.0.2.0"), None).remaining == 2
