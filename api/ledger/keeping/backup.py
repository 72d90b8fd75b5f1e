"""A copy of a ledger's file, made while others write to it. A server makes its copies with tools of its own."""

import os
import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from api.domain.errors import Misconfigured
from api.ledger.keeping import place
from api.ledger.reading import standpoint
from api.ledger.storage.database import Database
from api.settings import Settings


@dataclass(frozen=True, slots=True)
class Copy:
    """A whole copy, at the path that it has for now."""

    path: Path
    position: int


@contextmanager
def copying(database: Database, settings: Settings, target: Path) -> Iterator[Copy]:
    """Give a copy to look at; when the block ends well it is durable and named `target`, otherwise nothing is left.

    It is one state of the ledger, without the room that deleted rows had (https://sqlite.org/lang_vacuum.html), and
    readable by its owner alone. Raises Misconfigured where that file is there already, and on PostgreSQL.
    """
    if not settings.is_sqlite:
        url = place.address(settings, "postgresql")
        line = f"pg_dump --format=custom --file={shlex.quote(str(target))} {shlex.quote(url)}"
        raise Misconfigured("LEDGER_DATABASE_URL", f"PostgreSQL makes a copy by itself: {line}")
    _refuse_if_there(target)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(database.connect()) as access:
            access.run("VACUUM INTO ?", (str(fresh),))
        yield Copy(fresh, _position(settings, fresh))
        _sync(fresh)
        _refuse_if_there(target)
        fresh.rename(target)
        _sync(target.parent)
    finally:
        for left in (fresh, *(fresh.with_name(fresh.name + end) for end in ("-journal", "-wal", "-shm"))):
            with suppress(FileNotFoundError):
                left.unlink()


def _refuse_if_there(target: Path) -> None:
    if target.exists():
        raise Misconfigured(str(target), "is there already, and a copy overwrites nothing")


def _position(settings: Settings, path: Path) -> int:
    copy = Database(settings.model_copy(update={"database_url": f"sqlite:///{path}", "read_only": True}))
    try:
        return standpoint.locate(copy.access()).position
    finally:
        copy.close()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
