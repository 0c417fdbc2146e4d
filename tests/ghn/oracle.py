"""A plain, slow GatedGNN: nodes one after another, one message per edge. The specification for tests."""

import torch


def sequential_states(ghn, graph):
    """Final node states (N, d), computed from the formulas of paper Eq. 3–4."""
    states = list(ghn.encoder(graph.primitive, graph.shape))
    distance = graph.distance_matrix
    n = len(states)
    for order, senders in (
        (range(n), lambda v: [(u, distance[u, v]) for u in range(n) if distance[u, v] > 0]),
        (range(n - 1, -1, -1), lambda v: [(u, distance[v, u]) for u in range(n) if distance[v, u] > 0]),
    ):
        for v in order:
            message = torch.zeros_like(states[v])
            for u, d in senders(v):
                if d == 1:
                    message = message + ghn.gnn.mlp(states[u])
                if ghn.config.virtual_edges and d <= 50:
                    message = message + ghn.gnn.mlp_ve(states[u]) / int(d)
            states[v] = ghn.gnn.gru(message[None], states[v][None])[0]
    return ghn.norm(torch.stack(states))
