"""Predicted parameters: accuracy beside published ones, statistics beside trained ones, and fine-tuning from them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from archrep.plot.style import house_style

MARKERS = {"weight": "o", "scale": "^", "bias": "s"}
INITS = {"ghn": "predicted parameters", "random": "random initialisation"}


def draw_published(rows: pd.DataFrame, title: str, published: str) -> tuple[Figure, pd.DataFrame]:
    """Mean accuracy of every GHN on every split with its interval, beside the paper's.

    Args:
        rows: `split`, `ghn`, `n`, `mean`, `low`, `high`, `published`, in %. published: what to call the paper's.

    Returns:
        The figure, and the rows.
    """
    splits, ghns = list(dict.fromkeys(rows["split"])), list(dict.fromkeys(rows["ghn"]))
    colors = dict(zip(ghns, sns.color_palette("colorblind", len(ghns)), strict=True))
    with house_style():
        figure = Figure(figsize=(10.5, 4.6), layout="constrained")
        axes = figure.subplots()
        for j, ghn in enumerate(ghns):
            part = rows[rows["ghn"] == ghn]
            x = np.array([splits.index(s) for s in part["split"]]) + (j - (len(ghns) - 1) / 2) * 0.27
            spread = [part["mean"] - part["low"], part["high"] - part["mean"]]
            counts = "/".join(dict.fromkeys(str(n) for n in part["n"]))
            label = f"{ghn}, this project (n = {counts})"
            axes.bar(x, part["mean"], 0.24, color=colors[ghn], label=label)
            axes.errorbar(x, part["mean"], yerr=spread, fmt="none", ecolor="black", lw=1.2, capsize=3)
            axes.plot(x, part["published"], "D", color=colors[ghn], mec="black", ms=7, label=f"{ghn}, {published}")
        axes.axhline(10, color="0.3", ls="--", lw=1)
        axes.text(len(splits) - 0.5, 10, " chance", fontsize=9, va="center", ha="left", color="0.3")
        axes.set_xticks(range(len(splits)), splits)
        axes.set(ylabel="top-1 accuracy (%)", xlim=(-0.55, len(splits) - 0.45))
        axes.grid(axis="x", visible=False)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.07, 0.5))
        axes.set_title(title, fontsize=11)
    return figure, rows


def draw_weights(table: pd.DataFrame, title: str, sets: Sequence[str] = ("predicted", "random")) -> tuple:
    """Standard deviation of every parameter in two sets against that after training.

    Args:
        table: as `archrep.train.weight_statistics` gives it, with the set `trained`.
        sets: names of the two sets.

    Returns:
        The figure, and the table.
    """
    columns = [f"{name}_sd" for name in (*sets, "trained")]
    values = table[columns].to_numpy(dtype=float)
    positive = values[np.isfinite(values) & (values > 0)]
    ends = (positive.min() / 1.5, positive.max() * 1.5)
    colors = dict(zip(MARKERS, sns.color_palette("colorblind", len(MARKERS)), strict=True))
    with house_style():
        figure = Figure(figsize=(10.5, 4.8), layout="constrained")
        for axes, name in zip(figure.subplots(1, 2, sharey=True), sets, strict=True):
            for kind, marker in MARKERS.items():
                part = table[(table["kind"] == kind) & (table[[f"{name}_sd", "trained_sd"]] > 0).all(axis=1)]
                style = {"s": 20, "color": colors[kind], "marker": marker, "linewidth": 0.3, "edgecolor": "white"}
                label = f"{kind} ({len(part)} of {(table['kind'] == kind).sum()})"
                axes.scatter(part[f"{name}_sd"], part["trained_sd"], label=label, **style)
            axes.plot(ends, ends, color="0.4", ls="--", lw=1, label="the same")
            axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
            axes.set_xlabel(f"standard deviation of {name} parameters")
            axes.legend(frameon=False, fontsize=8.5, loc="upper left", title="constant tensors not shown")
            axes.get_legend().get_title().set_fontsize(8)
        figure.axes[0].set_ylabel("standard deviation after training")
        figure.suptitle(title, fontsize=11)
    return figure, table


def draw_finetuning(rows: pd.DataFrame, title: str) -> tuple[Figure, pd.DataFrame]:
    """Test accuracy after so many epochs of training, from predicted and from random parameters, and the difference.

    Args:
        rows: `epochs` and the columns of `archrep.train.finetune.summarize_inits`.

    Returns:
        The figure, and the rows.
    """
    colors = dict(zip(INITS, sns.color_palette("colorblind", 2), strict=True))
    with house_style():
        figure = Figure(figsize=(10.5, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (init, name), marker in zip(INITS.items(), "os", strict=True):
            part = rows[rows["init"] == init]
            spread = [part["mean"] - part["ci_low"], part["ci_high"] - part["mean"]]
            style = {"color": colors[init], "marker": marker, "capsize": 3, "label": name}
            left.errorbar(part["epochs"], part["mean"], yerr=spread, **style)
        paired = rows[rows["init"] == "ghn - random"]
        spread = [paired["mean"] - paired["ci_low"], paired["ci_high"] - paired["mean"]]
        right.errorbar(paired["epochs"], paired["mean"], yerr=spread, color="0.2", marker="D", capsize=3)
        right.axhline(0, color="0.4", ls="--", lw=1)
        left.set(ylabel="test accuracy (%)")
        right.set(ylabel="predicted minus random (points)")
        left.legend(frameon=False, fontsize=9)
        for axes in (left, right):
            ticks = sorted(set(rows["epochs"]))
            axes.set(xscale="log", xlabel="epochs of training", xticks=ticks)
            axes.set_xticks(ticks, [str(t) for t in ticks])
            axes.minorticks_off()
        figure.suptitle(title, fontsize=11)
    return figure, rows
