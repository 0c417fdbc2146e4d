"""NAS-Bench-Macro (arXiv:2103.11922): `nasbench_macro:<8 digits>`, one digit per layer.

0 identity · 1 MBConv with expansion 3 and kernel 3 · 2 MBConv with expansion 6 and kernel 5. Where a layer changes the
shape, identity is a 1×1 convolution with batch norm.
"""

import re
from collections.abc import Iterator
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from archrep.errors import ArchrepError
from archrep.space.architecture import Architecture
from archrep.space.nasbench import Emitter, architecture, conv_bn

STEM = 32  # channels
HEAD = 1280
STAGES = ((64, 2), (128, 3), (256, 3))  # channels, layers; the first layer of a stage has stride 2
MBCONV = {"1": (3, 3), "2": (6, 5)}  # digit → expansion, kernel


def nasbench_macro(space: str, rest: str) -> Iterator[Architecture]:
    """The one architecture that eight digits name.

    Raises:
        ArchrepError: for anything but eight digits 0, 1 or 2.
    """
    if not re.fullmatch("[012]{8}", rest):
        raise ArchrepError(
            f"{space}:{rest}: expected {space}: and 8 digits, one per layer: "
            "0 identity, 1 MBConv expansion 3 kernel 3, 2 MBConv expansion 6 kernel 5."
        )
    return iter([architecture(f"{space}:{rest}", space, partial(NASBenchMacro, rest), partial(_emit, digits=rest))])


def _emit(e: Emitter, digits: str) -> int | None:
    """The operations of `NASBenchMacro`."""
    x = e.conv_bn(0, "stem", (STEM, 3, 3, 3))
    c_in, layer = STEM, 0
    for c, count in STAGES:
        for stride in (2, *[1] * (count - 1)):
            x = _emit_layer(e, x, digits[layer], f"layers.{layer}", c_in, c, stride)
            c_in, layer = c, layer + 1
    return e.classifier(e.conv_bn(x, "head", (HEAD, c_in, 1, 1)), HEAD)


def _emit_layer(e: Emitter, x: int | None, digit: str, name: str, c_in: int, c_out: int, stride: int) -> int | None:
    if digit not in MBCONV:
        e.side //= stride
        return x if c_in == c_out and stride == 1 else e.conv_bn(x, name, (c_out, c_in, 1, 1))
    expansion, kernel = MBCONV[digit]
    c = c_in * expansion
    y = e.conv_bn(x, f"{name}.body", (c, c_in, 1, 1))
    e.side //= stride
    y = e.conv_bn(y, f"{name}.body", (c, 1, kernel, kernel), first=3, primitive="sep_conv")
    y = e.conv_bn(y, f"{name}.body", (c_out, c, 1, 1), first=6)
    residual = c_in == c_out and stride == 1 and x is not None and y is not None
    return e.add("sum", x, y) if residual else y  # type: ignore[arg-type]


class NASBenchMacro(nn.Module):
    """Stem, eight layers, 1×1 head and classifier: images (B, 3, H, W) to logits (B, 10)."""

    def __init__(self, digits: str) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(3, STEM, 3), nn.ReLU())
        layers: list[nn.Module] = []
        c_in = STEM
        for c, count in STAGES:
            for stride in (2, *[1] * (count - 1)):
                layers.append(_layer(digits[len(layers)], c_in, c, stride))
                c_in = c
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(*conv_bn(c_in, HEAD, 1), nn.ReLU())
        self.classifier = nn.Linear(HEAD, 10)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 10)."""
        x = self.head(self.layers(self.stem(images)))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


def _layer(digit: str, c_in: int, c_out: int, stride: int) -> nn.Module:
    if digit in MBCONV:
        return MBConv(c_in, c_out, stride, *MBCONV[digit])
    return nn.Identity() if c_in == c_out and stride == 1 else nn.Sequential(*conv_bn(c_in, c_out, 1, stride))


class MBConv(nn.Module):
    """Inverted residual of MobileNetV2 (arXiv:1801.04381) with ReLU: widen, depthwise convolution, narrow."""

    def __init__(self, c_in: int, c_out: int, stride: int, expansion: int, kernel: int) -> None:
        super().__init__()
        c = c_in * expansion
        self.body = nn.Sequential(
            *(*conv_bn(c_in, c, 1), nn.ReLU()),
            *(*conv_bn(c, c, kernel, stride, groups=c), nn.ReLU()),
            *conv_bn(c, c_out, 1),
        )
        self.residual = c_in == c_out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) → (B, c_out, H/stride, W/stride)."""
        return x + self.body(x) if self.residual else self.body(x)
