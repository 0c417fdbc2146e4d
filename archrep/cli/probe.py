"""`archrep probe`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archrep.cli import options
from archrep.errors import ArchrepError

if TYPE_CHECKING:
    from archrep.probe.report import Report
    from archrep.probe.splits import Scheme
    from archrep.probe.task import Task

FIGURES = ("scatter", "residuals", "calibration", "curve")
FILES = (
    *("report.json", "report.md", "predictions.csv", "probe.skops", "probe.json", "curve.json"),
    *(name + suffix for name in FIGURES for suffix in (".png", ".svg", ".csv")),
)
ENCODERS = "ghn,ghn-untrained,op-counts,size"
SPLITS = ("grouped", "random", "one-per-group")
LARGE = 2000  # labels; above, cross-validation gives way to training sets of …
TRAIN_SIZE = 781  # … so many architectures, 5 % of NAS-Bench-201


def probe(
    target: Annotated[
        str, typer.Option(help="Column of the label table: accuracy, trainability, latency_ms, …")
    ] = "accuracy",
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            help="Label table, Parquet or CSV, or a published one; may be repeated. Default: the shipped one."
        ),
    ] = None,
    encoders: Annotated[
        str,
        typer.Option(help="Encoders, separated by commas; A+B concatenates. The first is what others are compared to."),
    ] = ENCODERS,
    probe: Annotated[
        str,
        typer.Option(help="auto chooses inside the training data; or ensemble, ridge, svr, gp, boosting, forest, knn."),
    ] = "auto",
    split: Annotated[
        str,
        typer.Option(help="grouped: no class on both sides; random; one-per-group: one architecture of each class."),
    ] = "grouped",
    train_size: Annotated[
        int | None, typer.Option(min=2, help="Draw training sets of this size, and test on the rest, instead of folds.")
    ] = None,
    resamplings: Annotated[int | None, typer.Option(min=1, help="Training sets drawn per size; default: 20.")] = None,
    test: Annotated[
        str | None, typer.Option(help="Test on these: a second label table, or a split or space of the labels.")
    ] = None,
    shots: Annotated[
        int, typer.Option(min=0, help="With --test: so many labelled test architectures join the training set.")
    ] = 0,
    protocol: Annotated[
        str | None, typer.Option(help="Replay the literature: ppuda, nasbench201-100, nasbench201-class-781, …")
    ] = None,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Add τ over 20 … 781 labels; resumes from its journal OUT.jsonl.")
    ] = False,
    group_by: Annotated[
        str | None, typer.Option(help="Column to group by, or family (of models); default: what computes the same.")
    ] = None,
    embeddings: Annotated[
        Path | None, typer.Option(help="Embedding table for the encoder ghn; default: the checkpoint embeds.")
    ] = None,
    checkpoint: options.Checkpoint = None,
    data: Annotated[
        str | None, typer.Option(help="Real images for encoders that need them (zero-cost, ghn-accuracy).")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Of a published table: cifar10, cifar100, …")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of a published table: accuracy after so many.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Of timm's accuracies: a tag or pattern such as ra*_in1k.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the report; default: probe-TARGET.")] = None,
    limit: options.Limit = None,
    workers: options.Workers = 1,
    seed: options.Seed = 0,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Probe what encodings of architectures know of a target: Kendall τ with its 95 % interval, beside baselines.

    Example: `archrep probe --target accuracy --out probe-accuracy`

    Example: `archrep probe --labels nasbench201/accuracy.csv.gz --encoders graph-features,one-hot
    --protocol nasbench201-100`

    Everything is chosen inside the training data, and architectures that compute the same never stand on both sides
    of a split unless you ask for it. Writes report.json and .md, predictions, figures, and the fitted probe that
    `archrep predict-target` applies to new architectures.
    """
    from archrep.files import provenance, refuse_foreign_folder
    from archrep.probe.curves import learning_curve as run_curve
    from archrep.probe.protocols import protocol as named
    from archrep.probe.report import run_probe
    from archrep.probe.select import probes_of

    out = out or Path(f"probe-{target}")
    refuse_foreign_folder(out, force, FILES)
    setup = _Setup(labels, checkpoint, embeddings, data, dataset, epochs, recipe, seed)
    probes_of(probe, 2)  # which refuses an unknown one before long work starts
    task = setup.task(target, [e.strip() for e in encoders.split(",") if e.strip()], group_by, limit, test)
    task, scheme = _scheme(task, setup, split, train_size, resamplings, test, shots, protocol, seed)
    replayed = named(protocol) if protocol else None
    chosen = {"probe": (replayed and replayed.probe) or probe} | ({"transform": replayed.transform} if replayed else {})
    with _progress(sys.stderr.isatty()) as bar:
        report = run_probe(task, scheme, seed=seed, workers=workers, progress=bar, **chosen)
    curve = None
    if learning_curve:
        journal = _journal(out, task, setup, split, seed, force)
        with _progress(sys.stderr.isatty()) as bar:
            curve = run_curve(
                task, journal, split == "grouped", resamplings=resamplings, seed=seed, workers=workers, progress=bar
            )
    _write(out, force, report, curve, provenance(seed=seed, **setup.facts()), json)


