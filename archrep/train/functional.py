"""Running a network with given parameters instead of its own (paper § 5.1; design: evaluation convention)."""

from collections import Counter
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archrep.seeding import seeded
from archrep.space.architecture import Architecture
from archrep.space.deepnets.network import new_block
from archrep.space.deepnets.plan import Step


def skeleton(architecture: Architecture) -> nn.Module:
    """The architecture's network without memory for parameters (meta device), batch norm on batch statistics.

    Blocks of DeepNets are used again in the next one (making them anew takes a tenth of a training step): hand a
    skeleton to `run`, which leaves nothing behind in it, and do not keep it.
    """
    if architecture.config is not None:
        return architecture.make_network(make_block=_Spares())
    with torch.device("meta"):
        network = architecture.build()
    return use_batch_statistics(network)


class _Spares:
    """Makes the blocks of one skeleton out of those of earlier ones; none occurs in it twice."""

    def __init__(self) -> None:
        self._used: Counter[Step] = Counter()

    def __call__(self, step: Step, norm: bool) -> nn.Module:
        alike = Step(step.kind, c_in=step.c_in, c_out=step.c_out, kernel=step.kernel, stride=step.stride)
        self._used[alike] += 1
        return _spare(alike, norm, self._used[alike])


@lru_cache(maxsize=8192)
def _spare(step: Step, norm: bool, copy: int) -> nn.Module:
    with torch.device("meta"):
        return use_batch_statistics(new_block(step, norm))


def runnable(architecture: Architecture, device: torch.device) -> nn.Module:
    """The architecture's network for `run` on a device: a skeleton where that will do, else a real network.

    A real one is needed if it computes with values when it is made, or has buffers (index tables of attention).
    """
    try:
        network = skeleton(architecture)
        if next(network.buffers(), None) is None:
            return network
    except RuntimeError:
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
