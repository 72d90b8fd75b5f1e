"""What the ledger holds at a position, counted."""

from itertools import islice

import sqlalchemy as sa

from api.domain.dates.asof import NOW, AsOf, Standpoint
from api.domain.records.kinds import KIND_NAMES
from api.ledger.reading.composed import POSITION, Composed, held, record, rows_of, term
from api.ledger.reading.lists import MOST_VALUES
from api.ledger.reading.standpoint import locate
from api.ledger.storage.reads import Reads
from api.ledger.storage.tables import AgreementRow, Event

_SHOWN = ("claim.stance", "claim.relation", "source.type", "source.language", "question.answer_type")
_count = sa.func.count()
_agreement, _event = rows_of(AgreementRow, "g"), rows_of(Event, "e")
_VALUES = Composed(
    sa.select(term.c.field, term.c.value, _count)
    .where(held(term), term.c.field.in_([*(f"{kind}.status" for kind in KIND_NAMES), *_SHOWN]))
    .group_by(term.c.field, term.c.value)
    .order_by(_count.desc(), term.c.value)
)
_STATES = Composed(
    sa.select(_agreement.c.state, _count)
    .where(held(_agreement))
    .group_by(_agreement.c.state)
    .order_by(_agreement.c.state)
)
_TYPES = Composed(
    sa.select(_event.c.type, _count)
    .where(_event.c.position <= POSITION)
    .group_by(_event.c.type)
    .order_by(_event.c.type)
)
_RECORDED = Composed(
    sa.select(record.c.kind, _count).where(record.c.first_position <= POSITION).group_by(record.c.kind)
)


def count(access: Reads, asked: AsOf = NOW) -> tuple[dict[str, object], Standpoint]:
    """Count what the ledger holds at a position; of the values of a field the most frequent, MOST_VALUES at most."""
    at = locate(access, asked)
    counts: dict[str, dict[str, int]] = {}
    for name, value, count in access.rows(*_VALUES(access, position=at.position)):
        counts.setdefault(name, {})[value] = count
    states, types, recorded = (
        dict[str, int](access.rows(*query(access, position=at.position))) for query in (_STATES, _TYPES, _RECORDED)
    )
    kinds = {kind: _statuses(recorded.get(kind, 0), counts.get(f"{kind}.status", {})) for kind in KIND_NAMES}
    others = {name: dict(islice(counts.get(name, {}).items(), MOST_VALUES)) for name in _SHOWN}
    return {"events": at.position, "by_type": types, "records": kinds, "agreement": states, "values": others}, at


def _statuses(recorded: int, others: dict[str, int]) -> dict[str, int]:
    """Count what is asserted, which the terms leave unsaid, and what is retracted; what is redacted is not counted."""
    counts = {"asserted": recorded - sum(others.values()), "retracted": others.get("retracted", 0)}
    return {status: count for status, count in counts.items() if count}
