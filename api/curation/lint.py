"""What a careful editor checks before claims go out: one rule a function, each with the sentence that it finds wanting."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from api.curation.corpus import Corpus, Record
from api.domain.dates import edtf
from api.domain.log.event import KindName
from api.domain.records.kinds import KINDS
from api.domain.records.record import State
from api.domain.records.source import published_bounds

LONGEST_QUOTATION: Final = 5
_QUOTED: Final = re.compile(r'"([^"]*)"|“([^”]*)”|«([^»]*)»|„([^“”]*)[“”]')
_ACCUSED: Final = re.compile(r"\b(?:alleg|accus)", re.IGNORECASE)
_ACCUSING: Final = frozenset({"alleges", "denies", "doubts", "reports-hearsay"})
_WHOLE: Final = frozenset({"accounts", "accounts/day", "day", "rank", "servers"})
_REVIEWED: Final = "Disputed: "
_FIRST, _LAST = edtf.parse_instant("1900-01-01T00:00:00Z"), edtf.parse_instant("2100-01-01T00:00:00Z")
_PERCENT_MOST, _RANK_LEAST = Decimal(100_000), Decimal(1)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wanting: where the record was first recorded, its id, the rule, and the sentence."""

    place: str
    id: str
    rule: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.place} {self.id}: {self.sentence} ({self.rule})"


Rule = Callable[[Corpus, Record], Iterator[str]]


def lint(corpus: Corpus) -> list[Finding]:
    """Apply every rule to every record that stands, in the order of recording."""
    return [
        Finding(record.place, record.id, rule.__name__.strip("_").replace("_", "-"), sentence)
        for records, rules in (
            (corpus.entities, (_used_entity,)),
            (corpus.sources, (_used_source, _own_words)),
            (corpus.questions, (_answered, _reviewed, _own_words)),
            (corpus.claims, CLAIM_RULES),
        )
        for record in records.values()
        for rule in rules
        for sentence in rule(corpus, record)
    ]


def _own_words(_: Corpus, record: Record) -> Iterator[str]:
    """No quotation longer than five words, titles excepted."""
    for name in ("statement", "text", "note"):
        for found in _QUOTED.finditer(record.shown.get(name) or ""):
            count = len(next(filter(None, found.groups()), "").split())
            if count > LONGEST_QUOTATION:
                yield f"the {name} quotes {count} words; a locator stands for more than {LONGEST_QUOTATION}"


def _sentence(_: Corpus, record: Record) -> Iterator[str]:
    statement = record.shown["statement"]
    if not statement.endswith("."):
        yield "the statement is no sentence: it does not end with a full stop"


def _located(_: Corpus, record: Record) -> Iterator[str]:
    if record.shown["locator"] is None:
        yield "no locator says where the source makes the claim"


def _named(_: Corpus, record: Record) -> Iterator[str]:
    stem = f"{record.shown['source']}--{record.shown['question']}"
    if re.fullmatch(re.escape(stem) + r"(?:-[1-9][0-9]*)?", record.id) is None:
        yield f"the id is not {stem}, with a number after it if it is not the first"


def _dated(corpus: Corpus, record: Record) -> Iterator[str]:
    """What varies in time says when it held."""
    if _question_of(corpus, record).get("varies") and record.shown["valid"] is None:
        yield "the answer varies in time, and no `valid` says when this one held"


def _plausible(_: Corpus, record: Record) -> Iterator[str]:
    answer = record.shown["answer"]
    if answer["type"] == "time":
        yield from _implausible_time(answer["edtf"])
    if answer["type"] == "quantity":
        yield from _implausible_quantity(answer)


def _implausible_time(stated: str) -> Iterator[str]:
    extent = edtf.parse(stated)
    bounds = [bound for bound in (extent.start.earliest, extent.end.latest) if bound is not None]
    if any(not _FIRST <= bound <= _LAST for bound in bounds if bound not in (edtf.OPEN_START, edtf.OPEN_END)):
        yield "the time is outside of the 20th and 21st centuries"


