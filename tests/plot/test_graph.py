"""Drawn graphs: nothing overlaps, every line goes from its source to its target, and a figure can be printed."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from torch import nn

from archrep import architectures, capture
from archrep.graph.primitives import VOCABULARIES
from archrep.plot.graph import COLORS, draw_graph
from archrep.plot.graph_layout import BOX_HEIGHT, lay_out, node_levels

SPECS = (
    "deepnets:test:0",
    "deepnets:dense:0",
    "deepnets:predefined:0",
    "deepnets:predefined:1",
    "deepnets-small:deep:0",
)


class DenseBlock(nn.Module):
    """Every layer reads all earlier ones: lines go on over many columns."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3 + i, 1, 3, padding=1, bias=False) for i in range(40)])

    def forward(self, x):
        seen = [x]
        for layer in self.layers:
            seen.append(layer(torch.cat(seen, dim=1)))
        return seen[-1]


@pytest.fixture(scope="module")
def graphs():
    return {a.id: a.graph for a in architectures(*SPECS)} | {"dense block": capture(DenseBlock())}


@pytest.fixture(scope="module")
def layouts(graphs):
    return {name: lay_out(graph) for name, graph in graphs.items()}


CASES = pytest.mark.parametrize("name", [*SPECS, "dense block"])


@CASES
def test_columns_follow_the_levels(name, graphs, layouts):
    layout = layouts[name]
    order = np.lexsort((layout.center[:, 1], layout.column))
    assert (np.diff(layout.level[order]) >= 0).all()
    source, target = graphs[name].edge_index.numpy()
    assert (layout.level[source] < layout.level[target]).all()
    assert np.array_equal(layout.skips, layout.level[target] - layout.level[source] > 1)
    width, height = layout.size
    assert 1.2 < width / height < 3


@CASES
def test_boxes_do_not_overlap(name, layouts):
    layout = layouts[name]
    size = np.stack([layout.width, np.full(len(layout.width), BOX_HEIGHT)], axis=1)
    distance = np.abs(layout.center[:, None] - layout.center[None])  # (N, N, 2)
    apart = (distance >= (size[:, None] + size[None]) / 2).any(axis=2)
    assert apart[~np.eye(len(size), dtype=bool)].all()
    assert (layout.center - size / 2 >= -1e-9).all()
    assert (layout.center + size / 2 <= np.array(layout.size) + 1e-9).all()


@CASES
def test_lines_join_their_nodes_and_touch_no_others(name, graphs, layouts):
    layout = layouts[name]
    half = np.stack([layout.width / 2, np.full(len(layout.width), BOX_HEIGHT / 2)], axis=1)
    low, high = layout.center - half + 1e-6, layout.center + half - 1e-6
    down = np.array([0, BOX_HEIGHT / 2])
    for (u, v), wire in zip(graphs[name].edge_index.t().tolist(), layout.wires, strict=True):
        assert np.allclose(wire[0], layout.center[u] + down)
        assert np.allclose(wire[-1], layout.center[v] - down)
        for a, b in pairwise(wire):
            assert np.isclose(a, b).any()  # horizontal or vertical
            inside = (np.minimum(a, b) < high) & (np.maximum(a, b) > low)
            assert not inside.all(axis=1).any()


@CASES
def test_every_source_has_a_track_of_its_own(name, graphs, layouts):
    layout = layouts[name]
    tracks = defaultdict(lambda: defaultdict(list))  # x -> source -> heights
    for u, wire in zip(graphs[name].edge_index[0].tolist(), layout.wires, strict=True):
        for a, b in pairwise(wire[1:-1]):
            if a[0] == b[0] and a[0] not in layout.center[:, 0]:
                tracks[round(float(a[0]), 4)][u] += [a[1], b[1]]
    assert tracks
    for of_source in tracks.values():
        spans = sorted((min(heights), max(heights)) for heights in of_source.values())
        assert all(before[1] < after[0] for before, after in pairwise(spans))


@CASES
def test_horizontal_lines_do_not_run_into_each_other(name, graphs, layouts):
    layout = layouts[name]
    heights = defaultdict(set)  # column, height -> whose line it is: out of a source, or into a target
    for (u, v), wire in zip(graphs[name].edge_index.t().tolist(), layout.wires, strict=True):
        if len(wire) > 2:
            heights[layout.column[u], round(wire[1][1], 4)].add(("out of", u))
        if len(wire) > 4:
            heights[layout.column[v], round(wire[-2][1], 4)].add(("into", v))
    assert heights
    assert all(len(owners) == 1 for owners in heights.values())


def test_position_encodings_stand_before_their_reader(graphs):
    graph = graphs["deepnets:predefined:1"]
    level, source = node_levels(graph), graph.primitives.index("pos_enc")
    reader = graph.edge_index[1][graph.edge_index[0] == source]
    assert level[source] == level[reader].item() - 1 > 0
    assert level.max() == graph.levels.max()


def test_every_primitive_has_its_colour():
    names = set().union(*VOCABULARIES.values())
    assert names <= set(COLORS)
    assert len(set(COLORS.values())) == len(COLORS)


def test_figure_shows_primitives_and_counts(graphs, tmp_path):
    graph = graphs["deepnets:predefined:0"]
    figure = draw_graph(graph, "deepnets:predefined:0", "so many nodes")
    figure.savefig(tmp_path / "graph.svg")
    text = (tmp_path / "graph.svg").read_text()
    for expected in ("deepnets:predefined:0", "so many nodes", "conv 3×3 · 512", "level 0", "sum (16)", "skips levels"):
        assert f"<!-- {expected} -->" in text
    figure.savefig(tmp_path / "graph.png", dpi=80)
    pixels = imread(tmp_path / "graph.png")[..., :3].reshape(-1, 3)
    for name in ("conv", "bn", "sum", "glob_avg"):
        assert (np.abs(pixels - to_rgb(COLORS[name])).max(axis=1) < 0.02).sum() > 100, name


def test_smallest_graphs(tmp_path):
    for network in (nn.Identity(), nn.Conv2d(3, 4, 3)):
        draw_graph(capture(network), "small").savefig(tmp_path / "small.png")
