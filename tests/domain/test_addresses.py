"""Web addresses: the published pattern, what a parser finds beyond it, and the sentence that helps."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import Url

from api.domain import addresses

GOOD = [
    "https://www.lemonde.fr/pixels/article/2021/01/11/parler_606_4408996.html?x=1&y=%C3%A9#a",
    "http://a",
    "HTTPS://Example.com",
    "hTTp://EXAMPLE.com./",
    "https://example.org:8080/",
    "https://example.org:/",
    "https://example.org:0/",
    "https://example.org:65535",
    "https://example.org:000080/",
    "http://[2001:db8::1]/a",
    "http://[::ffff:192.0.2.1]:8080/a",
    "http://192.0.2.1/",
    "https://example.org?q=a[]",
    "https://example.org#!/a",
    "https://web.archive.org/web/20210111000000*/https://parler.com/",
    "https://xn--bcher-kva.example/b%C3%BCcher",
    "https://a_b.example.com/",
    "https://-a-.example.com/",
    "https://example.org/%00",
    "https://example.org/a@b:c",
    "https://example.org/" + "a" * 1980,
]
# What is refused by the published pattern, and the beginning of the sentence that says how to write it.
BAD = {
    "": "an absolute URL",
    "https:": "an absolute URL",
    "//example.org": "an absolute URL",
    "example.org": "an absolute URL",
    "ftp://example.org": "an absolute URL",
    "javascript:alert(1)": "an absolute URL",
    "https:/example.org": "an absolute URL",
    " https://example.org/": "an absolute URL",
    "https://": "a host",
    "https:///path": "a host",
    "https://?q": "a host",
    "https://[": "a host",
    "https://[]": "a host",
    "https://[::1": "a host",
    "https://[::1]a": "a host",
    "https://.": "a host",
    "https://...": "a host",
    "https://a..b": "a host",
    "https://.example.org": "a host",
    "https://" + "a" * 64 + ".org": "a host",
    "https://exa mple.org": "a host",
    "https://a,b": "a host",
    "https://example.org\\evil.org": "a host",
    "https://@": "no user name or password",
    "https://@example.org": "no user name or password",
    "https://a@b@c": "no user name or password",
    "https://user:secret@example.org/": "no user name or password",
    "https://bücher.example/": "the host in ASCII",
    "https://例え.jp": "the host in ASCII",
    "https://exa%00mple.org": "no % in the host",
    "https://%65xample.org": "no % in the host",
    "https://example.org:65536": "a port",
    "https://example.org:99999": "a port",
    "https://example.org:-1": "a port",
    "https://example.org:80a/": "a port",
    "https://example.org:80:80/": "a port",
    "https://example.org/é": "percent-encode what is not ASCII",
    "https://example.org/?q=日本": "percent-encode what is not ASCII",
    "https://example.org/%zz": "% with two hexadecimal digits",
    "https://example.org/100%": "% with two hexadecimal digits",
    "https://example.org/a b": "percent-encode blanks",
    "https://example.org/%C3%A9 %c3%a9": "percent-encode blanks",
    "https://example.org/\n": "percent-encode blanks",
    "https://example.org/\t": "percent-encode blanks",
    "https://example.org/\x00": "percent-encode blanks",
    "https://example.org/<script>": "percent-encode blanks",
    'https://example.org/"': "percent-encode blanks",
    "https://example.org/a|b": "percent-encode blanks",
}
# What has the published form, and a host that leads nowhere.
REFUSED = {
    "https://[:::]": "the host is neither",
    "https://[1::2::3]/": "the host is neither",
    "https://[12345::]": "the host is neither",
    "https://999.999.999.999/": "the host is neither",
    "https://1.2.3.4.5/": "the host is neither",
    "https://example.0x": "the host is neither",
    "https://xn--a/": "the host is neither",
    "https://127.1/": "the host is an IPv4 address in another form",
    "https://0x7f000001/": "the host is an IPv4 address in another form",
    "http://1.2.3.4.": "the host is an IPv4 address in another form",
    "https://2130706433/": "the host is an IPv4 address in another form",
    "https://010.0.0.1/": "the host is an IPv4 address in another form",
    "https://" + "a." * 127 + "aa": "a host has at most 253",
}


def is_url(text: str) -> bool:
    return re.search(addresses.URL_PATTERN, text) is not None


@pytest.mark.parametrize("url", GOOD)
def test_absolute_web_addresses_are_urls(url: str) -> None:
    assert is_url(url)
    assert addresses.host_refusal(url) is None


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_none_and_the_sentence_says_how_to_write_it(text: str) -> None:
    assert not is_url(text)
    assert addresses.wanted(text).startswith(BAD[text])


@pytest.mark.parametrize("url", REFUSED)
def test_a_parser_finds_hosts_that_lead_nowhere(url: str) -> None:
    assert is_url(url)
    assert (addresses.host_refusal(url) or "").startswith(REFUSED[url])


@given(st.from_regex(addresses.URL_PATTERN))
def test_what_is_taken_has_one_host_for_every_reader_and_no_credentials(url: str) -> None:
    if addresses.host_refusal(url) is None:
        parsed = Url(url)
        assert parsed.scheme in ("http", "https")
        assert parsed.host
        assert parsed.username is None
        assert parsed.password is None
