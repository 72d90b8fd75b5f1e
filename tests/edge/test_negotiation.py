"""What clients write in Accept, Accept-Encoding, If-Match and If-None-Match, and what is understood by it."""

import re
import time
from collections.abc import Callable

import pytest

from api.routes.edge.bodies import check_head, is_lines
from api.routes.edge.negotiation import (
    choose_encoding,
    content_tag,
    expected_positions,
    is_known,
    mark,
    quality,
    revision_tag,
)
from api.routes.edge.problems import HttpError
from api.routes.edge.query import STRONG_TAGS

JSON, HTML, LINK = "application/json", "text/html", "application/link-format"
# As java.net.URLConnection sends it where nobody says otherwise, before JDK 18 and since (JDK-8163921).
OLD_JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"
NEW_JAVA = "text/html, image/gif, image/jpeg, */*; q=0.2"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "media_type", "weight"),
    [
        (None, JSON, 1),
        ("", JSON, 1),
        (" ", JSON, 1),
        (" , ,", JSON, 1),
        ("*/*", JSON, 1),
        ("*", JSON, 1),
        ("*;q=.2", JSON, 0.2),
        ("* ; q = .2", JSON, 0.2),
        (OLD_JAVA, JSON, 0.2),
        (OLD_JAVA, HTML, 1),
        (NEW_JAVA, JSON, 0.2),
        (FIREFOX, JSON, 0.8),
        ("application/json", JSON, 1),
        ("Application/JSON", JSON, 1),
        ("application/json, text/plain, */*", JSON, 1),
        ("application/json;charset=utf-8", JSON, 1),
        ("application/json; charset=utf-8; q=0.5", JSON, 0.5),
        ("application/json;q=0.5;charset=utf-8", JSON, 0.5),
        ("application/*;q=0.3", JSON, 0.3),
        ("application/json;q=0.1, application/*;q=0.9", JSON, 0.1),
        ("text/*, application/json;q=0.4", LINK, 0),
        ("application/json;q=1", JSON, 1),
        ("application/json;q=1.", JSON, 1),
        ("application/json;q=1.000", JSON, 1),
        ("application/json;Q=0.5", JSON, 0.5),
        ("application/json;q=.5", JSON, 0.5),
        ('application/json;q="0.5"', JSON, 0.5),
        ("application/json;q=0.1234", JSON, 0.1234),
        ("application/json;q=0.33333333333333331", JSON, 0.33333333333333331),
        # Refused, however it is written.
        ("application/json;q=0", JSON, 0),
        ("application/json;q=0.", JSON, 0),
        ("application/json;q=.0", JSON, 0),
        ("application/json;q=0.000", JSON, 0),
        ("application/json;q=0.0000", JSON, 0),
        ('application/json;q="0"', JSON, 0),
        ("application/json;q=0, */*", JSON, 0),
        ("*/*;q=0", JSON, 0),
        ("*;q=0", JSON, 0),
        # What cannot be read counts as 1.
        ("application/json;q=", JSON, 1),
        ("application/json;q", JSON, 1),
        ("application/json;q=high", JSON, 1),
        ("application/json;q=-1", JSON, 1),
        ("application/json;q=1.5", JSON, 1),
        ("application/json;q=100", JSON, 1),
        ("application/json;q=1e-3", JSON, 1),
        ("application/json;q=.", JSON, 1),
        ("application/json;q=0.5.5", JSON, 1),
        ("application/json;q=nan", JSON, 1),
        ("application/json;q=" + "9" * 5000, JSON, 1),
        # A comma or a semicolon within quotes separates nothing.
        ('text/html;a="x, application/json", text/css', JSON, 0),
        ('application/json;a="b\\", c", text/css', JSON, 1),
        ('text/html;a="never ends, application/json', JSON, 0),
        # The first of equals counts.
        ("application/json;q=0.2, application/json;q=0.8", JSON, 0.2),
        # None of these is a type that is offered.
        ("garbage", JSON, 0),
        ("application", JSON, 0),
        ("application/", JSON, 0),
        ("*/json", JSON, 0),
        ("image/png", JSON, 0),
        ("text/markdown;q=1", JSON, 0),
    ],
)
def test_a_type_has_the_weight_that_clients_mean(accept: str | None, media_type: str, weight: float) -> None:
    assert quality(accept, media_type) == pytest.approx(weight)


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip;q=.5, br;q=.4", "gzip"),
        ('gzip;q="0.1", br;q="0.2"', "br"),
        ("gzip;q=0.1234, br;q=0.1235", "br"),
        ("gzip;q=high, br;q=0.9", "gzip"),
        ("br;q=0.0000, gzip", "gzip"),
        (" , ", None),
    ],
)
def test_weights_of_encodings_are_read_alike(accepted: str, encoding: str | None) -> None:
    assert choose_encoding(accepted, 10_000) == encoding


