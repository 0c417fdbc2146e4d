"""A plain, slow GatedGNN, to read and to hold the fast one against: the specification.

One node after another, in topological order and then in the reversed one; the message MLPs are applied
once per edge. Paper Eq. 3–4, with the released code's choice that virtual messages run along distance-1
edges too.
"""

import torch
from torch import Tensor

from archrep import GHN, ArchGraph


def sequential_states(ghn: GHN, graph: ArchGraph) -> Tensor:
    """Final node states (N, d) of a GHN with a gated graph network, with gradients."""
    states = list(ghn.encoder(graph.primitive, graph.shape))
    distance = torch.from_numpy(graph.distance_matrix)  # (N, N), row to column, 0: no path
    for order, distances_to in (
        (range(len(states)), distance.T),
        (range(len(states) - 1, -1, -1), distance),
    ):
        for v in order:
            message = torch.zeros_like(states[v])
            near = (distances_to[v] == 1).nonzero()[:, 0].tolist()
            if near:
                message = message + ghn.gnn.mlp(torch.stack([states[u] for u in near])).sum(dim=0)
            reachable = (distances_to[v] > 0) & (distances_to[v] <= 50)
            far = reachable.nonzero()[:, 0].tolist()
            if far and ghn.config.virtual_edges:
                sent = ghn.gnn.mlp_ve(torch.stack([states[u] for u in far]))  # (senders, d)
                message = message + (sent / distances_to[v, far, None]).sum(dim=0)
            states[v] = ghn.gnn.gru(message[None], states[v][None])[0]
    return ghn.norm(torch.stack(states))