def _implausible_quantity(answer: State) -> Iterator[str]:
    unit = answer["unit"]
    for name in ("amount", "low", "high"):
        if answer.get(name) is None:
            continue
        number = Decimal(answer[name])
        if unit in _WHOLE and number != number.to_integral_value():
            yield f"{name}: {unit} are counted in whole numbers"
        if unit == "rank" and number < _RANK_LEAST:
            yield f"{name}: ranks begin at 1"
        if unit == "percent" and number.copy_abs() > _PERCENT_MOST:
            yield f"{name}: more than {_PERCENT_MOST} percent"
        if unit != "percent" and number < 0:
            yield f"{name}: a negative number of {unit}"


def _foreseen(corpus: Corpus, record: Record) -> Iterator[str]:
    """Nobody reports what comes after publication, but as a forecast; a deadline lies ahead by nature."""
    if record.shown["stance"] == "predicts" or "deadline" in record.shown["question"]:
        return
    published = published_bounds(corpus.sources[record.shown["source"]].shown)
    answer, valid = record.shown["answer"], record.shown["valid"]
    for name, stated in (("valid", valid), ("answer", answer.get("edtf"))):
        held = edtf.parse(stated).start.earliest if stated else None
        if published is not None and published.latest is not None and held is not None and held > published.latest:
            yield f"the {name} is after the source was published, and the stance is not `predicts`"


def _labelled(corpus: Corpus, record: Record) -> Iterator[str]:
    """An allegation is labelled as one, unless it is the accusing itself that the question is about."""
    if _ACCUSED.search(_question_of(corpus, record)["text"]) or not _ACCUSED.search(record.shown["statement"]):
        return
    if record.shown["stance"] not in _ACCUSING:
        yield f"the statement tells of an allegation, and the stance is `{record.shown['stance']}`"


def _once(corpus: Corpus, record: Record) -> Iterator[str]:
    """No claim twice: same source and statement, or same source, question, answer, stance, speaker and time."""
    for other in _claims_of(corpus, record.shown["source"]):
        if other.id == record.id:
            return
        if other.shown["statement"] == record.shown["statement"]:
            yield f"{other.id} has the same statement"
        elif _gist(other) == _gist(record):
            yield f"{other.id} answers the same in the same voice"


def _gist(record: Record) -> tuple[object, ...]:
    shown = record.shown
    return tuple(str(shown[name]) for name in ("question", "answer", "stance", "speaker", "via", "valid"))


def _claims_of(corpus: Corpus, source: str) -> list[Record]:
    return [claim for claim in corpus.claims.values() if claim.shown["source"] == source]


def _used_source(corpus: Corpus, record: Record) -> Iterator[str]:
    has_claims = bool(_claims_of(corpus, record.id))
    if not has_claims and not _named_in(corpus, "source")[record.id]:
        yield "no claim is made in it, and none came by it"
    whole = corpus.sources.get(record.shown["part_of"] or "", record)
    if has_claims and not record.shown["captures"] and not whole.shown["captures"]:
        yield "claims are made in it, and no capture says what was read"


def _answered(corpus: Corpus, record: Record) -> Iterator[str]:
    if all(claim.shown["question"] != record.id for claim in corpus.claims.values()):
        yield "no claim answers it"


def _reviewed(corpus: Corpus, record: Record) -> Iterator[str]:
    """A dispute is read by a person, who says in the note what it is about; without one the note says nothing of it."""
    is_disputed = corpus.agreements[record.id].state == "disputed"
    is_noted = _REVIEWED in (record.shown["note"] or "")
    if is_disputed and not is_noted:
        yield f'the claims dispute it, and no note says "{_REVIEWED}…"'
    if is_noted and not is_disputed:
        yield "its note tells of a dispute that the claims do not make"


def _used_entity(corpus: Corpus, record: Record) -> Iterator[str]:
    if not _named_in(corpus, "entity")[record.id]:
        yield "nothing names it"


def _question_of(corpus: Corpus, record: Record) -> State:
    return corpus.questions[record.shown["question"]].shown


def _named_in(corpus: Corpus, kind: KindName) -> Counter[str]:
    """Count how often each record of a kind is named in others; what a claim stands on is not counted."""
    return Counter(
        public_id
        for other in KINDS.values()
        for term in other.terms
        if term.names == kind
        for record in corpus.of(other.name)
        for public_id in term.values(record.shown)
    )


CLAIM_RULES: Final[Sequence[Rule]] = (
    _own_words,
    _sentence,
    _located,
    _named,
    _dated,
    _plausible,
    _foreseen,
    _labelled,
    _once,
)
