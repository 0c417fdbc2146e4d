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
    buffers = {name: b.to("meta") for name, b in network.named_buffers()}
    with _untouched(network), torch.no_grad():
        return torch.func.functional_call(network, {**parameters, **buffers}, (images,))


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
