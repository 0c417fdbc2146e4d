"""Running a network on the meta device: shapes only, nothing computed, nothing changed in the network."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn


def meta_parameters(network: nn.Module) -> dict[str, Tensor]:
    """Parameters of a network on the meta device, shared ones once."""
    return {name: p.detach().to("meta") for name, p in network.named_parameters()}


def forward_on_meta(network: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> object:
    """Output of the network in evaluation mode; weights, buffers, mode and random states stay as they were."""
    named = {id(p): parameters[name] for name, p in network.named_parameters()}
    tensors: dict[str, Tensor] = {}
    # Every module once: torch's own tying leaves its tensors in a module that is registered twice.
    for path, module in network.named_modules():
        own = {key: named[id(p)] for key, p in module.named_parameters(recurse=False, remove_duplicate=False)}
        own |= {key: b.to("meta") for key, b in module.named_buffers(recurse=False, remove_duplicate=False)}
        tensors |= {f"{path}.{key}".lstrip("."): tensor for key, tensor in own.items()}
    with _untouched(network), torch.no_grad():
        return torch.func.functional_call(network, tensors, (images,), tie_weights=False)


@contextmanager
def _untouched(network: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in network.modules()}
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            network.eval()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        random.setstate(python)
        np.random.set_state(numpy)
