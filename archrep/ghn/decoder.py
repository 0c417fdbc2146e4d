"""Decoders: node states to parameter tensors (paper § 4, appendix B).

A decoder always stands for one largest tensor per node; what a network needs is a prefix of it in every
dimension, tiled where the network's tensor is bigger. Only the prefix is computed, with prefixes of the weights.
"""

from collections.abc import Iterable
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from archrep.graph.archgraph import Shape

Prefix = Shape  # (out, in, height, width), at most the decoder's `max_shape`


class _Prefixes(torch.autograd.Function):
    """Prefixes of a tensor, as contiguous copies; their gradients are added up in one tensor instead of one each."""

    @staticmethod
    def forward(ctx, tensor: Tensor, *shapes: Shape) -> tuple[Tensor, ...]:
        ctx.shape, ctx.shapes = tensor.shape, shapes
        return tuple(_prefix(tensor, shape).clone(memory_format=torch.contiguous_format) for shape in shapes)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        total = grads[0].new_zeros(ctx.shape)
        for grad, shape in zip(grads, ctx.shapes, strict=True):
            _prefix(total, shape).add_(grad)
        return total, *[None] * len(ctx.shapes)


def _prefix(tensor: Tensor, shape: Shape) -> Tensor:
    return tensor[tuple(slice(size) for size in shape)]


class TensorDecoder(nn.Module):
    """Decodes tensors of rank 2–4, and the weights of classification layers.

    Linear → ReLU → 1×1 conv → ReLU → 1×1 conv gives (out, in, height, width) = `max_shape`; classification
    weights pass from the `out` dimension through one more layer to `num_classes`.
    """

    def __init__(self, hidden: int, max_shape: tuple[int, int, int, int], num_classes: int) -> None:
        super().__init__()
        out, into, height, width = self.max_shape = max_shape
        self.spread = nn.Linear(hidden, 4 * hidden * height * width)
        self.widen = nn.Linear(4 * hidden, 8 * hidden)
        self.channels = nn.Linear(8 * hidden, out * into)
        self.classes = nn.Linear(out, num_classes)

    def weights(self, shapes: Iterable[Prefix]) -> dict[Prefix, tuple[Tensor, ...]]:
        """What `forward` needs to decode tensors of these shapes: weights and biases of `spread` and of `channels`."""
        shapes = tuple(shapes)
        spread, channels = self.spread, self.channels
        kernels = [(len(self.widen.weight[0]), *shape[2:]) for shape in shapes]
        parts = (
            _Prefixes.apply(spread.weight.view(-1, *self.max_shape[2:], spread.in_features), *kernels),
            _Prefixes.apply(spread.bias.view(-1, *self.max_shape[2:]), *kernels),
            _Prefixes.apply(channels.weight.view(*self.max_shape[:2], channels.in_features), *[s[:2] for s in shapes]),
            _Prefixes.apply(channels.bias.view(self.max_shape[:2]), *[s[:2] for s in shapes]),
        )
        return dict(zip(shapes, zip(*parts, strict=True), strict=True))

    def forward(self, states: Tensor, shape: Prefix, weights: tuple[Tensor, ...]) -> Tensor:
        """States (k, d) → tensors (k, *shape), by the `weights` for this shape."""
        out, into, height, width = shape
        spread_w, spread_b, channels_w, channels_b = weights
        k = len(states)
        x = F.linear(states, spread_w.flatten(0, 2), spread_b.flatten()).relu_()  # (k, 4d·h·w)
        x = x.view(k, -1, height * width).transpose(1, 2)  # (k, h·w, 4d)
        x = self.widen(x).relu_()  # (k, h·w, 8d)
        x = F.linear(x, channels_w.flatten(0, 1), channels_b.flatten())  # (k, h·w, out·in)
        return x.transpose(1, 2).contiguous().view(k, out, into, height, width)

    def cost(self, shape: tuple[int, ...]) -> int:
        """Floats that decoding one tensor of this shape needs."""
        out, into, height, width = shape
        return height * width * (len(self.widen.bias) * 3 // 2 + 2 * out * into)

    def class_weights(self, tensors: Tensor) -> Tensor:
        """Tensors (k, out, in, 1, 1), out = max_shape[0] → classification weights (k, num_classes, in)."""
        return self.classes(F.relu(tensors[:, :, :, 0, 0]).transpose(1, 2)).transpose(1, 2)


class VectorDecoder(nn.Module):
    """Decodes 1-D parameters: weights and biases of norms, biases, and biases of classification layers."""

    def __init__(self, hidden: int, max_channels: int, num_classes: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.ReLU(), nn.Linear(2 * hidden, 2 * max_channels))
        self.classes = nn.Linear(max_channels, num_classes)

    def forward(self, states: Tensor) -> Tensor:
        """States (k, d) → (k, 2, max_channels): a weight and a bias per node."""
        return self.mlp(states).unflatten(1, (2, -1))

    def class_biases(self, states: Tensor) -> Tensor:
        """States (k, d) → biases (k, num_classes)."""
        return self.classes(F.relu(self(states)[:, 1]))


def tile(tensor: Tensor, shape: Shape) -> Tensor:
    """Slices what is too big and repeats what is too small; ranks are matched by trailing dimensions of 1.

    What is repeated is written once where sizes divide, else once more per dimension that does not.

    Args:
        tensor: any rank. shape: target shape, any rank from 0.
    """
    rank = max(tensor.dim(), len(shape))
    if tensor.dim() < rank:
        tensor = tensor.reshape(*tensor.shape, *[1] * (rank - tensor.dim()))
    target = (*shape, *[1] * (rank - len(shape)))
    for dim in reversed(range(rank)):
        want, have = target[dim], tensor.shape[dim]
        if want < have or want == 0:
            tensor = tensor.narrow(dim, 0, want)
        elif want % have:
            tensor = torch.cat([tensor] * (want // have) + [tensor.narrow(dim, 0, want % have)], dim)
    if tensor.shape == shape:
        return tensor
    blocks = [size for have in tensor.shape for size in (1, have)]
    repeated = [size for have, want in zip(tensor.shape, target, strict=True) for size in (want // max(have, 1), have)]
    return tensor.view(blocks).expand(repeated).reshape(shape)


def fan_in_scale(primitive: str, shape: Shape) -> float:
    """Factor √(β / fan-in) of a predicted tensor of rank ≥ 2 (paper § 4.1); position encodings stay as they are.

    β is 1 where no ReLU follows: depthwise and 1×k kernels; else 2.
    """
    if primitive == "pos_enc":
        return 1.0
    no_relu = len(shape) > 2 and (shape[1] == 1 or (len(shape) > 3 and shape[2] < shape[3]))
    return ((1.0 if no_relu else 2.0) / max(prod(shape[1:]), 1)) ** 0.5


def bounded_scale(vector: Tensor) -> Tensor:
    """Weights of norms within (0, 2) (paper § 4.1)."""
    return 2 * torch.sigmoid(0.5 * vector)


def bounded_bias(vector: Tensor) -> Tensor:
    """Biases within (-1, 1) (paper § 4.1)."""
    return torch.tanh(0.2 * vector)
