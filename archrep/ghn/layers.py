"""Node states of a GHN layer by layer, and what is pooled from them (paper, § 5.2 takes the mean of the last one)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from archrep.errors import lookup
from archrep.ghn.model import GHN
from archrep.graph.archgraph import ArchGraph
from archrep.graph.batch import batches

LAYERS = {
    "input": "embedding of primitive and shape",
    "forward": "after the sweep in topological order",
    "backward": "after both sweeps",
    "final": "after the layer norm: what is decoded",
}


def _reduce(how: str) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda states, sizes: torch.segment_reduce(states, how, lengths=sizes)


def _ends(states: Tensor, sizes: Tensor) -> Tensor:
    ends = sizes.cumsum(0)
    return torch.cat([states[ends - sizes], states[ends - 1]], dim=1)


# From node states (N, d) of B graphs, one after the other, and their sizes (B,) to (B, d), or (B, 2d) of `ends`.
POOLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": _reduce("mean"),
    "sum": _reduce("sum"),
    "max": _reduce("max"),
    "ends": _ends,  # the input node and the output node
}


@torch.no_grad()
def node_layers(ghn: GHN, graphs: Sequence[ArchGraph]) -> dict[str, Tensor]:
    """Node states (N, d) float32 of all graphs, one graph after the other, by the names of `LAYERS`."""
    primitive = torch.cat([graph.primitive for graph in graphs]).to(ghn.device)
    shape = torch.cat([graph.shape for graph in graphs]).to(ghn.device)
    states = ghn.encoder(primitive, shape)
    forward, backward = ghn.gnn.sweeps(states, graphs)
    return {"input": states, "forward": forward, "backward": backward, "final": ghn.norm(backward)}


@torch.no_grad()
def pooled(
    ghn: GHN,
    graphs: Sequence[ArchGraph],
    layers: Sequence[str] = ("final",),
    pools: Sequence[str] = ("mean",),
    batch_size: int = 64,
) -> Tensor:
    """(B, d · layers · pools) float32 on the CPU: every pool of every layer, concatenated.

    Args:
        graphs: in the GHN's vocabulary.
        layers, pools: names of `LAYERS` and `POOLS`. batch_size: graphs that are taken together; changes no result.

    Raises:
        ArchrepError: for an unknown layer or pool.
    """
    for layer in layers:
        lookup(LAYERS, layer, "layer of a GHN")
    functions = [lookup(POOLS, pool, "pool") for pool in pools]
    rows: list[Tensor] = [torch.empty(0)] * len(graphs)
    for positions in batches(graphs, batch_size):
        batch = [graphs[i] for i in positions]
        states = node_layers(ghn, batch)
        sizes = torch.tensor([len(graph.primitive) for graph in batch], device=ghn.device)
        values = torch.cat([pool(states[layer], sizes) for layer in layers for pool in functions], dim=1)
        for i, row in zip(positions, values.float().cpu(), strict=True):
            rows[i] = row
    return torch.stack(rows)
