"""The rules that a state must keep beyond its JSON Schema: references, cycles, dates, and answers that fit.

What a kind refers to, what of it is never revised and which of its fields are chains stands in the table of kinds. Each
check raises a Conflict whose pointer is relative to the record's own fields.
"""

from collections.abc import Iterable, Sequence

from api.domain.addresses import host_refusal
from api.domain.dates import edtf
from api.domain.errors import (
    AnswerDoesNotFit,
    BadUrl,
    BeyondLimit,
    Cycle,
    FieldFixed,
    IntervalReversed,
    NotApplicable,
    RedactedReference,
    StatusRefused,
    UnknownReference,
)
from api.domain.records import answer as answers
from api.domain.records.kinds import CHAINS, KINDS, Kind, Reference, values_of
from api.domain.records.record import Look, State

# Of how many claims one batch may have agreement weighed anew, by changing sources, entities and questions.
MOST_WEIGHED = 100_000
# Agreement follows these chains from every claim, and compares these lists with one another.
MOST_DEEP = 32
MOST_ABOVE = 1_000
MOST_MEMBERS = 100
# Where an answer names entities.
_ENTITY = Reference("entity", "entity")
_ENTITIES = Reference("entities", "entity", is_list=True)


def check(kind: str, before: State | None, state: State, look: Look) -> None:
    """Refuse a state that breaks a rule of its kind; `before` is None for a new record."""
    told = KINDS[kind]
    if before is None:
        for parent in told.stands_on:
            _need_asserted(look, parent, state[parent])
    else:
        _check_fixed(told, before, state, look)
    for reference in told.references:
        _check_reference(look, reference, state, before)
    for field in CHAINS[kind]:
        _check_chain(look, kind, field, before, state)
    own = _OWN_RULES.get(kind)
    if own is not None:
        own(before, state, look)


def _check_fixed(kind: Kind, before: State, state: State, look: Look) -> None:
    for name in kind.fixed:
        if before[name] != state[name]:
            raise FieldFixed("this field is never revised", f"/{name}")
    for name in kind.fixed_once_answered:
        if before[name] != state[name] and look.is_answered(state["id"]):
            raise FieldFixed("not revised once a claim answers the question", f"/{name}")


def _check_entity(before: State | None, state: State, _look: Look) -> None:
    _check_addresses(before, state, "same_as")
    if _is_new(before, state, "names"):
        _check_languages(state["names"])


