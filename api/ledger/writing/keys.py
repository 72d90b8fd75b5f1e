"""API keys and the actors behind them. A key's secret is shown once and kept only as its SHA-256."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from uuid import uuid4

from api.domain.errors import Misconfigured, UnknownActor
from api.ledger.storage.access import Access, lock_head
from api.ledger.storage.clock import now
from api.ledger.storage.reads import Reads

SCOPES = ("write", "redact", "admin")
KEY_PATTERN = r"^dl_[a-z0-9]{12}_[A-Za-z0-9_-]{43}\Z"
_ID_BYTES = 6


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from, and what they may do."""

    actor: str
    key: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeyLine:
    """What is known of a key, its secret apart."""

    key: str
    label: str
    actor: str
    scopes: str
    since: int
    revoked_at: int | None


def create(access: Access, label: str, scopes: tuple[str, ...], public_name: str | None) -> str:
    """Make a key with an actor of its own and give the whole key, which is kept nowhere."""
    key, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(32)
    with access.transaction():
        actor, moment = _make_actor(access, public_name)
        access.run(
            "INSERT INTO key (id, actor, label, secret_sha256, scopes, since, revoked_at) VALUES (?, ?, ?, ?, ?, ?, NULL)",
            (key, actor, label, hashlib.sha256(secret.encode()).digest(), " ".join(scopes), moment),
        )
    return f"dl_{key}_{secret}"


def lines(access: Reads) -> list[KeyLine]:
    """List the keys, oldest first."""
    rows = access.rows("SELECT id, label, actor, scopes, since, revoked_at FROM key ORDER BY since, id")
    return [KeyLine(*row) for row in rows]


def revoke(access: Access, key: str) -> None:
    """Let a key do nothing from now on. Raises Misconfigured where there is none of that id."""
    if access.row("SELECT id FROM key WHERE id = ?", (key,)) is None:
        raise Misconfigured("key", "no key has this id")
    with access.transaction():
        access.run("UPDATE key SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (now(), key))


def recognise(access: Reads, key: str) -> Caller | None:
    """Give the caller a key stands for; None for a wrong or revoked one. `key` fits KEY_PATTERN."""
    _, key_id, secret = key.split("_", 2)
    row = access.row("SELECT actor, secret_sha256, scopes FROM key WHERE id = ? AND revoked_at IS NULL", (key_id,))
    stored = bytes(row[1]) if row else bytes(32)
    is_right = hmac.compare_digest(stored, hashlib.sha256(secret.encode()).digest())
    return Caller(row[0], key_id, frozenset(row[2].split())) if row and is_right else None


def actor_named(access: Access, name: str) -> str:
    """Give the actor of one of the ledger's own doors (the seed, the command line), making it the first time."""
    with access.transaction():
        # Two nodes that start together must not both make it.
        lock_head(access)
        row = access.row("SELECT id FROM actor WHERE name = ?", (name,))
        return str(row[0]) if row is not None else _make_actor(access, name)[0]


def _make_actor(access: Access, name: str | None) -> tuple[str, int]:
    """Make an actor; give its id, and since when it is known: later than all others, for lists go on from there.

    The head's lock keeps them in the order of their commits, so that no reader of the list skips any.
    """
    lock_head(access)
    [(latest,)] = access.rows("SELECT COALESCE(max(since), 0) FROM actor")
    actor, moment = str(uuid4()), max(now(), latest + 1)
    access.run("INSERT INTO actor (id, name, since) VALUES (?, ?, ?)", (actor, name, moment))
    return actor, moment


def actor(access: Reads, public_id: str) -> tuple[str | None, int]:
    """Give the name published for an actor, if any, and since when it is known. Raises UnknownActor."""
    row = access.row("SELECT name, since FROM actor WHERE id = ?", (public_id,))
    if row is None:
        raise UnknownActor
    return row[0], row[1]


def actors(access: Reads, *, cursor: int, limit: int) -> list[tuple[str, str | None, int]]:
    """List actors in the order of when they became known, from after `cursor` (microseconds) on."""
    return access.rows("SELECT id, name, since FROM actor WHERE since > ? ORDER BY since LIMIT ?", (cursor, limit))
