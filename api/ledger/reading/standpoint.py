"""Where a reader stands: the position that a question is answered at, found once; and the page that is shown from there.

A standpoint is a position, the head at that time and the last redaction. Every view locates its own first, and filters
every statement by it. What many statements say of a position stands here once.
"""

from collections.abc import Callable
from dataclasses import dataclass

from api.domain.dates.asof import NOW, AsOf, Standpoint
from api.domain.errors import NotYet
from api.ledger.storage.clock import now as clock
from api.ledger.storage.reads import Reads

# Scalars for statements that show, beside what is read, from which standpoint it was read.
HEAD = "(SELECT position FROM head)"
LAST_REDACTION = "COALESCE((SELECT max(first_position) FROM record WHERE kind = 'redaction'), 0)"
_HEAD = f"SELECT position, recorded_at, {LAST_REDACTION} FROM head"
# The links that held at a position, which is given twice: `r` is the claim that makes one, `t.value` the id that it links to.
LINKS = (
    "term t JOIN record r ON r.first_position = t.first_position AND t.field = 'claim.link'"
    " AND t.since <= ? AND t.until > ?"
)


def in_force(record: str = "r", position: str = "?") -> str:
    """Spell the position of the revision of a record that was in force at a position."""
    earlier = f"revision x WHERE x.first_position = {record}.first_position AND x.position <= {position}"
    return f"(SELECT max(x.position) FROM {earlier})"


def locate(access: Reads, asked: AsOf = NOW, *, now: Callable[[], int] = clock) -> Standpoint:
    """Turn what a reader asked for into a standpoint. Raises NotYet for what the ledger has not reached."""
    head, latest, redaction = access.row(_HEAD) or (0, 0, 0)
    if asked.moment is None:
        return fixed(asked.position, head, redaction)
    # The clock may have been set back since; what is recorded stays where it is.
    if asked.moment > latest and asked.moment > now():
        raise NotYet(head)
    if asked.moment >= latest:
        return Standpoint(head, head, is_pinned=asked.moment == latest, redaction=redaction)
    return Standpoint(reached_by(access, asked.moment), head, is_pinned=True, redaction=redaction)


def fixed(position: int | None, head: int, redaction: int) -> Standpoint:
    """Stand at a position asked for, or at the head where none was. Raises NotYet for what the ledger has not reached."""
    if position is not None and position > head:
        raise NotYet(head)
    return Standpoint(head if position is None else position, head, is_pinned=position is not None, redaction=redaction)


def reached_by(access: Reads, moment: int) -> int:
    """Give the last position taken by a time, 0 before the first: times of recording rise with the positions."""
    sql = "SELECT position FROM event WHERE recorded_at <= ? ORDER BY recorded_at DESC LIMIT 1"
    found = access.row(sql, (moment,))
    return int(found[0]) if found else 0


# Bytes of what records say on one page: with all that stands around it, the page ends before 2 MiB.
PAGE = 3 << 19


@dataclass(frozen=True, slots=True)
class Page:
    """Rendered items in order, the key of each, and whether more follow."""

    items: list[bytes]
    keys: list[str]
    is_more: bool
    at: Standpoint

    @property
    def last(self) -> str | None:
        """The key to go on after, if more follow."""
        return self.keys[-1] if self.is_more and self.keys else None

    def first(self, count: int) -> "Page":
        """Give the page with no more items than `count`."""
        return self if count >= len(self.items) else Page(self.items[:count], self.keys[:count], True, self.at)
