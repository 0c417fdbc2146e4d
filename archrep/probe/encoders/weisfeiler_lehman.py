"""Weisfeiler–Lehman subtree counts (Shervashidze et al., JMLR 2011, § 3.2), hashed to a fixed width."""

from collections.abc import Callable, Sequence

import numpy as np

from archrep.probe.cells import cell_space, digits_macro, operations_201
from archrep.probe.encoders.cell_features import dense_101, prune_201
from archrep.probe.encoders.context import Context
from archrep.probe.encoders.hashing import mixed
from archrep.space import Architecture
from archrep.space.nasbench201 import EDGES, OPERATIONS

ROUNDS = 3
LABELS, BUCKETS = 16, 128  # of the first count (there are 15 primitives), and of those after every round

Graphs = tuple[np.ndarray, np.ndarray, np.ndarray]  # labels (N,), edges (2, E), architecture of every node (N,)


def encode_wl(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, 400): log1p of how often each label occurs, and each hashed neighbourhood after one to three rounds.

    A round joins a node's label with those of the nodes before it and, apart from them, after it. The graph is that of
    a NAS cell, pruned of dead branches and with operations as nodes; else, and with `network`, the computational graph
    in the released vocabulary. The order of nodes does not matter.
    """
    space = cell_space(architectures, "wl", argument)
    labels, edges, owner = BY_CELL[space](architectures) if space else _networks(architectures)
    counts = [_histogram(labels, owner, len(architectures), LABELS)]
    state = mixed(labels.astype(np.uint64) + np.uint64(1))
    for _ in range(ROUNDS):
        before, after = np.zeros_like(state), np.zeros_like(state)
        np.add.at(before, edges[1], mixed(state[edges[0]] + np.uint64(0x5851F42D4C957F2D)))
        np.add.at(after, edges[0], mixed(state[edges[1]] + np.uint64(0x14057B7EF767814F)))
        state = mixed(mixed(state + mixed(before)) + after)
        counts.append(_histogram((state >> np.uint64(57)).astype(np.int64), owner, len(architectures), BUCKETS))
    return np.log1p(np.concatenate(counts, axis=1))


def _histogram(values: np.ndarray, owner: np.ndarray, n: int, width: int) -> np.ndarray:
    return np.bincount(owner * width + values, minlength=n * width).reshape(n, width).astype(float)


def _networks(architectures: Sequence[Architecture]) -> Graphs:
    graphs = [a.graph for a in architectures]
    sizes = np.array([len(g.primitive) for g in graphs])
    starts = np.cumsum(sizes) - sizes
    edges = np.concatenate([g.edge_index.numpy() + start for g, start in zip(graphs, starts, strict=True)], axis=1)
    return np.concatenate([g.primitive.numpy() for g in graphs]), edges, np.repeat(np.arange(len(graphs)), sizes)


def _dense(present: np.ndarray, labels: np.ndarray, adjacent: np.ndarray) -> Graphs:
    """Graphs from (n, V) presence and labels and (n, V, V) adjacency."""
    number = np.cumsum(present.ravel()).reshape(present.shape) - 1
    i, u, v = np.nonzero(adjacent & present[:, :, None] & present[:, None, :])
    return labels[present], np.stack([number[i, u], number[i, v]]), np.nonzero(present)[0]


def _nasbench201(architectures: Sequence[Architecture]) -> Graphs:
    """Operations that are there, input and output; an operation comes before those that read the node it writes."""
    index = {name: i for i, name in enumerate(OPERATIONS)}
    operations = prune_201(np.array([[index[name] for name in operations_201(a)] for a in architectures]))
    ends = np.broadcast_to([len(index), len(index) + 1], (len(operations), 2))
    labels = np.concatenate([operations, ends], axis=1)
    spans = [*EDGES, (-1, 0), (3, 4)]
    adjacent = np.array([[one[1] == other[0] for other in spans] for one in spans])
    return _dense(labels != 0, labels, np.broadcast_to(adjacent, (len(labels), *adjacent.shape)))


def _nasbench101(architectures: Sequence[Architecture]) -> Graphs:
    edges, kinds = dense_101(architectures)
    return _dense(kinds >= 0, kinds, edges)


def _nasbench_macro(architectures: Sequence[Architecture]) -> Graphs:
    labels = np.array([[int(digit) for digit in digits_macro(a)] for a in architectures])
    chain = np.broadcast_to(np.eye(labels.shape[1], k=1, dtype=bool), (len(labels), *2 * labels.shape[1:]))
    return _dense(np.ones(labels.shape, bool), labels, chain)


BY_CELL: dict[str, Callable[[Sequence[Architecture]], Graphs]] = {
    "nasbench101": _nasbench101,
    "nasbench201": _nasbench201,
    "nasbench_macro": _nasbench_macro,
}
