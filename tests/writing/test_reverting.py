"""A batch undone as one: what each type of event turns into, who is named where it cannot be, and that nothing else happens."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from api.domain.errors import LedgerError, NoChange, NotRevertible
from api.domain.records.record import State
from api.ledger.projecting.known_records import stored_record
from api.ledger.writing.reverting import naming_the_record, opposite_of
from api.ledger.writing.unit import Outcome, Unit
from tests.support.auditor import audit
from tests.support.builders import (
    Operation,
    Writing,
    a_claim,
    a_question,
    a_source,
    an_entity,
    an_id,
    link,
    restore,
    retract,
    revise,
    unlink,
)
from tests.support.histories import ground as small_world
from tests.support.histories import histories, sensible
from tests.support.served import Served, refused
from tests.writing.test_prefix import EXAMPLES, _known, fresh, kind

__all__ = ["fresh", "kind"]
C = {"source": "paper", "question": "q-time"}
REASON = {"reason": "Sent by mistake"}
ENTITY, OTHER, CLAIM, TARGET = "entity", "other", "claim", "target"


def _fresh_ids() -> dict[str, str]:
    return {name: an_id(name[0]) for name in (ENTITY, OTHER, CLAIM, TARGET)}


Make = Any
# What there was before, the batch, and the types of the events that undo it; `x` gives the ids of this case.
CASES: dict[str, tuple[Make, Make, list[str]]] = {
    "recorded": (lambda _: [], lambda x: [an_entity(x[ENTITY])], ["retracted"]),
    "recorded and revised": (
        lambda _: [], lambda x: [an_entity(x[ENTITY]), revise("entity", x[ENTITY], name="Two")], ["retracted"],
    ),
    "recorded, and others that stand on it": (
        lambda _: [],
        lambda x: [a_source(x[ENTITY]), a_question(x[OTHER], about="parler"), a_claim(x[CLAIM], source=x[ENTITY], question=x[OTHER])],
        ["retracted", "retracted", "retracted"],
    ),
    "recorded and linked": (
        lambda x: [a_claim(x[TARGET], **C)], lambda x: [a_claim(x[CLAIM], **C), link(x[CLAIM], "repeats", x[TARGET])], ["retracted"],
    ),
    "revised": (
        lambda x: [an_entity(x[ENTITY], note="Old")],
        lambda x: [revise("entity", x[ENTITY], expect=1, note="New", name="Two")],
        ["revised"],
    ),
    "revised three times": (
        lambda x: [an_entity(x[ENTITY])],
        lambda x: [revise("entity", x[ENTITY], expect=1, name="Two"), revise("entity", x[ENTITY], note="x"), revise("entity", x[ENTITY], name="3")],
        ["revised"],
    ),
    "retracted": (
        lambda x: [an_entity(x[ENTITY])], lambda x: [retract("entity", x[ENTITY], expect=1)], ["restored"],
    ),
    "revised and retracted": (
        lambda x: [an_entity(x[ENTITY])],
        lambda x: [revise("entity", x[ENTITY], expect=1, name="Two"), retract("entity", x[ENTITY])],
        ["restored", "revised"],
    ),
    "restored": (
        lambda x: [an_entity(x[ENTITY]), retract("entity", x[ENTITY])],
        lambda x: [restore("entity", x[ENTITY], expect=2)],
        ["retracted"],
    ),
    "restored as it was earlier": (
        lambda x: [an_entity(x[ENTITY]), revise("entity", x[ENTITY], name="Two")],
        lambda x: [restore("entity", x[ENTITY], expect=2, revision=1)],
        ["revised"],
    ),
    "restored as it was earlier, and retracted before": (
        lambda x: [an_entity(x[ENTITY]), revise("entity", x[ENTITY], name="Two"), retract("entity", x[ENTITY])],
        lambda x: [restore("entity", x[ENTITY], expect=3, revision=1)],
        ["revised", "retracted"],
    ),
    "restored, revised and retracted again": (
        lambda x: [an_entity(x[ENTITY]), retract("entity", x[ENTITY])],
        lambda x: [restore("entity", x[ENTITY], expect=2), revise("entity", x[ENTITY], name="Two"), retract("entity", x[ENTITY])],
        ["restored", "revised", "retracted"],
    ),
    "linked": (
        lambda x: [a_claim(x[TARGET], **C), a_claim(x[CLAIM], **C)],
        lambda x: [link(x[CLAIM], "repeats", x[TARGET], expect=1)],
        ["unlinked"],
    ),
    "unlinked": (
        lambda x: [a_claim(x[TARGET], **C), a_claim(x[CLAIM], **C), link(x[CLAIM], "repeats", x[TARGET], reason="Word for word")],
        lambda x: [unlink(x[CLAIM], "repeats", x[TARGET], expect=2)],
        ["linked"],
    ),
    "linked anew for another reason": (
        lambda x: [a_claim(x[TARGET], **C), a_claim(x[CLAIM], **C), link(x[CLAIM], "repeats", x[TARGET], reason="Word for word")],
        lambda x: [unlink(x[CLAIM], "repeats", x[TARGET], expect=2), link(x[CLAIM], "repeats", x[TARGET], reason="Nearly so")],
        ["unlinked", "linked"],
    ),
    "unlinked and linked again as before": (
        lambda x: [a_claim(x[TARGET], **C), a_claim(x[CLAIM], **C), link(x[CLAIM], "repeats", x[TARGET])],
        lambda x: [unlink(x[CLAIM], "repeats", x[TARGET], expect=2), link(x[CLAIM], "repeats", x[TARGET]), revise("claim", x[CLAIM], note="x")],
        ["revised", "unlinked", "linked"],
    ),
    "unlinked from what was then retracted": (
        lambda x: [a_claim(x[TARGET], **C), a_claim(x[CLAIM], **C), link(x[CLAIM], "repeats", x[TARGET])],
        lambda x: [unlink(x[CLAIM], "repeats", x[TARGET], expect=2), retract("claim", x[TARGET], expect=1), revise("claim", x[CLAIM], note="x")],
        ["revised", "restored", "linked"],
    ),
    "linked and retracted": (
        lambda x: [a_claim(x[TARGET], **C), a_claim(x[CLAIM], **C)],
        lambda x: [link(x[CLAIM], "repeats", x[TARGET], expect=1), retract("claim", x[CLAIM])],
        ["restored", "unlinked"],
    ),
    "a part made the whole of what it was a part of": (
        lambda x: [an_entity(x[ENTITY]), an_entity(x[OTHER], part_of=x[ENTITY])],
        lambda x: [
            revise("entity", x[ENTITY], expect=1, note="x"), revise("entity", x[OTHER], expect=1, part_of=None),
            revise("entity", x[ENTITY], part_of=x[OTHER]),
        ],
        ["revised", "revised"],
    ),
    "the same, and touched in another order": (
        lambda x: [an_entity(x[ENTITY]), an_entity(x[OTHER], part_of=x[ENTITY])],
        lambda x: [
            revise("entity", x[OTHER], expect=1, part_of=None), revise("entity", x[ENTITY], expect=1, part_of=x[OTHER]),
            revise("entity", x[OTHER], note="x"),
        ],
        ["revised", "revised"],
    ),
}  # fmt: skip


def _state(served: Served, kind: str, public_id: str) -> State | None:
    """Give a record's state without what tells when it was made."""
    plural = {"entity": "entities"}.get(kind, f"{kind}s")
    found = served.get(f"/v1/{plural}/{public_id}")
    if found.status_code == 404:
        return None
    told = found.json()
    gone = ("revision", "position", "revised_at", "first_position", "recorded_at", "recorded_by")
    return {name: value for name, value in told.items() if name not in gone}


