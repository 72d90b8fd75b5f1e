"""Reads for requests on PostgreSQL: what they ask in one turn of the event loop goes out together, on one connection.

The loop itself talks with the server, in libpq's pipeline mode: to wake a thread for a read costs more than most reads.
A view stays a plain function: it runs in a greenlet, which rests from each query to its rows.
"""

import asyncio
import fcntl
import math
import sys
import termios
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

import psycopg
from greenlet import getcurrent, greenlet
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import LockNotAvailable, error_from_result
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

from api.domain.errors import Unavailable
from api.ledger.storage import spelling
from api.ledger.storage.faults import Late, name_statement
from api.ledger.storage.postgres.reads import PostgresReads
from api.ledger.storage.reads import BRIEF, Reads, Row, Value

Result = TypeVar("Result")
Connection = psycopg.Connection[TupleRow]
# A statement is prepared when it comes for the fifth time; so many that came lately are remembered.
_OFTEN, _REMEMBERED = 5, 100
# A statement that waits for a lock keeps all statements behind it in the pipeline waiting, so it waits 20 ms at most. And each
# is to see what was committed when it began, whatever the server's default is.
_SETTINGS = "SET lock_timeout = 20; SET default_transaction_isolation = 'read committed'"
# SQLSTATE invalid_sql_statement_name: an error before it in the pipeline kept the statement from being prepared.
_NOT_PREPARED = b"26000"
_STOPPING = "the ledger is stopping"
# Views that are under way at a time: each may hold a page in memory while it rests.
_AT_ONCE = 32
# Bytes that libpq takes in at a time, at least, and how often it is asked to in one turn of the loop.
_AT_A_TIME, _MOST_TIMES = 16_384, 16
# In seconds: so long reads go to threads after a table was found locked.
_WARY = 5.0


@dataclass(slots=True, eq=False)
class _Statement:
    """A statement with the types of its parameters: how often it came, and its name once it is prepared."""

    sql: bytes
    types: tuple[int, ...] = ()
    times: int = 0
    name: bytes = b""


@dataclass(slots=True, eq=False)
class _Sent:
    """A statement on its way, what came back so far, and the view that rests until that is all: none for upkeep.

    `name` is that under which it was sent, if it was prepared.
    """

    statement: _Statement
    given: Sequence[Buffer | None] = ()
    formats: Sequence[Format] = ()
    view: greenlet | None = None
    name: bytes = b""
    result: PGresult | None = None


