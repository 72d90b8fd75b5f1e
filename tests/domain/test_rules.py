"""What the ledger refuses, each rule by what it does; and what it does not refuse."""

from typing import Any

import msgspec
import pytest

from api.domain import errors
from api.domain.dates.asof import AsOf
from api.domain.records.command import Expect, Retract
from api.ledger.reading import lists, standpoint, views
from api.ledger.reading.answers import answers
from api.ledger.reading.selection import Selection
from api.ledger.writing.unit import Unit
from tests.support.builders import (
    Operation,
    a_claim,
    a_question,
    a_source,
    an_entity,
    ground,
    link,
    restore,
    retract,
    revise,
    unlink,
)

C = {"source": "paper", "question": "offline-when"}
QUANTITY = {"type": "quantity", "amount": "1", "unit": "users"}
UUID = "0190b0a0-0000-7000-8000-000000000000"


def _time(edtf: str) -> dict[str, str]:
    return {"type": "time", "edtf": edtf}


def world() -> list[Operation]:
    """The common ground, a retracted source, question and claim, a claim with a link, and a question of numbers."""
    return [
        *ground(),
        a_source("gone", derives_from=["paper"]),
        a_question("gone", about="parler"),
        a_question("how-many", about="parler", answer_type="quantity", unit="users"),
        a_question("which", about="parler", answer_type="entities"),
        a_question("who", about="parler", answer_type="entity"),
        an_entity("amazon"),
        an_entity("aws", part_of="amazon"),
        a_source("wire", derives_from=["paper"], part_of="gone"),
        a_claim("one", **C),
        a_claim("two", **C),
        a_claim("out", **C),
        a_claim("on-gone", source="gone", question="offline-when"),
        retract("source", "gone"),
        retract("question", "gone"),
        retract("claim", "out"),
        link("one", "repeats", "two"),
    ]


