"""The limits that no JSON Schema states: what is just within one is written, what is just beyond it is refused."""

from collections.abc import Callable, Sequence

import pytest

from api.domain import errors
from api.domain.log import checkpoint
from api.domain.records.command import Expect, Link, Unlink
from api.domain.records.decide import Circumstances, decide
from api.domain.records.record import Record
from tests.support.builders import (
    Operation,
    Writing,
    a_claim,
    a_question,
    a_source,
    an_entity,
    ground,
    retract,
    revise,
)

C = {"source": "paper", "question": "offline-when"}


def _refused(writing: Writing, kind: type[errors.LedgerError], *operations: Operation) -> errors.LedgerError:
    with pytest.raises(kind) as refused:
        writing.append(*operations)
    return refused.value


class Known:
    """A look at a ledger in which every claim is asserted."""

    def find(self, _kind: str, public_id: str) -> Record:
        return _claim(public_id, 0)


def _claim(public_id: str, links: int) -> Record:
    made = [{"relation": "repeats", "claim": f"c{number}", "reason": "x", "position": 1} for number in range(links)]
    state = {"id": public_id, "status": "asserted", "links": made}
    return Record("claim", "", public_id, 1, 1, 0, 1, 0, None, state)


def _decided(links: int, relation: str, claim: str, act: type[Link | Unlink] = Link) -> int:
    """Decide that a claim which makes so many links makes one more, or one less; give how many it makes then."""
    now = Circumstances(position=2, look=Known(), minted_id="")  # type: ignore[arg-type]
    command = act(kind="claim", id="c", expect=Expect(whichever=True), relation=relation, claim=claim)
    return len(decide(_claim("c", links), command, now).state["links"])


def test_a_claim_makes_five_hundred_links_and_no_more() -> None:
    """Decided alone: each of the events that make them holds all that were made before."""
    assert [_decided(links, "corrects", "other") for links in (0, 498, 499)] == [1, 499, 500]
    for links in (500, 501):
        with pytest.raises(errors.LinkRefused):
            _decided(links, "corrects", "other")
    assert _decided(500, "repeats", "c7", Unlink) == 499


@pytest.mark.parametrize("is_revised", [False, True])
def test_a_list_names_a_hundred_entities_and_no_more(writing: Writing, is_revised: bool) -> None:
    names = [f"e{number}" for number in range(102)]
    writing.append(*ground(), *(an_entity(name) for name in names))
    writing.append(a_question("which", about="parler", answer_type="entities"))
    writing.append(a_claim("c", source="paper", question="which", answer=_these(names[:1])))

    def say(count: int, expect: int) -> Operation:
        answer = _these(names[:count])
        return (
            revise("claim", "c", expect=expect, answer=answer)
            if is_revised
            else a_claim(f"c{count}", source="paper", question="which", answer=answer)
        )

    writing.append(say(99, 1))
    writing.append(say(100, 2))
    assert _refused(writing, errors.BeyondLimit, say(101, 3)).pointer.endswith("/answer/entities")


def _these(names: Sequence[str]) -> dict[str, object]:
    return {"type": "entities", "entities": list(names)}


