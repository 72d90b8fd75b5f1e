"""The ledger's door: `append`. All that is written to the log goes through here, whoever asks: routes, seed, import.

One thread a process writes. Requests that wait together share a commit, and are decided in order, each against what
the earlier ones leave. While one group's commit is under way the next is decided; the first is answered as soon as the
second has been sent. The lock is the head's row, so any number of processes may append to one database.
"""

import asyncio
import contextlib
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace

from api.domain.errors import AskedWrongly, BeyondLimit, LedgerError, Unavailable
from api.ledger.storage.access import Access
from api.ledger.storage.aftercare import Aftercare
from api.ledger.storage.clock import now
from api.ledger.storage.database import Database
from api.ledger.storage.faults import (
    DRIVER_ERRORS,
    Late,
    Unconfirmed,
    described,
    is_locked_out,
    is_outage,
    took_its_time,
    translated,
)
from api.ledger.writing.unit import PROBE, Outcome, Unit
from api.ledger.writing.writer import Sealed, Writer, is_durable

_log = logging.getLogger("ledger")
_Waiter = asyncio.Future[None]
_Waiting = tuple[Unit, "Future[Outcome]", _Waiter | None]


# In seconds: for so long what was written shows that more can be; so often it is tried whether what failed works again;
# and so long a question whether it does may take.
_SHOWN_FOR, _TRIED_EVERY, _ANSWERED_WITHIN = 10.0, 2.0, 5.0


@dataclass(frozen=True, slots=True)
class _Group:
    """Who waits together, what was decided, and what a commit was asked for; None where nothing was to be written."""

    waiting: list[_Waiting]
    outcomes: Sequence[Outcome | LedgerError] = ()
    sealed: Sealed | None = None


@dataclass(slots=True)
class Tally:
    """What this process has written since it started."""

    groups: int = 0
    units: int = 0
    refused: int = 0
    events: int = 0


