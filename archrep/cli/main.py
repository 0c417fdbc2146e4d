"""The `archrep` application: registers the commands and turns expected errors into one line and exit code 2."""

import sys

import typer

from archrep.cli import commands
from archrep.errors import ArchrepError

app = typer.Typer(
    name="archrep",
    help="Turns neural-network architectures into vectors, and tells what those vectors know.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for name, command in commands.ALL.items():
    app.command(name)(command)
for name, group in commands.GROUPS.items():
    app.add_typer(group, name=name)


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except ArchrepError as error:
        print("archrep:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
