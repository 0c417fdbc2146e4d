"""`archrep train`."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from archrep.cli import completion, options
from archrep.errors import ArchrepError


def train(
    preset: Annotated[
        str | None,
        typer.Option(
            help="ghn2, ghn1 or mlp, then -cifar10 or -imagenet (the paper's), or -cifar10-small (CPU).",
            autocompletion=completion.one("preset"),
        ),
    ] = None,
    data: Annotated[str | None, options.DATA] = None,
    archs: Annotated[
        str | None,
        typer.Option(
            help="DeepNets split to train on, such as deepnets:DIR; default: the preset's.",
            autocompletion=completion.spec,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the new run.")] = None,
    init: Annotated[
        Path | None, typer.Option(help="Checkpoint to start from, instead of random weights; also a released one.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this folder.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps.")] = None,
    max_nodes: Annotated[int | None, typer.Option(min=1, help="Most nodes of a step's graphs together.")] = None,
    meta_batch: Annotated[int | None, typer.Option(min=1, help="Architectures per step, over all processes.")] = None,
    images: Annotated[int | None, typer.Option(min=2, help="Images per step.")] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="adam or adamw.", autocompletion=completion.one("optimizer"))
    ] = None,
    lr: Annotated[float | None, typer.Option(min=0, help="Peak learning rate.")] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="step (×0.1 at 2/3 and 5/6) or cosine.", autocompletion=completion.one("schedule")),
    ] = None,
    warmup: Annotated[int | None, typer.Option(min=0, help="Steps of linearly rising learning rate.")] = None,
    weight_decay: Annotated[float | None, typer.Option(min=0, help="Of the optimiser.")] = None,
    clip: Annotated[float | None, typer.Option(min=0, help="Largest norm of the gradient.")] = None,
    network_clip: Annotated[
        float | None, typer.Option(min=0, help="Largest norm of one network's gradient, in its parameters.")
    ] = None,
    small_first: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of the steps that start with small networks only.")
    ] = None,
    small_macs: Annotated[int | None, typer.Option(min=1, help="Most multiply-accumulates of a small one.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(min=0, max=1, help="Of the networks' loss.")] = None,
    augment: Annotated[
        bool | None, typer.Option(help="Flip and crop training images at random.", show_default=False)
    ] = None,
    amp: Annotated[
        str | None,
        typer.Option(help="Half precision of the networks: off, bf16, fp16.", autocompletion=completion.one("amp")),
    ] = None,
    virtual_edges: Annotated[bool | None, typer.Option(help="Ablation of paper § 4.2.", show_default=False)] = None,
    normalize: Annotated[bool | None, typer.Option(help="Ablation of paper § 4.1.", show_default=False)] = None,
    layer_norm: Annotated[bool | None, typer.Option(help="Ablation of paper § 4.3.", show_default=False)] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            help="Primitives of the graphs: released (default), extended.", autocompletion=completion.one("vocabulary")
        ),
    ] = None,
    val_every: Annotated[int | None, typer.Option(min=1, help="Steps between validations.")] = None,
    save_every: Annotated[float | None, typer.Option(min=0, help="Seconds between saves of the resume state.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that prepare steps ahead of time.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**31 - 1, help="Seed of everything random; default 0.")
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option(min=0, help="Minutes after which the run is saved and left, to be resumed.")
    ] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> None:
    """Train a GHN: predicts parameters of random architectures and follows the gradient of their loss.

    Example: `archrep train --preset ghn2-cifar10-small --data ~/cifar10 --out runs/small`

    A run that stopped, for whatever reason, goes on with `archrep train --resume runs/small`. Several processes share
    the architectures of a step: `torchrun --nproc-per-node 2 -m archrep.cli train …`, on GPUs also several per GPU.
    """
    from archrep.train.group import Group

    if (out is None) == (resume is None):
        raise ArchrepError("Give either --out FOLDER for a new run or --resume FOLDER to continue one.")
    changes = _given(
        archs=archs,
        steps=steps,
        max_nodes=max_nodes,
        meta_batch=meta_batch,
        images=images,
        optimizer=optimizer,
        lr=lr,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        clip=clip,
        network_clip=network_clip,
        small_first=small_first,
        small_macs=small_macs,
        label_smoothing=label_smoothing,
        augment=augment,
        amp=amp,
        val_every=val_every,
        save_every=save_every,
        workers=workers,
        seed=seed,
    )
    of_ghn = _given(virtual_edges=virtual_edges, normalize=normalize, layer_norm=layer_norm, vocabulary=vocabulary)
    if resume is not None and (changes or of_ghn or preset or data or threads or init):
        raise ArchrepError(
            "--resume continues the run as it was configured; only --device and --time-limit go with it."
        )
    group = Group.join(options.torch_device(device, None))
    if out is not None:
        _create(group, preset, changes, of_ghn, data or "cifar10", out, threads, init)
    _continue(group, out or resume or Path(), time_limit)
    group.leave()


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _create(
    group,
    preset: str | None,
    changes: dict,
    of_ghn: dict,
    data: str,
    out: Path,
    threads: int | None,
    init: Path | None,
) -> None:
    """Makes the folder of a run, once everything about it has been looked at; torchrun may find it made before."""
    from archrep.data import load_images
    from archrep.errors import lookup
    from archrep.train.config import PRESETS
    from archrep.train.run import create, is_run_of

    config = lookup(PRESETS, preset or "ghn2-cifar10-small", "preset")
    images = load_images(data)
    of_ghn |= {"num_classes": images.num_classes}
    config = dataclasses.replace(config, ghn=dataclasses.replace(config.ghn, **of_ghn), **changes)
    problem = None
    if group.leads:
        started_anew = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
        try:
            if not (started_anew and is_run_of(out, config, data)):
                create(config, data, images, out, threads, init)
        except ArchrepError as error:
            problem = str(error)
    problem = group.gather(problem)[0]  # the others wait for the folder
    if problem:
        raise ArchrepError(problem)


def _continue(group, folder: Path, time_limit: float | None) -> None:
    from tqdm import tqdm

    from archrep.data import load_images
    from archrep.train.run import BEST, METRICS, continue_run, read_config

    config, record = read_config(folder)
    image_set = load_images(record["data"])
    with tqdm(total=config.steps, unit="step", disable=not (group.leads and sys.stderr.isatty())) as bar:

        def show(trainer, result) -> None:
            bar.update(trainer.step - bar.n)
            bar.set_postfix(loss=f"{result.loss:.3f}", accuracy=f"{result.accuracy:.1f}%")

        limit = float("inf") if time_limit is None else 60 * time_limit
        finished = continue_run(folder, image_set, show, group, limit)
    if not group.leads:
        return
    if (folder / METRICS).exists():
        _draw(folder)
    if finished:
        print(f"Run folder: {folder} (metrics.jsonl, curve.png, last.safetensors)", file=sys.stderr)
        print(f"Best checkpoint: {folder / BEST}")
    else:
        print(f"Saved: {folder}; continue with: archrep train --resume {folder}")


def _draw(folder: Path) -> None:
    from archrep.plot.style import save_figure
    from archrep.plot.training import draw_training
    from archrep.train.run import read_metrics

    lines = read_metrics(folder)
    if lines:
        save_figure(*draw_training(lines, folder.name), folder / "curve", force=True)
