"""`archrep train`."""

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
