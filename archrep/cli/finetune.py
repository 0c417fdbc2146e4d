"""`archrep finetune`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from archrep.cli import completion, options
from archrep.errors import ArchrepError, lookup


def finetune(
    archs: options.Archs = None,
    init: Annotated[
        list[str] | None,
        typer.Option(
            help="ghn or random; may be repeated. Default: both, side by side.",
            autocompletion=completion.one("initialisation"),
        ),
    ] = None,
    checkpoint: options.Checkpoint = None,
    data: options.Data = "cifar10",
    shots: Annotated[int, typer.Option(min=1, help="Training images per class.")] = 100,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over them.")] = 50,
    optimizer: Annotated[
        str,
        typer.Option(
            help="sgd or adam, with a cosine schedule.", autocompletion=completion.one("fine-tuning optimizer")
        ),
    ] = "sgd",
    lr: Annotated[float | None, typer.Option(min=0, help="First learning rate; default: 0.025, adam 0.001.")] = None,
    weight_decay: Annotated[float, typer.Option(min=0, help="L2 term.")] = 1e-3,
    seeds: Annotated[int, typer.Option(min=1, help="Runs per architecture, with seeds --seed, --seed + 1, …")] = 1,
    images: Annotated[
        int | None, typer.Option(min=2, help="Size of a fixed stratified subset of the test images.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Table of every run (Parquet or CSV); its journal lies beside it.")
    ] = None,
    workers: options.Workers = 1,
    limit: options.Limit = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    threads: options.Threads = None,
    json: options.Json = False,
    force: options.Force = False,
) -> None:
    """Fine-tune networks on few images, from predicted and from random parameters: what is the initialisation worth?

    Example: `archrep finetune --archs deepnets-small:test:0-9 --data ~/cifar10 --seeds 3 --out finetune.parquet`

    Both see the same images in the same order. Defaults are those of the paper's code: 100 images per class, 50
    epochs, SGD. Stopped in the middle, the same command with --out continues.
    """
    import torch

    from archrep.data import load_images
    from archrep.files import to_json
    from archrep.ghn import GHN
    from archrep.shipped import CHECKPOINT, shipped
    from archrep.train.finetune import INITS, LR, Finetuning, Recipe, few_shots, summarize_inits
    from archrep.train.jobs import Job, Output, check_output, run_jobs

    if not archs:
        raise ArchrepError("Nothing to fine-tune: give --archs, for example --archs deepnets-small:test:0-9.")
    for name in init or ():
        lookup(dict.fromkeys(INITS), name, "initialisation")
    rate = lookup(LR, optimizer, "optimizer") if lr is None else lr
    recipe = Recipe(shots=shots, epochs=epochs, optimizer=optimizer, lr=rate, weight_decay=weight_decay)
    where = options.torch_device(device, threads)
    if out:
        check_output(out, force)
    checkpoint = checkpoint or shipped(CHECKPOINT)
    ghn = GHN.load(checkpoint)
    selected = options.select(archs, limit)
    image_set = load_images(data)
    train = few_shots(image_set.train, shots, image_set.num_classes)
    test = image_set.test.subset(images) if images else image_set.test
    jobs = [
        Job({"arch": a.id, "space": a.space, "split": a.split, "init": name, "seed": s}, a)
        for a in selected
        for s in range(seed, seed + seeds)
        for name in dict.fromkeys(init or INITS)
    ]
    work = Finetuning(ghn, train, test, image_set.num_classes, recipe, str(where))
    what = {"finetune": dataclasses.asdict(recipe)}
    output = Output.of(out, what, checkpoint, image_set.name, (train, test), force) if out else None
    with options.progress(len(jobs), "run") as show:
        each = threads or max(torch.get_num_threads() // workers, 1)
        rows = run_jobs(work, jobs, output.journal if output else None, workers, each, show)
    if output:
        output.write(jobs, rows)
    summary = summarize_inits(rows, seed)
    if json:
        print(to_json({"results": summary, "out": output.path if output else None}))
    else:
        _print_summary(summary, f"{len(train)} training and {len(test)} test images, {epochs} epochs")
    options.print_failures(rows)
    if output and not json:
        print(f"Results of every run: {output.path}")


def _print_summary(summary: list[dict], budget: str) -> None:
    """One line per initialisation, and the paired difference."""
    lines = [
        [
            s["init"],
            str(s["n"]),
            str(s["runs"]),
            *(options.percent(s["mean"]), options.percent(s["ci_low"], s["ci_high"]), options.percent(s["max"])),
        ]
        for s in summary
    ]
    columns = ["initialisation", "n", "runs", "mean", "95 % interval", "max"]
    options.print_table(f"Test accuracy (%) after fine-tuning, {budget}", columns, lines, columns[:1], framed=True)
    for s in summary:
        if s.get("failed") or s.get("diverged"):
            print(f"{s['init']}: {s['failed']} runs failed (not in the mean), {s['diverged']} diverged (in the mean)")