class _Setup:
    """What the options name, loaded."""

    def __init__(self, labels, checkpoint, embeddings, data, dataset, epochs, recipe, seed) -> None:
        from archrep.data.labels import read_labels
        from archrep.shipped import CHECKPOINT, LABELS, shipped

        self.paths = [Path(p) for p in labels or [shipped(LABELS)]]
        self.read = lambda paths: read_labels(paths, dataset, epochs, recipe)
        self.labels = self.read(self.paths)
        self.checkpoint = checkpoint or shipped(CHECKPOINT)
        self.embeddings, self.data, self.seed = embeddings, data, seed
        self.test_side: set[str] | None = None

    def facts(self) -> dict:
        from archrep.files import file_digest

        inputs = [*self.paths, *([self.embeddings] if self.embeddings else [])]
        return {
            "inputs": {path.name: file_digest(path) for path in inputs},
            "checkpoint": self.checkpoint.name,
            "checkpoint_digest": file_digest(self.checkpoint),
        }

    def task(self, target: str, specs: list[str], group_by: str | None, limit: int | None, test: str | None) -> "Task":
        from dataclasses import replace

        from archrep.data.embeddings import read_embeddings
        from archrep.probe.task import make_task

        if not specs:
            raise ArchrepError("No encoder is given; name one with --encoders, for example graph-features.")
        labels = self.labels
        if test and Path(test).is_file():
            second = self.read([Path(test)])
            self.paths.append(Path(test))
            self.test_side = set(second.table.index)
            import pandas as pd

            first = labels.table[~labels.table.index.isin(second.table.index)]
            both = len(labels.table) - len(first)
            counted = labels.counted | ({"training labels of architectures that are tested on": both} if both else {})
            runs = pd.concat([labels.runs, second.runs], ignore_index=True)
            labels = replace(labels, table=pd.concat([first, second.table]), counted=counted, runs=runs)
        if limit:
            labels = replace(labels, table=labels.table.iloc[:limit])
        table = read_embeddings(self.embeddings) if self.embeddings else None
        return make_task(labels, target, specs, self.context(labels, specs), table, group_by)

    def context(self, labels, specs: list[str]):
        from archrep.data import load_images
        from archrep.ghn import GHN
        from archrep.probe.encoders import Context

        named = {part.partition(":")[0] for spec in specs for part in spec.split("+")}
        ghn = GHN.load(self.checkpoint) if any(name.startswith(("ghn", "gnn")) for name in named) else None
        return Context(labels.table, ghn, load_images(self.data) if self.data else None, self.seed)