def _check_languages(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for tag in names:
        if tag.lower() in seen:
            raise NotApplicable("names the same language twice; case makes no difference", f"/names/{tag}")
        seen.add(tag.lower())


def _check_source(before: State | None, state: State, _look: Look) -> None:
    _check_addresses(before, state, "url")
    _check_addresses(before, state, "archived_url")
    published, modified = _date(before, state, "published"), _date(before, state, "modified")
    if published and modified and _is_before(modified, published):
        raise IntervalReversed("/modified")


def _check_question(_before: State | None, state: State, _look: Look) -> None:
    if (state["unit"] is None) == (state["answer_type"] == "quantity"):
        raise NotApplicable("a quantity needs a unit, and no other answer has one", "/unit")


def _check_claim(before: State | None, state: State, look: Look) -> None:
    _check_answer(before, state, look)
    if state["valid"] is not None and state["answer"]["type"] == "time":
        raise NotApplicable("a time answer is its own valid; leave this out", "/valid")
    _date(before, state, "valid")


def _check_answer(before: State | None, state: State, look: Look) -> None:
    question = look.find("question", state["question"])
    given = answers.from_state(state["answer"])
    if _is_new(before, state, "answer"):
        answers.check(given)
    if question is None:
        return
    if question.is_redacted:
        # What it asked is gone, so nothing tells whether another answer fits.
        if _is_new(before, state, "answer"):
            raise RedactedReference("question", "/answer")
        return
    kind, unit = question.state["answer_type"], question.state["unit"]
    if not answers.fits(given, kind, unit):
        raise AnswerDoesNotFit(f"{kind} in {unit}" if unit else kind, "/answer")
    said = before["answer"] if before else None
    if isinstance(given, answers.EntityAnswer):
        _check_reference(look, _ENTITY, state["answer"], said, "/answer")
    if isinstance(given, answers.EntitiesAnswer):
        if len(given.entities) > MOST_MEMBERS and given.entities != (said or {}).get("entities"):
            raise BeyondLimit(f"a list names at most {MOST_MEMBERS} entities", "/answer/entities")
        _check_reference(look, _ENTITIES, state["answer"], said, "/answer")


def _check_reference(look: Look, reference: Reference, state: State, before: State | None, within: str = "") -> None:
    """Require that what a field names is there. One redacted since may go on being named, and not be named anew."""
    field = reference.field
    # An answer of another type may have stood there before, without this field.
    named_before = values_of(before, field) if before and field in before else ()
    seen: set[str] = set()
    for index, public_id in enumerate(values_of(state, field)):
        pointer = f"{within}/{field}/{index}" if reference.is_list else f"{within}/{field}"
        if public_id in seen:
            raise NotApplicable("names the same record twice", pointer)
        seen.add(public_id)
        _need_one(look, reference.kind, public_id, pointer, named_before)


def _need_one(look: Look, kind: str, public_id: str, pointer: str, named_before: Sequence[str]) -> None:
    found = look.find(kind, public_id)
    if found is None:
        raise UnknownReference(kind, pointer)
    if found.is_redacted and public_id not in named_before:
        raise RedactedReference(kind, pointer)


def _need_asserted(look: Look, kind: str, public_id: str) -> None:
    found = look.find(kind, public_id)
    if found is None:
        raise UnknownReference(kind, f"/{kind}")
    if found.is_redacted:
        raise RedactedReference(kind, f"/{kind}")
    if not found.is_asserted:
        raise StatusRefused(f"the {kind} is retracted; new claims on it are refused", f"/{kind}")


def _check_chain(look: Look, kind: str, field: str, before: State | None, state: State) -> None:
    """Refuse a new value that closes a cycle, or makes a chain too deep: of what is above the record, it, and all below.

    A chain that was too deep before there was a limit stays as it is, and grows no more.
    """
    if not state[field] or (before is not None and before[field] == state[field]):
        return
    above = _height_above(look, kind, field, state)
    level, below = {state["id"]} if before is not None else set(), 0
    while level := look.naming(kind, field, level) if level else level:
        below += 1
        if above + below > MOST_DEEP:
            raise BeyondLimit(f"{field} would lead more than {MOST_DEEP} steps up from what is below this", f"/{field}")


def _height_above(look: Look, kind: str, field: str, state: State) -> int:
    """Count the steps from a record to the furthest that it leads up to, all that are as many steps away at once."""
    level, steps, seen = set(values_of(state, field)), 0, set[str]()
    while level:
        steps += 1
        if state["id"] in level:
            raise Cycle(field, f"/{field}")
        seen |= level
        if steps > MOST_DEEP or len(seen) > MOST_ABOVE:
            limit = f"{MOST_DEEP} steps up" if steps > MOST_DEEP else f"up to more than {MOST_ABOVE} records"
            raise BeyondLimit(f"{field} would lead more than {limit}", f"/{field}")
        found = (look.find(kind, public_id) for public_id in level)
        level = {
            each for record in found if record and not record.is_redacted for each in values_of(record.state, field)
        }
    return steps


def _date(before: State | None, state: State, field: str) -> edtf.Extent | None:
    if state[field] is None:
        return None
    if not _is_new(before, state, field):
        return edtf.parse(state[field])
    try:
        return edtf.check(state[field])
    except IntervalReversed as refusal:
        refusal.pointer = f"/{field}"
        raise


def _check_addresses(before: State | None, state: State, field: str) -> None:
    if not _is_new(before, state, field):
        return
    for index, url in enumerate(values_of(state, field)):
        refusal = host_refusal(url)
        if refusal is not None:
            raise BadUrl(refusal, f"/{field}/{index}" if isinstance(state[field], list) else f"/{field}")


def _is_new(before: State | None, state: State, field: str) -> bool:
    """Say whether a field is stated now: what was recorded under the rules of its time goes on being said."""
    return before is None or before[field] != state[field]


def _is_before(one: edtf.Extent, other: edtf.Extent) -> bool:
    """Say whether `one` must be over when `other` can first begin."""
    end, start = one.end.latest, other.start.earliest
    return end is not None and start is not None and end <= start


_OWN_RULES = {"entity": _check_entity, "source": _check_source, "question": _check_question, "claim": _check_claim}
