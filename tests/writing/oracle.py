"""A slow oracle: what every read must say at a position, folded in plain Python from the feed's events up to it.

It shares with the code under test only what is pure and tested by itself: dates, words, and how claims add up.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from api.domain.agreement import agreement
from api.domain.dates import edtf
from api.domain.dates.edtf import Extent
from api.domain.records.answer import from_state
from api.domain.records.source import published_bounds
from api.domain.words import tokens
from api.ledger.reading.feed import Following, follow
from api.ledger.reading.selection import Selection, Window

State = dict[str, Any]
Key = tuple[str, str]
FACETS = {
    "entity": ("type", "status", "part_of"),
    "source": ("type", "status", "publisher", "language", "derives_from", "authors"),
    "question": ("answer_type", "status", "unit", "varies", "about", "agreement"),
    "claim": ("stance", "status", "speaker", "source", "question", "answer_type", "entity", "via", "relation"),
}
# In the order in which lists show them.
_STATES = ("disputed", "single-origin", "agreed", "open")
_WORDS = {
    "entity": ("name", "names", "note"),
    "source": ("title", "authors", "url", "note"),
    "question": ("text", "aliases", "note"),
    "claim": ("statement", "note"),
}


def events(access) -> list[State]:
    """Read the whole feed, page by page."""
    found: list[State] = []
    while True:
        page = follow(access, Following(after=len(found), limit=500))
        if not page.items:
            return found
        found += [_as_stated(msgspec.json.decode(item)) for item in page.items]


def _as_stated(event: State) -> State:
    """Leave out what the feed computes of a claim, which is computed here by itself."""
    if event["kind"] == "claim" and event["state"] is not None:
        for name in ("valid_bounds", "rules"):
            del event["state"][name]
        event["state"]["answer"].pop("bounds", None)
    return event


@dataclass
class Held:
    """A record: its events so far. One that was redacted says nothing."""

    events: list[State] = field(default_factory=list)

    @property
    def state(self) -> State:
        return self.events[-1]["state"]

    @property
    def is_there(self) -> bool:
        return self.events[-1]["redacted"] is None

    @property
    def is_asserted(self) -> bool:
        return self.is_there and self.state["status"] == "asserted"

    def told(self, name: str) -> Any:
        return self.state[name] if self.is_there else None


class Past:
    """The ledger as it stood at a position."""

    def __init__(self, log: Iterable[State], position: int) -> None:
        self.position = position
        self.records: dict[Key, Held] = {}
        self.log = [event for event in log if event["position"] <= position]
        for event in self.log:
            if event["id"] is not None:
                self.records.setdefault((event["kind"], event["id"]), Held()).events.append(event)

    def of(self, kind: str) -> dict[str, Held]:
        """Give the records of a kind that are on view."""
        return {key[1]: held for key, held in self.records.items() if key[0] == kind and held.is_there}

    def mark(self, kind: str, public_id: str) -> State | None:
        """Say by which redaction a record is gone here, if it is."""
        held = self.records.get((kind, public_id))
        return held.events[-1]["redacted"] if held is not None else None

    def representation(self, kind: str, public_id: str) -> State | None:
        held = self.records.get((kind, public_id))
        if held is None or not held.is_there:
            return None
        first, last = held.events[0], held.events[-1]
        shown = {
            **last["state"],
            "kind": kind,
            "revision": len(held.events),
            "position": last["position"],
            "revised_at": last["recorded_at"],
            "first_position": first["position"],
            "recorded_at": first["recorded_at"],
            "recorded_by": first["actor"],
        }
        if kind == "claim":
            extent = valid(last["state"])
            shown |= {"rules": agreement.RULES, "valid_bounds": edtf.render(extent) if extent else None}
            if shown["answer"]["type"] == "time":
                shown["answer"] = {**shown["answer"], "bounds": shown["valid_bounds"]}
        return shown

    def history(self, kind: str, public_id: str) -> list[State]:
        """Give (revision, position, type, status, reason, changed fields), newest first."""
        lines, before = [], None
        for revision, event in enumerate(self.records[kind, public_id].events, 1):
            lines.append(
                {
                    "revision": revision,
                    **{name: event[name] for name in ("position", "type", "recorded_at", "actor", "reason", "batch")},
                    "status": event["state"]["status"] if event["state"] else None,
                    "fields": changed(before, event["state"]) if event["state"] else None,
                    "redacted": event["redacted"],
                }
            )
            before = event["state"] or before
        return lines[::-1]

    def links(self, claim: str) -> tuple[list[State], list[State]]:
        incoming = [
            {**link, "claim": maker, "redacted": None}
            for maker, held in self.of("claim").items()
            for link in held.state["links"]
            if link["claim"] == claim
        ]
        made = self.records["claim", claim].state["links"]
        return [{**link, "redacted": self.mark("claim", link["claim"])} for link in made], incoming

    def is_live(self, state: State) -> bool:
        parents = (self.records["source", state["source"]], self.records["question", state["question"]])
        return state["status"] == "asserted" and all(parent.is_asserted for parent in parents)

    def adds_up(self, question: str, chosen: Selection) -> agreement.Agreement:
        shown = [
            self._read(public_id, held)
            for public_id, held in self.of("claim").items()
            if held.state["question"] == question and self.is_live(held.state) and self._at_clocks(held.state, chosen)
        ]
        foreign = [
            (maker, link)
            for maker, held in self.of("claim").items()
            if held.state["question"] != question and self.is_live(held.state) and self._at_clocks(held.state, chosen)
            for link in _links(held.state)
            if self.records["claim", link.claim].told("question") == question
        ]
        context = agreement.Context(
            part_of={one[1]: held.told("part_of") for one, held in self.records.items() if one[0] == "entity"},
            derives_from={
                one[1]: tuple(held.told("derives_from") or ())
                for one, held in self.records.items()
                if one[0] == "source"
            },
        )
        varies = self.records["question", question].state["varies"]
        return agreement.agree(question, varies, shown, context, foreign)

    def _read(self, public_id: str, held: Held) -> agreement.Claim:
        state = held.state
        return agreement.Claim(
            id=public_id,
            first_position=held.events[0]["position"],
            answer=from_state(state["answer"]),
            valid=valid(state),
            via=tuple(state["via"]),
            links=tuple(_links(state)),
            **{name: state[name] for name in ("source", "question", "speaker", "stance")},
        )

    def _at_clocks(self, state: State, chosen: Selection) -> bool:
        source = state if "published" in state else self.records["source", state["source"]].state
        if chosen.published_by is not None:
            was = edtf.published_by_certain if chosen.is_certain else edtf.published_by_possible
            if not was(published_bounds(source) if source else None, chosen.published_by):
                return False
        if chosen.valid_at is not None:
            holds = edtf.certain if chosen.is_certain else edtf.possible
            if not holds(valid(state), chosen.valid_at):
                return False
        published = published_bounds(source) if chosen.published and source else None
        when = Extent("moment", published, published) if published else None
        return all(_overlaps(when, each) for each in chosen.published) and all(
            _overlaps(valid(state), each) for each in chosen.valid
        )

    def select(self, chosen: Selection) -> list[str]:
        """Give the ids of a list, in its order."""
        found = [public_id for public_id, held in self.of(chosen.kind).items() if self._fits(held.state, chosen)]
        found.sort(key=lambda one: self._place(one, chosen))
        return found[::-1] if chosen.order.startswith("-") else found

    def _place(self, public_id: str, chosen: Selection) -> tuple[int, ...]:
        """Give where a record stands in the order of a list."""
        held = self.records[chosen.kind, public_id]
        first, last = held.events[0]["position"], held.events[-1]["position"]
        if chosen.is_by_agreement:
            return _STATES.index(self.adds_up(public_id, chosen).state), first
        if chosen.is_by_claims:
            # Of equals the first recorded comes first, whichever way round.
            return self._live_claims(public_id), -first if chosen.is_downward else first
        if chosen.is_by_date:
            source = held if chosen.kind == "source" else self.records["source", held.state["source"]]
            published = published_bounds(source.state) if source.is_there else None
            earliest = published.earliest if published else None
            # What nobody knows comes last, whichever way round.
            last = -(2**64) if chosen.is_downward else 2**64
            return last if earliest is None else earliest, source.events[0]["position"], first
        return (last if "revised" in chosen.order else first,)

    def _live_claims(self, question: str) -> int:
        claims = [held.state for held in self.of("claim").values() if held.state["question"] == question]
        return sum(map(self.is_live, claims))

    def _fits(self, state: State, chosen: Selection) -> bool:
        wanted = [
            any(value in values(chosen.kind, name, state) for each, value in chosen.terms if each == name)
            for name in {name for name, _ in chosen.terms}
        ]
        for parent, name in {(parent, name) for parent, name, _ in chosen.parent_terms}:
            held = self.records[parent, state[parent]]
            any_of = {value for *each, value in chosen.parent_terms if tuple(each) == (parent, name)}
            wanted.append(held.is_there and not any_of.isdisjoint(values(parent, name, held.state)))
        if chosen.ids:
            wanted.append(state["id"] in chosen.ids)
        if chosen.words:
            held = words(chosen.kind, state)
            wanted.append(all(held.intersection(word) for word in chosen.words))
        if chosen.is_live is not None:
            wanted.append(self.is_live(state) is chosen.is_live)
        if chosen.agreement:
            wanted.append(all(wanted) and self.adds_up(state["id"], chosen).state in chosen.agreement)
        return all(wanted) and (chosen.kind in ("entity", "question") or self._at_clocks(state, chosen))

    def timeline(self, chosen: Selection) -> list[str]:
        live = replace(chosen, is_live=True)
        return sorted((one for one in self.select(live) if self._starts(one)), key=self._starts)

    def _starts(self, claim: str) -> tuple[int, int] | None:
        held = self.records["claim", claim]
        extent = valid(held.state)
        start = extent.start.earliest if extent else None
        return None if extent is None else (start if start is not None else -(10**17), held.events[0]["position"])

    def facets(self, chosen: Selection, name: str) -> dict[str, int]:
        kind = chosen.kind
        if name == "agreement":
            return Counter(self.adds_up(one, chosen).state for one in self.select(chosen))
        return Counter(
            value for one in self.select(chosen) for value in values(kind, name, self.records[kind, one].state)
        )

    def stats(self) -> State:
        """Count events by type and records by kind and status, and questions by state of agreement."""
        kinds = {kind: _count(held.state["status"] for held in self.of(kind).values()) for kind in FACETS}
        states = _count(self.adds_up(one, Selection(kind="claim")).state for one in self.of("question"))
        return {
            "events": len(self.log),
            "by_type": _count(event["type"] for event in self.log),
            "records": kinds,
            "agreement": states,
        }


def changes(old: Past, new: Past) -> dict[Key, tuple[int | None, int, str]]:
    """Give the records whose latest event lies between two moments: revisions before and after, and what happened."""
    found = {}
    for key, held in new.records.items():
        before = old.records.get(key)
        if key[0] in ("ledger", "redaction") or not held.is_there:
            continue
        if before is not None and len(before.events) == len(held.events):
            continue
        change = "revised"
        if before is None:
            change = "recorded"
        elif not before.is_there:
            change = "revised" if held.is_asserted else "retracted"
        elif before.is_asserted != held.is_asserted:
            change = "restored" if held.is_asserted else "retracted"
        found[key] = (len(before.events) if before else None, len(held.events), change)
    return found


def turns(old: Past, new: Past) -> dict[str, tuple[str | None, str]]:
    """Give the questions whose state of agreement differs between two moments."""
    plain = Selection(kind="claim")
    before = {one: old.adds_up(one, plain).state for one in old.of("question")}
    after = {one: new.adds_up(one, plain).state for one in new.of("question")}
    return {one: (before.get(one), state) for one, state in after.items() if before.get(one) != state}


def changed(before: State | None, after: State) -> list[str]:
    if before is None:
        return sorted(name for name, value in after.items() if value not in (None, [], {}))
    return sorted(name for name in after if before[name] != after[name])


def valid(state: State) -> Extent | None:
    answer = state.get("answer", {})
    text = answer.get("edtf") if answer.get("type") == "time" else state.get("valid")
    return edtf.parse(text) if text else None


def values(kind: str, name: str, state: State) -> list[str]:
    """Give the values by which a filter finds a state."""
    special: dict[str, Callable[[], list[str]]] = {
        "varies": lambda: [str(state["varies"]).lower()],
        "answer_type": lambda: [state["answer"]["type"] if kind == "claim" else state["answer_type"]],
        "entity": lambda: [*_named(state), *([state["speaker"]] if state["speaker"] else [])],
        "linked_to": lambda: [link["claim"] for link in state["links"]],
        "relation": lambda: [link["relation"] for link in state["links"]],
        "language": lambda: [tag for tag in ("fr", "fr-CA", "frr", "en") if _is_in(state, tag)],
    }
    if name in special:
        return list(dict.fromkeys(special[name]()))
    value = state[name]
    return list(dict.fromkeys(value)) if isinstance(value, list) else [value] if value is not None else []


def _is_in(source: State, tag: str) -> bool:
    """Match as RFC 4647 section 3.3.1 says it."""
    stated = (source["language"] or "").lower()
    return stated == tag.lower() or stated.startswith(tag.lower() + "-")


def _named(state: State) -> list[str]:
    answer = state["answer"]
    return [answer["entity"]] if answer["type"] == "entity" else answer.get("entities", [])


def words(kind: str, state: State) -> set[str]:
    texts = [(state["id"].replace("-", " "), None)]
    for name in _WORDS[kind]:
        value, language = state[name], state["language"] if name == "title" else None
        if isinstance(value, dict):
            texts += [(text, tag) for tag, text in value.items()]
        else:
            texts += [(text, language) for text in (value if isinstance(value, list) else [value or ""])]
    if kind == "claim" and state["answer"]["type"] == "text":
        texts.append((state["answer"]["text"], None))
    return {word for each in texts for word in tokens(*each).split()}


def _overlaps(extent: Extent | None, window: Window) -> bool:
    if extent is None:
        return False
    start, end = extent.start.earliest, extent.end.latest
    return (start is None or start < window.latest) and (end is None or end > window.earliest)


def _links(state: State) -> list[agreement.Link]:
    return [agreement.Link(link["relation"], link["claim"], link["position"]) for link in state["links"]]


def _count(found: Iterable[str]) -> dict[str, int]:
    return dict(Counter(found))