def _scheme(
    task: "Task",
    setup: _Setup,
    split: str,
    train_size: int | None,
    resamplings: int | None,
    test: str | None,
    shots: int,
    protocol: str | None,
    seed: int,
) -> tuple["Task", "Scheme"]:
    """The task and splits that the options describe.

    Raises:
        ArchrepError: if they contradict each other or the labels are too few.
    """
    import numpy as np

    from archrep.errors import lookup
    from archrep.probe import protocols, splits
    from archrep.probe.task import class_sample

    lookup(dict.fromkeys(SPLITS), split, "split")
    if protocol and (test or train_size or split != "grouped"):
        raise ArchrepError("--protocol says how to split; leave --split, --train-size and --test out.")
    if test and train_size:
        raise ArchrepError("--test trains on all other labels; give it with --shots, or --train-size without it.")
    if shots and not test:
        raise ArchrepError("--shots takes architectures from the side that --test names; give --test too.")
    if protocol:
        return protocols.protocol(protocol).apply(task, seed, resamplings or protocols.RESAMPLINGS)
    if test:
        sides = [a.id in setup.test_side if setup.test_side else test in (a.split, a.space) for a in task.architectures]
        on_test, on_train = np.flatnonzero(sides), np.flatnonzero(~np.array(sides))
        if len(on_test) < 2 or len(on_train) < 2:
            named = sorted({a.split for a in task.architectures} | {a.space for a in task.architectures} - {""})
            raise ArchrepError(
                f"--test {test}: {len(on_test)} labels to test on and {len(on_train)} to train on. It is a label "
                f"table, or one of: {', '.join(filter(None, named))}."
            )
        return task, splits.k_shot(on_train, on_test, task.groups, shots, resamplings or 20, seed)
    if split == "one-per-group":
        task = class_sample(task, seed)
    if train_size or len(task.y) > LARGE:
        count = resamplings or (20 if train_size else 5)
        scheme = splits.subsets(task.groups, train_size or TRAIN_SIZE, count, seed, split == "grouped")
    else:
        scheme = (splits.random if split == "random" else splits.grouped)(task.groups, seed=seed)
    return task, scheme


def _journal(out: Path, task: "Task", setup: _Setup, split: str, seed: int, force: bool):
    from archrep.journal import Journal

    header = {
        "journal": 1,
        "curve": {"target": task.target.name, "split": split, "seed": seed, "n": len(task.y), **setup.facts()},
    }
    path = out.with_name(out.name + ".jsonl")
    return Journal(path, header, "of another learning curve (labels, target, split or seed)", force)


@contextmanager
def _progress(shown: bool) -> Iterator[Callable[[int], Callable[[], None]]]:
    """A bar on stderr whose length comes with the work."""
    from tqdm import tqdm

    with tqdm(unit="fit", disable=not shown) as bar:

        def start(total: int) -> Callable[[], None]:
            bar.reset(total)
            return lambda: bar.update() and None

        yield start


def _write(out: Path, force: bool, report: "Report", curve, origin: dict, json: bool) -> None:
    from archrep.files import atomic_folder, to_json
    from archrep.plot.probe import draw_calibration, draw_curve, draw_residuals, draw_scatter
    from archrep.plot.style import save_figure
    from archrep.probe.curves import summarize_curve
    from archrep.probe.render import as_json, as_markdown
    from archrep.probe.saved import save_probe

    summary = as_json(report) | {"provenance": origin}
    with atomic_folder(out, force, FILES) as folder:
        report.table.to_csv(folder / "predictions.csv", index=False)
        for name, draw in (("scatter", draw_scatter), ("residuals", draw_residuals), ("calibration", draw_calibration)):
            save_figure(*draw(report), folder / name)
        if curve is not None:
            points = summarize_curve(curve)
            summary["learning_curve"] = points.to_dict("records")
            name = f"Learning curve of {report.target.name} · n = {report.facts['n']:,}"
            save_figure(*draw_curve(points, name), folder / "curve")
            (folder / "curve.json").write_text(to_json(curve.to_dict("records")))
        (folder / "report.json").write_text(to_json(summary))
        (folder / "report.md").write_text(as_markdown(report, origin["command"]))
        if report.probe:
            report.probe.facts["provenance"] = origin
            save_probe(report.probe, folder)
    if json:
        print(to_json(summary))
        return
    _print_report(report)
    print(f"Report, figures and fitted probe: {out}")


def _print_report(report: "Report") -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from archrep.probe.render import HEAD, cells, notes, title

    table = Table(title=title(report), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in HEAD:
        table.add_column(name, justify="left" if name == "encoder" else "right", no_wrap=True)
    for score in report.scores:
        table.add_row(*map(escape, cells(score, report.reference)))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    for line in notes(report):
        print(line)
