"""`archrep map`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from archrep.cli import options

FEWEST = 5
DRAWN = 50_000  # points that a picture can show and a browser can move
PLACES = 6  # spaces and splits that a title names


def map_embeddings(
    embeddings: Annotated[
        list[Path] | None, typer.Option(help="Embedding table, or `shipped`, the default; may be repeated.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Label table whose columns can colour the map; default: the shipped one.")
    ] = None,
    color: Annotated[str, typer.Option(help="Column of either table.")] = "accuracy",
    html: Annotated[bool, typer.Option("--html", help="Write an interactive page, too: PREFIX.html.")] = False,
    out: Annotated[Path, typer.Option(help="Prefix of the files: PREFIX.png, .svg and .csv.")] = Path("map"),
    seed: options.Seed = 0,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Draw a UMAP map of an embedding table, coloured by a column.

    Example: `archrep map --color accuracy --html --out figures/map-accuracy`

    Without options, the shipped embeddings are drawn, coloured by measured accuracy. Several tables of one GHN are
    drawn together: `--embeddings mine.parquet --embeddings shipped`. Of more than 50,000 architectures, a
    random sample of 50,000 is drawn, and the title says so.
    """
    from archrep.files import refuse_existing, to_json
    from archrep.plot.style import refuse_existing_figure, save_figure
    from archrep.plot.umap_map import draw_map, project

    refuse_existing_figure(out, force)
    page = out.with_name(out.name + ".html")
    if html:
        refuse_existing(page, force)
    table, values = _read(embeddings)
    shown, of = _sample(len(table), seed)
    points, units = _labelled(table.iloc[shown], labels, color)
    points = points.assign(**dict(zip("xy", project(values[shown], seed).T, strict=True))).reset_index()
    note = f"{_places(points)} · n = {of}{len(table):,} · seed {seed}"
    unit = units.get(color, "")
    written = save_figure(draw_map(points, color, unit, f"UMAP of GHN embeddings · {note}"), points, out, force)
    if html:
        from archrep.plot.page import write_page

        write_page(points, color, page, "UMAP of GHN embeddings", note, units, force)
        written.append(page)
    if json:
        print(to_json({"n": len(table), "drawn": len(points), "color": color, "seed": seed, "files": written}))
        return
    for path in written:
        print(f"Map: {path}")


def _places(points) -> str:
    """Spaces and splits of the points, for a title: the most frequent ones, if there are many."""
    places = points[["space", "split"]].fillna("").agg(" ".join, axis=1).str.strip().value_counts()
    more = f" and {len(places) - PLACES} more" if len(places) > PLACES else ""
    return ", ".join(sorted(places.index[:PLACES])) + more


def _sample(count: int, seed: int):
    """Which rows are drawn, and what the title says before their number."""
    import numpy as np

    if count <= DRAWN:
        return np.arange(count), ""
    print(f"Drawn: a random sample of {DRAWN:,} of {count:,} architectures (--seed {seed}).", file=sys.stderr)
    return np.sort(np.random.default_rng(seed).choice(count, DRAWN, replace=False)), f"{DRAWN:,} drawn at random of "


def _read(paths: list[Path] | None):
    """Rows and embeddings of one or several tables; an architecture that several have is taken from the first.

    Raises:
        ArchrepError: if they were made with different GHNs.
    """
    import numpy as np
    import pandas as pd

    from archrep.data.embeddings import read_embeddings
    from archrep.errors import ArchrepError
    from archrep.shipped import EMBEDDINGS, shipped

    paths = [shipped(EMBEDDINGS) if path == Path("shipped") else path for path in paths or [Path("shipped")]]
    if len(paths) == 1:  # without a copy: it may have a million rows
        only = read_embeddings(paths[0])
        if len(only.table) < FEWEST:
            raise ArchrepError(
                f"{paths[0]}: a map needs at least {FEWEST} architectures, not {len(only.table)}. Draw it with others, "
                "for example --embeddings shipped --color space beside it."
            )
        return only.table, only.values
    tables = [read_embeddings(path) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if table.header.get("checkpoint_digest") != tables[0].header.get("checkpoint_digest"):
            raise ArchrepError(
                f"{path} was made with another GHN than {paths[0]}: their embeddings have nothing in common. "
                "Embed both with one --checkpoint."
            )
    rows = pd.concat([table.table for table in tables])
    first = ~rows.index.duplicated()
    return rows[first], np.concatenate([table.values for table in tables])[first]


def _labelled(points, labels: Path | None, color: str):
    """The rows with the columns of a label table, and the unit of every column that has one.

    Raises:
        ArchrepError: if the labels are of other architectures, or nothing has the column `color`.
    """
    from archrep.data.labels import read_labels
    from archrep.data.targets import TARGETS
    from archrep.errors import ArchrepError, unknown
    from archrep.shipped import LABELS, shipped

    read = read_labels(labels or shipped(LABELS))
    columns = read.table
    if points.index.isin(columns.index).any():
        points = points.join(columns[[c for c in columns if c not in points]])
    elif labels is not None or color in columns:
        raise ArchrepError(
            f"{labels or 'The shipped label table'}: none of its architectures is in the embedding table. "
            f"Give --labels that has them, or --color of {', '.join(points.columns)}."
        )
    if color not in points:
        raise unknown("column", color, points.columns)
    declared = {name: facts.get("unit", "") for name, facts in read.header.get("columns", {}).items()}
    return points, declared | {name: target.unit for name, target in TARGETS.items()}
