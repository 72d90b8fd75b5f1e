"""A database as a process reaches it: how connections are made, how the schema is held, what an event loop reads by."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa

from api.domain.errors import Unavailable
from api.ledger.storage.access import Access
from api.ledger.storage.faults import DRIVER_ERRORS, translated
from api.ledger.storage.reads import Reads

Result = TypeVar("Result")
Made = TypeVar("Made", bound=Access)


class Store(ABC):
    """What differs between databases where connections are made. Any thread may use it."""

    engine: sa.Engine

    @abstractmethod
    def connect(self) -> Access:
        """Open a connection for what may take long. Raises Unavailable."""

    @abstractmethod
    async def read_in_loop(self, view: Callable[[Reads], Result], own: Callable[[], Access]) -> Result:
        """Run a view in the running event loop, which it does not hold up for long; `own` gives the connection of its thread.

        Raises what the view raises, TakesLong where it takes more than the loop can spare, LockNotAvailable where a
        server keeps a table locked, and other errors of drivers.
        """

    @abstractmethod
    def make_ready(self) -> None:
        """Let there be something that can become a ledger. Raises Misconfigured or Unavailable."""

    @abstractmethod
    def hold_schema(self, connection: sa.Connection) -> None:
        """Let no other node change the schema before this transaction ends."""

    @abstractmethod
    def give_up(self) -> None:
        """Wait no longer for any server, in whatever thread: the process is to end."""

    @abstractmethod
    def close(self) -> None:
        """Close what event loops read by."""


@contextmanager
def reaching() -> Iterator[None]:
    """Say of a database to which no connection can be made in the block that it is Unavailable."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, *DRIVER_ERRORS) as error:
        raise Unavailable("the database cannot be reached") from error


def set_up(access: Made, how: Callable[[Made], None]) -> Made:
    """Set a new connection up; where that fails it is closed, and what the driver's error means is raised."""
    try:
        how(access)
    except DRIVER_ERRORS as error:
        access.close()
        raise translated(error) from error
    except BaseException:
        access.close()
        raise
    return access
