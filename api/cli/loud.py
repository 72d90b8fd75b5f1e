"""What a command says when it is refused, or fails: one line, to whoever runs it."""

from contextlib import suppress

import click

from api.domain.errors import LedgerError
from api.ledger.keeping.place import place, reason
from api.ledger.storage.faults import DRIVER_ERRORS, translated
from api.settings import load


class Loud(click.Group):
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
            raise click.ClickException(in_a_line(error)) from error


def in_a_line(error: Exception) -> str:
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
