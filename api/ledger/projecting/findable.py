"""What a record can be found by: its terms (one for each value of each filter), its spans of time, and its words.

Which these are is told by the table of kinds. A claim's source and question are never revised, so they are no terms: they
stand with the record.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from api.domain.dates.edtf import Extent
from api.domain.log.event import Entry
from api.domain.records.kinds import KINDS, SOURCE, Said, Tagged, texts_in
from api.domain.records.record import ASSERTED, REDACTED, Record, State
from api.domain.records.redaction import REDACTION
from api.domain.words import CALLED, SAID, Marks, tokens

# What a record is found by: a field, as `kind.term`, and a value.
Found = tuple[str, str]
# A text, its language where that is known, and what marks its words.
Text = tuple[str, str | None, Marks]
# Where an open or unknown start stands in the timeline: before the year 1, and short enough for a cursor.
FIRST_START = -(10**17)
# Where a source stands of which nobody knows since when it is published: after all others, and short enough as well.
LAST_START = 10**18 - 1
Span = tuple[int, bool, int | None, int | None, int | None, int | None]
# A list in the order of publication shows every source, so one that states no date has a span too, if no moment.
_UNDATED: Span = (LAST_START, False, None, None, None, None)


# What is read of a state, and how: every event asks for each of them, so the table of kinds is flattened once.
_Read = tuple[str, str, Callable[[State], Sequence[str]] | None]


def _flat(kind: str, said: Iterable[Said]) -> list[_Read]:
    return [(f"{kind}.{each.name}", each.name, each.read) for each in said]


_TERMS: Mapping[str, list[_Read]] = {kind.name: _flat(kind.name, kind.terms) for kind in KINDS.values()}
_WORDS: Mapping[str, list[_Read]] = {kind.name: _flat(kind.name, kind.words) for kind in KINDS.values()}
_TAGGED: Mapping[str, list[tuple[Callable[[State], Sequence[Tagged]], Marks]]] = {
    kind.name: [(read, marks) for read, marks in ((kind.tagged, SAID), (kind.called, CALLED)) if read]
    for kind in KINDS.values()
}
FIELDS = tuple(field for terms in _TERMS.values() for field, *_ in terms)


def terms(record: Record) -> set[Found]:
    """Name every value by which a filter may find this revision.

    That it is asserted goes without saying, as that is what nearly every revision is.
    """
    kind, state = record.kind, record.state
    if state["status"] == REDACTED:
        return {(f"{kind}.status", REDACTED)}
    found: set[Found] = set()
    for field, name, read in _TERMS.get(kind, ()):
        value = state[name] if read is None else read(state)
        if isinstance(value, str):
            found.add((field, value))
        elif value or value is False:
            found.update([(field, each) for each in texts_in(value)])
    if state["status"] != ASSERTED:
        found.add((f"{kind}.status", state["status"]))
    return found


def passes(redaction: Record, entry: Entry, covers: Collection[tuple[str, str | None]]) -> set[Found]:
    """Name the values of the feed's filters that a redaction passes: its own, and those of what it covers.

    `covers` are type and actor of each event that it covers. Nothing of this is ever redacted.
    """
    passed = {
        "kind": {REDACTION, redaction.state["kind"]},
        "id": {redaction.id, redaction.state["target"]},
        "type": {entry.type, *(each for each, _ in covers)},
        "actor": {entry.actor, *(actor for _, actor in covers)},
    }
    return {(f"{REDACTION}.{name}", value) for name, values in passed.items() for value in values if value is not None}


def span(record: Record) -> Span | None:
    """Give when a claim's answer holds, or when a source was published; None where a claim states nothing."""
    kind = KINDS.get(record.kind)
    if kind is None or kind.span is None:
        return None
    extent = None if record.is_redacted else kind.span(record.state)
    if kind is SOURCE:
        return _span(extent, LAST_START) if extent else _UNDATED
    return _span(extent, FIRST_START) if extent else None


def _span(extent: Extent, unknown: int) -> Span:
    start, end = extent.start, extent.end
    starts = unknown if start.earliest is None else max(FIRST_START, start.earliest)
    return starts, extent.shape == "moment", start.earliest, start.latest, end.earliest, end.latest


def texts(kind: str, state: State) -> list[Text] | None:
    """Give what a search looks into, the id's words first; None where a record has none to be found by."""
    if kind not in KINDS or state["status"] == REDACTED:
        return None
    said = [state["id"].replace("-", " ")]
    for _, name, read in _WORDS[kind]:
        value = state[name] if read is None else read(state)
        if isinstance(value, str):
            said.append(value)
        elif value:
            said.extend(texts_in(value))
    found: list[Text] = [(" ".join(filter(None, said)), None, SAID)]
    for tagged, marks in _TAGGED[kind]:
        found += [(text, language, marks) for text, language in tagged(state)]
    return found


def words(found: Sequence[Text]) -> str:
    """Give the tokens of texts, with spaces between them."""
    return " ".join([tokens(*each) for each in found])
