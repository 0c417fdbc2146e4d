"""`archrep probe`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archrep.cli import completion, options
from archrep.cli.probe_output import FILES, write_report
from archrep.errors import ArchrepError

if TYPE_CHECKING:
    from archrep.data.labels import Labels
    from archrep.journal import Journal
    from archrep.probe.design import Design
    from archrep.probe.encoders import Context
    from archrep.probe.task import Task

ENCODERS = "ghn,ghn-untrained,graph-features,op-counts,size"
NOT_FOR_DEVICES = (  # options that `--known-devices` has no use for
    *("encoders", "probe", "split", "test", "shots", "protocol", "learning_curve", "group_by", "embeddings"),
    *("checkpoint", "data", "dataset", "epochs", "recipe", "direction", "workers"),
)


def probe(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Option(
            help="Column of the label table: trainability, latency_ms, …; default: accuracy, or PROTOCOL's.",
            autocompletion=completion.one("target"),
        ),
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            help="Label table, Parquet or CSV, or a published one; may be repeated. Default: the shipped one."
        ),
    ] = None,
    encoders: Annotated[
        str,
        typer.Option(
            help="Encoders, separated by commas; A+B concatenates. The first is what others are compared to.",
            autocompletion=completion.several("encoder", ",+"),
        ),
    ] = ENCODERS,
    probe: Annotated[
        str,
        typer.Option(
            help="auto chooses in the training data; or ensemble, ridge, svr, svr-wide, gp, boosting, forest, knn.",
            autocompletion=completion.one("probe"),
        ),
    ] = "auto",
    split: Annotated[
        str,
        typer.Option(
            help="grouped: no class on both sides; random; one-per-group: one architecture of each class.",
            autocompletion=completion.one("probe split"),
        ),
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
        str | None,
        typer.Option(
            help="Replay the literature: ppuda, nasbench201-100, nasbench201-class-781, …",
            autocompletion=completion.one("probe protocol"),
        ),
    ] = None,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Add τ over 20 … 781 labels; resumes from its journal OUT.jsonl.")
    ] = False,
    known_devices: Annotated[
        str | None,
        typer.Option(help="Predict the device TARGET (all: each in turn) from these columns, or all, and few cells."),
    ] = None,
    group_by: Annotated[
        str | None, typer.Option(help="Column to group by, or family (of models); default: what computes the same.")
    ] = None,
    embeddings: Annotated[
        Path | None, typer.Option(help="Embedding table for the encoder ghn; default: the checkpoint embeds.")
    ] = None,
    checkpoint: options.Checkpoint = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Real images for encoders that need them (zero-cost, ghn-accuracy).",
            autocompletion=completion.one("images"),
        ),
    ] = None,
    dataset: options.Dataset = None,
    epochs: options.Epochs = None,
    recipe: Annotated[str | None, typer.Option(help="Of timm's accuracies: a tag or pattern such as ra*_in1k.")] = None,
    direction: Annotated[
        str | None,
        typer.Option(
            help="Of a target that the table does not declare: higher or lower is better.",
            autocompletion=completion.one("direction"),
        ),
    ] = None,
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

    Example: `archrep probe --labels nasbench201/latency_ms.csv.gz --target all --known-devices all`

    Everything is chosen inside the training data, and architectures that compute the same never stand on both sides
    of a split unless you ask for it. Writes report.json and .md, predictions, figures, and the fitted probe that
    `archrep predict-target` applies to new architectures.
    """
    from archrep.files import provenance, refuse_foreign_folder
    from archrep.probe.curves import learning_curve as run_curve
    from archrep.probe.design import Design
    from archrep.probe.encoders import split_specs
    from archrep.probe.protocols import protocol as named
    from archrep.probe.report import TRANSFORM, run_probe
    from archrep.probe.select import probes_of

    replayed = named(protocol) if protocol else None
    target = target or (replayed.target if replayed else "accuracy")
    out = out or Path(f"probe-{target}")
    refuse_foreign_folder(out, force, FILES)
    if known_devices is not None:
        from archrep.cli.probe_devices import probe_devices

        _refuse_given(context, NOT_FOR_DEVICES, "--known-devices uses latencies alone")
        read = _labels(labels, None, None, None)
        probe_devices(read, target, known_devices, train_size, resamplings, limit, seed, out, force, json)
        return
    design = Design(split, train_size, resamplings, test, shots, protocol, learning_curve, seed)
    if replayed and replayed.probe:
        _refuse_given(context, ["probe"], f"The protocol {protocol} has its own probe")
    probes_of(probe, 2)  # which refuses an unknown one before long work starts
    read = _labels(labels, dataset, epochs, recipe)
    second = _labels([Path(test)], dataset, epochs, recipe) if test and Path(test).is_file() else None
    inputs = _Inputs(read, labels, checkpoint, embeddings, data, second, seed)
    task = inputs.task(target, split_specs(encoders), group_by, limit, direction)
    task, scheme = design.apply(task, inputs.tested)
    probe, transform = ((replayed.probe or probe), replayed.transform) if replayed else (probe, TRANSFORM)
    journal = _journal(out, task, design, inputs, force) if learning_curve else None
    with _progress(sys.stderr.isatty()) as bar:
        report = run_probe(task, scheme, probe, seed, workers, transform=transform, progress=bar)
    curve = None
    if journal is not None:
        with _progress(sys.stderr.isatty()) as bar:
            curve = run_curve(
                task, journal, design.keeps_groups, resamplings=resamplings, seed=seed, workers=workers, progress=bar
            )
    write_report(out, force, report, curve, provenance(seed=seed, **inputs.facts()), json)


