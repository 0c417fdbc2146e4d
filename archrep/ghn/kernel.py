"""The gated graph network without gradients on a CPU: node after node, in machine code.

A node costs a few µs on one core (`python -m benchmarks.speed`), about one operation of torch, so there is
nothing to gain from batching. Every node sends one message per sweep, whatever the number of its edges. The
graphs of a batch are shared out over torch's number of threads.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from archrep.graph.archgraph import ArchGraph
from archrep.graph.distance import COMPILES, TOO_FAR, compiled, fill_distances

if TYPE_CHECKING:
    from archrep.ghn.gnn import GatedGNN

# Plain numbers would make it double precision.
ZERO, HALF, ONE, TWO = (np.float32(x) for x in (0, 0.5, 1, 2))
LOG2_E, LN_2 = np.float32(1 / math.log(2)), np.float32(math.log(2))
E2, E3, E4, E5, E6 = (np.float32(1 / math.factorial(k)) for k in range(2, 7))
LARGEST = np.float32(80)  # e⁸⁰ is within float32


def applies(gnn: "GatedGNN", states: Tensor) -> bool:
    """Whether the kernel can update these states: plain float32 tensors on a CPU, and no gradients asked for."""
    plain = states.device.type == "cpu" and states.dtype == torch.float32
    tracked = torch.is_grad_enabled() and any(t.requires_grad for t in (states, *gnn.parameters()))
    return COMPILES and plain and not tracked


def propagate(gnn: "GatedGNN", states: Tensor, graphs: Sequence[ArchGraph]) -> Tensor:
    """Node states (N, d) of all graphs, one graph after the other, after both sweeps."""
    near = _transposed(gnn.mlp)
    far = near if gnn.mlp_ve is None else _transposed(gnn.mlp_ve)
    gru = gnn.gru
    gates = tuple(_array(t) for t in (gru.weight_ih.t(), gru.bias_ih, gru.weight_hh.t(), gru.bias_hh))
    result = states.detach().numpy().copy()  # the kernel writes in place
    parts = np.split(result, np.cumsum([len(g.primitive) for g in graphs])[:-1])

    def update(i: int) -> None:
        edges = _array(graphs[i].edge_index.cpu())  # other layouts would be compiled anew, and round otherwise
        _sweeps(parts[i], edges, near, far, gates, gnn.virtual_edges)

    threads = min(torch.get_num_threads(), len(graphs))
    if threads == 1:
        for i in range(len(graphs)):
            update(i)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(update, range(len(graphs))))  # raises what a thread raised
    return torch.from_numpy(result)


def _transposed(layers: nn.Sequential) -> tuple[np.ndarray, ...]:
    """Weights (in, out) and biases (out,) of the linear layers."""
    tensors = [t for layer in layers if isinstance(layer, nn.Linear) for t in (layer.weight.t(), layer.bias)]
    return tuple(_array(t) for t in tensors)


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy())


@compiled
def _sweeps(states, edges, near, far, gates, virtual_edges):
    """Updates the states (n, d) of one graph: a sweep in topological order, then one in the reversed order.

    Args:
        states: (n, d) float32, changed in place.
        edges: (2, E) int64, see `ArchGraph.edge_index`.
        near, far: transposed weights and biases of MLP and MLP_ve. gates: those of the GRU cell.
        virtual_edges: whether `far` messages are sent.
    """
    n, d = states.shape
    closeness = _closeness(edges, n)
    hidden, sent, sent_far = np.empty(len(near[1]), np.float32), np.empty(d, np.float32), np.empty(d, np.float32)
    given, own, powers = np.empty(3 * d, np.float32), np.empty(3 * d, np.float32), np.empty(3 * d, np.int32)
    for reverse in (False, True):
        received = np.zeros((n, d), np.float32)
        for step in range(n):
            v = n - 1 - step if reverse else step
            first, last = (0, v) if reverse else (v + 1, n)
            _gru(states[v], received[v], gates, given, own, powers)
            _mlp(states[v], near, hidden, sent)
            if virtual_edges:
                _mlp(states[v], far, hidden, sent_far)
            for u in range(first, last):
                weight = closeness[v, u]
                if virtual_edges and weight > 0:
                    for j in range(d):
                        received[u, j] += weight * sent_far[j]
                if weight == 1:
                    for j in range(d):
                        received[u, j] += sent[j]


@compiled
def _closeness(edges, n):
    """(n, n) float32, symmetric: 1/distance of nodes that a path of at most 50 edges joins, else 0."""
    distance = np.empty((n, n), np.uint8)
    fill_distances(edges, n, TOO_FAR, distance)
    closeness = np.zeros((n, n), np.float32)
    for u in range(n):
        for v in range(u + 1, n):
            if distance[u, v] > 0:
                closeness[u, v] = closeness[v, u] = ONE / np.float32(distance[u, v])
    return closeness


@compiled
def _gru(state, message, gates, given, own, powers):
    """Updates a state (d,) in place, as torch.nn.GRUCell does; the last three (3d,) are room to work."""
    d = len(state)
    _linear(message, gates[0], gates[1], given)  # reset, update, new
    _linear(state, gates[2], gates[3], own)
    for j in range(2 * d):
        given[j] += own[j]
    _sigmoid(given[: 2 * d], powers)
    new = given[2 * d :]
    for j in range(d):
        new[j] = TWO * (new[j] + given[j] * own[2 * d + j])
    _sigmoid(new, powers)  # tanh(x) = 2 sigmoid(2x) - 1
    for j in range(d):
        update = given[d + j]
        state[j] = (ONE - update) * (TWO * new[j] - ONE) + update * state[j]


@compiled
def _sigmoid(x, powers):
    """Replaces x (k,) by 1 / (1 + e⁻ˣ), to 1e-7, in plain arithmetic that the compiler vectorises.

    e⁻ˣ = 2ⁿ·eʳ with |r| ≤ ln 2 / 2: eʳ by its Taylor polynomial, 2ⁿ from its bits in `powers`, int32.
    """
    for j in range(len(x)):
        exponent = min(max(-x[j], -LARGEST), LARGEST)
        n = np.floor(exponent * LOG2_E + HALF)
        r = exponent - n * LN_2
        x[j] = ONE + r * (ONE + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * E6)))))
        powers[j] = (np.int32(n) + 127) << 23
    power = powers.view(np.float32)
    for j in range(len(x)):
        x[j] = ONE / (ONE + x[j] * power[j])


@compiled
def _mlp(state, weights, hidden, out):
    """Linear → ReLU → Linear → ReLU of a state (d,)."""
    _linear(state, weights[0], weights[1], hidden)
    _relu(hidden)
    _linear(hidden, weights[2], weights[3], out)
    _relu(out)


@compiled
def _linear(x, weight, bias, out):
    """Writes x · weight + bias: (i,), (i, j) and (j,) to (j,)."""
    for j in range(len(out)):
        out[j] = bias[j]
    for i in range(len(x)):
        for j in range(len(out)):
            out[j] += x[i] * weight[i, j]


@compiled
def _relu(x):
    for j in range(len(x)):
        x[j] = max(x[j], ZERO)