REFUSED: list[Any] = [
    (errors.UnknownReference, "/body/part_of", an_entity(part_of="nobody")),
    (errors.UnknownReference, "/body/part_of", an_entity("self", part_of="self")),
    (errors.UnknownReference, "/body/publisher", a_source(publisher="nobody")),
    (errors.UnknownReference, "/body/derives_from/1", a_source(derives_from=["paper", "nothing"])),
    (errors.UnknownReference, "/body/part_of", a_source(part_of="parler")),
    (errors.UnknownReference, "/body/about/0", a_question(about="nobody")),
    (errors.UnknownReference, "/body/source", a_claim(source="nothing", question="offline-when")),
    (errors.UnknownReference, "/body/question", a_claim(source="paper", question="nothing")),
    (errors.UnknownReference, "/body/speaker", a_claim(**C, speaker="nobody")),
    (errors.UnknownReference, "/body/via/0", a_claim(**C, via=["nothing"])),
    (errors.UnknownReference, "/body/answer/entity", a_claim(source="paper", question="who", answer={"type": "entity", "entity": "x"})),
    (
        errors.UnknownReference, "/body/answer/entities/1",
        a_claim(source="paper", question="which", answer={"type": "entities", "entities": ["parler", "x"]}),
    ),
    (errors.UnknownReference, "/changes/speaker", revise("claim", "one", expect=2, speaker="nobody")),
    (errors.UnknownReference, "/claim", link("one", "repeats", "nothing", expect=2)),
    (errors.StatusRefused, "/body/source", a_claim(source="gone", question="offline-when")),
    (errors.StatusRefused, "/body/question", a_claim(source="paper", question="gone")),
    (errors.StatusRefused, "", revise("source", "gone", expect=2, title="Still there")),
    (errors.StatusRefused, "", retract("source", "gone", expect=2)),
    (errors.StatusRefused, "", link("out", "repeats", "one", expect=2)),
    (errors.StatusRefused, "", unlink("out", "repeats", "one", expect=2)),
    (errors.StatusRefused, "", restore("claim", "one", expect=2)),
    (errors.StatusRefused, "/revision", restore("claim", "one", expect=2, revision=3)),
    (errors.Cycle, "/changes/part_of", revise("entity", "amazon", expect=1, part_of="aws")),
    (errors.Cycle, "/changes/part_of", revise("entity", "parler", expect=1, part_of="parler")),
    (errors.Cycle, "/changes/derives_from", revise("source", "paper", expect=1, derives_from=["gone"])),
    (errors.Cycle, "/changes/derives_from", revise("source", "paper", expect=1, derives_from=["wire"])),
    (errors.Cycle, "/changes/part_of", revise("source", "wire", expect=1, part_of="wire")),
    (errors.AnswerDoesNotFit, "/body/answer", a_claim(**C, answer={"type": "boolean", "value": True})),
    (errors.AnswerDoesNotFit, "/body/answer", a_claim(source="paper", question="how-many", answer={**QUANTITY, "unit": "euro"})),
    (errors.AnswerDoesNotFit, "/changes/answer", revise("claim", "one", expect=2, answer=QUANTITY)),
    (errors.BadAnswer, "/body/answer", a_claim(source="paper", question="how-many", answer={"type": "quantity", "unit": "users"})),
    (errors.BadAnswer, "/body/answer/low", a_claim(source="paper", question="how-many", answer={"type": "quantity", "low": "2", "high": "1", "unit": "users"})),
    (errors.BadAnswer, "/body/answer/amount", a_claim(source="paper", question="how-many", answer={**QUANTITY, "low": "2"})),
    (errors.BadAnswer, "/body/answer/amount", a_claim(source="paper", question="how-many", answer={**QUANTITY, "high": "0.5"})),
    (
        errors.BadAnswer, "/body/answer/entities/1",
        a_claim(source="paper", question="which", answer={"type": "entities", "entities": ["aws", "aws"]}),
    ),
    (
        errors.BeyondLimit, "/body/answer/entities",
        a_claim(source="paper", question="which", answer={"type": "entities", "entities": [f"e{n}" for n in range(101)]}),
    ),
    (errors.IntervalReversed, "/body/answer/edtf", a_claim(**C, answer=_time("2021/2020"))),
    (errors.IntervalReversed, "/body/valid", a_claim(source="paper", question="how-many", answer=QUANTITY, valid="2021/2020")),
    (errors.IntervalReversed, "/body/published", a_source(published="2021/2020")),
    (errors.IntervalReversed, "/body/modified", a_source(modified="2021/2020")),
    (errors.IntervalReversed, "/body/modified", a_source(published="2021-01-11", modified="2021-01-01")),
    (errors.IntervalReversed, "/body/published", a_source(published="9999-12-31T23:59:59-12:00")),
    (errors.IntervalReversed, "/body/answer/edtf", a_claim(**C, answer=_time("0001-01-01T00:00+14:00"))),
    (errors.BadUrl, "/body/url", a_source(url="https://[:::]")),
    (errors.BadUrl, "/body/archived_url", a_source(archived_url="https://999.1.1.1/")),
    (errors.BadUrl, "/body/same_as/1", an_entity(same_as=["https://example.org", "https://127.1"])),
    (errors.BadUrl, "/changes/same_as/0", revise("entity", "parler", expect=1, same_as=["https://xn--a"])),
    (errors.NotApplicable, "/body/names/PT-br", an_entity(names={"pt-BR": "Parlér", "pt": "Parler", "PT-br": "Parler"})),
    (errors.NotApplicable, "/body/unit", a_question(about="parler", unit="users")),
    (errors.NotApplicable, "/body/unit", a_question(about="parler", answer_type="quantity")),
    (errors.NotApplicable, "/body/valid", a_claim(**C, valid="2021")),
    (errors.NotApplicable, "/body/via/1", a_claim(**C, via=["paper", "paper"])),
    (errors.NotApplicable, "/body/derives_from/1", a_source(derives_from=["paper", "paper"])),
    (errors.FieldFixed, "/changes/id", revise("entity", "parler", expect=1) | {"changes": {"id": "gab"}}),
    (errors.FieldFixed, "/changes/source", revise("claim", "one", expect=2, source="wire")),
    (errors.FieldFixed, "/changes/question", revise("claim", "one", expect=2, question="who")),
    (errors.FieldFixed, "/changes/answer_type", revise("question", "who", expect=1, answer_type="text")),
    (errors.FieldFixed, "/changes/varies", revise("question", "offline-when", expect=1, varies=True)),
    (errors.NoChange, "", revise("entity", "parler", expect=1, name="Parler")),
    (errors.NoChange, "", restore("claim", "one", expect=2, revision=1)),
    (errors.IdForm, "/id", an_entity(UUID)),
    (errors.IdTaken, "/id", an_entity("parler")),
    (errors.IdTaken, "/id", a_source("gone")),
    (errors.LinkRefused, "/claim", link("one", "contradicts", "one", expect=2)),
    (errors.LinkRefused, "/claim", link("one", "repeats", "two", expect=2)),
    (errors.LinkRefused, "/claim", link("one", "contradicts", "out", expect=2)),
    (errors.LinkRefused, "/claim", unlink("one", "contradicts", "two", expect=2)),
    (errors.MissingExpect, "/expect", revise("entity", "parler", name="Parler LLC")),
    (errors.MissingExpect, "/expect", retract("entity", "parler")),
    (errors.Stale, "", revise("claim", "one", expect=1, statement="x")),
    (errors.UnknownRecord, "", retract("claim", "nothing", expect=1)),
]  # fmt: skip


