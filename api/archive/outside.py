"""`ledger verify URL`: a served ledger checked from outside, as anybody can, without trusting whoever runs it.

Entries come from the tiles and payloads from the feed; both must lead to the root that the checkpoint signs. All is then
derived again in a scratch copy, and what the server says of its records is held to that.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from api.archive.findings import Finding, Findings
from api.archive.log import LogCheck, check_note, claimed_size
from api.archive.site import Site
from api.archive.verify import Doubts, Step, Verdict, derive
from api.domain.agreement import RULES
from api.domain.event import MAX_ENTRY, Redacts, leaf_hash
from api.domain.merkle import HASH_BYTES, Frontier, Node
from api.ledger.inspection import Scratch, StoredEvent, StoredHead

TILE_WIDTH = 256
_TILE_HEIGHT = 8
_SMALL = 2**20
_BUNDLE = TILE_WIDTH * (2 + MAX_ENTRY)
_PAGE = 64 * 2**20
_PAGE_LENGTH = 64
_PATHS = {"entity": "entities", "source": "sources", "question": "questions", "claim": "claims"}
_OK, _GONE = 200, 410


class _Exact(msgspec.Struct, frozen=True):
    """One event as the feed gives it to the byte."""

    position: int
    entry: str
    payload: str | None
    salt: str | None
    leaf_hash: str


class _Page(msgspec.Struct, frozen=True):
    items: list[_Exact]


class _Redaction(msgspec.Struct, frozen=True):
    position: int
    redacts: Redacts


class _Redactions(msgspec.Struct, frozen=True):
    items: list[_Redaction]


def verify_url(site: Site, tell: Callable[[Finding], None], step: Step, doubts: Doubts) -> Verdict:
    """Check all that the server has signed, and what it says of some of its records.

    Raises Unavailable where the server does not answer, so that nothing can be said.
    """
    findings = Findings(tell)
    note = _text(findings, site.get("/tlog/checkpoint", most=_SMALL), "the checkpoint")
    size = claimed_size(note)
    if size is None:
        findings.add("the checkpoint states no size")
        return Verdict(findings=findings.count)
    with Scratch() as scratch:
        log = LogCheck(findings, scratch, {size, claimed_size(doubts.since or "")})
        verdict = _Visit(site, findings, log, size, step).check(scratch, note, doubts)
    return replace(verdict, findings=findings.count)


@dataclass(slots=True)
class _Visit:
    """One walk over the served log, up to the size of the checkpoint that was read first."""

    site: Site
    findings: Findings
    log: LogCheck
    size: int
    step: Step
    frontier: Frontier = field(default_factory=Frontier)
    tops: dict[int, list[bytes]] = field(default_factory=dict)

    def check(self, scratch: Scratch, note: str, doubts: Doubts) -> Verdict:
        for event in self._events():
            self.log.take(event)
            if not event.position % TILE_WIDTH or event.position == self.size:
                self.step("entries", event.position, self.size)
        self._ask_for_later_redactions()
        self.log.finish()
        self._check_tiles()
        signed = check_note(self.findings, self.log, note, "the checkpoint", doubts.vkeys)
        if doubts.since is not None:
            check_note(self.findings, self.log, doubts.since, "the earlier checkpoint", doubts.vkeys)
        self._check_keys()
        compared = self._check_records(scratch, doubts.sample)
        root = self.log.frontier.root()
        return Verdict(
            size=self.log.size,
            root=root,
            redacted=self.log.redacted,
            compared=compared,
            what="records",
            signed=signed,
            is_outdated=self.log.is_outdated,
        )

    def _events(self) -> Iterator[StoredEvent]:
        """Give each event as the bundle has it, with the leaf hash of the tile, and what the feed says that it holds."""
        said = self._feed()
        for number in range(-(-self.size // TILE_WIDTH)):
            entries, hashes = self._bundle(number), self._tile(0, number)
            completed: list[Node] = []
            for place, entry in enumerate(entries):
                leaf = hashes[place] if place < len(hashes) else b""
                yield self._joined(number * TILE_WIDTH + place + 1, entry, leaf, next(said, None))
            self.frontier, completed = self.frontier.append([leaf_hash(entry) for entry in entries])
            for level, _, node in completed:
                if not level % _TILE_HEIGHT:
                    self.tops.setdefault(level // _TILE_HEIGHT, []).append(node)

    def _joined(self, position: int, entry: bytes, leaf: bytes, said: _Exact | None) -> StoredEvent:
        if said is None or said.position != position:
            self.findings.add("the feed does not give the event", position)
            return StoredEvent(position, entry, leaf, None, None)
        if said.entry.encode() != entry or said.leaf_hash != leaf.hex():
            self.findings.add("the feed gives another entry or leaf hash than the tiles", position)
        try:
            salt = bytes.fromhex(said.salt) if said.salt is not None else None
        except ValueError:
            salt = b""
        return StoredEvent(position, entry, leaf, salt, said.payload.encode() if said.payload is not None else None)

    def _feed(self) -> Iterator[_Exact]:
        after = 0
        while after < self.size:
            limit = min(_PAGE_LENGTH, self.size - after)
            raw = self.site.get(f"/v1/events?exact=true&after={after}&limit={limit}", most=_PAGE)
            page = self._read(raw, _Page, f"the feed after position {after}")
            if page is None or not page.items:
                return
            yield from page.items
            after += len(page.items)

    def _bundle(self, number: int) -> list[bytes]:
        """Read a bundle of entries: each after its length in two bytes, big endian (c2sp.org/tlog-tiles)."""
        width = min(TILE_WIDTH, self.size - number * TILE_WIDTH)
        raw = self.site.get(tile_path("entries", number, width), most=_BUNDLE)
        entries, start = list[bytes](), 0
        while start < len(raw):
            end = start + 2 + int.from_bytes(raw[start : start + 2], "big")
            entries.append(raw[start + 2 : end])
            start = end
        if len(entries) != width or start != len(raw):
            self.findings.add(f"bundle {number} does not hold {width} entries", number * TILE_WIDTH + 1)
        return entries

    def _tile(self, level: int, number: int) -> list[bytes]:
        there = self.size >> _TILE_HEIGHT * level
        width = min(TILE_WIDTH, there - number * TILE_WIDTH)
        raw = self.site.get(tile_path(str(level), number, width), most=TILE_WIDTH * HASH_BYTES)
        if len(raw) != width * HASH_BYTES:
            self.findings.add(f"tile {number} of level {level} does not hold {width} hashes")
        return [raw[start : start + HASH_BYTES] for start in range(0, len(raw), HASH_BYTES)]

    def _check_tiles(self) -> None:
        """Hold the tiles above the leaves to the hashes that the entries lead to."""
        for level, nodes in self.tops.items():
            for number in range(-(-len(nodes) // TILE_WIDTH)):
                start = number * TILE_WIDTH
                real = nodes[start : start + TILE_WIDTH]
                for place, (served, node) in enumerate(zip(self._tile(level, number), real, strict=False)):
                    if served != node:
                        first = ((start + place) << _TILE_HEIGHT * level) + 1
                        self.findings.add(f"a hash of tile {number} of level {level} is not that of the entries", first)

    def _ask_for_later_redactions(self) -> None:
        """Learn of redactions since the checkpoint: payloads may have gone while the log was read."""
        path = f"/v1/events?type=redacted&state=false&after={self.size}&limit=500"
        while True:
            found = self._read(self.site.get(path, most=_PAGE), _Redactions, "the feed of redactions")
            if found is None or not found.items:
                return
            for each in found.items:
                self.log.expect_redaction(each.position, each.redacts)
            path = f"/v1/events?type=redacted&state=false&after={found.items[-1].position}&limit=500"

    def _check_keys(self) -> None:
        served = _text(self.findings, self.site.get("/tlog/keys", most=_SMALL), "the list of keys")
        known = "".join(f"{key['from']} {key['vkey']}\n" for key in self.log.state.get("keys", ()))
        if not served.startswith(known):
            self.findings.add("/tlog/keys is not the chain of keys that the log records")

    def _check_records(self, scratch: Scratch, sample: int) -> int:
        """Compare what the server says of some records, drawn at random, with what their events add up to."""
        head = StoredHead(self.log.size, self.log.recorded_at, self.log.frontier.to_bytes(), RULES)
        if not sample or not self.log.is_sound or self.log.is_outdated:
            return 0
        if not derive(self.findings, scratch, head, self.step):
            return 0
        places = scratch.latest_positions(tuple(_PATHS))
        drawn = sorted(random.sample(places, min(sample, len(places))))
        for done, position in enumerate(drawn, 1):
            self._check_record(scratch, position)
            self.step("records compared", done, len(drawn))
        return len(drawn)

    def _check_record(self, scratch: Scratch, position: int) -> None:
        kind, public_id, document, is_held = scratch.shown(position)
        path = f"/v1/{_PATHS[kind]}/{public_id}?as_of={self.size}"
        status, body = self.site.ask(path, most=_SMALL)
        if status == _GONE and not is_held:
            return
        if status != _OK:
            self.findings.add(f"{path} answered {status}", position)
        elif self._read(body, dict, path) != msgspec.json.decode(document):
            self.findings.add(f"{path} says something else than the log does", position)

    def _read(self, raw: bytes, kind: type[Any], what: str) -> Any:  # noqa: ANN401 - the kind asked for
        try:
            return msgspec.json.decode(raw, type=kind)
        except ValueError:
            self.findings.add(f"{what} is not of the form that the OpenAPI document gives")
            return None


def tile_path(level: str, number: int, width: int) -> str:
    """Name a tile, its index in groups of three digits (c2sp.org/tlog-tiles)."""
    groups = [f"{number % 1000:03}"]
    while number >= 1000:  # noqa: PLR2004 - three digits
        number //= 1000
        groups.insert(0, f"x{number % 1000:03}")
    return f"/tlog/tile/{level}/{'/'.join(groups)}" + ("" if width == TILE_WIDTH else f".p/{width}")


def _text(findings: Findings, raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except ValueError:
        findings.add(f"{what} is not UTF-8")
        return ""
