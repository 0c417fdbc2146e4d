"""Options that several commands share."""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from archrep.cli import completion
from archrep.errors import printable

Archs = Annotated[
    list[str] | None,
    typer.Option(
        "--archs",
        help="Spec, or CSV/Parquet with a column `arch`; may be repeated. FILE.py:callable runs your code.",
        autocompletion=completion.spec,
    ),
]
DATA = typer.Option(
    "--data",
    help="Folder or archive with CIFAR-10 or ImageNet; `cifar10` downloads it, `digits` needs nothing.",
    autocompletion=completion.one("images"),
)
Data = Annotated[str, DATA]
Device = Annotated[
    str,
    typer.Option(
        "--device", help="auto, cpu, or a CUDA device such as cuda:0.", autocompletion=completion.one("device")
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset", help="Of a published table: cifar10, cifar100, …", autocompletion=completion.one("dataset")
    ),
]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="Of a published table: accuracy after so many.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Use only the first N architectures.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of everything random.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, max=1024, help="CPU threads; default: all cores.")]
Workers = Annotated[
    int, typer.Option("--workers", min=1, help="Processes; the result is that of one, with as many --threads in each.")
]
Checkpoint = Annotated[
    Path | None, typer.Option("--checkpoint", help="GHN checkpoint; default: the one that ships with archrep.")
]


def torch_device(name: str, threads: int | None):
    """The torch device of that name, `auto` being a GPU where there is one; sets the number of CPU threads.

    Raises:
        ArchrepError: if there is no such device.
    """
    import torch

    from archrep.errors import ArchrepError, first_line

    if threads:
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise ArchrepError(f"No device {name!r}: archrep runs on cpu and cuda. Use auto, cpu or cuda:N.")
        torch.empty(1, device=device)
        return device
    except (RuntimeError, AssertionError) as error:
        raise ArchrepError(f"No device {name!r} here ({first_line(error)}). Use auto, cpu or cuda:N.") from error


def select(archs: list[str], limit: int | None) -> list:
    """The architectures that specs and tables name.

    Raises:
        ArchrepError: if they name none.
    """
    import itertools

    from archrep.errors import ArchrepError
    from archrep.space import architectures

    selected = list(itertools.islice(architectures(*archs), limit))
    if not selected:
        raise ArchrepError(f"No architectures: {', '.join(archs)} name none.")
    return selected


def select_one(arch: str, command: str):
    """The one architecture that a spec names.

    Raises:
        ArchrepError: if it names none, or several.
    """
    from archrep.errors import ArchrepError

    selected = select([arch], 2)
    if len(selected) > 1:
        raise ArchrepError(f"{arch} names several architectures; {command} takes one, such as {selected[0].id}.")
    return selected[0]


def ghn_for(encoders: Iterable[str], checkpoint: Path | None, embedded: bool = False):
    """The GHN, if one of the encoders needs it; `embedded`: a table says what `ghn` does."""
    from archrep.ghn import GHN
    from archrep.probe.encoders import needs_ghn
    from archrep.shipped import CHECKPOINT, shipped

    if any(needs_ghn(spec) for spec in encoders if not (embedded and spec == "ghn")):
        return GHN.load(checkpoint or shipped(CHECKPOINT))
    return None


@contextmanager
def progress(total: int, unit: str) -> Iterator[Callable[[dict], None]]:
    """A progress bar on stderr, off when that is no terminal; gives what is to be called with every finished row."""
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, disable=not sys.stderr.isatty()) as bar:

        def show(row: dict) -> None:
            bar.update()
            bar.set_postfix(arch=row["arch"], accuracy=row.get("accuracy", "failed"))

        yield show


def print_failures(rows: list[dict], shown: int = 20) -> None:
    """Names on stderr the rows that failed, the first ones with their reasons."""
    failures = list(dict.fromkeys(f"failed: {row['arch']}: {row['error']}" for row in rows if "error" in row))
    for line in failures[:shown]:
        print(printable(line), file=sys.stderr)
    if len(failures) > shown:
        print(f"… and {len(failures) - shown} more", file=sys.stderr)


def percent(*values: float | None) -> str:
    """A percentage, or an interval of two; a dash where there is none."""
    return "–" if None in values else " – ".join(f"{value:.2f}" for value in values)


def print_table(
    title: str,
    columns: Sequence[str],
    lines: Iterable[Sequence[str]],
    words: Collection[str],
    fold: bool = False,
    framed: bool = False,
) -> None:
    """A table on stdout, its text as it is: no markup, no emoji.

    Args:
        words: columns that stand at the left; others are numbers. fold: break what is too long over several lines.
        framed: with lines between columns, for tables that are narrow enough.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    if not framed:
        table.box, table.padding, table.pad_edge = box.SIMPLE_HEAD, (0, 1, 0, 0), False
    for name in columns:
        table.add_column(name, justify="left" if name in words else "right", no_wrap=not fold, overflow="fold")
    for cells in lines:
        table.add_row(*map(printable, cells))
    width = None if sys.stdout.isatty() else 120 if framed else 160
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)