def _post(served: Served, *operations: Operation) -> int:
    """Append a batch, and give its first position."""
    response = served.post("/v1/batch", list(operations))
    assert response.status_code == 201, response.text
    return int(response.json()["items"][0]["position"])


def _types(served: Served, response: Any) -> list[str]:
    first = response.json()["items"][0]["position"]
    items = served.get(f"/v1/events?after={first - 1}&limit=500").json()["items"]
    assert {tuple(item["batch"]) for item in items} == {(first, response.json()["position"])}
    assert {item["reason"] for item in items} == {REASON["reason"]}
    assert [item["position"] for item in items] == [item["position"] for item in response.json()["items"]]
    return [item["type"] for item in items]


@pytest.mark.parametrize("name", CASES)
def test_each_record_is_as_it_was_before_or_retracted_where_the_batch_recorded_it(ground: Served, name: str) -> None:
    before, done, types = CASES[name]
    ids = _fresh_ids()
    if before(ids):
        _post(ground, *before(ids))
    operations = done(ids)
    names = list(dict.fromkeys((each["kind"], each["id"]) for each in operations))
    then = {each: _state(ground, *each) for each in names}
    first = _post(ground, *operations)
    after = {each: _state(ground, *each) for each in names}

    response = ground.post(f"/v1/batch/{first}/revert", REASON)

    assert response.status_code == 201, response.text
    assert response.headers["ledger-position"] == str(response.json()["position"])
    assert _types(ground, response) == types
    for each in names:
        recorded, left = then[each], after[each]
        assert left is not None
        assert _state(ground, *each) == (recorded or {**left, "status": "retracted"}), each


