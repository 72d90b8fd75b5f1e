"""Lists: every filter, every order, pages that fit together, and only the parameters that are known."""

from collections.abc import Callable
from typing import Any

import pytest

from api.domain.records.kinds import KINDS as RECORDED
from tests.support.builders import a_claim, a_question, a_source, an_entity, an_id, link, restore, retract, revise
from tests.support.served import Served, refused

KINDS = ("entities", "sources", "questions", "claims")
Fits = Callable[[dict[str, Any]], bool]


def _time(edtf: str) -> dict[str, Any]:
    return {"type": "time", "edtf": edtf}


@pytest.fixture(scope="module")
def world(served: Served) -> Served:
    """Records that differ in everything a filter can ask for."""
    people = {"type": "quantity", "unit": "users", "amount": "15000000"}
    served.append(
        an_entity("parler", names={"fr": "Parlé"}),
        an_entity("amazon", type="company", name="Amazon"),
        an_entity("aws", type="company", name="Amazon Web Services", part_of="amazon"),
        an_entity("matze", type="person", name="John Matze"),
        an_entity("tribune", type="publisher", name="La Tribune"),
        an_entity("gone", type="other", name="Gone"),
        retract("entity", "gone"),
        a_source(
            "paper", title="Amazon pulls the plug", publisher="amazon", language="en", published="2021-01-10T08:00Z"
        ),
        a_source(
            "reprint",
            type="wire",
            title="Œuvre française",
            publisher="tribune",
            language="fr",
            published="2021-01-12",
            derives_from=["paper"],
        ),
        a_source("comment", type="reader-comment", title="A comment", part_of="reprint", authors=["Élodie"]),
        a_source("void", title="Withdrawn", language="en", published="2021-01"),
        a_question("when", about="parler"),
        a_question("who", about="amazon", answer_type="entity", text="Who hosted it?"),
        a_question("many", about="parler", answer_type="quantity", unit="users", varies=True, text="How many?"),
        a_question("which", about="parler", answer_type="entities", text="Which companies?"),
        a_question("dropped", about="parler", text="When not?"),
    )
    served.append(
        a_claim("c-1", source="paper", question="when", answer=_time("2021-01-10")),
        a_claim(
            "c-2", source="reprint", question="when", answer=_time("2021-01-11T08:00Z"), speaker="matze", via=["paper"]
        ),
        a_claim(
            "c-3",
            source="paper",
            question="who",
            answer={"type": "entity", "entity": "aws"},
            statement="L’œuvre fut hébergée à l’Élysée.",
            stance="alleges",
        ),
        a_claim("c-4", source="comment", question="many", answer=people, valid="2020-11", statement="Fifteen million."),
        a_claim("c-5", source="comment", question="many", answer=people, stance="doubts", note="OEUVRE"),
        a_claim(
            "c-6",
            source="paper",
            question="which",
            # It speaks of itself, and is one mention.
            answer={"type": "entities", "entities": ["aws", "parler"]},
            speaker="parler",
            stance="denies",
        ),
        a_claim("c-7", source="void", question="when", answer=_time("2021-01-01/2021-01-31")),
        a_claim("c-8", source="paper", question="dropped", answer=_time("../2019")),
        a_claim("c-9", source="paper", question="when", answer=_time("2021-01-09~")),
        link("c-2", "repeats", "c-1"),
        link("c-3", "contradicts", "c-1"),
        retract("claim", "c-9"),
        retract("source", "void", expect=1),
        retract("question", "dropped", expect=1),
        revise("claim", "c-1", statement="Parler vanished."),
        retract("source", "comment", expect=1),
        restore("source", "comment"),
    )
    return served


def _ids(world: Served, url: str) -> list[str]:
    """List the ids that a list shows, page by page."""
    found: list[str] = []
    following: str | None = url
    while following:
        page = world.get(following)
        assert page.status_code == 200, page.text
        assert page.headers.get("link") == (f'<{page.json()["next"]}>; rel="next"' if page.json()["next"] else None)
        found += [item["id"] for item in page.json()["items"]]
        following = page.json()["next"]
    return found


