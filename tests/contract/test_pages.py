"""The two pages for people: complete, offline, and strict about what they load."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from api.routes.service import pages
from tests.support.served import Served

ASSETS = Path(pages.__file__).parents[2] / "assets"
LINK = re.compile(r'(?:src|href)="([^"]+)"')
Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(served: Served) -> Ask:
    return served.get


def welcome() -> str:
    return pages.welcome_page(1234, "ledger.example/<log>").decode()


def test_the_documentation_page_sends_a_strict_policy(ask: Ask) -> None:
    answer = ask("/docs")
    policy = answer.headers["content-security-policy"]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("page", ["docs", "welcome"])
def test_what_a_page_loads_is_served_here(ask: Ask, page: str) -> None:
    text = ask("/docs").text if page == "docs" else welcome()
    loaded = [link for link in LINK.findall(text) if link.startswith("/docs/assets/")]
    assert len(loaded) >= 3 - (page == "welcome")
    for link in loaded:
        assert ask(link).status_code == 200
    assert all(link.startswith("/") and not link.startswith("//") for link in LINK.findall(text))


@pytest.mark.parametrize("page", ["docs", "welcome"])
def test_pages_have_no_inline_script_or_style(ask: Ask, page: str) -> None:
    text = ask("/docs").text if page == "docs" else welcome()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", text)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("swagger-ui.css", "text/css; charset=utf-8"),
        ("docs.js", "text/javascript; charset=utf-8"),
        ("favicon.svg", "image/svg+xml"),
        ("swagger-ui-bundle.js.LICENSE.txt", "text/plain; charset=utf-8"),
    ],
)
def test_assets_say_what_they_are_and_how_long_they_keep(ask: Ask, name: str, media_type: str) -> None:
    answer = ask(f"/docs/assets/{name}", Accept_Encoding="identity")
    assert answer.headers["content-type"] == media_type
    assert answer.headers["cache-control"] == "public, max-age=86400"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_whatever_is_held_a_star_fits_it(ask: Ask) -> None:
    assert ask("/docs", If_None_Match="*").status_code == 304


@pytest.mark.parametrize(("encoding", "mark"), [("gzip", "-gz"), ("br", "-br")])
def test_an_asset_is_the_same_compressed_and_has_its_own_tag(ask: Ask, encoding: str, mark: str) -> None:
    plain = ask("/docs/assets/swagger-ui.css", Accept_Encoding=f"{encoding};q=0, identity")
    compressed = ask("/docs/assets/swagger-ui.css", Accept_Encoding=encoding)
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == encoding
    assert compressed.content == plain.content
    assert compressed.headers["etag"] == plain.headers["etag"][:-1] + f'{mark}"'
    assert int(compressed.headers["content-length"]) < len(plain.content) / 3


@pytest.mark.parametrize("path", ["/docs", "/docs/assets/docs.css", "/favicon.ico"])
def test_a_copy_that_is_still_good_is_not_sent_again(ask: Ask, path: str) -> None:
    tag = ask(path).headers["etag"]
    answer = ask(path, If_None_Match=f'"other", W/{tag}')
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert answer.headers.get("content-length", "0") != "0" or "content-length" not in answer.headers


@pytest.mark.parametrize("name", ["nothing.js", "..%2f..%2fsettings.py", "LICENSE", "index.html"])
def test_nothing_else_can_be_asked_for(ask: Ask, name: str) -> None:
    assert ask(f"/docs/assets/{name}").status_code == 404


def test_the_welcome_page_says_where_the_log_stands_and_escapes_its_name() -> None:
    text = welcome()
    assert "1,234" in text
    assert "as_of=1234" in text
    assert "ledger.example/&lt;log&gt;" in text
    for link in ("/docs", "/openapi.json", "/v1/questions?agreement=disputed", "/v1/events"):
        assert f'href="{link}"' in text


def test_shipped_files_name_no_source_map_and_no_package_registry() -> None:
    # Whoever imports the script leaves what it was compiled to.
    for file in (one for one in ASSETS.rglob("*") if one.is_file() and one.parent.name != "__pycache__"):
        assert file.suffix in {".css", ".html", ".js", ".json", ".py", ".svg", ".txt"} or file.name in {
            "LICENSE",
            "NOTICE",
        }
        assert not re.search(r"sourceMappingURL|npmjs|registry\.", file.read_text(encoding="utf-8"))


def test_the_documentation_page_tells_nobody_else_what_it_shows() -> None:
    assert "validatorUrl: null" in (ASSETS / "docs/docs.js").read_text(encoding="utf-8")
