"""What a record can be found by: its terms (one for each value of each filter), its spans of time, and its words.

A claim's source and question are never revised, so they are no terms: they stand with the record.
"""

from api.domain.dates.edtf import Extent
from api.domain.records.record import ASSERTED, REDACTED, Record, State, valid_extent
from api.domain.records.source import published_bounds

Term = tuple[str, str]
# Where an open or unknown start stands in the timeline: before the year 1, and short enough for a cursor.
FIRST_START = -(10**17)
Span = tuple[int, bool, int | None, int | None, int | None, int | None]

_SINGLE = {
    "entity": ("type", "part_of"),
    "source": ("type", "publisher", "language", "part_of"),
    "question": ("answer_type", "unit"),
}
_MANY = {"source": ("derives_from", "authors"), "question": ("about",), "entity": ("same_as",)}
# By which fields a record of a kind is named in others; a claim's source and question stand with the claim.
NAMED_IN = {
    "entity": ("entity.part_of", "source.publisher", "question.about", "claim.speaker", "claim.answer"),
    "source": ("source.derives_from", "source.part_of", "claim.via"),
    "claim": ("claim.link",),
}
_WORDS = {
    "entity": ("name", "names", "note"),
    "source": ("title", "authors", "url", "note"),
    "question": ("text", "note"),
    "claim": ("statement", "note"),
}


_OF_CLAIMS = ("answer_type", "stance", "speaker", "answer", "via", "reached_by", "link", "relation")
FIELDS = (
    *(f"{kind}.{field}" for fields in (_SINGLE, _MANY) for kind, names in fields.items() for field in names),
    *(f"claim.{field}" for field in _OF_CLAIMS),
)


def terms(record: Record) -> set[Term]:
    """Name every value by which a filter may find this revision, as (kind.field, value).

    That it is asserted goes without saying, as that is what nearly every revision is.
    """
    kind, state = record.kind, record.state
    if state["status"] == REDACTED:
        return {(f"{kind}.status", REDACTED)}
    found = _claim_terms(state) if kind == "claim" else _plain_terms(kind, state)
    if state["status"] != ASSERTED:
        found.add((f"{kind}.status", state["status"]))
    return found


def _claim_terms(state: State) -> set[Term]:
    answer_type, speaker, via = state["answer"]["type"], state["speaker"], state["via"]
    found = {("claim.answer_type", answer_type), ("claim.stance", state["stance"])}
    if speaker is not None:
        found.add(("claim.speaker", speaker))
    if answer_type in ("entity", "entities"):
        found |= {("claim.answer", entity) for entity in answer_entities(state)}
    if via:
        found |= {("claim.via", source) for source in via}
        found.add(("claim.reached_by", via[-1]))
    for link in state["links"]:
        found |= {("claim.link", link["claim"]), ("claim.relation", link["relation"])}
    return found


def _plain_terms(kind: str, state: State) -> set[Term]:
    found = {(f"{kind}.{field}", state[field]) for field in _SINGLE.get(kind, ()) if state[field] is not None}
    for field in _MANY.get(kind, ()):
        found |= {(f"{kind}.{field}", value) for value in state[field]}
    if kind == "question":
        found.add(("question.varies", "true" if state["varies"] else "false"))
    return found


def answer_entities(state: State) -> list[str]:
    """Name the entities that a claim's answer consists of."""
    answer = state["answer"]
    if answer["type"] == "entity":
        return [answer["entity"]]
    return list(answer["entities"]) if answer["type"] == "entities" else []


def span(record: Record) -> Span | None:
    """Give when a claim's answer holds, or when a source was published; None where nothing is stated."""
    if record.is_redacted:
        return None
    if record.kind == "claim":
        extent = valid_extent(record.state)
        return _span(extent) if extent else None
    if record.kind == "source":
        bounds = published_bounds(record.state)
        return _span(Extent("moment", bounds, bounds)) if bounds else None
    return None


def _span(extent: Extent) -> Span:
    start, end = extent.start, extent.end
    starts = FIRST_START if start.earliest is None else max(FIRST_START, start.earliest)
    return starts, extent.shape == "moment", start.earliest, start.latest, end.earliest, end.latest


def text(kind: str, state: State) -> str | None:
    """Give the text that `q` looks into; None where a record has none to be found by."""
    if kind not in _WORDS or state["status"] == REDACTED:
        return None
    texts = [state["id"].replace("-", " ")]
    for field in _WORDS[kind]:
        value = state[field]
        if isinstance(value, dict):
            texts += [value[name] for name in sorted(value)]
        elif isinstance(value, list):
            texts += value
        elif value:
            texts.append(value)
    if kind == "claim" and state["answer"]["type"] == "text":
        texts.append(state["answer"]["text"])
    return " ".join(texts)
