"""The editor's tools: what `ledger lint` finds wanting, one case a rule, and the coverage of the documents."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from api.__main__ import main
from api.curation import corpus, coverage, documents, lint
from api.curation.coverage import READING, Reading
from api.domain.errors import Misconfigured
from api.domain.text import locator

TEXT = (
    "Parler went dark on Monday, said its head, who would not say\u00a0more than that to us.\n\nA second paragraph.\n"
)
SHA = hashlib.sha256(TEXT.encode()).hexdigest()
WHERE = {"paragraph": 1, "sha256": locator(TEXT.split("\n", maxsplit=1)[0])}
GOOD: dict[str, dict[str, Any]] = {
    "parler": {"op": "record", "kind": "entity", "id": "parler", "body": {"type": "platform", "name": "Parler"}},
    "paper-20210111": {
        "op": "record", "kind": "source", "id": "paper-20210111",
        "body": {"type": "article", "title": "Parler is away", "published": "2021-01-11",
                 "captures": [{"sha256": SHA, "bytes": len(TEXT.encode()), "completeness": "full"}]},
    },
    "parler-offline-when": {
        "op": "record", "kind": "question", "id": "parler-offline-when",
        "body": {"about": ["parler"], "text": "When did Parler go offline?", "answer_type": "time"},
    },
    "paper-20210111--parler-offline-when": {
        "op": "record", "kind": "claim", "id": "paper-20210111--parler-offline-when",
        "body": {"source": "paper-20210111", "question": "parler-offline-when", "locator": WHERE,
                 "statement": "Parler could not be reached from Monday on.", "answer": {"type": "time", "edtf": "2021-01-11"}},
    },
}  # fmt: skip
CLAIM = "paper-20210111--parler-offline-when"


def changed(**bodies: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the good operations with members of some bodies replaced; ids are written with underscores."""
    found = {name: {**operation, "body": {**operation["body"]}} for name, operation in GOOD.items()}
    for name, members in bodies.items():
        found[{"claim": CLAIM}.get(name, name.replace("_", "-"))]["body"].update(members)
    return list(found.values())


def a_question(name: str, answer_type: str, **members: Any) -> dict[str, Any]:
    body = {"about": ["parler"], "text": f"What of {name}?", "answer_type": answer_type, **members}
    return {"op": "record", "kind": "question", "id": name, "body": body}


def a_claim(question: str, answer: dict[str, Any], *, number: int = 1, **members: Any) -> dict[str, Any]:
    name = f"paper-20210111--{question}" + (f"-{number}" if number > 1 else "")
    body = {"source": "paper-20210111", "question": question, "statement": f"It is so, {number}.", "answer": answer}
    return {"op": "record", "kind": "claim", "id": name, "body": {**body, "locator": WHERE, **members}}


def on(question: dict[str, Any], *claims: dict[str, Any]) -> list[dict[str, Any]]:
    return [*changed(), question, *claims]


def amount(unit: str, number: str) -> list[dict[str, Any]]:
    answer = {"type": "quantity", "amount": number, "unit": unit}
    return on(a_question("how-many", "quantity", unit=unit), a_claim("how-many", answer))


