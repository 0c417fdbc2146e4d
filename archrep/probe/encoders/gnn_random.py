"""A plain graph network with random weights: what a graph's shape alone gives away under any smooth message passing."""

from collections.abc import Sequence

import numpy as np

from archrep.graph.primitives import PRIMITIVES
from archrep.probe.encoders.context import Context
from archrep.space import Architecture

WIDTH, ROUNDS = 32, 4
SHAPES = 4  # out, in, height, width


def encode_gnn_random(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, 32): mean node state after four rounds of h ← tanh(h A + mean of in-neighbours B + of out-neighbours C).

    Node states begin as a random projection of the primitive and of log(1 + shape); no training, no virtual edges, no
    gates: the control for what a GHN's architecture adds. Weights are drawn from `context.seed`, variance 1/width.
    """
    rng = np.random.default_rng(context.seed)
    first = rng.normal(size=(len(PRIMITIVES) + SHAPES, WIDTH))
    weights = rng.normal(size=(ROUNDS, 3, WIDTH, WIDTH)) / np.sqrt(3 * WIDTH)
    return np.stack([_embed(a, first, weights) for a in architectures])


def _embed(architecture: Architecture, first: np.ndarray, weights: np.ndarray) -> np.ndarray:
    graph = architecture.graph
    primitive, (source, target) = graph.primitive.numpy(), graph.edge_index.numpy()
    n = len(primitive)
    one_hot = np.eye(len(PRIMITIVES))[primitive]
    states = np.concatenate([one_hot, np.log1p(graph.shape.numpy()) / 4], axis=1) @ first  # (n, d)
    adjacency = np.zeros((n, n))
    adjacency[target, source] = 1
    incoming, outgoing = (a / np.maximum(a.sum(axis=1, keepdims=True), 1) for a in (adjacency, adjacency.T))
    for own, before, after in weights:
        states = np.tanh(states @ own + incoming @ states @ before + outgoing @ states @ after)
    return states.mean(axis=0)
