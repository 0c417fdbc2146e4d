"""Running a network with other tensors in place of its own, above all on the meta device: shapes only."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def parameters_on(device: str, network: nn.Module) -> dict[str, Tensor]:
    """Copies of a network's parameters on the device, shared ones once; zeros where there are no values to copy.

    Half and double precision become float32, the dtype of images.
    """
    return {name: _on(device, p) for name, p in network.named_parameters()}


def _on(device: str, tensor: Tensor) -> Tensor:
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    if tensor.is_meta and device != "meta":
        return torch.zeros_like(tensor, device=device, dtype=dtype)
    return tensor.detach().to(device, dtype, copy=device != "meta")


def forward(network: nn.Module, parameters: Mapping[str, Tensor], *args: Any, **kwargs: Any) -> object:
    """Output of the network in evaluation mode, with these parameters and copies of its buffers beside them.

    Weights, buffers, mode and random states stay as they were.
    """
    device = next((p.device.type for p in parameters.values()), "meta")
    named = {id(p): parameters[name] for name, p in network.named_parameters()}
    tensors: dict[str, Tensor] = {}
    # Every module once: torch's own tying leaves its tensors in a module that is registered twice.
    for path, module in network.named_modules():
        own = {key: named[id(p)] for key, p in module.named_parameters(recurse=False, remove_duplicate=False)}
        own |= {key: _on(device, b) for key, b in module.named_buffers(recurse=False, remove_duplicate=False)}
        tensors |= {f"{path}.{key}".lstrip("."): tensor for key, tensor in own.items()}
    with _untouched(network), torch.no_grad():
        return torch.func.functional_call(network, tensors, args, kwargs, tie_weights=False)


@contextmanager
def _untouched(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards all attributes of all modules, and the random states, are as before."""
    attributes = {module: _attributes(module) for module in network.modules()}
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            network.eval()
            yield
    finally:
        for module, before in attributes.items():
            module.__dict__.clear()
            module.__dict__.update(before)
        random.setstate(python)
        np.random.set_state(numpy)


def _attributes(module: nn.Module) -> dict[str, Any]:
    """A module's attributes; its own containers of tensors, modules and plain values are copied."""
    kinds = (dict, list, set)
    return {key: copy(value) if type(value) in kinds else value for key, value in vars(module).items()}
