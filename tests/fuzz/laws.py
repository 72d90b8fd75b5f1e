"""Laws of the ledger as checks of schemathesis: what holds of every answer, whatever was asked for.

Those that must ask again do so beside schemathesis, as the caller whom they judge for.
"""

import re
from dataclasses import dataclass
from itertools import islice
from urllib.parse import parse_qs, urlsplit

import httpx
import schemathesis
from schemathesis import Case, CheckContext, Response

from tests.fuzz.world import KINDS

FEED, REDACTIONS = "/v1/events", "/v1/redactions"
# What a query of the feed may hold that leaves no event out.
WHOLE = frozenset({"after", "limit", "state", "exact"})
# With these a record is shown as something else than one revision.
SHAPING = frozenset({"fields", "include"})
TAG = re.compile(r'"([1-9][0-9]*)(?:\.v[0-9]+)?(?:-gz|-br)?"')
PINNED = ("/revisions/{n}", "/v1/events/{position}", "/v1/proofs/consistency")
BELOW = ("", "/revisions", "/revisions/1", "/revisions/1/proof", "/timemap", "/diff?from=1&to=1")
BELOW_SOME = {"claim": ("/links",), "question": ("/answers", "/conflicts")}
JSON = "application/json"
MOST_KEPT, ASKED_AGAIN = 200, 3
PATIENCE = 60


def register() -> None:
    """Let every run of schemathesis in this process hold answers to the laws."""
    for law in (positions_are_gapless, tags_are_positions, PinnedAnswersStay, TheRedactedIsGone):
        schemathesis.check(law)


def positions_are_gapless(_ctx: CheckContext, response: Response, case: Case) -> None:
    """The whole feed names each position after the one asked for, a filtered one some of those in order, a batch each that it took."""
    if case.path == FEED and _is_read(response, case) and _is_json(response):
        asked, found = _query(response), [item["position"] for item in response.json()["items"]]
        after = int(asked.get("after", ["0"])[0])
        expected = range(after + 1, after + 1 + len(found)) if asked.keys() <= WHOLE else sorted(set(found))
        assert found == list(expected), f"after {after} the feed names {found}"
        assert min(found, default=after + 1) > after, f"after {after} the feed names {found}"
    elif case.path.startswith("/v1/batch") and _is_written(response, case):
        body = response.json()
        found = [item["position"] for item in body["items"]]
        assert found == list(range(found[0], found[0] + len(found))), f"a batch took {found}"
        assert body["position"] == found[-1], f"a batch that took {found} says that it ends at {body['position']}"


def _is_json(response: Response) -> bool:
    """Say whether an answer is a page: the feed has other forms."""
    return response.headers.get("content-type", [JSON]) == [JSON]


def tags_are_positions(_ctx: CheckContext, response: Response, case: Case) -> None:
    """The tag of a revision is its position, and so is what the header of its writing names."""
    if not _shows_a_revision(response, case):
        return
    position, tag = str(response.json()["position"]), response.headers["etag"][0]
    found = TAG.fullmatch(tag)
    assert (found[1] if found else None) == position, f"the tag of what stands at {position} is {tag}"
    if response.status_code == 201:
        told = response.headers["ledger-position"][0]
        assert told == position, f"what was written at {position} is said to stand at {told}"


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer at a position, and how to ask for it again."""

    url: str
    headers: dict[str, str]
    shown: bytes

    @property
    def base(self) -> str:
        return self.url.partition("/v1/")[0]


class PinnedAnswersStay:
    """What was shown at a position is shown again, whatever was written since; redactions alone change it.

    After each write some are asked for again, in turn, and all of them when the run ends.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}
        self._redaction: object = None

    def after_response(self, _ctx: CheckContext, response: Response, case: Case) -> None:
        if _is_written(response, case) and case.path == REDACTIONS:
            self._kept.clear()
        elif _is_written(response, case):
            for url in list(islice(self._kept, ASKED_AGAIN)):
                self._hold(url)
        elif _is_read(response, case) and _is_pinned(response, case) and len(self._kept) < MOST_KEPT:
            self._keep(response)

    def after_run(self, _ctx: CheckContext) -> None:
        for url in list(self._kept):
            self._hold(url)

    def _keep(self, response: Response) -> None:
        kept = Kept(response.request.url, _as_before(response), response.content)
        if not self._kept:
            self._redaction = _latest_redaction(kept)
        self._kept.setdefault(kept.url, kept)

    def _hold(self, url: str) -> None:
        kept = self._kept.pop(url, None)
        if kept is None:
            return
        shown = _asked(url, kept.headers)
        if shown.status_code == 200 and shown.content == kept.shown:
            self._kept[url] = kept
            return
        if _latest_redaction(kept) != self._redaction:
            # What was kept before it may rightly be another now.
            self._kept.clear()
            return
        message = f"{url} showed {kept.shown[:500]!r}, and shows {shown.status_code}, {shown.content[:500]!r}"
        raise AssertionError(message)


