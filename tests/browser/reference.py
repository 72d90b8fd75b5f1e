"""The reference at `/docs` in Chromium: quick, offline, strict, and fit to try an operation without clearing a field.

`uv run --with playwright pytest -n0 tests/browser/reference.py` runs it; Chromium is the one on the PATH, or CHROMIUM's.
"""

import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.fuzz.serving import LEDGER, environment_of, served

WIDTHS = (390, 1280)
# Seconds from a click until an operation can be read.
PATIENCE = 0.5
# It would look for its maker's hosts; and as root it runs without a sandbox alone.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Ran in every page: when a link was clicked, what its policy forbade, and what was said of it.
WATCH = """
window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => window.refused.push(event.effectiveDirective));
addEventListener("click", (event) => { window.clicked = event.timeStamp; }, true);
"""
# Waits until the operation is there and was drawn.
READ = """async (title) => {
  const frame = () => new Promise(requestAnimationFrame);
  while (document.querySelector("h1")?.textContent !== title || !document.querySelector("form")) await frame();
  await frame();
  await new Promise((resolve) => setTimeout(resolve));
  return (performance.now() - window.clicked) / 1000;
}"""
CLAIM = "/docs/recordClaim"
# What a shell would read in a text, were it not quoted.
TRICKY = """it's-$HOME-`id`-"$(id)"-\\-!!"""


@dataclass
class Ledger:
    address: str
    key: str
    operations: dict[str, dict[str, Any]]

    def head(self) -> int:
        return int(httpx.get(f"{self.address}/health/ready").headers["ledger-position"])


@dataclass
class Looked:
    """A page, and what came up behind it."""

    page: Page
    address: str
    outside: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page

    def send(self) -> str:
        """Press the button and give what is shown."""
        self.page.get_by_role("status").evaluate("status => { status.textContent = ''; }")
        self.page.get_by_role("button", name="Send").click()
        self.page.get_by_role("status").filter(has_text="·").wait_for()
        return "\n".join(self.page.locator("output, .answer").all_inner_texts())


Look = Callable[..., Looked]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    folder = tmp_path_factory.mktemp("reference")
    url = f"sqlite:///{folder}/ledger.db"
    with served(folder, url) as address:
        paths = httpx.get(f"{address}/openapi.json").json()["paths"]
        operations = {
            operation["operationId"]: {**operation, "method": method}
            for methods in paths.values()
            for method, operation in methods.items()
        }
        command = [str(LEDGER), "keys", "create", "one", "--scope", "write"]
        said = subprocess.run(
            command, env=environment_of(folder, url), check=True, capture_output=True, text=True
        ).stdout
        yield Ledger(address, said.split()[-1], operations)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*QUIET])
        yield browser
        browser.close()


@pytest.fixture
def look(browser: Browser, ledger: Ledger) -> Iterator[Look]:
    contexts: list[BrowserContext] = []
    looked: list[Looked] = []

    def begin(width: int = 1280, **more: Any) -> Looked:
        context = browser.new_context(viewport={"width": width, "height": 900}, **more)
        contexts.append(context)
        context.add_init_script(WATCH)
        found = Looked(context.new_page(), ledger.address)
        found.page.on("request", lambda request: found.outside.append(request.url))
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        looked.append(found)
        return found

    yield begin
    for each in looked:
        outside = [url for url in each.outside if not url.startswith((ledger.address, "data:"))]
        assert (outside, each.complaints) == ([], [])
        if each.page.evaluate("'refused' in window"):
            assert each.page.evaluate("window.refused") == []
    for context in contexts:
        context.close()


