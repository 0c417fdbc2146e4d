"""`archrep map`."""

from pathlib import Path
from typing import Annotated

import typer

from archrep.cli import options


def map_embeddings(
    embeddings: Annotated[Path | None, typer.Option(help="Embedding table; default: the shipped one.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Label table whose columns can colour the map; default: the shipped one.")
    ] = None,
    color: Annotated[str, typer.Option(help="Column of either table.")] = "accuracy",
    out: Annotated[Path, typer.Option(help="Prefix of the files: PREFIX.png, .svg and .csv.")] = Path("map"),
    seed: options.Seed = 0,
    force: options.Force = False,
) -> None:
    """Draw a UMAP map of an embedding table, coloured by a column.

    Example: `archrep map --color accuracy --out figures/map-accuracy`

    Without options, the shipped embeddings are drawn, coloured by measured accuracy.
    """
    from archrep.data.embeddings import read_embeddings
    from archrep.data.labels import read_labels
    from archrep.data.targets import TARGETS
    from archrep.errors import ArchrepError, unknown
    from archrep.plot.style import refuse_existing_figure, save_figure
    from archrep.plot.umap_map import draw_map, project
    from archrep.shipped import EMBEDDINGS, LABELS, shipped

    refuse_existing_figure(out, force)
    table = read_embeddings(embeddings or shipped(EMBEDDINGS))
    points = table.table
    if labels is not None or color not in points:
        labels = labels or shipped(LABELS)
        columns = read_labels(labels).table
        if not points.index.isin(columns.index).any():
            raise ArchrepError(f"{labels}: none of its architectures is in the embedding table.")
        points = points.join(columns[[c for c in columns if c not in points]])
    if color not in points:
        raise unknown("column", color, points.columns)
    points = points.assign(**dict(zip("xy", project(table.values, seed).T, strict=True))).reset_index()
    unit = TARGETS[color].unit if color in TARGETS else ""
    places = sorted({f"{space} {split}" for space, split in zip(points["space"], points["split"], strict=True)})
    title = f"UMAP of GHN embeddings · {', '.join(places)} · n = {len(points)} · seed {seed}"
    for path in save_figure(draw_map(points, color, unit, title), points, out, force):
        print(f"Map: {path}")