def test_of_links_that_disagree_the_same_one_counts_as_before(ground: Served) -> None:
    claim, target, question = an_id("c"), an_id("c"), an_id("q")
    said = {"source": "paper", "question": question}
    ground.append(
        a_question(question, about="parler"),
        a_claim(target, **said),
        a_claim(claim, **said),
        link(claim, "contradicts", target),
        link(claim, "corroborates", target),
    )
    answers = f"/v1/questions/{question}/answers"
    before = ground.get(answers).json()["state"], _state(ground, "claim", claim)
    assert before[0] != "disputed"

    first = _post(ground, unlink(claim, "contradicts", target, expect=3))
    assert ground.post(f"/v1/batch/{first}/revert", REASON).status_code == 201

    assert (ground.get(answers).json()["state"], _state(ground, "claim", claim)) == before


@pytest.mark.parametrize("name", CASES)
def test_a_revert_is_a_batch_that_can_be_reverted(ground: Served, name: str) -> None:
    before, done, _ = CASES[name]
    ids = _fresh_ids()
    if before(ids):
        _post(ground, *before(ids))
    first = _post(ground, *done(ids))
    names = list(dict.fromkeys((each["kind"], each["id"]) for each in done(ids)))
    after = {each: _state(ground, *each) for each in names}

    undone = ground.post(f"/v1/batch/{first}/revert", REASON).json()["items"][0]["position"]
    redone = ground.post(f"/v1/batch/{undone}/revert", REASON)

    assert redone.status_code == 201, redone.text
    assert {each: _state(ground, *each) for each in names} == after


def test_a_dry_run_says_what_would_be_undone_and_writes_nothing(ground: Served) -> None:
    entity = an_id("e")
    first = _post(ground, an_entity(entity), an_entity())
    with ground.unchanged():
        tried = ground.post(f"/v1/batch/{first}/revert?dry_run=true", REASON)
        assert tried.status_code == 200
        assert int(tried.headers["ledger-position"]) == ground.head()
    written = ground.post(f"/v1/batch/{first}/revert?dry_run=false", REASON)
    assert (written.status_code, written.json()) == (201, tried.json())
    with ground.unchanged():
        refused(ground.post(f"/v1/batch/{first}/revert?dry_run=true", REASON), 409, "not-revertible")


