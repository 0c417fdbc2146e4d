"""Statistics of DeepNets splits, beside the published ones (paper § 3)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from archrep.plot.style import house_style

PANELS = {
    "nodes": "nodes per graph",
    "edges": "edges per graph",
    "params": "parameters at C = 32",
    "path_length": "mean path length",
}
OURS, PUBLISHED = "#0173b2", "#de8f05"


def draw_statistics(rows: Sequence[dict[str, Any]]) -> tuple[Figure, pd.DataFrame]:
    """Sizes of several splits, and the operations of the first one.

    Args:
        rows: one per split, as `archrep.space.deepnets.statistics` gives them.

    Returns:
        The figure, and the plotted numbers: split, quantity, statistic, value.
    """
    labels = [f"{row['split']}\nn = {_count(row['architectures'])}" for row in rows]
    with house_style():
        figure = Figure(figsize=(13, 1.6 + 0.55 * len(rows) + 4.2), layout="constrained")
        grid = figure.add_gridspec(2, height_ratios=(1.2 + 0.55 * len(rows), 4.2))
        above, below = (figure.add_subfigure(grid[i]) for i in range(2))
        for axes, (name, title) in zip(above.subplots(1, len(PANELS)), PANELS.items(), strict=True):
            _draw_sizes(axes, rows, name, labels)
            axes.set_title(title, fontsize=11)
        for axes, cell in zip(below.subplots(1, 2), ("normal", "reduce"), strict=True):
            _draw_operations(axes, rows[0], cell)
        space = rows[0]["space"]
        figure.suptitle(f"{space}: mean ± standard deviation, and the histogram of every split", fontsize=12)
    return figure, points(rows)


def points(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The plotted numbers, one per line."""
    lines = []
    for row in rows:
        for name in PANELS:
            lines += [
                (row["split"], name, statistic, row[name][statistic]) for statistic in ("mean", "sd", "min", "max")
            ]
            histogram = row[name]["histogram"]
            lines += [
                (row["split"], name, f"count from {low:.6g}", count)
                for low, count in zip(histogram["edges"], histogram["counts"], strict=False)
            ]
        for cell, ranges in (row["reference_ops"] or {}).items():
            lines += [(row["split"], f"{cell} cell", f"reference {op}", f"{a} … {b}") for op, (a, b) in ranges.items()]
        if row["published_nodes"]:
            mean, sd = row["published_nodes"]
            lines += [(row["split"], "nodes", "published mean", mean), (row["split"], "nodes", "published sd", sd)]
        for cell, frequencies in row["ops"].items():
            lines += [(row["split"], f"{cell} cell", op, share) for op, share in frequencies.items()]
        lines += [(row["split"], "share", name, share) for name, share in row["shares"].items()]
        lines.append((row["split"], "duplicates", "count", row["duplicates"]))
    return pd.DataFrame(lines, columns=["split", "quantity", "statistic", "value"])


def _draw_sizes(axes: Axes, rows: Sequence[dict[str, Any]], name: str, labels: list[str]) -> None:
    """One line per split: its histogram as a ridge, mean ± sd over it, and the published one below."""
    logarithmic = name == "params"
    for y, row in enumerate(rows):
        histogram, d = row[name]["histogram"], row[name]
        counts, edges = np.array(histogram["counts"]), np.array(histogram["edges"])
        if len(counts) > 1:
            axes.stairs(y - 0.62 * counts / counts.max(), edges, baseline=y, fill=True, color=OURS, alpha=0.3)
        spread = None if logarithmic else d["sd"]
        axes.errorbar(d["mean"], y + 0.1, xerr=spread, fmt="o", color=OURS, ms=4, capsize=2, lw=1.2)
        if name == "nodes" and row["published_nodes"]:
            mean, sd = row["published_nodes"]
            axes.errorbar(mean, y + 0.24, xerr=sd, fmt="D", color=PUBLISHED, ms=4, capsize=2, lw=1.2)
    if name == "nodes" and any(row["published_nodes"] for row in rows):
        _legend(axes, "published")
    if logarithmic:
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=0)
    axes.set_yticks(range(len(rows)), labels if name == "nodes" else [""] * len(rows), fontsize=9)
    axes.set_ylim(len(rows) - 0.55, -0.75)
    axes.grid(axis="y", visible=False)


def _draw_operations(axes: Axes, row: dict[str, Any], cell: str) -> None:
    ops = row["ops"][cell]
    axes.barh(list(ops), list(ops.values()), color=OURS, alpha=0.6, height=0.7)
    axes.invert_yaxis()
    reference = (row["reference_ops"] or {}).get(cell, {})
    for y, (op, share) in enumerate(ops.items()):
        low, high = reference.get(op, (share, share))
        axes.text(max(share, high), y, f"  {share:.3f}", va="center", fontsize=8)
    if reference:
        low, high = np.array([reference[op] for op in ops]).T
        axes.errorbar((low + high) / 2, list(ops), xerr=(high - low) / 2, fmt="D", color=PUBLISHED, ms=4, capsize=2)
        if cell == "reduce":  # where there is room
            _legend(axes, "reference")
    axes.margins(x=0.1)
    name = {"normal": "normal", "reduce": "reduction"}[cell]
    axes.set_title(f"operations of the {name} cells · {row['split']} · n = {_count(row['architectures'])}", fontsize=11)
    axes.set_xlabel("share of edges")
    axes.tick_params(axis="y", labelsize=9)
    axes.grid(axis="y", visible=False)


def _legend(axes: Axes, other: str) -> None:
    axes.errorbar([], [], xerr=[], fmt="o", color=OURS, ms=4, label="archrep")
    axes.errorbar([], [], xerr=[], fmt="D", color=PUBLISHED, ms=4, label=other)
    axes.legend(fontsize=8, loc="lower right", framealpha=0.9)


def _count(n: int) -> str:
    return f"{n:,}"
