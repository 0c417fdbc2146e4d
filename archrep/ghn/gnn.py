"""Propagation over the graph: the gated graph network of GHN-1/2, and the MLP baseline (paper § 4, Eq. 3–4)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from archrep.ghn import kernel
from archrep.graph.archgraph import ArchGraph
from archrep.graph.batch import GraphBatch


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers, each followed by a ReLU."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers)


class GatedGNN(nn.Module):
    """Gated graph neural network, T = 1: one sweep in topological order, one in the reversed order.

    A node's message is Σ MLP(h_u) over its distance-1 neighbours plus, with virtual edges, Σ MLP_ve(h_u) /
    distance over all neighbours up to distance 50; a GRU cell updates its state. The paper's Eq. 4 has
    only distances above 1 in the second sum; the released code also has distance 1, and so have we.

    There are two ways through, with the same result: on a CPU, in float32, a compiled kernel takes node after
    node (kernel.py). Else nodes of one level are updated together, in all graphs: exact, since a message reads
    ancestors only, which the sweep has updated before.
    """

    def __init__(self, hidden: int, virtual_edges: bool) -> None:
        super().__init__()
        self.virtual_edges = virtual_edges
        self.mlp = mlp(hidden, hidden // 2 if virtual_edges else hidden, hidden)
        self.mlp_ve = mlp(hidden, hidden // 2, hidden) if virtual_edges else None
        self.gru = nn.GRUCell(hidden, hidden)

    def forward(self, states: Tensor, graphs: Sequence[ArchGraph], batch: GraphBatch | None = None) -> Tensor:
        """Node states (N, d) of all graphs, one graph after the other, after both sweeps.

        Args:
            states: (N, d) of the encoder.
            batch: the graphs, collated; given where that was done elsewhere, such as in another process.
        """
        if kernel.applies(self, states):
            return kernel.propagate(self, states, graphs)
        return self._by_level(states, graphs, batch)[1]

    @torch.no_grad()
    def sweeps(self, states: Tensor, graphs: Sequence[ArchGraph]) -> tuple[Tensor, Tensor]:
        """Node states (N, d) after the first sweep and after both; arguments as of `forward`."""
        if kernel.applies(self, states):
            return kernel.sweeps(self, states, graphs)
        return self._by_level(states, graphs, None)

    def _by_level(self, states: Tensor, graphs: Sequence[ArchGraph], batch: GraphBatch | None) -> tuple[Tensor, Tensor]:
        """Both sweeps, level after level: states after the first one and after both."""
        batch = (GraphBatch.from_graphs(graphs) if batch is None else batch).to(states.device)
        size, n, _ = batch.distance.shape
        padded = states.new_zeros(size * n, states.shape[1]).index_copy(0, batch.position, states)
        padded = padded.view(size, n, -1)  # (B, n, d)
        outgoing = [(batch.distance == 1).to(states.dtype)]
        if self.virtual_edges:
            outgoing.append(batch.closeness.to(states.dtype))
        first = padded = self._sweep(padded, outgoing, batch.levels)
        incoming = [edges.transpose(1, 2) for edges in outgoing]
        padded = self._sweep(padded, incoming, batch.levels[::-1])
        return first.flatten(0, 1)[batch.position], padded.flatten(0, 1)[batch.position]

    def _sweep(self, states: Tensor, edges: list[Tensor], levels: tuple[Tensor, ...]) -> Tensor:
        """Updates level after level; `edges` are (B, n, n) weights of sender (row) to receiver (column)."""
        size, n, d = states.shape
        rows = torch.arange(size, device=states.device)[:, None]  # (B, 1)
        # Position n is the padding: it reads a zero state, sends nothing, and is cut off at the end.
        states = pad(states, (0, 0, 0, 1))  # (B, n+1, d)
        weights = pad(torch.stack(edges, dim=2), (0, 1, 0, 0, 0, 1))  # (B, n+1, kinds, n+1)
        message = torch.zeros_like(states)
        updated = []
        for level in levels:  # (B, w)
            old = states[rows, level]  # (B, w, d)
            new = self.gru(message[rows, level].flatten(0, 1), old.flatten(0, 1)).view_as(old)
            updated.append(new)
            sent = weights[rows, level].flatten(1, 2)  # (B, w·kinds, n+1)
            # In place, which autograd allows: a new one for every level would leave holes in the memory of a CPU.
            message.baddbmm_(sent.transpose(1, 2), self._messages(new).to(message.dtype))
        order = torch.cat(levels, dim=1)  # (B, Σw)
        return states.scatter(1, order[:, :, None].expand(-1, -1, d), torch.cat(updated, dim=1))[:, :n]

    def _messages(self, states: Tensor) -> Tensor:
        """(B, w, d) → (B, w·kinds, d): what each node sends along distance-1 and along virtual edges."""
        if self.mlp_ve is None:
            return self.mlp(states)
        return torch.stack([self.mlp(states), self.mlp_ve(states)], dim=2).flatten(1, 2)


class NodeMLP(nn.Module):
    """The MLP baseline: every node by itself (paper § 5.1)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.mlp = mlp(hidden, hidden, hidden)

    def forward(self, states: Tensor, graphs: Sequence[ArchGraph], batch: GraphBatch | None = None) -> Tensor:
        """Node states (N, d); the edges do not matter."""
        return self.mlp(states)

    @torch.no_grad()
    def sweeps(self, states: Tensor, graphs: Sequence[ArchGraph]) -> tuple[Tensor, Tensor]:
        """The same states twice: there are no sweeps."""
        states = self.mlp(states)
        return states, states
