"""Filling networks with predicted parameters."""

from collections.abc import Sequence

import torch
from torch import nn

from archrep.errors import ArchrepError
from archrep.ghn.model import GHN
from archrep.graph.archgraph import ArchGraph
from archrep.graph.capture import capture


@torch.no_grad()
def predict_parameters(
    network: nn.Module, ghn: GHN, input_shape: Sequence[int] = (3, 32, 32), graph: ArchGraph | None = None
) -> tuple[str, ...]:
    """Fills a network, in place, with the parameters that a GHN predicts for it.

    Running statistics of batch norm are not predicted: evaluate with those of the batch (`network.train()`,
    or `archrep.train.functional.use_batch_statistics`) or estimate them on images first.

    Args:
        network: any module that `capture` accepts, with allocated weights of any floating dtype, on any device.
        ghn: the graph hypernetwork.
        input_shape: shape of one input without the batch dimension.
        graph: the network's graph, where it is known already; else it is captured.

    Returns:
        Names of the parameters that keep their values, because the forward pass never uses them.

    Raises:
        CaptureError: if the network cannot be captured.
        ArchrepError: if its weights are not allocated, or `graph` belongs to another network.
    """
    parameters = dict(network.named_parameters())
    if any(p.is_meta for p in parameters.values()):
        raise ArchrepError(
            "The network is on the meta device, so there is nothing to fill; call network.to_empty(device='cpu') first."
        )
    graph = capture(network, input_shape, vocabulary=ghn.config.vocabulary) if graph is None else graph
    other = [n for n, shape in graph.param_shapes.items() if n not in parameters or parameters[n].shape != shape]
    if other:
        raise ArchrepError(f"The graph is of another network: parameter {other[0]!r} is missing or of another shape.")
    for name, value in ghn.predict_many([graph])[0].items():
        parameters[name].copy_(value)
    return tuple(name for name in parameters if name not in graph.param_shapes)
