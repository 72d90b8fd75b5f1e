"""The pages for people: complete, offline, and strict about what they load."""

import html
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.routes.service import pages
from api.routes.service.reference import Reference
from tests.support.served import Served

ASSETS = Path(pages.__file__).parents[2] / "assets"
LINK = re.compile(r'(?:src|href)="([^"]+)"')
Ask = Callable[..., httpx.Response]
Part = dict[str, Any]


@pytest.fixture
def ask(served: Served) -> Ask:
    return served.get


def welcome() -> str:
    return pages.welcome_page(1234, "ledger.example/<log>").decode()


PAGES = ["/docs", "/docs/listClaims", "/docs/appendBatch", "/"]


def opened(ask: Ask, page: str) -> str:
    return welcome() if page == "/" else ask(page).text


@pytest.mark.parametrize("page", ["/docs", "/docs/listClaims"])
def test_the_reference_sends_a_strict_policy(ask: Ask, page: str) -> None:
    answer = ask(page)
    policy = answer.headers["content-security-policy"]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_loads_and_leads_to_is_served_here(ask: Ask, page: str) -> None:
    links = set(LINK.findall(opened(ask, page)))
    loaded = [link for link in links if link.startswith("/docs/assets/")]
    assert len(loaded) >= 3 - (page == "/")
    for link in [*loaded, *(link for link in links if link.startswith("/docs"))]:
        assert ask(link).status_code == 200
    assert all(re.match(r"/(?!/)|#", link) for link in links)


@pytest.mark.parametrize("page", PAGES)
def test_pages_have_no_inline_script_or_style(ask: Ask, page: str) -> None:
    text = opened(ask, page)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", text)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("docs.css", "text/css; charset=utf-8"),
        ("docs.js", "text/javascript; charset=utf-8"),
        ("favicon.svg", "image/svg+xml"),
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
    plain = ask("/docs/assets/docs.css", Accept_Encoding=f"{encoding};q=0, identity")
    compressed = ask("/docs/assets/docs.css", Accept_Encoding=encoding)
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == encoding
    assert compressed.content == plain.content
    assert compressed.headers["etag"] == plain.headers["etag"][:-1] + f'{mark}"'
    assert int(compressed.headers["content-length"]) < len(plain.content) / 2


@pytest.mark.parametrize("path", ["/docs", "/docs/getClaim", "/docs/assets/docs.css", "/favicon.ico"])
def test_a_copy_that_is_still_good_is_not_sent_again(ask: Ask, path: str) -> None:
    tag = ask(path).headers["etag"]
    answer = ask(path, If_None_Match=f'"other", W/{tag}')
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert answer.headers.get("content-length", "0") != "0" or "content-length" not in answer.headers


@pytest.mark.parametrize("name", ["nothing.js", "..%2f..%2fsettings.py", "examples.json", "welcome.html"])
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


def test_the_reference_tells_every_operation_and_each_parameter_and_schema_of_it(ask: Ask) -> None:
    document = ask("/openapi.json").json()
    listed = ask("/docs").text
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = operation["operationId"]
            text = ask(f"/docs/{name}").text
            assert f'href="/docs/{name}"' in listed
            assert f'data-method="{method.upper()}" data-path="{path}"' in text
            for parameter in map(partial(found, document), operation["parameters"]):
                assert f'id="{parameter["in"]}-{parameter["name"]}"' in text
                assert written(parameter["description"]) in plain(text)
            for schema in named(document, operation):
                assert text.count(f'id="{schema}"') == 1


def found(document: Part, part: Part) -> Part:
    """Follow a reference to the component that it names."""
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    component: Part = document["components"][kind][name]
    return component


def named(document: Part, part: object) -> set[str]:
    """Name the schemas that a part needs, and those that they need."""
    seen: dict[str, None] = {}
    rest = [part]
    while rest:
        for ref in re.findall(r'"\$ref": "#/components/(\w+/\w+)"', json.dumps(rest.pop())):
            if ref not in seen:
                seen[ref] = None
                rest.append(document["components"][ref.partition("/")[0]][ref.partition("/")[2]])
    return {name for kind, _, name in (ref.partition("/") for ref in seen) if kind == "schemas"}


def plain(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page))


def written(description: str) -> str:
    return description.replace("`", "")


def test_there_is_no_page_of_an_operation_that_is_not_there(ask: Ask) -> None:
    answer = ask("/docs/burnEverything")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
    assert "/docs lists them" in answer.json()["detail"]


def test_a_write_begins_as_a_dry_run_and_with_the_first_example(ask: Ask) -> None:
    paths = ask("/openapi.json").json()["paths"].values()
    writes = [methods["post"]["operationId"] for methods in paths if "post" in methods]
    assert {"recordClaim", "reviseClaim", "appendBatch", "redact"} < set(writes)
    for operation in writes:
        text = ask(f"/docs/{operation}").text
        assert re.search(r'<select id="query-dry_run".*?<option [^>]*selected[^>]*>true</option>', text)
        assert re.search(r'<textarea id="body"[^>]*>[\[{]', text)


def test_what_need_not_be_sent_is_not_filled_in(ask: Ask) -> None:
    fields = re.findall(r"<(?:input|textarea|select|option) [^>]*", ask("/docs/listClaims").text)
    assert len([field for field in fields if "data-in" in field]) > 25
    assert not [field for field in fields if re.search(r' value="[^"]', field) and "data-in" in field]
    assert not [field for field in fields if "selected" in field and not field.endswith('value=""')]


def test_text_of_the_document_cannot_become_a_tag() -> None:
    document = {
        "info": {"title": "<b>T</b>", "version": "1"},
        "tags": [{"name": "things"}],
        "paths": {"/": {"get": {"operationId": "ask", "summary": "</h1><script>", "tags": ["things"]}}},
        "components": {},
    }
    reference = Reference(json.dumps(document).encode())
    told = reference.operation("ask")
    assert told is not None
    assert b"&lt;/h1&gt;&lt;script&gt;" in told.body
    assert b"&lt;b&gt;" in reference.index.body
