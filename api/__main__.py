"""The command line: serve, witness, migrate, import, rebuild, verify, keys, stats, locate, openapi."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import click
from litestar.types import ASGIApp

from api import __version__, serving
from api.app import answering, build, create_app, spare_collector
from api.cli import editing
from api.cli.progress import bars, console, stepping
from api.domain.errors import LedgerError, LogDamaged, LogRefused
from api.ledger.keeping import backup
from api.ledger.keeping.place import check_begun, has_begun, place, reason
from api.ledger.keeping.standby import as_it_allows, check_primary
from api.ledger.keeping.watch import Watch
from api.ledger.reading import answers, feed, views
from api.ledger.signing.checkpoints import Checkpoints, kept_path
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS, translated
from api.ledger.storage.upkeep import take_stock
from api.ledger.writing import genesis, keys, redacting, seed
from api.ledger.writing.ledger import Ledger, Outcome
from api.routes.edge.metrics import Metrics
from api.routes.service import openapi
from api.settings import Settings, load
from api.verifying import outside, site, verify
from api.verifying.findings import Finding
from api.witnessing import service

# So many independent origins and more are counted together.
_MANY = 3
_MOST_TOLD = 50
_LONGEST_NAME = 200
COMMAND_LINE = "command line"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _name(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Take what a person calls something."""
    if value is not None and (not value.strip() or len(value) > _LONGEST_NAME or not value.isprintable()):
        raise click.BadParameter(f"a name has 1 to {_LONGEST_NAME} printable characters")
    return value


class _Loud(click.Group):
    """Says in one line what was refused or failed and exits with 1; after Ctrl-C with 130, as a shell expects."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted; nothing is half done, and the same command goes on where this one ended", err=True)
            raise SystemExit(130) from None
        except BrokenPipeError:
            raise
        except (LedgerError, OSError, *DRIVER_ERRORS) as error:
            raise click.ClickException(_in_a_line(error)) from error


def _in_a_line(error: Exception) -> str:
    """Say what went wrong, to an operator: what was refused, with the driver's reason, or which file failed."""
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror}"
    if not isinstance(error, (LedgerError, *DRIVER_ERRORS)):
        return type(error).__name__
    said = str(error if isinstance(error, LedgerError) else translated(error))
    if (why := reason(error)) is None:
        return said
    with suppress(LedgerError):
        return f"{said} ({place(load())}: {why})"
    return f"{said} ({why})"


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
@click.option("--read-only", is_flag=True, help="Serve reads alone, without the signing key; write nothing.")
def serve(host: str, port: int, workers: int, *, empty: bool, read_only: bool) -> None:
    """Migrate, begin and seed an empty database, then serve. With --read-only serve what is there, as it is."""
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
        with _writing(database, settings) as ledger:
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
    position = views.stand(database.access()).position
    console.print(f"database {place(settings)}: {how}, at position {position:,}", soft_wrap=True)


@contextmanager
def _writing(database: Database, settings: Settings) -> Iterator[Ledger]:
    watch = Watch(database)
    checkpoints = Checkpoints(database, settings.signing_key_path, watch)
    ledger = Ledger(
        database,
        group_size=settings.group_size,
        guard=checkpoints.guard,
        hold=checkpoints.hold,
        committed=checkpoints.committed,
    )
    watch.start()
    checkpoints.start()
    ledger.start()
    try:
        yield ledger
    finally:
        ledger.stop()
        checkpoints.stop()
        watch.stop()


@contextmanager
def _opened() -> Iterator[tuple[Settings, Database]]:
    """Give the database of a ledger that has begun. Where there is none, none is made."""
    settings = load()
    database = Database(settings)
    try:
        check_begun(database, settings)
        check_primary(database)
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
    options = service.Options(key=key, name=name, logs=logs, follow=follow, every=every, state=state)
    with serving.reserved(host, port) as address:
        click.echo(service.prepare(options).vkey)
        raise SystemExit(serving.serve(partial(_witness, options), load(), address, port))


def _witness(options: service.Options, _ending: object) -> ASGIApp:
    return service.serve(options)


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
        with closing(database.connect_to_write()) as access:
            actor = keys.actor_named(access, COMMAND_LINE)
        if dry_run:
            outcome = seed.try_files(ledger, files, actor)
            _report([place for path in files for place in seed.places(path)], outcome)
            click.echo(f"would write {len(outcome.items)} events")
            return
        with bars(transient=False) as progress:
            for path in progress.track(files, description="importing"):
                outcome = seed.import_file(ledger, path, actor)
                _report(seed.places(path), outcome)
                word = "was in already" if outcome.is_replay else "written"
                click.echo(f"{path.name}: {len(outcome.items)} events {word}, up to position {outcome.position}")
        with closing(database.connect()) as access:
            take_stock(access)


def _report(places: Sequence[str], outcome: Outcome) -> None:
    for where, item in zip(places, outcome.items, strict=False):
        click.echo(f"{where}: {item.kind} {item.id}, revision {item.revision}, position {item.position}")