class TheRedactedIsGone:
    """A record that was redacted whole is 410 on every path of its own, 404 where its id went too, and in no list."""

    def __init__(self) -> None:
        self._gone: set[tuple[str, str]] = set()

    def after_response(self, _ctx: CheckContext, response: Response, case: Case) -> None:
        asked, name = case.path, str(case.path_parameters.get("id"))
        if _is_read(response, case) or _is_written(response, case):
            is_gone = any(asked.startswith(f"/v1/{plural}/") and name == gone for plural, gone in self._gone)
            assert not is_gone, f"{asked}, of {name}, is redacted, and answers {response.status_code}"
        if case.path == REDACTIONS and _is_written(response, case) and _is_whole(case.body):
            self._hold(case.body, response)

    def _hold(self, body: dict[str, str], response: Response) -> None:
        kind, name, status = body["kind"], body["id"], 404 if body.get("erase_id") else 410
        if status == 410:
            self._gone.add((KINDS[kind], name))
        place = f"/v1/{KINDS[kind]}/{name}"
        base = response.request.url.partition("/v1/")[0]
        with _client(_as_before(response), base_url=base) as client:
            answers = {below: client.get(place + below).status_code for below in BELOW + BELOW_SOME.get(kind, ())}
            retracted = {"action": "retract", "reason": "It is gone"}
            answers["revised"] = client.post(
                f"{place}/revisions", json=retracted, headers={"If-Match": "*"}
            ).status_code
            listed = client.get(f"/v1/{KINDS[kind]}", params={"id": name}).json()["items"]
        assert set(answers.values()) == {status}, f"{place} is redacted, and answers {answers}"
        assert not listed, f"{place} is redacted, and listed"


def _is_read(response: Response, case: Case) -> bool:
    return case.method.upper() == "GET" and response.status_code == 200


def _is_written(response: Response, case: Case) -> bool:
    return case.method.upper() == "POST" and response.status_code == 201


def _query(response: Response) -> dict[str, list[str]]:
    return parse_qs(urlsplit(response.request.url).query, keep_blank_values=True)


def _shows_a_revision(response: Response, case: Case) -> bool:
    if not (_is_read(response, case) or _is_written(response, case)) or SHAPING & _query(response).keys():
        return False
    _, plural, *below = case.path.removeprefix("/").split("/") if case.path.count("/") > 1 else ("", "")
    is_one = below in (["{id}"], ["{id}", "revisions", "{n}"]) or response.status_code == 201
    return plural in KINDS.values() and is_one


def _is_pinned(response: Response, case: Case) -> bool:
    return _query(response).get("as_of", [""])[0].isdecimal() or case.path.endswith(PINNED)


def _latest_redaction(kept: Kept) -> object:
    asked = f"{kept.base}{REDACTIONS}?order=-recorded&limit=1"
    return [each["id"] for each in _asked(asked, kept.headers | {"Accept": "*/*"}).json()["items"]]


def _asked(url: str, headers: dict[str, str]) -> httpx.Response:
    with _client(headers) as client:
        return client.get(url)


def _client(headers: dict[str, str], **more: str) -> httpx.Client:
    # To read what certificates are trusted takes longer than what is asked, and none is used.
    return httpx.Client(headers=headers, timeout=PATIENCE, verify=False, trust_env=False, **more)


def _is_whole(body: dict[str, object]) -> bool:
    return body.get("first") is None and body.get("last") is None


def _as_before(response: Response) -> dict[str, str]:
    """Give the header fields that tell who asks, and for which form."""
    sent = response.request.headers
    return {name: sent[name] for name in ("Authorization", "Accept") if name in sent}
