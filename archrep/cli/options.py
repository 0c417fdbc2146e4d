"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Archs = Annotated[
    list[str] | None,
    typer.Option("--archs", help="Architecture spec, or CSV/Parquet with a column `arch`; may be repeated."),
]
Data = Annotated[
    str, typer.Option("--data", help="Folder or archive with CIFAR-10; `cifar10` downloads it, `digits` needs nothing.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Use only the first N architectures.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; default: all cores.")]
Checkpoint = Annotated[
    Path | None, typer.Option("--checkpoint", help="GHN checkpoint; default: the one that ships with archrep.")
]
