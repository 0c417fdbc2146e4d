"""Maps: 2-D UMAP projections of embeddings, coloured by a column."""

import textwrap
import warnings
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from archrep.errors import ArchrepError, unknown
from archrep.plot.shades import GREY, classify, is_numeric, spans_magnitudes
from archrep.plot.style import house_style

MANY = 5_000  # points that an SVG draws one by one
LINE = 90  # characters of a title


def project(values: np.ndarray, seed: int = 0, neighbors: int = 15) -> np.ndarray:
    """UMAP projection (n, 2) of embeddings (n, d); deterministic for a seed.

    Raises:
        ArchrepError: for fewer than 5 rows.
    """
    if len(values) < 5:
        raise ArchrepError(f"A map needs at least 5 architectures; got {len(values)}.")
    standardized = (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about optional packages, and that a seed means one thread
        from umap import UMAP  # compiles for seconds at first use

        model = UMAP(n_neighbors=min(neighbors, len(values) - 1), random_state=seed, n_jobs=1, init="pca")
        return np.asarray(model.fit_transform(standardized))


def draw_map(points: pd.DataFrame, color: str, unit: str = "", title: str = "") -> Figure:
    """Scatter of columns `x`, `y` coloured by column `color`: numbers by magnitude, anything else by class.

    Of more than ten classes, the most frequent ones have colours. Many points are pixels in the SVG, too.

    Raises:
        ArchrepError: if there is no such column.
    """
    if color not in points:
        raise unknown("column", color, points.columns.drop(["x", "y"]))
    look: dict[str, Any] = {
        "s": float(np.clip(30_000 / len(points), 3, 24)),
        "edgecolor": "white",
        "rasterized": len(points) > MANY,
    }
    look["linewidth"] = look["s"] / 80
    with house_style():
        figure = Figure(figsize=(6.4, 5.2))
        axes = figure.subplots()
        draw = _by_magnitude if is_numeric(points[color]) else _by_class
        draw(axes, points, color, unit, look)
        axes.set(xlabel="UMAP 1", ylabel="UMAP 2", xticks=[], yticks=[])
        axes.set_title("\n".join(textwrap.wrap(title, LINE)), fontsize=10, parse_math=False)
        return figure


def _by_magnitude(axes: Axes, points: pd.DataFrame, color: str, unit: str, look: dict) -> None:
    numbers = points[color].to_numpy(np.float64, na_value=np.nan)
    missing = ~np.isfinite(numbers)
    x, y = points["x"].to_numpy(), points["y"].to_numpy()
    axes.scatter(x[missing], y[missing], color=GREY, **look)
    norm = "log" if spans_magnitudes(numbers) else "linear"
    drawn = axes.scatter(x[~missing], y[~missing], c=numbers[~missing], cmap="viridis", norm=norm, **look)
    label = f"{color.replace('_', ' ')} ({unit})" if unit else color.replace("_", " ")
    if missing.any():
        label += f"; grey: no value ({missing.sum():,})"
    axes.figure.colorbar(drawn, ax=axes).set_label(label, parse_math=False)


def _by_class(axes: Axes, points: pd.DataFrame, color: str, unit: str, look: dict) -> None:
    classes, places = classify(points[color])
    for i, kind in reversed(list(enumerate(classes))):  # grey ones below the others
        part = points[places == i]
        axes.scatter(part["x"], part["y"], color=kind.color, label=f"{kind.label} ({kind.count:,})", **look)
    handles, names = axes.get_legend_handles_labels()
    legend = axes.legend(
        *(handles[::-1], names[::-1]),
        title=color,
        markerscale=(24 / look["s"]) ** 0.5,
        frameon=False,
        fontsize=9,
        loc="center left",
        bbox_to_anchor=(1, 0.5),
    )
    for text in (*legend.get_texts(), legend.get_title()):
        text.set_parse_math(False)  # a name may hold dollars
