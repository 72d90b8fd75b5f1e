"""What the opposite of a batch is, read before it is queued: under the head's lock it is a batch like any other.

Each of its commands expects the revision that was read here, so that whatever happens meanwhile is noticed.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from api.domain.errors import BeyondLimit, Conflict, LedgerError, NoChange, NotRevertible, NotYet, UnknownBatch
from api.domain.log.event import decode_own
from api.domain.records.command import Command
from api.domain.records.operation import MOST_OPERATIONS
from api.domain.records.opposite import Name, Way, opposite, way_back
from api.domain.records.record import ASSERTED, REDACTED, State
from api.domain.records.upcasting import upcast
from api.ledger.reading.standpoint import locate
from api.ledger.storage.reads import Reads

_MOST_NAMED = 100
# So many records' states are held at a time, of up to some hundred KB each.
_AT_ONCE = 100
_ENTRY = "SELECT entry FROM event WHERE position = ?"
# Of each event of a batch its record, where that stands now, and the record's last event before the batch.
_TOUCHED = (
    "SELECT r.kind, r.id, v.position, r.position, c.status, (SELECT max(x.position) FROM revision x"
    " WHERE x.first_position = v.first_position AND x.position < ?) FROM revision v"
    " JOIN record r ON r.first_position = v.first_position JOIN revision c ON c.position = r.position"
    " WHERE v.position BETWEEN ? AND ? ORDER BY v.position"
)
_STATES = (
    "SELECT p.position, e.kind, p.payload FROM payload p JOIN event e ON e.position = p.position WHERE p.position IN ("
)


class _Touched(NamedTuple):
    """A record that a batch touched: its last event in there, the latest of all and its status, the last one before."""

    kind: str
    id: str
    position: int
    latest: int
    status: str
    before: int | None

    @property
    def name(self) -> Name:
        return self.kind, self.id


def opposite_of(access: Reads, first: int, reason: str) -> list[Command]:
    """Give the commands that undo the batch whose first event is at a position.

    What was wholly redacted since is passed over: nothing is left of it to bring back. Raises NotYet, UnknownBatch,
    NotRevertible naming the records that moved on since, NoChange where all is as it was, BeyondLimit.
    """
    touched = _touched(access, first, _last_of(access, first))
    _refuse([(each, f"moved on: its latest event is at position {each.latest}") for each in touched if _moved(each)])
    commands = opposite(list(_ways(access, touched)), reason)
    if not commands:
        raise NoChange
    if len(commands) > MOST_OPERATIONS:
        raise BeyondLimit(f"to undo this batch takes {len(commands)} revisions, and a batch holds {MOST_OPERATIONS}")
    return commands


def _last_of(access: Reads, first: int) -> int:
    """Give the last position of the batch that begins at a position."""
    at = locate(access)
    if first > at.head:
        raise NotYet(at.head)
    row = access.row(_ENTRY, (first,))
    batch = decode_own(bytes(row[0])).batch if row else None
    if batch is None or batch[0] != first:
        raise UnknownBatch
    return batch[1]


def _touched(access: Reads, first: int, last: int) -> list[_Touched]:
    """Give the records that are left of those that a batch touched, in the order in which it touched them last."""
    found: dict[Name, _Touched] = {}
    for row in access.rows(_TOUCHED, (first, first, last)):
        each = _Touched(*row)
        found.pop(each.name, None)
        found[each.name] = each
    return [each for each in found.values() if each.status != REDACTED]


def _moved(each: _Touched) -> bool:
    return each.latest != each.position


def _ways(access: Reads, touched: Sequence[_Touched]) -> Iterator[Way]:
    """Compare each record as it is with what it was. Raises NotRevertible where what it was has been redacted."""
    for start in range(0, len(touched), _AT_ONCE):
        some = touched[start : start + _AT_ONCE]
        states = dict(_states(access, some))
        _refuse([(each, "its state before the batch is redacted") for each in some if _is_lost(each, states)])
        for each in some:
            if each.before is None:
                yield Way(each.name, each.position, is_asserted=each.status == ASSERTED)
            elif each.position in states:
                yield way_back(each.name, each.position, states[each.before], states[each.position])


def _states(access: Reads, touched: Iterable[_Touched]) -> Iterator[tuple[int, State]]:
    wanted = [position for each in touched if each.before is not None for position in (each.before, each.position)]
    for position, kind, payload in access.rows_in(_STATES, wanted):
        yield position, upcast(kind, msgspec.json.decode(payload)["state"])


def _is_lost(each: _Touched, states: dict[int, State]) -> bool:
    """Say whether the former state alone is gone; where the present one is too, the record was redacted just now."""
    return each.before is not None and each.before not in states and each.position in states


def _refuse(refused: Sequence[tuple[_Touched, str]]) -> None:
    if refused:
        named = [(each.kind, each.id, each.latest, why) for each, why in refused[:_MOST_NAMED]]
        raise NotRevertible(named, len(refused))


def naming_the_record(refusal: LedgerError, commands: Sequence[Command]) -> LedgerError:
    """Say which record a refused command of ours was about: nobody else knows the number of the command."""
    number, refusal.operation = refusal.operation, None
    if (
        number is None
        or not isinstance(refusal, Conflict)
        or (isinstance(refusal, BeyondLimit) and not refusal.pointer)
    ):
        return refusal
    name = commands[number].kind, commands[number].id or ""
    first = next(each.expect for each in commands if (each.kind, each.id) == name)
    position = max(first.positions) if first else 0
    return NotRevertible([(*name, position, refusal.sentence())], 1)
