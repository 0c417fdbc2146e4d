"""`archrep probe`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archrep.cli import options

if TYPE_CHECKING:
    from archrep.probe import Report

FILES = ("report.json", "probe.skops", "scatter.png", "scatter.svg", "scatter.csv")


def probe(
    target: Annotated[
        str, typer.Option(help="Column of the label table: accuracy, trainability, latency_ms, …")
    ] = "accuracy",
    embeddings: Annotated[Path | None, typer.Option(help="Embedding table; default: the shipped one.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Label table, Parquet or CSV; default: the shipped one.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the report; default: probe-TARGET.")] = None,
    seed: options.Seed = 0,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Probe what an embedding knows of a target: Kendall τ with its 95 % interval, beside baselines.

    Example: `archrep probe --target accuracy --out probe-accuracy`

    Cross-validation is nested and grouped: hyper-parameters are chosen inside the training folds, and equal
    graphs never stand on both sides of a split. Writes report.json, scatter.png/svg/csv and probe.skops.
    """
    import warnings

    import skops.io

    from archrep.data.embeddings import read_embeddings
    from archrep.data.labels import read_labels
    from archrep.files import atomic_folder, file_digest, provenance, refuse_foreign_folder, to_json
    from archrep.plot.scatter import scatter
    from archrep.plot.style import save_figure
    from archrep.probe import run_probe
    from archrep.shipped import EMBEDDINGS, LABELS, shipped

    out = out or Path(f"probe-{target}")
    refuse_foreign_folder(out, force, FILES)
    embeddings, labels = embeddings or shipped(EMBEDDINGS), labels or shipped(LABELS)
    report = run_probe(read_embeddings(embeddings), read_labels(labels), target, seed)
    inputs = {str(path.name): file_digest(path) for path in (embeddings, labels)}
    summary = _summary(report) | {"provenance": provenance(seed=seed, inputs=inputs)}
    with atomic_folder(out, force, FILES) as folder:
        (folder / "report.json").write_text(to_json(summary))
        save_figure(scatter(report), report.table, folder / "scatter")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # skops reads deprecated attributes while it looks around
            skops.io.dump(report.probe, folder / "probe.skops")
    if json:
        print(to_json(summary))
    else:
        _print_table(report)
        print(f"Report, scatter plot and fitted probe: {out}")


def _summary(report: "Report") -> dict:
    import dataclasses

    return {
        "target": dataclasses.asdict(report.target),
        "scores": [dataclasses.asdict(score) for score in report.scores],
        "excluded": report.excluded,
        **report.facts,
    }


def _print_table(report: "Report") -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    facts, target = report.facts, report.target
    better = "higher is better" if target.higher_is_better else "lower is better"
    table = Table(
        title=f"Probe of {target.name} ({target.unit}; {better}) · n = {facts['n']}, {facts['groups']} groups · "
        f"{facts['repeats']}×{facts['folds']}-fold grouped CV · seed {facts['seed']}",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in ("encoder", "d", "τ", "95 % interval", "R²", "Δτ to GHN embedding"):
        table.add_column(name, justify="left" if name == "encoder" else "right", no_wrap=True)
    for s in report.scores:
        delta = "" if s is report.scores[0] else f"{s.delta:+.3f} [{s.delta_low:+.3f}, {s.delta_high:+.3f}]"
        low_high = f"[{s.tau_low:.3f}, {s.tau_high:.3f}]"
        cells = (s.encoder, str(s.dimensions), f"{s.tau:.3f}", low_high, f"{s.r2:.3f}", delta)
        table.add_row(*map(escape, cells))
    Console().print(table)
    print("τ: Kendall's rank correlation of predicted and measured; Δτ: encoder minus GHN embedding, paired.")
    for reason, count in report.excluded.items():
        if count:
            print(f"excluded: {count} {reason}")
