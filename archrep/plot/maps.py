"""Several maps side by side: the same points in every panel coloured by another column, or other points by the same."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from archrep.errors import unknown
from archrep.plot.shades import classify, is_numeric, spans_magnitudes
from archrep.plot.style import house_style

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
COLUMNS = 2
PANEL = (5.6, 4.3)  # inches, with its colour bar or legend


def draw_maps(
    points: pd.DataFrame, panels: Mapping[str, str], title: str, places: Sequence[tuple[str, str]] = (("x", "y"),)
) -> tuple[Figure, pd.DataFrame]:
    """Scatter plots of the same architectures.

    Args:
        points: the columns named by panels and places. panels: column → what it is, with its unit: the title of its
            panel. Numbers are coloured by magnitude, those that span orders of magnitude on a logarithmic scale;
            anything else by class (see shades.py), with a marker of its own.
        places: pairs of columns of coordinates; every place gets its row of panels (their names are not drawn).

    Returns:
        The figure, and the points.

    Raises:
        ArchrepError: if there is no such column.
    """
    for column in panels:
        if column not in points:
            raise unknown("column", column, points.columns)
    cells = [(column, what, place) for place in places for column, what in panels.items()]
    columns = len(panels) if len(places) > 1 else min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    with house_style():
        figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows + 0.5), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for cell, (column, what, (x, y)) in zip(axes, cells, strict=False):
            draw = _numbers if is_numeric(points[column]) else _classes
            draw(cell, points.assign(_x=points[x], _y=points[y]), column)
            cell.set(xlabel="UMAP 1", ylabel="UMAP 2", xticks=[], yticks=[])
            cell.set_title(what, fontsize=11)
        for empty in axes[len(cells) :]:
            empty.axis("off")
        figure.suptitle(title, fontsize=12)
    return figure, points


def _numbers(axes: Axes, points: pd.DataFrame, column: str) -> None:
    missing = points[column].isna()
    axes.scatter(points.loc[missing, "_x"], points.loc[missing, "_y"], color="0.85", s=10, linewidth=0)
    shown = points[~missing]
    values = shown[column]
    drawn = axes.scatter(
        *(shown["_x"], shown["_y"]),
        c=values,
        cmap="viridis",
        norm="log" if spans_magnitudes(values.to_numpy()) else "linear",
        s=_size(len(points)),
        edgecolor="white",
        linewidth=0.3,
    )
    bar = axes.figure.colorbar(drawn, ax=axes)
    if missing.any():
        bar.set_label(f"grey: no value ({missing.sum()})", fontsize=9)


def _classes(axes: Axes, points: pd.DataFrame, column: str) -> None:
    classes, of = classify(points[column])
    for i, (kind, marker) in enumerate(zip(classes, MARKERS, strict=False)):
        part = points[of == i]
        axes.scatter(
            *(part["_x"], part["_y"]),
            color=kind.color,
            marker=marker,
            s=_size(len(points)),
            edgecolor="white",
            linewidth=0.3,
            label=f"{kind.label} ({kind.count})",
        )
    axes.legend(
        frameon=False,
        fontsize=9,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.07),
        ncol=3,
        columnspacing=1,
        markerscale=1.4,
        handletextpad=0.2,
    )


def _size(n: int) -> float:
    return float(np.clip(8000 / n, 13, 26))
