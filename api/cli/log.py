"""Commands on what the ledger holds: import, rebuild, purge, count, and print its document."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from api.app import build
from api.cli.opened import opened, writing
from api.cli.progress import bars
from api.ledger.projecting.rebuild import rebuild as derive_anew
from api.ledger.reading import answers, standpoint
from api.ledger.reading.stats import count
from api.ledger.writing import keys, redacting, seed
from api.ledger.writing.unit import Outcome
from api.routes.edge.metrics import Metrics
from api.routes.service import openapi
from api.settings import load

# So many independent origins and more are counted together.
_MANY = 3
COMMAND_LINE = "command line"


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Write nothing; say what would happen. The files are taken as one batch.")
def import_files(files: tuple[Path, ...], *, dry_run: bool) -> None:
    """Append files of operations.

    Each is NDJSON or a JSON array, in the format of POST /v1/batch, and one transaction. One that is in already, byte
    for byte, is passed over. Every operation is reported with what became of it.
    """
    with opened() as (settings, database), writing(database, settings) as ledger:
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
            access.upkeep.take_stock()


def _report(places: Sequence[str], outcome: Outcome) -> None:
    for where, item in zip(places, outcome.items, strict=False):
        click.echo(f"{where}: {item.kind} {item.id}, revision {item.revision}, position {item.position}")


@click.command()
def rebuild() -> None:
    """Derive all but the log anew from it.

    Others go on reading what was there until it is done. On PostgreSQL, from 1,000 events on, new tables are put in the place of
    the old; where somebody was granted rights on those, or built views or triggers on them, they are written as they stand,
    which takes two to three times as long.
    """
    with opened() as (_, database), closing(database.connect()) as access:
        with bars(transient=False) as progress:
            task = progress.add_task("rebuilding", total=standpoint.locate(access).position)
            head = derive_anew(access, lambda position: progress.update(task, completed=position))
        click.echo(f"rebuilt from {head} events")


@click.command()
def purge() -> None:
    """Make sure that nothing redacted is left in the database's own files, which are written anew.

    On SQLite others wait meanwhile, on PostgreSQL they do not; that needs room for a copy of the largest table. A table that
    has views, grants or settings of somebody else's, or is published, is locked and written anew in its own place.
    """
    with opened() as (_, database):
        redacting.purge(database)
        click.echo("nothing that was redacted is left in the database's own files")


@click.command()
def stats() -> None:
    """Count what the ledger holds, as JSON; questions also by how many independent origins their claims have."""
    with opened() as (_, database), closing(database.connect()) as access:
        counts, at = count(access)
        origins = Counter(min(len(found.origins), _MANY) for found in answers.agreements(access))
        named = {f"{number}+" if number == _MANY else str(number): origins[number] for number in range(_MANY + 1)}
        click.echo(json.dumps({**counts, "questions_by_origins": named, "position": at.position}, indent=2))


@click.command("openapi")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it there instead of printing it."
)
def print_openapi(output: Path | None) -> None:
    """Print the OpenAPI document."""
    settings = load()
    document = openapi.build(build(settings, Metrics()), settings.public_url, settings.contact)
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error


COMMANDS: Sequence[click.Command] = (import_files, rebuild, purge, stats, print_openapi)
