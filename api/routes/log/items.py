"""What of an event the forms of others tell beside it, and where it is shown."""

from collections.abc import Mapping
from typing import Final

import msgspec

from api.domain.records.kinds import KINDS
from api.domain.records.redaction import REDACTION

_PATHS: Final[Mapping[str, str]] = {**{kind.name: kind.path for kind in KINDS.values()}, REDACTION: "/v1/redactions"}


class Item(msgspec.Struct):
    """As much of an event, as the feed has it, as is told."""

    position: int
    type: str
    kind: str
    id: str | None
    revision: int
    recorded_at: str
    actor: str | None
    reason: str | None
    redacted: Mapping[str, object] | None

    @property
    def address(self) -> str:
        """Where the revision that it made is shown; where that is nowhere, the event itself."""
        path = _PATHS.get(self.kind)
        if path is None or self.id is None:
            return f"/v1/events/{self.position}"
        return f"{path}/{self.id}" if self.kind == REDACTION else f"{path}/{self.id}/revisions/{self.revision}"


read_item = msgspec.json.Decoder(Item).decode