def test_records_that_moved_on_are_named_and_nothing_is_written(ground: Served) -> None:
    moved, still, also = an_id("e"), an_id("e"), an_id("e")
    first = _post(ground, an_entity(moved), an_entity(still), an_entity(also))
    ground.append(revise("entity", moved, expect=1, name="Two"), retract("entity", also, expect=1))
    head = ground.head()
    with ground.unchanged():
        problem = refused(ground.post(f"/v1/batch/{first}/revert", REASON), 409, "not-revertible")
    rule = "moved on: its latest event is at position "
    assert problem["records"] == [
        {"kind": "entity", "id": moved, "position": head - 1, "rule": f"{rule}{head - 1}"},
        {"kind": "entity", "id": also, "position": head, "rule": f"{rule}{head}"},
    ]
    assert problem["detail"].startswith("2 records of this batch")
    assert "operation" not in problem


def test_a_batch_is_reverted_once(ground: Served) -> None:
    first = _post(ground, an_entity())
    assert ground.post(f"/v1/batch/{first}/revert", REASON).status_code == 201
    problem = refused(ground.post(f"/v1/batch/{first}/revert", REASON), 409, "not-revertible")
    assert len(problem["records"]) == 1


def test_the_first_hundred_that_moved_on_are_named_and_all_are_counted(ground: Served) -> None:
    ids = [an_id("e") for _ in range(120)]
    first = _post(ground, *(an_entity(one) for one in ids))
    _post(ground, *(revise("entity", one, expect=1, name="Two") for one in ids))
    problem = refused(ground.post(f"/v1/batch/{first}/revert", REASON), 409, "not-revertible")
    assert [each["id"] for each in problem["records"]] == ids[:100]
    assert problem["detail"].startswith("120 ")


def test_a_position_at_which_no_batch_begins_is_a_404(ground: Served) -> None:
    first = _post(ground, an_entity(), an_entity())
    alone = ground.post("/v1/entities", {"type": "other", "name": "Alone"}).json()["position"]
    redaction = _redact(ground, "entity", an_id("e"))
    with ground.unchanged():
        for position in (1, first + 1, alone, redaction):
            refused(ground.post(f"/v1/batch/{position}/revert", REASON), 404, "unknown-batch")
        for position in (ground.head() + 1, 9999999999999999):
            refused(ground.post(f"/v1/batch/{position}/revert", REASON), 404, "not-yet")
        for position in ("0", "-1", "x", "1.0", "01", "99999999999999999"):
            refused(ground.post(f"/v1/batch/{position}/revert", REASON), 400, "bad-parameter")


def _redact(served: Served, kind: str, public_id: str, **more: Any) -> int:
    if not more:
        served.append(an_entity(public_id))
    body = {"kind": kind, "id": public_id, "basis": "error", "reason": "X", **more}
    done = served.post("/v1/redactions", body)
    assert done.status_code == 201, done.text
    return int(done.json()["position"])


@pytest.mark.parametrize("erased", [False, True])
def test_a_record_that_is_redacted_as_a_whole_is_passed_over(ground: Served, erased: bool) -> None:
    gone, also, kept = an_id("e"), an_id("e"), an_id("e")
    ground.append(an_entity(also))
    first = _post(ground, an_entity(gone), revise("entity", also, expect=1, name="Two"), an_entity(kept))
    for one in (gone, also):
        _redact(ground, "entity", one, erase_id=erased)
    done = ground.post(f"/v1/batch/{first}/revert", REASON)
    assert [(item["id"], item["revision"]) for item in done.json()["items"]] == [(kept, 2)]


def test_where_all_was_redacted_there_is_nothing_to_undo(ground: Served) -> None:
    entity = an_id("e")
    first = _post(ground, an_entity(entity))
    _redact(ground, "entity", entity, erase_id=False)
    refused(ground.post(f"/v1/batch/{first}/revert", REASON), 409, "no-change")


def test_what_a_batch_itself_took_back_need_not_be_undone(ground: Served) -> None:
    entity = an_id("e")
    first = _post(ground, an_entity(entity), retract("entity", entity))
    with ground.unchanged():
        refused(ground.post(f"/v1/batch/{first}/revert", REASON), 409, "no-change")