# As they may come back: from here, and from Apache, Jetty, Caddy and others that encode on the way.
SUFFIXES = ["", "-gz", "-br", "-gzip", "--gzip", "-zstd", "-deflate", "-gz-gzip", "--gzip--gzip"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("version", ["", ".v2", ".v17"])
def test_what_proxies_add_to_a_tag_is_passed_over(suffix: str, version: str) -> None:
    tag = f'"5264{version}"'
    came_back = f'"5264{version}{suffix}"'
    assert expected_positions(came_back) == {5264}
    assert expected_positions(f'"1", {came_back}') == {1, 5264}
    assert is_known(tag, came_back)
    assert is_known(tag, f'"0", W/{came_back}')
    assert is_known(f"W/{tag}", came_back)


@pytest.mark.parametrize("other", ['"5264-gzipped"', '"5264-"', '"5264-xz"', '"-gzip"', '"52640"', '"05264"', '"5264'])
def test_what_nobody_adds_makes_another_tag(other: str) -> None:
    assert 5264 not in expected_positions(other)
    assert not is_known('"5264"', other)


def test_a_tag_is_the_position_until_its_form_has_a_second_version() -> None:
    assert revision_tag(5264, 1) == '"5264"'
    assert revision_tag(5264, 2) == '"5264.v2"'
    assert mark(revision_tag(5264, 2), "br") == '"5264.v2-br"'
    assert not is_known(revision_tag(5264, 2), '"5264"'), "what was held before the upgrade is sent anew"
    assert not is_known(revision_tag(5264, 3), revision_tag(5264, 2))
    assert expected_positions(revision_tag(5264, 2)) == {5264}, (
        "a writer is based on the revision, however it was shown"
    )


def test_a_tag_of_what_is_shown_is_weak_and_of_that_alone() -> None:
    assert content_tag(b"{}") == content_tag(b"{}") != content_tag(b"[]")
    assert content_tag(b"{}").startswith('W/"')


@pytest.mark.parametrize(
    ("if_match", "is_taken"),
    [
        ("*", True),
        (" * ", True),
        ('"5264"', True),
        ('"5264-gzip"', True),
        ('""', True),
        ('"nonsense"', True),
        ('"1", "2"', True),
        ('"1","2"', True),
        (', "1",, "2" ,', True),
        ("", False),
        (" ", False),
        (",", False),
        ("5264", False),
        ('"5264', False),
        ('5264"', False),
        ('W/"5264"', False),
        ('w/"5264"', False),
        ('"1", W/"5264"', False),
        ('"1" "2"', False),
        ('"1", *', False),
        ("*, *", False),
        ('"a b"', False),
        ('"5264"-gzip', False),
        ("'5264'", False),
        ('\\"5264\\"', False),
        ("“5264”", False),
        ("%%% ,,,", False),
        ("null", False),
    ],
)
def test_if_match_is_strong_tags_or_an_asterisk(if_match: str, is_taken: bool) -> None:
    assert bool(re.search(STRONG_TAGS, if_match)) is is_taken


TYPES = ("application/x-ndjson", "application/ndjson", JSON)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json", "Application/JSON", " application/json ", "application/json;", "application/json; charset=utf-8",
        "application/json;charset=UTF-8", "application/json; charset=utf8", 'application/json; charset="UTF8"',
        "application/json; charset='utf-8'", "application/json; charset = utf-8", "application/json; odata=verbose",
        "application/json; version=1; charset=utf8", "application/json;charset=utf-8;charset=utf8",
        "application/x-ndjson", "application/ndjson", "APPLICATION/NDJSON; charset=utf8",
    ],
)  # fmt: skip
def test_json_in_utf_8_is_taken_however_it_is_called(content_type: str) -> None:
    check_head({"content-type": content_type}, TYPES, 100)
    assert is_lines(content_type) is ("ndjson" in content_type.lower())


@pytest.mark.parametrize(
    "content_type",
    [
        "", "text/plain", "application/jsonp", "json", "application/x-ndjsonx", "application/problem+json",
        "application/json; charset=iso-8859-1", "application/json; charset=utf-16", "application/json; charset=",
        "application/json; charset=utf-8; charset=latin1", "application/json, application/json",
    ],
)  # fmt: skip
def test_other_types_and_charsets_are_refused(content_type: str) -> None:
    with pytest.raises(HttpError) as refused:
        check_head({"content-type": content_type}, TYPES, 100)
    assert refused.value.kind.status == 415


LONG = 64 * 1024
WORST: dict[str, Callable[[], object]] = {
    "many types": lambda: quality("a," * (LONG // 2), JSON),
    "one long type": lambda: quality("a" * LONG, JSON),
    "many parameters": lambda: quality("a/b" + ";q" * (LONG // 2), JSON),
    "spaces where a weight belongs": lambda: quality("a/b;q=" + " " * LONG + "x", JSON),
    "spaces before an equals sign": lambda: quality(("a/b;" + " " * 1000 + "q" + " " * 1000) * (LONG // 2000), JSON),
    "a weight without end": lambda: quality("a/b;q=0." + "1" * LONG, JSON),
    "quotes": lambda: quality('"' * LONG, JSON),
    "a quote that does not end": lambda: quality('a;b="' + "\\" * LONG, JSON),
    "many codings": lambda: choose_encoding("a," * (LONG // 2), 10),
    "many tags": lambda: is_known('"1"', '"2",' * (LONG // 4)),
    "hyphens in a tag": lambda: is_known('"1"', '"' + "-" * LONG),
    "suffixes in a tag": lambda: is_known('"1"', '"' + "-gz" * (LONG // 3)),
    "many strong tags": lambda: re.search(STRONG_TAGS, '"1",' * (LONG // 4) + "x"),
    "commas": lambda: re.search(STRONG_TAGS, '"1"' + "," * LONG + "x"),
    "spaces and commas": lambda: re.search(STRONG_TAGS, '"1"' + " ," * (LONG // 2) + "x"),
    "spaces": lambda: re.search(STRONG_TAGS, " " * LONG + "x"),
    "positions": lambda: expected_positions('"1",' * (LONG // 4)),
    "parameters of a body's type": lambda: is_lines(";" * LONG),
}


@pytest.mark.parametrize("name", WORST)
def test_the_longest_header_is_read_in_a_moment(name: str) -> None:
    def seconds() -> float:
        began = time.process_time()
        WORST[name]()
        return time.process_time() - began

    assert min(seconds() for _ in range(3)) < 0.05
