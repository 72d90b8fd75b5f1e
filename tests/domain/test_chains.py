"""Chains of `part_of` and `derives_from` end somewhere: 32 steps up, counted through all that hangs together."""

import time

import msgspec
import pytest

from api.domain.errors import BeyondLimit, Cycle
from api.domain.records import rules
from api.ledger.reading import lists, views
from api.ledger.reading.answers import answers
from api.ledger.reading.selection import Selection
from tests.support.builders import a_claim, a_question, a_source, an_entity, restore, revise
from tests.support.long_ago import recorded_long_ago

DEEP = rules.MOST_DEEP
TOO_LONG_AGO = 3_000


def _chain(name, length, *, kind=an_entity, field="part_of"):
    """A chain of so many records, the top first."""
    wrap = (lambda each: [each]) if field == "derives_from" else (lambda each: each)
    return [kind(f"{name}0"), *(kind(f"{name}{n}", **{field: wrap(f"{name}{n - 1}")}) for n in range(1, length))]


def _refused(writing, pointer, *operations, error=BeyondLimit):
    with pytest.raises(error) as refused:
        writing.append(*operations)
    assert (type(refused.value), refused.value.pointer) == (error, pointer)
    assert refused.value.operation == len(operations) - 1


@pytest.mark.parametrize(("kind", "field"), [(an_entity, "part_of"), (a_source, "part_of"), (a_source, "derives_from")])
def test_a_record_leads_at_most_thirty_two_steps_up(writing, kind, field):
    end = {field: [f"a{DEEP}"] if field == "derives_from" else f"a{DEEP}"}
    _refused(writing, f"/body/{field}", *_chain("a", DEEP + 2, kind=kind, field=field))
    writing.append(*_chain("a", DEEP + 1, kind=kind, field=field))
    _refused(writing, f"/body/{field}", kind(**end))


def test_what_hangs_below_a_record_counts_when_it_is_moved(writing):
    writing.append(*_chain("upper", 17), *_chain("lower", 17), an_entity("beside", part_of="lower3"))
    # 16 steps to the top of the upper chain, one to it, 16 more from the bottom of the lower one.
    _refused(writing, "/changes/part_of", revise("entity", "lower0", expect=1, part_of="upper16"))
    writing.append(revise("entity", "lower0", expect=1, part_of="upper15"))
    _refused(writing, "/body/part_of", an_entity(part_of="lower16"))
    _refused(writing, "/changes/part_of", revise("entity", "upper0", expect=1, part_of="lower16"), error=Cycle)
    writing.append(an_entity("top"))
    _refused(writing, "/changes/part_of", revise("entity", "upper0", expect=1, part_of="top"))


def test_what_the_same_batch_moved_away_counts_no_more_and_what_it_brought_does(writing):
    writing.append(*_chain("upper", 17), *_chain("lower", 17))
    _refused(
        writing, "/changes/part_of",
        revise("entity", "lower0", expect=1, part_of="upper15"),
        an_entity("new", part_of="lower13"),
        an_entity("newer", part_of="new"),
        revise("entity", "upper0", expect=1, part_of="newer"),
        error=Cycle,
    )  # fmt: skip
    _refused(
        writing, "/changes/part_of",
        an_entity("new", part_of="lower16"),
        revise("entity", "lower0", expect=1, part_of="upper15"),
    )  # fmt: skip
    writing.append(
        revise("entity", "lower9", expect=1, part_of=None), revise("entity", "lower0", expect=1, part_of="upper16")
    )


def test_the_longest_way_counts_where_sources_derive_from_several(writing):
    writing.append(*_chain("s", DEEP + 1, kind=a_source, field="derives_from"), a_source("young", derives_from=["s0"]))
    writing.append(a_source("short", derives_from=["s0", "young"]))
    _refused(writing, "/body/derives_from", a_source(derives_from=["short", f"s{DEEP}"]))
    writing.append(a_source("forked", derives_from=[f"s{DEEP - 1}", "short", "s5"]))
    _refused(writing, "/changes/derives_from", revise("source", "young", expect=1, derives_from=[f"s{DEEP - 1}"]))
    _refused(writing, "/changes/derives_from", revise("source", "young", expect=1, derives_from=[f"s{DEEP - 2}"]))
    writing.append(revise("source", "young", expect=1, derives_from=[f"s{DEEP - 3}"]))


def test_no_older_state_brings_a_deeper_chain_back(writing):
    writing.append(*_chain("e", DEEP + 1), an_entity("over"))
    writing.append(revise("entity", "e1", expect=1, part_of=None), revise("entity", "e0", expect=1, part_of="over"))
    _refused(writing, "/revision", restore("entity", "e1", expect=2, revision=1))


def test_a_source_leads_to_at_most_a_thousand_others(writing):
    most = rules.MOST_ABOVE
    firsts = [f"f{n}" for n in range(most + 1)]
    writing.append(*(a_source(first) for first in firsts))
    shelves = [a_source(f"shelf{n}", derives_from=firsts[n * 50 : (n + 1) * 50]) for n in range(most // 50)]
    writing.append(*shelves)
    # Nineteen shelves and what is on them.
    writing.append(a_source(derives_from=[f"shelf{n}" for n in range(most // 50 - 1)]))
    _refused(writing, "/body/derives_from", a_source(derives_from=[f"shelf{n}" for n in range(most // 50)]))


def test_what_was_recorded_deeper_and_longer_before_is_read_and_goes_on(writing):
    members = [f"e{n}" for n in range(150)]
    recorded_long_ago(
        writing,
        *_chain("e", TOO_LONG_AGO),
        *_chain("s", TOO_LONG_AGO, kind=a_source, field="derives_from"),
        a_question("which", about="e0", answer_type="entity"),
        a_question("list", about="e0", answer_type="entities"),
        *(
            a_claim(f"c{n}", source=f"s{TOO_LONG_AGO - 1 - n}", question="which", answer={"type": "entity", "entity": f"e{n * 590}"})
            for n in range(5)
        ),
        a_claim("long", source="s0", question="list", answer={"type": "entities", "entities": members}),
    )  # fmt: skip
    access, deepest = writing.database.access(), TOO_LONG_AGO - 1
    started = time.perf_counter()
    found = answers(access, "which", Selection(kind="claim"))
    # Were each claim's chain walked anew, or with a look back at every step, this would take minutes.
    assert time.perf_counter() - started < 10
    assert (found.claim_count, found.agreement.state) == (5, "single-origin")
    assert (
        len(msgspec.json.decode(answers(access, "list", Selection(kind="claim")).claims[0])["answer"]["entities"])
        == 150
    )
    assert lists.select(access, Selection(kind="entity", terms=[("part_of", f"e{deepest - 1}")]))[1] == [f"e{deepest}"]

    writing.append(
        revise("entity", f"e{deepest}", expect=1, name="As deep as before"),
        revise("claim", "long", expect=1, note="As long as before"),
        a_claim(source=f"s{deepest}", question="which", answer={"type": "entity", "entity": f"e{deepest}"}),
    )
    _refused(writing, "/body/part_of", an_entity(part_of=f"e{deepest}"))
    _refused(
        writing,
        "/changes/answer/entities",
        revise("claim", "long", expect=2, answer={"type": "entities", "entities": members[:101]}),
    )
    writing.append(revise("claim", "long", expect=2, answer={"type": "entities", "entities": members[:100]}))
    writing.append(revise("entity", f"e{deepest}", expect=2, part_of="e1"))
    assert views.current(access, "entity", f"e{deepest}").revision == 3
