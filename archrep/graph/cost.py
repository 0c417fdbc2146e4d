"""Parameters and FLOPs of a network."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archrep.graph.run import forward, parameters_on


def count_params(network: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(p.numel() for p in network.parameters())


def count_flops(network: nn.Module, input_shape: Sequence[int] = (3, 32, 32)) -> int:
    """Floating-point operations of one forward pass per image (a multiply-accumulate counts 2).

    Convolutions, matrix products and attention are counted, on the meta device: there attention is not
    hidden in a fused kernel.
    """
    with FlopCounterMode(display=False) as counter:
        forward(network, parameters_on("meta", network), torch.empty(1, *input_shape, device="meta"))
    return counter.get_total_flops()
