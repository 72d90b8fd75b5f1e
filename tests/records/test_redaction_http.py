"""Redaction over HTTP: who may, what is refused, what is gone, what stays, and what a client learns of it."""

from typing import Any

import httpx
import pytest

from tests.support.builders import a_claim, a_question, a_source, an_entity, an_id, link, retract, revise
from tests.support.served import Served, refused

WHY = {"basis": "data-protection", "reason": "Order 12/3"}
PATH = "/v1/redactions"


def _redact(served: Served, kind: str, public_id: str, query: str = "", **more: Any) -> httpx.Response:
    return served.post(PATH + query, {"kind": kind, "id": public_id, **WHY, **more})


def _redacted(served: Served, kind: str, public_id: str, **more: Any) -> dict[str, Any]:
    response = _redact(served, kind, public_id, **more)
    assert response.status_code == 201, response.text
    done: dict[str, Any] = response.json()
    return {name: value for name, value in done.items() if name not in ("named_by", "holding")}


def _a_claim(served: Served, revisions: int = 3, **body: Any) -> str:
    public_id = an_id("c")
    served.append(
        a_claim(public_id, source="paper", question="q-time", **body),
        *(revise("claim", public_id, note=f"Note {number}") for number in range(2, revisions + 1)),
    )
    return public_id


def test_a_redaction_is_answered_with_what_it_did_and_can_be_read_again(ground: Served) -> None:
    claim = _a_claim(ground)
    response = _redact(ground, "claim", claim, first=1, last=2)
    done = response.json()
    position = ground.head()
    assert response.status_code == 201
    assert response.headers["etag"] == f'"{position}"'
    assert response.headers["ledger-position"] == str(position)
    assert response.headers["location"] == f"{PATH}/{done['id']}"
    assert {name: done[name] for name in ("kind", "basis", "reason", "position")} == {
        "kind": "redaction", "basis": "data-protection", "reason": "Order 12/3", "position": position,
    }  # fmt: skip
    assert {name: done["target"][name] for name in ("kind", "id", "first", "last")} == {
        "kind": "claim", "id": claim, "first": 1, "last": 2,
    }  # fmt: skip
    assert (done.pop("named_by")["items"][0]["id"], done.pop("holding")) == (claim, {"items": [], "count": 0})
    read = ground.get(f"{PATH}/{done['id']}")
    assert (read.json(), read.headers["etag"]) == (done, f'"{position}"')
    assert ground.get(f"{PATH}?order=-recorded&limit=1").json()["items"] == [done]
    assert done not in ground.get(f"{PATH}?as_of={position - 1}").json()["items"]


def test_the_public_list_turns_pages(ground: Served) -> None:
    done = [_redacted(ground, "claim", _a_claim(ground, 1)) for _ in range(3)]
    seen, url = [], f"{PATH}?order=-recorded&limit=2"
    while url and len(seen) < 3:
        page = ground.get(url).json()
        seen += page["items"]
        url = page["next"]
    assert seen[:3] == done[::-1]
    assert ground.get(f"{PATH}/{an_id('nothing')}").status_code == 404


def test_only_a_key_with_the_scope_redact_may(ground: Served) -> None:
    claim = _a_claim(ground)
    body = {"kind": "claim", "id": claim, **WHY}
    with ground.unchanged():
        for scope in ("write", "admin"):
            refused(ground.post(PATH, body, Authorization=f"Bearer {ground.make_key(scope)}"), 403, "forbidden")
        for scope in ("write", "admin"):
            dry = ground.post(f"{PATH}?dry_run=true", body, Authorization=f"Bearer {ground.make_key(scope)}")
            refused(dry, 403, "forbidden")
    assert ground.post(PATH, body, Authorization=f"Bearer {ground.make_key('redact')}").status_code == 201


