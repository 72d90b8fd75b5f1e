"""The log, derived again from its entries and payloads: what must hold of every event, whoever keeps it.

Events are taken in order, one at a time. What concerns several of them (the numbers of revisions, redactions) is asked
of a scratch copy at the end, so that a check takes the same memory whatever the length of the log.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

from api.domain.errors import LedgerError
from api.domain.log import event
from api.domain.log.checkpoint import open_note
from api.domain.log.event import Entry, Redacts
from api.domain.log.merkle import EMPTY_ROOT, Frontier
from api.domain.records.record import State
from api.domain.text import canonical, read_json
from api.ledger.reading.inspection import Columns, Scratch, StoredEvent
from api.verifying.findings import Findings

_SALT_BYTES = 32
_HASHED_AT_ONCE = 1024


class LogCheck:
    """Takes events in order of position and says what is wrong with each.

    `sizes` are those at which the root hash is wanted; `roots` has them once they were passed. `state` is the latest
    state of the ledger's own record: its name and its chain of keys. `is_sound` says whether entries and payloads are
    what they must be, so that all else can be derived from them; `is_outdated`, once finished, whether a later redaction
    removed some of what is needed for that.
    """

    def __init__(self, findings: Findings, scratch: Scratch, sizes: Iterable[int | None] = ()) -> None:
        self._findings, self._scratch = findings, scratch
        self._sizes = set(sizes)
        self._leaves: list[bytes] = []
        self._frontier = Frontier()
        self._last_entry: Entry | None = None
        self.size = 0
        self.recorded_at = 0
        self.is_gapless = self.is_sound = True
        self.redacted = 0
        self.roots: dict[int, bytes] = {0: EMPTY_ROOT}
        self.state: State = {}
        self._later: list[tuple[int, Redacts]] = []
        self.is_outdated = False

    def take(self, kept: StoredEvent) -> bytes:
        """Check one event and give the leaf hash that its entry has."""
        self._follow(kept.position)
        leaf = event.leaf_hash(kept.entry)
        if kept.leaf_hash != leaf:
            self._findings.add("the leaf hash is not that of the entry", kept.position)
        self._grow(leaf)
        entry = self._read(kept)
        if entry is not None:
            self._check_payload(kept, entry)
            self._check_batch(entry)
            self._last_entry = entry
        self._copy(kept, entry)
        return leaf

    def finish(self) -> None:
        """Check what concerns several events. The root at the full size is among `roots` from now on."""
        self._hash()
        self.roots[self.size] = self._frontier.root()
        last = self._last_entry
        if last is not None and last.batch is not None and last.batch[1] > self.size:
            self._condemn("the batch that it came in goes on after the end of the log", last.position)
        self._scratch.flush()
        for position, revision, before, is_same_kind in self._scratch.misnumbered():
            if revision != before + 1:
                self._condemn(f"revision {revision} of its record follows revision {before}", position)
            if not is_same_kind:
                self._condemn("the record was of another kind before", position)
        self._check_redactions()

    def expect_redaction(self, position: int, redacts: Redacts) -> None:
        """Take a redaction into account that comes after the part of the log that is looked at."""
        self._later.append((position, redacts))

    @property
    def frontier(self) -> Frontier:
        """The tree over all that was taken."""
        self._hash()
        return self._frontier

    def _condemn(self, what: str, position: int) -> None:
        self.is_sound = False
        self._findings.add(what, position)

    def _follow(self, position: int) -> None:
        if position <= self.size:
            self._condemn("stands at no place of a log, which counts from 1", position)
            self.is_gapless = False
            return
        if position == self.size + 2:
            self._condemn("no event is there", self.size + 1)
        elif position > self.size + 2:
            self._condemn(f"no event is there, nor at any up to {position - 1}", self.size + 1)
        self.is_gapless = self.is_gapless and position == self.size + 1
        self.size = position

    def _grow(self, leaf: bytes) -> None:
        self._leaves.append(leaf)
        if self.size in self._sizes:
            self._hash()
            self.roots[self.size] = self._frontier.root()
        elif len(self._leaves) >= _HASHED_AT_ONCE:
            self._hash()

    def _hash(self) -> None:
        self._frontier, _ = self._frontier.append(self._leaves)
        self._leaves.clear()

    def _read(self, kept: StoredEvent) -> Entry | None:
        try:
            entry = event.decode(kept.entry)
        except ValueError:
            # What msgspec says may repeat what stands there.
            self._condemn("the entry is not one of format version 1, to the byte", kept.position)
            return None
        if entry.position != kept.position:
            self._condemn("the entry is that of another position", kept.position)
        moment = event.unstamp(entry.recorded_at)
        if self.size > 1 and moment <= self.recorded_at:
            self._condemn("recorded_at is not later than the event's before", kept.position)
        self.recorded_at = moment
        if kept.columns is not None:
            self._check_columns(kept.position, kept.columns, columns_of(entry))
        return entry

    def _check_columns(self, position: int, kept: Columns, real: Columns) -> None:
        said = asdict(real)
        for name, value in asdict(kept).items():
            if value != said[name]:
                self._findings.add(f"the column {name} is not what the entry says", position)

    def _check_payload(self, kept: StoredEvent, entry: Entry) -> None:
        if kept.payload is None or kept.salt is None:
            return
        position = kept.position
        if event.payload_digest(kept.salt, kept.payload) != entry.payload_digest:
            self._condemn("salt and payload are not what the entry's payload_digest commits to", position)
            return
        if len(kept.salt) != _SALT_BYTES:
            self._condemn(f"the salt has {len(kept.salt)} bytes, not {_SALT_BYTES}", position)
        state = _state(kept.payload)
        if state is None:
            self._condemn("the payload is not canonical JSON of a reason and a state with an id", position)
        elif entry.kind == "ledger":
            self._follow_keys(state, position)

    def _follow_keys(self, state: State, position: int) -> None:
        """Hold the chain of keys to its rule: old ones stay, and a new one is in force from the next position on."""
        try:
            name, chain = state["log_origin"], [(key["from"], key["vkey"]) for key in state["keys"]]
            known = [(key["from"], key["vkey"]) for key in self.state.get("keys", ())]
        except (KeyError, TypeError):
            self._condemn("the ledger's own record names no keys", position)
            return
        fresh = chain[len(known) :]
        if (
            chain[: len(known)] != known
            or any(start != max(position, 1) + bool(known) for start, _ in fresh)
            or not chain
        ):
            self._condemn("the chain of keys is not the one before, continued from the next position", position)
        if self.state and name != self.state["log_origin"]:
            self._condemn("the log's origin is not the one that it began with", position)
        self.state = state

    def _check_batch(self, entry: Entry) -> None:
        """Hold a batch to be whole: each event of it names the same one, and none is missing."""
        last = self._last_entry
        if (last.position if last is not None else 0) != entry.position - 1:
            # What stands before is missing or cannot be read, which was said.
            return
        open_batch = (
            last.batch if last is not None and last.batch is not None and last.batch[1] > last.position else None
        )
        expected = open_batch if open_batch is not None else entry.batch
        begins = open_batch is not None or entry.batch is None or entry.batch[0] == entry.position
        if entry.batch != expected or not begins:
            self._condemn("the batch is not the one that the event before came in", entry.position)

    def _copy(self, kept: StoredEvent, entry: Entry | None) -> None:
        columns = columns_of(entry) if entry is not None else kept.columns
        if columns is None or kept.position != self.size:
            return
        if not self.is_sound:
            # Nothing is derived from a broken log, and two events of one time would not go into one table.
            columns = replace(columns, recorded_at=-kept.position)
        self._scratch.copy(kept, columns)

    def _check_redactions(self) -> None:
        """Hold payloads to be missing where a later redaction covers them, and only there."""
        redactions = self._redactions()
        for position, record, revision, is_held in self._scratch.held():
            by = [
                redaction
                for redaction, first, last in redactions.get(record, ())
                if redaction > position and first <= revision <= last
            ]
            self.redacted += not is_held
            if by and by[0] > self.size:
                self.is_outdated = True
            elif by and is_held:
                self._condemn(f"the payload is still there, though redacted at position {by[0]}", position)
            if not by and not is_held:
                self._condemn("the payload is missing, and no later event redacts it", position)

    def _redactions(self) -> dict[str, list[tuple[int, int, int]]]:
        found: dict[str, list[tuple[int, int, int]]] = {}
        for raw in self._scratch.entries_of("redaction"):
            try:
                entry = event.decode(raw)
            except ValueError:
                # Said before. Whom it redacts is not known, so what it redacts shows as missing.
                continue
            if entry.redacts is not None:
                target = entry.redacts
                found.setdefault(target.record, []).append((entry.position, target.first, target.last))
        for position, target in self._later:
            found.setdefault(target.record, []).append((position, target.first, target.last))
        return found


def columns_of(entry: Entry) -> Columns:
    """Give the columns that copy an entry's fields."""
    moment = event.unstamp(entry.recorded_at)
    return Columns(entry.type, entry.kind, entry.record, entry.revision, moment, entry.actor)


