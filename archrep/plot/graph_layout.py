"""Where the nodes and edges of a drawn computational graph lie.

Levels (longest-path depth) go down; a long graph is folded into columns. What skips levels or goes on in a later
column is routed like a wire on a circuit board: down from its node, along a track of its own beside the column, and
into its target from above. Rounded corners are turns, straight crossings are no connections.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archrep.graph.archgraph import ArchGraph

CONVOLUTIONS = ("conv", "sep_conv", "dil_conv", "group_conv", "dense_dil_conv", "transposed_conv")

# Inches.
CHARACTER, BOX_HEIGHT = 0.052, 0.135  # one character of a label in 6 pt
GAP, SLOT, TRACK, LANE_SPACE, GUTTER = 0.075, 0.04, 0.06, 0.12, 0.2
LEVEL_HEIGHT = 0.14
ASPECT = 1.35  # width by height, at least, where the graph is long enough
SHORTEST = 12  # levels that a column has at least
UNEVEN = 40.0  # what a column of no length costs, in lines that go on in the next column


def node_levels(graph: ArchGraph) -> np.ndarray:
    """(N,) int64: longest-path depth of every node.

    A node without inputs other than the first, such as a position encoding, stands right before its first reader.
    """
    level = graph.levels
    source, target = graph.edge_index.numpy()
    for node in set(range(1, len(level))) - set(target.tolist()):
        level[node] = level[target[source == node]].min(initial=level.max() + 1) - 1
    return level


@dataclass(frozen=True)
class Layout:
    """Where everything lies, in inches from the upper left corner.

    Attributes:
        center: (N, 2) middle of every node's box. width: (N,) widths of the boxes. labels: what is written in them.
        wires: corners of every edge's line, (k, 2), in the order of `edge_index`.
        skips: (E,) bool, whether an edge skips levels.
        column: (N,) column of every node. level: (N,) level of every node.
        top: where the columns begin, below the lines that pass above them. size: width and height of all.
    """

    center: np.ndarray
    width: np.ndarray
    labels: list[str]
    wires: list[np.ndarray]
    skips: np.ndarray
    column: np.ndarray
    level: np.ndarray
    top: float
    size: tuple[float, float]


def lay_out(graph: ArchGraph) -> Layout:
    """The layout with the fewest columns that is `ASPECT` times as wide as high; the last one if none is."""
    level = node_levels(graph)
    depth = int(level.max()) + 1
    for columns in range(1, max(depth // SHORTEST, 1) + 1):
        layout = _Router(graph, level, columns).layout()
        if layout.size[0] >= ASPECT * layout.size[1]:
            break
    return layout


class _Router:
    """Places nodes in columns, rows and lanes, then finds every edge its way; all coordinates in inches."""

    def __init__(self, graph: ArchGraph, level: np.ndarray, columns: int) -> None:
        self.level, self.edges = level, graph.edge_index.t().tolist()
        self.labels = [_label(p, s) for p, s in zip(graph.primitives, graph.shape.tolist(), strict=True)]
        first = _fold(level, self.edges, columns)  # first level of every column
        self.column = np.searchsorted(first, level, side="right") - 1
        self.row = level - first[self.column]
        self.lane = _lanes(level, self.column, self.edges)
        same_column = [self.column[u] == self.column[v] for u, v in self.edges]
        self.direct = [same and level[v] == level[u] + 1 for same, (u, v) in zip(same_column, self.edges, strict=True)]
        self.nets: dict[int, list[int]] = defaultdict(list)  # source -> targets that need a track
        for (u, v), direct in zip(self.edges, self.direct, strict=True):
            if not direct:
                self.nets[u].append(v)

    def layout(self) -> Layout:
        """Rows and slots between them, then tracks beside the columns, then everything's place."""
        self._place_rows()
        self._assign_tracks()
        self._place_columns()
        source, target = np.array(self.edges).T if self.edges else np.zeros((2, 0), int)
        return Layout(
            center=np.stack([self.x, self.y], axis=1),
            width=self.width,
            labels=self.labels,
            wires=[np.array(self._wire(u, v, d)) for (u, v), d in zip(self.edges, self.direct, strict=True)],
            skips=self.level[target] - self.level[source] > 1,
            column=self.column,
            level=self.level,
            top=self.start,
            size=(self.total_width, float(self.y.max()) + BOX_HEIGHT / 2 + GAP),
        )

    def _place_rows(self) -> None:
        """Height of every row; horizontal parts of lines get a slot of their own in the gap between two rows."""
        leaving, entering = defaultdict(set), defaultdict(set)  # (column, row below the gap) -> nodes
        for (u, v), direct in zip(self.edges, self.direct, strict=True):
            if not direct or self.lane[u] != self.lane[v]:
                leaving[self.column[u], self.row[u] + 1].add(u)
            if not direct:
                entering[self.column[v], self.row[v]].add(v)
        far = _intervals_to_tracks(
            {
                u: (self.column[u], max(self.column[v] for v in targets) - 1)
                for u, targets in self.nets.items()
                if max(self.column[v] for v in targets) > self.column[u] + 1
            }
        )
        self.top = {u: (track + 1) * TRACK for u, track in far.items()}
        self.start = (max(far.values(), default=-1) + 1) * TRACK + LEVEL_HEIGHT
        self.y = np.zeros(len(self.level))
        self.out_y: dict[int, float] = {}
        self.in_y: dict[int, float] = {}
        for column in range(self.column.max() + 1):
            y = self.start
            for row in range(self.row[self.column == column].max() + 2):
                y += GAP / 2
                for node in sorted(leaving[column, row], key=lambda u: -self.lane[u]):
                    y += SLOT
                    self.out_y[node] = y
                for node in sorted(entering[column, row], key=lambda v: self.lane[v]):
                    y += SLOT
                    self.in_y[node] = y
                y += GAP / 2 + BOX_HEIGHT / 2
                self.y[(self.column == column) & (self.row == row)] = y
                y += BOX_HEIGHT / 2

    def _assign_tracks(self) -> None:
        """Vertical parts: the gutter right of column g serves targets in g and, from the left, in g + 1."""
        spans: dict[int, dict[int, tuple[float, float]]] = defaultdict(dict)  # gutter -> source -> top, bottom
        for u, targets in self.nets.items():
            gutters: dict[int, list[float]] = defaultdict(list)
            for v in targets:
                gutters[self._gutter(u, v)].append(self.in_y[v])
            if u in self.top:
                for heights in gutters.values():
                    heights.append(self.top[u])
                gutters[self.column[u]].append(self.top[u])
            gutters[self.column[u]].append(self.out_y[u])
            for gutter, heights in gutters.items():
                spans[gutter][u] = (min(heights), max(heights))
        self.tracks = {gutter: _intervals_to_tracks(of_source) for gutter, of_source in spans.items()}

    def _gutter(self, u: int, v: int) -> int:
        return max(self.column[u], self.column[v] - 1)

    def _place_columns(self) -> None:
        """Lanes are as wide as their longest label, gutters as their tracks need."""
        characters = np.array([len(label) for label in self.labels])
        self.width = np.zeros(len(self.level))
        self.x = np.zeros(len(self.level))
        self.gutter_x = {}
        x = 0.0
        for column in range(self.column.max() + 1):
            for lane in range(self.lane[self.column == column].max() + 1):
                here = (self.column == column) & (self.lane == lane)
                width = characters[here].max(initial=4) * CHARACTER + 0.08
                self.width[here] = width
                self.x[here] = x + width / 2
                x += width + LANE_SPACE
            self.gutter_x[column] = x
            tracks = max(self.tracks.get(column, {}).values(), default=-1) + 1
            x += tracks * TRACK + GUTTER
        self.total_width = x - GUTTER

    def _wire(self, u: int, v: int, direct: bool) -> list[tuple[float, float]]:
        start = (self.x[u], self.y[u] + BOX_HEIGHT / 2)
        end = (self.x[v], self.y[v] - BOX_HEIGHT / 2)
        if direct and self.lane[u] == self.lane[v]:
            return [start, end]
        if direct:
            return [start, (start[0], self.out_y[u]), (end[0], self.out_y[u]), end]
        near, last = self.column[u], self._gutter(u, v)
        corners = [start, (start[0], self.out_y[u]), (self._track_x(near, u), self.out_y[u])]
        if last > near:
            corners += [(self._track_x(near, u), self.top[u]), (self._track_x(last, u), self.top[u])]
        return [*corners, (self._track_x(last, u), self.in_y[v]), (end[0], self.in_y[v]), end]

    def _track_x(self, gutter: int, u: int) -> float:
        return self.gutter_x[gutter] + self.tracks[gutter][u] * TRACK


