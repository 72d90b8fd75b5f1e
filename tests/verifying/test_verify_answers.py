"""`ledger verify URL` holds all that is served to what the log adds up to: whoever rewrites an answer is found out."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.builders import a_claim, a_question, a_source, an_entity, ground, link, retract, revise
from tests.support.served import migrated
from tests.support.witnessing import ledger
from tests.verifying.lying import Lie
from tests.verifying.test_verify_url import Seen, redact, send

Change = Callable[[Any], Any]


# It is asked from outside, by HTTP alone: all of it on either database would be the same minute twice.
@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A small ledger with something of everything: states of agreement, links, revisions, and redactions of three sorts."""
    with migrated(request, request.param, tmp_path_factory.mktemp("seen")) as settings, ledger(settings) as serving:
        said = {"source": "paper", "question": "offline-when"}
        send(serving, *ground(), a_source("wire", published="2021-01-12"), an_entity("aws", type="company", name="Étè"))
        send(serving, a_question("users", about="parler", answer_type="text"), a_question("open", about="aws"))
        later = {"type": "time", "edtf": "2021-02"}
        send(
            serving,
            a_claim("a", **said),
            a_claim("b", source="wire", question="offline-when", speaker="aws"),
            a_claim("c", source="wire", question="open", answer=later),
            a_claim("d", **said),
            a_claim("e", **said),
        )
        send(serving, revise("claim", "a", expect=1, note="Read again"), link("b", "corroborates", "a", expect=1))
        send(
            serving, revise("entity", "aws", expect=1, name="Amazon Web Services"), retract("source", "wire", expect=1)
        )
        redact(serving, {"kind": "claim", "id": "a", "first": 1, "last": 1})
        redact(serving, {"kind": "claim", "id": "d"})
        redact(serving, {"kind": "claim", "id": "e", "erase_id": True})
        yield Seen(serving, "", None)  # type: ignore[arg-type]


