"""Peak activation memory of a network, counted on the meta device: the same on every machine."""

import weakref
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from archrep.graph.run import forward, parameters_on


def activation_memory(network: nn.Module, input_shape: Sequence[int] = (3, 32, 32)) -> int:
    """The most bytes that activations take at once in a forward pass of one image, the image included.

    A tensor that an operation makes counts from then on until nothing in the network's `forward` holds it: what plain
    PyTorch needs beside parameters and buffers, in float32. What kernels use inside does not count; an attention
    matrix does, since the meta device has no fused attention.
    """
    on_meta = deepcopy(network).to("meta")
    tensors = parameters_on("meta", on_meta)
    image = torch.empty(1, *input_shape, device="meta")
    with torch.no_grad(), _Live([*tensors.values(), *on_meta.buffers()]) as live:
        live.hold(image)
        forward(on_meta, tensors, image)
    return live.peak


class _Live(TorchDispatchMode):
    """Counts the bytes of all tensors that operations make and something still holds; `given` ones do not count."""

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known = {t.untyped_storage()._cdata for t in given}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.hold(leaf)
        return result

    def hold(self, tensor: Tensor) -> None:
        """Counts a tensor's storage, once, until it is freed."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
