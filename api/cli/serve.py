"""Commands that serve: a ledger, or a witness."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
from litestar.types import ASGIApp

from api import __version__, serving
from api.app import create_app
from api.cli.opened import writing
from api.cli.progress import console
from api.domain.errors import LogDamaged, LogRefused
from api.ledger.keeping.place import check_begun, has_begun, place
from api.ledger.keeping.standby import as_it_allows
from api.ledger.reading import standpoint
from api.ledger.storage.database import Database
from api.ledger.writing import genesis, redacting, seed
from api.ledger.writing.ledger import Ledger
from api.settings import Settings, load
from api.witnessing import service


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that serve.")
@click.option("--empty", is_flag=True, help="Begin an empty database without the seed.")
@click.option("--read-only", is_flag=True, help="Serve reads alone, without the signing key; write nothing.")
def serve(host: str, port: int, workers: int, *, empty: bool, read_only: bool) -> None:
    """Migrate, begin and seed an empty database, then serve. With --read-only serve what is there, as it is.

    Workers: one that ends is started again while the others serve on. Each counts rate limits and metrics for itself, and
    notices within five seconds that a key was revoked. Each takes 1,024 connections, or 256 less than the files that it may
    open (ulimit -n), and closes one that is silent, or takes nothing of its answer, for 20 seconds. Nothing counts the
    connections of one address: a proxy can.

    PostgreSQL: a worker keeps a few connections, and one more for each of LEDGER_READER_THREADS at most. What is given up after
    one of the timeouts is not left to run on the server, but for a commit that waits for a standby. Shorter limits of yours
    stay in force.

    A standby is served for reads alone, and anew as a primary when the node is started again. That its primary is frozen
    shows in behind_seconds after half of wal_receiver_timeout, or all of it where the role has no pg_read_all_stats.

    A copy that is only read shows the checkpoint in <key>.signed, if that file leads into its log. SQLite may put an empty
    -wal and a -shm beside it; in a folder that cannot be written to, nobody else may write to it meanwhile.

    SIGTERM, SIGINT and SIGHUP finish what was accepted, then stop; a database that does not answer is waited for a few
    seconds.
    """
    settings = load()
    if read_only:
        settings = settings.model_copy(update={"read_only": True})
    with serving.reserved(host, port) as address:
        prepare(settings, is_empty=empty)
        listening = serving.shown(host, port)
        console.print(
            f"Deplatforming Ledger {__version__}: http://{listening}/docs explains, http://{listening}/ leads on",
            soft_wrap=True,
        )
        raise SystemExit(serving.serve(partial(create_app, settings), settings, address, port, workers=workers))


def prepare(settings: Settings, *, is_empty: bool) -> None:
    """Bring the database to where it can be served from. Two nodes may do this at once: each step holds a lock."""
    database = Database(settings)
    try:
        allowed = as_it_allows(settings, database)
        was_there, had_key = has_begun(database, settings), settings.signing_key_path.exists()
        if allowed.read_only:
            check_begun(database, settings)
            genesis.open_copy(database)
            _tell("found, only read" if settings.read_only else "a standby, only read", settings, database)
            return
        database.migrate()
        genesis.open_ledger(
            database, key_path=settings.signing_key_path, origin=settings.log_origin, is_seeded=is_empty
        )
        if left := redacting.finish(database):
            console.print(f"{left}; `ledger purge` tries again")
        with writing(database, settings) as ledger:
            _seed(database, ledger, settings)
        _tell("found" if was_there else "made", settings, database)
        console.print(f"signing key {settings.signing_key_path}: {'found' if had_key else 'made'}", soft_wrap=True)
    finally:
        database.close()


def _seed(database: Database, ledger: Ledger, settings: Settings) -> None:
    """Append what is left of the seed. A log that is refused or damaged is served for reading, without it."""
    done: list[int] = []
    try:
        for _, outcome in seed.seed(database, ledger, settings.seed):
            done.append(len(outcome.items))
    except (LogDamaged, LogRefused) as refusal:
        console.print(f"not seeded: {refusal}", soft_wrap=True)
    if done:
        console.print(f"seeded with {sum(done):,} operations from {len(done)} files")


def _tell(how: str, settings: Settings, database: Database) -> None:
    """Say which database it is, so that nobody takes a new one for the one that he meant."""
    position = standpoint.locate(database.access()).position
    console.print(f"database {place(settings)}: {how}, at position {position:,}", soft_wrap=True)


@click.command("witness")
@click.option(
    "--key", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File of its key; made if not there."
)
@click.option("--name", help="Name of its key, best a URL without scheme; default: one without meaning.")
@click.option("--log", "logs", multiple=True, required=True, help="Key (vkey) of a log to trust; may be given again.")
@click.option("--follow", multiple=True, help="URL of a ledger to look at unasked; may be given again.")
@click.option("--every", default=10.0, show_default=True, type=click.FloatRange(0.1, 86400), help="Seconds in between.")
@click.option(
    "--state", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of what it has cosigned."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8100, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
def serve_witness(
    *,
    key: Path,
    name: str | None,
    logs: tuple[str, ...],
    follow: tuple[str, ...],
    every: float,
    state: Path,
    host: str,
    port: int,
) -> None:
    """Cosign the checkpoints of other logs, having checked that each continues the one before (c2sp.org/tlog-witness).

    Its vkey, which those who trust it need, is printed and shown at /. A log whose key was rotated is trusted again with a
    second --log, once somebody has seen the rotation in its history.

    What is shown to be a fork (two signed checkpoints of one size with two roots, or a proof that leads to the new root from
    another old one) is kept in fork.json in the state folder, and the log is refused with 403 until that file is removed. A
    proof that merely fails is a 422, kept in doubt.json: anybody can send one, so it must not silence an honest log.
    """
    options = service.Options(key=key, name=name, logs=logs, follow=follow, every=every, state=state)
    with serving.reserved(host, port) as address:
        click.echo(service.prepare(options).vkey)
        raise SystemExit(serving.serve(partial(_witness, options), load(), address, port))


def _witness(options: service.Options, _ending: object) -> ASGIApp:
    return service.serve(options)


@click.command()
def migrate() -> None:
    """Bring the schema up to date."""
    database = Database(load())
    database.migrate()
    database.close()


COMMANDS: Sequence[click.Command] = (serve, serve_witness, migrate)
