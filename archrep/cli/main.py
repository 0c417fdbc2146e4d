"""The `archrep` application: registers the commands and turns expected errors into one line and exit code 2."""

import sys
from typing import Annotated, NoReturn

import typer

from archrep.cli import commands
from archrep.errors import ArchrepError, printable

NEXT = """archrep turns neural-network architectures into vectors, and tells what those vectors know.

Look at what ships with it:
  archrep embed                              embeddings of the labelled architectures
  archrep probe --target accuracy            what do they know about accuracy?
  archrep map --color accuracy --html        a map to look into

Bring your own network (nets.py has a function `net` that returns an nn.Module):
  archrep graph nets.py:net --out net.png    its computational graph
  archrep neighbors nets.py:net              what is like it, and what differs
  archrep predict --arch nets.py:net --out params.safetensors

Measure, rank and search:
  archrep measure --archs deepnets-small:test:0-9 --data cifar10 --out labels.parquet
  archrep rank --archs pool.csv --labels labels.parquet --target accuracy
  archrep search --space nasbench201 --labels nasbench201/accuracy.csv.gz

archrep --help lists all commands, archrep COMMAND --help explains one, archrep list shows what --archs takes."""

app = typer.Typer(
    name="archrep",
    help="Turns neural-network architectures into vectors, and tells what those vectors know.",
    invoke_without_command=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for name, command in commands.ALL.items():
    app.command(name)(command)
for name, group in commands.GROUPS.items():
    app.add_typer(group, name=name)


@app.callback()
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Turns neural-network architectures into vectors, and tells what those vectors know."""
    if version:
        from importlib.metadata import version as installed

        print(f"archrep {installed('archrep')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(NEXT)


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except ArchrepError as error:
        _refuse(str(error))
    except OSError as error:  # what nothing has foreseen: a name that is too long, a folder that may not be read
        if error.filename is None:
            raise
        _refuse(f"{error.filename}: {error.strerror}. Give another path.")


def _refuse(message: str) -> NoReturn:
    print("archrep:", printable(" ".join(message.split())), file=sys.stderr)
    sys.exit(2)