def changing(fits: Callable[[str], bool], change: Change) -> Lie:
    """Change the JSON of the answers whose address fits."""

    def lie(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        if status != 200 or not fits(path):
            return status, body
        return status, json.dumps(change(json.loads(body))).encode()

    return lie


def below(path: str) -> Callable[[str], bool]:
    return lambda asked: asked.startswith(path)


def without(*names: str) -> Callable[[str], bool]:
    """Fit addresses that hold the first and none of the others."""
    return lambda asked: names[0] in asked and not any(name in asked for name in names[1:])


def put(member: str, value: Any) -> Change:
    return lambda told: {**told, member: value} if isinstance(told, dict) else told


def first(change: Change, member: str = "items") -> Change:
    return lambda told: {**told, member: [change(told[member][0]), *told[member][1:]]} if told.get(member) else told


def dropped(member: str = "items") -> Change:
    return lambda told: {**told, member: told[member][:-1]} if told.get(member) else told


def everywhere(member: str, value: Any) -> Change:
    """Put a value wherever a member of that name stands."""

    def changed(told: Any) -> Any:
        if isinstance(told, list):
            return [changed(each) for each in told]
        if isinstance(told, dict):
            return {name: value if name == member else changed(each) for name, each in told.items()}
        return told

    return changed


def answering_instead(path: str, status: int) -> Lie:
    return lambda asked, was, body: (status, b"{}") if asked.startswith(path) else (was, body)


def test_an_honest_ledger_is_sound(seen: Seen) -> None:
    verdict, told = seen.look(sample=None)
    assert told == []
    assert verdict.sentence().startswith("sound: ")
    assert verdict.compared > 300


# All are told at once, for no two of them touch the same answers; and where each must be found.
LIES: list[tuple[Lie, str]] = [
    # What is hidden from searches: whichever word it is, for every word that the log holds is looked for.
    (changing(lambda path: "q=servic" in path, put("items", [])), "q=servic"),
    # Answers.
    (changing(without("/answers", "as_of"), put("conflict_count", 9)), "at /conflict_count"),
    (changing(without("/answers?", "group="), everywhere("state", "agreed")), "/answers?"),
    (changing(without("group=0"), put("conflict_count", 9)), "group=0"),
    (changing(without("/conflicts?"), put("items", ["x"])), "/conflicts?"),
    (changing(below("/v1/questions?agreement=disputed"), put("items", [{"id": "users"}])), "agreement=disputed"),
    (changing(below("/v1/questions?limit=500"), everywhere("text", "Forged")), "at /items/0/text"),
    # The feed and records.
    (changing(below("/v1/events?after=0"), first(put("reason", "Forged"))), "/v1/events?after=0"),
    (changing(below("/v1/events?kind=claim"), dropped()), "/v1/events?kind=claim"),
    (changing(below("/v1/events?type="), first(put("actor", None))), "/v1/events?type="),
    (changing(below("/v1/events?state=false"), first(put("fields", ["note"]))), "/v1/events?state=false"),
    (changing(lambda path: path == "/v1/claims/a", put("note", "Forged")), "/v1/claims/a says"),
    (changing(below("/v1/claims/b?as_of"), put("note", "Forged")), "/v1/claims/b?as_of"),
    (changing(below("/v1/claims/b/revisions/1"), put("stance", "doubts")), "/v1/claims/b/revisions/1 says"),
    (changing(below("/v1/claims/b/revisions?"), first(put("reason", "Forged"))), "at /items/0/reason"),
    (changing(below("/v1/claims/a/revisions?"), dropped()), "/v1/claims/a/revisions?"),
    (changing(below("/v1/claims/b/links"), put("outgoing", [])), "/v1/claims/b/links"),
    (changing(below("/v1/claims/a/links"), put("incoming", [])), "/v1/claims/a/links"),
    (changing(below("/v1/entities/aws/diff"), lambda _: []), "/v1/entities/aws/diff"),
    (changing(below("/v1/entities/aws/timemap"), dropped("mementos")), "/v1/entities/aws/timemap"),
    (changing(below("/v1/claims/b/timemap"), first(put("datetime", "2020"), "mementos")), "/v1/claims/b/timemap"),
    (changing(without("/v1/redactions/"), put("basis", "safety, truly")), "/v1/redactions/"),
    # Lists.
    (changing(below("/v1/claims?limit=500"), dropped()), "/v1/claims?limit=500"),
    (changing(below("/v1/claims?order=-revised"), dropped()), "order=-revised"),
    (changing(below("/v1/sources?limit=500"), first(put("title", "Forged"))), "at /items/0/title"),
    (changing(below("/v1/claims?live=false"), dropped()), "live=false"),
    (changing(below("/v1/claims?stance=asserts"), dropped()), "/v1/claims?stance=asserts"),
    (changing(below("/v1/claims?question="), dropped()), "/v1/claims?question="),
    (changing(without("facets="), everywhere("count", 7)), "facets="),
    (changing(below("/v1/timeline"), dropped()), "/v1/timeline"),
    (changing(below("/v1/diff?from=0"), first(put("change", "retracted"))), "/v1/diff?from=0"),
    (changing(lambda path: path == "/v1/stats", everywhere("claim.stance", {})), "/v1/stats says"),
    (changing(below("/v1/redactions?"), dropped()), "/v1/redactions?"),
    # What is hidden, and what should be.
    (answering_instead("/v1/claims/c?", 404), "/v1/claims/c?as_of=20 answered 404, and by the log it is 200"),
    (answering_instead("/v1/entities/aws?", 302), "aws?as_of=20 answered 302, and by the log it is 200"),
    (answering_instead("/v1/entities/parler?", 500), "parler?as_of=20 answered 500, and by the log it is 200"),
    (answering_instead("/v1/claims/d?", 200), "/v1/claims/d?as_of=20 answered 200, and by the log it is 410"),
    (answering_instead("/v1/claims/d/timemap", 404), "/v1/claims/d/timemap answered 404, and by the log it is 410"),
    (answering_instead("/v1/claims/a/revisions/1", 200), "/revisions/1 answered 200, and by the log it is 410"),
]  # fmt: skip


def test_every_rewritten_answer_is_found(seen: Seen) -> None:
    def lie(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        for each, _ in LIES:
            status, body = each(path, status, body)
        return status, body

    told = seen.look(lie, sample=None)[1]
    missed = [where for _, where in LIES if not any(where in each.what for each in told)]
    assert not missed, told


def test_a_lie_about_the_past_alone_is_found(seen: Seen) -> None:
    """The present is told truly, and every past position is not."""
    size = int(seen.serving.client.get("/tlog/checkpoint").text.split("\n")[1])

    def is_past(path: str) -> bool:
        return "as_of=" in path and f"as_of={size}" not in path

    told = seen.look(changing(is_past, put("position", size)), sample=5)[1]
    assert told


def test_an_answer_of_a_position_that_is_never_signed_is_found(seen: Seen) -> None:
    """A server may go on while it is asked, but not in words alone."""

    def is_of_now(path: str) -> bool:
        return path == "/v1/stats" or (path.startswith("/v1/claims/") and path.count("/") == 3 and "?" not in path)

    told = seen.look(changing(is_of_now, put("position", 9999)), sample=10)[1]
    assert [str(each) for each in told] == [
        "position 9999: answers are given of position 9999, which no checkpoint signs"
    ]


def test_a_ledger_that_is_written_meanwhile_is_sound(seen: Seen) -> None:
    verdict, told = seen.look(writing_to(seen), sample=None)
    assert told == []
    assert "answers that tell of what was recorded since" in verdict.sentence()


def writing_to(seen: Seen) -> Lie:
    """Let something be recorded, and what is there be revised, again and again."""
    asked: list[str] = []

    def lie(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        asked.append(path)
        if len(asked) % 40 == 0:
            send(seen.serving, an_entity())
            answer = seen.serving.client.post(
                "/v1/entities/parler/revisions",
                json={"action": "revise", "reason": "Again", "changes": {"note": f"{len(asked)}"}},
                headers={"If-Match": "*"},
            )
            assert answer.status_code == 201, answer.text
        return status, body

    return lie
