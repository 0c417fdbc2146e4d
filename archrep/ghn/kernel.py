"""The gated graph network on a CPU: node after node, in machine code, forward and backward.

A node costs a few µs on one core (`python -m benchmarks.speed`), about one operation of torch, so there is
nothing to gain from batching. Every node sends one message per sweep, whatever the number of its edges. The
graphs of a batch are shared out over torch's number of threads.

The forward sweeps write everything that a node computes on a tape. Where gradients are asked for, the backward ones
take the nodes in the opposite order and write down the gradient of everything that left a linear layer (`Deltas`);
those of the weights are then products of a few matrices over all nodes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from archrep.compiled import COMPILES, ONE, compiled, exponential, in_threads
from archrep.graph.archgraph import ArchGraph
from archrep.graph.distance import TOO_FAR, fill_distances

if TYPE_CHECKING:
    from archrep.ghn.gnn import GatedGNN

ZERO, TWO = np.float32(0), np.float32(2)  # plain numbers would make it double precision
SWEEPS = 2  # the topological order, then the reversed one


class Tape(NamedTuple):
    """What the nodes compute in both sweeps, float32; every array is (2, n, …) where it is kept.

    `old` (d) and `new` (d): a node's state before and after; `message` (d): what it has received; `gates` (4d): reset
    gate, update gate, new gate, and the hidden part of the new gate; `hidden` (kinds, h), `sent` (kinds, d): layers of
    the MLPs of its messages: along distance-1 edges and, with virtual edges, along those.
    """

    old: np.ndarray
    new: np.ndarray
    message: np.ndarray
    gates: np.ndarray
    hidden: np.ndarray
    sent: np.ndarray


class Deltas(NamedTuple):
    """Gradients of what leaves the linear layers, float32: (2, n, …) with the widths of (6d, kinds·h, kinds·d).

    `gates`: of the products of the GRU cell with the message (3d), then with the state (3d); `hidden`, `sent`: of the
    MLPs before their ReLUs.
    """

    gates: np.ndarray
    hidden: np.ndarray
    sent: np.ndarray


def applies(gnn: "GatedGNN", states: Tensor) -> bool:
    """Whether the kernel can update these states: plain float32 tensors on a CPU."""
    return COMPILES and states.device.type == "cpu" and states.dtype == gnn.gru.weight_ih.dtype == torch.float32


def propagate(gnn: "GatedGNN", states: Tensor, graphs: Sequence[ArchGraph]) -> Tensor:
    """Node states (N, d) of all graphs, one graph after the other, after both sweeps; with gradients."""
    weights = _weights(gnn)
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (states, *weights))
    return _Propagate.apply(states, graphs, keep, *weights)


def sweeps(gnn: "GatedGNN", states: Tensor, graphs: Sequence[ArchGraph]) -> tuple[Tensor, Tensor]:
    """Node states (N, d) after the first sweep and after both; without gradients."""
    result, _, tapes, _ = _run(states, graphs, True, _weights(gnn))
    return torch.from_numpy(np.concatenate([tape.new[0] for tape in tapes])), result


def _weights(gnn: "GatedGNN") -> list[Tensor]:
    """The four tensors of the GRU cell and of every MLP."""
    layers = [*_linear_layers(gnn.mlp), *(_linear_layers(gnn.mlp_ve) if gnn.mlp_ve is not None else ())]
    gru = gnn.gru
    own = [gru.weight_ih, gru.bias_ih, gru.weight_hh, gru.bias_hh]
    return own + [tensor for layer in layers for tensor in (layer.weight, layer.bias)]


def _linear_layers(layers: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


class _Propagate(torch.autograd.Function):
    """Both sweeps, with gradients.

    Arguments: states, graphs, whether gradients may be asked for, the four tensors of the GRU cell and of every MLP.
    """

    @staticmethod
    def forward(ctx, states: Tensor, graphs: Sequence[ArchGraph], keep: bool, *weights: Tensor) -> Tensor:
        result, edges, tapes, ends = _run(states, graphs, keep, weights)
        ctx.save_for_backward(*weights)
        ctx.graphs = edges, tapes, ends
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        weights = ctx.saved_tensors
        edges, tapes, ends = ctx.graphs
        gates, *mlps = map(_for_backward, _fours(weights))
        result = grad.detach().numpy().copy()
        parts = np.split(result, ends)
        deltas: list[Deltas] = [None] * len(tapes)  # type: ignore[list-item]

        def update(i: int) -> None:
            tape = tapes[i]
            widths = (6 * tape.old.shape[2], tape.hidden.shape[2], tape.sent.shape[2])
            deltas[i] = Deltas(*(np.empty((*tape.old.shape[:2], width), np.float32) for width in widths))
            _backward(parts[i], edges[i], tuple(mlps), gates, tape, deltas[i])

        in_threads(update, len(tapes))
        return torch.from_numpy(result), None, None, *_of_weights(tapes, deltas, len(mlps))


def _run(
    states: Tensor, graphs: Sequence[ArchGraph], keep: bool, weights: Sequence[Tensor]
) -> tuple[Tensor, list[np.ndarray], list[Tape], np.ndarray]:
    """Both sweeps: states (N, d), the graphs' edges, their tapes, and where their nodes end."""
    gates, *mlps = map(_for_forward, _fours(weights))
    result = states.detach().numpy().copy()  # the kernel writes in place
    ends = np.cumsum([len(g.primitive) for g in graphs])[:-1]
    parts = np.split(result, ends)
    # Edges in another layout would be compiled anew, and round otherwise.
    edges = [_array(g.edge_index.cpu()) for g in graphs]
    tapes: list[Tape] = [None] * len(graphs)  # type: ignore[list-item]

    def update(i: int) -> None:
        tapes[i] = _tape(len(parts[i]), states.shape[1], len(mlps), len(mlps[0][1]), keep)
        _forward(parts[i], edges[i], tuple(mlps), gates, tapes[i])

    in_threads(update, len(graphs))
    return torch.from_numpy(result), edges, tapes, ends