def _fold(level: np.ndarray, edges: Sequence[Sequence[int]], columns: int) -> np.ndarray:
    """First level of every column: about equally long ones, broken where few lines must go on in the next.

    Dynamic programming: `cost[d]` of the best folding of the first d levels, one column more at a time.
    """
    depth = int(level.max()) + 1
    last = level.copy()  # level of the last reader of every node
    for u, v in edges:
        last[u] = max(last[u], level[v])
    lines = np.zeros(depth + 1)  # that cross a break before this level
    for node, until in enumerate(last):
        lines[level[node] + 1 : until + 1] += 1
    cost = np.where(np.arange(depth + 1) == 0, 0, np.inf)
    breaks = []
    for _ in range(columns):
        best, first = np.full(depth + 1, np.inf), np.zeros(depth + 1, int)
        for end in range(1, depth + 1):
            uneven = (end - np.arange(end)) * columns / depth - 1
            total = cost[:end] + lines[end] + UNEVEN * uneven**2
            first[end] = total.argmin()
            best[end] = total[first[end]]
        cost = best
        breaks.append(first)
    end, starts = depth, []
    for first in reversed(breaks):
        end = first[end]
        starts.append(end)
    return np.array(starts[::-1])


def _lanes(level: np.ndarray, column: np.ndarray, edges: Sequence[Sequence[int]]) -> np.ndarray:
    """Lane of every node: that of a predecessor on the level before where it is free, the longest branch first."""
    before: dict[int, list[int]] = defaultdict(list)
    to_end = np.zeros(len(level), int)
    for u, v in reversed(edges):  # sorted by v: what follows v is known
        to_end[u] = max(to_end[u], to_end[v] + 1)
        if column[u] == column[v] and level[v] == level[u] + 1:
            before[v].append(u)
    lane = np.zeros(len(level), int)
    for one in range(level.max() + 1):
        free = list(range(np.bincount(level).max()))
        for node in sorted(np.flatnonzero(level == one).tolist(), key=lambda n: (not before[n], -to_end[n])):
            wanted = min((lane[u] for u in before[node]), default=0)
            lane[node] = min(free, key=lambda place: (abs(place - wanted), place))
            free.remove(lane[node])
    return lane


def _intervals_to_tracks(intervals: dict[int, tuple[float, float]]) -> dict[int, int]:
    """Gives intervals that overlap different tracks; short ones get the first."""
    taken: list[list[tuple[float, float]]] = []
    track = {}
    for key, (low, high) in sorted(intervals.items(), key=lambda item: (item[1][1] - item[1][0], item[1])):
        fits = (i for i, others in enumerate(taken) if all(high < a - 0.02 or b < low - 0.02 for a, b in others))
        track[key] = next(fits, len(taken))
        if track[key] == len(taken):
            taken.append([])
        taken[track[key]].append((low, high))
    return track


def _label(primitive: str, shape: Sequence[int]) -> str:
    """`conv 3×3 · 64`: the kernel and the number of output channels where there are any."""
    out, _, height, width = shape
    if primitive in CONVOLUTIONS:
        return f"{primitive} {height}×{width} · {out}"
    if primitive == "linear":
        return f"{primitive} · {out}"
    return f"{primitive} {height}×{width}" if primitive in ("max_pool", "avg_pool") and height else primitive