# All that is said of them.
TOLD: dict[type[errors.LedgerError], set[str]] = {
    errors.UnknownReference: {f"no {kind} has the id given" for kind in ("entity", "source", "question", "claim")},
    errors.StatusRefused: {
        "the source is retracted; new claims on it are refused",
        "the question is retracted; new claims on it are refused",
        "the record is retracted; only restore may follow",
        "the record is not retracted",
        "the record has revisions 1 to 2",
    },
    errors.Cycle: {"part_of would close a cycle", "derives_from would close a cycle"},
    errors.AnswerDoesNotFit: {"the question expects time", "the question expects quantity in users"},
    errors.BadAnswer: {
        "a quantity states an amount, a low or a high",
        "low is above high",
        "the amount is below low",
        "the amount is above high",
        "names the same entity twice",
    },
    errors.BeyondLimit: {"a list names at most 100 entities"},
    errors.IntervalReversed: {
        "the interval ends before it starts",
        "in UTC this lies outside of the years 0001 to 9999, so that it would end where it starts",
    },
    errors.BadUrl: {
        "the host is neither a name nor an address: an IPv6 address, a last part in digits, or punycode is malformed",
        "the host is an IPv4 address in another form: write four numbers with a dot between them, as 127.0.0.1",
    },
    errors.NotApplicable: {
        "names the same language twice; case makes no difference",
        "a quantity needs a unit, and no other answer has one",
        "a time answer is its own valid; leave this out",
        "names the same record twice",
    },
    errors.FieldFixed: {"this field is never revised", "not revised once a claim answers the question"},
    errors.NoChange: {"the revision changes nothing"},
    errors.IdForm: {"a chosen id may not have the form of a UUID; leave id out to have one minted"},
    errors.IdTaken: {"another entity has this id", "another source has this id"},
    errors.LinkRefused: {
        "a claim does not link to itself",
        "this link is there already",
        "the claim linked to is retracted",
        "there is no such link",
    },
    errors.MissingExpect: {"expect is required on a record that this batch has not touched before"},
    errors.Stale: {"the claim is at revision 2, position 20"},
    errors.UnknownRecord: {"no claim has this id here"},
}


def test_what_a_rule_forbids_is_refused_with_its_field_and_reason_and_takes_no_position(writing):
    head = writing.append(*world()).position
    told: dict[type[errors.LedgerError], set[str]] = {}
    for error, pointer, operation in REFUSED:
        with pytest.raises(errors.LedgerError) as refused:
            writing.append(operation)
        assert (type(refused.value), refused.value.pointer) == (error, pointer), operation
        assert (refused.value.operation, refused.value.parameter) == (0, "")
        told.setdefault(error, set()).add(str(refused.value))
    assert told == TOLD
    assert standpoint.locate(writing.database.access()).position == head


def test_the_table_above_meets_every_kind_of_conflict_but_those_that_other_files_do():
    # No body gets as far as BadText, its Structs forbid that (test_event); the keys have their tests in test_ledger.
    # Redactions, and batches that are undone, have files of their own.
    met = {error for error, _, _ in REFUSED} | {errors.BadText, errors.IdempotencyKeyReused}
    met |= {errors.NotRedactable, errors.RedactedReference, errors.ReviseFirst, errors.StillNamed, errors.NotRevertible}
    assert met >= set(errors.Conflict.__subclasses__())