class _Brief(PostgresReads):
    """What one view reads through a pipeline: no more than the event loop can take in without others waiting."""

    def __init__(self, pipeline: "Pipeline") -> None:
        self._pipeline, self.steps_left = pipeline, BRIEF

    def rows(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        result = self._pipeline.ask(sql, parameters)
        self.spend(result.ntuples + 1)
        return self._pipeline.load(result)


class Pipeline:
    """One connection of one event loop. Each statement sees what was committed when it began."""

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop, patience: float = math.inf) -> None:
        """Take over a connection, which is given up where the server says nothing for `patience` seconds while it is asked."""
        self._connection, self._loop, self._patience = connection, loop, patience
        # When the server was last heard, or asked after a rest, and when that is looked at again.
        self._heard_at = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._server = connection.pgconn
        self._server.nonblocking = 1
        self._server.enter_pipeline_mode()
        self._socket = self._server.socket
        self._values = Transformer(connection)
        self._statements: OrderedDict[tuple[str, tuple[int, ...]], _Statement] = OrderedDict()
        self._named = 0
        # In the order of the results. None stands for the end of what went out together.
        self._waiting: deque[_Sent | None] = deque()
        self._spoilt: deque[_Sent] = deque()
        self._is_turn_open = self._is_writing = False
        # Why it is closed, once it is.
        self._end: psycopg.OperationalError | None = None
        self._places = asyncio.Semaphore(_AT_ONCE)
        loop.add_reader(self._socket, self._talk, self._receive)

    async def run(self, view: Callable[[Reads], Result]) -> Result:
        """Run a view, in its turn. Raises what it raises, and psycopg's OperationalError where the connection is lost meanwhile."""
        async with self._places:
            if self._end is not None:
                raise _again(self._end)
            result, error = await self._run(view)
        if error is not None:
            # The error refers to its frames, and a frame to the error: without this, all that the view read would stay until
            # the garbage collector comes, which is seldom.
            traceback.clear_frames(error.__traceback__)
            raise error
        return cast("Result", result)

    async def _run(self, view: Callable[[Reads], Result]) -> tuple[Result | None, Exception | None]:
        future: asyncio.Future[tuple[Result | None, Exception | None]] = self._loop.create_future()

        def work() -> None:
            outcome: tuple[Result | None, Exception | None]
            try:
                outcome = view(_Brief(self)), None
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whom it is read for
                outcome = None, error
            if not future.done():
                future.set_result(outcome)

        self._talk(greenlet(work).switch)
        return await future

    def ask(self, sql: str, parameters: Sequence[Value]) -> PGresult:
        """Send a query, and rest until its result is there. For a view that this pipeline runs."""
        view = getcurrent()
        given = self._values.dump_sequence(parameters, [PyFormat.AUTO] * len(parameters))
        statement = self._statement(sql, self._values.types or ())
        self._send(_Sent(statement, given, self._values.formats or (), view))
        return cast("PGresult", cast("greenlet", view.parent).switch())

    def load(self, result: PGresult) -> list[Row]:
        """Read the rows of a result."""
        self._values.set_pgresult(result)
        return self._values.load_rows(0, result.ntuples, tuple)

    @property
    def is_lost(self) -> bool:
        return self._server.status != ConnStatus.OK

    def close(self, why: str = "the connection was closed") -> None:
        """Close the connection. Whoever still waits is told that it is lost."""
        self._close(psycopg.OperationalError(why))

    def _close(self, why: psycopg.OperationalError) -> None:
        if self._end is not None:
            return
        self._end, is_heard = why, not self._loop.is_closed()
        if self._alarm is not None:
            self._alarm.cancel()
        if is_heard:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
        self._connection.close()
        views = [sent.view for sent in (*self._spoilt, *self._waiting) if sent is not None]
        self._spoilt.clear()
        self._waiting.clear()
        for view in views:
            if view is not None and is_heard:
                view.throw(_again(why))

    def give_up(self) -> None:
        """Close the connection; whoever waits is told that there is no answer, and not to try another."""
        self._close(Late("the process ends and waits for no server"))

    def _statement(self, sql: str, types: tuple[int, ...]) -> _Statement:
        """Find a statement among those that came lately, and prepare it where it comes often."""
        statement = self._statements.pop((sql, types), None) or _Statement(spelling.dollars(sql).encode(), types)
        self._statements[sql, types] = statement
        if len(self._statements) > _REMEMBERED:
            _, oldest = self._statements.popitem(last=False)
            if oldest.name:
                self._send(_Sent(_Statement(b"DEALLOCATE " + oldest.name)))
        statement.times += 1
        if statement.times == _OFTEN:
            self._named += 1
            statement.name = b"often_%d" % self._named
            self._server.send_prepare(statement.name, statement.sql, statement.types)
            self._waiting.append(_Sent(statement, name=statement.name))
        return statement

    def _send(self, sent: _Sent) -> None:
        statement, name = sent.statement, sent.statement.name
        sent.name = name
        if name:
            self._server.send_query_prepared(name, sent.given, sent.formats, Format.BINARY)
        else:
            self._server.send_query_params(statement.sql, sent.given, statement.types, sent.formats, Format.BINARY)
        self._waiting.append(sent)
        if not self._is_turn_open:
            self._is_turn_open = True
            self._loop.call_soon(self._talk, self._end_turn)

    def _talk(self, part: Callable[[], object]) -> None:
        """Do a part of the talk with the server. What fails here, and not in a view, ends it."""
        try:
            part()
        except Exception as error:
            self.close(str(error))
            if not isinstance(error, psycopg.Error):
                raise
        if self.is_lost and self._end is None:
            self.close(self._server.get_error_message())

    def _end_turn(self) -> None:
        """Let go what was sent in this turn of the loop. An error spoils what comes after it there, and no more."""
        self._is_turn_open = False
        if None not in self._waiting:
            # All turns before this one are answered: the server's time begins anew, whenever the alarm was set.
            self._heard_at = self._loop.time()
        if self._alarm is None:
            self._set_alarm(self._patience)
        self._server.pipeline_sync()
        self._waiting.append(None)
        self._write()

    def _set_alarm(self, seconds: float) -> None:
        self._alarm = None if seconds == math.inf else self._loop.call_later(seconds, self._look_at_clock)

    def _look_at_clock(self) -> None:
        """Give the server up if it has not said a word for so long, though somebody waits."""
        self._alarm = None
        left = self._heard_at + self._patience - self._loop.time()
        if self._waiting and left > 0:
            self._set_alarm(left)
        elif self._waiting:
            self._close(Late("the server did not answer in time"))

    def _write(self) -> None:
        """Write what the socket takes, and the rest once it takes more."""
        is_left = bool(self._server.flush())
        if is_left and not self._is_writing:
            self._loop.add_writer(self._socket, self._talk, self._write)
        elif self._is_writing and not is_left:
            self._loop.remove_writer(self._socket)
        self._is_writing = is_left

    def _receive(self) -> None:
        """Take what came, as far as it is not too much for one turn of the loop."""
        self._heard_at = self._loop.time()
        came = int.from_bytes(fcntl.ioctl(self._socket, termios.FIONREAD, bytes(4)), sys.byteorder)
        # Once more with TLS: libpq may hold decrypted bytes already, of which the socket does not tell.
        times = min(1 + came // _AT_A_TIME, _MOST_TIMES) + (1 if self._server.ssl_in_use else 0)
        for _ in range(times):
            self._server.consume_input()
            self._take_results()
            if self.is_lost:
                break

    def _take_results(self) -> None:
        """Hand on what is there: results, the end of a statement's results, or the end of a turn."""
        while self._waiting and not self.is_lost and not self._server.is_busy():
            result, sent = self._server.get_result(), self._waiting[0]
            if sent is not None and result is not None:
                sent.result = result
                continue
            self._waiting.popleft()
            if sent is None:
                self._send_again()
            elif sent.result is not None:
                self._deliver(sent, sent.result)

    def _deliver(self, sent: _Sent, result: PGresult) -> None:
        if sent.view is None:
            self._note_upkeep(sent, result)
        elif result.status == ExecStatus.TUPLES_OK:
            sent.view.switch(result)
        elif result.status == ExecStatus.PIPELINE_ABORTED:
            self._spoilt.append(sent)
        elif result.error_field(DiagnosticField.SQLSTATE) == _NOT_PREPARED:
            self._forget_name(sent)
            self._spoilt.append(sent)
        else:
            error = error_from_result(result)
            name_statement(error, sent.statement.sql.decode())
            sent.view.throw(error)
            if result.error_field(DiagnosticField.SEVERITY_NONLOCALIZED) != b"ERROR":
                # FATAL or PANIC: the server closes the connection.
                raise psycopg.OperationalError(result.get_error_message())

    def _note_upkeep(self, sent: _Sent, result: PGresult) -> None:
        """See whether a statement was prepared. What is to be deallocated must be, in the end."""
        if result.status == ExecStatus.PIPELINE_ABORTED and not sent.name:
            self._spoilt.append(sent)
        elif result.status != ExecStatus.COMMAND_OK:
            self._forget_name(sent)

    def _forget_name(self, sent: _Sent) -> None:
        """Take a statement for not prepared, unless it has got another name meanwhile."""
        if sent.statement.name == sent.name:
            sent.statement.name, sent.statement.times = b"", 0

    def _send_again(self) -> None:
        """Send anew what an error of another in the same turn spoilt, now that the turn is over."""
        while self._spoilt:
            self._send(self._spoilt[0])
            self._spoilt.popleft()


def _again(why: psycopg.OperationalError) -> psycopg.OperationalError:
    """Make an error anew for one of several who are told of it."""
    return type(why)(*why.args)


class Pipelines:
    """The pipeline of each event loop, opened when it is first needed, and anew when it was lost."""

    def __init__(self, connect: Callable[[], Connection], patience: float) -> None:
        self._connect, self._patience = connect, patience
        self._opening: dict[asyncio.AbstractEventLoop, asyncio.Task[Pipeline]] = {}
        # A thread of its own: reads wait for the connection that it opens, and nothing else is to delay that.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="opening")
        self._is_closed, self._wary_until = False, 0.0

    async def read(self, view: Callable[[Reads], Result]) -> Result:
        """Run a view. Raises what it raises, and Unavailable where no connection can be made.

        Raises psycopg's OperationalError where the connection is lost meanwhile, or a table is locked: being rewritten.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._wary_until:
            raise LockNotAvailable
        opening = self._opening.get(loop)
        pipeline = _opened(opening) if opening is not None else None
        if pipeline is None or pipeline.is_lost:
            if opening is None or opening.done():
                opening = self._opening[loop] = loop.create_task(self._open(loop))
            # Shielded, for others wait for the same connection after this request is given up.
            pipeline = await asyncio.shield(opening)
        try:
            return await pipeline.run(view)
        except LockNotAvailable:
            self._wary_until = loop.time() + _WARY
            raise

    async def _open(self, loop: asyncio.AbstractEventLoop) -> Pipeline:
        for other in [other for other in self._opening if other.is_closed()]:
            if (left := _opened(self._opening.pop(other))) is not None:
                left.close()
        if self._is_closed:
            raise Unavailable(_STOPPING)
        connection = await loop.run_in_executor(self._thread, self._prepared)
        if self._is_closed:
            connection.close()
            raise Unavailable(_STOPPING)
        return Pipeline(connection, loop, self._patience)

    def _prepared(self) -> Connection:
        connection = self._connect()
        connection.execute(_SETTINGS)
        return connection

    def give_up(self) -> None:
        """Let nobody wait for a server any longer, in whatever event loop."""
        for loop, opening in [*self._opening.items()]:
            if (pipeline := _opened(opening)) is not None and not loop.is_closed():
                loop.call_soon_threadsafe(pipeline.give_up)

    def close(self) -> None:
        """Close every connection, those that are being opened as soon as they are there."""
        self._is_closed = True
        self._thread.shutdown(wait=False)
        for pipeline in filter(None, map(_opened, self._opening.values())):
            pipeline.close()


def _opened(opening: "asyncio.Task[Pipeline]") -> Pipeline | None:
    """Give the pipeline, if it was opened by now."""
    return opening.result() if opening.done() and not opening.cancelled() and not opening.exception() else None
