"""The command line: serve, witness, migrate, import, rebuild, verify, keys, stats, locate, openapi."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
from granian import Granian
from granian.constants import Interfaces
from rich.progress import Progress

from api import __version__, editing
from api.app import build, spare_collector
from api.archive import outside, site, verify
from api.archive.findings import Finding
from api.domain.errors import LedgerError, Unavailable
from api.ledger import answers, feed, genesis, keys, redaction, seed
from api.ledger.checkpoints import Checkpoints, kept_path
from api.ledger.database import DRIVER_ERRORS, Database
from api.ledger.ledger import Ledger, Outcome
from api.ledger.upkeep import take_stock
from api.progress import console, stepping
from api.routes import openapi, witness
from api.routes.metrics import Metrics
from api.settings import Settings, load

# So many independent origins and more are counted together.
_MANY = 3
_LONGEST_NAME = 200
COMMAND_LINE = "command line"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _name(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Take what a person calls something."""
    if value is not None and (not value.strip() or len(value) > _LONGEST_NAME or not value.isprintable()):
        raise click.BadParameter(f"a name has 1 to {_LONGEST_NAME} printable characters")
    return value


class _Loud(click.Group):
    """Says what the ledger refused in one line, and exits with 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LedgerError as refusal:
            raise click.ClickException(str(refusal)) from refusal


@click.group(cls=_Loud, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Who claimed what about the deplatforming of Parler, with every past view.

    Begin with `ledger serve`, then open http://127.0.0.1:8000/docs. Settings are environment variables that start with
    LEDGER_, LEDGER_DATABASE_URL above all; the README lists them.
    """
    spare_collector()


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that serve.")
@click.option("--empty", is_flag=True, help="Begin an empty database without the seed.")
def serve(host: str, port: int, workers: int, *, empty: bool) -> None:
    """Migrate, begin and seed an empty database, then serve."""
    settings = load()
    prepare(settings, is_empty=empty)
    console.print(
        f"Deplatforming Ledger {__version__}: http://{host}:{port}/docs explains, http://{host}:{port}/ leads on",
        soft_wrap=True,
    )
    Granian(
        "api.app:create_app",
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=workers,
        factory=True,
        websockets=False,
        log_access=False,
        backlog=2048,
        workers_kill_timeout=30,
    ).serve()


def prepare(settings: Settings, *, is_empty: bool) -> None:
    """Bring the database to where it can be served from. Two nodes may do this at once: each step holds a lock."""
    database = Database(settings)
    try:
        database.migrate()
        genesis.open_ledger(
            database, key_path=settings.signing_key_path, origin=settings.log_origin, is_seeded=is_empty
        )
        if left := redaction.finish(database):
            console.print(f"{left}; `ledger purge` tries again")
        with _writing(database, settings) as ledger:
            done = [len(outcome.items) for _, outcome in seed.seed(database, ledger, settings.seed)]
        if done:
            console.print(f"seeded with {sum(done):,} operations from {len(done)} files")
    finally:
        database.close()


@contextmanager
def _writing(database: Database, settings: Settings) -> Iterator[Ledger]:
    checkpoints = Checkpoints(database, settings.signing_key_path)
    ledger = Ledger(database, group_size=settings.group_size, guard=checkpoints.guard, committed=checkpoints.committed)
    checkpoints.start()
    ledger.start()
    try:
        yield ledger
    finally:
        ledger.stop()
        checkpoints.stop()


@contextmanager
def _opened() -> Iterator[tuple[Settings, Database]]:
    """Give the database of a ledger that has begun."""
    settings = load()
    database = Database(settings)
    try:
        database.migrate()
        genesis.open_ledger(database, key_path=settings.signing_key_path, origin=settings.log_origin, is_seeded=False)
        yield settings, database
    finally:
        database.close()