def test_a_batch_with_one_refused_operation_writes_none_and_says_which(writing):
    writing.append(*ground())
    with pytest.raises(errors.IdTaken) as refused:
        writing.append(an_entity("gab"), a_source("other"), an_entity("parler"), an_entity("twitter"))
    assert refused.value.operation == 2
    with pytest.raises(errors.UnknownRecord):
        views.current(writing.database.access(), "entity", "gab")


def test_a_single_request_must_say_what_it_is_based_on(writing):
    position = writing.append(*ground()).position
    for expect, error in (
        (None, errors.PreconditionMissing),
        (Expect(positions=frozenset({1, 999})), errors.Stale),
        (Expect(positions=frozenset({2})), None),
    ):
        unit = Unit(commands=[Retract(kind="entity", id="parler", reason="x", expect=expect)], actor=writing.actor)
        future = writing.ledger.append(unit)
        assert type(future.exception(60)) is (error or type(None))
    assert standpoint.locate(writing.database.access()).position == position + 1


def test_expect_is_asked_for_unless_the_batch_touched_the_record_before(writing):
    writing.append(*ground())
    writing.append(
        an_entity("gab"), revise("entity", "gab", name="Gab"), retract("entity", "gab"), restore("entity", "gab")
    )
    outcome = writing.append(revise("entity", "gab", expect=4, name="Gab AI"), revise("entity", "gab", name="Gab.com"))
    assert [item.revision for item in outcome.items] == [5, 6]
    with pytest.raises(errors.Stale):
        writing.append(revise("entity", "gab", expect=6, name="x"), revise("entity", "gab", expect=6, name="y"))


def test_later_operations_of_a_batch_see_what_earlier_ones_made(writing):
    writing.append(*ground(), an_entity("amazon"), an_entity("aws", part_of="amazon"))
    with pytest.raises(errors.Cycle):
        writing.append(an_entity("top", part_of="aws"), revise("entity", "amazon", expect=1, part_of="top"))
    with pytest.raises(errors.StatusRefused):
        writing.append(retract("source", "paper", expect=1), a_claim("late", **C))
    with pytest.raises(errors.FieldFixed):
        writing.append(
            a_question("new", about="parler"),
            a_claim(source="paper", question="new"),
            revise("question", "new", varies=True),
        )
    writing.append(
        a_question("new", about="parler"),
        revise("question", "new", varies=True),
        a_claim(source="paper", question="new"),
    )


def test_a_cycle_is_not_let_in_by_restoring_an_older_state(writing):
    writing.append(*ground(), a_source("a"), a_source("b", derives_from=["a"], part_of="a"))
    writing.append(revise("source", "b", expect=1, derives_from=[], part_of=None))
    writing.append(
        revise("source", "a", expect=1, derives_from=["b"]), revise("source", "a", part_of="b", derives_from=[])
    )
    with pytest.raises(errors.Cycle) as refused:
        writing.append(restore("source", "b", expect=2, revision=1))
    assert refused.value.pointer == "/revision"
    with pytest.raises(errors.Cycle):
        writing.append(retract("source", "b", expect=2), restore("source", "b", revision=1))


def test_a_retracted_record_still_counts_for_cycles(writing):
    writing.append(an_entity("a"), an_entity("b", part_of="a"), retract("entity", "b"))
    with pytest.raises(errors.Cycle):
        writing.append(revise("entity", "a", expect=1, part_of="b"))


def test_old_claims_on_a_retracted_source_may_be_revised_and_new_references_to_it_made(writing):
    writing.append(*world())
    writing.append(
        revise("claim", "on-gone", expect=1, statement="Said otherwise."),
        revise("claim", "one", expect=2, via=["gone"], statement="Heard of it."),
        a_source(derives_from=["gone"]),
        link("two", "corroborates", "on-gone", expect=1),
    )


