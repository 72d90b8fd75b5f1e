"""The command line: serve, witness, migrate, import, rebuild, verify, keys, stats, locate, openapi."""

import click

from api import __version__
from api.app import own_process
from api.cli import editing, keys, log, serve, verify
from api.cli.loud import Loud


@click.group(cls=Loud, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Who claimed what about the deplatforming of Parler, with every past view.

    Begin with `ledger serve`, then open http://127.0.0.1:8000/docs. Settings are environment variables that start with
    LEDGER_, LEDGER_DATABASE_URL above all; the README lists them.
    """
    own_process()


for command in (*serve.COMMANDS, *log.COMMANDS, *verify.COMMANDS, *keys.COMMANDS, *editing.COMMANDS):
    main.add_command(command)


if __name__ == "__main__":
    main()
