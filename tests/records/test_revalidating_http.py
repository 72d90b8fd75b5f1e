"""What was redacted is shown to nobody who asks again with the tag that they hold: over every read of the contract.

Which reads those are, and how they may be asked, is taken from the OpenAPI document.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from openapi import lint
from tests.support.builders import Operation, a_claim, a_question, a_source, an_entity, link, revise
from tests.support.served import Served

KINDS = {"entities": "entity", "sources": "source", "questions": "question", "claims": "claim"}
# These say nothing that a record says: what the service is, who writes, and proofs. What a redaction says stays.
SAYS_NOTHING = {
    "getService", "listActors", "getActor", "getStats", "listRedactions", "getRedaction", "proveEvent", "proveConsistency",
    "listQuestionConflicts", "diffLedger", *(f"prove{kind.title()}Revision" for kind in KINDS.values()),
    *(f"get{kind.title()}TimeMap" for kind in KINDS.values()),
}  # fmt: skip
FACETS = {"entities": "type", "sources": "authors,publisher", "questions": "unit,about", "claims": "speaker,source"}
# What is redacted, one after another: first what each said at first, then all of it, what others rest on at last.
STEPS = [*((kind, 1) for kind in ("source", "claim", "question", "entity")),
         *((kind, None) for kind in ("source", "entity", "claim", "question"))]  # fmt: skip


def _word(kind: str, revision: int) -> str:
    return f"zq{kind}{revision}zq"


def _records() -> list[Operation]:
    """One of each kind, its first revision and its second full of words of their own, and what shows them in passing."""
    said = {kind: [_word(kind, revision) for revision in (1, 2)] for kind in KINDS.values()}
    of_it = {"source": "the-source", "question": "the-question"}
    recorded = {
        "entity": an_entity("the-entity", name=said["entity"][0], names={"fr": said["entity"][0]}),
        "source": a_source("the-source", title="X", authors=[said["source"][0]], publisher="the-entity"),
        "question": a_question("the-question", about="the-entity", text=said["question"][0]),
        "claim": a_claim("the-claim", **of_it, statement=said["claim"][0], speaker="the-entity"),
    }
    revised = {
        "entity": {"name": said["entity"][1], "names": {"fr": said["entity"][1]}},
        "source": {"authors": [said["source"][1]]},
        "question": {"text": said["question"][1]},
        "claim": {"statement": said["claim"][1]},
    }
    return [
        *({**operation, "reason": f"Since {said[kind][0]}"} for kind, operation in recorded.items()),
        a_claim("other", **of_it, answer={"type": "time", "edtf": "2021-01-20"}),
        *(revise(kind, f"the-{kind}", reason=said[kind][1], **changes) for kind, changes in revised.items()),
        link("the-claim", "contradicts", "other", reason=_word("claim", 3)),
    ]


def _addresses(operation: dict[str, Any], template: str, head: int) -> Iterator[str]:
    """Give every way in which an operation may be asked for what the records say, now and as they were."""
    names = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}
    plural = template.split("/")[2] if template.startswith("/v1/") else ""
    ids = [f"the-{KINDS[plural]}"] if plural in KINDS else ["nobody"]
    values = {"id": ids, "n": ["1", "2"], "position": [str(each) for each in range(1, head + 1)]}
    places = [values[name] for name in re.findall(r"{(\w+)}", template)]
    options: list[list[str]] = [[""]]
    if "as_of" in names:
        options.append(["", *(f"as_of={position}" for position in (head - 5, head))])
    for name, given in {"exact": "true", "state": "false", "group": "0"}.items():
        if name in names:
            options.append(["", f"{name}={given}"])
    options += [
        ["", *(f"include={name}" for name in re.findall(r"[a-z]+", parameter["schema"]["pattern"].partition(")")[0]))]
        for parameter in operation["parameters"]
        if parameter["name"] == "include"
    ]
    if "facets" in names:
        options.append(["", f"facets={FACETS[plural]}"])
    if operation["operationId"] == "search":
        options.append(["q=" + "+".join(_word(kind, revision) for kind in KINDS.values() for revision in (1, 2))])
    if "from" in names:
        options.append(["from=1&to=2"])
    if "limit" in names:
        options.append(["limit=500"])
    for place, chosen in itertools.product(itertools.product(*places), itertools.product(*options)):
        query = "&".join(filter(None, chosen))
        yield re.sub(r"{\w+}", "{}", template).format(*place) + (f"?{query}" if query else "")


@pytest.fixture(scope="module")
def asked(served: Served) -> dict[str, list[str]]:
    """Every address of every read that bears a tag, by operation."""
    head = served.append(*_records())
    return {
        operation["operationId"]: list(_addresses(operation, where.removeprefix("GET "), head))
        for where, operation in lint.operations(served.get("/openapi.json").json())
        if any(each["name"] == "If-None-Match" for each in operation["parameters"])
    }


def test_what_was_redacted_is_in_no_answer_to_who_holds_the_tag_of_one_in_which_it_was(
    served: Served, asked: dict[str, list[str]]
) -> None:
    held = {address: served.get(address) for addresses in asked.values() for address in addresses}
    words = [_word(kind, revision) for kind in KINDS.values() for revision in (1, 2)] + [_word("claim", 3)]
    for operation, addresses in asked.items():
        is_said = any(word in held[address].text for word in words for address in addresses)
        assert is_said is (operation not in SAYS_NOTHING), operation
    gone: set[str] = set()
    for kind, last in STEPS:
        body = {"kind": kind, "id": f"the-{kind}", "basis": "court-order", "reason": "Order 12/3", "last": last}
        assert served.post("/v1/redactions", body).status_code == 201
        gone |= {word for word in words if word.startswith(f"zq{kind}{last or ''}")}
        for address, before in held.items():
            tag = before.headers.get("etag")
            again = served.get(address, **({"If_None_Match": tag} if tag else {}))
            shown = before if again.status_code == 304 else again
            assert not [word for word in gone if word in shown.text], f"{address}, {kind} {last}: {again.status_code}"
            held[address] = shown


def test_a_tag_held_of_an_answer_that_says_what_it_said_is_still_good_after_a_redaction_elsewhere(
    served: Served, asked: dict[str, list[str]]
) -> None:
    """Or whoever answered 200 to everything would keep the rule above."""
    served.append(an_entity("kept"), an_entity("removed"))
    kept = {
        address: served.get(address).headers["etag"] for address in ("/v1/entities/kept", "/v1/events/2/proof?size=3")
    }
    body = {"kind": "entity", "id": "removed", "basis": "court-order", "reason": "Order 12/3"}
    assert served.post("/v1/redactions", body).status_code == 201
    for address, tag in kept.items():
        assert served.get(address, If_None_Match=tag).status_code == 304, address