@main.command()
def rebuild() -> None:
    """Derive all but the log anew from it."""
    with _opened() as (_, database), closing(database.connect()) as access:
        total = access.row("SELECT position FROM head")
        with bars(transient=False) as progress:
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
    type=click.IntRange(0),
    help="Compare so many records, filters, words and past positions, drawn at random, when a URL is given; default: all.",
)
@click.option("--most", default=50, show_default=True, type=click.IntRange(1), help="How many differences to print.")
def verify_ledger(url: str | None, vkeys: tuple[str, ...], since: Path | None, sample: int | None, most: int) -> None:
    """Derive all of the ledger again and say what differs.

    Without a URL that is the database of this node: every entry, payload, hash and derived row, and what was signed
    last. With the URL of a ledger it is what anybody can check from outside. Nothing is changed.

    Exit status: 0 sound, 1 damage found, 2 could not be checked.
    """
    told = Told(most)
    try:
        doubts = verify.Doubts(vkeys=vkeys, since=since.read_text(encoding="utf-8") if since else None, sample=sample)
        with bars() as progress:
            verdict = _verified(url, told, stepping(progress), doubts)
    except (LedgerError, OSError, ValueError, *DRIVER_ERRORS) as error:
        click.echo(f"could not be checked: {_in_a_line(error)}", err=True)
        raise SystemExit(2) from error
    if told.count > most:
        click.echo(f"and {told.count - most} more")
    click.echo(verdict.sentence())
    raise SystemExit(0 if verdict.is_sound else 1)


def _verified(url: str | None, told: "Told", step: verify.Step, doubts: verify.Doubts) -> verify.Verdict:
    if url is not None:
        with site.Site(url) as served:
            return outside.verify_url(served, answering, told, step, doubts)
    settings = load()
    database = Database(settings)
    try:
        check_begun(database, settings)
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


@main.command("accept")
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept_head(*, yes: bool) -> None:
    """Verify the log, and take it as it stands: where nothing remembers what was signed, or what was acknowledged is lost.

    A log that is damaged, or does not lead to what was signed where that is remembered, is not accepted.
    """
    with _opened() as (settings, database):
        checkpoints = Checkpoints(database, settings.signing_key_path, Watch(database))
        doubt = checkpoints.doubt()
        if doubt is None:
            click.echo(
                "nothing to accept: what was signed and acknowledged last is remembered, and this log leads there"
            )
            return
        with bars() as progress:
            verdict = verify.verify_log(database, Told(_MOST_TOLD), stepping(progress))
        click.echo(verdict.sentence())
        if not verdict.is_sound:
            raise SystemExit(1)
        if not yes and sys.stdin.isatty():
            click.confirm(f"Is this the whole log, as you know it, {doubt}?", abort=True)
        signed = checkpoints.accept(verdict.size, verdict.root)
        click.echo(f"accepted position {signed.size}, {doubt}; root {signed.root.hex()}")
        click.echo("start the nodes anew that go on refusing it: they remember for themselves")


@main.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--check", is_flag=True, help="Verify the copy, as `ledger verify` does, and keep it only if it is sound."
)
def back_up(file: Path, *, check: bool) -> None:
    """Copy the database to a new FILE, consistent, while it is served and written to (SQLite).

    The signing key and what was signed last are not in it: keep them apart. Exit status: 0 the copy is made (and sound),
    1 no copy is kept.
    """
    settings = load()
    database = Database(settings)
    try:
        check_begun(database, settings)
        with backup.copying(database, settings, file) as copy:
            sentence = _checked(settings, copy) if check else None
    finally:
        database.close()
    if sentence is not None:
        click.echo(sentence)
    click.echo(f"{file} is a copy up to position {copy.position}")


def _checked(settings: Settings, copy: backup.Copy) -> str:
    """Verify a copy by itself: neither the key nor what was signed is needed."""
    alone = Database(settings.model_copy(update={"database_url": f"sqlite:///{copy.path}", "read_only": True}))
    told = Told(_MOST_TOLD)
    try:
        with bars() as progress:
            verdict = verify.verify_database(alone, None, told, stepping(progress))
    finally:
        alone.close()
    if not verdict.is_sound:
        raise click.ClickException(f"{verdict.sentence()}; the copy is not kept")
    return verdict.sentence()


@main.command()
def purge() -> None:
    """Make sure that nothing redacted is left in the database's own files."""
    with _opened() as (_, database):
        redacting.purge(database)
        click.echo("nothing that was redacted is left in the database's own files")


@main.command()
def stats() -> None:
    """Count what the ledger holds, as JSON; questions also by how many independent origins their claims have."""
    with _opened() as (_, database), closing(database.connect()) as access:
        counts, at = feed.stats(access)
        origins = Counter(min(len(found.origins), _MANY) for found in answers.agreements(access))
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
    with _opened() as (_, database), closing(database.connect_to_write()) as access:
        click.echo(keys.create(access, name, tuple(dict.fromkeys(scopes)), publish_name))


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
        watch = Watch(database)
        watch.look()
        checkpoints = Checkpoints(database, settings.signing_key_path, watch)
        with closing(database.connect_to_write()) as access:
            position = checkpoints.rotate(access)
            state = genesis.ledger_state(access)
        try:
            last = checkpoints.latest()
        finally:
            checkpoints.stop()
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
    with _opened() as (_, database), closing(database.connect_to_write()) as access:
        keys.revoke(access, key)


for command in editing.COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main()