class Ledger:
    """The writing end of one process: a queue, a thread, and group commit."""

    def __init__(
        self,
        database: Database,
        *,
        group_size: int = 64,
        clock: Callable[[], int] = now,
        guard: Callable[[], None] = lambda: None,
        hold: Callable[[Access], object] = lambda _: None,
        committed: Callable[[Sealed], None] = lambda _: None,
    ) -> None:
        """Make the writing end, which `start` starts.

        `guard` may raise what refuses every append, `hold` what refuses those by the connection that it is given, before
        the first of them; `committed` is given what each commit wrote, before anybody is told of it.
        """
        self._database, self._clock, self._group_size = database, clock, group_size
        self._guard, self._hold, self._committed = guard, hold, committed
        self._aftercare = Aftercare(database)
        # Units for the writing thread, in order; None is the word to stop, and the last.
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        # `_door` guards `_thread`, and is held while a unit is queued: nothing may come behind the word to stop.
        self._door = threading.Lock()
        self._thread: threading.Thread | None = None
        # These three are the writing thread's alone. `_sent` is the group whose commit is under way.
        self._writer: Writer | None = None
        self._sent: _Group | None = None
        self._is_locked_out = False
        # When something was last written, by the monotonic clock; why it could not be since, and when that was tried. The
        # writing thread sets them and event loops read them, each by itself, so no lock is needed.
        self._wrote_at = self._tried_at = -math.inf
        self._hindrance: str | None = None
        # The last try whether anything can be written: the event loop's alone.
        self._probe: Future[Outcome] | None = None
        self.tally = Tally()

    def start(self) -> None:
        self._aftercare.start()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what was accepted, then stop."""
        with self._door:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._waiting.put(None)
        if thread is not None:
            thread.join()
            self._aftercare.stop()

    async def appended(self, unit: Unit) -> Outcome:
        """Append and wait in the event loop, which is woken once for a whole group. Raises what refused the unit."""
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        future = self.append(unit, waiter)
        try:
            if not future.done():
                await waiter
        except asyncio.CancelledError:
            future.cancel()
            raise
        return future.result()

    async def check_writable(self) -> None:
        """Raise Unavailable unless this process wrote something in the last seconds, or now can: it tries, if need be."""
        moment = time.monotonic()
        if self._hindrance is None and moment - self._wrote_at < _SHOWN_FOR:
            return
        if self._hindrance is not None and moment - self._tried_at < _TRIED_EVERY:
            raise Unavailable(self._hindrance)
        if self._probe is None or self._probe.done():
            self._tried_at, self._probe = moment, self.append(PROBE)
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._probe)), _ANSWERED_WITHIN)
        except TimeoutError:
            raise Unavailable("the writer waits for the database, or is at work on something long") from None

    def append(self, unit: Unit, waiter: _Waiter | None = None) -> "Future[Outcome]":
        """Queue a unit. The future gives its Outcome once it is durable, or raises the LedgerError that refused it."""
        future: Future[Outcome] = Future()
        with self._door:
            if self._thread is not None:
                self._waiting.put((unit, future, waiter))
                return future
        future.set_exception(Unavailable("the ledger is stopping"))
        return future

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            if group:
                self._write_together(group)
            else:
                self._settle()
        self._settle()
        self._drop_writer()

    def _next_group(self) -> list[_Waiting] | None:
        """Give those who wait; nobody if nobody does and some are not answered yet; None to stop."""
        group: list[_Waiting] = []
        if self._sent is not None and self._waiting.empty():
            return group
        first = self._waiting.get()
        if first is None:
            return None
        if first[1].set_running_or_notify_cancel():
            group.append(first)
        self._gather(group)
        return group

    def _gather(self, group: list[_Waiting]) -> list[Unit]:
        """Let those who wait by now join a group that was not sent yet; returns what they ask for.

        Whoever gave up before is not written for; from here on nobody can give up.
        """
        late: list[_Waiting] = []
        while len(group) + len(late) < self._group_size and not self._waiting.empty():
            following = self._waiting.get()
            if following is None:
                # Stopping: this group is the last; leave the word for the next turn.
                self._waiting.put(None)
                break
            if following[1].set_running_or_notify_cancel():
                late.append(following)
        group += late
        return [unit for unit, *_ in late]

    def _write_together(self, group: list[_Waiting]) -> None:
        """Share one commit; where the database or a fault of ours undoes it, try each alone, once."""
        try:
            self._guard()
            writer = self._open_writer()
        except Exception as error:  # noqa: BLE001 - the thread must outlive any fault; each caller learns of it
            if not isinstance(error, LedgerError):
                _log.error("no append can be begun: %s", described(error), exc_info=_fault(error))
            refusal = error if isinstance(error, LedgerError) else _refusal(error)
            self._settle()
            self._answer(_Group(group, [refusal] * len(group)))
            return
        try:
            # Those who were sent before are answered on the way.
            outcomes = writer.write([unit for unit, *_ in group], self._answer_sent, lambda: self._gather(group))
            self._sent = _Group(group, outcomes, writer.sealed)
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("a group of %d was rolled back: %s", len(group), described(error), exc_info=_fault(error))
            self._recover(error, _Group(group, sealed=self._drop_writer()))

    def _settle(self) -> None:
        """Wait for the commit that is under way, and answer."""
        if self._sent is None:
            return
        try:
            self._open_writer().settle()
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("a commit failed: %s", described(error), exc_info=_fault(error))
            self._drop_writer()
            self._recover(error)
        else:
            self._answer_sent()

    def _answer_sent(self) -> None:
        sent, self._sent = self._sent, None
        if sent is not None:
            self._answer(sent)

    def _answer(self, group: _Group) -> None:
        self._learn(group)
        written = sum(
            len(outcome.items)
            for (unit, *_), outcome in zip(group.waiting, group.outcomes, strict=True)
            if isinstance(outcome, Outcome) and not (unit.is_dry_run or outcome.is_replay)
        )
        self.tally.groups += 1
        self.tally.units += len(group.waiting)
        self.tally.refused += sum(isinstance(outcome, LedgerError) for outcome in group.outcomes)
        self.tally.events += written
        if written:
            self._aftercare.note(written)
        if group.sealed is not None:
            self._committed(group.sealed)
        for (_, future, _), outcome in zip(group.waiting, group.outcomes, strict=True):
            if isinstance(outcome, LedgerError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        _wake([waiter for *_, waiter in group.waiting if waiter is not None])

    def _learn(self, group: _Group) -> None:
        """Remember whether what was to be written could be. What the ledger refuses says nothing of that."""
        for (unit, *_), outcome in zip(group.waiting, group.outcomes, strict=True):
            if type(outcome) is Unavailable:
                self._hindrance, self._tried_at = outcome.reason, time.monotonic()
            elif isinstance(outcome, Outcome) and not (unit.is_dry_run or outcome.is_replay):
                self._hindrance, self._wrote_at = None, time.monotonic()

    def _recover(self, error: Exception, *failed: _Group) -> None:
        """Find out what became of those who were sent, and of those in hand; try again what was not written, one by one.

        Where somebody else has SQLite's lock for long, one of them waits for it once more, and the others are told. A
        server that did not answer in time, or gave no lock, is not waited for again.
        """
        groups = [*filter(None, [self._sent]), *failed]
        self._sent, self._is_locked_out = None, took_its_time(error)
        for group in groups:
            found = self._find_out(group, error)
            if found is not None:
                self._answer(found)
                continue
            for waiting in group.waiting:
                self._answer(self._write_alone(waiting))

    def _find_out(self, group: _Group, error: Exception) -> _Group | None:
        """Give the outcomes after all if the commit took place and only the word of it was lost; None if it did not.

        A commit whose wait for a standby ended early took place, but may be gone tomorrow: it is not known to last.
        """
        sealed = group.sealed
        if sealed is None:
            # One that asked for too much, and was alone, need not be tried again.
            if isinstance(error, BeyondLimit) and len(group.waiting) == 1:
                return replace(group, outcomes=[error])
            return None
        if not isinstance(error, Late | Unconfirmed):
            with contextlib.suppress(LedgerError, *DRIVER_ERRORS), closing(self._database.connect_to_write()) as access:
                return replace(group, outcomes=sealed.outcomes) if is_durable(access, sealed) else None
        unknown = Unavailable("the database went away, or its standby; whether this was written is not known")
        return _Group(group.waiting, [unknown for _ in group.waiting])

    def _write_alone(self, waiting: _Waiting) -> _Group:
        if self._is_locked_out:
            return _Group([waiting], [Unavailable("the database is held up for long; nothing was written")])
        try:
            writer = self._open_writer()
            group = _Group([waiting], writer.write([waiting[0]]), writer.sealed)
            writer.settle()
        except LedgerError as refusal:
            return _Group([waiting], [refusal])
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("an append was rolled back: %s", described(error), exc_info=_fault(error))
            self._is_locked_out = is_locked_out(error)
            found = self._find_out(_Group([waiting], sealed=self._drop_writer()), error)
            return found or _Group([waiting], [_refusal(error)])
        return group

    def _open_writer(self) -> Writer:
        if self._writer is None:
            access = self._database.connect_to_write()
            try:
                # What was committed last may be gone: this may be another server than before, or one that was set back.
                self._hold(access)
            except BaseException as error:
                access.close()
                if isinstance(error, DRIVER_ERRORS):
                    raise translated(error) from error
                raise
            self._writer = Writer(access, self._clock)
        return self._writer

    def _drop_writer(self) -> Sealed | None:
        """Give up the connection, and what was remembered. Returns what a commit had been asked for."""
        writer, self._writer = self._writer, None
        if writer is None:
            return None
        writer.close()
        return writer.sealed


def _refusal(error: Exception) -> LedgerError:
    """Say why a transaction of which nothing is left could not be written."""
    if is_outage(error):
        return Unavailable("the database refused the transaction; nothing was written")
    return translated(error) if isinstance(error, DRIVER_ERRORS) else AskedWrongly()


def _fault(error: Exception) -> Exception | None:
    """Show the way to a fault of our own; a driver's message may hold what a client wrote, so it is not logged."""
    return None if isinstance(error, (LedgerError, *DRIVER_ERRORS)) else error


def _wake(waiters: Sequence[_Waiter]) -> None:
    """Tell each event loop, once, that its waiters may go on."""
    for loop in {waiter.get_loop() for waiter in waiters}:
        mine = [waiter for waiter in waiters if waiter.get_loop() is loop]
        # A loop that is closed has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_let_go, mine)


def _let_go(waiters: Sequence[_Waiter]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