def test_retracting_never_cascades_but_claims_stop_being_live(writing):
    writing.append(*ground(), a_claim("c", **C))
    access = writing.database.access()
    for kind, public_id in (("source", "paper"), ("question", "offline-when")):
        writing.append(retract(kind, public_id, expect=views.current(access, kind, public_id).revision))
        shown = msgspec.json.decode(views.current(access, "claim", "c").document)
        assert (shown["status"], shown["revision"]) == ("asserted", 1)
        assert not lists.select(access, Selection(kind="claim", is_live=True))[1]
        assert answers(access, "offline-when", Selection(kind="claim")).claims == []
        writing.append(restore(kind, public_id, expect=views.current(access, kind, public_id).revision))
        assert lists.select(access, Selection(kind="claim", is_live=True))[1] == ["c"]


def test_retracting_keeps_the_state_and_only_restore_may_follow(writing):
    writing.append(*ground(), revise("entity", "parler", note="A note", name="Parler LLC"))
    access = writing.database.access()
    before = msgspec.json.decode(views.current(access, "entity", "parler").document)
    writing.append(retract("entity", "parler", expect=2))
    after = msgspec.json.decode(views.current(access, "entity", "parler").document)
    moved = {"status", "revision", "position", "revised_at"}
    assert {name for name in before if before[name] != after[name]} == moved
    writing.append(restore("entity", "parler", expect=3))
    restored = msgspec.json.decode(views.current(access, "entity", "parler").document)
    assert {name for name in before if before[name] != restored[name]} == moved - {"status"}


def test_restoring_a_revision_brings_its_state_from_either_status(writing):
    writing.append(*ground(), revise("entity", "parler", name="Two"), revise("entity", "parler", name="Three"))
    access = writing.database.access()
    writing.append(restore("entity", "parler", expect=3, revision=1))
    assert msgspec.json.decode(views.current(access, "entity", "parler").document)["name"] == "Parler"
    writing.append(retract("entity", "parler", expect=4), restore("entity", "parler", revision=2))
    shown = msgspec.json.decode(views.current(access, "entity", "parler").document)
    assert (shown["name"], shown["status"], shown["revision"]) == ("Two", "asserted", 6)
    # The state of a retracted revision comes back asserted.
    writing.append(restore("entity", "parler", expect=6, revision=5))
    shown = msgspec.json.decode(views.current(access, "entity", "parler").document)
    assert (shown["name"], shown["status"]) == ("Parler", "asserted")


def test_a_link_keeps_the_position_that_made_it(writing):
    writing.append(*ground(), a_claim("a", **C), a_claim("b", **C))
    access = writing.database.access()
    made = writing.append(link("a", "repeats", "b", expect=1)).position
    writing.append(
        revise("claim", "a", expect=2, statement="Otherwise."), link("a", "contradicts", "b"), retract("claim", "a"),
        restore("claim", "a"), restore("claim", "a", revision=1),
    )  # fmt: skip
    shown = msgspec.json.decode(views.current(access, "claim", "a").document)
    assert [(link["relation"], link["position"]) for link in shown["links"]] == [
        ("repeats", made),
        ("contradicts", made + 2),
    ]
    assert shown["statement"] == "Parler went offline."
    assert msgspec.json.decode(views.current(access, "claim", "b").document)["revision"] == 1
    writing.append(unlink("a", "repeats", "b", expect=7), link("a", "repeats", "b"))
    links = views.links(access, "a", AsOf())
    outgoing, at = links.outgoing, links.at
    assert [(link["relation"], link["position"]) for link in outgoing] == [
        ("contradicts", made + 2),
        ("repeats", at.position),
    ]
    incoming = views.links(access, "b", AsOf(position=made)).incoming
    assert [(link["relation"], link["claim"], link["position"]) for link in incoming] == [("repeats", "a", made)]


def _states(access, question: str) -> list[str]:
    """Give the states that a question went through."""
    sql = (
        "SELECT g.state FROM agreement g JOIN record r ON r.first_position = g.question WHERE r.id = ? ORDER BY g.since"
    )
    return [row[0] for row in access.rows(sql, (question,))]


def _who(public_id: str, source: str, entity: str, **more: Any) -> Operation:
    return a_claim(public_id, source=source, question="who", answer={"type": "entity", "entity": entity}, **more)


def test_agreement_follows_what_entities_are_part_of(writing):
    writing.append(
        *ground(), a_source("other"), an_entity("amazon"), an_entity("aws"), an_entity("s3", part_of="aws"),
        a_question("who", about="parler", answer_type="entity"), _who("a", "paper", "s3"), _who("b", "other", "amazon"),
    )  # fmt: skip
    writing.append(revise("entity", "aws", expect=1, part_of="amazon"))
    writing.append(revise("entity", "aws", expect=2, part_of=None))
    assert _states(writing.database.access(), "who") == ["open", "single-origin", "disputed", "agreed", "disputed"]