MALFORMED = {
    "no reason": ({"reason": None}, "/reason"),
    "an empty reason": ({"reason": ""}, "/reason"),
    "another basis": ({"basis": "whim"}, "/basis"),
    "another kind": ({"kind": "actor"}, "/kind"),
    "no id": ({"id": "NOT AN ID"}, "/id"),
    "revision 0": ({"first": 0}, "/first"),
    "a revision in words": ({"last": "two"}, "/last"),
    "another field": ({"until": 3}, "/until"),
    "a number to look for": ({"contains": 3}, "/contains"),
    "nothing to look for": ({"contains": []}, "/contains"),
    "an empty text among several": ({"contains": ["x", ""]}, "/contains/1"),
    "too much to look for": ({"contains": ["x"] * 21}, "/contains"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_body_outside_the_contract_is_a_422(ground: Served, case: str) -> None:
    wrong, pointer = MALFORMED[case]
    with ground.unchanged():
        body = {"kind": "claim", "id": "said", **WHY, **wrong}
        refused(ground.post(PATH, body), 422, "bad-body", pointer=pointer)


REFUSED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "no such record": ("claim", {"id": "nobody"}, "unknown-claim", "/id"),
    "no such question": ("question", {"id": "nobody"}, "unknown-question", "/id"),
    "the ledger's own record": ("ledger", {"id": "ledger"}, "not-redactable", "/kind"),
    "past the last revision": ("claim", {"last": 4}, "status-refused", "/last"),
    "from past the last revision": ("claim", {"first": 4}, "status-refused", "/first"),
    "backwards": ("claim", {"first": 2, "last": 1}, "interval-reversed", "/last"),
    "the latest alone": ("claim", {"first": 3, "last": 3}, "revise-first", "/first"),
    "the latest and some": ("claim", {"first": 2}, "revise-first", "/first"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_ledger_does_not_redact_is_a_409(ground: Served, case: str) -> None:
    kind, more, slug, pointer = REFUSED[case]
    body = {"kind": kind, "id": _a_claim(ground), **WHY, **more}
    with ground.unchanged():
        refused(ground.post(PATH, body), 409, slug, pointer=pointer)
        refused(ground.post(f"{PATH}?dry_run=true", body), 409, slug, pointer=pointer)


def test_nothing_is_redacted_twice_and_no_redaction_is(ground: Served) -> None:
    claim = _a_claim(ground)
    first = _redacted(ground, "claim", claim, last=1)
    with ground.unchanged():
        refused(_redact(ground, "claim", claim, last=1), 409, "not-redactable", pointer="/id")
        refused(_redact(ground, "redaction", first["id"]), 409, "not-redactable", pointer="/kind")
    # What is left in the range is still something to remove.
    _redacted(ground, "claim", claim, last=2)
    _redacted(ground, "claim", claim)
    for more in ({}, {"last": 1}, {"first": 3}):
        slug = "revise-first" if "first" in more else "not-redactable"
        refused(_redact(ground, "claim", claim, **more), 409, slug)


def _gone(response: httpx.Response, done: dict[str, Any]) -> dict[str, Any]:
    """Hold an answer to what it has to tell of the redaction, and give the mark that stands in lists."""
    told = refused(response, 410, "redacted")["redacted"]
    assert told == {name: done[name] for name in ("position", "basis", "id", "recorded_at", "reason")}
    assert response.headers["link"] == f'<{PATH}/{done["id"]}>; rel="describedby"'
    return {name: told[name] for name in ("position", "basis")}


def _own_paths(kind: str, public_id: str) -> list[str]:
    base = f"/v1/{kind}/{public_id}"
    paths = [base, f"{base}/revisions", f"{base}/timemap", f"{base}/diff?from=1&to=1"]
    paths += [f"{base}/revisions/{number}" for number in (1, 2, 9)] + [f"{base}/revisions/1/proof"]
    paths += [f"{base}/links"] if kind == "claims" else []
    return paths + ([f"{base}/answers"] if kind == "questions" else [])


def _things(served: Served) -> dict[str, tuple[str, str]]:
    ids = {kind: an_id(kind[0]) for kind in ("entity", "source", "question", "claim")}
    served.append(
        an_entity(ids["entity"]),
        a_source(ids["source"]),
        a_question(ids["question"], about="parler"),
        a_claim(ids["claim"], source="paper", question="q-time"),
        *(revise(kind, public_id, note="Revised") for kind, public_id in ids.items()),
    )
    paths = {"entity": "entities", "source": "sources", "question": "questions", "claim": "claims"}
    return {kind: (paths[kind], public_id) for kind, public_id in ids.items()}


def test_a_wholly_redacted_record_is_gone_from_every_path_of_its_own(ground: Served) -> None:
    for kind, (plural, public_id) in _things(ground).items():
        before = ground.head()
        tag = ground.etag(f"/v1/{plural}/{public_id}")
        done = _redacted(ground, kind, public_id)
        mark = {"position": done["position"], "basis": "data-protection"}
        for path in [*_own_paths(plural, public_id), f"/v1/{plural}/{public_id}?as_of={before}"]:
            for headers in ({}, {"If_None_Match": "*"}, {"If_None_Match": tag}):
                assert _gone(ground.get(path, **headers), done) == mark, path
        moment = {"Accept_Datetime": "Mon, 11 Jan 2021 08:00:00 GMT"}
        refused(ground.get(f"/v1/{plural}/{public_id}", **moment), 410, "redacted")
        assert ground.get(f"/v1/{plural}/{public_id}?as_of=1").status_code == 404
        assert ground.client.head(f"/v1/{plural}/{public_id}").status_code == 410


def test_a_wholly_redacted_record_is_not_writable_and_its_id_never_given_out_again(ground: Served) -> None:
    actions = [{"action": "retract", "reason": "x"}, {"action": "restore", "reason": "x", "revision": 1}]
    for kind, (plural, public_id) in _things(ground).items():
        _redacted(ground, kind, public_id)
        with ground.unchanged():
            url = f"/v1/{plural}/{public_id}/revisions"
            for action in [*actions, {"action": "revise", "reason": "x", "changes": {"note": "x"}}]:
                for condition in ({}, {"If_Match": "*"}, {"If_Match": '"1"'}):
                    refused(ground.post(url, action, **condition), 410, "redacted")
            problem = refused(
                ground.post("/v1/batch", [an_entity(), retract(kind, public_id, expect=2)]), 410, "redacted"
            )
            assert problem["operation"] == 1
    body = {"type": "other", "name": "X"}
    gone = _things(ground)["entity"][1]
    _redacted(ground, "entity", gone)
    refused(ground.post("/v1/entities", {**body, "id": gone}), 409, "id-taken")


def test_a_revision_redacted_alone_is_gone_where_it_was_current_and_a_tombstone_in_the_history(ground: Served) -> None:
    claim = _a_claim(ground, note="First")
    last = ground.head()
    done = _redacted(ground, "claim", claim, first=2, last=2)
    url, mark = f"/v1/claims/{claim}", {"position": done["position"], "basis": "data-protection"}
    assert ground.get(url).json()["revision"] == 3
    gone = [f"{url}/revisions/2", f"{url}?as_of={last - 1}", f"{url}/diff?from=1&to=2", f"{url}/diff?from=2&to=3"]
    for path in [*gone, f"{url}/revisions/2/proof", f"{url}/links?as_of={last - 1}"]:
        assert _gone(ground.get(path), done) == mark, path
    for path in (f"{url}/revisions/1", f"{url}?as_of={last - 2}", f"{url}?as_of={last}", f"{url}/diff?from=1&to=3"):
        assert ground.get(path).status_code == 200, path
    newest, middle, oldest = ground.get(f"{url}/revisions").json()["items"]
    assert (newest["redacted"], oldest["redacted"]) == (None, None)
    # What differs is told against the last revision that can still be seen.
    assert newest["fields"] == ["note"]
    assert {name: middle[name] for name in ("revision", "type", "status", "reason", "fields", "redacted")} == {
        "revision": 2, "type": "revised", "status": None, "reason": None, "fields": None, "redacted": mark,
    }  # fmt: skip
    mementos = ground.get(f"{url}/timemap", Accept="application/json").json()["mementos"]
    assert [each["revision"] for each in mementos] == [1, 3]


def test_what_is_redacted_is_absent_from_every_list_there(ground: Served) -> None:
    word = "q" + an_id("w").replace("-", "")
    claim = _a_claim(ground, note="First")
    ground.append(
        revise("claim", claim, expect=3, note=f"{word} said", speaker="amazon"),
        revise("claim", claim, note="Other", speaker=None),
    )
    at = ground.head() - 1
    lists = [
        f"/v1/claims?q={word}&as_of={at}", f"/v1/claims?id={claim}&as_of={at}", f"/v1/claims?speaker=amazon&as_of={at}",
        f"/v1/timeline?q={word}&as_of={at}",
    ]  # fmt: skip
    for path in lists:
        assert [each["id"] for each in ground.get(path).json()["items"]] == [claim], path
    tags = {path: ground.etag(path) for path in lists}
    _redacted(ground, "claim", claim, first=4, last=4)
    for path in lists:
        assert ground.get(path).json()["items"] == [], path
        assert ground.etag(path) != tags[path]
    assert ground.get(f"/v1/claims?id={claim}&as_of={at}&facets=speaker").json()["facets"] == {"speaker": []}
    assert [each["id"] for each in ground.get(f"/v1/claims?id={claim}").json()["items"]] == [claim]


def test_the_feed_keeps_the_place_of_what_is_redacted_and_single_events_their_entry(ground: Served) -> None:
    claim = _a_claim(ground, 1)
    position = ground.head()
    before, item = ground.get(f"/v1/events/{position}"), _item(ground, position)
    done = _redacted(ground, "claim", claim)
    mark = {"position": done["position"], "basis": "data-protection"}
    assert _item(ground, position) == {
        **item, "redacted": mark, **dict.fromkeys(("reason", "state", "fields")),
    }  # fmt: skip
    without = ground.get(f"/v1/events?after={position - 1}&limit=1&state=false").json()["items"]
    assert without == [{name: value for name, value in _item(ground, position).items() if name != "state"}]
    assert _item(ground, done["position"])["type"] == "redacted"
    after = ground.get(f"/v1/events/{position}")
    assert after.json() == {**before.json(), "payload": None, "salt": None}
    assert after.headers["etag"] != before.headers["etag"]
    assert ground.get(f"/v1/events/{position}", If_None_Match=before.headers["etag"]).status_code == 200
    for narrow in (f"id={claim}", "kind=claim", "type=recorded", f"actor={item['actor']}"):
        page = ground.get(f"/v1/events?after={position - 1}&limit=1&{narrow}").json()["items"]
        assert [each["position"] for each in page] == [position], narrow


def _item(served: Served, position: int) -> dict[str, Any]:
    [item] = served.get(f"/v1/events?after={position - 1}&limit=1").json()["items"]
    assert item["position"] == position
    return dict(item)


def test_an_erased_id_is_forgotten(ground: Served) -> None:
    for kind, (plural, public_id) in _things(ground).items():
        position = ground.get(f"/v1/{plural}/{public_id}").json()["first_position"]
        done = _redacted(ground, kind, public_id, erase_id=True)
        assert done["target"]["id"] is None
        for path in _own_paths(plural, public_id):
            assert ground.get(path).status_code == 404, path
        assert f'"{public_id}"' not in ground.get("/v1/events?after=0&limit=500").text
        item = _item(ground, position)
        assert (item["id"], item["state"], item["redacted"]["position"]) == (None, None, done["position"])
        for narrow in (f"kind={kind}", f"actor={item['actor']}"):
            page = ground.get(f"/v1/events?after={position - 1}&limit=1&{narrow}").json()["items"]
            assert [each["position"] for each in page] == [position], narrow
        refused(_redact(ground, kind, public_id), 409, f"unknown-{kind}")


def test_an_id_is_not_forgotten_while_a_surviving_payload_names_it(ground: Served) -> None:
    entity, source, question, claim, other = (an_id(prefix) for prefix in ("e", "s", "q", "c", "c"))
    ground.append(
        an_entity(entity),
        a_source(source, publisher=entity),
        a_question(question, about=entity),
        a_claim(claim, source=source, question=question, speaker=entity),
        a_claim(other, source="paper", question="q-time"),
        link(other, "corrects", claim),
    )
    naming = {
        "entity": (entity, {("source", source), ("question", question), ("claim", claim)}),
        "source": (source, {("claim", claim)}),
        "question": (question, {("claim", claim)}),
        "claim": (claim, {("claim", other)}),
    }
    for kind, (public_id, expected) in naming.items():
        with ground.unchanged():
            problem = refused(_redact(ground, kind, public_id, erase_id=True), 409, "still-named", pointer="/erase_id")
        assert {(each["kind"], each["id"]) for each in problem["named_by"]} == expected
        dry = _redact(ground, kind, public_id, "?dry_run=true", erase_id=True).json()
        assert {(each["kind"], each["id"]) for each in dry["named_by"]["items"]} == expected
    # A link taken back still stands in the revision before.
    refused(_redact(ground, "claim", claim, erase_id=True, last=1), 409, "still-named")
    _redacted(ground, "claim", other)
    _redacted(ground, "claim", claim, erase_id=True)
    _redacted(ground, "question", question, erase_id=True)


def test_an_id_that_a_redaction_kept_is_kept_for_ever(ground: Served) -> None:
    claim = _a_claim(ground)
    done = _redacted(ground, "claim", claim, last=1)
    problem = refused(_redact(ground, "claim", claim, erase_id=True), 409, "still-named")
    assert problem["named_by"] == [{"kind": "redaction", "id": done["id"], "revision": 1}]


def test_a_part_of_a_record_is_not_erased(ground: Served) -> None:
    claim = _a_claim(ground)
    problem = refused(_redact(ground, "claim", claim, last=2, erase_id=True), 409, "still-named")
    assert problem["named_by"] == [{"kind": "claim", "id": claim, "revision": 3}]


def test_a_dry_run_says_what_would_go_and_what_would_still_name_or_hold_it(ground: Served) -> None:
    claim = _a_claim(ground, note="Dr. Żółw said so")
    other = an_id("c")
    ground.append(
        a_claim(other, source="paper", question="q-time", note="as zolw told", statement=f"See {claim}."),
        link(other, "repeats", claim),
    )
    with ground.unchanged():
        response = _redact(ground, "claim", claim, "?dry_run=true", contains="żółw", erase_id=True)
    dry = response.json()
    assert response.status_code == 200
    assert dry["position"] == ground.head()
    assert [(each["id"], each["revision"]) for each in dry["removes"]["items"]] == [
        (claim, number) for number in (1, 2, 3)
    ]
    assert [(each["id"], each["revision"]) for each in dry["named_by"]["items"]] == [(other, 2)]
    assert [(each["id"], each["revision"]) for each in dry["holding"]["items"]] == [(other, 1), (other, 2)]
    assert {name: dry[name]["count"] for name in ("removes", "named_by", "holding")} == {
        "removes": 3, "named_by": 1, "holding": 2,
    }  # fmt: skip
    partly = _redact(ground, "claim", claim, "?dry_run=true", last=2, contains="Zolw").json()
    assert [(each["id"], each["revision"]) for each in partly["holding"]["items"]] == [(other, 1), (other, 2)]
    assert ground.get(f"/v1/claims/{claim}").status_code == 200


def test_several_texts_are_looked_for_each_as_one_piece(ground: Served) -> None:
    claim, word, other = _a_claim(ground), an_id("zq").replace("-", ""), an_id("yq").replace("-", "")
    ground.append(
        an_entity(an_id("e"), note=f"It was  {word} Église"),
        an_entity(an_id("e"), names={"fr": f"{other}!"}),
        an_entity(an_id("e"), name=f"Église {word}"),
        an_entity(an_id("e"), note=f'He said "{word.upper()}x\\\n{word}"'),
    )
    last = ground.head() - 1
    texts = {
        f"{word} eglise": {last - 2}, f"église {word}": {last}, word: {last - 2, last, last + 1}, f"was {word}": set(),
        f'said "{word}X\\': {last + 1}, f"x\\\n{word}": {last + 1},
    }  # fmt: skip
    for text, positions in texts.items():
        for contains in (text, [text], [text, f"{other}?"]):
            found = _redact(ground, "claim", claim, "?dry_run=true", contains=contains).json()["holding"]
            assert {each["position"] for each in found["items"]} == positions, contains
    both = _redact(ground, "claim", claim, "?dry_run=true", contains=[f"{word} eglise", other]).json()["holding"]
    assert {each["position"] for each in both["items"]} == {last - 2, last - 1}


def test_a_redaction_says_what_still_names_the_record_and_holds_the_words(ground: Served) -> None:
    claim, word, other = _a_claim(ground), an_id("zq").replace("-", ""), an_id("c")
    ground.append(
        a_claim(other, source="paper", question="q-time", note=f"Not {word}, see {claim}"),
        link(other, "corrects", claim),
    )
    last, key = ground.head(), an_id("key")
    dry = _redact(ground, "claim", claim, "?dry_run=true", contains=[word]).json()
    body = {"kind": "claim", "id": claim, **WHY, "contains": [word]}
    first = ground.post(PATH, body, Idempotency_Key=key)
    done = first.json()
    assert [each["position"] for each in done["holding"]["items"]] == [last - 1, last]
    assert [(each["kind"], each["position"]) for each in done["named_by"]["items"]] == [
        ("claim", last), ("redaction", last + 1),
    ]  # fmt: skip
    assert (done["holding"], done["named_by"]["items"][:1]) == (dry["holding"], dry["named_by"]["items"])
    assert ground.post(PATH, body, Idempotency_Key=key).content == first.content
    # An id that was erased stands in no field; in a text it may.
    erased = _a_claim(ground)
    ground.append(an_entity(an_id("e"), note=f"See {erased}."))
    left = _redact(ground, "claim", erased, erase_id=True).json()
    assert (left["named_by"]["count"], [each["position"] for each in left["holding"]["items"]]) == (0, [last + 5])


def test_links_to_what_is_redacted_say_so(ground: Served) -> None:
    claim, other = _a_claim(ground), _a_claim(ground, 1)
    ground.append(link(other, "corrects", claim, expect=1), link(other, "repeats", "said"))
    before = ground.head()
    done = _redacted(ground, "claim", claim)
    mark = {"position": done["position"], "basis": done["basis"]}
    for query in ("", f"?as_of={before}"):
        links = ground.get(f"/v1/claims/{other}/links{query}").json()
        assert {each["claim"]: each["redacted"] for each in links["outgoing"]} == {claim: mark, "said": None}
    [incoming] = [each for each in ground.get("/v1/claims/said/links").json()["incoming"] if each["claim"] == other]
    assert incoming["redacted"] is None


def test_what_is_redacted_is_not_referred_to_anew(ground: Served) -> None:
    things = {kind: public_id for kind, (_, public_id) in _things(ground).items()}
    for kind, public_id in things.items():
        _redacted(ground, kind, public_id)
    said = {"source": "paper", "question": "q-time", "statement": "X", "answer": {"type": "time", "edtf": "2021"}}
    refusals = [
        ("/v1/claims", {**said, "source": things["source"]}, "/source"),
        ("/v1/claims", {**said, "question": things["question"]}, "/question"),
        ("/v1/claims", {**said, "speaker": things["entity"]}, "/speaker"),
        ("/v1/claims", {**said, "via": ["paper", things["source"]]}, "/via/1"),
        ("/v1/claims", {**said, "question": "q-entity", "answer": {"type": "entity", "entity": things["entity"]}}, "/answer/entity"),
        ("/v1/claims", {**said, "question": "q-entities", "answer": {"type": "entities", "entities": [things["entity"]]}}, "/answer/entities/0"),
        ("/v1/sources", {"type": "article", "title": "X", "derives_from": [things["source"]]}, "/derives_from/0"),
        ("/v1/entities", {"type": "other", "name": "X", "part_of": things["entity"]}, "/part_of"),
        ("/v1/questions", {"about": [things["entity"]], "text": "X?", "answer_type": "time"}, "/about/0"),
    ]  # fmt: skip
    with ground.unchanged():
        for path, body, pointer in refusals:
            refused(ground.post(path, body), 409, "redacted-reference", pointer=pointer)
        action = {"action": "link", "relation": "repeats", "claim": things["claim"], "reason": "x"}
        refused(
            ground.post("/v1/claims/said/revisions", action, If_Match="*"), 409, "redacted-reference", pointer="/claim"
        )


def test_what_is_redacted_is_not_referred_to_beside_what_was_referred_to_before(ground: Served) -> None:
    gone, namer = an_id("gone"), an_id("namer")
    ground.append(a_source(gone), a_source(namer, derives_from=["paper"]))
    _redacted(ground, "source", gone)
    action = {"action": "revise", "reason": "Read again", "changes": {"derives_from": ["paper", gone]}}
    answer = ground.post(f"/v1/sources/{namer}/revisions", action, If_Match=ground.etag(f"/v1/sources/{namer}"))
    refused(answer, 409, "redacted-reference", pointer="/changes/derives_from/1")


def test_what_referred_to_it_before_lives_on(ground: Served) -> None:
    entity, source, question, claim = (an_id(prefix) for prefix in ("e", "s", "q", "c"))
    ground.append(
        an_entity(entity),
        a_source(source, derives_from=["paper"], publisher=entity),
        a_question(question, about=entity),
        a_claim(claim, source=source, question=question, speaker=entity),
    )
    for kind, public_id in (("entity", entity), ("source", source), ("question", question)):
        _redacted(ground, kind, public_id)
        assert ground.get(f"/v1/claims/{claim}").status_code == 200
    assert claim in [each["id"] for each in ground.get(f"/v1/claims?source={source}&live=false").json()["items"]]
    assert ground.get(f"/v1/claims/{claim}?include=source").json()["sources"] == {}
    revised = {"action": "revise", "reason": "Clearer", "changes": {"note": "Still here"}}
    assert ground.post(f"/v1/claims/{claim}/revisions", revised, If_Match="*").status_code == 201
    answered = {"action": "revise", "reason": "Other", "changes": {"answer": {"type": "time", "edtf": "2020"}}}
    refused(
        ground.post(f"/v1/claims/{claim}/revisions", answered, If_Match="*"),
        409,
        "redacted-reference",
        pointer="/changes/answer",
    )
    for action in ("retract", "restore"):
        done = ground.post(f"/v1/claims/{claim}/revisions", {"action": action, "reason": "x"}, If_Match="*")
        assert done.status_code == 201, done.text


def test_a_redacted_revision_is_not_restored(ground: Served) -> None:
    claim = _a_claim(ground)
    _redacted(ground, "claim", claim, last=1)
    action = {"action": "restore", "reason": "x", "revision": 1}
    refused(
        ground.post(f"/v1/claims/{claim}/revisions", action, If_Match="*"),
        409,
        "redacted-reference",
        pointer="/revision",
    )
    missing = {"action": "restore", "reason": "x", "revision": 9}
    refused(
        ground.post(f"/v1/claims/{claim}/revisions", missing, If_Match="*"), 409, "status-refused", pointer="/revision"
    )


def test_a_writer_whose_revision_was_redacted_learns_what_the_record_says_now(ground: Served) -> None:
    claim = _a_claim(ground)
    stale = ground.get(f"/v1/claims/{claim}/revisions/2").headers["etag"]
    _redacted(ground, "claim", claim, last=2)
    action = {"action": "retract", "reason": "x"}
    problem = refused(ground.post(f"/v1/claims/{claim}/revisions", action, If_Match=stale), 412, "stale")
    assert problem["current"]["revision"] == 3
    expected = refused(ground.post("/v1/batch", [retract("claim", claim, expect=2)]), 412, "stale")
    assert expected["current"]["revision"] == 3


def test_a_repeated_redaction_gets_the_first_answer(ground: Served) -> None:
    body = {"kind": "claim", "id": _a_claim(ground), **WHY}
    key = an_id("key")
    first = ground.post(PATH, body, Idempotency_Key=key)
    with ground.unchanged():
        again = ground.post(PATH, body, Idempotency_Key=key)
        assert (again.status_code, again.content) == (201, first.content)
        refused(ground.post(PATH, {**body, "last": 1}, Idempotency_Key=key), 409, "idempotency-key-reused")


def test_a_repeated_request_whose_answer_was_redacted_is_gone(ground: Served) -> None:
    key, batch_key, claim, entity = an_id("key"), an_id("key"), an_id("c"), an_id("e")
    said = {
        "id": claim,
        "source": "paper",
        "question": "q-time",
        "statement": "X",
        "answer": {"type": "time", "edtf": "2021"},
    }
    assert ground.post("/v1/claims", said, Idempotency_Key=key).status_code == 201
    batch = [an_entity(), an_entity(entity)]
    assert ground.post("/v1/batch", batch, Idempotency_Key=batch_key).status_code == 201
    _redacted(ground, "claim", claim)
    _redacted(ground, "entity", entity, erase_id=True)
    with ground.unchanged():
        refused(ground.post("/v1/claims", said, Idempotency_Key=key), 410, "redacted")
        refused(ground.post("/v1/batch", batch, Idempotency_Key=batch_key), 410, "redacted")


def test_a_problem_never_repeats_what_was_refused(ground: Served) -> None:
    for body in (
        {"id": "S3CRET"},
        {"kind": "S3CRET"},
        {"reason": "S3CRET", "basis": "S3CRET"},
        {"contains": ["S3CRET", ""]},
    ):
        response = ground.post(PATH, {"kind": "claim", "id": "said", **WHY, **body})
        assert response.status_code in (409, 422)
        assert "S3CRET" not in response.text