def test_a_record_whose_former_state_is_redacted_is_named(ground: Served) -> None:
    entity, other = an_id("e"), an_id("e")
    ground.append(an_entity(entity), an_entity(other))
    first = _post(ground, revise("entity", entity, expect=1, name="Two"), revise("entity", other, expect=1, name="Two"))
    _redact(ground, "entity", entity, first=1, last=1)
    with ground.unchanged():
        problem = refused(ground.post(f"/v1/batch/{first}/revert", REASON), 409, "not-revertible")
    rule = "its state before the batch is redacted"
    assert problem["records"] == [{"kind": "entity", "id": entity, "position": first, "rule": rule}]


def test_what_a_rule_refuses_now_is_named_with_the_rule(ground: Served) -> None:
    """The batch counts in another unit; since then a claim answers, so the unit is fixed."""
    question, entity = an_id("q"), an_id("e")
    ground.append(a_question(question, about="parler", answer_type="quantity", unit="users"))
    first = _post(ground, an_entity(entity), revise("question", question, expect=1, unit="people"))
    answer = {"type": "quantity", "amount": "5", "unit": "people"}
    ground.append(a_claim(source="paper", question=question, answer=answer))
    with ground.unchanged():
        problem = refused(ground.post(f"/v1/batch/{first}/revert", REASON), 409, "not-revertible")
    rule = "not revised once a claim answers the question"
    assert problem["records"] == [{"kind": "question", "id": question, "position": first + 1, "rule": rule}]
    assert "operation" not in problem


def test_a_reverted_batch_is_repeated_safely_under_its_key(ground: Served) -> None:
    first, key = _post(ground, an_entity(), an_entity()), an_id("key")
    path = f"/v1/batch/{first}/revert"
    done = ground.post(path, REASON, Idempotency_Key=key)
    with ground.unchanged():
        again = ground.post(path, REASON, Idempotency_Key=key)
        assert (again.status_code, again.content) == (201, done.content)
        assert again.headers["idempotency-replayed"] == "true"
        refused(ground.post(path, {"reason": "Another"}, Idempotency_Key=key), 409, "idempotency-key-reused")
        refused(ground.post(path, REASON, Idempotency_Key=an_id("key")), 409, "not-revertible")
        refused(ground.post("/v1/batch/1/revert", REASON, Idempotency_Key=key), 409, "idempotency-key-reused")
        # A dry run is not the request that was noted.
        refused(ground.post(f"{path}?dry_run=true", REASON, Idempotency_Key=key), 409, "not-revertible")


def test_of_many_who_revert_at_once_one_does_and_the_others_are_told(ground: Served) -> None:
    for key in (None, an_id("key")):
        first, before = _post(ground, *(an_entity() for _ in range(20))), ground.head()
        headers = {} if key is None else {"Idempotency_Key": key}
        with ThreadPoolExecutor(6) as threads:
            path = f"/v1/batch/{first}/revert"
            answers = list(threads.map(lambda _: ground.post(path, REASON, **headers), range(6)))  # noqa: B023 - at once
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == ([201, *[409] * 5] if key is None else [201] * 6)
        assert ground.head() == before + 20


def test_who_reverts_is_the_actor_and_needs_the_scope_to_write(ground: Served) -> None:
    first = _post(ground, an_entity())
    path, other = f"/v1/batch/{first}/revert", f"Bearer {ground.make_key('write')}"
    refused(ground.post(path, REASON, Authorization=f"Bearer {ground.make_key('redact')}"), 403, "forbidden")
    refused(ground.post(path, REASON, Authorization="Bearer x"), 401, "unauthorized")
    done = ground.post(path, REASON, Authorization=other).json()["position"]
    made, undone = ground.get(f"/v1/events?after={first - 1}&limit=500").json()["items"][:: done - first]
    assert made["actor"] != undone["actor"]
    # The tag of a revision is not asked for, and does no harm.
    again = _post(ground, an_entity())
    assert ground.post(f"/v1/batch/{again}/revert", REASON, If_Match='"1"').status_code == 201


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({}, "/reason"), ({"reason": ""}, "/reason"), ({"reason": "x", "expect": 1}, "/expect"), ([], "")],
)
def test_a_revert_needs_a_reason_and_nothing_else(ground: Served, body: Any, pointer: str) -> None:
    first = _post(ground, an_entity())
    problem = refused(ground.post(f"/v1/batch/{first}/revert", body), 422, "bad-body")
    assert [each["pointer"] for each in problem["errors"]] == [pointer]


