"""`archrep evaluate`."""

import sys
from typing import Annotated

import typer

from archrep.cli import options
from archrep.errors import ArchrepError


def evaluate(
    data: options.Data = "cifar10",
    checkpoint: options.Checkpoint = None,
    archs: options.Archs = None,
    images: Annotated[
        int | None, typer.Option(min=2, help="Size of a fixed stratified subset of the test images.")
    ] = None,
    untrained: Annotated[bool, typer.Option(help="Add an untrained GHN of the same configuration as control.")] = False,
    limit: options.Limit = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Accuracy of predicted parameters: test images, batch norm on the statistics of each batch of 64.

    Example: `archrep evaluate --archs deepnets-small:test:0-49 --data ~/cifar10 --untrained`

    The interval is over architectures (bootstrap of the mean, 95 %).
    """
    from archrep.data import load_images
    from archrep.files import to_json
    from archrep.ghn import GHN
    from archrep.shipped import CHECKPOINT, shipped

    where = options.torch_device(device, threads)
    ghn = GHN.load(checkpoint or shipped(CHECKPOINT)).to(where)
    selected = options.select(archs or ["deepnets-small:test:0-49"], limit)
    image_set = load_images(data)
    if image_set.num_classes != ghn.config.num_classes:
        raise ArchrepError(f"The GHN predicts {ghn.config.num_classes} classes, {data} has {image_set.num_classes}.")
    test = image_set.test.subset(images) if images else image_set.test
    ghns = {"checkpoint": ghn} | ({"untrained": GHN.untrained(ghn.config, seed).to(where)} if untrained else {})
    rows = [row for name, model in ghns.items() for row in _evaluate(name, model, selected, test, seed)]
    if json:
        print(to_json(rows))
    else:
        _print_rows(rows, len(test))


def _evaluate(name: str, ghn, selected: list, images, seed: int) -> list[dict]:
    """One row per split."""
    from tqdm import tqdm

    from archrep.train.evaluate import evaluate as evaluate_ghn
    from archrep.train.evaluate import summarize

    bar = tqdm(evaluate_ghn(ghn, selected, images), total=len(selected), desc=name, disable=not sys.stderr.isatty())
    return [{"ghn": name, **row} for row in summarize(list(bar), seed)]


def _print_rows(rows: list[dict], images: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Top-1 accuracy (%) with predicted parameters, {images} test images")
    for name in ("GHN", "split", "n", "mean", "95 % interval", "max"):
        table.add_column(name, justify="left" if name in ("GHN", "split") else "right")
    for r in rows:
        bounds = f"{r['ci_low']:.2f} – {r['ci_high']:.2f}"
        table.add_row(r["ghn"], r["split"], str(r["n"]), f"{r['mean']:.2f}", bounds, f"{r['max']:.2f}")
    Console().print(table)
