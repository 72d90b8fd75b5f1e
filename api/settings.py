"""Settings: environment variables that start with LEDGER_, each with a default, refused loudly when wrong."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from api.domain.errors import Misconfigured
from api.domain.log.cosignature import check_vkey
from api.domain.records.operation import MOST_OPERATIONS

_ORIGIN = re.compile(r"[^\s+]{1,200}")
_RATE = re.compile(r"off|[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})?")
# SQLite gives each connection a memory of its own, so a ledger cannot be kept there.
_DATABASE = re.compile(r"sqlite:///(?!:memory:).+|postgresql(\+psycopg)?://.+")
_MAIL = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,253}")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """A witness to ask: its public key, and the URL below which it takes checkpoints."""

    vkey: str
    url: str


class Settings(BaseSettings):
    """Everything an operator can set. Sizes are bytes, times are seconds."""

    model_config = SettingsConfigDict(env_prefix="LEDGER_", extra="ignore", frozen=True)

    database_url: str = Field(
        "sqlite:///ledger.db", description="`sqlite:///path` or `postgresql+psycopg://user:password@host/name`"
    )
    signing_key: Path | None = Field(
        None, description="file of the log's signing key; default: `<database>.key` beside SQLite, else `ledger.key`"
    )
    log_origin: str | None = Field(None, description="name of the log, fixed at its first event; default: minted")
    read_only: bool = Field(False, description="`true` serves reads alone, without the signing key: for copies")
    public_read: bool = Field(True, description="`false` closes all reads but `/health/live` to callers without a key")
    public_url: str | None = Field(None, description="URL for links in full; default: as the client names the host")
    contact: str | None = Field(None, description="URL or mail address of whoever runs the ledger")
    rate_limit: str = Field("1000,6000", description="requests a minute for an anonymous address, for a key; or `off`")
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="networks, comma-separated, whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed"
    )
    max_body: int = Field(256 * 1024, ge=1024, le=2**30, description="largest request body")
    max_batch: int = Field(16 * 1024 * 1024, ge=1024, le=2**30, description="largest batch body")
    max_bodies: int = Field(
        64 * 1024 * 1024, ge=1024, le=2**34, description="most bytes of bodies that a process holds at a time"
    )
    body_deadline: int = Field(120, ge=1, le=86400, description="seconds for a body to come whole")
    max_operations: int = Field(MOST_OPERATIONS, ge=1, le=MOST_OPERATIONS, description="most operations in a batch")
    max_depth: int = Field(32, ge=8, le=200, description="deepest JSON nesting")
    reader_threads: int = Field(8, ge=1, le=256, description="reads at a time that may take long")
    followers: int = Field(1000, ge=0, le=100_000, description="most who follow the log live, in a process")
    group_size: int = Field(64, ge=1, le=1000, description="most appends that share a commit")
    connect_timeout: int = Field(
        3, ge=2, le=3600, description="seconds to connect to PostgreSQL, for each of its hosts"
    )
    read_timeout: float = Field(5, ge=0.1, le=3600, description="seconds for PostgreSQL to answer a read")
    write_timeout: float = Field(
        20,
        ge=0.1,
        le=3600,
        description="seconds for PostgreSQL to write, a standby included",
    )
    start_timeout: float = Field(
        30,
        ge=0.1,
        le=3600,
        description="seconds that a start or command waits for a PostgreSQL that shows no sign of work",
    )
    witnesses: Annotated[tuple[WitnessAddress, ...], NoDecode] = Field(
        (), description="witnesses to ask to cosign: `<vkey> <URL>`, one a line or after a comma"
    )
    seed: Path | None = Field(None, description="folder of seed files; default: the one shipped")
    log_format: Literal["json", "console"] = Field("json", description="how log lines are written")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe line logged")

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        if not _DATABASE.fullmatch(url):
            message = "must be sqlite:///path, of a file, or postgresql+psycopg://…"
            raise ValueError(message)
        return url

    @field_validator("rate_limit")
    @classmethod
    def _known_rate(cls, rate: str) -> str:
        if not _RATE.fullmatch(rate):
            message = "must be `off`, one number, or two separated by a comma"
            raise ValueError(message)
        return rate

    @field_validator("log_origin")
    @classmethod
    def _known_origin(cls, origin: str | None) -> str | None:
        if origin is not None and not _ORIGIN.fullmatch(origin):
            message = "must have neither spaces nor +"
            raise ValueError(message)
        return origin

    @field_validator("public_url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        return None if url is None else check_url(url).rstrip("/")

    @field_validator("contact")
    @classmethod
    def _reachable(cls, contact: str | None) -> str | None:
        return contact if contact is None or _MAIL.fullmatch(contact) else check_url(contact)

    @model_validator(mode="after")
    def _room_for_one(self) -> "Settings":
        if self.max_bodies < max(self.max_body, self.max_batch):
            raise ValueError("LEDGER_MAX_BODIES must be at least LEDGER_MAX_BODY and LEDGER_MAX_BATCH")
        return self

    @field_validator("seed")
    @classmethod
    def _full_folder(cls, folder: Path | None) -> Path | None:
        if folder is not None and not any(folder.glob("*.ndjson")):
            message = "must be a folder with files of operations, named *.ndjson"
            raise ValueError(message)
        return folder

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())
        return value

    @field_validator("witnesses", mode="before")
    @classmethod
    def _addresses(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(_address(part) for part in re.split(r"[,\n]", value) if part.strip())
        return value

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def sqlalchemy_url(self) -> str:
        """The URL with its driver named, as SQLAlchemy wants it."""
        return re.sub(r"^postgresql://", "postgresql+psycopg://", self.database_url)

    @property
    def sqlite_path(self) -> Path:
        return Path(self.database_url.removeprefix("sqlite:///"))

    @property
    def signing_key_path(self) -> Path:
        """Where the log's key is kept, and beside it what was last signed."""
        if self.signing_key is not None:
            return self.signing_key
        return self.sqlite_path.with_suffix(".key") if self.is_sqlite else Path("ledger.key")

    @property
    def rates(self) -> tuple[int, int] | None:
        """Requests a minute for an anonymous address and for a key; None when limits are off."""
        if self.rate_limit == "off":
            return None
        anonymous, _, keyed = self.rate_limit.partition(",")
        return int(anonymous), int(keyed or anonymous)


def _address(pair: str) -> WitnessAddress:
    """Read `<vkey> <URL>`; ValueError, which does not repeat it, for anything else."""
    words = pair.split()
    if len(words) != 2:  # noqa: PLR2004 - a pair
        raise ValueError("each witness is a key, a space and a URL")
    try:
        check_vkey(words[0])
    except ValueError as error:
        raise ValueError(f"the key of a witness: {error}") from error
    return WitnessAddress(words[0], check_url(words[1]))


def check_url(url: str) -> str:
    """Give the URL back if it can be the prefix of others; ValueError, which does not repeat it, if not."""
    parts = urlsplit(url)
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if not is_plain or parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("not an absolute http or https URL")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("a URL to begin others with has no query, no fragment and no user")
    return url


def load() -> Settings:
    """Read the environment. Raises Misconfigured naming each variable at fault."""
    try:
        return Settings()
    except ValidationError as refused:
        faults = [f"LEDGER_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in refused.errors()]
        raise Misconfigured("settings", "; ".join(faults)) from None
