"""The figure of a label card: how targets go together."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from archrep.plot.style import house_style
from archrep.probe.label_card import LabelCard


def draw_correlations(card: LabelCard) -> tuple[Figure, pd.DataFrame]:
    """Kendall's τ of every target with every other, over architectures.

    Returns:
        The figure and the plotted numbers: target, other, tau.
    """
    tau = card.tau
    names = [name.replace("_", " ") for name in tau]
    size = 0.75 * len(names) + 2
    spaces = " + ".join(card.runs["space"].unique())
    splits = " + ".join(filter(None, card.runs["split"].unique()))
    with house_style():
        figure = Figure(figsize=(size + 1, size))
        axes = figure.subplots()
        sns.heatmap(
            tau.set_axis(names).set_axis(names, axis=1),
            ax=axes,
            cmap="vlag",
            center=0,
            vmin=-1,
            vmax=1,
            annot=True,
            fmt=".2f",
            annot_kws={"fontsize": 9},
            square=True,
            linewidths=0.5,
            cbar_kws={"label": "Kendall's τ", "shrink": 0.8},
        )
        axes.set_title(f"Correlations between targets\n{spaces} {splits} · n = {card.architectures:,}", fontsize=10)
    points = tau.rename_axis("target").reset_index().melt("target", var_name="other", value_name="tau")
    return figure, points
