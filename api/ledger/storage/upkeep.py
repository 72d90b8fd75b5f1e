"""Care of the database's own files: what is deleted leaves no trace, the planner knows what is there, damage is found.

Each database is cared for in its own way; who may ask for what, and what it promises, stands here.
"""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from api.domain.errors import NotPurged
from api.ledger.storage.faults import DRIVER_ERRORS

# In seconds: who makes tables anew has as long before another gives up.
TURN = 600


@dataclass(frozen=True, slots=True)
class Traces:
    """What rows that are gone said and no other does, and the salts beside it, by which a payload is known for sure.

    `tables` are those that the rows were in.
    """

    texts: tuple[str, ...]
    salts: tuple[bytes, ...]
    tables: tuple[str, ...] = ()


class Upkeep(ABC):
    """Care of one database, through one connection."""

    @abstractmethod
    def do_what_is_due(self) -> int:
        """Do what is due after many events. Returns after how many more it is due again."""

    @abstractmethod
    def take_stock(self) -> None:
        """Tell the planner how much is there, after much was written."""

    @abstractmethod
    def faults(self) -> list[str]:
        """Say what the database finds wrong with its own pages and indexes, as far as it can be asked."""

    @abstractmethod
    def hold(self, tables: Sequence[str]) -> None:
        """Let nobody replace these tables until the transaction ends: one that sees an older state would find them empty."""

    @abstractmethod
    def alone(self, turn: float = TURN) -> AbstractContextManager[None]:
        """Be the only one, of all nodes, who makes tables anew, and leave nothing of anybody who was killed at it.

        Raises Unavailable where another is at it for more than `turn` seconds.
        """

    @abstractmethod
    def is_any_left(self) -> bool:
        """Say whether something that was made anew has not taken its place: yet, or for ever."""

    @abstractmethod
    def filling_anew(self, tables: Sequence[str], *, sought: Sequence[str]) -> AbstractContextManager[None]:
        """Let what is written to these tables in the block be all that they hold after it, inside a transaction.

        Of the tables that are `sought` in meanwhile, every index is there from the first row on; of others what keeps rows
        apart, and the rest is made at the end. Where the tables cannot be replaced they are written as they stand.
        Whoever calls this is `alone`. Raises Unavailable where somebody reads the tables for too long.
        """

    def erase_traces(self, tables: Sequence[str], traces: Traces | None = None) -> None:
        """Leave nothing of rows that were deleted from these tables in the database's own files. Raises NotPurged.

        `traces` tell what those rows said, where that is still known. Whoever calls this is `alone`.
        """
        try:
            held = self._erase(tables, traces)
        except DRIVER_ERRORS as error:
            raise NotPurged("the database does not let its files be written anew") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise NotPurged("the database's file could not be looked through") from error
        if held:
            raise NotPurged(held)

    @abstractmethod
    def _erase(self, tables: Sequence[str], traces: Traces | None) -> str:
        """Erase, and say what is in the way, if anything."""
