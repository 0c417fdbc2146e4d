"""Graph features of NAS cells: operation counts, paths and degrees under every subset of operations.

In the spirit of GRAF (Kadlecová et al., ICML 2024, § 3), for many cells at once. A cell is an array of labels:
`labels[i, u, v]` is the operation met on the way from vertex u to v of cell i, `len(ops)` if none is (a wire),
`ABSENT` where there is no edge. Vertex 0 is the input, the last one the output, edges go upwards.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, combinations, product

import numpy as np

from archrep.probe.cells import digits_macro, edges_101, operations_201
from archrep.probe.encoders.hashing import mixed
from archrep.space import Architecture
from archrep.space.nasbench101 import MAX_VERTICES
from archrep.space.nasbench201 import EDGES, OPERATIONS
from archrep.space.nasbench_macro import STAGES

ABSENT = -1
OPS_201 = tuple(OPERATIONS)[1:]  # all but `none`
OPS_101 = 3
IDENTITY = 0  # digit of NAS-Bench-Macro
MIXERS = np.array([0, 0, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


def subsets(count: int) -> list[tuple[int, ...]]:
    """All non-empty subsets of `count` operations, small ones first."""
    return list(chain.from_iterable(combinations(range(count), size) for size in range(1, count + 1)))


def path_features(labels: np.ndarray, allowed: Sequence[int], wire: int) -> list[np.ndarray]:
    """Six features (n,) of the paths from input to output under a subset of operations.

    Among the paths all of whose operations are allowed: fewest operations (the number of vertices if there is none),
    most (0 if none) and how many paths. Among all paths: most, fewest and total number of allowed operations.
    """
    n, vertices, _ = labels.shape
    permitted = np.isin(labels, allowed)
    least, most, count = np.full((n, vertices), np.inf), np.full((n, vertices), -np.inf), np.zeros((n, vertices))
    low, high, total, paths = least.copy(), most.copy(), count.copy(), count.copy()
    for start in (least, most, low, high):
        start[:, 0] = 0
    count[:, 0] = paths[:, 0] = 1
    for v in range(1, vertices):
        for u in range(v):
            edge, counted = labels[:, u, v] != ABSENT, permitted[:, u, v].astype(float)
            free = permitted[:, u, v] | (labels[:, u, v] == wire)
            least[:, v] = np.where(free, np.minimum(least[:, v], least[:, u] + counted), least[:, v])
            most[:, v] = np.where(free, np.maximum(most[:, v], most[:, u] + counted), most[:, v])
            count[:, v] += free * count[:, u]
            low[:, v] = np.where(edge, np.minimum(low[:, v], low[:, u] + counted), low[:, v])
            high[:, v] = np.where(edge, np.maximum(high[:, v], high[:, u] + counted), high[:, v])
            total[:, v] += edge * (total[:, u] + counted * paths[:, u])
            paths[:, v] += edge * paths[:, u]
    ends = least[:, -1], most[:, -1], count[:, -1], high[:, -1], low[:, -1], total[:, -1]
    return [np.where(np.isinf(end), vertices if end is ends[0] else 0, end) for end in ends]


def features_201(architectures: Sequence[Architecture]) -> np.ndarray:
    """(n, 125): features of pruned cells, averaged over all cells of the benchmark that compute the same function.

    Twins, and cells that differ in dead branches alone, get exactly the same features. GRAF knows no such average; it
    is worth .01–.02 of Kendall τ from 100 cells.
    """
    number = {name: i for i, name in enumerate(OPERATIONS)}
    operations = np.array([[number[name] for name in operations_201(a)] for a in architectures])
    table, row = _functions_201()
    return table[row[operations @ 5 ** np.arange(6)[::-1]]]


@lru_cache(maxsize=1)
def _functions_201() -> tuple[np.ndarray, np.ndarray]:
    """Mean features of every function, and the function of each of the 15,625 cells in the order of `all`."""
    cells = np.array(list(product(range(5), repeat=6)))
    _, row, size = np.unique(function_201(cells), return_inverse=True, return_counts=True)
    features = _features_201(prune_201(cells))
    table = np.zeros((len(size), features.shape[1]))
    np.add.at(table, row, features)
    return table / size[:, None], row


def function_201(operations: np.ndarray) -> np.ndarray:
    """(n,) uint64: what a cell computes of its input, up to the order of sums; 4,930 values on all cells.

    The cell is evaluated on a random number with operations that are random functions, skip the identity and sums
    modulo 2⁶⁴: cells that are equal as expressions agree, others do so with probability 10⁻¹².

    Args:
        operations: (n, 6) index into `nasbench201.OPERATIONS` of every edge.
    """
    nodes = np.zeros((4, len(operations)), dtype=np.uint64)
    nodes[0] = 0x2545F4914F6CDD1D
    for (source, target), operation in zip(EDGES, operations.T, strict=True):
        x = nodes[source]
        y = np.where(operation == 1, x, mixed(x * MIXERS[operation] + MIXERS[operation]))
        nodes[target] += np.where((operation == 0) | (x == 0), np.uint64(0), y)
    return nodes[3]


def prune_201(operations: np.ndarray) -> np.ndarray:
    """(n, 6) operations with `none` on every edge that lies on no path from input to output."""
    ahead, behind = np.zeros((4, len(operations)), bool), np.zeros((4, len(operations)), bool)
    ahead[0] = behind[3] = True
    for edge, (source, target) in enumerate(EDGES):
        ahead[target] |= ahead[source] & (operations[:, edge] != 0)
    for edge in (5, 4, 3, 2, 1, 0):  # sources in falling order where it matters
        source, target = EDGES[edge]
        behind[source] |= behind[target] & (operations[:, edge] != 0)
    live = np.stack([ahead[source] & behind[target] for source, target in EDGES], axis=1)
    return np.where(live, operations, 0)


def labels_201(operations: np.ndarray) -> np.ndarray:
    """(n, 4, 4) labels of cells with operations on their edges."""
    labels = np.full((len(operations), 4, 4), ABSENT)
    for edge, (source, target) in enumerate(EDGES):
        labels[:, source, target] = operations[:, edge] - 1  # `none` is no edge
    return labels


def _features_201(operations: np.ndarray) -> np.ndarray:
    labels, count = labels_201(operations), len(OPS_201)
    columns = [(operations == operation).sum(axis=1) for operation in range(count + 1)]
    for allowed in subsets(count):
        permitted = np.isin(labels, allowed)
        columns += path_features(labels, allowed, count)
        columns += [permitted[:, :, 3].sum(axis=1), permitted[:, 0].sum(axis=1)]  # into the output, out of the input
    return np.stack(columns, axis=1).astype(float)


def features_101(architectures: Sequence[Architecture]) -> np.ndarray:
    """(n, 151): features of cells with operations on vertices; the label of an edge is the operation of its target.

    Besides path features: degrees, depth and channels of the vertices of each operation, and between any two kinds of
    vertices (input, output and the operations) how many edges and walks there are and which reach each other.
    Counts are given as their roots, which is worth .004–.008 of Kendall τ here: the many walks of dense cells no longer
    rule the distances.
    """
    edges, kinds = dense_101(architectures)  # (n, 7, 7) bool, (n, 7)
    labels = np.where(edges, np.minimum(kinds, OPS_101)[:, None, :], ABSENT)
    columns = _vertex_features(edges, kinds)
    for allowed in subsets(OPS_101):
        within = np.isin(kinds, allowed)
        columns += path_features(labels, allowed, OPS_101)
        columns += [(edges[:, :, -1] & within).sum(axis=1), (edges[:, 0] & within).sum(axis=1)]
        columns.append((edges & within[:, :, None] & within[:, None, :]).sum(axis=(1, 2)))
    return np.sqrt(np.concatenate([np.stack(columns, axis=1).astype(float), _between(edges, kinds)], axis=1))


def dense_101(architectures: Sequence[Architecture]) -> tuple[np.ndarray, np.ndarray]:
    """Adjacency (n, 7, 7) bool and vertex kinds (n, 7); the output is always vertex 6.

    Kinds: 0 … 2 the operation, 3 input, 4 output, -1 no vertex.
    """
    last = MAX_VERTICES - 1
    edges = np.zeros((len(architectures), MAX_VERTICES, MAX_VERTICES), dtype=bool)
    kinds = np.full((len(architectures), MAX_VERTICES), ABSENT)
    kinds[:, 0], kinds[:, last] = OPS_101, OPS_101 + 1
    for i, architecture in enumerate(architectures):
        pairs, ops = edges_101(architecture)
        kinds[i, 1 : len(ops) + 1] = [int(digit) for digit in ops]
        for u, v in pairs:
            edges[i, u, last if v > len(ops) else v] = True
    return edges, kinds


def _vertex_features(edges: np.ndarray, kinds: np.ndarray) -> list[np.ndarray]:
    """Counts, degrees, depths and channels; (n,) each."""
    into, out = edges.sum(axis=1), edges.sum(axis=2)
    depth, height = np.zeros(kinds.shape), np.zeros(kinds.shape)
    for v in range(1, MAX_VERTICES):
        depth[:, v] = np.where(edges[:, :, v], depth + 1, 0).max(axis=1)
    for v in range(MAX_VERTICES - 2, -1, -1):
        height[:, v] = np.where(edges[:, v], height + 1, 0).max(axis=1)
    channels = _channels(edges)
    columns = [edges.sum(axis=(1, 2)), (kinds >= 0).sum(axis=1), edges[:, 0, -1], into[:, -1], out[:, 0]]
    columns += [into[:, 1:-1].max(axis=1), out[:, 1:-1].max(axis=1)]
    for operation in range(OPS_101):
        of = kinds == operation
        columns += [of.sum(axis=1), (channels * of).sum(axis=1), (channels**2 * of).sum(axis=1)]
        for values in (into, out, depth, height):
            columns += [(values * of).sum(axis=1), (values * of).max(axis=1)]
    return columns


def _channels(edges: np.ndarray) -> np.ndarray:
    """(n, 7) channels of the inner vertices as a share of the output's, see `nasbench101.vertex_channels`."""
    ends = edges[:, :, -1].copy()
    ends[:, 0] = False
    share = 1 / np.maximum(ends.sum(axis=1), 1)
    channels = np.zeros(ends.shape)
    for v in range(MAX_VERTICES - 2, 0, -1):
        channels[:, v] = np.where(ends[:, v], share, np.where(edges[:, v], channels, 0).max(axis=1))
    return channels


