"""Graph features: hand-counted cells, invariances, and the τ they must reach on NAS-Bench-201."""

from itertools import product

import numpy as np
import pytest
import torch

from archrep import architectures
from archrep.errors import ArchrepError
from archrep.graph.archgraph import ArchGraph
from archrep.probe.encoders import encode, needs_graph
from archrep.probe.encoders.cell_features import (
    dense_101,
    function_201,
    labels_201,
    path_features,
    prune_201,
    subsets,
)
from archrep.probe.encoders.network_features import features_network
from archrep.probe.groups import functional_class

SKIP, C1, C3, POOL = "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"


def one(*specs):
    return list(architectures(*specs))


def cell201(*ops):
    return "nasbench201:|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*ops)


def test_paths_counted_by_hand():
    # 0 -C3→ 1 -C1→ 3, 0 -skip→ 2 -C3→ 3, 0 -C3→ 3, 1 -pool→ 2
    labels = labels_201(np.array([[3, 1, 4, 3, 2, 3]]))
    # allowed C3 (2): only the direct edge; among all paths C3 occurs 1 (direct), 1, 1 and 2 times
    assert [float(c[0]) for c in path_features(labels, (2,), 4)] == [1, 1, 1, 2, 1, 5]
    # allowed C1 and C3: the direct edge and 0-1-3
    assert [float(c[0]) for c in path_features(labels, (1, 2), 4)] == [1, 2, 2, 2, 1, 6]
    # allowed pool: no path
    assert [float(c[0]) for c in path_features(labels, (3,), 4)] == [4, 0, 0, 1, 0, 1]
    assert len(subsets(4)) == 15


def test_vertices_count_as_operations():
    edges, kinds = dense_101(one("nasbench101:110011:01"))  # two parallel vertices
    labels = np.where(edges, np.minimum(kinds, 3)[:, None, :], -1)
    assert [float(c[0]) for c in path_features(labels, (0,), 3)] == [1, 1, 1, 1, 0, 1]
    assert [float(c[0]) for c in path_features(labels, (0, 1), 3)] == [1, 1, 2, 1, 1, 2]


def test_functions_of_nasbench201():
    cells = np.array(list(product(range(5), repeat=6)))
    function = function_201(cells)
    assert len(np.unique(function)) == 4930
    assert (function_201(prune_201(cells)) == function).all()
    # the classes of the glossary are never divided: those differ by the order of sums at most
    names = [functional_class(a) for a in architectures("nasbench201:all")]
    assert len(set(zip(names, function.tolist(), strict=True))) == len(set(names))


def test_dead_branches_change_nothing_and_operations_do():
    base = (C3, "none", "none", C1, SKIP, "none")
    same = [cell201(*base), cell201(*base[:2], POOL, *base[3:]), cell201(base[0], C1, *base[2:])]
    features = encode("graph-features", one(*same))
    assert (features == features[0]).all()
    for edge, other in ((0, C1), (3, C3), (4, POOL), (5, C1)):
        live = [*base]
        live[edge] = other
        live[1] = SKIP  # makes edge 5 matter
        plain = [*base]
        plain[1] = SKIP
        changed = encode("graph-features", one(cell201(*plain), cell201(*live)))
        assert (changed[0] != changed[1]).any()


def test_a_cell_without_function_has_features():
    nothing = one(cell201(*["none"] * 6), cell201("none", C3, C3, "none", C1, "none"))
    features = encode("graph-features", nothing)
    assert np.isfinite(features).all()
    assert (features[0] == features[1]).all()


def test_macro_twins():
    features = encode("graph-features", one("nasbench_macro:11101101", "nasbench_macro:11110110"))
    assert (features[0] == features[1]).all()
    features = encode("graph-features", one("nasbench_macro:11101101", "nasbench_macro:11101102"))
    assert (features[0] != features[1]).any()


def test_relabelled_vertices_of_nasbench101():
    """Two vertices that no edge orders change places."""
    features = encode("graph-features", one("nasbench101:1100110001:012", "nasbench101:1100110001:012"))
    assert features.shape[1] == 151
    swapped = encode("graph-features", one("nasbench101:110011:01", "nasbench101:110011:10"))
    np.testing.assert_array_equal(swapped[0], swapped[1])


SETS = {
    "nasbench201": [cell201(C3, C1, POOL, SKIP, "none", C3), cell201(C1, C1, C1, C1, C1, C1), cell201(*["none"] * 6)],
    "nasbench101": ["nasbench101:110011:01", "nasbench101:101:0", "nasbench101:1000110011:022"],
    "nasbench_macro": ["nasbench_macro:01201201", "nasbench_macro:22222222"],
    "deepnets-small": ["deepnets-small:test:0-2", "deepnets-small:bnfree:0"],
}


@pytest.mark.parametrize("space", SETS)
@pytest.mark.parametrize("spec", ["graph-features", "op-counts", "one-hot", "paths", "wl"])
def test_batched_equals_one_by_one(space, spec):
    chosen = one(*SETS[space])
    if spec == "op-counts":
        chosen = [a for a in chosen if "none~0|+|none~0|none~1|+|none~0" not in a.id]
    together = encode(spec, chosen)
    alone = np.concatenate([encode(spec, [a]) for a in chosen])
    np.testing.assert_array_equal(together, alone)
    assert len(np.unique(together, axis=0)) > 1


def permuted(graph: ArchGraph, seed: int) -> ArchGraph:
    """The same graph with its nodes in another topological order."""
    rng = np.random.default_rng(seed)
    source, target = graph.edge_index.numpy()
    n = len(graph.primitive)
    waiting, order = np.bincount(target, minlength=n), []
    ready = [i for i in range(n) if waiting[i] == 0]
    while ready:
        node = ready.pop(int(rng.integers(len(ready))))
        order.append(node)
        for v in target[source == node]:
            waiting[v] -= 1
            if waiting[v] == 0:
                ready.append(int(v))
    place = np.argsort(order)
    edges = np.stack([place[source], place[target]])
    other = graph.clone()
    other.primitive, other.shape = graph.primitive[order], graph.shape[order]
    other.edge_index = torch.from_numpy(edges[:, np.lexsort((edges[0], edges[1]))])
    other.parameter_shapes = [graph.parameter_shapes[i] for i in order]
    return other


def test_the_order_of_nodes_does_not_matter(small):
    for seed, architecture in enumerate(small[:6]):
        graph = architecture.graph
        other = permuted(graph, seed)
        assert not torch.equal(other.primitive, graph.primitive)
        assert other.hash() == graph.hash()
        np.testing.assert_allclose(features_network(other), features_network(graph), rtol=1e-9)


def test_networks_differ_by_what_they_hold(small):
    features = encode("graph-features", small)
    assert features.shape[1] == 126
    assert len(np.unique(features.round(9), axis=0)) == len(small)
    graph = small[0].graph.clone()
    graph.primitive = graph.primitive.clone()
    node = graph.primitives.index("conv")
    graph.primitive[node] = 2  # a separable convolution instead
    assert not np.allclose(features_network(graph), features[0])


def test_spaces_are_compared_by_their_networks():
    mixed = one("nasbench_macro:01201201", "deepnets-small:test:0")
    with pytest.raises(ArchrepError, match="graph-features:network"):
        encode("graph-features", mixed)
    assert encode("graph-features:network", mixed).shape == (2, 126)
    assert needs_graph("graph-features:network")
    assert not needs_graph("graph-features")
    with pytest.raises(ArchrepError, match="expected graph-features or graph-features:network"):
        encode("graph-features:all", mixed)