def _tape(n: int, d: int, kinds: int, hidden: int, keep: bool) -> Tape:
    """An empty tape; unless it is to be kept, all nodes write to the same place."""
    sweeps, rows = (SWEEPS, n) if keep else (1, 1)
    shapes = [(rows, d), (rows, d), (n, d), (rows, 4 * d), (rows, kinds * hidden), (rows, kinds * d)]
    return Tape(*(np.empty((sweeps, *shape), np.float32) for shape in shapes))


def _fours(weights: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    """Weight, bias, weight, bias of the GRU cell, and of every MLP."""
    return [weights[i : i + 4] for i in range(0, len(weights), 4)]


def _for_forward(weights: Sequence[Tensor]) -> tuple[np.ndarray, ...]:
    """Weights as (in, out), biases (out,)."""
    return tuple(_array(t.t()) for t in weights)


def _for_backward(weights: Sequence[Tensor]) -> tuple[np.ndarray, ...]:
    """Weights as (out, in), without the biases."""
    return tuple(_array(t) for t in weights[::2])


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy())


def _of_weights(tapes: list[Tape], deltas: list[Deltas], kinds: int) -> list[Tensor]:
    """Gradients of weights and biases: over all nodes and sweeps, what left a layer by what entered it."""

    def rows(arrays: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.concatenate([a.reshape(-1, a.shape[2]) for a in arrays]))

    old, new, message = (rows([getattr(tape, name) for tape in tapes]) for name in ("old", "new", "message"))
    given, own = rows([delta.gates for delta in deltas]).chunk(2, dim=1)
    pairs = [(given, message), (own, old)]
    hidden = rows([tape.hidden for tape in tapes]).chunk(kinds, dim=1)
    of_hidden = rows([delta.hidden for delta in deltas]).chunk(kinds, dim=1)
    of_sent = rows([delta.sent for delta in deltas]).chunk(kinds, dim=1)
    for kind in range(kinds):
        pairs += [(of_hidden[kind], new), (of_sent[kind], hidden[kind])]
    return [gradient for left, entered in pairs for gradient in (left.t() @ entered, left.sum(dim=0))]


@compiled()
def _forward(states, edges, mlps, gates, tape):
    """Updates the states (n, d) of one graph: a sweep in topological order, then one in the reversed order.

    Args:
        states: (n, d) float32, changed in place.
        edges: (2, E) int64, see `ArchGraph.edge_index`.
        mlps: weights (in, out) and biases of the MLPs, one per kind of edge. gates: those of the GRU cell.
        tape: filled.
    """
    n, d = states.shape
    h = tape.hidden.shape[2] // len(mlps)
    closeness = _closeness(edges, n)
    own, powers = np.empty(3 * d, np.float32), np.empty(3 * d, np.int32)
    for sweep in range(SWEEPS):
        side = min(sweep, len(tape.old) - 1)
        received = tape.message[side]
        received[:] = ZERO
        for step in range(n):
            v = n - 1 - step if sweep else step
            row = min(v, tape.old.shape[1] - 1)
            hidden, sent = tape.hidden[side, row], tape.sent[side, row]
            tape.old[side, row] = states[v]
            _gru(states[v], received[v], gates, tape.gates[side, row], own, powers)
            tape.new[side, row] = states[v]
            for kind in range(len(mlps)):
                _mlp(states[v], mlps[kind], hidden[kind * h : (kind + 1) * h], sent[kind * d : (kind + 1) * d])
            near, far = sent[:d], sent[-d:]
            first, last = (0, v) if sweep else (v + 1, n)
            for u in range(first, last):
                weight = closeness[v, u]
                if len(mlps) == 2 and weight > ZERO:
                    for j in range(d):
                        received[u, j] += weight * far[j]
                if weight == ONE:
                    for j in range(d):
                        received[u, j] += near[j]


