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
    "params": "parameters at C = 32 (mean only)",
    "path_length": "mean path length",
}
OURS, PALE, PUBLISHED = "#0173b2", "#a6c9df", "#de8f05"


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
        figure.suptitle(
            f"{space}: mean ± standard deviation and histogram (each to its own height) of every split", fontsize=12
        )
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
            axes.stairs(y - 0.62 * counts / counts.max(), edges, baseline=y, fill=True, color=PALE)
        spread = None if logarithmic else d["sd"]
        axes.errorbar(d["mean"], y + 0.1, xerr=spread, fmt="o", color=OURS, ms=4, capsize=2, lw=1.2)
        if name == "nodes" and row["published_nodes"]:
            mean, sd = row["published_nodes"]
            axes.errorbar(mean, y + 0.24, xerr=sd, fmt="D", color=PUBLISHED, ms=4, capsize=2, lw=1.2)
    if name == "nodes" and any(row["published_nodes"] for row in rows):
        axes.errorbar([], [], xerr=[], fmt="o", color=OURS, ms=4, label="archrep")
        axes.errorbar([], [], xerr=[], fmt="D", color=PUBLISHED, ms=4, label="published")
        axes.legend(fontsize=8, loc="lower right", framealpha=0.9)
    if logarithmic:
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=0)
    axes.set_yticks(range(len(rows)), labels if name == "nodes" else [""] * len(rows), fontsize=9)
    axes.set_ylim(len(rows) - 0.55, -0.75)
    axes.grid(axis="y", visible=False)
    axes.set_axisbelow(True)


def _draw_operations(axes: Axes, row: dict[str, Any], cell: str) -> None:
    """Shares as bars; the reference's as points, or as ranges where only those are known."""
    ops = row["ops"][cell]
    axes.barh(list(ops), list(ops.values()), color=PALE, height=0.7, label="archrep")
    axes.invert_yaxis()
    reference = (row["reference_ops"] or {}).get(cell, {})
    for y, (op, share) in enumerate(ops.items()):
        low, high = reference.get(op, (share, share))
        axes.text(max(share, high), y, f"    {share:.3f}", va="center", fontsize=8, color=OURS)
        if reference:
            label = "reference" if y == 0 else None
            axes.plot([low, high], [y, y], "|-" if low < high else "D", color=PUBLISHED, ms=5, label=label)
    if reference and cell == "reduce":  # where there is room
        axes.legend(fontsize=8, loc="lower right", framealpha=0.9)
    axes.margins(x=0.1)
    name = {"normal": "normal", "reduce": "reduction"}[cell]
    axes.set_title(f"operations of the {name} cells · {row['split']} · n = {_count(row['architectures'])}", fontsize=11)
    axes.set_xlabel("share of edges")
    axes.tick_params(axis="y", labelsize=9)
    axes.grid(axis="y", visible=False)
    axes.set_axisbelow(True)


def _count(n: int) -> str:
    return f"{n:,}"
