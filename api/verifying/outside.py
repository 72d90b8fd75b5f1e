"""`ledger verify URL`: a served ledger checked from outside, as anybody can, without trusting whoever runs it.

Entries come from the tiles and payloads from the feed; both must lead to the root that the checkpoint signs. All else is
then derived again in a scratch copy, and whatever the server answers is held to what that copy answers.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from api import __version__
from api.domain.computed import RULES
from api.domain.errors import Unavailable
from api.domain.log.event import MAX_ENTRY, Redacts, leaf_hash
from api.domain.log.merkle import HASH_BYTES, Frontier
from api.ledger.projecting.projection import PROJECTED
from api.ledger.reading.inspection import Scratch, StoredEvent, StoredHead
from api.settings import Settings
from api.verifying.comparison import Answering, Changed, Comparison
from api.verifying.findings import Finding, Findings
from api.verifying.log import LogCheck, check_note, claimed_size, is_signed_by
from api.verifying.requests import sections
from api.verifying.site import Site
from api.verifying.verify import Doubts, Step, Verdict, derive

TILE_WIDTH = 256
_TILE_HEIGHT = 8
Told = TypeVar("Told")
_SMALL = 2**20
_BUNDLE = TILE_WIDTH * (2 + MAX_ENTRY)
_PAGE = 64 * 2**20
_PAGE_LENGTH = 64
_LATER_PAGES = 20
_OK = 200
# How often all is begun again because something was redacted meanwhile, and seconds in between.
_ROUNDS, _PAUSE = 3, 2.0
_BESIDE = (
    "actors' published names, names of files, proofs (each proves itself), headers, /health, /metrics, pages for people, documentation,"
    " members of a question's groups after the second, most of the pairs of claims that conflict"
)
Copied = Callable[[Settings], AbstractContextManager[Answering]]


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


class _Service(msgspec.Struct, frozen=True):
    """What a server says of itself."""

    version: str
    rules: int
    log_origin: str
    vkeys: list[str]


_ITEMS, _REDACTIONS = msgspec.json.Decoder(_Page), msgspec.json.Decoder(_Redactions)
_SERVICE = msgspec.json.Decoder(_Service)


def verify_url(site: Site, copied: Copied, tell: Callable[[Finding], None], step: Step, doubts: Doubts) -> Verdict:
    """Check all that the server has signed, and all that it says of it; `copied` answers as the log itself would.

    What is redacted meanwhile is seen by beginning again. Raises Unavailable where the server or its checkpoint cannot be
    reached, so that nothing can be said.
    """
    findings = Findings(tell)
    for _ in range(_ROUNDS):
        try:
            return replace(_look(site, copied, findings, step, doubts), findings=findings.count)
        except Changed:
            if findings.count:
                return Verdict(findings=findings.count, beside=_BESIDE)
            site.rest(_PAUSE)
    raise Unavailable("the server says each time that something was redacted meanwhile; try again later")


def _look(site: Site, copied: Copied, findings: Findings, step: Step, doubts: Doubts) -> Verdict:
    note = _text(findings, site.get("/tlog/checkpoint", most=_SMALL), "the checkpoint")
    size = claimed_size(note)
    if size is None:
        findings.add("the checkpoint states no size")
        return Verdict()
    if doubts.vkeys and not is_signed_by(note, doubts.vkeys):
        findings.add("the checkpoint is damaged, or signed by another key than those given; nothing else was looked at")
        return Verdict()
    with Scratch() as scratch:
        log = LogCheck(findings, scratch, {size, claimed_size(doubts.since or "")})
        return _Visit(site, findings, log, size, step, scratch).check(copied, note, doubts)


@dataclass(slots=True)
class _Visit:
    """One walk over the served log, up to the size of the checkpoint that was read first."""

    site: Site
    findings: Findings
    log: LogCheck
    size: int
    step: Step
    scratch: Scratch
    frontier: Frontier = field(default_factory=Frontier)

    def check(self, copied: Copied, note: str, doubts: Doubts) -> Verdict:
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
        verdict = Verdict(
            size=self.log.size,
            root=self.log.frontier.root(),
            redacted=self.log.redacted,
            signed=signed,
            what="answers",
            is_sampled=doubts.sample is not None,
            beside=_BESIDE,
        )
        if doubts.sample == 0:
            return replace(verdict, beside=f"all that is derived from the log, {_BESIDE}")
        return self._compare(copied, doubts.sample, verdict)

    def _compare(self, copied: Copied, sample: int | None, verdict: Verdict) -> Verdict:
        """Hold all that the server says to what the log says, if the log is whole: else there is nothing to hold it to."""
        if self.log.is_outdated:
            raise Changed
        head = StoredHead(self.log.size, self.log.recorded_at, self.log.frontier.to_bytes(), RULES, PROJECTED)
        if (
            not self.log.is_sound
            or self.log.size != self.size
            or not derive(self.findings, self.scratch, head, self.step)
        ):
            return replace(verdict, beside=f"all that is derived from the log, as that is damaged; {_BESIDE}")
        service = self._check_service()
        with copied(self.scratch.settings) as own:
            is_same = service is None or service.version == __version__
            comparison = Comparison(self.findings, self.site, own, self.size, is_same_version=is_same)
            for section in sections(self.scratch, self.size, sample):
                comparison.hold(section, self.step)
            comparison.finish()
        beside = _BESIDE if is_same else f"what the server's other version adds, {_BESIDE}"
        if comparison.later:
            beside = f"{comparison.later:,} answers that tell of what was recorded since, {beside}"
        return replace(verdict, compared=comparison.count - comparison.later, beside=beside)

    def _check_service(self) -> "_Service | None":
        """Read what the server says of itself. Raises Unavailable where it computes by other rules than are known here."""
        raw = self._fetch("/", _SMALL)
        service = None if raw is None else self._read(raw, _SERVICE, "what / says of the service")
        if service is None:
            return None
        if service.log_origin != self.log.state["log_origin"] or not {*service.vkeys} >= self._vkeys():
            self.findings.add("/ names another log, or other keys, than the log does")
        if service.rules != RULES and not self.findings.count:
            raise Unavailable(
                f"the log leads to what its checkpoint signs, but the server computes under rules {service.rules} and"
                f" this program under {RULES}, so what is derived from the log was not compared"
            )
        return service

    def _vkeys(self) -> set[str]:
        return {key["vkey"] for key in self.log.state.get("keys", ())}

    def _events(self) -> Iterator[StoredEvent]:
        """Give each event as the bundle has it, with the leaf hash of the tile, and what the feed says that it holds.

        Ends where a bundle is not given: nothing after it can be held to the root hash.
        """
        said = self._feed()
        for number in range(-(-self.size // TILE_WIDTH)):
            entries = self._bundle(number)
            if entries is None:
                return
            hashes = self._tile(0, number)
            for place, entry in enumerate(entries):
                leaf = leaf_hash(entry) if hashes is None else hashes[place] if place < len(hashes) else b""
                yield self._joined(number * TILE_WIDTH + place + 1, entry, leaf, next(said, None))
            self.frontier, completed = self.frontier.append([leaf_hash(entry) for entry in entries])
            self.scratch.keep_nodes(completed)

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
            raw = self._fetch(f"/v1/events?exact=true&after={after}&limit={limit}", _PAGE, after + 1)
            page = None if raw is None else self._read(raw, _ITEMS, f"the feed after position {after}")
            if page is None or not page.items:
                return
            yield from page.items
            after += len(page.items)

    def _bundle(self, number: int) -> list[bytes] | None:
        """Read a bundle of entries: each after its length in two bytes, big endian (c2sp.org/tlog-tiles)."""
        first = number * TILE_WIDTH + 1
        width = min(TILE_WIDTH, self.size - first + 1)
        raw = self._fetch(tile_path("entries", number, width), _BUNDLE, first)
        if raw is None:
            return None
        entries, start = list[bytes](), 0
        while start < len(raw):
            end = start + 2 + int.from_bytes(raw[start : start + 2], "big")
            entries.append(raw[start + 2 : end])
            start = end
        if len(entries) != width or start != len(raw):
            self.findings.add(f"bundle {number} does not hold {width} entries", first)
        return entries

    def _tile(self, level: int, number: int) -> list[bytes] | None:
        there = self.size >> _TILE_HEIGHT * level
        width = min(TILE_WIDTH, there - number * TILE_WIDTH)
        first = ((number * TILE_WIDTH) << _TILE_HEIGHT * level) + 1
        raw = self._fetch(tile_path(str(level), number, width), TILE_WIDTH * HASH_BYTES, first)
        if raw is None:
            return None
        if len(raw) != width * HASH_BYTES:
            self.findings.add(f"tile {number} of level {level} does not hold {width} hashes")
        return [raw[start : start + HASH_BYTES] for start in range(0, len(raw), HASH_BYTES)]

    def _check_tiles(self) -> None:
        """Hold the tiles above the leaves to the hashes that the entries lead to."""
        level = 1
        while there := self.log.size >> _TILE_HEIGHT * level:
            for number in range(-(-there // TILE_WIDTH)):
                self._check_tile(level, number, there)
            level += 1

    def _check_tile(self, level: int, number: int, there: int) -> None:
        start = number * TILE_WIDTH
        real = self.scratch.nodes(_TILE_HEIGHT * level, start, min(there, start + TILE_WIDTH))
        for place, served in enumerate(self._tile(level, number) or (), start):
            if served != real.get(place):
                first = (place << _TILE_HEIGHT * level) + 1
                self.findings.add(f"a hash of tile {number} of level {level} is not that of the entries", first)

    def _ask_for_later_redactions(self) -> None:
        """Learn of redactions since the checkpoint: payloads may have gone while the log was read."""
        after = self.size
        for _ in range(_LATER_PAGES):
            raw = self._fetch(f"/v1/events?type=redacted&state=false&after={after}&limit=500", _PAGE)
            found = None if raw is None else self._read(raw, _REDACTIONS, "the feed of redactions")
            if found is None or not found.items or found.items[-1].position <= after:
                return
            for each in found.items:
                self.log.expect_redaction(each.position, each.redacts)
            after = found.items[-1].position

    def _check_keys(self) -> None:
        raw = self._fetch("/tlog/keys", _SMALL)
        if raw is None:
            return
        known = "".join(f"{key['from']} {key['vkey']}\n" for key in self.log.state.get("keys", ()))
        if not _text(self.findings, raw, "the list of keys").startswith(known):
            self.findings.add("/tlog/keys is not the chain of keys that the log records")

    def _fetch(self, path: str, most: int, position: int | None = None) -> bytes | None:
        """Read what must be there; where it is not given although the checkpoint still is, that is damage, and None.

        Raises Unavailable where nobody answers any more.
        """
        try:
            status, body = self.site.ask(path, most=most)
        except Unavailable as trouble:
            self.site.get("/tlog/checkpoint", most=_SMALL)
            self.findings.add(str(trouble), position)
            return None
        if status != _OK:
            self.findings.add(f"{path} answered {status}", position)
            return None
        return body

    def _read(self, raw: bytes, decoder: msgspec.json.Decoder[Told], what: str) -> Told | None:
        try:
            return decoder.decode(raw)
        except (ValueError, RecursionError):
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
