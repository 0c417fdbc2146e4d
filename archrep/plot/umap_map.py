"""Maps: 2-D UMAP projections of embeddings, coloured by a column."""

import warnings

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from archrep.errors import ArchrepError, unknown
from archrep.plot.style import house_style

MAX_CATEGORIES = 10


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
    """Scatter of columns `x`, `y` coloured by column `color`: numbers by magnitude, anything else by category.

    Raises:
        ArchrepError: if there is no such column, or it has more categories than colours can tell apart.
    """
    if color not in points:
        raise unknown("column", color, points.columns.drop(["x", "y"]))
    numeric = pd.api.types.is_numeric_dtype(points[color]) and not pd.api.types.is_bool_dtype(points[color])
    with house_style():
        figure = Figure(figsize=(6.4, 5.2))
        axes = figure.subplots()
        if numeric:
            missing = points[color].isna()
            axes.scatter(points.loc[missing, "x"], points.loc[missing, "y"], color="0.8", s=16, label="no value")
            shown = points[~missing]
            drawn = axes.scatter(
                shown["x"], shown["y"], c=shown[color], cmap="viridis", s=24, edgecolor="white", linewidth=0.3
            )
            label = f"{color.replace('_', ' ')} ({unit})" if unit else color.replace("_", " ")
            figure.colorbar(drawn, ax=axes, label=label)
        else:
            _by_category(axes, points, color)
        axes.set(xlabel="UMAP 1", ylabel="UMAP 2", xticks=[], yticks=[])
        axes.set_title(title, fontsize=10)
        return figure


def _by_category(axes, points: pd.DataFrame, color: str) -> None:
    categories = sorted(points[color].astype(str).unique())
    if len(categories) > MAX_CATEGORIES:
        raise ArchrepError(
            f"Column {color!r} has {len(categories)} categories; colours can tell {MAX_CATEGORIES} apart."
        )
    for category, shade in zip(categories, sns.color_palette("colorblind", len(categories)), strict=True):
        part = points[points[color].astype(str) == category]
        axes.scatter(
            part["x"], part["y"], color=shade, s=24, label=f"{category} ({len(part)})", edgecolor="white", linewidth=0.3
        )
    axes.legend(title=color, frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
