"""The ledger's own record: its name, its keys, and the formats of its log, as its latest event has them."""

import msgspec

from api.domain.errors import Misconfigured
from api.domain.records.record import LEDGER, State
from api.ledger.reading import soundness
from api.ledger.storage.reads import Reads

_OWN = (
    "SELECT e.position, e.entry, e.leaf_hash, p.salt, p.payload FROM record r JOIN event e ON e.position = r.position"
    " LEFT JOIN payload p ON p.position = r.position WHERE r.kind = ? AND r.id = ?"
)


def ledger_state(access: Reads) -> State:
    """Give the latest state of the ledger's own record. Raises LogDamaged, for it is never redacted, or Misconfigured."""
    row = access.row(_OWN, (LEDGER, LEDGER))
    if row is None:
        raise Misconfigured("LEDGER_DATABASE_URL", "the database holds no ledger")
    position, entry, leaf, salt, payload = row
    soundness.check_payload(soundness.checked_entry(position, entry, leaf), salt, payload)
    state: State = msgspec.json.decode(payload)["state"]
    return state