def test_every_operation_is_listed(look: Look, ledger: Ledger) -> None:
    page = look().open("/docs")
    listed = page.locator("main li a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert sorted(listed) == sorted(f"/docs/{name}" for name in ledger.operations)


@pytest.mark.parametrize("width", WIDTHS)
def test_any_operation_can_be_read_soon_after_the_click(look: Look, ledger: Ledger, width: int) -> None:
    page = look(width).open("/docs")
    took: dict[str, float] = {}
    for name, operation in [*ledger.operations.items()] * 2:
        page.locator(f"main a[href='/docs/{name}']").click()
        # The quicker of two: the machine may have had a pause.
        took[name] = min(page.evaluate(READ, operation["summary"]), took.get(name, math.inf))
        page.go_back()
        page.locator(".whole").wait_for()
    slowest = sorted(took, key=lambda name: took[name])[-5:]
    print(f"{width} px:", ", ".join(f"{name} {took[name] * 1000:.0f} ms" for name in slowest))
    assert took[slowest[-1]] < PATIENCE


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(look: Look, ledger: Ledger, width: int) -> None:
    looked = look(width)
    for name in ("", *(f"/{name}" for name in ledger.operations)):
        page = looked.open(f"/docs{name}")
        page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_what_need_not_be_sent_is_empty_and_a_write_begins_as_a_dry_run(look: Look, ledger: Ledger) -> None:
    looked = look()
    for name, operation in ledger.operations.items():
        page = looked.open(f"/docs/{name}")
        filled = page.locator("[data-in]").evaluate_all(
            "all => all.filter(each => each.value && !each.required).map(each => [each.name, each.value])"
        )
        assert filled == ([["dry_run", "true"]] if operation["method"] == "post" else []), name


@pytest.mark.parametrize("width", WIDTHS)
def test_a_list_is_tried_as_it_opens(look: Look, width: int) -> None:
    looked = look(width)
    looked.open("/docs/listClaims")
    assert looked.send().startswith("200")
    looked.page.get_by_label("limit", exact=True).fill("0")
    assert "bad-parameter" in looked.send()


def test_a_filter_of_several_values_takes_one_a_line(look: Look) -> None:
    looked = look()
    looked.open("/docs/listEntities")
    looked.page.get_by_label("id", exact=True).fill("parler\namazon")
    assert "id=parler&id=amazon" in looked.send()
    looked.page.get_by_label("type", exact=True).select_option(["person", "company"])
    assert "type=company&type=person" in looked.send()


def test_a_write_is_tried_and_nothing_is_written(look: Look, ledger: Ledger) -> None:
    before = ledger.head()
    looked = look()
    looked.open(CLAIM)
    assert looked.send().startswith("401")
    looked.page.get_by_label("Key", exact=True).fill(ledger.key)
    assert looked.send().startswith("200")
    assert ledger.key not in looked.page.locator(".answer").inner_text()
    assert ledger.head() == before


def test_the_line_for_a_shell_sends_what_the_page_sent(look: Look, ledger: Ledger) -> None:
    looked = look()
    page = looked.open("/docs/recordEntity")
    page.get_by_label("Key", exact=True).fill(ledger.key)
    page.get_by_label("Idempotency-Key").fill(TRICKY)
    page.locator("[name=body]").fill('{"type": "company", "name": "It\'s `$HOME` \\\\ \\"$(id)\\""}')
    assert looked.send().startswith("200")
    assert '"name":"It\'s `$HOME` \\\\ \\"$(id)\\""' in run_in_a_shell(page, ledger.key)
    page = looked.open("/docs/getEntity")
    page.get_by_label("id", exact=True).fill(TRICKY)
    assert looked.send().startswith("400")
    assert "HTTP/1.1 400 Bad Request" in run_in_a_shell(page, ledger.key)


def run_in_a_shell(page: Page, key: str) -> str:
    """Run the line that the page shows last, as somebody does who copies it."""
    line = page.locator(".answer pre").last.inner_text()
    return subprocess.run(
        ["sh", "-c", line], env={**os.environ, "LEDGER_KEY": key}, check=True, capture_output=True, text=True
    ).stdout


def test_the_key_is_kept_while_the_page_is_and_nowhere_else(look: Look, ledger: Ledger) -> None:
    page = look().open(CLAIM)
    page.get_by_label("Key", exact=True).fill(ledger.key)
    page.locator("nav a[href='/docs/recordSource']").click()
    page.locator("h1", has_text="Record a source").wait_for()
    assert page.get_by_label("Key", exact=True).input_value() == ledger.key
    kept = page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state])"
    )
    assert ledger.key not in kept
    page.reload()
    assert page.get_by_label("Key", exact=True).input_value() == ""


def test_back_and_forward_lead_through_the_operations(look: Look) -> None:
    page = look(390).open("/docs")
    page.locator("main a[href='/docs/getStats']").click()
    page.locator("form").wait_for()
    assert page.evaluate("scrollY") == 0
    page.go_back()
    page.locator(".whole").wait_for()
    assert page.locator("main a[href='/docs/getStats']").evaluate("link => link.getBoundingClientRect().top") < 900
    page.go_forward()
    page.locator("form").wait_for()
    assert page.title().startswith(page.locator("h1").inner_text())


def test_it_is_used_from_the_keyboard(look: Look) -> None:
    page = look().open("/docs/getLive")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    for expected in ("try it", "Key"):
        page.keyboard.press("Tab")
        assert page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).textContent") == expected
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text="200").wait_for()


def test_readers_of_screens_find_their_way(look: Look, ledger: Ledger) -> None:
    looked = look()
    for name in ledger.operations:
        page = looked.open(f"/docs/{name}")
        assert [page.get_by_role(role).count() for role in ("banner", "main")] == [1, 1]
        assert page.get_by_role("navigation", name="Operations").count() == 1
        assert page.locator("[aria-current=page]").count() == 1
        levels = page.locator(":is(h1, h2, h3, h4)").evaluate_all("all => all.map(each => Number(each.tagName[1]))")
        assert levels.count(1) == 1
        assert all(lower - upper <= 1 for upper, lower in pairwise(levels[levels.index(1) :])), name
        nameless = page.locator("form :is(input, select, textarea)").evaluate_all(
            "all => all.filter(each => !each.labels.length).map(each => each.outerHTML)"
        )
        doubled = page.evaluate(
            "[...document.querySelectorAll('[id]')].map(each => each.id).filter((id, at, all) => all.indexOf(id) !== at)"
        )
        lost = page.locator("a[href^='#']").evaluate_all(
            "all => all.filter(each => !document.getElementById(each.hash.slice(1))).map(each => each.hash)"
        )
        assert (nameless, doubled, lost) == ([], [], []), name


def test_it_is_dark_where_the_system_is(look: Look) -> None:
    shades = [
        look(color_scheme=scheme).open("/docs").evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert shades == ["rgb(251, 250, 247)", "rgb(20, 24, 29)"]


def test_it_is_read_without_a_script(look: Look, ledger: Ledger) -> None:
    page = look(java_script_enabled=False).open("/docs")
    page.locator("main a[href='/docs/recordClaim']").click()
    assert page.locator("h1").inner_text() == ledger.operations["recordClaim"]["summary"]
    page.locator("noscript").wait_for()
