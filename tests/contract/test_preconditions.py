"""Every verb against every precondition, in every state of a record: one table, as Kinto's users taught."""

import itertools
import json
import re
from collections.abc import Callable

import psycopg
import pytest

from openapi import lint
from tests.support.builders import a_claim, a_question, a_source, an_entity, an_id, retract, revise
from tests.support.served import Served, migrated, refused, serve

REVISE = {"action": "revise", "reason": "Spelt otherwise", "changes": {"name": "Parler LLC"}}
RETRACT = {"action": "retract", "reason": "Not in the source"}
RESTORE = {"action": "restore", "reason": "It was there"}

# The header that a writer sends, made of the tag of the latest revision and the tag of one before it.
IF_MATCH: dict[str, Callable[[str, str], str | None]] = {
    "right": lambda tag, _old: tag,
    "right and compressed by gzip": lambda tag, _old: f'{tag[:-1]}-gz"',
    "right and compressed by brotli": lambda tag, _old: f'{tag[:-1]}-br"',
    "right and compressed by Apache": lambda tag, _old: f'{tag[:-1]}-gzip"',
    "right and compressed by Jetty": lambda tag, _old: f'{tag[:-1]}--gzip"',
    "right and compressed on the way twice": lambda tag, _old: f'{tag[:-1]}-gz-gzip"',
    "right and of another version of the form": lambda tag, _old: f'{tag[:-1]}.v2"',
    "any": lambda _tag, _old: "*",
    "any, and empty elements": lambda _tag, _old: "*, ,",
    "a list with the right one": lambda tag, old: f"{old}, {tag}",
    "a list without spaces": lambda tag, old: f"{old},{tag}",
    "stale": lambda _tag, old: old,
    "a list without the right one": lambda _tag, old: f'{old}, "999999"',
    "weak": lambda tag, _old: f"W/{tag}",
    "of no revision": lambda _tag, _old: '"999999"',
    "no tag at all": lambda tag, _old: tag.strip('"'),
    "garbage": lambda _tag, _old: "%%% ,,,",
    "an empty tag": lambda _tag, _old: '""',
    "empty": lambda _tag, _old: "",
    "blank": lambda _tag, _old: " ",
    "a list with a weak one": lambda tag, old: f"{old}, W/{tag}",
    "in other quotes": lambda tag, _old: tag.replace('"', "'"),
    "with its suffix outside": lambda tag, _old: f"{tag}-gzip",
    "missing": lambda _tag, _old: None,
}
MET = {name for name in IF_MATCH if name.startswith(("right", "any", "a list with the", "a list without spaces"))}
STATES = ("current", "revised", "retracted", "absent")
# Whether the rules allow an action, once the precondition is met.
ALLOWED = {
    "current": {"revise", "retract"},
    "revised": {"revise", "retract"},
    "retracted": {"restore"},
}


DECLARED = {
    (described["operationId"], each["name"]): each["schema"]
    for _, described in lint.operations(json.loads(lint.DOCUMENT.read_text(encoding="utf-8")))
    for each in described["parameters"]
}


def _forbids(operation: str, header: str, value: str | None) -> bool:
    """Whether the published document forbids a value: then it is a 400, before anything is looked at."""
    schema = DECLARED[operation, header]
    return value is not None and "pattern" in schema and not re.search(schema["pattern"], value)


def _expected(state: str, precondition: str, action: str, *, is_forbidden: bool) -> tuple[int, str]:
    if is_forbidden:
        return 400, "bad-parameter"
    if state == "absent":
        return 404, "unknown-record"
    if precondition == "missing":
        return 428, "precondition-required"
    if precondition not in MET:
        return 412, "stale"
    return (201, "") if action in ALLOWED[state] else (409, "status-refused")


def _entity_in(served: Served, state: str) -> str:
    public_id = an_id("e")
    steps = [an_entity(public_id, name="Parler Inc.")]
    if state != "current":
        steps.append(revise("entity", public_id, name="Parler"))
    if state == "retracted":
        steps.append(retract("entity", public_id))
    if state != "absent":
        served.append(*steps)
    return f"/v1/entities/{public_id}"


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("precondition", IF_MATCH)
def test_a_write_is_judged_by_400_then_404_then_428_then_412_then_409(
    served: Served, state: str, precondition: str
) -> None:
    for action in (REVISE, RETRACT, RESTORE):
        path = _entity_in(served, state)
        tag = served.etag(path) if state != "absent" else '"1"'
        value = IF_MATCH[precondition](tag, '"1"')
        is_forbidden = _forbids("reviseEntity", "If-Match", value)
        status, slug = _expected(state, precondition, action["action"], is_forbidden=is_forbidden)
        before = served.head()

        response = served.post(f"{path}/revisions", action, **({} if value is None else {"If_Match": value}))

        if status == 201:
            assert response.status_code == 201, response.text
            assert int(response.headers["ledger-position"]) == before + 1
        else:
            refused(response, status, slug)
            assert served.head() == before