@compiled()
def _backward(grad, edges, mlps, gates, tape, deltas):
    """From the gradient in the final states (n, d) of one graph to that in the initial ones, in place.

    Args:
        mlps, gates: weights (out, in), without biases.
        tape: of the forward sweeps. deltas: filled.
    """
    n, d = grad.shape
    h = tape.hidden.shape[2] // len(mlps)
    closeness = _closeness(edges, n)
    of_message = np.empty((n, d), np.float32)
    of_near, of_far = np.empty(d, np.float32), np.empty(d, np.float32)
    for sweep in range(SWEEPS - 1, -1, -1):
        for step in range(n):
            v = step if sweep else n - 1 - step
            of_near[:] = of_far[:] = ZERO
            first, last = (0, v) if sweep else (v + 1, n)  # those that v has sent a message to
            for u in range(first, last):
                weight = closeness[v, u]
                if len(mlps) == 2 and weight > ZERO:
                    for j in range(d):
                        of_far[j] += weight * of_message[u, j]
                if weight == ONE:
                    for j in range(d):
                        of_near[j] += of_message[u, j]
            for kind in range(len(mlps)):
                sent, hidden = slice(kind * d, (kind + 1) * d), slice(kind * h, (kind + 1) * h)
                left, entered = deltas.sent[sweep, v, sent], deltas.hidden[sweep, v, hidden]
                _where(tape.sent[sweep, v, sent], of_far if kind else of_near, left)
                entered[:] = ZERO
                _add_linear(left, mlps[kind][1], entered)
                _where(tape.hidden[sweep, v, hidden], entered, entered)
                _add_linear(entered, mlps[kind][0], grad[v])
            _gru_backward(grad[v], tape.old[sweep, v], tape.gates[sweep, v], deltas.gates[sweep, v])
            of_message[v] = ZERO
            _add_linear(deltas.gates[sweep, v, : 3 * d], gates[0], of_message[v])
            _add_linear(deltas.gates[sweep, v, 3 * d :], gates[1], grad[v])


@compiled()
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


@compiled()
def _gru(state, message, weights, gates, own, powers):
    """Updates a state (d,) in place, as torch.nn.GRUCell does, and writes `Tape.gates`; `own`, `powers` are scratch."""
    d = len(state)
    given = gates[: 3 * d]  # reset, update, new
    _linear(message, weights[0], weights[1], given)
    _linear(state, weights[2], weights[3], own)
    for j in range(2 * d):
        given[j] += own[j]
    _sigmoid(given[: 2 * d], powers[: 2 * d])
    new = given[2 * d :]
    for j in range(d):
        new[j] = TWO * (new[j] + given[j] * own[2 * d + j])
    _sigmoid(new, powers[:d])  # tanh(x) = 2 sigmoid(2x) - 1
    for j in range(d):
        new[j] = TWO * new[j] - ONE
        gates[3 * d + j] = own[2 * d + j]
        update = given[d + j]
        state[j] = (ONE - update) * new[j] + update * state[j]


@compiled()
def _gru_backward(grad, old, gates, deltas):
    """Gradients of the GRU's products with the message and the state (6d,), from that of the new state (d,).

    `grad` becomes the part of the old state's gradient that passes the update gate.
    """
    d = len(grad)
    for j in range(d):
        reset, update, new = gates[j], gates[d + j], gates[2 * d + j]
        of_new = grad[j] * (ONE - update) * (ONE - new * new)
        of_reset = of_new * gates[3 * d + j] * reset * (ONE - reset)
        of_update = grad[j] * (old[j] - new) * update * (ONE - update)
        deltas[j] = deltas[3 * d + j] = of_reset
        deltas[d + j] = deltas[4 * d + j] = of_update
        deltas[2 * d + j] = of_new
        deltas[5 * d + j] = of_new * reset
        grad[j] *= update


@compiled()
def _sigmoid(x, powers):
    """Replaces x (k,) by 1 / (1 + e⁻ˣ); `powers` (k,) int32 is scratch."""
    for j in range(len(x)):
        x[j] = -x[j]
    exponential(x, powers)
    for j in range(len(x)):
        x[j] = ONE / (ONE + x[j])


@compiled()
def _mlp(state, weights, hidden, out):
    """Linear → ReLU → Linear → ReLU of a state (d,)."""
    _linear(state, weights[0], weights[1], hidden)
    _relu(hidden)
    _linear(hidden, weights[2], weights[3], out)
    _relu(out)


@compiled()
def _linear(x, weight, bias, out):
    """Writes x · weight + bias: (i,), (i, j) and (j,) to (j,)."""
    for j in range(len(out)):
        out[j] = bias[j]
    _add_linear(x, weight, out)


@compiled()
def _add_linear(x, weight, out):
    """Adds x · weight: (i,) and (i, j) to (j,)."""
    for i in range(len(x)):
        for j in range(len(out)):
            out[j] += x[i] * weight[i, j]


@compiled()
def _relu(x):
    for j in range(len(x)):
        x[j] = max(x[j], ZERO)


@compiled()
def _where(value, x, out):
    """Writes x where a ReLU's value is positive, else 0: its gradient."""
    for j in range(len(out)):
        out[j] = x[j] if value[j] > ZERO else ZERO
