"""A computational graph drawn so that a person can follow it.

Primitives are coloured and named, edges that skip levels are told from the others; see graph_layout.py for the places.
"""

import math
from collections import Counter

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch
from matplotlib.path import Path

from archrep.graph.archgraph import ArchGraph
from archrep.plot.graph_layout import BOX_HEIGHT, Layout, lay_out
from archrep.plot.style import house_style

# One colour per primitive, one hue per kind; every box also names its primitive, so no reading rests on colour alone.
COLORS: dict[str, str] = {
    "conv": "#0173b2",  # convolutions and other products with a weight: blue
    "sep_conv": "#56b4e9",
    "group_conv": "#86cdf5",
    "dil_conv": "#12365c",
    "dense_dil_conv": "#1d5591",
    "transposed_conv": "#3e8ec4",
    "linear": "#2f62c9",
    "embedding": "#93acef",
    "rnn": "#24408f",
    "max_pool": "#de8f05",  # pooling: orange
    "avg_pool": "#f7c873",
    "glob_avg": "#b3470b",
    "bn": "#a5dcc4",  # norms: green
    "group_norm": "#76c9a6",
    "instance_norm": "#c9ecdd",
    "ln": "#029e73",
    "rms_norm": "#01704f",
    "scale": "#5e9c3a",
    "msa": "#cc78bc",  # attention and gates: purple
    "cse": "#6a2c86",
    "gate": "#9a62b5",
    "sum": "#3d3d3d",  # joins: dark
    "concat": "#000000",
    "bias": "#d5d5d5",  # the rest: grey, yellow, white
    "pos_enc": "#ece133",
    "parameter": "#f5efa0",
    "input": "#ffffff",
}
CHAIN, SKIP = "#4a4a4a", "#d55e00"

FONT_SIZE = 6.0
CORNER, MARGIN, HEADER, LEGEND_ROW, LEGEND_COLUMN = 0.035, 0.25, 0.55, 0.2, 1.35  # inches


def draw_graph(graph: ArchGraph, title: str, subtitle: str = "") -> Figure:
    """Figure of a graph, as large as it needs to be: about 10 × 8 inches for 120 nodes, 29 × 19 for 550."""
    layout = lay_out(graph)
    counts = Counter(graph.primitives)
    width, body = max(layout.size[0], 7.0) + 2 * MARGIN, layout.size[1] + 2 * MARGIN
    columns = int(width / LEGEND_COLUMN)
    legend = LEGEND_ROW * (1 + math.ceil((len(counts) + 2) / columns))
    height = HEADER + body + legend
    with house_style():
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, legend / height, 1, body / height))
        axes.set(xlim=(-MARGIN, width - MARGIN), ylim=(body - MARGIN, -MARGIN))
        axes.axis("off")
        _draw_wires(axes, layout)
        _draw_nodes(axes, graph, layout)
        left = MARGIN / width
        figure.text(left, 1 - 0.2 / height, title, fontsize=11, weight="bold", va="top", parse_math=False)
        figure.text(left, 1 - 0.42 / height, subtitle, fontsize=8.5, va="top")
        handles: list = [
            Patch(facecolor=color, edgecolor="black", linewidth=0.5, label=f"{name} ({counts[name]})")
            for name, color in COLORS.items()
            if counts[name]
        ]
        for color, label in ((CHAIN, "to the next level"), (SKIP, "skips levels")):
            handles += axes.plot([], [], color=color, linewidth=1.2, label=label)
        place = {"loc": "lower left", "bbox_to_anchor": (left, LEGEND_ROW / 2 / height), "borderpad": 0}
        figure.legend(handles=handles, ncol=columns, fontsize=7.5, frameon=False, borderaxespad=0, **place)
        return figure


def _draw_nodes(axes: Axes, graph: ArchGraph, layout: Layout) -> None:
    for (x, y), width, primitive, label in zip(
        layout.center, layout.width, graph.primitives, layout.labels, strict=True
    ):
        color = COLORS[primitive]
        corner = (x - width / 2, y - BOX_HEIGHT / 2)
        box = FancyBboxPatch(corner, width, BOX_HEIGHT, boxstyle="round,pad=0,rounding_size=0.03")
        box.set(facecolor=color, edgecolor="black", linewidth=1.0 if primitive == "input" else 0.4, zorder=3)
        axes.add_patch(box)
        text = "white" if _is_dark(color) else "black"
        axes.text(x, y, label, fontsize=FONT_SIZE, color=text, ha="center", va="center_baseline", zorder=4)
    for column in range(layout.column.max() + 1):
        here = layout.column == column
        left = (layout.center[here, 0] - layout.width[here] / 2).min()
        label = f"level {layout.level[here].min()}"
        axes.text(left, layout.top, label, fontsize=FONT_SIZE, color="0.45", va="bottom")


def _is_dark(color: str) -> bool:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 140


def _draw_wires(axes: Axes, layout: Layout) -> None:
    for skips, color in ((False, CHAIN), (True, SKIP)):
        chosen = [_rounded(wire) for wire, skip in zip(layout.wires, layout.skips, strict=True) if skip == skips]
        axes.add_collection(PathCollection(chosen, facecolor="none", edgecolor=color, linewidth=0.9, zorder=2 - skips))
    ends = np.array([wire[-1] for wire in layout.wires]).reshape(-1, 2)
    axes.scatter(ends[:, 0], ends[:, 1] - 0.018, marker="v", s=7, color=CHAIN, linewidth=0, zorder=3)


def _rounded(corners: np.ndarray) -> Path:
    """Line through corners, each of them rounded."""
    points, codes = [corners[0]], [Path.MOVETO]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        for point in (before, after):
            length = float(np.linalg.norm(point - corner))
            points.append(corner + (point - corner) * min(CORNER / max(length, 1e-9), 0.5))
            if point is before:
                points.append(corner)
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*points, corners[-1]], [*codes, Path.LINETO])
