"""Commands that check: a database, a served ledger, a copy, and a log that nothing remembers."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from api.app import answering
from api.cli.loud import in_a_line
from api.cli.opened import opened
from api.cli.progress import bars, stepping
from api.domain.errors import LedgerError
from api.ledger.keeping import backup
from api.ledger.keeping.place import check_begun
from api.ledger.keeping.watch import Watch
from api.ledger.signing.checkpoints import Checkpoints, kept_path
from api.ledger.storage.database import Database
from api.ledger.storage.faults import DRIVER_ERRORS
from api.settings import Settings, load
from api.verifying import outside, site, verify
from api.verifying.findings import Finding

_MOST_TOLD = 50
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("verify")
@click.argument("url", required=False)
@click.option(
    "--vkey", "vkeys", multiple=True, help="Accept checkpoints of this key alone. May be given several times."
)
@click.option("--since", type=FILE, help="An earlier checkpoint, which must be a prefix of the log.")
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
        click.echo(f"could not be checked: {in_a_line(error)}", err=True)
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


@click.command("accept")
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept_head(*, yes: bool) -> None:
    """Verify the log, and take it as it stands: where nothing remembers what was signed, or what was acknowledged is lost.

    A log that is damaged, or does not lead to what was signed where that is remembered, is not accepted. Positions that were
    lost are given out again from then on: look first whether the events can be had from elsewhere, and whether anybody relies
    on them.
    """
    with opened() as (settings, database):
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


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--check", is_flag=True, help="Verify the copy, as `ledger verify` does, and keep it only if it is sound."
)
def back_up(file: Path, *, check: bool) -> None:
    """Copy the database to a new FILE, consistent, while it is served and written to (SQLite).

    PostgreSQL makes its copies itself. A pg_dump that begins in the very moment in which a redaction exchanges tables may miss
    their rows, so verify each.

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


COMMANDS: Sequence[click.Command] = (verify_ledger, accept_head, back_up)
