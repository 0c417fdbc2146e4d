"""`archrep evaluate`."""

from pathlib import Path
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
    noise: Annotated[
        float,
        typer.Option(min=0, help="Gaussian noise: standard deviation on pixels in 0 … 1 (paper: 0.08, ImageNet 0.18)."),
    ] = 0.0,
    untrained: Annotated[bool, typer.Option(help="Add an untrained GHN of the same configuration as control.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Table of every architecture (Parquet or CSV); its journal lies beside it."),
    ] = None,
    workers: options.Workers = 1,
    limit: options.Limit = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    threads: options.Threads = None,
    json: options.Json = False,
    force: options.Force = False,
) -> None:
    """Accuracy of predicted parameters: test images, batch norm on the statistics of each batch of 64.

    Example: `archrep evaluate --archs deepnets-small:test:0-49 --data ~/cifar10 --untrained`

    The interval is over architectures (bootstrap of the mean, 95 %). Stopped in the middle, the same command with
    --out continues: every finished architecture is in the journal.
    """
    import torch

    from archrep.data import load_images
    from archrep.files import to_json
    from archrep.ghn import GHN
    from archrep.shipped import CHECKPOINT, shipped
    from archrep.train.evaluate import Evaluation, summarize
    from archrep.train.jobs import Job, Output, check_output, run_jobs

    where = options.torch_device(device, threads)
    if out:
        check_output(out, force)
    checkpoint = checkpoint or shipped(CHECKPOINT)
    ghn = GHN.load(checkpoint)
    selected = options.select(archs or ["deepnets-small:test:0-49"], limit)
    image_set = load_images(data)
    if image_set.num_classes != ghn.config.num_classes:
        raise ArchrepError(
            f"The GHN predicts {ghn.config.num_classes} classes, {data} has {image_set.num_classes}; give a "
            "--checkpoint trained on such images."
        )
    test = image_set.test.subset(images) if images else image_set.test
    ghns = {"checkpoint": ghn} | ({"untrained": GHN.untrained(ghn.config, seed)} if untrained else {})
    jobs = [Job({"ghn": name, "arch": a.id, "space": a.space, "split": a.split}, a) for name in ghns for a in selected]
    work = Evaluation(ghns, test, str(where), noise, seed)
    what = {"evaluate": {"noise": noise, "seed": seed}}
    output = Output.of(out, what, checkpoint, image_set.name, (test,), force) if out else None
    with options.progress(len(jobs), "arch") as show:
        each = threads or max(torch.get_num_threads() // workers, 1)
        rows = run_jobs(work, jobs, output.journal if output else None, workers, each, show)
    if output:
        output.write(jobs, rows)
    summary = summarize(rows, seed)
    if json:
        print(to_json({"results": summary, "out": output.path if output else None}))
    else:
        clean_cifar10 = image_set.name == "cifar10" and not noise
        archs_of = [[r["arch"] for r in rows if _group(r) == _group(s)] for s in summary] if clean_cifar10 else []
        _print_summary(summary, archs_of, len(test), noise)
    options.print_failures(rows)
    if output and not json:
        print(f"Results of every architecture: {output.path}")


def _group(row: dict) -> tuple:
    return row["ghn"], row["space"], row["split"]


def _print_summary(summary: list[dict], archs_of: list[list[str]], images: int, noise: float) -> None:
    """One line per GHN and split; published figures beside it where `archs_of` has the architectures of the lines."""
    from archrep.train.published import GHNS, published

    known = [published(s["space"], s["split"], archs) for s, archs in zip(summary, archs_of, strict=False)]
    columns = ["GHN", "architectures", "n", "mean", "95 % interval", "max"]
    columns += ["top-5"] * any("mean_top5" in s for s in summary)
    columns += [f"paper {name}" for name in GHNS if any(known)]
    lines = []
    for i, s in enumerate(summary):
        cells = [s["ghn"], ":".join(filter(None, (s["space"], s["split"]))), str(s["n"])]
        cells += [options.percent(s["mean"]), options.percent(s["ci_low"], s["ci_high"]), options.percent(s["max"])]
        cells += [options.percent(s["mean_top5"])] if "mean_top5" in s else []
        cells += [f"{value:.1f}" for value in known[i] or ()] if any(known) and s["ghn"] == "checkpoint" else []
        lines.append(cells)
    on_noise = f" with noise {noise:g}" if noise else ""
    options.print_table(
        f"Top-1 accuracy (%) with predicted parameters, {images} test images{on_noise}",
        columns,
        lines,
        columns[: columns.index("n")],
        framed=True,
    )
    for s, (ghn, name, *_) in zip(summary, lines, strict=True):
        if s["failed"] or s["non_finite"]:
            print(f"{ghn}, {name}: {s['failed']} failed (not in the mean), {s['non_finite']} with logits not finite")
