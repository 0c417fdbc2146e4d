"""Graph features of whole networks: what GRAF counts in cells (see cell_features.py), on any computational graph.

A graph of hundreds of nodes has too many subsets of primitives and too many paths: families of primitives take the
place of subsets, and a mean over random walks the place of the mean over paths.
"""

import numpy as np

from archrep.graph.archgraph import ArchGraph
from archrep.graph.primitives import PRIMITIVES

FAMILIES: tuple[tuple[str, ...], ...] = (
    ("conv",),
    ("sep_conv",),
    ("dil_conv",),
    ("conv", "sep_conv", "dil_conv"),
    ("max_pool", "avg_pool"),
    ("msa",),
    ("cse",),
    ("bn", "ln"),
    ("sum",),
    ("concat",),
    ("sum", "concat"),
    PRIMITIVES,
)
KERNELS = (1, 3, 5, 7)  # a kernel counts as the largest of these that it reaches
CONVOLUTIONS = ("conv", "sep_conv", "dil_conv")


def features_network(graph: ArchGraph) -> np.ndarray:
    """(126,) float64: counts, degrees, paths, parameters and shapes; the order of nodes does not matter.

    - log1p of how often each primitive occurs, and its share of the nodes (2 · 15)
    - log1p of nodes and edges, the edges per node, largest in- and out-degree, share of nodes with several inputs (6)
    - per family: most and fewest nodes of it on a path from an input to an end, their mean over random walks, its
      largest in- and out-degree (5 · 12)
    - log1p of the parameters, in all and by primitive (1 + 15)
    - log1p of the convolutions of every kind and kernel size (3 · 4)
    - mean and maximum of log channels of dense convolutions (2)
    """
    n = len(graph.primitive)
    source, target = graph.edge_index.numpy()
    primitive = graph.primitive.numpy()
    count = np.bincount(primitive, minlength=len(PRIMITIVES)).astype(float)
    into, out = np.bincount(target, minlength=n), np.bincount(source, minlength=n)
    degrees = [np.log1p(n), np.log1p(len(source)), len(source) / n, into.max(), out.max(), (into > 1).mean()]
    member = np.stack([np.isin(primitive, [PRIMITIVES.index(p) for p in family]) for family in FAMILIES])
    by_family = [_on_paths(graph, member, into, out), (member * into).max(axis=1), (member * out).max(axis=1)]
    parts = [np.log1p(count), count / n, degrees, *by_family, _parameters(graph), _convolutions(graph)]
    return np.concatenate([np.ravel(part) for part in parts])


def _on_paths(graph: ArchGraph, member: np.ndarray, into: np.ndarray, out: np.ndarray) -> np.ndarray:
    """(3, families): most, fewest and mean number of a family's nodes on a way from an input to an end.

    The mean is over walks that start at an input and go on along any outgoing edge, all equally likely.
    """
    source, target = graph.edge_index.tolist()
    weight = member.T.astype(float)  # (N, families)
    primitive = graph.primitive.numpy()
    inputs = primitive == PRIMITIVES.index("input")
    inputs = inputs if inputs.any() else into == 0
    high = np.where(inputs[:, None], weight, -np.inf)
    low = np.where(inputs[:, None], weight, np.inf)
    visits = inputs / inputs.sum()
    order = np.argsort(np.asarray(target), kind="stable")  # nodes are in topological order
    for edge in order.tolist():
        u, v = source[edge], target[edge]
        np.maximum(high[v], high[u] + weight[v], out=high[v])
        np.minimum(low[v], low[u] + weight[v], out=low[v])
        visits[v] += visits[u] / out[u]
    ends = (out == 0) & np.isfinite(high[:, 0])
    return np.stack([high[ends].max(axis=0), low[ends].min(axis=0), visits @ weight])


def _parameters(graph: ArchGraph) -> np.ndarray:
    """(16,) log1p of the parameters: all, and those of every primitive's nodes."""
    sizes = np.array([sum(int(np.prod(shape)) for shape in shapes) for shapes in graph.parameter_shapes], dtype=float)
    own = np.bincount(graph.primitive.numpy(), weights=sizes, minlength=len(PRIMITIVES))
    return np.log1p(np.concatenate([[sizes.sum()], own]))


def _convolutions(graph: ArchGraph) -> np.ndarray:
    """(14,) log1p of the convolutions by kind and kernel size, mean and maximum of log2 channels of dense ones."""
    shape, primitive = graph.shape.numpy(), graph.primitive.numpy()
    size = np.searchsorted(KERNELS, shape[:, 2:].max(axis=1), side="right") - 1
    kinds = [primitive == PRIMITIVES.index(name) for name in CONVOLUTIONS]
    counts = [np.log1p((kind & (size == k)).sum()) for kind in kinds for k in range(len(KERNELS))]
    channels = np.log2(np.maximum(shape[kinds[0], 0], 1)) if kinds[0].any() else np.zeros(1)
    return np.array([*counts, channels.mean(), channels.max()])