@main.command("witness")
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

    Its vkey, which those who trust it need, is printed and shown at /.
    """
    options = witness.Options(key=key, name=name, logs=logs, follow=follow, every=every, state=state)
    click.echo(witness.prepare(options).vkey)
    Granian(
        "api.routes.witness:serve",
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_access=False,
        workers_kill_timeout=30,
    ).serve(target_loader=partial(witness.serve, options), wrap_loader=False)


@main.command()
def migrate() -> None:
    """Bring the schema up to date."""
    database = Database(load())
    database.migrate()
    database.close()


@main.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would happen. The files are taken as one batch.")
def import_files(files: tuple[Path, ...], *, dry_run: bool) -> None:
    """Append files of operations.

    Each is NDJSON or a JSON array, in the format of POST /v1/batch, and one transaction. One that is in already, byte
    for byte, is passed over. Every operation is reported with what became of it.
    """
    with _opened() as (settings, database), _writing(database, settings) as ledger:
        actor = keys.actor_named(database.access(), COMMAND_LINE)
        if dry_run:
            outcome = seed.try_files(ledger, files, actor)
            _report([place for path in files for place in seed.places(path)], outcome)
            click.echo(f"would write {len(outcome.items)} events")
            return
        with Progress(console=console) as progress:
            for path in progress.track(files, description="importing"):
                outcome = seed.import_file(ledger, path, actor)
                _report(seed.places(path), outcome)
                word = "was in already" if outcome.is_replay else "written"
                click.echo(f"{path.name}: {len(outcome.items)} events {word}, up to position {outcome.position}")
        take_stock(database.access())


def _report(places: Sequence[str], outcome: Outcome) -> None:
    for place, item in zip(places, outcome.items, strict=False):
        click.echo(f"{place}: {item.kind} {item.id}, revision {item.revision}, position {item.position}")


@main.command()
def rebuild() -> None:
    """Derive all but the log anew from it."""
    with _opened() as (_, database):
        access = database.access()
        total = access.row("SELECT position FROM head")
        with Progress(console=console) as progress:
            task = progress.add_task("rebuilding", total=total[0] if total else 0)
            head = genesis.rebuild(access, lambda position: progress.update(task, completed=position))
        click.echo(f"rebuilt from {head} events")


@main.command("verify")
@click.argument("url", required=False)
@click.option(
    "--vkey", "vkeys", multiple=True, help="Accept checkpoints of this key alone. May be given several times."
)
@click.option("--since", type=_FILE, help="An earlier checkpoint, which must be a prefix of the log.")
@click.option(
    "--sample",
    default=300,
    show_default=True,
    type=click.IntRange(0),
    help="How many records to compare, drawn at random, when a URL is given.",
)
@click.option("--most", default=50, show_default=True, type=click.IntRange(1), help="How many differences to print.")
def verify_ledger(url: str | None, vkeys: tuple[str, ...], since: Path | None, sample: int, most: int) -> None:
    """Derive all of the ledger again and say what differs.

    Without a URL that is the database of this node: every entry, payload, hash and derived row, and what was signed
    last. With the URL of a ledger it is what anybody can check from outside. Nothing is changed.

    Exit status: 0 sound, 1 damage found, 2 could not be checked.
    """
    told = Told(most)
    try:
        doubts = verify.Doubts(vkeys=vkeys, since=since.read_text(encoding="utf-8") if since else None, sample=sample)
        with Progress(console=console, transient=True) as progress:
            verdict = _verified(url, told, stepping(progress), doubts)
    except (LedgerError, OSError, ValueError, *DRIVER_ERRORS) as error:
        console.print(f"could not be checked: {error if isinstance(error, LedgerError) else type(error).__name__}")
        raise SystemExit(2) from error
    if told.count > most:
        click.echo(f"and {told.count - most} more")
    click.echo(verdict.sentence())
    raise SystemExit(0 if verdict.is_sound else 1)


def _verified(url: str | None, told: "Told", step: verify.Step, doubts: verify.Doubts) -> verify.Verdict:
    if url is not None:
        with site.client_of(url) as client:
            return outside.verify_url(site.Site(client), told, step, doubts)
    settings = load()
    if settings.is_sqlite and not settings.sqlite_path.exists():
        raise Unavailable("there is no database yet")
    database = Database(settings)
    try:
        return verify.verify_database(database, kept_path(settings.signing_key_path), told, step, doubts)
    finally:
        database.close()


class Told:
    """Prints what was found wrong, up to a number of lines, and counts the rest."""

    def __init__(self, most: int) -> None:
        self.count, self._most = 0, most

    def __call__(self, finding: Finding) -> None:
        self.count += 1
        if self.count <= self._most:
            click.echo(str(finding))


@main.command()
def purge() -> None:
    """Make sure that nothing redacted is left in the database's own files."""
    with _opened() as (_, database):
        redaction.purge(database)
        click.echo("nothing that was redacted is left in the database's own files")


@main.command()
def stats() -> None:
    """Count what the ledger holds, as JSON; questions also by how many independent origins their claims have."""
    with _opened() as (_, database):
        counts, at = feed.stats(database.access())
        origins = Counter(min(len(found.origins), _MANY) for found in answers.agreements(database.access()))
        named = {f"{number}+" if number == _MANY else str(number): origins[number] for number in range(_MANY + 1)}
        click.echo(json.dumps({**counts, "questions_by_origins": named, "position": at.position}, indent=2))


@main.command("openapi")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it there instead of printing it."
)
def print_openapi(output: Path | None) -> None:
    """Print the OpenAPI document."""
    document = openapi.build(build(load(), Metrics()))
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error


@main.group("keys")
def keys_group() -> None:
    """API keys: who may write."""


@keys_group.command("create")
@click.argument("name", callback=_name)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(keys.SCOPES),
    help="May be given several times.",
)
@click.option(
    "--publish-name", callback=_name, help="Name to show at /v1/actors/{id}; without it the actor stays an opaque id."
)
def create_key(name: str, scopes: tuple[str, ...], publish_name: str | None) -> None:
    """Make a key and print it, once. NAME is for you; readers see the actor's opaque id."""
    with _opened() as (_, database):
        click.echo(keys.create(database.access(), name, tuple(dict.fromkeys(scopes)), publish_name))


@keys_group.command("list")
def list_keys() -> None:
    """List keys, without their secrets."""
    with _opened() as (_, database):
        for line in keys.lines(database.access()):
            state = "revoked" if line.revoked_at else "valid"
            click.echo(f"{line.key}  {state:8} {line.scopes:20} {line.actor}  {line.label}")


@keys_group.command("rotate-signing")
def rotate_signing() -> None:
    """Make a new signing key for the log's checkpoints and name it in the log.

    The last checkpoint under the old key covers that very event. Processes that serve take notice by themselves.
    """
    with _opened() as (settings, database):
        checkpoints = Checkpoints(database, settings.signing_key_path)
        checkpoints.start()
        checkpoints.guard()
        position = genesis.rotate_key(database.access(), settings.signing_key_path)
        last = checkpoints.latest()
        checkpoints.stop()
        state = genesis.ledger_state(database.access())
        genesis.settle_rotation(settings.signing_key_path, state)
        click.echo(f"rotated at position {position}; checkpoints beyond are signed by {state['keys'][-1]['vkey']}")
        if last.size == position:
            click.echo(last.note, nl=False)


@keys_group.command("revoke")
@click.argument("key")
def revoke_key(key: str) -> None:
    """Revoke a key for good.

    KEY is its id, the part between the underscores. Every process has taken notice within five seconds.
    """
    with _opened() as (_, database):
        keys.revoke(database.access(), key)


for command in editing.COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main()