def test_a_batch_of_five_thousand_is_undone(ground: Served) -> None:
    ids = [an_id("e") for _ in range(2500)]
    first = _post(ground, *(an_entity(one) for one in ids), *(revise("entity", one, name="Two") for one in ids))
    done = ground.post(f"/v1/batch/{first}/revert", REASON)
    assert (done.status_code, len(done.json()["items"])) == (201, 2500)
    redone = ground.post(f"/v1/batch/{done.json()['items'][0]['position']}/revert", REASON)
    assert (redone.status_code, len(redone.json()["items"])) == (201, 2500)


def test_what_takes_more_revisions_than_a_batch_holds_is_refused(ground: Served) -> None:
    """Each record was retracted, and said something else: it has to be restored, revised and retracted."""
    ids = [an_id("e") for _ in range(1667)]
    for some in (ids[:1000], ids[1000:]):
        ground.append(*(an_entity(one) for one in some), *(revise("entity", one, name="Two") for one in some))
        ground.append(*(retract("entity", one, expect=2) for one in some))
    first = _post(
        ground, *(restore("entity", one, expect=3, revision=1) for one in ids), *(retract("entity", one) for one in ids)
    )
    with ground.unchanged():
        problem = refused(ground.post(f"/v1/batch/{first}/revert", REASON), 409, "beyond-limit")
    assert problem["detail"] == "to undo this batch takes 5001 revisions, and a batch holds 5000"


def test_whatever_a_batch_did_its_revert_leaves_what_was_before(fresh: Any, kind: str) -> None:
    examples = EXAMPLES * 2 if kind == "sqlite" else max(1, EXAMPLES // 2)

    @hypothesis(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(history=histories(), seed=st.integers(0, 2**32 - 1))
    def holds(history: Any, seed: int) -> None:
        choice, reverted = random.Random(seed), 0
        with fresh() as writing:
            writing.append(*small_world())
            for group in history:
                operations = sensible([each for request in group for each in request], _known(_access(writing)), choice)
                then = {each: _stored(writing, each) for each in {(one["kind"], one["id"]) for one in operations}}
                try:
                    first = writing.append(*operations).items[0].position
                except LedgerError:
                    continue
                if choice.random() < 0.7:
                    reverted += _is_undone(writing, first, then)
            audit(_access(writing))

    holds()


def _access(writing: Writing) -> Any:
    return writing.database.access()


def _stored(writing: Writing, name: tuple[str, str]) -> State | None:
    found = stored_record(_access(writing), *name)
    return None if found is None else found.state


def _is_undone(writing: Writing, first: int, then: dict[tuple[str, str], State | None]) -> bool:
    """Revert, and hold each record to what it was; what is refused is refused by a rule, or because nothing is to be done."""
    after = {name: _stored(writing, name) for name in then}
    try:
        _revert(writing, first)
    except (NoChange, NotRevertible):
        assert {name: _stored(writing, name) for name in then} == after
        return False
    for name, before in then.items():
        now, left = _stored(writing, name), after[name]
        assert now is not None
        assert left is not None
        assert now == (before or {**left, "status": "retracted"}), name
    return True


def _revert(writing: Writing, first: int) -> Outcome:
    commands = opposite_of(_access(writing), first, "Undone")
    try:
        return writing.ledger.append(Unit(commands=commands, actor=writing.actor, is_batch=True)).result(60)
    except LedgerError as refusal:
        raise naming_the_record(refusal, commands) from None
