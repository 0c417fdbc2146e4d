"""Kendall's τ with intervals: of encoders for one or several targets, and over the budget of training."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from archrep.plot.style import house_style

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
CEILING = "0.45"


def draw_scores(rows: pd.DataFrame, title: str, xlabel: str = "Kendall's τ") -> tuple[Figure, pd.DataFrame]:
    """One line per encoder with the 95 % interval of its τ; one panel per target.

    Args:
        rows: `encoder`, `tau`, `tau_low`, `tau_high`, `n`, and `target` where there are several; a finite `ceiling` is
            drawn as a dashed line.

    Returns:
        The figure, and the rows.
    """
    targets = list(dict.fromkeys(rows["target"])) if "target" in rows else [""]
    encoders = list(dict.fromkeys(rows["encoder"]))
    colors = sns.color_palette("colorblind", 10)
    columns = min(len(targets), 4)
    lines = -(-len(targets) // columns)
    with house_style():
        width = 2.4 + (3.1 if len(targets) > 1 else 4.6) * columns
        figure = Figure(figsize=(width, 0.9 + lines * (0.7 + 0.32 * len(encoders))), layout="constrained")
        panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for i, (axes, target) in enumerate(zip(panels, targets, strict=False)):
            part = (rows[rows["target"] == target] if target else rows).set_index("encoder")
            for y, encoder in enumerate(encoders):
                if encoder not in part.index:
                    continue
                score = part.loc[encoder]
                ends = [[max(score["tau"] - score["tau_low"], 0)], [max(score["tau_high"] - score["tau"], 0)]]
                style = {"color": colors[y % 10], "fmt": MARKERS[y % 10], "ms": 6, "capsize": 3, "lw": 1.6}
                style |= {"markeredgecolor": "0.2", "markeredgewidth": 0.6}
                axes.errorbar([score["tau"]], [y], xerr=ends, **style)
            ceiling = part["ceiling"].max() if "ceiling" in part else float("nan")
            if np.isfinite(ceiling):
                axes.axvline(ceiling, color=CEILING, ls="--", lw=1.2)
                axes.text(ceiling, -0.45, "noise ceiling ", fontsize=7.5, color="0.3", ha="right", va="center")
            axes.axvline(0, color="0.2", lw=0.8)
            axes.set_yticks(range(len(encoders)), encoders, fontsize=9)
            axes.set_ylim(len(encoders) - 0.5, -0.7)
            axes.tick_params(axis="x", labelsize=9, labelbottom=i + columns >= len(targets))
            if target:
                axes.set_title(f"{target.replace('_', ' ')} · n = {part['n'].max():,}", fontsize=10)
        for empty in panels[len(targets) :]:
            empty.axis("off")
        figure.supxlabel(f"{xlabel}, 95 % interval", fontsize=10)
        figure.suptitle(title, fontsize=11)
    return figure, rows


def draw_early(rows: Mapping[str, pd.DataFrame], title: str) -> tuple[Figure, pd.DataFrame]:
    """τ of the training accuracy so far with labels of the end, over the budget, with 95 % intervals.

    Args:
        rows: target → as `archrep.probe.correlate.correlate` gives them, `encoder` being the fraction of the budget.

    Returns:
        The figure, and all rows with a column `target`.
    """
    table = pd.concat([part.assign(target=target) for target, part in rows.items()], ignore_index=True)
    with house_style():
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.subplots()
        for (target, part), color, marker in zip(
            rows.items(), sns.color_palette("colorblind", len(rows)), MARKERS, strict=False
        ):
            budget = 100 * part["encoder"].astype(float)
            axes.plot(budget, part["tau"], color=color, marker=marker, ms=5, label=target)
            axes.fill_between(budget, part["tau_low"], part["tau_high"], color=color, alpha=0.18, lw=0)
        axes.axhline(0, color="0.2", lw=0.8)
        axes.set(xlabel="budget used (%)", ylabel="Kendall's τ of the training accuracy there", xlim=(0, 102))
        axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
        axes.set_title(title, fontsize=10.5)
    return figure, table