# A date is read in every zone, from its start in UTC+14 to its end in UTC-12, and an unknown time is possible everywhere.
LIVE = ["c-1", "c-2", "c-3", "c-4", "c-5", "c-6"]
CLAIMS: dict[str, list[str]] = {
    "": [*LIVE, "c-7", "c-8", "c-9"],
    "status=asserted": [*LIVE, "c-7", "c-8"],
    "status=retracted": ["c-9"],
    "live=true": LIVE,
    "live=false": ["c-7", "c-8", "c-9"],
    "live=false&status=asserted": ["c-7", "c-8"],
    "source=reprint": ["c-2"],
    "source=nobody": [],
    "publisher=amazon": ["c-1", "c-3", "c-6", "c-8", "c-9"],
    "publisher=tribune": ["c-2"],
    "language=fr": ["c-2"],
    "question=when": ["c-1", "c-2", "c-7", "c-9"],
    "about=amazon": ["c-3"],
    "speaker=matze": ["c-2"],
    "via=paper": ["c-2"],
    "stance=doubts": ["c-5"],
    "answer_type=quantity": ["c-4", "c-5"],
    "entity=aws": ["c-3", "c-6"],
    "entity=matze": ["c-2"],
    "entity=parler": ["c-6"],
    "relation=repeats": ["c-2"],
    "linked_to=c-1": ["c-2", "c-3"],
    "linked_to=c-1&relation=contradicts": ["c-3"],
    "id=c-4&id=c-2&id=nobody": ["c-2", "c-4"],
    "id=c-4&source=paper": [],
    "question=when&source=paper&status=asserted": ["c-1"],
    "published_from=2021-01-12": ["c-2", "c-7"],
    "published_until=2021-01-10": ["c-1", "c-2", "c-3", "c-6", "c-7", "c-8", "c-9"],
    "published_from=2021-02": ["c-7"],
    "valid_from=2021-01-11&valid_until=2021-01-11": ["c-1", "c-2", "c-7", "c-9"],
    "valid_until=2019": ["c-8"],
    "valid_until=2018&valid_from=2018": ["c-8"],
    "valid_from=2020-11&valid_until=2020-11": ["c-4"],
    "published_by=2021-01-10T07:59:00Z": ["c-4", "c-5", "c-7"],
    "published_by=2021-01-10T08:00:00Z&mode=possible": ["c-1", "c-3", "c-4", "c-5", "c-6", "c-7", "c-8", "c-9"],
    "published_by=2021-01-11&mode=certain": ["c-1", "c-3", "c-6", "c-8", "c-9"],
    "valid_at=2021-01-11T08:00:00Z": ["c-1", "c-2", "c-3", "c-5", "c-6", "c-7", "c-9"],
    "valid_at=2021-01-11T08:00:00Z&mode=certain": ["c-7"],
    "valid_at=2018&mode=certain": ["c-8"],
    "valid_at=/2018&mode=certain": [],
    "valid_at=2018/&mode=certain": [],
    "valid_at=2020-11": ["c-3", "c-4", "c-5", "c-6"],
    "q=vanished": ["c-1"],
    "q=Parler+WENT": ["c-2", "c-5", "c-6", "c-7", "c-8", "c-9"],
    "q=oeuvre": ["c-3", "c-5"],
    "q=%C5%93uvre": ["c-3", "c-5"],
    "q=elysee": ["c-3"],
    "q=%C3%89LYS%C3%89E+hebergee": ["c-3"],
    "q=nothing+like+this": [],
    "q=%22+OR+*+%27%3B--+fifteen": [],
    "stance=doubts&stance=denies": ["c-5", "c-6"],
    "stance=doubts&stance=doubts": ["c-5"],
    "stance=doubts&stance=denies&source=paper": ["c-6"],
    "source=reprint&source=void&source=nobody": ["c-2", "c-7"],
    "source=paper&source=reprint&question=when&question=who": ["c-1", "c-2", "c-3", "c-9"],
    "question=many&question=dropped&status=asserted": ["c-4", "c-5", "c-8"],
    "publisher=tribune&publisher=amazon": ["c-1", "c-2", "c-3", "c-6", "c-8", "c-9"],
    "language=fr&language=en&publisher=tribune": ["c-2"],
    "language=fr&about=amazon&about=parler": ["c-2"],
    "speaker=matze&speaker=parler": ["c-2", "c-6"],
    "entity=matze&entity=aws": ["c-2", "c-3", "c-6"],
    "via=paper&via=void": ["c-2"],
    "answer_type=quantity&answer_type=entity": ["c-3", "c-4", "c-5"],
    "relation=repeats&relation=contradicts": ["c-2", "c-3"],
    "linked_to=c-1&linked_to=c-2": ["c-2", "c-3"],
    "status=asserted&status=retracted": [*LIVE, "c-7", "c-8", "c-9"],
    "status=retracted&status=retracted": ["c-9"],
    "live=true&live=false": [*LIVE, "c-7", "c-8", "c-9"],
    "live=true&live=true&stance=doubts&stance=alleges": ["c-3", "c-5"],
    "stance=asserts&stance=doubts&q=parler": ["c-1", "c-2", "c-5", "c-7", "c-8", "c-9"],
}  # fmt: skip


