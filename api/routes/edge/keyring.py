"""Keys that were seen lately, so that not every request asks the database. A revocation is felt within five seconds."""

import time

from api.ledger.storage.database import Database
from api.ledger.writing import keys
from api.ledger.writing.keys import Caller

_SECONDS = 4.0
_MOST = 10_000


class Keyring:
    """Recognises keys, remembering the answer for four seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[str, tuple[float, Caller | None]] = {}

    async def recognise(self, key: str | None) -> Caller | None:
        """Give the caller behind a key; None for a wrong, revoked or malformed one."""
        if key is None:
            return None
        seen = self._seen.get(key)
        now = time.monotonic()
        if seen is not None and seen[0] > now:
            return seen[1]
        caller = await self._database.read(keys.recognise, key)
        if len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen[key] = (now + _SECONDS, caller)
        return caller