def _refuse_given(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Options that would be ignored.

    Raises:
        ArchrepError: if one of them is on the command line.
    """
    given = [n for n in names if (source := context.get_parameter_source(n)) and source.name == "COMMANDLINE"]
    if given:
        raise ArchrepError(f"{why}; leave --{given[0].replace('_', '-')} out.")


def _labels(paths: list[Path] | None, dataset: str | None, epochs: int | None, recipe: str | None) -> "Labels":
    from archrep.data.labels import read_labels
    from archrep.shipped import LABELS, shipped

    return read_labels(paths or [shipped(LABELS)], dataset, epochs, recipe)


class _Inputs:
    """What the options name, loaded.

    Attributes:
        tested: architectures of the second label table, if `--test` names one.
    """

    def __init__(
        self,
        labels: "Labels",
        paths: list[Path] | None,
        checkpoint: Path | None,
        embeddings: Path | None,
        data: str | None,
        tested: "Labels | None",
        seed: int,
    ) -> None:
        from archrep.data.embeddings import read_embeddings
        from archrep.probe.design import with_tested
        from archrep.shipped import CHECKPOINT, LABELS, shipped

        self.paths = [*(paths or [shipped(LABELS)]), *([embeddings] if embeddings else [])]
        self.labels, self.tested = labels, frozenset[str]()
        if tested is not None:
            self.paths.append(tested.path)
            self.tested = frozenset(tested.table.index)
            self.labels = with_tested(labels, tested)
        self.checkpoint = checkpoint or shipped(CHECKPOINT)
        self.embeddings = read_embeddings(embeddings) if embeddings else None
        self.data, self.seed = data, seed

    def facts(self) -> dict:
        """Provenance; the digest of the checkpoint that made the embeddings."""
        from archrep.files import file_digest

        header = self.embeddings.header if self.embeddings else {}
        return {
            "inputs": {path.name: file_digest(path) for path in self.paths},
            "checkpoint": header.get("checkpoint", self.checkpoint.name),
            "checkpoint_digest": header.get("checkpoint_digest") or file_digest(self.checkpoint),
            "data": self.data,
        }

    def task(
        self, target: str, specs: list[str], group_by: str | None, limit: int | None, direction: str | None
    ) -> "Task":
        """The labels and encodings of what is probed."""
        from archrep.probe.design import directed
        from archrep.probe.task import make_task

        if not specs:
            raise ArchrepError("No encoder is given; name one with --encoders, for example graph-features.")
        if self.embeddings and "ghn" not in specs:
            raise ArchrepError("--embeddings are what the encoder ghn says; name ghn in --encoders, or leave them out.")
        labels = directed(self.labels, target, direction) if direction else self.labels
        if limit:
            labels = labels.take(slice(limit))
        return make_task(labels, target, specs, self._context(labels, specs), self.embeddings, group_by)

    def _context(self, labels: "Labels", specs: list[str]) -> "Context":
        from archrep.data import load_images
        from archrep.probe.encoders import Context

        ghn = options.ghn_for(specs, self.checkpoint)
        return Context(labels.table, ghn, load_images(self.data) if self.data else None, self.seed)


def _journal(out: Path, task: "Task", design: "Design", inputs: _Inputs, force: bool) -> "Journal":
    """The journal of a learning curve; its header says all that the rows depend on."""
    from hashlib import sha256

    from archrep.journal import Journal

    facts = inputs.facts()
    names = "\n".join([*(a.id for a in task.architectures), *task.groups])
    digest = sha256(names.encode() + task.y.tobytes()).hexdigest()[:16]  # of what was asked of the tables, too
    header = {
        "journal": 1,
        "curve": {"target": task.target.name, "grouped": design.keeps_groups, "seed": design.seed}
        | {"labels": digest, **{name: facts[name] for name in ("inputs", "checkpoint_digest", "data")}},
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