def test_agreement_follows_what_sources_derive_from_also_through_via(writing):
    writing.append(
        *ground(), a_source("agency"), a_source("copy"), a_source("third"), a_claim("a", **C),
        a_claim("b", source="third", question="offline-when", via=["third", "copy"]),
    )  # fmt: skip
    writing.append(revise("source", "copy", expect=1, derives_from=["paper"]))
    writing.append(revise("source", "paper", expect=1, derives_from=["agency"]))
    writing.append(revise("source", "copy", expect=2, derives_from=["agency"]))
    writing.append(revise("source", "copy", expect=3, derives_from=[]))
    assert _states(writing.database.access(), "offline-when") == [
        "open",
        "single-origin",
        "agreed",
        "single-origin",
        "agreed",
    ]


def test_agreement_follows_links_also_from_other_questions(writing):
    writing.append(
        *ground(), a_source("other"), a_question("then", about="parler"), a_claim("a", **C),
        a_claim("b", source="other", question="offline-when", answer=_time("2020")),
        a_claim("z", source="other", question="then"),
    )  # fmt: skip
    access = writing.database.access()
    turns = [
        (link("z", "corrects", "b", expect=1), "single-origin"),
        (retract("question", "then", expect=1), "disputed"),
        (restore("question", "then", expect=2), "single-origin"),
        (unlink("z", "corrects", "b", expect=2), "disputed"),
        (link("a", "corroborates", "b", expect=1), "agreed"),
        (retract("source", "other", expect=1), "single-origin"),
        (restore("source", "other", expect=2), "agreed"),
        (link("b", "contradicts", "a", expect=1), "disputed"),
        (retract("claim", "b", expect=2), "single-origin"),
        (retract("question", "offline-when", expect=1), "open"),
    ]
    for operation, state in turns:
        writing.append(operation)
        assert _states(access, "offline-when")[-1] == state, operation
        assert answers(access, "offline-when", Selection(kind="claim")).agreement.state == state


def test_agreement_follows_every_new_claim_whatever_the_state_before(writing):
    writing.append(*ground(), *(a_source(f"s{number}") for number in range(5)))
    access = writing.database.access()
    for number, (date, state) in enumerate(
        (
            ("2021-01-11", "single-origin"),
            ("2021-01-11", "agreed"),
            ("2021-01", "agreed"),
            ("2020", "disputed"),
            ("2020", "disputed"),
        )
    ):
        writing.append(a_claim(source=f"s{number}", question="offline-when", answer=_time(date)))
        assert _states(access, "offline-when")[-1] == state
    writing.append(a_question("why", about="parler", answer_type="text"))
    for number, state in ((0, "single-origin"), (1, "open"), (2, "open")):
        writing.append(a_claim(source=f"s{number}", question="why", answer={"type": "text", "text": "Because"}))
        assert _states(access, "why")[-1] == state


def test_agreement_follows_every_revision_of_a_claim(writing):
    writing.append(*ground(), a_source("other"), a_question("up", about="parler", answer_type="boolean", varies=True))
    said = {"question": "up", "answer": {"type": "boolean", "value": True}, "valid": "2021-01-11"}
    writing.append(a_claim("a", source="paper", **said), a_claim("b", source="other", **said))
    states = ["agreed"]
    for expect, change, state in (
        (1, {"valid": "2021-03-01"}, "open"),
        (2, {"valid": "2021-01-11", "stance": "denies"}, "disputed"),
        (3, {"answer": {"type": "boolean", "value": False}}, "agreed"),
        (4, {"via": ["paper"]}, "single-origin"),
        (5, {"speaker": "parler", "via": []}, "agreed"),
        (6, {"statement": "In other words."}, "agreed"),
        (7, {"stance": "doubts"}, "single-origin"),
    ):
        writing.append({**revise("claim", "b", expect=expect), "changes": change})
        states += [state] if state != states[-1] else []
    assert _states(writing.database.access(), "up") == ["open", "single-origin", *states]