@pytest.mark.parametrize("query", CLAIMS)
def test_claims_are_filtered_by_everything_a_user_would_ask_for(world: Served, query: str) -> None:
    assert sorted(_ids(world, f"/v1/claims?{query}")) == CLAIMS[query]
    assert _ids(world, f"/v1/claims?{query}&limit=2&order=-recorded") == CLAIMS[query][::-1]


OTHERS: dict[str, list[str]] = {
    "entities?type=company": ["amazon", "aws"],
    "entities?part_of=amazon": ["aws"],
    "entities?status=retracted": ["gone"],
    "entities?q=amazon": ["amazon", "aws"],
    "entities?q=parle": ["parler"],
    "entities?id=matze&id=aws": ["aws", "matze"],
    "sources?type=wire": ["reprint"],
    "sources?publisher=tribune": ["reprint"],
    "sources?language=en": ["paper", "void"],
    "sources?language=en&status=asserted": ["paper"],
    "sources?part_of=reprint": ["comment"],
    "sources?derives_from=paper": ["reprint"],
    "sources?published_from=2021-01-11&published_until=2021-01-11": ["reprint", "void"],
    "sources?published_by=2021-01-05": ["comment", "void"],
    "sources?published_by=2021-01-11&mode=certain": ["paper"],
    "sources?q=francaise": ["reprint"],
    "sources?q=elodie": ["comment"],
    "questions?about=amazon": ["who"],
    "questions?answer_type=time": ["when", "dropped"],
    "questions?unit=users": ["many"],
    "questions?varies=true": ["many"],
    "questions?varies=false&status=asserted": ["when", "who", "which"],
    "questions?q=hosted": ["who"],
    "questions?agreement=single-origin": ["when", "who", "many", "which"],
    "entities?type=company&type=person": ["amazon", "aws", "matze"],
    "entities?part_of=amazon&part_of=parler": ["aws"],
    "sources?type=wire&type=reader-comment": ["reprint", "comment"],
    "sources?language=en&language=fr&status=asserted": ["paper", "reprint"],
    "sources?publisher=tribune&publisher=amazon&type=wire": ["reprint"],
    "sources?part_of=reprint&part_of=paper": ["comment"],
    "sources?derives_from=paper&derives_from=void": ["reprint"],
    "questions?about=amazon&about=parler": ["when", "who", "many", "which", "dropped"],
    "questions?answer_type=time&answer_type=entity&about=amazon": ["who"],
    "questions?unit=users&unit=USD": ["many"],
    "questions?varies=true&varies=false": ["when", "who", "many", "which", "dropped"],
    "questions?agreement=open&agreement=single-origin&status=asserted": ["when", "who", "many", "which"],
    "questions?agreement=open&agreement=agreed": ["dropped"],
}


