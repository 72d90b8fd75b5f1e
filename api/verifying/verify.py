"""`ledger verify` on a database: all that is stored is derived again from the entries and payloads, and compared.

One state of the database is looked at, whoever writes meanwhile. The database is not changed.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from api.domain.computed import RULES
from api.domain.errors import LedgerError, Unavailable
from api.domain.log.merkle import EMPTY_ROOT
from api.ledger.projecting.projection import PROJECTED
from api.ledger.reading import inspection
from api.ledger.reading.inspection import Scratch, StoredHead
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS, is_damaged
from api.ledger.writing.redacting import REDACTED_FROM
from api.verifying.findings import Finding, Findings
from api.verifying.log import LogCheck, check_note, claimed_size
from api.verifying.projections import check_projections
from api.verifying.tree import TreeCheck

Step = Callable[[str, int, int], None]
_TOLD_EVERY = 500
_BESIDE = "actors' published names, API keys, receipts of requests and names of files, as they are not in the log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was looked at, and how many differences were found."""

    size: int = 0
    root: bytes = EMPTY_ROOT
    redacted: int = 0
    compared: int = 0
    what: str = "derived rows"
    signed: int | None = None
    findings: int = 0
    is_sampled: bool = False
    beside: str = ""

    @property
    def is_sound(self) -> bool:
        return self.findings == 0

    def sentence(self) -> str:
        """Say it in a line, and in another what it is not about."""
        beside = f"\nnot looked at: {self.beside}" if self.beside else ""
        size, count = f"{self.size:,} events", f"{self.findings:,} difference{'' if self.findings == 1 else 's'}"
        if not self.is_sound:
            return f"damaged: {count} found in {size}{beside}"
        signed = f", signed up to position {self.signed:,}" if self.signed is not None else ""
        sampled = " (sampled)" if self.is_sampled else ""
        return (
            f"sound{sampled}: {size}, {self.redacted:,} of them redacted; {self.compared:,} {self.what} compared{signed};"
            f" root {self.root.hex()}{beside}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What the reader brings along: keys to accept alone, an earlier checkpoint, and how much to compare, all if None.

    The last is for a ledger that is looked at from outside; of a database every row is compared.
    """

    vkeys: Sequence[str] = ()
    since: str | None = None
    sample: int | None = None


@dataclass(frozen=True, slots=True)
class _Memory:
    """The note that was signed last; it is lost where its key is there without it."""

    note: str | None
    is_lost: bool = False


def verify_database(
    database: Database, kept: Path | None, tell: Callable[[Finding], None], step: Step, doubts: Doubts | None = None
) -> Verdict:
    """Check the log, its tree, its projections, and the note at `kept` that was signed last, if one is there.

    Without `kept` the database is looked at by itself, as a copy is.

    `tell` gets each difference as it is found; `step` the name of what is being done, how far it is, and how far it goes.
    Raises Unavailable, or a driver's error, where nothing can be said.
    """
    findings = Findings(tell)
    # The note comes before the snapshot: what is signed meanwhile is longer than what is looked at.
    memory = _read_memory(findings, kept)
    verdict = Verdict(findings=findings.count)
    try:
        access = database.connect()
        try:
            with Scratch() as scratch, access.snapshot():
                access.upkeep.hold(REDACTED_FROM)
                verdict = _verify(access, scratch, findings, memory, step, doubts or Doubts())
        finally:
            access.close()
    except (Unavailable, *DRIVER_ERRORS) as error:
        if not is_damaged(error):
            raise
        findings.add("the database cannot read on, because what is stored is broken")
    return replace(verdict, findings=findings.count)


def verify_log(database: Database, tell: Callable[[Finding], None], step: Step) -> Verdict:
    """Check the log and its tree alone, and the head: what a checkpoint signs. Raises as `verify_database` does."""
    findings = Findings(tell)
    with closing(database.connect()) as access, Scratch() as scratch, access.snapshot():
        access.upkeep.hold(REDACTED_FROM)
        log = LogCheck(findings, scratch)
        try:
            _check_log(access, log, findings, inspection.head(access), step)
        except (Unavailable, *DRIVER_ERRORS) as error:
            if not is_damaged(error):
                raise
            findings.add("the database cannot read on, because what is stored is broken")
    return Verdict(
        size=log.size, root=log.frontier.root(), redacted=log.redacted, what="derived rows", findings=findings.count
    )


def _verify(
    access: Access, scratch: Scratch, findings: Findings, memory: _Memory, step: Step, doubts: Doubts
) -> Verdict:
    head, note = inspection.head(access), memory.note
    if head.is_signed and memory.is_lost:
        findings.add("what was signed last is not kept beside the key any more, though the log was signed")
    for fault in access.upkeep.faults():
        findings.add(f"the database itself: {fault}")
    _check_protection(findings, access)
    log = LogCheck(findings, scratch, {claimed_size(note or ""), claimed_size(doubts.since or "")})
    _check_log(access, log, findings, head, step)
    signed = check_note(findings, log, note, "what was signed last", doubts.vkeys) if note is not None else None
    if doubts.since is not None:
        check_note(findings, log, doubts.since, "the earlier checkpoint", doubts.vkeys)
    rows = _check_projections(access, scratch, findings, head, step, is_sound=log.is_sound)
    beside = (
        _BESIDE
        if note is not None
        else f"{_BESIDE}; what was signed last, as neither key nor note is beside the database"
    )
    return Verdict(
        size=log.size, root=log.frontier.root(), redacted=log.redacted, compared=rows, signed=signed, beside=beside
    )


def _check_protection(findings: Findings, access: Access) -> None:
    protection = access.protection()
    for name in protection.missing:
        findings.add(f"the trigger {name} does not stand as the migrations made it")
    for name in protection.added:
        findings.add(f"the trigger {name} is none that the migrations made")


def _check_log(access: Access, log: LogCheck, findings: Findings, head: StoredHead, step: Step) -> None:
    tree = TreeCheck(findings, access)
    for event in inspection.events(access):
        log.take(event)
        tree.take(event.position, event.leaf_hash)
        if not event.position % _TOLD_EVERY:
            step("entries", event.position, head.position)
    log.finish()
    step("entries", log.size, log.size)
    tree.finish(log.size)
    for position in inspection.stray_payloads(access):
        findings.add("a payload is there without an event", position)
    _check_head(log, findings, head)


def _check_head(log: LogCheck, findings: Findings, head: StoredHead) -> None:
    if head.position != log.size:
        findings.add(f"the head says position {head.position}, and the log ends at {log.size}", log.size)
    if head.recorded_at != log.recorded_at:
        findings.add("the head's recorded_at is not the last event's", log.size)
    if head.rows != 1:
        findings.add(f"the head has {head.rows} rows")
    if not 0 <= head.purged <= max(head.position, log.size):
        findings.add(f"the head says that redactions up to position {head.purged} were purged", log.size)
    if log.is_gapless and head.frontier != log.frontier.to_bytes():
        findings.add("the head's frontier is not that of the log's tree", log.size)


def _check_projections(
    access: Access, scratch: Scratch, findings: Findings, head: StoredHead, step: Step, *, is_sound: bool
) -> int:
    """Compare with what a rebuild makes, unless the log is broken: then there is nothing to hold the projections to."""
    if not is_sound:
        findings.add("the projections were not compared, because the log that they are derived from is damaged")
        return 0
    if head.rules != RULES:
        findings.add(
            f"the projections were derived under rules {head.rules}; start or rebuild to derive them under {RULES}"
        )
        return 0
    if head.projected != PROJECTED:
        findings.add(f"the projections are of version {head.projected}; start or rebuild to make them of {PROJECTED}")
        return 0
    if not derive(findings, scratch, head, step):
        return 0
    step("projections compared", 0, 1)
    count = check_projections(findings, access, scratch.access)
    step("projections compared", 1, 1)
    return count


def derive(findings: Findings, scratch: Scratch, head: StoredHead, step: Step) -> bool:
    """Make the projections of a copied log that is sound so far; False where even then none can be made."""
    try:
        scratch.derive(head, lambda position: step("projections derived", position, head.position))
    except (LedgerError, LookupError, TypeError, ValueError, ArithmeticError, *DRIVER_ERRORS) as error:
        findings.add(f"no projections can be derived from the log ({type(error).__name__})")
        return False
    return True


def _read_memory(findings: Findings, path: Path | None) -> _Memory:
    if path is None:
        return _Memory(None)
    try:
        return _Memory(path.read_bytes().decode())
    except FileNotFoundError:
        # Beside a copy there is neither.
        return _Memory(None, is_lost=path.with_name(path.name.removesuffix(".signed")).exists())
    except ValueError:
        findings.add("what was signed last is not UTF-8")
        return _Memory(None)
