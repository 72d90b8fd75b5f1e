"""Web addresses: absolute http and https URLs (RFC 3986), kept byte for byte as they come.

Their form is published as a pattern. A host that has this form and leads nowhere is for a parser to find, the one of the
`url` crate (WHATWG URL Standard), which pydantic brings: what it takes, browsers open. Nothing here is fetched.
"""

import re
from typing import Annotated, Final

import msgspec
from pydantic_core import Url as ParsedUrl

_LABEL: Final = "[A-Za-z0-9_-]{1,63}"
_HOST: Final = rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]{{2,45}}\])"
_PORT: Final = "0*(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{1,4})?"
_REST: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?#\[\]-]|%[0-9A-Fa-f]{2})*"
URL_PATTERN: Final = rf"^[Hh][Tt][Tt][Pp][Ss]?://{_HOST}(?::{_PORT})?(?:[/?#]{_REST})?\Z"
# So long a name still fits into a question to the DNS (RFC 1035 section 2.3.4).
_LONGEST_HOST: Final = 253
_BEGINNING: Final = re.compile(r"(?i:https?)://([^/?#]*)")

Url = Annotated[
    str,
    msgspec.Meta(
        pattern=URL_PATTERN,
        max_length=2000,
        description="An absolute http or https URL in ASCII, without user or password. Kept as it comes.",
        extra_json_schema={"format": "uri"},
    ),
]


def host_refusal(url: str) -> str | None:
    """Say what is wrong with the host of a URL of the published form; None where nothing is."""
    try:
        parsed = ParsedUrl(url)
    except ValueError:
        return "the host is neither a name nor an address: an IPv6 address, a last part in digits, or punycode is malformed"
    stated = _BEGINNING.match(url)
    host = stated[1].partition(":")[0].lower() if stated else ""
    if not host.startswith("[") and parsed.host != host:
        return "the host is an IPv4 address in another form: write four numbers with a dot between them, as 127.0.0.1"
    return f"a host has at most {_LONGEST_HOST} characters" if len(host.rstrip(".")) > _LONGEST_HOST else None


def wanted(text: str) -> str:
    """Say what of a text that is no URL of the published form is to be written otherwise."""
    begins = _BEGINNING.match(text)
    if begins is None:
        return "an absolute URL: http:// or https://, and a host"
    return _wanted_before_the_path(begins[1]) or _wanted_after_the_host(text[begins.end() :])


def _wanted_before_the_path(authority: str) -> str | None:
    if "@" in authority:
        return "no user name or password before the host"
    if not authority.isascii():
        return "the host in ASCII: punycode (xn--…) for what is beyond it"
    if "%" in authority:
        return "no % in the host: punycode (xn--…) for what is not ASCII"
    if not re.fullmatch(f"{_HOST}(?::.*)?", authority):
        return "a host: labels of letters, digits, - and _ with a dot between them, or an IPv6 address in brackets"
    if not re.fullmatch(f"{_HOST}(?::{_PORT})?", authority):
        return "a port from 0 to 65535"
    return None


def _wanted_after_the_host(rest: str) -> str:
    if not rest.isascii():
        return "percent-encode what is not ASCII, in UTF-8: é is %C3%A9"
    if re.search("%(?![0-9A-Fa-f]{2})", rest):
        return "% with two hexadecimal digits after it; the sign itself is %25"
    return 'percent-encode blanks (%20) and the signs " < > \\ ^ ` { | }'
