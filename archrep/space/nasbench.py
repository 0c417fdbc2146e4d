"""What the three NAS-Bench spaces share: an architecture from its network, and a convolution with its batch norm."""

from collections.abc import Callable

import torch
from torch import nn

from archrep.graph.archgraph import ArchGraph, Shape
from archrep.graph.capture import capture
from archrep.space.architecture import Architecture


def architecture(
    spec: str, space: str, make: Callable[[], nn.Module], input_shape: Shape = (3, 32, 32)
) -> Architecture:
    """The architecture whose graph is captured from its network, built on the meta device."""

    def graph(vocabulary: str) -> ArchGraph:
        with torch.device("meta"):
            network = make()
        return capture(network, input_shape, vocabulary=vocabulary)

    return Architecture(spec, space, "", graph, make, input_shape)


def conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Convolution without bias, (B, c_in, H, W) → (B, c_out, H/stride, W/stride), and its batch norm."""
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(c_out)
