"""Parameters and FLOPs of a network."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_params(network: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(p.numel() for p in network.parameters())


def count_flops(network: nn.Module, input_shape: Sequence[int] = (3, 32, 32)) -> int:
    """Floating-point operations of one forward pass per image (a multiply-accumulate counts 2).

    Convolutions, matrix products and attention are counted. Runs on the meta device: no weights are
    touched, and attention is not hidden in a fused kernel.
    """
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    state = {name: value.detach().to("meta") for name, value in state.items()}
    training = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            torch.func.functional_call(network.eval(), state, (torch.empty(1, *input_shape, device="meta"),))
    finally:
        for module, mode in training.items():
            module.training = mode
    return counter.get_total_flops()
