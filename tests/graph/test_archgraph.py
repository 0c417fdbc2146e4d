"""ArchGraph: distances, levels and hash on graphs small enough to check by hand, and by networkx."""

import networkx as nx
import numpy as np
import torch
from torch_geometric.data import Batch

from archrep.graph import MAX_DISTANCE, PRIMITIVES
from archrep.graph.build import Op, as_4d, build_graph
from archrep.graph.primitives import EXTENDED, NEAREST


def diamond(names=("a", "b"), width=8):
    """input → conv a → (max_pool | identity) → sum → conv b."""
    ops = [
        Op("input"),
        Op("conv", (0,), (names[0],), (width, 3, 3, 3)),
        Op("max_pool", (1,), shape=(1, 1, 3, 3)),
        Op(None, (1,)),
        Op("sum", (2, 3)),
        Op("conv", (4,), (names[1],), (10, width)),
    ]
    return build_graph(ops, 5, {names[0]: (width, 3, 3, 3), names[1]: (10, width), "spare": (2,)})


def test_known_graph():
    graph = diamond()
    assert graph.primitives == ["input", "conv", "max_pool", "sum", "conv"]
    assert graph.param_names == [None, "a", None, None, "b"]
    assert graph.parameters == [(), ("a",), (), (), ("b",)]
    assert graph.edge_index.tolist() == [[0, 1, 1, 2, 3], [1, 2, 3, 3, 4]]
    assert graph.unused == ("spare",)
    assert graph.num_params == 8 * 27 + 80
    assert graph.shape.tolist()[2] == [1, 1, 3, 3]
    assert graph.levels.tolist() == [0, 1, 2, 3, 4]
    pairs = dict(zip(map(tuple, graph.virtual_edges.t().tolist()), graph.distances.tolist(), strict=True))
    assert pairs == {(0, 2): 2, (0, 3): 2, (0, 4): 3, (1, 4): 2, (2, 4): 2}


def test_distances_are_shortest_paths(small):
    for architecture in small[:4]:
        graph = architecture.graph
        reference = nx.DiGraph(graph.edge_index.t().tolist())
        expected = np.zeros_like(graph.distance_matrix)
        for u, lengths in nx.all_pairs_shortest_path_length(reference):
            for v, length in lengths.items():
                expected[u, v] = length
        assert np.array_equal(graph.distance_matrix, expected)
        assert graph.distances.min() >= 2
        assert graph.distances.max() <= MAX_DISTANCE
        assert nx.is_directed_acyclic_graph(reference)


def test_single_input_sums_and_concats_are_contracted():
    ops = [Op("input"), Op(None, (0,)), Op("sum", (0, 1)), Op("concat", (2, 0)), Op("conv", (3,), ("w",), (1, 1))]
    graph = build_graph(ops, 4, {"w": (1, 1)})
    assert graph.primitives == ["input", "conv"]


def test_hash_ignores_names_and_order_but_not_structure():
    assert diamond().hash() == diamond(("x", "y")).hash()
    assert diamond().hash() != diamond(width=16).hash()
    assert diamond().hash(shapes=False) == diamond(width=16).hash(shapes=False)
    reordered = build_graph(
        [
            Op("input"),
            Op("conv", (0,), ("a",), (8, 3, 3, 3)),
            Op(None, (1,)),
            Op("max_pool", (1,), shape=(1, 1, 3, 3)),
            Op("sum", (2, 3)),
            Op("conv", (4,), ("b",), (10, 8)),
        ],
        5,
        {"a": (8, 3, 3, 3), "b": (10, 8)},
    )
    assert reordered.hash() == diamond().hash()
    chain = build_graph(
        [
            Op("input"),
            Op("conv", (0,), ("a",), (8, 3, 3, 3)),
            Op("max_pool", (1,), shape=(1, 1, 3, 3)),
            Op("conv", (2,), ("b",), (10, 8)),
        ],
        3,
        {"a": (8, 3, 3, 3), "b": (10, 8)},
    )
    assert chain.hash() != diamond().hash()


def test_torch_geometric_batches_it(small):
    graphs = [a.graph for a in small[:3]]
    batch = Batch.from_data_list(graphs)
    assert batch.num_nodes == sum(len(g.primitives) for g in graphs)
    assert torch.equal(batch.primitive, torch.cat([g.primitive for g in graphs]))
    offset = len(graphs[0].primitives)
    second = batch.edge_index[:, graphs[0].edge_index.shape[1] :][:, : graphs[1].edge_index.shape[1]]
    assert torch.equal(second - offset, graphs[1].edge_index)


def test_copies_have_the_same_hash(small):
    graph = small[0].graph
    assert graph.clone().hash() == graph.hash()
    assert graph.clone().to("cpu").hash() == graph.hash()
    assert graph.clone().parameters == graph.parameters


def test_shapes_as_4d():
    assert as_4d(()) == (0, 0, 0, 0)
    assert as_4d((7,)) == (7, 1, 1, 1)
    assert as_4d((7, 5)) == (7, 5, 1, 1)
    assert as_4d((1, 197, 768)) == (1, 768, 14, 14)
    assert as_4d((768, 1, 1)) == (768, 1, 1, 1)
    assert len(PRIMITIVES) == 15
    assert EXTENDED[:15] == PRIMITIVES
    assert set(NEAREST.values()) <= {*PRIMITIVES, None}
