"""`archrep measure`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from archrep.cli import options
from archrep.errors import ArchrepError, lookup


def measure(
    archs: options.Archs = None,
    out: Annotated[Path, typer.Option(help="Label table to write (Parquet); its journal lies beside it.")] = Path(
        "labels.parquet"
    ),
    protocol: Annotated[str, typer.Option(help="Training protocol: quick, or smoke for a trial.")] = "quick",
    data: options.Data = "cifar10",
    seed: options.Seed = 0,
    threads: options.Threads = 1,
    limit: options.Limit = None,
    force: options.Force = False,
) -> None:
    """Train architectures from scratch and record accuracy, trainability, latency, parameters and FLOPs.

    Example: `archrep measure --archs deepnets-small:test:0-9 --data ~/cifar10 --out labels.parquet`

    Stopped in the middle, the same command continues: every finished architecture is in the journal.
    """
    import torch
    from tqdm import tqdm

    from archrep.data import load_images
    from archrep.data.labels import read_labels
    from archrep.measure import PROTOCOLS, measure_all

    if not archs:
        raise ArchrepError("Nothing to measure: give --archs, for example --archs deepnets-small:test:0-9.")
    chosen = lookup(PROTOCOLS, protocol, "protocol")
    torch.set_num_threads(threads or 1)
    selected = options.select(archs, limit)
    images = load_images(data)
    with tqdm(total=len(selected), unit="arch", disable=not sys.stderr.isatty()) as bar:

        def show(architecture, row) -> None:
            bar.update(selected.index(architecture) + 1 - bar.n)
            bar.set_postfix(arch=architecture.id, accuracy=row.get("accuracy", "failed"))

        failures = measure_all(selected, chosen, images, out, seed, force, show)
    for row in failures:
        print(f"failed: {row['arch']}: {row['error']}", file=sys.stderr)
    print(f"Measured: {len(selected) - len(failures)} of {len(selected)} architectures")
    print(f"Labels of {len(read_labels(out).table)} architectures: {out}")
