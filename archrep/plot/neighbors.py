"""Where one architecture stands among measured ones: how far away, and how good those are."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist

from archrep.data.embeddings import Embeddings
from archrep.plot.style import house_style


def draw_neighbors(
    embeddings: Embeddings, values: pd.Series, query: np.ndarray, name: str, title: str
) -> tuple[Figure, pd.DataFrame]:
    """Distance of every architecture from one, against what was measured of it.

    The dashed line tells whether one is among its like: the median distance of an architecture of the table from its
    nearest neighbour there.

    Args:
        values: measured, by architecture. query: (d,) embedding of the one. name: of the values, with their unit.

    Returns:
        The figure, and the plotted numbers: arch, distance, value.
    """
    distance = cdist(query[None].astype(float), embeddings.values.astype(float))[0]
    points = pd.DataFrame({"arch": embeddings.table.index, "distance": distance})
    points = points.assign(value=values.reindex(points["arch"]).to_numpy()).sort_values(["distance", "arch"])
    apart = cdist(embeddings.values.astype(float), embeddings.values.astype(float))
    np.fill_diagonal(apart, np.inf)
    usual = float(np.median(apart.min(axis=1)))
    with house_style():
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.subplots()
        axes.scatter(points["distance"], points["value"], s=22, color="#0173b2", edgecolor="white", linewidth=0.4)
        axes.axvline(usual, color="#de8f05", ls="--", lw=1.5, label="usual distance of nearest neighbours in the table")
        axes.set(xlabel="Euclidean distance from your network's embedding", ylabel=f"measured {name}", xlim=(0, None))
        axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.16))
        axes.set_title(f"{title} · n = {points['value'].notna().sum()}", fontsize=10.5)
    return figure, points.reset_index(drop=True)