CHAINS: dict[str, tuple[str, Callable[..., Operation], Callable[[str], object]]] = {
    "part_of of entities": ("part_of", an_entity, str),
    "part_of of sources": ("part_of", a_source, str),
    "derives_from": ("derives_from", a_source, lambda above: [above]),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_chain_is_thirty_two_steps_long_and_no_longer_at_either_end(writing: Writing, chain: str) -> None:
    field, make, naming = CHAINS[chain]
    kind = "entity" if make is an_entity else "source"
    # From n0 at the top thirty-one steps down to n31.
    writing.append(make("n0"), *(make(f"n{n}", **{field: naming(f"n{n - 1}")}) for n in range(1, 32)))
    writing.append(make("n32", **{field: naming("n31")}), make("top"), make("beyond"))
    assert _refused(writing, errors.BeyondLimit, make("n33", **{field: naming("n32")})).pointer.endswith(field)
    # Above all of it there is room for nothing; above what is one shorter there is.
    above = revise(kind, "n0", expect=1, **{field: naming("top")})
    _refused(writing, errors.BeyondLimit, above)
    writing.append(revise(kind, "n32", expect=1, **{field: naming("beyond")}))
    writing.append(above)
    # And between the two ends of what is there.
    _refused(writing, errors.BeyondLimit, revise(kind, "top", expect=1, **{field: naming("beyond")}))


def test_a_source_leads_up_to_a_thousand_others_and_no_more(writing: Writing) -> None:
    def wide(name: str, count: int) -> list[Operation]:
        """A source that leads up to so many: through twenty others, each of which leads up to some of its own."""
        middle = [f"{name}-{part}" for part in range(20)]
        tops = [f"{name}-top-{number}" for number in range(count - 20)]
        each = -(-len(tops) // 20)
        return [
            *(a_source(top) for top in tops),
            *(a_source(one, derives_from=tops[part * each : (part + 1) * each]) for part, one in enumerate(middle)),
            a_source(name, derives_from=middle),
        ]

    writing.append(*wide("at", 1000))
    *around, beyond = wide("beyond", 1001)
    writing.append(*around)
    assert _refused(writing, errors.BeyondLimit, beyond).pointer.endswith("derives_from")


def test_a_batch_has_exactly_so_many_claims_weighed_anew_and_no_more(
    writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing.append(*ground(), *(a_claim(**C) for _ in range(10)))
    weigh = [retract("source", "paper", expect=1), {**retract("source", "paper"), "op": "restore"}]
    weigh = [{**each, "expect": None if number else 1} for number, each in enumerate(weigh)]
    costs = {}
    for most in range(1, 60):
        monkeypatch.setattr("api.ledger.writing.writer.MOST_WEIGHED", most)
        try:
            writing.ledger.append(writing.unit(*weigh)).result(60)
        except errors.BeyondLimit:
            costs[most] = False
            continue
        costs[most] = True
        break
    assert costs == {**dict.fromkeys(range(1, 20), False), 20: True}


@pytest.mark.parametrize(
    ("valid", "reversed_"),
    [
        ("2021-01-11T08:00Z/2021-01-11T08:00Z", "2021-01-11T08:01Z/2021-01-11T08:00Z"),
        ("2021-01-11/2021-01-11", "2021-01-12/2021-01-11"),
        ("[2021-01-11..2021-01-11]", "[2021-01-12..2021-01-11]"),
    ],
)
def test_what_ends_when_it_begins_is_not_reversed(writing: Writing, valid: str, reversed_: str) -> None:
    writing.append(*ground(), a_question("whether", about="parler", answer_type="boolean", varies=True))
    said = {"source": "paper", "question": "whether", "answer": {"type": "boolean", "value": True}}
    writing.append(a_claim(**said, valid=valid))
    _refused(writing, errors.IntervalReversed, a_claim(**said, valid=reversed_))


def test_a_time_that_ends_when_it_begins_is_an_answer(writing: Writing) -> None:
    writing.append(*ground())
    for number, edtf in enumerate(("2021-01-11/2021-01-11", "2021-01-11T08:00:00Z/2021-01-11T08:00:00Z")):
        writing.append(a_claim(f"c{number}", **C, answer={"type": "time", "edtf": edtf}))
    reversed_ = a_claim(**C, answer={"type": "time", "edtf": "2021-01-11T08:00:01Z/2021-01-11T08:00:00Z"})
    assert _refused(writing, errors.IntervalReversed, reversed_).pointer.endswith("/answer/edtf")


@pytest.mark.parametrize(
    ("published", "modified", "is_taken"),
    [
        ("2021-01-11T08:00Z", "2021-01-11T08:00Z", True),
        ("2021-01-11T08:01Z", "2021-01-11T08:00Z", False),
        ("2021-01-11T08:00:01Z", "2021-01-11T08:00Z", True),
        ("2021-01-11T08:00:01Z", "2021-01-11T08:00:00Z", False),
        ("2021-01-11", "2021-01-11", True),
        # Days are read in every zone, so that one may begin before the last is over.
        ("2021-01-12", "2021-01-11", True),
        ("2021-01-14", "2021-01-11", False),
        ("2021", "2020", True),
        ("2022", "2020", False),
    ],
)
def test_a_source_may_be_modified_when_it_is_published_and_not_before(
    writing: Writing, published: str, modified: str, is_taken: bool
) -> None:
    source = a_source("s", published=published, modified=modified)
    if is_taken:
        writing.append(source)
    else:
        assert _refused(writing, errors.IntervalReversed, source).pointer.endswith("/modified")


@pytest.mark.parametrize(
    ("answer", "pointer"),
    [
        ({"low": "5", "high": "5"}, None),
        ({"amount": "5", "low": "5", "high": "5"}, None),
        ({"amount": "5", "low": "5.0"}, None),
        ({"low": "5.01", "high": "5"}, "/answer/low"),
        ({"amount": "4.99", "low": "5"}, "/answer/amount"),
        ({"amount": "5.01", "high": "5"}, "/answer/amount"),
        ({}, "/answer"),
    ],
)
def test_a_quantity_may_be_one_of_its_own_bounds_and_not_beyond(
    writing: Writing, answer: dict[str, str], pointer: str | None
) -> None:
    writing.append(*ground(), a_question("many", about="parler", answer_type="quantity", unit="users"))
    claim = a_claim(source="paper", question="many", answer={"type": "quantity", "unit": "users", **answer})
    if pointer is None:
        writing.append(claim)
    else:
        assert _refused(writing, errors.BadAnswer, claim).pointer.endswith(pointer)


def test_the_first_and_the_last_revision_are_in_the_range_that_names_them(writing: Writing) -> None:
    writing.append(an_entity("e"), *(revise("entity", "e", name=f"E{number}") for number in range(4)))
    for more in ({"first": 6}, {"last": 6}, {"first": 6, "last": 6}):
        with pytest.raises(errors.StatusRefused):
            writing.redact("entity", "e", **more)
    with pytest.raises(errors.ReviseFirst):
        writing.redact("entity", "e", first=5, last=5)
    writing.redact("entity", "e", first=4, last=4)
    writing.redact("entity", "e", first=2, last=2)
    access = writing.database.access()
    sql = "SELECT v.revision FROM revision v JOIN payload p ON p.position = v.position JOIN record r ON r.first_position = v.first_position WHERE r.id = 'e' ORDER BY v.revision"
    assert [row[0] for row in access.rows(sql)] == [1, 3, 5]
    writing.redact("entity", "e", first=1, last=5)
    assert access.rows(sql) == []


def test_a_note_carries_a_hundred_signatures_and_no_more() -> None:
    line = "— log.example AAAAAAA=\n"
    assert [len(checkpoint.split("text\n\n" + line * count)[1]) for count in (1, 99, 100)] == [1, 99, 100]
    with pytest.raises(ValueError, match="at most 100"):
        checkpoint.split("text\n\n" + line * 101)
