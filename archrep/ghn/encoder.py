"""Node encoder: primitive embedding plus shape embedding (paper § 4, appendix B)."""

import numpy as np
import torch
from torch import Tensor, nn

from archrep.graph.primitives import PRIMITIVES

KERNELS = (14, 16)  # beyond the odd ones


def known_channels(num_classes: int) -> list[int]:
    """Channel counts with an embedding of their own."""
    steps = [*range(8, 64, 8), *range(64, 4096, 16), *range(4096, 8193, 32)]
    return sorted({1, 3, num_classes, *steps})


def known_kernels(max_kernel: int) -> list[int]:
    """Kernel sizes with an embedding of their own."""
    return sorted({*range(1, max(12, max_kernel), 2), *KERNELS})


class NodeEncoder(nn.Module):
    """Initial node states: embedding of the primitive plus, in four quarters, of (out, in, height, width)."""

    channel_index: Tensor  # size → row of `channel`
    kernel_index: Tensor

    def __init__(self, hidden: int, num_classes: int, max_kernel: int, primitives: int = len(PRIMITIVES)) -> None:
        super().__init__()
        channels, kernels = known_channels(num_classes), known_kernels(max_kernel)
        self.primitive = nn.Embedding(primitives, hidden)
        self.channel = nn.Embedding(len(channels) + 1, hidden // 4)  # the last entry: no shape
        self.kernel = nn.Embedding(len(kernels) + 1, hidden // 4)
        channel_index, kernel_index = _nearest(channels), _nearest(kernels)
        channel_index[4:8] = channels.index(8)  # as in the released code, also 4 and 5 …
        kernel_index[2] = kernels.index(3)  # … and the one kernel size of which the larger neighbour is taken
        self.register_buffer("channel_index", torch.from_numpy(channel_index), persistent=False)
        self.register_buffer("kernel_index", torch.from_numpy(kernel_index), persistent=False)

    def forward(self, primitive: Tensor, shape: Tensor) -> Tensor:
        """States (…, d) of nodes with primitives (…) and shapes (…, 4); shape 0 means none."""
        channel = self.channel_index[shape[..., :2].clamp(max=len(self.channel_index) - 1)]  # (…, 2)
        kernel = self.kernel_index[shape[..., 2:].clamp(max=len(self.kernel_index) - 1)]  # (…, 2)
        return self.primitive(primitive) + torch.cat(
            [self.channel(channel).flatten(-2), self.kernel(kernel).flatten(-2)], dim=-1
        )


def _nearest(values: list[int]) -> np.ndarray:
    """Table: size → position of the nearest known value, the smaller one of two; 0 → len(values)."""
    known = np.array(values)
    halfway = (known[1:] + known[:-1]) / 2
    table = np.searchsorted(halfway, np.arange(known[-1] + 1))
    table[0] = len(values)
    return table
