"""Commands on keys: those of who may write, and the one that signs."""

from collections.abc import Sequence
from contextlib import closing

import click

from api.cli.opened import opened
from api.ledger.keeping.watch import Watch
from api.ledger.reading.soundness import ledger_state
from api.ledger.signing.checkpoints import Checkpoints
from api.ledger.writing import keys
from api.ledger.writing.keyfiles import settle_rotation

_LONGEST_NAME = 200


def _name(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Take what a person calls something."""
    if value is not None and (not value.strip() or len(value) > _LONGEST_NAME or not value.isprintable()):
        raise click.BadParameter(f"a name has 1 to {_LONGEST_NAME} printable characters")
    return value


@click.group("keys")
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
    with opened() as (_, database), closing(database.connect_to_write()) as access:
        click.echo(keys.create(access, name, tuple(dict.fromkeys(scopes)), publish_name))


@keys_group.command("list")
def list_keys() -> None:
    """List keys, without their secrets."""
    with opened() as (_, database):
        for line in keys.lines(database.access()):
            state = "revoked" if line.revoked_at else "valid"
            click.echo(f"{line.key}  {state:8} {line.scopes:20} {line.actor}  {line.label}")


@keys_group.command("rotate-signing")
def rotate_signing() -> None:
    """Make a new signing key for the log's checkpoints and name it in the log.

    The last checkpoint under the old key covers that very event. Processes that serve take notice by themselves; the old
    key's file stays, with its id at the end of its name. /tlog/keys lists each key after the position that it is in force from.
    """
    with opened() as (settings, database):
        watch = Watch(database)
        watch.look()
        checkpoints = Checkpoints(database, settings.signing_key_path, watch)
        with closing(database.connect_to_write()) as access:
            position = checkpoints.rotate(access)
            state = ledger_state(access)
        try:
            last = checkpoints.latest()
        finally:
            checkpoints.stop()
        settle_rotation(settings.signing_key_path, state)
        click.echo(f"rotated at position {position}; checkpoints beyond are signed by {state['keys'][-1]['vkey']}")
        if last.size == position:
            click.echo(last.note, nl=False)


@keys_group.command("revoke")
@click.argument("key")
def revoke_key(key: str) -> None:
    """Revoke a key for good.

    KEY is its id, the part between the underscores. Every process has taken notice within five seconds.
    """
    with opened() as (_, database), closing(database.connect_to_write()) as access:
        keys.revoke(access, key)


COMMANDS: Sequence[click.Command] = (keys_group,)