@pytest.mark.parametrize("url", OTHERS)
def test_entities_sources_and_questions_are_filtered_too(world: Served, url: str) -> None:
    assert sorted(_ids(world, f"/v1/{url}")) == sorted(OTHERS[url])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("order", "key", "is_reversed"), [
    ("recorded", "first_position", False), ("-recorded", "first_position", True),
    ("revised", "position", False), ("-revised", "position", True),
])  # fmt: skip
def test_lists_stand_in_the_order_asked_for_however_they_are_paged(
    world: Served, kind: str, order: str, key: str, is_reversed: bool
) -> None:
    whole = world.get(f"/v1/{kind}?limit=500&order={order}").json()["items"]
    assert whole == sorted(whole, key=lambda item: item[key], reverse=is_reversed)
    assert [item["id"] for item in whole] == _ids(world, f"/v1/{kind}?limit=1&order={order}")
    assert [item["id"] for item in whole] == _ids(world, f"/v1/{kind}?limit=4&order={order}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_shows_what_a_read_of_each_record_shows(world: Served, kind: str) -> None:
    for item in world.get(f"/v1/{kind}?limit=500").json()["items"]:
        assert item == world.get(f"/v1/{kind}/{item['id']}").json()


@pytest.mark.parametrize("order", ["recorded", "-recorded", "revised", "-revised"])
def test_pages_equal_the_snapshot_whatever_is_appended_between_them(world: Served, order: str) -> None:
    url = f"/v1/entities?order={order}&status=asserted"
    snapshot, position = _ids(world, f"{url}&limit=500"), world.head()
    found, following = list[str](), f"{url}&limit=2"
    while following:
        page = world.get(following).json()
        assert page["position"] == position
        found += [item["id"] for item in page["items"]]
        following = page["next"]
        revision = world.get("/v1/entities/amazon").json()["revision"]
        world.append(an_entity(), revise("entity", "amazon", expect=revision, note=f"Note {revision}"))
    assert found == snapshot


def test_next_is_relative_and_pins_the_position(world: Served) -> None:
    page = world.get("/v1/claims?limit=2&q=parler%20went&status=asserted").json()
    assert (
        page["next"]
        == f"/v1/claims?limit=2&q=parler+went&status=asserted&as_of={page['position']}&cursor="
        + page["next"].rpartition("=")[2]
    )
    assert world.get("/v1/claims?limit=500").json()["next"] is None
    assert world.get("/v1/claims?%61s_of=30&limit=1").json()["next"].count("as_of") == 1


def test_every_number_is_a_valid_place_to_start(world: Served) -> None:
    for cursor in ("0", "1", "17", "9999999999999999"):
        items = world.get(f"/v1/claims?cursor={cursor}&limit=500").json()["items"]
        assert [item["id"] for item in items] == [
            item["id"]
            for item in world.get("/v1/claims?limit=500").json()["items"]
            if item["first_position"] > int(cursor)
        ]
    for cursor in ("0.0", "-999999999999999999.5", "999999999999999999.9999999999999999"):
        assert world.get(f"/v1/timeline?cursor={cursor}").status_code == 200


def test_limits_have_a_default_and_bounds(world: Served) -> None:
    world.append(*(an_entity() for _ in range(60)))
    assert len(world.get("/v1/entities").json()["items"]) == 50
    assert len(world.get("/v1/entities?limit=1").json()["items"]) == 1
    assert len(world.get("/v1/entities?limit=500").json()["items"]) > 60
    for limit in ("0", "501"):
        refused(world.get(f"/v1/entities?limit={limit}"), 400, "bad-parameter", parameter="limit")


def test_two_hundred_ids_may_be_asked_for_at_once(world: Served) -> None:
    made = [an_id("many") for _ in range(200)]
    world.append(*(an_entity(public_id) for public_id in made))
    query = "&".join(f"id={public_id}" for public_id in made)
    for limit in ("", "limit=1&", "limit=500&"):
        page = world.get(f"/v1/entities?{limit}{query}").json()
        assert ([item["id"] for item in page["items"]], page["next"]) == (made, None)
    refused(world.get(f"/v1/entities?{query}&id=one-more"), 400, "bad-parameter", parameter="id")


def test_only_the_fields_asked_for_are_shown_and_the_id(world: Served) -> None:
    for item in world.get("/v1/claims?fields=statement,stance").json()["items"]:
        assert list(item) == ["id", "statement", "stance"]
    assert list(world.get("/v1/claims?fields=id").json()["items"][0]) == ["id"]
    names = ",".join(name for name in world.get("/v1/claims/c-1").json())
    assert world.get(f"/v1/claims?id=c-1&fields={names}").json()["items"] == [world.get("/v1/claims/c-1").json()]
    refused(world.get("/v1/claims?fields=secret"), 400, "bad-parameter", parameter="fields")


def test_a_filter_takes_fifty_values_and_next_keeps_them_all(world: Served) -> None:
    many = "&".join(f"speaker=nobody-{number}" for number in range(48))
    assert _ids(world, f"/v1/claims?{many}&speaker=matze&speaker=parler&limit=1") == ["c-2", "c-6"]
    page = world.get(f"/v1/claims?{many}&speaker=matze&speaker=parler&limit=1").json()
    assert page["next"].count("speaker=") == 50
    refused(
        world.get(f"/v1/claims?{many}&speaker=matze&speaker=parler&speaker=aws"),
        400,
        "bad-parameter",
        parameter="speaker",
    )
    for bad in ("stance=asserts&stance=shouts", "speaker=matze&speaker=", "source=a,b", "varies=true&varies=yes"):
        kind = "questions" if "varies" in bad else "claims"
        refused(world.get(f"/v1/{kind}?{bad}"), 400, "bad-parameter", parameter=bad.partition("=")[0])
    for once in (
        "limit=1",
        "order=recorded",
        "q=parler",
        "mode=certain",
        "include=source",
        "fields=id",
        "published_by=2021",
    ):
        refused(world.get(f"/v1/claims?{once}&{once}"), 400, "bad-parameter", parameter=once.partition("=")[0])


def test_a_filter_that_takes_several_values_is_declared_as_a_list(world: Served) -> None:
    document = world.get("/openapi.json").json()
    named = document["components"]["parameters"]
    for path in (*(f"/v1/{kind}" for kind in KINDS), "/v1/timeline"):
        parameters = [
            named[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
            for each in document["paths"][path]["get"]["parameters"]
        ]
        lists = {each["name"]: each for each in parameters if each["schema"].get("type") == "array"}
        kind = next((kind for kind in RECORDED.values() if kind.path == path), RECORDED["claim"])
        assert lists.keys() >= {each.name for each in kind.filters} & {each["name"] for each in parameters}
        for name, each in lists.items():
            # What OpenAPI 3.1 says of a query where neither is stated: form, each value in a parameter of its own.
            assert not each.keys() & {"style", "explode"}
            assert each["schema"]["maxItems"] == (200 if name == "id" else 50)


def test_facets_count_what_any_of_several_values_finds(world: Served) -> None:
    page = world.get("/v1/claims?source=paper&source=reprint&stance=asserts&stance=alleges&facets=source,stance").json()
    assert page["facets"] == {
        "source": [{"value": "paper", "count": 4}, {"value": "reprint", "count": 1}],
        "stance": [{"value": "asserts", "count": 4}, {"value": "alleges", "count": 1}],
    }
    assert sum(each["count"] for each in page["facets"]["stance"]) == len(page["items"])


FACETED: dict[str, list[str]] = {
    "claims": ["stance", "status", "speaker", "source", "question", "answer_type", "entity", "via", "relation"],
    "sources": ["type", "status", "publisher", "language", "part_of", "derives_from", "authors"],
    "questions": ["answer_type", "status", "unit", "varies", "about", "agreement"],
    "entities": ["type", "status", "part_of"],
}


@pytest.mark.parametrize("kind", FACETED)
def test_facets_count_the_whole_selection_and_agree_with_the_filters(world: Served, kind: str) -> None:
    query = "status=asserted" if kind != "claims" else "status=asserted&valid_at=2021-01-11&published_by=2021"
    facets = world.get(f"/v1/{kind}?limit=1&facets={','.join(FACETED[kind])}&{query}").json()["facets"]
    assert list(facets) == FACETED[kind]
    for name, values in facets.items():
        assert [value["count"] for value in values] == sorted((value["count"] for value in values), reverse=True)
        for value in values if name not in ("status", "authors") else ():
            assert len(_ids(world, f"/v1/{kind}?{query}&{name}={value['value']}")) == value["count"], (name, value)


def test_facets_follow_the_ledgers_clock(world: Served) -> None:
    before = world.get("/v1/claims/c-9").json()["first_position"]
    for position, expected in ((before, {"asserted": 9}), (world.head(), {"asserted": 8, "retracted": 1})):
        page = world.get(f"/v1/claims?facets=status&as_of={position}").json()
        assert {value["value"]: value["count"] for value in page["facets"]["status"]} == expected


def test_sources_come_along_on_request(world: Served) -> None:
    page = world.get("/v1/claims?question=when&include=source").json()
    assert set(page["sources"]) == {item["source"] for item in page["items"]}
    assert page["sources"]["paper"] == world.get("/v1/sources/paper").json()
    assert "sources" not in world.get("/v1/claims").json()
    alone = world.get("/v1/claims/c-2?include=source")
    assert alone.json()["sources"] == {"reprint": world.get("/v1/sources/reprint").json()}
    assert alone.headers["etag"].startswith("W/"), "it changes with the source too"
    pinned = world.get(
        f"/v1/claims?source=comment&include=source&as_of={world.get('/v1/claims/c-9').json()['first_position']}"
    ).json()
    assert pinned["sources"]["comment"]["revision"] == 1


def test_the_empty_ledger_has_empty_lists(world: Served) -> None:
    for kind in KINDS:
        for moment in ("0", "1970-01-01T00:00:00Z"):
            page = world.get(f"/v1/{kind}?as_of={moment}").json()
            assert (page["items"], page["next"], page["position"]) == ([], None, 0)


STRANGE = [("entities", "published_by=2021"), ("entities", "valid_at=2021"), ("entities", "live=true"), ("entities", "include=source"),
           ("entities", "order=published"), ("questions", "order=published"), ("claims", "order=agreement"), ("sources", "facets=agreement"),
           ("sources", "include=agreement"), ("questions/when", "include=agreement"), ("claims/c-1/revisions/1", "fields=id"),
           ("sources", "valid_at=2021"), ("sources", "stance=asserts"), ("questions", "live=true"), ("questions", "source=paper"),
           ("claims", "agreement=disputed"), ("claims", "offset=5"), ("claims", "page=2"), ("timeline", "order=recorded"), ("timeline", "live=true"),
           ("timeline", "facets=stance"), ("stats", "limit=5"), ("claims/c-1/links", "order=recorded"), ("claims/c-1/revisions/1", "as_of=5")]  # fmt: skip


@pytest.mark.parametrize(("path", "query"), STRANGE)
def test_a_parameter_that_means_nothing_there_is_refused(world: Served, path: str, query: str) -> None:
    name = query.partition("=")[0]
    refused(world.get(f"/v1/{path}?{query}"), 400, "bad-parameter", parameter=name)
