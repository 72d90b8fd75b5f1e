"""What the ledger needs of a connection to its database, whichever that is. Nothing of SQLite's or PostgreSQL's own stands here."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar, TypeVar

from api.domain.errors import Unavailable
from api.ledger.storage.reads import BRIEF, Reads, Row, Value
from api.ledger.storage.upkeep import Upkeep
from api.ledger.storage.words import Words

Result = TypeVar("Result")
_HEAD = "SELECT position, recorded_at, frontier, rules, projected FROM head"


class Access(Reads):
    """One connection, for one thread at a time; it may be handed from one thread to another.

    Outside a transaction a statement sees what was committed when it began, and what it changes is committed with it.
    Whatever is asked raises its driver's errors (`faults.DRIVER_ERRORS`), which tell the statement's name and are given a
    meaning by `faults.translated`. What was sent ahead (`together`, `aside`, `ask_commit`) may fail later: its error is
    raised by whatever is asked next, and then nothing of the transaction is left.
    """

    # Events whose rows are best written together.
    held_at_most: ClassVar[int]
    # What a query ends with that locks the rows it gives until the transaction ends.
    locking: ClassVar[str]

    @property
    @abstractmethod
    def words(self) -> Words:
        """The index of words, through this connection."""

    @property
    @abstractmethod
    def upkeep(self) -> Upkeep:
        """Care of the database's files and tables, through this connection."""

    @property
    @abstractmethod
    def is_lost(self) -> bool:
        """Whether the connection is closed, by whichever side."""

    @abstractmethod
    def close(self) -> None:
        """Give the connection back. What was not committed is rolled back."""

    @abstractmethod
    def limit_reads(self, seconds: float) -> None:
        """From now on let no statement take longer, and give up, as lost, a server that says nothing for so long."""

    @abstractmethod
    def limit_writes(self, seconds: float) -> None:
        """The same of a server and of each wait for a lock; a commit under way is never broken off.

        Raises Unavailable as `check_durable` does.
        """

    @abstractmethod
    def check_durable(self) -> None:
        """Raise Unavailable where the database is set up such that a crash may lose what it acknowledges."""

    @abstractmethod
    def confirm(self) -> None:
        """Wait until all that was read here is known to last, on the standbys that a server waits for too.

        Raises a driver's error where that is not known.
        """

    @abstractmethod
    def announce(self) -> None:
        """Have those who wait for a change told of it, once the transaction is committed."""

    @abstractmethod
    def wait_for_change(self, seconds: float) -> None:
        """Wait until something was committed since this was last asked, by whomever, or for so long."""

    def in_brief(self, view: Callable[[Reads], Result]) -> Result:
        """Run a view in the event loop, with the steps that are granted there. Raises TakesLong once they are gone."""
        self.steps_left = BRIEF
        try:
            return view(self)
        finally:
            self.steps_left = None

    @abstractmethod
    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> Callable[[], list[Row]]:
        """Ask for rows that are wanted later and that nobody changes: what gives them may be called then."""

    @abstractmethod
    def stream(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[Row]:
        """Give rows one after another, however many there are; on a server only within a transaction."""

    @abstractmethod
    def run(self, sql: str, parameters: Sequence[Value] = ()) -> None:
        """Run a statement that gives no rows."""

    @abstractmethod
    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Value]]) -> None:
        """Insert rows, however many; they are given away: the list may be read after this returned."""

    @abstractmethod
    def update(self, table: str, changed: str, keys: str, rows: Sequence[Sequence[Value]], *, where: str) -> None:
        """Change a row for each of `rows`, which hold new values and then those of the key columns; `where` holds too."""

    @abstractmethod
    def delete(self, table: str, keys: str, rows: Sequence[Sequence[Value]]) -> None:
        """Delete the row that each of `rows` names by its key columns."""

    @abstractmethod
    def together(self) -> AbstractContextManager[None]:
        """Send what is changed in the block at once, where a server is asked, and go on while it works.

        None of the changes sees what another does.
        """

    @abstractmethod
    def aside(self) -> AbstractContextManager[None]:
        """Let changes be made while the block goes on; whatever else is asked waits for them."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done in the block, or none of it."""
        self.begin()
        try:
            yield
            self.ask_commit()
            self.settle()
        except BaseException:
            self.roll_back()
            raise

    @abstractmethod
    def begin(self) -> None:
        """Begin a transaction; on SQLite the database's one write lock is held from here on."""

    @abstractmethod
    def begin_with(self, sql: str) -> list[Row]:
        """Begin a transaction by a query without parameters, in one exchange with a server."""

    @abstractmethod
    def ask_commit(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Ask for the commit, which has taken place when `settle` returns. `meanwhile` is called while it is waited for."""

    @abstractmethod
    def settle(self) -> None:
        """Wait for what was sent, as any next statement does.

        Raises what a statement of its transaction raised, and then nothing of it is left; Unconfirmed where it was committed
        and no standby is known to have it.
        """

    @abstractmethod
    def roll_back(self) -> None:
        """Leave nothing of the transaction. The database may have ended it by itself (a full disk, a lost connection)."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[None]:
        """See one state of the database, whoever writes meanwhile, and text as it is stored, even where it is damaged."""

    @abstractmethod
    def keep_others_out(self) -> None:
        """Keep other nodes out while the very first row is written, when there is no head yet to lock."""


def lock_head(access: Access) -> Row:
    """Take the writer's lock, which is the head's row, and read it. On SQLite the transaction itself is the lock."""
    return _found(access.rows(f"{_HEAD}{access.locking}"))


def begin_at_head(access: Access) -> Row:
    """Begin a transaction with the writer's lock, and read the head."""
    return _found(access.begin_with(f"{_HEAD}{access.locking}"))


def _found(heads: list[Row]) -> Row:
    if not heads:
        raise Unavailable("the database holds no ledger yet")
    return heads[0]
