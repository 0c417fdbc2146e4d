"""`archrep train` and `archrep evaluate`."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from archrep.cli import options
from archrep.errors import ArchrepError


def train(
    preset: Annotated[
        str | None, typer.Option(help="ghn2-cifar10 (the paper) or ghn2-cifar10-small (CPU, the default).")
    ] = None,
    data: Annotated[str | None, options.DATA] = None,
    archs: Annotated[
        str | None, typer.Option(help="DeepNets split to train on, such as deepnets:DIR; default: the preset's.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the new run.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this folder.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps.")] = None,
    meta_batch: Annotated[int | None, typer.Option(min=1, help="Architectures per step.")] = None,
    images: Annotated[int | None, typer.Option(min=2, help="Images per step.")] = None,
    lr: Annotated[float | None, typer.Option(min=0, help="Peak learning rate.")] = None,
    vocabulary: Annotated[
        str | None, typer.Option(help="Primitives of the graphs: released (default), extended.")
    ] = None,
    val_every: Annotated[int | None, typer.Option(min=1, help="Steps between validations.")] = None,
    save_every: Annotated[float | None, typer.Option(min=0, help="Seconds between saves of the resume state.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random; default 0.")] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Train a GHN: predicts parameters of random architectures and follows the gradient of their loss.

    Example: `archrep train --preset ghn2-cifar10-small --data ~/cifar10 --out runs/small`

    A run that stopped, for whatever reason, goes on with `archrep train --resume runs/small`.
    """
    from archrep.data import load_images
    from archrep.errors import lookup
    from archrep.train.config import PRESETS
    from archrep.train.run import create, read_config

    if (out is None) == (resume is None):
        raise ArchrepError("Give either --out FOLDER for a new run or --resume FOLDER to continue one.")
    sizes = {"steps": steps, "meta_batch": meta_batch, "images": images, "lr": lr, "archs": archs}
    sizes |= {"val_every": val_every, "save_every": save_every, "seed": seed}
    changes: dict[str, Any] = {name: value for name, value in sizes.items() if value is not None}
    where = options.torch_device(device, None)
    if resume is not None:
        if changes or preset or data or threads or vocabulary:
            raise ArchrepError("--resume continues the run as it was configured; only --device goes with it.")
        image_set = load_images(read_config(resume)[1]["data"])
    else:
        config = lookup(PRESETS, preset or "ghn2-cifar10-small", "preset")
        ghn = dataclasses.replace(config.ghn, vocabulary=vocabulary or config.ghn.vocabulary)
        config = dataclasses.replace(config, ghn=ghn, **changes)
        image_set = load_images(data or "cifar10")
        if config.ghn.num_classes != image_set.num_classes:
            raise ArchrepError(
                f"The GHN predicts {config.ghn.num_classes} classes, {data} has {image_set.num_classes}."
            )
        create(config, data or "cifar10", cast("Path", out), threads)
    folder = cast("Path", out or resume)
    best = _with_progress(folder, image_set, where)
    print(f"Best checkpoint: {best}")
    print(f"Run folder: {folder} (metrics.jsonl, last.safetensors)", file=sys.stderr)


def _with_progress(folder: Path, image_set, device) -> Path:
    from tqdm import tqdm

    from archrep.train.run import continue_run, read_config

    total = read_config(folder)[0].steps
    with tqdm(total=total, unit="step", disable=not sys.stderr.isatty()) as bar:

        def show(trainer, result) -> None:
            bar.update(trainer.step - bar.n)
            bar.set_postfix(loss=f"{result.loss:.3f}", accuracy=f"{result.accuracy:.1f}%")

        return continue_run(folder, image_set, show, device)


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
