"""`archrep labels import`, `archrep labels check` and `archrep labels card`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from archrep.cli import completion, options
from archrep.errors import printable

labels = typer.Typer(
    help="Label tables: import published results, check a table for mistakes, describe it in a card.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@labels.command("import")
def import_labels(
    format: Annotated[
        str,
        typer.Argument(
            help="nasbench201, nasbench101, nasbench_macro or timm.", autocompletion=completion.one("published")
        ),
    ],
    file: Annotated[Path, typer.Argument(help="CSV or Parquet table, or the official NAS-Bench-201-….pth.")],
    out: Annotated[Path, typer.Option(help="Label table to write (Parquet).")] = Path("labels.parquet"),
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set of `accuracy`; default: cifar10, and imagenet of timm.",
            autocompletion=completion.one("dataset"),
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of training of `accuracy`; default: 200, of NAS-Bench-101 108.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Of timm: a tag, or a pattern such as ra*_in1k; default: the most common one.")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Turn published results into a label table that says of every column what it is.

    Example: `archrep labels import nasbench201 accuracy.csv.gz --out nb201.parquet`

    Every source column stays. `accuracy` (test) and `accuracy_val` are chosen by --dataset and --epochs, always in %.
    """
    import pyarrow as pa

    from archrep.data.adapters import adapt
    from archrep.data.imported import Request
    from archrep.data.tables import write_table
    from archrep.errors import ArchrepError
    from archrep.files import file_digest, provenance, refuse_existing, to_json

    if out.suffix != ".parquet" or out.is_dir():
        raise ArchrepError(f"{out}: a label table is a Parquet file; give --out a name that ends in .parquet.")
    refuse_existing(out, force)
    adapted = adapt(format, file, Request(dataset, epochs, recipe))
    facts = provenance(source=file.name, source_digest=file_digest(file), counted=adapted.counted)
    header = {"format": 1, "kind": "labels", "columns": adapted.columns, "provenance": facts}
    write_table(pa.Table.from_pandas(adapted.table, preserve_index=False), header, out, force)
    number = adapted.table["arch"].nunique()
    if json:
        print(to_json({"architectures": number, "counted": adapted.counted, "columns": adapted.columns, "out": out}))
        return
    for reason, count in adapted.counted.items():
        print(f"{count}: {reason}", file=sys.stderr)
    for name in ("accuracy", "accuracy_val"):
        if name in adapted.table:
            print(f"{name}: {_told(adapted.columns[name])}")
    print(f"Labels of {number} architectures: {out}")


def _told(facts: dict) -> str:
    named = {"source": "column", "dataset": "data set", "split": "split", "epochs": "epochs", "seed": "seed"}
    return ", ".join(f"{word} {facts[key]}" for key, word in named.items() if key in facts)


@labels.command()
def check(
    file: Annotated[Path, typer.Argument(help="Label table: Parquet or CSV, measured, imported or published.")],
    json: options.Json = False,
) -> None:
    """Look for mistakes in a label table; exit code 1 if there are errors.

    Example: `archrep labels check labels.parquet`

    Early accuracies passed as final ones, valid/test confusion, rows of other splits that copy test rows, duplicates
    with different values, copied and constant columns, impossible values, architectures that do not exist.
    """
    from archrep.data.lint import ERROR, NOTE, WARNING, check_labels, read_checked
    from archrep.files import to_json
    from archrep.probe.groups import NORMAL_FORMS

    found = check_labels(read_checked(file, NORMAL_FORMS))
    if json:
        print(to_json({"file": file, "findings": [vars(finding) for finding in found]}))
    else:
        for finding in found:
            where = ", ".join(finding.columns)
            print(printable(f"{finding.level}: {finding.check} [{where}] in {finding.rows} rows: {finding.message}"))
        counts = [f"{sum(f.level == level for f in found)} {level}s" for level in (ERROR, WARNING, NOTE)]
        print(f"{file}: {', '.join(counts)}")
    if any(finding.level == ERROR for finding in found):
        raise typer.Exit(1)


@labels.command()
def card(
    file: Annotated[Path, typer.Argument(help="Label table that archrep measure wrote.")],
    out: Annotated[
        Path | None, typer.Option(help="Card to write (Markdown); default: beside the table, under its name.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Another label table of these architectures, such as of a longer training.")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Describe measured labels: protocol, hardware, distributions, noise of seeds, failures, correlations.

    Example: `archrep labels card labels/deepnets-small-cifar10.parquet`

    With --against, how they rank against those of another protocol.
    """
    from archrep.files import atomic, refuse_existing, refuse_unnamed, to_json
    from archrep.plot.labels import draw_correlations
    from archrep.plot.style import refuse_existing_figure, save_figure
    from archrep.probe.label_card import describe, render

    out = out or file.with_suffix(".md")
    refuse_unnamed(out)
    prefix = out.with_name(f"{out.stem}-correlations")
    refuse_existing(out, force)
    refuse_existing_figure(prefix, force)
    described = describe(file, against)
    paths = save_figure(*draw_correlations(described), prefix, force)
    with atomic(out, force) as temporary:
        temporary.write_text(render(described, paths[0].name))
    if json:
        facts = {"architectures": described.architectures, "seed_tau": described.seed_tau}
        if described.against:
            facts["against"] = vars(described.against)
        print(to_json(facts | {"out": out, "files": [out, *paths]}))
        return
    for path in paths:
        print(f"Figure: {path}")
    print(f"Card of {described.architectures} architectures: {out}")
