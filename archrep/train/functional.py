"""Running a network with given parameters instead of its own (paper § 5.1; design: evaluation convention)."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archrep.seeding import seeded
from archrep.space.architecture import Architecture


def skeleton(architecture: Architecture) -> nn.Module:
    """The architecture's network without memory for parameters (meta device), batch norm on batch statistics."""
    with torch.device("meta"):
        network = architecture.build()
    return use_batch_statistics(network)


def runnable(architecture: Architecture, device: torch.device) -> nn.Module:
    """The architecture's network for `run` on a device: a skeleton where that will do, else a real network.

    A real one is needed if it computes with values when it is made, or has buffers (index tables of attention).
    """
    try:
        network = skeleton(architecture)
        if next(network.buffers(), None) is None:
            return network
    except (RuntimeError, NotImplementedError):
        pass
    with seeded(0):
        return use_batch_statistics(architecture.build()).to(device)


def use_batch_statistics(network: nn.Module) -> nn.Module:
    """Makes batch norm normalise by the statistics of the batch at hand, since running ones are not predicted."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
    return network


def run(network: nn.Module, parameters: dict[str, Tensor], images: Tensor) -> Tensor:
    """Logits (B, classes) of `network` with `parameters`; those it never uses need not be there.

    Kernels are laid out channels-last, like the images: small convolutions run faster so on a CPU.
    """
    laid_out = {
        name: value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value
        for name, value in parameters.items()
    }
    return torch.func.functional_call(network, laid_out, (images,))
