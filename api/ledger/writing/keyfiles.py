"""The files of the log's signing key: one in force, one that is to be, and those that were, side by side.

A key is made before the event that names it, under a provisional name, and gets its lasting one once the event is durable.
"""

import glob
import os
import secrets
from contextlib import suppress
from pathlib import Path

from api.domain.errors import Misconfigured
from api.domain.log.checkpoint import SigningKey
from api.domain.records.record import State


def keys_beside(key_path: Path) -> list[SigningKey]:
    """Read the log's key, while a rotation is under way the next one, and those that were in force before."""
    former = key_path.parent.glob(f"{glob.escape(key_path.name)}.{'[0-9a-f]' * 8}")
    return [read_key(path) for path in (key_path, provisional_path(key_path), *former) if path.exists()]


def provisional_path(key_path: Path) -> Path:
    return key_path.with_name(key_path.name + ".new")


def settle_key(key_path: Path, state: State) -> None:
    """Give the key that was made for this ledger its lasting name, whoever made it and was killed since."""
    provisional = provisional_path(key_path)
    # Another node on this machine may do the same at this moment.
    with suppress(FileNotFoundError, ValueError):
        if not key_path.exists() and is_key_of(
            state, SigningKey.decode(provisional.read_text(encoding="utf-8").strip())
        ):
            provisional.replace(key_path)


def settle_rotation(key_path: Path, state: State) -> None:
    """Give the newest key its lasting name once the log names it; the one before stays beside it, under its key id."""
    provisional = provisional_path(key_path)
    if not (key_path.exists() and provisional.exists()) or read_key(provisional).vkey != state["keys"][-1]["vkey"]:
        return
    former = read_key(key_path)
    with suppress(FileExistsError):
        os.link(key_path, key_path.with_name(f"{key_path.name}.{former.vkey.split('+')[1]}"))
    provisional.replace(key_path)


def is_key_of(state: State, key: SigningKey) -> bool:
    return key.vkey in {each["vkey"] for each in state["keys"]}


def read_key(path: Path) -> SigningKey:
    try:
        return SigningKey.decode(path.read_text(encoding="utf-8").strip())
    except (OSError, ValueError) as error:
        raise Misconfigured("LEDGER_SIGNING_KEY", f"{path} holds no signing key") from error


def make_key(path: Path, name: str) -> SigningKey:
    """Make the log's key, in a file that only its owner reads."""
    key = SigningKey(name, secrets.token_bytes(32))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(key.encode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return key
