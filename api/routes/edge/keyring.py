"""Keys that were seen lately, so that not every request asks the database. A revocation is felt within five seconds."""

import re
import time

from api.ledger.storage.database import Database
from api.ledger.writing import keys
from api.ledger.writing.keys import KEY_PATTERN, Caller

_KEY = re.compile(KEY_PATTERN)
_SECONDS = 4.0
_MOST = 10_000


class Keyring:
    """Recognises keys, remembering for four seconds whose they are."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[str, tuple[float, Caller | None]] = {}

    async def recognise(self, authorization: str | None) -> Caller | None:
        """Give the caller behind a bearer token (RFC 6750 section 2.1); None for none, and for one that is wrong or revoked."""
        key = None if authorization is None else _key_in(authorization)
        if key is None:
            return None
        now = time.monotonic()
        until, caller = self._seen.get(key, (0.0, None))
        if until > now:
            return caller
        caller = await self._database.read(lambda access: keys.recognise(access, key))
        if len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen[key] = (now + _SECONDS, caller)
        return caller


def is_bearer(authorization: str) -> bool:
    """Say whether credentials are sent as a key is, whatever they are (RFC 9110 section 11.4)."""
    return authorization.partition(" ")[0].lower() == "bearer"


def _key_in(authorization: str) -> str | None:
    key = authorization.partition(" ")[2].lstrip(" ")
    return key if is_bearer(authorization) and _KEY.match(key) else None
