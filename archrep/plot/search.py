"""Figures of search and ranking: regret over queries, and the Pareto front of a ranking."""

import math
from itertools import cycle

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from archrep.data.targets import Target
from archrep.plot.style import house_style

DASHES: tuple = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))  # tell lines apart in print
CLOUD = 20_000  # at most so many architectures are drawn beside a front


def draw_regret(summary: pd.DataFrame, unit: str, title: str) -> tuple[Figure, pd.DataFrame]:
    """Mean regret over queries with its 95 % interval, by the selection and by the reported label.

    Args:
        summary: as `archrep.search.regret.summarize` gives it. unit: of the target.

    Returns:
        The figure, and the summary, which is what is plotted.
    """
    strategies = list(dict.fromkeys(summary["strategy"]))
    palette = dict(zip(strategies, sns.color_palette("colorblind", len(strategies)), strict=True))
    panels = [("regret_valid", "selected by"), ("regret_test", "reported")]
    with house_style():
        figure = Figure(figsize=(12.5, 4.4), layout="constrained")
        for axes, (name, meaning) in zip(figure.subplots(1, 2), panels, strict=True):
            for strategy, dash in zip(strategies, cycle(DASHES), strict=False):
                line = summary[summary["strategy"] == strategy]
                axes.plot(line["query"], line[name], color=palette[strategy], ls=dash, lw=1.8, label=strategy)
                axes.fill_between(
                    line["query"], line[f"{name}_low"], line[f"{name}_high"], color=palette[strategy], alpha=0.2, lw=0
                )
            if (summary[name] > 0).any():
                # A power of ten, so that no tick lies between it and 0, where it would stand on the other's label.
                lowest = 10.0 ** math.floor(math.log10(float(summary[name].max()) / 100))
                axes.set_yscale("symlog", linthresh=max(1e-3, lowest))
            axes.set_ylim(bottom=0)
            axes.set(xlabel="queries (architectures trained)", ylabel=f"regret{f' ({unit})' if unit else ''}")
            axes.set_title(f"regret of the label {meaning}", fontsize=10)
        axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
        figure.suptitle(title, fontsize=11)
    return figure, summary


def draw_front(
    cloud: pd.DataFrame, front: pd.DataFrame, targets: tuple[Target, Target], title: str
) -> tuple[Figure, pd.DataFrame]:
    """Predictions of two targets, with the architectures that no other is predicted to dominate.

    Args:
        cloud, front: rows with a column per target, and in `front` NAME_low and NAME_high.

    Returns:
        The figure and the front, best first; the cloud is in the ranking.
    """
    shown = cloud if len(cloud) <= CLOUD else cloud.sample(CLOUD, random_state=0)
    second, first = targets[1].name, targets[0].name
    with house_style():
        figure = Figure(figsize=(6.2, 4.8))
        axes = figure.subplots()
        axes.scatter(shown[second], shown[first], s=8, color="0.75", linewidth=0, rasterized=True, label="predicted")
        line = front.sort_values(second)
        axes.plot(line[second], line[first], color="#0173b2", marker="o", ms=4, lw=1, label=f"front ({len(front)})")
        axes.set(xlabel=_axis(targets[1], front), ylabel=_axis(targets[0], front))
        positive = cloud[second] > 0
        if positive.all() and cloud[second].max() > 30 * cloud[second].min():
            axes.set_xscale("log")
        elif cloud[second].max() >= 10_000:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 800k
        axes.set_title(title, fontsize=10)
        axes.legend(frameon=False, fontsize=9)
    return figure, front


def _axis(target: Target, front: pd.DataFrame) -> str:
    certain = (front[f"{target.name}_low"] == front[f"{target.name}_high"]).all()
    how, better = "counted" if certain else "predicted", "more" if target.higher_is_better else "less"
    unit = f" ({target.unit})" if target.unit else ""
    return f"{how} {target.name.replace('_', ' ')}{unit}, {better} is better"