IF_NONE_MATCH: dict[str, tuple[Callable[[str], str], int]] = {
    "hit": (lambda tag: tag, 304),
    "weak hit": (lambda tag: f"W/{tag}", 304),
    "hit by the gzip form": (lambda tag: f'{tag[:-1]}-gz"', 304),
    "hit by the brotli form": (lambda tag: f'{tag[:-1]}-br"', 304),
    "hit by what Apache makes of it": (lambda tag: f'{tag[:-1]}-gzip"', 304),
    "hit by what Jetty makes of it": (lambda tag: f'W/{tag[:-1]}--gzip"', 304),
    "a tag of another version of the form": (lambda tag: f'{tag[:-1]}.v2"', 200),
    "hit in a list": (lambda tag: f'"0", {tag}', 304),
    "any": (lambda _tag: "*", 304),
    "miss": (lambda _tag: '"999999"', 200),
    "miss in a list": (lambda _tag: '"0", W/"00"', 200),
    "a tag that only starts alike": (lambda tag: f'{tag[:-1]}0"', 200),
    "garbage": (lambda _tag: "%%% ,,,", 200),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("precondition", IF_NONE_MATCH)
def test_a_read_is_304_exactly_where_the_tag_is_held_already(served: Served, state: str, precondition: str) -> None:
    path = _entity_in(served, state)
    spell, expected = IF_NONE_MATCH[precondition]
    is_forbidden = _forbids("getEntity", "If-None-Match", spell('"1"'))
    if state == "absent" or is_forbidden:
        for method in ("GET", "HEAD"):
            response = served.client.request(method, path, headers={"If-None-Match": spell('"1"')})
            assert response.status_code == (400 if is_forbidden else 404)
        return
    for method, url in itertools.product(
        ("GET", "HEAD"), (path, f"{path}/revisions/1", f"{path}?as_of={served.head()}")
    ):
        tag = served.etag(url)
        response = served.client.request(
            method, url, headers={"If-None-Match": spell(tag), "Accept-Encoding": "identity"}
        )
        assert response.status_code == expected
        assert response.headers["etag"] == tag
        assert bool(response.content) == (method == "GET" and expected == 200)


def test_if_none_match_may_stand_on_several_lines(served: Served) -> None:
    path = _entity_in(served, "current")
    lines = [("If-None-Match", served.etag(path)), ("If-None-Match", '"0"')]
    assert served.client.get(path, headers=lines).status_code == 304


def test_if_match_may_stand_on_several_lines(served: Served) -> None:
    path = _entity_in(served, "current")
    lines = [("If-Match", served.etag(path)), ("If-Match", '"1"')]
    assert served.client.post(f"{path}/revisions", json=RETRACT, headers=lines).status_code == 201


def test_a_304_says_what_a_200_would_have_said_of_caching(served: Served) -> None:
    path = _entity_in(served, "current")
    for url in (path, f"{path}?as_of={served.head()}", f"{path}/revisions/1", "/v1/entities"):
        fresh = served.get(url)
        held = served.get(url, If_None_Match=fresh.headers["etag"])
        assert held.status_code == 304
        for name in ("etag", "cache-control", "vary", "content-location", "ledger-position"):
            assert held.headers.get(name) == fresh.headers.get(name), name


def test_a_stale_writer_is_told_what_was_missed(served: Served) -> None:
    path = _entity_in(served, "revised")
    first = served.get(f"{path}/revisions/1").headers["etag"]
    served.append(retract("entity", path.rpartition("/")[2], expect=2))

    response = served.post(f"{path}/revisions", REVISE, If_Match=first)

    problem = refused(response, 412, "stale")
    assert problem["current"] == served.get(path).json()
    assert response.headers["etag"] == f'"{problem["current"]["position"]}"'
    assert [line["revision"] for line in problem["revisions"]] == [3, 2]
    assert [line["reason"] for line in problem["revisions"]] == ["Not in the source", "Read again"]
    assert problem["fields"] == ["name", "status"]


def test_a_stale_writer_is_told_what_came_after_its_tag_whatever_that_is_the_tag_of(served: Served) -> None:
    path = _entity_in(served, "current")
    seen = served.append(an_entity())
    served.append(revise("entity", path.rpartition("/")[2], expect=1, name="Parler"))
    for tag in (f'"{seen}"', f'"{seen}--gzip"', f'"1", "{seen}"', f'"{seen}", "999999"'):
        problem = refused(served.post(f"{path}/revisions", RETRACT, If_Match=tag), 412, "stale")
        assert [line["revision"] for line in problem["revisions"]] == [2], tag


def test_an_if_match_that_is_none_is_named(served: Served) -> None:
    path = _entity_in(served, "current")
    for tag in ("5264", 'W/"5264"', ""):
        problem = refused(
            served.post(f"{path}/revisions", RETRACT, If_Match=tag), 400, "bad-parameter", parameter="If-Match"
        )
        assert "in its quotes and without W/" in problem["errors"][0]["rule"]


def test_a_stale_writer_is_told_at_most_a_hundred_revisions(served: Served) -> None:
    public_id = an_id("e")
    served.append(an_entity(public_id), *(revise("entity", public_id, name=f"Name {n}") for n in range(105)))
    path = f"/v1/entities/{public_id}"

    problem = refused(
        served.post(f"{path}/revisions", RETRACT, If_Match=served.etag(f"{path}/revisions/1")), 412, "stale"
    )

    assert [line["revision"] for line in problem["revisions"]] == list(range(106, 6, -1))
    assert problem["fields"] == ["name"]


def test_a_tag_that_the_record_never_had_brings_the_whole_history(served: Served) -> None:
    path = _entity_in(served, "revised")
    following = served.get(path).json()["position"] + 1
    for tag in ('"999999"', f'"{following}"', '"1"', '"nonsense"'):
        problem = refused(served.post(f"{path}/revisions", RETRACT, If_Match=tag), 412, "stale")
        assert [line["revision"] for line in problem["revisions"]] == [2, 1], tag


def test_all_four_kinds_keep_the_same_preconditions(served: Served) -> None:
    entity, source, question, claim = an_id("e"), an_id("s"), an_id("q"), an_id("c")
    served.append(
        an_entity(entity),
        a_source(source),
        a_question(question, about=entity),
        a_claim(claim, source=source, question=question),
    )
    for path in (f"/v1/claims/{claim}", f"/v1/questions/{question}", f"/v1/sources/{source}", f"/v1/entities/{entity}"):
        url, tag = f"{path}/revisions", served.etag(path)
        refused(served.post(url, RETRACT), 428, "precondition-required")
        refused(served.post(url, RETRACT, If_Match='"1"'), 412, "stale")
        assert served.post(url, RETRACT, If_Match=tag).status_code == 201
        refused(served.post(url, RETRACT, If_Match=tag), 412, "stale")
        refused(served.post(url, RETRACT, If_Match="*"), 409, "status-refused")


def test_if_none_match_does_not_touch_a_create(served: Served) -> None:
    body = {"id": an_id("e"), "type": "platform", "name": "Parler"}
    assert served.post("/v1/entities", body, If_None_Match="*").status_code == 201
    refused(served.post("/v1/entities", body, If_None_Match="*"), 409, "id-taken", pointer="/id")


def test_where_it_cannot_be_told_what_was_missed_the_answer_is_an_outage(request, tmp_path, postgres):
    with migrated(request, "postgresql", tmp_path, read_timeout=0.5) as settings, serve(settings) as served:
        served.append(an_entity("e"))
        served.append(revise("entity", "e", expect=1, name="Other"))
        with psycopg.connect(settings.database_url.replace("+psycopg", "")) as other:
            # What is missed is read from here, and the refusal is not.
            other.execute("LOCK TABLE payload IN ACCESS EXCLUSIVE MODE")
            response = served.post("/v1/entities/e/revisions", REVISE, If_Match='"2"')
        problem = refused(response, 503, "unavailable")
        assert "current" not in problem
        assert response.headers["retry-after"] == "1"
        assert served.post("/v1/entities/e/revisions", REVISE, If_Match='"2"').status_code == 412