def claimed_size(note: str) -> int | None:
    """Read the size in a note's second line without believing it: which root to look out for. None where none is."""
    lines = note.split("\n", 2)
    is_number = len(lines) > 1 and lines[1].isascii() and lines[1].isdigit() and len(lines[1]) < 20  # noqa: PLR2004
    return int(lines[1]) if is_number else None


def check_note(findings: Findings, log: LogCheck, note: str, what: str, vkeys: Sequence[str] = ()) -> int | None:
    """Hold a signed checkpoint against the log, by the key in force at its size, which `vkeys`, if any, must contain.

    Gives the size that it signs, where it is in order so far. The root at that size must have been asked for.
    """
    size = claimed_size(note)
    try:
        checkpoint = open_note(note, [vkey_at(log.state, size or 0)])
        if vkeys:
            open_note(note, list(vkeys))
    except (ValueError, LookupError):
        findings.add(
            f"{what} is damaged, or signed by another key than the one in force at its size, or than those given"
        )
        return None
    if checkpoint.origin != log.state.get("log_origin"):
        findings.add(f"{what} is of another log")
    elif checkpoint.size > log.size:
        findings.add(f"{what} signs {checkpoint.size} events, and the log ends at position {log.size}")
    elif log.is_gapless and checkpoint.root != log.roots[checkpoint.size]:
        findings.add(f"{what} signs another root hash than the log's first {checkpoint.size} events have")
    else:
        return checkpoint.size
    return None


def is_signed_by(note: str, vkeys: Sequence[str]) -> bool:
    """Say whether one of some keys signed a note, and no false signature under one of them stands there."""
    try:
        open_note(note, list(vkeys))
    except ValueError:
        return False
    return True


def vkey_at(state: State, size: int) -> str:
    """Give the key that signs checkpoints of a size, the last one in force; LookupError where the chain has none."""
    return str([key["vkey"] for key in state["keys"] if key["from"] <= max(size, 1)][-1])


def _state(payload: bytes) -> State | None:
    """Give the state that a payload holds; None unless it is canonical and has the shape of one."""
    try:
        said = read_json(payload)
        if not isinstance(said, dict) or canonical(said) != payload or said.keys() != {"reason", "state"}:
            return None
    except (ValueError, LedgerError):
        return None
    state = said["state"]
    return state if isinstance(state, dict) and "id" in state else None