def _between(edges: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """(n, 48): edges, walks and reachable pairs between vertices of two kinds, where there can be any."""
    step = edges.astype(float)
    power = walks = step
    for _ in range(MAX_VERTICES - 2):
        power = power @ step
        walks = walks + power
    kind = (kinds[:, :, None] == np.arange(OPS_101 + 2)).astype(float)  # (n, 7, 5)
    possible = [(a, b) for a in (3, 0, 1, 2) for b in (0, 1, 2, 4)]
    tables = [np.einsum("nua,nuv,nvb->nab", kind, m, kind) for m in (step, walks, (walks > 0).astype(float))]
    return np.stack([table[:, a, b] for table in tables for a, b in possible], axis=1)


def features_macro(architectures: Sequence[Architecture]) -> np.ndarray:
    """(n, 38): of a chain, whose paths are trivial: operations in all, by stage and at stage ends, and runs.

    An identity that changes no shape (any but a stage's first layer) is left out first, so that networks with the same
    function have the same features.
    """
    digits = np.array([[int(d) for d in digits_macro(a)] for a in architectures])
    columns: list[np.ndarray] = []
    start = 0
    for _, layers in STAGES:
        first, rest = digits[:, start], digits[:, start + 1 : start + layers]
        start += layers
        some = rest != IDENTITY
        columns += [first == digit for digit in range(3)]
        columns += [(rest == 1).sum(axis=1), (rest == 2).sum(axis=1), some.sum(axis=1)]
        columns += [(first != IDENTITY) + some.sum(axis=1)]
        begin = np.take_along_axis(rest, some.argmax(axis=1)[:, None], axis=1)[:, 0]
        end = np.take_along_axis(rest[:, ::-1], some[:, ::-1].argmax(axis=1)[:, None], axis=1)[:, 0]
        columns += [values == digit for values in (begin, end) for digit in (1, 2)]
    for digit in (1, 2):
        columns.append((digits == digit).sum(axis=1))
    columns += [(digits != IDENTITY).sum(axis=1), (digits[:, [0, 2, 5]] == IDENTITY).sum(axis=1)]
    columns += [(digits == 1).sum(axis=1) - (digits == 2).sum(axis=1)]
    return np.stack(columns, axis=1).astype(float)
