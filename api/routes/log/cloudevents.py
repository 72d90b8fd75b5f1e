"""The feed as CloudEvents 1.0, in the batched content mode of their JSON format (https://cloudevents.io).

What happened is told by `type`, to what by `subject`; `sequence` is the position, filled up so that text sorts as it does
(the extension of that name), and `data` the event as the feed has it.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from api.routes.log.items import Item, read_item

MEDIA_TYPE: Final = "application/cloudevents-batch+json"
# Positions have at most as many digits.
_DIGITS = 16


def render(items: Sequence[bytes], *, origin: str) -> bytes:
    """Write events as a batch. They are of the log by its origin, wherever it is read."""
    return msgspec.json.encode([_event(read_item(item), item, origin) for item in items])


def _event(told: Item, item: bytes, origin: str) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": str(told.position),
        "source": f"//{origin}",
        "type": f"ledger.{told.kind}.{told.type}",
        "subject": told.address,
        "time": told.recorded_at,
        "datacontenttype": "application/json",
        "sequence": f"{told.position:0{_DIGITS}}",
        "data": Raw(item),
    }
