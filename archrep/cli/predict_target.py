"""`archrep predict-target`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from archrep.cli import completion, options
from archrep.errors import ArchrepError

SHOWN = 20  # predictions that are printed, too


def predict_target(
    probe: Annotated[Path, typer.Option(help="Folder that `archrep probe` wrote.")],
    archs: options.Archs = None,
    out: Annotated[Path, typer.Option(help="Table to write, CSV or Parquet.")] = Path("predictions.csv"),
    level: Annotated[float, typer.Option(min=0.01, max=0.99, help="Level of the prediction intervals.")] = 0.9,
    labels: Annotated[
        list[Path] | None, typer.Option(help="Table with the columns that encoders of the probe read, if they do.")
    ] = None,
    checkpoint: options.Checkpoint = None,
    data: Annotated[
        str | None,
        typer.Option(help="Real images, if encoders of the probe need them.", autocompletion=completion.one("images")),
    ] = None,
    limit: options.Limit = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Predict a target of new architectures with a fitted probe, with intervals.

    Example: `archrep predict-target --probe probe-accuracy --archs deepnets-small:test:200-219 --out predictions.csv`

    The intervals are conformal: they come from the probe's errors on architectures that it had not seen.
    """
    from archrep.data import load_images
    from archrep.data.labels import read_labels
    from archrep.data.tables import check_rows_path, write_rows
    from archrep.files import file_digest, provenance, refuse_existing, to_json
    from archrep.ghn import GHN
    from archrep.probe.encoders import Context, needs_ghn, needs_graph
    from archrep.probe.predict import predict_rows
    from archrep.probe.saved import load_probe
    from archrep.shipped import CHECKPOINT, shipped

    check_rows_path(out)
    refuse_existing(out, force)
    if not archs:
        raise ArchrepError("Nothing to predict: give --archs, for example --archs deepnets-small:test:0-9.")
    fitted = load_probe(probe)
    specs = fitted.encoders
    ghn = None
    if any(needs_ghn(spec) for spec in specs):
        path = checkpoint or shipped(CHECKPOINT)
        wanted = fitted.facts.get("provenance", {}).get("checkpoint_digest")
        if wanted and file_digest(path) != wanted:
            raise ArchrepError(
                f"{path} is not the checkpoint that the probe was trained with "
                f"({fitted.facts['provenance'].get('checkpoint')}, digest {wanted}); give that one by --checkpoint."
            )
        ghn = GHN.load(path)
    table = read_labels(labels).table if labels else None
    context = Context(table, ghn, load_images(data) if data else None, int(fitted.facts.get("seed", 0)))
    selected = options.select(archs, limit)
    rows, refused = predict_rows(fitted, selected, context, level, any(needs_graph(spec) for spec in specs))
    header = {"format": 1, "kind": "predictions", "provenance": provenance(probe=probe.name, level=level)}
    write_rows(rows, header, out)
    for line in refused:
        print(f"Refused: {line}", file=sys.stderr)
    if json:
        print(to_json({"target": fitted.target.name, "rows": rows, "refused": refused, "out": out}))
        return
    unit = f" ({fitted.target.unit})" if fitted.target.unit else ""
    if len(rows) <= SHOWN:
        lines = [[row["arch"], *(f"{row[name]:.4g}" for name in (fitted.target.name, "low", "high"))] for row in rows]
        names = ["arch", f"{fitted.target.name}{unit}", f"low, {level:.0%} interval", "high"]
        options.print_table(f"Predicted by {probe.name}", names, lines, ["arch"], fold=True)
    print(f"Predicted {fitted.target.name}{unit} of {len(rows)} architectures, refused {len(refused)}: {out}")
