"""The command line: typer commands, each a thin call into the package. Nothing else may import it."""

from archrep.cli.main import app, main

__all__ = ["app", "main"]