def written(folder: Path, operations: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "1.ndjson"
    path.write_text("".join(json.dumps(operation) + "\n" for operation in operations), encoding="utf-8")
    return path


def findings(folder: Path, operations: list[dict[str, Any]]) -> list[lint.Finding]:
    return lint.lint(corpus.read([written(folder, operations)], lambda *_: None))


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


YES, NO = {"type": "boolean", "value": True}, {"type": "boolean", "value": False}
TWO = [a_claim("is-it", YES), a_claim("is-it", NO, number=2)]
GAB = {"op": "record", "kind": "entity", "id": "gab", "body": {"type": "platform", "name": "Gab"}}
UNREAD = {"op": "record", "kind": "source", "id": "post", "body": {"type": "social-post", "title": "A post"}}
SIX = 'It was "one two three four five six" they said.'


@pytest.mark.parametrize(("operations", "rule"), [
    (changed(claim={"statement": SIX}), "own-words"),
    (changed(claim={"statement": "Ils ont dit « un deux trois quatre cinq six »."}), "own-words"),
    (changed(parler_offline_when={"note": SIX}), "own-words"),
    (changed(paper_20210111={"note": SIX}), "own-words"),
    (changed(claim={"statement": "No full stop"}), "sentence"),
    (changed(claim={"locator": None}), "located"),
    ([*changed()[:-1], {**GOOD[CLAIM], "id": "other--parler-offline-when"}], "named"),
    (on(a_question("is-it", "boolean", varies=True), a_claim("is-it", YES)), "dated"),
    (changed(claim={"answer": {"type": "time", "edtf": "1821-01-11"}}), "plausible"),
    (changed(claim={"answer": {"type": "time", "edtf": "2221-01-11"}, "stance": "predicts"}), "plausible"),
    (amount("accounts", "1.5"), "plausible"),
    (amount("rank", "0"), "plausible"),
    (amount("percent", "100001"), "plausible"),
    (amount("USD", "-1"), "plausible"),
    (changed(claim={"answer": {"type": "time", "edtf": "2021-01-14"}}), "foreseen"),
    (on(a_question("is-it", "boolean"), a_claim("is-it", YES, valid="2021-02")), "foreseen"),
    (changed(claim={"statement": "Parler alleges that it went offline."}), "labelled"),
    (changed(claim={"statement": "It is accused of going offline."}), "labelled"),
    (on(a_question("is-it", "boolean"), a_claim("is-it", YES), a_claim("is-it", YES, number=2)), "once"),
    (on(a_question("is-it", "boolean", note="Disputed: yes and no."), TWO[0], {**TWO[1], "body": {**TWO[1]["body"], "statement": "It is so, 1."}}), "once"),
    ([*changed(), UNREAD], "used-source"),
    (changed(paper_20210111={"captures": []}), "used-source"),
    (on(a_question("is-it", "boolean")), "answered"),
    (on(a_question("is-it", "boolean"), *TWO), "reviewed"),
    (changed(parler_offline_when={"note": "Disputed: by nobody."}), "reviewed"),
    ([*changed(), GAB], "used-entity"),
])  # fmt: skip
def test_what_is_wanting_is_found_and_nothing_else(tmp_path: Path, operations: list[dict[str, Any]], rule: str) -> None:
    found = findings(tmp_path, operations)
    assert [each.rule for each in found] == [rule], list(map(str, found))
    assert found[0].place.startswith("1.ndjson:")


@pytest.mark.parametrize("operations", [
    changed(),
    changed(claim={"statement": 'It was "one two three four five" they said.'}),
    changed(paper_20210111={"title": f"A title may quote: {SIX}"}),
    amount("rank", "1"),
    amount("percent", "100000"),
    changed(claim={"answer": {"type": "time", "edtf": "2021-01-14"}, "stance": "predicts"}),
    changed(claim={"answer": {"type": "time", "edtf": "../2021-01-11"}}),
    changed(claim={"statement": "Parler alleges that it went offline.", "stance": "alleges"}),
    changed(parler_offline_when={"text": "When is Parler alleged to have gone?"}, claim={"statement": "It is accused."}),
    on(a_question("is-it", "boolean", note="Disputed: yes and no."), *TWO),
    on(a_question("x-deadline-when", "time"), a_claim("x-deadline-when", {"type": "time", "edtf": "2021-02"})),
    [changed()[0], UNREAD, *changed(claim={"via": ["post"]})[1:]],
    [GAB, *changed(parler={"part_of": "gab"})],
    on(a_question("is-it", "boolean"), TWO[0],
       {"op": "retract", "kind": "claim", "id": TWO[0]["id"], "expect": 1, "reason": "Not there"}, TWO[1]),
])  # fmt: skip
def test_what_is_right_is_passed(tmp_path: Path, operations: list[dict[str, Any]]) -> None:
    assert findings(tmp_path, operations) == []


def test_the_command_prints_findings_with_their_place_and_fails(tmp_path: Path) -> None:
    good, bad = written(tmp_path / "good", changed()), written(tmp_path / "bad", changed(claim={"locator": None}))
    assert run("lint", good.parent).exit_code == 0
    told = run("lint", bad)
    assert told.exit_code == 1
    assert told.stdout.splitlines() == [
        f"1.ndjson:4 {CLAIM}: no locator says where the source makes the claim (located)",
        "1 findings in 1 claims on 1 questions",
    ]
    bad.write_text("{}\n", encoding="utf-8")
    assert "1.ndjson:1" in run("lint", bad).stderr
    assert run("lint", tmp_path / "nothing").exit_code == 2


@pytest.mark.parametrize(("members", "rules"), [
    ({}, []),
    ({"locator": {**WHERE, "paragraph": 2}}, ["placed"]),
    ({"locator": {**WHERE, "paragraph": 3}}, ["placed"]),
    ({"locator": {**WHERE, "sha256": "0" * 64}}, ["placed"]),
    ({"statement": "On Monday, said its head, who WOULD not say more."}, ["own-words"]),
    ({"statement": "On Monday, said its head, who would tell no more."}, []),
])  # fmt: skip
def test_claims_are_held_to_the_documents_that_are_there(
    tmp_path: Path, members: dict[str, Any], rules: list[str]
) -> None:
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies/any-name.txt").write_bytes(TEXT.encode())
    found = corpus.read([written(tmp_path, changed(claim=members))], lambda *_: None)
    assert [each.rule for each in documents.check(found, documents.find(tmp_path / "copies"))] == rules
    assert list(documents.check(found, {})) == []


def test_coverage_names_claims_and_reasons_and_refuses_a_gap(tmp_path: Path) -> None:
    path = written(tmp_path, changed())
    found = corpus.read([path], lambda *_: None)
    whole = {"paper-20210111": Reading(paragraphs=2, unclaimed={"2": "Says nothing."})}
    assert f"| 1 | `{CLAIM}` |\n| 2 | none: Says nothing. |" in coverage.render(found, whole)
    assert "| paper-20210111 |  | full | 1 |" in coverage.render(found, {})
    for reading in (Reading(paragraphs=2), Reading(paragraphs=2, unclaimed={"1": "No.", "2": "No."})):
        with pytest.raises(Misconfigured, match=r"paragraph [12]"):
            coverage.render(found, {"paper-20210111": reading})
    with pytest.raises(Misconfigured, match="no source"):
        coverage.render(found, {"nobody": Reading(paragraphs=1)})
    assert run("coverage", tmp_path).exit_code == 1
    (tmp_path / READING).write_text('{"paper-20210111": {"paragraphs": 1}}', encoding="utf-8")
    assert run("coverage", tmp_path).exit_code == 0
