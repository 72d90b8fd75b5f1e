"""Where a ledger is kept: said without secrets, and looked at without making or changing anything."""

import sqlite3
from contextlib import closing

import psycopg
import sqlalchemy as sa

from api.domain.errors import Misconfigured, Unavailable
from api.ledger.storage.access import Access
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS, Late, Unconfirmed, behind, is_damaged
from api.settings import Settings

# Any row: a log whose head or whose events were taken away is damaged, and not absent.
_ANYTHING = "SELECT 1 WHERE EXISTS (SELECT 1 FROM head) OR EXISTS (SELECT 1 FROM event)"
_QUERIED = ("host", "port", "target_session_attrs")
# What libpq and the server say of a connection that does not come about. More would quote names, and a password written
# in a place where it is none.
_REFUSED = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "Connection refused",
    "timeout expired",
    "could not translate host name",
    "failed to resolve host",
    "No such file or directory",
    "does not exist",
    "too many clients",
    "starting up",
    "shutting down",
)


def place(settings: Settings) -> str:
    """Name the database as an operator did: the path of the file, or the URL without its password."""
    return str(settings.sqlite_path) if settings.is_sqlite else address(settings, "postgresql+psycopg")


def address(settings: Settings, scheme: str) -> str:
    """Write the URL of a server without its password, and of its query only what says which server it is."""
    url = sa.make_url(settings.sqlalchemy_url)
    query = {name: value for name, value in url.query.items() if name in _QUERIED}
    bare = sa.URL.create(
        scheme, username=url.username, host=url.host, port=url.port, database=url.database, query=query
    )
    return bare.render_as_string(hide_password=False)


def has_begun(database: Database, settings: Settings) -> bool:
    """Say whether a ledger is there. Raises Unavailable where that cannot be looked up."""
    if settings.is_sqlite and not settings.sqlite_path.exists():
        return False
    try:
        with closing(database.connect()) as access:
            return _has_any(access)
    except (Unavailable, *DRIVER_ERRORS) as error:
        # A ledger that is broken is there all the same.
        if is_damaged(error):
            return True
        raise


def check_begun(database: Database, settings: Settings) -> None:
    """Raise Misconfigured, saying where was looked and how to name another place, unless a ledger is there."""
    if not has_begun(database, settings):
        rule = (
            f"there is no ledger at {place(settings)}; `ledger serve` begins one, and this setting names another place"
        )
        raise Misconfigured("LEDGER_DATABASE_URL", rule)


def _has_any(access: Access) -> bool:
    try:
        return bool(access.rows(_ANYTHING))
    except psycopg.errors.UndefinedTable:
        return False
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return False


def reason(error: BaseException) -> str | None:
    """Say what a driver gave as its reason, for an operator's eyes; None where no driver is behind the error.

    Of PostgreSQL only what is said without values: a code, or the kind of refusal that ended a first connection.
    """
    found = behind(error)
    if isinstance(found, sqlite3.Error | Late | Unconfirmed):
        return str(found)
    if isinstance(found, psycopg.Error):
        return found.sqlstate or next((said for said in _REFUSED if said in str(found)), type(found).__name__)
    return None
